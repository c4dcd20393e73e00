"""The report of a comparison: figures in, tables next to those of the papers, and plots, out."""

import json
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...generative.configuration_generative import DEDUPLICATION
from ..tables import markdown_table, percent, report_file, write_json_and_markdown
from .compare import SystemComparison
from .mention_errors import ERROR_KINDS, label_errors
from .published import (
    JPT_BACKBONE,
    JPT_BACKBONE_DATASETS,
    PADELLM_DATASETS,
    PADELLM_ERRORS,
    PADELLM_TABLES,
)
from .report_files import number, write_plots
from .summary import MANY, baselines, summarize


def markdown(summary: dict[str, Any]) -> str:
    """The report as Markdown."""
    about = summary["about"]
    parts = [
        "# JPT and the generative systems, side by side",
        f"Measured in one run: {', '.join(about['device'])}, {about['threads']} threads, torch {about['torch']}, one text "
        f"at a time, every text through every system in changing order, {about['repeats']} time(s). What is read once "
        "for a set of types (JPT's prompt) is read before. In multi mode the latency is that of the slowest of sequences "
        "timed one by one, as in the paper, unless there are several devices.",
        "F1 is strict: exact boundaries and type. Mention-set F1 is how PaDeLLM-NER's authors count: sets of strings by text "
        "and label, so that a name that occurs twice counts once.",
    ]
    if about.get("gold_output"):
        parts.append(
            "**Outputs of the generative systems are forced to be the gold ones.** Latencies and lengths are those of a "
            "model that makes no mistakes; F1 of these systems says how much of the gold their formats can hold."
        )
    parts += [_overview(name, dataset) for name, dataset in summary["datasets"].items()]
    parts += [_padellm_table(title, summary) for title in PADELLM_TABLES]
    if "ye2023" in summary["about"].get("systems", ()):
        parts.append(_backbone_table(summary))
    return "\n\n".join(parts) + "\n"


def _overview(name: str, dataset: dict[str, Any]) -> str:
    sections = [
        f"## {name}: {dataset['texts']} texts, {dataset['entities']} entities, {dataset['texts_with_many_entities']} texts "
        f"with {MANY} or more",
        _scores_table(dataset),
        _speedup_table(dataset),
        _failures_table(dataset),
        _errors_table(dataset),
        _several_labels_table(dataset),
    ]
    return "\n\n".join(section for section in sections if section)


def _scores_table(dataset: dict[str, Any]) -> str:
    head = ["system", "**F1**", "95 % interval", "mention-set F1", "mean ms", "p50", "p95", f"mean, {MANY}+ entities"]
    rows = []
    for system, each in dataset["systems"].items():
        scores = each["scores"].get("probability", each["scores"].get("none"))
        latency, tokens = each["latency"], each["tokens_per_sequence"]
        rows.append(
            [
                system,
                f"**{percent(scores['f1'])}**",
                " to ".join(map(percent, scores["interval"])),
                percent(scores["mention_set_f1"]),
                *(number(latency[key], ".0f") for key in ("mean", "p50", "p95", "mean_many_entities")),
                number(tokens, ".1f"),
                number(each["sequences_per_text"] if tokens else None, ".1f"),
            ]
        )
    return markdown_table([*head, "tokens per sequence", "sequences per text"], rows)


def _speedup_table(dataset: dict[str, Any]) -> str:
    against = baselines(list(dataset["systems"]))
    if not against:
        return ""
    head = ["times faster than", *(f"{each}{when}" for each in against for when in ("", f", {MANY}+"))]
    rows = [
        [
            system,
            *(
                number(dataset["speedup"][system].get(each, {}).get(when), ".2f")
                for each in against
                for when in ("all", "many_entities")
            ),
        ]
        for system in dataset["systems"]
    ]
    return markdown_table(head, rows)


def _failures_table(dataset: dict[str, Any]) -> str:
    generating = {name: each["failures"] for name, each in dataset["systems"].items() if each["tokens_per_sequence"]}
    kinds = sorted({kind for failures in generating.values() for kind in failures})
    if not kinds:
        return ""
    rows = [[system, *(failures.get(kind, 0) for kind in kinds)] for system, failures in generating.items()]
    return markdown_table(["failures", *(kind.replace("_", " ") for kind in kinds)], rows)


