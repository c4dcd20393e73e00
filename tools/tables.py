"""Shared by all reports: tables in Markdown, and the files of a report."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..atomic_jpt import atomic_file


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


def report_file(output: str | Path, suffix: str) -> Path:
    """A file of a report: `OUTPUT` and the suffix, dots in the name kept."""
    output = Path(output)
    return output.with_name(f"{output.name}{suffix}")


def report_files(output: str | Path) -> tuple[Path, Path]:
    """
    `OUTPUT.json` and `OUTPUT.md`, in a folder that is created if needed.

    Raises:
        OSError: If nothing can be written there.
    """
    output = check_writable(output)
    return report_file(output, ".json"), report_file(output, ".md")


def check_writable(output: str | Path) -> Path:
    """
    The path of a file to write, checked and with its folder created, so that a long run does not end in an error.

    Raises:
        OSError: If nothing can be written there.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output.parent):
        pass
    return output


def write_json_and_markdown(output: str | Path, values: Any, text: str) -> list[Path]:
    """Writes [`report_files`], each whole or not at all."""
    files = report_files(output)
    for file, content in zip(files, (json.dumps(values, indent=1, ensure_ascii=False) + "\n", text), strict=True):
        with atomic_file(file) as path:
            path.write_text(content, encoding="utf-8")
    return [*files]
