"""`jpt-ner bench`: measures systems side by side, and says how near JPT comes to what the machine can do.

Sections, each a function from a `Bench` to a dict for the report: `compare` (all systems), `definitions` (what long
definitions cost), `curves` (text length, types, definitions, batch size), `precision` (number formats, speed and F1), `profile` (where the time goes),
`full` (a large backbone of random weights on the load of the paper's Table 3). `speed_report` writes them down.
"""

import copy
import dataclasses
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from ...inputs_jpt import build_prompt
from ...modeling_jpt import JPTForTokenClassification
from ..evaluation.evaluate import evaluate
from ..files.opening import data_name
from .measuring import PeakMemory, Spread, Stopwatch, matmul_rates, ratios, reading_operations, take_turns
from .speed_report import write
from .systems import SHAPES, SYSTEMS, GLiNER, build_systems, count_parameters, random_model
from .texts import SHORT_TYPES, TYPES, bench_records, bench_types, generate_records

FULL_TEXTS, FULL_WORDS = 651, (22, 62)  # CrossNER-Politics test: 651 sentences of 42.4 words


@dataclass
class Bench:
    """
    What is measured, and with what.

    Args:
        model (`str`): Folder or Hub id of a JPT model.
        device (`str`): Such as `cpu` or `cuda`.
        data (`str`, *optional*): A file of labelled records. Generated sentences if none.
        texts (`int`): Texts in one turn of a system.
        rounds (`int`): Turns of each system, each on other texts.
        batch_size (`int`): Texts that are read together where a system can.
        systems (`Sequence[str]`): From `systems.SYSTEMS`.
        shape (`str`): The backbone of the section `full`, from `SHAPES`.
        full_texts (`int`): Texts of that section.
    """

    model: str
    device: str = "cpu"
    data: str | Path | None = None
    texts: int = 16
    rounds: int = 7
    batch_size: int = 16
    systems: Sequence[str] = SYSTEMS
    shape: str = "tiny"
    full_texts: int = FULL_TEXTS
    _pipeline: Any = None

    @property
    def tokenizer(self):
        return self.pipeline().tokenizer

    @cached_property
    def data_and_types(self):
        return bench_records(self.data, self.texts * self.rounds)

    def pipeline(self):
        """The model as it is loaded by default."""
        if self._pipeline is None:
            self._pipeline = self.new_pipeline("auto")
        return self._pipeline

    def new_pipeline(self, dtype: str):
        model = JPTForTokenClassification.from_pretrained(self.model, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(self.model, config=model.config)
        return model.as_pipeline(tokenizer, device=self.device)

    def turn(self, number: int) -> list:
        records, _ = self.data_and_types
        return records[number * self.texts : (number + 1) * self.texts]

    def prompt_length(self, pipeline, types) -> int:
        template = pipeline.model.config.prompt_template
        return len(build_prompt(pipeline.tokenizer, list(types), list(types.values()), template).input_ids)

    def operations(self, pipeline, records, types) -> float:
        """Of the backbone, for all records, the prompt being kept."""
        prompt = self.prompt_length(pipeline, types)
        lengths = [len(pipeline.tokenizer(record.text, add_special_tokens=False).input_ids) for record in records]
        return sum(reading_operations(pipeline.model, prompt, length) for length in lengths)


def describe(bench: Bench) -> dict[str, Any]:
    """The machine, the texts and the machine's peaks."""
    pipeline = bench.pipeline()
    records, types = bench.data_and_types
    lengths = [len(bench.tokenizer(record.text).input_ids) for record in records]
    device = torch.cuda.get_device_name() if bench.device.startswith("cuda") else _processor()
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
        "operations_per_second": _rates(bench),
    }


def _name(data: str | Path | None) -> str:
    return "generated" if data is None else f"{Path(data).absolute().parent.name}/{data_name(data)}"


