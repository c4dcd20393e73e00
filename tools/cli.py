"""The command line `jpt-ner`: arguments in, calls of the library out. Holds no logic of its own.

What is heavy to import is imported by the commands that need it, so that `--help` answers at once.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from .commands.arguments import Reading, expanded
from .commands.loading import HOME
from .commands.loading import load_pipeline as _load_pipeline
from .commands.tag import tag


class _Commands(TyperGroup):
    """Turns what users can put right (wrong values, missing files or packages) into one line and exit code 2."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has gone
        except (ValueError, OSError, ImportError) as error:
            told = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else error
            typer.secho(f"error: {told}", fg="red", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds entities of any types, described in words, in any text. Just Pass Twice: zero-shot NER.",
)
types_app = typer.Typer(no_args_is_help=True, help="Entity types: presets and schema files.")
app.add_typer(types_app, name="types")


app.command()(expanded(tag))


def _told_model(model: str | None) -> str:
    """A model's name for a report, which is to hold no path of this machine."""
    if model is None:
        return "the one that comes with the package"
    return "/".join(Path(model).absolute().parts[-2:]) if Path(model).is_dir() else model


@types_app.command("list")
def list_types() -> None:
    """Lists the presets."""
    from rich.console import Console
    from rich.table import Table

    from ..schema_jpt import list_presets

    table = Table("preset", "what it is for", box=None, header_style="bold")
    for name, description in list_presets().items():
        table.add_row(name, description)
    Console().print(table)


@types_app.command("show")
def show_types(name: Annotated[str, typer.Argument(help="A preset or schema file.")]) -> None:
    """Prints a preset as a schema file, to start one of your own from."""
    import yaml

    from ..schema_jpt import resolve_schema

    document = resolve_schema(name).to_dict()
    typer.echo(yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=110), nl=False)


@types_app.command("check")
def check_types(file: Annotated[Path, typer.Argument(help="A schema file.")]) -> None:
    """Validates a schema file; says the line of what is wrong, and which definitions are hard to work with."""
    from ..schema_jpt import load_schema

    schema = load_schema(file)
    typer.echo(f"{file}: {len(schema)} entity types: {', '.join(schema.names)}")

    from ..definitions_jpt import build_definition_encoder
    from .diagnostics import SIMILARITY_ENCODER, diagnose_schema

    try:
        warnings = diagnose_schema(schema, build_definition_encoder(SIMILARITY_ENCODER))
    except (OSError, ImportError) as error:
        typer.secho(f"definitions were not compared: {error}", fg="yellow", err=True)
        warnings = diagnose_schema(schema)
    for warning in warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that comes with this package.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values to use instead of the recipe's: `training.seed=2`."),
    ] = None,
) -> None:
    """Trains a model by a recipe, or goes on with a run that was stopped."""
    recipes = HOME / "recipes"
    path = next((each for each in (Path(recipe), recipes / f"{recipe}.yaml") if each.is_file()), None)
    if path is None:
        known = ", ".join(sorted(each.stem for each in recipes.glob("*.yaml")))
        raise ValueError(f"recipe not found: {recipe}; give a file or one of: {known}")
    overrides = dict(_key_value(value) for value in values or [])

    from .training.run import load_recipe
    from .training.run import train as run

    typer.echo(f"the trained model is in {run(load_recipe(path, overrides))}")


def _key_value(argument: str) -> tuple[str, Any]:
    key, separator, value = argument.partition("=")
    if not (key and separator):
        raise ValueError(f"expected KEY=VALUE, got {argument!r}")
    from .training.recipe import parse_value

    try:
        return key, parse_value(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


@app.command()
@expanded
def evaluate(
    reading: Reading,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of labelled records: .jsonl, .conll, exports of annotation tools and others (see docs/files.md), or "
            "folders of such."
        ),
    ] = None,
    more_data: Annotated[
        list[Path] | None, typer.Option("--data", help="The same, as an option. May be repeated.")
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            "--types", "-t", help="Types to ask for. Default: the records' own, or `types.json` beside the file."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the scores to OUTPUT.json and OUTPUT.md."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate on a fixed sample of so many records.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Labels that are not asked for. Default: `misc`, as UniNER and GLiNER do.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave records out that cannot be used, instead of stopping.")
    ] = False,
    nested: Annotated[
        bool, typer.Option("--nested", help="Entities may overlap, in the records and in what is found.")
    ] = False,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are read.")] = "word",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Scores a model on labelled data: strict span F1, with an interval and where it is lost."""
    from .evaluation.evaluate import evaluate as score
    from .evaluation.evaluate import load_datasets, report_files, summary_table, write_report

    paths = [*(data or []), *(more_data or [])]
    if not paths:
        raise typer.BadParameter("give one or more files of labelled records")
    written = () if output is None else report_files(output)
    ignored = ("misc",) if ignore is None else tuple(ignore)
    datasets = load_datasets(
        paths,
        limit=limit,
        types=types,
        ignore_labels=ignored,
        skip_bad=skip_bad,
        allow_overlaps=nested,
        **reading.options,
    )
    pipeline = _load_pipeline(model, device)
    options = {"nested": True} if nested else {}
    results = {}
    for name, records in datasets.items():
        results[name], _ = score(pipeline, records, decoder=decoder, show_progress=True, **options)
    typer.echo(summary_table(results))
    if failures := getattr(pipeline, "failures", None):
        typer.echo("failures: " + ", ".join(f"{kind} {number}" for kind, number in failures.most_common()))
    if output is not None:
        about = {"model": _told_model(model), "decoder": decoder, "limit": limit, "ignored_labels": list(ignored)}
        write_report(results, output, about)
        typer.echo(f"written: {', '.join(map(str, written))}")


