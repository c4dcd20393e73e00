"""Files in, their text out: decompressed and decoded as a stream, in lines or in pieces, each within limits.

Also expands folders and patterns into files. Knows nothing of formats.
"""

import bz2
import codecs
import glob
import gzip
import io
import lzma
import os
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAX_LINE = 2**25  # characters: ten times a long novel
MAX_TEXT = 2**26  # bytes of a file that is read as a whole
HEAD = 2**16  # bytes that formats and encodings are detected from
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PACKERS: dict[str, tuple[str, bytes, Any]] = {
    ".gz": ("gzip", b"\x1f\x8b", gzip.open),
    ".bz2": ("bzip2", b"BZh", bz2.open),
    ".xz": ("xz", b"\xfd7zXZ\0", lzma.open),
}
ESCAPED_BYTES = re.compile("[\udc80-\udcff]")  # the results of `surrogateescape` for undecodable bytes
WIDE_ESCAPE = "jpt_ner.wide_escape"  # the same for UTF-16 and UTF-32, which `surrogateescape` does not know
codecs.register_error(WIDE_ESCAPE, lambda error: ("\udc80", error.end))  # type: ignore[attr-defined]


class Unreadable(ValueError):
    """A file that cannot be read, or not any further: unexpected content, or too long a line."""


class Source:
    """
    A file that is being read.

    Args:
        stream (`BinaryIO`): Its bytes, compressed or not.
        name (`str`): Its name in messages.
        path (`str`): Its path, for its suffix and the files beside it; `"-"` for standard input.
        encoding (`str`, *optional*): Its encoding. Defaults to that of its byte order mark, else UTF-8.

    Attributes:
        suffix (`str`): In lower case, with the dot, without that of a compressor.
        stem (`str`): Its name without suffixes.
        head (`bytes`): Its first bytes, which later reads return again.
        stream (`BinaryIO`): Its bytes, decompressed.
        format (`str`): The detected one of `formats.FORMATS`, once known.
    """

    _raw: Any = None

    def __init__(self, stream: BinaryIO, name: str, path: str, encoding: str | None = None):
        self.name = name
        self.path = Path(path)
        self.format = ""
        self._raw = stream
        suffix = self.path.suffix.lower()
        buffered: Any = io.BufferedReader(stream, HEAD)  # type: ignore[type-var]
        packer = packer_of(buffered.peek(8)) or suffix
        if packer in PACKERS:
            kind, _, unpack = PACKERS[packer]
            buffered = io.BufferedReader(_Unpacked(unpack(buffered), name, kind), HEAD)
        inner = self.path.with_suffix("") if suffix in PACKERS else self.path
        self.suffix, self.stem = inner.suffix.lower(), inner.stem
        self.head = buffered.peek(HEAD)[:HEAD]
        self.encoding = _encoding(encoding, self.head)
        self.stream = buffered

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_) -> None:
        self.stream.close()

    @property
    def bytes_read(self) -> int:
        """Number of bytes read so far of the file on disk."""
        try:
            return 0 if self._raw is None else self._raw.tell()
        except (OSError, ValueError):  # a pipe, or closed
            return 0

    @property
    def start(self) -> str:
        """The first characters, as far as they can be decoded."""
        text = codecs.getincrementaldecoder(self.encoding)("replace").decode(self.head)
        return text.removeprefix("\ufeff")

    def text(self) -> str:
        """
        All of it as one text.

        Raises:
            UnicodeDecodeError: If it is in another encoding.
            Unreadable: If it is larger than `MAX_TEXT`.
        """
        content = self.stream.read(MAX_TEXT + 1)
        if len(content) > MAX_TEXT:
            raise Unreadable(f"a text of more than {MAX_TEXT // 2**20} MB; split the file")
        return content.decode(self.encoding).removeprefix("\ufeff")

    def lines(self, faults: dict[int, str], any_end: bool = False) -> Iterator[str]:
        """
        Its lines, with their ends. A line ends with LF; or with CR in files without any LF in their first part, such as
        Excel's "CSV (Macintosh)".

        Args:
            faults (`dict[int, str]`): Receives encoding errors by line number.
            any_end (`bool`): Whether LF, CR and CRLF all end a line.
        """
        is_mac = "\r" in self.start and "\n" not in self.start
        for number, line in enumerate(self._pieces("" if any_end else "\r" if is_mac else "\n"), 1):
            if ESCAPED_BYTES.search(line):
                faults[number] = self.fault(line)
                line = ESCAPED_BYTES.sub("\ufffd", line)
            yield line

    def pieces(self) -> Iterator[str]:
        """Its text in pieces of any length; what cannot be decoded stands in it as `ESCAPED_BYTES`."""
        wrapper = self._decoded("")
        first = True
        while piece := wrapper.read(HEAD):
            yield piece.removeprefix("\ufeff") if first else piece
            first = False

    def _pieces(self, newline: str) -> Iterator[str]:
        wrapper, number = self._decoded(newline), 0
        while line := wrapper.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise Unreadable(f"line {number} has more than {MAX_LINE:,} characters")
            yield line.removeprefix("\ufeff") if number == 1 else line

    def _decoded(self, newline: str) -> io.TextIOWrapper:
        is_wide = re.match("utf-?(16|32)", self.encoding.replace("_", "-").lower())
        errors = WIDE_ESCAPE if is_wide else "surrogateescape"
        return io.TextIOWrapper(self.stream, self.encoding, errors=errors, newline=newline)

    def fault(self, text: str) -> str:
        """What is wrong with the encoding of a text that has `ESCAPED_BYTES`."""
        try:
            text.encode(self.encoding, "surrogateescape").decode(self.encoding)
        except UnicodeDecodeError as error:
            return not_decoded(error, self.encoding)
        except UnicodeEncodeError:  # of UTF-16 and UTF-32 the bytes are not known any more
            pass
        return not_decoded(None, self.encoding)


