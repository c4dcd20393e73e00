"""`jpt-ner data` and `annotate`: labelled records, counted and made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import schema_of
from .training import find_recipe, key_value

data_app = typer.Typer(no_args_is_help=True, help="Labelled data.")


@data_app.command("stats")
def data_statistics(
    data: Annotated[list[Path], typer.Argument(help="Files of labelled records, counted together.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write OUTPUT.json, OUTPUT.md and the distribution of types, OUTPUT.png."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out unusable records, instead of stopping.")
    ] = False,
) -> None:
    """Counts texts, tokens, mentions and types, next to the numbers of the JPT paper."""
    from ..data.statistics import collect_statistics, statistics_table, write_statistics
    from ..data.types import labelled_files
    from ..files.opening import check_apart
    from ..tables import report_files

    if output is not None:
        check_apart(labelled_files(data), report_files(output))
    found = collect_statistics(data, skip_bad)
    typer.echo(statistics_table(found))
    if output is not None:
        written = write_statistics(found, output, [path.name for path in data])
        typer.echo(f"written: {', '.join(map(str, written))}", err=True)


@data_app.command("check")
def check_labels(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...|RECIPE [KEY=VALUE]...",
            help="Files of labelled records, each a separate set; or a recipe (a file, or the name of one that comes with "
            "this package) with values that replace its own, such as data_root=FOLDER.",
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, help="Search a fixed sample of this many texts of each set.")] = 1000,
    similarity: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum similarity at which one definition covers another.")
    ] = 0.6,
    least: Annotated[int, typer.Option(min=1, help="Minimum number of unmarked mentions of a type to report.")] = 5,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum share of unmarked ones among all occurrences.")
    ] = 0.2,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all findings to OUTPUT.json, the worst to OUTPUT.md.")
    ] = None,
) -> None:
    """
    Searches the sets of a mixture for labels that contradict each other.

    It reports mentions of one set that are unmarked in another under a type with a similar definition, families of types
    that lack members, and types that never or always occur. Check the findings: not all of them are errors.

    Examples:

    - `jpt-ner data check news/data.jsonl wiki/data.jsonl`

    - `jpt-ner data check smollm2-135m data_root=FOLDER -o check`
    """
    from ...definitions_jpt import build_definition_encoder
    from ..data.types import labelled_files
    from ..diagnostics import SIMILARITY_ENCODER
    from ..files.opening import check_apart
    from ..tables import report_files
    from ..training.mixture_report import MixtureOptions, check_mixture, mixture_tables, recipe_of_files, write_mixture
    from ..training.recipe import load_recipe

    name, *values = data
    is_name = not Path(name).suffix and not Path(name).exists()
    if is_name or name.endswith((".yaml", ".yml")):
        recipe = load_recipe(find_recipe(name), dict(map(key_value, values)))
    else:
        recipe = recipe_of_files([Path(each) for each in data])
        for each in recipe.data:
            each.reading = {"allow_overlaps": True}
    if output is not None:
        types = [recipe.find(each.types) for each in recipe.data if each.types is not None]
        check_apart([*labelled_files(recipe.find(each.path) for each in recipe.data), *types], report_files(output))
    options = MixtureOptions(limit, similarity, least, share)
    report = check_mixture(recipe, build_definition_encoder(SIMILARITY_ENCODER), options)
    typer.echo(mixture_tables(report))
    if output is not None:
        typer.echo(f"written: {', '.join(map(str, write_mixture(report, output)))}", err=True)


@dataclass
class Asked:
    """The endpoint."""

    model: Annotated[str, typer.Option(help="The endpoint's name for the language model.")]
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8080/v1. Default: OPENAI_BASE_URL."
        ),
    ] = None
    judge_model: Annotated[str | None, typer.Option(help="Another model, which judges.")] = None
    judge_base_url: Annotated[str | None, typer.Option(help="Its endpoint, if that differs, too.")] = None
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature.")] = 0.0
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer from the endpoint.")] = 120

    def endpoint(self, judge: bool = False):
        """The endpoint that annotates, or the one that judges."""
        from ..chat import ChatEndpoint

        url, name = self.base_url, self.model
        if judge:
            url, name = self.judge_base_url or url, self.judge_model or name
        return ChatEndpoint(url, name, timeout=self.timeout, max_retries=8, temperature=self.temperature)


@dataclass
class Questions:
    """The questions."""

    types: Annotated[
        str | None,
        typer.Option(
            "--types", "-t", help="Annotate these types: a schema file or preset. Default: the model proposes types."
        ),
    ] = None
    types_per: Annotated[
        Literal["topic", "text"], typer.Option(help="Propose types once per topic, or for each text as in the paper.")
    ] = "topic"
    gaps: Annotated[bool, typer.Option(help="Ask a second time, for missed mentions.")] = True
    judge: Annotated[int, typer.Option(min=0, help="Number of annotated texts to judge.")] = 0
    workers: Annotated[int, typer.Option(min=1, help="Number of simultaneous questions.")] = 4
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="When resuming, repeat questions without a usable answer.")
    ] = False

    def options(self):
        """Values for `AnnotationOptions`."""
        from ..annotation.annotate import AnnotationOptions

        schema = schema_of([self.types] if self.types else None)
        return AnnotationOptions(
            types=schema and dict(zip(schema.names, schema.descriptions, strict=True)),
            types_per=self.types_per,
            gaps=self.gaps,
            judged=self.judge,
            workers=self.workers,
            retry_failed=self.retry_failed,
        )


def annotate(
    asked: Asked,
    questions: Questions,
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
    text_column: Annotated[str, typer.Option(help="Key or column of the text.")] = "text",
    topic_column: Annotated[
        str, typer.Option(help="Key or column of the topic: a text, or a list from broad to narrow.")
    ] = "topic",
    limit: Annotated[int | None, typer.Option(min=1, help="Number of texts to annotate, from the first.")] = None,
) -> None:
    """
    Annotates texts by a language model, for training: proposes types, finds mentions, closes gaps, judges samples.

    A stopped run resumes with the same command, and asks nothing twice. Mentions that do not occur in the text are dropped.

    Examples:

    - `jpt-ner annotate passages.jsonl -o train.jsonl --base-url http://127.0.0.1:8080/v1 --model qwen3`

    - `jpt-ner annotate mails.csv -o train.jsonl --types my-types.yaml --model gpt-5 --judge 50`
    """
    from ..annotation.annotate import annotate as run

    options = questions.options()
    asked.endpoint()  # says at once what is wrong with the address
    report = run(
        texts,
        output,
        asked.endpoint,
        options,
        make_judge=lambda: asked.endpoint(judge=True),
        limit=limit,
        about={"model": asked.model, "temperature": asked.temperature},
        text_column=text_column,
        topic_column=topic_column,
    )
    for line in report.lines():
        typer.echo(line)
    for problem in report.problems:
        typer.echo(f"judge: {problem}")
