"""Training groups: records of several datasets in, groups of texts that share one prompt out.

A group is what the model reads behind one prompt: a sample of types, in random order, worded one way or another, and
as many texts as a token budget holds. The wording changes from group to group so that the model has to read the
definitions instead of memorising names. A plan made from the seed fixes everything, so that a resumed run sees the
same groups. Knows nothing of models; tokenizing is left to `inputs_jpt`.
"""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ...configuration_jpt import JPTConfig
from ...inputs_jpt import PromptStyle, build_prompt, embedding_texts, encode_texts, split_windows
from ...labels_jpt import label_tokens, tag_types
from ...reading_jpt import laid_out_length
from ...training_jpt import collate
from ...words_jpt import split_words
from ..data.records import Entity, Record, TypeInfo, types_for

# About as many as every tokenizer makes of it; the size of groups is an estimate.
SEPARATOR_TOKENS = 6
CHARACTERS_PER_TOKEN = 4


@dataclass
class Sampling:
    """
    How groups are made.

    Args:
        seed (`int`): Fixes the plan.
        group_tokens (`int`): Texts are added to a group until the backbone reads this many tokens of them.
        max_group_texts (`int`): Most texts in a group.
        min_types (`int`), max_types (`int`): Types asked in a group, as far as there are so many.
        max_text_tokens (`int`): Of longer texts one piece is read, drawn anew each time; edges not within a mention.
        name_only (`float`), shortened (`float`), generic (`float`):
            Probabilities that all types of a group have their name as definition, the first clause of the
            definition, or the dataset's generic one.
        renamed (`float`): Probability that names are written in another style (upper case, snake_case ...).
        anonymous (`float`): Probability that names are replaced by numbers, which leaves the definitions alone to
            tell types apart.
        coarsened (`float`):
            Probability that, in a source with `families` (`person_politician`, `person_director` ...), most of a family
            is one type beside a few of its special ones. Its definition lists the members, as a general type ("person")
            would make negatives of all mentions of members that the source does not annotate.
        open_reading (`float`): Probability that the texts of a group are read once with an open mask, not twice.
        lowercase (`float`), uppercase (`float`): Probabilities that a text is in small or in capital letters alone.
        spaced (`float`): Probability that a text's words and punctuation marks are joined by single spaces.
        joined (`float`): Probability that a text and the next of its group become one, with a line break between.
        listed (`float`): Probability that a text is replaced by a list of the group's mentions: in lines, cells of a
            table, or joined by commas.

    Raises:
        ValueError: For a number that is out of range.
    """

    seed: int = 0
    group_tokens: int = 700
    max_group_texts: int = 12
    min_types: int = 2
    max_types: int = 16
    max_text_tokens: int = 160
    name_only: float = 0.08
    shortened: float = 0.1
    generic: float = 0.15
    renamed: float = 0.3
    anonymous: float = 0.06
    coarsened: float = 0.3
    open_reading: float = 0.0
    lowercase: float = 0.1
    uppercase: float = 0.0
    spaced: float = 0.25
    joined: float = 0.0
    listed: float = 0.0

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is float:
                if not 0 <= value <= 1:
                    raise ValueError(f"{each.name}: expected a probability from 0 to 1, got {value!r}")
            elif each.name != "seed" and value < 1:
                raise ValueError(f"{each.name}: expected a whole number from 1, got {value!r}")
        if (total := self.name_only + self.shortened + self.generic) > 1:
            raise ValueError(f"name_only, shortened, generic: expected to be 1 at most together, got {total:g}")


_Marked = tuple[str, list[Entity]]  # a text and its mentions


