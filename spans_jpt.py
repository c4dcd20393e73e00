"""Token probabilities in, character spans out; and the inverse, character spans in, token labels out.

What goes in: the text, the character range of every token and a probability for every token and type (numpy arrays).
What comes out: spans of characters with type index and score. Knows nothing of models, tokenizers or type names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .words_jpt import split_words, trim_blanks, trim_span

DEFAULT_SWITCH_COST = 2.0
DEFAULT_NESTED_THRESHOLD = 0.5
# How sure of it a model must be for a span to keep the article that its sentence begins with.
FIRST_ARTICLE_PROBABILITY = 0.6

_LINE_BREAKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")
# Below this a probability counts as zero: keeps the logarithms of a best path finite.
_SMALLEST_PROBABILITY = 1e-12


@dataclass
class Span:
    """
    A typed range of characters.

    Args:
        start (`int`): First character of the span in the text.
        end (`int`): One past its last character.
        type_index (`int`): 0-based index over the N entity types.
        score (`float`): Mean probability of the type over the words (or tokens) of the span, in [0, 1].
        alternatives (`tuple[tuple[int, float], ...]`, *optional*):
            Other types with their mean probability over the span, most probable first.
    """

    start: int
    end: int
    type_index: int
    score: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass
class TokenLabels:
    """
    Token labels of one text, and the spans that such labels cannot express.

    Every span is either read back exactly from the labels or its index (in the order given) is in exactly one of the
    four lists.

    Args:
        labels (`np.ndarray`): int64 [n]; 0 for O, type index + 1 otherwise.
        begins (`np.ndarray`): bool [n]; the first token of each span.
        uncovered (`list[int]`): Spans that share no visible character with any token.
        straddling (`list[int]`): Spans with an edge inside a token; their tokens are labelled nevertheless.
        colliding (`list[int]`): Spans that lost at least one token to an earlier span (nested or crossing spans).
        merged (`list[int]`): Spans next to one of the same type with no visible O token between: `labels` alone read
            back as one, `begins` tell them apart.
    """

    labels: np.ndarray
    begins: np.ndarray
    uncovered: list[int]
    straddling: list[int]
    colliding: list[int]
    merged: list[int]

    @property
    def unrepresentable(self) -> list[int]:
        """Indices of all spans that are not read back exactly, ascending."""
        return sorted(self.uncovered + self.straddling + self.colliding + self.merged)


# ---- decoding -------------------------------------------------------------------------------------------------------


def decode_spans(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    probabilities: np.ndarray,
    *,
    rule: str = "word",
    switch_cost: float = DEFAULT_SWITCH_COST,
    outside_bias: float = 0.0,
    thresholds: float | Sequence[float | None] | None = None,
    top_k: int = 0,
    words: Sequence[tuple[int, int]] | None = None,
    begins: np.ndarray | None = None,
) -> list[Span]:
    """
    Reads flat spans (none overlaps another) from token probabilities.

    `rule="word"` averages the probabilities of the tokens that overlap a word (a token across two words counts for
    both), takes the sequence of types over words with the highest sum of log probabilities, where going from one type
    straight to another costs `switch_cost`, and makes each run of one type a span, trimmed by [`trim_span`].
    `rule="token"` is the paper's (Eq. 5): the best type of each token, runs of one type merged; only blanks are
    trimmed. Tokens with the same range (the bytes of one character) are averaged first.

    Args:
        text (`str`): The text that the offsets refer to.
        offsets (`np.ndarray`):
            int [n, 2], characters [start, end) of each token, starts ascending. Ranges may include a leading space,
            be empty (the token is ignored) or be shared by several tokens.
        probabilities (`np.ndarray`): float [n, 1 + N], column 0 for O, the others for the N types.
        rule (`str`, *optional*, defaults to `"word"`): `"word"` or `"token"`.
        switch_cost (`float`, *optional*, defaults to `DEFAULT_SWITCH_COST`):
            Nats, at least 0, may be infinite; `rule="word"` only.
        outside_bias (`float`, *optional*, defaults to 0.0):
            Nats added to the log probability of O; above 0 gives fewer spans.
        thresholds (`float` or `Sequence`, *optional*):
            Spans that score below are dropped: one value for all types or one (or `None`) for each.
        top_k (`int`, *optional*, defaults to 0): How many other types to list as alternatives of each span.
        words (`Sequence[tuple[int, int]]`, *optional*):
            Ascending character ranges to use instead of [`split_words`]; spans then consist of whole such words,
            untrimmed, and `rule="token"` takes the best type of each word.
        begins (`np.ndarray`, *optional*):
            float [n, N], probabilities that a span of the type begins at the token, if it is in one. With them
            neighbouring spans of one type come apart; `rule="token"` does not look at them.

    Returns:
        `list[Span]`: In the order of the text.

    Raises:
        ValueError: If shapes, ranges or options do not fit, or a probability is not finite.
    """
    if rule not in ("word", "token"):
        raise ValueError(f"`rule` must be 'word' or 'token', got {rule!r}.")
    if not switch_cost >= 0:
        raise ValueError(f"`switch_cost` must be at least 0, got {switch_cost}.")
    if not np.isfinite(outside_bias):
        raise ValueError(f"`outside_bias` must be finite, got {outside_bias}.")
    offsets = _check_offsets(text, offsets)
    probabilities = _check_probabilities("probabilities", probabilities, len(offsets), least_columns=2)
    limits = _check_thresholds(thresholds, probabilities.shape[1] - 1, -np.inf)

    if rule == "token" and words is None:
        units, pooled = _pool_into_ranges(text, offsets, probabilities)
        covered = np.ones(len(units), dtype=bool)
    else:
        units = _units(text, offsets, words)
        pooled, covered = _pool_into_words(offsets, probabilities, units)
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
            begins = _check_probabilities("begins", begins, len(offsets), least_columns=1)
            boundaries = _boundary_scores(_first_of_words(offsets, begins, units))
        path, starts = _best_path(emissions, float(switch_cost), boundaries)

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
    Reads spans of each type on its own, so that spans of different types may overlap or nest.

    For each type, runs of words whose mean probability reaches the threshold become spans, trimmed by [`trim_span`].

    Args:
        text (`str`): The text that the offsets refer to.
        offsets (`np.ndarray`): int [n, 2], as for [`decode_spans`].
        type_probabilities (`np.ndarray`): float [n, N], independent probabilities (sigmoid) of the N types.
        thresholds (`float` or `Sequence`, *optional*, defaults to 0.5):
            One value for all types or one for each; `None` stands for 0.5.
        top_k (`int`, *optional*, defaults to 0): How many other types to list as alternatives of each span.
        words (`Sequence[tuple[int, int]]`, *optional*): As for [`decode_spans`].
        begins (`np.ndarray`, *optional*): float [n, N], as for [`decode_spans`].

    Returns:
        `list[Span]`: Ordered by start, then the longer first, then type.

    Raises:
        ValueError: If shapes, ranges or options do not fit, or a probability is not finite.
    """
    offsets = _check_offsets(text, offsets)
    probabilities = _check_probabilities("type_probabilities", type_probabilities, len(offsets), least_columns=1)
    limits = _check_thresholds(thresholds, probabilities.shape[1], DEFAULT_NESTED_THRESHOLD)
    units = _units(text, offsets, words)
    pooled, covered = _pool_into_words(offsets, probabilities, units)
    inside = (pooled >= limits) & covered[:, None]
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    if begins is not None:
        begins = _check_probabilities("begins", begins, len(offsets), least_columns=1)
        starts |= inside & (_first_of_words(offsets, begins, units) > 0.5)
    runs = []
    for type_index in np.flatnonzero(inside.any(axis=0)).tolist():
        own = inside[:, type_index]
        cuts = [*np.flatnonzero(starts[:, type_index] | ~own).tolist(), len(own)]
        runs += [(first, last, type_index) for first, last in pairwise(cuts) if own[first]]
    spans = _make_spans(text, units, pooled, runs, words is None, limits, top_k)
    return sorted(spans, key=lambda span: (span.start, -span.end, span.type_index))


