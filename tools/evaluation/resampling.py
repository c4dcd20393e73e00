"""Bootstrap intervals: how much a strict F1, or its change between two sets of predictions, depends on the sample of texts.

Texts are resampled, not mentions: the mentions of a text depend on each other.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .matching import Span
from .scoring import clean_spans

RESAMPLED_AT_ONCE = 1 << 22
SAMPLES = 1000
LEVEL = 0.95

Interval = tuple[float, float]


def bootstrap_interval(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    labels: Iterable[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """
    Percentile bootstrap interval of the strict micro F1.

    Args:
        gold, predicted, labels: As for [`score_spans`].
        samples (`int`): Number of resamplings.
        seed (`int`): Equal seeds give equal intervals.
        level (`float`): Share of the resamplings inside the interval.

    Returns:
        `tuple[float, float]`: Lower and upper bound.

    Raises:
        ValueError: If there are no texts, or `level` is not between 0 and 1.
    """
    gold, predicted = clean_spans(gold, predicted, None if labels is None else list(labels))
    correct, total = _strict_counts(gold, predicted, [None])
    f1 = [_f1(weights @ correct, weights @ total) for weights in _resamplings(len(gold), samples, seed, level)]
    return _interval(np.concatenate(f1)[:, 0], level)


def bootstrap_changes(
    gold: Sequence[Sequence[Span]],
    before: Sequence[Sequence[Span]],
    after: Sequence[Sequence[Span]],
    labels: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[Interval, dict[str, Interval]]:
    """
    Percentile bootstrap intervals of the change in strict F1 from one set of predictions to another, both scored on the
    same resampled texts.

    Args:
        gold, before, after (`Sequence[Sequence[tuple[int, int, str]]]`): Spans of the same texts.
        labels (`Sequence[str]`): Types that get an interval.
        samples, seed, level: As for [`bootstrap_interval`].

    Returns:
        `tuple`: The interval of the change in micro F1 over all types, and those of each type.

    Raises:
        ValueError: As for [`bootstrap_interval`].
    """
    columns = [None, *labels]
    counts = []
    for predicted in (before, after):
        ours, theirs = clean_spans(gold, predicted, None)
        counts.append(_strict_counts(ours, theirs, columns))
    changes = []
    for weights in _resamplings(len(gold), samples, seed, level):
        first, second = (_f1(weights @ correct, weights @ total) for correct, total in counts)
        changes.append(second - first)
    overall, *by_label = (_interval(column, level) for column in np.concatenate(changes).T)
    return overall, dict(zip(labels, by_label, strict=True))


def _strict_counts(
    gold: list[list[Span]], predicted: list[list[Span]], labels: Sequence[str | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Exact matches `(texts, labels)`, and the sum of gold and predicted mentions; the label `None` stands for all."""
    places = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((2, len(gold), len(labels)))
    for row, (ours, theirs) in enumerate(zip(gold, predicted, strict=True)):
        for number, spans in enumerate(({*ours} & {*theirs}, [*ours, *theirs])):
            for span in spans:
                for label in (None, span[2]):
                    if label in places:
                        counts[number, row, places[label]] += 1
    return counts[0], counts[1]


def _f1(correct: np.ndarray, total: np.ndarray) -> np.ndarray:
    return 2 * correct / np.maximum(total, 1)


def _resamplings(texts: int, samples: int, seed: int, level: float) -> Iterator[np.ndarray]:
    """How often each text was drawn `(resamplings, texts)`, in blocks."""
    if not texts:
        raise ValueError("there are no texts to resample: `gold` is empty")
    if not 0 < level < 1:
        raise ValueError(f"`level` should be between 0 and 1, got {level}")
    generator = np.random.default_rng(seed)
    rows = max(1, RESAMPLED_AT_ONCE // texts)
    for first in range(0, samples, rows):
        chosen = generator.integers(texts, size=(min(rows, samples - first), texts))
        weights = np.zeros(chosen.shape)
        np.add.at(weights, (np.arange(len(chosen))[:, None], chosen), 1)
        yield weights


def _interval(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
