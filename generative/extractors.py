"""The generative systems: texts and labels in, mentions with their probabilities out.

`Padellm` decodes in two steps, counts and then mentions, with all sequences of a step at once (PaDeLLM-NER, Section 3.2);
`Autoregressive` writes all mentions of a text in one sequence. Prompts come from `formats` and `chat_prompts`, tokens from
`decoding`, and `parsing` reads the output. `resolve_mentions` drops duplicates and finds the mentions in the text.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from .chat_prompts import chat_messages
from .configuration_generative import GenerativeConfig
from .decoding import Decoder, Generated
from .examples import encode_part
from .formats import (
    Mention,
    ParsedOutput,
    augmented_target,
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
from .parsing import (
    locate,
    parse_augmented,
    parse_chat,
    parse_count,
    parse_mention,
    parse_structured,
    parse_ye2023,
)

COUNT_TOKENS = 8  # more than any accepted count takes, line break included
SLACK = 8  # extra tokens of a mention, which the tokenizer may split differently than in the text
PARSERS: dict[str, Callable[..., ParsedOutput]] = {
    "chat": parse_chat,
    "ye2023": parse_ye2023,
    "autoreg-augmented": parse_augmented,
    "autoreg-structured": parse_structured,
}


@dataclass(frozen=True)
class Query:
    """A text and the labels to look for in it, each with its definition (used by models trained with definitions)."""

    text: str
    labels: Mapping[str, str]


@dataclass
class Extraction:
    """
    The output of a system for one text.

    Args:
        mentions (`list[Mention]`): As generated, duplicates and hallucinations included.
        probabilities (`list[float]`): For each mention, the product of its tokens' probabilities (Section 3.3).
        failures (`Counter`): Number of outputs that could not be parsed, by kind.
        lengths (`list[int]`): Tokens generated in each sequence. Of PaDeLLM, a sequence is a count and one mention.
        counts (`dict[str, int]`): Of PaDeLLM, the number of mentions predicted for each label in step 1.
        seconds (`float`): Latency as the paper defines it (Section 4.1): the slowest sequence, and everything but decoding.
            For texts that are read together, the latency of all.
    """

    mentions: list[Mention] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Placement:
    """
    Decodes sequences at *places*: in batch mode there is one, the device; in multi mode each sequence has its own.

    With several decoders, places are devices that work at the same time. With one, multi mode is simulated as in the
    paper: sequences are decoded one by one, each with a KV cache of its own, and timed (Section 4.1).
    """

    def __init__(self, decoders: Sequence[Decoder], mode: str):
        self.decoders = list(decoders) if mode == "multi" else list(decoders[:1])
        self.mode = mode
        self.seconds = 0.0  # of all decoding, one place after the other
        self._caches: dict[int, object] = {}

    def place(self, number: int) -> int:
        """The place of the sequence with this number."""
        if self.mode == "batch":
            return 0
        return number % len(self.decoders) if len(self.decoders) > 1 else number

    def generate(self, prompts, limits, places, forced=None, **options) -> tuple[list[Generated], list[float]]:
        """As `Decoder.generate`, at the given places; also returns the seconds of each sequence."""
        groups: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            groups.setdefault(place, []).append(number)
        found: list[Generated | None] = [None] * len(prompts)
        seconds = [0.0] * len(prompts)

        def work(place: int, numbers: list[int]) -> None:
            began = time.perf_counter()
            decoder = self.decoders[place % len(self.decoders)]
            cache = self._caches.setdefault(place, decoder.new_cache())
            results = decoder.generate(
                [prompts[i] for i in numbers],
                [limits[i] for i in numbers],
                cache,
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


class Extractor(ABC):
    """
    Shared by all systems: tokenizing parts, and the limits on new tokens.

    Args:
        tokenizer: The model's.
        decoders (`Sequence[Decoder]`): One for each device; only multi mode uses more than one.
        config (`GenerativeConfig`): Settings.
    """

    def __init__(self, tokenizer, decoders: Sequence[Decoder], config: GenerativeConfig):
        self.tokenizer = tokenizer
        self.decoders = decoders
        self.config = config

    @abstractmethod
    def extract(self, queries: Sequence[Query], forced: Sequence[Iterable] | None = None) -> list[Extraction]:
        """
        Reads texts together.

        Args:
            forced (*optional*): Entities of each text (`start`, `end`, `label`) to write, whatever the model would
                generate: for the latency of a model without errors.

        Raises:
            ValueError: For a text without labels, a label with markers of the template in it, or a prompt that leaves no
                room in the model's context.
        """

    def check(self, labels: Iterable[str]) -> None:
        """Raises a `ValueError` for labels that the system does not support."""
        if not labels:
            raise ValueError("`entity_types` must name at least one type, got none")
        for label in labels:
            check_label(label, self.config.system, self.config.language)

    def _definition(self, query: Query, label: str) -> str | None:
        return query.labels[label] if self.config.definitions else None

    def _ids(self, *parts: str) -> list[int]:
        """Tokens of a prompt or a target; every part is tokenized on its own, as plain text."""
        return [token for part in parts for token in encode_part(self.tokenizer, part)]

    def _text_ids(self, query: Query) -> list[int]:
        ids = self._ids(text_part(query.text, self.config.language))
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
        """Tokens that contain a line break, as byte-level tokenizers or byte fallback write it."""
        return frozenset(
            number
            for token, number in self.tokenizer.get_vocab().items()
            if "\n" in token or "Ċ" in token or token == "<0x0A>"
        )


@dataclass
class _LabelRun:
    """
    PaDeLLM's work for one label of one text: the sequence of its count, and one sequence for each mention.

    Args:
        query (`int`): Number of the text.
        label (`str`): The label.
        prompt (`list[int]`): Tokens up to and including `<num>`.
        text_tokens (`int`): Number of tokens of the text, which limits the count and, with `SLACK`, a mention.
        place (`int`): Where the count is decoded.
        gold (`list[str]`, *optional*): Mentions to force.
        counted (`Generated`, *optional*): Output of step 1.
        count (`int`): Number of mentions to write.
        written (`list[Generated]`): Outputs of step 2.
        count_seconds (`float`), seconds (`float`): Of step 1, and of both with the slowest mention.
    """

    query: int
    label: str
    prompt: list[int]
    text_tokens: int
    place: int
    gold: list[str] | None = None
    counted: Generated | None = None
    count: int = 0
    written: list[Generated] = field(default_factory=list)
    count_seconds: float = 0.0
    seconds: float = 0.0


class Padellm(Extractor):
    """PaDeLLM-NER: a sequence for each label's count, then one for each mention."""

    def extract(self, queries: Sequence[Query], forced: Sequence[Iterable] | None = None) -> list[Extraction]:
        began = time.perf_counter()
        placement = Placement(self.decoders, self.config.mode)
        extractions = [Extraction() for _ in queries]
        runs = self._plan(queries, forced, placement)
        self._count(runs, placement)
        for run in runs:
            self._read_count(run, extractions[run.query])
        self._write(runs, placement)
        for run in runs:
            self._read_mentions(run, extractions[run.query])
        return _timed(extractions, began, placement, [run.seconds for run in runs])

    def _plan(
        self, queries: Sequence[Query], forced: Sequence[Iterable] | None, placement: Placement
    ) -> list[_LabelRun]:
        runs: list[_LabelRun] = []
        for number, query in enumerate(queries):
            text = self._text_ids(query)
            for label in query.labels:
                part = label_part(label, self.config.language, self._definition(query, label))
                run = _LabelRun(number, label, text + self._ids(part), len(text), placement.place(len(runs)))
                if forced is not None:
                    run.gold = mentions_of(query.text, list(forced[number]), label)
                runs.append(run)
        return runs

    def _count(self, runs: Sequence[_LabelRun], placement: Placement) -> None:
        """Step 1: how many mentions of each label."""
        gold = [run.gold for run in runs]
        forced = None
        if None not in gold:
            forced = [self._ids(count_part(len(mentions))) if mentions else [] for mentions in gold]
        counted, seconds = placement.generate(
            [run.prompt for run in runs],
            [min(COUNT_TOKENS, self.config.max_new_tokens)] * len(runs),
            [run.place for run in runs],
            stop_ids=self._line_breaks,
            forced=forced,
        )
        for run, generated, took in zip(runs, counted, seconds, strict=True):
            run.counted, run.count_seconds, run.seconds = generated, took, took

    def _read_count(self, run: _LabelRun, extraction: Extraction) -> None:
        count = parse_count(self._decode(run.counted))
        if count is None or not run.counted.ended:
            extraction.failures["unreadable_count"] += 1
            count = 0
        elif count > run.text_tokens:  # A text has no more mentions than tokens.
            extraction.failures["excess_count"] += 1
            count = run.text_tokens
        run.count = extraction.counts[run.label] = count
        if not count:
            extraction.lengths.append(run.counted.length)

    def _write(self, runs: Sequence[_LabelRun], placement: Placement) -> None:
        """Step 2: every mention."""
        language = self.config.language
        wanted = [(run, n) for run in runs for n in range(1, run.count + 1)]
        places, spare = [], len(runs)
        for run, n in wanted:
            # The first mention stays where its count was decoded, with the text in the cache.
            places.append(run.place if n == 1 else placement.place(spare))
            spare += n > 1
        forced = None
        if all(run.gold is not None for run, _ in wanted):
            forced = [self._ids(mention_part(run.gold[n - 1], language)) for run, n in wanted]
        written, seconds = placement.generate(
            [run.prompt + self._ids(count_part(run.count), index_part(n, language)) for run, n in wanted],
            [min(self.config.max_new_tokens, run.text_tokens + SLACK) for run, _ in wanted],
            places,
            stop_ids=self._line_breaks,
            forced=forced,
        )
        for (run, _), generated, took in zip(wanted, written, seconds, strict=True):
            run.written.append(generated)
            run.seconds = max(run.seconds, run.count_seconds + took)

    def _read_mentions(self, run: _LabelRun, extraction: Extraction) -> None:
        for generated in run.written:
            mention = parse_mention(self._decode(generated))
            extraction.lengths.append(run.counted.length + generated.length)
            if not generated.ended:
                extraction.failures["truncated"] += 1
            if mention:
                extraction.mentions.append(Mention(run.label, mention))
                extraction.probabilities.append(prod(generated.probabilities))
            else:
                extraction.failures["empty_mention"] += 1


