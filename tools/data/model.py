"""Labelled data: texts with entities, and the types these may have. Reads no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..files.formats.shapes import is_list_of_strings


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention: the characters `start` to `end` (exclusive) of a record's text, of the type `label`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A label of a dataset: the name to ask for, its definition and, if given, a short `generic` one."""

    name: str
    definition: str
    generic: str | None = None


@dataclass(slots=True)
class Record:
    """
    One labelled text.

    Args:
        id (`str`): Unique within its file.
        text (`str`): The text that `entities` index.
        entities (`list[Entity]`): Mentions; without overlaps, unless these were allowed when they were read.
        types (`dict[str, str]`, *optional*):
            The types annotated in this record, name to definition; they replace those of the dataset.
        labels (`list[str]`, *optional*): The only labels annotated in this record; it may be asked for no others.
        tokens (`list[str]`, *optional*): The words of the source, in the order of `text`.
        language (`str`, *optional*): The language of the text, such as `de`.
        dataset_types (`dict[str, TypeInfo]`, *optional*):
            The types of the dataset by label, if it was read with any. Shared by its records, and ignored when they are
            compared or written.
    """

    id: str
    text: str
    entities: list[Entity] = field(default_factory=list)
    types: dict[str, str] | None = None
    labels: list[str] | None = None
    tokens: list[str] | None = None
    language: str | None = None
    dataset_types: dict[str, TypeInfo] | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The record as a line of the project's format; absent fields are left out."""
        entities = [{"start": each.start, "end": each.end, "label": each.label} for each in self.entities]
        optional = {name: getattr(self, name) for name in ("types", "labels", "tokens", "language")}
        present = {key: value for key, value in optional.items() if value is not None}
        return {"id": self.id, "text": self.text, "entities": entities, **present}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, allow_overlaps: bool = False) -> "Record":
        """
        Builds a record from a line of the project's format. Keys that the format does not know are dropped.

        Args:
            allow_overlaps (`bool`): Whether its entities may overlap.

        Raises:
            ValueError: With everything [`record_problems`] finds.
        """
        from .checks import record_problems

        if reasons := record_problems(data, allow_overlaps=allow_overlaps):
            raise ValueError(f"not a usable record: {'; '.join(reasons)}")
        return cls.from_valid(data)

    @classmethod
    def from_valid(cls, data: Mapping[str, Any]) -> "Record":
        """As [`Record.from_dict`], for data that was already checked."""
        entities = [Entity(each["start"], each["end"], each["label"]) for each in data["entities"]]
        tokens = data.get("tokens") if is_list_of_strings(data.get("tokens")) else None
        language = data.get("language") if isinstance(data.get("language"), str) else None
        return cls(str(data["id"]), data["text"], entities, data.get("types"), data.get("labels"), tokens, language)


def token_ranges(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """
    Character ranges of tokens that occur in the text in this order, each as early as possible.

    Raises:
        ValueError: Naming the first token that is not found.
    """
    ranges, position = [], 0
    for index, token in enumerate(tokens):
        start = text.find(token, position)
        if start < 0 or not token:
            raise ValueError(f"token {index} {token!r} is not in the text after character {position}")
        position = start + len(token)
        ranges.append((start, position))
    return ranges
