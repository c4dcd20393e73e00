"""The report of a comparison: measurements in, tables beside those of the paper and plots out."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

from ...atomic_jpt import atomic_file
from ...generative.configuration_generative import DEDUPLICATION
from ..evaluation.resampling import bootstrap_interval
from ..evaluation.scoring import score_spans
from ..tables import markdown_table
from .compare import BASELINES, Comparison, Row, total_failures

MANY = 5  # entities: texts with as many or more are looked at by themselves

# Lu et al. (2024), PaDeLLM-NER: Llama2-7b (English), Baichuan2-7b (Chinese), one A100. Not measured here.
PAPER_DATASETS = ("CoNLL03", "ACE05", "GENIA", "mean of 9")
PAPER = {
    "Table 2, latency in ms": {
        "autoreg-augmented": (992.70, 944.90, 1515.35, 995.50),
        "autoreg-structured": (753.36, 1293.87, 1266.31, 1015.12),
        "padellm (multi)": (229.74, 255.53, 316.90, 223.57),
        "padellm (batch)": (333.89, 498.50, 616.01, 378.40),
    },
    "Table 3, micro F1": {
        "autoreg-augmented": (93.08, 83.04, 70.16, 81.99),
        "autoreg-structured": (91.87, 82.99, 77.90, 82.76),
        "padellm (batch)": (92.52, 85.02, 77.66, 84.79),
    },
    "Table 6, micro F1 by de-duplication and loss": {
        "probability": (92.52, 85.02, 77.66, 85.06),
        "loss ignored": (92.01, 85.18, 73.47, 83.55),
        "none": (92.44, 84.80, 77.54, 84.92),
        "reversed": (92.38, 84.44, 77.38, 84.73),
    },
    "Table 8, generated tokens per sequence": {
        "autoreg-augmented": (33.85, 37.10, 60.50, 35.54),
        "autoreg-structured": (28.36, 49.95, 49.03, 36.48),
        "padellm (batch)": (6.54, 8.29, 10.05, 4.86),
    },
}


def summarize(comparison: Comparison) -> dict[str, Any]:
    """
    All figures of the report, as plain values: latencies in milliseconds, rates as fractions.

    Returns:
        `dict`: `about`; `datasets`, by name (`all` for several together) and system; `by_entities` and `by_types`, mean
        latency by system and number.
    """
    names = list(dict.fromkeys(row.dataset for row in comparison.rows))
    groups = {name: [row for row in comparison.rows if row.dataset == name] for name in names}
    if len(groups) > 1:
        groups["all"] = comparison.rows
    return {
        "about": comparison.about,
        "datasets": {name: _summarize_rows(rows) for name, rows in groups.items()},
        "by_entities": _latency_by(comparison.rows, lambda row: len(row.gold)),
        "by_types": _latency_by(comparison.by_types, lambda row: row.types),
    }


def _summarize_rows(rows: list[Row]) -> dict[str, Any]:
    many = [row for row in rows if len(row.gold) >= MANY]
    systems = list(rows[0].systems)
    return {
        "texts": len(rows),
        "texts_with_many_entities": len(many),
        "entities": sum(len(row.gold) for row in rows),
        "systems": {system: _summarize_system(rows, many, system) for system in systems},
        "speedup": {
            system: {
                baseline: {
                    "all": _mean_latency(rows, baseline) / _mean_latency(rows, system),
                    "many_entities": _mean_latency(many, baseline) / _mean_latency(many, system) if many else None,
                }
                for baseline in _baselines(systems)
                if baseline != system
            }
            for system in systems
        },
    }


def _baselines(systems: Sequence[str]) -> list[str]:
    """The autoregressive systems, and the parallel one without what was added to the paper."""
    return [each for each in (*BASELINES, "padellm (batch), neither") if each in systems]


def _summarize_system(rows: list[Row], many: list[Row], system: str) -> dict[str, Any]:
    latencies = [_latency(row, system) for row in rows]
    lengths = [length for row in rows for length in row.systems[system].lengths]
    gold = [_spans(row.gold) for row in rows]
    scores = {}
    for rule in rows[0].systems[system].found:
        found = [_spans(row.systems[system].found[rule]) for row in rows]
        strict = score_spans(gold, found).strict
        interval = bootstrap_interval(gold, found)
        scores[rule] = {"f1": strict.f1, "precision": strict.precision, "recall": strict.recall, "interval": interval}
    return {
        "latency": {
            "mean": fmean(latencies),
            "p50": _quantile(latencies, 50),
            "p95": _quantile(latencies, 95),
            "mean_many_entities": _mean_latency(many, system) if many else None,
        },
        "tokens_per_sequence": fmean(lengths) if lengths else None,
        "sequences_per_text": len(lengths) / len(rows),
        "failures": dict(total_failures(rows, system)),
        "scores": scores,
        "f1": scores.get("probability", scores.get("none"))["f1"],
    }


def _spans(spans: list) -> list[tuple]:
    return [tuple(each) for each in spans]


def _latency(row: Row, system: str) -> float:
    return 1000 * fmean(row.systems[system].seconds)


def _mean_latency(rows: list[Row], system: str) -> float:
    return fmean(_latency(row, system) for row in rows)


def _quantile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def _latency_by(rows: list[Row], number_of: Callable[[Row], int]) -> dict[str, dict[int, float]]:
    """Mean latency by system and number of something."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(number_of(row), []).append(row)
    systems = rows[0].systems if rows else {}
    return {
        system: {number: _mean_latency(group, system) for number, group in sorted(groups.items())}
        for system in systems
    }