def _make_spans(
    text: str,
    units: np.ndarray,
    type_probabilities: np.ndarray,
    runs: list[tuple[int, int, int]],
    trimmed: bool,
    limits: np.ndarray,
    top_k: int,
) -> list[Span]:
    """Spans from runs (first unit, one past the last, type) over units [w, 2] with probabilities [w, N]."""
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
            sure = type_probabilities[first:last][kept][0, type_index] >= FIRST_ARTICLE_PROBABILITY
            start, end = trim_span(text, start, end, keep_first_article=bool(sure))
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


def _boundary_scores(begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nats for beginning a span at a word, and for going on with one, [w, N] each, from the probability of the former."""
    begins = np.clip(begins, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return np.log(begins), np.log1p(-begins)


def _best_path(
    emissions: np.ndarray, switch_cost: float, boundaries: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """
    The path over rows of [w, 1 + N] with the highest sum, less `switch_cost` for each change between two types, plus the
    boundary scores; and at which rows it begins a span, of the same type as the span before it or another.

    Because the cost is one constant, a type is entered best from O or from the best type of the row before, so a
    step needs a maximum over the row and not all pairs of types.
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
        fresh = np.maximum(inside, max(before[0], best - switch_cost)) + enter[row]
        going_on = inside + stay[row]
        entered[row, 1:] = fresh > going_on
        totals[row, 1:] = np.maximum(fresh, going_on) + emissions[row, 1:]
        totals[row, 0] = max(before[0], best) + emissions[row, 0]

    path = np.empty(len(emissions), dtype=np.int64)
    path[-1] = totals[-1].argmax()
    for row in range(len(emissions) - 2, -1, -1):
        gains, after = totals[row], path[row + 1]
        if after > 0 and not entered[row + 1, after]:
            path[row] = after
            continue
        if after > 0:
            gains = gains - switch_cost
            gains[[0, after]] = totals[row, [0, after]]
        path[row] = gains.argmax()
    starts = entered[np.arange(len(path)), path]
    return path, starts


def _units(text: str, offsets: np.ndarray, words: Sequence[tuple[int, int]] | None) -> np.ndarray:
    """
    Ranges [w, 2] that are in a span or not: words, and the tokens between them that are nothing but line breaks and tabs.
    A mention may go on after a line break, but only if the token of the break says so.
    """
    units = _check_words(text, words)
    if words is not None:
        return units
    breaks = [
        (start, end)
        for start, end in np.unique(offsets, axis=0).tolist()
        if text[start:end].isspace() and not _LINE_BREAKS.isdisjoint(text[start:end])
    ]
    if not breaks:
        return units
    both = np.concatenate([units, np.array(breaks, dtype=np.int64)])
    return both[np.argsort(both[:, 0], kind="stable")]


def _first_of_words(offsets: np.ndarray, values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """The row of the first token that overlaps each word, [w, N]; one half where there is none."""
    first = np.searchsorted(np.maximum.accumulate(offsets[:, 1]), words[:, 0], side="right")
    found = np.full((len(words), values.shape[1]), 0.5)
    covered = first < len(offsets)
    covered[covered] = offsets[first[covered], 0] < words[covered, 1]
    found[covered] = values[first[covered]]
    return found


def _pool_into_words(
    offsets: np.ndarray, probabilities: np.ndarray, words: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean probabilities [w, C] of the tokens that overlap each word, and which words have any [w]; others get 0."""
    begin = np.searchsorted(words[:, 1], offsets[:, 0], side="right")
    stop = np.searchsorted(words[:, 0], offsets[:, 1], side="left")
    counts = np.where(offsets[:, 0] < offsets[:, 1], np.maximum(stop - begin, 0), 0)
    tokens = np.repeat(np.arange(len(offsets)), counts)
    positions = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    groups = np.repeat(begin, counts) + positions
    return _group_means(groups, probabilities[tokens], len(words))


def _pool_into_ranges(text: str, offsets: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    The distinct non-empty token ranges [u, 2], ascending, and the mean probabilities [u, C] of their tokens.

    Ranges come without blanks at the edges (empty if nothing else is there) and disjoint: where two tokens hold bytes
    of one character, the first has it.
    """
    solid = offsets[:, 0] < offsets[:, 1]
    ranges, groups = np.unique(offsets[solid], axis=0, return_inverse=True)
    pooled, _ = _group_means(groups.reshape(-1), probabilities[solid], len(ranges))
    reached = np.maximum.accumulate(ranges[:, 1])
    starts = np.maximum(ranges[:, 0], np.concatenate([[0], reached[:-1]])) if len(ranges) else reached
    return _visible_ranges(text, np.column_stack([starts, reached])), pooled


def _visible_ranges(text: str, ranges: np.ndarray) -> np.ndarray:
    return np.array([trim_blanks(text, start, end) for start, end in ranges.tolist()], dtype=np.int64).reshape(-1, 2)


def _group_means(groups: np.ndarray, rows: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    means = np.zeros((number, rows.shape[1]))
    counts = np.bincount(groups, minlength=number)
    present = counts > 0
    if len(groups):
        order = np.argsort(groups, kind="stable")
        begin = np.cumsum(counts) - counts
        means[present] = np.add.reduceat(rows[order], begin[present], axis=0) / counts[present, None]
    return means, present


# ---- labels for training --------------------------------------------------------------------------------------------


def label_tokens(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int, int]],
) -> TokenLabels:
    """
    The inverse of [`decode_spans`] with `rule="token"`: labels that read back as the given spans.

    A token belongs to a span when they share a visible character, so the leading space of a byte-level token does not
    count; blank tokens between two tokens of a span take its label too. Blanks at the edges of a given span are
    ignored. Where spans share a token, the one that starts earlier has it (the longer one at the same start).

    Args:
        text (`str`): The text that offsets and spans refer to.
        offsets (`np.ndarray`): int [n, 2], as for [`decode_spans`].
        spans (`Sequence[tuple[int, int, int]]`): (start, end, type index), in any order.

    Returns:
        [`TokenLabels`]: The labels, and the indices of the spans that they do not represent exactly.

    Raises:
        ValueError: If offsets or a span lie outside the text, or a type index is negative.
    """
    offsets = _check_offsets(text, offsets)
    result = TokenLabels(np.zeros(len(offsets), dtype=np.int64), np.zeros(len(offsets), dtype=bool), [], [], [], [])
    for index, (start, end, type_index) in enumerate(spans):
        if not (0 <= start < end <= len(text) and type_index >= 0):
            raise ValueError(
                f"`spans[{index}]` must be (start, end, type index) with 0 <= start < end <= {len(text)} (the length"
                f" of the text) and a type index of at least 0, got {(start, end, type_index)}."
            )
    visible = _visible_ranges(text, offsets)
    shown = visible[:, 0] < visible[:, 1]

    # As `decode_spans` reads them: of tokens that start at the same character, the shorter one is first.
    order = np.lexsort((offsets[:, 1], offsets[:, 0]))
    rank = np.argsort(order)
    owner = np.full(len(offsets), -1)
    for index in sorted(range(len(spans)), key=lambda index: (spans[index][0], -spans[index][1])):
        start, end = trim_blanks(text, *spans[index][:2])
        tokens = np.flatnonzero(shown & (visible[:, 0] < end) & (visible[:, 1] > start))
        if start >= end or not len(tokens):
            result.uncovered.append(index)
            continue
        if visible[tokens, 0].min() != start or visible[tokens, 1].max() != end:
            result.straddling.append(index)
        elif (owner[tokens] >= 0).any():
            result.colliding.append(index)
        run = order[rank[tokens].min() : rank[tokens].max() + 1]
        run = run[owner[run] < 0]
        owner[run] = index
        result.labels[run] = spans[index][2] + 1
        result.begins[run[:1]] = True

    faulty = {*result.straddling, *result.colliding}
    owners = owner[order][shown[order]].tolist()
    for left, right in pairwise(owners):
        if left != right and left >= 0 and right >= 0 and spans[left][2] == spans[right][2]:
            result.merged += [index for index in (left, right) if index not in faulty]
            faulty |= {left, right}
    for indices in (result.uncovered, result.straddling, result.colliding, result.merged):
        indices.sort()
    return result


def tag_types(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int, int]],
    types: int,
) -> np.ndarray:
    """
    Tags for each type by itself, so that spans of different types may overlap: what the sigmoid and begin heads learn.

    Args:
        text, offsets, spans: As for [`label_tokens`].
        types (`int`): Number of types.

    Returns:
        `np.ndarray`: int8 [n, types]; 0 outside of the spans of the type, 1 inside, 2 where one begins.
    """
    tags = np.zeros((len(offsets), types), dtype=np.int8)
    for type_index in {type_index for _, _, type_index in spans}:
        own = label_tokens(text, offsets, [span for span in spans if span[2] == type_index])
        tags[:, type_index] = (own.labels > 0).astype(np.int8) + own.begins
    return tags


