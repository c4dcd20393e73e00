"""A Word or PDF file in, its text out. What cannot be read is a `ValueError` that says why, in one sentence.

Both kinds of file are compressed and can describe far more work than their size suggests. Characters are therefore counted
while a file is read, and [`extract_text`] reads it in a process of its own, whose time and memory are limited.
"""

import json
import logging
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from typing import BinaryIO
from xml.etree import ElementTree

MAX_FILE_BYTES = 64 * 2**20
MAX_XML_BYTES = 256 * 2**20  # of a Word file's document part, uncompressed
MAX_XML_DEPTH = 1000
MAX_PAGES = 5000
MAX_CHARACTERS = 50_000_000
MAX_SECONDS = 300.0
MAX_MEMORY = 2 * 2**30  # bytes of address space
OLD_WORD = b"\xd0\xcf\x11\xe0"  # also the container of a Word file with a password
# Elements of a Word file by name: those that stand for a character, those without running text, and those that contain blocks.
WRITTEN = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
NOT_TEXT = {"pPr", "drawing", "pict", "AlternateContent", "del", "moveFrom", "rt"}
BLOCK_CONTAINERS = {"tbl", "sdt", "sdtContent", "customXml", "ins"}
CELL_CONTAINERS = {"sdt", "sdtContent", "customXml"}
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class LimitError(ValueError):
    """The file exceeds a limit of the caller."""


def extract_text(
    stream: BinaryIO, format: str, *, max_characters: int = MAX_CHARACTERS, max_seconds: float = MAX_SECONDS
) -> str:
    """
    The text of a file, read in a separate process, so that no file can block or exhaust this one.

    Args:
        stream (`BinaryIO`): The file.
        format (`str`): `"docx"` or `"pdf"`.
        max_characters (`int`, *optional*): Reading stops with an error once there is more text than this.
        max_seconds (`float`, *optional*): Reading stops with an error after this time.

    Raises:
        ValueError: If it is not such a file, has no text, has a password or exceeds a limit.
        ImportError: If the library that reads PDF files is not installed.
    """
    if format == "pdf":
        _require_pypdf()
    content = _content(stream)
    command = [sys.executable, "-P", __file__, format, str(max_characters), str(max_seconds)]
    try:
        # The process normally stops at its limit by itself, with a better message.
        run = subprocess.run(command, input=content, capture_output=True, timeout=max_seconds + 5)
        answer = json.loads(run.stdout)
    except subprocess.TimeoutExpired:
        answer = {"error": _too_slow(max_seconds)}
    except ValueError:  # killed from outside or crashed: no answer
        answer = {"error": "cannot be read; the file may be damaged or need too much memory"}
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["text"]


# ---- Word -----------------------------------------------------------------------------------------------------------


def docx_text(stream: BinaryIO, max_characters: int = MAX_CHARACTERS, max_seconds: float = MAX_SECONDS) -> str:
    """
    The text of a Word file (.docx): one paragraph per line, the cells of a table row separated by tabs.

    Tracked changes count as accepted. Headers, footers, footnotes, comments and text
    boxes are left out. The file is parsed as a stream, so that memory does not grow with its markup.

    Raises:
        ValueError: If it is no such file, holds no text, has a password or exceeds a limit.
    """
    deadline = _Deadline(max_seconds)
    content = _content(stream)
    if content.startswith(OLD_WORD):
        raise ValueError("an old .doc file, or a Word file with a password; save it as .docx without one")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            part = archive.getinfo(_main_part(archive))
            if part.file_size > MAX_XML_BYTES:
                limit = f"the limit is {MAX_XML_BYTES // 2**20} MB"
                raise LimitError(f"its text unpacks to {part.file_size // 2**20} MB of XML; {limit}")
            parser = ElementTree.XMLParser(target=(text := _WordText(max_characters)))
            with archive.open(part) as xml:
                while chunk := xml.read(2**16):
                    parser.feed(chunk)
                    deadline.check()
            parser.close()
    except LimitError:
        raise
    except MemoryError:
        raise LimitError(_too_large()) from None
    except Exception as error:  # zip and XML fail in many ways on damaged files
        raise ValueError(f"cannot be read as a Word file; it may be damaged ({_in_short(error)})") from error
    return _checked("\n".join(text.lines), "the Word file has no text")


def _main_part(archive: zipfile.ZipFile) -> str:
    """The name of the part with the text, which differs for programs other than Word."""
    with archive.open("_rels/.rels") as file:
        relationships = ElementTree.fromstring(file.read(2**20))
    for each in relationships:
        if each.get("Type", "").endswith("/officeDocument"):
            return each.get("Target", "").lstrip("/")
    raise ValueError("it names no document")


