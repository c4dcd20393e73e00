"""The format that a file of labelled data is detected as."""

from pathlib import Path

from jpt_ner.tools.files.formats import format_of_records
from jpt_ner.tools.files.formats.json_rows import shape_of
from jpt_ner.tools.files.formats.json_values import json_values
from jpt_ner.tools.files.model import BadRow, ReadOptions
from jpt_ner.tools.files.opening import open_source


def format_of(path):
    options = ReadOptions()
    with open_source(path) as source:
        format = format_of_records(Path(path), source, options)
        if format != "jsonl":
            return format
        value = next(json_values(source), None)
        return "jsonl" if value is None or isinstance(value, BadRow) else shape_of(value[1], options)
