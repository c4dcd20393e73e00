"""The sections of `jpt-ner bench`, except `full`: each a function from a `Bench` to a dict for the report."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..data.records import Record
from ..evaluation.evaluate import evaluate
from .bench import Bench
from .building import build_systems
from .measuring import PeakMemory, Spread, Stopwatch, ratios, take_turns
from .systems import tag
from .texts import SHORT_TYPES, TYPES, bench_types, generate_records, with_types


def compare_systems(bench: Bench) -> dict[str, Any]:
    """All systems on the same texts and types."""
    built = build_systems(bench.systems, bench.model, bench.tokenizer, bench.device, bench.batch_size)
    systems = {system.name: system for system in built}
    peaks = {}
    try:
        for name, system in systems.items():
            system.read(bench.turn(0))  # warms up
            memory = PeakMemory(bench.device, system.process_id)
            memory.start()
            system.read(bench.turn(0))
            peaks[name] = memory.above()

        def job(name: str) -> Callable[[int], float | None]:
            return lambda turn: systems[name].latency(systems[name].read(bench.turn(turn)))

        seconds = take_turns({name: job(name) for name in systems}, bench.rounds)
    finally:
        for system in systems.values():
            system.close()
    rates = bench.matmul_rates()
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
            result[name]["fraction_of_matmul_rate"] = _fractions(bench, seconds[name], rates)
    return result


def _per_text(seconds: Sequence[float], texts: int) -> dict[str, float]:
    return Spread.of([1000 * each / texts for each in seconds]).to_dict()


def _fractions(bench: Bench, seconds: Sequence[float], rates: dict[str, float]) -> dict[str, dict]:
    turns = [bench.operations(bench.pipeline(), bench.turn(number)) / each for number, each in enumerate(seconds)]
    return {name: Spread.of([turn / rate for turn in turns]).to_dict() for name, rate in rates.items()}


def _read(pipeline, records: Sequence[Record], batch_size: int) -> None:
    """Tags texts and returns nothing: a returned number would replace the measured seconds."""
    tag(pipeline, records, batch_size)


def definitions(bench: Bench) -> dict[str, Any]:
    """The same texts under three types with short definitions and under seventeen with long ones; prompts are kept."""
    pipeline = bench.pipeline()
    kinds = {"3 short": SHORT_TYPES, "17 long": TYPES}
    ways = {"batch": bench.batch_size, "one by one": 1}
    besides = {(kind, way): [] for kind in kinds for way in ways}

    def job(kind: str, way: str) -> Callable[[int], None]:
        def read(turn: int) -> None:
            with Stopwatch(pipeline) as watch:
                _read(pipeline, with_types(bench.turn(turn), kinds[kind]), ways[way])
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
        "operations_times_3_short": bench.operations(pipeline, with_types(bench.turn(0), TYPES))
        / bench.operations(pipeline, with_types(bench.turn(0), SHORT_TYPES)),
    }


def curves(bench: Bench) -> dict[str, Any]:
    """Texts per second of the batch path against text length, number of types, definition length and batch size."""
    rates = bench.matmul_rates()
    result: dict[str, Any] = {}
    for axis, points in _curve_points(bench).items():
        jobs = {
            str(value): lambda turn, point=point: _read(bench.pipeline(), *point) for value, point in points.items()
        }
        peaks = {}
        for name, job in jobs.items():
            job(0)
            memory = PeakMemory(bench.device)
            memory.start()
            job(0)
            peaks[name] = memory.above()
        seconds = take_turns(jobs, bench.rounds)
        result[axis] = [
            _curve_point(bench, value, points[value][0], seconds[str(value)], peaks[str(value)], rates)
            for value in points
        ]
    return result


def _curve_points(bench: Bench) -> dict[str, dict[int, tuple]]:
    """Records and batch size of each point, by axis and value."""
    nine = bench_types(9)
    usual = generate_records(bench.texts)
    return {
        "words per text": {
            length: (with_types(generate_records(bench.texts, (length, length)), nine), bench.batch_size)
            for length in (10, 20, 40, 80, 160, 320)
        },
        "types": {count: (with_types(usual, bench_types(count)), bench.batch_size) for count in (1, 3, 9, 17)},
        "words per definition": {
            length: (
                with_types(usual, {name: _of_length(text, length) for name, text in nine.items()}),
                bench.batch_size,
            )
            for length in (5, 15, 30, 60)
        },
        "texts per batch": {size: (with_types(usual, nine), size) for size in (1, 2, 4, 8, 16, 32)},
    }


def _curve_point(bench: Bench, value, records, seconds: Sequence[float], peak: int | None, rates) -> dict[str, Any]:
    operations = bench.operations(bench.pipeline(), records)
    return {
        "value": value,
        "texts_per_second": Spread.of([bench.texts / each for each in seconds]).to_dict(),
        "tokens_per_text": sum(len(bench.tokenizer(record.text).input_ids) for record in records) / len(records),
        "prompt_tokens": bench.prompt_length(bench.pipeline(), records[0].types),
        "peak_bytes_above_model": peak,
        "fraction_of_matmul_rate": {
            name: Spread.of([operations / each / rate for each in seconds]).to_dict() for name, rate in rates.items()
        },
    }


def _of_length(definition: str, words: int) -> str:
    given = definition.split()
    return " ".join((given * (words // len(given) + 1))[:words])


def precision(bench: Bench) -> dict[str, Any]:
    """Number formats and compilation: cost of preparation, time per text, and strict F1 on the same records."""
    labelled, _ = bench.data_and_types
    result: dict[str, Any] = {"default": str(bench.pipeline().model.model.dtype).removeprefix("torch.")}
    result |= {"texts": len(labelled), "variants": {}}
    jobs, pipelines = {}, {}
    for name, prepare in VARIANTS.items():
        try:
            pipeline = prepare(bench)
            pipeline(labelled[0].text, entity_types=labelled[0].types)
        except Exception as error:  # third-party compilers and libraries raise anything
            result["variants"][name] = {"unavailable": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        began = time.perf_counter()
        for size in (bench.batch_size, 1):
            _read(pipeline, bench.turn(0), size)
        pipelines[name] = pipeline, time.perf_counter() - began
        for way, size in (("batch", bench.batch_size), ("one by one", 1)):
            jobs[name, way] = lambda turn, pipeline=pipeline, size=size: _read(pipeline, bench.turn(turn), size)
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
    """Shares of the time of one turn by groups of PyTorch's operations, in percent; attention by plain products is among those."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    pipeline = bench.pipeline()
    records = bench.turn(0)
    cuda = bench.device.startswith("cuda")
    result = {}
    for way, size in (("batch", bench.batch_size), ("one by one", 1)):
        _read(pipeline, records, size)
        with record(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as recorded:
            began = time.perf_counter()
            _read(pipeline, records, size)
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
