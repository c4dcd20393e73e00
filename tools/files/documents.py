"""Files of texts in, one `Document` after another out. `writers` writes what is found in them.

Reads every format of `formats` one row at a time, so that a file may be larger than memory; also folders, patterns and
archives. Reports what is wrong with every row that cannot be used, with its line. Knows nothing of models.
"""

import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from .formats import ARCHIVE, FORMATS, SUFFIXES, brat, format_of_records, format_of_texts, plain_suffix
from .formats.shapes import types_of_rows, with_types
from .model import BadRow, Document, ReadOptions, Row
from .opening import Source, Unreadable, expand, open_source

OPTIONS = tuple(each.name for each in fields(ReadOptions))
# Raised by damaged archives, and by those with a password or an unknown compression.
ARCHIVE_FAULTS = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError)
MAX_NAMED = 5  # files in a message
NOT_DATA = ("types.json", "readme.md", "readme.txt")  # files beside labelled data that are not data


def read_documents(
    path: str | os.PathLike,
    *,
    own_types: bool = True,
    on_bad_row: Callable[[str], None] | None = None,
    **options: Any,
) -> Iterator[Document]:
    """
    Reads the documents of a file, one after another.

    Args:
        path (`str` or `Path`):
            A file in any of `formats.FORMATS`, compressed (gzip, bzip2, xz) or not; `"-"` for standard input; a folder, a
            pattern such as `texts/*.txt` or a `.zip`, for the files in it.
        own_types (`bool`, *optional*, defaults to `True`):
            Whether rows may have types of their own, as `entity_types`. These may name schema files, so do not allow them
            in files of strangers.
        on_bad_row (`Callable`, *optional*):
            Receives a message for each row that cannot be used, which is then left out. Without it the first such row
            is an error.
        options: As for [`ReadOptions`].

    Raises:
        ValueError: For an unknown option or format or, while reading, a row that cannot be used, with `FILE:LINE: ` in
            front.
        OSError: If the file cannot be read.
        ImportError: If the library that reads Word or PDF files is not installed.
    """
    reading = read_options(options)
    inputs = _inputs(path, reading)
    return _checked(inputs, reading, own_types, on_bad_row)


def read_options(options: dict[str, Any]) -> ReadOptions:
    """
    Raises:
        ValueError: For an unknown option, or an invalid value.
    """
    if unknown := [name for name in options if name not in OPTIONS]:
        raise ValueError(f"unknown option {unknown[0]!r}; known: {', '.join(OPTIONS)}")
    reading = ReadOptions(**options)
    if reading.format not in (None, *FORMATS):
        raise ValueError(f"`format` should be one of {', '.join(FORMATS)}, got {reading.format!r}")
    return reading


def passed_over(path: str | os.PathLike, options: ReadOptions, output: Path | None = None) -> str | None:
    """
    A message about the files of a folder or pattern that are skipped, as their suffix names no format; `None` if none are.

    Args:
        output (`Path`, *optional*): A folder whose files are not to be read.
    """
    files = (expand(path) if options.format is None else None) or []
    if output is not None:
        files = [each for each in files if output.absolute() not in each.absolute().parents]
    unknown = [str(each) for each in files if plain_suffix(each) not in (*SUFFIXES, ARCHIVE)]
    if not unknown:
        return None
    more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
    return f"skipped, as no format is known by their suffix: {', '.join(unknown[:MAX_NAMED])}{more}"


def rows_of_records(path: str | os.PathLike, options: ReadOptions) -> Iterator[tuple[Source, Row]]:
    """
    The rows of a file, folder or archive of labelled data, each with its file.

    Raises:
        ValueError: If a file is damaged, of no known format, or cannot be read on.
        OSError: If it cannot be opened.
    """
    files = expand(path)
    if files is not None:
        files = [each for each in files if _is_data(each)]
        if not files:
            raise ValueError(f"{path} has no files of labelled data")
    for file in [Path(path)] if files is None else files:
        for source, _ in _open(file, None, options):
            with source:
                if not isinstance(source, _Archive):
                    source.format = format_of_records(source.path, source, options)
                yield from ((source, row) for row in _rows(source, options))


# ---- files ----------------------------------------------------------------------------------------------------------


def _inputs(path: str | os.PathLike, options: ReadOptions) -> list[tuple[Path, str | None]]:
    """The files that a path stands for; if there are many, each with the name for the ids of its documents."""
    files = expand(path)
    if files is None:
        file = Path(path)
        if str(file) != "-":
            if plain_suffix(file) != ARCHIVE:
                format_of_texts(file, None, options)
            os.stat(file)
        return [(file, None)]
    known = [each for each in files if options.format is not None or is_text(each, files)]
    if not known:
        raise ValueError(f"{path} has no files of texts; known are {', '.join((*SUFFIXES, ARCHIVE))}")
    root = Path(path) if os.path.isdir(path) else Path(os.path.commonpath([each.parent for each in known]))
    return [(each, each.relative_to(root).as_posix()) for each in known]


