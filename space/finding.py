"""The tab Find: types, a text, and the entities that the model finds in it, to view, explain and download.

The model reads a text once. From then on threshold, overlap, colours and downloads work on that reading, which is kept in
the session only.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..schema_jpt import Schema, load_schema
from ..tools.data.records import is_unicode
from ..tools.files.documents import Document
from . import presets
from .editor import document_of, schema_of, script, type_editor
from .errors import FileError, PageError, TextError, TypesError, sentence
from .explaining import HINT, attention_of, why
from .highlighting import EMPTY, chart, highlight, legend, table
from .model import Model
from .requests import MAX_TEXT_SECONDS, RequestLimit, check_work
from .snippets import FORMATS, download, entity_file, python_code, schema_file
from .uploads import MAX_CHARACTERS, SUFFIXES, file_sentence, first_text, uploaded_schema

SESSION_SECONDS = 3600
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
# Reading an uploaded file is work: one at a time, in the queue.
UPLOADING: dict[str, Any] = {
    "show_progress": "minimal",
    "concurrency_limit": 1,
    "concurrency_id": "uploads",
    "api_visibility": "private",
}
READING: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "model", "api_visibility": "private"}
STALE = '<p class="jpt-stale-line" role="status">Changed since: find again</p>'
STALE_SCRIPT = f"() => [document.querySelector('#jpt-highlight .jpt-text') ? `{STALE}` : '']"
NOTHING_YET = EMPTY.format("Press <b>Find entities</b> and the text appears here, in the colours of its types.")


@dataclass(frozen=True)
class Result:
    """A reading and its decoding options. `reading.schema` has the thresholds and colours of the table."""

    reading: Any
    entities: list[dict[str, Any]]
    threshold: float
    nested: bool

    @property
    def colours(self) -> dict[str, str]:
        return colours_of(self.reading.schema)

    @property
    def document(self) -> Document:
        return Document(1, {"id": "text", "text": self.reading.text}, self.reading.text)


def colours_of(schema: Schema) -> dict[str, str]:
    """Colour by type, in the order of the types."""
    return {record["name"]: record["colour"] for record in document_of(schema)["entity_types"]}


def checked_text(text: Any) -> str:
    """
    Returns the text if it can be read here.

    Raises:
        TextError: If it is empty, too long or not a string.
    """
    if not isinstance(text, str) or not text.strip():
        raise TextError("There is no text yet. Paste one, upload one, or take the example.")
    if len(text) > MAX_CHARACTERS:
        raise TextError(
            f"The text has {len(text):,} characters; this tab takes up to {MAX_CHARACTERS:,}. Split it into rows of a "
            "file and use the tab Files, or use the command line."
        )
    if not is_unicode(text):
        raise TextError("The text holds half a character (a lone surrogate); copy it again from its source.")
    return text


def checked_threshold(threshold: Any) -> float:
    """
    Returns the threshold as a number.

    Raises:
        PageError: If it is not a number from 0 to 1.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise PageError(f"threshold: must be a number from 0 to 1, got {str(threshold)[:80]!r}.")
    return float(threshold)


def error_line(message: object = "") -> str:
    """A sentence in its place, announced by screen readers; empty if all is well."""
    return f'<p role="alert" class="jpt-error-line">{escape(str(message))}</p>' if message else ""


def find(
    model: Model,
    text: Any,
    types: Any,
    threshold: float,
    nested: bool,
    on_progress: Callable[[int, int], None] | None = None,
    limit: RequestLimit | None = None,
) -> Result:
    """
    Reads a text and finds its entities.

    Args:
        model ([`Model`]): The model of the page.
        text: What the client sent as the text.
        types: What the client sent as the types, in any form that [`resolve_schema`] takes.
        threshold (`float`): Minimum score of an entity.
        nested (`bool`): Whether entities of different types may overlap.
        on_progress (`Callable`, *optional*): Called with the number of windows read so far, and of all windows.
        limit ([`RequestLimit`], *optional*): The limit of the request, if it reads more than this text.

    Raises:
        PageError: With a sentence for the page: a [`TypesError`], [`TextError`], [`ModelError`] or a limit exceeded.
    """
    schema = schema_of(types)
    text = checked_text(text)
    check_work(len(text), len(schema))
    pipeline = model.pipeline()
    limit = limit or RequestLimit(MAX_TEXT_SECONDS)
    limit.check()  # the client may have left while it was queued

    def between_windows(done: int, total: int) -> None:
        limit.check(done, total)
        if on_progress is not None:
            on_progress(done, total)

    try:
        reading = pipeline.read(text, schema, on_progress=between_windows)
    except PageError:
        raise
    except ValueError as error:  # such as a prompt that leaves no room for the text
        raise TypesError(sentence(error)) from error
    return look(model, reading, threshold, nested)


