"""Limits of one request. The model reads a text window by window, and between windows checks here whether to continue."""

import time
from typing import Any

from gradio.context import LocalContext

from .errors import ClientGoneError, TextError, TimeLimitError

MAX_TEXT_SECONDS = 60.0
MAX_FILE_SECONDS = 300.0
MIN_ESTIMATE_SECONDS = 5.0  # before which the remaining time is not estimated
MAX_WORK = 1_000_000  # maximum of characters of a text times types


class RequestLimit:
    """
    The time limit of the request on this thread, and whether its client still waits.

    Args:
        seconds (`float`): How long the request may take from now on.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._start = time.monotonic()
        self._blocks = LocalContext.blocks.get(None)
        self._event = _current_event(self._blocks)

    def check(self, done: int = 0, total: int = 0) -> None:
        """
        Args:
            done (`int`, *optional*): How much of the work is done, if that is known.
            total (`int`, *optional*): How much work there is.

        Raises:
            ClientGoneError: If the client has disconnected or cancelled.
            TimeLimitError: If the time is up, or will be long before the work is done.
        """
        if self._is_abandoned():
            raise ClientGoneError("The client has disconnected.")
        elapsed = time.monotonic() - self._start
        expected = elapsed / done * total if done and elapsed > MIN_ESTIMATE_SECONDS else elapsed
        if max(elapsed, expected) > self.seconds:
            raise TimeLimitError(
                f"This takes longer than the {self.seconds:g} seconds that a request may take here. Use a shorter text or "
                "fewer types, or the command line."
            )

    def _is_abandoned(self) -> bool:
        """Gradio marks the event of a client that disconnects, and forgets that of one that cancels."""
        if self._event is None:
            return False
        queue = self._blocks._queue
        waiting = queue.pending_event_ids_session.get(self._event.session_hash, ())
        return not self._event.alive or self._event._id not in waiting


def _current_event(blocks: Any) -> Any:
    """The event in Gradio's queue that is handled on this thread, if it came through the queue."""
    event_id = LocalContext.event_id.get(None)
    return blocks._queue.event_ids_to_events.get(event_id) if blocks is not None and event_id else None


def check_work(characters: int, types: int) -> None:
    """
    Raises:
        TextError: If a text is too long for so many types.
    """
    if characters * types > MAX_WORK:
        raise TextError(
            f"The text has {characters:,} characters, and there are {types} types. With so many types a text may have up "
            f"to {MAX_WORK // types:,} characters here. Use a shorter text or fewer types, or the command line."
        )