def is_text(file: Path, files: list[Path]) -> bool:
    """Whether a file, one of several found together, contains texts to tag, judging by its name."""
    suffix = plain_suffix(file)
    if suffix == ".ann" and file.with_suffix(".txt") in files:
        return False  # brat's text is read from the .txt file.
    return suffix in SUFFIXES or suffix == ARCHIVE


def _is_data(file: Path) -> bool:
    suffix = plain_suffix(file)
    if file.name.lower() in NOT_DATA or suffix in (".md", ".docx", ".pdf"):
        return False
    if suffix == ".txt":
        return not file.with_suffix(".ann").is_file()
    return suffix in SUFFIXES or suffix == ARCHIVE


def _open(file: Path, name: str | None, options: ReadOptions) -> Iterator[tuple[Source, str | None]]:
    """The file, or the files in an archive, each with the name for the ids of its documents."""
    if file.suffix.lower() != ARCHIVE:
        yield open_source(file, options.encoding), name
        return
    try:
        with zipfile.ZipFile(file) as archive:
            names = [each.filename for each in archive.infolist() if not each.is_dir()]
            if any(each.endswith(".ann") for each in names):
                yield _Archive(archive, file), name
                return
            members = [each for each in names if "__MACOSX" not in each and plain_suffix(Path(each)) in SUFFIXES]
            if not members:
                raise ValueError(f"{file}: the archive has no files of a known format")
            for member in sorted(members):
                stream: BinaryIO = archive.open(member)  # type: ignore[assignment]
                source = Source(stream, f"{file}/{member}", str(file / PurePosixPath(member)), options.encoding)
                yield source, member if name is None else f"{name}/{member}"
    except (*ARCHIVE_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # it cannot be opened
        raise ValueError(f"{file}: cannot be read as an archive ({error})") from None


class _Archive(Source):
    """An archive of brat, whose files belong together."""

    def __init__(self, archive: zipfile.ZipFile, file: Path):
        self.archive, self.name, self.path, self.stem, self.suffix = archive, str(file), file, file.stem, ARCHIVE
        self.format = "brat"

    def __exit__(self, *_) -> None:
        pass


def _rows(source: Source, options: ReadOptions) -> Iterator[Row]:
    try:
        if isinstance(source, _Archive):
            yield from brat.read_archive(source.archive, options)
        else:
            yield from FORMATS[source.format](source, options)
    except Unreadable as error:
        raise ValueError(f"{source.name}: {error}") from None
    except (*ARCHIVE_FAULTS, OSError) as error:  # in the middle of it
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of a file beside it
        raise ValueError(f"{source.name}: cannot be read; the file may be damaged ({error})") from None


# ---- documents ------------------------------------------------------------------------------------------------------


def _checked(inputs, options: ReadOptions, own_types: bool, on_bad_row) -> Iterator[Document]:
    for file, name in inputs:
        for source, row in rows_of_texts(file, name, options, own_types):
            if isinstance(row, Document):
                yield row
            elif on_bad_row is None:
                raise ValueError(row_message(source.name, row))
            else:
                on_bad_row(row_message(source.name, row))


def rows_of_texts(
    file: Path, name: str | None, options: ReadOptions, own_types: bool = True
) -> Iterator[tuple[Source, Row]]:
    """
    The rows of a file of texts to tag, or of the files in an archive, each with its file.

    Args:
        name (`str`, *optional*):
            Start of the ids of documents without one; in an archive the name of their file in it follows, then their line.
        own_types (`bool`, *optional*, defaults to `True`): As for [`read_documents`].

    Raises:
        ValueError: If a file is damaged, of no known format, or cannot be read on.
        OSError: If it cannot be opened.
    """
    types_of = types_of_rows()
    for source, own_name in _open(file, name, options):
        with source:
            if not isinstance(source, _Archive):
                source.format = format_of_texts(source.path, source, options)
            for row in _alike(_rows(source, options), options.text_column):
                if isinstance(row, Document) and own_types:
                    row = with_types(row, types_of)
                if isinstance(row, Document):
                    _name(row, own_name, source.format)
                yield source, row


def _alike(rows: Iterator[Row], column: str) -> Iterator[Row]:
    """The rows of a file, in which either all texts are split into words or none is."""
    split: bool | None = None
    for row in rows:
        if isinstance(row, Document):
            split = row.words is not None if split is None else split
            if split != (row.words is not None):
                row = BadRow(row.line, f"{column!r} should be a {'list' if split else 'text'} as in other rows")
        yield row


def row_message(source: str, row: BadRow) -> str:
    """What is wrong with a row, and where it is."""
    return f"{source}: {row.reason}" if row.line is None else f"{source}:{row.line}: {row.reason}"


def _name(document: Document, name: str | None, format: str) -> None:
    """Gives a document of many files an id, if it has none."""
    if name is not None and not document.has_id:
        is_whole = format in ("text", "docx", "pdf")
        others = {key: value for key, value in document.row.items() if key != "id"}
        document.row = {"id": name if is_whole else f"{name}:{document.line}", **others}
