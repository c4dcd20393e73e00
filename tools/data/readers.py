"""File formats of labelled data: JSON lines, JSON lists, token-per-line tags and GLiNER files in, would-be records out.

Each format becomes an iterator of rows `(line, record as in the project's JSONL, reason)`, where a reason says why the
row could not be converted and the record is then `None` or holds the id only. Does not check what the records say.
"""

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

FORMATS = ("jsonl", "conll", "gliner")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
CONLL_SUFFIXES = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".tsv", ".txt")
TAG = re.compile(r"O|[BIMELSU]-(.+)")

Row = tuple[int, Any, str | None]


def open_data(path: str | os.PathLike) -> BinaryIO:
    """
    A data file, opened to be read in binary; one that ends in `.gz` is unpacked.

    Raises:
        ValueError: If a packed file is damaged.
        FileNotFoundError: If there is no such file.
    """
    if Path(path).suffix.lower() != ".gz":
        return open(path, "rb")
    try:
        return io.BytesIO(gzip.decompress(Path(path).read_bytes()))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from None


def data_name(path: str | os.PathLike) -> str:
    """The name of a data file without its suffixes: `dev` of `dev.jsonl.gz`."""
    path = Path(path)
    return path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem


def guess_format(path: str | os.PathLike) -> str:
    """The format of a data file, by its suffix and its first characters: one of `FORMATS`."""
    path = Path(path)
    with open_data(path) as file:
        head = file.read(1 << 16).decode("utf-8-sig", errors="replace").lstrip()
    suffix = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    if suffix in JSON_SUFFIXES or (suffix not in CONLL_SUFFIXES and head.startswith(("{", "["))):
        return "gliner" if re.search(r'"tokenized_text"\s*:', head) else "jsonl"
    return "conll"


def tags_to_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """
    Mentions of a tag sequence in IOB1, IOB2, BIOES, BILOU or BMES.

    An inside tag without a mention of its label to continue starts one, so that all these schemes read alike.

    Returns:
        `list[tuple[int, int, str]]`: First token, last token + 1 and label, in order.

    Raises:
        ValueError: For a tag of another form.
    """
    spans, is_open = [], False
    for index, tag in enumerate(tags):
        match = TAG.fullmatch(tag)
        if match is None:
            raise ValueError(f"tag {tag!r} should be O or one of B I M E L S U, a hyphen and a label")
        label = match[1]
        if tag != "O":
            if is_open and tag[0] in "IMEL" and spans[-1][2] == label:
                spans[-1] = (spans[-1][0], index + 1, label)
            else:
                spans.append((index, index + 1, label))
        is_open = tag[0] in "BIM"
    return spans


def json_rows(path: Path) -> Iterator[Row]:
    """The values of a file with one JSON value a line, or with one JSON list, unconverted."""
    with open_data(path) as file:
        if file.read(1 << 16).decode("utf-8-sig", errors="replace").lstrip().startswith("["):
            yield from _json_list_rows(path)
            return
        file.seek(0)
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    data, reason = json.loads(line), None
                except ValueError as error:
                    data, reason = None, f"broken JSON or not UTF-8 ({error})"
                yield number, data, reason


