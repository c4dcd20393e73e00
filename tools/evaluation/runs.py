"""A system over datasets: a model or a file of predictions in, predictions, scores and analysed texts out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...schema_jpt import resolve_schema
from ..data.records import Record, find_types
from .errors import AnalysedText, analyse_text
from .evaluate import dataset_paths, names_in_data, predict, read_texts, score_predictions
from .predictions import Entities, read_predictions
from .scoring import Scores

PREDICTION_SUFFIXES = (".jsonl", ".json", ".ndjson", ".gz")


@dataclass
class Run:
    """
    What a system predicts for datasets.

    Args:
        name (`str`): The system, for reports.
        datasets (`dict[str, list[Record]]`): The records.
        predictions (`dict[str, list[list[dict]]]`): Entities by dataset and record.
        readings (`dict[str, list[Reading]]`): Probabilities by dataset and record, if requested and available.
        failures (`Mapping[str, int]`): Outputs of a generative system that could not be parsed, by kind.
    """

    name: str
    datasets: dict[str, list[Record]]
    predictions: dict[str, list[Entities]]
    readings: dict[str, list] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    def scores(self) -> dict[str, Scores]:
        """Scores by dataset, with bootstrap intervals."""
        return {
            name: score_predictions(records, self.predictions[name], interval=True)
            for name, records in self.datasets.items()
        }

    def analysed(self) -> list[AnalysedText]:
        """All texts with their errors."""
        return [
            analyse_text(name, record, entities, reading)
            for name, records in self.datasets.items()
            for record, entities, reading in zip(
                records, self.predictions[name], self.readings.get(name) or [None] * len(records), strict=True
            )
        ]


def is_predictions_file(source: str | Path) -> bool:
    """Whether a system is given as a file of predictions, not as a model."""
    return Path(source).suffix.lower() in PREDICTION_SUFFIXES


def run_model(
    name: str,
    pipeline: Any,
    datasets: dict[str, list[Record]],
    *,
    decoder: str = "word",
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    keep_readings: bool = False,
    nested: bool = False,
) -> Run:
    """
    Runs a pipeline over datasets.

    Args:
        name (`str`): The model, for reports.
        pipeline (`EntityPipeline`): Of JPT, or of a generative system.
        datasets (`dict[str, list[Record]]`): From `evaluate.load_datasets`.
        decoder (`str`): How a JPT pipeline decodes entities.
        thresholds (`Mapping[str, Mapping[str, float]]`, *optional*): Thresholds by dataset and name of the type.
        keep_readings (`bool`): Keeps the probabilities of a JPT pipeline, for scores of gold mentions and runners-up.
        nested (`bool`): Whether predicted entities may overlap.
    """
    options: dict[str, Any] = {"decoder": decoder, **({"nested": True} if nested else {})}
    run = Run(name, datasets, {})
    for dataset, records in datasets.items():
        given = (thresholds or {}).get(dataset)
        if keep_readings and hasattr(pipeline, "read"):
            run.readings[dataset] = read_texts(pipeline, records, given, show_progress=True)
            run.predictions[dataset] = [pipeline.decode(each, **options) for each in run.readings[dataset]]
        else:
            run.predictions[dataset] = predict(pipeline, records, given, show_progress=True, **options)
    run.failures = getattr(pipeline, "failures", None) or {}
    return run


def run_predictions(
    path: str | Path, datasets: dict[str, list[Record]], data: Sequence[str | Path], ignore_labels: Sequence[str]
) -> Run:
    """
    A run from a file of predictions, as `predictions.read_predictions` takes it.

    Args:
        path (`str` or `Path`): The file.
        datasets (`dict[str, list[Record]]`): From `evaluate.load_datasets`.
        data (`Sequence`): What they were loaded from, for the labels in `types.json` beside each.
        ignore_labels (`Sequence[str]`): Labels whose predictions are dropped.

    Raises:
        ValueError: If the predictions are for other data.
    """
    labels = {
        name: {label: info.name for label, info in (find_types(file) or {}).items()}
        for name, file in dataset_paths(data).items()
    }
    return Run(Path(path).name, datasets, read_predictions(path, datasets, labels, ignore_labels))


def run_source(
    source: str,
    datasets: dict[str, list[Record]],
    data: Sequence[str | Path],
    ignore_labels: Sequence[str],
    load_pipeline: Callable[[str], Any],
    **options,
) -> Run:
    """A run of a file of predictions, or of a model that `load_pipeline` loads; `options` as for [`run_model`]."""
    if is_predictions_file(source):
        return run_predictions(source, datasets, data, ignore_labels)
    return run_model(_model_name(source), load_pipeline(source), datasets, **options)


def _model_name(source: str) -> str:
    """A short name, without a path of this machine."""
    return "/".join(Path(source).absolute().parts[-2:]) if Path(source).is_dir() else source


def schema_thresholds(types: Any, data: Sequence[str | Path]) -> dict[str, dict[str, float]]:
    """Thresholds by dataset and name of the type there, if the types are a schema; a dataset's `types.json` has none."""
    try:
        thresholds = {} if types is None else resolve_schema(types).thresholds
    except ValueError:
        return {}
    return {
        dataset: {name: thresholds[each] for each, name in names_in_data(path, thresholds).items()}
        for dataset, path in dataset_paths(data).items()
    }
