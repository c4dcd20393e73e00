"""The same texts asked with several definitions of their types: F1 by type and its change, with intervals (Table 8)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...schema_jpt import Schema
from ..tables import markdown_table, percent, write_json_and_markdown
from .evaluate import gold_spans, load_datasets, predicted_spans
from .reports import summary_table
from .resampling import Interval, bootstrap_changes
from .runs import Run, run_model, schema_thresholds
from .scoring import Scores

ALL = "all types"
GIVEN = "given types"


@dataclass(frozen=True)
class Variant:
    """
    One way to define the types.

    Args:
        name (`str`): For tables.
        wording (`str`): As for `evaluate.load_dataset`.
        types (*optional*): As for `evaluate.load_dataset`.
    """

    name: str
    wording: str = "precise"
    types: Any = None


def make_variants(wordings: Sequence[str] | None, types: Sequence[str | Schema] | None) -> list[Variant]:
    """
    Wordings of the data's own types, then schema files, and schemas under the name `GIVEN`.

    Raises:
        ValueError: If one of them is given twice.
    """
    variants = [Variant(wording, wording) for wording in wordings or ()]
    variants += [Variant(GIVEN if isinstance(each, Schema) else each, types=each) for each in types or ()]
    variants = variants or [Variant("precise")]
    names = [variant.name for variant in variants]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]!r} is given twice")
    return variants


@dataclass
class Comparison:
    """
    Runs of one model under several definitions.

    Args:
        runs (`dict[str, Run]`): By name of the variant. Changes are against the first.
        scores (`dict[str, dict[str, Scores]]`): By variant and dataset.
        intervals (`dict[str, dict[str, dict[str, tuple[float, float]]]]`):
            95 % intervals of the changes in F1, by variant, dataset and type (`ALL` for the micro F1).
    """

    runs: dict[str, Run] = field(default_factory=dict)
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)
    intervals: dict[str, dict[str, dict[str, Interval]]] = field(default_factory=dict)


def compare_variants(
    pipeline: Any, paths: Sequence[str | Path], variants: Sequence[Variant], decoder: str = "word", **loading
) -> Comparison:
    """
    Runs a pipeline over the same texts under each variant.

    Args:
        pipeline (`EntityPipeline`): The model.
        paths (`Sequence`): Files of labelled records.
        variants (`Sequence[Variant]`): At least one; the first is what the others are compared with.
        decoder (`str`): How entities are decoded.
        loading: Further options of `evaluate.load_datasets`.

    Raises:
        ValueError: As `evaluate.load_dataset` does, before anything is run.
    """
    loaded = {
        variant: load_datasets(paths, types=variant.types, wording=variant.wording, **loading) for variant in variants
    }
    result = Comparison()
    first = None
    for variant, datasets in loaded.items():
        thresholds = schema_thresholds(variant.types, paths)
        run = run_model(variant.name, pipeline, datasets, decoder=decoder, thresholds=thresholds)
        first = first or run
        result.runs[variant.name] = run
        result.scores[variant.name] = run.scores()
        result.intervals[variant.name] = {name: _intervals(first, run, name) for name in datasets}
    return result


def _intervals(first: Run, run: Run, dataset: str) -> dict[str, Interval]:
    records = run.datasets[dataset]
    labels = list(dict.fromkeys(name for record in records for name in record.types))
    before, after = (predicted_spans(each.predictions[dataset]) for each in (first, run))
    overall, by_label = bootstrap_changes(gold_spans(records), before, after, labels)
    return {ALL: overall, **by_label}


def comparison_tables(comparison: Comparison) -> str:
    """A Markdown table for each dataset: F1 of each type under each variant, and its change against the first."""
    first, *others = comparison.scores
    parts = []
    for dataset, base in comparison.scores[first].items():
        head = ["type", "gold", first]
        for name in others:
            head += [name, "change", "95 % interval"]
        rows = []
        for label in _labels(comparison, dataset):
            gold = base.strict.gold if label == ALL else _support(base, label)
            row = [label, gold, percent(_f1(base, label))]
            for name in others:
                f1 = _f1(comparison.scores[name][dataset], label)
                low, high = comparison.intervals[name][dataset][label]
                row += [percent(f1), f"{100 * (f1 - _f1(base, label)):+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"]
            rows.append(row)
        parts += [f"### {dataset}", markdown_table(head, rows, align_right=True)]
    return "\n\n".join(parts)


def _labels(comparison: Comparison, dataset: str) -> list[str]:
    """`ALL`, then the types, those with the most gold mentions first."""
    first = next(iter(comparison.scores))
    base = comparison.scores[first][dataset]
    labels = [label for label in comparison.intervals[first][dataset] if label != ALL]
    return [ALL, *sorted(labels, key=lambda label: (-_support(base, label), label))]


def _support(scores: Scores, label: str) -> int:
    return scores.per_type[label].gold if label in scores.per_type else 0


def _f1(scores: Scores, label: str) -> float:
    if label == ALL:
        return scores.strict.f1
    return scores.per_type[label].f1 if label in scores.per_type else 0.0


def write_comparison(comparison: Comparison, output: str | Path, about: dict[str, Any]) -> list[Path]:
    """
    Writes `output.json` and `output.md`, each whole or not at all.

    Returns:
        `list[Path]`: The files.
    """
    first = next(iter(comparison.scores))
    document = {
        **about,
        "compared_with": first,
        "variants": {
            name: {
                dataset: {
                    **each.to_dict(),
                    "definitions": dict(
                        pair for record in comparison.runs[name].datasets[dataset] for pair in record.types.items()
                    ),
                    "change_intervals": comparison.intervals[name][dataset],
                }
                for dataset, each in scores.items()
            }
            for name, scores in comparison.scores.items()
        },
    }
    parts = [f"# Definitions compared with “{first}”", comparison_tables(comparison)]
    for name, scores in comparison.scores.items():
        parts += [f"## {name}", summary_table(scores)]
    return write_json_and_markdown(output, document, "\n\n".join(parts) + "\n")
