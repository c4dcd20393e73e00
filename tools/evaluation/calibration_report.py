"""The work of `jpt-ner calibrate`: files and a pipeline in, calibration before and after fitting and its reports out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.records import Record
from ..tables import markdown_table, percent, write_json_and_markdown
from .calibration import (
    Calibration,
    Temperatures,
    calibration_of,
    fit_temperatures,
    plot_reliability,
    with_temperatures,
)
from .evaluate import load_datasets, read_texts

ALL = "all"


@dataclass
class CalibrationReport:
    """
    Args:
        before (`dict[str, Calibration]`): By dataset, and `ALL` for several together.
        after (`dict[str, Calibration]`, *optional*): The same with the fitted temperatures.
        temperatures ([`Temperatures`], *optional*): For the model's configuration: the fitted ones times the present ones.
    """

    before: dict[str, Calibration]
    after: dict[str, Calibration] | None = None
    temperatures: Temperatures | None = None


def calibrate(
    pipeline: Any, data: Sequence[str | Path], fit: Sequence[str | Path] = (), decoder: str = "word", **loading
) -> CalibrationReport:
    """
    Measures the calibration of a JPT pipeline, and how far temperatures fitted on other data would improve it.

    Args:
        pipeline (`JPTPipeline`): The model.
        data (`Sequence`): Files of labelled records to measure on.
        fit (`Sequence`): Files to fit temperatures on; with none, nothing is fitted.
        decoder (`str`): How entities are decoded.
        loading: Further options of `evaluate.load_datasets`.

    Raises:
        ValueError: If a file is in both, or the data cannot be used.
    """
    common = {Path(each).resolve() for each in data} & {Path(each).resolve() for each in fit}
    if common:
        raise ValueError(
            f"{common.pop()}: temperatures cannot be fitted on what they are measured on; give another file"
        )
    measured = load_datasets(data, **loading)
    fitted_on = load_datasets(fit, **loading) if fit else {}

    def decode(reading) -> list[dict]:
        return pipeline.decode(reading, decoder=decoder)

    readings = {name: read_texts(pipeline, records, show_progress=True) for name, records in measured.items()}
    before = _measure(measured, {name: [decode(each) for each in found] for name, found in readings.items()})
    if not fitted_on:
        return CalibrationReport(before)
    records = [record for group in fitted_on.values() for record in group]
    temperatures = fit_temperatures(records, read_texts(pipeline, records, show_progress=True), decode)
    found = {
        name: [decode(with_temperatures(each, temperatures)) for each in group] for name, group in readings.items()
    }
    config = pipeline.model.config
    return CalibrationReport(
        before,
        _measure(measured, found),
        Temperatures(
            temperatures.softmax * getattr(config, "softmax_temperature", 1.0),
            temperatures.sigmoid * getattr(config, "sigmoid_temperature", 1.0),
        ),
    )


def _measure(datasets: dict[str, list[Record]], predictions: dict[str, list]) -> dict[str, Calibration]:
    measured = {name: calibration_of(records, predictions[name]) for name, records in datasets.items()}
    if len(datasets) > 1:
        together = [record for records in datasets.values() for record in records]
        measured[ALL] = calibration_of(together, [found for name in datasets for found in predictions[name]])
    return measured


def calibration_table(report: CalibrationReport) -> str:
    """Expected calibration error by dataset as Markdown, in percent, before and after fitting."""
    head = ["dataset", "entities", "right", "mean score", "ECE", "strict F1"]
    if report.after is not None:
        head += ["mean score after", "ECE after", "strict F1 after"]
    rows = []
    for name, each in report.before.items():
        row = [name, each.count, *map(percent, (each.accuracy, each.score, each.error, each.f1))]
        if report.after is not None:
            after = report.after[name]
            row += map(percent, (after.score, after.error, after.f1))
        rows.append(row)
    table = markdown_table(head, rows, align_right=True)
    if report.temperatures is None:
        return table
    fitted = report.temperatures
    settings = f"`softmax_temperature`: {fitted.softmax:.3f}, `sigmoid_temperature`: {fitted.sigmoid:.3f}"
    return f"{table}\n\nFor the model's config.json: {settings}"


def write_calibration(report: CalibrationReport, output: str | Path, about: dict[str, Any]) -> list[Path]:
    """
    Writes `output.json`, `output.md` and, where matplotlib is installed, the reliability diagrams `output.png`.

    Returns:
        `list[Path]`: The files.
    """
    document = {
        **about,
        "temperatures": None if report.temperatures is None else vars(report.temperatures),
        "before": {name: each.to_dict() for name, each in report.before.items()},
        "after": None if report.after is None else {name: each.to_dict() for name, each in report.after.items()},
    }
    written = write_json_and_markdown(
        output, document, f"# Calibration of span scores\n\n{calibration_table(report)}\n"
    )
    name = list(report.before)[-1]  # all together, if there are several
    groups = {"before": report.before[name]}
    if report.after is not None:
        groups["after"] = report.after[name]
    picture = written[0].with_suffix(".png")
    try:
        plot_reliability(groups, picture)
    except ImportError:
        return written
    return [*written, picture]
