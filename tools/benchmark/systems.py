"""Systems to measure side by side, behind one interface: labelled records in, an output for each text out.

What does not depend on the texts (loading, reading a prompt once, another environment) happens before anything is timed.
`bench` times systems whose outputs have a given length; `compare` measures trained ones, and their outputs are scored.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForTokenClassification
from transformers import pipeline as transformers_pipeline

from ...generative.configuration_generative import DEDUPLICATION, GenerativeConfig
from ...generative.pipeline_generative import GenerativePipeline
from ..data.records import Record


@dataclass
class SystemOutput:
    """
    The output of a system for one text.

    Args:
        found (`dict[str, list]`): `[start, end, label]` of the entities, by rule of de-duplication (`"none"` for systems
            without such rules).
        written (`dict[str, list]`): `[label, mention]` as the system wrote them, hallucinations included, by the same rules.
        counts (`dict[str, int]`): Of PaDeLLM, the number of mentions it predicted for each label.
        lengths (`list[int]`): Tokens generated in each sequence; none by systems that do not generate.
        failures (`dict[str, int]`): Outputs that could not be parsed or found in the text, by kind.
    """

    found: dict[str, list] = field(default_factory=dict)
    written: dict[str, list] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


class System(ABC):
    """
    Args:
        name (`str`): Short and unique.
        batch_size (`int`): Number of texts to read together.

    Attributes:
        parameters (`dict[str, int]`): As [`count_parameters`] gives them.
        model (`PreTrainedModel`, *optional*): The model, if it runs in this process.
        process_id (`int`, *optional*): The process that the system runs in, if not this one.
        keeps_prompt (`bool`): Whether it reads a prompt once for a set of types and keeps it.
    """

    keeps_prompt = False
    process_id: int | None = None
    model: Any = None

    def __init__(self, name: str, batch_size: int = 1):
        self.name, self.batch_size = name, batch_size
        self.parameters: dict[str, int] = {}

    @abstractmethod
    def read(self, records: Sequence[Record]) -> list[Any]:
        """Tags the texts under the types of their records; this is timed. Returns one result per text, or none."""

    def latency(self, results: list[Any]) -> float | None:
        """Seconds to replace the measured time, if devices are simulated."""
        return None

    def describe(self, record: Record, result: Any) -> SystemOutput:
        """A result of `read` as an output to be scored."""
        raise NotImplementedError(f"{self.name} is timed only: its weights are random, or its output is forced")

    def close(self) -> None:  # noqa: B027 - most start none
        """Ends processes that the system has started."""


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of all parameters, and of those in the input embeddings, which cost a look-up."""
    embeddings = model.get_input_embeddings().weight.numel()
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "embeddings": embeddings}


def tag(pipeline, records: Sequence[Record], batch_size: int, **options) -> list[list[dict]]:
    """The entities that a JPT pipeline finds under the types of the records; one text at a time with `batch_size` 1."""
    items = [{"text": record.text, "entity_types": record.types} for record in records]
    if batch_size == 1:
        return [pipeline(item, **options) for item in items]
    return pipeline(items, batch_size=batch_size, **options)


class JPTSystem(System):
    """The JPT pipeline as users call it, with `options`; with `batch_size` 1, on one text after another."""

    keeps_prompt = True

    def __init__(self, name: str, pipeline, batch_size: int = 1, **options):
        super().__init__(name, batch_size)
        self.pipeline, self.model, self.options = pipeline, pipeline.model, options
        self.parameters = count_parameters(pipeline.model.model)

    def read(self, records):
        return tag(self.pipeline, records, self.batch_size, **self.options)

    def describe(self, record, result):
        return SystemOutput(found={"none": _spans(result)}, written={"none": _mentions(result)})


class NaiveJPT(JPTSystem):
    """The method without optimisations: plain attention, one text at a time, the whole prompt again with each."""

    keeps_prompt = False

    def __init__(self, pipeline):
        super().__init__("jpt-naive", pipeline, 1)
        if pipeline.model.model.config._attn_implementation != "sdpa":
            raise ValueError('`pipeline`: its model must be loaded with `attn_implementation="sdpa"`')


class GenerativeSystem(System):
    """
    A pipeline of a generative system, one text at a time.

    Args:
        pipeline ([`GenerativePipeline`]): With the settings to measure.
        gold_output (`bool`): Force the gold output, for the latency of a model that makes no mistakes.
    """

    def __init__(self, name: str, pipeline: GenerativePipeline, gold_output: bool = False):
        super().__init__(name)
        self.pipeline, self.model, self.gold_output = pipeline, pipeline.model, gold_output
        self.parameters = count_parameters(pipeline.model.base_model)

    def read(self, records):
        results = []
        for record in records:
            gold = record.entities if self.gold_output else None
            extraction = self.pipeline.extract(record.text, record.types, gold)
            results.append((extraction, *self.pipeline.resolve(extraction, record.text)))
        return results

    def latency(self, results):
        if self.pipeline.settings.mode != "multi":
            return None
        # The simulated devices took turns, but would work at the same time.
        return sum(extraction.seconds for extraction, *_ in results)

    def describe(self, record, result):
        extraction, _, failures = result
        rules = DEDUPLICATION if self.pipeline.settings.is_padellm else ("none",)
        output = SystemOutput(counts=extraction.counts, lengths=extraction.lengths, failures=dict(failures))
        for rule in rules:
            output.found[rule] = _spans(self.pipeline.resolve(extraction, record.text, rule)[0])
            output.written[rule] = [[each.label, each.text] for each in self.pipeline.kept_mentions(extraction, rule)]
        return output


class Encoder(System):
    """A plain `token-classification` pipeline with fixed labels around an encoder of BERT-base's size: a lower bound."""

    def __init__(self, tokenizer, batch_size: int, dtype: torch.dtype, device: str):
        super().__init__("encoder", batch_size)
        config = AutoConfig.for_model("bert", vocab_size=len(tokenizer), num_labels=19)
        self.model = AutoModelForTokenClassification.from_config(config).to(dtype).eval()
        self.pipeline = transformers_pipeline(
            "token-classification", model=self.model, tokenizer=tokenizer, aggregation_strategy="simple", device=device
        )
        self.parameters = count_parameters(self.model)

    def read(self, records):
        self.pipeline([record.text for record in records], batch_size=self.batch_size)
        return []


def parallel_system(model, tokenizer) -> GenerativeSystem:
    """PaDeLLM-NER on any causal LM, its gold outputs forced; labels are written with their definitions, as JPT's are."""
    settings = GenerativeConfig(system="padellm", definitions=True)
    pipeline = GenerativePipeline(model=model, tokenizer=tokenizer, device=model.device, settings=settings)
    return GenerativeSystem("padellm", pipeline, gold_output=True)


def _spans(entities: list[dict]) -> list[list]:
    return [[each["start"], each["end"], each["entity_group"]] for each in entities]


def _mentions(entities: list[dict]) -> list[list]:
    return [[each["entity_group"], each["word"]] for each in entities]
