"""The tab Errors: a labelled file in, what the model gets wrong in it out, as `jpt-ner evaluate --errors` shows it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..schema_jpt import Schema
from ..tools.data.records import Record
from ..tools.evaluation.error_report import ErrorReport, error_page
from ..tools.evaluation.errors import AnalysedText, analyse_text, error_row
from ..tools.evaluation.evaluate import load_dataset
from ..tools.files.documents import rows_of_records
from ..tools.files.model import Document, ReadOptions
from .editor import schema_of
from .errors import FileError, PageError, TextError, TimeLimitError, TypesError, sentence
from .finding import QUIET, SESSION_SECONDS, Update, error_line
from .highlighting import EMPTY
from .model import Model
from .requests import MAX_FILE_SECONDS, RequestLimit, check_work
from .snippets import download
from .uploads import MAX_BATCH_CHARACTERS, check_upload, file_sentence, reading_turn

MAX_TEXTS = 200
MAX_ROWS = 10_000  # of a file, to sample from
SUFFIXES = [".jsonl", ".json", ".conll", ".bio", ".iob2", ".tsv", ".txt"]
OF_FILE, OF_FIND = "those of the file", "those of the tab Find"
NOTHING_YET = EMPTY.format(
    "Upload labelled texts: JSON lines with <code>id</code>, <code>text</code>, <code>entities</code> and, where they bring "
    "their own definitions, <code>types</code>; GLiNER’s JSON; or CoNLL columns with BIO tags."
)


@dataclass
class Evaluation:
    """
    The results for a file.

    Args:
        name (`str`): The file's name.
        texts (`list[AnalysedText]`): Its texts, with their errors.
        notes (`list[str]`): Sentences about what was left out.
    """

    name: str
    texts: list[AnalysedText]
    notes: list[str]

    @property
    def page(self) -> str:
        return error_page(ErrorReport(f"this model on {self.name}", self.texts))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [error_row(text, error) for text in self.texts for error in text.errors]


def evaluate_file(
    model: Model, path: str | Path, schema: Schema | None, on_progress: Callable[[int, int], None] | None = None
) -> Evaluation:
    """
    Reads a labelled file and compares the model's predictions with its labels. Results at the time limit are kept.

    Args:
        model ([`Model`]): The page's model.
        path (`str` or `Path`): The uploaded file.
        schema ([`Schema`], *optional*): Definitions to ask with; by default those of the records.
        on_progress (`Callable`, *optional*): Receives the number of texts read so far, and of all texts.

    Raises:
        PageError: If the file, the types or the model cannot be used, or the client has left.
    """
    limit = RequestLimit(MAX_FILE_SECONDS)
    name = Path(path).name
    records, notes = _labelled(path, schema)
    thresholds = {} if schema is None else schema.thresholds
    pipeline = model.pipeline()
    texts: list[AnalysedText] = []
    try:
        for record in records:
            try:
                check_work(len(record.text), len(record.types))
            except TextError as error:
                notes.append(f"Text {record.id} was left out. {error}")
                continue
            limit.check()
            types = {
                each: {"definition": text, "threshold": thresholds.get(each)} for each, text in record.types.items()
            }
            reading = pipeline.read(record.text, types, on_progress=lambda *_: limit.check())
            texts.append(analyse_text(name, record, pipeline.decode(reading), reading))
            if on_progress is not None:
                on_progress(len(texts), len(records))
    except TimeLimitError:
        if not texts:
            raise
        notes.append(f"After {limit.seconds:g} seconds {len(texts)} of {len(records)} texts were read.")
    except PageError:
        raise
    except ValueError as error:
        raise TypesError(sentence(error)) from error
    if not texts:
        raise FileError(notes[-1])
    return Evaluation(name, texts, notes)


def _labelled(path: str | Path, schema: Schema | None) -> tuple[list[Record], list[str]]:
    """The records of a file, or a fixed sample of them, and notes about it."""
    check_upload(path, SUFFIXES)
    with reading_turn():
        try:
            _check_size(path)
            records = load_dataset(path, types=schema, limit=MAX_TEXTS, type_files=False)
        except FileError:
            raise
        except (ValueError, OSError) as error:
            raise FileError(file_sentence(error, path, Path(path).name)) from error
    notes = []
    if len(records) == MAX_TEXTS:
        notes.append(
            f"This page reads up to {MAX_TEXTS} texts; of more, a fixed sample. The command line takes them all."
        )
    return records, notes


def _check_size(path: str | Path) -> None:
    """Refuses a file with too many rows or characters, row by row: a sample is drawn from all records in memory."""
    characters = 0
    for rows, (_, row) in enumerate(rows_of_records(path, ReadOptions()), 1):
        characters += len(row.text) if isinstance(row, Document) else 0
        if rows > MAX_ROWS or characters > MAX_BATCH_CHARACTERS:
            raise FileError(
                f"{Path(path).name} has more than this page takes ({MAX_ROWS:,} texts, {MAX_BATCH_CHARACTERS:,} "
                "characters). Split it, or use the command line."
            )


def result_html(evaluation: Evaluation) -> str:
    """The report in a sandboxed frame, which can neither reach the page nor load anything."""
    notes = "".join(f'<p class="jpt-note">{escape(note)}</p>' for note in evaluation.notes)
    errors = len(evaluation.rows)
    summary = (
        f'<p class="jpt-summary" role="status"><b>{errors:,}</b> {"error" if errors == 1 else "errors"} in '
        f"<b>{len(evaluation.texts):,}</b> {'text' if len(evaluation.texts) == 1 else 'texts'}</p>"
    )
    frame = (
        '<iframe class="jpt-error-report" title="Errors of the model" sandbox="allow-scripts" '
        f'srcdoc="{escape(evaluation.page)}"></iframe>'
    )
    return summary + notes + frame


# ---- the tab --------------------------------------------------------------------------------------------------------


def errors_tab(model: Model, finding: SimpleNamespace) -> None:
    """Lays out the tab and connects it; `finding` has the components of the tab Find, whose types it can ask with."""
    part = SimpleNamespace(evaluation=gr.State(time_to_live=SESSION_SECONDS))
    with gr.Row(elem_classes="jpt-columns"):
        with gr.Column(scale=3, min_width=320, elem_classes="jpt-panel"):
            gr.HTML(
                '<h2 class="jpt-step">What does it get wrong?</h2><p class="jpt-hint">Reads texts whose entities you have '
                f"marked, up to {MAX_TEXTS}, and shows every difference.</p>",
                apply_default_css=False,
            )
            part.file = gr.File(
                label="Labelled file (.jsonl, .json, .conll)",
                file_types=SUFFIXES,
                elem_id="jpt-errors-file",
                height=150,
            )
            part.types = gr.Radio([OF_FILE, OF_FIND], value=OF_FILE, label="Definitions", elem_id="jpt-errors-types")
            part.error = gr.HTML("", elem_id="jpt-errors-error", apply_default_css=False)
            part.run = gr.Button("Show errors", variant="primary", elem_id="jpt-errors-run")
            with gr.Row(elem_classes="jpt-bar-row"):
                part.page = gr.Button("Report ↓", size="sm", elem_id="jpt-errors-download-html", min_width=90)
                part.lines = gr.Button("JSON lines ↓", size="sm", elem_id="jpt-errors-download-jsonl", min_width=90)
        with gr.Column(scale=9, min_width=320, elem_classes="jpt-panel"):
            part.report = gr.HTML(NOTHING_YET, elem_id="jpt-errors-report", apply_default_css=False, min_height=240)
    _wire(part, model, finding)


def _wire(part: SimpleNamespace, model: Model, finding: SimpleNamespace) -> None:
    def run(path, source, types, progress=gr.Progress()) -> Update:  # noqa: B008 (how Gradio injects it)
        def on_progress(done: int, total: int) -> None:
            progress((done, total), desc="Reading", unit="texts")

        if path is None:
            return {part.error: error_line("There is no file yet. Upload one.")}
        try:
            schema = schema_of(types) if source == OF_FIND else None
            evaluation = evaluate_file(model, path, schema, on_progress)
        except TypesError as error:
            where = "The types of the tab Find" if source == OF_FIND else "The types of the file"
            return {part.error: error_line(f"{where}: {error}")}
        except PageError as error:
            return {part.error: error_line(error)}
        return {part.evaluation: evaluation, part.report: result_html(evaluation), part.error: ""}

    part.run.click(
        run,
        [part.file, part.types, finding.types],
        [part.evaluation, part.report, part.error],
        show_progress_on=part.report,
        concurrency_limit=1,
        concurrency_id="batch",
        trigger_mode="once",
        api_visibility="private",
    )

    def fetch(content: Callable[[Evaluation], str], suffix: str):
        def give(evaluation: Evaluation | None) -> Update:
            if evaluation is None:
                return {part.error: error_line("There is nothing to download yet. Upload a labelled file first.")}
            name = f"{Path(evaluation.name).stem}-errors{suffix}"
            return {finding.file: download(name, content(evaluation).encode()), part.error: ""}

        return give

    for button, content, suffix in ((part.page, _page, ".html"), (part.lines, _lines, ".jsonl")):
        button.click(fetch(content, suffix), part.evaluation, [finding.file, part.error], **QUIET)


def _page(evaluation: Evaluation) -> str:
    return evaluation.page


def _lines(evaluation: Evaluation) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in evaluation.rows)
