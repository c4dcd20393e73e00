"""Evaluation: a pipeline and labelled records in, scores out, by the zero-shot protocol of UniNER and GLiNER.

Predictions come from the same pipeline that users call; scores from `scoring`.
"""

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ..data.records import Record, read_records, self_contained, token_ranges
from ..files.opening import data_name, expand
from .scoring import Scores, bootstrap_interval, markdown_report, score_spans


def load_dataset(
    path: str | Path,
    *,
    limit: int | None = None,
    types=None,
    ignore_labels: Sequence[str] = ("misc",),
    skip_bad: bool = False,
    **reading: Any,
) -> list[Record]:
    """
    Records to evaluate on, each with the types to ask for, by the zero-shot protocol (see `records.iter_records`).

    Args:
        limit (`int`, *optional*): Evaluate on a fixed sample of this many records.
        types (*optional*): As for `records.read_types`; `types.json` beside the file by default.
        ignore_labels (`Sequence[str]`): Labels that are not asked for and whose mentions are dropped.
        skip_bad (`bool`): Leave records out that cannot be used, and warn of them, instead of stopping.
        reading: `allow_overlaps`, and how the file is read, as for `records.iter_records`.

    Raises:
        ValueError: If a record cannot be used, has no types, or there are none.
    """
    on_error = "skip" if skip_bad else "raise"
    records = read_records(path, types=types, ignore_labels=ignore_labels, on_error=on_error, **reading)
    try:
        records = [self_contained(record) for record in records]
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
    apart. A pattern stands for many files, a folder for one data set of all that are in it.

    Raises:
        ValueError: As [`load_dataset`] does, and for a file that is given twice.
    """
    paths = [file for path in paths for file in _files(path)]
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


def _files(path: str | Path) -> Sequence[str | Path]:
    return [path] if Path(path).is_dir() else expand(path) or [path]


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


def report_files(output: str | Path) -> tuple[Path, Path]:
    """
    `OUTPUT.json` and `OUTPUT.md`, in a folder that is there by then.

    Raises:
        OSError: If nothing can be written there.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output.parent):
        pass
    return output.with_name(f"{output.name}.json"), output.with_name(f"{output.name}.md")


def write_report(results: dict[str, Scores], output: str | Path, about: dict[str, Any] | None = None) -> None:
    """
    Writes the scores of several datasets as `output.json` and `output.md`, each whole or not at all.

    Args:
        about (`dict`, *optional*): What was scored, and how; goes into the JSON.
    """
    json_file, markdown_file = report_files(output)
    mean = sum(scores.strict.f1 for scores in results.values()) / len(results)
    summary = {
        "mean_strict_f1": mean,
        **(about or {}),
        "datasets": {name: scores.to_dict() for name, scores in results.items()},
    }
    with atomic_file(json_file) as path:
        path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    reports = [summary_table(results), *(markdown_report(scores, name) for name, scores in results.items())]
    with atomic_file(markdown_file) as path:
        path.write_text("\n\n".join(reports) + "\n", encoding="utf-8")


def summary_table(results: dict[str, Scores]) -> str:
    """One row per dataset: strict F1 with its interval, and where it is lost (detection, typing, boundaries)."""
    rows = [
        "| dataset | texts | precision | recall | **F1** | 95 % interval | macro F1 | detection F1 | typing | boundaries |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, scores in results.items():
        low, high = scores.interval or (0.0, 0.0)
        errors = scores.errors
        values = [scores.strict.precision, scores.strict.recall, scores.strict.f1]
        rates = [scores.macro_f1, errors.detection.f1, errors.typing_accuracy, errors.boundary_accuracy]
        rows.append(
            f"| {name} | {scores.texts} | {values[0]:.1%} | {values[1]:.1%} | **{values[2]:.1%}** "
            f"| {low:.1%} to {high:.1%} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |"
        )
    mean = sum(scores.strict.f1 for scores in results.values()) / len(results)
    rows.append(f"| mean | | | | **{mean:.1%}** | | | | | |")
    return "\n".join(rows)
