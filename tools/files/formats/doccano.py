"""doccano's exports: `{"text", "label": [[start, end, label]]}`, or with relations, `{"text", "entities": [...]}`.

The first form is written, which doccano imports as "JSONL" for sequence labeling with its columns `text` and `label`.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..model import Document, ReadOptions
from .shapes import Parsed, parsed_text, triples, with_own
from .writing import Entities, Writer, as_triples, json_lines

LABEL_KEYS = ("label", "labels")  # the second in older versions
OFFSETS = {"start_offset", "end_offset", "label"}


def recognises(value: Any, options: ReadOptions) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get(options.text_column, value.get("text")), str):
        return False
    entities = value.get("entities")
    if isinstance(entities, list) and entities:
        return all(isinstance(each, Mapping) and OFFSETS <= each.keys() for each in entities)
    labels = _labels(value)
    # `label` is a list of strings if a text is labelled as a whole.
    return isinstance(labels, list) and all(isinstance(each, list) and len(each) == 3 for each in labels)


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a key is missing or does not hold what it should.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"should be a JSON object, got {type(value).__name__}")
    entities, text = value.get("entities"), value.get(options.text_column, value.get("text"))
    if isinstance(entities, list) and all(isinstance(each, Mapping) and OFFSETS <= each.keys() for each in entities):
        mentions = [
            {"start": each["start_offset"], "end": each["end_offset"], "label": each["label"]} for each in entities
        ]
    else:
        mentions = triples(_labels(value), "'label'")
    row = {key: each for key, each in value.items() if key not in (*LABEL_KEYS, "entities", "relations")}
    yield parsed_text(text, mentions, row)


def _labels(row: Mapping[str, Any]) -> Any:
    return next((row[key] for key in LABEL_KEYS if key in row), None)


# ---- writing --------------------------------------------------------------------------------------------------------


def write(temporary: Path, *_) -> AbstractContextManager[Writer]:
    return json_lines(temporary, _row)


def _row(document: Document, entities: Entities) -> dict[str, Any]:
    old = ("entities", "relations", *(key for key in LABEL_KEYS if isinstance(document.row.get(key), list)))
    row = with_own({key: each for key, each in document.row.items() if key not in old}, "text", document.text)
    return with_own(row, "label", as_triples(entities))
