"""CoNLL files: one word per line, its tag in one of the columns, blank lines between sentences. Read and written.

`columns` describes what is read. Written are the columns that were read, or else the words of [`split_words`], and a
last column with BIO tags; comment lines have the id and, if the words do not determine it, the text.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ....words_jpt import split_words
from ..model import BadRow, Document, ReadOptions, Row
from ..opening import Source
from .columns import GLOBAL_COLUMNS, NAMED_IN_MISC, Cells, Layout, cells_of, find_layout
from .tags import bio_tags, brackets_to_spans, parse_tag, record_of_words, tag_problem, tags_to_spans
from .writing import Entities, Writer, readable

SAMPLED_LINES = 1000  # comments that name the columns
DOCUMENT_MARK = "-DOCSTART-"
KEY_VALUE = re.compile(r"#\s*([^\s=]+)\s*=\s*(.*)")
MULTICONER_ID = re.compile(r"#\s*id\s+(\S+)")
CONTRACTION = re.compile(r"(\d{1,9})-(\d{1,9})")
CONLLU_COLUMNS = "ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC".split()
NEW_COLUMN = "JPT:NER"

Line = tuple[int, str]


# ---- reading --------------------------------------------------------------------------------------------------------


def read(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The sentences of a file."""
    faults: dict[int, str] = {}
    lines = enumerate((line.rstrip(" \t\r\n") for line in source.lines(faults)), 1)
    sample = list(islice(lines, SAMPLED_LINES))
    layout = _layout([line for _, line in sample], options)
    sentence, count = _Sentence(), 0
    for number, line in chain(sample, lines, [(0, "")]):
        if line.strip() and not _is_mark(line, sentence.text):
            if sentence.rows or not _is_comment(line, sentence.text, layout, options):
                sentence.rows.append((number, cells_of(line)))
                sentence.fault = sentence.fault or _row_fault(number, sentence.rows[-1][1], faults, layout)
                continue
            sentence.add_comment(line)
            continue
        if sentence.rows:
            yield _row(sentence, f"{source.stem}-{count}", layout, options)
            sentence, count = _Sentence(), count + 1
        sentence.end_block(line)


def is_tagged(start: str, options: ReadOptions) -> bool:
    """Whether a file that starts like this has a tag on each line."""
    lines = [line.rstrip(" \t\r") for line in start.split("\n")[:SAMPLED_LINES]]
    layout = _layout(lines, options)
    rows = [cells_of(line) for line in lines[:-1] if line.strip() and not line.startswith(("#", DOCUMENT_MARK))]
    return bool(rows) and all(
        layout.tag is not None and layout.tag < len(row) and parse_tag(row[layout.tag], options.tag_scheme)
        for row in rows
    )


