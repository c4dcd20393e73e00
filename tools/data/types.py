"""The types of labelled data: a `types.json`, schema or preset in, the candidate types of each record out."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...schema_jpt import resolve_schema
from ..files.opening import expand
from .model import Record, TypeInfo


def read_types(value: Any) -> dict[str, TypeInfo]:
    """
    Reads the types of a dataset.

    Args:
        value:
            A dict of label to `{"name", "generic", "definition"}` or the path of a JSON file that holds one, a dict that
            this function returned, or anything [`resolve_schema`] takes: name to definition, a schema file, a preset.

    Returns:
        `dict[str, TypeInfo]`: By label. For a schema, labels are names.

    Raises:
        ValueError: For a type without a definition, two labels of one name, or no types at all.
    """
    source = "`types`"
    if isinstance(value, (str, os.PathLike)) and str(value).lower().endswith(".json"):
        source = str(value)
        try:
            value = json.loads(Path(value).read_bytes())
        except FileNotFoundError:
            raise ValueError(f"types file not found: {source}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{source}: broken JSON ({error})") from None
    if not isinstance(value, Mapping) or not any(_is_labelled(each) for each in value.values()):
        try:
            schema = resolve_schema(value)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        return {each.name: TypeInfo(each.name, each.description) for each in schema.entity_types}
    types = {}
    for label, each in value.items():
        if isinstance(each, str):
            each = {"definition": each}
        elif not isinstance(each, Mapping):
            each = {"name": each.name, "definition": each.definition, "generic": each.generic}
        for key in ("name", "definition", "generic"):
            text = each.get(key)
            if text is None and key != "definition":
                continue
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{source}: the {key} of {label!r} should be a text that is not empty, got {text!r}")
        types[label] = TypeInfo(each.get("name") or label, each["definition"], each.get("generic"))
    repeated = [name for name, count in Counter(info.name for info in types.values()).items() if count > 1]
    if repeated:
        raise ValueError(f"{source}: two labels share the name {repeated[0]!r}; give each its own")
    return types


def find_types(path: str | os.PathLike) -> dict[str, TypeInfo] | None:
    """The types in `types.json` beside a data file or in a folder of data files; `None` if there is no such file."""
    beside = _types_file(path)
    return None if beside is None else read_types(beside)


def labelled_files(data: Iterable[str | os.PathLike]) -> list[Path]:
    """
    All files that are read with labelled data: its own, and the `types.json` beside them ([`find_types`]).

    Args:
        data (`Iterable`): Files, folders and patterns.

    Raises:
        ValueError: If there are no files in a folder, or none of a pattern.
    """
    files = [file for path in data for file in expand(path) or [Path(path)]]
    return [*files, *filter(None, map(_types_file, files))]


def _types_file(path: str | os.PathLike) -> Path | None:
    beside = (Path(path) if Path(path).is_dir() else Path(path).parent) / "types.json"
    return beside if beside.is_file() else None


def types_for(record: Record, dataset_types: Mapping[str, TypeInfo] | None = None) -> dict[str, str]:
    """
    The candidate types of a record: its own, else those of the dataset, limited to `record.labels` if given.

    Args:
        record (`Record`): The record.
        dataset_types (`dict[str, TypeInfo]`, *optional*):
            As [`read_types`] returns them. Defaults to those that the record was read with.

    Returns:
        `dict[str, str]`: Name to definition.

    Raises:
        ValueError: If neither the record nor the dataset gives its types.
    """
    dataset_types = record.dataset_types if dataset_types is None else dataset_types
    if record.types is not None:
        types = {name: (name, definition) for name, definition in record.types.items()}
    elif dataset_types is not None:
        types = {label: (info.name, info.definition) for label, info in dataset_types.items()}
    else:
        raise ValueError(
            f"record {record.id!r} has no types: give them in the record, in types.json beside its file, or by --types"
        )
    return dict(pair for label, pair in types.items() if record.labels is None or label in record.labels)


def self_contained(record: Record, dataset_types: Mapping[str, TypeInfo] | None = None) -> Record:
    """
    A copy with its candidate types ([`types_for`]), whose entities are labelled with their names.

    Raises:
        ValueError: For an entity whose label is not among those types.
    """
    types = types_for(record, dataset_types)
    entities = record.entities
    if record.types is None:
        given = record.dataset_types if dataset_types is None else dataset_types
        names = {label: info.name for label, info in (given or {}).items()}
        entities = [replace(each, label=names.get(each.label, each.label)) for each in entities]
    for each in entities:
        if each.label not in types:
            raise ValueError(f"record {record.id!r} has an entity of {each.label!r}, which is not among its types")
    return replace(record, entities=entities, types=types, labels=None, dataset_types=None)


def _is_labelled(value: Any) -> bool:
    """Whether a value of a types dict has the form of a dataset, with a name or a generic definition, not of a schema."""
    return isinstance(value, TypeInfo) or (isinstance(value, Mapping) and not {"name", "generic"}.isdisjoint(value))
