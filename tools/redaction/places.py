"""Which files a job reads, and where it writes each of them: never over an input."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..files.formats import ARCHIVE, SUFFIXES, format_of_texts, plain_suffix
from ..files.model import ReadOptions
from ..files.opening import PACKERS, check_apart, expand, folded_path, open_source

# The kind of output for each format.
WRITTEN_AS = {
    "text": "text",
    "docx": "text",
    "pdf": "text",
    "lines": "lines",
    "jsonl": "jsonl",
    "csv": "csv",
    "tsv": "tsv",
}
ENDINGS = {
    "text": (".txt", ".md"),
    "lines": (".txt", ".md"),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
}


@dataclass(frozen=True)
class Part:
    """
    One file of a job.

    Args:
        source (`str`): The input; `"-"` for standard input.
        kind (`str`): The kind of output, a key of `ENDINGS`.
        target (`Path`, *optional*): The output; `None` for standard output.
        name (`str`): Its name in reports.
    """

    source: str
    kind: str
    target: Path | None
    name: str


def plan(source: str, output: Path | None, options: ReadOptions) -> tuple[list[Part], list[str]]:
    """
    The files of a job, and the names of files in its folder that are left out because they cannot be redacted.

    Args:
        source (`str`): A file, a folder, a pattern or `"-"`.
        output (`Path`, *optional*): A file for a file, a folder for many.

    Raises:
        ValueError: If a file cannot be redacted or written this way, or an output would overwrite an input.
        OSError: If the file cannot be read.
    """
    files = expand(source)
    if files is None:
        kind = _kind(source, options)
        if output is not None:
            _check_ending(output, kind)
            check_apart([source], [output])
        return [Part(source, kind, output, Path(source).name if source != "-" else "standard input")], []
    if output is None:
        raise ValueError(f"--output: {source} stands for many files; name a folder for them")
    root = Path(source) if os.path.isdir(source) else Path(os.path.commonpath([each.parent for each in files]))
    _check_folder(output, root)
    parts, left = [], []
    for file in files:
        name = file.relative_to(root).as_posix()
        if options.format is None and SUFFIXES.get(plain_suffix(file)) not in WRITTEN_AS:
            left.append(name)
            continue
        kind = _kind(str(file), options)
        parts.append(Part(str(file), kind, output / _written_name(Path(name), kind), name))
    if not parts:
        raise ValueError(f"{source} has no files that can be redacted: {_known()}")
    check_apart([each.source for each in parts], [each.target for each in parts])
    return parts, left


def _kind(file: str, options: ReadOptions) -> str:
    if plain_suffix(Path(file)) == ARCHIVE:
        raise ValueError(f"{file}: an archive is not redacted; unpack it and name the folder")
    path = Path(file)
    if file == "-" or options.format is not None:
        format = format_of_texts(path, None, options)
    else:
        with open_source(file, options.encoding) as source:
            format = format_of_texts(path, source, options)
    if format not in WRITTEN_AS:
        raise ValueError(f"{file}: {format} is not redacted: {_known()}")
    return WRITTEN_AS[format]


def _known() -> str:
    suffixes = [suffix for suffix, format in SUFFIXES.items() if format in WRITTEN_AS]
    return f"known are {', '.join(suffixes)}"


def _check_ending(output: Path, kind: str) -> None:
    if output.suffix.lower() not in ENDINGS[kind]:
        raise ValueError(
            f"--output: what is read is written as {kind}, so the name should end in {' or '.join(ENDINGS[kind])}, got "
            f"{str(output)!r}"
        )
    if output.is_dir():
        raise ValueError(f"--output: {str(output)!r} is a folder; name a file in it")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder {str(output.parent)!r} does not exist")


def _check_folder(output: Path, root: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output: should be a folder for many files, got the file {str(output)!r}")
    written, read = (f"{folded_path(each)}{os.sep}" for each in (output, root))
    if written.startswith(read) or read.startswith(written):
        raise ValueError(
            f"--output: the folder {str(output)!r} should lie apart from the one that is read, {str(root)!r}"
        )


def _written_name(name: Path, kind: str) -> Path:
    """The name of a file's output: its own, without the suffix of a compressor, and with a new one if the kind changes."""
    if name.suffix.lower() in PACKERS:
        name = name.with_suffix("")
    return name if name.suffix.lower() in ENDINGS[kind] else name.with_name(f"{name.name}{ENDINGS[kind][0]}")
