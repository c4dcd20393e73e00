"""File formats: one module each, which reads the format and, where possible, writes it. The registry is here.

source, options  --read-->   documents and bad rows
path             --write-->  a file that takes documents with their entities
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ..model import ReadOptions, Row
from ..opening import PACKERS, Source
from . import brat, conll, doccano, json_rows, jsonl, labelstudio, parquet, prodigy, spacy, table, text
from .json_values import looks_like_json
from .writing import Writer

Reader = Callable[[Source, ReadOptions], Iterator[Row]]

FORMATS: dict[str, Reader] = {
    "text": text.read_text,
    "lines": text.read_lines,
    "docx": text.read_docx,
    "pdf": text.read_pdf,
    **json_rows.READERS,
    "csv": table.read_csv,
    "tsv": table.read_tsv,
    "conll": conll.read,
    "brat": brat.read,
    "parquet": parquet.read,
}
SUFFIXES = {
    **dict.fromkeys((".txt", ".md"), "text"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".csv",), "csv"),
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".conllu", ".conllup", ".ner"), "conll"),
    **dict.fromkeys((".gold_conll", ".v4_gold_conll", ".conll03", ".conll2003"), "conll"),
    ".ann": "brat",
    ".docx": "docx",
    ".pdf": "pdf",
    ".parquet": "parquet",
}
ARCHIVE = ".zip"
WAYS_IN = {
    ".xlsx": "save it as CSV",
    ".xls": "save it as CSV",
    ".ods": "save it as CSV",
    ".spacy": "write its documents as JSON lines, each `Doc.to_json()`",
    ".doc": "save it as .docx",
    ".odt": "save it as .docx",
    ".rtf": "save it as .docx",
    ".xml": "take the text out of it",
    ".html": "take the text out of it, or name the format: --input-format text",
}

WRITERS: dict[str, Callable[[Path, Path, Iterable[str]], AbstractContextManager[Writer]]] = {
    ".jsonl": jsonl.write,
    ".csv": table.write,
    ".conll": conll.write,
    ".json": labelstudio.write,
    ".ann": brat.write_standoff,
    ".zip": brat.write_archive,
}
# What annotation programs import, by the end of a file's name.
WRITERS_BY_PROGRAM = {
    ".doccano.jsonl": doccano.write,
    ".prodigy.jsonl": prodigy.write,
    ".spacy.jsonl": spacy.write,
}


def format_of_texts(path: Path, source: Source | None, options: ReadOptions) -> str:
    """
    The format of a file of texts to tag.

    Args:
        source ([`Source`], *optional*): The file, whose first characters distinguish a table from words and tags.

    Raises:
        ValueError: If the suffix is not known.
    """
    if options.format is not None:
        return options.format
    if str(path) == "-":
        return "text"
    suffix = plain_suffix(path)
    if suffix not in SUFFIXES:
        raise ValueError(_unknown(path, suffix))
    return _table_or_conll(SUFFIXES[suffix], source, options)


def format_of_records(path: Path, source: Source, options: ReadOptions) -> str:
    """The format of a file of labelled data, by its suffix or else its first characters."""
    if options.format is not None:
        return options.format
    suffix = plain_suffix(path)
    if suffix in WAYS_IN:
        raise ValueError(_unknown(path, suffix))
    format = SUFFIXES.get(suffix, "text")
    if format != "text":
        return _table_or_conll(format, source, options)
    if suffix and path.with_suffix(".ann").is_file():
        return "brat"
    return "jsonl" if looks_like_json(source.start) else "conll"


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without that of a compressor."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix in PACKERS else suffix


def _table_or_conll(format: str, source: Source | None, options: ReadOptions) -> str:
    """The format itself, or `conll` for a .tsv file of words and tags."""
    if format != "tsv" or source is None or table.is_table(source.start, options):
        return format
    return "conll" if conll.is_tagged(source.start, options) else "tsv"


def _unknown(path: Path, suffix: str) -> str:
    known = ", ".join((*SUFFIXES, ARCHIVE))
    way = f"; {WAYS_IN[suffix]}" if suffix in WAYS_IN else ""
    return f"the format of {path} is not known by its suffix (known: {known}); give the format (--input-format){way}"
