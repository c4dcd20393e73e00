"""The tab Files: a file with many texts in, the same texts with their entities out, and bad rows with the reason.

Results live in the session until they are downloaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..schema_jpt import Schema
from ..tools.files.documents import Document
from ..tools.files.formats.writing import readable
from .editor import schema_of
from .errors import PageError, TimeLimitError, TypesError, sentence
from .finding import QUIET, SESSION_SECONDS, Update, colours_of, error_line
from .highlighting import EMPTY, highlight, legend
from .model import Model
from .requests import MAX_FILE_SECONDS, RequestLimit
from .snippets import FORMATS, download, entity_file
from .uploads import (
    COLUMNS_BYTES,
    MAX_CHARACTERS,
    MAX_TEXTS,
    SUFFIXES,
    columns_of,
    likely_column,
    read_batch,
    uploaded_bytes,
)

SHOWN_TEXTS = 20
SHOWN_REASONS = 100
SHOWN_TITLE = 80  # characters
CHUNK_TEXTS = 64
CHUNK_CHARACTERS = 8_000  # about one forward pass
NOTHING_YET = EMPTY.format("Upload a file: one text a row in .jsonl, .csv or .tsv, or one document.")

Tagged = tuple[Document, list[dict[str, Any]]]


@dataclass
class Batch:
    """The texts of a file and their entities. `stopped`, if not empty, says why not all texts were read."""

    name: str
    tagged: list[Tagged] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    stopped: str = ""


def tag_file(
    model: Model,
    path: str | Path,
    text_column: str | None,
    schema: Schema,
    threshold: float,
    nested: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """
    Reads a file and finds the entities of its texts. Results at the time limit are kept.

    Raises:
        PageError: If the file, the types or the model cannot be used, or the client has left.
    """
    limit = RequestLimit(MAX_FILE_SECONDS)
    documents, skipped = read_batch(path, text_column)
    batch = Batch(Path(path).name, [], skipped)
    try:
        for tagged in tag_documents(model, documents, schema, threshold, nested, limit):
            batch.tagged.append(tagged)
            if on_progress is not None:
                on_progress(len(batch.tagged), len(documents))
    except TimeLimitError:
        if not batch.tagged:
            raise
        read = f"{len(batch.tagged):,} of {len(documents):,} texts"
        batch.stopped = f"After {limit.seconds:g} seconds {read} were read. Split the file, or use the command line."
    return batch


def tag_documents(
    model: Model,
    documents: list[Document],
    schema: Schema,
    threshold: float,
    nested: bool,
    limit: RequestLimit | None = None,
) -> Iterator[Tagged]:
    """
    Yields documents with their entities, in order.

    They are read in chunks, and a long text alone and window by window, so that the limit is checked every few seconds.

    Raises:
        TypesError: If the types do not fit the model, for example because definitions are too long.
        PageError: If the limit is exceeded.
    """
    limit = limit or RequestLimit(MAX_FILE_SECONDS)
    pipeline = model.pipeline()
    options = {"threshold": float(threshold), "nested": bool(nested)}
    try:
        for chunk in _chunks(documents):
            limit.check()
            if len(chunk) == 1 and chunk[0].words is None:
                reading = pipeline.read(chunk[0].text, schema, on_progress=lambda *_: limit.check())
                yield chunk[0], pipeline.decode(reading, **options)
                continue
            items = [document.item for document in chunk]
            split = chunk[0].words is not None
            found = pipeline(items, entity_types=schema, is_split_into_words=split, **options)
            yield from zip(chunk, found, strict=True)
    except PageError:
        raise
    except ValueError as error:
        raise TypesError(sentence(error)) from error


def _chunks(documents: list[Document]) -> Iterator[list[Document]]:
    """The documents in order, in chunks."""
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        if chunk and (len(chunk) == CHUNK_TEXTS or characters + len(document.text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(document)
        characters += len(document.text)
    if chunk:
        yield chunk


def report(batch: Batch, schema: Schema) -> str:
    """The counts, the first texts, and the rows that were left out with their reasons."""
    entities = sum(len(found) for _, found in batch.tagged)
    texts = len(batch.tagged)
    summary = (
        f'<p class="jpt-summary" role="status"><b>{entities:,}</b> entities in <b>{texts:,}</b> '
        f"{'text' if texts == 1 else 'texts'}; <b>{len(batch.skipped):,}</b> {'row' if len(batch.skipped) == 1 else 'rows'} left out</p>"
    )
    colours = colours_of(schema)
    return (
        summary
        + error_line(batch.stopped)
        + legend([entity for _, found in batch.tagged for entity in found], colours)
        + _reasons(batch.skipped)
        + _first_texts(batch.tagged, colours)
    )


def _first_texts(tagged: list[Tagged], colours: dict[str, str]) -> str:
    """The first texts, as many as fit well on a page."""
    sections, characters = [], 0
    for document, found in tagged[:SHOWN_TEXTS]:
        characters += len(document.text)
        if sections and characters > MAX_CHARACTERS or len(document.text) > MAX_CHARACTERS:
            break
        title = readable(document.title[:SHOWN_TITLE])
        sections.append(
            f'<section class="jpt-document"><h3>{escape(title)}</h3>{highlight(document.text, found, colours)}</section>'
        )
    more = len(tagged) - len(sections)
    return "".join(sections) + (f'<p class="jpt-note">{more:,} more are in the downloads.</p>' if more else "")


def _reasons(skipped: list[str]) -> str:
    if not skipped:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in skipped[:SHOWN_REASONS])
    more = len(skipped) - SHOWN_REASONS
    note = f"<li>and {more:,} more</li>" if more > 0 else ""
    return f'<details class="jpt-skipped" open><summary>Rows left out</summary><ul>{items}{note}</ul></details>'


# ---- the tab --------------------------------------------------------------------------------------------------------


def batch_tab(model: Model, finding: SimpleNamespace) -> None:
    """Lays out the tab and connects it; `finding` has the components of the tab Find, whose types it looks for."""
    part = SimpleNamespace(batch=gr.State(time_to_live=SESSION_SECONDS))
    with gr.Row(elem_classes="jpt-columns"):
        with gr.Column(scale=4, min_width=320, elem_classes="jpt-panel"):
            gr.HTML(
                '<h2 class="jpt-step">Many texts</h2><p class="jpt-hint">Finds the types of the tab Find in every row. '
                f"Up to {MAX_TEXTS:,} texts; larger files are for the command line.</p>",
                apply_default_css=False,
            )
            part.file = gr.File(
                label="File (.jsonl, .csv, .tsv, .txt, .docx, .pdf)",
                file_types=list(SUFFIXES),
                elem_id="jpt-batch-file",
                height=150,
            )
            part.error = gr.HTML("", elem_id="jpt-batch-error", apply_default_css=False)
            part.column = gr.Dropdown(
                [], label="Column with the text", elem_id="jpt-batch-column", interactive=True, allow_custom_value=True
            )
            part.threshold = gr.Slider(0, 1, 0, step=0.01, label="Threshold", elem_id="jpt-batch-threshold")
            part.nested = gr.Checkbox(False, label="Let types overlap", elem_id="jpt-batch-nested", container=False)
            part.run = gr.Button("Find in all", variant="primary", elem_id="jpt-batch-run")
        with gr.Column(scale=8, min_width=320, elem_classes="jpt-panel"):
            with gr.Row(elem_classes="jpt-bar-row"):
                part.downloads = {
                    name: gr.Button(f"{title} ↓", size="sm", elem_id=f"jpt-batch-download-{name}", min_width=90)
                    for name, (title, _) in FORMATS.items()
                }
            part.report = gr.HTML(NOTHING_YET, elem_id="jpt-batch-report", apply_default_css=False, min_height=240)
    _wire(part, model, finding)


def _wire(part: SimpleNamespace, model: Model, finding: SimpleNamespace) -> None:
    def take(path: str | None) -> Update:
        if path is None:
            return {part.column: gr.Dropdown(choices=[], value=None), part.error: ""}
        try:
            columns = columns_of(Path(path).name, uploaded_bytes(path, COLUMNS_BYTES))
        except PageError as error:
            return {part.error: error_line(error)}
        return {part.column: gr.Dropdown(choices=columns, value=likely_column(columns)), part.error: ""}

    def run(path, column, types, threshold, nested, progress=gr.Progress()) -> Update:  # noqa: B008 (how Gradio injects it)
        def on_progress(done: int, total: int) -> None:
            progress((done, total), desc="Reading", unit="texts")

        if path is None:
            return {part.error: error_line("There is no file yet. Upload one.")}
        try:
            schema = schema_of(types)
            batch = tag_file(model, path, column, schema, threshold, nested, on_progress)
        except TypesError as error:
            return {part.error: error_line(f"The types of the tab Find: {error}")}
        except PageError as error:
            return {part.error: error_line(error)}
        return {part.batch: batch, part.report: report(batch, schema), part.error: ""}

    part.file.change(take, part.file, [part.column, part.error], **QUIET)
    part.run.click(
        run,
        [part.file, part.column, finding.types, part.threshold, part.nested],
        [part.batch, part.report, part.error],
        show_progress_on=part.report,
        concurrency_limit=1,
        concurrency_id="batch",
        trigger_mode="once",
        api_visibility="private",
    )
    for name, button in part.downloads.items():
        button.click(_download(name, part, finding), part.batch, [finding.file, part.error], **QUIET)


def _download(format: str, part: SimpleNamespace, finding: SimpleNamespace):
    def fetch(batch: Batch | None) -> Update:
        if batch is None:
            message = "There is nothing to download yet. Upload a file and find entities in it first."
            return {part.error: error_line(message)}
        try:
            name, content = entity_file(format, batch.tagged)
        except ValueError as error:
            return {part.error: error_line(sentence(error))}
        return {finding.file: download(f"{Path(batch.name).stem}-{name}", content), part.error: ""}

    return fetch
