"""Texts with their entities in, files of a job out: JSON lines, CSV with one row per text, or Parquet.

All columns of the input are kept, in Parquet with their types. If rows have no fixed columns, as in JSON lines, those of the
first rows are used, and other values are kept as JSON in `other_fields`: nothing is lost.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ..files.formats import jsonl
from ..files.formats.parquet import ID, ArrowRow, import_arrow
from ..files.formats.writing import Entities, Writer, json_text, readable
from ..files.model import Document

FORMATS = ("jsonl", "csv", "parquet")
ENTITIES, OTHER = "entities", "other_fields"
ROWS_PER_GROUP = 1024
COLUMN_NAMES, COLUMN_TYPES = "columns.json", "columns.arrow"


class Columns:
    """
    The columns of the rows that are written, besides the entities.

    Args:
        schema (`pyarrow.Schema` or `list[str]`): With types for Parquet, only names for CSV.
        is_fixed (`bool`): Whether all rows have exactly these columns.
    """

    def __init__(self, schema: Any, is_fixed: bool):
        self.schema, self.is_fixed = schema, is_fixed

    @classmethod
    def of_parquet(cls, schema: Any) -> "Columns":
        """Those of Parquet files, with an added column for ids if there is none."""
        arrow = import_arrow()
        fields = [each for each in schema if each.name != ENTITIES]
        if ID not in schema.names:
            fields.insert(0, arrow.field(ID, arrow.string()))
        return cls(arrow.schema(fields), True)

    @classmethod
    def of_rows(cls, documents: Sequence[Document], format: str, is_fixed: bool = False) -> "Columns":
        """
        Those of the first rows, which are fixed in CSV only. In Parquet, what is more than a value or a list of values is
        no column.
        """
        is_fixed = is_fixed and format != "parquet"
        added = (ENTITIES,) if is_fixed else (ENTITIES, OTHER)
        names = list(dict.fromkeys(name for each in documents for name in each.row if name not in added))
        if format != "parquet":
            return cls(names, is_fixed)
        arrow = import_arrow()
        typed = {name: _type_of([each.row.get(name) for each in documents]) for name in names}
        return cls(arrow.schema([(name, each) for name, each in typed.items() if each is not None]), False)

    @classmethod
    def load(cls, folder: Path, is_fixed: bool) -> "Columns | None":
        """What [`~Columns.save`] has written there of [`~Columns.of_rows`], if it has."""
        names, typed = folder / COLUMN_NAMES, folder / COLUMN_TYPES
        if names.exists():
            return cls(json.loads(names.read_text(encoding="utf-8")), is_fixed)
        if not typed.exists():
            return None
        arrow = import_arrow()
        return cls(arrow.ipc.read_schema(arrow.py_buffer(typed.read_bytes())), False)

    def save(self, folder: Path) -> None:
        """Writes them into a folder, for a job that resumes."""
        if isinstance(self.schema, list):
            with atomic_file(folder / COLUMN_NAMES) as temporary:
                temporary.write_text(json.dumps(self.schema), encoding="utf-8")
        else:
            with atomic_file(folder / COLUMN_TYPES) as temporary:
                temporary.write_bytes(self.schema.serialize().to_pybytes())


def entity_type(top_k: int = 0, words: bool = False) -> Any:
    """The Arrow type of the entities of a text."""
    arrow = import_arrow()
    fields = [
        ("entity_group", arrow.string()),
        ("score", arrow.float64()),
        ("word", arrow.string()),
        ("start", arrow.int64()),
        ("end", arrow.int64()),
    ]
    if words:
        fields += [("first_word", arrow.int64()), ("last_word", arrow.int64())]
    if top_k:
        other = arrow.struct([("entity_group", arrow.string()), ("score", arrow.float64())])
        fields.append(("alternatives", arrow.list_(other)))
    return arrow.list_(arrow.struct(fields))


@contextmanager
def shard_writer(path: Path, columns: Columns | None, top_k: int = 0, words: bool = False) -> Iterator[Writer]:
    """
    Opens a file for documents with their entities, which appears once it is complete. The suffix determines the format.

    Args:
        columns ([`Columns`], *optional*): For CSV and Parquet.
        top_k (`int`), words (`bool`): Whether entities in Parquet have alternatives, and word numbers.
    """
    writers: dict[str, Callable[[Path], AbstractContextManager[Writer]]] = {
        ".jsonl": jsonl.write,
        ".csv": lambda temporary: _csv(temporary, columns),
        ".parquet": lambda temporary: _parquet(temporary, columns, entity_type(top_k, words)),
    }
    with atomic_file(path) as temporary, writers[path.suffix](temporary) as write:
        yield write


# ---- CSV ------------------------------------------------------------------------------------------------------------


@contextmanager
def _csv(temporary: Path, columns: Columns) -> Iterator[Writer]:
    names = columns.schema

    def add(document: Document, entities: Entities) -> None:
        row = document.row
        cells = [_cell(row.get(name)) for name in names]
        if not columns.is_fixed:
            other = {name: each for name, each in row.items() if name not in names and name != ENTITIES}
            cells.append(json_text(other) if other else "")
        writer.writerow([*cells, json_text(entities)])

    with open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *([] if columns.is_fixed else [OTHER]), ENTITIES])
        yield add


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return readable(value) if isinstance(value, str) else json_text(value)


# ---- Parquet --------------------------------------------------------------------------------------------------------


@contextmanager
def _parquet(temporary: Path, columns: Columns, entities_type: Any) -> Iterator[Writer]:
    arrow = import_arrow()
    fields = [*columns.schema, *([] if columns.is_fixed else [arrow.field(OTHER, arrow.string())])]
    schema = arrow.schema([*fields, arrow.field(ENTITIES, entities_type)])
    waiting: list[tuple[Document, Entities]] = []

    def add(document: Document, entities: Entities) -> None:
        waiting.append((document, entities))
        if len(waiting) == ROWS_PER_GROUP:
            flush()

    def flush() -> None:
        rows = [document.row for document, _ in waiting]
        table = _table(rows, columns)
        found = arrow.array([_encodable(entities) for _, entities in waiting], entities_type)
        writer.write_table(table.append_column(schema.field(ENTITIES), found).cast(schema))
        waiting.clear()

    with arrow.parquet.ParquetWriter(temporary, schema) as writer:
        yield add
        if waiting:
            flush()


def _table(rows: list[Any], columns: Columns) -> Any:
    arrow = import_arrow()
    if columns.is_fixed:
        return arrow.concat_tables([_of_batch(batch, columns.schema) for batch in _taken(rows)])
    fitting, other = [], []
    for row in rows:
        fits = {each.name: row.get(each.name) for each in columns.schema if _fits(row.get(each.name), each.type)}
        rest = {name: value for name, value in row.items() if name not in fits and name != ENTITIES}
        fitting.append(_encodable(fits))
        other.append(json_text(rest) if rest else None)
    table = arrow.Table.from_pylist(fitting, columns.schema)
    return table.append_column(OTHER, arrow.array(other, arrow.string()))


def _taken(rows: list[ArrowRow]) -> Iterator[Any]:
    """The original rows, those of one batch together."""
    start = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or rows[index].batch is not rows[start].batch:
            batch = rows[start].batch
            indices = [each.index for each in rows[start:index]]
            whole = indices == list(range(batch.num_rows))
            yield batch if whole else batch.take(import_arrow().array(indices))
            start = index


def _of_batch(batch: Any, schema: Any) -> Any:
    arrow = import_arrow()
    return arrow.Table.from_batches([batch]).select(schema.names).cast(schema)


def _type_of(values: list[Any]) -> Any:
    """The Arrow type of plain values, or of lists of them; `None` for others, or if there are no values."""
    arrow = import_arrow()
    try:
        found = arrow.array(_encodable(values)).type
    except (arrow.ArrowException, OverflowError):
        return None
    inner = found.value_type if arrow.types.is_list(found) else found
    return None if arrow.types.is_nested(inner) or arrow.types.is_null(inner) else found


def _fits(value: Any, type: Any) -> bool:
    arrow = import_arrow()
    if value is None or isinstance(value, str) and arrow.types.is_string(type):
        return True
    try:
        return arrow.scalar(value, type).as_py() == value
    except (arrow.ArrowException, OverflowError, TypeError, ValueError):
        return False


def _encodable(value: Any) -> Any:
    """Plain values, with halves of surrogate pairs, which Arrow cannot hold, replaced by U+FFFD."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value


__all__ = ["ENTITIES", "FORMATS", "OTHER", "Columns", "entity_type", "shard_writer"]
