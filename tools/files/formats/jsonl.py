"""JSON rows with a text: texts to tag, the project's own records, and the output of `jpt-ner tag`. Read and written.

    {"id": ..., "text": ..., "entities": [{"start", "end", "label"}], "types": {name: definition}, "labels", "tokens",
     "language"}

`tag` writes each row as it was read, with `entities` as the pipeline returns them (`entity_group` instead of `label`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model import Document, ReadOptions
from .shapes import OWN_TYPES, Parsed, is_list_of_strings, shown, with_own
from .tags import align
from .writing import Entities, Writer, json_text


def recognises(value: Any, options: ReadOptions) -> bool:
    """Whether it is a row of this format with entities in it."""
    if not isinstance(value, Mapping) or not {options.text_column, "entities"} <= value.keys():
        return False
    entities = value["entities"]
    return not isinstance(entities, list) or not any(
        isinstance(each, Mapping) and "start_offset" in each
        for each in entities  # doccano's
    )


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    The text of a row, and its record.

    Raises:
        ValueError: If there is no text.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"should be a JSON object, got {type(value).__name__}")
    column = options.text_column
    if column not in value:
        keys = ", ".join(map(repr, value)) or "none"
        raise ValueError(f"has no {column!r}; its keys are {keys}; name that of the text: --text-column KEY")
    content = value[column]
    if isinstance(content, str):
        words, text = None, content
    elif is_list_of_strings(content):
        words, text = content, " ".join(content)
    else:
        raise ValueError(f"{column!r} should be a text or a list of words, got {shown(content)}")
    row = {**value, column: text} if words is None or column == "text" else with_own(value, "text", text)
    yield Parsed(text, words, record_of(value, text), row, _has_labels(value))


def record_of(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The record that a row holds, as it stands there; without `entities` if it holds none."""
    keys = ("id", "entities", "types", "labels", "tokens", "language")
    record = {key: row[key] for key in keys if row.get(key) is not None}
    record["text"] = text
    if row.get(OWN_TYPES) is not None:
        record[OWN_TYPES] = row[OWN_TYPES]
    if not _has_labels(row):
        record["id"] = None if row.get("id") in (None, "") else str(row["id"])
        tokens = record.get("tokens")
        if not is_list_of_strings(tokens) or align(text, tokens) is None:
            record["tokens"] = None
    if _is_tagged(row):
        # A row of another program: its keys have their meaning there.
        record |= {"types": None, "labels": None}
        record["entities"] = [
            {**each, "label": each["entity_group"]} if isinstance(each, Mapping) and "entity_group" in each else each
            for each in row["entities"]
        ]
    elif not row.get("entities"):
        if not isinstance(row.get("types"), Mapping):
            record["types"] = None
        if not is_list_of_strings(row.get("labels")):
            record["labels"] = None
    return {key: each for key, each in record.items() if each is not None}


def _is_tagged(row: Mapping[str, Any]) -> bool:
    entities = row.get("entities")
    return isinstance(entities, list) and any(
        isinstance(each, Mapping) and "entity_group" in each for each in entities
    )


def _has_labels(row: Mapping[str, Any]) -> bool:
    entities = row.get("entities")
    return isinstance(entities, list) and any(isinstance(each, Mapping) and "label" in each for each in entities)


# ---- writing --------------------------------------------------------------------------------------------------------


def json_line(document: Document, entities: Entities) -> str:
    """The document's row with its entities, as JSON on one line."""
    return json_text({**document.row, "entities": entities})


@contextmanager
def write(temporary: Path, *_) -> Iterator[Writer]:
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield lambda document, entities: print(json_line(document, entities), file=file)
