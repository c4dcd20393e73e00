"""Files that are one text, files with one text per line, and Word and PDF files: read only."""

from collections.abc import Iterator

from ..extraction import extract_text
from ..model import BadRow, Document, ReadOptions, Row
from ..opening import Source, not_decoded


def read_text(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The file as one text, with its line ends."""
    try:
        yield _document(1, source.text(), options)
    except UnicodeDecodeError as error:
        yield BadRow(error.object.count(b"\n", 0, error.start) + 1, not_decoded(error, source.encoding))


def read_lines(source: Source, options: ReadOptions) -> Iterator[Row]:
    """Every line as a text, including blank ones."""
    faults: dict[int, str] = {}
    for number, line in enumerate(source.lines(faults), 1):
        if reason := faults.pop(number, None):
            yield BadRow(number, reason)
        else:
            yield _document(number, line.rstrip("\r\n"), options)


def read_docx(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The text of a Word file."""
    return _extracted(source, options, "docx")


def read_pdf(source: Source, options: ReadOptions) -> Iterator[Row]:
    """The text of a PDF file."""
    return _extracted(source, options, "pdf")


def _extracted(source: Source, options: ReadOptions, kind: str) -> Iterator[Row]:
    try:
        text = extract_text(
            source.stream, kind, max_characters=options.max_characters, max_seconds=options.max_seconds
        )
        yield _document(1, text, options)
    except ValueError as error:
        yield BadRow(None, str(error))


def _document(line: int, text: str, options: ReadOptions) -> Document:
    return Document(line, {options.text_column: text}, text, record={"text": text})
