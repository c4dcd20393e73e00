"""Documents with their entities in, a file out: JSON lines, CSV, CoNLL columns, Label Studio's JSON, brat's standoff.

The suffix says the format. A file appears, or replaces an older one, once all of it is written. Knows nothing of models.
"""

import csv
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...words_jpt import split_words
from ..data.records import is_unicode
from .documents import Document

CSV_COLUMNS = ("id", "start", "end", "entity_group", "word", "score")
BRAT_SECTIONS = "[relations]\n\n[events]\n\n[attributes]\n"

Entities = list[dict[str, Any]]
Writer = Callable[[Document, Entities], None]


@contextmanager
def document_writer(path: str | Path) -> Iterator[Writer]:
    """
    Opens a file for tagged documents.

    - `.jsonl`: each document's row with `entities`, of which an earlier value is replaced.
    - `.csv`: a row for each entity, with the `id` of its document or else the line it began on.
    - `.conll`: a word a line with its BIO tag in the last, tab-separated column. The words are those of the document
      or else of [`split_words`].
    - `.json`: tasks with predictions for [Label Studio](https://labelstud.io/guide/predictions), whose labels are to be
      called `label` and its text `text`, as in its template. It counts characters as Python does.
    - `.ann`: [brat's standoff](https://brat.nlplab.org/standoff.html) of one document, with its text beside it in a
      `.txt` file. `.zip`: the same for many, with an `annotation.conf`. In names of types whatever is no letter, digit,
      hyphen or underscore becomes an underscore, as brat needs it.

    Args:
        path (`str` or `Path`): The file.

    Yields:
        `Callable`: To be called with a document and its entities.

    Raises:
        ValueError: If the suffix is none of `OUTPUT_SUFFIXES`; for `.ann`, if there is more than one document, or
            another text in the `.txt` file.
    """
    path = check_output(path)
    with atomic_file(path) as temporary, WRITERS[path.suffix.lower()](temporary, path) as write:
        yield write


def check_output(path: str | Path) -> Path:
    """The path, if [`document_writer`] can write there as far as can be told beforehand."""
    path = Path(path)
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ValueError(f"the output should end in {', '.join(OUTPUT_SUFFIXES)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} of the output does not exist")
    return path


def json_line(document: Document, entities: Entities) -> str:
    """The document's row with its entities, as JSON on one line."""
    return _json({**document.row, "entities": entities})


