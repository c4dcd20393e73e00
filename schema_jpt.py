"""Entity types as dicts, lists, schema files or preset names in, a validated `Schema` out.

The only place that decides which entity types are valid, for the pipeline, the command line and the web application alike.
Knows nothing of prompts, encoders or models.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import yaml

from .atomic_jpt import atomic_file
from .presets_jpt import PRESETS
from .source_jpt import SourceDocument, quoted, shown

FILE_SUFFIXES = (".yaml", ".yml", ".json")
SCHEMA_FIELDS = ("name", "version", "description", "entity_types")
TYPE_FIELDS = ("name", "definition", "threshold", "colour", "examples")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
EXPECTED = (
    'a dict of name to definition, a list of names or of {"name", "definition"}, the path of a .yaml, .yml or .json '
    "file, or the name of a preset"
)


@dataclass(frozen=True)
class EntityType:
    """
    One type of span to look for.

    Args:
        name (`str`): Name of the type, returned as `entity_group`.
        definition (`str`): What counts as one, in words.
        threshold (`float`, *optional*): Minimum score, in [0, 1], of a span of this type.
        colour (`str`, *optional*): Background for highlighting, as `"#rrggbb"`.
        examples (`tuple[str]`, *optional*): Typical mentions, appended to what the model reads.
    """

    name: str
    definition: str
    threshold: float | None = None
    colour: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """The text for the encoder and the prompt: the definition, with the examples if there are any."""
        return f"{self.definition} For example: {', '.join(self.examples)}." if self.examples else self.definition


@dataclass(frozen=True)
class Schema:
    """Entity types in the order of the prompt. Built by [`resolve_schema`] or [`load_schema`], which validate."""

    entity_types: tuple[EntityType, ...]
    name: str | None = None
    version: str | None = None
    description: str | None = None

    def __len__(self) -> int:
        return len(self.entity_types)

    @property
    def names(self) -> list[str]:
        return [entity_type.name for entity_type in self.entity_types]

    @property
    def descriptions(self) -> list[str]:
        return [entity_type.description for entity_type in self.entity_types]

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds by name, for types that have one."""
        return {each.name: each.threshold for each in self.entity_types if each.threshold is not None}

    def to_dict(self) -> dict[str, Any]:
        """The schema in the file format: plain values, without absent fields. [`resolve_schema`] reads it back."""
        document = {key: value for key, value in vars(self).items() if key in SCHEMA_FIELDS[:3] and value is not None}
        document["entity_types"] = [
            {
                field: list(value) if field == "examples" else value
                for field, value in asdict(each).items()
                if value not in (None, ())
            }
            for each in self.entity_types
        ]
        return document


def resolve_schema(value: Any, files: bool = True) -> Schema:
    """
    Reads entity types in any form that users may give.

    Args:
        value:
            A dict of name to definition (or to a dict of `definition`, `threshold`, `colour`, `examples`), a list of
            names (each its own definition), dicts or [`EntityType`], a dict in the file format, a [`Schema`], the
            path of a schema file, or the name of a preset in `presets_jpt`.
        files (`bool`, *optional*, defaults to `True`):
            Whether a string or path may name a schema file, which is then read. Set it to `False` for values of strangers.

    Returns:
        [`Schema`]: With names stripped and definitions on one line.

    Raises:
        ValueError: If the value has none of these forms; the message names the type and the field at fault.
    """
    if isinstance(value, os.PathLike) or isinstance(value, str) and value.lower().endswith(FILE_SUFFIXES):
        if not files:
            raise ValueError("entity_types: give the types themselves or the name of a preset; no file is read here")
        return load_schema(Path(value))
    if isinstance(value, str):
        return _load_preset(value)
    document: Mapping[str, Any]
    if hasattr(value, "entity_types"):
        document = {field: getattr(value, field) for field in SCHEMA_FIELDS}
    elif isinstance(value, Mapping) and not isinstance(value.get("entity_types", ""), str):
        document = value
    else:
        document = {"entity_types": value}
    return _validated_schema(document, SourceDocument())


def load_schema(path: str | Path) -> Schema:
    """
    Reads a schema file.

    Args:
        path (`str` or `Path`): A `.yaml`, `.yml` or `.json` file with the keys `entity_types` and, optionally, `name`,
            `version`, `description`. `entity_types` takes the same lists and dicts as [`resolve_schema`].

    Raises:
        ValueError: If there is no such file, or with `FILE:LINE: ` in front for anything wrong in it.
    """
    path = check_schema_path(path)
    if not os.path.isfile(path):
        raise ValueError(f"schema file not found: {path}")
    source = SourceDocument(path)
    document = source.read()
    if document is None:
        raise source.error_at(1, "the file is empty; it needs entity_types")
    return _validated_schema(document, source)


def save_schema(schema: Any, path: str | Path) -> None:
    """
    Writes a schema file, YAML or JSON by suffix. A file of that name is replaced atomically.

    Args:
        schema ([`Schema`], or anything [`resolve_schema`] takes): The types, validated before writing.
        path (`str` or `Path`): A `.yaml`, `.yml` or `.json` file in an existing folder.
    """
    path = check_schema_path(path)
    document = resolve_schema(schema).to_dict()
    if path.suffix.lower() == ".json":
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    else:
        text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=110)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def list_presets() -> dict[str, str]:
    """Descriptions by name of the presets that [`resolve_schema`] knows."""
    return {name: document.get("description", "") for name, document in sorted(PRESETS.items())}


