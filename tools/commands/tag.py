"""`jpt-ner tag`: its options. The work is done in `files.tagging`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..loading import load_pipeline
from .arguments import InputFormat, note, schema_of
from .bulk import Bulk, run_bulk

if TYPE_CHECKING:
    from ..files.model import Document


@dataclass
class TagInput:
    """The input."""

    text: Annotated[str | None, typer.Argument(help="The text, or `-` for standard input.")] = None
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            "-t",
            metavar="TYPES",
            help="What to look for: a schema file (.yaml, .json), a preset (see `jpt-ner types list`) or a type as "
            "`NAME=DEFINITION`. May be repeated. Default: the model's own types.",
        ),
    ] = None
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Read texts from a file instead: .txt, .docx or .pdf (one document), .jsonl, .json, .csv, .tsv, "
            ".parquet, .conll and others (see docs/files.md), compressed (.gz) or not; a folder, a .zip or a pattern such as "
            "`'texts/*.txt'` for many; `-` is standard input. Rows of .jsonl may have their own `entity_types`, which "
            "replace `--types`. May be repeated for a job (see `--output`).",
        ),
    ] = None
    lines: Annotated[bool, typer.Option("--lines", help="Every line is a text: `--input-format lines`.")] = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Report rows that cannot be read and continue, instead of stopping.")
    ] = False


@dataclass
class TagOutput:
    """The output."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to a file instead of the terminal: .jsonl (each row with its `entities`), .csv (one row per "
            "entity), .conll (a word and its BIO tag per line), .json (for Label Studio), .ann (brat's standoff, with the "
            "text beside it) or .zip (the same for many texts); .doccano.jsonl, .prodigy.jsonl or .spacy.jsonl. `evaluate` "
            "and `train` read all of them. A folder, with a `/` at its end, makes it a resumable job: its rows are in many "
            "files, and the same command resumes it (see docs/scale.md).",
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of highlighted text.")] = False
    scores: Annotated[bool, typer.Option("--scores", help="Show scores in highlighted text.")] = False


@dataclass
class Finding:
    """How entities are found."""

    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Drop entities with lower scores.", show_default=False)
    ] = None
    nested: Annotated[bool, typer.Option("--nested", help="Let entities of different types overlap.")] = False
    top_k: Annotated[
        int, typer.Option(min=0, help="Add this many other types with their scores to each entity (JSON only).")
    ] = 0
    decoder: Annotated[
        Literal["word", "token"],
        typer.Option(help="How entities are decoded: over words, or by the paper's token rule."),
    ] = "word"
    batch_size: Annotated[int, typer.Option(min=1, help="Maximum number of texts in one forward pass.")] = 16
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model folder or Hub id. Default: the model that comes with this package."),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu`, `cuda` or `cuda:1`. Default: the best available.")
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Options for the pipeline's call."""
        values = {name: getattr(self, name) for name in ("nested", "top_k", "batch_size", "decoder")}
        return values if self.threshold is None else {**values, "threshold": self.threshold}


def tag(input: TagInput, reading: InputFormat, output: TagOutput, finding: Finding, bulk: Bulk) -> None:
    """
    Finds entities in a text or a file.

    Examples:

    - `jpt-ner tag "Paris released a new album." --types music`

    - `jpt-ner tag "A cheap pizza in Soho" -t "price=Explicit amounts and wording such as cheap or pricey."`

    - `jpt-ner tag --input articles.jsonl --types types.yaml --output entities.csv`

    - `jpt-ner tag --input 'data/*.parquet' --types types.yaml --output tagged/`
    """
    if bulk.is_job(output.output):
        run_bulk(input, reading, output.output, finding, bulk, load_pipeline)
        return
    _check(input, output, finding, bulk)
    schema = schema_of(input.types)

    from ..files.tagging import Tagger, json_line, print_results, write_results

    skipped: list[str] = []
    documents = _documents(input, reading, skipped)
    tagger = Tagger(lambda: load_pipeline(finding.model, device=finding.device), schema, **finding.options)
    if output.output is not None:
        write_results(tagger(documents), Path(output.output), schema, lambda line: typer.echo(line, err=True))
    elif output.json:
        for document, entities in tagger(documents):
            typer.echo(json_line(document, entities))
    else:
        print_results(tagger(documents), schema, output.scores, titles=bool(input.input) or input.text == "-")
    if tagger.own_types and schema is not None:
        note(f"{tagger.own_types} text(s) brought their own `entity_types`, which replaced --types")
    if skipped:
        note(f"{len(skipped)} row(s) skipped")


def _check(input: TagInput, output: TagOutput, finding: Finding, bulk: Bulk) -> None:
    if (input.text is None) == (not input.input):
        raise typer.BadParameter("give either a text or --input FILE")
    if input.text is not None and os.path.isfile(input.text):
        raise typer.BadParameter(f"{input.text!r} is a file; read it with --input {input.text}")
    if len(input.input or []) > 1 or bulk != Bulk():
        raise ValueError("several --input, and options of jobs, need an --output that is a folder: its name ends in /")
    if output.output is None:
        return
    from ..files.opening import check_apart
    from ..files.writers import check_output, output_suffix

    check_output(output.output)
    check_apart([*(input.input or []), *filter(os.path.isfile, input.types or [])], [output.output])
    suffix = output_suffix(Path(output.output))
    if finding.nested and suffix == ".conll":
        raise ValueError("--nested: BIO tags cannot hold overlapping entities; write another format")
    if finding.top_k and suffix != ".jsonl":
        raise ValueError("--top-k: alternatives are written to .jsonl only")


def _documents(input: TagInput, reading: InputFormat, skipped: list[str]) -> Iterator["Document"]:
    from ..files.documents import Document, passed_over, read_documents, read_options

    def skip(message: str) -> None:
        skipped.append(message)
        note(f"skipped: {message}")

    source = "-" if input.text == "-" else input.input[0] if input.input else None
    if source is None:
        return iter([Document(1, {"text": input.text}, input.text or "")])
    options = {**reading.options, **({"format": "lines"} if input.lines else {})}
    if told := passed_over(source, read_options(options)):
        note(told)
    return read_documents(source, on_bad_row=skip if input.skip_bad else None, **options)
