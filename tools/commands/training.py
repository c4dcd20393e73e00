"""`jpt-ner train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..loading import HOME


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that comes with this package.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the recipe's: `training.seed=2`."),
    ] = None,
) -> None:
    """Trains a model by a recipe, or resumes a stopped run."""
    path = find_recipe(recipe)
    overrides = dict(key_value(value) for value in values or [])

    from ..training.run import load_recipe
    from ..training.run import train as run

    typer.echo(f"the trained model is in {run(load_recipe(path, overrides))}")


def find_recipe(recipe: str) -> Path:
    """The path of a recipe file, given by path or by the name of a shipped one; a `ValueError` if there is none."""
    recipes = HOME / "recipes"
    path = next((each for each in (Path(recipe), recipes / f"{recipe}.yaml") if each.is_file()), None)
    if path is None:
        known = ", ".join(sorted(each.stem for each in recipes.glob("*.yaml")))
        raise ValueError(f"recipe not found: {recipe}; give a file or one of: {known}")
    return path


def key_value(argument: str) -> tuple[str, Any]:
    """`KEY=VALUE` as key and value, read as YAML; a `ValueError` for anything else."""
    key, separator, value = argument.partition("=")
    if not (key and separator):
        raise ValueError(f"expected KEY=VALUE, got {argument!r}")
    from ..training.recipe import parse_value

    try:
        return key, parse_value(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
