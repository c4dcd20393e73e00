"""Files in, redacted files out, each written whole or not at all, with a report of all of them."""

import csv
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from tqdm.auto import tqdm

from ...atomic_jpt import atomic_file
from ..files.documents import read_documents, read_options
from ..files.formats.writing import json_text, readable
from ..files.model import Document, ReadOptions
from ..files.opening import check_apart
from .mapping import MappingFile
from .places import Part, plan
from .pseudonyms import Pseudonyms
from .redacting import Redactor
from .report import SUFFIXES, Report, report_to

TABULAR = ("jsonl", "csv", "tsv")
ANNOTATIONS = ("entities", "tokens")  # keys of a record that contain a text's words or offsets


@dataclass(frozen=True)
class RedactionJob:
    """
    What is redacted and where the output goes.

    Args:
        source (`str`): A file, a folder, a pattern such as `letters/*.pdf`, or `"-"` for standard input.
        output (`Path`, *optional*): A file for a file, a folder for many. Defaults to standard output.
        also (`Sequence[str]`): Further columns of texts, besides `text_column`.
        report (`Path`, *optional*): A `.jsonl` file for the report.
        skip_bad (`bool`): Leave rows and files out that cannot be read, and say which, instead of stopping.
        reading (`dict`): How files are read: options of `read_documents`.
        untouched (`Sequence[Path]`): Further files that must not be overwritten, such as the one with the key.
    """

    source: str
    output: Path | None
    also: Sequence[str]
    report: Path | None
    skip_bad: bool
    reading: dict[str, Any]
    untouched: Sequence[Path] = ()


def redact_files(
    job: RedactionJob, redactor: Redactor, mapping: MappingFile | None, tell: Callable[[str], None]
) -> None:
    """
    Redacts the files of a job.

    Args:
        job ([`RedactionJob`]): The job.
        redactor ([`Redactor`]): How texts are redacted.
        mapping ([`MappingFile`], *optional*): Receives the pseudonyms, before any text with them appears.
        tell (`Callable`): Receives messages for the user.

    Raises:
        ValueError: If an output would overwrite an input, or a file or row cannot be used.
        OSError: If a file cannot be read or written.
    """
    options = read_options(job.reading)
    parts, left_out = plan(job.source, job.output, options)
    outputs = [*(each.target for each in parts), job.report, None if mapping is None else mapping.path]
    check_apart([*(each.source for each in parts), *job.untouched], outputs)
    if job.report is not None and job.report.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--report: should end in {' or '.join(SUFFIXES)}, got {str(job.report)!r}")
    if job.also and not any(each.kind in TABULAR for each in parts):
        raise ValueError(f"--also: names columns, and {job.source} has none")

    save = None if mapping is None else lambda: save_pseudonyms(redactor, mapping)
    with report_to(job.report) as report:
        for name in left_out:
            report.note(f"left out, as it cannot be redacted: {name}")
        for part in parts:
            _redact_part(part, job, options, redactor, report, save)
        for line in report.lines():
            tell(line)


def save_pseudonyms(redactor: Redactor, mapping: MappingFile | None) -> None:
    """Saves the pseudonyms so far, if there is a file for them."""
    if mapping is not None and isinstance(redactor.style, Pseudonyms):
        mapping.write(redactor.style.mapping)


def _redact_part(
    part: Part,
    job: RedactionJob,
    options: ReadOptions,
    redactor: Redactor,
    report: Report,
    save: Callable[[], None] | None,
) -> None:
    skip = (lambda reason: report.note(f"left out: {reason}")) if job.skip_bad else None
    documents = read_documents(part.source, own_types=False, on_bad_row=skip, **job.reading)
    columns = list(dict.fromkeys([options.text_column, *(job.also if part.kind in TABULAR else [])]))
    first = next(documents, None)
    if first is None:
        report.note(f"not written, as there is nothing in it to redact: {part.name}")
        return
    if part.target is not None:
        part.target.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if part.target is None else atomic_file(part.target) as temporary:
        with _writer(temporary, part.kind, options, save) as write:
            rows = _redacted_rows(chain([first], documents), columns, redactor, report, part)
            for row in tqdm(rows, unit=" texts", disable=None, desc=part.name):
                write(row)


