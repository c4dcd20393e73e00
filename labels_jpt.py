"""Character spans in, token labels out: what a model learns of them. The inverse of `spans_jpt`.

Knows nothing of models, tokenizers or type names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .pooling_jpt import check_offsets, visible_ranges
from .words_jpt import trim_blanks


@dataclass
class TokenLabels:
    """
    Token labels of one text, and the spans that they cannot express.

    The labels decode to a span exactly, or else its index (in the order given) is in exactly one of the four lists.

    Args:
        labels (`np.ndarray` of shape `(tokens,)`): 0 for O, type index + 1 otherwise.
        begins (`np.ndarray` of shape `(tokens,)`): Whether the token is the first of a span.
        uncovered (`list[int]`): Spans that share no visible character with any token.
        straddling (`list[int]`): Spans with a boundary inside a token; their tokens are labelled nevertheless.
        colliding (`list[int]`): Spans that lost at least one token to an earlier span (nested or crossing spans).
        merged (`list[int]`): Spans next to one of the same type with no visible O token between: `labels` alone
            decode to one span, `begins` tell them apart.
    """

    labels: np.ndarray
    begins: np.ndarray
    uncovered: list[int]
    straddling: list[int]
    colliding: list[int]
    merged: list[int]

    @property
    def unrepresentable(self) -> list[int]:
        """Indices of all spans that the labels do not decode to exactly, ascending."""
        return sorted(self.uncovered + self.straddling + self.colliding + self.merged)


def label_tokens(
    text: str,
    offsets: np.ndarray | Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int, int]],
) -> TokenLabels:
    """
    The inverse of [`~spans_jpt.decode_spans`] with `rule="token"`: labels that decode to the given spans.

    A token belongs to a span when they share a visible character, so the leading space of a byte-level token does not
    count; blank tokens between two tokens of a span take its label too. Blanks at the boundaries of a given span are
    ignored. Where spans share a token, the one that starts earlier has it (the longer one at the same start).

    Args:
        text (`str`): The text that offsets and spans refer to.
        offsets (`np.ndarray` of shape `(tokens, 2)`): As for [`~spans_jpt.decode_spans`].
        spans (`Sequence[tuple[int, int, int]]`): (start, end, type index), in any order.

    Returns:
        [`TokenLabels`]: The labels, and the indices of the spans that they do not represent exactly.

    Raises:
        ValueError: If offsets or a span lie outside the text, or a type index is negative.
    """
    offsets = check_offsets(text, offsets)
    result = TokenLabels(np.zeros(len(offsets), dtype=np.int64), np.zeros(len(offsets), dtype=bool), [], [], [], [])
    _check_spans(text, spans)
    visible = visible_ranges(text, offsets)
    shown = visible[:, 0] < visible[:, 1]

    # In the order of `decode_spans`: of tokens that start at the same character, the shorter one is first.
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
    Tags for each type independently, so that spans of different types may overlap: targets of the sigmoid and begin
    heads.

    Args:
        text, offsets, spans: As for [`label_tokens`].
        types (`int`): Number of types.

    Returns:
        `np.ndarray` of shape `(tokens, types)`, int8: 0 outside the spans of the type, 1 inside, 2 where one begins.
    """
    tags = np.zeros((len(offsets), types), dtype=np.int8)
    for type_index in {type_index for _, _, type_index in spans}:
        own = label_tokens(text, offsets, [span for span in spans if span[2] == type_index])
        tags[:, type_index] = (own.labels > 0).astype(np.int8) + own.begins
    return tags


def _check_spans(text: str, spans: Sequence[tuple[int, int, int]]) -> None:
    for index, (start, end, type_index) in enumerate(spans):
        if not (0 <= start < end <= len(text) and type_index >= 0):
            raise ValueError(
                f"`spans[{index}]` must be (start, end, type index) with 0 <= start < end <= {len(text)} (the length"
                f" of the text) and a type index of at least 0, got {(start, end, type_index)}."
            )