def _errors_table(dataset: dict[str, Any]) -> str:
    """Figure 4 of PaDeLLM-NER's paper."""
    counting = {name: each["errors"] for name, each in dataset["systems"].items() if "errors" in each}
    if not counting:
        return ""
    head = ["what is wrong (Figure 4)", "labels of texts", *(f"{kind.replace('_', ' ')}, %" for kind in ERROR_KINDS)]
    rows = [
        [system, errors["labels"], *(percent(errors[kind]) for kind in ERROR_KINDS)]
        for system, errors in counting.items()
    ]
    published = [percent(PADELLM_ERRORS[kind]) for kind in ERROR_KINDS]
    note = (
        "The paper's third kind are errors in the gold labels, which only people find (`OUTPUT.errors.jsonl` lists all "
        "errors); here it is what de-duplication or placing in the text has lost."
    )
    table = markdown_table(head, [*rows, ["*paper: ACE05, 50 examples, by hand*", "", *published]])
    return f"{table}\n\n{note}"


def _several_labels_table(dataset: dict[str, Any]) -> str:
    counting = {name: each["several_labels"] for name, each in dataset["systems"].items() if "several_labels" in each}
    if not counting:
        return ""
    keys = ("gold", "predicted", "dropped", "dropped_right")
    head = ["mentions under several labels of a text", "in gold", "predicted", "pairs dropped", "of these right"]
    return markdown_table(head, [[system, *(each[key] for key in keys)] for system, each in counting.items()])


def _padellm_table(title: str, summary: dict[str, Any]) -> str:
    """A table of PaDeLLM-NER's paper, with the measurements next to it."""
    ours = list(summary["datasets"])
    head = ["", *(f"paper: {each}" for each in PADELLM_DATASETS), *(f"here: {each}" for each in ours)]
    rows = []
    for row, published in PADELLM_TABLES[title].items():
        here = [number(_measured(title, row, summary["datasets"][name]["systems"]), ".2f") for name in ours]
        rows.append([row, *(f"{each:.2f}" for each in published), *here])
    return f"## {title}\n\n{markdown_table(head, rows)}"


def _measured(title: str, row: str, systems: dict[str, Any]) -> float | None:
    if title.startswith("Table 6") and row in DEDUPLICATION:
        scores = systems.get("padellm (batch)", {}).get("scores", {})
        return 100 * scores[row]["mention_set_f1"] if row in scores else None
    if row not in systems:
        return None
    if title.startswith("Table 2"):
        return systems[row]["latency"]["mean"]
    if title.startswith(("Table 3", "Table 6")):
        return 100 * systems[row]["mention_set_f1"]
    return systems[row]["tokens_per_sequence"]


def _backbone_table(summary: dict[str, Any]) -> str:
    """Table 11 of JPT's paper: the untrained backbone, prompted with the template of Ye et al. (2023)."""
    ours = list(summary["datasets"])
    head = ["", *(f"paper: {each}" for each in JPT_BACKBONE_DATASETS), *(f"here: {each}" for each in ours)]
    names = {"ye2023": "the backbone, asked", "jpt": "JPT around it"}
    rows = []
    for system, published in JPT_BACKBONE.items():
        here = [summary["datasets"][name]["systems"].get(system, {}).get("f1") for name in ours]
        rows.append([names[system], *published, *("" if each is None else percent(each) for each in here)])
    return f"## JPT's Table 11, strict F1; paper: Qwen3-4B\n\n{markdown_table(head, rows)}"


def write_comparison(comparison: SystemComparison, output: str | Path) -> list[Path]:
    """
    Writes `OUTPUT.json`, `OUTPUT.md`, `OUTPUT.errors.jsonl` (what PaDeLLM got wrong, if it took part) and, where matplotlib
    is installed, the plots `OUTPUT-entities.svg` and `OUTPUT-types.svg`; each whole or not at all.

    Returns:
        `list[Path]`: What was written.
    """
    summary = summarize(comparison)
    written = write_json_and_markdown(output, summary, markdown(summary))
    errors = label_errors(comparison.texts, "padellm (batch)") if _has_padellm(comparison) else []
    if errors:
        file = report_file(output, ".errors.jsonl")
        with atomic_file(file) as path:
            lines = (json.dumps(error, ensure_ascii=False) for error in errors)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(file)
    curves = {part: summary[f"by_{part}"] for part in ("entities", "types")}
    plots = {part: lambda pyplot, part=part: _plot(pyplot, curves[part], part) for part in curves if curves[part]}
    return written + write_plots(output, plots)


def _has_padellm(comparison: SystemComparison) -> bool:
    return bool(comparison.texts) and "padellm (batch)" in comparison.texts[0].systems


def _plot(pyplot, curves: dict[str, dict[int, float]], what: str):
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
    return figure
