"""Predictions of any system as JSON lines: read for labelled records, and written.

A line is `{"id", "entities"}`, as `jpt-ner tag` and [`write_predictions`] write it. Each entity has `start`, `end` and a
label (`entity_group`, `label` or `type`), and may have a `score`. Systems without offsets give `word` or `text` and a label,
or `[label, mention]`: the n-th mention of a string is then its n-th occurrence. Predictions that do not belong to the
records are refused.
"""

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...generative.formats import Mention
from ...generative.parsing import locate
from ..data.records import Record
from ..files.formats.json_values import json_values
from ..files.model import BadRow
from ..files.opening import open_source

Entities = list[dict[str, Any]]
ENTITIES_KEYS = ("entities", "predictions", "pred")
LABEL_KEYS = ("entity_group", "label", "type")
WORD_KEYS = ("word", "text", "mention")


def write_predictions(
    path: str | Path, datasets: Mapping[str, Sequence[Record]], predictions: Mapping[str, Sequence[Entities]]
) -> None:
    """Writes predictions by dataset and record; [`read_predictions`] reads them back."""
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for name, records in datasets.items():
            for record, entities in zip(records, predictions[name], strict=True):
                row = {"dataset": name, "id": record.id, "text": record.text, "entities": entities}
                print(json.dumps(row, ensure_ascii=False), file=file)


