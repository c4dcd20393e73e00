"""Errors of a system: records and predictions in, every wrong mention with its kind, scores and runner-up out.

Knows nothing of files or HTML; `error_report` writes the results.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.records import Record
from .matching import BOTH, BOUNDARY, CORRECT, ERRORS, MISSED, SPURIOUS, TYPE, Match, match_spans, overlap
from .scoring import Score

OUTSIDE = "O"


@dataclass(frozen=True)
class ScoredSpan:
    """
    A gold mention or a prediction.

    Args:
        start (`int`): First character.
        end (`int`): One past the last character.
        label (`str`): Its type.
        score (`float`, *optional*): The score of a prediction; for a gold mention, the mean probability of its type over
            its tokens. `None` if the system gives none.
    """

    start: int
    end: int
    label: str
    score: float | None = None

    @property
    def span(self) -> tuple[int, int, str]:
        return self.start, self.end, self.label


@dataclass(frozen=True)
class MentionError:
    """
    A gold mention that was not found exactly, a prediction that is not a mention, or a pair of both.

    Args:
        kind (`str`): One of `matching.ERRORS`.
        gold (`ScoredSpan`, *optional*): What it should have been; `None` if spurious.
        predicted (`ScoredSpan`, *optional*): What was predicted; `None` if missed.
        runner_up (`tuple[str, float]`, *optional*): The most probable other answer over the predicted span (over the gold
            one if missed), `"O"` for none of the types.
    """

    kind: str
    gold: ScoredSpan | None
    predicted: ScoredSpan | None
    runner_up: tuple[str, float] | None = None

    @property
    def start(self) -> int:
        return (self.gold or self.predicted).start


@dataclass
class AnalysedText:
    """
    A text with its gold and predicted mentions.

    Args:
        dataset (`str`), id (`str`): Its origin.
        text (`str`): The text.
        gold (`list[ScoredSpan]`), predicted (`list[ScoredSpan]`): Its mentions.
        matches (`list[Match]`): Their pairs.
        errors (`list[MentionError]`): The matches that are not correct, in the order of the text.
    """

    dataset: str
    id: str
    text: str
    gold: list[ScoredSpan]
    predicted: list[ScoredSpan]
    matches: list[Match]
    errors: list[MentionError]


def analyse_text(dataset: str, record: Record, entities: Sequence[dict[str, Any]], reading=None) -> AnalysedText:
    """
    Compares the predictions for a record with its gold mentions.

    Args:
        dataset (`str`): Name of the dataset.
        record ([`Record`]): With types, as `evaluate.load_dataset` gives it.
        entities (`Sequence[dict]`): As the pipeline gives them, or as `predictions.read_predictions` does. Of those with
            one span and type the first counts, as in the scores.
        reading ([`Reading`], *optional*): The model's probabilities. Without it gold mentions have no scores, and
            runners-up come from the entities' `alternatives`.
    """
    gold = [
        ScoredSpan(each.start, each.end, each.label, _score_over(reading, each.start, each.end).get(each.label))
        for each in record.entities
    ]
    unique: dict[tuple[int, int, str], dict[str, Any]] = {}
    for each in entities:
        unique.setdefault((each["start"], each["end"], each["entity_group"]), each)
    entities = list(unique.values())
    predicted = [ScoredSpan(each["start"], each["end"], each["entity_group"], each.get("score")) for each in entities]
    matches = match_spans([each.span for each in gold], [each.span for each in predicted])
    errors = []
    for match in matches:
        if match.kind != CORRECT:
            ours = None if match.gold is None else gold[match.gold]
            theirs = None if match.predicted is None else predicted[match.predicted]
            entity = {} if match.predicted is None else entities[match.predicted]
            errors.append(MentionError(match.kind, ours, theirs, _runner_up(reading, ours, theirs, entity)))
    return AnalysedText(dataset, record.id, record.text, gold, predicted, matches, errors)


def _score_over(reading, start: int, end: int) -> dict[str, float]:
    """Mean probabilities of O and of all types over the tokens of a span; nothing without a reading or tokens."""
    if reading is None or not len(reading.offsets):
        return {}
    starts, ends = reading.offsets.T
    inside = (starts < end) & (ends > start) & (starts < ends)
    if not inside.any():
        return {}
    means = np.asarray(reading.probabilities)[inside].mean(axis=0).tolist()
    return dict(zip([OUTSIDE, *reading.schema.names], means, strict=True))


def _runner_up(
    reading, gold: ScoredSpan | None, predicted: ScoredSpan | None, entity: Mapping[str, Any]
) -> tuple[str, float] | None:
    place = predicted or gold
    scores = _score_over(reading, place.start, place.end)
    if not scores:
        best = next(iter(entity.get("alternatives") or ()), None)
        return None if best is None else (str(best["entity_group"]), float(best["score"]))
    scores.pop(OUTSIDE if predicted is None else predicted.label, None)
    label = max(scores, key=scores.__getitem__, default=None)
    return None if label is None else (label, scores[label])


@dataclass
class TypeErrors:
    """
    The errors at the mentions of one type.

    Args:
        label (`str`): The type.
        gold (`int`), predicted (`int`), correct (`int`): Numbers of mentions.
        kinds (`Counter`): Errors at gold mentions of the type, by kind; spurious ones are predictions of the type.
        taken_for (`Counter`): Other types that its gold mentions were given, with numbers.
        taken_from (`Counter`): Other types whose gold mentions were given this one.
    """

    label: str
    gold: int = 0
    predicted: int = 0
    correct: int = 0
    kinds: Counter = field(default_factory=Counter)
    taken_for: Counter = field(default_factory=Counter)
    taken_from: Counter = field(default_factory=Counter)

    @property
    def score(self) -> Score:
        """The strict score of the type."""
        return Score(self.correct, self.predicted, self.gold)


def errors_by_type(texts: Sequence[AnalysedText]) -> dict[str, TypeErrors]:
    """The errors of each type, those with the most gold mentions first."""
    found: dict[str, TypeErrors] = {}

    def of(label: str) -> TypeErrors:
        return found.setdefault(label, TypeErrors(label))

    for text in texts:
        for each in text.gold:
            of(each.label).gold += 1
        for each in text.predicted:
            of(each.label).predicted += 1
        of_correct = [text.gold[match.gold].label for match in text.matches if match.kind == CORRECT]
        for label in of_correct:
            of(label).correct += 1
        for error in text.errors:
            of((error.gold or error.predicted).label).kinds[error.kind] += 1
            if error.kind in (TYPE, BOTH):
                of(error.gold.label).taken_for[error.predicted.label] += 1
                of(error.predicted.label).taken_from[error.gold.label] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1].gold, item[0])))


@dataclass(frozen=True)
class ConfusionMatrix:
    """
    How often which type was predicted for which (Figure 8 of the paper).

    Args:
        labels (`list[str]`): Types, those with the most gold mentions first; the last row and column are `"O"`.
        counts (`np.ndarray` of shape `(types + 1, types + 1)`):
            Gold type in the row, predicted type in the column, for pairs that overlap. The last column has missed
            mentions, the last row spurious ones.
    """

    labels: list[str]
    counts: np.ndarray


def confusion_matrix(texts: Sequence[AnalysedText]) -> ConfusionMatrix:
    """Which type was predicted for which, over the pairs of `matching.match_spans`."""
    labels = [*errors_by_type(texts), OUTSIDE]
    places = {label: place for place, label in enumerate(labels[:-1])}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for text in texts:
        for match in text.matches:
            row = -1 if match.gold is None else places[text.gold[match.gold].label]
            column = -1 if match.predicted is None else places[text.predicted[match.predicted].label]
            counts[row, column] += 1
    return ConfusionMatrix(labels, counts)


def worst_texts(texts: Sequence[AnalysedText], limit: int = 20) -> list[AnalysedText]:
    """Texts with errors, most errors first; in a tie, fewer correct mentions first."""
    wrong = [text for text in texts if text.errors]
    return sorted(wrong, key=lambda text: (-len(text.errors), len(text.matches)))[:limit]


@dataclass
class Contrast:
    """
    What one of two systems gets right and the other wrong (Tables 12 and 14, Figure 9 of the paper).

    Args:
        both (`int`), neither (`int`): Gold mentions that both systems find exactly, and that neither does.
        only_first (`list[tuple[AnalysedText, MentionError]]`): Errors of the second system where the first is right: gold
            mentions that only the first finds, and spurious predictions where the first predicts nothing; each with
            the second's analysis of the text.
        only_second (`list[tuple[AnalysedText, MentionError]]`): The same with the systems exchanged.
    """

    both: int = 0
    neither: int = 0
    only_first: list[tuple[AnalysedText, MentionError]] = field(default_factory=list)
    only_second: list[tuple[AnalysedText, MentionError]] = field(default_factory=list)


def contrast(first: Sequence[AnalysedText], second: Sequence[AnalysedText]) -> Contrast:
    """
    Compares two systems on the same texts.

    Raises:
        ValueError: If the texts differ.
    """
    if [(text.dataset, text.id, text.text) for text in first] != [
        (text.dataset, text.id, text.text) for text in second
    ]:
        raise ValueError("`first` and `second` should be analyses of the same texts, in the same order")
    found = Contrast()
    for ours, theirs in zip(first, second):
        wrong, other_wrong = _wrong_gold(ours), _wrong_gold(theirs)
        found.both += len(ours.gold) - len(wrong | other_wrong)
        found.neither += len(wrong & other_wrong)
        found.only_first += [(theirs, error) for error in _only(theirs, wrong, ours)]
        found.only_second += [(ours, error) for error in _only(ours, other_wrong, theirs)]
    return found


def _wrong_gold(text: AnalysedText) -> set[int]:
    """Indices of the gold mentions that were not found exactly."""
    return {match.gold for match in text.matches if match.gold is not None and match.kind != CORRECT}


def _only(text: AnalysedText, other_wrong: set[int], other: AnalysedText) -> Iterator[MentionError]:
    """The errors of a text that the other analysis does not have."""
    wrong_matches = (match for match in text.matches if match.kind != CORRECT)
    for match, error in zip(wrong_matches, text.errors, strict=True):
        if match.gold is not None:
            if match.gold not in other_wrong:
                yield error
        elif not any(overlap(error.predicted.span, each.span) > 0 for each in other.predicted):
            yield error


def count_kinds(texts: Sequence[AnalysedText]) -> dict[str, int]:
    """Numbers of errors by kind, in the order of `matching.ERRORS`."""
    counts = Counter(error.kind for text in texts for error in text.errors)
    return {kind: counts[kind] for kind in ERRORS}


def error_row(text: AnalysedText, error: MentionError) -> dict[str, Any]:
    """An error as a line of JSON: offsets count characters of the text, end exclusive."""
    return {
        "dataset": text.dataset,
        "id": text.id,
        "kind": error.kind,
        "gold": _span_row(text, error.gold),
        "predicted": _span_row(text, error.predicted),
        "runner_up": None if error.runner_up is None else {"label": error.runner_up[0], "score": error.runner_up[1]},
        "text": text.text,
    }


def _span_row(text: AnalysedText, span: ScoredSpan | None) -> dict[str, Any] | None:
    return None if span is None else {**vars(span), "word": text.text[span.start : span.end]}


KIND_NAMES = {
    MISSED: "missed",
    SPURIOUS: "spurious",
    TYPE: "wrong type",
    BOUNDARY: "wrong boundaries",
    BOTH: "wrong type and boundaries",
}
