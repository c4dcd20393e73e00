"""The generative systems at work: texts and labels in, mentions with their probabilities out.

`Padellm` decodes in two steps, counts and then mentions, all sequences of a step at once (PaDeLLM-NER, Section 3.2);
`Autoregressive` writes all mentions of a text in one sequence. Prompts come from `formats`, tokens from `decoding`,
and `parsing` reads them. `settle` drops duplicates and finds the mentions in the text.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from .configuration_generative import GenerativeConfig
from .decoding import Decoder, Generated
from .examples import encode_part
from .formats import (
    Mention,
    Parsed,
    augmented_target,
    chat_messages,
    check_label,
    count_part,
    index_part,
    label_part,
    labels_part,
    mention_part,
    mentions_of,
    structured_target,
    text_part,
)
from .parsing import locate, parse_augmented, parse_chat, parse_count, parse_mention, parse_structured

COUNT_TOKENS = 8  # more than any count that is taken at its word has, with the line break
SLACK = 8  # tokens that a mention may have more than its text, where the tokenizer cuts it otherwise


@dataclass(frozen=True)
class Task:
    """A text and the labels to look for in it, each with its definition (used if the model was trained with them)."""

    text: str
    labels: Mapping[str, str]


@dataclass
class Reading:
    """
    What a system has read in one text.

    Args:
        mentions (`list[Mention]`): As generated, with duplicates and inventions.
        probabilities (`list[float]`): Of each mention, the product of those of its tokens (Section 3.3).
        failures (`Counter`): Number of outputs that could not be read, by kind.
        lengths (`list[int]`): Tokens generated in each sequence. Of PaDeLLM, a sequence is a count and one mention.
        seconds (`float`): Latency by the definition of the paper (Section 4.1): the slowest sequence, and what is done
            besides. Of texts that are read together, that of all.
    """

    mentions: list[Mention] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Sequences:
    """
    Decodes sequences at *places*: in batch mode there is one, the device; in multi mode each sequence has its own.

    With several decoders, places are devices that work at the same time. With one, multi mode is simulated as the
    paper does: sequences are decoded one by one, each in a memory of its own, and timed (Section 4.1).
    """

    def __init__(self, decoders: Sequence[Decoder], mode: str):
        self.decoders = list(decoders) if mode == "multi" else list(decoders[:1])
        self.mode = mode
        self.seconds = 0.0  # of all decoding, one place after the other
        self._memories: dict[int, object] = {}

    def place(self, number: int) -> int:
        """Where the sequence with this number goes."""
        if self.mode == "batch":
            return 0
        return number % len(self.decoders) if len(self.decoders) > 1 else number

    def generate(self, prompts, limits, places, forced=None, **options) -> tuple[list[Generated], list[float]]:
        """As `Decoder.generate`, at the given places; also the seconds that each sequence took."""
        groups: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            groups.setdefault(place, []).append(number)
        found: list[Generated | None] = [None] * len(prompts)
        seconds = [0.0] * len(prompts)

        def work(place: int, numbers: list[int]) -> None:
            began = time.perf_counter()
            decoder = self.decoders[place % len(self.decoders)]
            memory = self._memories.setdefault(place, decoder.open())
            results = decoder.generate(
                [prompts[i] for i in numbers],
                [limits[i] for i in numbers],
                memory,
                forced=None if forced is None else [forced[i] for i in numbers],
                **options,
            )
            took = time.perf_counter() - began
            self.seconds += took
            for number, result in zip(numbers, results, strict=True):
                found[number], seconds[number] = result, took

        if len(self.decoders) > 1:
            with ThreadPoolExecutor(len(self.decoders)) as threads:
                list(threads.map(work, groups.keys(), groups.values()))
        else:
            for place, numbers in groups.items():
                work(place, numbers)
        return found, seconds


class System(ABC):
    """
    What all systems share: tokens of parts, and the bound on new tokens.

    Args:
        tokenizer: The model's.
        decoders (`Sequence[Decoder]`): One for each device; more than one are used in multi mode only.
        config (`GenerativeConfig`): Settings.
    """

    def __init__(self, tokenizer, decoders: Sequence[Decoder], config: GenerativeConfig):
        self.tokenizer = tokenizer
        self.decoders = decoders
        self.config = config

    @abstractmethod
    def read(self, tasks: Sequence[Task], forced: Sequence[Iterable] | None = None) -> list[Reading]:
        """
        Reads texts together.

        Args:
            forced (*optional*): Entities of each text (`start`, `end`, `label`) for the output to have, whatever the
                model would generate: what a perfect model would take.

        Raises:
            ValueError: For a text without labels, a label with marks of the template in it, or a prompt that leaves no
                room in the model's context.
        """

    def check(self, labels: Iterable[str]) -> None:
        """Raises a `ValueError` for labels that the system cannot ask for."""
        if not labels:
            raise ValueError("`entity_types` must name at least one type, got none")
        for label in labels:
            check_label(label, self.config.system, self.config.language)

    def _definition(self, task: Task, label: str) -> str | None:
        return task.labels[label] if self.config.definitions else None

    def _ids(self, *parts: str) -> list[int]:
        """Tokens of a prompt or a target; each part is tokenized by itself, and none of it is markup."""
        return [token for part in parts for token in encode_part(self.tokenizer, part)]

    def _text_ids(self, task: Task) -> list[int]:
        ids = self._ids(text_part(task.text, self.config.language))
        if len(ids) >= self.decoders[0].limit:
            raise ValueError(
                f"the text takes {len(ids)} tokens, and the model reads at most {self.decoders[0].limit} with labels and "
                "output; cut it into pieces"
            )
        return ids

    def _decode(self, generated: Generated) -> str:
        return self.tokenizer.decode(generated.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @cached_property
    def _line_breaks(self) -> frozenset[int]:
        """Tokens that hold a line break, as byte-level tokenizers or byte fallback write it."""
        return frozenset(
            number
            for token, number in self.tokenizer.get_vocab().items()
            if "\n" in token or "Ċ" in token or token == "<0x0A>"
        )


class Padellm(System):
    """PaDeLLM-NER: a sequence for each label's count, then one for each mention."""

    def read(self, tasks: Sequence[Task], forced: Sequence[Iterable] | None = None) -> list[Reading]:
        began = time.perf_counter()
        language, sequences = self.config.language, Sequences(self.decoders, self.config.mode)
        readings = [Reading() for _ in tasks]
        texts = [self._text_ids(task) for task in tasks]
        asked = [(number, label) for number, task in enumerate(tasks) for label in task.labels]
        gold = None
        if forced is not None:
            gold = [mentions_of(tasks[number].text, list(forced[number]), label) for number, label in asked]

        # Step 1: how many mentions of each label.
        prompts = [
            texts[number] + self._ids(label_part(label, language, self._definition(tasks[number], label)))
            for number, label in asked
        ]
        places = [sequences.place(i) for i in range(len(asked))]
        counted, count_seconds = sequences.generate(
            prompts,
            [min(COUNT_TOKENS, self.config.max_new_tokens)] * len(asked),
            places,
            stop_ids=self._line_breaks,
            forced=gold and [self._ids(count_part(len(found))) if found else [] for found in gold],
        )
        wanted: list[tuple[int, int]] = []  # Of each mention, the index of its count, and its own from 1.
        for i, (number, _) in enumerate(asked):
            count = parse_count(self._decode(counted[i]))
            if count is None or not counted[i].ended:
                readings[number].failures["unreadable_count"] += 1
                count = 0
            elif count > len(texts[number]):  # A text has no more mentions than tokens.
                readings[number].failures["excess_count"] += 1
                count = len(texts[number])
            wanted += [(i, n) for n in range(1, count + 1)]
            if not count:
                readings[number].lengths.append(counted[i].length)

        # Step 2: each mention. The first of a label stays where its count was made.
        counts = Counter(i for i, _ in wanted)
        spare = len(asked)
        homes = []
        for i, n in wanted:
            homes.append(places[i] if n == 1 else sequences.place(spare))
            spare += n > 1
        written, mention_seconds = sequences.generate(
            [prompts[i] + self._ids(count_part(counts[i]), index_part(n, language)) for i, n in wanted],
            [min(self.config.max_new_tokens, len(texts[asked[i][0]]) + SLACK) for i, _ in wanted],
            homes,
            stop_ids=self._line_breaks,
            forced=gold and [self._ids(mention_part(gold[i][n - 1], language)) for i, n in wanted],
        )
        for (i, _), generated in zip(wanted, written, strict=True):
            number, label = asked[i]
            reading, mention = readings[number], parse_mention(self._decode(generated))
            reading.lengths.append(counted[i].length + generated.length)
            if not generated.ended:
                reading.failures["truncated"] += 1
            if mention:
                reading.mentions.append(Mention(label, mention))
                reading.probabilities.append(prod(generated.probabilities))
            else:
                reading.failures["empty_mention"] += 1
        chains = list(count_seconds)
        for (i, _), seconds in zip(wanted, mention_seconds, strict=True):
            chains[i] = max(chains[i], count_seconds[i] + seconds)
        return _timed(readings, began, sequences, chains)


