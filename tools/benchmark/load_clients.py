"""Clients of a load test, in a separate process: threads that each request one text after another."""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 300
UNREADABLE = 0  # instead of the status of an answer that is cut off or no JSON object


@dataclass(frozen=True)
class Answer:
    """The answer to a client for the text with this number: its HTTP status, or `UNREADABLE`, and the time it waited."""

    number: int
    status: int
    seconds: float
    entities: list[dict[str, Any]]


def ask(port: int, texts: Sequence[str], entity_types: Mapping[str, str], clients: int) -> tuple[float, list[Answer]]:
    """
    Sends all texts to the server on this machine, each by one of the clients.

    Returns:
        The seconds from the first request to the last answer, and an answer for each text.

    Raises:
        OSError: If the server cannot be reached.
    """
    together = threading.Barrier(clients + 1)

    def client(first: int) -> list[Answer]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        together.wait()
        try:
            numbers = range(first, len(texts), clients)
            return [_ask_once(connection, number, texts[number], entity_types) for number in numbers]
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as threads:
        asked = [threads.submit(client, first) for first in range(clients)]
        together.wait()
        began = time.perf_counter()
        answers = [answer for each in asked for answer in each.result()]
    return time.perf_counter() - began, answers


def _ask_once(
    connection: http.client.HTTPConnection, number: int, text: str, entity_types: Mapping[str, str]
) -> Answer:
    began = time.perf_counter()
    body = json.dumps({"text": text, "entity_types": dict(entity_types)})
    try:
        connection.request("POST", "/tag", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = json.loads(response.read())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        status, entities = response.status, content.get("entities", [])
    except (http.client.HTTPException, ValueError):
        connection.close()  # so that what is left of this answer is not taken for the next one
        status, entities = UNREADABLE, []
    return Answer(number, status, time.perf_counter() - began, entities)
