"""A language model behind an OpenAI-compatible endpoint: messages in, checked JSON out, every failure in clear words."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from .files.formats.writing import readable

Answer = TypeVar("Answer")
Message = dict[str, str]

# Local models may think aloud before they answer.
THOUGHTS = re.compile(r"^.*?</think(?:ing)?>", re.DOTALL)
MAX_SHOWN = 200  # characters of an answer in an error


class EndpointError(ConnectionError):
    """The endpoint cannot be used, or not now; the message says why and what helps."""


class AnswerError(ValueError):
    """None of the model's answers has the requested form."""


class ChatEndpoint:
    """
    A chat-completions endpoint. Nothing is sent before the first question.

    Args:
        base_url (`str`, *optional*): Such as `http://127.0.0.1:8080/v1`. Default: `OPENAI_BASE_URL`.
        model (`str`): The endpoint's name for the model.
        api_key (`str`, *optional*): Default: `OPENAI_API_KEY`; local endpoints usually need none.
        timeout (`float`): Seconds without an answer until a request counts as failed.
        max_retries (`int`): Number of retries after a time-out, a full queue (429) or a server error, each after a growing
            pause or the one that the endpoint names.
        attempts (`int`): Number of attempts to get a usable answer to a question.
        temperature (`float`): Sampling temperature.

    Attributes:
        counts (`Counter`): `requests`, `malformed` answers, `prompt_tokens` and `completion_tokens` so far.

    Raises:
        ValueError: If the address is missing or not a URL.
        ImportError: If the `openai` package is not installed.
    """

    def __init__(
        self,
        base_url: str | None,
        model: str,
        api_key: str | None = None,
        timeout: float = 60,
        max_retries: int = 3,
        attempts: int = 3,
        temperature: float = 0.7,
    ):
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not base_url:
            raise ValueError("`base_url`: give the address of an OpenAI-compatible endpoint, or set OPENAI_BASE_URL")
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"`base_url` must start with http:// or https://, got {base_url!r}")
        try:
            from openai import OpenAI
        except ImportError as error:
            raise ImportError(
                'a language model needs the `openai` package: pip install ".[openai]" in a checkout'
            ) from error
        self.url, self.model = base_url.rstrip("/"), model
        self.counts: Counter[str] = Counter()
        self._timeout, self._attempts, self._temperature = timeout, attempts, temperature
        self._sent = max_retries + 1
        self._client = OpenAI(
            base_url=self.url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            timeout=timeout,
            max_retries=max_retries,
        )

    def ask(self, messages: list[Message]) -> str:
        """
        The model's answer.

        Args:
            messages (`list[dict]`): With `role` and `content`.

        Raises:
            EndpointError: If there is no answer.
        """
        import openai

        self.counts["requests"] += 1
        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]  # one of its many dicts
                temperature=self._temperature,
            )
        except openai.APITimeoutError as error:
            raise EndpointError(
                f"{self.url} gave no answer within {self._timeout:g} seconds, {self._sent} times"
            ) from error
        except openai.APIConnectionError as error:
            raise EndpointError(f"{self.url} cannot be reached: {error.__cause__ or error}") from error
        except openai.APIStatusError as error:
            raise EndpointError(self._refusal(error)) from error
        except (openai.OpenAIError, ValueError) as error:  # an answer that is not JSON at all
            raise EndpointError(f"{self.url} does not answer like a chat endpoint: {_shown(str(error))}") from error
        return self._content(answer)

    def _refusal(self, error: Any) -> str:
        status = error.status_code
        if status == 429:
            return f"{self.url} takes no more requests for now (429), {self._sent} times; try again later"
        if status in (401, 403):
            return f"{self.url} refuses the key ({status}); set OPENAI_API_KEY"
        if status == 404:
            return f"{self.url} does not know the model {self.model!r}, or has no chat completions there (404)"
        return f"{self.url} fails with status {status}: {_shown(error.message)}"

    def _content(self, answer: Any) -> str:
        try:
            usage = answer.usage
            content = answer.choices[0].message.content
        except (AttributeError, IndexError, TypeError) as error:
            raise EndpointError(f"{self.url} does not answer like a chat endpoint: {_shown(str(answer))}") from error
        for name in ("prompt_tokens", "completion_tokens"):
            self.counts[name] += getattr(usage, name, None) or 0
        return readable(content or "")

    def ask_json(self, messages: list[Message], check: Callable[[Any], Answer]) -> Answer:
        """
        Asks until the answer is JSON that passes a check; the model is told what was wrong with its last answer.

        Args:
            messages (`list[dict]`): With `role` and `content`.
            check (`Callable`): Converts the JSON value; raises a `ValueError` that says what is wrong with it.

        Returns:
            What `check` returns.

        Raises:
            EndpointError: If there is no answer.
            AnswerError: If none of the answers can be used.
        """
        asked = list(messages)
        for _ in range(self._attempts):
            answer = self.ask(asked)
            try:
                return check(json_in(answer))
            except ValueError as error:
                problem = error
                self.counts["malformed"] += 1
            correction = f"That cannot be used: {problem}. Answer again, with nothing but the JSON."
            asked = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": correction}]
        raise AnswerError(f"{self.model}: no usable answer in {self._attempts} attempts; the last one: {problem}")


def json_in(answer: str) -> Any:
    """
    The first JSON object or list in a text, ignoring whatever the model writes around it.

    Raises:
        ValueError: If there is none, or only part of one.
    """
    text = THOUGHTS.sub("", answer)
    start = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=None)
    if start is None:
        raise ValueError(f"expected JSON, got {_shown(answer)!r}")
    try:
        value = json.JSONDecoder().raw_decode(text, start)[0]
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise ValueError(f"a lone surrogate, half of a character: {_shown(text[start:])!r}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"broken or incomplete JSON ({error.msg}): {_shown(text[start:])!r}") from None
    except RecursionError:
        raise ValueError(f"JSON with too many levels of brackets: {_shown(text[start:])!r}") from None


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " …"
