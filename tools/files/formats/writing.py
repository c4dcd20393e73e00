"""Shared by the writers of all formats: their call, JSON on one line, and text that any reader can decode."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model import Document

Entities = list[dict[str, Any]]
Writer = Callable[[Document, Entities], None]

LONE_SURROGATES = re.compile("[\ud800-\udfff]")
# Some readers take the last two for line ends; the others control terminals.
ESCAPED_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")


def readable(text: str) -> str:
    """The text, with halves of surrogate pairs, which no encoding can write, replaced by U+FFFD."""
    return text if text.isascii() else LONE_SURROGATES.sub("\ufffd", text)


def json_text(value: Any) -> str:
    """A value as JSON on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if line.isascii() and "\x7f" not in line:
        return line
    if LONE_SURROGATES.search(line):  # JSON has an escape for what UTF-8 cannot hold
        return json.dumps(value)
    return ESCAPED_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


@contextmanager
def json_lines(temporary: Path, value_of: Callable[[Document, Entities], Any]) -> Iterator[Writer]:
    """Writes a value for each document, one per line."""
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield lambda document, entities: print(json_text(value_of(document, entities)), file=file)


def as_triples(entities: Entities) -> list[list[Any]]:
    """Entities as `[start, end, label]`."""
    return [[each["start"], each["end"], each["entity_group"]] for each in entities]
