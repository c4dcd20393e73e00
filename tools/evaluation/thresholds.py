"""Thresholds by type, tuned on labelled data: the minimum score of predictions to keep.

On the data that they are tuned on, thresholds always seem to help. Hence three safeguards: every choice is made on some texts
and judged on others, a type with few mentions gets the threshold that is best for all types together, and the gain of the
thresholds is measured on texts that had no part in choosing them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .matching import Span
from .resampling import Interval, bootstrap_changes
from .scoring import score_spans

MIN_MENTIONS = 20
FOLDS = 5
REPEATS = 5  # of the cross-validation behind a choice: a single one would depend on few mentions
DIGITS = 3


@dataclass(frozen=True)
class TypeThreshold:
    """
    Args:
        label (`str`): The type.
        mentions (`int`): Its gold mentions.
        threshold (`float`, *optional*): Its threshold; `None` for none.
        own (`bool`): Whether it was tuned for this type, rather than for all types together.
        f1 (`float`), f1_tuned (`float`): Strict F1 without and with thresholds, each text scored with thresholds that were
            chosen without it.
    """

    label: str
    mentions: int
    threshold: float | None
    own: bool
    f1: float
    f1_tuned: float


@dataclass(frozen=True)
class TunedThresholds:
    """
    Args:
        shared (`float`, *optional*): The threshold for all types together; `None` if none helps.
        types (`list[TypeThreshold]`): By type, those with the most mentions first.
        f1 (`float`), f1_tuned (`float`): Strict micro F1 without and with thresholds, as for each type.
        interval (`tuple[float, float]`): 95 % bootstrap interval of the difference.
    """

    shared: float | None
    types: list[TypeThreshold]
    f1: float
    f1_tuned: float
    interval: Interval


@dataclass
class _Scored:
    """Predictions of one type, or of all, in some texts: their scores, whether each is right, and the gold mentions."""

    scores: np.ndarray
    right: np.ndarray
    gold: int

    def counts(self, threshold: float | None) -> np.ndarray:
        """Twice the number of kept correct predictions, and the sum of kept and gold mentions: their ratio is F1."""
        kept = self.scores >= (-np.inf if threshold is None else threshold)
        return np.array([2 * self.right[kept].sum(), kept.sum() + self.gold])

    def best(self) -> float | None:
        """The threshold with the highest F1, halfway between two scores; in a tie the lowest, or none."""
        order = np.argsort(-self.scores, kind="stable")
        scores, right = self.scores[order], np.cumsum(self.right[order])
        # A threshold lies between two different scores; below the lowest one there is none.
        last = np.flatnonzero(scores[:-1] > scores[1:])
        if not len(last):
            return None
        f1 = 2 * right[last] / (last + 1 + self.gold)
        if f1.max() <= _ratio(self.counts(None)):
            return None
        place = last[np.flatnonzero(f1 == f1.max())[-1]]
        return round(float(scores[place] + scores[place + 1]) / 2, DIGITS)


class _Corpus:
    """The predictions of all texts as arrays, to be selected by text and type."""

    def __init__(
        self,
        gold: Sequence[Sequence[Span]],
        predicted: Sequence[Sequence[tuple[Span, float]]],
        labels: Sequence[str],
    ):
        self.labels = list(labels)
        places = {label: place for place, label in enumerate(self.labels)}
        self._gold = np.zeros((len(gold), len(labels)), int)
        rows = []
        for number, (ours, theirs) in enumerate(zip(gold, predicted, strict=True)):
            for span in ours:
                if span[2] in places:
                    self._gold[number, places[span[2]]] += 1
            known = set(ours)
            rows += [(number, places[span[2]], score, span in known) for span, score in theirs if span[2] in places]
        columns = list(zip(*rows, strict=True)) or [()] * 4
        self._text, self._type = np.array(columns[0], int), np.array(columns[1], int)
        self._scores, self._right = np.array(columns[2], float), np.array(columns[3], float)

    def scored(self, texts: np.ndarray, label: str | None) -> _Scored:
        """The predictions of a type, or of all for `None`, in the texts of these numbers."""
        chosen = np.zeros(len(self._gold), bool)
        chosen[texts] = True
        inside, gold = chosen[self._text], self._gold[chosen]
        if label is not None:
            place = self.labels.index(label)
            inside, gold = inside & (self._type == place), gold[:, place]
        return _Scored(self._scores[inside], self._right[inside], int(gold.sum()))


def tune_thresholds(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[tuple[Span, float]]],
    labels: Sequence[str],
    *,
    min_mentions: int = MIN_MENTIONS,
    folds: int = FOLDS,
    seed: int = 0,
) -> TunedThresholds:
    """
    Chooses thresholds.

    Args:
        gold (`Sequence`): Gold mentions by text.
        predicted (`Sequence`): Predictions made without thresholds, each with its score, by text.
        labels (`Sequence[str]`): The types.
        min_mentions (`int`): Types with fewer gold mentions get the threshold of all types together.
        folds (`int`): Parts of the texts in cross-validation.
        seed (`int`): Equal seeds give equal parts.

    Raises:
        ValueError: If there are fewer texts than folds.
    """
    if len(gold) < folds:
        raise ValueError(f"{len(gold)} texts are too few to tune thresholds on: at least {folds} are needed")
    corpus = _Corpus(gold, predicted, labels)
    texts = np.arange(len(gold))
    shared, chosen = _choose(corpus, texts, min_mentions, folds, seed)
    # Their gain: the whole choice is repeated without each part of the texts, which is then scored.
    kept: list[list[Span]] = [[] for _ in gold]
    for inside, outside in _parts(texts, folds, seed - 1):
        there, own_there = _choose(corpus, inside, min_mentions, folds, seed)
        for i in outside.tolist():
            kept[i] = [span for span, score in predicted[i] if score >= (own_there.get(span[2], there) or 0.0)]
    everything = [[span for span, _ in found] for found in predicted]
    before, after = score_spans(gold, everything, labels=labels), score_spans(gold, kept, labels=labels)
    interval, _ = bootstrap_changes(gold, everything, kept, [])
    types = [
        TypeThreshold(
            label,
            before.per_type[label].gold,
            chosen.get(label, shared),
            label in chosen,
            before.per_type[label].f1,
            after.per_type[label].f1,
        )
        for label in sorted(labels, key=lambda label: (-before.per_type[label].gold, label))
    ]
    return TunedThresholds(shared, types, before.strict.f1, after.strict.f1, interval)


def _choose(
    corpus: _Corpus, texts: np.ndarray, min_mentions: int, folds: int, seed: int
) -> tuple[float | None, Mapping[str, float | None]]:
    """The threshold for all types, and those of types that gain from their own."""
    parts = [part for repeat in range(REPEATS) for part in _parts(texts, folds, seed + repeat)]
    shared = _validated(corpus, texts, None, parts, None)
    own: dict[str, float | None] = {}
    for label in corpus.labels:
        if corpus.scored(texts, label).gold >= min_mentions:
            threshold = _validated(corpus, texts, label, parts, shared)
            if threshold != shared:
                own[label] = threshold
    return shared, own


def _validated(
    corpus: _Corpus,
    texts: np.ndarray,
    label: str | None,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    otherwise: float | None,
) -> float | None:
    """The best threshold on all texts, if choosing it on some of them beats `otherwise` on the others; else `otherwise`."""
    tuned, plain = np.zeros(2), np.zeros(2)
    for inside, outside in parts:
        there = corpus.scored(outside, label)
        tuned += there.counts(corpus.scored(inside, label).best())
        plain += there.counts(otherwise)
    return corpus.scored(texts, label).best() if _ratio(tuned) > _ratio(plain) else otherwise


def _ratio(counts: np.ndarray) -> float:
    return float(counts[0] / counts[1]) if counts[1] else 0.0


def _parts(texts: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold, the texts outside and inside it."""
    order = texts.tolist()
    random.Random(seed).shuffle(order)
    parts = [np.array(order[fold::folds], int) for fold in range(folds)]
    return [(np.setdiff1d(texts, part), part) for part in parts]
