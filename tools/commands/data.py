"""`jpt-ner data` and `annotate`: labelled records, counted and made."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import schema_of

data_app = typer.Typer(no_args_is_help=True, help="Labelled data.")


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
    from ..data.statistics import collect_statistics, statistics_table, write_statistics

    found = collect_statistics(data, skip_bad)
    typer.echo(statistics_table(found))
    if output is not None:
        written = write_statistics(found, output, [path.name for path in data])
        typer.echo(f"written: {', '.join(map(str, written))}", err=True)


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
    from ..annotation.annotate import AnnotationOptions
    from ..annotation.annotate import annotate as run
    from ..chat import ChatEndpoint

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
