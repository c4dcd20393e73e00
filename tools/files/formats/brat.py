"""brat's standoff: a text (.txt) and its annotations beside it (.ann), or many of both in an archive (.zip). Read and written.

brat's type names consist of ASCII letters, digits, hyphens and underscores. The original name of a type is in
`visual.conf`, which brat displays and the reader looks up, and in the note of each annotation.
"""

import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....atomic_jpt import atomic_file
from ..model import BadRow, Document, ReadOptions, Row
from ..opening import MAX_TEXT, Source, Unreadable, not_decoded
from .shapes import parsed_text
from .writing import Entities, Writer, readable

VISUAL_MARK = "# jpt-ner: names of types as they were given"
SECTIONS = "[relations]\n\n[events]\n\n[attributes]\n"
NOTE = re.compile(r"score -?\d(?:\.\d+)?, type (.+)")


# ---- reading --------------------------------------------------------------------------------------------------------


def read(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The text of a file of annotations; the source may be either of the two files."""
    texts = {}
    try:
        for suffix in (".txt", ".ann"):
            beside = source.path.with_suffix(suffix)
            is_given = source.suffix == suffix
            texts[suffix] = source.text() if is_given else decoded(beside.read_bytes(), source.encoding)
    except FileNotFoundError:
        yield BadRow(None, f"there is no {'text' if suffix == '.txt' else 'annotation'} beside it ({beside.name})")
        return
    except UnicodeDecodeError as error:
        yield BadRow(None, not_decoded(error, source.encoding))
        return
    visual = source.path.with_name("visual.conf")
    names = visual_names(visual.read_text("utf-8", "replace")) if visual.is_file() else {}
    yield document(source.stem, texts[".txt"], texts[".ann"], names, options)


def read_archive(archive: zipfile.ZipFile, options: ReadOptions) -> Iterator[Row]:
    """The texts of an archive in order, each with its annotations; one without any is a text, but no record."""
    members = {
        each.filename: each for each in archive.infolist() if not each.is_dir() and "__MACOSX" not in each.filename
    }

    def content(name: str) -> str:
        if members[name].file_size > MAX_TEXT:
            raise Unreadable(f"{name} has more than {MAX_TEXT // 2**20} MB")
        return decoded(archive.read(name), options.encoding or "utf-8-sig")

    names: dict[str, str] = {}
    for name in members:
        if Path(name).name == "visual.conf":
            names |= visual_names(content(name))
    for name in members:
        stem, suffix = name[:-4], name[-4:]
        is_marked = f"{stem}.ann" in members
        if suffix != ".ann" and not (suffix == ".txt" and not is_marked):
            continue
        if f"{stem}.txt" not in members:
            yield BadRow(None, f"{name}: there is no text beside it ({stem}.txt)", stem)
            continue
        try:
            text = content(f"{stem}.txt")
            plain = Document(1, {"id": stem, options.text_column: text}, text)
            yield document(stem, text, content(name), names, options) if is_marked else plain
        except UnicodeDecodeError as error:
            yield BadRow(None, f"{name}: {not_decoded(error, error.encoding)}", stem)


def decoded(content: bytes, encoding: str) -> str:
    return content.decode(encoding).removeprefix("\ufeff")


def document(name: str, text: str, annotations: str, names: dict[str, str], options: ReadOptions) -> Document:
    """
    A text with its annotations.

    Args:
        names (`dict[str, str]`): Original names of the annotations' types, where known.
    """
    row = {"id": name, options.text_column: text}
    found = Document(1, row, text)
    try:
        mentions = list(_mentions(annotations.replace("\r\n", "\n").split("\n"), names))
        # Offsets may refer to the text before its LF line ends were changed.
        plain = text.replace("\r\n", "\n")
        if plain != text and _agreement(plain, mentions) > _agreement(text, mentions):
            found.text = row[options.text_column] = plain
        for each in mentions:
            each["text"] = _surface(found.text, each)
        found.record = parsed_text(found.text, mentions, {"id": name}).record  # type: ignore[assignment]
    except ValueError as error:
        found.record = BadRow(None, f"{name}: {error}", name)
    return found


def _mentions(lines: Iterable[str], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    notes = {}
    entities = []
    for number, line in enumerate(lines, 1):
        if line.startswith("T"):
            entities.append((number, line))
        elif line.startswith("#"):
            cells = line.split("\t")
            if len(cells) == 3 and (match := NOTE.fullmatch(cells[2])):
                notes[cells[1].split(" ")[-1]] = match[1]
    given = dict(names)
    for number, line in entities:
        cells = line.split("\t", 2)
        match = re.fullmatch(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)", cells[1]) if len(cells) >= 2 else None
        if match is None:
            raise ValueError(
                f"line {number} of the annotations should be ID, TYPE START END and TEXT, got {line!r:.80}"
            )
        if cells[0] in notes:
            given[match[1]] = notes[cells[0]]
        pieces = [tuple(map(int, piece.split(" "))) for piece in match[2].split(";")]
        yield {
            "start": pieces[0][0],
            "end": pieces[-1][1],
            "label": given.get(match[1], match[1]),
            "pieces": pieces,
            "text": cells[2] if len(cells) > 2 else None,
            "name": cells[0],
        }


def _agreement(text: str, mentions: list[dict[str, Any]]) -> int:
    """How many mentions are in the text at their offsets."""
    return sum(" ".join(text[a:b] for a, b in each["pieces"]) == each["text"] for each in mentions)


def _surface(text: str, mention: dict[str, Any]) -> str | None:
    """
    The mention as it is in the text, if it matches the file.

    Raises:
        ValueError: If there is anything but blanks between its pieces.
    """
    pieces = mention.pop("pieces")
    name, said = mention.pop("name"), mention["text"]
    for (_, end), (start, _) in zip(pieces, pieces[1:]):
        if text[end:start].strip():
            raise ValueError(f"{name} is of several pieces, which is read as no mention; mark it as one")
    matches = said is None or " ".join(text[a:b] for a, b in pieces) == said
    return text[mention["start"] : mention["end"]] if matches else said


def visual_names(conf: str) -> dict[str, str]:
    """Original type names by brat's names, from a `visual.conf` written by this module."""
    if VISUAL_MARK not in conf:
        return {}
    pairs = (line.split(" | ", 1) for line in conf.partition("[labels]")[2].splitlines() if " | " in line)
    return dict(pairs)


# ---- writing --------------------------------------------------------------------------------------------------------


class TypeNames(dict):
    """Names for brat by original type names: of characters that it accepts, and distinct."""

    def __init__(self, types: Iterable[str] = ()):
        super().__init__()
        for name in types:
            self.__missing__(name)

    def __missing__(self, name: str) -> str:
        plain = unicodedata.normalize("NFKD", name)
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", re.sub(r"[\u0300-\u036f]", "", plain))
        plain = plain if re.search("[A-Za-z0-9]", plain) else "type"
        taken = {each.casefold() for each in self.values()}
        number, free = 1, plain
        while free.casefold() in taken:
            number += 1
            free = f"{plain}-{number}"
        self[name] = free
        return free


@contextmanager
def write_standoff(temporary: Path, path: Path, _: Iterable[str] = ()) -> Iterator[Writer]:
    def add(document: Document, entities: Entities) -> None:
        if written:
            raise ValueError(f"{path} can hold one document only; write a .zip for many")
        # An existing text may be the input itself; any other belongs to the user and must not be lost.
        if text_path.exists() and text_path.read_bytes() != _text_bytes(document):
            raise ValueError(f"{text_path} is there and holds another text; choose another name for the output")
        written.append(document)
        temporary.write_bytes(_standoff(document, entities, TypeNames()))

    text_path = path.with_suffix(".txt")
    if text_path.is_dir():
        raise ValueError(f"{text_path} is a folder; the text is to be written there")
    written: list[Document] = []
    yield add
    if not written:
        raise ValueError(f"there is no document to write to {path}")
    if not text_path.exists():
        with atomic_file(text_path) as beside:
            beside.write_bytes(_text_bytes(written[0]))


@contextmanager
def write_archive(temporary: Path, _: Path, types: Iterable[str] = ()) -> Iterator[Writer]:
    def add(document: Document, entities: Entities) -> None:
        plain = re.sub(r"[^\w.-]+", "_", readable(str(document.name)))[:80].strip(".") or "document"
        number, name = 1, plain
        while name.casefold() in taken:  # also distinct on file systems that ignore case
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        archive.writestr(f"{name}.txt", _text_bytes(document))
        archive.writestr(f"{name}.ann", _standoff(document, entities, names))

    taken = {"annotation", "visual"}
    names = TypeNames(types)
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        yield add
        archive.writestr("annotation.conf", "\n".join(["[entities]", *names.values(), "", SECTIONS]))
        labels = [f"{plain} | {readable(name)}" for name, plain in names.items()]
        archive.writestr("visual.conf", "\n".join([VISUAL_MARK, "[labels]", *labels, "", "[drawing]", ""]))


def _standoff(document: Document, entities: Entities, names: TypeNames) -> bytes:
    """Entities as `T1`, `T2` ..., each with its score as a note, and its type's name if brat's differs."""
    lines = []
    text = readable(document.text)
    for number, entity in enumerate(entities, 1):
        # brat cuts mentions at line ends and joins the pieces with spaces.
        pieces = [
            (entity["start"] + piece.start(), entity["start"] + piece.end())
            for piece in re.finditer(r"[^\r\n]+", text[entity["start"] : entity["end"]])
        ]
        places = ";".join(f"{start} {end}" for start, end in pieces)
        surface = " ".join(text[start:end] for start, end in pieces)
        given = entity["entity_group"]
        note = f"score {entity['score']:.3f}" + (f", type {readable(given)}" if names[given] != given else "")
        lines.append(f"T{number}\t{names[given]} {places}\t{surface}\n")
        lines.append(f"#{number}\tAnnotatorNotes T{number}\t{note}\n")
    return "".join(lines).encode()


def _text_bytes(document: Document) -> bytes:
    return readable(document.text).encode()
