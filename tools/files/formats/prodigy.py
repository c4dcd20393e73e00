"""Prodigy's exports: `{"text", "spans": [{"start", "end", "label"}], "answer": "accept"}`.

Rejected or ignored examples are not records. Tasks are written without answers, for `ner.manual` to start from.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..model import Document, ReadOptions
from .shapes import Parsed, parsed_text, shown, with_own
from .writing import Entities, Writer, json_lines

ANSWERS = ("accept", "reject", "ignore")


def recognises(value: Any, options: ReadOptions) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
        return False
    spans = value.get("spans")
    if isinstance(spans, list):
        return all(isinstance(each, Mapping) and {"start", "end"} <= each.keys() for each in spans)
    return value.get("answer") in ANSWERS


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a key does not hold what it should.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"should be a JSON object, got {type(value).__name__}")
    spans = value.get("spans", [])
    if not isinstance(spans, list) or not all(isinstance(each, Mapping) for each in spans):
        raise ValueError(f"'spans' should be a list of objects, got {shown(spans)}")
    mentions = [{key: each[key] for key in ("start", "end", "label", "text") if key in each} for each in spans]
    row = {key: each for key, each in value.items() if key not in ("spans", "tokens")}
    parsed = parsed_text(value.get("text"), mentions, row)
    is_left_out = value.get("answer") in ANSWERS[1:]
    yield parsed._replace(record=None) if is_left_out else parsed


# ---- writing --------------------------------------------------------------------------------------------------------


def write(temporary: Path, *_) -> AbstractContextManager[Writer]:
    return json_lines(temporary, _task)


def _task(document: Document, entities: Entities) -> dict[str, Any]:
    old = ("entities", "spans", "tokens")
    kept = {key: each for key, each in document.row.items() if key not in old}
    if kept.get("answer") not in ANSWERS:
        kept = with_own(kept, "answer", None)
    del kept["answer"]
    spans = [
        {"start": each["start"], "end": each["end"], "label": each["entity_group"], "text": each["word"]}
        for each in entities
    ]
    return {**with_own(kept, "text", document.text), "spans": spans}
