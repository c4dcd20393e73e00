"""`jpt-ner types`: presets and schema files, shown, checked, improved and tuned on labelled data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..loading import HOME, load_pipeline
from .arguments import expanded, note

types_app = typer.Typer(no_args_is_help=True, help="Entity types: presets and schema files.")


@types_app.command("list")
def list_types() -> None:
    """Lists the presets."""
    from rich.console import Console
    from rich.table import Table

    from ...schema_jpt import list_presets

    table = Table("preset", "what it is for", box=None, header_style="bold")
    for name, description in list_presets().items():
        table.add_row(name, description)
    Console().print(table)


@types_app.command("show")
def show_types(name: Annotated[str, typer.Argument(help="A preset or schema file.")]) -> None:
    """Prints a preset as a schema file, to start your own from."""
    from ...schema_jpt import resolve_schema

    typer.echo(_schema_text(resolve_schema(name)), nl=False)


@types_app.command("check")
def check_types(file: Annotated[Path, typer.Argument(help="A schema file.")]) -> None:
    """Validates a schema file: names the line of an error, and definitions that are hard to work with."""
    from ...schema_jpt import load_schema

    schema = load_schema(file)
    from ..files.highlight import printable

    typer.echo(printable(f"{file}: {len(schema)} entity types: {', '.join(schema.names)}"))

    from ...definitions_jpt import build_definition_encoder
    from ..diagnostics import SIMILARITY_ENCODER, diagnose_schema

    try:
        warnings = diagnose_schema(schema, build_definition_encoder(SIMILARITY_ENCODER))
    except (OSError, ImportError) as error:
        note(f"definitions were not compared: {error}")
        warnings = diagnose_schema(schema)
    for warning in warnings:
        note(printable(f"warning: {warning}"))


@dataclass
class Drafting:
    """The language model that drafts definitions."""

    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8080/v1, to draft definitions."),
    ] = None
    model: Annotated[str | None, typer.Option(help="The endpoint's name for the language model.")] = None
    drafts: Annotated[int, typer.Option(min=1, help="Drafts for each type.")] = 3
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer from the endpoint.")] = 60

    def endpoint(self):
        """
        The endpoint, or None where none is named.

        Raises:
            typer.BadParameter: If only one of address and name is given.
        """
        if (self.model is None) != (self.base_url is None):
            raise typer.BadParameter(
                "--base-url and --model go together: an endpoint, and its name of the language model"
            )
        if self.model is None:
            return None
        from ..chat import ChatEndpoint

        return ChatEndpoint(self.base_url, self.model, timeout=self.timeout)


@types_app.command("improve")
@expanded
def improve_types(
    drafting: Drafting,
    schema: Annotated[str, typer.Argument(help="A schema file or preset.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="A file or folder of records labelled with these types. Without them a language model drafts definitions from names and "
            "examples, and nothing judges these."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.yaml", help="Write the schema here. A stopped run resumes."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="TYPE", help="Change this type only. May be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Use a fixed sample of this many records.")] = 200,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels to leave out. Default: `misc`.")] = None,
    ner_model: Annotated[str | None, typer.Option(help="Folder or Hub id of the JPT model.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """
    Shows what each definition misses and which type takes it, tries better ones on your data, and keeps the best.

    Examples:

    - `jpt-ner types improve my-types.yaml --data labelled.jsonl -o better.yaml`

    - `jpt-ner types improve my-types.yaml --data labelled.jsonl --base-url http://127.0.0.1:8080/v1 --model qwen3`
    """
    from ...schema_jpt import check_schema_path, resolve_schema, save_schema
    from ..evaluation.improvement_report import improvement_report
    from ..evaluation.improving import draft_schema, improve_schema
    from ..files.opening import check_apart

    endpoint = drafting.endpoint()
    if data is None and endpoint is None:
        raise typer.BadParameter("give --data FILE to judge definitions by, or --base-url and --model to draft them")
    if output is not None:
        check_schema_path(output)
        check_apart([] if data is None else [data], [output])
        if data is not None and data.is_dir() and output.resolve().is_relative_to(data.resolve()):
            raise typer.BadParameter(
                "--output must lie outside the folder of --data, whose files are all read as records"
            )
    given = resolve_schema(schema)
    if data is None:
        improved, notes = draft_schema(given, endpoint, only or [])
        typer.echo(_schema_text(improved), nl=False)
        for line in notes:
            note(line)
    else:
        result = improve_schema(
            given,
            data,
            load_pipeline(ner_model, device=device),
            model=ner_model or str(HOME),
            endpoint=endpoint,
            drafts=drafting.drafts,
            only=only or [],
            log=None if output is None else output.with_name(f"{output.name}.log.jsonl"),
            limit=limit,
            ignore_labels=["misc"] if ignore is None else ignore,
        )
        improved = result.schema
        typer.echo(improvement_report(result))
    if output is not None:
        save_schema(improved, output)
        typer.echo(f"written: {output}", err=True)


@types_app.command("tune")
def tune_types(
    schema: Annotated[str, typer.Argument(help="A schema file or preset.")],
    data: Annotated[Path, typer.Option(help="Records labelled with these types.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.yaml", help="Write the schema with its thresholds; may be SCHEMA itself."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use a fixed sample of this many records.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels to leave out. Default: `misc`.")] = None,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are decoded.")] = "word",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Tunes a threshold for each type on labelled data, with cross-validation, and stores it in the schema."""
    from ...schema_jpt import check_schema_path, resolve_schema, save_schema
    from ..evaluation.tuning import tune_schema, tuning_report
    from ..files.opening import check_apart

    if output is not None:
        check_schema_path(output)
        check_apart([data], [output])
    given = resolve_schema(schema)
    ignored = ["misc"] if ignore is None else ignore
    tuning = tune_schema(given, data, load_pipeline(model, device=device), decoder, limit=limit, ignore_labels=ignored)
    typer.echo(tuning_report(tuning))
    if output is not None:
        save_schema(tuning.schema, output)
        typer.echo(f"written: {output}", err=True)


def _schema_text(schema) -> str:
    """A schema as YAML."""
    import yaml

    return yaml.safe_dump(schema.to_dict(), allow_unicode=True, sort_keys=False, width=110)
