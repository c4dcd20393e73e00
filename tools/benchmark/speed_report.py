"""Writes what `speed` measured as JSON, Markdown tables and plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ..tables import markdown_table

MEGABYTE = 2**20
NOTES = {
    "jpt-naive": "plain attention, one text at a time, whole prompt each time",
    "jpt-single": "one text at a time, prompt kept",
    "jpt-batch": "default: packed, prompt kept",
    "autoregressive": "same backbone, `generate`, gold output length",
    "autoregressive-batch": "the same, padded batches",
    "padellm": "same backbone, PaDeLLM-NER, gold outputs",
    "encoder": "`token-classification`, BERT-base size, fixed labels",
    **{f"gliner-{size}": "its library, random weights of the published size" for size in ("small", "medium", "large")},
}


def write(result: Mapping[str, Any], output: str | Path) -> list[Path]:
    """
    Writes `output.json`, `output.md` and `output-*.svg`, each whole or not at all. Sections of an earlier run that this
    one has not measured stay.

    Returns:
        The files.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    file = output.with_suffix(".json")
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    # Each section keeps the machine and the settings that it was measured with.
    machine = result["machine"]
    sections = {name: {**section, "machine": machine} for name, section in result.items() if name != "machine"}
    sections = {**earlier, **sections}
    plots = write_plots(sections, output)
    with atomic_file(file) as path:
        path.write_text(json.dumps(sections, indent=1) + "\n", encoding="utf-8")
    text = markdown(sections, [plot.name for plot in plots])
    with atomic_file(output.with_suffix(".md")) as path:
        path.write_text(text, encoding="utf-8")
    return [file, output.with_suffix(".md"), *plots]


def markdown(sections: Mapping[str, Any], plots: list[str] = ()) -> str:
    """The report. Numbers are medians, with quartiles in brackets where there are several turns."""
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


def _spread(value: Mapping[str, float] | None, digits: int = 1, scale: float = 1.0) -> str:
    if value is None:
        return ""
    median, low, high = (scale * value[key] for key in ("median", "low", "high"))
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


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
                _spread(found["milliseconds_per_text"]),
                _spread(found.get("times_jpt-single"), 2),
                _spread(found.get("times_jpt-batch"), 2),
                _megabytes(found["peak_bytes_above_model"]),
            ]
        )
    header = ["system", "", "parameters without embeddings", "batch", "ms per text", "× jpt-single", "× jpt-batch"]
    parts = [markdown_table([*header, "peak MB above the model"], rows)]
    for name in ("jpt-single", "jpt-batch"):
        if name in section:
            rate = section[name]["fraction_of_matmul_rate"]
            parts.append(
                f"{name} reaches {_spread(rate['layers'], 0, 100)} % of the rate of the backbone's own layers, "
                f"{_spread(rate['square'], 0, 100)} % of the best square product."
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
                *(_spread(each) for each in times.values()),
                _spread(found["times_3_short"], 2),
                _spread(found["times_3_short_without_classifier"], 2),
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
                _spread(point["texts_per_second"]),
                _spread(point["fraction_of_matmul_rate"]["layers"], 0, 100),
                _spread(point["fraction_of_matmul_rate"]["square"], 0, 100),
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
                _spread(times["batch"]),
                _spread(times["one by one"]),
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
        rate = found.get("fraction_of_matmul_rate")
        rows.append(
            [
                way,
                f"{found['seconds']:.1f}",
                f"{found['text_tokens_per_second']:.0f}",
                "" if rate is None else f"{100 * rate['layers']:.0f}",
                "" if rate is None else f"{100 * rate['square']:.0f}",
                _megabytes(found["peak_bytes_above_model"]),
            ]
        )
    header = ["", "seconds", "text tokens/s", "% of rate of own layers", "% of best square", "peak MB above the model"]
    title = f"{section['shape']}, {section['parameters'] / 1e6:.0f} M random parameters, {section['texts']} texts."
    return title + "\n\n" + markdown_table(header, rows)


def write_plots(sections: Mapping[str, Any], output: Path) -> list[Path]:
    """Bars of all systems, and the curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "jpt"
    files = []
    if "compare" in sections:
        files.append(output.with_name(f"{output.name}-compare.svg"))
        found = {
            name: each["milliseconds_per_text"] for name, each in sections["compare"].items() if name != "machine"
        }
        figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(found) + 1), layout="constrained")
        names = sorted(found, key=lambda name: found[name]["median"], reverse=True)
        medians = [found[name]["median"] for name in names]
        errors = [
            [found[name]["median"] - found[name]["low"] for name in names],
            [found[name]["high"] - found[name]["median"] for name in names],
        ]
        colours = ["tab:blue" if name.startswith("jpt") else "tab:grey" for name in names]
        axes.barh(names, medians, xerr=errors, color=colours)
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds per text (median, quartiles)")
        with atomic_file(files[-1]) as path:
            figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    if "curves" in sections:
        files.append(output.with_name(f"{output.name}-curves.svg"))
        found = {axis: points for axis, points in sections["curves"].items() if axis != "machine"}
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
        with atomic_file(files[-1]) as path:
            figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return files
