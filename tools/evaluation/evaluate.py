"""Evaluation: a pipeline and labelled records in, scores out, by the zero-shot protocol of UniNER and GLiNER.

Predictions come from the same pipeline that users call; scores from `scoring`.
"""

import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.records import (
    Record,
    TypeInfo,
    find_types,
    hold_out,
    read_records,
    read_types,
    self_contained,
    token_ranges,
)
from ..files.opening import data_name, expand
from .matching import Span
from .resampling import bootstrap_interval
from .scoring import Scores, score_spans

WORDINGS = ("name", "generic", "precise")


def load_dataset(
    path: str | Path,
    *,
    limit: int | None = None,
    held_out: int = 0,
    types=None,
    wording: str = "precise",
    ignore_labels=("misc",),
    skip_bad: bool = False,
    **reading: Any,
) -> list[Record]:
    """
    Records to evaluate on, each with its candidate types, by the zero-shot protocol (see `records.iter_records`).

    Args:
        limit (`int`, *optional*): Evaluate on a fixed sample of this many records.
        held_out (`int`): Evaluate on the records that training with the same `held_out` leaves out (see
            `records.hold_out`); 0 for all records.
        types (*optional*): Definitions to ask with, as for `records.read_types`. If the records or `types.json` beside the
            file give their types, `types` replace these, by name or label; types that are not annotated there are left
            out with a warning. Defaults to the types of the records or of `types.json`.
        wording (`str`): `"precise"` asks with the definitions, `"generic"` with the short ones of `types.json`,
            `"name"` with the names alone. `types` have one definition each, so `"generic"` does not apply to them.
        ignore_labels (`Sequence[str]`): Labels that are not asked for and whose mentions are dropped.
        skip_bad (`bool`): Leave out unusable records with a warning, instead of stopping.
        reading: `allow_overlaps`, `type_files`, and how the file is read, as for `records.iter_records`.

    Raises:
        ValueError: If a record cannot be used, has no types, or there are none; if `types` lack a type of the records;
            if a type has no definition in this wording.
    """
    given = None if types is None else read_types(types)
    own = find_types(path)
    on_error = "skip" if skip_bad else "raise"
    known = given if own is None else own
    records = read_records(path, types=known, ignore_labels=ignore_labels, on_error=on_error, **reading)
    if held_out:
        records, _ = hold_out(records, held_out)
    replaced = given is not None and (own is not None or any(record.types is not None for record in records))
    try:
        records = [self_contained(record) for record in records]
        if replaced:
            names = names_in_data(path, given)
            definitions = {names[label]: info.definition for label, info in given.items()}
            definitions = {name: each for name, each in definitions.items() if name not in ignore_labels}
            records = _redefined(records, definitions, str(path))
        records = _worded(records, wording, own if given is None else None)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not records:
        raise ValueError(f"{path}: no records to evaluate on")
    if not any(record.types for record in records):
        raise ValueError(f"{path}: no types to ask for are left without {', '.join(map(repr, ignore_labels))}")
    if limit is not None and limit < len(records):
        records = random.Random(0).sample(records, limit)
    return records


def names_in_data(path: str | Path, names: Iterable[str]) -> dict[str, str]:
    """By names or labels of types, the names that they have in the records of [`load_dataset`]."""
    own = {label: info.name for label, info in (find_types(path) or {}).items()}
    return {name: own.get(name, name) for name in names}


def redefine(records: Sequence[Record], definitions: Mapping[str, str]) -> list[Record]:
    """The records with other definitions of their types, given by name in `definitions`."""
    return [replace(record, types={name: definitions[name] for name in record.types}) for record in records]


def _redefined(records: list[Record], definitions: Mapping[str, str], source: str) -> list[Record]:
    """As [`redefine`]; refuses missing types, and warns of types that are left out because they are not annotated."""
    annotated = dict.fromkeys(name for record in records for name in record.types)
    if lacking := [name for name in annotated if name not in definitions]:
        raise ValueError(
            f"`types` lack {_listed(lacking)}, with which this file is annotated; define them, or leave them out "
            "(`ignore_labels`, on the command line --ignore)"
        )
    if strange := [name for name in definitions if name not in annotated]:
        warnings.warn(f"{source} is not annotated with {_listed(strange)}: not asked", stacklevel=4)
    return redefine(records, definitions)


def _worded(records: list[Record], wording: str, types: dict[str, TypeInfo] | None) -> list[Record]:
    if wording not in WORDINGS:
        raise ValueError(f"`wording` should be one of {', '.join(WORDINGS)}, got {wording!r}")
    if wording == "precise":
        return records
    if wording == "name":
        return [replace(record, types={name: name for name in record.types}) for record in records]
    generic = {info.name: info.generic for info in (types or {}).values()}
    names = dict.fromkeys(name for record in records for name in record.types)
    if lacking := [name for name in names if not generic.get(name)]:
        raise ValueError(f"no generic definition of {_listed(lacking)}: give `generic` in types.json beside the file")
    return [replace(record, types={name: generic[name] for name in record.types}) for record in records]


