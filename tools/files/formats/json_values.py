"""JSON in, its values out, one after another: one per line, in one list, or consecutively over many lines.

Only the current value is in memory. Knows nothing of what the values mean.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ..model import BadRow
from ..opening import ESCAPED_BYTES, MAX_LINE, Source

JSON_LINES = (".jsonl", ".ndjson")
BETWEEN = re.compile(r"[\s,]*")
PAIR = re.compile(r'\[\s*"')  # the start of a spaCy pair


def json_values(source: Source) -> Iterator[tuple[int, Any] | BadRow]:
    """The values of a file, each with the line it starts on; a [`BadRow`] for each that cannot be read."""
    return _values_by_line(source) if _has_one_a_line(source) else _values_in_stream(source)


def looks_like_json(start: str) -> bool:
    """Whether a text starts like a JSON object or a list of JSON values."""
    return re.match(r'\s*(\{\s*("|\}|$)|\[\s*([\[{"\]]|$))', start) is not None


def is_spacy_pair(value: Any) -> bool:
    """Whether a value is `[text, {...}]`, as in spaCy's training data."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)


def _has_one_a_line(source: Source) -> bool:
    start = source.start.lstrip()
    first, is_whole, rest = start.partition("\n")
    if first.strip() in ("{", "["):
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        if start.startswith("["):
            # The line may be longer than what is seen of it.
            return not is_whole and source.suffix in JSON_LINES and PAIR.match(start) is not None
        return source.suffix in JSON_LINES or not is_whole
    # A list on one line is a list of values, unless more lists follow.
    return not isinstance(value, list) or is_spacy_pair(value) or rest.lstrip().startswith("[")


class _Decoder:
    """Decodes values, and notes keys that stand twice in one object: of these only the last would be left."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)
        self._repeated: list[str] = []

    def decode(self, text: str) -> Any:
        self._repeated.clear()
        return self._decoder.decode(text)

    def raw_decode(self, text: str, position: int) -> tuple[Any, int]:
        self._repeated.clear()
        return self._decoder.raw_decode(text, position)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            self._repeated.append(next(key for key in keys if keys.count(key) > 1))
        return value

    @property
    def problem(self) -> str | None:
        """What is wrong with the value that was decoded last, though it is JSON."""
        return f"the key {self._repeated[0]!r:.80} stands twice in one object" if self._repeated else None


def _values_by_line(source: Source) -> Iterator[tuple[int, Any] | BadRow]:
    faults: dict[int, str] = {}
    decoder = _Decoder()
    for number, line in enumerate(source.lines(faults), 1):
        if reason := faults.pop(number, None):
            yield BadRow(number, reason)
        elif line.strip():
            try:
                value = decoder.decode(line)
            except RecursionError:
                yield BadRow(number, "JSON that is nested too deeply")
            except ValueError as error:
                yield BadRow(number, f"broken JSON ({error})")
            else:
                yield BadRow(number, decoder.problem) if decoder.problem else (number, value)


class _Buffer:
    """Text that is read as needed, and dropped before `position`."""

    def __init__(self, pieces: Iterator[str]):
        self._pieces = pieces
        self.text = ""
        self.position = 0
        self.line = 1

    def __len__(self) -> int:
        return len(self.text) - self.position

    def more(self) -> bool:
        """Reads at least as much again; returns whether there was anything to read."""
        wanted, read = max(len(self), 1), [self.text[self.position :]]
        while wanted > 0 and (piece := next(self._pieces, "")):
            read.append(piece)
            wanted -= len(piece)
        self.text, self.position = "".join(read), 0
        return len(read) > 1

    def skip_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def skip_between(self) -> str:
        """Skips blanks and commas; returns the character that follows, or nothing at the end."""
        while True:
            self.skip_to(BETWEEN.match(self.text, self.position).end())  # type: ignore[union-attr]
            if len(self) or not self.more():
                return self.text[self.position : self.position + 1]


def _values_in_stream(source: Source) -> Iterator[tuple[int, Any] | BadRow]:
    buffer, decoder = _Buffer(source.pieces()), _Decoder()
    is_list = buffer.skip_between() == "["
    if is_list:
        buffer.position += 1
    while character := buffer.skip_between():
        if is_list and character == "]":
            buffer.position += 1
            if buffer.skip_between():
                yield BadRow(buffer.line, "there is more after the end of the JSON list, which was not read")
            return
        try:
            line, value, text = _next_value(buffer, decoder)
        except ValueError as error:
            yield BadRow(buffer.line, f"{error}; nothing from here on was read")
            return
        if match := ESCAPED_BYTES.search(text):
            yield BadRow(line + text.count("\n", 0, match.start()), source.fault(text))
        elif decoder.problem:
            yield BadRow(line, decoder.problem)
        else:
            yield line, value
    if is_list:
        yield BadRow(buffer.line, "broken JSON (the list has no end)")


def _next_value(buffer: _Buffer, decoder: _Decoder) -> tuple[int, Any, str]:
    """The line that the next value begins on, the value, and how it is written."""
    while True:
        try:
            value, end = decoder.raw_decode(buffer.text, buffer.position)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        except json.JSONDecodeError as error:
            if len(buffer) > MAX_LINE:
                raise ValueError(f"a value has more than {MAX_LINE:,} characters") from None
            if not buffer.more():
                buffer.skip_to(error.pos)
                raise ValueError(f"broken JSON ({error.msg})") from None
            continue
        line, text = buffer.line, buffer.text[buffer.position : end]
        # A number at the end of what was read may go on behind it.
        if end < len(buffer.text) or not buffer.more():
            buffer.skip_to(end)
            return line, value, text
