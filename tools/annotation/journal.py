"""Questions to a language model, each asked once: answers and their cost are logged, and a stopped run resumes from the log."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..chat import AnswerError, ChatEndpoint, EndpointError, Message
from ..resumable_log import ResumableLog

# Statuses that concern one question, such as a text that is too long, and not the endpoint.
REFUSED = (400, 413, 422)


@dataclass(frozen=True)
class Question:
    """Messages, and what to make of the JSON in the answer (see [`ChatEndpoint.ask_json`]); the result must be plain JSON."""

    messages: list[Message]
    check: Callable[[Any], Any]


class Journal:
    """
    Args:
        path (`str` or `Path`): The log.
        about (`dict`): What the answers depend on besides the questions. A log with other values is refused.
        retry_failed (`bool`): Repeat questions that had no usable answer.

    Raises:
        ValueError: If the file is the log of another run.
    """

    def __init__(self, path: str | Path, about: dict[str, Any], retry_failed: bool = False):
        self._log = ResumableLog(path, about)
        self._lock = threading.Lock()
        self.answers: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self._retry_failed = retry_failed
        for line in self._log.lines:
            self._take(line)

    @property
    def cost(self) -> Counter[str]:
        """Sums over all questions of this run and those it resumes: `requests`, `malformed` and tokens."""
        total: Counter[str] = Counter()
        for line in self._log.lines:
            total.update(line["cost"])
        return total

    def ask(
        self, questions: Mapping[str, Question], make_endpoint: Callable[[], ChatEndpoint], workers: int, title: str
    ) -> None:
        """
        Asks what has not been asked yet, several questions at a time. Afterwards `answers` has the answers by key, and
        `failures` the questions without a usable one.

        Args:
            questions (`Mapping[str, Question]`): By key; keys identify the question in the log.
            make_endpoint (`Callable`): Called once for each worker.
            title (`str`): Title of the progress bar.

        Raises:
            EndpointError: If the endpoint cannot be used; answers until then are logged.
        """
        known = self.answers.keys() if self._retry_failed else self.answers.keys() | self.failures.keys()
        waiting = {key: question for key, question in questions.items() if key not in known}
        own = threading.local()

        def work(key: str) -> None:
            if not hasattr(own, "endpoint"):
                own.endpoint = make_endpoint()
            self._ask_one(key, waiting[key], own.endpoint)

        progress = tqdm(total=len(questions), initial=len(questions) - len(waiting), desc=title, disable=None)
        with progress, ThreadPoolExecutor(workers) as threads:
            futures = [threads.submit(work, key) for key in waiting]
            try:
                for future in futures:
                    future.result()
                    progress.update()
            finally:
                threads.shutdown(wait=True, cancel_futures=True)

    def _ask_one(self, key: str, question: Question, endpoint: ChatEndpoint) -> None:
        before = Counter(endpoint.counts)
        line: dict[str, Any] = {"key": key}
        try:
            line["answer"] = endpoint.ask_json(question.messages, question.check)
        except AnswerError as error:
            line["failure"] = str(error)
        except EndpointError as error:
            if getattr(error.__cause__, "status_code", None) not in REFUSED:
                raise
            line["failure"] = str(error)
        line["cost"] = {name: number - before[name] for name, number in endpoint.counts.items()}
        with self._lock:
            self._log.append(line)
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "answer" in line:
            self.answers[line["key"]] = line["answer"]
            self.failures.pop(line["key"], None)
        else:
            self.failures[line["key"]] = line["failure"]