def _listed(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def load_datasets(paths: Sequence[str | Path], **options) -> dict[str, list[Record]]:
    """
    Several files as [`load_dataset`] reads them, by name: `FOLDER/FILE`, with more of the path if needed to be unique. A
    pattern stands for many files, a folder for one data set of all files in it.

    Raises:
        ValueError: As [`load_dataset`] does, and for a file that is given twice.
    """
    return {name: load_dataset(path, **options) for name, path in dataset_paths(paths).items()}


def dataset_paths(paths: Sequence[str | Path]) -> dict[str, str | Path]:
    """
    The file or folder of each dataset of [`load_datasets`], by name.

    Raises:
        ValueError: For a file that is given twice.
    """
    paths = [file for path in paths for file in _files(path)]
    files = [Path(path).absolute() for path in paths]
    if len(set(files)) < len(files):
        raise ValueError(f"`data` names a file twice: {', '.join(map(str, paths))}")
    parts = [(*file.parent.parts, data_name(file)) for file in files]
    if len(set(parts)) < len(parts):
        parts = [file.parts for file in files]  # They differ in their suffixes.
    length = 2
    while len({each[-length:] for each in parts}) < len(parts):
        length += 1
    names = ["/".join(each[-length:]) for each in parts]
    return dict(zip(names, paths, strict=True))


def _files(path: str | Path) -> Sequence[str | Path]:
    return [path] if Path(path).is_dir() else expand(path) or [path]


def evaluate(pipeline, records: Sequence[Record], **options) -> tuple[Scores, list[list[dict]]]:
    """
    Tags the records' texts under the records' types and scores the result.

    Args:
        pipeline (`JPTPipeline`): Or any callable with its input items and output.
        options: As for [`predict`].

    Returns:
        `Scores` with a bootstrap interval, and the predictions per record.
    """
    predictions = predict(pipeline, records, **options)
    return score_predictions(records, predictions, interval=True), predictions


def predict(
    pipeline, records: Sequence[Record], thresholds: Mapping[str, float] | None = None, **options
) -> list[list[dict]]:
    """
    The entities that the pipeline finds in the records' texts under the records' types, by record.

    Args:
        thresholds (`Mapping[str, float]`, *optional*): Thresholds of types, by name.
        options: Further options of the pipeline call.
    """
    return list(pipeline(_items(records, thresholds), **options))


def read_texts(pipeline, records: Sequence[Record], thresholds: Mapping[str, float] | None = None, **options) -> list:
    """
    The [`Reading`]s of the records' texts: the probabilities of every token, which can be decoded without another forward
    pass.

    Args:
        thresholds (`Mapping[str, float]`, *optional*): Thresholds of types, by name.
        options: Further options of [`JPTPipeline.read_all`].

    Raises:
        ValueError: If the pipeline's system has no token probabilities.
    """
    if not hasattr(pipeline, "read"):
        raise ValueError("this needs the token probabilities of a JPT model, which a generative system does not have")
    return list(pipeline.read_all(_items(records, thresholds), **options))


def _items(records: Sequence[Record], thresholds: Mapping[str, float] | None) -> list[dict]:
    return [{"text": record.text, "entity_types": _asked(record, thresholds)} for record in records]


def _asked(record: Record, thresholds: Mapping[str, float] | None) -> dict:
    if not thresholds:
        return record.types
    return {
        name: {"definition": definition, "threshold": thresholds.get(name)}
        for name, definition in record.types.items()
    }


def score_predictions(
    records: Sequence[Record], predictions: Sequence[Sequence[dict]], interval: bool = False
) -> Scores:
    """`Scores` of the predictions for the records' texts, with a bootstrap interval if requested."""
    gold, found = gold_spans(records), predicted_spans(predictions)
    tokens = [token_ranges(record.text, record.tokens or record.text.split()) for record in records]
    scores = score_spans(gold, found, tokens=tokens)
    if interval:
        scores.interval = bootstrap_interval(gold, found)
    return scores


def gold_spans(records: Sequence[Record]) -> list[list[Span]]:
    """Gold mentions as `(start, end, label)`, by record."""
    return [[(each.start, each.end, each.label) for each in record.entities] for record in records]


def predicted_spans(predictions: Sequence[Sequence[dict]]) -> list[list[Span]]:
    """Entities of a pipeline as `(start, end, label)`, by record."""
    return [[(each["start"], each["end"], each["entity_group"]) for each in found] for found in predictions]