class _WordText:
    """
    Target of an XML parser that collects the lines of a Word document.

    Each open element has a place that determines what its children mean: `"root"`, `"block"` (paragraphs and tables), `"row"`
    (cells), `"paragraph"` (runs and text), `"text"` (characters) or `"skip"`.
    """

    def __init__(self, max_characters: int):
        self.lines: list[str] = []
        self._blocks = [self.lines]  # the lines of the body and of each open cell
        self._rows: list[list[str]] = []  # the cells of each open row
        self._pieces: list[str] = []
        self._places = ["root"]
        self._left = self._max_characters = max_characters

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        kind = tag.rpartition("}")[2]
        place = self._inner_place(self._places[-1], kind)
        if len(self._places) > MAX_XML_DEPTH:
            raise LimitError("its elements are nested too deeply")
        if place == "paragraph" and self._places[-1] == "block":
            self._pieces = []
        elif place == "row" and kind == "tr":
            self._rows.append([])
        elif place == "block" and self._places[-1] == "row":
            self._blocks.append([])
        self._places.append(place)

    def _inner_place(self, place: str, kind: str) -> str:
        if place == "root":
            return {"document": "root", "body": "block"}.get(kind, "skip")
        if place == "block":
            inner = {"p": "paragraph", "tr": "row"}
            return inner.get(kind, "block" if kind in BLOCK_CONTAINERS else "skip")
        if place == "row":
            return "block" if kind == "tc" else "row" if kind in CELL_CONTAINERS else "skip"
        if place == "paragraph":
            if kind in WRITTEN:
                self._write(WRITTEN[kind])
            return "text" if kind == "t" else "skip" if kind in WRITTEN or kind in NOT_TEXT else "paragraph"
        return "skip"

    def data(self, data: str) -> None:
        if self._places[-1] == "text":
            self._write(data)

    def _write(self, piece: str) -> None:
        self._count(len(piece))
        self._pieces.append(piece)

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise LimitError(_too_long(self._max_characters))

    def end(self, tag: str) -> None:
        place, outer = self._places.pop(), self._places[-1]
        if place == "paragraph" and outer == "block":
            self._add_line("".join(self._pieces))
        elif place == "row" and outer == "block":
            self._add_line("\t".join(self._rows.pop()))
        elif place == "block" and outer == "row":
            # A cell of several paragraphs, or with a table in it, stays in its row.
            self._rows[-1].append(" ".join(self._blocks.pop()))

    def _add_line(self, line: str) -> None:
        self._count(1)
        self._blocks[-1].append(line)

    def doctype(self, *_) -> None:
        raise ValueError("it declares a document type, which Word files do not")

    def close(self) -> None:
        """Called by the parser at the end of the document."""


# ---- PDF ------------------------------------------------------------------------------------------------------------


def pdf_text(stream: BinaryIO, max_characters: int = MAX_CHARACTERS, max_seconds: float = MAX_SECONDS) -> str:
    """
    The text of a PDF file (not of pictures in it): lines as printed, a blank line between pages.

    Raises:
        ValueError: If it is no such file, holds no text, has a password or exceeds a limit.
        ImportError: If pypdf is not installed.
    """
    deadline = _Deadline(max_seconds)
    _require_pypdf()
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    content = _content(stream)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its log messages quote the file
    texts: list[str] = []
    left = max_characters
    try:
        reader = PdfReader(BytesIO(content))
        # Many files are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise LimitError("the PDF has a password; save it without one")
        if len(reader.pages) > MAX_PAGES:
            raise LimitError(f"the PDF has {len(reader.pages):,} pages; the limit is {MAX_PAGES:,}")
        for page in reader.pages:
            texts.append(page.extract_text(visitor_operand_before=deadline.check).strip())
            left -= len(texts[-1])
            if left < 0:
                raise LimitError(_too_long(max_characters))
            deadline.check()
    except LimitError:
        raise
    except DependencyError as error:
        raise ValueError("the PDF is encrypted; save it without encryption") from error
    except MemoryError:
        raise LimitError(_too_large()) from None
    except Exception as error:  # damaged files fail in many ways
        raise ValueError(f"cannot be read as PDF; the file may be damaged ({_in_short(error)})") from error
    return _checked(
        "\n\n".join(texts), "the PDF has no text, only pictures of pages; run a text recognition (OCR) on it first"
    )


def _require_pypdf() -> None:
    if "pypdf" not in sys.modules and find_spec("pypdf") is None or sys.modules.get("pypdf", True) is None:
        raise ImportError("PDF files need pypdf: `pip install pypdf`")


# ---- limits ---------------------------------------------------------------------------------------------------------


class _Deadline:
    """A time from now after which [`check`] raises a [`LimitError`]."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self, *_) -> None:
        if time.monotonic() > self._end:
            raise LimitError(_too_slow(self._seconds))


def _too_slow(seconds: float) -> str:
    return f"takes longer than {seconds:g} s to read; split the file, or save its text as .txt"


def _too_long(characters: int) -> str:
    return f"has more than {characters:,} characters of text"


def _too_large() -> str:
    return "needs too much memory to read; split the file, or save its text as .txt"


def _content(stream: BinaryIO) -> bytes:
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MB")
    return content


def _checked(text: str, if_blank: str) -> str:
    if not text.strip():
        raise ValueError(if_blank)
    return LONE_SURROGATE.sub("\ufffd", text)


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:120].replace("\n", " ")


EXTRACTORS: dict[str, Callable[..., str]] = {"docx": docx_text, "pdf": pdf_text}


def main(format: str, max_characters: str, max_seconds: str) -> None:
    """The process of [`extract_text`]: a file on standard input, a JSON object with `text` or `error` on standard output."""
    _limit_process(float(max_seconds))
    try:
        text = EXTRACTORS[format](sys.stdin.buffer, int(max_characters), float(max_seconds))
        answer = {"text": text}
    except ValueError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": _too_large()}
    sys.stdout.write(json.dumps(answer))


def _limit_process(seconds: float) -> None:
    try:
        import resource
    except ImportError:  # Windows: only the parent's timeout
        return
    for limit, value in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CPU, int(seconds) + 5)):
        _, hard = resource.getrlimit(limit)
        try:
            resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
        except (ValueError, OSError):  # not every system limits everything
            continue


if __name__ == "__main__":
    main(*sys.argv[1:])