def look(model: Model, reading: Any, threshold: float, nested: bool) -> Result:
    """The entities of a reading at a threshold: the same as those of a pipeline call."""
    entities = model.pipeline().decode(reading, threshold=float(threshold), nested=bool(nested))
    return Result(reading, entities, float(threshold), bool(nested))


def with_types(reading: Any, types: Any) -> Any:
    """The reading with the present thresholds and colours of the table, if its types are unchanged."""
    try:
        schema = schema_of(types)
    except TypesError:
        return reading
    return replace(reading, schema=schema) if _same_types(schema, reading.schema) else reading


def is_stale(result: Result, types: Any) -> bool:
    """Whether the types have changed in a way that outdates the result."""
    try:
        schema = schema_of(types)
    except TypesError:
        return True
    return not _same_types(schema, result.reading.schema)


def _same_types(a: Schema, b: Schema) -> bool:
    return (a.names, a.descriptions) == (b.names, b.descriptions)


def model_name() -> str:
    """The model's name in code for other machines, which do not have the folders of a Space."""
    name = os.environ.get("JPT_MODEL", ".")
    return "OWNER/MODEL" if "SPACE_ID" in os.environ and Path(name).exists() else name


# ---- the tab --------------------------------------------------------------------------------------------------------


def find_tab(model: Model, check) -> SimpleNamespace:
    """Lays out the tab and connects it. Returns its components by name, for other tabs to use."""
    part = SimpleNamespace(result=gr.State(time_to_live=SESSION_SECONDS))
    with gr.Row(elem_classes="jpt-columns"):
        with gr.Column(scale=5, min_width=320, elem_classes="jpt-panel"):
            _types_panel(part, check)
        with gr.Column(scale=7, min_width=320, elem_classes="jpt-side"):
            with gr.Column(elem_classes="jpt-panel"):
                _text_panel(part)
            with gr.Column(elem_classes="jpt-panel"):
                _result_panel(part)
    _wire_types(part)
    _wire_text(part)
    _wire_results(part, model)
    return part


def _heading(number: int, title: str, hint: str) -> None:
    gr.HTML(
        f'<h2 class="jpt-step"><span aria-hidden="true">{number}</span>{title}</h2><p class="jpt-hint">{hint}</p>',
        apply_default_css=False,
    )


def _types_panel(part: SimpleNamespace, check) -> None:
    _heading(1, "What to find", "Name each type and say in words what counts as one. This is all the model knows.")
    with gr.Row(elem_classes="jpt-bar-row"):
        part.preset = gr.Dropdown(
            presets.preset_choices(),
            value=presets.FIRST,
            label="Start from",
            elem_id="jpt-preset",
            scale=3,
            min_width=150,
            filterable=False,
        )
        part.import_ = gr.UploadButton(
            "Import", file_types=[".yaml", ".yml", ".json"], size="sm", elem_id="jpt-import", min_width=70, scale=1
        )
        part.export_yaml = gr.Button("YAML ↓", size="sm", elem_id="jpt-export-yaml", min_width=70, scale=1)
        part.export_json = gr.Button("JSON ↓", size="sm", elem_id="jpt-export-json", min_width=70, scale=1)
    part.types_error = gr.HTML("", elem_id="jpt-types-error", apply_default_css=False)
    part.types = type_editor(presets.preset(presets.FIRST), "jpt-types", check)
    gr.HTML(script("help.html"), elem_id="jpt-help", apply_default_css=False)


