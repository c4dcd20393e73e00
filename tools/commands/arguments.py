"""Groups of options as dataclasses, functions with such groups made into commands, and values of options."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """
    Turns a function with dataclasses as parameters into one for `typer`, with their fields as options of the command.

    Args:
        function (`Callable`): Its parameters are annotated for typer, or are dataclasses whose fields are.
    """
    parameters = inspect.signature(function).parameters
    groups: dict[str, Any] = {
        name: each.annotation for name, each in parameters.items() if is_dataclass(each.annotation)
    }
    options: dict[str, inspect.Parameter] = {}
    for name, parameter in parameters.items():
        if name not in groups:
            options[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        for each in fields(groups[name]):
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            options[each.name] = inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=each.type
            )

    @wraps(function)
    def command(**values: Any) -> None:
        given = {
            name: group(**{each.name: values.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        function(**given, **values)

    command.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in options.items()}
    return command


@dataclass
class InputFormat:
    """How a file is read, where detection is not enough."""

    input_format: Annotated[
        Literal[
            "text",
            "lines",
            "jsonl",
            "csv",
            "tsv",
            "conll",
            "brat",
            "docx",
            "pdf",
            "parquet",
            "doccano",
            "gliner",
            "hub",
            "labelstudio",
            "prodigy",
            "spacy",
        ]
        | None,
        typer.Option(
            help="Format of the input, if it is not detected from suffix and content. `jsonl` is any JSON; the last six are "
            "exports of these programs, which are also recognised by their keys."
        ),
    ] = None
    text_column: Annotated[str, typer.Option(help="Key or column of the text in JSON, .csv and .tsv.")] = "text"
    encoding: Annotated[
        str | None,
        typer.Option(help="Such as `cp1252` or `gb18030`. Default: UTF-8, or the one of the byte order mark."),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(help="Separator of a table: a character, or `tab`. Default: detected from its header."),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,TAG",
            help="Columns of words and tags: numbers from 1 in CoNLL files, names in tables and JSON. Default: detected.",
        ),
    ] = None
    tag_names: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Names of numeric tags, from 0: `O,B-PER,I-PER`.")
    ] = None
    tag_scheme: Annotated[
        Literal["io"] | None, typer.Option(help="`io`: tags are labels without a prefix such as B or I.")
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """The options for `ReadOptions`."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"format": values.pop("input_format"), **values}


def schema_of(values: list[str] | None):
    """
    One schema from all values of `--types`, in order: schema files, presets and `NAME=DEFINITION`.

    Raises:
        ValueError: If a value is none of these, or two types have the same name.
    """
    if not values:
        return None
    from ...schema_jpt import resolve_schema

    schemas = []
    for value in values:
        name, _, definition = value.partition("=")
        schemas.append(resolve_schema({name: definition} if _is_definition(value) else value))
    if len(schemas) == 1:
        return schemas[0]
    return resolve_schema([entity_type for schema in schemas for entity_type in schema.entity_types])


def schemas_of(values: list[str] | None) -> list:
    """
    The values of a `--types` that compares: schema files and presets as they are; all `NAME=DEFINITION` together are one
    schema, in the place of the first.

    Raises:
        ValueError: If two definitions have the same name.
    """
    values = values or []
    definitions = [value for value in values if _is_definition(value)]
    schemas: list = []
    for value in values:
        if not _is_definition(value):
            schemas.append(value)
        elif value == definitions[0]:
            schemas.append(schema_of(definitions))
    return schemas


def _is_definition(value: str) -> bool:
    """Whether a value is `NAME=DEFINITION`, and not the path of a schema file with `=` in it."""
    from ...schema_jpt import FILE_SUFFIXES

    name, equals, rest = value.partition("=")
    looks_like_path = value.lower().endswith(FILE_SUFFIXES) and not any(map(str.isspace, value)) and "/" in name + rest
    return bool(equals) and not (os.path.isfile(value) or looks_like_path)


def note(line: str) -> None:
    """Prints a note for the user to standard error."""
    typer.secho(line, fg="yellow", err=True)


def model_in_reports(model: str | None) -> str:
    """A model's name for a report, without a path of this machine."""
    if model is None:
        return "the shipped model"
    return "/".join(Path(model).absolute().parts[-2:]) if Path(model).is_dir() else model
