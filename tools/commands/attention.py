"""`jpt-ner attention`: attention from the second copy of a text to the first."""

from pathlib import Path
from typing import Annotated

import typer

from ..loading import load_pipeline
from .arguments import schema_of


def attention(
    text: Annotated[str, typer.Argument(help="A text of a sentence or two.")],
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            "-t",
            metavar="TYPES",
            help="Types of the prompt, as for `tag`. Default: the model's own types.",
        ),
    ] = None,
    layers: Annotated[
        str, typer.Option(help="Layers to average, from 0: `all`, `29`, `0-9` or `0-4,29`.", metavar="LAYERS")
    ] = "all",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the heat map: .png, .svg, or its numbers as .json. Default: print what each token attends to most.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:1`.")] = None,
) -> None:
    """
    Shows attention from the second copy of a text (rows) to the first (columns), averaged over heads and layers.

    Examples:

    - `jpt-ner attention "The Eiffel Tower is in Paris." --types general -o attention.png`

    - `jpt-ner attention "The Eiffel Tower is in Paris." --layers 20-29 -o attention.json`
    """
    from ...schema_jpt import resolve_schema
    from ..attention import attention_map, check_output, write_attention

    schema = schema_of(types)
    if output is not None:
        check_output(output)
    pipeline = load_pipeline(model, device=device)
    if schema is None:
        own = getattr(pipeline.model.config, "entity_types", None)
        if not own:
            raise ValueError("--types: the model has no types of its own; say what to look for")
        schema = resolve_schema(own)
    found = attention_map(pipeline, text, schema, layers)
    if output is None:
        for token, other, weight in found.strongest():
            typer.echo(f"{token:<16} {other:<16} {weight:.3f}")
        return
    write_attention(found, output)
    typer.echo(f"written: {output}", err=True)
