"""Texts of type definitions in, vectors from an OpenAI-compatible endpoint out. One of the encoders of `definitions_jpt`."""

import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from .optional_jpt import OPENAI_PREFIX, import_optional

DIMENSIONS_MARK = "?dimensions="
REQUEST_ATTEMPTS = 5


class OpenAIEncoder:
    """
    An OpenAI-compatible embeddings endpoint. Nothing is sent, and no key is needed, before the first text is encoded.
    Temporary errors are retried. Neither errors nor their causes reveal a key or a password.

    Args:
        model (`str`): The endpoint's name for the model.
        base_url (`str`, *optional*): Defaults to `OPENAI_BASE_URL`, else OpenAI's own.
        api_key (`str`, *optional*): Defaults to `OPENAI_API_KEY`.
        dimensions (`int`, *optional*): Size of shorter vectors, if the model supports them.
        batch_size (`int`, *optional*, defaults to 256): Texts per request.
        timeout (`float`, *optional*, defaults to 60): Seconds without an answer after which a request has failed.
        name (`str`, *optional*, defaults to `"openai:MODEL"` or `"openai:MODEL?dimensions=N"`):
            Identity. For an endpoint that serves a Hub model, the Hub id makes it interchangeable with the local one.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        dimensions: int | None = None,
        batch_size: int = 256,
        timeout: float = 60,
        name: str | None = None,
    ):
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"`base_url` must start with http:// or https://, got {base_url!r}")
        self.name = name or OPENAI_PREFIX + model + (f"{DIMENSIONS_MARK}{dimensions}" if dimensions else "")
        self._model = model
        self._base_url = base_url
        # For messages, without user and password.
        self._shown_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/") + "/embeddings"
        self._api_key = api_key
        self._dimensions = dimensions
        self._batch_size = batch_size
        self._timeout = timeout

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """
        Raises:
            ImportError: If the `openai` package is not installed.
            ValueError: If there is no key, the endpoint refuses the request, or its answer is not as requested.
            ConnectionError: If the endpoint repeatedly gives no answer or a temporary error.
        """
        rows: list[list[float]] = []
        for start in range(0, len(texts), self._batch_size):
            rows += self._request(list(texts[start : start + self._batch_size]))
        sizes = {len(row) for row in rows}
        if len(sizes) != 1 or self._dimensions not in (None, *sizes):
            expected = self._dimensions or "the same number of"
            raise ValueError(f"{self._shown_url}: expected vectors of {expected} numbers, got {sorted(sizes)}")
        return np.array(rows, dtype=np.float32)

    def _request(self, texts: list[str]) -> list[list[float]]:
        answer, failure = self._ask(texts)
        if failure is None:
            try:
                items = sorted(answer["data"], key=lambda item: item["index"])
                indices = [item["index"] for item in items]
                rows = [[float(value) for value in item["embedding"]] for item in items]
            except (ValueError, KeyError, TypeError):
                failure = ValueError(
                    f"{self._shown_url} did not answer with embeddings: {self._without_secrets(answer)!r:.200}"
                )
        if failure is not None:
            raise failure  # outside of `except`, so that it has no context
        if indices != list(range(len(texts))):
            raise ValueError(f"{self._shown_url}: expected one vector for each of {len(texts)} texts, got {len(rows)}")
        return rows

    def _ask(self, texts: list[str]) -> tuple[Any, Exception | None]:
        """The endpoint's answer, parsed if it is JSON, or else the error."""
        openai = import_optional("openai", f"the definition encoder {self.name!r}")
        options = {"dimensions": self._dimensions} if self._dimensions else {}
        try:
            client = openai.OpenAI(
                base_url=self._base_url,
                api_key=self._key(),
                timeout=self._timeout,
                max_retries=REQUEST_ATTEMPTS - 1,
                # Following a redirect could hand the key to another host.
                http_client=openai.DefaultHttpxClient(follow_redirects=False),
            )
            with client:
                answer = client.embeddings.with_raw_response.create(
                    model=self._model, input=texts, encoding_format="float", **options
                )
                try:
                    return json.loads(answer.text), None
                except ValueError:
                    return answer.text, None
        except openai.APIStatusError as error:
            status = error.status_code
            message = f"HTTP {status}: {self._without_secrets(error.response.text)!r:.200}"
            if status in (408, 409, 429) or status >= 500:
                return None, self._gave_up(message)
            return None, ValueError(f"{self._shown_url} refused the request for {self._model!r}: {message}")
        except openai.APIConnectionError as error:
            return None, self._gave_up(self._without_secrets(error.__cause__ or error))

    def _gave_up(self, message: str) -> ConnectionError:
        return ConnectionError(f"{self._shown_url} failed {REQUEST_ATTEMPTS} times, at last with {message}")

    def _without_secrets(self, value: Any) -> str:
        text = str(value)
        for secret in (self._key(), urlsplit(self._base_url).password, urlsplit(self._base_url).username):
            text = text.replace(secret, "***") if secret else text
        return text

    def _key(self) -> str:
        key = (self._api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
        if not key:
            raise ValueError(
                f"no key for {self._shown_url}: give `api_key` or set OPENAI_API_KEY (any word, if the server wants none)"
            )
        if not (key.isascii() and key.isprintable()):
            raise ValueError(f"the key for {self._shown_url} holds characters that no key has; copy it again")
        return key
