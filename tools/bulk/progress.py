"""Progress of a job: a bar on a terminal; elsewhere, such as in a log, one line per minute."""

import sys
import time
from collections.abc import Callable

from tqdm.auto import tqdm

from .inputs import Rows

LINE_SECONDS = 60


class Progress:
    """
    Shows rows, rows per second and the time left. Called with the number of rows that were just finished.

    Args:
        rows ([`Rows`], *optional*): The input, whose share of bytes read gives an estimate of the number of rows.
        before (`int`): Rows finished by earlier runs.
        total (`int`, *optional*): Number of rows, if known.
        tell (`Callable`): Receives the lines.
    """

    def __init__(self, rows: Rows | None, before: int, total: int | None, tell: Callable[[str], None]):
        self._rows, self._before, self._total, self._tell = rows, before, total, tell

    def __enter__(self) -> "Progress":
        shown = sys.stderr.isatty()
        self._bar = tqdm(total=self._total, initial=self._before, unit=" rows", disable=not shown, smoothing=0.05)
        self._done, self._start = self._before, time.monotonic()
        self._last_line = self._start
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def __call__(self, rows: int) -> None:
        self._done += rows
        if self._total is None and (share := self._rows.share) > 0:
            self._bar.total = max(self._done, round(self._done / share))
        self._bar.update(rows)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._tell(self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        rate = (self._done - self._before) / seconds
        share = self._rows.share if self._total is None else self._done / self._total
        left = (self._done / share - self._done) / rate if share > 0 else 0
        return f"{self._done} rows, {rate:.1f} rows/s, {tqdm.format_interval(left)} left"


__all__ = ["Progress"]
