"""What commands are given by name: a model and entity types."""

import os
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]


def load_pipeline(model: str | None, device: str | None):
    """
    The pipeline of a model folder or Hub id, of whichever system; by default of the model that comes with the package.

    Raises:
        ValueError: If there is no such model.
    """
    if model is None:
        if not (HOME / "config.json").is_file():
            raise ValueError(f"no model comes with this installation ({HOME}); name one with --model")
        model = str(HOME)
    if not os.path.isdir(model) and (model.count("/") > 1 or model.startswith((".", "/", "~"))):
        raise ValueError(f"model folder not found: {model}")
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from ...generative.loading import load_pipeline as load_generative
    from ...generative.loading import read_settings
    from ...modeling_jpt import JPTForTokenClassification

    logging.disable_progress_bar()
    if read_settings(model) is not None:
        return load_generative(model, device=device)
    loaded = JPTForTokenClassification.from_pretrained(model)
    # With its config at hand, the tokenizer has no need for the code in the model's folder.
    tokenizer = AutoTokenizer.from_pretrained(model, config=loaded.config)
    return loaded.as_pipeline(tokenizer, device=device)


def schema_of(values: list[str] | None, model: str | None):
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
            schemas.append(resolve_schema({name: definition}, model))
        else:
            schemas.append(resolve_schema(value, model))
    if len(schemas) == 1:
        return schemas[0]
    return resolve_schema([entity_type for schema in schemas for entity_type in schema.entity_types])


def _is_file(value: str) -> bool:
    """Whether a value with `=` in it is the path of a schema file, and not a definition that ends in such a name."""
    from ...schema_jpt import FILE_SUFFIXES

    name, _, rest = value.partition("=")
    looks_like_path = value.lower().endswith(FILE_SUFFIXES) and not any(map(str.isspace, value)) and "/" in name + rest
    return os.path.isfile(value) or looks_like_path
