"""The work of `jpt-ner evaluate`: files and options in, reports and lines to print out."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...schema_jpt import Schema
from ..data.types import labelled_files
from ..files.opening import check_apart
from ..tables import check_writable, report_files
from .error_report import ErrorReport, error_files, write_error_report
from .evaluate import load_datasets
from .languages import check_languages, language_section
from .predictions import write_predictions
from .reports import summary_table, write_report
from .runs import Run, run_model, run_predictions, run_source, schema_thresholds
from .trimming import trimming_section
from .wording import Variant, compare_variants, comparison_tables, make_variants, write_comparison

# Options that allow only one set of definitions, and their fields.
_FOR_ONE_RUN = {
    "errors": "errors",
    "predictions": "predictions",
    "save-predictions": "save_predictions",
    "nested": "nested",
    "languages": "by_language",
    "trimming": "trimming",
}


@dataclass
class EvaluationOptions:
    """
    Args:
        types (`list[str | Schema]`), wordings (`list[str]`): Definitions to ask with; several are compared with the first.
        output (`Path`, *optional*): Scores go to `output.json` and `output.md`.
        errors (`Path`, *optional*): The error report, `.html`.
        against (`str`, *optional*): A model or a file of predictions to compare the errors with.
        predictions (`Path`, *optional*): Predictions to score instead of a model's.
        save_predictions (`Path`, *optional*): Where to write the predictions.
        limit, held_out, ignore_labels, skip_bad: As for `evaluate.load_dataset`.
        by_language (`bool`): Add scores by language.
        languages (`dict[str, str]`): Languages of files or folders that do not give them.
        trimming (`bool`): Add the gains and losses of each trimming rule.
        nested (`bool`): Whether entities may overlap, in the records and in the predictions.
        reading (`dict`): How the files are read, as for `records.iter_records`.
        decoder (`str`): How entities are decoded.
        model (`str`): The model's name in reports.
    """

    types: list[str | Schema] = field(default_factory=list)
    wordings: list[str] = field(default_factory=list)
    output: Path | None = None
    errors: Path | None = None
    against: str | None = None
    predictions: Path | None = None
    save_predictions: Path | None = None
    limit: int | None = None
    held_out: int = 0
    ignore_labels: Sequence[str] = ("misc",)
    skip_bad: bool = False
    by_language: bool = False
    languages: dict[str, str] = field(default_factory=dict)
    trimming: bool = False
    nested: bool = False
    reading: dict[str, Any] = field(default_factory=dict)
    decoder: str = "word"
    model: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """The settings behind the scores, for the report."""
        return {
            "model": self.model,
            "decoder": self.decoder,
            "limit": self.limit,
            "held_out": self.held_out,
            "ignored_labels": list(self.ignore_labels),
        }


def evaluate_files(
    paths: Sequence[Path], options: EvaluationOptions, load_pipeline: Callable[..., Any]
) -> Iterator[str]:
    """
    Scores a model, or given predictions, on labelled files.

    Args:
        paths (`Sequence[Path]`): Files of labelled records.
        options ([`EvaluationOptions`]): What to do.
        load_pipeline (`Callable`): Loads the model, or with an argument the one of that name. Called once the data has been
            read and the outputs can be written.

    Yields:
        `str`: What to print.

    Raises:
        ValueError: If options do not go together, or data, types or predictions cannot be used.
    """
    variants = make_variants(options.wordings, options.types)
    _check(options, variants)
    reports = () if options.output is None else report_files(options.output)
    errors = () if options.errors is None else error_files(options.errors)
    names = [each for each in options.types if isinstance(each, str)]  # of files and presets
    read = filter(os.path.isfile, [*names, options.predictions or "", options.against or ""])
    check_apart([*labelled_files(paths), *read], [*reports, *errors, options.save_predictions])
    if len(variants) > 1:
        yield from _compare(paths, options, variants, load_pipeline)
        return
    (variant,) = variants
    datasets = load_datasets(paths, types=variant.types, wording=variant.wording, **_loading(options))
    check_languages(options.languages, datasets)
    running: dict[str, Any] = {
        "decoder": options.decoder,
        "thresholds": schema_thresholds(variant.types, paths),
        "keep_readings": options.errors is not None or options.trimming,
        "nested": options.nested,
    }
    other = None
    if options.against is not None:  # First, so that problems show at once.
        other = run_source(options.against, datasets, paths, options.ignore_labels, load_pipeline, **running)
    pipeline = None
    if options.predictions is not None:
        run = run_predictions(options.predictions, datasets, paths, options.ignore_labels)
    else:
        pipeline = load_pipeline()
        run = run_model(options.model, pipeline, datasets, **running)
    yield from _reported(run, pipeline, options)
    if options.errors is not None:
        report = ErrorReport(run.name, run.analysed())
        if other is not None:
            report.other, report.other_texts = other.name, other.analysed()
        yield _written(write_error_report(report, options.errors))


def _check(options: EvaluationOptions, variants: Sequence[Variant]) -> None:
    if options.against is not None and options.errors is None:
        raise ValueError("--against needs --errors FILE.html, the report that it is for")
    if options.errors is not None and options.errors.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--errors should name an .html file, got {str(options.errors)!r}")
    single = [option for option, name in _FOR_ONE_RUN.items() if getattr(options, name)]
    if len(variants) > 1 and single:
        raise ValueError(f"--{single[0]} goes with one set of definitions, got {len(variants)}")
    if options.trimming and (options.predictions is not None or options.decoder != "word"):
        raise ValueError("--trimming needs a model and the decoder `word`, the one that trims")
    for path in (options.errors, options.save_predictions):
        if path is not None:
            check_writable(path)
    if options.output is not None:
        report_files(options.output)


def _loading(options: EvaluationOptions) -> dict[str, Any]:
    loading = {name: getattr(options, name) for name in ("limit", "held_out", "ignore_labels", "skip_bad")}
    return {**loading, "allow_overlaps": options.nested, **options.reading}


def _reported(run: Run, pipeline: Any, options: EvaluationOptions) -> Iterator[str]:
    scores = run.scores()
    yield summary_table(scores)
    sections = []
    if options.by_language:
        sections.append(language_section(run, options.languages))
    if options.trimming:
        sections.append(trimming_section(run, pipeline, nested=options.nested))
    for section in sections:
        yield f"\n## {section.title}\n\n{section.text}"
    if run.failures:
        kinds = sorted(run.failures.items(), key=lambda each: -each[1])
        yield "failures: " + ", ".join(f"{kind} {number}" for kind, number in kinds)
    if options.save_predictions is not None:
        write_predictions(options.save_predictions, run.datasets, run.predictions)
        yield _written([options.save_predictions])
    if options.output is not None:
        write_report(scores, options.output, {**options.about, "model": run.name}, sections)
        yield _written(report_files(options.output))


def _compare(paths, options: EvaluationOptions, variants: Sequence[Variant], load_pipeline) -> Iterator[str]:
    for variant in variants:  # read before the model is loaded, so that problems with the data show at once
        load_datasets(paths, types=variant.types, wording=variant.wording, **_loading(options))
    comparison = compare_variants(load_pipeline(), paths, variants, options.decoder, **_loading(options))
    yield comparison_tables(comparison)
    if options.output is not None:
        yield _written(write_comparison(comparison, options.output, options.about))


def _written(files: Sequence[Path]) -> str:
    return f"written: {', '.join(map(str, files))}"
