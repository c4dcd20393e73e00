"""spaCy: `nlp.add_pipe("jpt_ner", config={"entity_types": ...})` fills `doc.ents` and `doc.spans`.

A misaligned entity, which begins or ends within one of spaCy's tokens, is extended to whole tokens; none is dropped. The
model's own offsets are in `doc.spans[KEY].attrs["offsets"]`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import ensure_path, minibatch

from ..schema_jpt import Schema, resolve_schema
from ..tools.loading import load_pipeline

NAME = "jpt_ner"
SCORE = "score"
TYPES_FILE = "entity_types.json"


class EntityComponent:
    """
    A component of spaCy's pipelines. The model is loaded with the first text.

    `doc.spans[spans_key]` gets all entities in the order of the text, with their `scores` and `offsets` (the characters that
    the model found) in the group's `attrs`; `doc.ents` gets those that overlap none with a higher score; `span._.score` is
    the score of each (the highest, if spans have the same offsets).

    Args:
        name (`str`): The component's name in its pipeline.
        model (`str`, *optional*): Folder or Hub id, which is saved with the pipeline; the weights are not. Defaults to the
            shipped model.
        entity_types (*optional*): What `resolve_schema` takes. Their present definitions are saved with the pipeline.
            Defaults to the model's own.
        options (`Mapping`): Options of the pipeline's call.
        spans_key (`str`): Key in `doc.spans`.
        overwrite (`bool`): Whether new entities replace overlapping ones in `doc.ents`. Otherwise the latter stay, and the
            new ones are in `doc.spans` only.
        device (`str`, *optional*): Defaults to the best available.

    Raises:
        ValueError: If the types are malformed.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str | None = None,
        entity_types: Any = None,
        options: Mapping[str, Any],
        spans_key: str = NAME,
        overwrite: bool = False,
        device: str | None = None,
    ):
        self.name = name
        self._model = model
        self._schema: Schema | None = None if entity_types is None else resolve_schema(entity_types)
        self._options = dict(options)
        self._spans_key = spans_key
        self._overwrite = overwrite
        self._device = device
        self._pipeline: Any = None
        self._error_handler: Callable = _raise_error

    @property
    def pipeline(self) -> Any:
        """The pipeline of the model."""
        if self._pipeline is None:
            self._pipeline = load_pipeline(self._model, device=self._device)
        return self._pipeline

    def __call__(self, doc: Doc) -> Doc:
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Docs of a stream, `batch_size` of them read ahead."""
        for docs in minibatch(stream, size=batch_size):
            types = {} if self._schema is None else {"entity_types": self._schema}
            try:
                found = self.pipeline([doc.text for doc in docs], **types, **self._options)
            except Exception as error:
                self._error_handler(self.name, self, docs, error)
                continue
            for doc, entities in zip(docs, found, strict=True):
                self._annotate(doc, entities)
                yield doc

    def set_error_handler(self, handler: Callable) -> None:
        """Sets what spaCy does with docs that could not be read."""
        self._error_handler = handler

    def get_error_handler(self) -> Callable:
        """The handler that was set, or one that raises the error."""
        return self._error_handler

    def _annotate(self, doc: Doc, entities: Sequence[Mapping[str, Any]]) -> None:
        spans = [
            doc.char_span(each["start"], each["end"], label=each["entity_group"], alignment_mode="expand")
            for each in entities
        ]
        scores = [each["score"] for each in entities]
        offsets = [[each["start"], each["end"]] for each in entities]
        attributes = {"scores": scores, "offsets": offsets}
        doc.spans[self._spans_key] = SpanGroup(doc, name=self._spans_key, attrs=attributes, spans=spans)
        ranked = sorted(zip(scores, spans, strict=True), key=lambda each: each[0])
        for score, span in ranked:
            span._.set(SCORE, score)
        best = [span for _, span in reversed(ranked)]
        earlier = list(doc.ents)
        doc.ents = _without_overlaps([*best, *earlier] if self._overwrite else [*earlier, *best])

    # The types are saved, so that a changed preset or file does not change a saved pipeline.

    def to_bytes(self, exclude: Sequence[str] = ()) -> bytes:
        """The types."""
        return _types_text(self._schema).encode()

    def from_bytes(self, data: bytes, exclude: Sequence[str] = ()) -> "EntityComponent":
        """Loads types from [`~EntityComponent.to_bytes`]."""
        self._schema = _read_types(data.decode())
        return self

    def to_disk(self, path: str | Path, exclude: Sequence[str] = ()) -> None:
        """Writes the types into a folder."""
        folder = ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TYPES_FILE).write_text(_types_text(self._schema), encoding="utf-8")

    def from_disk(self, path: str | Path, exclude: Sequence[str] = ()) -> "EntityComponent":
        """Loads types from [`~EntityComponent.to_disk`]."""
        self._schema = _read_types((ensure_path(path) / TYPES_FILE).read_text(encoding="utf-8"))
        return self


@Language.factory(
    NAME,
    assigns=["doc.ents", "doc.spans"],
    default_config={
        "model": None,
        "entity_types": None,
        "threshold": None,
        "nested": False,
        "batch_size": 16,
        "spans_key": NAME,
        "overwrite": False,
        "device": None,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str | None,
    entity_types: str | list[Any] | dict[str, Any] | None,
    threshold: float | dict[str, float] | None,
    nested: bool,
    batch_size: int,
    spans_key: str,
    overwrite: bool,
    device: str | None,
) -> EntityComponent:
    """The factory behind `nlp.add_pipe("jpt_ner", config=...)`."""
    options = {"threshold": threshold, "nested": nested, "batch_size": batch_size}
    return EntityComponent(
        name,
        model=model,
        entity_types=entity_types,
        options={key: value for key, value in options.items() if value is not None},
        spans_key=spans_key,
        overwrite=overwrite,
        device=device,
    )


def _without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, without those that overlap an earlier one."""
    taken: set[int] = set()
    kept = []
    for span in spans:
        tokens = range(span.start, span.end)
        if taken.isdisjoint(tokens):
            kept.append(span)
            taken.update(tokens)
    return kept


def _raise_error(name: str, component: Any, docs: list[Doc], error: Exception) -> None:
    raise error


def _types_text(schema: Schema | None) -> str:
    return json.dumps(None if schema is None else schema.to_dict(), ensure_ascii=False)


def _read_types(text: str) -> Schema | None:
    value = json.loads(text)
    return None if value is None else resolve_schema(value)


if not Span.has_extension(SCORE):
    Span.set_extension(SCORE, default=None)