# ---- checks ---------------------------------------------------------------------------------------------------------


def _check_offsets(text: str, offsets: np.ndarray | Sequence[tuple[int, int]]) -> np.ndarray:
    offsets = np.asarray(offsets)
    if not offsets.size:
        return np.zeros((0, 2), dtype=np.int64)
    if offsets.ndim != 2 or offsets.shape[1] != 2 or offsets.dtype.kind not in "iu":
        raise ValueError(f"`offsets` must be integers [n, 2], got {offsets.dtype} {list(offsets.shape)}.")
    offsets = offsets.astype(np.int64)
    if offsets.min() < 0 or offsets.max() > len(text) or (offsets[:, 0] > offsets[:, 1]).any():
        raise ValueError(f"`offsets` must satisfy 0 <= start <= end <= {len(text)}, the length of the text.")
    if (np.diff(offsets[offsets[:, 0] < offsets[:, 1], 0]) < 0).any():
        raise ValueError("`offsets` must be in the order of the text: starts of non-empty tokens never go back.")
    return offsets


def _check_probabilities(name: str, values: np.ndarray, rows: int, least_columns: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) != rows or values.shape[1] < least_columns:
        raise ValueError(
            f"`{name}` must be [{rows}, at least {least_columns}], one row per token, got {list(values.shape)}."
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(f"`{name}` must be finite; rows {bad[:5].tolist()} ({len(bad)} in all) hold NaN or infinity.")
    if values.size and (values.min() < -1e-3 or values.max() > 1 + 1e-3):
        raise ValueError(f"`{name}` must lie in [0, 1]; apply softmax or sigmoid to logits first.")
    return values


def _check_thresholds(thresholds: float | Sequence[float | None] | None, number: int, default: float) -> np.ndarray:
    """One limit per type; `default` where none is given."""
    values: Any = [thresholds] * number if thresholds is None or np.ndim(thresholds) == 0 else thresholds
    if len(values) != number:
        raise ValueError(f"`thresholds` must be one number or {number}, one per type, got {len(values)}.")
    limits = np.array([default if value is None else value for value in values], dtype=np.float64)
    if any(value is not None and not 0 <= value <= 1 for value in values):
        raise ValueError(f"`thresholds` must lie in [0, 1], got {list(values)}.")
    return limits


def _check_words(text: str, words: Sequence[tuple[int, int]] | None) -> np.ndarray:
    if words is None:
        return np.array(split_words(text), dtype=np.int64).reshape(-1, 2)
    ranges = np.array(list(words), dtype=np.int64).reshape(-1, 2)
    if len(ranges) and (
        ranges.min() < 0
        or ranges.max() > len(text)
        or (ranges[:, 0] >= ranges[:, 1]).any()
        or (ranges[1:, 0] < ranges[:-1, 1]).any()
    ):
        raise ValueError(
            f"`words` must be non-empty character ranges, ascending and disjoint, within the text's {len(text)}"
            " characters."
        )
    return ranges
