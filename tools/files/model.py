"""The result of reading a file of any format: a `Document` for each text, a `BadRow` for each row that cannot be used.

Also the reading options, which are the same for texts to tag (`documents`) and labelled data (`data.records`).
"""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...schema_jpt import Schema
from .extraction import MAX_CHARACTERS, MAX_SECONDS

DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
TAG_SCHEMES = ("io",)


@dataclass(slots=True)
class Document:
    """
    One text of a file.

    Args:
        line (`int`): The line of its file where it starts, counted from 1.
        row (`Mapping`): Its row with all fields, to be written back.
        text (`str`): The text; words are joined by spaces.
        words (`list[str]`, *optional*): The words of a text that was split.
        entity_types ([`Schema`], *optional*): Types of its own.
        columns (`list[list[str]]`, *optional*): Its lines in a CoNLL file, split into columns.
        not_words (`frozenset[int]`): Indices of lines that are not in `words`, such as parts of a CoNLL-U contraction.
        comments (`list[str]`): Comment lines before it in a CoNLL file, to be written back.
        record (`dict` or [`BadRow`], *optional*):
            The entities from its file, in the form of a line of the project's JSONL and unchecked: `text`, `entities` and,
            if given, `id`, `tokens`, `types`, `labels`; or why they cannot be read. `None` if an annotator has rejected
            or skipped the text.
    """

    line: int
    row: Mapping[str, Any]
    text: str
    words: list[str] | None = None
    entity_types: Schema | None = None
    columns: list[list[str]] | None = None
    not_words: frozenset[int] = frozenset()
    comments: list[str] = field(default_factory=list)
    record: "dict[str, Any] | BadRow | None" = None
    unique_id: bool = False

    @property
    def has_id(self) -> bool:
        """Whether its row has an id: one that is `null` or blank is none."""
        return self.row.get("id") not in (None, "")

    @property
    def name(self) -> Any:
        """What it is called by: the id of its row or, where that has none, its line."""
        return self.row["id"] if self.has_id else self.line

    @property
    def title(self) -> str:
        """Its name for people to read."""
        return str(self.name) if self.has_id else f"line {self.line}"

    @property
    def item(self) -> dict[str, Any]:
        """What the pipeline takes."""
        item: dict[str, Any] = {"text": self.text if self.words is None else self.words}
        return item if self.entity_types is None else {**item, "entity_types": self.entity_types}


@dataclass(frozen=True, slots=True)
class BadRow:
    """
    A row that cannot be used.

    Args:
        line (`int`, *optional*): The line where it starts, counted from 1; `None` if the file has no lines.
        reason (`str`): What is wrong with it, in words for its author.
        id (`str`, *optional*): Its id, if it could be read.
    """

    line: int | None
    reason: str
    id: str | None = None


Row = Document | BadRow


@dataclass(frozen=True)
class ReadOptions:
    """
    How files are read. Options that are not given are detected for each file.

    Args:
        format (`str`, *optional*): One of `formats.FORMATS`.
        encoding (`str`, *optional*): Such as `"cp1252"`. Defaults to UTF-8, or what a byte order mark says.
        delimiter (`str`, *optional*):
            What separates the cells of a `.csv` or `.tsv` file: a character, `"tab"`, `"comma"`, `"semicolon"` or `"pipe"`.
        columns (`str` or `tuple[str, ...]`, *optional*):
            Column of the words and, after a comma, of the tags: numbers from 1 in CoNLL files, names in tables.
        text_column (`str`, *optional*, defaults to `"text"`): Key or column of the text in JSON and tables.
        tag_names (`str` or `tuple[str, ...]`, *optional*): Names of tags that are numbers, from 0.
        tag_scheme (`str`, *optional*): `"io"`: tags are bare labels, and neighbours with one label are one mention.
        separator (`str`, *optional*, defaults to `" "`): Joins the words of a text that was split.
        max_characters (`int`, *optional*): Maximum text of a Word or PDF file; longer ones are errors.
        max_seconds (`float`, *optional*): Maximum time for reading a Word or PDF file.

    Raises:
        ValueError: If one of them is not as described.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: str | tuple[str, ...] | None = None
    text_column: str = "text"
    tag_names: str | tuple[str, ...] | None = None
    tag_scheme: str | None = None
    separator: str = " "
    max_characters: int = MAX_CHARACTERS
    max_seconds: float = MAX_SECONDS

    def __post_init__(self):
        for name in ("columns", "tag_names"):
            value = getattr(self, name)
            if value is not None:
                parts = value.split(",") if isinstance(value, str) else map(str, value)
                object.__setattr__(self, name, tuple(part.strip() for part in parts))
        if self.columns is not None and not (1 <= len(self.columns) <= 2 and all(self.columns)):
            raise ValueError(
                f"`columns` should be the column of the words and that of the tags, such as '2,3', got {self.columns!r}"
            )
        if self.delimiter is not None:
            delimiter = DELIMITER_NAMES.get(self.delimiter, self.delimiter)
            if len(delimiter) != 1 or delimiter in '\r\n"':
                expected = "one character, or tab, comma, semicolon or pipe"
                raise ValueError(f"`delimiter` should be {expected}, got {self.delimiter!r}")
            object.__setattr__(self, "delimiter", delimiter)
        if self.tag_scheme not in (None, *TAG_SCHEMES):
            raise ValueError(f"`tag_scheme` should be {' or '.join(TAG_SCHEMES)}, got {self.tag_scheme!r}")
        if self.encoding is not None:
            try:
                is_text = codecs.lookup(self.encoding)._is_text_encoding
            except LookupError:
                is_text = False
            if not is_text:
                raise ValueError(
                    f"`encoding` {self.encoding!r} is not known; such as utf-8, utf-16, cp1252, latin-1, gb18030 or shift_jis"
                )
