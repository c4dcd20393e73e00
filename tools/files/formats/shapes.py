"""What readers and writers of JSON share: what they make of a value, and how they speak of one."""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ....schema_jpt import Schema, resolve_schema
from ..model import BadRow, Document, Row
from .offsets import in_characters, trimmed

OWN_TYPES = "entity_types"  # the only key of a row that gives types of its own


class Parsed(NamedTuple):
    """
    One text of a JSON value.

    Args:
        text (`str`), words (`list[str]`, *optional*): As in [`Document`].
        record (`dict` or `str`, *optional*):
            The entities in it, as in [`Document`], or why they cannot be read.
        row (`dict`): The fields to be written back.
        unique_id (`bool`): Whether its id must be unique in its file, as in the project's own records.
    """

    text: str
    words: list[str] | None
    record: dict[str, Any] | str | None
    row: dict[str, Any]
    unique_id: bool = False


def parsed_text(text: Any, mentions: Iterable[Mapping[str, Any]], row: Mapping[str, Any]) -> Parsed:
    """
    A text and its mentions (`start`, `end`, `label` and, if the file has it, `text`) as annotation tools give them.

    Raises:
        ValueError: If the text is not a string.
    """
    if not isinstance(text, str):
        raise ValueError(f"the text should be a text, got {shown(text)}")
    entities = trimmed(text, in_characters(text, [dict(each) for each in mentions]))
    record: dict[str, Any] = {"text": text, "entities": entities}
    if row.get("id") not in (None, ""):
        record["id"] = str(row["id"])
    if row.get(OWN_TYPES) is not None:
        record[OWN_TYPES] = row[OWN_TYPES]
    return Parsed(text, None, record, dict(row))


def types_of_rows(files: bool = True) -> Callable[[Any], Schema | None]:
    """
    A function from what a row has under `OWN_TYPES` to its types, for all rows of a reading. It returns `None` for `null` and
    blank cells, and raises a `ValueError` for what are no types.

    Columns of text have JSON, or the name of a preset. Nulls count as absent: Arrow gives every row the names of all rows.

    Args:
        files (`bool`, *optional*, defaults to `True`): As for [`resolve_schema`].
    """

    @lru_cache(256)  # files often repeat the types on every row
    def resolve(text: str) -> Schema:
        try:
            value = _without_nulls(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{OWN_TYPES}: broken JSON ({error})") from None
        return resolve_schema(value, files=files)

    def types_of(value: Any) -> Schema | None:
        if value is None or isinstance(value, str) and not value.strip():
            return None
        is_json = isinstance(value, str) and value.lstrip().startswith(("{", "["))
        return resolve(value if is_json else json.dumps(value))

    return types_of


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(each) for name, each in value.items() if each is not None}


def with_types(document: Document, types_of: Callable[[Any], Schema | None]) -> Row:
    """The document with the types of its row, read by what [`types_of_rows`] returns, or what is wrong with them."""
    try:
        document.entity_types = types_of(document.row.get(OWN_TYPES))
    except ValueError as error:
        return BadRow(document.line, str(error))
    return document


def with_own(row: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """A row with a value of ours under a name; another that it has under this name keeps a place beside it."""
    other = row.get(name)
    named = {**row, name: value}
    return named if other is None or other == value else {**named, free_name(name, named): other}


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it if it is taken."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    return free


def triples(values: Any, what: str) -> list[dict[str, Any]]:
    """
    Mentions from `[start, end, label]`.

    Raises:
        ValueError: For a value of another form.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{what} should be a list, got {shown(values)}")
    mentions = []
    for each in values:
        if isinstance(each, Mapping) and {"start", "end", "label"} <= each.keys():
            mentions.append({key: each[key] for key in ("start", "end", "label")})
        elif isinstance(each, Sequence) and len(each) == 3:
            mentions.append(dict(zip(("start", "end", "label"), each)))
        else:
            raise ValueError(f"{what} should hold [start, end, label], got {shown(each)}")
    return mentions


def is_list_of_strings(value: Any) -> bool:
    """Whether a JSON value is a list of strings."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    if (
        isinstance(value, (list, tuple))
        and len(value) <= 4
        and not any(isinstance(each, (list, dict)) for each in value)
    ):
        return f"{value!r:.80}"
    if isinstance(value, (list, tuple, Mapping)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r:.80}"