class _Unpacked(io.RawIOBase):
    """The content of a compressed file; damage is a `ValueError` that names the file."""

    def __init__(self, stream, name: str, kind: str):
        self._stream, self._name, self._kind = stream, name, kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"{self._name}: damaged {self._kind} file ({error})") from None
        buffer[: len(data)] = data
        return len(data)


def open_source(path: str | os.PathLike, encoding: str | None = None) -> Source:
    """
    Opens a file, or standard input for `"-"`.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is compressed and damaged.
    """
    if str(path) == "-":
        # Unbuffered, so that a line that has arrived does not wait for more.
        return Source(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), "standard input", "-", encoding)
    return Source(open(path, "rb", buffering=0), str(path), str(path), encoding)  # type: ignore[arg-type]


def packer_of(head: bytes) -> str | None:
    """The one of `PACKERS` whose files start like this; `None` for other content."""
    return next((suffix for suffix, (_, mark, _) in PACKERS.items() if head.startswith(mark)), None)


def not_decoded(error: UnicodeError | None, encoding: str) -> str:
    """The message for a text that is not in the expected encoding."""
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    reason = f" ({error.reason})" if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)) else ""
    return f"not {name}{reason}; save it as UTF-8, or name its encoding: --encoding cp1252, for example"


def expand(path: str | os.PathLike) -> list[Path] | None:
    """
    The files of a folder and its subfolders, or of a pattern such as `texts/*.txt`, in order.

    Returns:
        `list[Path]`: Without hidden files; `None` if the path stands for itself.

    Raises:
        ValueError: If there are no files.
    """
    name = str(path)
    if os.path.isdir(path):
        found = sorted(each for each in Path(path).rglob("*") if each.is_file())
        found = [each for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts)]
        if not found:
            raise ValueError(f"the folder {name} has no files")
        return found
    if name == "-" or not glob.has_magic(name) or os.path.exists(path):
        return None
    found = sorted(Path(each) for each in glob.glob(name, recursive=True) if os.path.isfile(each))
    if not found:
        raise ValueError(f"no file matches {name!r}")
    return found


def check_apart(inputs: Iterable[str | os.PathLike], outputs: Iterable[str | os.PathLike | None]) -> None:
    """
    Checks that no output is one of the inputs, which would be lost, and that no two outputs are one file.

    Args:
        inputs (`Iterable`): Files, folders and patterns; `"-"` for standard input.
        outputs (`Iterable`): Files, which need not exist yet; `None` for outputs that were not requested.

    Raises:
        ValueError: If an output is an input, under whatever name, or two outputs are one file. Names that differ only in
            case count as the same, as they are on many file systems.
    """
    # Pipes and devices lose nothing; folders are refused by what writes the file.
    written = [
        Path(each) for each in outputs if each is not None and (os.path.isfile(each) or not os.path.exists(each))
    ]
    if not written:
        return
    read = [file for path in inputs if str(path) != "-" for file in expand(path) or [Path(path)]]
    names = {folded_path(each): each for each in read}
    numbers = {_file_number(each): each for each in read if each.exists()}
    seen: dict[str, Path] = {}
    for path in written:
        name = folded_path(path)
        same = names.get(name) or (numbers.get(_file_number(path)) if path.exists() else None)
        if same is not None:
            raise ValueError(
                f"the output {str(path)!r} is a file that is read ({str(same)!r}), and would replace it; name another"
            )
        other = seen.setdefault(name, path)
        if other is not path:
            raise ValueError(
                f"the outputs {str(other)!r} and {str(path)!r} would be one file; rename one of them, or the input that it "
                "is named after"
            )


def folded_path(path: str | os.PathLike) -> str:
    """A path without links, the same for all names that some file systems do not tell apart."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _file_number(path: Path) -> tuple[int, int]:
    """The same for all hard links to a file."""
    about = path.stat()
    return about.st_dev, about.st_ino


def data_name(path: str | os.PathLike) -> str:
    """The name of a data file without its suffixes: `dev` of `dev.jsonl.gz`."""
    path = Path(path)
    return path.with_suffix("").stem if path.suffix.lower() in PACKERS else path.stem


def _encoding(given: str | None, head: bytes) -> str:
    if given is not None:
        name = codecs.lookup(given).name
        return "utf-8-sig" if name == "utf-8" else name
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    # Text has no NUL characters, so if every other byte is one, it is UTF-16 without a mark.
    pairs = len(head[:4096]) // 2
    nuls = [head[: 2 * pairs][first::2].count(0) for first in (0, 1)]
    if pairs and max(nuls) > 0.3 * pairs and min(nuls) < 0.05 * pairs:
        return "utf-16-be" if nuls[0] > nuls[1] else "utf-16-le"
    return "utf-8-sig"
