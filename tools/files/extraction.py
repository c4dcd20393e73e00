"""A Word or PDF file in, its text out. What cannot be read is a `ValueError` that says why, in one sentence.

The libraries (python-docx, pypdf) are optional. Both kinds of file are compressed: what they may unpack to is limited.
"""

import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, BinaryIO

LARGEST_FILE = 64 * 2**20  # bytes
LARGEST_UNPACKED = 512 * 2**20  # bytes, pictures included
MOST_PAGES = 5000
OLD_WORD = b"\xd0\xcf\x11\xe0"  # also what Word wraps a file with a password in
# Elements of a Word paragraph by their names: what stands for a character, and what is no running text.
WRITTEN = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
NOT_TEXT = {"pPr", "drawing", "pict", "AlternateContent", "del", "moveFrom"}
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def docx_text(stream: BinaryIO) -> str:
    """
    The text of a Word file (.docx): a paragraph a line, the cells of a table's row divided by tabs.

    Insertions that are tracked count as accepted, deletions as gone. Headers, footers, footnotes, comments and text
    boxes are left out.

    Raises:
        ValueError: If it is no such file, holds no text, has a password or is too large.
        ImportError: If python-docx is not installed.
    """
    try:
        from docx import Document
    except ImportError as error:
        raise ImportError("Word files need python-docx: `pip install python-docx`") from error
    content = _content(stream)
    if content.startswith(OLD_WORD):
        raise ValueError("a .doc file of old, or a Word file with a password; save it as .docx without one")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            unpacked = sum(each.file_size for each in archive.infolist())
        if unpacked <= LARGEST_UNPACKED:
            lines = list(_docx_lines(Document(BytesIO(content)).element.body))
    except Exception as error:  # the library has no errors of its own for most that can be wrong
        raise ValueError(f"cannot be read as a Word file; it may be damaged ({_in_short(error)})") from error
    if unpacked > LARGEST_UNPACKED:
        raise ValueError(f"unpacks to {unpacked // 2**20} MB; the limit is {LARGEST_UNPACKED // 2**20} MB")
    return _checked("\n".join(lines), "the Word file has no text")


def _docx_lines(element: Any) -> Iterator[str]:
    """Also of what stands in content controls, which python-docx passes over."""
    for child in element:
        kind = _kind(child)
        if kind == "p":
            yield "".join(_docx_pieces(child))
        elif kind == "tr":
            # A cell of several paragraphs, or with a table in it, stays in its row.
            yield "\t".join(" ".join(_docx_lines(cell)) for cell in _docx_cells(child))
        elif kind in ("tbl", "sdt", "sdtContent", "customXml", "ins"):
            yield from _docx_lines(child)


def _docx_cells(row: Any) -> Iterator[Any]:
    for child in row:
        if _kind(child) == "tc":
            yield child
        elif _kind(child) in ("sdt", "sdtContent", "customXml"):
            yield from _docx_cells(child)


def _docx_pieces(element: Any) -> Iterator[str]:
    for child in element:
        kind = _kind(child)
        if kind == "t":
            yield child.text or ""
        elif kind in WRITTEN:
            yield WRITTEN[kind]
        elif kind not in NOT_TEXT:
            yield from _docx_pieces(child)


def _kind(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def pdf_text(stream: BinaryIO) -> str:
    """
    The text of a PDF file, as far as it is text and not a picture of one: lines as printed, a blank one between pages.

    Raises:
        ValueError: If it is no such file, holds no text, has a password or is too large.
        ImportError: If pypdf is not installed.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError as error:
        raise ImportError("PDF files need pypdf: `pip install pypdf`") from error
    content = _content(stream)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it logs what it stumbles over, with pieces of the file
    locked, pages = False, 0
    try:
        reader = PdfReader(BytesIO(content))
        # Many files are encrypted with an empty password, only to forbid printing.
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = 0 if locked else len(reader.pages)
        texts = [page.extract_text() for page in reader.pages] if pages <= MOST_PAGES and not locked else []
    except DependencyError as error:
        raise ValueError("the PDF is encrypted; save it without encryption") from error
    except Exception as error:  # damaged files fail in as many ways as there are to damage them
        raise ValueError(f"cannot be read as PDF; the file may be damaged ({_in_short(error)})") from error
    if locked:
        raise ValueError("the PDF has a password; save it without one")
    if pages > MOST_PAGES:
        raise ValueError(f"the PDF has {pages:,} pages; the limit is {MOST_PAGES:,}")
    return _checked(
        "\n\n".join(text.strip() for text in texts),
        "the PDF has no text, only pictures of pages; run a text recognition (OCR) on it first",
    )


def _content(stream: BinaryIO) -> bytes:
    content = stream.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"the file is larger than {LARGEST_FILE // 2**20} MB")
    return content


def _checked(text: str, if_blank: str) -> str:
    if not text.strip():
        raise ValueError(if_blank)
    return LONE_SURROGATE.sub("\ufffd", text)


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:120].replace("\n", " ")


EXTRACTORS: dict[str, Callable[[BinaryIO], str]] = {"docx": docx_text, "pdf": pdf_text}
