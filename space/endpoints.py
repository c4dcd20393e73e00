"""The page's functions for programs: named endpoints for `gradio_client`, and their documentation on the page.

Errors are [`PageError`]s, which the page turns into answers.
"""

import base64
import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

import gradio as gr

from ..tools.redaction.redacting import PRESET, THRESHOLD
from . import batch, redacting
from .comparing import differences
from .editor import schema_of, script
from .errors import FileError, PageError, TypesError, sentence
from .evaluating import evaluate_file
from .finding import READING, checked_threshold, find, model_name
from .model import Model
from .requests import MAX_TEXT_SECONDS, RequestLimit
from .snippets import FORMATS, entity_file, python_code

Types = dict | list | str
Format = Literal["jsonl", "csv", "conll", "standoff", "labelstudio", "python"]


def add_endpoints(model: Model, check: Callable[[Any], dict]) -> None:
    """Adds the endpoints to the page that is being built; `check` returns the notes of [`type_notes`]."""

    def tag(text: str, entity_types: Types, threshold: float = 0.0, nested: bool = False) -> list[dict]:
        """Entities of a text: `entity_group`, `score`, `word`, `start`, `end`."""
        return find(model, text, entity_types, checked_threshold(threshold), nested).entities

    def check_types(entity_types: Types) -> dict:
        """Problems of types: `error`, and for each type its `traits` and `warnings`."""
        try:
            return check(schema_of(entity_types).to_dict())
        except TypesError as error:
            return {"error": str(error), "traits": [], "warnings": []}

    def compare(
        text: str,
        entity_types_a: Types,
        entity_types_b: Types,
        threshold_a: float = 0.0,
        threshold_b: float = 0.0,
    ) -> list[dict]:
        """Entities of a text under two sets of types, in pairs: `kind`, `a`, `b`."""
        limit = RequestLimit(MAX_TEXT_SECONDS)
        a, b = (
            find(model, text, types, checked_threshold(threshold), nested=False, limit=limit)
            for types, threshold in ((entity_types_a, threshold_a), (entity_types_b, threshold_b))
        )
        return differences(a.entities, b.entities)

    def export(
        text: str, entity_types: Types, output_format: Format = "jsonl", threshold: float = 0.0, nested: bool = False
    ) -> dict:
        """Entities of a text as a file: `file_name`, `content`, and its `encoding` (`utf-8`, or `base64` for a zip)."""
        if output_format != "python":
            _check_format(output_format)
        result = find(model, text, entity_types, checked_threshold(threshold), nested)
        if output_format == "python":
            code = python_code(text, result.reading.schema, result.threshold, result.nested, model_name())
            return {"file_name": "entities.py", "content": code, "encoding": "utf-8"}
        return _file(output_format, [(result.document, result.entities)])

    def redact(
        text: str,
        entity_types: Types = PRESET,
        method: str = "replace",
        threshold: float = THRESHOLD,
        key: str = "",
    ) -> dict:
        """A text without personal data: `text`, what was `changed`, and what scored low and was `kept`."""
        redacted, _ = redacting.redact(model, text, entity_types, method, key, threshold)
        return {"text": redacted.text, "changed": redacted.changed, "kept": redacted.kept}

    gr.api(tag, api_name="tag", **_limits(READING))
    gr.api(redact, api_name="redact", **_limits(READING))
    gr.api(compare, api_name="compare", **_limits(READING))
    gr.api(export, api_name="export", **_limits(READING))
    gr.api(check_types, api_name="check_types")
    _add_file_endpoint(model)
    _add_errors_endpoint(model)


def _limits(event: dict[str, Any]) -> dict[str, Any]:
    """The options of an event that limit how many run at once."""
    return {key: event[key] for key in ("concurrency_limit", "concurrency_id")}


def _add_file_endpoint(model: Model) -> None:
    """`/tag_file`, whose file comes through a component, which accepts only uploads, never a path on the server."""

    def tag_file(
        file: str | None, entity_types: Any, text_column: str, output_format: str, threshold: float, nested: bool
    ) -> dict:
        """Entities of the texts in a file, as another file, and the rows that were left out with their reasons."""
        if not file:
            raise FileError("file: there is none.")
        _check_format(output_format)
        threshold, schema = checked_threshold(threshold), schema_of(entity_types)
        result = batch.tag_file(model, file, text_column, schema, threshold, nested)
        entities = sum(len(found) for _, found in result.tagged)
        skipped = [*result.skipped, *([result.stopped] if result.stopped else [])]
        answer = {"texts": len(result.tagged), "entities": entities, "skipped": skipped}
        return {**_file(output_format, result.tagged), **answer}

    inputs = [
        gr.File(label="file", visible=False),
        gr.JSON(label="entity_types", visible=False),
        gr.Textbox("text", label="text_column", visible=False),
        gr.Dropdown(list(FORMATS), value="jsonl", label="output_format", visible=False),
        gr.Number(0.0, minimum=0, maximum=1, label="threshold", visible=False),
        gr.Checkbox(False, label="nested", visible=False),
    ]
    gr.Button(visible=False).click(
        tag_file,
        inputs,
        gr.JSON(label="result", visible=False),
        api_name="tag_file",
        concurrency_limit=1,
        concurrency_id="batch",
    )


def _add_errors_endpoint(model: Model) -> None:
    """`/errors`, whose file comes through a component, too."""

    def errors(file: str | None, entity_types: Any) -> dict:
        """What the model gets wrong in a labelled file: the `errors`, and `notes` about what was left out."""
        if not file:
            raise FileError("file: there is none.")
        schema = None if entity_types is None else schema_of(entity_types)
        evaluation = evaluate_file(model, file, schema)
        return {"texts": len(evaluation.texts), "errors": evaluation.rows, "notes": evaluation.notes}

    gr.Button(visible=False).click(
        errors,
        [gr.File(label="file", visible=False), gr.JSON(label="entity_types", visible=False)],
        gr.JSON(label="result", visible=False),
        api_name="errors",
        concurrency_limit=1,
        concurrency_id="batch",
    )


def _check_format(output_format: Any) -> None:
    """Checks the format before the model reads anything."""
    if not isinstance(output_format, str) or output_format not in FORMATS:
        known = ", ".join(FORMATS)
        raise PageError(f"output_format: must be one of {known} or python, got {str(output_format)[:80]!r}.")


def _file(format: str, tagged: Iterable[batch.Tagged]) -> dict[str, Any]:
    try:
        name, content = entity_file(format, tagged)
    except ValueError as error:
        raise PageError(sentence(error)) from error
    if name.endswith(".zip"):
        return {"file_name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"file_name": name, "content": content.decode(), "encoding": "utf-8"}


def api_tab() -> None:
    """The documentation of the endpoints, with a working call of each."""
    space = os.environ.get("SPACE_ID", "http://127.0.0.1:7860")
    with gr.Column(elem_classes="jpt-panel", elem_id="jpt-api-panel"):
        gr.Markdown(script("api.md").replace("ADDRESS", space), elem_id="jpt-api")
