"""Uploaded files in, their texts out, within the limits of the page; what is wrong with a file as a sentence.

Rows never bring types of their own here: those could name files of the server.
"""

import csv
import json
import tempfile
from pathlib import Path

from ..tools.files.documents import Document, read_documents
from .editor import sentence

MOST_TEXTS = 2_000
MOST_BATCH_CHARACTERS = 2_000_000
MOST_CHARACTERS = 50_000  # of a text to look at
WITH_COLUMNS = {".csv": ",", ".tsv": "\t"}
WITH_ROWS = (".jsonl", ".ndjson", *WITH_COLUMNS)
LIKELY_COLUMNS = ("text", "review", "content", "body", "document", "sentence", "abstract", "description", "message")


class FileError(ValueError):
    """The file cannot be used; a sentence for beside it."""


def file_sentence(error: Exception, path: str | Path, name: str) -> str:
    """What is wrong with a file, as a sentence that calls it by its own name and not by where it lay."""
    place, _, reason = str(error).partition(": ")
    if not place.startswith(str(path)):
        return sentence(str(error).replace(str(path), name))
    line = place.removeprefix(str(path)).removeprefix(":")
    return f"{name}{f', line {line}' if line else ''}: {reason.rstrip('.')}."


def first_text(path: str) -> str:
    """
    The text of a file; of a file with rows, all its texts, with blank lines between them.

    Raises:
        FileError, ValueError, OSError: If it cannot be read or has too much text.
    """
    texts, size = [], 0
    column = likely_column(columns_of(path, Path(path).read_bytes())) or "text"
    for document in read_documents(path, text_column=column, own_types=False):
        texts.append(document.text)
        size += len(document.text)
        if size > MOST_CHARACTERS:
            raise FileError(
                f"The file has more than {MOST_CHARACTERS:,} characters of text; use the tab Files for files with many "
                "rows, or the command line."
            )
    if not any(text.strip() for text in texts):
        raise FileError("The file has no text.")
    return "\n\n".join(texts)


def columns_of(name: str, content: bytes) -> list[str]:
    """The columns or keys that a file's texts may be in; none for a file that is one text."""
    suffix = Path(name).suffix.lower()
    first = content[:200_000].decode("utf-8-sig", errors="replace")
    if suffix in WITH_COLUMNS:
        try:
            return next(csv.reader(first.splitlines(), delimiter=WITH_COLUMNS[suffix]), [])
        except csv.Error:
            return []
    if suffix not in WITH_ROWS:
        return []
    keys: dict[str, None] = {}
    for line in first.splitlines()[:50]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
    return list(keys)


def likely_column(columns: list[str]) -> str | None:
    """The column that most probably holds the texts."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in LIKELY_COLUMNS if name in by_name), columns[0] if columns else None)


def read_batch(name: str, content: bytes, text_column: str | None) -> tuple[list[Document], list[str]]:
    """
    The texts of a file, and a sentence for each row that cannot be used.

    Raises:
        FileError: If the file as a whole cannot be used, or has more than this page takes.
    """
    skipped: list[str] = []
    documents: list[Document] = []
    characters = 0
    with tempfile.TemporaryDirectory() as folder:
        suffix = Path(name).suffix.lower()
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)

        def skip(message: str) -> None:
            skipped.append("Line " + message.removeprefix(f"{path}:"))

        try:
            on_bad_row = skip if suffix in (*WITH_ROWS, ".conll") else None  # one text that is bad is a bad file
            for document in read_documents(
                path, text_column=text_column or "text", own_types=False, on_bad_row=on_bad_row
            ):
                characters += len(document.text)
                if len(documents) == MOST_TEXTS or characters > MOST_BATCH_CHARACTERS:
                    raise FileError(
                        f"{name} has more than this page takes ({MOST_TEXTS:,} texts, {MOST_BATCH_CHARACTERS:,} characters). "
                        "Split it, or use the command line."
                    )
                documents.append(document)
        except FileError:
            raise
        except (ValueError, OSError, ImportError) as error:
            raise FileError(file_sentence(error, path, name)) from error
    if not documents and not skipped:
        raise FileError(f"{name} has no texts.")
    return documents, skipped
