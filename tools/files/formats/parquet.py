"""Parquet files, one text per row. Their values are converted to JSON's; `ArrowRow` also keeps the originals.

Read batch by batch, so that a file may be larger than memory. `tools.bulk` writes them.
"""

import base64
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....optional_jpt import check_installed
from ..model import BadRow, Document, ReadOptions, Row
from ..opening import Source
from . import json_rows
from .shapes import is_list_of_strings, shown, types_of_rows, with_types

ROWS_AT_ONCE = 256
ID = "id"


class ArrowRow(Mapping[str, Any]):
    """A row of an Arrow batch or table as a mapping of JSON values, converted on access."""

    __slots__ = ("batch", "index")

    def __init__(self, batch: Any, index: int):
        self.batch, self.index = batch, index

    def __getitem__(self, name: str) -> Any:
        if name not in self.batch.schema.names:
            raise KeyError(name)
        return plain(self.batch.column(name)[self.index].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.schema.names)

    def __len__(self) -> int:
        return len(self.batch.schema.names)


def read(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The texts of a file, in any of the shapes that rows of JSON have, such as the Hub's words and tags."""
    number = 0
    for batch in batches_of_parquet(source.name, stream=source.stream):
        for value in batch.to_pylist():
            number += 1
            yield from json_rows.documents_of(number, plain(value), options, None)


def import_arrow() -> Any:
    """
    pyarrow, with its `parquet`.

    Raises:
        ImportError: If it is not installed.
    """
    check_installed("pyarrow", "a Parquet file")
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def open_parquet(path: str | os.PathLike, stream: Any = None) -> Any:
    """
    Opens a file as a `pyarrow.parquet.ParquetFile`, which reads only its metadata.

    Args:
        stream (`BinaryIO`, *optional*): What to read it from, if it has no path of its own.

    Raises:
        ImportError: If pyarrow is missing.
        ValueError: If it is not a Parquet file, or incomplete.
        OSError: If it cannot be opened.
    """
    arrow = import_arrow()
    if stream is None:
        os.stat(path)
    try:
        return arrow.parquet.ParquetFile(os.fspath(path) if stream is None else stream)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file, or not a whole one ({_first_line(error)})") from None


def rows_of_parquet(path: Path, name: str, text_column: str, start: int = 0) -> Iterator[Row]:
    """
    The rows of a file from the index `start` on; earlier ones are not read.

    Args:
        name (`str`): Start of the ids of rows that have none.

    Raises:
        ValueError: If the file is damaged, or has no such column.
    """
    number = start
    for batch in batches_of_parquet(str(path), start):
        yield from documents_of_batch(with_ids(batch, name, number), text_column, number, str(path))
        number += batch.num_rows


def batches_of_parquet(path: str, start: int = 0, stream: Any = None) -> Iterator[Any]:
    """
    The rows of a file from an index on, in Arrow batches.

    Args:
        stream (`BinaryIO`, *optional*): What to read it from, if it has no path of its own.

    Raises:
        ValueError: If the file is damaged.
    """
    arrow, file = import_arrow(), open_parquet(path, stream)
    groups, skipped = list(range(file.num_row_groups)), 0
    while groups and skipped + file.metadata.row_group(groups[0]).num_rows <= start:
        skipped += file.metadata.row_group(groups.pop(0)).num_rows
    left = start - skipped
    try:
        with file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=groups) if groups else ():
                if left < batch.num_rows:
                    yield batch.slice(left)
                left = max(0, left - batch.num_rows)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: the Parquet file is damaged ({_first_line(error)})") from None


def with_ids(batch: Any, name: str, first: int) -> Any:
    """The batch with a column of ids, if it has none: the name and the number of each row, counted from `first`."""
    if ID in batch.schema.names:
        return batch
    arrow = import_arrow()
    ids = arrow.array([f"{name}:{first + index + 1}" for index in range(batch.num_rows)], arrow.string())
    return arrow.RecordBatch.from_arrays([ids, *batch.columns], [ID, *batch.schema.names])


def documents_of_batch(batch: Any, text_column: str, first: int = 0, name: str = "the table") -> Iterator[Row]:
    """
    The rows of an Arrow batch or table.

    Args:
        first (`int`): The index of the first in its file.
        name (`str`): What messages call it.

    Raises:
        ValueError: If there is no column of that name.
    """
    if text_column not in batch.schema.names:
        raise ValueError(missing_column(name, text_column, batch.schema.names))
    texts = batch.column(text_column)
    types_of = types_of_rows()
    for index in range(batch.num_rows):
        line, content = first + index + 1, plain(texts[index].as_py())
        is_split = is_list_of_strings(content)
        if not is_split and not isinstance(content, str):
            yield BadRow(line, f"{text_column!r} should be a text or a list of words, got {shown(content)}")
            continue
        row = ArrowRow(batch, index)
        document = Document(line, row, " ".join(content) if is_split else content, content if is_split else None)
        yield with_types(document, types_of)


def missing_column(name: str, column: str, columns: list[str]) -> str:
    """The message for a file without the text column."""
    there = ", ".join(map(repr, columns)) or "none"
    return f"{name}: the file has no column {column!r}; its columns are {there}; name that of the text (--text-column)"


def plain(value: Any) -> Any:
    """
    A value of Arrow's as JSON can hold it: bytes in base64, dates and times and decimal numbers as text, `None` for what is
    no number (NaN), infinite ones as text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
