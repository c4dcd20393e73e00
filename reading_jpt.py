"""How a text is laid out for the backbone: once or twice, and which of its tokens see each other.

The ways to read a text have their one home here; `configuration_jpt.READINGS` has their names.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ReadingMode:
    """
    Args:
        copies (`int`): How often the text stands behind the prompt. The last copy is read.
        open (`bool`): Whether its tokens see each other in both directions, instead of what precedes them.
    """

    copies: int
    open: bool


READING_MODES = {
    "twice": ReadingMode(copies=2, open=False),  # Eq. 1: `x SEP x`
    "open": ReadingMode(copies=1, open=True),
    "once": ReadingMode(copies=1, open=False),  # the "Single Pass" of Table 4
    "twice-open": ReadingMode(copies=2, open=True),  # for comparison: what the second copy adds to an open mask
}


def lay_out(text: torch.Tensor, separator: torch.Tensor, reading: str) -> torch.Tensor:
    """`text (n,)` as it stands behind the prompt: `x SEP x` (Eq. 1) where it is read twice."""
    return torch.cat([text, separator, text]) if READING_MODES[reading].copies == 2 else text


def laid_out_length(tokens: int, separator: int, reading: str) -> int:
    """How many tokens [`lay_out`] makes of a text of so many, with a separator of so many."""
    copies = READING_MODES[reading].copies
    return copies * tokens + (copies - 1) * separator


def longest_text(room: int, separator: int, reading: str) -> int:
    """How many tokens of text fit into so many; below 1 if none do."""
    copies = READING_MODES[reading].copies
    return (room - (copies - 1) * separator) // copies


__all__ = ["READING_MODES", "ReadingMode", "lay_out", "laid_out_length", "longest_text"]