class Autoregressive(System):
    """One sequence for each text: the text with marks, a list of pairs, or an answer in a chat."""

    def read(self, tasks: Sequence[Task], forced: Sequence[Iterable] | None = None) -> list[Reading]:
        began = time.perf_counter()
        sequences = Sequences(self.decoders, "batch")
        targets = None
        if forced is not None:
            targets = [self._target(task, list(entities)) for task, entities in zip(tasks, forced, strict=True)]
        limits = [self.config.max_new_tokens] * len(tasks)
        prompts = [self._prompt(task) for task in tasks]
        generated, seconds = sequences.generate(prompts, limits, [0] * len(tasks), forced=targets)
        readings = [self._parse(task, each) for task, each in zip(tasks, generated, strict=True)]
        return _timed(readings, began, sequences, seconds)

    def _prompt(self, task: Task) -> list[int]:
        if self.config.prompt == "chat":
            return self._chat_prompt(task)
        definitions = task.labels if self.config.definitions else None
        labels = labels_part(list(task.labels), self.config.system, self.config.language, definitions)
        return self._text_ids(task) + self._ids(labels)

    def _chat_prompt(self, task: Task) -> list[int]:
        """The template's own tokens come from the template alone: what the user wrote is no markup."""
        if not self.tokenizer.chat_template:
            raise ValueError('`prompt="chat"` needs a tokenizer with a chat template')
        messages = chat_messages(task.text, list(task.labels), task.labels)
        content = messages[-1]["content"]
        messages[-1] = {**messages[-1], "content": "\ue000"}
        rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        before, _, after = rendered.partition("\ue000")
        first, last = (self.tokenizer(each, add_special_tokens=False)["input_ids"] for each in (before, after))
        return first + self._ids(content) + last

    def _target(self, task: Task, entities: list) -> list[int]:
        write = augmented_target if self.config.system == "autoreg-augmented" else structured_target
        return self._ids(write(task.text, entities, list(task.labels), self.config.language))

    def _parse(self, task: Task, generated: Generated) -> Reading:
        output = self._decode(generated)
        parsed = self._parser(output, task.text, list(task.labels))
        if not generated.ended:
            parsed.failures["truncated"] = max(1, parsed.failures["truncated"])
        return Reading(
            parsed.mentions, self._probabilities(generated, output, parsed), parsed.failures, [generated.length]
        )

    @property
    def _parser(self) -> Callable[..., Parsed]:
        if self.config.prompt == "chat":
            return parse_chat
        return parse_augmented if self.config.system == "autoreg-augmented" else parse_structured

    def _probabilities(self, generated: Generated, output: str, parsed: Parsed) -> list[float]:
        """Products of the probabilities of the tokens that hold each mention, found in the output one after the other."""
        if not parsed.mentions:
            return []
        # Where each token ends in the output. Decoded from the start, as a character may have several tokens.
        ends = [len(self._decode(Generated(generated.ids[:number]))) for number in range(1, len(generated.ids) + 1)]
        starts = [0, *ends[:-1]]
        found, position = [], 0
        for mention in parsed.mentions:
            begin = output.find(mention.text, position)
            begin = max(begin, 0)
            position = begin + len(mention.text)
            inside = [p for p, s, e in zip(generated.probabilities, starts, ends) if s < position and begin < e]
            found.append(prod(inside))
        return found


