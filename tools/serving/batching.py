"""Waiting requests are read together: a bounded queue, and one thread that owns the pipeline.

Each turn takes texts from all waiting requests in rotation, so that a large request does not hold up a small one.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ...schema_jpt import Schema

logger = logging.getLogger(__name__)

Entities = list[dict[str, Any]]
GATHERING_SECONDS = 0.005
CHARACTERS_TOGETHER = 100_000  # so that a turn stays short
CLOSING_SECONDS = 60.0


class BusyError(Exception):
    """The queue is full. `retry_after` is the estimated number of seconds until there is room."""

    def __init__(self, retry_after: int):
        super().__init__(f"too many texts are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


class ClosedError(Exception):
    """The server is shutting down, or its thread has ended."""


@dataclass(frozen=True)
class Text:
    """A text and the types to look for, with thresholds."""

    text: str
    schema: Schema


@dataclass(eq=False)
class _Request:
    """Texts that are answered together. `options` are those of the pipeline's call."""

    texts: Sequence[Text]
    options: dict[str, Any]
    future: Future = field(default_factory=Future)
    results: dict[int, Entities] = field(default_factory=dict)
    taken: int = 0

    @property
    def left(self) -> int:
        return len(self.texts) - self.taken


# A request, and the number of one of its texts.
_Place = tuple[_Request, int]


class Batcher:
    """
    Args:
        pipeline (`EntityPipeline`): Called on one thread only.
        texts_together (`int`, *optional*, defaults to 32): Maximum number of texts in one call of the pipeline.
        max_waiting (`int`, *optional*, defaults to 1024): Maximum number of waiting texts.
        on_turn (`Callable`, *optional*): Called after each turn with the numbers of its texts and entities.

    The thread waits up to 5 ms for as many requests as there were last time, because clients that were answered together
    often ask again together. A single client never waits.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        texts_together: int = 32,
        max_waiting: int = 1024,
        on_turn: Callable[[int, int], None] = lambda texts, entities: None,
    ):
        self._pipeline = pipeline
        self._texts_together = texts_together
        self._max_waiting = max_waiting
        self._on_turn = on_turn
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._waiting = 0
        self._seconds_per_text = 0.1
        self._thread = threading.Thread(target=self._work, name="read-texts", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of waiting texts."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        """Whether requests will be answered."""
        return self._thread.is_alive() and not self._closing

    def submit(self, texts: Sequence[Text], **options: Any) -> Future:
        """
        Args:
            texts (`Sequence[Text]`): What to read, at least one text.
            options: Options of the pipeline's call.

        Returns:
            `Future`: Of a list of entities for each text. Its errors are those of the pipeline. Once it is cancelled, texts
            that were not yet started are dropped.

        Raises:
            BusyError: If the queue has no room for the texts.
            ClosedError: If requests are no longer answered.
        """
        with self._changed:
            if not self.is_alive:
                raise ClosedError("the server is shutting down")
            # A request that could never fit is accepted when nobody waits.
            if self._waiting and self._waiting + len(texts) > self._max_waiting:
                raise BusyError(max(1, math.ceil(self._waiting * self._seconds_per_text)))
            request = _Request(texts, options)
            self._requests.append(request)
            self._waiting += len(texts)
            self._changed.notify()
        # Outside of the lock, because callbacks may run on this thread.
        request.future.add_done_callback(lambda future: self._drop(request) if future.cancelled() else None)
        return request.future

    def close(self) -> None:
        """Refuses new requests, answers the waiting ones, and returns when that is done, or after a minute."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSING_SECONDS)

    def _drop(self, request: _Request) -> None:
        with self._changed:
            if request in self._requests:
                self._requests.remove(request)
                self._waiting -= request.left

    # The thread

    def _work(self) -> None:
        expected = 1
        while (turn := self._next_turn(expected)) is not None:
            began = time.monotonic()
            for group in _by_options(turn):
                self._read(group)
            passed = (time.monotonic() - began) / len(turn)
            self._seconds_per_text += 0.2 * (passed - self._seconds_per_text)
            requests = {id(request) for request, _ in turn}.union(map(id, tuple(self._requests)))
            expected = min(len(requests), self._texts_together)
            self._finish(turn)

    def _next_turn(self, expected: int) -> list[_Place] | None:
        """The texts to read next, at least one; `None` if the batcher is closed and nobody waits."""
        turn: list[_Place] = []
        characters = 0
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._requests or self._closing)
                if not self._closing and len(self._requests) < expected:
                    self._changed.wait_for(lambda: len(self._requests) >= expected, GATHERING_SECONDS)
                if self._requests:
                    break
                if self._closing:
                    return None
            while self._requests and len(turn) < self._texts_together and characters < CHARACTERS_TOGETHER:
                request = self._requests.popleft()
                turn.append((request, request.taken))
                characters += len(request.texts[request.taken].text)
                request.taken += 1
                if request.left:
                    self._requests.append(request)
            self._waiting -= len(turn)
        return turn

    def _read(self, group: list[_Place]) -> None:
        """One call for texts with the same options. If it fails, each request is read alone, so that only the faulty one fails."""
        try:
            found = self._call(group)
        except Exception as error:  # whatever it is, the thread continues
            requests = {id(request): request for request, _ in group}
            if len(requests) > 1:
                for each in requests.values():
                    self._read([place for place in group if place[0] is each])
                return
            if not isinstance(error, ValueError):
                logger.exception("texts could not be read")
            _settle(group[0][0].future, error=error)
            return
        for (request, number), entities in zip(group, found, strict=True):
            request.results[number] = entities

    def _call(self, group: list[_Place]) -> list[Entities]:
        texts = [request.texts[number] for request, number in group]
        items = [{"text": each.text, "entity_types": each.schema} for each in texts]
        return self._pipeline(items, **group[0][0].options)

    def _finish(self, turn: list[_Place]) -> None:
        entities = [request.results[number] for request, number in turn if number in request.results]
        self._on_turn(len(turn), sum(map(len, entities)))
        for request in {id(request): request for request, _ in turn}.values():
            if request.future.done():
                self._drop(request)
            elif len(request.results) == len(request.texts):
                _settle(request.future, [request.results[number] for number in range(len(request.texts))])


def _by_options(turn: list[_Place]) -> list[list[_Place]]:
    groups: dict[tuple, list[_Place]] = {}
    for place in turn:
        groups.setdefault(tuple(sorted(place[0].options.items())), []).append(place)
    return list(groups.values())


def _settle(future: Future, result: list[Entities] | None = None, error: Exception | None = None) -> None:
    """Sets the result, unless nobody waits any more."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
