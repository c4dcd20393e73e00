"""Scores of predicted mentions against gold ones: spans by text in, precision, recall, F1 and an error split out.

Spans are `(start, end, label)`, end exclusive, in characters or any other unit. Knows nothing of files, records or
models.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .matching import MISSED, PAIRED, SPURIOUS, Span, match_spans, overlap


@dataclass(frozen=True)
class Score:
    """
    Precision, recall and F1 from counts; each is 0 where its denominator is.

    Args:
        correct (`float`): Credit given; halves occur for partial overlaps.
        predicted (`int`): Number of predictions.
        gold (`int`): Number of gold items, the support.
    """

    correct: float
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.correct / (self.predicted + self.gold) if self.predicted + self.gold else 0.0

    def to_dict(self) -> dict[str, float]:
        rates = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {**rates, "correct": self.correct, "predicted": self.predicted, "gold": self.gold}


@dataclass(frozen=True)
class ErrorSplit:
    """
    Results of pairing all gold and predicted mentions within each text by [`match_spans`].

    Args:
        correct (`int`): Pairs with the right boundaries and type.
        wrong_type (`int`): Pairs with the right boundaries only.
        wrong_boundary (`int`): Pairs with the right type that overlap.
        wrong_both (`int`): Other pairs that overlap.
        missed (`int`): Gold mentions without a prediction.
        spurious (`int`): Predictions without a gold mention.
    """

    correct: int
    wrong_type: int
    wrong_boundary: int
    wrong_both: int
    missed: int
    spurious: int

    @property
    def detection(self) -> Score:
        """Mentions found at all: pairs that overlap, whatever their type and boundaries."""
        pairs = self.correct + self.wrong_type + self.wrong_boundary + self.wrong_both
        return Score(pairs, pairs + self.spurious, pairs + self.missed)

    @property
    def typing_accuracy(self) -> float:
        """Share of pairs with the right boundaries that have the right type."""
        return self.correct / (self.correct + self.wrong_type) if self.correct else 0.0

    @property
    def boundary_accuracy(self) -> float:
        """Share of pairs with the right type that have the right boundaries."""
        return self.correct / (self.correct + self.wrong_boundary) if self.correct else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "detection": self.detection.to_dict(),
            "typing_accuracy": self.typing_accuracy,
            "boundary_accuracy": self.boundary_accuracy,
            **vars(self),
        }


@dataclass
class Scores:
    """
    All scores of one evaluation.

    Args:
        texts (`int`): Number of texts.
        strict (`Score`): Exact boundaries and type: the micro F1 that papers report.
        exact (`Score`): Exact boundaries, any type.
        partial (`Score`): Any type; exact boundaries count 1, an overlap 1/2.
        type_only (`Score`): Overlap with the right type.
        per_type (`dict[str, Score]`): Strict scores by type; `gold` is the support.
        errors (`ErrorSplit`): Where the strict score is lost.
        tokens (`Score`, *optional*): Tokens with the right type; tokens outside all mentions do not count.
        token_detection (`Score`, *optional*): Tokens inside mentions of any type.
        interval (`tuple[float, float]`, *optional*): 95 % interval of the strict F1, from `resampling.bootstrap_interval`.
    """

    texts: int
    strict: Score
    exact: Score
    partial: Score
    type_only: Score
    per_type: dict[str, Score]
    errors: ErrorSplit
    tokens: Score | None = None
    token_detection: Score | None = None
    interval: tuple[float, float] | None = None

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the types that occur in gold or predictions."""
        occurring = [score.f1 for score in self.per_type.values() if score.gold or score.predicted]
        return sum(occurring) / len(occurring) if occurring else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; rates are fractions, absent scores `None`."""
        named = {
            name: getattr(self, name)
            for name in ("strict", "exact", "partial", "type_only", "tokens", "token_detection")
        }
        return {
            "texts": self.texts,
            "macro_f1": self.macro_f1,
            "interval": None if self.interval is None else list(self.interval),
            **{name: None if score is None else score.to_dict() for name, score in named.items()},
            "per_type": {label: score.to_dict() for label, score in self.per_type.items()},
            "errors": self.errors.to_dict(),
        }


def score_spans(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    labels: Iterable[str] | None = None,
    tokens: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> Scores:
    """
    Scores predicted spans against gold ones.

    `strict` equals seqeval's strict mode, and all four span scores equal nervaluate's (the SemEval'13 measures) wherever
    the mentions of each side do not overlap one another. Any overlap counts; nervaluate by default ignores overlaps of less
    than 1 % of the gold mention. Duplicate spans of a text count once.

    Args:
        gold (`Sequence[Sequence[tuple[int, int, str]]]`): Gold spans by text: start, end (exclusive) and label.
        predicted (`Sequence[Sequence[tuple[int, int, str]]]`): Predicted spans of the same texts.
        labels (`Iterable[str]`, *optional*): Score these labels only; spans of others are left out on both sides.
        tokens (`Sequence[Sequence[tuple[int, int]]]`, *optional*):
            Ranges of the tokens of each text, for the token scores.

    Returns:
        [`Scores`]

    Raises:
        ValueError: If the numbers of texts differ, or a span is empty or has other than three fields.
    """
    labels = None if labels is None else list(dict.fromkeys(labels))
    gold, predicted = clean_spans(gold, predicted, labels)
    if tokens is not None and len(tokens) != len(gold):
        raise ValueError(f"`tokens` should have one item for each of the {len(gold)} texts, got {len(tokens)}")

    scores = _span_scores(gold, predicted, labels)
    if tokens is not None:
        scores.tokens, scores.token_detection = _token_scores(gold, predicted, tokens)
    return scores


def _span_scores(gold: list[list[Span]], predicted: list[list[Span]], labels: list[str] | None) -> Scores:
    gold_by_type = Counter(span[2] for spans in gold for span in spans)
    predicted_by_type = Counter(span[2] for spans in predicted for span in spans)
    correct_by_type = Counter(span[2] for ours, theirs in zip(gold, predicted) for span in {*ours} & {*theirs})
    total, total_predicted = gold_by_type.total(), predicted_by_type.total()
    exact = overlapping = type_only = 0
    errors: Counter[str] = Counter()
    for ours, theirs in zip(gold, predicted):
        overlaps = [[index for index, span in enumerate(ours) if overlap(span, each) > 0] for each in theirs]
        exact_here, overlapping_here = _boundary_matches(ours, theirs, overlaps)
        exact += exact_here
        overlapping += overlapping_here
        type_only += _type_matches(ours, theirs, overlaps)
        errors.update(match.kind for match in match_spans(ours, theirs))
    return Scores(
        texts=len(gold),
        strict=Score(correct_by_type.total(), total_predicted, total),
        exact=Score(exact, total_predicted, total),
        partial=Score(exact + 0.5 * overlapping, total_predicted, total),
        type_only=Score(type_only, total_predicted, total),
        per_type={
            label: Score(correct_by_type[label], predicted_by_type[label], gold_by_type[label])
            for label in labels or sorted(gold_by_type | predicted_by_type)
        },
        errors=ErrorSplit(*(errors[kind] for kind in (*PAIRED, MISSED, SPURIOUS))),
    )


def score_mention_sets(
    gold: Sequence[Iterable[tuple[str, str]]],
    predicted: Sequence[Iterable[tuple[str, str]]],
    *,
    repeats: bool = False,
) -> Score:
    """
    Micro scores over mention strings without offsets, as PaDeLLM-NER counts them.

    Its authors compare *sets* of strings by sentence and class: a string that occurs twice in a sentence counts once,
    in gold and in the prediction, and finding one occurrence is finding all. That favours systems that miss or invent
    repetitions. With `repeats` every occurrence counts: a string that is three times in gold and predicted twice gives two
    correct mentions and a missed one.

    Args:
        gold (`Sequence[Iterable[tuple[str, str]]]`): By sentence, pairs of class and mention.
        predicted (`Sequence[Iterable[tuple[str, str]]]`): The same for the predictions.
        repeats (`bool`): Count occurrences instead of distinct strings.

    Returns:
        [`Score`]

    Raises:
        ValueError: If the numbers of sentences differ.
    """
    check_lengths(gold, predicted)
    correct = total = total_predicted = 0
    for sides in zip(gold, predicted):
        ours, theirs = (Counter((label, mention) for label, mention in side) for side in sides)
        if not repeats:
            ours, theirs = Counter(ours.keys()), Counter(theirs.keys())
        correct += (ours & theirs).total()
        total += ours.total()
        total_predicted += theirs.total()
    return Score(correct, total_predicted, total)


def check_lengths(gold: Sequence, predicted: Sequence) -> None:
    if len(gold) != len(predicted):
        raise ValueError(
            f"`gold` has {len(gold)} texts and `predicted` {len(predicted)}; give both for the same texts"
        )


def clean_spans(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], labels: list[str] | None
) -> tuple[list[list[Span]], list[list[Span]]]:
    """Both sides, checked: their spans of `labels`, without duplicates, in order of position."""
    check_lengths(gold, predicted)
    cleaned = []
    for name, side in (("gold", gold), ("predicted", predicted)):
        texts = []
        for index, given in enumerate(side):
            spans: set[Span] = set()
            for each in given:
                span: Any = tuple(each)
                if len(span) != 3 or not span[0] < span[1]:
                    raise ValueError(f"`{name}[{index}]` should hold (start, end, label) with start < end, got {span}")
                spans.add(span)
            texts.append(sorted(span for span in spans if labels is None or span[2] in labels))
        cleaned.append(texts)
    return cleaned[0], cleaned[1]


def _boundary_matches(gold: list[Span], predicted: list[Span], overlaps: list[list[int]]) -> tuple[int, int]:
    """Number of one-to-one pairs with the same boundaries, and of further pairs that merely overlap."""
    used, rest, exact, overlapping = set(), [], 0, 0
    for span, candidates in zip(predicted, overlaps):
        same = [index for index in candidates if index not in used and gold[index][:2] == span[:2]]
        if same:
            used.add(same[0])
            exact += 1
        else:
            rest.append(candidates)
    for candidates in rest:
        free = [index for index in candidates if index not in used]
        if free:
            used.add(free[0])
            overlapping += 1
    return exact, overlapping


def _type_matches(gold: list[Span], predicted: list[Span], overlaps: list[list[int]]) -> int:
    """
    Number of predictions that overlap a gold mention of their type. As in nervaluate, predictions choose in order of
    position, the one with the nearest boundaries; one without a match of its type uses up the first mention it overlaps.
    """
    used, correct = set(), 0
    for span, candidates in zip(predicted, overlaps):
        free = [index for index in candidates if index not in used]
        same = [index for index in free if gold[index][2] == span[2]]
        if same:
            used.add(min(same, key=lambda index: abs(gold[index][0] - span[0]) + abs(gold[index][1] - span[1])))
            correct += 1
        elif free:
            used.add(free[0])
    return correct


def _token_scores(
    gold: list[list[Span]], predicted: list[list[Span]], tokens: Sequence[Sequence[tuple[int, int]]]
) -> tuple[Score, Score]:
    """Scores over pairs of token and type, and over tokens alone. A token is in a mention if they share a character."""
    typed, untyped = np.zeros(3, int), np.zeros(3, int)
    for ours, theirs, ranges in zip(gold, predicted, tokens):
        marked, guessed = _token_labels(ours, ranges), _token_labels(theirs, ranges)
        typed += np.array([len(marked & guessed), len(guessed), len(marked)])
        inside, found = {index for index, _ in marked}, {index for index, _ in guessed}
        untyped += np.array([len(inside & found), len(found), len(inside)])
    return Score(*typed.tolist()), Score(*untyped.tolist())


def _token_labels(spans: list[Span], ranges: Sequence[tuple[int, int]]) -> set[tuple[int, str]]:
    ends = [end for _, end in ranges]
    labels = set()
    for start, end, label in spans:
        index = bisect_right(ends, start)
        while index < len(ranges) and ranges[index][0] < end:
            labels.add((index, label))
            index += 1
    return labels
