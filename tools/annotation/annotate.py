"""Annotation of texts by a language model (JPT's paper, Appendix B): texts in, labelled records for training out.

Types are proposed for each topic, mentions detected, gaps closed, and samples judged, each step for all texts before the next.
Every answer is logged as it comes (`journal`), so that a run that was killed asks nothing twice.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from ..chat import ChatEndpoint
from ..data.records import Entity, Record, write_records
from ..files.documents import read_documents
from ..files.formats.writing import readable
from ..files.opening import check_apart
from ..resumable_log import digest
from .journal import Journal, Question
from .placing import Span, place
from .questions import (
    ASPECTS,
    MentionCheck,
    check_judgement,
    check_types,
    gap_messages,
    judge_messages,
    mention_messages,
    type_messages,
)

PASSAGES_PER_TOPIC = 3


@dataclass(frozen=True)
class Passage:
    """A text to annotate, with its topic, broad to narrow, if there is one."""

    id: str
    text: str
    topic: str | None = None


@dataclass
class AnnotationOptions:
    """
    Args:
        types (`dict[str, str]`, *optional*): Types to annotate, name to definition. Proposed by the model if none are given.
        types_per (`str`): `"topic"` proposes types once for each topic, from its first passages; `"text"` for each text, as
            in the paper. Texts without a topic get types of their own.
        gaps (`bool`): Ask again for missed mentions.
        judged (`int`): Number of annotated texts to judge, a fixed sample.
        workers (`int`): Number of simultaneous questions.
        retry_failed (`bool`): Repeat questions that had no usable answer in the run that is resumed.

    Raises:
        ValueError: If a value is not as described.
    """

    types: Mapping[str, str] | None = None
    types_per: str = "topic"
    gaps: bool = True
    judged: int = 0
    workers: int = 4
    retry_failed: bool = False

    def __post_init__(self):
        if self.types_per not in ("topic", "text"):
            raise ValueError(f'`types_per` must be "topic" or "text", got {self.types_per!r}')
        if self.workers < 1:
            raise ValueError(f"`workers` must be a whole number from 1, got {self.workers!r}")


@dataclass
class AnnotationReport:
    """
    Results and cost of a run, including the runs that it resumes.

    Args:
        texts (`int`), annotated (`int`): Texts given, and texts in the output.
        types (`int`), mentions (`int`): Distinct types, and entities in the output.
        dropped (`Counter`): Mentions that were dropped, by reason (`placing.place`).
        failures (`list[str]`): Questions without a usable answer, with the reason.
        cost (`Counter`): `requests`, `malformed` answers, `prompt_tokens`, `completion_tokens`.
        judged (`int`): Texts judged. ratings (`dict[str, float]`): Mean ratings from 1 to 5, by aspect.
        problems (`list[str]`): What the judge found wrong, with the id of the text.
    """

    texts: int
    annotated: int = 0
    types: int = 0
    mentions: int = 0
    dropped: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    cost: Counter = field(default_factory=Counter)
    judged: int = 0
    ratings: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as sentences."""
        dropped = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in self.dropped.items() if count)
        lines = [
            f"{self.annotated} of {self.texts} texts annotated: {self.mentions} mentions of {self.types} types",
            f"dropped mentions: {dropped or 'none'}",
            f"{self.cost['requests']} requests, {self.cost['malformed']} malformed answers, {self.cost['prompt_tokens']} "
            f"prompt tokens, {self.cost['completion_tokens']} completion tokens",
        ]
        if self.judged:
            ratings = ", ".join(f"{aspect} {rating:.1f}" for aspect, rating in self.ratings.items())
            lines.append(f"{self.judged} texts judged, from 1 to 5: {ratings}")
        return lines + [f"without a usable answer: {failure}" for failure in self.failures]


