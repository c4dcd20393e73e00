"""Measuring: systems that take turns, medians and quartiles, memory, operations, peaks.

Machines are noisy, so systems are compared only by their ratios within the turns of one run.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from ...reading_jpt import READING_MODES


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def to_dict(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


def take_turns(
    jobs: Mapping[Any, Callable[[int], float | None]], rounds: int, show_progress: bool = True
) -> dict[Any, list[float]]:
    """
    Seconds of each job in each round. Each job runs once per round, in reversed order in every second one.

    Args:
        jobs (`Mapping[str, Callable]`):
            Called with the number of the round. A job that returns a number replaces the measured seconds by it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    with tqdm(total=rounds * len(jobs), unit="turn", disable=None if show_progress else True) as progress:
        for number in range(rounds):
            order = list(jobs) if number % 2 == 0 else list(jobs)[::-1]
            for name in order:
                progress.set_postfix_str(name)
                began = time.perf_counter()
                simulated = jobs[name](number)
                elapsed = time.perf_counter() - began
                seconds[name].append(elapsed if simulated is None else simulated)
                progress.update()
    return seconds


def ratios(slower: Sequence[float], faster: Sequence[float]) -> Spread:
    """Ratio of the times, turn by turn."""
    return Spread.of([one / other for one, other in zip(slower, faster, strict=True)])


class PeakMemory:
    """
    The peak of memory since `start`, above the memory in use then, in bytes; `None` if the system does not report it.

    Args:
        device (`str`): `"cpu"` counts the process's resident memory (Linux), `"cuda"` what PyTorch has allocated.
        process_id (`int`, *optional*): Another process, instead of this one.
    """

    def __init__(self, device: str, process_id: int | None = None):
        self._cuda = device.startswith("cuda") and process_id is None
        self._folder = Path("/proc") / ("self" if process_id is None else str(process_id))
        self._before: int | None = None

    def start(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return
        with contextlib.suppress(OSError):
            (self._folder / "clear_refs").write_text("5")  # resets the peak to what is resident now
            self._before = self._read("VmRSS")

    def above(self) -> int | None:
        if self._before is None:
            return None
        peak = torch.cuda.max_memory_allocated() if self._cuda else self._read("VmHWM")
        return max(peak - self._before, 0)

    def _read(self, field: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


class Stopwatch:
    """Seconds that a JPT pipeline spends in the classifier and in decoding its scores, while entered."""

    def __init__(self, pipeline):
        self.seconds = 0.0
        self._pipeline, self._decode = pipeline, pipeline.postprocess
        self._hooks: list = []
        self._began = 0.0

    def _start(self, *_) -> None:
        self._began = time.perf_counter()

    def _stop(self, *_) -> None:
        self.seconds += time.perf_counter() - self._began

    def _timed(self, *args, **kwargs):
        self._start()
        found = self._decode(*args, **kwargs)
        self._stop()
        return found

    def __enter__(self):
        head = self._pipeline.model.head
        self._hooks = [head.register_forward_pre_hook(self._start), head.register_forward_hook(self._stop)]
        self._pipeline.postprocess = self._timed
        return self

    def __exit__(self, *_) -> None:
        for hook in self._hooks:
            hook.remove()
        del self._pipeline.postprocess


@contextlib.contextmanager
def rested(device: str) -> Iterator[None]:
    """Waits for pending work of a GPU, before and after."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    yield
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def operations_per_second(job: Callable[[], None], operations: float, device: str, repeats: int = 7) -> float:
    """The best of several runs: what an otherwise idle machine can do."""
    job()
    best = float("inf")
    for _ in range(repeats):
        with rested(device):
            began = time.perf_counter()
            job()
        best = min(best, time.perf_counter() - began)
    return operations / best


@torch.inference_mode()
def matmul_rates(backbone: nn.Module, tokens: int) -> dict[str, float]:
    """
    Floating-point operations per second of PyTorch's matrix product, in the backbone's number format.

    Returns:
        `square`: the best of square products. `layers`: of the backbone's own linear layers, one after another, on
        `tokens` rows, with nothing between them.
    """
    device, dtype = str(backbone.device), backbone.dtype
    square = []
    for size in (1024, 2048, 4096) if device == "cpu" else (4096, 8192):
        one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        square.append(operations_per_second(partial(torch.matmul, one, other), 2 * size**3, device))
    layers = [module for module in backbone.layers.modules() if isinstance(module, nn.Linear)]
    rows = {size: torch.randn(tokens, size, device=device, dtype=dtype) for size in {m.in_features for m in layers}}

    def through() -> None:
        for layer in layers:
            layer(rows[layer.in_features])

    work = 2 * tokens * sum(layer.weight.numel() for layer in layers)
    return {"square": max(square), "layers": operations_per_second(through, work, device)}


def reading_operations(model, prompt: int, text: int) -> float:
    """
    Floating-point operations to read a text of `text` tokens behind a kept prompt of `prompt` tokens, in the model's
    default reading: two for each weight of a linear layer and token, and four for each query, key and dimension of each
    head. In the last layer only the tokens of the last copy count. Whatever is not a matrix product (norms, rotations)
    is not counted.
    """
    backbone = model.model
    laid_out = model.text_cost(text)
    depth = len(backbone.layers)
    weights = sum(m.weight.numel() for m in backbone.layers.modules() if isinstance(m, nn.Linear)) / depth
    text_config = backbone.config
    size = getattr(text_config, "head_dim", None) or text_config.hidden_size // text_config.num_attention_heads
    width = text_config.num_attention_heads * size
    pairs = laid_out * prompt + _seen_pairs(model, laid_out, laid_out)
    pairs_of_last = text * prompt + _seen_pairs(model, text, laid_out)
    linear = 2 * weights * (laid_out * (depth - 1) + text)
    return linear + 4 * width * (pairs * (depth - 1) + pairs_of_last)


def _seen_pairs(model, queries: int, keys: int) -> float:
    """How many keys the last `queries` of `keys` tokens see in all: every one in an open text, else those before it."""
    if READING_MODES[model.config.readings[0]].open:
        return queries * keys
    return queries * (keys - queries) + queries * (queries + 1) / 2
