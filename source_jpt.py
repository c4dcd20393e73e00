"""A YAML or JSON file in, plain values and the line of each out, so that errors can begin with `FILE:LINE: `.

Knows nothing of what the values mean. Schema files and recipes are read with it.
"""

import json
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

MAX_SHOWN = 80  # characters of a value in a message


class TreeLoader(yaml.SafeLoader):
    """Refuses aliases, which let a small file describe an endless document."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed; write the text again", mark)
        return super().compose_node(parent, index)


class SourceDocument:
    """
    Where a document comes from, for error messages: a file with the line of each part, or code.

    Args:
        path (`Path`, *optional*): The file.
        kind (`str`, *optional*): What it should contain, for messages.
    """

    def __init__(self, path: Path | None = None, kind: str = "schema"):
        self.path = path
        self.kind = kind
        self.lines: dict[tuple, int] = {}  # by the keys and indices of the part

    def error(self, where: tuple, message: str) -> ValueError:
        """An error about the part with these keys and indices, or the nearest part around it."""
        if self.path is None:
            return ValueError(message)
        while where and where not in self.lines:
            where = where[:-1]
        return self.error_at(self.lines.get(where, 1), message)

    def error_at(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.path}:{line}: {message}")

    def read(self, loader: type[yaml.SafeLoader] = TreeLoader) -> Any:
        """
        Parses the file into plain values and fills in `lines`; `None` for an empty file.

        Raises:
            ValueError: With `FILE:LINE: ` in front, if it is not valid YAML or JSON.
            OSError: If the file cannot be read.
        """
        data = self.path.read_bytes()
        try:
            return self._parse(data.decode("utf-8-sig"), loader)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self.error_at(line, "the file is not UTF-8 text") from error
        except json.JSONDecodeError as error:
            raise self.error_at(error.lineno, f"broken JSON: {error.msg}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self.error_at(mark.line + 1, f"broken YAML: {error.problem}") from error
        except RecursionError as error:
            raise self.error_at(1, f"the file is nested too deeply for a {self.kind}") from error

    def _parse(self, text: str, loader_class: type[yaml.SafeLoader]) -> Any:
        is_json = self.path.suffix.lower() == ".json"
        if is_json:
            try:
                json.loads(text)
            except json.JSONDecodeError:
                raise
            except ValueError as error:
                raise self.error_at(1, "broken JSON: a number has too many digits") from error
        try:
            # The YAML composer finds the lines in JSON too, once the characters that only JSON allows are blanked.
            loader = loader_class(re.sub(r"[^\n -~]", " ", text) if is_json else text)
            root = loader.get_single_node()
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self.error_at(line, f"broken YAML: character U+{error.character:04X} is not allowed") from error
        if root is None:
            return None
        if is_json:
            return self._value(root, (), lambda node: json.loads(text[node.start_mark.index : node.end_mark.index]))
        return self._value(root, (), loader.construct_object)

    def _value(self, node: yaml.Node, where: tuple, read_scalar: Callable[[yaml.ScalarNode], Any]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*where, index), read_scalar) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line, read_scalar)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error_at(line, "a key must be text, got a list or mapping")
            key = self._scalar(key_node, line, read_scalar)
            if isinstance(key, bool) and key_node.value.lower() not in ("true", "false"):  # on, off, yes, no
                name = key_node.value
                raise self.error_at(
                    line, f'YAML reads the key {name} as {str(key).lower()}; write "{name}", in quotes'
                )
            if key in mapping:
                raise self.error_at(line, f"duplicate key {quoted(key)}, first on line {self.lines[*where, key]}")
            self.lines[*where, key] = line
            mapping[key] = self._value(value_node, (*where, key), read_scalar)
            if key == "colour" and len(where) == 2 and value_node.value == "" and mapping[key] is None:
                raise self.error_at(line, 'colour is empty; YAML needs quotes around it, as in "#ffcc00"')
        return mapping

    def _scalar(self, node: yaml.ScalarNode, line: int, read_scalar: Callable[[yaml.ScalarNode], Any]) -> Any:
        """The value of a scalar: text, number, date, true, false or nothing."""
        try:
            value = read_scalar(node)
        except yaml.YAMLError:
            raise
        except Exception as error:  # tags such as !!int on other texts fail in many ways; dates such as 2024-13-45
            reason = f" ({error})" if isinstance(error, ValueError) and len(node.value) <= MAX_SHOWN else ""
            raise self.error_at(line, f"cannot read {shown(node.value)}{reason}; put text in quotes") from error
        if isinstance(value, (list, dict, set)):  # such as !!seq on a text
            raise self.error_at(line, f"cannot read {shown(node.value)} as a {type(value).__name__}")
        if self.kind == "schema" and isinstance(value, str) and node.style is None:
            self._check_whole(node.end_mark)
        return value

    def _check_whole(self, end: yaml.Mark) -> None:
        """A text without quotes ends where a blank and `#` follow: a comment, unless "#1" or the like was meant."""
        if comment := re.match(r"[ \t]+(#[^\s#]\S*)", end.buffer[end.pointer :]):
            message = f"the text ends before {shown(comment[1])}, which is a comment; put the text in quotes"
            raise self.error_at(end.line + 1, f'{message}, or write "# " before a comment')


class _Shown(reprlib.Repr):
    """Reads no more of a value than it shows."""

    def __init__(self):
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, MAX_SHOWN, MAX_SHOWN, MAX_SHOWN

    def repr_int(self, value: int, level: int) -> str:
        return (
            f"a number of {value.bit_length()} bits" if value.bit_length() > 1000 else super().repr_int(value, level)
        )


_SHOWN = _Shown()


def shown(value: Any) -> str:
    """A value as Python writes it, shortened, for messages."""
    return _SHOWN.repr(value)


def quoted(key: Any) -> str:
    """A key in double quotes, for messages; as Python writes it if it cannot be printed as it is."""
    return f'"{key[:MAX_SHOWN]}"' if isinstance(key, str) and key[:MAX_SHOWN].isprintable() else shown(key)
