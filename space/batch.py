"""The tab Files: a file with many texts in, the same texts with their entities out, bad rows named with their reason.

The file is read into memory and removed at once; results live in the session until they are downloaded.
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
from .editor import TypesError, schema_of, sentence
from .finding import QUIET, SESSION_SECONDS, colours_of, error_line
from .highlighting import EMPTY, highlight, legend
from .model import Model, ModelError
from .snippets import FORMATS, download, entity_file
from .uploads import MOST_TEXTS, FileError, columns_of, likely_column, read_batch

SHOWN_TEXTS = 20
SHOWN_REASONS = 100
FILES = [".jsonl", ".csv", ".tsv", ".txt", ".md", ".docx", ".pdf", ".conll"]
NOTHING_YET = EMPTY.format("Upload a file: one text a row in .jsonl, .csv or .tsv, or one document.")


@dataclass
class Batch:
    """What a file holds and what was found in it."""

    name: str
    tagged: list[tuple[Document, list[dict[str, Any]]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def tag_batch(
    model: Model,
    documents: list[Document],
    schema: Schema,
    threshold: float,
    nested: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Document, list[dict[str, Any]]]]:
    """
    Documents with their entities, in their order.

    Raises:
        TypesError: If the types do not fit the model, such as too long definitions.
    """
    split = bool(documents) and documents[0].words is not None
    found = model.pipeline()(
        (document.item for document in documents),
        entity_types=schema,
        threshold=float(threshold),
        nested=bool(nested),
        is_split_into_words=split,
    )
    for number, document in enumerate(documents, 1):
        try:
            entities = next(found)
        except ValueError as error:
            raise TypesError(sentence(error)) from error
        if on_progress is not None:
            on_progress(number, len(documents))
        yield document, entities


def report(batch: Batch, schema: Schema) -> str:
    """What was found, the first texts, and the rows that were left out with their reasons."""
    entities = sum(len(found) for _, found in batch.tagged)
    texts = len(batch.tagged)
    summary = (
        f'<p class="jpt-summary" role="status"><b>{entities:,}</b> entities in <b>{texts:,}</b> '
        f"{'text' if texts == 1 else 'texts'}; <b>{len(batch.skipped):,}</b> {'row' if len(batch.skipped) == 1 else 'rows'} left out</p>"
    )
    colours = colours_of(schema)
    return (
        summary
        + legend([entity for _, found in batch.tagged for entity in found], colours)
        + _reasons(batch.skipped)
        + "".join(
            f'<section class="jpt-document"><h3>{escape(str(document.row.get("id", f"line {document.line}")))}</h3>'
            f"{highlight(document.text, found, colours)}</section>"
            for document, found in batch.tagged[:SHOWN_TEXTS]
        )
        + (
            f'<p class="jpt-note">{texts - SHOWN_TEXTS:,} more are in the downloads.</p>'
            if texts > SHOWN_TEXTS
            else ""
        )
    )


def _reasons(skipped: list[str]) -> str:
    if not skipped:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in skipped[:SHOWN_REASONS])
    more = len(skipped) - SHOWN_REASONS
    note = f"<li>and {more:,} more</li>" if more > 0 else ""
    return f'<details class="jpt-skipped" open><summary>Rows left out</summary><ul>{items}{note}</ul></details>'


# ---- the tab --------------------------------------------------------------------------------------------------------


def batch_tab(model: Model, finding: SimpleNamespace) -> None:
    """Lays the tab out and wires it; `finding` are the components of the tab Find, whose types are asked for."""
    part = SimpleNamespace(
        content=gr.State(time_to_live=SESSION_SECONDS), batch=gr.State(time_to_live=SESSION_SECONDS)
    )
    with gr.Row(elem_classes="jpt-columns"):
        with gr.Column(scale=4, min_width=320, elem_classes="jpt-panel"):
            gr.HTML(
                '<h2 class="jpt-step">Many texts</h2><p class="jpt-hint">Finds the types of the tab Find in every row. '
                f"Up to {MOST_TEXTS:,} texts; larger files are for the command line.</p>",
                apply_default_css=False,
            )
            part.file = gr.File(
                label="File (.jsonl, .csv, .tsv, .txt, .docx, .pdf)",
                file_types=FILES,
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
    def take(path: str | None):
        if path is None:
            return None, gr.Dropdown(choices=[], value=None), ""
        file = Path(path)
        content = file.read_bytes()
        file.unlink(missing_ok=True)
        columns = columns_of(file.name, content)
        return (file.name, content), gr.Dropdown(choices=columns, value=likely_column(columns)), ""

    def run(content, column, types, threshold, nested, progress=gr.Progress()):  # noqa: B008 (how Gradio hands it over)
        if content is None:
            return gr.skip(), gr.skip(), error_line("There is no file yet. Upload one.")
        name, content = content
        try:
            schema = schema_of(types)
            documents, skipped = read_batch(name, content, column)
            tagged = tag_batch(
                model,
                documents,
                schema,
                threshold,
                nested,
                lambda done, total: progress((done, total), desc="Reading", unit="texts"),
            )
            batch = Batch(name, list(tagged), skipped)
        except TypesError as error:
            return gr.skip(), gr.skip(), error_line(f"The types of the tab Find: {error}")
        except (FileError, ModelError) as error:
            return gr.skip(), gr.skip(), error_line(str(error))
        return batch, report(batch, schema), ""

    part.file.change(take, part.file, [part.content, part.column, part.error], **QUIET)
    part.run.click(
        run,
        [part.content, part.column, finding.types, part.threshold, part.nested],
        [part.batch, part.report, part.error],
        show_progress_on=part.report,
        concurrency_limit=1,
        concurrency_id="batch",
        trigger_mode="once",
        api_visibility="private",
    )
    for name, button in part.downloads.items():
        button.click(_download(name), part.batch, [finding.file, part.error], **QUIET)


def _download(format: str):
    def give(batch: Batch | None):
        if batch is None:
            return gr.skip(), error_line(
                "There is nothing to download yet. Upload a file and find entities in it first."
            )
        try:
            name, content = entity_file(format, batch.tagged)
        except ValueError as error:
            return gr.skip(), error_line(sentence(error))
        return download(f"{Path(batch.name).stem}-{name}", content), ""

    return give
