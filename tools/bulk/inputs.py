"""Folders, patterns and files in, their rows out in blocks, starting at any row: the fixed order of a job.

Knows nothing of models or outputs.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from ..files.documents import is_text, rows_of_texts
from ..files.formats import ARCHIVE, SUFFIXES, format_of_texts, plain_suffix
from ..files.formats.parquet import import_arrow, missing_column, open_parquet, rows_of_parquet
from ..files.formats.table import header_of
from ..files.model import Document, ReadOptions, Row
from ..files.opening import Source, expand, open_source

PARQUET = ".parquet"
TABLES = ("csv", "tsv")
BLOCK_CHARACTERS = 2**20  # as many as the pipeline reads ahead


@dataclass(frozen=True)
class InputFile:
    """A file of a job: its path, the name for the ids of its rows, and its size in bytes."""

    path: Path
    name: str
    bytes: int


@dataclass(frozen=True)
class Place:
    """The position of a job: the index of a file and its number of finished rows; all files before it are finished."""

    file: int = 0
    row: int = 0


def find_inputs(given: Sequence[str], output: Path, options: ReadOptions) -> list[InputFile]:
    """
    The files that paths stand for, in order, without those of the output.

    Args:
        given (`Sequence[str]`): Files, folders and patterns.
        output (`Path`): The folder of the job, which may lie in one of them.

    Raises:
        ValueError: If no file matches, a file cannot be read again from the middle, or Parquet files are mixed with others.
        OSError: If a file does not exist.
    """
    found: dict[Path, str] = {}
    for each in given:
        if each == "-":
            raise ValueError("--input -: a job cannot resume in standard input; name files")
        if "://" in each:
            raise ValueError(f"--input {each}: only files of this machine are read here; add --ray for others")
        for path, name in _expanded(each, options):
            if output.absolute() not in path.absolute().parents:
                found.setdefault(path, name if len(given) == 1 else path.as_posix())
    if not found:
        raise ValueError(f"--input {given[0]}: no files of texts besides those of the output {str(output)!r}")
    inputs = [InputFile(path, name, path.stat().st_size) for path, name in found.items()]
    kinds = {_is_parquet(each, options) for each in inputs}
    if len(kinds) > 1:
        other = next(each for each in inputs if not _is_parquet(each, options))
        raise ValueError(
            f"--input: {other.path} is no Parquet file as others are; choose by a pattern such as 'data/**/*.parquet'"
        )
    return inputs


def _expanded(given: str, options: ReadOptions) -> Iterator[tuple[Path, str]]:
    files = expand(given)
    if files is None:
        path = Path(given)
        if plain_suffix(path) != ARCHIVE:
            format_of_texts(path, None, options)
        return iter([(path, path.name)])
    known = [each for each in files if options.format is not None or is_text(each, files)]
    if not known:
        raise ValueError(f"--input {given}: no files of texts there; known are {', '.join((*SUFFIXES, ARCHIVE))}")
    return ((each, os.path.relpath(each, root_of(given)).replace(os.sep, "/")) for each in known)


def root_of(given: str) -> Path:
    """The folder itself, or the one that a pattern starts from; files added later do not change it."""
    if os.path.isdir(given):
        return Path(given)
    plain = Path(given).parts
    first = next((index for index, part in enumerate(plain) if set(part) & set("*?[")), len(plain) - 1)
    return Path(*plain[:first])


def _is_parquet(file: InputFile, options: ReadOptions) -> bool:
    return options.format == "parquet" or options.format is None and file.path.suffix.lower() == PARQUET


def are_parquet(inputs: Sequence[InputFile], options: ReadOptions) -> bool:
    """Whether the files of a job, which are all of one kind, are Parquet files."""
    return _is_parquet(inputs[0], options)


def are_tables(inputs: Sequence[InputFile], options: ReadOptions) -> bool:
    """Whether all files have a header with their columns."""
    return all(_is_table(each, options) for each in inputs)


def _is_table(file: InputFile, options: ReadOptions) -> bool:
    format = options.format or SUFFIXES.get(plain_suffix(file.path))
    if format != "tsv":
        return format in TABLES
    with open_source(file.path, options.encoding) as source:  # It may hold lines of words and tags instead.
        return format_of_texts(file.path, source, options) in TABLES


# ---- columns --------------------------------------------------------------------------------------------------------


def look_into_parquet(inputs: Sequence[InputFile], text_column: str) -> tuple[Any, int]:
    """
    The Arrow schema for the rows of all files, and the number of rows.

    Raises:
        ValueError: If a file is damaged, lacks the text column, or has other columns than the rest.
    """
    arrow, joint, rows = import_arrow(), None, 0
    for each in inputs:
        with open_parquet(each.path) as file:
            schema, rows = file.schema_arrow.remove_metadata(), rows + file.metadata.num_rows
        names = schema.names
        if text_column not in names:
            raise ValueError(missing_column(str(each.path), text_column, names))
        if len({*names}) < len(names):
            raise ValueError(f"{each.path}: two of its columns have the same name")
        if joint is None:
            joint, first = schema, each
            continue
        _check_same(each.path, names, first.path, joint.names)
        try:
            joint = arrow.unify_schemas([joint, schema], promote_options="permissive")
        except arrow.ArrowException as error:
            raise ValueError(
                f"{each.path}: its columns have other types than those of {first.path} ({error})"
            ) from None
    return joint, rows


def check_headers(inputs: Sequence[InputFile], options: ReadOptions) -> None:
    """
    Raises:
        ValueError: If a table does not have the columns of the first.
    """
    first: list[str] | None = None
    for each in inputs:
        with open_source(each.path, options.encoding) as source:
            header = header_of(source)
        first = header if first is None else first
        _check_same(each.path, header, inputs[0].path, first)


def _check_same(path: Path, names: Sequence[str], first: Path, expected: Sequence[str]) -> None:
    missing = [name for name in expected if name not in names]
    added = [name for name in names if name not in expected]
    if missing or added:
        name, has, lacks = (missing[0], first, path) if missing else (added[0], path, first)
        raise ValueError(
            f"{lacks}: the file has no column {name!r}, which {has} has; the files of a job need the same columns, or "
            "--output-format jsonl"
        )


# ---- rows -----------------------------------------------------------------------------------------------------------


class Rows:
    """
    The rows of a job's files, in blocks.

    Args:
        inputs (`list[InputFile]`): The files, in the order of the job.
        options ([`ReadOptions`]): How they are read.
        place ([`Place`]): Where to start.

    Attributes:
        place ([`Place`]): The position after the rows that were returned so far.
    """

    def __init__(self, inputs: Sequence[InputFile], options: ReadOptions, place: Place):
        self.inputs, self.options, self.place = inputs, options, place
        self._stream = self._read()
        self._source: Source | None = None
        self._failure: Exception | None = None
        self._bytes = [0, *accumulate(each.bytes for each in inputs)]

    def block(self, max_rows: int, characters: float = BLOCK_CHARACTERS) -> list[tuple[InputFile, Row]]:
        """
        The next rows, each with its file; none at the end. Fewer than requested if texts are long, or an error follows.

        Raises:
            ValueError, OSError: What reading raises, once all rows before it were returned.
        """
        block: list[tuple[InputFile, Row]] = []
        if self._failure is not None:
            raise self._failure
        try:
            for place, file, row in islice(self._stream, max_rows):
                self.place = place
                block.append((file, row))
                characters -= len(row.text) if isinstance(row, Document) else 0
                if characters <= 0:
                    break
        except Exception as error:
            if not block:
                raise
            self._failure = error
        return block

    @property
    def share(self) -> float:
        """The share of all bytes that was read, from 0 to 1."""
        here = 0 if self._source is None else self._source.bytes_read
        total = self._bytes[-1]
        return min(1.0, (self._bytes[self.place.file] + here) / total) if total else 1.0

    def _read(self) -> Iterator[tuple[Place, InputFile, Row]]:
        start = self.place
        for index, file in enumerate(self.inputs):
            if index < start.file:
                continue
            done = start.row if index == start.file else 0
            for row in self._rows_of(file, done):
                done += 1
                yield Place(index, done), file, row

    def _rows_of(self, file: InputFile, start: int) -> Iterator[Row]:
        if are_parquet(self.inputs, self.options):
            yield from rows_of_parquet(file.path, file.name, self.options.text_column, start)
            return
        for source, row in islice(rows_of_texts(file.path, file.name, self.options), start, None):
            self._source = source
            yield row
        self._source = None
