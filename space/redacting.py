"""The tab Redact: a text in, the same text without personal data out, and the low-scoring mentions that were kept.

Pseudonyms are valid for one text and are not kept.
"""

from html import escape
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..schema_jpt import Schema
from ..tools.redaction.redacting import PRESET, THRESHOLD, Redacted, Redactor, make_style
from ..tools.redaction.report import Report
from ..tools.redaction.styles import METHODS
from . import presets
from .editor import schema_of
from .errors import PageError, TypesError, sentence
from .finding import QUIET, READING, SESSION_SECONDS, Update, checked_threshold, colours_of, error_line, find
from .highlighting import EMPTY, highlight, legend, table
from .model import Model
from .snippets import download

PERSONAL, OWN = "Personal data", "The types of the tab Find"
TITLES = {"replace": "Name of the type", "mask": "Stars", "hash": "Keyed hash", "pseudonyms": "Invented names"}
SURE = 1.0  # for repeats, which have no score
NOTHING_YET = EMPTY.format("Press <b>Redact</b> and the text appears here, with its replacements.")


def redact(model: Model, text: Any, types: Any, method: Any, key: Any, threshold: Any) -> tuple[Redacted, Schema]:
    """
    Redacts a text.

    Raises:
        PageError: With a sentence for the page, if an argument cannot be used.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise PageError(f"method: must be one of {', '.join(METHODS)}, got {str(method)[:80]!r}.")
    if not isinstance(key or "", str):
        raise PageError("key: must be a text.")
    threshold = checked_threshold(threshold)
    if method == "hash" and not key:
        raise PageError("A hash needs a key, a secret of 16 characters or more.")
    try:
        style = make_style(method, (key or "").encode("utf-8", "replace") or None)
    except ValueError as error:
        raise PageError(sentence(str(error).replace("`key`", "The key"))) from error
    reading = find(model, text, types, 0, nested=False).reading
    everything = dict.fromkeys(reading.schema.names, 0.0)
    entities = model.pipeline().decode(reading, threshold=everything)
    redactor = Redactor(model.pipeline, style, reading.schema, threshold)
    return redactor.apply(reading.text, entities), reading.schema


def shown(redacted: Redacted, schema: Schema) -> str:
    """The redacted text, with replacements in the colours of the types, and what scored too low."""
    colours = colours_of(schema)
    changed = [_placed(each, each["replacement"]) for each in redacted.changed]
    kept = [_placed(each, each["word"]) for each in redacted.kept]
    report = Report()
    report.add(redacted)
    (summary, *_) = report.lines()
    rest = f"<h3>Kept, as they score too low</h3>{table(kept, colours)}" if kept else ""
    return (
        f'<p class="jpt-summary" role="status">{escape(summary)}</p>'
        + legend(changed, colours)
        + highlight(redacted.text, changed, colours)
        + rest
    )


def _placed(mention: dict[str, Any], word: str) -> dict[str, Any]:
    """A mention with its offsets in the redacted text."""
    score = SURE if mention["score"] is None else mention["score"]
    place = {"start": mention["new_start"], "end": mention["new_end"]}
    return {"entity_group": mention["entity_group"], "score": score, "word": word, **place}


# ---- the tab --------------------------------------------------------------------------------------------------------


def redact_tab(model: Model, finding: SimpleNamespace) -> None:
    """Lays out the tab and connects it; `finding` has the components of the tab Find, whose types it can take."""
    part = SimpleNamespace(redacted=gr.State(time_to_live=SESSION_SECONDS))
    with gr.Row(elem_classes="jpt-columns"):
        with gr.Column(scale=5, min_width=320, elem_classes="jpt-panel"):
            gr.HTML(
                '<h2 class="jpt-step">A text without personal data</h2><p class="jpt-hint">Check the output before you '
                "pass it on: a model of this size misses some.</p>",
                apply_default_css=False,
            )
            part.text = gr.Textbox(
                presets.example_texts().get(PRESET, ""), lines=8, max_lines=16, label="Text", elem_id="jpt-redact-text"
            )
            part.types = gr.Radio([PERSONAL, OWN], value=PERSONAL, label="What to redact", elem_id="jpt-redact-types")
            part.method = gr.Radio(
                [(TITLES[method], method) for method in METHODS],
                value="replace",
                label="Replacement",
                elem_id="jpt-redact-method",
            )
            part.key = gr.Textbox(
                label="Key of the hash", type="password", visible=False, elem_id="jpt-redact-key", max_lines=1
            )
            part.threshold = gr.Slider(
                0, 1, THRESHOLD, step=0.01, label="Keep mentions that score below", elem_id="jpt-redact-threshold"
            )
            part.run = gr.Button("Redact", variant="primary", elem_id="jpt-redact-run")
            part.error = gr.HTML("", elem_id="jpt-redact-error", apply_default_css=False)
        with gr.Column(scale=7, min_width=320, elem_classes="jpt-panel"):
            part.download = gr.Button("Text ↓", size="sm", elem_id="jpt-redact-download", min_width=90)
            part.result = gr.HTML(NOTHING_YET, elem_id="jpt-redact-result", apply_default_css=False, min_height=240)
    _wire(part, model, finding)


def _wire(part: SimpleNamespace, model: Model, finding: SimpleNamespace) -> None:
    def run(text, chosen, types, method, key, threshold) -> Update:
        try:
            schema = schema_of(types if chosen == OWN else PRESET)
            redacted, schema = redact(model, text, schema, method, key, threshold)
        except TypesError as error:
            return {part.error: error_line(f"The types of the tab Find: {error}")}
        except PageError as error:
            return {part.error: error_line(error)}
        return {part.redacted: redacted.text, part.result: shown(redacted, schema), part.error: ""}

    def fetch(text: str | None) -> Update:
        if text is None:
            return {part.error: error_line("There is nothing to download yet. Redact a text first.")}
        return {finding.file: download("redacted.txt", text.encode("utf-8")), part.error: ""}

    part.method.change(lambda method: gr.Textbox(visible=method == "hash"), part.method, part.key, **QUIET)
    part.run.click(
        run,
        [part.text, part.types, finding.types, part.method, part.key, part.threshold],
        [part.redacted, part.result, part.error],
        show_progress_on=part.result,
        trigger_mode="once",
        **READING,
    )
    part.download.click(fetch, part.redacted, [finding.file, part.error], **QUIET)