def conll_rows(path: Path, separator: str) -> Iterator[Row]:
    """The sentences of a file with a token and its tag a line, identified by file name and position in the file."""
    tokens, tags, first, fault, count = [], [], 0, None, 0
    with open_data(path) as file:
        for number, raw in enumerate(chain(file, [b""]), 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip(" \t\r\n")
            except UnicodeDecodeError as error:
                line, fault = "-", fault or (number, f"not UTF-8 ({error})")
            if line.strip() and not line.startswith("-DOCSTART-"):
                # Not split(): a token may hold a no-break space.
                columns = line.split("\t") if "\t" in line else [each for each in line.split(" ") if each]
                if fault is None and (len(columns) < 2 or not columns[0]):
                    fault = (number, f"expected a token and a tag, got {line!r}")
                elif fault is None and not TAG.fullmatch(columns[-1]):
                    fault = (number, f"tag {columns[-1]!r} should be O or one of B I M E L S U, a hyphen and a label")
                first = first or number
                tokens.append(columns[0])
                tags.append(columns[-1])
            elif first:
                name = f"{data_name(path)}-{count}"
                if fault is None:
                    yield first, *row_from_tags(name, tokens, tags, separator)
                else:
                    yield fault[0], {"id": name}, fault[1]
                tokens, tags, first, fault, count = [], [], 0, None, count + 1


def gliner_rows(rows: Iterable[Row], stem: str, separator: str) -> Iterator[Row]:
    """The rows of [`json_rows`] converted from GLiNER's `tokenized_text` and `ner` (last tokens inclusive)."""
    for index, (line, data, reason) in enumerate(rows):
        if reason is None:
            data, reason = _from_gliner_object(data, f"{stem}-{index}", separator)
        yield line, data, reason


def row_from_tags(name: Any, tokens: Any, tags: Sequence[str], separator: str) -> tuple[Any, str | None]:
    """Would-be record and reason, without the line, of one sentence with a tag for every token."""
    if not is_list_of_strings(tokens):
        return {"id": name}, "the tokens should be a list of texts"
    if len(tokens) != len(tags):
        return {"id": name}, f"{len(tokens)} tokens but {len(tags)} tags"
    try:
        return _from_spans(name, tokens, tags_to_spans(tags), separator)
    except ValueError as error:
        return {"id": name}, str(error)


def is_list_of_strings(value: Any) -> bool:
    """Whether a JSON value is a list of texts."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _json_list_rows(path: Path) -> Iterator[Row]:
    # Item by item rather than json.load, to know the line of each.
    try:
        with open_data(path) as file:
            content = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield 1, None, f"the file is not UTF-8 ({error})"
        return
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    position, line, counted = content.index("[") + 1, 1, 0
    while True:
        position = between.match(content, position).end()
        line, counted = line + content.count("\n", counted, position), position
        if content[position : position + 1] == "]":
            if content[position + 1 :].strip():
                yield line, None, "there is more after the end of the JSON list, which was not read"
            return
        try:
            data, position = decoder.raw_decode(content, position)
        except json.JSONDecodeError as error:
            yield error.lineno, None, f"broken JSON ({error.msg}); nothing from here on was read"
            return
        yield line, data, None


def _from_gliner_object(data: Any, name: str, separator: str) -> tuple[Any, str | None]:
    if not isinstance(data, Mapping) or not {"tokenized_text", "ner"} <= data.keys():
        return None, "should be a JSON object with 'tokenized_text' and 'ner'"
    tokens, mentions, spans = data["tokenized_text"], data["ner"], []
    if not is_list_of_strings(tokens) or not isinstance(mentions, list):
        return {"id": name}, "'tokenized_text' should be a list of texts and 'ner' a list"
    for each in mentions:
        if not isinstance(each, list) or len(each) != 3 or not all(type(index) is int for index in each[:2]):
            return {"id": name}, f"mention {each!r} should be [first token, last token, label]"
        start, last, label = each
        if not 0 <= start <= last < len(tokens):
            return {"id": name}, f"mention {each!r} is outside the {len(tokens)} tokens"
        spans.append((start, last + 1, label))
    record, reason = _from_spans(data.get("id", name), tokens, spans, separator)
    # The types GLiNER was to ask of this text, where its file says so.
    if reason is None and "ner_labels" in data:
        record["labels"] = data["ner_labels"]
    return record, reason


def _from_spans(name: Any, tokens: Sequence[str], spans: Iterable, separator: str) -> tuple[Any, str | None]:
    """Token spans (end exclusive) to a would-be record in the project's format."""
    if not all(tokens):
        return {"id": name}, "a token is empty"
    starts, position = [], 0
    for token in tokens:
        starts.append(position)
        position += len(token) + len(separator)
    entities = [
        {"start": starts[start], "end": starts[end - 1] + len(tokens[end - 1]), "label": label}
        for start, end, label in spans
    ]
    return {"id": name, "text": separator.join(tokens), "entities": entities, "tokens": list(tokens)}, None
