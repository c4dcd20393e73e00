"""Measurements of `speed` in, JSON, Markdown tables and plots out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..tables import markdown_table, report_file, write_json_and_markdown
from .gliner_system import GLINER_SYSTEMS
from .published import JPT_COST_PRICE, JPT_COST_TEXTS, JPT_COSTS
from .report_files import number, spread, write_plots

MEGABYTE = 2**20
NOTES = {
    "jpt-naive": "plain attention, one text at a time, whole prompt each time",
    "jpt-single": "one text at a time, prompt kept",
    "jpt-batch": "default: packed, prompt kept",
    "jpt-open": "as `jpt-batch`, texts read once",
    "autoregressive": "same backbone, `generate`, gold output length",
    "autoregressive-batch": "the same, padded batches",
    "padellm": "same backbone, PaDeLLM-NER, gold outputs",
    "encoder": "`token-classification`, BERT-base size, fixed labels",
    **dict.fromkeys(GLINER_SYSTEMS, "its library, random weights of the published size"),
}


def write(result: Mapping[str, Any], output: str | Path) -> list[Path]:
    """
    Writes `OUTPUT.json`, `OUTPUT.md` and `OUTPUT-*.svg`, each whole or not at all. Sections of an earlier report that are
    not measured now are kept.

    Returns:
        The files.
    """
    file = report_file(output, ".json")
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    # Each section keeps the machine and settings it was measured with.
    machine = result["machine"]
    sections = {name: {**section, "machine": machine} for name, section in result.items() if name != "machine"}
    sections = {**earlier, **sections}
    plots = write_plots(
        output,
        {
            name: lambda pyplot, name=name, draw=draw: draw(pyplot, _without_machine(sections[name]))
            for name, draw in PLOTS.items()
            if name in sections
        },
    )
    return write_json_and_markdown(output, sections, markdown(sections, [plot.name for plot in plots])) + plots


def _without_machine(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in section.items() if name != "machine"}


def markdown(sections: Mapping[str, Any], plots: list[str] = ()) -> str:
    """The report. Numbers are medians, with quartiles in brackets if there are several turns."""
    writers = {
        "compare": _compare,
        "definitions": _definitions,
        "curves": _curves,
        "precision": _precision,
        "profile": _profile,
        "full": _full,
    }
    parts = ["# Speed", "Medians; quartiles in brackets. Ratios are taken turn by turn within one run."]
    for name, writer in writers.items():
        if name in sections:
            parts += [f"## {name.capitalize()}", _machine(sections[name]["machine"]), writer(sections[name])]
    parts += [f"![{name}]({name})" for name in plots]
    return "\n\n".join(parts) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    rates = machine["operations_per_second"]
    texts = machine["texts"]
    return (
        f"{machine['device']}; torch {machine['torch']}, {machine['dtype']}; matrix products at "
        f"{rates['square'] / 1e9:.0f} GFLOP/s (best square), {rates['layers'] / 1e9:.0f} (the backbone's own layers). "
        f"Texts: {texts['source']}, {machine['tokens_per_text']['median']:.0f} tokens "
        f"each (median), {texts['per_turn']} a turn, {texts['rounds']} turns; {machine['types']} types, prompt of "
        f"{machine['prompt_tokens']} tokens."
    )


def _megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / MEGABYTE:.0f}"


def _compare(section: Mapping[str, Any]) -> str:
    rows = []
    for name, found in section.items():
        if name == "machine":
            continue
        rows.append(
            [
                name,
                NOTES.get(name, ""),
                f"{(found['parameters'] - found['embeddings']) / 1e6:.0f} M",
                str(found["batch_size"]),
                spread(found["milliseconds_per_text"]),
                spread(found.get("times_jpt-single"), 2),
                spread(found.get("times_jpt-batch"), 2),
                _megabytes(found["peak_bytes_above_model"]),
            ]
        )
    header = ["system", "", "parameters without embeddings", "batch", "ms per text", "× jpt-single", "× jpt-batch"]
    parts = [markdown_table([*header, "peak MB above the model"], rows)]
    for name in ("jpt-single", "jpt-batch"):
        if name in section:
            rate = section[name]["fraction_of_matmul_rate"]
            parts.append(
                f"{name} reaches {spread(rate['layers'], 0, 100)} % of the rate of the backbone's own layers, "
                f"{spread(rate['square'], 0, 100)} % of the best square product."
            )
    return "\n\n".join(parts)


def _definitions(section: Mapping[str, Any]) -> str:
    rows = []
    for way in ("batch", "one by one"):
        found = section[way]
        times = found["milliseconds_per_text"]
        rows.append(
            [
                way,
                *(spread(each) for each in times.values()),
                spread(found["times_3_short"], 2),
                spread(found["times_3_short_without_classifier"], 2),
            ]
        )
    prompts = section["prompt_tokens"]
    header = ["", *(f"{kind}, ms per text" for kind in prompts), "ratio", "ratio without classifier and decoding"]
    note = (
        f"Prompts of {prompts['3 short']} and {prompts['17 long']} tokens. Matrix products alone, attention to the "
        f"prompt included, are {section['operations_times_3_short']:.2f} times as many."
    )
    return markdown_table(header, rows) + "\n\n" + note


def _curves(section: Mapping[str, Any]) -> str:
    parts = []
    for axis, points in section.items():
        if axis == "machine":
            continue
        rows = [
            [
                str(point["value"]),
                f"{point['tokens_per_text']:.0f}",
                str(point["prompt_tokens"]),
                spread(point["texts_per_second"]),
                spread(point["fraction_of_matmul_rate"]["layers"], 0, 100),
                spread(point["fraction_of_matmul_rate"]["square"], 0, 100),
                _megabytes(point["peak_bytes_above_model"]),
            ]
            for point in points
        ]
        header = [axis, "tokens per text", "prompt tokens", "texts/s", "% of rate of own layers", "% of best square"]
        parts.append(markdown_table([*header, "peak MB above the model"], rows))
    return "\n\n".join(parts)


def _precision(section: Mapping[str, Any]) -> str:
    rows, notes = [], [f"Default here: {section['default']}. F1 on {section['texts']} texts."]
    for name, found in section["variants"].items():
        if "unavailable" in found:
            notes.append(f"{name}: not measured ({found['unavailable']}).")
            continue
        times = found["milliseconds_per_text"]
        rows.append(
            [
                name,
                spread(times["batch"]),
                spread(times["one by one"]),
                f"{found['first_turns_seconds']:.1f}",
                f"{100 * found['strict_f1']:.1f}",
            ]
        )
    header = ["", "batch, ms per text", "one by one, ms per text", "first turn of both, s", "strict F1"]
    return "\n\n".join([markdown_table(header, rows), *notes])


def _profile(section: Mapping[str, Any]) -> str:
    ways = {way: shares for way, shares in section.items() if way != "machine"}
    groups = next(iter(ways.values()))
    rows = [[group, *(f"{shares[group]:.0f} %" for shares in ways.values())] for group in groups]
    return markdown_table(["share of the time", *ways], rows)


def _full(section: Mapping[str, Any]) -> str:
    rows = []
    for way, found in section["ways"].items():
        rate = found.get("fraction_of_matmul_rate") or {}
        rows.append(
            [
                way,
                found["texts"],
                f"{found['seconds']:.1f}",
                f"{1000 * found['seconds'] / found['texts']:.0f}",
                f"{found['text_tokens_per_second']:.0f}",
                *(number(rate[key] * 100 if rate else None, ".0f") for key in ("layers", "square")),
                _megabytes(found["peak_bytes_above_model"]),
                number(found["cost_per_million_texts"], ",.0f"),
            ]
        )
    price = section["price_per_hour"]
    head = ["", "texts", "seconds", "ms per text", "text tokens/s", "% of rate of own layers", "% of best square"]
    head += ["peak MB above the model", "cost of a million texts" + (f" at {price:g} an hour" if price else "")]
    title = (
        f"{section['shape']}, {section['parameters'] / 1e6:.0f} M random parameters, {section['tokens']} text tokens."
    )
    published = [
        [name, f"{seconds:.1f}", f"{cost:.2f}", f"{cost / JPT_COST_TEXTS * 1e6:,.0f}"]
        for name, (seconds, cost) in JPT_COSTS.items()
    ]
    paper = markdown_table(["*not measured here*", "seconds", "dollars", "dollars for a million texts"], published)
    note = (
        f"The paper's Table 3: the {JPT_COST_TEXTS} sentences of CrossNER-Politics on an A100 at {JPT_COST_PRICE} dollars "
        "an hour, batch 1."
    )
    return "\n\n".join([title, markdown_table(head, rows), note, paper])


def _plot_systems(pyplot, found: Mapping[str, Any]):
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(found) + 1), layout="constrained")
    times = {name: each["milliseconds_per_text"] for name, each in found.items()}
    names = sorted(times, key=lambda name: times[name]["median"], reverse=True)
    medians = [times[name]["median"] for name in names]
    errors = [
        [times[name]["median"] - times[name]["low"] for name in names],
        [times[name]["high"] - times[name]["median"] for name in names],
    ]
    colours = ["tab:blue" if name.startswith("jpt") else "tab:grey" for name in names]
    axes.barh(names, medians, xerr=errors, color=colours)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds per text (median, quartiles)")
    return figure


def _plot_curves(pyplot, found: Mapping[str, Any]):
    figure, panels = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3), layout="constrained")
    for axes, (axis, points) in zip(panels, found.items(), strict=True):
        rates = [point["texts_per_second"] for point in points]
        values = [point["value"] for point in points]
        axes.plot(values, [rate["median"] for rate in rates], marker="o")
        axes.fill_between(values, [r["low"] for r in rates], [r["high"] for r in rates], alpha=0.3)
        axes.set_xlabel(axis)
        axes.set_ylabel("texts per second")
        axes.set_xscale("log")
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
    return figure


PLOTS = {"compare": _plot_systems, "curves": _plot_curves}
