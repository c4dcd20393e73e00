"""Clients of a load test, in a separate process: threads that each request one text after another."""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Answer:
    """The answer to a client for the text with this number, and the time it waited."""

    number: int
    status: int
    seconds: float
    entities: list[dict[str, Any]]


def ask(port: int, texts: Sequence[str], entity_types: Mapping[str, str], clients: int) -> tuple[float, list[Answer]]:
    """
    Sends all texts to the server on this machine, each by one of the clients.

    Returns:
        The seconds from the first request to the last answer, and the answers.

    Raises:
        OSError: If the server cannot be reached.
    """
    answers: list[Answer] = []
    failures: list[OSError] = []
    together = threading.Barrier(clients + 1)

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        together.wait()
        try:
            for number in range(first, len(texts), clients):
                answers.append(_ask_once(connection, number, texts[number], entity_types))
        except OSError as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    together.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began, answers


def _ask_once(
    connection: http.client.HTTPConnection, number: int, text: str, entity_types: Mapping[str, str]
) -> Answer:
    began = time.perf_counter()
    body = json.dumps({"text": text, "entity_types": dict(entity_types)})
    connection.request("POST", "/tag", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = json.loads(response.read())
    return Answer(number, response.status, time.perf_counter() - began, content.get("entities", []))
