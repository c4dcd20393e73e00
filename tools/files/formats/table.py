"""Tables (.csv, .tsv): one text per row; one word per row with its tag; or one entity per row, as `tag` writes them.

In .csv, quotation marks quote, and a line may end within a cell; in .tsv they are ordinary characters.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ..model import BadRow, Document, ReadOptions, Row
from ..opening import MAX_LINE, Source, Unreadable
from . import jsonl
from .hub import named_tags, record_of_tags
from .lists import list_in_cell
from .shapes import free_name, is_list_of_strings, parsed_text, with_own
from .tags import record_of_words, tags_to_spans
from .writing import Entities, Writer, readable

DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # how a file gives Excel the delimiter
ENTITY_COLUMNS = ["id", "start", "end", "entity_group", "word", "score", "text"]
SENTENCE_COLUMNS = ("sentence #", "sentence", "sentence_id", "sentence_idx", "sent_id")
WORD_COLUMNS = ("word", "token", "words", "tokens")
TAG_COLUMNS = ("tag", "ner_tag", "ner", "ner_tags", "tags", "iob", "label", "entity")
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-][\d\s().,/-]*")  # also a telephone number: harmless in a spreadsheet
ESCAPED_FORMULA = re.compile(r"'+[=+\-@\t\r]")

Line = tuple[int, list[str], str | None]  # number, cells, and what is wrong with them


# ---- reading --------------------------------------------------------------------------------------------------------


def read_csv(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The texts of a table in which quotation marks quote."""
    faults: dict[int, str] = {}
    lines = source.lines(faults, any_end=True)
    first = next(lines, "")
    declared = SEPARATOR_LINE.fullmatch(first)
    if declared:
        first = next(lines, "")
    delimiter = options.delimiter or (declared[1] if declared else _delimiter(first, options, ","))
    numbered = _quoted(chain([first], lines), faults, delimiter, 2 if declared else 1)
    yield from _rows(numbered, options)


