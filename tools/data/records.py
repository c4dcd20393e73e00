"""Labelled data for training and evaluation: files of any format in, validated `Record`s out, and back to JSONL.

Reports what is wrong with every unusable record, with file and line. `files.formats` knows the formats, `checks` the
requirements for records. Knows nothing of tokenizers, models or scores.
"""

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...schema_jpt import Schema
from ..files.documents import read_options, rows_of_records
from ..files.formats.hub import named_tags, record_of_tags
from ..files.formats.shapes import OWN_TYPES, is_list_of_strings, shown, types_of_rows
from ..files.formats.writing import readable
from ..files.model import BadRow, ReadOptions
from .checks import Problem, Problems, is_unicode, record_problems
from .model import Entity, Record, TypeInfo, token_ranges
from .types import find_types, read_types, self_contained, types_for

_UNLABELLED = "read as {}, it is a text without labels; another format is named by --input-format"
# Minimum number of documents to sample from.
MIN_DOCUMENTS = 20


class _Row:
    """
    A would-be record and where it is.

    Args:
        unique_id (`bool`): Whether its id must be unique; by default a repeated id gets a number.
    """

    def __init__(self, source: str, line: int | None, data: Any, reason: str | None = None, unique_id: bool = False):
        self.source, self.line, self.data, self.reason, self.unique_id = source, line, data, reason, unique_id


# ---- reading --------------------------------------------------------------------------------------------------------


def read_records(path: str | os.PathLike, **options: Any) -> list[Record]:
    """All records of a file as a list; takes what [`iter_records`] takes."""
    return list(iter_records(path, **options))


def iter_records(
    path: str | os.PathLike,
    *,
    types: Any = None,
    ignore_labels: Sequence[str] = (),
    allow_overlaps: bool = False,
    on_error: str = "raise",
    report: list[Problem] | None = None,
    type_files: bool = True,
    **options: Any,
) -> Iterator[Record]:
    """
    Reads and validates the records of a file, one after another.

    Args:
        path (`str` or `Path`):
            A file in any of `files.formats.FORMATS`, compressed or not; or a folder or archive of such files.
        types (*optional*):
            The dataset's types, as for [`read_types`]. Defaults to `types.json` beside the file, if there is one. Labels
            are matched with them regardless of case.
        ignore_labels (`Sequence[str]`):
            Labels to ignore, with their types and mentions. `("misc",)` is the zero-shot protocol of UniNER and GLiNER, the
            rule behind the published numbers: CrossNER's `misc` (labels are compared as written, so CoNLL's `MISC` stays)
            is not asked for and its mentions do not count as gold; every sentence is asked for all other types, whether
            or not it has mentions of them (a record with `labels`, for those); sentences left without gold stay.
        allow_overlaps (`bool`): Whether the entities of a record may overlap.
        on_error (`str`): `"raise"` raises at the end if any record was bad, `"skip"` leaves bad records out.
        report (`list`, *optional*): Receives a [`Problem`] for every bad record, in both modes.
        type_files (`bool`): Whether a row's `entity_types` may name a schema file. `False` for files of strangers.
        options: How the file is read, as for [`ReadOptions`]. By default everything is detected.

    Yields:
        [`Record`]: With the types of the dataset. Blank texts without entities are skipped.

    Raises:
        ValueError: For an unknown option, or under `"raise"` at the end, listing up to 20 bad records and their number.
        FileNotFoundError: If there is no such file.
    """
    reading = read_options(options)
    os.stat(path)
    dataset_types = find_types(path) if types is None else read_types(types)
    return _validated(_rows(path, reading), dataset_types, ignore_labels, allow_overlaps, on_error, report, type_files)


def records_from_dataset(
    dataset: Iterable[Mapping[str, Any]],
    tokens_column: str = "tokens",
    tags_column: str = "ner_tags",
    tag_names: Sequence[str] | None = None,
    *,
    types: Any = None,
    on_error: str = "raise",
    report: list[Problem] | None = None,
    separator: str = " ",
) -> list[Record]:
    """
    Records of one split of a Hugging Face `datasets` dataset with tokens and BIO tags, or of a list of such rows.

    Args:
        dataset (`datasets.Dataset`, `datasets.IterableDataset` or `Iterable[dict]`): One split, or its rows.
        tokens_column (`str`): Column of lists of words.
        tags_column (`str`): Column of lists of tags: `ClassLabel` numbers or strings, in any scheme `conll` reads.
        tag_names (`list[str]`, *optional*): Names of the tag numbers, if the features do not have them.
        types, on_error, report: As for [`iter_records`]. Lines in the report are row indices from 0.
        separator (`str`): Joins the words of a text.

    Returns:
        `list[Record]`: Identified by the column `id` if there is one, else by the row index.

    Raises:
        ValueError: For anything but one split, a missing column or one without lists, tag numbers without names, or bad rows
            under `on_error="raise"`.
    """
    features = _features(dataset, tokens_column, tags_column)
    if tag_names is None and features:
        # ClassLabel knows the names of its numbers; a column of strings has none and needs none.
        tag_names = getattr(_item_of(features[tags_column]), "names", None)
    options = ReadOptions(separator=separator)

    def rows() -> Iterator[_Row]:
        for index, row in enumerate(dataset):
            name = str(row.get("id", index))
            try:
                words, tags = _column(row, tokens_column), _column(row, tags_column)
                if not is_list_of_strings(words):
                    raise ValueError("the tokens should be a list of texts")
                if tag_names is None and any(type(tag) is int for tag in tags):
                    raise _NoNames(f"the tags in {tags_column!r} are numbers without names: pass them as `tag_names`")
                record = record_of_tags(words, named_tags(tags, tag_names, tags_column), options)
                yield _Row("dataset", index, {"id": name, **record}, unique_id=True)
            except _NoNames:
                raise
            except ValueError as error:
                yield _Row("dataset", index, {"id": name}, str(error))

    return list(_validated(rows(), None if types is None else read_types(types), (), False, on_error, report))


