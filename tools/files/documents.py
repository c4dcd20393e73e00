"""Files of texts in, one `Document` after the other out. What is found in them is written by `writers`.

Reads plain text, JSON lines, CSV and CoNLL columns one row at a time, so that a file may be larger than memory, and the
text of Word and PDF files (`extraction`). Says of every row that cannot be used what is wrong with it, with its line.
Knows nothing of models.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from ...schema_jpt import Schema, resolve_schema
from ..data.readers import is_list_of_strings
from .extraction import EXTRACTORS, MAX_CHARACTERS, MAX_SECONDS, extract_text

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
    ".docx": "docx",
    ".pdf": "pdf",
}
INPUT_FORMATS = ("text", "lines", "jsonl", "csv", "tsv", "conll", *EXTRACTORS)
TYPES_COLUMNS = ("entity_types", "types")

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
    own_types: bool = True,
    on_bad_row: Callable[[str], None] | None = None,
    max_characters: int = MAX_CHARACTERS,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[Document]:
    """
    Reads the documents of a file one after the other.

    Args:
        path (`str` or `Path`): A UTF-8 file, a Word or PDF file, or `"-"` for standard input.
        format (`str`, *optional*):
            `"text"`, `"docx"`, `"pdf"` (the file is one document), `"lines"` (every line is one), `"jsonl"`, `"csv"`,
            `"tsv"` or `"conll"` (a word a line, in the first column; blank lines between sentences). Defaults to that
            of the suffix; standard input to `"text"`.
        text_column (`str`, *optional*, defaults to `"text"`):
            Key or column of the text. In JSON lines the values may also be lists of words.
        own_types (`bool`, *optional*, defaults to `True`):
            Whether rows may bring types of their own; they may name schema files, so not for files of strangers.
        on_bad_row (`Callable`, *optional*):
            Receives a message for each row that cannot be used, which is then left out. Without it the first such row
            is an error.
        max_characters (`int`, *optional*): A Word or PDF file with more text than this is not read to its end.
        max_seconds (`float`, *optional*): A Word or PDF file that takes longer than this is not read to its end.

    Raises:
        ValueError: For an unknown format or, while reading, a row that cannot be used, with `FILE:LINE: ` in front.
        OSError: If the file cannot be read.
        ImportError: If the library that reads PDF files is not installed.
    """
    if format is None:
        format = "text" if str(path) == "-" else INPUT_SUFFIXES.get(Path(path).suffix.lower())
    if format not in INPUT_FORMATS:
        expected = ", ".join(INPUT_SUFFIXES)
        raise ValueError(f"the format of {path} is not known by its suffix (known: {expected}); give the format")
    stream = sys.stdin.buffer if str(path) == "-" else open(path, "rb")
    if format in EXTRACTORS:
        rows = _extracted_text(stream, text_column, format, max_characters, max_seconds)
    else:
        rows = _rows(stream, format, text_column)
    return _read(stream, rows, str(path), format, text_column, own_types, on_bad_row)


def _read(stream, rows, name, format, text_column, own_types, on_bad_row) -> Iterator[Document]:
    @lru_cache(256)  # files often repeat the types on every row
    def resolve(value: str) -> Schema:
        return resolve_schema(json.loads(value))

    def types_of(row: dict[str, Any]) -> Schema | None:
        if format != "jsonl" or not own_types:
            return None
        own = next((row[key] for key in TYPES_COLUMNS if row.get(key) is not None), None)
        return None if own is None else resolve(json.dumps(own))

    split: bool | None = None
    with stream:
        for line, row, reason in rows:
            if reason is None:
                try:
                    document = _document(line, row, format, text_column, types_of(row))
                    split = document.words is not None if split is None else split
                    if split != (document.words is not None):
                        raise ValueError(f"{text_column!r} should be a {'list' if split else 'text'} as in other rows")
                    yield document
                    continue
                except ValueError as error:
                    reason = str(error)
            place = "standard input" if name == "-" else name
            message = f"{place}: {reason}" if format in EXTRACTORS else f"{place}:{line}: {reason}"
            if on_bad_row is None:
                raise ValueError(message)
            on_bad_row(message)


def _document(line: int, row: dict, format: str, text_column: str, entity_types: Schema | None) -> Document:
    columns = row.pop("columns") if format == "conll" else None
    value = row[text_column] if columns is None else row["tokens"]
    if isinstance(value, str):
        return Document(line, row, value, None, entity_types)
    if not is_list_of_strings(value):
        raise ValueError(f"{text_column!r} should be a text or a list of words, got {value!r:.80}")
    text = " ".join(value)
    return Document(line, {**row, "text": text}, text, value, entity_types, columns)


def _rows(stream: BinaryIO, format: str, text_column: str) -> Iterator[Row]:
    if format == "text":
        yield _whole_text(stream, text_column)
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


def _whole_text(stream: BinaryIO, text_column: str) -> Row:
    content = stream.read()
    try:
        return 1, {text_column: content.decode("utf-8-sig")}, None
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1, {}, f"not UTF-8 ({error.reason})"


def _extracted_text(
    stream: BinaryIO, text_column: str, format: str, max_characters: int, max_seconds: float
) -> Iterator[Row]:
    try:
        text = extract_text(stream, format, max_characters=max_characters, max_seconds=max_seconds)
        yield 1, {text_column: text}, None
    except ValueError as error:
        yield 1, {}, str(error)


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