def read_passages(path: str | Path, *, text_column: str = "text", topic_column: str = "topic") -> list[Passage]:
    """
    Texts to annotate, from any format of `files.documents`. Ids are those of the rows (`id`), else line numbers; a topic
    may be a text or a list from broad to narrow. Halves of surrogate pairs, which can be neither sent nor written, become
    U+FFFD.

    Raises:
        ValueError: If a row cannot be used, two rows share an id, or there are none.
    """
    passages: dict[str, Passage] = {}
    for document in read_documents(path, text_column=text_column, own_types=False):
        topic = document.row.get(topic_column)
        topic = " > ".join(map(str, topic)) if isinstance(topic, list) else topic
        name = readable(str(document.name)) if document.has_id else f"line-{document.line}"
        if name in passages:
            raise ValueError(f"{path}:{document.line}: the id {name!r} is given twice")
        if document.text.strip():
            topic = None if topic in (None, "") else readable(str(topic))
            passages[name] = Passage(name, readable(document.text), topic)
    if not passages:
        raise ValueError(f"{path}: no texts to annotate")
    return list(passages.values())


class Annotator:
    """
    Annotates passages, step by step.

    Args:
        passages (`Sequence[Passage]`): The texts to annotate.
        options ([`AnnotationOptions`]): How to annotate them.
        journal ([`Journal`]): Answered questions, which are not asked again.
        make_endpoint, make_judge (`Callable`): Create an endpoint for a worker. Judgements are of the judge's model: another
            one judges anew.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        options: AnnotationOptions,
        journal: Journal,
        make_endpoint: Callable[[], ChatEndpoint],
        make_judge: Callable[[], ChatEndpoint] | None = None,
    ):
        self.passages = passages
        self.options = options
        self.journal = journal
        self._make_endpoint = make_endpoint
        self._make_judge = make_judge or make_endpoint
        self._judge = self._make_judge().model
        self._asked: set[str] = set()

    def run(self) -> None:
        """
        Asks everything that has not been asked yet.

        Raises:
            EndpointError: If the endpoint cannot be used. Answers until then are kept.
        """
        self._ask("types", self._type_questions())
        self._ask("mentions", self._mention_questions())
        if self.options.gaps:
            self._ask("gaps", self._gap_questions())
        if self.options.judged:
            self._ask("judgement", self._judge_questions(), self._make_judge)

    def records(self) -> tuple[list[Record], Counter]:
        """The annotated texts in order, and the numbers of dropped mentions by reason."""
        records, dropped = [], Counter()
        for passage in self.passages:
            types = self._types_of(passage)
            found = None if types is None else self._entities_of(passage, types, with_gaps=self.options.gaps)
            if found is not None:
                dropped += found[1]
                entities = [Entity(*span) for span in found[0]]
                records.append(Record(passage.id, passage.text, entities, types=dict(types)))
        return records, dropped

    def report(self) -> AnnotationReport:
        """Results and cost."""
        records, dropped = self.records()
        judged = [
            (record.id, self.journal.answers[key])
            for record in records
            if (key := self._judge_key(record)) in self.journal.answers
        ]
        return AnnotationReport(
            texts=len(self.passages),
            annotated=len(records),
            types=len({pair for record in records for pair in record.types.items()}),
            mentions=sum(len(record.entities) for record in records),
            dropped=dropped,
            failures=[
                f"{key.rpartition(' ')[0]}: {reason}"
                for key, reason in self.journal.failures.items()
                if key in self._asked  # not of another text, other types or another judge
            ],
            cost=self.journal.cost,
            judged=len(judged),
            ratings={aspect: fmean(each[aspect] for _, each in judged) for aspect in ASPECTS if judged},
            problems=[f"{name}: {problem}" for name, each in judged for problem in each["problems"]],
        )

    def _ask(self, title: str, questions: dict[str, Question], make_endpoint=None) -> None:
        self._asked |= questions.keys()
        self.journal.ask(questions, make_endpoint or self._make_endpoint, self.options.workers, title)

    def _type_questions(self) -> dict[str, Question]:
        if self.options.types is not None:
            return {}
        groups: dict[str, list[Passage]] = {}
        for passage in self.passages:
            groups.setdefault(self._type_key(passage), []).append(passage)
        return {
            key: Question(
                type_messages(members[0].topic, [each.text for each in members[:PASSAGES_PER_TOPIC]]), check_types
            )
            for key, members in groups.items()
        }

    def _type_key(self, passage: Passage) -> str:
        if passage.topic is not None and self.options.types_per == "topic":
            return _key("types of topic", passage.topic)
        return _key("types of text", passage.id, passage.text)

    def _types_of(self, passage: Passage) -> Mapping[str, str] | None:
        if self.options.types is not None:
            return self.options.types
        return self.journal.answers.get(self._type_key(passage))

    def _mention_questions(self) -> dict[str, Question]:
        questions = {}
        for passage in self.passages:
            types = self._types_of(passage)
            if types is not None:
                messages = mention_messages(passage.text, types)
                questions[_text_key("mentions", passage, types)] = Question(messages, MentionCheck(types))
        return questions

    def _gap_questions(self) -> dict[str, Question]:
        questions = {}
        for passage in self.passages:
            types = self._types_of(passage)
            found = None if types is None else self._entities_of(passage, types, with_gaps=False)
            if found is not None:
                messages = gap_messages(passage.text, types, found[0])
                questions[_text_key("gaps", passage, types)] = Question(messages, MentionCheck(types))
        return questions

    def _judge_questions(self) -> dict[str, Question]:
        records, _ = self.records()
        sample = random.Random(0).sample(records, min(self.options.judged, len(records)))
        questions = {}
        for record in sample:
            spans = [(each.start, each.end, each.label) for each in record.entities]
            messages = judge_messages(record.text, record.types, spans)
            questions[self._judge_key(record)] = Question(messages, check_judgement)
        return questions

    def _judge_key(self, record: Record) -> str:
        return _key("judge", record.id, record.to_dict(), self._judge)

    def _entities_of(
        self, passage: Passage, types: Mapping[str, str], with_gaps: bool
    ) -> tuple[list[Span], Counter] | None:
        written = self.journal.answers.get(_text_key("mentions", passage, types))
        if written is None:
            return None
        spans, dropped = place(passage.text, written)
        if with_gaps:
            missed = self.journal.answers.get(_text_key("gaps", passage, types))
            if missed is None:
                return None
            spans, further = place(passage.text, missed, present=spans)
            dropped += further
        return spans, dropped


def annotate(
    texts: str | Path,
    output: str | Path,
    make_endpoint: Callable[[], ChatEndpoint],
    options: AnnotationOptions | None = None,
    *,
    make_judge: Callable[[], ChatEndpoint] | None = None,
    limit: int | None = None,
    about: dict[str, Any] | None = None,
    **columns: str,
) -> AnnotationReport:
    """
    Annotates the texts of a file and writes them as records of the project's format.

    Args:
        output (`str` or `Path`): The records. `OUTPUT.journal.jsonl` keeps every answer: the same command resumes from it.
        make_endpoint (`Callable`): Creates an endpoint for a worker; `make_judge` one of another model, which judges.
        limit (`int`, *optional*): Number of texts to annotate, from the first.
        about (`dict`, *optional*): What must not change when a run resumes, such as the name of the model.
        columns: `text_column` and `topic_column` of [`read_passages`].

    Raises:
        EndpointError: If the endpoint cannot be used; finished texts are written nevertheless.
        ValueError: If the texts or options cannot be used, or no question had a usable answer.
    """
    options = options or AnnotationOptions()
    check_apart([texts], [output])
    passages = read_passages(texts, **columns)[:limit]
    output = Path(output)
    facts = {**(about or {}), "types": options.types and dict(options.types), "types_per": options.types_per}
    journal = Journal(output.with_name(f"{output.name}.journal.jsonl"), facts, options.retry_failed)
    annotator = Annotator(passages, options, journal, make_endpoint, make_judge)
    try:
        annotator.run()
    finally:
        records, _ = annotator.records()
        if records:
            write_records(output, records)
    if not records:
        reason = next(iter(journal.failures.values()), "no question was answered")
        raise ValueError(f"no text could be annotated: {reason}")
    return annotator.report()


def _text_key(step: str, passage: Passage, types: Mapping[str, str]) -> str:
    return _key(step, passage.id, passage.text, list(types.items()))


def _key(step: str, name: str, *content: Any) -> str:
    """Identifies a question in the log; one whose content has changed under its name is asked again."""
    return f"{step} {name} {digest(*content)}"
