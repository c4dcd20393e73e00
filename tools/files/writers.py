"""Documents with their entities in, a file out: JSON lines, CSV, CoNLL columns, Label Studio's JSON, brat's standoff.

The suffix determines the format. A file appears, or replaces an older one, once all of it is written; what was written
before a failure can be kept beside it. Knows nothing of models.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from itertools import count as count_from
from pathlib import Path

from ...atomic_jpt import atomic_file
from .formats import WRITERS, WRITERS_BY_PROGRAM
from .formats.jsonl import json_line
from .formats.tags import bio_tags
from .formats.writing import Entities, Writer
from .model import Document

OUTPUT_SUFFIXES = tuple(WRITERS)
SINGLE = ".ann"


@contextmanager
def document_writer(
    path: str | Path, types: Iterable[str] = (), on_partial: Callable[[Path, int], None] | None = None
) -> Iterator[Writer]:
    """
    Opens a file for tagged documents.

    - `.jsonl`: each document's row with `entities`, which replace an earlier value.
    - `.csv`: one row per entity, with the `id` of its document or else its line; the first row of a document has the text.
      Cells that a spreadsheet would take for a formula begin with an apostrophe.
    - `.conll`: one word per line with its BIO tag in the last, tab-separated column. The words are those of the document
      or else of [`split_words`]. A comment before them has the id and, if the words do not determine it, the text.
    - `.json`: tasks with predictions for [Label Studio](https://labelstud.io/guide/predictions), for a project whose
      labels are called `label` and its text `text`, as in its template. Offsets count characters as Python does.
    - `.ann`: [brat's standoff](https://brat.nlplab.org/standoff.html) of one document, with its text beside it in a
      `.txt` file. `.zip`: the same for many, with an `annotation.conf`, and a `visual.conf` with the original names of the
      types: brat's consist of ASCII letters, digits, hyphens and underscores.
    - `.doccano.jsonl`, `.prodigy.jsonl`, `.spacy.jsonl`: what these programs import, instead of plain `.jsonl`.

    `read_records` reads all of them back.

    Args:
        path (`str` or `Path`): The file. A link is written through.
        types (`Iterable[str]`): Names of types to offer to annotators, in brat's `annotation.conf`, besides those found.
        on_partial (`Callable`, *optional*):
            If given, what was written before an error is kept as a complete file beside `path`; called with its path and
            the number of its documents.

    Yields:
        `Callable`: To be called with a document and its entities.

    Raises:
        ValueError: If the suffix is not in `OUTPUT_SUFFIXES`; for `.ann`, if there is more than one document, or the `.txt`
            file exists with another text.
    """
    suffix, path = output_suffix(path), check_output(path)
    count, failure = 0, None
    with atomic_file(path) as temporary:
        with {**WRITERS, **WRITERS_BY_PROGRAM}[suffix](temporary, path, types) as write:

            def counted(document: Document, entities: Entities) -> None:
                nonlocal count
                write(document, entities)
                count += 1

            try:
                yield counted
            except BaseException as error:
                if on_partial is None or count == 0 or suffix == SINGLE:
                    raise
                failure = error  # The file is completed first.
        if failure is not None:
            kept = _partial(path, suffix)
            os.replace(temporary, kept)
            on_partial(kept, count)
            raise failure


def output_suffix(path: str | Path) -> str:
    """The end of an output's name that determines its format: the longest known one, or else its suffix."""
    name = Path(path).name.lower()
    return next((suffix for suffix in WRITERS_BY_PROGRAM if name.endswith(suffix)), Path(path).suffix.lower())


def _partial(path: Path, suffix: str) -> Path:
    """A free name beside the file."""
    stem = path.name[: -len(suffix)]
    names = (path.with_name(f"{stem}.partial{number}{suffix}") for number in chain([""], count_from(2)))
    return next(name for name in names if not name.exists())


def check_output(path: str | Path) -> Path:
    """
    The path, with links followed, if [`document_writer`] can probably write there.

    Raises:
        ValueError: If it cannot.
    """
    path = Path(path)
    if output_suffix(path) not in (*OUTPUT_SUFFIXES, *WRITERS_BY_PROGRAM):
        raise ValueError(f"the output should end in {', '.join(OUTPUT_SUFFIXES)}, got {str(path)!r}")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise ValueError(f"the output {str(path)!r} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} of the output does not exist")
    return path if not path.is_symlink() else target


__all__ = ["OUTPUT_SUFFIXES", "Writer", "bio_tags", "check_output", "document_writer", "json_line", "output_suffix"]
