"""The error report: what a system got wrong, as one self-contained HTML file and as JSON lines.

The templates escape all user text, and the file's content security policy blocks all loading and all other scripts.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...atomic_jpt import atomic_file
from ..files.highlight import PALETTE
from .confusion_plot import confusion_svg
from .errors import (
    KIND_NAMES,
    OUTSIDE,
    AnalysedText,
    MentionError,
    ScoredSpan,
    confusion_matrix,
    contrast,
    count_kinds,
    error_row,
    errors_by_type,
    worst_texts,
)
from .matching import CORRECT, ERRORS
from .resampling import bootstrap_changes
from .scoring import score_spans

TEMPLATES = Path(__file__).with_name("templates")
CONTEXT = 60  # characters on either side of an error in its excerpt
MAX_TAKEN_FOR = 4


@dataclass
class ErrorReport:
    """
    Args:
        model (`str`): Name of the system, for titles.
        texts (`list[AnalysedText]`): All its texts, with and without errors.
        other (`str`, *optional*), other_texts (`list[AnalysedText]`, *optional*): A system to compare it with, and its
            analyses of the same texts.
    """

    model: str
    texts: list[AnalysedText]
    other: str | None = None
    other_texts: list[AnalysedText] | None = None


def error_files(path: str | Path) -> tuple[Path, Path]:
    """The files of a report: the HTML file of this name, and the JSON lines beside it."""
    path = Path(path)
    return path, path.with_suffix(".jsonl")


def write_error_report(report: ErrorReport, path: str | Path) -> list[Path]:
    """
    Writes the report as HTML, and every error as a line of JSON, to [`error_files`], each whole or not at all.

    With another system the JSON lines have `right_in_other`: whether that one gets it right.

    Returns:
        `list[Path]`: The files.
    """
    page, lines = error_files(path)
    with atomic_file(page) as temporary:
        temporary.write_text(error_page(report), encoding="utf-8")
    right = None
    if report.other_texts is not None:
        found = contrast(report.texts, report.other_texts)
        right = {id(error) for _, error in found.only_second}
    with atomic_file(lines) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for text in report.texts:
            for error in text.errors:
                row = error_row(text, error)
                if right is not None:
                    row["right_in_other"] = id(error) in right
                print(json.dumps(row, ensure_ascii=False), file=file)
    return [page, lines]


def error_page(report: ErrorReport) -> str:
    """The report as one HTML document."""
    by_type = errors_by_type(report.texts)
    colours = _colours(report)
    numbers = {id(text): number for number, text in enumerate(report.texts)}
    matrix = confusion_matrix(report.texts)
    style, script = _style(), _source("errors.js")
    wrong = [text for text in report.texts if text.errors]
    return (
        _environment()
        .get_template("errors.html")
        .render(
            model=report.model,
            kinds=ERRORS,
            kind_names=KIND_NAMES,
            outside=OUTSIDE,
            overview=_overview(report.texts),
            matrix={
                "labels": matrix.labels,
                "cells": matrix.counts.tolist() if by_type else [],
                "svg": Markup(confusion_svg(matrix)),
            },
            types=[
                {
                    "label": each.label,
                    "colour": colours[each.label],
                    "gold": each.gold,
                    "predicted": each.predicted,
                    "precision": each.score.precision,
                    "recall": each.score.recall,
                    "f1": each.score.f1,
                    "kinds": each.kinds,
                    "taken_for": each.taken_for.most_common(MAX_TAKEN_FOR),
                }
                for each in by_type.values()
            ],
            contrast=_contrast(report, numbers),
            worst=[
                {
                    "id": text.id,
                    "dataset": text.dataset,
                    "number": numbers[id(text)],
                    "errors": len(text.errors),
                    "gold": len(text.gold),
                    "correct": sum(match.kind == CORRECT for match in text.matches),
                }
                for text in worst_texts(report.texts)
            ],
            errors=[_error(text, error, numbers[id(text)]) for text in wrong for error in text.errors],
            texts=_texts(report, numbers, colours),
            style=Markup(style),
            style_hash=_policy_hash(style),
            script=Markup(script),
            script_hash=_policy_hash(script),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _style() -> str:
    colours = "".join(f".c{number} {{ background: {colour}; }}\n" for number, colour in enumerate(PALETTE))
    return _source("errors.css") + colours


def _policy_hash(source: str) -> str:
    """The hash by which a content security policy allows a script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _colours(report: ErrorReport) -> dict[str, int]:
    """Number of the colour of each type, by its frequency in the gold mentions."""
    labels = list(errors_by_type([*report.texts, *(report.other_texts or ())]))
    return {label: number % len(PALETTE) for number, label in enumerate(labels)}


