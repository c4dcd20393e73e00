"""Labelled data for training and evaluation: files in several formats in, validated `Record`s out, and back to JSONL.

Says of every record that cannot be used what is wrong with it, with file and line. Knows nothing of how the formats are
laid out (readers.py), of tokenizers, models or scores.
"""

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...schema_jpt import resolve_schema
from .readers import (
    FORMATS,
    Row,
    conll_rows,
    data_name,
    gliner_rows,
    guess_format,
    is_list_of_strings,
    json_rows,
    row_from_tags,
)

# As many documents as it takes for a sample of them to say something.
MIN_DOCUMENTS = 20


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention: the characters `start` to `end` (exclusive) of a record's text, of the type `label`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What a dataset says of one label: the name to ask for, its definition and, where given, a short `generic` one."""

    name: str
    definition: str
    generic: str | None = None


@dataclass(slots=True)
class Record:
    """
    One labelled text.

    Args:
        id (`str`): Unique within its file.
        text (`str`): The text that `entities` index.
        entities (`list[Entity]`): Mentions, without overlaps.
        types (`dict[str, str]`, *optional*):
            The types annotated in this record, name to definition. Stands before the types of the dataset.
        labels (`list[str]`, *optional*): The only labels annotated in this record; no other may be asked of it.
        tokens (`list[str]`, *optional*): The words of the source, in the order in which they stand in `text`.
    """

    id: str
    text: str
    entities: list[Entity] = field(default_factory=list)
    types: dict[str, str] | None = None
    labels: list[str] | None = None
    tokens: list[str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as a line of the project's format; absent fields are left out."""
        entities = [{"start": each.start, "end": each.end, "label": each.label} for each in self.entities]
        optional = {"types": self.types, "labels": self.labels, "tokens": self.tokens}
        present = {key: value for key, value in optional.items() if value is not None}
        return {"id": self.id, "text": self.text, "entities": entities, **present}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Record":
        """
        Builds a record from a line of the project's format. Keys that the format does not know are dropped.

        Raises:
            ValueError: With everything [`record_problems`] finds.
        """
        if reasons := record_problems(data):
            raise ValueError(f"not a usable record: {'; '.join(reasons)}")
        return cls._from_valid(data)

    @classmethod
    def _from_valid(cls, data: Mapping[str, Any]) -> "Record":
        entities = [Entity(each["start"], each["end"], each["label"]) for each in data["entities"]]
        tokens = data.get("tokens") if is_list_of_strings(data.get("tokens")) else None
        return cls(str(data["id"]), data["text"], entities, data.get("types"), data.get("labels"), tokens)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one record cannot be used, and where it stands (`line` counts from 1; rows of a dataset from 0)."""

    source: str
    line: int
    id: str | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        name = "" if self.id is None else f"record {self.id!r}: "
        return f"{self.source}:{self.line}: {name}{'; '.join(self.reasons)}"


class Problems(list[Problem]):
    """The records that could not be used, one [`Problem`] each."""

    def summary(self, limit: int = 20) -> str:
        """The number of bad records, and the first `limit` of them one a line."""
        rest = [f"... and {len(self) - limit} more"] if len(self) > limit else []
        return "\n  ".join([f"{len(self)} record(s) cannot be used:", *map(str, self[:limit]), *rest])


def read_records(path: str | os.PathLike, **options: Any) -> list[Record]:
    """All records of a file as a list; takes what [`iter_records`] takes."""
    return list(iter_records(path, **options))


def iter_records(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    types: Any = None,
    on_error: str = "raise",
    report: list[Problem] | None = None,
    separator: str = " ",
) -> Iterator[Record]:
    """
    Reads and validates the records of a file, one after the other.

    Args:
        path (`str` or `Path`): The file, in UTF-8, or such a file packed by gzip if its name ends in `.gz`.
        format (`str`, *optional*):
            `"jsonl"` (the project's records, one a line or as one JSON list), `"gliner"` (`tokenized_text` and `ner`,
            one object a line or as one JSON list) or `"conll"` (a token a line, tag in the last column, IOB1, IOB2,
            BIOES or BILOU). Guessed from the suffix and the first characters if not given.
        types (*optional*):
            The dataset's types, as for [`read_types`]. `types.json` beside the file if there is one and none are given.
        on_error (`str`): `"raise"` stops after the last record if any was bad, `"skip"` leaves bad records out.
        report (`list`, *optional*): Receives a [`Problem`] for every bad record, in both modes.
        separator (`str`): Joins the tokens of `conll` and `gliner` to a text; `""` for Chinese or Japanese characters.

    Yields:
        [`Record`]

    Raises:
        ValueError: For an unknown option, or under `"raise"` at the end, listing up to 20 bad records and their number.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    format = format or guess_format(path)
    if format not in FORMATS:
        raise ValueError(f"`format` should be one of {', '.join(FORMATS)}, got {format!r}")
    types = find_types(path) if types is None else read_types(types)
    if format == "conll":
        rows = conll_rows(path, separator)
    else:
        rows = json_rows(path)
        if format == "gliner":
            rows = gliner_rows(rows, data_name(path), separator)
    return _validated(rows, str(path), types, on_error, report)


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
    Records of one split of a Hugging Face `datasets` dataset with tokens and BIO tags.

    Args:
        dataset (`datasets.Dataset` or `datasets.IterableDataset`): One split.
        tokens_column (`str`): Column of lists of words.
        tags_column (`str`): Column of lists of tags: `ClassLabel` numbers or strings, in any scheme `conll` reads.
        tag_names (`list[str]`, *optional*): Names of the tag numbers, where the features do not hold them.
        types, on_error, report, separator: As for [`iter_records`]. Lines in the report are row indices from 0.

    Returns:
        `list[Record]`: Identified by the column `id` if there is one, else by the row index.

    Raises:
        ValueError: For a missing column, tag numbers without names, or bad rows under `on_error="raise"`.
    """
    features = dataset.features or {}
    for column in (tokens_column, tags_column):
        if features and column not in features:
            raise ValueError(f"the dataset has no column {column!r}; it has {', '.join(features)}")
    if tag_names is None and features:
        tags = features[tags_column]
        # ClassLabel knows the names of its numbers; a column of strings has none and needs none.
        tag_names = getattr(tags[0] if isinstance(tags, list) else tags.feature, "names", None)

    def rows() -> Iterator[Row]:
        for index, row in enumerate(dataset):
            tags = row[tags_column]
            if not isinstance(tags, list):
                yield index, {"id": row.get("id", index)}, f"{tags_column} should be a list, got {type(tags).__name__}"
                continue
            if tag_names is not None:
                unknown = [tag for tag in tags if not isinstance(tag, str) and not 0 <= tag < len(tag_names)]
                if unknown:
                    yield index, {"id": row.get("id", index)}, f"tag number {unknown[0]} has no name"
                    continue
                tags = [tag if isinstance(tag, str) else tag_names[tag] for tag in tags]
            elif any(not isinstance(tag, str) for tag in tags):
                raise ValueError(f"the tags in {tags_column!r} are numbers without names: pass them as `tag_names`")
            yield index, *row_from_tags(row.get("id", str(index)), row[tokens_column], tags, separator)

    types = None if types is None else read_types(types)
    return list(_validated(rows(), "dataset", types, on_error, report))


def write_records(path: str | os.PathLike, records: Iterable[Record]) -> None:
    """Writes records as JSONL in the project's format. A file of that name is replaced only once all are written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record.to_dict(), ensure_ascii=False) + "\n" for record in records)


def read_types(value: Any) -> dict[str, TypeInfo]:
    """
    Reads the types of a dataset.

    Args:
        value:
            A dict of label to `{"name", "generic", "definition"}` or the path of a JSON file that holds one, a dict that
            this function returned, or anything [`resolve_schema`] takes: name to definition, a schema file, a preset.

    Returns:
        `dict[str, TypeInfo]`: By label. In a schema labels are names.

    Raises:
        ValueError: For a type without a definition, two labels of one name, or no types at all.
    """
    source = "`types`"
    if isinstance(value, (str, os.PathLike)) and str(value).lower().endswith(".json"):
        source = str(value)
        try:
            value = json.loads(Path(value).read_bytes())
        except FileNotFoundError:
            raise ValueError(f"types file not found: {source}") from None
        except ValueError as error:
            raise ValueError(f"{source}: broken JSON ({error})") from None
    if not isinstance(value, Mapping) or not any(_is_labelled(each) for each in value.values()):
        try:
            schema = resolve_schema(value)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        return {each.name: TypeInfo(each.name, each.description) for each in schema.entity_types}
    types = {}
    for label, each in value.items():
        if isinstance(each, str):
            each = {"definition": each}
        elif not isinstance(each, Mapping):
            each = {"name": each.name, "definition": each.definition, "generic": each.generic}
        for key in ("name", "definition", "generic"):
            text = each.get(key)
            if text is None and key != "definition":
                continue
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{source}: the {key} of {label!r} should be a text that is not empty, got {text!r}")
        types[label] = TypeInfo(each.get("name") or label, each["definition"], each.get("generic"))
    repeated = [name for name, count in Counter(info.name for info in types.values()).items() if count > 1]
    if repeated:
        raise ValueError(f"{source}: two labels share the name {repeated[0]!r}; give each its own")
    return types


def find_types(path: str | os.PathLike) -> dict[str, TypeInfo] | None:
    """The types in `types.json` beside a data file, or `None` where there is no such file."""
    beside = Path(path).parent / "types.json"
    return read_types(beside) if beside.is_file() else None


def types_for(record: Record, dataset_types: Mapping[str, TypeInfo] | None = None) -> dict[str, str]:
    """
    The types to ask for a record: its own, else those of the dataset, and of these only `record.labels` where given.

    Args:
        record (`Record`): The record.
        dataset_types (`dict[str, TypeInfo]`, *optional*): As [`read_types`] returns them.

    Returns:
        `dict[str, str]`: Name to definition.

    Raises:
        ValueError: If neither the record nor the dataset says what its types are.
    """
    if record.types is not None:
        types = {name: (name, definition) for name, definition in record.types.items()}
    elif dataset_types is not None:
        types = {label: (info.name, info.definition) for label, info in dataset_types.items()}
    else:
        raise ValueError(
            f"record {record.id!r} has no types: give them in the record or in types.json beside its file"
        )
    return dict(pair for label, pair in types.items() if record.labels is None or label in record.labels)


def merge_touching(record: Record) -> Record:
    """
    A copy in which mentions of one label with nothing but blanks between them are one: for sets whose annotation splits
    names ("Civita", "Vecchia") and compounds, which would teach that mentions begin within them.
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
    Splits off records to evaluate on: always the same ones, whatever the order and the other records are.

    Records whose ids are those of a document with a number behind it (`doc7-3`) stay together, where the ids name at
    least `MIN_DOCUMENTS` such documents.

    Args:
        records (`Sequence[Record]`): The records of one file.
        number (`int`): How many to hold out, at least; 0 for none. At most half of them are.

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


def self_contained(record: Record, dataset_types: Mapping[str, TypeInfo] | None = None) -> Record:
    """
    A copy that carries the types to ask for ([`types_for`]) and whose entities are labelled with their names.

    Raises:
        ValueError: For an entity whose label is not among those types.
    """
    types = types_for(record, dataset_types)
    entities = record.entities
    if record.types is None:
        names = {label: info.name for label, info in dataset_types.items()}
        entities = [replace(each, label=names.get(each.label, each.label)) for each in entities]
    for each in entities:
        if each.label not in types:
            raise ValueError(f"record {record.id!r} has an entity of {each.label!r}, which is not among its types")
    return replace(record, entities=entities, types=types, labels=None)


def zero_shot_protocol(
    records: Iterable[Record],
    types: Mapping[str, TypeInfo] | None = None,
    ignore_labels: Sequence[str] = ("misc",),
) -> tuple[list[Record], dict[str, TypeInfo] | None]:
    """
    Records and types as UniNER and GLiNER evaluate on them, the rule behind the published zero-shot numbers.

    The ignored labels (CrossNER's `misc`; labels are compared as written, so CoNLL's `MISC` stays) are not asked and
    their mentions are no gold; all other types are asked of every sentence, whether it has a mention of them or not (of a
    record with `labels`, those); sentences left without gold stay.

    Args:
        records (`Iterable[Record]`): The records.
        types (`dict[str, TypeInfo]`, *optional*): Types of the dataset.
        ignore_labels (`Sequence[str]`): Labels to drop.

    Returns:
        `tuple[list[Record], dict[str, TypeInfo] | None]`: Copies of the records and types without the ignored labels.
    """
    kept = []
    for record in records:
        entities = [each for each in record.entities if each.label not in ignore_labels]
        own = record.types and {name: each for name, each in record.types.items() if name not in ignore_labels}
        labels = record.labels and [label for label in record.labels if label not in ignore_labels]
        kept.append(replace(record, entities=entities, types=own, labels=labels))
    asked = types and {label: info for label, info in types.items() if label not in ignore_labels}
    return kept, asked


def token_ranges(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """
    Character ranges of tokens that stand in the text in this order, each as early as it can.

    Raises:
        ValueError: Naming the first token that is not found.
    """
    ranges, position = [], 0
    for index, token in enumerate(tokens):
        start = text.find(token, position)
        if start < 0 or not token:
            raise ValueError(f"token {index} {token!r} is not in the text after character {position}")
        position = start + len(token)
        ranges.append((start, position))
    return ranges


def record_problems(data: Any, types: Mapping[str, TypeInfo] | None = None) -> list[str]:
    """
    Everything that is wrong with a would-be record of the project's format.

    Args:
        data: The JSON value of one line.
        types (`dict[str, TypeInfo]`, *optional*): Types of the dataset, which `labels` and entities may name.

    Returns:
        `list[str]`: Reasons; empty for a good record.
    """
    if not isinstance(data, Mapping):
        return [f"should be a JSON object, got {type(data).__name__}"]
    reasons = [f"key {key!r} is missing" for key in ("id", "text", "entities") if key not in data]
    if reasons:
        return reasons
    text, entities, own, labels = data["text"], data["entities"], data.get("types"), data.get("labels")
    if isinstance(data["id"], bool) or not isinstance(data["id"], (str, int)) or data["id"] == "":
        reasons.append(f"id should be a text that is not empty, got {data['id']!r}")
    if not isinstance(text, str) or not text.strip():
        return [*reasons, f"text should be a text that is not blank, got {text!r}"]
    if not is_unicode(text):
        reasons.append("text holds half of a surrogate pair and is no valid Unicode")

    allowed = None if types is None else types.keys()
    if own is not None:
        if isinstance(own, Mapping):
            reasons += [
                f"type {name!r} has no definition"
                for name, definition in own.items()
                if not isinstance(definition, str) or not definition.strip()
            ]
            allowed = own.keys()
        else:
            reasons.append("types should be an object of name to definition")
    if labels is not None:
        if is_list_of_strings(labels):
            reasons += [
                f"{each!r} in labels has no definition"
                for each in labels
                if allowed is not None and each not in allowed
            ]
            allowed = labels
        else:
            reasons.append("labels should be a list of texts")

    if not isinstance(entities, list):
        return [*reasons, "entities should be a list"]
    ranges = []
    for number, entity in enumerate(entities):
        found = _entity_problem(entity, text, allowed)
        if found is None:
            ranges.append((entity["start"], entity["end"]))
        else:
            reasons.append(f"entity {number}: {found}")
    ranges.sort()
    reasons += [
        f"entities {first[0]}-{first[1]} and {second[0]}-{second[1]} overlap"
        for first, second in pairwise(ranges)
        if second[0] < first[1]
    ]
    if is_list_of_strings(data.get("tokens")):
        try:
            token_ranges(text, data["tokens"])
        except ValueError as error:
            reasons.append(str(error))
    return reasons


def _entity_problem(entity: Any, text: str, allowed: Iterable[str] | None) -> str | None:
    if not isinstance(entity, Mapping):
        return "should be an object with start, end and label"
    missing = [key for key in ("start", "end", "label") if key not in entity]
    if missing:
        return f"key {missing[0]!r} is missing"
    start, end, label = entity["start"], entity["end"], entity["label"]
    if type(start) is not int or type(end) is not int:
        return f"start and end should be integers, got {start!r} and {end!r}"
    if not 0 <= start < end <= len(text):
        kind = "is empty" if 0 <= start == end <= len(text) else f"is outside the text of {len(text)} characters"
        return f"{start}-{end} {kind}"
    mention = text[start:end]
    if mention != mention.strip():
        return f"{start}-{end} {mention!r} begins or ends with white space"
    if not isinstance(label, str) or not label:
        return f"label should be a text that is not empty, got {label!r}"
    if allowed is not None and label not in allowed:
        return f"label {label!r} of {mention!r} is not among the types of the record"
    for key in ("text", "word"):
        if key in entity and entity[key] != mention:
            return f"{key} {entity[key]!r} differs from {mention!r} at {start}-{end}"
    return None


def _validated(
    rows: Iterable[Row],
    source: str,
    types: Mapping[str, TypeInfo] | None,
    on_error: str,
    report: list[Problem] | None,
) -> Iterator[Record]:
    """Rows are `(line, would-be record, reason or None)`; a reason says that the row could not even be converted."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f"`on_error` should be 'raise' or 'skip', got {on_error!r}")
    return _validate_rows(rows, source, types, on_error, report)


def _validate_rows(rows, source, types, on_error, report) -> Iterator[Record]:
    problems, lines = Problems(), {}
    for line, data, reason in rows:
        reasons = record_problems(data, types) if reason is None else [reason]
        name = str(data["id"]) if isinstance(data, Mapping) and "id" in data else None
        if reason is None and name in lines:
            reasons.append(f"the id is that of line {lines[name]} too")
        elif name is not None:
            lines[name] = line
        if reasons:
            problems.append(Problem(source, line, name, tuple(reasons)))
            if report is not None:
                report.append(problems[-1])
        else:
            yield Record._from_valid(data)
    if problems and on_error == "raise":
        raise ValueError(
            f"{problems.summary()}\nCorrect them, or leave them out: on_error='skip', `skip_bad: true` in a recipe, "
            "--skip-bad on the command line."
        )
    if problems and report is None:
        warnings.warn(f"left out: {problems.summary()}", stacklevel=2)


def _is_labelled(value: Any) -> bool:
    """Whether a value of a types dict has the dataset form, which a schema has not: a name of its own, or a generic."""
    return isinstance(value, TypeInfo) or (isinstance(value, Mapping) and not {"name", "generic"}.isdisjoint(value))


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
