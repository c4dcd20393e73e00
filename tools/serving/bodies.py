"""Requests and answers of the service, and their checks. Nothing that a client sends is used as a path."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ...entity_pipeline_jpt import lowest_scores
from ...schema_jpt import Schema, resolve_schema
from .batching import Text
from .limits import Limits

EXAMPLE_TYPES = {"person": "A named human being.", "city": "A named city or town; not a country."}
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class Options(BaseModel):
    """Fields of both kinds of requests."""

    model_config = ConfigDict(extra="forbid")

    entity_types: dict[str, Any] | list[Any] | str | None = Field(
        None,
        description="Name to definition, a list of names or of objects with `name`, `definition`, `threshold`, `examples`, or "
        "the name of a preset. Default: the types that the server was started with.",
        examples=[EXAMPLE_TYPES],
    )
    threshold: Score | dict[str, Score] | None = Field(
        None, description="Drops entities that score below, of all types or of those named."
    )
    nested: bool = Field(False, description="Lets entities of different types overlap.")
    top_k: int = Field(0, ge=0, le=100, description="Adds this many other types with their scores to each entity.")

    @property
    def call_options(self) -> dict[str, Any]:
        """Options of the pipeline's call, without those at their defaults."""
        return {name: value for name, value in (("nested", self.nested), ("top_k", self.top_k)) if value}


class TagRequest(Options):
    """One text."""

    text: str = Field(examples=["Marta Kovac moved to Lisbon."])


class TextWithTypes(BaseModel):
    """A text with types of its own."""

    model_config = ConfigDict(extra="forbid")

    text: str
    entity_types: dict[str, Any] | list[Any] | str | None = None


class BatchRequest(Options):
    """Several texts."""

    texts: list[str | TextWithTypes] = Field(
        min_length=1, examples=[["Marta Kovac moved to Lisbon.", {"text": "...", "entity_types": "contracts"}]]
    )


class OtherType(BaseModel):
    """A type that came second."""

    entity_group: str
    score: float


class EntityAnswer(BaseModel):
    """Offsets count characters (Unicode code points); `word` is the text from `start` to `end`."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int
    alternatives: list[OtherType] | None = None


class TagAnswer(BaseModel):
    entities: list[EntityAnswer]


class BatchAnswer(BaseModel):
    results: list[TagAnswer]


class TypesAnswer(BaseModel):
    default: dict[str, Any] | None = Field(description="The types that are looked for if a request names none.")
    presets: dict[str, str] = Field(description="Names of presets, and what they are for.")


class Health(BaseModel):
    status: str
    model: str
    waiting: int = Field(description="Texts that wait.")


class ErrorAnswer(BaseModel):
    detail: str


def checked_texts(request: TagRequest | BatchRequest, default: Schema | None, limits: Limits) -> list[Text]:
    """
    The texts of a request, each with its types and the request's thresholds.

    Raises:
        ValueError: If something is invalid; the message names the field.
    """
    items = [request] if isinstance(request, TagRequest) else request.texts
    if len(items) > limits.max_texts:
        raise ValueError(f"`texts`: at most {limits.max_texts} texts a request, got {len(items)}")
    shared = default if request.entity_types is None else checked_types(request.entity_types, limits)
    shared = _with_thresholds(shared, request.threshold)
    checked = []
    for number, item in enumerate(items):
        name = "text" if item is request else f"texts[{number}]"
        text, own = (item, None) if isinstance(item, str) else (item.text, item.entity_types)
        _check_text(name, text, limits)
        schema = shared
        if item is not request and own is not None:
            try:
                schema = _with_thresholds(checked_types(own, limits), request.threshold)
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from error
        if schema is None:
            raise ValueError("`entity_types` must be given: this server was started without types of its own")
        checked.append(Text(text, schema))
    _check_named(request.threshold, {name for each in checked for name in each.schema.names})
    return checked


def _check_named(threshold: float | Mapping[str, float] | None, known: set[str]) -> None:
    if isinstance(threshold, Mapping) and (unknown := [name for name in threshold if name not in known]):
        raise ValueError(f"`threshold` names {unknown[0]!r}, which is none of the types: {', '.join(sorted(known))}")


def _check_text(name: str, text: str, limits: Limits) -> None:
    if len(text) > limits.max_characters:
        raise ValueError(f"`{name}`: at most {limits.max_characters:,} characters a text, got {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"`{name}` holds half a character (a lone surrogate) at {error.start}") from error


def checked_types(value: Any, limits: Limits) -> Schema:
    """
    Raises:
        ValueError: If the types are malformed, too many, or given as a file, which would be on the server.
    """
    schema = resolve_schema(value, files=False)
    if len(schema) > limits.max_types:
        raise ValueError(f"`entity_types`: at most {limits.max_types} types at once, got {len(schema)}")
    return schema


def _with_thresholds(schema: Schema | None, threshold: float | Mapping[str, float] | None) -> Schema | None:
    """Stores a request's thresholds in its types, so that requests with different thresholds can be read together."""
    if schema is None or threshold is None:
        return schema
    lowest = lowest_scores(schema, threshold)
    types = tuple(replace(each, threshold=score) for each, score in zip(schema.entity_types, lowest, strict=True))
    return replace(schema, entity_types=types)
