"""Reading modes: how a text is laid out for the backbone, once or twice, and which of its tokens see each other.

`configuration_jpt.READINGS` has the names of the modes. The pipeline's `"auto"` is made of two of them.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ReadingMode:
    """
    Args:
        copies (`int`): Number of copies of the text behind the prompt. The heads read the last one.
        open (`bool`): Whether its tokens see each other in both directions, instead of only those before them.
    """

    copies: int
    open: bool


READING_MODES = {
    "twice": ReadingMode(copies=2, open=False),  # Eq. 1: `x SEP x`
    "open": ReadingMode(copies=1, open=True),
    "once": ReadingMode(copies=1, open=False),  # the "Single Pass" of Table 4
    "twice-open": ReadingMode(copies=2, open=True),  # for comparison: the effect of a second copy under an open mask
}


def lay_out(text: torch.Tensor, separator: torch.Tensor, reading: str) -> torch.Tensor:
    """`text (tokens,)` as it is laid out behind the prompt: `x SEP x` (Eq. 1) if it is read twice."""
    return torch.cat([text, separator, text]) if READING_MODES[reading].copies == 2 else text


def laid_out_length(tokens: int, separator: int, reading: str) -> int:
    """Number of tokens that [`lay_out`] makes of a text and a separator of these lengths."""
    copies = READING_MODES[reading].copies
    return copies * tokens + (copies - 1) * separator


def longest_text(room: int, separator: int, reading: str) -> int:
    """Number of tokens of text whose layout fits into `room`; below 1 if none do."""
    copies = READING_MODES[reading].copies
    return (room - (copies - 1) * separator) // copies


__all__ = ["READING_MODES", "ReadingMode", "lay_out", "laid_out_length", "longest_text"]