def _overview(texts: Sequence[AnalysedText]) -> list[dict[str, Any]]:
    """A row for each dataset, and one for all of them if there are several."""
    groups: dict[str, list[AnalysedText]] = {}
    for text in texts:
        groups.setdefault(text.dataset, []).append(text)
    if len(groups) > 1:
        groups["all"] = list(texts)
    rows = []
    for name, group in groups.items():
        strict = score_spans(*_spans(group)).strict
        rows.append(
            {
                "name": name,
                "texts": len(group),
                "gold": strict.gold,
                "predicted": strict.predicted,
                "correct": strict.correct,
                "f1": strict.f1,
                "kinds": count_kinds(group),
            }
        )
    return rows


def _spans(texts: Sequence[AnalysedText]) -> tuple[list, list]:
    gold = [[each.span for each in text.gold] for text in texts]
    return gold, [[each.span for each in text.predicted] for text in texts]


def _contrast(report: ErrorReport, numbers: Mapping[int, int]) -> dict[str, Any] | None:
    if report.other_texts is None:
        return None
    found = contrast(report.texts, report.other_texts)
    gold, ours = _spans(report.texts)
    _, theirs = _spans(report.other_texts)
    interval, _ = bootstrap_changes(gold, theirs, ours, [])
    places = {id(text): number for number, text in enumerate(report.other_texts)}
    return {
        "name": report.other,
        "both": found.both,
        "neither": found.neither,
        "gold_first": sum(error.gold is not None for _, error in found.only_first),
        "gold_second": sum(error.gold is not None for _, error in found.only_second),
        "f1": (score_spans(gold, ours).strict.f1, score_spans(gold, theirs).strict.f1),
        "interval": interval,
        "only_first": [_error(text, error, places[id(text)]) for text, error in found.only_first],
        "only_second": [_error(text, error, numbers[id(text)]) for text, error in found.only_second],
    }


def _error(text: AnalysedText, error: MentionError, number: int) -> dict[str, Any]:
    row = error_row(text, error)
    return {
        **row,
        "number": number,
        "kind_name": KIND_NAMES[error.kind],
        "types": [each.label for each in (error.gold, error.predicted) if each is not None],
        "runner_up": error.runner_up,
        "excerpt": _excerpt(text.text, error),
    }


def _excerpt(text: str, error: MentionError) -> list[tuple[str, str]]:
    """The text around an error in pieces, each with the CSS classes of its spans."""
    spans = {name: each for name, each in (("gold", error.gold), ("predicted", error.predicted)) if each is not None}
    first = min(each.start for each in spans.values())
    last = max(each.end for each in spans.values())
    left, right = max(0, first - CONTEXT), min(len(text), last + CONTEXT)
    cuts = sorted({left, right, *(cut for each in spans.values() for cut in (each.start, each.end))})
    pieces = [
        (text[start:end], " ".join(name for name, each in spans.items() if each.start <= start and end <= each.end))
        for start, end in pairwise(cuts)
    ]
    return [("… ", "")] * (left > 0) + pieces + [(" …", "")] * (right < len(text))


def _texts(report: ErrorReport, numbers: Mapping[int, int], colours: Mapping[str, int]) -> list[dict[str, Any]]:
    """The texts in which either system has errors, each with gold and predicted mentions."""
    others = report.other_texts or [None] * len(report.texts)
    shown = []
    for text, other in zip(report.texts, others, strict=True):
        if not text.errors and not (other and other.errors):
            continue
        readings = [("gold", _pieces(text.text, text.gold, _wrong(text, "gold"), colours))]
        name = "predicted" if other is None else report.model
        readings.append((name, _pieces(text.text, text.predicted, _wrong(text, "predicted"), colours)))
        if other is not None:
            readings.append((report.other, _pieces(text.text, other.predicted, _wrong(other, "predicted"), colours)))
        shown.append({"id": text.id, "dataset": text.dataset, "number": numbers[id(text)], "readings": readings})
    return shown


def _wrong(text: AnalysedText, side: str) -> set[int]:
    """Numbers of the mentions of a side that belong to an error."""
    return {getattr(match, side) for match in text.matches if match.kind != CORRECT} - {None}


def _pieces(
    text: str, spans: Sequence[ScoredSpan], wrong: set[int], colours: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The whole text in pieces. Where spans overlap, the shortest is shown; each span's label is at its end."""
    cuts = sorted({0, len(text), *(cut for each in spans for cut in (each.start, each.end))})
    pieces: list[dict[str, Any]] = []
    for start, end in pairwise(cuts):
        over = [number for number, each in enumerate(spans) if each.start <= start and end <= each.end]
        if not over:
            pieces.append({"text": text[start:end], "colour": None})
            continue
        inner = spans[min(over, key=lambda number: spans[number].end - spans[number].start)]
        pieces.append(
            {
                "text": text[start:end],
                "colour": colours[inner.label],
                "wrong": any(number in wrong for number in over),
                "title": inner.label if inner.score is None else f"{inner.label} {inner.score:.2f}",
                "labels": [spans[number].label for number in over if spans[number].end == end],
            }
        )
    return pieces