def _text_panel(part: SimpleNamespace) -> None:
    _heading(2, "Text", "Paste a text, or take the example. Nothing is kept: it lives in this session only.")
    part.text = gr.Textbox(
        presets.example_texts()[presets.FIRST],
        lines=6,
        max_lines=14,
        show_label=False,
        label="Text",
        container=False,
        elem_id="jpt-text",
        placeholder="Paste a text here …",
    )
    with gr.Row(elem_classes="jpt-bar-row"):
        part.run = gr.Button("Find entities", variant="primary", elem_id="jpt-run", scale=3, min_width=150)
        part.upload = gr.UploadButton(
            "Upload a file", file_types=list(SUFFIXES), elem_id="jpt-upload", scale=2, min_width=110
        )
        part.example = gr.Button("Example text", elem_id="jpt-example", scale=2, min_width=110)
    part.error = gr.HTML("", elem_id="jpt-error", apply_default_css=False)


def _result_panel(part: SimpleNamespace) -> None:
    _heading(3, "Entities", "Hover for scores, click a word to see why. Dashed ones score below 0.5.")
    with gr.Row(elem_classes="jpt-bar-row jpt-controls"):
        part.threshold = gr.Slider(
            0, 1, 0, step=0.01, label="Show those that score at least", elem_id="jpt-threshold", scale=4, min_width=200
        )
        part.nested = gr.Checkbox(
            False, label="Let types overlap", elem_id="jpt-nested", container=False, scale=0, min_width=165
        )
    part.stale = gr.HTML("", elem_id="jpt-stale", apply_default_css=False)
    part.highlight = gr.HTML(
        NOTHING_YET, elem_id="jpt-highlight", apply_default_css=False, js_on_load=script("results.js"), min_height=160
    )
    with gr.Tabs(elem_id="jpt-views") as part.views:
        with gr.Tab("Table", elem_id="jpt-tab-table"):
            part.table = gr.HTML(
                table([], {}), elem_id="jpt-table", apply_default_css=False, js_on_load=script("table.js")
            )
        with gr.Tab("Counts", elem_id="jpt-tab-chart", render_children=True):
            part.chart = gr.HTML(chart([], {}), elem_id="jpt-chart", apply_default_css=False)
        with gr.Tab("Why?", elem_id="jpt-tab-why", id="why", render_children=True):
            part.why = gr.HTML(HINT, elem_id="jpt-why", apply_default_css=False, js_on_load=script("why.js"))
        with gr.Tab("Download and code", elem_id="jpt-tab-take", render_children=True):
            _take_away(part)
    part.file = gr.HTML(None, html_template="", js_on_load=script("download.js"), visible="hidden", elem_id="jpt-file")


def _take_away(part: SimpleNamespace) -> None:
    with gr.Row(elem_classes="jpt-bar-row"):
        part.downloads = {
            name: gr.Button(f"{title} ↓", size="sm", elem_id=f"jpt-download-{name}", min_width=90)
            for name, (title, _) in FORMATS.items()
        }
    part.take_error = gr.HTML("", elem_id="jpt-take-error", apply_default_css=False)
    part.python = gr.HTML(
        "",
        html_template=script("code.html"),
        elem_id="jpt-python",
        apply_default_css=False,
        js_on_load=script("code.js"),
    )


# ---- what happens ---------------------------------------------------------------------------------------------------

Update = dict[Any, Any]  # new values by component; all others stay as they are


def _wire_types(part: SimpleNamespace) -> None:
    def choose(name: str, text: str) -> Update:
        examples = presets.example_texts()
        chosen = {part.types: presets.preset(name), part.types_error: ""}
        own_text = text.strip() and text not in examples.values()
        return chosen if own_text else {**chosen, part.text: examples.get(name, "")}

    def import_schema(path: str) -> Update:
        try:
            schema = load_schema(uploaded_schema(path))
            return {part.types: document_of(schema_of(schema)), part.types_error: ""}
        except (FileError, TypesError) as error:
            return {part.types_error: error_line(error)}
        except OSError as error:
            return {part.types_error: error_line(file_sentence(error, path, Path(path).name))}
        except ValueError as error:
            message = str(error).replace(f"{path}:", "Line ").replace(path, "the file")
            return {part.types_error: error_line(sentence(message))}

    def export_schema(suffix: str):
        def schema_download(types: Any) -> Update:
            try:
                return {part.file: download(*schema_file(schema_of(types), suffix)), part.types_error: ""}
            except TypesError as error:
                return {part.types_error: error_line(error)}

        return schema_download

    part.preset.input(choose, [part.preset, part.text], [part.types, part.text, part.types_error], **QUIET)
    part.import_.upload(import_schema, part.import_, [part.types, part.types_error], **UPLOADING)
    part.export_yaml.click(export_schema(".yaml"), part.types, [part.file, part.types_error], **QUIET)
    part.export_json.click(export_schema(".json"), part.types, [part.file, part.types_error], **QUIET)


