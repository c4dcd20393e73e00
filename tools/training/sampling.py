"""Training groups: records of several datasets in, groups of texts that share one prompt out.

A group is what the model reads behind one prompt: a sample of candidate types, in random order and with varied wording,
and as many texts as fit into a token budget. The wording (`augmentation`) changes from group to group, so that the model
has to read the definitions instead of memorising names. The seed fixes a plan of all groups, so that a resumed run sees
the same ones. Knows nothing of models; tokenizing is left to `inputs_jpt`.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
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
from ..data.records import Entity, Record, TypeInfo, types_for
from .augmentation import (
    NAME_STYLES,
    MarkedText,
    as_written,
    coarsen,
    concatenate,
    first_clause,
    list_mentions,
    space_words,
)

# Roughly what every tokenizer makes of it: group sizes are estimates.
SEPARATOR_TOKENS = 6
CHARACTERS_PER_TOKEN = 4


@dataclass
class Sampling:
    """
    How groups are made.

    Args:
        seed (`int`): Fixes the plan.
        group_tokens (`int`): Texts are added to a group until the backbone reads this many tokens of them.
        max_group_texts (`int`): Maximum number of texts in a group.
        min_types (`int`), max_types (`int`): Number of candidate types in a group, as far as the source has as many.
        max_text_tokens (`int`): Longer texts are cut to one piece, drawn anew each time, with no boundary inside a mention.
        name_only (`float`), shortened (`float`), generic (`float`):
            Probabilities that all types of a group are defined by their name alone, by the first clause of their
            definition, or by the dataset's generic definition.
        renamed (`float`): Probability that names are written in another style (upper case, snake_case ...).
        anonymous (`float`): Probability that names are replaced by numbers, which leaves the definitions alone to
            tell types apart.
        coarsened (`float`):
            Probability that, in a source with `families` (`person_politician`, `person_director` ...), most members of
            a family are merged into one type beside a few that stay apart. Its definition lists the members: with a
            general one ("person"), mentions of members that the source does not annotate would count as negatives.
        open_reading (`float`): Probability that the texts of a group are read once with an open mask instead of twice.
        names_in_prompt (`float`):
            Probability that the prompt of a group has names alone, so that definitions count by their embeddings.
        lowercase (`float`), uppercase (`float`): Probabilities that a text is written in lower or in upper case.
        spaced (`float`): Probability that a text's words and punctuation marks are joined by single spaces.
        joined (`float`): Probability that a text and the next one of its group are joined by a line break or tab.
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
    names_in_prompt: float = 0.0
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

    @property
    def changes_lengths(self) -> bool:
        """Whether texts may have other numbers of tokens than they were given with."""
        return any((self.spaced, self.lowercase, self.uppercase, self.joined, self.listed))


@dataclass
class MixtureSource:
    """
    One dataset of the mixture, and its share of the groups. Records without candidate types are left out.

    Args:
        name (`str`): For messages.
        records (`list[Record]`), types (`dict[str, TypeInfo]`, *optional*):
            The data. Records may have types of their own instead.
        weight (`float`): Share of the groups, relative to that of other sources.
        families (`bool`): Whether the prefix of a label (`person_`) is the family that it belongs to.
        replayed (`bool`): Whether the model already knows this data.
        keep_wording (`bool`): Whether definitions are always given in full, and in the prompt.

    Attributes:
        candidates (`dict[int, dict[str, TypeInfo]]`): By index of the record, the types it is annotated for, by label.

    Raises:
        ValueError: If no record has candidate types.
    """

    name: str
    records: list[Record]
    types: dict[str, TypeInfo] | None
    weight: float
    families: bool = False
    replayed: bool = False
    keep_wording: bool = False
    candidates: dict[int, dict[str, TypeInfo]] = field(init=False)

    def __post_init__(self):
        self.candidates = {}
        for i, record in enumerate(self.records):
            try:
                allowed = types_for(record, self.types)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
            if not allowed:
                continue
            if record.types is not None:
                self.candidates[i] = {name: TypeInfo(name, definition) for name, definition in allowed.items()}
            else:
                self.candidates[i] = {label: info for label, info in self.types.items() if info.name in allowed}
        if not self.candidates:
            raise ValueError(f"{self.name}: no record has types to ask for")

    def pools(self) -> list[list[int]]:
        """Indices of records that may share a prompt: those annotated for the same types."""
        pools = defaultdict(list)
        for i, types in self.candidates.items():
            pools[tuple(sorted((label, info.definition) for label, info in types.items()))].append(i)
        return list(pools.values())