class Autoregressive(Extractor):
    """One sequence for each text: the text with marks, a list of pairs, or an answer in a chat."""

    def extract(self, queries: Sequence[Query], forced: Sequence[Iterable] | None = None) -> list[Extraction]:
        began = time.perf_counter()
        placement = Placement(self.decoders, "batch")
        targets = None
        if forced is not None:
            targets = [self._target(query, list(entities)) for query, entities in zip(queries, forced, strict=True)]
        limits = [self.config.max_new_tokens] * len(queries)
        prompts = [self._prompt(query) for query in queries]
        generated, seconds = placement.generate(prompts, limits, [0] * len(queries), forced=targets)
        extractions = [self._parse(query, each) for query, each in zip(queries, generated, strict=True)]
        return _timed(extractions, began, placement, seconds)

    def _prompt(self, query: Query) -> list[int]:
        if self.config.prompt != "trained":
            return self._chat_prompt(query)
        definitions = query.labels if self.config.definitions else None
        labels = labels_part(list(query.labels), self.config.system, self.config.language, definitions)
        return self._text_ids(query) + self._ids(labels)

    def _chat_prompt(self, query: Query) -> list[int]:
        """Special tokens come from the chat template alone: user text is plain text."""
        messages = chat_messages(query.text, list(query.labels), query.labels, self.config.prompt)
        content = messages[-1]["content"]
        if not self.tokenizer.chat_template:
            if self.config.prompt == "ye2023":  # A text to continue, which base models can do.
                return self._ids(content)
            raise ValueError('`prompt="chat"` needs a tokenizer with a chat template')
        messages[-1] = {**messages[-1], "content": "\ue000"}
        rendered = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        before, _, after = rendered.partition("\ue000")
        first, last = (self.tokenizer(each, add_special_tokens=False)["input_ids"] for each in (before, after))
        return first + self._ids(content) + last

    def _target(self, query: Query, entities: list) -> list[int]:
        write = augmented_target if self.config.system == "autoreg-augmented" else structured_target
        return self._ids(write(query.text, entities, list(query.labels), self.config.language))

    def _parse(self, query: Query, generated: Generated) -> Extraction:
        output = self._decode(generated)
        parse = PARSERS[self.config.system if self.config.prompt == "trained" else self.config.prompt]
        parsed = parse(output, query.text, list(query.labels))
        if not generated.ended:
            parsed.failures["truncated"] = max(1, parsed.failures["truncated"])
        return Extraction(
            parsed.mentions, self._probabilities(generated, output, parsed), parsed.failures, [generated.length]
        )

    def _probabilities(self, generated: Generated, output: str, parsed: ParsedOutput) -> list[float]:
        """For each mention, the product of its tokens' probabilities. Mentions are found in the output one after another."""
        if not parsed.mentions:
            return []
        # The end of each token in the output. Decoded from the start, as a character may take several tokens.
        ends = [len(self._decode(Generated(generated.ids[:number]))) for number in range(1, len(generated.ids) + 1)]
        starts = [0, *ends[:-1]]
        found, position = [], 0
        marked = {"autoreg-augmented": "[", "autoreg-structured": ": ("}
        mark = marked.get(self.config.system, "") if self.config.prompt == "trained" else ""
        for mention in parsed.mentions:
            place = output.find(mark + mention.text, position)  # not where the text has the same word without marks
            begin = max(output.find(mention.text, position), 0) if place < 0 else place + len(mark)
            position = begin + len(mention.text)
            inside = [p for p, s, e in zip(generated.probabilities, starts, ends) if s < position and begin < e]
            found.append(prod(inside))
        return found