def build_system(tokenizer, decoders: Sequence[Decoder], config: GenerativeConfig) -> System:
    """The system that the settings name."""
    kind = Padellm if config.system == "padellm" and config.prompt == "trained" else Autoregressive
    return kind(tokenizer, decoders, config)


def settle(reading: Reading, text: str, deduplication: str = "probability") -> tuple[list[tuple], Counter]:
    """
    The entities of a text: duplicates dropped, mentions found in the text.

    Args:
        deduplication (`str`): See `GenerativeConfig`; `"none"` for systems other than PaDeLLM.

    Returns:
        `(start, end, label, probability)` of each entity in the order of the text, and the number of hallucinations by
        kind (`parsing.Located`), which have no place in it.
    """
    kept = deduplicate(reading.mentions, reading.probabilities, deduplication)
    located = locate([reading.mentions[i] for i in kept], text)
    entities = {
        (*span, reading.mentions[i].label, reading.probabilities[i])
        for i, span in zip(kept, located.spans, strict=True)
        if span is not None
    }
    return sorted(entities), located.failures


def deduplicate(mentions: Sequence[Mention], probabilities: Sequence[float], rule: str) -> list[int]:
    """
    Indices of the mentions to keep: of one that several labels have, only those of the most probable label
    (Section 3.3), of the least probable one (`"reversed"`, Table 6), or of all (`"none"`).
    """
    if rule == "none":
        return list(range(len(mentions)))
    best: dict[str, tuple[float, str]] = {}
    sign = -1 if rule == "reversed" else 1
    for mention, probability in zip(mentions, probabilities, strict=True):
        candidate = (sign * probability, mention.label)
        if mention.text not in best or candidate[0] > best[mention.text][0]:
            best[mention.text] = candidate
    return [i for i, mention in enumerate(mentions) if best[mention.text][1] == mention.label]


def _timed(readings: list[Reading], began: float, sequences: Sequences, chains: Sequence[float]) -> list[Reading]:
    """Sets the latency: where devices are simulated, all that was not decoding and the slowest sequence."""
    elapsed = time.perf_counter() - began
    if len(sequences.decoders) == 1:
        elapsed += max(chains, default=0.0) - sequences.seconds
    for reading in readings:
        reading.seconds = elapsed
    return readings
