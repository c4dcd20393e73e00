"""The setup of `jpt-ner bench`: a model, texts with their types, and the facts that timings depend on."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ...inputs_jpt import PromptStyle, build_prompt
from ..data.records import Record
from ..files.opening import data_name
from ..loading import load_pipeline
from .building import SYSTEM_NAMES
from .measuring import Spread, matmul_rates, reading_operations
from .systems import count_parameters
from .texts import bench_records

FULL_TEXTS = 651  # the test set of CrossNER-Politics
GENERATED_TEXTS = 32  # generative systems take minutes for these with a large backbone


@dataclass
class Bench:
    """
    Args:
        model (`str`): Folder or Hub id of a JPT model.
        device (`str`): Such as `cpu` or `cuda`.
        data (`str`, *optional*): A file of labelled records. Defaults to generated sentences.
        texts (`int`): Number of texts in one turn of a system.
        rounds (`int`): Number of turns of each system, each on different texts.
        batch_size (`int`): Number of texts to read together, by systems that can.
        systems (`Sequence[str]`): From `building.SYSTEM_NAMES`.
        shape (`str`): Backbone of the section `full`, from `building.BACKBONE_SHAPES`.
        full_texts (`int`), generated_texts (`int`): Number of texts of that section, and of those the generative systems read.
        price_per_hour (`float`, *optional*): Price of the machine, for costs.
    """

    model: str
    device: str = "cpu"
    data: str | Path | None = None
    texts: int = 16
    rounds: int = 7
    batch_size: int = 16
    systems: Sequence[str] = SYSTEM_NAMES
    shape: str = "tiny"
    full_texts: int = FULL_TEXTS
    generated_texts: int = GENERATED_TEXTS
    price_per_hour: float | None = None
    _pipeline: Any = None

    @property
    def tokenizer(self):
        return self.pipeline().tokenizer

    @cached_property
    def data_and_types(self) -> tuple[list[Record], dict[str, str]]:
        return bench_records(self.data, self.texts * self.rounds)

    def pipeline(self):
        """The model, loaded with the defaults."""
        if self._pipeline is None:
            self._pipeline = self.new_pipeline("auto")
        return self._pipeline

    def new_pipeline(self, dtype: str):
        """The model loaded again, in a number format."""
        return load_pipeline(str(self.model), device=self.device, dtype=dtype)

    def turn(self, number: int) -> list[Record]:
        """The texts of one turn."""
        records, _ = self.data_and_types
        return records[number * self.texts : (number + 1) * self.texts]

    def prompt_length(self, pipeline, types: dict[str, str]) -> int:
        """Number of tokens of the prompt with these types."""
        style = PromptStyle.of(pipeline.model.config)
        return len(build_prompt(pipeline.tokenizer, list(types), list(types.values()), style).input_ids)

    def operations(self, pipeline, records: Sequence[Record]) -> float:
        """Floating-point operations of the backbone for all records, with the prompt kept."""
        prompt = self.prompt_length(pipeline, records[0].types)
        lengths = [len(pipeline.tokenizer(record.text, add_special_tokens=False).input_ids) for record in records]
        return sum(reading_operations(pipeline.model, prompt, length) for length in lengths)

    def matmul_rates(self) -> dict[str, float]:
        """Operations per second of matrix products of the size of a batch."""
        records, _ = self.data_and_types
        tokens = sum(len(self.tokenizer(record.text).input_ids) for record in records[: self.batch_size])
        return matmul_rates(self.pipeline().model.model, 2 * tokens)


def describe(bench: Bench) -> dict[str, Any]:
    """The machine, the texts and the machine's peaks."""
    pipeline = bench.pipeline()
    records, types = bench.data_and_types
    lengths = [len(bench.tokenizer(record.text).input_ids) for record in records]
    device = torch.cuda.get_device_name() if bench.device.startswith("cuda") else processor_name()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(pipeline.model.model.dtype).removeprefix("torch."),
        "bfloat16_instructions": bool(torch.cpu._is_avx512_bf16_supported()),
        "parameters": count_parameters(pipeline.model.model),
        "texts": {"source": _name(bench.data), "per_turn": bench.texts, "rounds": bench.rounds},
        "tokens_per_text": Spread.of([float(length) for length in lengths]).to_dict(),
        "types": len(types),
        "prompt_tokens": bench.prompt_length(pipeline, types),
        "operations_per_second": bench.matmul_rates(),
    }


def _name(data: str | Path | None) -> str:
    return "generated" if data is None else f"{Path(data).absolute().parent.name}/{data_name(data)}"


def processor_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