def check_schema_path(path: str | Path) -> Path:
    """
    The path of a schema file.

    Raises:
        ValueError: If its suffix is not one of `FILE_SUFFIXES`.
    """
    path = Path(path)
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise ValueError(f"a schema file ends in .yaml, .yml or .json, got {str(path)!r}")
    return path


def _load_preset(name: str) -> Schema:
    if name not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        raise ValueError(f"entity_types: unknown preset {name[:80]!r} (presets: {known}); expected {EXPECTED}")
    return _validated_schema(PRESETS[name], SourceDocument())


def _validated_schema(document: Any, source: SourceDocument) -> Schema:
    if not isinstance(document, Mapping):
        raise source.error((), f"a schema is a mapping with the key entity_types, got {_shown(document)}")
    for key in document:
        if key not in SCHEMA_FIELDS:
            raise source.error(
                (key,), f"unknown key {quoted(key)} in the schema; known keys: {', '.join(SCHEMA_FIELDS)}"
            )
    if "entity_types" not in document:
        raise source.error((), "the schema has no entity_types")
    about = {key: document[key] for key in SCHEMA_FIELDS[:3] if document.get(key) is not None}
    about = {key: _text(value, key, source, (key,)) for key, value in about.items()}
    entity_types: list[EntityType] = []
    seen: dict[str, str] = {}
    for where, position, record in _type_records(document["entity_types"], source):
        entity_type = _validated_type(record, position, source, where)
        name = entity_type.name
        folded = " ".join(name.casefold().split())
        if folded in seen:
            message = f"{quoted(name)} repeats {quoted(seen[folded])}; names must differ by more than case and spaces"
            raise source.error(where, f"entity_types: {message}")
        seen[folded] = name
        entity_types.append(entity_type)
    if not entity_types:
        raise source.error(("entity_types",), "entity_types is empty; give at least one type")
    return Schema(tuple(entity_types), **about)


def _type_records(value: Any, source: SourceDocument) -> Iterator[tuple[tuple, int, Mapping]]:
    """For each type of a dict or list, where it was written, its number, and its fields as a mapping."""
    root = ("entity_types",)
    if isinstance(value, Mapping):
        for position, (name, details) in enumerate(value.items(), start=1):
            where = (*root, name)
            if not isinstance(details, Mapping):
                details = {"definition": details}
            elif "name" in details:
                raise source.error(
                    (*where, "name"), f'entity_types: {quoted(name)} has its name as key, so no field "name"'
                )
            yield where, position, {"name": name, **details}
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        for index, item in enumerate(value):
            where = (*root, index)
            if isinstance(item, str):
                item = {"name": item, "definition": item}
            elif hasattr(item, "definition"):
                item = {field: getattr(item, field) for field in TYPE_FIELDS}
            elif not isinstance(item, Mapping):
                message = f"item {index + 1} must be a name or have name and definition, got {_shown(item)}"
                raise source.error(where, f"entity_types: {message}")
            yield where, index + 1, item
    else:
        raise source.error(root, f"entity_types: expected {EXPECTED}; got {_shown(value)}")


def _validated_type(record: Mapping, position: int, source: SourceDocument, where: tuple) -> EntityType:
    name = record.get("name")
    if name is None:
        raise source.error(where, f"entity_types: item {position} has no name")
    _text(name, f"entity_types: item {position}: name", source, (*where, "name"))
    name = name.strip()
    label = f"entity_types: {quoted(name)}"
    if len(name.splitlines()) > 1:
        raise source.error((*where, "name"), f"entity_types: the name {shown(name)} must be on one line")

    def error(field: str, message: str) -> ValueError:
        return source.error((*where, field), f"{label}{message}")

    for field in record:
        if field not in TYPE_FIELDS:
            raise error(field, f" has an unknown field {quoted(field)}; known fields: {', '.join(TYPE_FIELDS)}")

    definition = record.get("definition")
    if definition is None or isinstance(definition, str) and not definition.strip():
        state = "an empty" if "definition" in record else "no"
        raise error("definition", f" has {state} definition; describe in words what counts as one")
    definition = _text(definition, f"{label}: definition", source, (*where, "definition"))
    threshold = record.get("threshold")
    if threshold is not None:
        if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 <= threshold <= 1:  # type: ignore[operator]
            raise error("threshold", f": threshold must be a number from 0 to 1, got {_shown(threshold)}")
        threshold = float(threshold)
    colour = record.get("colour")
    if colour is not None and not (isinstance(colour, str) and COLOUR.fullmatch(colour)):
        raise error("colour", f': colour must look like "#ffcc00", got {_shown(colour)}')
    examples = () if record.get("examples") is None else record["examples"]
    if not isinstance(examples, (list, tuple)):
        raise error("examples", f": examples must be a list of texts, got {_shown(examples)}")
    examples = tuple(
        _text(example, f"{label}: examples: item {index + 1}", source, (*where, "examples", index))
        for index, example in enumerate(examples)
    )
    return EntityType(name, definition, threshold, colour, examples)


def _text(value: Any, label: str, source: SourceDocument, where: tuple) -> str:
    """The text on one line, without the line breaks of the file or code."""
    if not isinstance(value, str):
        remedy = "" if source.path is None else "; put it in quotes"
        raise source.error(where, f"{label} must be text, got {_shown(value)}{remedy}")
    text = " ".join(value.split())
    if not text:
        raise source.error(where, f"{label} is empty")
    if re.search("[\ud800-\udfff]", text):
        raise source.error(where, f"{label} holds half a character (a lone surrogate)")
    return text


def _shown(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, str):
        return f"{value[:80]!r} ({kind})"
    return f"'{shown(value)}' ({kind})" if isinstance(value, Real) else kind