def build_extractor(tokenizer, decoders: Sequence[Decoder], config: GenerativeConfig) -> Extractor:
    """The system that the settings name."""
    return (Padellm if config.is_padellm else Autoregressive)(tokenizer, decoders, config)


def resolve_mentions(
    extraction: Extraction, text: str, deduplication: str = "probability"
) -> tuple[list[tuple[int, int, str, float]], Counter]:
    """
    The entities of a text: duplicates dropped, mentions found in the text.

    Args:
        deduplication (`str`): See `GenerativeConfig`; `"none"` for systems other than PaDeLLM.

    Returns:
        `(start, end, label, probability)` of each entity in the order of the text, and the number of hallucinations by
        kind (`parsing.Located`), which do not occur in it.
    """
    kept = deduplicate(extraction.mentions, extraction.probabilities, deduplication)
    located = locate([extraction.mentions[i] for i in kept], text)
    entities = {
        (*span, extraction.mentions[i].label, extraction.probabilities[i])
        for i, span in zip(kept, located.spans, strict=True)
        if span is not None
    }
    return sorted(entities), located.failures


def deduplicate(mentions: Sequence[Mention], probabilities: Sequence[float], rule: str) -> list[int]:
    """
    Indices of the mentions to keep: of a mention found under several labels, only the most probable label (Section 3.3),
    the least probable one (`"reversed"`, Table 6), or all (`"none"`).
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


def _timed(
    extractions: list[Extraction], began: float, placement: Placement, seconds: Sequence[float]
) -> list[Extraction]:
    """Sets the latency: with simulated devices, the slowest sequence and everything but decoding."""
    elapsed = time.perf_counter() - began
    if len(placement.decoders) == 1:
        elapsed += max(seconds, default=0.0) - placement.seconds
    for extraction in extractions:
        extraction.seconds = elapsed
    return extractions