@app.command()
def compare(
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records, as for `evaluate`.")],
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            "-s",
            metavar="NAME=FOLDER",
            help="A generative system: `padellm`, `autoreg-augmented` or `autoreg-structured` for these systems, "
            "`chat` for a model that was not trained for them, or any name for a folder that says what it holds. May be "
            "repeated.",
        ),
    ] = None,
    jpt: Annotated[bool, typer.Option(help="Whether JPT takes part.")] = True,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Folder or Hub id of JPT.")] = None,
    types: Annotated[str | None, typer.Option("--types", "-t", help="Types to ask for, as for `evaluate`.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take a fixed sample of so many records a file.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels that are not asked for. Default: `misc`.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Read every text so often; latencies are means.")] = 1,
    gold_output: Annotated[
        bool, typer.Option("--gold-output", help="Force the gold outputs: latency of a model without mistakes.")
    ] = False,
    by_types: Annotated[bool, typer.Option(help="Also read some texts under few and many types.")] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write OUTPUT.json, .md and plots; OUTPUT.log.jsonl lets a stopped run go on."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Measures JPT and generative systems side by side: F1, latency, generated tokens, failures."""
    from .benchmark.compare import build_readers, load_systems
    from .benchmark.compare import compare as run
    from .benchmark.compare_report import markdown, summarize, write_comparison
    from .evaluation.evaluate import load_datasets

    ignored = ("misc",) if ignore is None else tuple(ignore)
    datasets = load_datasets(data, limit=limit, types=types, ignore_labels=ignored)
    readers = build_readers(
        _load_pipeline(model, device) if jpt else None, load_systems(system or [], device), gold_output
    )
    log = None if output is None else output.with_name(f"{output.name}.log.jsonl")
    about = {"gold_output": gold_output, "limit": limit, "ignored": list(ignored)}
    comparison = run(readers, datasets, repeats=repeats, by_types=by_types, log=log, about=about)
    typer.echo(markdown(summarize(comparison)))
    if output is not None:
        typer.echo(f"written: {', '.join(map(str, write_comparison(comparison, output)))}", err=True)


@app.command()
def convert(
    checkpoint: Annotated[str, typer.Argument(help="Model folder or Hub id.")],
    output: Annotated[Path, typer.Argument(help="Folder to create.")],
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Of the weights: the first gives the same scores, the second half the size."),
    ] = "float32",
) -> None:
    """Makes a self-contained model of one that needs its backbone: adapters merged, nothing else to load."""
    from transformers.utils import logging

    from ..generative.loading import convert_generative, read_settings
    from .checkpoints.convert import convert as run

    logging.disable_progress_bar()
    if read_settings(checkpoint) is not None:
        run = convert_generative
    before, after = run(checkpoint, output, dtype)
    typer.echo(f"{checkpoint}: {before / 1e6:.1f} MB\n{output}: {after / 1e6:.1f} MB, {dtype}, self-contained")


@app.command()
def average(
    checkpoints: Annotated[list[str], typer.Argument(help="Checkpoints of one run, or of runs that go on from it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
) -> None:
    """Averages the weights of checkpoints of trained parts."""
    from transformers.utils import logging

    from .checkpoints.averaging import average as run

    logging.disable_progress_bar()
    run(checkpoints, output)
    typer.echo(f"{output}: mean of {len(checkpoints)} checkpoints")


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION",
            help="`compare`, `definitions`, `curves`, `precision`, `profile` or `full`. May be repeated. Default: all.",
        ),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", "-s", help="Of `compare`: time only this one. May be repeated.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled records to read, as for `evaluate`. Default: generated sentences.")
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts in each turn of a system.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each system.")] = 7,
    batch_size: Annotated[int, typer.Option(min=1, help="Most texts in one forward pass.")] = 16,
    quick: Annotated[
        bool, typer.Option("--quick", help="3 turns of 4 texts, and 32 in `full`: does it all work?")
    ] = False,
    backbone_shape: Annotated[
        str, typer.Option(help="Of `full`: `qwen3-4b`, `qwen3-8b`, or `tiny` to try it out.")
    ] = "tiny",
    threads: Annotated[int | None, typer.Option(min=1, help="Of PyTorch. Default: its own choice.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and plots.")] = Path(
        "speed"
    ),
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda`. Default: the best.")] = None,
) -> None:
    """Measures speed side by side: JPT, the same backbone generating, GLiNER, a plain encoder."""
    from .benchmark.speed import measure

    files = measure(
        model or str(HOME),
        output,
        sections=only,
        systems=system,
        data=data,
        texts=4 if quick else texts,
        rounds=3 if quick else rounds,
        full_texts=32 if quick else None,
        batch_size=batch_size,
        shape=backbone_shape,
        threads=threads,
        device=device,
    )
    typer.echo(f"written: {', '.join(map(str, files))}")


def main() -> None:
    """Entry point of the console script. SIGTERM, which job schedulers send, ends a run as Ctrl+C does: tidily."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()


if __name__ == "__main__":
    sys.exit(main())
