"""The command line `jpt-ner`: arguments in, calls of the library out. Holds no logic of its own.

What is heavy to import is imported by the commands that need it, so that `--help` answers at once.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from .commands.arguments import Reading, expanded, schema_of
from .commands.tag import tag
from .loading import load_pipeline

HOME = Path(__file__).resolve().parents[1]


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
data_app = typer.Typer(no_args_is_help=True, help="Labelled data.")
app.add_typer(data_app, name="data")


app.command()(expanded(tag))


def _told_model(model: str | None) -> str:
    """A model's name for a report, which is to hold no path of this machine."""
    if model is None:
        return "the shipped model"
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
    from ..schema_jpt import resolve_schema

    typer.echo(_schema_text(resolve_schema(name)), nl=False)


def _schema_text(schema) -> str:
    """A schema as a YAML file has it."""
    import yaml

    return yaml.safe_dump(schema.to_dict(), allow_unicode=True, sort_keys=False, width=110)


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


@types_app.command("improve")
def improve_types(
    schema: Annotated[str, typer.Argument(help="A schema file or preset.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Records labelled with these types. Without them a language model drafts definitions from names and "
            "examples, which nothing is there to judge."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.yaml", help="Write the schema here. A stopped run resumes."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8080/v1, to draft definitions."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The endpoint's name of the language model.")] = None,
    drafts: Annotated[int, typer.Option(min=1, help="Drafts for each type.")] = 3,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer of the endpoint.")] = 60,
    only: Annotated[
        list[str] | None, typer.Option(metavar="TYPE", help="Change this type only. May be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Use a fixed sample of so many records.")] = 200,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels that are not asked for. Default: `misc`.")] = None,
    ner_model: Annotated[str | None, typer.Option(help="Folder or Hub id of the JPT model.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """
    Shows what each definition loses and to which type, tries better ones on your data, and keeps the best.

    Examples:

    - `jpt-ner types improve my-types.yaml --data labelled.jsonl -o better.yaml`

    - `jpt-ner types improve my-types.yaml --data labelled.jsonl --base-url http://127.0.0.1:8080/v1 --model qwen3`
    """
    from ..schema_jpt import check_schema_path, resolve_schema, save_schema
    from .evaluation.improvement_report import improvement_report
    from .evaluation.improving import draft_schema, improve_schema

    if (model is None) != (base_url is None):
        raise typer.BadParameter("--base-url and --model go together: an endpoint, and its name of the language model")
    if data is None and model is None:
        raise typer.BadParameter("give --data FILE to judge definitions by, or --base-url and --model to draft them")
    if output is not None:
        check_schema_path(output)
    given = resolve_schema(schema)
    endpoint = None
    if model is not None:
        from .chat import ChatEndpoint

        endpoint = ChatEndpoint(base_url, model, timeout=timeout)
    if data is None:
        improved, notes = draft_schema(given, endpoint, only or [])
        typer.echo(_schema_text(improved), nl=False)
        for note in notes:
            typer.secho(note, fg="yellow", err=True)
    else:
        result = improve_schema(
            given,
            data,
            load_pipeline(ner_model, device=device),
            endpoint=endpoint,
            drafts=drafts,
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
    limit: Annotated[int | None, typer.Option(min=1, help="Use a fixed sample of so many records.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels that are not asked for. Default: `misc`.")] = None,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are read.")] = "word",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Tunes a threshold for each type on labelled data, cross-validated, and stores them in the schema."""
    from ..schema_jpt import check_schema_path, resolve_schema, save_schema
    from .evaluation.tuning import tune_schema, tuning_report

    if output is not None:
        check_schema_path(output)
    given = resolve_schema(schema)
    ignored = ["misc"] if ignore is None else ignore
    tuning = tune_schema(given, data, load_pipeline(model, device=device), decoder, limit=limit, ignore_labels=ignored)
    typer.echo(tuning_report(tuning))
    if output is not None:
        save_schema(tuning.schema, output)
        typer.echo(f"written: {output}", err=True)


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
        list[str] | None,
        typer.Option(
            "--types",
            "-t",
            help="A schema file or preset with the definitions to ask with. May be repeated: all are compared with the "
            "first. Default: the records' own, or `types.json` beside the file.",
        ),
    ] = None,
    wording: Annotated[
        list[str] | None,
        typer.Option(
            help="How the data's own types are worded: `precise` definitions, `generic` ones, or the `name` alone. May be "
            "repeated, like --types."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the scores to OUTPUT.json and OUTPUT.md."),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write every error to an HTML report, and to a .jsonl file of the same name."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL_OR_FILE",
            help="In the report, list what this other system (a model, or its predictions as .jsonl) gets right and the "
            "model wrong, and the other way round.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Score these predictions instead of a model's.")
    ] = None,
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the predictions, for --predictions or --against.")
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
    """
    Scores a model on labelled data: strict span F1, with an interval and where it is lost.

    Examples:

    - `jpt-ner evaluate test.jsonl --errors report.html`

    - `jpt-ner evaluate test.jsonl --errors report.html --against other-system.jsonl`

    - `jpt-ner evaluate test.jsonl --wording generic --wording precise --types mine.yaml`
    """
    from .evaluation.command import EvaluationOptions, evaluate_files

    paths = [*(data or []), *(more_data or [])]
    if not paths:
        raise typer.BadParameter("give one or more files of labelled records")
    options = EvaluationOptions(
        types=types or [],
        wordings=wording or [],
        output=output,
        errors=errors,
        against=against,
        predictions=predictions,
        save_predictions=save_predictions,
        limit=limit,
        ignore_labels=["misc"] if ignore is None else ignore,
        skip_bad=skip_bad,
        nested=nested,
        reading=reading.options,
        decoder=decoder,
        model=_told_model(model),
    )
    pipelines = lambda name=model: load_pipeline(name, device=device)  # noqa: E731
    for told in evaluate_files(paths, options, pipelines):
        typer.echo(told)


@app.command()
@expanded
def compare(
    reading: Reading,
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records, as for `evaluate`.")],
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            "-s",
            metavar="NAME=FOLDER",
            help="A generative system: `padellm`, `autoreg-augmented` or `autoreg-structured` for these systems, `chat` "
            "or `ye2023` for a model that was not trained for them (our wording, or that of Ye et al.), or any name for "
            "a folder that says what it holds. May be repeated.",
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
    from .benchmark.compare import build_compared, load_generative
    from .benchmark.compare import compare as run
    from .benchmark.compare_report import markdown, write_comparison
    from .benchmark.summary import summarize
    from .evaluation.evaluate import load_datasets

    ignored = ("misc",) if ignore is None else tuple(ignore)
    datasets = load_datasets(data, limit=limit, types=types, ignore_labels=ignored, **reading.options)
    systems = build_compared(
        load_pipeline(model, device=device) if jpt else None, load_generative(system or [], device), gold_output
    )
    log = None if output is None else output.with_name(f"{output.name}.log.jsonl")
    about = {"gold_output": gold_output, "limit": limit, "ignored": list(ignored)}
    comparison = run(systems, datasets, repeats=repeats, by_types=by_types, log=log, about=about)
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
    price_per_hour: Annotated[
        float | None, typer.Option(help="Of `full`: what the machine costs an hour, for the cost of a million texts.")
    ] = None,
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
        price_per_hour=price_per_hour,
        threads=threads,
        device=device,
    )
    typer.echo(f"written: {', '.join(map(str, files))}")


@app.command()
def calibrate(
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records to measure on, as for `evaluate`.")],
    fit: Annotated[
        list[Path] | None,
        typer.Option(help="Other labelled files, to fit a temperature for each head on. May be repeated."),
    ] = None,
    types: Annotated[str | None, typer.Option("--types", "-t", help="Types to ask for, as for `evaluate`.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take a fixed sample of so many records a file.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels that are not asked for. Default: `misc`.")] = None,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are read.")] = "word",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and a plot, OUTPUT.png.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Measures how far scores can be trusted, and fits temperatures that make them more so."""
    from .evaluation.calibration_report import calibrate as run
    from .evaluation.calibration_report import calibration_table, write_calibration

    ignored = ["misc"] if ignore is None else ignore
    report = run(
        load_pipeline(model, device=device),
        data,
        fit or [],
        decoder,
        types=types,
        limit=limit,
        ignore_labels=ignored,
    )
    typer.echo(calibration_table(report))
    if output is not None:
        about = {"model": _told_model(model), "decoder": decoder, "limit": limit}
        typer.echo(f"written: {', '.join(map(str, write_calibration(report, output, about)))}", err=True)


@app.command()
def annotate(
    texts: Annotated[
        Path,
        typer.Argument(help="Texts, in any format that `tag` reads: .jsonl, .csv, .txt (one document) and others."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.jsonl",
            help="Write the records here; FILE.jsonl.journal.jsonl keeps every answer.",
        ),
    ],
    model: Annotated[str, typer.Option(help="The endpoint's name of the language model.")],
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8080/v1. Default: OPENAI_BASE_URL."
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            "--types", "-t", help="Annotate these types: a schema file or preset. Default: the model proposes some."
        ),
    ] = None,
    types_per: Annotated[
        Literal["topic", "text"], typer.Option(help="Propose types once per topic, or for each text as in the paper.")
    ] = "topic",
    gaps: Annotated[bool, typer.Option(help="Ask a second time for mentions that were missed.")] = True,
    judge: Annotated[int, typer.Option(min=0, help="Have so many annotated texts judged.")] = 0,
    judge_model: Annotated[str | None, typer.Option(help="Another model that judges.")] = None,
    judge_base_url: Annotated[str | None, typer.Option(help="Its endpoint, if that is another one, too.")] = None,
    text_column: Annotated[str, typer.Option(help="Key or column of the text.")] = "text",
    topic_column: Annotated[
        str, typer.Option(help="Key or column of the topic: a text, or a list from broad to narrow.")
    ] = "topic",
    limit: Annotated[int | None, typer.Option(min=1, help="Annotate the first so many texts.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Questions that are asked at the same time.")] = 4,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="When resuming, ask again what had no usable answer.")
    ] = False,
    temperature: Annotated[float, typer.Option(min=0, help="Of sampling.")] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer of the endpoint.")] = 120,
) -> None:
    """
    Annotates texts by a language model, for training: proposes types, finds mentions, closes gaps, judges samples.

    A run that was stopped resumes with the same command, and asks nothing twice. What the model names that is not in the
    text is dropped.

    Examples:

    - `jpt-ner annotate passages.jsonl -o train.jsonl --base-url http://127.0.0.1:8080/v1 --model qwen3`

    - `jpt-ner annotate mails.csv -o train.jsonl --types my-types.yaml --model gpt-5 --judge 50`
    """
    from .annotation.annotate import AnnotationOptions
    from .annotation.annotate import annotate as run
    from .chat import ChatEndpoint

    schema = schema_of([types] if types else None)
    options = AnnotationOptions(
        types=schema and dict(zip(schema.names, schema.descriptions, strict=True)),
        types_per=types_per,
        gaps=gaps,
        judged=judge,
        workers=workers,
        retry_failed=retry_failed,
    )

    def endpoint(url: str | None, name: str) -> ChatEndpoint:
        return ChatEndpoint(url, name, timeout=timeout, max_retries=8, temperature=temperature)

    endpoint(base_url, model)  # says at once what is wrong with the address
    report = run(
        texts,
        output,
        lambda: endpoint(base_url, model),
        options,
        make_judge=lambda: endpoint(judge_base_url or base_url, judge_model or model),
        limit=limit,
        about={"model": model, "temperature": temperature},
        text_column=text_column,
        topic_column=topic_column,
    )
    for line in report.lines():
        typer.echo(line)
    for problem in report.problems:
        typer.echo(f"judge: {problem}")


@data_app.command("stats")
def data_statistics(
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records, counted together.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and the distribution of types, OUTPUT.png."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave records out that cannot be used, instead of stopping.")
    ] = False,
) -> None:
    """Counts texts, tokens, mentions and types, beside the numbers of the JPT paper."""
    from .data.statistics import collect_statistics, statistics_table, write_statistics

    found = collect_statistics(data, skip_bad)
    typer.echo(statistics_table(found))
    if output is not None:
        written = write_statistics(found, output, [path.name for path in data])
        typer.echo(f"written: {', '.join(map(str, written))}", err=True)


def main() -> None:
    """Entry point of the console script. SIGTERM, which job schedulers send, ends a run as Ctrl+C does: tidily."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()


if __name__ == "__main__":
    sys.exit(main())