class _Sentence:
    """The lines of one sentence, and its id and text from the comments before it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Cells]] = []
        self.comments: list[str] = []
        self.values: dict[str, str] = {}
        self.fault: tuple[int, str] | None = None

    def add_comment(self, line: str) -> None:
        self.comments.append(line)
        if match := KEY_VALUE.match(line):
            self.values[match[1]] = match[2]
        elif match := MULTICONER_ID.match(line):
            self.values.setdefault("id", match[1])

    def end_block(self, line: str) -> None:
        """Takes a line without words, which ends what earlier comments refer to."""
        self.values.clear()
        if line or self.comments:
            self.comments.append(line)

    @property
    def id(self) -> str | None:
        return self.values.get("id") or self.values.get("sent_id")

    @property
    def text(self) -> str | None:
        """The text before it was split, if the file has it."""
        if "json_text" in self.values:
            try:
                text = json.loads(self.values["json_text"])
            except ValueError:
                return None
            return text if isinstance(text, str) else None
        return self.values.get("text")


def _layout(lines: list[str], options: ReadOptions) -> Layout:
    declared = next((match[1].split() for line in lines if (match := GLOBAL_COLUMNS.match(line))), None)
    sampled = [line for line in lines if line.strip() and not line.startswith(DOCUMENT_MARK)]
    rows = [line for line in sampled if not line.startswith("#")] or [line for line in lines if "\t" in line]
    return find_layout(list(map(cells_of, rows)), declared, options)


def _is_mark(line: str, text: str | None) -> bool:
    """Whether a line starts or ends a document, and is not a word of a sentence whose text is given."""
    if line.startswith(DOCUMENT_MARK):
        return text is None or DOCUMENT_MARK not in text
    return line.startswith(("#begin document", "#end document")) and "\t" not in line


def _is_comment(line: str, text: str | None, layout: Layout, options: ReadOptions) -> bool:
    """Whether a line before a sentence is a comment; `#` may also be its first word, certainly if its text starts so."""
    if not line.startswith("#"):
        return False
    cells = cells_of(line)
    if text is not None and "\t" in line and layout.word < len(cells) and text.lstrip().startswith(cells[layout.word]):
        return False
    if len(cells) != layout.count or " " in cells[layout.word] or "\t" not in line and KEY_VALUE.match(line):
        return True
    is_tagged = layout.tag is not None and layout.kind == "tags"
    return is_tagged and parse_tag(cells[layout.tag or 0], options.tag_scheme) is None


def _row_fault(number: int, cells: Cells, faults: dict[int, str], layout: Layout) -> tuple[int, str] | None:
    if number in faults:
        return number, faults.pop(number)
    if layout.word >= len(cells) or not cells[layout.word]:
        return number, f"line {number} has no word in column {layout.word + 1}"
    return None


def _row(sentence: _Sentence, name: str, layout: Layout, options: ReadOptions) -> Row:
    first = sentence.rows[0][0]
    name = sentence.id or name
    if sentence.fault is not None:
        return BadRow(sentence.fault[0], sentence.fault[1], name)
    columns = [cells for _, cells in sentence.rows]
    parts, heads = _contractions(columns) if layout.has_index else (frozenset(), {})
    kept = [i for i in range(len(columns)) if i not in parts]
    words = [columns[i][layout.word] for i in kept]
    row: dict[str, Any] = {"tokens": words, "text": " ".join(words)}
    if sentence.id is not None:
        row = {"id": sentence.id, **row}
    document = Document(first, row, row["text"], words, None, columns, parts, sentence.comments)
    if layout.tag is None:
        document.record = {"id": name, "text": document.text, "tokens": words}
        return document
    tags = [_tag(columns, i, heads.get(i, ()), layout) for i in kept]
    for i, tag in zip(kept, tags):
        if tag is None or layout.kind != "brackets" and parse_tag(tag, options.tag_scheme) is None:
            reason = tag_problem(tag) if tag is not None else f"expected a token and a tag in column {layout.tag + 1}"
            document.record = BadRow(sentence.rows[i][0], reason, name)
            return document
    text = sentence.text or (_spaced(words, [columns[i] for i in kept]) if layout.has_index else None)
    try:
        spans = brackets_to_spans(tags) if layout.kind == "brackets" else tags_to_spans(tags, options.tag_scheme)
        document.record = {"id": name, **record_of_words(words, spans, options.separator, text)}
    except ValueError as error:
        document.record = BadRow(first, str(error), name)
    return document


def _spaced(words: list[str], columns: list[Cells]) -> str | None:
    """The text of a CoNLL-U sentence, whose words are marked where no space follows."""
    if not any("SpaceAfter=No" in cells[-1] for cells in columns):
        return None
    ends = ("" if "SpaceAfter=No" in cells[-1] else " " for cells in columns)
    return "".join(word + end for word, end in zip(words, ends)).rstrip()


def _tag(columns: list[Cells], index: int, parts: tuple[int, ...], layout: Layout) -> str | None:
    """The tag of a word; for a contraction without one, the first tag of its parts."""
    found = [_own_tag(columns[i], layout) for i in (index, *parts)]
    if parts and found[0] in (None, "_"):
        found = [tag for tag in found[1:] if tag not in (None, "O", "o", "_")] or ["O"]
    return found[0]


def _own_tag(cells: Cells, layout: Layout) -> str | None:
    if layout.kind == "misc":
        match = NAMED_IN_MISC.search(cells[layout.tag]) if layout.tag < len(cells) else None
        return match[1] if match else "O"
    return cells[layout.tag] if layout.tag < len(cells) else None


def _contractions(columns: list[Cells]) -> tuple[frozenset[int], dict[int, tuple[int, ...]]]:
    """Rows of CoNLL-U that are not words of the text: parts of contractions (1-2), by their row, and empty nodes (1.1)."""
    parts: set[int] = set()
    heads: dict[int, tuple[int, ...]] = {}
    rows = {cells[0]: i for i, cells in enumerate(columns)}
    for i, cells in enumerate(columns):
        if "." in cells[0]:
            parts.add(i)
        elif match := CONTRACTION.fullmatch(cells[0]):
            first, last = int(match[1]), int(match[2])
            numbers = map(str, range(first, min(last, first + len(rows)) + 1))
            heads[i] = tuple(rows[number] for number in numbers if number in rows)
            parts.update(heads[i])
    return frozenset(parts), heads


# ---- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def write(temporary: Path, *_) -> Iterator[Writer]:
    is_first = True

    def add(document: Document, entities: Entities) -> None:
        nonlocal is_first
        lines = [*_comments(document, is_first), *_word_lines(document, entities)]
        is_first = False
        # There were words, or a comment gives the text without any.
        if lines:
            file.write(readable("".join(f"{line}\n" for line in lines) + "\n"))

    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield add


def _comments(document: Document, is_first: bool) -> Iterator[str]:
    if document.columns is not None:
        comments = document.comments
        # A new column must be declared where columns are named, as in CoNLL-U Plus.
        if is_first and (names := _declared(document)):
            yield f"# global.columns = {' '.join(names)} {NEW_COLUMN}"
            comments = [each for each in comments if not GLOBAL_COLUMNS.match(each)]
        yield from comments
        return
    text, words = document.text, document.words or [document.text[a:b] for a, b in split_words(document.text)]
    if document.has_id or not words:
        yield f"# id = {_one_line(document.name)}"
    is_ambiguous = text.startswith("#") or any(word.startswith(DOCUMENT_MARK) for word in words)
    if is_ambiguous or document.words is None and text != " ".join(words):
        is_plain = text == text.strip() and len(text.splitlines()) == 1
        yield f"# text = {text}" if is_plain else f"# json_text = {json.dumps(text)}"


def _declared(document: Document) -> list[str]:
    """Names of the columns that were read, if they must be declared."""
    for comment in document.comments:
        if match := GLOBAL_COLUMNS.match(comment):
            return match[1].split()
    columns = document.columns or [[]]
    count = len(columns[0])
    if count < 2 or columns[0][0] not in ("1", "0", "1-2") or any(len(each) != count for each in columns):
        return []
    return CONLLU_COLUMNS if count == 10 else ["ID", "FORM", *(f"COLUMN{i}" for i in range(3, count + 1))]


def _word_lines(document: Document, entities: Entities) -> Iterator[str]:
    if document.words is None:
        # A word in which an entity ends is split, so that nothing of either is lost.
        boundaries = sorted({place for each in entities for place in (each["start"], each["end"])})
        ranges = [piece for word in split_words(document.text) for piece in _divided(word, boundaries)]
    else:
        ends = [0]
        for word in document.words:
            ends.append(ends[-1] + len(word) + 1)
        ranges = [(start, end - 1) for start, end in zip(ends, ends[1:])]
    tags = iter(bio_tags(ranges, entities))
    if document.columns is None:
        for start, end in ranges:
            yield f"{' '.join(document.text[start:end].split())}\t{next(tags)}"
    else:
        for i, cells in enumerate(document.columns):
            yield "\t".join([*cells, "_" if i in document.not_words else next(tags)])


def _divided(word: tuple[int, int], boundaries: list[int]) -> list[tuple[int, int]]:
    start, end = word
    inside = [start, *(each for each in boundaries if start < each < end), end]
    return list(zip(inside, inside[1:]))


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())
