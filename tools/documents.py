"""Files of texts in, one `Document` after the other out; and documents with their entities back into files.

Reads plain text, JSON lines, CSV and CoNLL columns, writes the latter three, one row at a time in both directions, so
that a file may be larger than memory. Says of every row that cannot be used what is wrong with it, with its line.
Knows nothing of models.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ..schema_jpt import Schema, resolve_schema
from ..words_jpt import split_words
from .readers import is_list_of_strings
from .records import is_unicode

INPUT_SUFFIXES = {
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".conll": "conll",
    ".bio": "conll",
    ".iob2": "conll",
}
INPUT_FORMATS = ("text", "lines", "jsonl", "csv", "tsv", "conll")
OUTPUT_SUFFIXES = (".jsonl", ".csv", ".conll")
TYPES_COLUMNS = ("entity_types", "types")
CSV_COLUMNS = ("id", "start", "end", "entity_group", "word", "score")

Entities = list[dict[str, Any]]
Row = tuple[int, dict[str, Any], str | None]


@dataclass(slots=True)
class Document:
    """
    One text to tag.

    Args:
        line (`int`): Where it begins in its file, counted from 1.
        row (`dict`): Its row with all fields, to be written back.
        text (`str`): The text; for words, these joined by spaces.
        words (`list[str]`, *optional*): The words of a text that came split.
        entity_types ([`Schema`], *optional*): Types of its own.
        columns (`list[list[str]]`, *optional*): For each word all columns of its line in a CoNLL file.
    """

    line: int
    row: dict[str, Any]
    text: str
    words: list[str] | None = None
    entity_types: Schema | None = None
    columns: list[list[str]] | None = None

    @property
    def item(self) -> dict[str, Any]:
        """What the pipeline takes."""
        item = {"text": self.text if self.words is None else self.words}
        return item if self.entity_types is None else {**item, "entity_types": self.entity_types}


# ---- reading --------------------------------------------------------------------------------------------------------


def read_documents(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str = "text",
    repository: str | Path | None = None,
    on_bad_row: Callable[[str], None] | None = None,
) -> Iterator[Document]:
    """
    Reads the documents of a file one after the other.

    Args:
        path (`str` or `Path`): A UTF-8 file, or `"-"` for standard input.
        format (`str`, *optional*):
            `"text"` (the file is one document), `"lines"` (every line is one), `"jsonl"`, `"csv"`, `"tsv"` or
            `"conll"` (a word a line, in the first column; blank lines between sentences). Defaults to that of the
            suffix; standard input to `"text"`.
        text_column (`str`, *optional*, defaults to `"text"`):
            Key or column of the text. In JSON lines the values may also be lists of words.
        repository (`str` or `Path`, *optional*): Where presets that rows name are searched, as in [`resolve_schema`].
        on_bad_row (`Callable`, *optional*):
            Receives a message for each row that cannot be used, which is then left out. Without it the first such row
            is an error.

    Raises:
        ValueError: For an unknown format or, while reading, a row that cannot be used, with `FILE:LINE: ` in front.
        OSError: If the file cannot be read.
    """
    if format is None:
        format = "text" if str(path) == "-" else INPUT_SUFFIXES.get(Path(path).suffix.lower())
    if format not in INPUT_FORMATS:
        expected = ", ".join(INPUT_SUFFIXES)
        raise ValueError(f"the format of {path} is not known by its suffix (known: {expected}); give the format")
    stream = sys.stdin.buffer if str(path) == "-" else open(path, "rb")
    return _read(stream, str(path), format, text_column, repository, on_bad_row)


def _read(stream, name, format, text_column, repository, on_bad_row) -> Iterator[Document]:
    @lru_cache(256)  # files often repeat the types on every row
    def types_of(value: str) -> Schema:
        return resolve_schema(json.loads(value), repository)

    split: bool | None = None
    with stream:
        for line, row, reason in _rows(stream, format, text_column):
            if reason is None:
                try:
                    document = _document(line, row, format, text_column, types_of)
                    split = document.words is not None if split is None else split
                    if split != (document.words is not None):
                        raise ValueError(f"{text_column!r} should be a {'list' if split else 'text'} as in other rows")
                    yield document
                    continue
                except ValueError as error:
                    reason = str(error)
            message = f"{'standard input' if name == '-' else name}:{line}: {reason}"
            if on_bad_row is None:
                raise ValueError(message)
            on_bad_row(message)


def _document(line: int, row: dict, format: str, text_column: str, types_of: Callable[[str], Schema]) -> Document:
    columns = row.pop("columns") if format == "conll" else None
    value = row[text_column] if columns is None else row["tokens"]
    own = None
    if format == "jsonl":
        own = next((row[key] for key in TYPES_COLUMNS if row.get(key) is not None), None)
    entity_types = None if own is None else types_of(json.dumps(own))
    if isinstance(value, str):
        return Document(line, row, value, None, entity_types)
    if not is_list_of_strings(value):
        raise ValueError(f"{text_column!r} should be a text or a list of words, got {value!r:.80}")
    text = " ".join(value)
    return Document(line, {**row, "text": text}, text, value, entity_types, columns)


def _rows(stream: BinaryIO, format: str, text_column: str) -> Iterator[Row]:
    if format == "text":
        yield _whole_text(stream)
    elif format == "lines":
        faults: dict[int, str] = {}
        for number, text in enumerate(_decoded(stream, faults), 1):
            yield number, {text_column: text.rstrip("\r\n")}, faults.pop(number, None)
    elif format == "jsonl":
        yield from _json_rows(stream, text_column)
    elif format == "conll":
        yield from _conll_rows(stream)
    else:
        yield from _csv_rows(stream, text_column, "\t" if format == "tsv" else ",")


def _whole_text(stream: BinaryIO) -> Row:
    content = stream.read()
    try:
        return 1, {"text": content.decode("utf-8-sig")}, None
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1, {}, f"not UTF-8 ({error.reason})"


def _decoded(stream: BinaryIO, faults: dict[int, str]) -> Iterator[str]:
    """The lines as text; those that are not UTF-8 are entered in `faults` by number, their bad bytes replaced."""
    for number, raw in enumerate(stream, 1):
        encoding = "utf-8-sig" if number == 1 else "utf-8"
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError as error:
            faults[number] = f"not UTF-8 ({error.reason})"
            yield raw.decode(encoding, errors="replace")


def _json_rows(stream: BinaryIO, text_column: str) -> Iterator[Row]:
    faults: dict[int, str] = {}
    for number, line in enumerate(_decoded(stream, faults), 1):
        reason, row = faults.pop(number, None), None
        if reason is None and line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = f"broken JSON ({error})"
            else:
                if not isinstance(row, dict):
                    reason = f"should be a JSON object, got {type(row).__name__}"
                elif text_column not in row:
                    reason = f"has no {text_column!r}; its keys are {', '.join(map(repr, row))}"
        if reason is not None or row is not None:
            yield number, row or {}, reason


def _csv_rows(stream: BinaryIO, text_column: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a whole book may stand in a cell
    faults: dict[int, str] = {}
    reader = csv.reader(_decoded(stream, faults), delimiter=delimiter)
    header = next(reader, None)
    if header is None:
        return
    if text_column not in header:
        raise ValueError(f"the file has no column {text_column!r}; its columns are {', '.join(map(repr, header))}")
    last = reader.line_num
    try:
        for values in reader:
            first, last = last + 1, reader.line_num
            reasons = [faults.pop(line) for line in range(first, last + 1) if line in faults]
            if values and len(values) != len(header):
                reasons.append(f"has {len(values)} cells where the header has {len(header)}")
            if values or reasons:
                yield first, dict(zip(header, values)), "; ".join(reasons) or None
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def _conll_rows(stream: BinaryIO) -> Iterator[Row]:
    faults: dict[int, str] = {}
    columns: list[list[str]] = []
    first, reason = 0, None
    for number, line in enumerate(_with_end(_decoded(stream, faults)), 1):
        line = line.rstrip(" \t\r\n")
        if line.strip() and not line.startswith("-DOCSTART-"):
            first = first or number
            reason = reason or faults.pop(number, None)
            # Not split(): a word may hold a no-break space.
            cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
            if not cells[0].strip():
                reason = reason or f"line {number} has no word in its first column"
            columns.append(cells)
        elif first:
            yield first, {"tokens": [cells[0] for cells in columns], "columns": columns}, reason
            columns, first, reason = [], 0, None


def _with_end(lines: Iterable[str]) -> Iterator[str]:
    yield from lines
    yield ""


# ---- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def document_writer(path: str | Path) -> Iterator[Callable[[Document, Entities], None]]:
    """
    Opens a file for tagged documents; it appears, or replaces an older one, once all of it is written.

    `.jsonl` gets each document's row with `entities` (of which an earlier value is replaced); `.csv` a row for each
    entity, with the `id` of its document or else the line it began on; `.conll` a word a line with its BIO tag in the
    last, tab-separated column. The words are those of the document or else of [`split_words`].

    Args:
        path (`str` or `Path`): The file; its suffix says the format.

    Yields:
        `Callable`: To be called with a document and its entities.

    Raises:
        ValueError: If the suffix is none of `OUTPUT_SUFFIXES`.
    """
    path = check_output(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                yield _csv_writer(file)
            elif path.suffix.lower() == ".conll":
                yield lambda document, entities: _write_conll(file, document, entities)
            else:
                yield lambda document, entities: print(json_line(document, entities), file=file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    row = {**document.row, "entities": entities}
    line = json.dumps(row, ensure_ascii=False)
    # Half of a surrogate pair is no character that UTF-8 could hold, but JSON has an escape for it.
    return line if line.isascii() or is_unicode(line) else json.dumps(row)


def _csv_writer(file: TextIO) -> Callable[[Document, Entities], None]:
    writer = csv.writer(file)
    writer.writerow(CSV_COLUMNS)

    def write(document: Document, entities: Entities) -> None:
        name = document.row.get("id", document.line)
        writer.writerows([name, *(entity[column] for column in CSV_COLUMNS[1:])] for entity in entities)

    return write


def _write_conll(file: TextIO, document: Document, entities: Entities) -> None:
    if document.words is None:
        ranges = split_words(document.text)
    else:
        ends = [0]
        for word in document.words:
            ends.append(ends[-1] + len(word) + 1)
        ranges = [(start, end - 1) for start, end in zip(ends, ends[1:])]
    columns = document.columns or [[" ".join(document.text[start:end].split())] for start, end in ranges]
    for cells, tag in zip(columns, bio_tags(ranges, entities), strict=True):
        print("\t".join([*cells, tag]), file=file)
    if ranges:
        print(file=file)


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
