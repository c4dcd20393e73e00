"""Probabilities of tokens in, those of words (or of whatever else spans are made of) out.

Takes the text, the character range of every token and a row of values for each. Words come from `words_jpt`; `spans_jpt`
makes spans of what comes out, and `labels_jpt` goes the other way.
"""

from collections.abc import Sequence

import numpy as np

from .words_jpt import split_words, trim_blanks, trim_span

_LINE_BREAKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def units_of(text: str, offsets: np.ndarray, words: Sequence[tuple[int, int]] | None) -> np.ndarray:
    """
    Ranges `(units, 2)` that spans are made of: words, and the tokens between them that are nothing but line breaks and
    tabs (a tag of markup is one word, with the breaks in it). A mention may continue after a line break, but only if the token of the break is part of it.
    """
    units = _check_words(text, words)
    if words is not None:
        return units
    breaks = [
        (start, end)
        for start, end in np.unique(offsets, axis=0).tolist()
        if text[start:end].isspace() and not _LINE_BREAKS.isdisjoint(text[start:end])
    ]
    before = np.searchsorted(units[:, 0], [start for start, _ in breaks], side="right") - 1
    breaks = [each for each, word in zip(breaks, before) if word < 0 or each[0] >= units[word, 1]]
    if not breaks:
        return units
    both = np.concatenate([units, np.array(breaks, dtype=np.int64)])
    return both[np.argsort(both[:, 0], kind="stable")]


def named_parts(text: str, units: np.ndarray, words: Sequence[tuple[int, int]] | None) -> np.ndarray:
    """
    The parts `(units, 2)` of the units whose tokens say what they are. Given words may hold marks: in "Lisbon." the period
    counts for nothing, or half of the word would be outside. A word of nothing but marks is taken whole.
    """
    if words is None:
        return units
    parts = (trim_span(text, start, end) for start, end in units.tolist())
    return np.array(
        [part if part[0] < part[1] else tuple(unit) for part, unit in zip(parts, units.tolist(), strict=True)],
        dtype=np.int64,
    ).reshape(-1, 2)


def pool_into_words(
    offsets: np.ndarray, probabilities: np.ndarray, words: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean probabilities `(words, columns)` of the tokens that overlap each word, and which words `(words,)` have any."""
    begin = np.searchsorted(words[:, 1], offsets[:, 0], side="right")
    stop = np.searchsorted(words[:, 0], offsets[:, 1], side="left")
    counts = np.where(offsets[:, 0] < offsets[:, 1], np.maximum(stop - begin, 0), 0)
    tokens = np.repeat(np.arange(len(offsets)), counts)
    positions = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    groups = np.repeat(begin, counts) + positions
    return _group_means(groups, probabilities[tokens], len(words))


def pool_into_ranges(text: str, offsets: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    The distinct non-empty token ranges `(units, 2)`, ascending, and the mean probabilities `(units, columns)` of their
    tokens.

    Ranges are trimmed of blanks (and empty if nothing else is there) and disjoint: where two tokens hold bytes of one
    character, the first has it.
    """
    solid = offsets[:, 0] < offsets[:, 1]
    ranges, groups = np.unique(offsets[solid], axis=0, return_inverse=True)
    pooled, _ = _group_means(groups.reshape(-1), probabilities[solid], len(ranges))
    reached = np.maximum.accumulate(ranges[:, 1])
    starts = np.maximum(ranges[:, 0], np.concatenate([[0], reached[:-1]])) if len(ranges) else reached
    return visible_ranges(text, np.column_stack([starts, reached])), pooled


def first_of_words(offsets: np.ndarray, values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """For each word the values `(words, types)` of the first token that overlaps it; one half where there is none."""
    first = np.searchsorted(np.maximum.accumulate(offsets[:, 1]), words[:, 0], side="right")
    found = np.full((len(words), values.shape[1]), 0.5)
    covered = first < len(offsets)
    covered[covered] = offsets[first[covered], 0] < words[covered, 1]
    found[covered] = values[first[covered]]
    return found


def visible_ranges(text: str, ranges: np.ndarray) -> np.ndarray:
    """Ranges `(n, 2)` without the blanks at their boundaries."""
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


# ---- checks -------------------------------------------------------------------------------------------------------------


def check_offsets(text: str, offsets: np.ndarray | Sequence[tuple[int, int]]) -> np.ndarray:
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


def check_probabilities(name: str, values: np.ndarray, rows: int, min_columns: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) != rows or values.shape[1] < min_columns:
        raise ValueError(
            f"`{name}` must be [{rows}, at least {min_columns}], one row per token, got {list(values.shape)}."
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(f"`{name}` must be finite; rows {bad[:5].tolist()} ({len(bad)} in all) hold NaN or infinity.")
    if values.size and (values.min() < -1e-3 or values.max() > 1 + 1e-3):
        raise ValueError(f"`{name}` must lie in [0, 1]; apply softmax or sigmoid to logits first.")
    return values


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
