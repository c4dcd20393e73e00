"""Options that belong together, as dataclasses; the functions that take such, made into commands; values of options."""

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
    A function for `typer`, in place of one with dataclasses for parameters: their fields are options of the command.

    Args:
        function (`Callable`): Its parameters are dataclasses whose fields are annotated for typer, or annotated so
            themselves.
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
    """How a file is read, where that is not to be found out."""

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
            help="Format of the input, where its suffix and content do not say it. `jsonl` is any JSON; the last six are "
            "exports of that program, which are known by their keys, too."
        ),
    ] = None
    text_column: Annotated[str, typer.Option(help="Key or column of the text in JSON, .csv and .tsv.")] = "text"
    encoding: Annotated[
        str | None,
        typer.Option(help="Such as `cp1252` or `gb18030`. Default: UTF-8, or what a byte order mark says."),
    ] = None
    delimiter: Annotated[
        str | None, typer.Option(help="Of a table: a character, or `tab`. Default: found out from its header.")
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,TAG",
            help="Columns of words and tags: numbers from 1 in CoNLL files, names in tables and JSON. Default: found out.",
        ),
    ] = None
    tag_names: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Names of tags that are numbers, from 0: `O,B-PER,I-PER`.")
    ] = None
    tag_scheme: Annotated[
        Literal["io"] | None, typer.Option(help="`io`: tags are labels without a letter such as B or I before them.")
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """As `ReadOptions` takes them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"format": values.pop("input_format"), **values}


def schema_of(values: list[str] | None):
    """
    One schema of all values of `--types`, in their order: schema files, presets and `NAME=DEFINITION`.

    Raises:
        ValueError: If one of them is none of these, or two types have one name.
    """
    if not values:
        return None
    from ...schema_jpt import resolve_schema

    schemas = []
    for value in values:
        name, is_definition, definition = value.partition("=")
        if is_definition and not _is_file(value):
            schemas.append(resolve_schema({name: definition}))
        else:
            schemas.append(resolve_schema(value))
    if len(schemas) == 1:
        return schemas[0]
    return resolve_schema([entity_type for schema in schemas for entity_type in schema.entity_types])


def _is_file(value: str) -> bool:
    """Whether a value with `=` in it is the path of a schema file, and not a definition that ends in such a name."""
    from ...schema_jpt import FILE_SUFFIXES

    name, _, rest = value.partition("=")
    looks_like_path = value.lower().endswith(FILE_SUFFIXES) and not any(map(str.isspace, value)) and "/" in name + rest
    return os.path.isfile(value) or looks_like_path


def model_in_reports(model: str | None) -> str:
    """A model's name for a report, which is to hold no path of this machine."""
    if model is None:
        return "the shipped model"
    return "/".join(Path(model).absolute().parts[-2:]) if Path(model).is_dir() else model
