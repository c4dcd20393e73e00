"""`jpt-ner compare` and `bench`: systems side by side."""

from pathlib import Path
from typing import Annotated

import typer

from ..loading import HOME, load_pipeline
from .arguments import InputFormat


def compare(
    reading: InputFormat,
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records, as for `evaluate`.")],
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            "-s",
            metavar="NAME=FOLDER",
            help="A generative system: `padellm`, `autoreg-augmented` or `autoreg-structured` for these systems, `chat` "
            "or `ye2023` for a model that was not trained for them (our wording, or that of Ye et al.), or any name for "
            "a folder that says which system it is. May be repeated.",
        ),
    ] = None,
    jpt: Annotated[bool, typer.Option(help="Whether JPT takes part.")] = True,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Folder or Hub id of JPT.")] = None,
    types: Annotated[str | None, typer.Option("--types", "-t", help="Types to ask for, as for `evaluate`.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use a fixed sample of this many records of each file.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Labels to leave out. Default: `misc`.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How many times to read every text; latencies are means.")] = 1,
    gold_output: Annotated[
        bool, typer.Option("--gold-output", help="Force the gold outputs: latency of a model without mistakes.")
    ] = False,
    by_types: Annotated[bool, typer.Option(help="Also read some texts under few and many types.")] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write OUTPUT.json, .md and plots; a stopped run resumes from OUTPUT.log.jsonl."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """Measures JPT and generative systems side by side: F1, latency, generated tokens, failures."""
    from ..benchmark.compare import build_compared, load_generative, named_folders
    from ..benchmark.compare import compare as run
    from ..benchmark.compare_report import markdown, write_comparison
    from ..benchmark.summary import summarize
    from ..data.types import labelled_files
    from ..evaluation.evaluate import load_datasets
    from ..files.opening import check_apart
    from ..tables import report_file, report_files

    if output is not None:
        check_apart(labelled_files(data), report_files(output))
    ignored = ("misc",) if ignore is None else tuple(ignore)
    datasets = load_datasets(data, limit=limit, types=types, ignore_labels=ignored, **reading.options)
    folders = named_folders(system or [])
    systems = build_compared(
        load_pipeline(model, device=device) if jpt else None, load_generative(folders, device), gold_output
    )
    models = {**({"jpt": model or str(HOME)} if jpt else {}), **folders}
    log = None if output is None else report_file(output, ".log.jsonl")
    about = {"gold_output": gold_output, "limit": limit, "ignored": list(ignored)}
    comparison = run(systems, datasets, repeats=repeats, by_types=by_types, models=models, log=log, about=about)
    typer.echo(markdown(summarize(comparison)))
    if output is not None:
        typer.echo(f"written: {', '.join(map(str, write_comparison(comparison, output)))}", err=True)


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION",
            help="`compare`, `definitions`, `curves`, `precision`, `profile` or `full`. May be repeated. Default: all.",
        ),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", "-s", help="For `compare`: time only this system. May be repeated.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled records to read, as for `evaluate`. Default: generated sentences.")
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts in each turn of a system.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each system.")] = 7,
    batch_size: Annotated[int, typer.Option(min=1, help="Maximum number of texts in one forward pass.")] = 16,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="3 turns of 4 texts, and 32 texts in `full`: a check that everything works."),
    ] = False,
    backbone_shape: Annotated[
        str, typer.Option(help="For `full`: `qwen3-4b`, `qwen3-8b`, or `tiny` to try it out.")
    ] = "tiny",
    price_per_hour: Annotated[
        float | None, typer.Option(help="For `full`: price of the machine per hour, for the cost of a million texts.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of PyTorch's threads. Default: its own choice.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and plots.")] = Path(
        "speed"
    ),
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda`. Default: the best available.")] = None,
) -> None:
    """Measures speed side by side: JPT, the same backbone generating, GLiNER, GLiNER2, a plain encoder."""
    from ..benchmark.speed import measure
    from ..data.types import labelled_files
    from ..files.opening import check_apart
    from ..tables import report_files

    check_apart(labelled_files([] if data is None else [data]), report_files(output))
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
