"""Uploaded files in, their texts out, within the limits of the page; problems of a file as sentences.

Gradio keeps an upload under the hash of its content, so users who upload the same file share it: nothing here deletes it; the
page's `delete_cache` does after some minutes. Types in rows are ignored, because they could name files of the server.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from ..tools.data.records import is_unicode
from ..tools.files.documents import Document, read_documents
from ..tools.files.formats import format_of_texts
from ..tools.files.formats.table import header_of
from ..tools.files.formats.writing import readable
from ..tools.files.model import ReadOptions
from ..tools.files.opening import HEAD, PACKERS, Source, packer_of
from .errors import FileError, sentence

SUFFIXES = (".txt", ".md", ".docx", ".pdf", ".jsonl", ".ndjson", ".csv", ".tsv", ".conll")
MAX_TEXTS = 2_000
MAX_BATCH_CHARACTERS = 2_000_000
MAX_CHARACTERS = 50_000  # of a single text, which is shown completely
MAX_READING_SECONDS = 20.0  # of a Word or PDF file
MAX_WAITING_SECONDS = 60.0  # until other uploads are read
MAX_SCHEMA_BYTES = 200_000
MAX_REASON = 300  # characters
COLUMNS_BYTES = 200_000  # the start of a file, in which its columns are searched for
MAX_COLUMNS = 200  # offered for selection
WITH_COLUMNS = (".csv", ".tsv")
WITH_ROWS = (".jsonl", ".ndjson", *WITH_COLUMNS)
LIKELY_COLUMNS = ("text", "review", "content", "body", "document", "sentence", "abstract", "description", "message")

_reading = threading.Lock()


@contextmanager
def reading_turn() -> Iterator[None]:
    """
    The turn to read an upload: one at a time, from any tab or endpoint.

    Raises:
        FileError: If it does not come within `MAX_WAITING_SECONDS`.
    """
    if not _reading.acquire(timeout=MAX_WAITING_SECONDS):
        raise FileError("The files of others are still being read. Try again in a minute.")
    try:
        yield
    finally:
        _reading.release()


def file_sentence(error: Exception, path: str | Path, name: str) -> str:
    """The problem of a file, as a sentence with its own name instead of its path on the server."""
    if isinstance(error, FileNotFoundError):
        return f"{name} is no longer there: uploads are kept for some minutes only. Upload it again."
    if isinstance(error, OSError):
        return f"{name} cannot be read: {error.strerror or 'the system gave no reason'}."
    place, _, reason = str(error).partition(": ")
    if not place.startswith(str(path)):
        return _shortened(sentence(str(error).replace(str(path), name)))
    line = place.removeprefix(str(path)).removeprefix(":")
    return f"{name}{f', line {line}' if line else ''}: {_shortened(reason.rstrip('.'))}."


def _shortened(reason: str) -> str:
    """A reason with shortened quotes: a row may have a million keys."""
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON].rstrip()} …"


def check_upload(path: str | Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """
    Checks the kind of an uploaded file before it is read.

    Raises:
        FileError: If it has none of the suffixes, is compressed, or no longer exists.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise FileError(f"{path.name} is of a kind that is not known here; this page reads {', '.join(suffixes)}.")
    # Under any name: the page limits the bytes of an upload, and a few of them may unpack to gigabytes.
    if packer := packer_of(uploaded_bytes(path, HEAD)):
        raise FileError(f"{path.name} is compressed ({PACKERS[packer][0]}); upload it unpacked.")


def uploaded_bytes(path: str | Path, limit: int = -1) -> bytes:
    """
    The start of an uploaded file, or all of it.

    Raises:
        FileError: If it no longer exists.
    """
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise FileError(file_sentence(error, path, Path(path).name)) from error


def uploaded_schema(path: str) -> Path:
    """
    The path of an uploaded schema file that is small enough to be parsed.

    Raises:
        FileError: If it is too large, or no longer exists.
    """
    if len(uploaded_bytes(path, MAX_SCHEMA_BYTES + 1)) > MAX_SCHEMA_BYTES:
        raise FileError(f"A schema file may have up to {MAX_SCHEMA_BYTES // 1000} kB here.")
    return Path(path)