def _rates(bench: Bench) -> dict[str, float]:
    records, _ = bench.data_and_types
    tokens = sum(len(bench.tokenizer(record.text).input_ids) for record in records[: bench.batch_size])
    return matmul_rates(bench.pipeline().model.model, 2 * tokens)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def compare(bench: Bench) -> dict[str, Any]:
    """All systems on the same texts and types."""
    _, types = bench.data_and_types
    built = build_systems(bench.systems, bench.model, bench.tokenizer, bench.device, bench.batch_size)
    systems = {system.name: system for system in built}
    peaks = {}
    try:
        for name, system in systems.items():
            process = system.process_id if isinstance(system, GLiNER) else None
            system.read(bench.turn(0), types)  # warms up
            memory = PeakMemory(bench.device, process)
            memory.start()
            system.read(bench.turn(0), types)
            peaks[name] = memory.above()
        jobs = {
            name: lambda turn, system=system: system.read(bench.turn(turn), types) for name, system in systems.items()
        }
        seconds = take_turns(jobs, bench.rounds)
    finally:
        for system in systems.values():
            system.close()
    rates = _rates(bench)
    result = {}
    for name, system in systems.items():
        result[name] = {
            **system.parameters,
            "batch_size": system.batch_size,
            "milliseconds_per_text": _per_text(seconds[name], bench.texts),
            "peak_bytes_above_model": peaks[name],
        }
        for other in ("jpt-single", "jpt-batch"):
            if other in seconds:
                result[name][f"times_{other}"] = ratios(seconds[name], seconds[other]).to_dict()
        if name in ("jpt-single", "jpt-batch"):
            result[name]["fraction_of_matmul_rate"] = _fractions(bench, seconds[name], types, rates)
    return result


def _per_text(seconds: Sequence[float], texts: int) -> dict[str, float]:
    return Spread.of([1000 * each / texts for each in seconds]).to_dict()


def _fractions(bench: Bench, seconds, types, rates) -> dict[str, dict]:
    turns = [
        bench.operations(bench.pipeline(), bench.turn(number), types) / each for number, each in enumerate(seconds)
    ]
    return {name: Spread.of([turn / rate for turn in turns]).to_dict() for name, rate in rates.items()}


def definitions(bench: Bench) -> dict[str, Any]:
    """The same texts under three types with short definitions, and under seventeen with long ones; prompts kept."""
    pipeline = bench.pipeline()
    kinds = {"3 short": SHORT_TYPES, "17 long": TYPES}
    ways = {"batch": bench.batch_size, "one by one": 1}
    besides = {(kind, way): [] for kind in kinds for way in ways}

    def job(kind: str, way: str) -> Callable[[int], None]:
        def read(turn: int) -> None:
            with Stopwatch(pipeline) as watch:
                _read(pipeline, bench.turn(turn), kinds[kind], ways[way])
            besides[kind, way].append(watch.seconds)

        return read

    jobs = {key: job(*key) for key in besides}
    for each in jobs.values():
        each(0)
    for found in besides.values():
        found.clear()
    seconds = take_turns(jobs, bench.rounds)
    result = {}
    for way in ways:
        short, long = (seconds[kind, way] for kind in kinds)
        without = [[one - other for one, other in zip(seconds[k, way], besides[k, way], strict=True)] for k in kinds]
        result[way] = {
            "milliseconds_per_text": {kind: _per_text(seconds[kind, way], bench.texts) for kind in kinds},
            "times_3_short": ratios(long, short).to_dict(),
            "times_3_short_without_classifier": ratios(without[1], without[0]).to_dict(),
        }
    return {
        **result,
        "prompt_tokens": {kind: bench.prompt_length(pipeline, types) for kind, types in kinds.items()},
        "operations_times_3_short": bench.operations(pipeline, bench.turn(0), TYPES)
        / bench.operations(pipeline, bench.turn(0), SHORT_TYPES),
    }


def curves(bench: Bench) -> dict[str, Any]:
    """Texts per second of the batch path against text length, number of types, definition length and batch size."""
    pipeline = bench.pipeline()
    nine = bench_types(9)
    rates = _rates(bench)
    usual = generate_records(bench.texts)
    settings: dict[str, dict[float, tuple]] = {
        "words per text": {
            length: (generate_records(bench.texts, (length, length)), nine, bench.batch_size)
            for length in (10, 20, 40, 80, 160, 320)
        },
        "types": {count: (usual, bench_types(count), bench.batch_size) for count in (1, 3, 9, 17)},
        "words per definition": {
            length: (usual, {name: _of_length(text, length) for name, text in nine.items()}, bench.batch_size)
            for length in (5, 15, 30, 60)
        },
        "texts per batch": {size: (usual, nine, size) for size in (1, 2, 4, 8, 16, 32)},
    }
    result: dict[str, Any] = {}
    for axis, points in settings.items():
        jobs = {str(value): lambda turn, point=point: _read(pipeline, *point) for value, point in points.items()}
        peaks = {}
        for name, job in jobs.items():
            job(0)
            memory = PeakMemory(bench.device)
            memory.start()
            job(0)
            peaks[name] = memory.above()
        seconds = take_turns(jobs, bench.rounds)
        result[axis] = [
            {
                "value": value,
                "texts_per_second": Spread.of([bench.texts / each for each in seconds[str(value)]]).to_dict(),
                "tokens_per_text": sum(len(bench.tokenizer(r.text).input_ids) for r in records) / len(records),
                "prompt_tokens": bench.prompt_length(pipeline, types),
                "peak_bytes_above_model": peaks[str(value)],
                "fraction_of_matmul_rate": {
                    name: Spread.of(
                        [bench.operations(pipeline, records, types) / each / rate for each in seconds[str(value)]]
                    ).to_dict()
                    for name, rate in rates.items()
                },
            }
            for value, (records, types, _) in points.items()
        ]
    return result


