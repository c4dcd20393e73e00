"""Whether scores mean what they say: calibration error of span scores, and one temperature per head that lowers it.

Scores are calibrated if 70 % of all entities that score 0.7 are right, in boundaries and type. Temperatures are fitted to just
that: the log loss of span scores. Fitting each head to its tokens' labels instead, as is usual for classifiers, makes span
scores worse: a token inside an entity is right more often than the whole entity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic_jpt import atomic_file
from ..data.records import Record
from .evaluate import gold_spans, predicted_spans
from .scoring import score_spans

BINS = 10
TEMPERATURES = (0.25, 4.0)
FIRST_STEP, LAST_STEP = 0.4, 0.02  # steps of the search, in the logarithm of a temperature
_SMALLEST = 1e-9


@dataclass(frozen=True)
class Temperatures:
    """Divisors of each head's logits: above 1, scores move away from 0 and 1."""

    softmax: float = 1.0
    sigmoid: float = 1.0


@dataclass(frozen=True)
class Bin:
    """Predictions with scores from `low` to `high`: their number, mean score and the share that is right."""

    low: float
    high: float
    count: int
    score: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """
    How far the scores of predictions can be trusted.

    Args:
        bins (`list[Bin]`): By score, of equal width, without empty ones.
        count (`int`): Number of predictions.
        score (`float`): Their mean score.
        accuracy (`float`): Share of them that is right.
        error (`float`): Expected calibration error: mean distance of score and accuracy over the bins, by their count.
        f1 (`float`): Strict F1 of the same predictions.
    """

    bins: list[Bin]
    count: int
    score: float
    accuracy: float
    error: float
    f1: float

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "bins": [vars(each) for each in self.bins]}


def with_temperatures(reading, temperatures: Temperatures):
    """A [`Reading`] with other temperatures."""
    if not len(reading.offsets):
        return reading
    softmax = np.log(np.clip(np.asarray(reading.softmax, np.float64), _SMALLEST, 1)) / temperatures.softmax
    softmax = np.exp(softmax - softmax.max(-1, keepdims=True))
    sigmoid = np.clip(np.asarray(reading.sigmoid, np.float64), _SMALLEST, 1 - _SMALLEST)
    odds = np.log(sigmoid / (1 - sigmoid)) / temperatures.sigmoid
    return replace(
        reading,
        softmax=(softmax / softmax.sum(-1, keepdims=True)).astype(np.float32),
        sigmoid=(1 / (1 + np.exp(-odds))).astype(np.float32),
    )


def calibration_of(
    records: Sequence[Record], predictions: Sequence[Sequence[dict[str, Any]]], bins: int = BINS
) -> Calibration:
    """
    The calibration of predictions.

    Args:
        records (`Sequence[Record]`): With gold mentions.
        predictions (`Sequence[Sequence[dict]]`): Entities with scores, by record.
        bins (`int`): Number of bins from 0 to 1.
    """
    gold, found = gold_spans(records), predicted_spans(predictions)
    scores = np.array([each["score"] for entities in predictions for each in entities], dtype=np.float64)
    right = np.array([span in {*ours} for ours, theirs in zip(gold, found) for span in theirs], dtype=np.float64)
    f1 = score_spans(gold, found).strict.f1
    if not len(scores):
        return Calibration([], 0, 0.0, 0.0, 0.0, f1)
    numbers = np.minimum((scores * bins).astype(int), bins - 1)
    filled = []
    for number in np.unique(numbers).tolist():
        inside = numbers == number
        filled.append(
            Bin(
                number / bins,
                (number + 1) / bins,
                int(inside.sum()),
                float(scores[inside].mean()),
                float(right[inside].mean()),
            )
        )
    error = sum(each.count * abs(each.score - each.accuracy) for each in filled) / len(scores)
    return Calibration(filled, len(scores), float(scores.mean()), float(right.mean()), error, f1)


def fit_temperatures(
    records: Sequence[Record], readings: Sequence, decode: Callable[[Any], list[dict[str, Any]]]
) -> Temperatures:
    """
    The temperatures with the lowest log loss of span scores, found by a search over both.

    Args:
        records (`Sequence[Record]`): Labelled data that no scores will be reported on.
        readings (`Sequence[Reading]`): Of their texts.
        decode (`Callable`): Entities of a reading, such as [`JPTPipeline.decode`].

    Raises:
        ValueError: If nothing is found in the texts.
    """

    def loss(place: tuple[float, float]) -> float:
        temperatures = Temperatures(*np.exp(place).tolist())
        found = [decode(with_temperatures(reading, temperatures)) for reading in readings]
        return _log_loss(records, found)

    low, high = np.log(TEMPERATURES)
    best, place, step = loss((0.0, 0.0)), (0.0, 0.0), FIRST_STEP
    if not np.isfinite(best):
        raise ValueError("nothing is found in the texts to fit temperatures on, so that there are no scores to fit")
    while step > LAST_STEP:
        tried = [
            (place[0] + softmax, place[1] + sigmoid)
            for softmax, sigmoid in ((step, 0), (-step, 0), (0, step), (0, -step))
        ]
        found = {each: loss(each) for each in tried if low <= min(each) and max(each) <= high}
        better = min(found, key=found.__getitem__, default=place)
        if found.get(better, best) < best:
            best, place = found[better], better
        else:
            step /= 2
    return Temperatures(*(round(float(each), 3) for each in np.exp(place)))


def _log_loss(records: Sequence[Record], predictions: Sequence[Sequence[dict]]) -> float:
    """Mean log loss of the scores, as probabilities that a prediction is right; infinite without predictions."""
    losses = []
    for gold, entities in zip(gold_spans(records), predictions, strict=True):
        for each in entities:
            score = min(max(each["score"], _SMALLEST), 1 - _SMALLEST)
            right = (each["start"], each["end"], each["entity_group"]) in gold
            losses.append(-np.log(score if right else 1 - score))
    return float(np.mean(losses)) if losses else float("inf")


def plot_reliability(groups: dict[str, Calibration], path: str | Path) -> None:
    """
    Draws reliability diagrams side by side: the share of right predictions over their score, and how many there are.

    Args:
        groups (`dict[str, Calibration]`): By title.
        path (`str` or `Path`): `.png`, `.svg` or `.pdf`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(groups), 4.6), layout="constrained")
    columns = figure.subplots(2, len(groups), squeeze=False, sharex=True, height_ratios=(3, 1))
    for (title, calibration), diagram, counts in zip(groups.items(), *columns, strict=True):
        middles = [(each.low + each.high) / 2 for each in calibration.bins]
        width = 0.9 / BINS
        diagram.bar(middles, [each.accuracy for each in calibration.bins], width, color="#4f7fc0")
        diagram.plot([each.score for each in calibration.bins], [each.accuracy for each in calibration.bins], "k.")
        diagram.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
        diagram.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
        diagram.set_title(
            f"{title}\nECE {100 * calibration.error:.1f} %, {calibration.count} entities", fontsize="medium"
        )
        counts.bar(middles, [each.count for each in calibration.bins], width, color="#9aa5b1")
        counts.set(xlabel="score", ylabel="entities")
    path = Path(path)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".").lower(), dpi=120)