@dataclass
class Source:
    """
    One dataset of the mixture: its records, its types, and its share of the groups. Records of which nothing may be
    asked are left out. `families` says that a prefix of its labels (`person_`) is the family they belong to, `replayed` that
    the model knows these data already.
    """

    name: str
    records: list[Record]
    types: dict[str, TypeInfo] | None
    weight: float
    families: bool = False
    replayed: bool = False
    asked: dict[int, dict[str, TypeInfo]] = field(init=False)

    def __post_init__(self):
        self.asked = {}
        for i, record in enumerate(self.records):
            try:
                allowed = types_for(record, self.types)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
            if not allowed:
                continue
            if record.types is not None:
                self.asked[i] = {name: TypeInfo(name, definition) for name, definition in allowed.items()}
            else:
                self.asked[i] = {label: info for label, info in self.types.items() if info.name in allowed}
        if not self.asked:
            raise ValueError(f"{self.name}: no record has types to ask for")

    def pools(self) -> list[list[int]]:
        """Indices of records that may share a prompt: those annotated for the same types."""
        pools = defaultdict(list)
        for i, asked in self.asked.items():
            pools[tuple(sorted((label, info.definition) for label, info in asked.items()))].append(i)
        return list(pools.values())


@dataclass
class DrawnGroup:
    """
    Texts with their mentions, and the types asked of them.

    Args:
        labels (`list[str]`): Labels of the mentions.
        names (`list[str]`), descriptions (`list[str]`): How the prompt words each of them.
        encoder_names (`list[str]`): Their names for the definition encoder.
        texts (`list[tuple[str, list[Entity]]]`): Texts, and their mentions of these labels. Not always as many as
            records, as some may be joined.
        reading (`str`): How the texts are read.
    """

    labels: list[str]
    names: list[str]
    descriptions: list[str]
    encoder_names: list[str]
    texts: list[tuple[str, list[Entity]]]
    reading: str


