"""What a job has changed, and what scored low and was kept: as counts, and line by line in a JSON file.

The file contains none of the replaced words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ...atomic_jpt import atomic_file
from ..files.formats.writing import json_text
from .redacting import Redacted

SUFFIXES = (".jsonl", ".ndjson")


class Report:
    """
    Counts of a job.

    Args:
        stream (`TextIO`, *optional*): Receives a line of JSON for each mention, changed or kept.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream
        self.texts = 0
        self.changed: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.kept_columns: dict[str, None] = {}
        self.notes: dict[str, None] = {}

    def add(self, redacted: Redacted, **place: Any) -> None:
        """Adds one text; `place` is its file and line."""
        self.texts += 1
        for action, mentions, counts in (
            ("changed", redacted.changed, self.changed),
            ("kept", redacted.kept, self.kept),
        ):
            for each in mentions:
                counts[each["entity_group"]] += 1
                self._write({**place, "action": action, **each})

    def keep_columns(self, names: Iterable[str]) -> None:
        """Records columns that were copied unchanged."""
        self.kept_columns |= dict.fromkeys(names)

    def note(self, line: str) -> None:
        """Records a note for the summary, once."""
        self.notes.setdefault(line)

    def close(self, failure: BaseException | None) -> None:
        """Writes the last line: the counts and, if the job did not finish, the reason."""
        line = {
            "action": "summary",
            "texts": self.texts,
            "changed": dict(self.changed),
            "kept": dict(self.kept),
            "kept_columns": list(self.kept_columns),
            "notes": list(self.notes),
        }
        self._write(line if failure is None else {**line, "stopped": str(failure) or type(failure).__name__})

    def lines(self) -> Iterator[str]:
        """The summary in sentences."""
        yield f"changed {_counted(self.changed)} in {self.texts:,} text{'' if self.texts == 1 else 's'}"
        if self.kept:
            yield f"kept, as they score below the threshold: {_counted(self.kept)}"
        if self.kept_columns:
            names = ", ".join(map(repr, self.kept_columns))
            yield f"columns kept as they are: {names}; redact them, too, with --also COLUMN"
        yield from self.notes

    def _write(self, line: dict[str, Any]) -> None:
        if self._stream is not None:
            print(json_text(line), file=self._stream)


def _counted(counts: Counter[str]) -> str:
    each = ", ".join(f"{name} {number:,}" for name, number in counts.most_common())
    return f"{counts.total():,} ({each})" if counts else "nothing"


@contextmanager
def report_to(path: str | Path | None) -> Iterator[Report]:
    """A report whose file is completed even if an error ends the job, because work until then was done."""
    if path is None:
        yield Report()
        return
    failure: BaseException | None = None
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        report = Report(stream)
        try:
            yield report
        except BaseException as error:
            failure = error
        report.close(failure)
    if failure is not None:
        raise failure
