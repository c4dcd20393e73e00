"""JSON files in, a document for each text in them out, whichever program has written them.

Each value is recognised by its keys, so no format need be named; if one is, all values must have it.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..model import BadRow, Document, ReadOptions, Row
from ..opening import Source
from . import doccano, gliner, hub, jsonl, labelstudio, prodigy, spacy
from .json_values import json_values

# In the order in which they are tried: the first shape that recognises a value takes it.
SHAPES = {
    "jsonl": jsonl,
    "gliner": gliner,
    "labelstudio": labelstudio,
    "spacy": spacy,
    "doccano": doccano,
    "hub": hub,
    "prodigy": prodigy,
}


def read(source: Source, options: ReadOptions, shape: str | None = None) -> Iterator[Row]:
    """
    Args:
        shape (`str`, *optional*): The one of `SHAPES` that all values have. By default each is recognised by its keys.
    """
    for each in json_values(source):
        if isinstance(each, BadRow):
            yield each
        else:
            yield from documents_of(*each, options, shape)


READERS = {name: partial(read, shape=None if name == "jsonl" else name) for name in SHAPES}


def shape_of(value: Any, options: ReadOptions) -> str:
    """The one of `SHAPES` that a value has; `"jsonl"` for a plain row."""
    named = options.text_column != "text" and isinstance(value, Mapping) and options.text_column in value
    if named and "entities" not in value:
        return "jsonl"
    return next((name for name, module in SHAPES.items() if module.recognises(value, options)), "jsonl")


def documents_of(line: int, value: Any, options: ReadOptions, shape: str | None) -> Iterator[Row]:
    """The documents of one value, which starts on the given line, with a [`BadRow`] for each that cannot be used."""
    name = str(value["id"]) if isinstance(value, Mapping) and value.get("id") is not None else None
    try:
        for text, words, record, row, unique_id in SHAPES[shape or shape_of(value, options)].parse(value, options):
            document = Document(line, row, text, words, unique_id=unique_id)
            document.record = BadRow(line, record, name) if isinstance(record, str) else record
            yield document
    except ValueError as error:
        yield BadRow(line, str(error), name)
    except (AttributeError, KeyError, TypeError) as error:  # Keys with other contents than the program writes.
        reason = f"is not what {shape or shape_of(value, options)} writes ({type(error).__name__}: {error})"
        yield BadRow(line, reason[:200], name)