class TrainingGroups(Dataset):
    """
    A map-style dataset of `length` groups. Every item is a dict of `prompt_input_ids`, `type_positions`,
    `definitions` (texts, O first), `reading` and `texts`: token ids, labels and tags per type of each.

    Args:
        config (`JPTConfig`): The model's, which says how prompts are worded and how texts can be read. Groups are read in
            the first of its readings, or openly, as the sampling says.
        in_epochs (`bool`): Read every record once before any is read again, whatever the weights of the sources.

    Raises:
        ValueError: If the sampling wants groups to be read openly by a model that is not to learn it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        length: int,
        tokenizer: PreTrainedTokenizerBase,
        config: JPTConfig,
        sampling: Sampling,
        in_epochs: bool = False,
    ):
        if sampling.open_reading and "open" not in config.readings:
            raise ValueError(
                f"sampling: open_reading: the model's `readings` have no 'open', got {', '.join(config.readings)}"
            )
        self.sources = list(sources)
        self.tokenizer = tokenizer
        self.config = config
        self.sampling = sampling
        self.plan = self._plan_epochs(length) if in_epochs else self._make_plan(length)

    def _plan_epochs(self, length: int) -> list[tuple[int, list[int], str]]:
        """As `_make_plan`, with every record of every source once in each epoch."""
        rng = random.Random(f"{self.sampling.seed}-readings")
        groups = plan_epochs(self.sources, self.sampling, length=length)
        return [
            (chosen, members, "open" if rng.random() < self.sampling.open_reading else self.config.readings[0])
            for chosen, members in groups
        ]

    def _make_plan(self, length: int) -> list[tuple[int, list[int], str]]:
        """Source, records and reading of every group."""
        rng = random.Random(self.sampling.seed)
        weights = [source.weight for source in self.sources]
        queues: dict[tuple[int, str], list[list[int]]] = defaultdict(list)
        plan = []
        for _ in range(length):
            chosen = rng.choices(range(len(self.sources)), weights)[0]
            is_open = self.sampling.open_reading and rng.random() < self.sampling.open_reading
            reading = "open" if is_open else self.config.readings[0]
            queue = queues[chosen, reading]
            if not queue:
                queue += _group_records(self.sources[chosen], self.sampling, reading, rng)
            plan.append((chosen, queue.pop(), reading))
        return plan

    def __len__(self) -> int:
        return len(self.plan)

    def draw(self, index: int) -> "DrawnGroup":
        """What a group asks of which texts, before anything is tokenized."""
        chosen, members, reading = self.plan[index]
        source = self.sources[chosen]
        rng = random.Random(f"{self.sampling.seed}-{index}")
        records = [source.records[i] for i in members]
        types = source.asked[members[0]]
        united = rng.random() < self.sampling.coarsened and source.families
        if united:
            types, records = _coarsen(types, records, rng)
        labels = self._choose_types(types, records, rng)
        candidates = [types[label] for label in labels]
        # Without the list of its members a united type would say something else, so it is worded as it is.
        names, descriptions, encoder_names = _as_written(candidates) if united else self._word(candidates, rng)
        texts = self._list_mentions([self._restyle(record, rng) for record in records], rng)
        texts = [
            (text, [each for each in entities if each.label in labels])
            for text, entities in self._join_lines(texts, rng)
        ]
        return DrawnGroup(labels, names, descriptions, encoder_names, texts, reading)

    def __getitem__(self, index: int) -> dict:
        group = self.draw(index)
        prompt = build_prompt(self.tokenizer, group.names, group.descriptions, PromptStyle.of(self.config))
        return {
            "prompt_input_ids": prompt.input_ids,
            "type_positions": prompt.type_positions,
            "definitions": embedding_texts(self.config, group.encoder_names, group.descriptions),
            "reading": group.reading,
            "texts": [
                self._label(*text, group.labels, random.Random(f"{self.sampling.seed}-{index}-{number}"))
                for number, text in enumerate(group.texts)
            ],
        }

    def _choose_types(self, asked: dict[str, TypeInfo], records: list[Record], rng: random.Random) -> list[str]:
        """A random number of types, in random order, those that occur in the texts preferred."""
        most = min(self.sampling.max_types, len(asked))
        least = min(self.sampling.min_types, most)
        number = rng.randint(least, most)
        present = sorted({each.label for record in records for each in record.entities} & asked.keys())
        absent = sorted(asked.keys() - set(present))
        rng.shuffle(present)
        rng.shuffle(absent)
        # At least a quarter of the types asked do not occur, where there are such.
        positives = present[: max(1, number - min(len(absent), number // 4))]
        chosen = positives + absent[: number - len(positives)]
        rng.shuffle(chosen)
        return chosen

    def _word(self, asked: list[TypeInfo], rng: random.Random) -> tuple[list[str], list[str], list[str]]:
        """Names and descriptions for the prompt, and names for the definition encoder."""
        sampling = self.sampling
        names, descriptions, _ = _as_written(asked)
        draw = rng.random()
        if draw < sampling.name_only:
            descriptions = names
        elif draw < sampling.name_only + sampling.shortened:
            descriptions = [_first_clause(text) for text in descriptions]
        elif draw < sampling.name_only + sampling.shortened + sampling.generic:
            descriptions = [info.generic or info.definition for info in asked]
        elif rng.random() < sampling.anonymous:
            numbered = [f"type {number}" for number in rng.sample(range(1, 100), len(asked))]
            return numbered, descriptions, numbered
        if rng.random() < sampling.renamed:
            style = rng.choice(_NAME_STYLES)
            return [style(name) for name in names], descriptions, names
        return names, descriptions, names

    def _restyle(self, record: Record, rng: random.Random) -> tuple[str, list[Entity]]:
        text, entities = record.text, record.entities
        if rng.random() < self.sampling.spaced:
            text, entities = _space_words(text, entities)
        if rng.random() < self.sampling.lowercase and len(text.lower()) == len(text):
            text = text.lower()
        elif self.sampling.uppercase and rng.random() < self.sampling.uppercase and len(text.upper()) == len(text):
            text = text.upper()
        return text, entities

    def _list_mentions(self, texts: list[_Marked], rng: random.Random) -> list[_Marked]:
        mentions = [(text[each.start : each.end], each.label) for text, marked in texts for each in marked]
        mentions = [(surface, label) for surface, label in mentions if "\n" not in surface and "\t" not in surface]
        if not self.sampling.listed or len(mentions) < 3:
            return texts
        return [
            _listed(rng.sample(mentions, rng.randint(3, min(8, len(mentions)))), rng)
            if rng.random() < self.sampling.listed
            else each
            for each in texts
        ]

    def _join_lines(self, texts: list[_Marked], rng: random.Random) -> list[_Marked]:
        if not self.sampling.joined:
            return texts
        joined: list[_Marked] = []
        for text, entities in texts:
            # What is joined must still be read whole.
            limit = self.sampling.max_text_tokens * CHARACTERS_PER_TOKEN // 2
            if joined and len(joined[-1][0]) + len(text) < limit and rng.random() < self.sampling.joined:
                joined[-1] = _concatenated([joined[-1], (text, entities)], [rng.choice(["\n", "\n", "\n\n", "\t"])])
            else:
                joined.append((text, entities))
        return joined

    def _label(
        self, text: str, entities: list[Entity], labels: list[str], rng: random.Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token ids, labels and tags per type of a text, or of a piece of it if it is long."""
        encoded = encode_texts(self.tokenizer, [text])[0]
        spans = [(each.start, each.end, labels.index(each.label)) for each in entities]
        tagged = label_tokens(text, encoded.offsets, spans).labels
        tags = tag_types(text, encoded.offsets, spans, len(labels))
        start, end = _choose_piece(text, encoded.offsets, tags, self.sampling.max_text_tokens, rng)
        return encoded.input_ids[start:end], tagged[start:end], tags[start:end]


