"""Label Studio's tasks, and its short JSON-MIN export. Read and written.

Tasks are written with predictions (https://labelstud.io/guide/predictions), for a project whose labels are called `label`
and its text `text`, as in its template. The annotations are read, or else the predictions; a skipped task is not a record.
Offsets count characters as Python does.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model import Document, ReadOptions
from .shapes import Parsed, parsed_text, shown, with_own
from .writing import Entities, Writer, json_text

RESULT_LISTS = ("annotations", "completions", "predictions")  # the second before version 1
MODEL_VERSION = "jpt-ner"


def recognises(value: Any, _: ReadOptions) -> bool:
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("data"), Mapping) or _short_regions(value) is not None


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a key is missing or does not hold what it should.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"should be a JSON object, got {type(value).__name__}")
    if not isinstance(value.get("data"), Mapping):
        key, regions = _short_regions(value) or (None, None)
        if regions is None:
            raise ValueError("should be a task of Label Studio, with 'data' and 'annotations'")
        mentions = [_mention(each, each.get("labels")) for each in regions]
        row = {name: each for name, each in value.items() if name != key}
        yield parsed_text(_text(value, mentions, options), mentions, row)
        return
    result = _result(value)
    mentions = [
        _mention(each["value"], each["value"].get(each.get("type"), each["value"].get("labels")))
        for each in result or []
        if isinstance(each, Mapping) and isinstance(each.get("value"), Mapping) and "start" in each["value"]
    ]
    data = dict(value["data"])
    row = {"id": value["id"], **data} if "id" in value else data
    parsed = parsed_text(_text(data, mentions, options), mentions, row)
    yield parsed if result is not None else parsed._replace(record=None)


def _result(task: Mapping[str, Any]) -> list | None:
    """The regions of the annotation that counts; `None` if the task was skipped or nobody has opened it."""
    for key in RESULT_LISTS:
        given = task.get(key)
        if not isinstance(given, list):
            continue
        valid = [each for each in given if isinstance(each, Mapping) and not each.get("was_cancelled")]
        if valid:
            chosen = next((each for each in valid if each.get("ground_truth")), valid[0])
            result = chosen.get("result", [])
            if not isinstance(result, list):
                raise ValueError(f"'result' should be a list, got {shown(result)}")
            return result
        if given:
            return None
    return None


def _short_regions(value: Mapping[str, Any]) -> tuple[str, list] | None:
    """The key of JSON-MIN's list of regions, which is the name of the labels, and the list."""
    for key, regions in value.items():
        if isinstance(regions, list) and regions:
            if all(isinstance(each, Mapping) and {"start", "end", "labels"} <= each.keys() for each in regions):
                return key, regions
    return None


def _mention(region: Mapping[str, Any], labels: Any) -> dict[str, Any]:
    label = labels[0] if isinstance(labels, list) and len(labels) == 1 else labels
    mention = {"start": region.get("start"), "end": region.get("end"), "label": label}
    return {**mention, "text": region["text"]} if isinstance(region.get("text"), str) else mention


def _text(data: Mapping[str, Any], mentions: list[dict[str, Any]], options: ReadOptions) -> Any:
    """The text in the task's data: the one with its name, the only one, or the one that contains the mentions."""
    for name in (options.text_column, "text"):
        if isinstance(data.get(name), str):
            return data[name]
    texts = [each for each in data.values() if isinstance(each, str)]
    if len(texts) > 1 and mentions:
        texts = [each for each in texts if all(mention.get("text", "") in each for mention in mentions)] or texts
    if len(texts) != 1:
        keys = ", ".join(map(repr, data))
        raise ValueError(f"has no {options.text_column!r} among its data ({keys}); name the text: --text-column KEY")
    return texts[0]


# ---- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def write(temporary: Path, *_) -> Iterator[Writer]:
    divider = "[\n"

    def add(document: Document, entities: Entities) -> None:
        nonlocal divider
        file.write(divider + json_text(_task(document, entities)))
        divider = ",\n"

    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield add
        file.write("\n]\n" if divider != "[\n" else "[]\n")


def _task(document: Document, entities: Entities) -> dict[str, Any]:
    result = [
        {
            "id": f"entity-{number}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "score": entity["score"],
            "value": {
                "start": entity["start"],
                "end": entity["end"],
                "text": document.text[entity["start"] : entity["end"]],
                "labels": [entity["entity_group"]],
            },
        }
        for number, entity in enumerate(entities, 1)
    ]
    data = {key: value for key, value in document.row.items() if key != "entities"}
    return {
        "data": with_own(data, "text", document.text),
        "predictions": [{"model_version": MODEL_VERSION, "result": result}],
    }
