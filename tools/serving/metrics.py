"""The counters of `/metrics`, in the text format of Prometheus."""

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .body_limit import Application, Message, Receive, Send

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts of one application, in a registry of its own."""

    def __init__(self):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "jpt_requests", "Requests by path and status.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "jpt_request_seconds", "Time to the answer.", ["path"], buckets=SECONDS, registry=self._registry
        )
        self._turns = Histogram(
            "jpt_texts_together", "Texts in one call of the pipeline.", buckets=TEXTS, registry=self._registry
        )
        self._entities = Counter("jpt_entities", "Entities found.", registry=self._registry)
        self.in_flight = Gauge("jpt_requests_in_flight", "Requests not yet answered.", registry=self._registry)
        self._waiting = Gauge("jpt_texts_waiting", "Texts that wait to be read.", registry=self._registry)

    def watch(self, waiting: Callable[[], int]) -> None:
        """Sets the function that returns the number of waiting texts."""
        self._waiting.set_function(waiting)

    def add_request(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def add_turn(self, texts: int, entities: int) -> None:
        self._turns.observe(texts)
        self._entities.inc(entities)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class Counting:
    """
    ASGI middleware: counts each request with its time and status.

    Args:
        application (`Callable`): The wrapped application.
        metrics ([`Metrics`]): The counters.
        paths (`Collection[str]`): Paths that are counted by name; all others count as `other`.
    """

    def __init__(self, application: Application, metrics: Metrics, paths: Collection[str]):
        self._application = application
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def send_and_look(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            with self._metrics.in_flight.track_inprogress():
                await self._application(scope, receive, send_and_look)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.add_request(path, status, time.perf_counter() - began)
