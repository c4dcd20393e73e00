"""A log of JSON lines from which a stopped run resumes without repeating work."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def digest(*values: Any) -> str:
    """A short hash of plain JSON values, for keys of lines. The order within dicts counts, as it does in prompts."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


class ResumableLog:
    """
    Opens a log, or starts one whose first line identifies the run.

    Args:
        path (`str` or `Path`, *optional*): The file, whose folder is created if needed; `None` keeps nothing.
        about (`dict`): What identifies the run, as plain JSON values. A log of another run is refused; the message names
            the values that differ.

    Attributes:
        lines (`list[dict]`): All lines, old and new.

    Raises:
        ValueError: If the file is the log of another run, or not such a log.
    """

    def __init__(self, path: str | Path | None, about: dict[str, Any]):
        self.lines: list[dict[str, Any]] = []
        self._path = None if path is None else Path(path)
        if self._path is None:
            return
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write({"about": about})
            return
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # The last run was killed while it wrote a line.
            os.truncate(self._path, len(whole.encode()))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise ValueError(f"{self._path}: not a log of this program ({error})") from None
        if not whole:
            self._write({"about": about})
        elif not isinstance(lines[0], dict) or "about" not in lines[0]:
            raise ValueError(f"{self._path}: not a log of this program (its first line does not identify a run)")
        elif differing := _differing(lines[0]["about"], json.loads(json.dumps(about))):
            raise ValueError(
                f"{self._path} is the log of another run, which differs in {', '.join(differing)}; remove it, or name "
                "another output"
            )
        self.lines = lines[1:]

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line, which is on disk when this returns."""
        self.lines.append(line)
        if self._path is not None:
            self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # ASCII: texts may contain half characters, and other line ends
            file.flush()
            os.fsync(file.fileno())


def _differing(old: Any, new: Any, name: str = "") -> list[str]:
    """Names of the values that differ, with dots for those within dicts."""
    if old == new:
        return []
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [name]
    within = f"{name}." if name else ""
    return [each for key in {**old, **new} for each in _differing(old.get(key, ...), new.get(key, ...), within + key)]
