"""The section `full` of `jpt-ner bench`: a large backbone with random weights under the load of the paper's Table 3.

JPT reads sentences like those of CrossNER-Politics, one by one and packed; the same backbone generates in the formats of the
systems that JPT's paper compares with, gold outputs forced. Time depends on sizes, not on weights.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from ...attention_jpt import PACKED_ATTENTION
from ...flex_jpt import FLEX_ATTENTION
from ..data.records import Record
from .bench import Bench
from .building import random_model
from .forced_generation import ForcedGeneration, causal_lm
from .measuring import PeakMemory, matmul_rates, take_turns
from .systems import JPTSystem, System, count_parameters, parallel_system
from .texts import bench_types, generate_records, with_types

WORDS = (22, 62)  # sentences of 42.4 words on average, as in CrossNER-Politics


def full(bench: Bench) -> dict[str, Any]:
    """A backbone of the bench's shape under nine types: JPT in three ways (on CUDA four), and the backbone generating in four."""
    shipped = bench.pipeline()
    dtype = torch.bfloat16 if bench.device.startswith("cuda") else shipped.model.model.dtype
    model = random_model(copy.deepcopy(shipped.model.config), bench.shape, bench.device, dtype)
    pipeline = model.as_pipeline(bench.tokenizer, device=bench.device, definition_encoder=shipped.definition_encoder)
    records = with_types(generate_records(bench.full_texts, WORDS), bench_types(9))
    sample = records[: bench.generated_texts]
    rates = matmul_rates(model.model, 4096)
    result: dict[str, Any] = {"shape": bench.shape, **count_parameters(model.model), "texts": len(records)}
    result |= {"tokens": _tokens(bench, records), "operations_per_second": rates, "ways": {}}
    result["price_per_hour"] = bench.price_per_hour
    for system, attention in _reading_systems(bench, pipeline):
        model.model.set_attn_implementation(attention)
        way = result["ways"][system.name] = _measure(bench, system, records)
        if attention in (PACKED_ATTENTION, FLEX_ATTENTION):
            operations = bench.operations(pipeline, records)
            way["fraction_of_matmul_rate"] = {name: operations / way["seconds"] / rate for name, rate in rates.items()}
    model.model.set_attn_implementation("sdpa")
    for system in _generating_systems(model.model, bench.tokenizer):
        result["ways"][system.name] = _measure(bench, system, sample)
    return result


def _reading_systems(bench: Bench, pipeline) -> list[tuple[System, str]]:
    """JPT with the attention each way is read with."""
    systems: list[tuple[System, str]] = [
        (JPTSystem("JPT, batch 1, prompt read again", pipeline), "sdpa"),
        (JPTSystem("JPT, batch 1, prompt kept", pipeline), PACKED_ATTENTION),
        (JPTSystem("JPT, packed", pipeline, bench.batch_size), PACKED_ATTENTION),
    ]
    if bench.device.startswith("cuda"):
        systems.append((JPTSystem("JPT, packed, one call a layer", pipeline, bench.batch_size), FLEX_ATTENTION))
    return systems


def _generating_systems(backbone, tokenizer) -> list[System]:
    generating = causal_lm(backbone, tokenizer)
    parallel = parallel_system(generating, tokenizer)
    parallel.name = "every type and mention in parallel (PaDeLLM-NER)"
    return [
        parallel,
        ForcedGeneration("a list of all mentions", generating, tokenizer, "json"),
        ForcedGeneration("one question per type (as UniNER)", generating, tokenizer, "per-type"),
        ForcedGeneration("every word with its tag (as GNER)", generating, tokenizer, "tagged"),
    ]


def _measure(bench: Bench, system: System, records: Sequence[Record]) -> dict[str, Any]:
    system.read(records[: system.batch_size])  # warms up
    memory = PeakMemory(bench.device)
    memory.start()
    seconds = take_turns({system.name: lambda turn: system.latency(system.read(records))}, 1)[system.name][0]
    return {
        "texts": len(records),
        "seconds": seconds,
        "text_tokens_per_second": _tokens(bench, records) / seconds,
        "peak_bytes_above_model": memory.above(),
        "cost_per_million_texts": cost_per_million(seconds / len(records), bench.price_per_hour),
    }


def cost_per_million(seconds_per_text: float, price_per_hour: float | None) -> float | None:
    """What a million texts cost on a machine of this price; `None` without one."""
    return None if price_per_hour is None else seconds_per_text / 3600 * price_per_hour * 1e6


def _tokens(bench: Bench, records: Sequence[Record]) -> int:
    return sum(len(bench.tokenizer(record.text).input_ids) for record in records)
