"""`jpt-ner convert` and `average`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def convert(
    checkpoint: Annotated[str, typer.Argument(help="Model folder or Hub id.")],
    output: Annotated[Path, typer.Argument(help="Folder to create.")],
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Format of the weights: the first gives the same scores, the second half the size."),
    ] = "float32",
) -> None:
    """Makes a model self-contained: adapters merged, no backbone to load."""
    from transformers.utils import logging

    from ...generative.loading import convert_generative, read_settings
    from ..checkpoints.convert import convert as run

    logging.disable_progress_bar()
    if read_settings(checkpoint) is not None:
        run = convert_generative
    before, after = run(checkpoint, output, dtype)
    typer.echo(f"{checkpoint}: {before / 1e6:.1f} MB\n{output}: {after / 1e6:.1f} MB, {dtype}, self-contained")


def average(
    checkpoints: Annotated[list[str], typer.Argument(help="Checkpoints of one run, or of runs that continue it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
) -> None:
    """Averages the weights of checkpoints of trained parts."""
    from transformers.utils import logging

    from ..checkpoints.averaging import average as run

    logging.disable_progress_bar()
    run(checkpoints, output)
    typer.echo(f"{output}: mean of {len(checkpoints)} checkpoints")