# ------------------------------------------------------------------------------------------------------------- tables


def markdown(summary: dict[str, Any]) -> str:
    """The report as Markdown."""
    about = summary["about"]
    parts = [
        "# JPT and the generative systems, side by side",
        f"Measured in one run: {', '.join(about['device'])}, {about['threads']} threads, torch {about['torch']}, one text "
        f"at a time, every text through every system in changing order, {about['repeats']} time(s). What is read once "
        "for a set of types (JPT's prompt) is read before. Multi mode is the slowest of sequences timed one by one, as "
        "the paper has it, unless there are several devices.",
    ]
    if about.get("gold_output"):
        parts.append(
            "**Outputs of the generative systems are forced to be the gold ones.** Latencies and lengths are those of a "
            "model that makes no mistakes; F1 of these systems says how much of the gold their formats can hold."
        )
    parts += [_overview(name, dataset) for name, dataset in summary["datasets"].items()]
    parts += [_paper_table(title, summary) for title in PAPER]
    return "\n\n".join(parts) + "\n"


def _overview(name: str, dataset: dict[str, Any]) -> str:
    systems = dataset["systems"]
    baselines = _baselines(list(systems))
    head = ["system", "**F1**", "95 % interval", "mean ms", "p50", "p95", f"mean, {MANY}+ entities"]
    head += ["tokens per sequence", "sequences per text"]
    lines = []
    for system, each in systems.items():
        scores = each["scores"].get("probability", each["scores"].get("none"))
        latency, (low, high) = each["latency"], scores["interval"]
        tokens = each["tokens_per_sequence"]
        lines.append(
            [
                system,
                f"**{100 * scores['f1']:.1f}**",
                f"{100 * low:.1f} to {100 * high:.1f}",
                *(_number(latency[key], ".0f") for key in ("mean", "p50", "p95", "mean_many_entities")),
                _number(tokens, ".1f"),
                _number(each["sequences_per_text"] if tokens else None, ".1f"),
            ]
        )
    sections = [
        f"## {name}: {dataset['texts']} texts, {dataset['entities']} entities, {dataset['texts_with_many_entities']} texts "
        f"with {MANY} or more",
        markdown_table(head, lines),
    ]
    if baselines:
        head = ["times faster than", *(f"{each}{when}" for each in baselines for when in ("", f", {MANY}+"))]
        lines = [
            [
                system,
                *(
                    _number(dataset["speedup"][system].get(each, {}).get(when), ".2f")
                    for each in baselines
                    for when in ("all", "many_entities")
                ),
            ]
            for system in systems
        ]
        sections.append(markdown_table(head, lines))
    kinds = sorted({kind for each in systems.values() for kind in each["failures"]})
    if kinds:
        failing = {system: each["failures"] for system, each in systems.items() if each["tokens_per_sequence"]}
        lines = [[system, *(str(failures.get(kind, 0)) for kind in kinds)] for system, failures in failing.items()]
        sections.append(markdown_table(["failures", *(kind.replace("_", " ") for kind in kinds)], lines))
    return "\n\n".join(sections)


def _paper_table(title: str, summary: dict[str, Any]) -> str:
    """A table of the paper, and beside it what was measured."""
    ours = list(summary["datasets"])
    head = ["", *(f"paper: {each}" for each in PAPER_DATASETS), *(f"here: {each}" for each in ours)]
    lines = []
    for row, published in PAPER[title].items():
        here = [_number(_measured(title, row, summary["datasets"][name]["systems"]), ".2f") for name in ours]
        lines.append([row, *(f"{each:.2f}" for each in published), *here])
    return f"## {title}\n\n{markdown_table(head, lines)}"


def _measured(title: str, row: str, systems: dict[str, Any]) -> float | None:
    if title.startswith("Table 6") and row in DEDUPLICATION:
        scores = systems.get("padellm (batch)", {}).get("scores", {})
        return 100 * scores[row]["f1"] if row in scores else None
    if row not in systems:
        return None
    if title.startswith("Table 2"):
        return systems[row]["latency"]["mean"]
    return (
        100 * systems[row]["f1"] if title.startswith(("Table 3", "Table 6")) else systems[row]["tokens_per_sequence"]
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


# -------------------------------------------------------------------------------------------------------------- files


def write_comparison(comparison: Comparison, output: str | Path) -> list[Path]:
    """
    Writes `output.json`, `output.md` and, where matplotlib is installed, the plots `output-entities.svg` and
    `output-types.svg`; each whole or not at all.

    Returns:
        `list[Path]`: What was written.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    summary = summarize(comparison)
    written = [output.with_name(f"{output.name}{suffix}") for suffix in (".json", ".md")]
    with atomic_file(written[0]) as path:
        path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    with atomic_file(written[1]) as path:
        path.write_text(markdown(summary), encoding="utf-8")
    try:
        import matplotlib
    except ImportError:
        return written
    matplotlib.use("svg")
    for part in ("entities", "types"):
        curves = summary[f"by_{part}"]
        if curves:
            path = output.with_name(f"{output.name}-{part}.svg")
            with atomic_file(path) as temporary:
                _plot(curves, part, temporary)
            written.append(path)
    return written


def _plot(curves: dict[str, dict[int, float]], what: str, path: Path) -> None:
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for system, points in curves.items():
        axes.plot(list(points), list(points.values()), marker="o", markersize=3, linewidth=1.2, label=system)
    axes.set(xlabel=f"number of {what}", ylabel="latency per text, ms", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", ncols=3, loc="outside upper center")
    figure.savefig(path, format="svg")
    pyplot.close(figure)