def first_text(path: str) -> str:
    """
    The text of a file; for a file with rows, all its texts, separated by blank lines.

    Raises:
        FileError: If it cannot be read, is empty or has too much text.
    """
    check_upload(path)
    texts, size = [], 0
    name = Path(path).name
    column = likely_column(columns_of(name, uploaded_bytes(path, COLUMNS_BYTES))) or "text"
    with reading_turn():
        try:
            for document in read_documents(
                path,
                text_column=column,
                own_types=False,
                max_characters=MAX_CHARACTERS,
                max_seconds=MAX_READING_SECONDS,
            ):
                texts.append(readable(document.text))
                size += len(document.text)
                if size > MAX_CHARACTERS:
                    raise FileError(
                        f"The file has more than {MAX_CHARACTERS:,} characters of text; use the tab Files for files with "
                        "many rows, or the command line."
                    )
        except FileError:
            raise
        except (ValueError, OSError, ImportError) as error:
            raise FileError(file_sentence(error, path, name)) from error
    if not any(text.strip() for text in texts):
        raise FileError("The file has no text.")
    return "\n\n".join(texts)


def columns_of(name: str, content: bytes) -> list[str]:
    """The columns or keys that may contain a file's texts; none for a file that is a single text."""
    return _all_columns(name, content)[:MAX_COLUMNS]


def _all_columns(name: str, content: bytes) -> list[str]:
    suffix = Path(name).suffix.lower()
    if suffix not in WITH_ROWS or packer_of(content):
        return []
    source = Source(BytesIO(content[:COLUMNS_BYTES]), name, name)
    if suffix in WITH_COLUMNS:
        # Words and tags (CoNLL) in a .tsv file have no header.
        return [] if format_of_texts(source.path, source, ReadOptions()) == "conll" else header_of(source)
    keys: dict[str, None] = {}
    for line in source.start.splitlines()[:50]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
    return list(filter(is_unicode, keys))


def likely_column(columns: list[str]) -> str | None:
    """The column that most probably contains the texts."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in LIKELY_COLUMNS if name in by_name), columns[0] if columns else None)


def read_batch(path: str | Path, text_column: str | None) -> tuple[list[Document], list[str]]:
    """
    Reads the texts of a file.

    Returns:
        `tuple[list[Document], list[str]]`: The texts, and a sentence for each row that cannot be used.

    Raises:
        FileError: If the file as a whole cannot be used, or exceeds the page's limits.
    """
    path = Path(path)
    check_upload(path)
    name = path.name
    skipped: list[str] = []
    documents: list[Document] = []
    characters = 0

    def skip(message: str) -> None:
        if len(skipped) == MAX_TEXTS:
            raise FileError(f"{name} has more than {MAX_TEXTS:,} rows that cannot be used. {skipped[0]}")
        skipped.append("Line " + _shortened(message.removeprefix(f"{path}:")))

    has_rows = path.suffix.lower() in (*WITH_ROWS, ".conll")  # a file with a single, bad text is a bad file
    with reading_turn():
        try:
            for document in read_documents(
                path,
                text_column=text_column or "text",
                own_types=False,
                on_bad_row=skip if has_rows else None,
                max_characters=MAX_BATCH_CHARACTERS,
                max_seconds=MAX_READING_SECONDS,
            ):
                characters += len(document.text)
                if len(documents) == MAX_TEXTS or characters > MAX_BATCH_CHARACTERS:
                    raise FileError(
                        f"{name} has more than this page takes ({MAX_TEXTS:,} texts, {MAX_BATCH_CHARACTERS:,} characters). "
                        "Split it, or use the command line."
                    )
                words = None if document.words is None else list(map(readable, document.words))
                documents.append(replace(document, text=readable(document.text), words=words))
        except FileError:
            raise
        except (ValueError, OSError, ImportError) as error:
            raise FileError(file_sentence(error, path, name)) from error
    if not documents and not skipped:
        raise FileError(f"{name} has no texts.")
    return documents, skipped
