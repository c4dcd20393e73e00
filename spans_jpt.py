"""Probabilities of tokens in, character spans out.

What goes in: the text, the character range of every token and a probability for every token and type (numpy arrays).
What comes out: spans of characters with type index and score. Knows nothing of models, tokenizers or type names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .pooling_jpt import (
    check_offsets,
    check_probabilities,
    first_of_words,
    named_parts,
    pool_into_ranges,
    pool_into_words,
    units_of,
)
from .words_jpt import trim_span

DEFAULT_TRANSITION_PENALTY = 2.0
DEFAULT_NESTED_THRESHOLD = 0.5

# Smaller probabilities count as zero: keeps the logarithms of a best path finite.
_SMALLEST_PROBABILITY = 1e-12
_NUMBERS = frozenset("one two three four five six seven eight nine ten eleven twelve".split())
_PROBABILITIES = _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY


@dataclass
class Span:
    """
    A typed range of characters.

    Args:
        start (`int`): First character of the span in the text.
        end (`int`): One past its last character.
        type_index (`int`): Index of the type, from 0.
        score (`float`): Mean probability of the type over the words (or tokens) of the span, in [0, 1].
        alternatives (`tuple[tuple[int, float], ...]`, *optional*):
            Other types with their mean probability over the span, most probable first.
    """

    start: int
    end: int
    type_index: int
    score: float
    alternatives: tuple[tuple[int, float], ...] = ()


def decode_spans(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    probabilities: np.ndarray,
    *,
    rule: str = "word",
    transition_penalty: float = DEFAULT_TRANSITION_PENALTY,
    outside_bias: float = 0.0,
    thresholds: float | Sequence[float | None] | None = None,
    top_k: int = 0,
    words: Sequence[tuple[int, int]] | None = None,
    begins: np.ndarray | None = None,
) -> list[Span]:
    """
    Decodes flat spans, which do not overlap, from token probabilities.

    `rule="word"` averages the probabilities of the tokens that overlap a word (a token across two words counts for
    both), takes the sequence of spans over words with the highest sum of log probabilities, where going from one type
    straight to another costs the `transition_penalty`, and trims the spans by [`trim_span`].
    `rule="token"` is the paper's (Eq. 5): the best type of each token, runs of one type merged; only blanks are
    trimmed. Tokens with the same range (the bytes of one character) are averaged first.

    Args:
        text (`str`): The text that the offsets refer to.
        offsets (`np.ndarray` of shape `(tokens, 2)`):
            Start and end of each token, starts ascending. Ranges may include a leading space, be empty (the token is
            ignored) or be shared by several tokens.
        probabilities (`np.ndarray` of shape `(tokens, 1 + types)`): O first.
        rule (`str`, *optional*, defaults to `"word"`): `"word"` or `"token"`.
        transition_penalty (`float`, *optional*, defaults to `DEFAULT_TRANSITION_PENALTY`):
            In nats, from 0 to infinity; `rule="word"` only.
        outside_bias (`float`, *optional*, defaults to 0.0):
            Nats added to the log probability of O; positive values give fewer spans.
        thresholds (`float` or `Sequence`, *optional*):
            Spans that score below are dropped: one value for all types or one (or `None`) for each.
        top_k (`int`, *optional*, defaults to 0): How many other types to list as alternatives of each span.
        words (`Sequence[tuple[int, int]]`, *optional*):
            Ascending character ranges to use instead of [`split_words`]; spans then consist of whole such words,
            untrimmed, and `rule="token"` takes the best type of each word. Marks at their ends ("Lisbon.") do not count for
            what they are.
        begins (`np.ndarray` of shape `(tokens, types)`, *optional*):
            Probabilities that a span of the type begins at the token, provided the token is in one. They separate
            adjacent spans of one type, but not a number from the name behind it; `rule="token"` ignores them. Without
            them each run of one type is one span.

    Returns:
        `list[Span]`: In the order of the text.

    Raises:
        ValueError: If shapes, ranges or options do not fit, or a probability is not finite.
    """
    if rule not in ("word", "token"):
        raise ValueError(f"`rule` must be 'word' or 'token', got {rule!r}.")
    if not transition_penalty >= 0:
        raise ValueError(f"`transition_penalty` must be at least 0, got {transition_penalty}.")
    if not np.isfinite(outside_bias):
        raise ValueError(f"`outside_bias` must be finite, got {outside_bias}.")
    offsets = check_offsets(text, offsets)
    probabilities = check_probabilities("probabilities", probabilities, len(offsets), min_columns=2)
    limits = _check_thresholds(thresholds, probabilities.shape[1] - 1, -np.inf)

    if rule == "token" and words is None:
        units, pooled = pool_into_ranges(text, offsets, probabilities)
        covered = np.ones(len(units), dtype=bool)
    else:
        units = units_of(text, offsets, words)
        parts = named_parts(text, units, words)
        pooled, covered = pool_into_words(offsets, probabilities, parts)
    if not len(units):
        return []

    emissions = np.log(np.maximum(pooled, _SMALLEST_PROBABILITY))
    emissions[~covered, 1:] = -np.inf
    emissions[:, 0] += outside_bias
    if rule == "token":
        path = emissions.argmax(axis=1)
        starts = np.diff(path, prepend=0) != 0
    else:
        boundaries = None
        if begins is not None:
            begins = np.clip(_begins_of(text, offsets, begins, parts, pooled[:, 1:]), *_PROBABILITIES)
            boundaries = np.log(begins), np.log1p(-begins)
        path, starts = _best_path(emissions, float(transition_penalty), boundaries)

    cuts = [*np.flatnonzero(starts | (path == 0)).tolist(), len(path)]
    runs = [(first, last, path[first] - 1) for first, last in pairwise(cuts) if path[first] > 0]
    trimmed = rule == "word" and words is None
    return _make_spans(text, units, pooled[:, 1:], runs, trimmed, limits, top_k)


def decode_nested_spans(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    type_probabilities: np.ndarray,
    *,
    thresholds: float | Sequence[float | None] | None = DEFAULT_NESTED_THRESHOLD,
    top_k: int = 0,
    words: Sequence[tuple[int, int]] | None = None,
    begins: np.ndarray | None = None,
) -> list[Span]:
    """
    Decodes the spans of each type independently, so that spans of different types may overlap or nest. [`nest_spans`]
    selects those to add to flat spans.

    For each type, runs of words whose mean probability reaches the threshold become spans, trimmed by [`trim_span`].

    Args:
        text (`str`): The text that the offsets refer to.
        offsets (`np.ndarray` of shape `(tokens, 2)`): As for [`decode_spans`].
        type_probabilities (`np.ndarray` of shape `(tokens, types)`): Independent probabilities (sigmoid) of the types.
        thresholds (`float` or `Sequence`, *optional*, defaults to 0.5):
            One value for all types or one for each; `None` stands for 0.5.
        top_k (`int`, *optional*, defaults to 0): How many other types to list as alternatives of each span.
        words (`Sequence[tuple[int, int]]`, *optional*): As for [`decode_spans`].
        begins (`np.ndarray` of shape `(tokens, types)`, *optional*): As for [`decode_spans`].

    Returns:
        `list[Span]`: Ordered by start, then the longer first, then type.

    Raises:
        ValueError: If shapes, ranges or options do not fit, or a probability is not finite.
    """
    offsets = check_offsets(text, offsets)
    probabilities = check_probabilities("type_probabilities", type_probabilities, len(offsets), min_columns=1)
    limits = _check_thresholds(thresholds, probabilities.shape[1], DEFAULT_NESTED_THRESHOLD)
    units = units_of(text, offsets, words)
    parts = named_parts(text, units, words)
    pooled, covered = pool_into_words(offsets, probabilities, parts)
    inside = (pooled >= limits) & covered[:, None]
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    if begins is not None:
        starts |= inside & (_begins_of(text, offsets, begins, parts, pooled) > 0.5)
    runs = []
    for type_index in np.flatnonzero(inside.any(axis=0)).tolist():
        own = inside[:, type_index]
        cuts = [*np.flatnonzero(starts[:, type_index] | ~own).tolist(), len(own)]
        runs += [(first, last, type_index) for first, last in pairwise(cuts) if own[first]]
    spans = _make_spans(text, units, pooled, runs, words is None, limits, top_k)
    return sorted(spans, key=lambda span: (span.start, -span.end, span.type_index))


def nest_spans(
    offsets: np.ndarray,
    type_probabilities: np.ndarray,
    flat: Sequence[Span],
    others: Sequence[Span],
    min_probability: float,
) -> list[Span]:
    """
    Adds to flat spans those of other types within, around or over them.

    A span of `others` is added if all flat spans that it overlaps are of other types and contain it or lie within it, and
    their types also have a mean probability of at least `min_probability` over the shared tokens. Where two types compete
    for a mention, independent probabilities waver between them; a mention is nested only where both are sure.

    Args:
        offsets (`np.ndarray` of shape `(tokens, 2)`): As for [`decode_spans`].
        type_probabilities (`np.ndarray` of shape `(tokens, types)`): As for [`decode_nested_spans`].
        flat (`Sequence[Span]`): From [`decode_spans`].
        others (`Sequence[Span]`): From [`decode_nested_spans`].
        min_probability (`float`): Minimum probability at which a type counts as sure.

    Returns:
        `list[Span]`: Ordered by start, then the longer first, then type.
    """
    nested = list(flat)
    for other in others:
        touched = [span for span in flat if span.start < other.end and other.start < span.end]
        if touched and all(
            span.type_index != other.type_index
            and (_within(span, other) or _within(other, span))
            and _mean_over(offsets, type_probabilities[:, span.type_index], span, other) >= min_probability
            for span in touched
        ):
            nested.append(other)
    return sorted(nested, key=lambda span: (span.start, -span.end, span.type_index))


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _mean_over(offsets: np.ndarray, probabilities: np.ndarray, one: Span, other: Span) -> float:
    """Mean over the tokens in both spans; 0 if there are none."""
    start, end = max(one.start, other.start), min(one.end, other.end)
    shared = (offsets[:, 0] < end) & (offsets[:, 1] > start) & (offsets[:, 0] < offsets[:, 1])
    return float(probabilities[shared].mean()) if shared.any() else 0.0


def _make_spans(
    text: str,
    units: np.ndarray,
    type_probabilities: np.ndarray,
    runs: list[tuple[int, int, int]],
    trimmed: bool,
    limits: np.ndarray,
    top_k: int,
) -> list[Span]:
    """Spans from runs (first unit, one past the last, type) over `units (units, 2)` with their probabilities."""
    if top_k < 0:
        raise ValueError(f"`top_k` must be at least 0, got {top_k}.")
    spans: list[Span] = []
    for first, last, type_index in runs:
        starts, ends = units[first:last].T
        kept = starts < ends
        if not kept.any():
            continue
        start, end = int(starts[kept][0]), int(ends[kept][-1])
        if trimmed:
            start, end = trim_span(text, start, end)
            if start == end:
                continue
            kept = (starts < end) & (ends > start)
        means = np.clip(type_probabilities[first:last][kept].mean(axis=0), 0.0, 1.0)
        if means[type_index] < limits[type_index]:
            continue
        ranking = [index for index in np.argsort(-means, kind="stable").tolist() if index != type_index]
        alternatives = tuple((index, float(means[index])) for index in ranking[:top_k])
        spans.append(Span(start, end, int(type_index), float(means[type_index]), alternatives))
    return spans


def _begins_of(
    text: str, offsets: np.ndarray, begins: np.ndarray, units: np.ndarray, type_probabilities: np.ndarray
) -> np.ndarray:
    """
    Probabilities `(units, types)` that a span begins at a unit, from those of the tokens.

    A number alone is no name. So where a span probably begins at a number ("1990 Irish election", "six apples"), no other of
    its type begins at the word behind it.
    """
    begins = first_of_words(offsets, check_probabilities("begins", begins, len(offsets), min_columns=1), units)
    places = pairwise(units.tolist())
    behind = [row for row, ((start, end), (word, _)) in enumerate(places, 1) if _is_number_of(text, start, end, word)]
    for row in behind:
        begins[row] *= 1 - type_probabilities[row - 1] * begins[row - 1]
    return begins


def _is_number_of(text: str, start: int, end: int, word: int) -> bool:
    """Whether a unit is a number, and the next, which begins at `word`, a word behind a blank."""
    number = text[start:end]
    return text[end:word] == " " and text[word].isalpha() and (number.isdecimal() or number.lower() in _NUMBERS)


def _best_path(
    emissions: np.ndarray, transition_penalty: float, boundaries: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """
    The path over the rows of `emissions (units, 1 + types)` with the highest sum, less `transition_penalty` for each change
    between two types, plus the boundary scores; and the rows at which it begins a span, of the same type as the span before
    it or another.

    The penalty is one constant, so a type is best entered from O or from the best type of the row before: a step needs
    a maximum over the row instead of all pairs of types.
    """
    none = np.zeros_like(emissions[:, 1:])
    enter, stay = (none, none) if boundaries is None else boundaries
    totals = np.empty_like(emissions)
    entered = np.zeros(emissions.shape, dtype=bool)
    totals[0] = emissions[0]
    totals[0, 1:] += enter[0]
    entered[0, 1:] = True
    for row in range(1, len(emissions)):
        before, inside = totals[row - 1], totals[row - 1, 1:]
        best = inside.max()
        fresh = np.maximum(inside, max(before[0], best - transition_penalty)) + enter[row]
        continued = inside + stay[row]
        entered[row, 1:] = fresh > continued
        totals[row, 1:] = np.maximum(fresh, continued) + emissions[row, 1:]
        totals[row, 0] = max(before[0], best) + emissions[row, 0]

    path = np.empty(len(emissions), dtype=np.int64)
    path[-1] = totals[-1].argmax()
    for row in range(len(emissions) - 2, -1, -1):
        gains, after = totals[row], path[row + 1]
        if after > 0 and not entered[row + 1, after]:
            path[row] = after
            continue
        if after > 0:
            gains = gains - transition_penalty
            gains[[0, after]] = totals[row, [0, after]]
        path[row] = gains.argmax()
    starts = entered[np.arange(len(path)), path]
    return path, starts


def _check_thresholds(thresholds: float | Sequence[float | None] | None, number: int, default: float) -> np.ndarray:
    """One limit per type; `default` where none is given."""
    values: Any = [thresholds] * number if thresholds is None or np.ndim(thresholds) == 0 else thresholds
    if len(values) != number:
        raise ValueError(f"`thresholds` must be one number or {number}, one per type, got {len(values)}.")
    limits = np.array([default if value is None else value for value in values], dtype=np.float64)
    if any(value is not None and not 0 <= value <= 1 for value in values):
        raise ValueError(f"`thresholds` must lie in [0, 1], got {list(values)}.")
    return limits