def _of_length(definition: str, words: int) -> str:
    given = definition.split()
    return " ".join((given * (words // len(given) + 1))[:words])


def precision(bench: Bench) -> dict[str, Any]:
    """Number formats and compilation: what they cost to prepare, time per text, and strict F1 on the same records."""
    records, types = bench.data_and_types
    labelled = [dataclasses.replace(record, types=record.types or types) for record in records]
    result: dict[str, Any] = {"default": str(bench.pipeline().model.model.dtype).removeprefix("torch.")}
    result |= {"texts": len(labelled), "variants": {}}
    jobs, pipelines = {}, {}
    for name, prepare in VARIANTS.items():
        try:
            pipeline = prepare(bench)
            pipeline(labelled[0].text, entity_types=types)
        except Exception as error:  # whatever a compiler or a library of someone else's may raise
            result["variants"][name] = {"unavailable": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        began = time.perf_counter()
        for size in (bench.batch_size, 1):
            _read(pipeline, bench.turn(0), types, size)
        pipelines[name] = pipeline, time.perf_counter() - began
        jobs[name, "batch"] = lambda turn, pipeline=pipeline: _read(
            pipeline, bench.turn(turn), types, bench.batch_size
        )
        jobs[name, "one by one"] = lambda turn, pipeline=pipeline: _read(pipeline, bench.turn(turn), types, 1)
    seconds = take_turns(jobs, bench.rounds)
    for name, (pipeline, first) in pipelines.items():
        result["variants"][name] = {
            "first_turns_seconds": first,
            "milliseconds_per_text": {
                way: _per_text(seconds[name, way], bench.texts) for way in ("batch", "one by one")
            },
            "strict_f1": evaluate(pipeline, labelled)[0].strict.f1,
        }
    return result


def _compiled(bench: Bench, dtype: str):
    pipeline = bench.new_pipeline(dtype)
    for layer in pipeline.model.model.layers:
        layer.compile(dynamic=True)
    return pipeline


def _quantized(bench: Bench, dtype: str, kind: str):
    from torchao import quantization

    pipeline = bench.new_pipeline(dtype)
    quantization.quantize_(pipeline.model.model.layers, getattr(quantization, kind)())
    return pipeline


VARIANTS: dict[str, Callable[[Bench], Any]] = {
    "float32": lambda bench: bench.new_pipeline("float32"),
    "bfloat16": lambda bench: bench.new_pipeline("bfloat16"),
    "float32, layers compiled": lambda bench: _compiled(bench, "float32"),
    "bfloat16, layers compiled": lambda bench: _compiled(bench, "bfloat16"),
    "int8 weights (torchao)": lambda bench: _quantized(bench, "bfloat16", "Int8WeightOnlyConfig"),
    "int8 (torchao)": lambda bench: _quantized(bench, "float32", "Int8DynamicActivationInt8WeightConfig"),
}


GROUPS = {
    "matrix products": ("_linear_pointwise", "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "int_mm"),
    "attention": ("scaled_dot_product", "flash_attention"),
    "copies": ("aten::copy_", "aten::cat", "aten::roll", "aten::index", "aten::gather"),
}


def profile(bench: Bench) -> dict[str, Any]:
    """Where the time goes, by groups of PyTorch's operations: shares of the time of one turn, in percent."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    pipeline = bench.pipeline()
    records, types = bench.turn(0), bench.data_and_types[1]
    cuda = bench.device.startswith("cuda")
    result = {}
    for way, size in (("batch", bench.batch_size), ("one by one", 1)):
        _read(pipeline, records, types, size)
        with record(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as recorded:
            began = time.perf_counter()
            _read(pipeline, records, types, size)
            whole = time.perf_counter() - began
        shares = dict.fromkeys([*GROUPS, "other operations"], 0.0)
        for each in recorded.key_averages():
            group = next(
                (name for name, keys in GROUPS.items() if any(k in each.key for k in keys)), "other operations"
            )
            microseconds = each.self_device_time_total if cuda else each.self_cpu_time_total
            shares[group] += microseconds / 1e4 / whole
        shares["between operations"] = max(0.0, 100 - sum(shares.values()))
        result[way] = shares
    return result


def full(bench: Bench) -> dict[str, Any]:
    """A backbone of the given shape with random weights on sentences like CrossNER-Politics' test set, nine types."""
    config = copy.deepcopy(bench.pipeline().model.config)
    shipped = bench.pipeline()
    dtype = torch.bfloat16 if bench.device.startswith("cuda") else shipped.model.model.dtype
    model = random_model(config, bench.shape, bench.device, dtype)
    pipeline = model.as_pipeline(bench.tokenizer, device=bench.device, definition_encoder=shipped.definition_encoder)
    records, types = generate_records(bench.full_texts, FULL_WORDS), bench_types(9)
    tokens = sum(len(bench.tokenizer(record.text).input_ids) for record in records)
    operations = bench.operations(pipeline, records, types)
    rates = matmul_rates(model.model, 4096)
    ways = {"batch 1, prompt read again": 1, "batch 1, prompt kept": 1, "packed": bench.batch_size}
    result: dict[str, Any] = {"shape": bench.shape, **count_parameters(model.model), "texts": len(records)}
    result |= {"tokens": tokens, "operations_per_second": rates, "ways": {}}
    for way, batch_size in ways.items():
        attention = "sdpa" if way.endswith("again") else "jpt_packed"
        model.model.set_attn_implementation(attention)
        _read(pipeline, records[:batch_size], types, batch_size)
        memory = PeakMemory(bench.device)
        memory.start()
        seconds = take_turns({way: lambda turn, size=batch_size: _read(pipeline, records, types, size)}, 1)[way][0]
        result["ways"][way] = {
            "seconds": seconds,
            "text_tokens_per_second": tokens / seconds,
            "peak_bytes_above_model": memory.above(),
        }
        if attention == "jpt_packed":
            result["ways"][way]["fraction_of_matmul_rate"] = {
                name: operations / seconds / rate for name, rate in rates.items()
            }
    return result


def _read(pipeline, records, types, batch_size: int) -> None:
    if batch_size == 1:
        for record in records:
            pipeline(record.text, entity_types=types)
    else:
        pipeline([record.text for record in records], entity_types=types, batch_size=batch_size)


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "compare": compare,
    "definitions": definitions,
    "curves": curves,
    "precision": precision,
    "profile": profile,
    "full": full,
}


def measure(
    model: str,
    output: str | Path,
    *,
    sections: Sequence[str] | None = None,
    systems: Sequence[str] | None = None,
    full_texts: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    **options,
) -> list[Path]:
    """
    Measures and writes the report. Sections in a report of that name which are not measured now are kept.

    Args:
        model (`str`): Folder or Hub id of a JPT model.
        output (`str` or `Path`): Name of the report, without suffix.
        sections (`Sequence[str]`, *optional*): From `SECTIONS`. All by default.
        systems, full_texts, options (*optional*): Values of [`Bench`].
        threads (`int`, *optional*): Of PyTorch.

    Returns:
        The files that were written.

    Raises:
        ValueError: If a value is not as described.
    """
    sections = list(SECTIONS) if sections is None else sections
    for kind, given, known in (("section", sections, SECTIONS), ("system", systems or (), SYSTEMS)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"unknown {kind} {unknown[0]!r}; there are: {', '.join(known)}")
    if options.get("shape", "tiny") not in SHAPES:
        raise ValueError(f"`backbone_shape` must be one of {', '.join(SHAPES)}, got {options['shape']!r}")
    if threads is not None:
        torch.set_num_threads(threads)
    logging.disable_progress_bar()
    bench = Bench(
        model,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        systems=systems or SYSTEMS,
        full_texts=full_texts or FULL_TEXTS,
        **options,
    )
    machine = describe(bench)
    files: list[Path] = []
    for name in sections:  # written one by one: what was measured is not lost
        files += write({"machine": machine, name: SECTIONS[name](bench)}, output)
    return list(dict.fromkeys(files))