def _redacted_rows(
    documents: Iterator[Document], columns: Sequence[str], redactor: Redactor, report: Report, part: Part
) -> Iterator[dict[str, Any]]:
    """The rows of a file, with the texts in these columns redacted."""
    pending: deque[tuple[Document, dict[str, Any], list[str]]] = deque()
    absent = {*columns}

    def texts() -> Iterator[str]:
        for document in documents:
            row = _row(document, columns[0], report)
            absent.difference_update(row)
            if part.kind in TABULAR:
                report.keep_columns(name for name in row if name not in columns)
            present = [columns[0], *(name for name in columns[1:] if row.get(name) not in (None, ""))]
            for name in present:
                if not isinstance(row[name], str):
                    got = type(row[name]).__name__  # not the value itself, which must not appear in reports
                    raise ValueError(f"{part.name}:{document.line}: {name!r} should be a text, got a {got}")
            pending.append((document, row, present))
            yield from (row[name] for name in present)

    results = redactor(texts())
    for redacted in results:
        document, row, present = pending.popleft()
        for number, name in enumerate(present):
            redacted = redacted if number == 0 else next(results)
            place = {"file": part.name, "line": document.line}
            report.add(redacted, **(place if len(columns) == 1 else {**place, "column": name}))
            row[name] = redacted.text
        yield row
    if absent:
        raise ValueError(f"--also: no row of {part.name} has {min(absent)!r}")


def _row(document: Document, column: str, report: Report) -> dict[str, Any]:
    """The row of a document, without annotations, which contain what is to be redacted."""
    record = document.record
    is_plain = document.words is None and isinstance(record, dict) and not any(key in record for key in ANNOTATIONS)
    if is_plain:
        return {**document.row, column: document.text}
    report.note("of rows with annotations only id and text were written, because annotations hold words of the text")
    name = document.row.get("id")
    return {**({} if name is None else {"id": name}), column: document.text}


@contextmanager
def _writer(
    path: Path | None, kind: str, options: ReadOptions, save: Callable[[], None] | None
) -> Iterator[Callable[[dict], None]]:
    """What writes rows to a file of `atomic_file` or to standard output; `save` is called before any of them appears."""
    is_atomic = path is not None and not path.exists()  # not a pipe or a device, where rows appear as they are written
    with nullcontext(sys.stdout) if path is None else open(path, "w", encoding="utf-8", newline="") as stream:
        if save is None:
            yield _WRITERS[kind](stream, options)
        elif is_atomic:
            yield _WRITERS[kind](stream, options)
            save()
        else:
            with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as held:
                yield _WRITERS[kind](held, options)
                save()
                held.seek(0)
                shutil.copyfileobj(held, stream)


def _write_text(stream: TextIO, options: ReadOptions) -> Callable[[dict], None]:
    return lambda row: print(readable(row[options.text_column]), end="", file=stream)


def _write_lines(stream: TextIO, options: ReadOptions) -> Callable[[dict], None]:
    return lambda row: print(readable(row[options.text_column]), file=stream)


def _write_json(stream: TextIO, _) -> Callable[[dict], None]:
    return lambda row: print(json_text(row), file=stream)


def _write_csv(stream: TextIO, options: ReadOptions) -> Callable[[dict], None]:
    return _table(csv.writer(stream, delimiter=options.delimiter or ",").writerow)


def _write_tsv(stream: TextIO, options: ReadOptions) -> Callable[[dict], None]:
    delimiter = options.delimiter or "\t"

    def write_cells(cells: list[str]) -> None:
        if any(delimiter in cell for cell in cells):
            raise ValueError(
                f"a cell holds {delimiter!r}, which divides the cells that are written, and .tsv has no quotation marks; "
                "name what divides those that are read with --delimiter, or take --method mask"
            )
        print(delimiter.join(cells), file=stream)

    return _table(write_cells)


def _table(write_cells: Callable[[list[str]], Any]) -> Callable[[dict], None]:
    names: list[str] = []

    def write(row: dict) -> None:
        if not names:
            names.extend(row)
            write_cells([readable(name) for name in names])
        write_cells([readable(row.get(name, "")) for name in names])

    return write


_WRITERS = {"text": _write_text, "lines": _write_lines, "jsonl": _write_json, "csv": _write_csv, "tsv": _write_tsv}
