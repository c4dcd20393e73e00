"""The work of `jpt-ner types tune`: a schema, labelled data and a model in, the schema with thresholds out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...schema_jpt import Schema
from ..tables import markdown_table, percent
from .evaluate import gold_spans, load_dataset, names_in_data, predict, predicted_spans
from .thresholds import MIN_MENTIONS, TunedThresholds, TypeThreshold, tune_thresholds


@dataclass
class Tuning:
    """
    Args:
        schema ([`Schema`]): With the thresholds, if they help.
        tuned ([`TunedThresholds`]): The thresholds, by the names in the data.
        notes (`list[str]`): Notes about the result, in sentences.
    """

    schema: Schema
    tuned: TunedThresholds
    notes: list[str] = field(default_factory=list)


def tune_schema(schema: Schema, data: str | Path, pipeline: Any, decoder: str = "word", **loading) -> Tuning:
    """
    Tunes the thresholds of a schema. They are chosen on flat entities.

    Args:
        schema ([`Schema`]): The types. Their present thresholds are ignored.
        data (`str` or `Path`): A file of records labelled with these types.
        pipeline (`JPTPipeline`): The model.
        decoder (`str`): How entities are decoded.
        loading: Further options of `evaluate.load_dataset`.

    Raises:
        ValueError: If the data cannot be used, or has too few texts.
    """
    records = load_dataset(data, types=schema, **loading)
    names = names_in_data(data, schema.names)
    asked = {name for record in records for name in record.types}
    predictions = predict(pipeline, records, decoder=decoder, show_progress=True)
    scored = [
        [(span, each["score"]) for span, each in zip(spans, found, strict=True)]
        for spans, found in zip(predicted_spans(predictions), predictions, strict=True)
    ]
    try:
        tuned = tune_thresholds(gold_spans(records), scored, [name for name in names.values() if name in asked])
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from None
    notes = list(_notes(schema, names, asked, tuned))
    if tuned.f1_tuned > tuned.f1:
        thresholds = {each.label: each.threshold for each in tuned.types}
        types = tuple(
            replace(each, threshold=thresholds.get(names[each.name], each.threshold)) for each in schema.entity_types
        )
        schema = replace(schema, entity_types=types)
    return Tuning(schema, tuned, notes)


def _notes(schema: Schema, names: dict[str, str], asked: set[str], tuned: TunedThresholds) -> Sequence[str]:
    notes = []
    few = [each.label for each in tuned.types if each.mentions < MIN_MENTIONS]
    if few:
        shared = "none" if tuned.shared is None else f"{tuned.shared:.3f}"
        notes.append(
            f"Fewer than {MIN_MENTIONS} mentions, so the threshold of all types together ({shared}): {', '.join(few)}."
        )
    if left := [name for name in schema.names if names[name] not in asked]:
        notes.append(f"Not annotated in this file, so left as they are: {', '.join(left)}.")
    if tuned.f1_tuned <= tuned.f1:
        notes.append("Thresholds do not help on texts that had no part in choosing them: the schema is left as it is.")
    return notes


def tuning_report(tuning: Tuning) -> str:
    """The thresholds and their gain, in Markdown."""
    tuned = tuning.tuned
    low, high = tuned.interval
    parts = [
        markdown_table(
            ["type", "mentions", "threshold", "from", "F1 without", "F1 with"],
            [_row(each) for each in tuned.types],
            align_right=True,
        ),
        f"All types: F1 {percent(tuned.f1)} without thresholds, {percent(tuned.f1_tuned)} with them (change "
        f"{100 * (tuned.f1_tuned - tuned.f1):+.1f}, 95 % interval {100 * low:+.1f} to {100 * high:+.1f}), each text judged by "
        "thresholds that were chosen without it.",
        *tuning.notes,
    ]
    return "\n\n".join(parts)


def _row(each: TypeThreshold) -> list[Any]:
    threshold = "none" if each.threshold is None else f"{each.threshold:.3f}"
    source = "its mentions" if each.own else "all types"
    return [each.label, each.mentions, threshold, source, percent(each.f1), percent(each.f1_tuned)]