def _json(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    # Half of a surrogate pair is no character that UTF-8 could hold, but JSON has an escape for it.
    return line if line.isascii() or is_unicode(line) else json.dumps(value)


@contextmanager
def _json_lines(temporary: Path, path: Path) -> Iterator[Writer]:
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield lambda document, entities: print(json_line(document, entities), file=file)


@contextmanager
def _csv(temporary: Path, path: Path) -> Iterator[Writer]:
    def write(document: Document, entities: Entities) -> None:
        name = document.row.get("id", document.line)
        writer.writerows([name, *(entity[column] for column in CSV_COLUMNS[1:])] for entity in entities)

    with open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        yield write


# ---- CoNLL ----------------------------------------------------------------------------------------------------------


@contextmanager
def _conll(temporary: Path, path: Path) -> Iterator[Writer]:
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield lambda document, entities: file.write(_conll_lines(document, entities))


def _conll_lines(document: Document, entities: Entities) -> str:
    if document.words is None:
        ranges = split_words(document.text)
    else:
        ends = [0]
        for word in document.words:
            ends.append(ends[-1] + len(word) + 1)
        ranges = [(start, end - 1) for start, end in zip(ends, ends[1:])]
    columns = document.columns or [[" ".join(document.text[start:end].split())] for start, end in ranges]
    tags = bio_tags(ranges, entities)
    lines = ["\t".join([*cells, tag]) + "\n" for cells, tag in zip(columns, tags, strict=True)]
    return "".join([*lines, "\n"]) if ranges else ""


def bio_tags(words: Iterable[tuple[int, int]], entities: Entities) -> list[str]:
    """
    A tag for each word, `O` or `B-` and `I-` with the name of the entity it shares a character with, of several the
    first. Tabs in names become spaces, since columns are divided by them.
    """
    entities = sorted(entities, key=lambda entity: entity["start"])
    tags, index, before = [], 0, None
    for start, end in words:
        while index < len(entities) and entities[index]["end"] <= start:
            index += 1
        if index < len(entities) and entities[index]["start"] < end:
            name = " ".join(entities[index]["entity_group"].split())
            tags.append(f"{'I' if before == index else 'B'}-{name}")
            before = index
        else:
            tags.append("O")
    return tags


# ---- Label Studio ---------------------------------------------------------------------------------------------------


@contextmanager
def _label_studio(temporary: Path, path: Path) -> Iterator[Writer]:
    def write(document: Document, entities: Entities) -> None:
        nonlocal divider
        file.write(divider + _json(_task(document, entities)))
        divider = ",\n"

    divider = "[\n"
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield write
        file.write("\n]\n" if divider != "[\n" else "[]\n")


def _task(document: Document, entities: Entities) -> dict[str, Any]:
    result = [
        {
            "id": f"entity-{number}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "score": entity["score"],
            "value": {
                "start": entity["start"],
                "end": entity["end"],
                "text": document.text[entity["start"] : entity["end"]],
                "labels": [entity["entity_group"]],
            },
        }
        for number, entity in enumerate(entities, 1)
    ]
    data = {key: value for key, value in document.row.items() if key != "entities"}
    return {
        "data": {**data, "text": document.text},
        "predictions": [{"model_version": "jpt-ner", "result": result}],
    }


# ---- brat -----------------------------------------------------------------------------------------------------------


@contextmanager
def _brat(temporary: Path, path: Path) -> Iterator[Writer]:
    def write(document: Document, entities: Entities) -> None:
        if written:
            raise ValueError(f"{path} can hold one document only; write a .zip for many")
        # A text that is there may be the very file that was read; another is the user's, not to be lost.
        if text_path.exists() and text_path.read_bytes() != _text_bytes(document):
            raise ValueError(f"{text_path} is there and holds another text; choose another name for the output")
        written.append(document)
        temporary.write_text(_standoff(document, entities), encoding="utf-8", errors="replace", newline="")

    text_path = path.with_suffix(".txt")
    written: list[Document] = []
    yield write
    if not written:
        raise ValueError(f"there is no document to write to {path}")
    if not text_path.exists():
        with atomic_file(text_path) as beside:
            beside.write_bytes(_text_bytes(written[0]))


@contextmanager
def _brat_archive(temporary: Path, path: Path) -> Iterator[Writer]:
    def write(document: Document, entities: Entities) -> None:
        name = re.sub(r"[^\w.-]+", "_", str(document.row.get("id", document.line)))[:80].strip(".") or "document"
        names[name] += 1
        while names[name] > 1:  # until one that is free
            name = f"{name}-{names[name]}"
            names[name] += 1
        labels.update(dict.fromkeys(_brat_label(entity) for entity in entities))
        archive.writestr(f"{name}.txt", _text_bytes(document))
        archive.writestr(f"{name}.ann", _standoff(document, entities).encode(errors="replace"))

    names: Counter[str] = Counter()
    labels: dict[str, None] = {}
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        yield write
        archive.writestr("annotation.conf", "\n".join(["[entities]", *labels, "", BRAT_SECTIONS]))


def _standoff(document: Document, entities: Entities) -> str:
    """Entities as `T1`, `T2` ..., each with its score as a note."""
    lines = []
    for number, entity in enumerate(entities, 1):
        # brat cuts what goes over a line's end into pieces and joins their text with spaces.
        pieces = [
            (entity["start"] + piece.start(), entity["start"] + piece.end())
            for piece in re.finditer(r"[^\r\n]+", document.text[entity["start"] : entity["end"]])
        ]
        places = ";".join(f"{start} {end}" for start, end in pieces)
        text = " ".join(document.text[start:end] for start, end in pieces)
        lines.append(f"T{number}\t{_brat_label(entity)} {places}\t{text}\n")
        lines.append(f"#{number}\tAnnotatorNotes T{number}\tscore {entity['score']:.3f}\n")
    return "".join(lines)


def _brat_label(entity: dict[str, Any]) -> str:
    return re.sub(r"[^\w-]+", "_", entity["entity_group"])


def _text_bytes(document: Document) -> bytes:
    return document.text.encode(errors="replace")


WRITERS: dict[str, Callable[[Path, Path], AbstractContextManager[Writer]]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".conll": _conll,
    ".json": _label_studio,
    ".ann": _brat,
    ".zip": _brat_archive,
}
OUTPUT_SUFFIXES = tuple(WRITERS)
