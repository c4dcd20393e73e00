"""The table of entity types: an HTML component whose value is a schema in the file format, and what it says of it.

The value is what `Schema.to_dict` gives and `resolve_schema` reads, so that the page, the files it imports and exports
and the command line share one form. The rows are drawn by `editor.js`.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from ..schema_jpt import EntityType, Schema, resolve_schema
from ..tools.diagnostics import MAX_WORDS, MIN_WORDS
from ..tools.files.highlight import PALETTE

FOLDER = Path(__file__).parent
MOST_TYPES = 60
EXCLUDES = re.compile(r"\b(not|nor|never|no|except|excluding|without|unless|only)\b", re.IGNORECASE)
EXEMPLIFIES = re.compile(r"\b(such as|for example|for instance|like|including|e\.g\.)|[:\"“]", re.IGNORECASE)
TEMPLATE = (
    '<ol class="jpt-type-list" aria-label="Entity types"></ol>'
    '<button type="button" class="jpt-type-add">+ Add a type</button>'
)


class TypesError(ValueError):
    """The types in the table cannot be used; a sentence for beside the table."""


def type_editor(value: dict[str, Any], elem_id: str, check: Callable[[Any], dict], **options: Any) -> gr.HTML:
    """
    The table as a component. It triggers `input` when a user has changed it.

    Args:
        value (`dict`): A schema in the file format, with colours; see [`document_of`].
        elem_id (`str`): Its id in the page.
        check (`Callable`): [`type_notes`] or a function like it; the table asks it after changes.
        options: As for every `gr.HTML`.
    """
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=script("editor.js"),
        apply_default_css=False,
        elem_id=elem_id,
        server_functions=[check],
        palette=list(PALETTE),
        most_types=MOST_TYPES,
        **options,
    )


@cache
def script(name: str) -> str:
    """The text of a script or style sheet of this folder."""
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
    The schema in the table.

    Raises:
        TypesError: If it is not well-formed.
    """
    try:
        schema = resolve_schema(value)
    except ValueError as error:
        raise TypesError(sentence(error)) from error
    if len(schema) > MOST_TYPES:
        raise TypesError(f"At most {MOST_TYPES} types can be looked for at once on this page.")
    return schema


def sentence(error: Exception | str) -> str:
    """An error message of the library as a sentence for people who do not see its code."""
    text = re.sub(r"^`?entity_types`?: (the )?", "", str(error)).strip()
    text = re.sub(r"^item (\d+)", r"type \1", text)
    text = {"entity_types is empty; give at least one type": "there are no types yet; add one"}.get(text, text)
    return (text[:1].upper() + text[1:]).rstrip(".") + "."


def traits(entity_type: EntityType) -> list[dict[str, Any]]:
    """What a good definition has, whether this one has it, and how to get there."""
    words = len(entity_type.description.split())
    size = "ok" if MIN_WORDS <= words <= MAX_WORDS else "too short" if words < MIN_WORDS else "too long"
    return [
        {
            "label": "length" if size == "ok" else size,
            "met": size == "ok",
            "help": f"{words} words. One or two sentences do best: {MIN_WORDS} to {MAX_WORDS} words.",
        },
        {
            "label": "says what is out",
            "met": bool(EXCLUDES.search(entity_type.definition)),
            "help": "Name the near misses: “Not the company that makes it.”",
        },
        {
            "label": "gives examples",
            "met": bool(entity_type.examples) or bool(EXEMPLIFIES.search(entity_type.definition)),
            "help": "Two or three, of the kind your texts have: “such as Lisbon or New York”.",
        },
    ]


def type_notes(value: Any, warnings: Callable[[Schema], list[Any]]) -> dict[str, Any]:
    """
    What the table shows beside its rows.

    Args:
        value: The table's value, which may be half filled in.
        warnings (`Callable`): Gives objects with `types` (names) and `message` about a list of types.

    Returns:
        `dict`: `error` (a sentence, or empty), `traits` (by row) and `warnings` (by row, lists of sentences).
    """
    try:
        schema_of(value)
        error = ""
    except TypesError as problem:
        error = str(problem)
    entity_types = [_as_type(record) for record in (value or {}).get("entity_types") or ()]
    by_row: list[list[str]] = [[] for _ in entity_types]
    for warning in warnings(entity_types):
        for messages, entity_type in zip(by_row, entity_types):
            if entity_type.name in warning.types:
                messages.append(warning.message)
    return {"error": error, "traits": [traits(each) for each in entity_types], "warnings": by_row}


def _as_type(record: Any) -> EntityType:
    record = record if isinstance(record, dict) else {}
    examples = record.get("examples")
    return EntityType(
        str(record.get("name") or ""),
        str(record.get("definition") or ""),
        examples=tuple(map(str, examples)) if isinstance(examples, (list, tuple)) else (),
    )
