"""Better definitions: a schema and labelled data in, the definitions with the best F1 on them out.

Half of the texts are for choosing: they show what each definition misses, and every proposal and draft is scored on them. The
other half judges the choice. If it does not confirm the gain, the schema stays as it is.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...schema_jpt import EntityType, Schema
from ..chat import AnswerError, ChatEndpoint, EndpointError
from ..data.records import Record
from ..files.opening import expand
from ..loading import about_model
from ..resumable_log import ResumableLog, digest
from .diagnosis import Diagnosis, Proposal, diagnose_types
from .drafting import draft_definitions
from .errors import analyse_text
from .evaluate import gold_spans, load_dataset, names_in_data, predict, predicted_spans, redefine
from .resampling import Interval, bootstrap_changes
from .scoring import score_spans

MIN_GAIN = 0.002  # of the micro F1; less counts as chance
MAX_MARKED = 8  # texts of each type to show to a language model
MAX_MARKED_CHARACTERS = 400

Predictions = list[list[dict[str, Any]]]


@dataclass
class Trial:
    """
    A changed type that was scored: the reason, and the F1 of all types and of this one with it. Whether what was `chosen` is
    kept is for the judgement to say.
    """

    proposal: Proposal
    f1: float
    type_f1: float
    chosen: bool = False


@dataclass
class TypeResult:
    """
    The results for one type.

    Args:
        diagnosis ([`Diagnosis`]): What its definition misses, on the texts for choosing.
        f1 (`float`): Its F1 there.
        trials (`list[Trial]`): What was tried.
    """

    diagnosis: Diagnosis
    f1: float
    trials: list[Trial] = field(default_factory=list)


@dataclass
class Judgement:
    """
    Strict F1 on texts that had no part in choosing.

    Args:
        before (`dict[str, float]`), after (`dict[str, float]`): By type.
        f1 (`tuple[float, float]`): Of all types, before and after.
        interval (`tuple[float, float]`): 95 % bootstrap interval of the change.
    """

    before: dict[str, float]
    after: dict[str, float]
    f1: tuple[float, float]
    interval: Interval

    @property
    def confirmed(self) -> bool:
        return self.f1[1] >= self.f1[0]


@dataclass
class Improvement:
    """
    Args:
        schema ([`Schema`]): With the definitions that were kept.
        types (`list[TypeResult]`): Those with the most errors first.
        texts (`tuple[int, int]`): Numbers of texts for choosing and for judging.
        judgement ([`Judgement`], *optional*): `None` if nothing was changed.
        notes (`list[str]`): Sentences about what could not be done.
    """

    schema: Schema
    types: list[TypeResult]
    texts: tuple[int, int]
    judgement: Judgement | None = None
    notes: list[str] = field(default_factory=list)


class _Bench:
    """Scores schemas on texts; earlier scores are taken from the log."""

    def __init__(
        self,
        predict_records: Callable[[list[Record], Mapping[str, float]], Predictions],
        names: Mapping[str, str],
        log: ResumableLog,
    ):
        self._predict, self._names, self._log = predict_records, names, log
        self._known = {line["key"]: line["predictions"] for line in log.lines if "key" in line}

    def predictions(self, schema: Schema, records: Sequence[Record], part: str) -> Predictions:
        definitions = {self._names[each.name]: each.description for each in schema.entity_types}
        thresholds = {self._names[name]: each for name, each in schema.thresholds.items()}
        asked = redefine(records, definitions)
        key = digest(part, sorted(definitions.items()), sorted(thresholds.items()))
        if key not in self._known:
            found = self._predict(asked, thresholds)
            self._known[key] = [[[*span] for span in spans] for spans in predicted_spans(found)]
            self._log.append({"key": key, "predictions": self._known[key]})
        return [
            [{"start": start, "end": end, "entity_group": label, "score": None} for start, end, label in spans]
            for spans in self._known[key]
        ]


def improve_schema(
    schema: Schema,
    data: str | Path,
    pipeline: Any,
    *,
    model: str | None = None,
    endpoint: ChatEndpoint | None = None,
    drafts: int = 3,
    only: Sequence[str] = (),
    log: str | Path | None = None,
    seed: int = 0,
    **loading,
) -> Improvement:
    """
    Looks for better definitions.

    Args:
        schema ([`Schema`]): The types with their present definitions. Their thresholds apply, and stay as they are.
        data (`str` or `Path`): A file or folder of records labelled with these types.
        pipeline (`EntityPipeline`): The model that reads them.
        model (`str`, *optional*): Folder or Hub id of that model, which identifies it in the log.
        endpoint ([`ChatEndpoint`], *optional*): A language model that drafts definitions; without one, only what the errors
            themselves suggest is tried.
        drafts (`int`): Drafts for each type.
        only (`Sequence[str]`): Names of the types to change; all by default.
        log (`str` or `Path`, *optional*): File that a stopped run resumes from: drafts and predictions. Needs `model`.
        seed (`int`): Equal seeds give equal halves.
        loading: Further options of `evaluate.load_dataset`.

    Raises:
        ValueError: If the data cannot be used or has fewer than two texts, `only` names no type of the schema, or the log is
            of another run, such as one with another model.
        EndpointError: If the language model gives no answer at all.
    """
    if unknown := [name for name in only if name not in schema.names]:
        raise ValueError(f"{unknown[0]!r} is no type of the schema; its types: {', '.join(schema.names)}")
    if log is not None and model is None:
        raise ValueError("`model` must name the model if there is a `log`, which other models may not resume from")
    records = load_dataset(data, types=schema, **loading)
    if len(records) < 2:
        raise ValueError(f"{data}: one text is too little: some have to choose definitions and others to judge them")
    names = names_in_data(data, schema.names)
    choosing, judging = _halves(records, seed)
    about = {
        "schema": schema.to_dict(),
        "data": _hash_of(data),
        "model": None if model is None else about_model(model),
        "endpoint": None if endpoint is None else [endpoint.model, drafts],
        "seed": seed,
        "loading": loading,
    }
    kept = ResumableLog(log, about)
    bench = _Bench(lambda asked, thresholds: predict(pipeline, asked, thresholds), names, kept)
    result = _diagnosed(schema, choosing, bench, names, (len(choosing), len(judging)))
    for each in result.types:
        wanted = each.diagnosis.errors.gold > 0 and (not only or each.diagnosis.entity_type.name in only)
        if endpoint is not None and wanted:
            endpoint = _draft(each.diagnosis, schema, choosing, names, endpoint, drafts, kept, result.notes)
    chosen = _choose(result, schema, choosing, bench, names, only)
    if chosen != schema:
        result.judgement = _judge(schema, chosen, judging, bench, names)
        if result.judgement.confirmed:
            result.schema = chosen
    return result


def _hash_of(data: str | Path) -> str:
    hashed = hashlib.sha256()
    for file in expand(data) or [Path(data)]:
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _halves(records: list[Record], seed: int) -> tuple[list[Record], list[Record]]:
    shuffled = random.Random(seed).sample(records, len(records))
    middle = (len(shuffled) + 1) // 2
    return shuffled[:middle], shuffled[middle:]


def _diagnosed(
    schema: Schema, records: list[Record], bench: _Bench, names: Mapping[str, str], texts: tuple[int, int]
) -> Improvement:
    found = bench.predictions(schema, records, "choose")
    analysed = [analyse_text("", record, entities) for record, entities in zip(records, found, strict=True)]
    renamed = replace(schema, entity_types=tuple(replace(each, name=names[each.name]) for each in schema.entity_types))
    back = {new: old for old, new in names.items()}
    types = []
    for each in diagnose_types(renamed, analysed):
        name = back[each.entity_type.name]
        each.entity_type = replace(each.entity_type, name=name)
        each.proposals = [
            replace(proposal, entity_type=replace(proposal.entity_type, name=name)) for proposal in each.proposals
        ]
        types.append(TypeResult(each, each.errors.score.f1))
    return Improvement(schema, types, texts)


def _draft(
    diagnosis: Diagnosis,
    schema: Schema,
    records: Sequence[Record],
    names: Mapping[str, str],
    endpoint: ChatEndpoint,
    number: int,
    log: ResumableLog,
    notes: list[str],
) -> ChatEndpoint | None:
    """Adds drafts to the proposals of a type. Returns the endpoint, or `None` once it no longer answers."""
    entity_type = diagnosis.entity_type
    drafts = next((line["drafts"] for line in log.lines if line.get("drafted") == entity_type.name), None)
    if drafts is None:
        others = [each for each in schema.entity_types if each.name != entity_type.name]
        marked = list(_marked(records, names[entity_type.name]))
        try:
            drafts = draft_definitions(endpoint, entity_type, others, number, marked, diagnosis.findings)
        except AnswerError as error:
            notes.append(f"No drafts for {entity_type.name!r}: {error}.")
            return endpoint
        except EndpointError as error:
            if not any("drafted" in line for line in log.lines):
                raise
            notes.append(
                f"No more drafts, from {entity_type.name!r} on: {error}. Run the same command again to resume."
            )
            return None
        log.append({"drafted": entity_type.name, "drafts": drafts})
    diagnosis.proposals += [
        Proposal(replace(entity_type, definition=each, examples=()), f"draft {place}")
        for place, each in enumerate(drafts, 1)
    ]
    return endpoint


def _marked(records: Sequence[Record], name: str) -> Iterator[str]:
    """Texts with the mentions of a type in double brackets, cut around them if they are long."""
    number = 0
    for record in records:
        mentions = sorted((each for each in record.entities if each.label == name), key=lambda each: each.start)
        if not mentions or number == MAX_MARKED:
            continue
        number += 1
        start = max(0, mentions[0].start - MAX_MARKED_CHARACTERS // 2)
        end = start + MAX_MARKED_CHARACTERS
        pieces, position = [], start
        for each in mentions:
            if each.start >= position and each.end <= end:
                pieces += [record.text[position : each.start], "[[", record.text[each.start : each.end], "]]"]
                position = each.end
        yield " ".join("".join([*pieces, record.text[position:end]]).split())


def _choose(
    result: Improvement,
    schema: Schema,
    records: Sequence[Record],
    bench: _Bench,
    names: Mapping[str, str],
    only: Sequence[str],
) -> Schema:
    """Goes through the types, most errors first, and chooses the proposal with the best F1 of all types, if it gains enough."""
    gold = gold_spans(records)
    best = score_spans(gold, predicted_spans(bench.predictions(schema, records, "choose"))).strict.f1
    work = [each for each in result.types if not only or each.diagnosis.entity_type.name in only]
    with tqdm(total=sum(len(each.diagnosis.proposals) for each in work), unit="definition", disable=None) as progress:
        for each in work:
            for proposal in each.diagnosis.proposals:
                found = bench.predictions(_with_type(schema, proposal.entity_type), records, "choose")
                scores = score_spans(gold, predicted_spans(found))
                of_type = scores.per_type.get(names[proposal.entity_type.name])
                each.trials.append(Trial(proposal, scores.strict.f1, of_type.f1 if of_type else 0.0))
                progress.update()
            trial = max(each.trials, key=lambda trial: trial.f1, default=None)
            if trial is not None and trial.f1 >= best + MIN_GAIN:
                trial.chosen, best = True, trial.f1
                schema = _with_type(schema, trial.proposal.entity_type)
    return schema


def _with_type(schema: Schema, entity_type: EntityType) -> Schema:
    types = tuple(entity_type if each.name == entity_type.name else each for each in schema.entity_types)
    return replace(schema, entity_types=types)


def _judge(
    before: Schema, after: Schema, records: Sequence[Record], bench: _Bench, names: Mapping[str, str]
) -> Judgement:
    gold = gold_spans(records)
    found = [predicted_spans(bench.predictions(schema, records, "judge")) for schema in (before, after)]
    scores = [score_spans(gold, each, labels=list(names.values())) for each in found]
    interval, _ = bootstrap_changes(gold, found[0], found[1], [])
    by_type = [{name: each.per_type[names[name]].f1 for name in names} for each in scores]
    return Judgement(by_type[0], by_type[1], (scores[0].strict.f1, scores[1].strict.f1), interval)


def draft_schema(schema: Schema, endpoint: ChatEndpoint, only: Sequence[str] = ()) -> tuple[Schema, list[str]]:
    """
    Drafts a definition for each type from its name and examples, without data to score it on.

    Args:
        schema ([`Schema`]): The types; by default those are drafted whose definition says no more than the name.
        endpoint ([`ChatEndpoint`]): The language model.
        only (`Sequence[str]`): Names of the types to draft instead.

    Returns:
        The schema with the drafts, and sentences about types without one.

    Raises:
        ValueError: If there is nothing to draft, or `only` names no type of the schema.
        EndpointError: If the language model gives no answer at all.
    """
    if unknown := [name for name in only if name not in schema.names]:
        raise ValueError(f"{unknown[0]!r} is no type of the schema; its types: {', '.join(schema.names)}")
    wanted = [
        each
        for each in schema.entity_types
        if (each.name in only if only else each.definition.casefold() == each.name.casefold())
    ]
    if not wanted:
        raise ValueError(
            "every type has a definition; name those to draft anew, or give labelled data to score drafts on"
        )
    notes: list[str] = []
    for number, entity_type in enumerate(wanted):
        others = [each for each in schema.entity_types if each.name != entity_type.name]
        try:
            (definition,) = draft_definitions(endpoint, entity_type, others, number=1)
        except AnswerError as error:
            notes.append(f"No draft for {entity_type.name!r}: {error}.")
        except EndpointError as error:
            if not number:
                raise
            notes.append(f"No more drafts, from {entity_type.name!r} on: {error}.")
            break
        else:
            schema = _with_type(schema, replace(entity_type, definition=definition))
    return schema, notes
