"""Shared by both reports: numbers in cells, and plots."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ..tables import report_file


def number(value: float | None, form: str) -> str:
    """A cell: a number in the given format, or empty."""
    return "" if value is None else format(value, form)


def spread(value: Mapping[str, float] | None, digits: int = 1, scale: float = 1.0) -> str:
    """A cell: a median with its quartiles in brackets, or empty."""
    if value is None:
        return ""
    median, low, high = (scale * value[key] for key in ("median", "low", "high"))
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def write_plots(output: str | Path, plots: Mapping[str, Callable[[Any], Any]]) -> list[Path]:
    """
    Writes plots as `OUTPUT-NAME.svg`, where matplotlib is installed.

    Args:
        plots: By name, functions that draw with `matplotlib.pyplot` and return the figure.
    """
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "jpt"
    files = []
    for name, draw in plots.items():
        file = report_file(output, f"-{name}.svg")
        file.parent.mkdir(parents=True, exist_ok=True)
        figure = draw(pyplot)
        with atomic_file(file) as path:
            figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)
        files.append(file)
    return files