def read_predictions(
    path: str | Path,
    datasets: Mapping[str, Sequence[Record]],
    labels: Mapping[str, Mapping[str, str]] | None = None,
    ignore_labels: Sequence[str] = ("misc",),
) -> dict[str, list[Entities]]:
    """
    Reads predictions for records.

    Args:
        path (`str` or `Path`): JSON lines, or one JSON list. Lines of other records are ignored.
        datasets (`Mapping[str, Sequence[Record]]`): The records by dataset. With several datasets lines may say which
            `dataset` they belong to.
        labels (`Mapping[str, Mapping[str, str]]`, *optional*): By dataset, other labels that the file may use, to names of
            types. A label that is itself the name of a type asked for stays as it is.
        ignore_labels (`Sequence[str]`): Labels whose predictions are dropped.

    Returns:
        `dict[str, list[list[dict]]]`: Entities as the pipeline gives them, by dataset and record; `score` is `None` where
        the file has none.

    Raises:
        ValueError: With `FILE:LINE: ` in front for a line that cannot be read or has another text; if records have no line,
            or no label is among the types, so that the predictions are for another data set.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"predictions not found: {path}")
    rows = _rows_by_id(path)
    _check_complete(path, rows, datasets)
    predictions: dict[str, list[Entities]] = {name: [] for name in datasets}
    lost: list[str] = []
    for name, records in datasets.items():
        for record in records:
            line, row = rows.get((name, record.id)) or rows[None, record.id]
            try:
                entities = _entities(row, record, (labels or {}).get(name, {}), lost)
            except ValueError as error:
                raise ValueError(f"{path}:{line}: record {record.id!r}: {error}") from None
            predictions[name].append([each for each in entities if each["entity_group"] not in ignore_labels])
    _check_found(path, lost, predictions)
    _check_labels(path, datasets, predictions)
    return predictions


def _rows_by_id(path: Path) -> dict[tuple[str | None, str], tuple[int, dict]]:
    """Lines with their numbers, by dataset (`None` if a line names none) and id."""
    rows: dict[tuple[str | None, str], tuple[int, dict]] = {}
    for each in json_values(open_source(path)):
        if isinstance(each, BadRow):
            raise ValueError(f"{path}:{each.line}: {each.reason}")
        line, row = each
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{line}: expected an object with `id` and `entities`, got {type(row).__name__}")
        if not isinstance(row.get("id"), (str, int)):
            raise ValueError(f"{path}:{line}: no `id`: predictions are matched with records by their ids")
        key = (row.get("dataset"), str(row["id"]))
        if key in rows:
            raise ValueError(f"{path}:{line}: the id {key[1]!r} is that of line {rows[key][0]} too")
        rows[key] = line, row
    return rows


def _check_complete(path: Path, rows: dict, datasets: Mapping[str, Sequence[Record]]) -> None:
    for name, records in datasets.items():
        lacking = [each.id for each in records if (name, each.id) not in rows and (None, each.id) not in rows]
        if lacking:
            share = "none" if len(lacking) == len(records) else f"only {len(records) - len(lacking)}"
            raise ValueError(
                f"{path} holds predictions of another data set: {share} of the {len(records)} texts of {name} has a line "
                f"there (the first without one: {lacking[0]!r})"
            )


def _check_found(path: Path, lost: Sequence[str], predictions: Mapping[str, Sequence[Entities]]) -> None:
    if not lost:
        return
    shown = ", ".join(map(repr, lost[:3]))
    if not any(map(any, predictions.values())):
        raise ValueError(
            f"{path} holds predictions of another data set: none of its mentions, such as {shown}, occurs in its text"
        )
    warnings.warn(
        f"{path}: {len(lost)} mentions do not occur in their texts, or not so often, and are left out: {shown}",
        stacklevel=3,
    )


def _check_labels(
    path: Path, datasets: Mapping[str, Sequence[Record]], predictions: Mapping[str, Sequence[Entities]]
) -> None:
    total, unknown = 0, Counter[str]()
    for name, records in datasets.items():
        for record, entities in zip(records, predictions[name], strict=True):
            total += len(entities)
            unknown.update(each["entity_group"] for each in entities if each["entity_group"] not in record.types)
    if not unknown:
        return
    listed = ", ".join(f"{label!r} ({count})" for label, count in unknown.most_common(5))
    if unknown.total() == total:
        asked = dict.fromkeys(name for records in datasets.values() for record in records for name in record.types)
        raise ValueError(
            f"{path} holds predictions of another data set: none of its labels, such as {listed}, is among the types asked "
            f"for, such as {', '.join(map(repr, list(asked)[:5]))}"
        )
    warnings.warn(
        f"{path}: {unknown.total()} of {total} predictions have labels that were not asked for: {listed}", stacklevel=3
    )


def _entities(row: Mapping[str, Any], record: Record, labels: Mapping[str, str], lost: list[str]) -> Entities:
    """The entities of a line that can be placed in the text; the words of others go to `lost`."""
    if isinstance(row.get("text"), str) and row["text"] != record.text:
        raise ValueError(
            f"predictions of another text: it begins {row['text'][:40]!r} there, and {record.text[:40]!r} in the data"
        )
    values = next((row[key] for key in ENTITIES_KEYS if key in row), None)
    if not isinstance(values, list):
        raise ValueError("expected a list of `entities`")
    entities = [_entity(value, record, labels) for value in values]
    unplaced = [each for each in entities if each["start"] is None]
    located = locate([Mention(each["entity_group"], each["word"]) for each in unplaced], record.text)
    for each, span in zip(unplaced, located.spans, strict=True):
        if span is None:
            lost.append(each["word"])
        else:
            each["start"], each["end"] = span
    placed = [each for each in entities if each["start"] is not None]
    return sorted(placed, key=lambda each: (each["start"], each["end"]))


def _entity(value: Any, record: Record, labels: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value):
        value = {"label": value[0], "word": value[1]}
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an entity as an object or as [label, mention], got {value!r}")
    label = next((value[key] for key in LABEL_KEYS if isinstance(value.get(key), str)), None)
    if label is None:
        raise ValueError(f"an entity has no label (`{'`, `'.join(LABEL_KEYS)}`): {value!r}")
    word = next((value[key] for key in WORD_KEYS if isinstance(value.get(key), str)), None)
    start, end = value.get("start"), value.get("end")
    if start is None and end is None and word is not None:
        pass  # to be searched for
    elif type(start) is not int or type(end) is not int or not 0 <= start < end <= len(record.text):
        raise ValueError(f"{start!r} to {end!r} is no span of the text of {len(record.text)} characters")
    elif word is not None and record.text[start:end] != word:
        raise ValueError(f"{word!r} was predicted at {start} to {end}, where the data has {record.text[start:end]!r}")
    score = value.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, Real)):
        raise ValueError(f"a score should be a number, got {score!r}")
    entity = {
        "entity_group": label if label in record.types else labels.get(label, label),
        "score": None if score is None else float(score),
        "word": record.text[start:end] if start is not None else word,
        "start": start,
        "end": end,
    }
    if isinstance(value.get("alternatives"), list):
        entity["alternatives"] = value["alternatives"]
    return entity
