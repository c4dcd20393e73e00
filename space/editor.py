"""The table of entity types: an HTML component whose value is a schema in the file format, and the notes on its rows.

The value is what `Schema.to_dict` returns and `resolve_schema` reads, so that the page, the files it imports and exports,
and the command line share one form. `editor.js` draws the rows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from ..schema_jpt import EntityType, Schema, resolve_schema
from ..tools.data.records import is_unicode
from ..tools.diagnostics import MAX_WORDS, MIN_WORDS
from ..tools.files.highlight import PALETTE
from .errors import TypesError, sentence

FOLDER = Path(__file__).parent
MAX_TYPES = 60
MAX_NAME = 80  # characters
MAX_DESCRIPTION = 3000  # characters of a definition and its examples
MAX_WARNINGS = 3  # shown beside one row
EXCLUDES = re.compile(r"\b(not|nor|never|no|except|excluding|without|unless|only)\b", re.IGNORECASE)
EXEMPLIFIES = re.compile(r"\b(such as|for example|for instance|like|including|e\.g\.)|[:\"“]", re.IGNORECASE)
TEMPLATE = (
    '<ol class="jpt-type-list" aria-label="Entity types"></ol>'
    '<button type="button" class="jpt-type-add">+ Add a type</button>'
)


def type_editor(value: dict[str, Any], elem_id: str, check: Callable[[Any], dict], **options: Any) -> gr.HTML:
    """
    Builds the table as a component, which triggers `input` when a user changes it.

    Args:
        value (`dict`): A schema in the file format, with colours; see [`document_of`].
        elem_id (`str`): Its id on the page.
        check (`Callable`): Called by the table after changes; returns what [`type_notes`] returns.
        options: Passed on to `gr.HTML`.
    """
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=script("editor.js"),
        apply_default_css=False,
        elem_id=elem_id,
        server_functions=[check],
        palette=list(PALETTE),
        max_types=MAX_TYPES,
        **options,
    )


@cache
def script(name: str) -> str:
    """The text of a script, style sheet or page fragment in this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def document_of(schema: Schema) -> dict[str, Any]:
    """The table's value for a schema: the file format, with a colour for every type."""
    document = schema.to_dict()
    taken = {record.get("colour") for record in document["entity_types"]}
    unused = [colour for colour in PALETTE if colour not in taken]
    for index, record in enumerate(document["entity_types"]):
        if "colour" not in record:
            record["colour"] = unused.pop(0) if unused else PALETTE[index % len(PALETTE)]
    return document


def schema_of(value: Any) -> Schema:
    """
    Validates the types of a request, which the page limits in number and length.

    Raises:
        TypesError: If they are malformed, exceed the page's limits, or are given as a file, which would be the server's.
    """
    entries = value.get("entity_types", value) if isinstance(value, Mapping) else value
    if not isinstance(entries, str) and isinstance(entries, (Mapping, Sequence)) and len(entries) > MAX_TYPES:
        raise TypesError(f"This page looks for at most {MAX_TYPES} types at once, got {len(entries):,}.")
    try:
        schema = resolve_schema(value, files=False)
    except ValueError as error:
        raise TypesError(sentence(error)) from error
    for each in schema.entity_types:
        if len(each.name) > MAX_NAME:
            raise TypesError(f'The name "{each.name[:20]}…" is too long: {len(each.name):,} characters of {MAX_NAME}.')
        if len(each.description) > MAX_DESCRIPTION:
            raise TypesError(
                f'The definition of "{each.name}" is too long: {len(each.description):,} characters, with its examples, '
                f"of {MAX_DESCRIPTION:,}."
            )
    return schema


def traits(entity_type: EntityType) -> list[dict[str, Any]]:
    """What a good definition has, whether this one has it, and how to add it."""
    words = len(entity_type.description.split())
    size = "ok" if MIN_WORDS <= words <= MAX_WORDS else "too short" if words < MIN_WORDS else "too long"
    return [
        {
            "label": "length" if size == "ok" else size,
            "met": size == "ok",
            "help": f"{words} words. One or two sentences work best: {MIN_WORDS} to {MAX_WORDS} words.",
        },
        {
            "label": "says what is out",
            "met": bool(EXCLUDES.search(entity_type.definition)),
            "help": "Name the near misses: “Not the company that makes it.”",
        },
        {
            "label": "gives examples",
            "met": bool(entity_type.examples) or bool(EXEMPLIFIES.search(entity_type.definition)),
            "help": "Two or three, of the kind found in your texts: “such as Lisbon or New York”.",
        },
    ]


def type_notes(value: Any, diagnose: Callable[[list[EntityType]], list[Any]]) -> dict[str, Any]:
    """
    The notes that the table shows on its rows.

    Args:
        value: The table's value, which may be incomplete, or anything else that a client sends.
        diagnose (`Callable`): Returns objects with `types` (names) and `message` about a list of types.

    Returns:
        `dict`: `error` (a sentence, or empty), `traits` (by row) and `warnings` (by row, lists of sentences). If the
        value is not a table, or exceeds the limits, only the error is filled in.
    """
    try:
        schema_of(value)
        error = ""
    except TypesError as problem:
        error = str(problem)
    entity_types = _rows_as_types(value)
    by_row: list[list[str]] = [[] for _ in entity_types]
    for warning in diagnose(entity_types) if entity_types else ():
        for messages, entity_type in zip(by_row, entity_types):
            if entity_type.name in warning.types:
                messages.append(warning.message)
    return {
        "error": error,
        "traits": [traits(each) for each in entity_types],
        "warnings": [_limited(messages) for messages in by_row],
    }


def _limited(messages: list[str]) -> list[str]:
    more = len(messages) - MAX_WARNINGS
    return messages if more <= 0 else [*messages[:MAX_WARNINGS], f"{more} more warnings like these."]


def _rows_as_types(value: Any) -> list[EntityType]:
    """The rows of the table, possibly incomplete; none if the value is not a table or exceeds the limits."""
    records = value.get("entity_types") if isinstance(value, Mapping) else None
    if not isinstance(records, list) or len(records) > MAX_TYPES:
        return []
    rows = [_as_type(record) for record in records]
    fit = all(len(each.name) <= MAX_NAME and len(each.description) <= MAX_DESCRIPTION for each in rows)
    return rows if fit and all(is_unicode(each.name + each.description) for each in rows) else []


def _as_type(record: Any) -> EntityType:
    record = record if isinstance(record, dict) else {}
    name, definition, examples = (record.get(key) for key in ("name", "definition", "examples"))
    return EntityType(
        name if isinstance(name, str) else "",
        definition if isinstance(definition, str) else "",
        examples=tuple(each for each in examples if isinstance(each, str)) if isinstance(examples, list) else (),
    )
