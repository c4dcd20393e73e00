"""`jpt-ner evaluate`, `calibrate` and `sweep`: the quality of a model, and how far its scores can be trusted."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..loading import load_pipeline
from .arguments import InputFormat, model_in_reports, schemas_of


@dataclass
class Selection:
    """Which records to evaluate on, and what to report besides the scores."""

    trimming: Annotated[
        bool,
        typer.Option(
            "--trimming", help="Add the gains and losses of each of the decoder's trimming rules on this data."
        ),
    ] = False
    limit: Annotated[
        int | None, typer.Option(min=1, help="Evaluate on a fixed sample of this many records of each file.")
    ] = None
    held_out: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of each file, evaluate on the records that training with `held_out` of this number in its recipe leaves "
            "out.",
        ),
    ] = 0
    languages: Annotated[
        bool,
        typer.Option(
            "--languages",
            help="Add scores by language, over all texts of a language. Languages come from the records (`language`), or "
            "from the end of a folder's or file's name, as in `uner_de`.",
        ),
    ] = False
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER=CODE", help="The language of a folder whose name does not give it. May be repeated."
        ),
    ] = None
    ignore: Annotated[
        list[str] | None, typer.Option(help="Labels to leave out. Default: `misc`, as in UniNER and GLiNER.")
    ] = None
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable records, instead of stopping.")] = (
        False
    )
    nested: Annotated[
        bool, typer.Option("--nested", help="Entities may overlap, in the records and in the predictions.")
    ] = False

    @property
    def options(self) -> dict[str, Any]:
        """Values for `EvaluationOptions`."""
        languages = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in self.language or [])
        if wrong := [name for name, code in languages.items() if not code]:
            raise ValueError(f"--language: expected FOLDER=CODE, such as news=de, got {wrong[0]!r}")
        return {
            "trimming": self.trimming,
            "limit": self.limit,
            "held_out": self.held_out,
            "by_language": self.languages or bool(languages),
            "languages": languages,
            "ignore_labels": ["misc"] if self.ignore is None else self.ignore,
            "skip_bad": self.skip_bad,
            "nested": self.nested,
        }


@dataclass
class Reports:
    """Outputs, and a system to compare with."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the scores to OUTPUT.json and OUTPUT.md."),
    ] = None
    errors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write every error to an HTML report, and to a .jsonl file of the same name."
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL_OR_FILE",
            help="In the report, list what this other system (a model, or its predictions as .jsonl) gets right and the "
            "model gets wrong, and the reverse.",
        ),
    ] = None
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Score these predictions instead of a model's.")
    ] = None
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the predictions, for --predictions or --against.")
    ] = None


