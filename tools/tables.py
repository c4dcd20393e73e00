"""Tables in Markdown, for all reports."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(head: Sequence[Any], rows: Iterable[Sequence[Any]], align_right: bool = False) -> str:
    """
    A table in Markdown. Pipes and line breaks in cells are escaped.

    Args:
        head (`Sequence`): Titles of the columns.
        rows (`Iterable[Sequence]`): Cells of each row, one per column.
        align_right (`bool`): Aligns all columns but the first to the right, for numbers.

    Raises:
        ValueError: If the number of cells in a row differs from the head.
    """
    lines = [[_cell(each) for each in row] for row in (head, *rows)]
    for line in lines:
        if len(line) != len(head):
            raise ValueError(f"`rows`: expected {len(head)} cells in each row, got {len(line)}: {line}")
    rule = ["---", *["---:" if align_right else "---"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal, without the sign: `0.4567` as `45.7`."""
    return f"{100 * fraction:.1f}"


def _cell(value: Any) -> str:
    return " ".join(str(value).split("\n")).replace("|", "\\|")
