"""Would-be records in, everything that is wrong with them out, in words for the person who has to fix it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..files.formats.shapes import is_list_of_strings
from .model import TypeInfo, token_ranges

WAY_OUT = (
    "nested entities are read with `allow_overlaps=True`, --nested of `jpt-ner evaluate`, "
    "or in a recipe `reading: {allow_overlaps: true}`"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Why a record cannot be used, and where it is: lines count from 1, rows of a dataset from 0; `None` if a file has no
    lines.
    """

    source: str
    line: int | None
    id: str | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        name = "" if self.id is None else f"record {self.id!r}: "
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {name}{'; '.join(self.reasons)}"


class Problems(list[Problem]):
    """The records that could not be used, one [`Problem`] each."""

    def summary(self, limit: int = 20) -> str:
        """The number of bad records, and the first `limit` of them, one per line."""
        rest = [f"... and {len(self) - limit} more"] if len(self) > limit else []
        return "\n  ".join([f"{len(self)} record(s) cannot be used:", *map(str, self[:limit]), *rest])


def record_problems(
    data: Any, types: Mapping[str, TypeInfo] | None = None, *, allow_overlaps: bool = False
) -> list[str]:
    """
    Everything that is wrong with a would-be record of the project's format.

    Args:
        data: The JSON value of one line.
        types (`dict[str, TypeInfo]`, *optional*): Types of the dataset, which `labels` and entities may name.
        allow_overlaps (`bool`): Whether entities may overlap; duplicates are errors in any case.

    Returns:
        `list[str]`: Reasons; empty for a good record.
    """
    if not isinstance(data, Mapping):
        return [f"should be a JSON object, got {type(data).__name__}"]
    reasons = [f"key {key!r} is missing" for key in ("id", "text", "entities") if key not in data]
    if reasons:
        return reasons
    text, entities, own, labels = data["text"], data["entities"], data.get("types"), data.get("labels")
    if isinstance(data["id"], bool) or not isinstance(data["id"], (str, int)) or data["id"] == "":
        reasons.append(f"id should be a text that is not empty, got {data['id']!r}")
    if not isinstance(text, str) or not text.strip():
        return [*reasons, f"text should be a text that is not blank, got {text!r}"]
    if not is_unicode(text):
        reasons.append("text holds half of a surrogate pair and is not valid Unicode")

    allowed, found = _allowed_labels(own, labels, types)
    reasons += found
    if not isinstance(entities, list):
        return [*reasons, "entities should be a list"]
    valid = []
    for number, entity in enumerate(entities):
        problem = _entity_problem(entity, text, allowed)
        if problem is None:
            valid.append((entity["start"], entity["end"], entity["label"]))
        else:
            reasons.append(f"entity {number}: {problem}")
    reasons += _overlaps(sorted(valid), allow_overlaps)
    if is_list_of_strings(data.get("tokens")):
        try:
            token_ranges(text, data["tokens"])
        except ValueError as error:
            reasons.append(str(error))
    return reasons


def _allowed_labels(
    own: Any, labels: Any, types: Mapping[str, TypeInfo] | None
) -> tuple[Container[str] | None, list[str]]:
    """The labels that entities may have (`None`: any), and what is wrong with the types."""
    reasons = []
    allowed: Container[str] | None = None if types is None else types.keys()
    if own is not None:
        if isinstance(own, Mapping):
            reasons += [
                f"type {name!r} has no definition"
                for name, definition in own.items()
                if not isinstance(definition, str) or not definition.strip()
            ]
            allowed = own.keys()
        else:
            reasons.append("types should be an object of name to definition")
    if labels is not None:
        if is_list_of_strings(labels):
            if allowed is not None:
                reasons += [f"{each!r} in labels has no definition" for each in labels if each not in allowed]
            allowed = labels
        else:
            reasons.append("labels should be a list of texts")
    return allowed, reasons


def _overlaps(spans: list[tuple[int, int, str]], allowed: bool) -> list[str]:
    """Problems of entities, given in the order of the text, that share characters."""
    if allowed:
        repeated = [one for one, other in pairwise(spans) if one == other]
        return [f"entity {start}-{end} of {label!r} is there twice" for start, end, label in repeated]
    return [
        f"entities {first[0]}-{first[1]} and {second[0]}-{second[1]} overlap ({WAY_OUT})"
        for first, second in pairwise(spans)
        if second[0] < first[1]
    ]


def _entity_problem(entity: Any, text: str, allowed: Container[str] | None) -> str | None:
    if not isinstance(entity, Mapping):
        return "should be an object with start, end and label"
    missing = [key for key in ("start", "end", "label") if key not in entity]
    if missing:
        return f"key {missing[0]!r} is missing"
    start, end, label = entity["start"], entity["end"], entity["label"]
    if type(start) is not int or type(end) is not int:
        return f"start and end should be integers, got {start!r} and {end!r}"
    if not 0 <= start < end <= len(text):
        kind = "is empty" if 0 <= start == end <= len(text) else f"is outside the text of {len(text)} characters"
        return f"{start}-{end} {kind}"
    mention = text[start:end]
    if mention != mention.strip():
        return f"{start}-{end} {mention!r} begins or ends with white space"
    if not isinstance(label, str) or not label:
        return f"label should be a text that is not empty, got {label!r}"
    if allowed is not None and label not in allowed:
        return f"label {label!r} of {mention!r} is not among the types of the record"
    for key in ("text", "word"):
        if key in entity and entity[key] != mention:
            return f"{key} {entity[key]!r} differs from {mention!r} at {start}-{end}"
    return None


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