def evaluate(
    reading: InputFormat,
    selection: Selection,
    reports: Reports,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of labelled records: .jsonl, .conll, exports of annotation tools and others (see docs/files.md), or "
            "folders of them."
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
            "first. Types as `NAME=DEFINITION`, one each, are one of them together. Default: the records' own, or "
            "`types.json` beside the file.",
        ),
    ] = None,
    wording: Annotated[
        list[str] | None,
        typer.Option(
            help="How the data's own types are worded: `precise` or `generic` definitions, or the `name` alone. May be "
            "repeated, like --types."
        ),
    ] = None,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are decoded.")] = "word",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """
    Scores a model on labelled data: strict span F1, with an interval and where it is lost.

    Examples:

    - `jpt-ner evaluate test.jsonl --errors report.html`

    - `jpt-ner evaluate test.jsonl --errors report.html --against other-system.jsonl`

    - `jpt-ner evaluate test.jsonl --wording generic --wording precise --types mine.yaml`

    - `jpt-ner evaluate train_de/data.jsonl train_fr/data.jsonl --held-out 150 --languages -o languages`
    """
    from ..evaluation.command import EvaluationOptions, evaluate_files

    paths = [*(data or []), *(more_data or [])]
    if not paths:
        raise typer.BadParameter("give one or more files of labelled records")
    options = EvaluationOptions(
        types=schemas_of(types),
        wordings=wording or [],
        **asdict(reports),
        **selection.options,
        reading=reading.options,
        decoder=decoder,
        model=model_in_reports(model),
    )
    pipelines = lambda name=model: load_pipeline(name, device=device)  # noqa: E731
    for line in evaluate_files(paths, options, pipelines):
        typer.echo(line)


@dataclass
class Sample:
    """Which records are read, and under which types."""

    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types", "-t", help="Types to ask for: a schema file, a preset, or `NAME=DEFINITION` for each."
        ),
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Use a fixed sample of this many records of each file.")] = (
        None
    )
    ignore: Annotated[list[str] | None, typer.Option(help="Labels to leave out. Default: `misc`.")] = None

    @property
    def options(self) -> dict[str, Any]:
        """Options for `evaluate.load_datasets`."""
        schemas = schemas_of(self.types)
        if len(schemas) > 1:
            raise ValueError(f"--types: expected one set of definitions, got {len(schemas)}")
        ignored = ["misc"] if self.ignore is None else self.ignore
        return {"types": schemas[0] if schemas else None, "limit": self.limit, "ignore_labels": ignored}


def calibrate(
    sample: Sample,
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records to measure on, as for `evaluate`.")],
    fit: Annotated[
        list[Path] | None,
        typer.Option(help="Other labelled files, to fit a temperature for each head on. May be repeated."),
    ] = None,
    decoder: Annotated[Literal["word", "token"], typer.Option(help="How entities are decoded.")] = "word",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and a plot, OUTPUT.png.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Measures how far scores can be trusted, and fits temperatures that calibrate them."""
    from ..data.types import labelled_files
    from ..evaluation.calibration_report import calibrate as run
    from ..evaluation.calibration_report import calibration_table, write_calibration
    from ..files.opening import check_apart
    from ..tables import report_files

    if output is not None:
        check_apart(labelled_files([*data, *(fit or [])]), report_files(output))

    report = run(load_pipeline(model, device=device), data, fit or [], decoder, **sample.options)
    typer.echo(calibration_table(report))
    if output is not None:
        about = {"model": model_in_reports(model), "decoder": decoder, "limit": sample.limit}
        typer.echo(f"written: {', '.join(map(str, write_calibration(report, output, about)))}", err=True)


def sweep(
    reading: InputFormat,
    sample: Sample,
    data: Annotated[
        list[Path], typer.Argument(help="Files of labelled records, as for `evaluate`: development sets.")
    ],
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE,VALUE",
            help="Values of a setting: `outside_bias`, `switch_cost`, `softmax_temperature`, `sigmoid_temperature` (numbers), "
            "`begin_head` (true, false), `decoder` (word, token), `reading` (twice, open, auto), `auto_confidence` (0 to 1), "
            "`prompt_types` (definitions, names), `embedded_types` (definitions, names, both). "
            "May be repeated: all combinations are tried.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and, for one number, OUTPUT.png."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """
    Tries settings of the decoder, or ways of reading texts and types, on labelled data: F1 under each combination.

    Examples:

    - `jpt-ner sweep dev.jsonl --set outside_bias=0,0.2,0.4 --set begin_head=true,false`

    - `jpt-ner sweep dev.jsonl --set reading=twice,open`

    - `jpt-ner sweep dev.jsonl --set embedded_types=definitions,names,both`
    """
    from ..data.types import labelled_files
    from ..evaluation.sweep import parse_settings, sweep_table, write_sweep
    from ..evaluation.sweep import sweep as run
    from ..files.opening import check_apart
    from ..tables import report_files

    if output is not None:
        check_apart(labelled_files(data), report_files(output))
    tried = parse_settings(settings)
    result = run(load_pipeline(model, device=device), data, tried, **sample.options, **reading.options)
    typer.echo(sweep_table(result))
    if output is not None:
        about = {"model": model_in_reports(model), "limit": sample.limit}
        typer.echo(f"written: {', '.join(map(str, write_sweep(result, output, about)))}", err=True)
