"""Figures of a comparison: measured texts in; latencies, speed-ups, scores and errors by dataset and system out."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, quantiles
from typing import Any

from ..evaluation.resampling import bootstrap_interval
from ..evaluation.scoring import score_spans
from .compare import BASELINES, MeasuredText, SystemComparison
from .mention_errors import error_shares, label_errors, mention_set_score, several_labels

MANY = 5  # entities: texts with at least this many are also reported separately


def summarize(comparison: SystemComparison) -> dict[str, Any]:
    """
    All figures of the report, as plain values: latencies in milliseconds, rates as fractions.

    Returns:
        `dict`: `about`; `datasets`, by name (`all` for several together) and system; `by_entities` and `by_types`, mean
        latency by system and number.
    """
    names = list(dict.fromkeys(text.dataset for text in comparison.texts))
    groups = {name: [text for text in comparison.texts if text.dataset == name] for name in names}
    if len(groups) > 1:
        groups["all"] = comparison.texts
    return {
        "about": comparison.about,
        "datasets": {name: _summarize_texts(texts) for name, texts in groups.items()},
        "by_entities": _latency_by(comparison.texts, lambda text: len(text.gold)),
        "by_types": _latency_by(comparison.by_types, lambda text: text.types),
    }


def baselines(systems: Sequence[str]) -> list[str]:
    """The autoregressive systems, and the parallel one without what this project adds to the paper's."""
    return [each for each in (*BASELINES, "padellm (batch), neither") if each in systems]


def _summarize_texts(texts: list[MeasuredText]) -> dict[str, Any]:
    many = [text for text in texts if len(text.gold) >= MANY]
    systems = list(texts[0].systems)
    return {
        "texts": len(texts),
        "texts_with_many_entities": len(many),
        "entities": sum(len(text.gold) for text in texts),
        "systems": {system: _summarize_system(texts, many, system) for system in systems},
        "speedup": {
            system: {
                baseline: {
                    "all": _mean_latency(texts, baseline) / _mean_latency(texts, system),
                    "many_entities": _mean_latency(many, baseline) / _mean_latency(many, system) if many else None,
                }
                for baseline in baselines(systems)
                if baseline != system
            }
            for system in systems
        },
    }


def _summarize_system(texts: list[MeasuredText], many: list[MeasuredText], system: str) -> dict[str, Any]:
    outputs = [text.systems[system].output for text in texts]
    latencies = [_latency(text, system) for text in texts]
    lengths = [length for output in outputs for length in output.lengths]
    failures: Counter[str] = Counter()
    for output in outputs:
        failures.update(output.failures)
    scores = {rule: _scores(texts, system, rule) for rule in outputs[0].found}
    main = scores.get("probability", scores.get("none"))
    summary = {
        "latency": {
            "mean": fmean(latencies),
            "p50": _quantile(latencies, 50),
            "p95": _quantile(latencies, 95),
            "mean_many_entities": _mean_latency(many, system) if many else None,
        },
        "tokens_per_sequence": fmean(lengths) if lengths else None,
        "sequences_per_text": len(lengths) / len(texts),
        "failures": dict(failures),
        "scores": scores,
        "f1": main["f1"],
        "mention_set_f1": main["mention_set_f1"],
    }
    if any(output.counts for output in outputs):
        errors = label_errors(texts, system)
        summary |= {"errors": {"labels": len(errors), **error_shares(errors)}}
        summary |= {"several_labels": several_labels(texts, system)}
    return summary


def _scores(texts: list[MeasuredText], system: str, rule: str) -> dict[str, Any]:
    gold = [[tuple(each) for each in text.gold] for text in texts]
    found = [[tuple(each) for each in text.systems[system].output.found[rule]] for text in texts]
    strict = score_spans(gold, found).strict
    return {
        "f1": strict.f1,
        "precision": strict.precision,
        "recall": strict.recall,
        "interval": bootstrap_interval(gold, found),
        "mention_set_f1": mention_set_score(texts, system, rule).f1,
    }


def _latency(text: MeasuredText, system: str) -> float:
    return 1000 * fmean(text.systems[system].seconds)


def _mean_latency(texts: list[MeasuredText], system: str) -> float:
    return fmean(_latency(text, system) for text in texts)


def _quantile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def _latency_by(texts: list[MeasuredText], number_of: Callable[[MeasuredText], int]) -> dict[str, dict[int, float]]:
    """Mean latency by system and number of something."""
    groups: dict[int, list[MeasuredText]] = {}
    for text in texts:
        groups.setdefault(number_of(text), []).append(text)
    systems = texts[0].systems if texts else {}
    return {
        system: {number: _mean_latency(group, system) for number, group in sorted(groups.items())}
        for system in systems
    }
