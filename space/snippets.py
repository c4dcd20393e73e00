"""Downloads: files of the entities in several formats, and Python code that finds the same entities."""

import base64
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..schema_jpt import Schema, save_schema
from ..tools.files.documents import Document
from ..tools.files.writers import document_writer

FORMATS = {
    "jsonl": ("JSON lines", "entities.jsonl"),
    "csv": ("CSV", "entities.csv"),
    "conll": ("CoNLL", "entities.conll"),
    "standoff": ("brat standoff", "entities.zip"),
    "labelstudio": ("Label Studio", "entities.json"),
}
SCHEMA_NAME = "entity-types"


def entity_file(format: str, tagged: Iterable[tuple[Document, list[dict[str, Any]]]]) -> tuple[str, bytes]:
    """
    Documents with their entities as a file.

    Returns:
        `tuple[str, bytes]`: Name and content.

    Raises:
        ValueError: If the format is not in `FORMATS`, or cannot hold overlapping entities.
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {str(format)[:80]!r}")
    name = FORMATS[format][1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with document_writer(path) as write:
            for document, entities in tagged:
                if format == "conll" and overlapping(entities):
                    raise ValueError(
                        "CoNLL has one tag a word and cannot hold overlapping entities; take another format"
                    )
                write(document, entities)
        return name, path.read_bytes()


def overlapping(entities: list[dict[str, Any]]) -> bool:
    """Whether any two entities share a character."""
    ordered = sorted(entities, key=lambda entity: entity["start"])
    reached = 0
    for entity in ordered:
        if entity["start"] < reached:
            return True
        reached = max(reached, entity["end"])
    return False


def schema_file(schema: Schema, suffix: str) -> tuple[str, bytes]:
    """A schema as the file that the command line takes: name and content."""
    name = f"{schema.name or SCHEMA_NAME}{suffix}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"schema{suffix}"
        save_schema(schema, path)
        return name, path.read_bytes()


def download(name: str, content: bytes) -> dict[str, str]:
    """A file in the form that `download.js` hands to the browser; the server keeps no copy."""
    return {"name": name, "content": base64.b64encode(content).decode()}


def python_code(text: str, schema: Schema, threshold: float, nested: bool, model: str) -> str:
    """Code that finds exactly the entities on the page, using only transformers and this repository."""
    types = [
        {key: value for key, value in record.items() if key != "colour"} for record in schema.to_dict()["entity_types"]
    ]
    lines = "\n".join(f"    {_literal(record)}," for record in types)
    return (
        "from transformers import pipeline\n\n"
        f'ner = pipeline("jpt-ner", model={_literal(model)}, trust_remote_code=True)\n'
        f"text = {_literal(text)}\n"
        f"entity_types = [\n{lines}\n]\n"
        f"entities = ner(text, entity_types=entity_types, threshold={threshold!r}, nested={nested!r})\n"
        "for entity in entities:\n    print(entity)\n"
    )


def _literal(value: Any) -> str:
    """JSON without null, true and false is Python, too."""
    return json.dumps(value, ensure_ascii=False)
