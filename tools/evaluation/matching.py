"""Pairs of gold and predicted spans, one to one: the only place that decides which prediction belongs to which mention.

Spans are `(start, end, label)`, end exclusive, in characters or any other unit.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

Span = tuple[int, int, str]

CORRECT, TYPE, BOUNDARY, BOTH, MISSED, SPURIOUS = "correct", "type", "boundary", "both", "missed", "spurious"
PAIRED = (CORRECT, TYPE, BOUNDARY, BOTH)
ERRORS = (MISSED, SPURIOUS, TYPE, BOUNDARY, BOTH)


class Match(NamedTuple):
    """
    The result of matching: a gold mention, a prediction, or a pair of them.

    Args:
        kind (`str`): `"correct"`, `"type"` (the right boundaries only), `"boundary"` (the right type only), `"both"`
            (neither, but they overlap), `"missed"` (no prediction) or `"spurious"` (no gold mention).
        gold (`int`, *optional*): Index of the gold mention; `None` if spurious.
        predicted (`int`, *optional*): Index of the prediction; `None` if missed.
    """

    kind: str
    gold: int | None
    predicted: int | None


def overlap(first: Sequence, second: Sequence) -> int:
    """Length of the overlap of two spans; 0 or less if there is none."""
    return min(first[1], second[1]) - max(first[0], second[0])


def match_spans(gold: Sequence[Span], predicted: Sequence[Span]) -> list[Match]:
    """
    Pairs the mentions of one text one to one, greedily: first those with the same boundaries and type, then the same
    boundaries, then the same type and an overlap, then any overlap; longer overlaps come first, then input order.

    Returns:
        `list[Match]`: Every mention of either side once, in the order of the text.
    """
    candidates = []
    for number, index in _overlapping(gold, predicted):
        ours, theirs = gold[number], predicted[index]
        rank = 2 * (tuple(ours[:2]) != tuple(theirs[:2])) + (ours[2] != theirs[2])
        candidates.append((rank, -overlap(ours, theirs), index, number))
    free_gold, free_predicted = dict.fromkeys(range(len(gold))), dict.fromkeys(range(len(predicted)))
    matches = []
    for rank, _, index, number in sorted(candidates):
        if index in free_predicted and number in free_gold:
            del free_predicted[index], free_gold[number]
            matches.append(Match(PAIRED[rank], number, index))
    matches += [Match(MISSED, number, None) for number in free_gold]
    matches += [Match(SPURIOUS, None, index) for index in free_predicted]
    return sorted(matches, key=lambda match: _place(match, gold, predicted))


def _overlapping(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Indices of overlapping spans, found in one pass over the text, which may have thousands of either kind."""
    sides = (gold, predicted)
    opened: tuple[list[int], list[int]] = ([], [])
    for start, side, index in sorted(
        (span[0], number, i) for number in (0, 1) for i, span in enumerate(sides[number])
    ):
        other = opened[1 - side]
        other[:] = [each for each in other if sides[1 - side][each][1] > start]
        if sides[side][index][1] > start:
            opened[side].append(index)
            yield from ((index, each) if side == 0 else (each, index) for each in other)


def _place(match: Match, gold: Sequence[Span], predicted: Sequence[Span]) -> tuple[int, int]:
    start, end, _ = predicted[match.predicted] if match.gold is None else gold[match.gold]
    return start, end
