"""Evaluation: a pipeline and labelled records in, scores out, by the zero-shot protocol of UniNER and GLiNER.

Predictions come from the same pipeline that users call; scores from `scoring`.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from ..data.readers import data_name
from ..data.records import (
    Record,
    find_types,
    read_records,
    read_types,
    self_contained,
    token_ranges,
    zero_shot_protocol,
)
from .resampling import bootstrap_interval
from .scoring import Scores, score_spans


def load_dataset(
    path: str | Path, *, limit: int | None = None, types=None, ignore_labels=("misc",), skip_bad: bool = False
) -> list[Record]:
    """
    Records to evaluate on, each with the types to ask for, by the zero-shot protocol (`records.zero_shot_protocol`).

    Args:
        limit (`int`, *optional*): Evaluate on a fixed sample of this many records.
        types (*optional*): As for `records.read_types`; `types.json` beside the file by default.
        ignore_labels (`Sequence[str]`): Labels that are not asked for and whose mentions are dropped.
        skip_bad (`bool`): Leave records out that cannot be used, and warn of them, instead of stopping.

    Raises:
        ValueError: If a record cannot be used, has no types, or there are none.
    """
    dataset_types = find_types(path) if types is None else read_types(types)
    records = read_records(path, types=types, on_error="skip" if skip_bad else "raise")
    records, asked = zero_shot_protocol(records, dataset_types, ignore_labels)
    try:
        records = [self_contained(record, asked) for record in records]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not records:
        raise ValueError(f"{path}: no records to evaluate on")
    if not any(record.types for record in records):
        raise ValueError(f"{path}: no types to ask for are left without {', '.join(map(repr, ignore_labels))}")
    if limit is not None and limit < len(records):
        records = random.Random(0).sample(records, limit)
    return records


def load_datasets(paths: Sequence[str | Path], **options) -> dict[str, list[Record]]:
    """
    Several files as [`load_dataset`] reads them, by their name: `FOLDER/FILE`, or as much more of the path as tells them
    apart.

    Raises:
        ValueError: As [`load_dataset`] does, and for a file that is given twice.
    """
    files = [Path(path).absolute() for path in paths]
    if len(set(files)) < len(files):
        raise ValueError(f"`data` names a file twice: {', '.join(map(str, paths))}")
    parts = [(*file.parent.parts, data_name(file)) for file in files]
    if len(set(parts)) < len(parts):
        parts = [file.parts for file in files]  # They differ in their suffixes.
    length = 2
    while len({each[-length:] for each in parts}) < len(parts):
        length += 1
    names = ["/".join(each[-length:]) for each in parts]
    return {name: load_dataset(path, **options) for name, path in zip(names, paths, strict=True)}


def evaluate(pipeline, records: Sequence[Record], **options) -> tuple[Scores, list[list[dict]]]:
    """
    Tags the records' texts under the records' types and scores the result.

    Args:
        pipeline (`JPTPipeline`): Or any callable with its input items and output.
        options: Further options of the pipeline call.

    Returns:
        `Scores` with a bootstrap interval, and the predictions per record.
    """
    predictions = predict(pipeline, records, **options)
    scores = score_predictions(records, predictions)
    scores.interval = bootstrap_interval(*_spans(records, predictions))
    return scores, predictions


def predict(pipeline, records: Sequence[Record], **options) -> list[list[dict]]:
    """What the pipeline finds in the records' texts under the records' types, by record."""
    items = [{"text": record.text, "entity_types": record.types} for record in records]
    return list(pipeline(items, **options))


def score_predictions(records: Sequence[Record], predictions: Sequence[Sequence[dict]]) -> Scores:
    """`Scores`, without an interval, of what was found in the records' texts."""
    gold, found = _spans(records, predictions)
    tokens = [token_ranges(record.text, record.tokens or record.text.split()) for record in records]
    return score_spans(gold, found, tokens=tokens)


def _spans(records: Sequence[Record], predictions: Sequence[Sequence[dict]]) -> tuple[list, list]:
    gold = [[(each.start, each.end, each.label) for each in record.entities] for record in records]
    found = [[(each["start"], each["end"], each["entity_group"]) for each in spans] for spans in predictions]
    return gold, found
