"""The page's functions for programs: named endpoints for `gradio_client`, and their documentation on the page."""

import base64
import os
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ..schema_jpt import FILE_SUFFIXES, Schema, resolve_schema
from ..tools.files.documents import Document
from .batch import tag_batch
from .comparing import differences
from .editor import MOST_TYPES, TypesError, script, sentence
from .finding import find
from .model import Model
from .snippets import FORMATS, entity_file, python_code
from .uploads import FileError, read_batch

Types = dict | list | str
Format = Literal["jsonl", "csv", "conll", "standoff", "labelstudio", "python"]


def given_schema(entity_types: Any) -> Schema:
    """
    The types of a request: in the forms that pipelines take, less the names of files, which would be the server's.

    Raises:
        gr.Error: With what is wrong.
    """
    if isinstance(entity_types, str) and entity_types.lower().endswith(FILE_SUFFIXES):
        raise gr.Error(
            "entity_types: give the types themselves or the name of a preset; a file is read where you are."
        )
    try:
        schema = resolve_schema(entity_types)
    except ValueError as error:
        raise gr.Error(str(error)) from error
    if len(schema) > MOST_TYPES:
        raise gr.Error(f"entity_types: at most {MOST_TYPES} types can be looked for at once, got {len(schema)}")
    return schema


def add_endpoints(model: Model, check) -> None:
    """Adds the endpoints to the page that is being built."""

    def found(text: Any, entity_types: Any, threshold: float, nested: bool):
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise gr.Error(f"threshold: must be a number from 0 to 1, got {threshold!r}")
        try:
            return find(model, text, given_schema(entity_types), threshold, nested)
        except (ValueError, RuntimeError) as error:
            raise gr.Error(str(error)) from error

    def tag(text: str, entity_types: Types, threshold: float = 0.0, nested: bool = False) -> list[dict]:
        """Entities of a text: `entity_group`, `score`, `word`, `start`, `end`."""
        return found(text, entity_types, threshold, nested).entities

    def check_types(entity_types: Types) -> dict:
        """What is wrong with types: `error`, and for each type its `traits` and `warnings`."""
        return check(given_schema(entity_types).to_dict())

    def compare(
        text: str,
        entity_types_a: Types,
        entity_types_b: Types,
        threshold_a: float = 0.0,
        threshold_b: float = 0.0,
    ) -> list[dict]:
        """Entities of a text under two sets of types, in pairs: `kind`, `a`, `b`."""
        a = found(text, entity_types_a, threshold_a, False)
        b = found(text, entity_types_b, threshold_b, False)
        return differences(a.entities, b.entities)

    def export(
        text: str, entity_types: Types, output_format: Format = "jsonl", threshold: float = 0.0, nested: bool = False
    ) -> dict:
        """Entities of a text as a file: `file_name`, `content`, and its `encoding` (`utf-8`, or `base64` for a zip)."""
        result = found(text, entity_types, threshold, nested)
        if output_format == "python":
            code = python_code(
                text, result.reading.schema, result.threshold, result.nested, os.environ.get("JPT_MODEL", ".")
            )
            return {"file_name": "entities.py", "content": code, "encoding": "utf-8"}
        return _file(output_format, [(result.document, result.entities)])

    def tag_file(
        file: str, entity_types: Any, text_column: str, output_format: str, threshold: float, nested: bool
    ) -> dict:
        """Entities of the texts in a file, as another file, and the rows that were left out with their reasons."""
        if not file:
            raise gr.Error("file: there is none")
        path = Path(file)
        content = path.read_bytes()
        path.unlink(missing_ok=True)
        try:
            documents, skipped = read_batch(path.name, content, text_column)
            tagged = list(tag_batch(model, documents, given_schema(entity_types), threshold, nested))
        except (FileError, TypesError, RuntimeError) as error:
            raise gr.Error(str(error)) from error
        entities = sum(len(found) for _, found in tagged)
        return {**_file(output_format, tagged), "texts": len(tagged), "entities": entities, "skipped": skipped}

    limits: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "model"}
    gr.api(tag, api_name="tag", **limits)
    gr.api(compare, api_name="compare", **limits)
    gr.api(export, api_name="export", **limits)
    gr.api(check_types, api_name="check_types")
    # Files come through a component, which takes uploads only, never a path on the server.
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


def _file(format: str, tagged: list[tuple[Document, list[dict[str, Any]]]]) -> dict[str, Any]:
    try:
        name, content = entity_file(format, tagged)
    except ValueError as error:
        raise gr.Error(sentence(error)) from error
    if name.endswith(".zip"):
        return {"file_name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"file_name": name, "content": content.decode(), "encoding": "utf-8"}


def api_tab() -> None:
    """The endpoints in words, each with a call that runs."""
    space = os.environ.get("SPACE_ID", "http://127.0.0.1:7860")
    with gr.Column(elem_classes="jpt-panel", elem_id="jpt-api-panel"):
        gr.Markdown(script("api.md").replace("ADDRESS", space), elem_id="jpt-api")