def read_tsv(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The texts of a table in which every line is a row, and quotation marks are ordinary characters."""
    faults: dict[int, str] = {}
    lines = source.lines(faults)
    first = next(lines, "")
    delimiter = options.delimiter or _delimiter(first, options, "\t")
    numbered = (
        (number, line.split(delimiter) if line else [], faults.pop(number, None))
        for number, line in enumerate((each.rstrip("\r\n") for each in chain([first], lines)), 1)
    )
    yield from _rows(numbered, options, "; a quoted table is read with --input-format csv --delimiter tab")


def header_of(source: Source) -> list[str]:
    """The columns of a table, from its first line; none if it cannot be read."""
    lines = re.split("\r\n|\r|\n", source.start, maxsplit=2)
    usual = "\t" if source.suffix == ".tsv" else ","
    declared = SEPARATOR_LINE.fullmatch(lines[0])
    first = (lines[1:2] or [""])[0] if declared else lines[0]
    return _cells(first, declared[1] if declared else _delimiter(first, ReadOptions(), usual))


def is_table(start: str, options: ReadOptions) -> bool:
    """Whether a file that starts like this is a table with usable columns, and not lines of words and tags."""
    header = _cells(re.split("[\r\n]", start, maxsplit=1)[0], options.delimiter or "\t")
    return options.text_column in header or _word_columns(header, options) is not None or _has_entities(header)


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a single line; none if it cannot be read."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _delimiter(header: str, options: ReadOptions, usual: str) -> str:
    """The delimiter that gives the header the needed columns, or else the most columns."""
    header = header.rstrip("\r\n")
    cells = {each: _cells(header, each) for each in (usual, *DELIMITERS)}
    for delimiter, columns in cells.items():
        if options.text_column in columns or options.columns is None and _word_columns(columns, options) is not None:
            return delimiter
    return max(cells, key=lambda each: len(cells[each]))


def _quoted(lines: Iterable[str], faults: dict[int, str], delimiter: str, number: int) -> Iterator[Line]:
    """The rows of a table with quoted cells, each with the line it starts on."""
    csv.field_size_limit(MAX_LINE)  # a cell may contain a whole book
    taken: list[str] = []

    def kept() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    reader = csv.reader(kept(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            cells, reason = next(reader), None
        except StopIteration:
            return
        except csv.Error as error:
            is_open = "unexpected end" in str(error) or "field limit" in str(error)
            reason = (
                _open_cell(taken, number)
                if is_open
                else f"a quotation mark in a quoted cell has to be doubled ({error})"
            )
            cells = []
        last = number + len(taken)
        found = [faults.pop(line) for line in range(number, last) if line in faults]
        yield number, cells, "; ".join([reason, *found] if reason else found) or None
        number = last


def _open_cell(lines: list[str], number: int) -> str:
    """The start of a cell that is still open at the end of these lines."""
    opened, is_open, text = 0, False, "".join(lines)
    for match in re.finditer('"', text):
        is_open = not is_open
        if is_open and text[match.start() - 1 : match.start()] != '"':  # a doubled quotation mark opens nothing
            opened = match.start()
    line = number + text.count("\n", 0, opened)
    return f"the cell whose quotation mark stands on line {line} is never closed; what follows belongs to it"


def _rows(lines: Iterator[Line], options: ReadOptions, hint: str = "") -> Iterator[Row]:
    header, reason = next(((cells, reason) for _, cells, reason in lines if reason or any(cells)), ([], None))
    if reason is not None:
        raise Unreadable(f"the header: {reason}")
    if not header:
        return
    if _has_entities(header) and options.columns is None:
        yield from _entities(lines, header)
    elif (columns := _word_columns(header, options)) is not None:
        yield from _words(lines, header, columns, options)
    else:
        yield from _texts(lines, header, options, hint)


def _texts(lines: Iterator[Line], header: list[str], options: ReadOptions, hint: str) -> Iterator[Row]:
    column = options.text_column
    if column not in header:
        names = ", ".join(map(repr, header))
        raise Unreadable(
            f"the file has no column {column!r}; its columns are {names}; name that of the text (--text-column) or what "
            "divides them (--delimiter)"
        )
    if header.count(column) > 1:
        raise Unreadable(
            f"the column {column!r} stands {header.count(column)} times in the header; rename all but one"
        )
    names_of = _unique(header)
    for number, cells, reason in lines:
        if reason is None and not cells:
            continue  # a blank line; a quoted cell with nothing in it is a text
        reason = reason or _count_problem(cells, header, hint)
        if reason is not None:
            yield BadRow(number, reason)
            continue
        row: dict[str, Any] = dict(zip(names_of, cells))
        yield Document(number, row, row[column], record=_record(row, row[column]))


def _record(row: dict[str, Any], text: str) -> dict[str, Any]:
    """The record of a row, with its entities where a column has them as JSON, as that of jobs does."""
    name = {"id": row["id"]} if row.get("id") else {}
    try:
        entities = json.loads(row.get("entities", ""))
    except (ValueError, RecursionError):
        entities = None
    return (
        jsonl.record_of({**name, "entities": entities}, text) if isinstance(entities, list) else {**name, "text": text}
    )


def _count_problem(cells: list[str], header: list[str], hint: str = "") -> str | None:
    if len(cells) == len(header):
        return None
    return f"has {len(cells)} cells where the header has {len(header)}{hint}"


def _unique(header: list[str]) -> list[str]:
    """The columns' names; repeated ones are numbered, so that none replaces another."""
    names: list[str] = []
    for name in header:
        names.append(free_name(name, names))
    return names


# ---- a word a row ---------------------------------------------------------------------------------------------------


def _word_columns(header: list[str], options: ReadOptions) -> tuple[int | None, int, int] | None:
    """Columns of sentence numbers (if any), words and tags."""
    folded = [name.casefold().strip() for name in header]

    def find(names: Iterable[str]) -> int | None:
        return next((folded.index(name) for name in names if name in folded), None)

    sentence = find(SENTENCE_COLUMNS)
    if options.columns is not None:
        missing = [name for name in options.columns if name not in header]
        if missing:
            raise Unreadable(f"the file has no column {missing[0]!r}; its columns are {', '.join(map(repr, header))}")
        return sentence, header.index(options.columns[0]), header.index(options.columns[-1])
    word, tag = find(WORD_COLUMNS), find(TAG_COLUMNS)
    if word is None and "sentence" in folded and "sentence #" in folded:
        word = folded.index("sentence")  # the sentence as a whole, its tags as a list
    if word is None or tag is None or options.text_column in header:
        return None
    return sentence, word, tag


def _words(
    lines: Iterator[Line], header: list[str], columns: tuple[int | None, int, int], options: ReadOptions
) -> Iterator[Row]:
    """Sentences of a table such as Kaggle's, whose first column numbers them where they start."""
    sentence, word, tag = columns
    words: list[str] = []
    tags: list[str] = []
    first, name, fault = 0, "", None
    for number, cells, reason in chain(lines, [(0, [], None)]):
        is_blank = not any(cells) and reason is None
        if reason is None and cells[tag : tag + 1] and cells[tag].lstrip().startswith("["):
            yield _listed(number, cells, header, columns, options)
            continue
        new = cells[sentence].strip() if sentence is not None and sentence < len(cells) else ""
        if words and (is_blank or new and new != name):
            yield _sentence(first, name, words, tags, fault, options)
            words, tags, fault = [], [], None
        if is_blank:
            continue
        first = first if words else number
        name = new or name
        if fault is None and (reason := reason or _count_problem(cells, header)):
            fault = BadRow(number, reason, name or None)
        words.append(cells[word] if word < len(cells) else "")
        tags.append(cells[tag] if tag < len(cells) else "")


def _sentence(line: int, name: str, words, tags, fault: BadRow | None, options: ReadOptions) -> Row:
    if fault is not None:
        return fault
    text = " ".join(words)
    row = {"id": name, "tokens": words, "text": text} if name else {"tokens": words, "text": text}
    document = Document(line, row, text, words)
    try:
        spans = tags_to_spans(tags, options.tag_scheme)
        document.record = {**({"id": name} if name else {}), **record_of_words(words, spans, options.separator)}
    except ValueError as error:
        document.record = BadRow(line, str(error), name or None)
    return document


def _listed(
    line: int, cells: list[str], header: list[str], columns: tuple[int | None, int, int], options: ReadOptions
) -> Row:
    """A row with a sentence, or the list of its words, and the list of its tags."""
    sentence, word, tag = columns
    if (reason := _count_problem(cells, header)) is not None:
        return BadRow(line, reason)
    given, names = cells[word], _unique(header)
    row: dict[str, Any] = dict(zip(names, cells))
    if sentence is not None and not row.get("id"):
        row = {**row, "id": cells[sentence]}
    words = list_in_cell(given)
    if is_list_of_strings(words):
        document = Document(
            line, with_own({**row, names[word]: words}, "text", " ".join(words)), " ".join(words), words
        )
    else:
        document = Document(line, with_own(row, "text", given), given)
    name = {"id": row["id"]} if row.get("id") else {}
    try:
        tags = list_in_cell(cells[tag])
        if tags is None:
            raise ValueError(f"{names[tag]!r} should be a list such as ['B-PER', 'O'], got {cells[tag]!r:.80}")
        tags = named_tags(tags, options.tag_names, names[tag])
        text = given if document.words is None else None
        document.record = {**name, **record_of_tags(document.words or given.split(), tags, options, text)}
    except ValueError as error:  # The words are good to be tagged, all the same.
        document.record = BadRow(line, str(error), name.get("id"))
    return document


# ---- an entity a row ------------------------------------------------------------------------------------------------


def _has_entities(header: list[str]) -> bool:
    return {"text", "start", "end", "entity_group"} <= {*header}


def _entities(lines: Iterator[Line], header: list[str]) -> Iterator[Row]:
    """Texts with their entities; the text is in the first row of each document, or in every row."""
    is_ours = header == ENTITY_COLUMNS
    current: dict[str, Any] | None = None
    mentions: list[dict[str, Any]] = []
    first = 0
    for number, cells, reason in lines:
        if reason is None and not cells:
            continue  # a blank line
        reason = reason or _count_problem(cells, header)
        if reason is not None:
            yield BadRow(number, reason)
            continue
        row: dict[str, Any] = dict(zip(header, map(_unescaped, cells) if is_ours else cells))
        begins = row["text"] and (is_ours or current is None or _place(row) != _place(current))
        if begins or current is None:
            if current is not None:
                yield _entity_document(first, current, mentions)
            current, mentions, first = row, [], number
        if row["start"] or row["end"]:
            mention = {"start": _number(row["start"]), "end": _number(row["end"]), "label": row["entity_group"]}
            mentions.append({**mention, **({"text": row["word"]} if row.get("word") else {})})
    if current is not None:
        yield _entity_document(first, current, mentions)


def _place(row: dict[str, Any]) -> tuple[Any, Any]:
    return row.get("id"), row["text"]


def _entity_document(line: int, row: dict[str, Any], mentions: list[dict[str, Any]]) -> Row:
    if not row["text"]:
        return BadRow(line, "has no text; the first row of each document must have it")
    kept = {key: row[key] for key in ("id", "text") if row.get(key)}
    parsed = parsed_text(row["text"], mentions, kept)
    assert isinstance(parsed.record, dict)
    return Document(line, kept, row["text"], record=parsed.record)


def _number(cell: str) -> int | str:
    return int(cell) if re.fullmatch(r"-?\d{1,15}", cell) else cell


# ---- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def write(temporary: Path, *_) -> Iterator[Writer]:
    def add(document: Document, entities: Entities) -> None:
        name, text = document.name, document.text
        for entity in entities:
            values = [name, *(entity[column] for column in ENTITY_COLUMNS[1:-1]), text]
            writer.writerow([_escaped(value) if isinstance(value, str) else value for value in values])
            text = ""

    with open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ENTITY_COLUMNS)
        yield add


def _escaped(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe is added, also if there is one already."""
    cell = readable(cell)
    is_formula = FORMULA.match(cell) and not NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula or ESCAPED_FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if ESCAPED_FORMULA.match(cell) else cell