class _NoNames(ValueError):
    """No row of the dataset can be read."""


def _features(dataset: Any, *columns: str) -> Any:
    """The features of a dataset, if it has any; raises a `ValueError` for anything else, or a missing column."""
    if isinstance(dataset, Mapping):
        splits = ", ".join(map(str, dataset))
        raise ValueError(
            f"expected one split or a list of rows, got a {type(dataset).__name__} of {splits}; choose one of these, such "
            f"as dataset[{next(iter(dataset), 'train')!r}]"
        )
    if isinstance(dataset, (str, bytes)) or not isinstance(dataset, Iterable):
        raise ValueError(f"expected a dataset or a list of rows, got {shown(dataset)}")
    features = getattr(dataset, "features", None) or {}
    for column in columns if features else ():
        if column not in features:
            raise ValueError(f"the dataset has no column {column!r}; it has {', '.join(features)}")
        if _item_of(features[column]) is None:
            raise ValueError(f"the column {column!r} should hold lists, one item a word; it holds {features[column]}")
    return features


def _item_of(feature: Any) -> Any:
    """The feature of the items of a list; `None` for other features."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _column(row: Any, column: str) -> list:
    if not isinstance(row, Mapping) or column not in row:
        keys = ", ".join(map(repr, row)) if isinstance(row, Mapping) else type(row).__name__
        raise ValueError(f"the row has no {column!r}; it has {keys}")
    if not isinstance(row[column], list):
        raise ValueError(f"{column} should be a list, got {type(row[column]).__name__}")
    return row[column]


def _rows(path: str | os.PathLike, options: ReadOptions) -> Iterator[_Row]:
    """The labelled rows of a file; those without an id are named after the file and their number."""
    numbers: Counter[str] = Counter()
    for source, row in rows_of_records(path, options):
        if isinstance(row, BadRow):
            numbers[source.name] += 1
            yield _Row(source.name, row.line, None if row.id is None else {"id": row.id}, row.reason)
        elif isinstance(row.record, BadRow):
            numbers[source.name] += 1
            name = row.record.id or f"{source.stem}-{numbers[source.name] - 1}"
            yield _Row(source.name, row.record.line, {"id": name}, row.record.reason)
        elif row.record is not None:
            name = f"{source.stem}-{numbers[source.name]}"
            numbers[source.name] += 1
            data: Any = {"id": name, **row.record}
            if "entities" not in data:
                yield _Row(
                    source.name, row.line, data, f"key 'entities' is missing: {_UNLABELLED.format(source.format)}"
                )
                continue
            if not row.unique_id and not is_unicode(data["text"]):
                data = json.loads(readable(json.dumps(data, ensure_ascii=False)))
            if data["text"].strip() or data.get("entities") != []:
                yield _Row(source.name, row.line, data, unique_id=row.unique_id)


# ---- validation -----------------------------------------------------------------------------------------------------


def _validated(rows, types, ignore_labels, allow_overlaps, on_error, report, type_files=True) -> Iterator[Record]:
    if on_error not in ("raise", "skip"):
        raise ValueError(f"`on_error` should be 'raise' or 'skip', got {on_error!r}")
    if types is not None and ignore_labels:
        types = {label: info for label, info in types.items() if label not in ignore_labels}
    types_of = types_of_rows(type_files)
    return _validate_rows(rows, types, ignore_labels, allow_overlaps, on_error, report, types_of)


def _validate_rows(rows, types, ignore_labels, allow_overlaps, on_error, report, types_of) -> Iterator[Record]:
    problems = Problems()
    lines: dict[str, int | None] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        reasons = [] if row.reason is None else [row.reason]
        if row.reason is None:
            try:
                _resolve_types(row.data, types, ignore_labels, types_of)
            except ValueError as error:
                reasons.append(str(error))
            reasons += record_problems(row.data, types, allow_overlaps=allow_overlaps)
        name = str(row.data["id"]) if isinstance(row.data, Mapping) and "id" in row.data else None
        if row.reason is None and name in lines:
            if row.unique_id:
                reasons.append(f"the id is that of line {lines[name]} too")
            else:
                name = row.data["id"] = _free(name, lines, numbers)
        if name is not None:
            lines.setdefault(name, row.line)
        if reasons:
            problems.append(Problem(row.source, row.line, name, tuple(reasons)))
            if report is not None:
                report.append(problems[-1])
            continue
        record = Record.from_valid(row.data)
        record.dataset_types = types
        yield record
    if problems and on_error == "raise":
        raise ValueError(
            f"{problems.summary()}\nCorrect them, or leave them out: on_error='skip', `skip_bad: true` in a recipe, "
            "--skip-bad of `jpt-ner evaluate` and `jpt-ner data stats`."
        )
    if problems and report is None:
        warnings.warn(f"left out: {problems.summary()}", stacklevel=2)


def _free(name: str, taken: Container[str], numbers: dict[str, int]) -> str:
    """The name with the first number that is free; `numbers` keeps the last ones, since many rows may share a name."""
    number = numbers.get(name, 1) + 1
    while f"{name}-{number}" in taken:
        number += 1
    numbers[name] = number
    return f"{name}-{number}"


def _resolve_types(
    data: Any,
    types: Mapping[str, TypeInfo] | None,
    ignored: Sequence[str],
    types_of: Callable[[Any], Schema | None],
) -> None:
    """Converts the types and labels of a row to those of a record, without ignored labels."""
    if not isinstance(data, dict):
        return
    given = data.pop(OWN_TYPES, None)
    if data.get("types") is None and (schema := types_of(given)) is not None:
        data["types"] = dict(zip(schema.names, schema.descriptions, strict=True))
    entities, own, labels = data.get("entities"), data.get("types"), data.get("labels")
    if isinstance(own, Mapping):
        own = data["types"] = {name: each for name, each in own.items() if name not in ignored}
    if is_list_of_strings(labels):
        labels = data["labels"] = [label for label in labels if label not in ignored]
    if not isinstance(entities, list):
        return
    if isinstance(own, Mapping):
        known: Iterable[str] | None = own
    else:
        known = None if types is None else types
    data["entities"] = [_with_known_label(each, known) for each in entities if not _has_label_of(each, ignored)]


def _has_label_of(entity: Any, labels: Container[str]) -> bool:
    return isinstance(entity, Mapping) and isinstance(entity.get("label"), str) and entity["label"] in labels


def _with_known_label(entity: Any, known: Any) -> Any:
    """The entity, with the label as the types spell it if only its case differs."""
    label = entity.get("label") if isinstance(entity, Mapping) else None
    if known is None or not isinstance(label, str) or label in known:
        return entity
    alike = [each for each in known if each.casefold() == label.casefold()]
    return {**entity, "label": alike[0]} if len(alike) == 1 else entity


# ---- writing --------------------------------------------------------------------------------------------------------


def write_records(path: str | os.PathLike, records: Iterable[Record]) -> None:
    """Writes records as JSONL in the project's format. A file of that name is replaced only once all are written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record.to_dict(), ensure_ascii=False) + "\n" for record in records)


