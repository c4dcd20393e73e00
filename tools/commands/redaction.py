"""`jpt-ner redact`: its options. The work is done in `redaction`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..loading import load_pipeline
from .arguments import note, schema_of


@dataclass
class What:
    """Input and output."""

    text: Annotated[str | None, typer.Argument(help="The text, or `-` for standard input.")] = None
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="A file instead: .txt, .docx or .pdf (written as text), .jsonl, .csv or .tsv; a folder or a pattern such "
            "as `'letters/*.pdf'` for many.",
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the redacted text; a folder for many files. Never the input. Default: the terminal.",
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write every change, without its words, and what scored low and was kept.",
        ),
    ] = None


@dataclass
class How:
    """What to redact, and how to replace it."""

    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            "-t",
            metavar="TYPES",
            help="What to redact: a schema file, a preset or a type as `NAME=DEFINITION`. May be repeated. Default: the "
            "preset `personal-data`.",
        ),
    ] = None
    method: Annotated[
        Literal["replace", "mask", "hash", "pseudonyms"],
        typer.Option(
            help="`replace` by the name of the type, `mask` with stars, `hash` with a key (HMAC-SHA256), or `pseudonyms`: "
            "invented names, the same for the same person throughout the job."
        ),
    ] = "replace"
    threshold: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Keep and report mentions with lower scores; types may have their own thresholds."
        ),
    ] = 0.3
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the key of `hash` and of `--mapping`.")
    ] = None
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the key, instead.")
    ] = None
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the pseudonyms in this file, encrypted with the key, and continue with those in it. Default: they "
            "are not written at all.",
        ),
    ] = None


@dataclass
class ReadingRows:
    """How a file is read, where detection is not enough."""

    text_column: Annotated[str, typer.Option(help="Key or column of the text in .jsonl, .csv and .tsv.")] = "text"
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Redact this column, too. May be repeated. All others stay as they are."),
    ] = None
    input_format: Annotated[
        Literal["text", "lines", "docx", "pdf", "jsonl", "csv", "tsv"] | None,
        typer.Option(help="Format of the input, if its suffix does not determine it."),
    ] = None
    encoding: Annotated[str | None, typer.Option(help="Such as `cp1252`. Default: UTF-8, or as marked.")] = None
    delimiter: Annotated[
        str | None,
        typer.Option(help="Separator of a table: a character, or `tab`. Default: detected; outputs have , or tab."),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Report rows and files that cannot be read and continue.")
    ] = False

    @property
    def options(self) -> dict[str, Any]:
        """The options for `ReadOptions`."""
        names = ("text_column", "encoding", "delimiter")
        return {"format": self.input_format, **{name: getattr(self, name) for name in names}}


@dataclass
class Running:
    """The model, and where it runs."""

    batch_size: Annotated[int, typer.Option(min=1, help="Maximum number of texts in one forward pass.")] = 16
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None


def redact(what: What, how: How, reading: ReadingRows, running: Running) -> None:
    """
    Replaces personal data, or whatever else is asked for, in texts and files.

    A model of this size misses some mentions: check the output before you share it.

    Examples:

    - `jpt-ner redact "Marta Kovac moved to 14 Elm Road." --method pseudonyms`

    - `jpt-ner redact --input letters/ --output redacted/ --report report.jsonl`

    - `jpt-ner redact -i mails.csv --text-column body --also subject -o out.csv --method hash --key-file key.txt`
    """
    _check(what, how)
    from ..redaction.job import RedactionJob, redact_files, save_pseudonyms
    from ..redaction.mapping import MappingFile
    from ..redaction.redacting import PRESET, Redactor, make_style
    from ..redaction.styles import read_key

    key = read_key(how.key_file, how.key_env)
    mapping = None if how.mapping is None else MappingFile(how.mapping, key)
    style = make_style(how.method, key, None if mapping is None else mapping.read())
    schema = schema_of(how.types) or PRESET
    redactor = Redactor(
        lambda: load_pipeline(running.model, device=running.device),
        style,
        schema,
        how.threshold,
        batch_size=running.batch_size,
    )

    source = "-" if what.text == "-" else what.input
    if source is None:
        (redacted,) = redactor([what.text])
        save_pseudonyms(redactor, mapping)  # first: a pseudonym that is shown can be resolved
        typer.echo(redacted.text)
        return
    beside = [each for each in (how.key_file,) if each is not None]
    job = RedactionJob(source, what.output, reading.also or [], what.report, reading.skip_bad, reading.options, beside)
    redact_files(job, redactor, mapping, note)


def _check(what: What, how: How) -> None:
    if (what.text is None) == (what.input is None):
        raise typer.BadParameter("give either a text or --input FILE")
    if what.text is not None and os.path.isfile(what.text):
        raise typer.BadParameter(f"{what.text!r} is a file; read it with --input {what.text}")
    if what.text not in (None, "-") and (what.output or what.report):
        raise typer.BadParameter("--output and --report are for files and standard input")
    if how.mapping is not None and how.method != "pseudonyms":
        raise typer.BadParameter("--mapping goes with --method pseudonyms")
    has_key = how.key_file is not None or how.key_env is not None
    if has_key and how.method != "hash" and how.mapping is None:
        raise typer.BadParameter("a key is for --method hash, or for --mapping")
    if how.mapping is not None and not has_key:
        raise typer.BadParameter("--mapping is encrypted; give its key: --key-file or --key-env")