@dataclass
class DrawnGroup:
    """
    Texts with their mentions, and their candidate types.

    Args:
        labels (`list[str]`): Labels of the mentions.
        names (`list[str]`), descriptions (`list[str]`): How the prompt words each of them.
        encoder_names (`list[str]`): Their names for the definition encoder.
        texts (`list[tuple[str, list[Entity]]]`): Texts, and their mentions of these labels. Not always as many as
            records, because some are joined.
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
    `definitions` (groups of texts, O first), `reading` and `texts`: token ids, labels and tags per type of each.

    Args:
        config (`JPTConfig`): The model's: the wording of prompts, and how texts can be read. Groups are read in the first
            of its readings, or openly, as the sampling says.
        in_epochs (`bool`): Read every record once before any is read again, regardless of the weights of the sources.

    Raises:
        ValueError: If the sampling has groups read openly, and the model is not to learn that.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
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
        """The texts and candidate types of a group, before anything is tokenized."""
        chosen, members, reading = self.plan[index]
        source = self.sources[chosen]
        rng = random.Random(f"{self.sampling.seed}-{index}")
        records = [source.records[i] for i in members]
        types = source.candidates[members[0]]
        merged = rng.random() < self.sampling.coarsened and source.families
        if merged:
            types, records = coarsen(types, records, rng)
        labels = self._choose_types(types, records, rng)
        candidates = [types[label] for label in labels]
        # Without the list of its members a merged type would mean something else, so its wording is kept.
        if merged:
            names, descriptions, encoder_names = as_written(candidates)
        else:
            names, descriptions, encoder_names = self._word(candidates, source.keep_wording, rng)
        texts = self._list_mentions([self._restyle(record, rng) for record in records], rng)
        texts = [
            (text, [each for each in entities if each.label in labels])
            for text, entities in self._join_lines(texts, rng)
        ]
        return DrawnGroup(labels, names, descriptions, encoder_names, texts, reading)

    def __getitem__(self, index: int) -> dict:
        group = self.draw(index)
        style = PromptStyle.of(self.config)
        shortens = not self.sources[self.plan[index][0]].keep_wording
        if shortens and random.Random(f"{self.sampling.seed}-{index}-prompt").random() < self.sampling.names_in_prompt:
            style = replace(style, definitions=False)
        prompt = build_prompt(self.tokenizer, group.names, group.descriptions, style)
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

    def _choose_types(self, types: dict[str, TypeInfo], records: list[Record], rng: random.Random) -> list[str]:
        """A random number of types in random order, preferably those that occur in the texts."""
        maximum = min(self.sampling.max_types, len(types))
        number = rng.randint(min(self.sampling.min_types, maximum), maximum)
        present = sorted({each.label for record in records for each in record.entities} & types.keys())
        absent = sorted(types.keys() - set(present))
        rng.shuffle(present)
        rng.shuffle(absent)
        # At least a quarter of the candidate types do not occur, if the source has as many.
        positives = present[: max(1, number - min(len(absent), number // 4))]
        chosen = positives + absent[: number - len(positives)]
        rng.shuffle(chosen)
        return chosen

    def _word(
        self, types: list[TypeInfo], keep_wording: bool, rng: random.Random
    ) -> tuple[list[str], list[str], list[str]]:
        """Names and descriptions for the prompt, and names for the definition encoder."""
        sampling = self.sampling
        names, descriptions, _ = as_written(types)
        draw = 1.0 if keep_wording else rng.random()
        if draw < sampling.name_only:
            descriptions = names
        elif draw < sampling.name_only + sampling.shortened:
            descriptions = [first_clause(text) for text in descriptions]
        elif draw < sampling.name_only + sampling.shortened + sampling.generic:
            descriptions = [info.generic or info.definition for info in types]
        elif rng.random() < sampling.anonymous:
            numbered = [f"type {number}" for number in rng.sample(range(1, 100), len(types))]
            return numbered, descriptions, numbered
        if rng.random() < sampling.renamed:
            style = rng.choice(NAME_STYLES)
            return [style(name) for name in names], descriptions, names
        return names, descriptions, names

    def _restyle(self, record: Record, rng: random.Random) -> tuple[str, list[Entity]]:
        text, entities = record.text, record.entities
        if rng.random() < self.sampling.spaced:
            text, entities = space_words(text, entities)
        if rng.random() < self.sampling.lowercase and len(text.lower()) == len(text):
            text = text.lower()
        elif self.sampling.uppercase and rng.random() < self.sampling.uppercase and len(text.upper()) == len(text):
            text = text.upper()
        return text, entities

    def _list_mentions(self, texts: list[MarkedText], rng: random.Random) -> list[MarkedText]:
        mentions = [(text[each.start : each.end], each.label) for text, marked in texts for each in marked]
        mentions = [(surface, label) for surface, label in mentions if "\n" not in surface and "\t" not in surface]
        if not self.sampling.listed or len(mentions) < 3:
            return texts
        return [
            list_mentions(rng.sample(mentions, rng.randint(3, min(8, len(mentions)))), rng)
            if rng.random() < self.sampling.listed
            else each
            for each in texts
        ]

    def _join_lines(self, texts: list[MarkedText], rng: random.Random) -> list[MarkedText]:
        if not self.sampling.joined:
            return texts
        joined: list[MarkedText] = []
        for text, entities in texts:
            # What is joined must still be read whole.
            limit = self.sampling.max_text_tokens * CHARACTERS_PER_TOKEN // 2
            if joined and len(joined[-1][0]) + len(text) < limit and rng.random() < self.sampling.joined:
                joined[-1] = concatenate([joined[-1], (text, entities)], [rng.choice(["\n", "\n", "\n\n", "\t"])])
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
    sources: Sequence[MixtureSource], sampling: Sampling, *, epochs: float | None = None, length: int | None = None
) -> list[tuple[int, list[int]]]:
    """
    Index of the source and of the records of every group, for a run that reads every record once per epoch, each time in a
    new order.

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


def _group_records(source: MixtureSource, sampling: Sampling, reading: str, rng: random.Random) -> list[list[int]]:
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
    """First token and one past the last of a piece of a text. A cut inside a mention would teach a wrong boundary."""
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


class GroupCollator:
    """
    Puts groups into one batch for `JPTForTokenClassification.forward`.

    Args:
        encoder: An encoder of `definitions_jpt`, for the definitions of the types; `None` if the model embeds none.
    """

    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, groups: Sequence[dict]) -> dict[str, torch.Tensor]:
        return collate(groups, self.encoder)
