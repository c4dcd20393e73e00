"""Documents in, their entities out, as a stream: to a file, as JSON lines, or in colour on a terminal."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from ...schema_jpt import Schema
from .model import Document
from .writers import Entities, document_writer, json_line

Results = Iterable[tuple[Document, Entities]]


class Tagger:
    """
    Finds the entities of documents, with a pipeline that is loaded once the first document has been read.

    Args:
        load_pipeline (`Callable`): Loads it.
        schema ([`Schema`], *optional*): Types for documents without their own.
        options: Further options of the pipeline's call.
    """

    def __init__(self, load_pipeline: Callable[[], Any], schema: Schema | None = None, **options: Any):
        self._load = load_pipeline
        self._pipeline: Any = None
        self._options = options if schema is None else {**options, "entity_types": schema}
        self.own_types = 0

    def __call__(self, documents: Iterator[Document]) -> Iterator[tuple[Document, Entities]]:
        """
        Documents with their entities, in order. A reading error is raised once all documents before it are done.

        Raises:
            ValueError: If there are no types, or whatever reading the documents raises.
        """
        failures: list[Exception] = []

        def good() -> Iterator[Document]:
            try:
                yield from documents
            except Exception as error:  # The pipeline has read ahead: the texts it holds must not be lost.
                failures.append(error)

        for is_split, group in groupby(good(), key=lambda document: document.words is not None):
            yield from self._tag(group, is_split)
        if failures:
            raise failures[0]

    def _tag(self, documents: Iterator[Document], is_split: bool) -> Iterator[tuple[Document, Entities]]:
        pending: deque[Document] = deque()
        first = next(documents)
        pipeline = self._ready(first)

        def items() -> Iterator[dict]:
            for document in _chain(first, documents):
                self.own_types += document.entity_types is not None
                pending.append(document)
                yield document.item

        for entities in pipeline(items(), is_split_into_words=is_split, **self._options):
            yield pending.popleft(), entities

    @property
    def pipeline(self) -> Any:
        """The pipeline, loaded on first access."""
        if self._pipeline is None:
            self._pipeline = self._load()
        return self._pipeline

    @property
    def has_types(self) -> bool:
        """Checks that there are types for documents without their own; loads the pipeline."""
        settings = self.pipeline.settings if hasattr(self.pipeline, "settings") else self.pipeline.model.config
        return "entity_types" in self._options or bool(settings.entity_types)

    def _ready(self, first: Document):
        if self._pipeline is None and not self.has_types and first.entity_types is None:
            raise ValueError("say what to look for with --types; this model has no types of its own")
        return self.pipeline


def _chain(first: Document, rest: Iterator[Document]) -> Iterator[Document]:
    yield first
    yield from rest


def write_results(results: Results, output: Path, schema: Schema | None, tell: Callable[[str], None]) -> None:
    """
    Writes documents with their entities to a file, and reports their number. What was written before an error is kept in a
    file beside it, which is reported, too.
    """
    from tqdm.auto import tqdm

    def kept(path: Path, count: int) -> None:
        tell(f"{path}: {count} texts that were done are kept there")

    documents = found = 0
    with document_writer(output, [] if schema is None else schema.names, kept) as write:
        for document, entities in tqdm(results, unit=" texts", disable=None):
            write(document, entities)
            documents += 1
            found += len(entities)
    tell(f"{output}: {found} entities in {documents} texts")


def print_results(results: Results, schema: Schema | None, scores: bool, titles: bool) -> None:
    """
    Prints texts with their entities in colour, each set of types with a legend of its own.

    Args:
        schema ([`Schema`], *optional*): Types for documents without their own.
        scores (`bool`): Show the score of each entity.
        titles (`bool`): Print the id or line of each document above it.
    """
    from rich.console import Console

    from .highlight import Highlighter

    console = Console(highlight=False)
    highlighter, shown = None, None
    for document, entities in results:
        current = document.entity_types or schema
        if highlighter is None or current is not shown:
            if highlighter is not None:
                highlighter.print_legend()
            colours = {each.name: each.colour for each in current.entity_types} if current else {}
            highlighter, shown = Highlighter(console, colours, scores), current
        title = document.title if titles else None
        highlighter.print(document.text, entities, title)
    if highlighter is not None:
        highlighter.print_legend()


__all__ = ["Tagger", "json_line", "print_results", "write_results"]