# ---- samples --------------------------------------------------------------------------------------------------------


def merge_touching(record: Record) -> Record:
    """
    A copy in which mentions of one label with only blanks between them are merged: for sets whose annotation splits names
    ("Civita", "Vecchia") and compounds, which would teach the model that mentions begin within them.
    """
    merged: list[Entity] = []
    last: dict[str, int] = {}
    for each in sorted(record.entities, key=lambda entity: (entity.start, -entity.end)):
        index = last.get(each.label)
        if index is not None and not record.text[merged[index].end : each.start].strip():
            merged[index] = replace(merged[index], end=max(each.end, merged[index].end))
        else:
            last[each.label] = len(merged)
            merged.append(each)
    return replace(record, entities=merged)


def hold_out(records: Sequence[Record], number: int) -> tuple[list[Record], list[Record]]:
    """
    Splits off records to evaluate on: the same ones in any order of the records.

    Records whose ids are a document's name followed by a number (`doc7-3`) stay together, if the ids name at least
    `MIN_DOCUMENTS` documents.

    Args:
        records (`Sequence[Record]`): The records of one file.
        number (`int`): Minimum number to hold out, up to half of the records; 0 for none.

    Returns:
        `tuple[list[Record], list[Record]]`: Those held out and the rest, both in their order.
    """
    documents = [re.sub(r"[-_.:]\d+$", "", record.id) for record in records]
    if len(set(documents)) < MIN_DOCUMENTS:
        documents = [record.id for record in records]
    sizes = Counter(documents)
    chosen: set[str] = set()
    held = 0
    for document in sorted(sizes, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).digest()):
        if held >= number:
            break
        if held + sizes[document] <= len(records) // 2:
            chosen.add(document)
            held += sizes[document]
    split: tuple[list[Record], list[Record]] = ([], [])
    for record, document in zip(records, documents, strict=True):
        split[document not in chosen].append(record)
    return split


__all__ = [
    "Entity",
    "Problem",
    "Problems",
    "Record",
    "TypeInfo",
    "find_types",
    "hold_out",
    "is_unicode",
    "iter_records",
    "read_records",
    "read_types",
    "record_problems",
    "records_from_dataset",
    "self_contained",
    "token_ranges",
    "types_for",
    "write_records",
]