def plan_epochs(
    sources: Sequence[Source], sampling: Sampling, *, epochs: float | None = None, length: int | None = None
) -> list[tuple[int, list[int]]]:
    """
    Source and records of every group of a run that reads every record once per epoch, in an order of its own each time.

    Args:
        epochs (`float`, *optional*), length (`int`, *optional*): One of them says where the plan ends: after so many
            epochs, or so many groups. Both give the same groups up to there.
    """
    rng = random.Random(sampling.seed)
    plan: list[tuple[int, list[int]]] = []
    done = 0
    while length is None or len(plan) < length:
        epoch = [
            (i, group) for i, source in enumerate(sources) for group in _group_records(source, sampling, "twice", rng)
        ]
        rng.shuffle(epoch)
        if length is None and epochs - done < 1:
            return plan + epoch[: round((epochs - done) * len(epoch))]
        plan += epoch
        done += 1
    return plan[:length]


def _group_records(source: Source, sampling: Sampling, reading: str, rng: random.Random) -> list[list[int]]:
    """All records of a source once, in groups."""
    groups = []
    for pool in source.pools():
        rng.shuffle(pool)
        group: list[int] = []
        tokens = 0
        for i in pool:
            tokens_of_text = min(len(source.records[i].text) // CHARACTERS_PER_TOKEN + 1, sampling.max_text_tokens)
            size = laid_out_length(tokens_of_text, SEPARATOR_TOKENS, reading)
            if group and (tokens + size > sampling.group_tokens or len(group) == sampling.max_group_texts):
                groups.append(group)
                group, tokens = [], 0
            group.append(i)
            tokens += size
        groups.append(group)
    rng.shuffle(groups)
    return groups


def _choose_piece(text: str, offsets: np.ndarray, tags: np.ndarray, limit: int, rng: random.Random) -> tuple[int, int]:
    """First token and one past the last of a piece of a text; not within a mention, which would teach a wrong boundary."""
    if len(tags) <= limit:
        return 0, len(tags)
    window = rng.choice(split_windows(text, offsets, limit, limit // 4))
    start, end = window.start, window.end

    def within_mention(token: int) -> bool:
        return 0 < token < len(tags) and bool((tags[token] == 1).any())

    while start < end - 1 and within_mention(start):
        start += 1
    while end > start + 1 and within_mention(end):
        end -= 1
    return start, end


def families(types: Mapping[str, TypeInfo]) -> dict[str, list[str]]:
    """Labels by family (`person` of `person_politician`), for families of three members and more."""
    found = defaultdict(list)
    for label in types:
        family, _, kind = label.partition("_")
        if kind and family != "other":
            found[family].append(label)
    return {family: members for family, members in found.items() if len(members) >= 3}


def longest_united_type(family: str, names: Sequence[str]) -> TypeInfo:
    """The type with the longest definition that may stand for a family, of whose types these are the names."""
    return max(_united_types(family, names), key=lambda info: len(info.definition))


def _united_types(family: str, names: Sequence[str]) -> list[TypeInfo]:
    """Ways to say that a type is any of several."""
    listed = f"{', '.join(names[:-1])} or {names[-1]}"
    return [
        TypeInfo(f"{family} ({listed})", f"A named {family} of one of these kinds: {listed}; no other {family}"),
        TypeInfo(f"{family} of some kinds", f"The name of one of these: {listed}. Another {family} is none"),
        TypeInfo(f"{names[0]} and the like", f"Any of these by name: {listed}"),
        TypeInfo(" / ".join(names), f"{listed}, in full or in part; not a {family} of another kind"),
    ]


def _coarsen(
    types: dict[str, TypeInfo], records: list[Record], rng: random.Random
) -> tuple[dict[str, TypeInfo], list[Record]]:
    """Unites most types of each family; up to three, in as far as two are left to unite, stay special."""
    present = {each.label for record in records for each in record.entities}
    renamed, coarse = {}, dict(types)
    for family, members in families(types).items():
        rng.shuffle(members)
        members.sort(key=lambda label: label not in present)
        special = members[: rng.randint(0, min(3, len(members) - 2))]
        united = [label for label in members if label not in special]
        rng.shuffle(united)
        for label in united:
            renamed[label] = family
            del coarse[label]
        coarse[family] = rng.choice(_united_types(family, [types[label].name for label in united]))
    relabelled = [
        replace(
            record, entities=[replace(each, label=renamed.get(each.label, each.label)) for each in record.entities]
        )
        for record in records
    ]
    return coarse, relabelled


def _as_written(types: list[TypeInfo]) -> tuple[list[str], list[str], list[str]]:
    names = [info.name for info in types]
    return names, [info.definition for info in types], names


def _first_clause(text: str) -> str:
    return re.split(r"[.;:,(]\s?", text, maxsplit=1)[0] or text


def _title(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in name.split())


_NAME_STYLES = (
    str.upper,
    _title,
    lambda name: name.replace(" ", "_"),
    lambda name: name.replace(" ", "_").upper(),
    lambda name: _title(name).replace(" ", ""),
)


def _space_words(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Joins words and punctuation marks by single spaces, as many corpora are distributed."""
    words = split_words(text)
    starts, ends, position = {}, {}, 0
    for start, end in words:
        starts[start] = position
        ends[end] = position + end - start
        position += end - start + 1
    if any(each.start not in starts or each.end not in ends for each in entities):
        return text, entities
    spaced = " ".join(text[start:end] for start, end in words)
    return spaced, [Entity(starts[each.start], ends[each.end], each.label) for each in entities]


def _concatenated(parts: Sequence[_Marked], separators: Sequence[str]) -> _Marked:
    """Texts in one, with a separator after each but the last."""
    whole, moved = "", []
    for (text, entities), separator in zip(parts, [*separators, ""], strict=True):
        moved += [Entity(each.start + len(whole), each.end + len(whole), each.label) for each in entities]
        whole += text + separator
    return whole, moved


def _listed(mentions: Sequence[tuple[str, str]], rng: random.Random) -> _Marked:
    """A list of mentions, surface and label of each."""
    separator, last = rng.choice(_LISTS)
    parts = [(surface, [Entity(0, len(surface), label)]) for surface, label in mentions]
    return _concatenated(parts, [*[separator] * (len(parts) - 2), last])


_LISTS = (
    ("\n", "\n"),
    ("\n", "\n"),
    ("\t", "\t"),
    (" | ", " | "),
    (", ", " and "),
    (", ", ", "),
    ("; ", "; "),
    (" , ", " and "),
)


class GroupCollator:
    """
    Puts groups into one batch for `JPTForTokenClassification.forward`.

    Args:
        encoder: An encoder of `definitions_jpt`, for the definitions of the types.
    """

    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, groups: Sequence[dict]) -> dict[str, torch.Tensor]:
        return collate(groups, self.encoder)