def _wire_text(part: SimpleNamespace) -> None:
    def upload(path: str) -> Update:
        try:
            return {part.text: first_text(path), part.error: ""}
        except FileError as error:
            return {part.error: error_line(error)}

    part.upload.upload(upload, part.upload, [part.text, part.error], **UPLOADING)
    part.example.click(lambda name: presets.example_texts().get(name, ""), part.preset, part.text, **QUIET)


def _wire_results(part: SimpleNamespace, model: Model) -> None:
    views = [part.highlight, part.chart, part.table, part.python]

    def shown(result: Result) -> Update:
        entities, colours, text = result.entities, result.colours, result.reading.text
        code = python_code(text, result.reading.schema, result.threshold, result.nested, model_name())
        return {
            part.result: result,
            part.highlight: legend(entities, colours) + highlight(text, entities, colours),
            part.chart: chart(entities, colours),
            part.table: table(entities, colours),
            part.python: code,
        }

    def run(text, types, threshold, nested, progress=gr.Progress()) -> Update:  # noqa: B008 (how Gradio injects it)
        progress(0, desc="Reading")
        try:
            result = find(
                model, text, types, threshold, nested, lambda done, total: progress((done, total), unit="windows")
            )
        except TypesError as error:
            return {part.types_error: error_line(error), part.error: ""}
        except PageError as error:
            return {part.types_error: "", part.error: error_line(error)}
        return {**shown(result), part.why: HINT, part.stale: "", part.types_error: "", part.error: ""}

    def refilter(result, types, threshold, nested) -> Update:
        if result is None:
            return gr.skip()
        return shown(look(model, with_types(result.reading, types), threshold, nested))

    def retype(result, types, threshold, nested) -> Update:
        if result is None:
            return gr.skip()
        if is_stale(result, types):
            return {part.stale: STALE}
        return {part.stale: "", **refilter(result, types, threshold, nested)}

    def explain(result, event: gr.EventData) -> Update:
        shown_word = HINT
        if result is not None:
            attention = attention_of(model.pipeline(), result.reading)
            shown_word = why(result.reading, event.word, result.colours, attention)
        return {part.why: shown_word, part.views: gr.Tabs(selected="why")}

    part.run.click(
        run,
        [part.text, part.types, part.threshold, part.nested],
        [part.result, *views, part.why, part.stale, part.types_error, part.error],
        show_progress="full",
        show_progress_on=part.highlight,
        trigger_mode="once",
        **READING,
    )
    looks = [part.result, part.types, part.threshold, part.nested]
    part.threshold.input(refilter, looks, [part.result, *views], trigger_mode="always_last", **QUIET)
    part.nested.input(refilter, looks, [part.result, *views], **QUIET)
    part.highlight.select(explain, part.result, [part.why, part.views], **QUIET)
    part.types.input(retype, looks, [part.stale, part.result, *views], trigger_mode="always_last", **QUIET)
    part.text.change(None, None, part.stale, js=STALE_SCRIPT, api_visibility="private")
    for name, button in part.downloads.items():
        button.click(_download(name, part), part.result, [part.file, part.take_error], **QUIET)


def _download(format: str, part: SimpleNamespace):
    def fetch(result: Result | None) -> Update:
        if result is None:
            return {part.take_error: error_line("There is nothing to download yet. Find entities first.")}
        try:
            file = entity_file(format, [(result.document, result.entities)])
        except ValueError as error:
            return {part.take_error: error_line(sentence(error))}
        return {part.file: download(*file), part.take_error: ""}

    return fetch
