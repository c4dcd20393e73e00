"""Comparison of JPT with the generative systems: F1, latency, generated tokens and failures, from one run.

Every text goes through every system, one after the other in changing order, so that whatever else the machine does
meets all of them alike. What was measured is kept line by line, so that a run that was stopped goes on.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ...generative.configuration_generative import DEDUPLICATION, GenerativeConfig
from ...generative.formats import SYSTEMS
from ...generative.loading import load_pipeline, read_settings
from ...generative.pipeline_generative import GenerativePipeline
from ..data.records import Record
from ..resumable_log import ResumableLog

VARIANTS = {
    "padellm (batch)": {},
    "padellm (multi)": {"mode": "multi"},
    "padellm (batch), no reuse": {"reuse_text": False},
    "padellm (batch), no early quit": {"early_quit": False},
    "padellm (batch), neither": {"reuse_text": False, "early_quit": False},
}
BASELINES = ("autoreg-augmented", "autoreg-structured")
TYPE_COUNTS = (1, 2, 4, 8, 16, 32)
TEXTS_PER_TYPE_COUNT = 12


@dataclass
class Measurement:
    """
    One text read by one system.

    Args:
        seconds (`list[float]`): Latency in each repetition.
        lengths (`list[int]`): Tokens generated in each sequence; none by JPT.
        failures (`dict[str, int]`): Failures by kind.
        found (`dict[str, list]`): `[start, end, label]` of the entities, by rule of de-duplication.
    """

    seconds: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    found: dict[str, list] = field(default_factory=dict)


@dataclass
class Row:
    """
    One text read by all systems.

    Args:
        dataset (`str`): Name of the dataset.
        number (`int`): Of the record in it.
        types (`int`): Number of types asked.
        gold (`list`): `[start, end, label]` of the gold entities among them.
        systems (`dict[str, Measurement]`): By name of the system.
    """

    dataset: str
    number: int
    types: int
    gold: list
    systems: dict[str, Measurement]


@dataclass
class Comparison:
    """
    All that was measured.

    Args:
        about (`dict`): The machine and the settings.
        rows (`list[Row]`): Every text under all types of its dataset.
        by_types (`list[Row]`): Some texts under few and many types.
    """

    about: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    by_types: list[Row] = field(default_factory=list)


class Reader:
    """One system to measure: a pipeline, and whether its outputs are forced to be the gold ones."""

    def __init__(self, pipeline, gold_output: bool = False):
        self.pipeline = pipeline
        self.generative = isinstance(pipeline, GenerativePipeline)
        self.gold_output = gold_output

    def read(self, record: Record) -> tuple[float, Measurement]:
        """Latency in seconds, and the rest of the measurement."""
        began = time.perf_counter()
        if not self.generative:
            entities = self.pipeline({"text": record.text, "entity_types": record.types})
            return time.perf_counter() - began, Measurement(found={"none": _spans(entities)})
        pipeline = self.pipeline
        reading = pipeline.read(record.text, record.types, record.entities if self.gold_output else None)
        entities, failures = pipeline.settle(reading, record.text)
        elapsed = time.perf_counter() - began
        if pipeline.settings.mode == "multi":
            elapsed = reading.seconds  # the time of one device after the other is not that of all at once
        rules = DEDUPLICATION if _is_padellm(pipeline) else ("none",)
        found = {rule: _spans(pipeline.settle(reading, record.text, rule)[0]) for rule in rules}
        return elapsed, Measurement([], reading.lengths, dict(failures), found)


def load_systems(named: Sequence[str], device: str | None = None) -> dict[str, GenerativePipeline]:
    """
    Pipelines of generative systems, by name.

    Args:
        named: `NAME=FOLDER` each. If the folder does not say what it holds, the name does: one of `formats.SYSTEMS`, or
            `chat` for a causal LM that is asked in a chat.

    Raises:
        ValueError: If it is not written so, a name is given twice, or nothing says what a folder holds.
    """
    systems: dict[str, GenerativePipeline] = {}
    for each in named:
        name, separator, folder = each.partition("=")
        if not (name and separator and folder):
            raise ValueError(f"`--system` must be NAME=FOLDER, got {each!r}")
        if name in systems:
            raise ValueError(f"`--system`: the name {name!r} is given twice")
        settings = read_settings(folder)
        if settings is None and name not in (*SYSTEMS, "chat"):
            raise ValueError(
                f"`--system`: {folder} does not say which system it is; name it one of {', '.join(SYSTEMS)}, chat"
            )
        if settings is None:
            settings = GenerativeConfig(prompt="chat") if name == "chat" else GenerativeConfig(system=name)
        systems[name] = load_pipeline(folder, device=device, settings=settings)
    return systems


def build_readers(jpt, generative: dict[str, GenerativePipeline], gold_output: bool = False) -> dict[str, Reader]:
    """
    Systems by name: JPT, all variants of the first PaDeLLM, and the others as they are.

    Args:
        jpt ([`JPTPipeline`], *optional*): Left out if `None`.
        generative: Pipelines by name.
        gold_output: Force gold outputs, for the latency of a model that makes no mistakes.
    """
    readers = {} if jpt is None else {"jpt": Reader(jpt)}
    first = next((name for name, each in generative.items() if _is_padellm(each)), None)
    for name, pipeline in generative.items():
        if name == first:
            for variant, changes in VARIANTS.items():
                readers[variant] = Reader(pipeline.with_settings(**changes), gold_output)
        else:
            readers[name] = Reader(pipeline, gold_output)
    return readers


def compare(
    readers: dict[str, Reader],
    datasets: dict[str, Sequence[Record]],
    *,
    repeats: int = 1,
    by_types: bool = True,
    log: str | Path | None = None,
    about: dict[str, Any] | None = None,
) -> Comparison:
    """
    Measures all systems on all records.

    Args:
        datasets: Records by name of their dataset, each with the types to ask for.
        repeats (`int`): How often each text is read; latencies are means over repetitions, as in the paper.
        by_types (`bool`): Also read some texts under few and many of their types.
        log (*optional*): File of lines to keep what was measured in. Resumes if it exists.
        about (*optional*): Further facts for the report; a log of others is refused.

    Raises:
        ValueError: If the log is of another run.
    """
    about = {**machine(readers), "repeats": repeats, "systems": list(readers), **(about or {})}
    plan = [("rows", name, i, record) for name, records in datasets.items() for i, record in enumerate(records)]
    if by_types:
        plan += [("by_types", *each) for each in _under_some_types(datasets)]
    kept = ResumableLog(log, about)
    done = _logged(kept)
    comparison = Comparison(about)
    warm: set[tuple] = set()
    for place, (part, name, number, record) in enumerate(tqdm(plan, unit="text", disable=None)):
        key = f"{part} {name} {number} {len(record.types)}"
        if key in done:
            row = done[key]
        else:
            row = _measure(readers, name, number, record, repeats, place, warm)
            kept.append({"key": key, **_plain(row)})
        getattr(comparison, part).append(row)
    return comparison


def machine(readers: dict[str, Reader]) -> dict[str, Any]:
    """What timings depend on."""
    models = {name: reader.pipeline.model for name, reader in readers.items()}
    return {
        "device": sorted({str(model.device) for model in models.values()}),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": {name: str(next(model.parameters()).dtype) for name, model in models.items()},
    }


def _measure(readers, name, number, record: Record, repeats: int, place: int, warm: set) -> Row:
    row = Row(name, number, len(record.types), [[e.start, e.end, e.label] for e in record.entities], {})
    order = list(readers)
    order = order[place % len(order) :] + order[: place % len(order)]
    for system in order:
        # What is read once for a set of types, and kept, is no part of a text's latency.
        seen = (system, tuple(record.types.items()) if not readers[system].generative else None)
        if seen not in warm:
            warm.add(seen)
            readers[system].read(record)
    for _ in range(repeats):
        for system in order:
            seconds, measured = readers[system].read(record)
            measurement = row.systems.setdefault(system, measured)
            measurement.seconds.append(seconds)
    return row


def _under_some_types(datasets: dict[str, Sequence[Record]]) -> Iterable[tuple[str, int, Record]]:
    """Some texts of the dataset with most types, asked for some of these: first those that the text has."""
    name, records = max(datasets.items(), key=lambda item: max(len(record.types) for record in item[1]))
    with_entities = [i for i, record in enumerate(records) if record.entities]
    for number in sorted(random.Random(0).sample(with_entities, min(TEXTS_PER_TYPE_COUNT, len(with_entities)))):
        record = records[number]
        present = dict.fromkeys(each.label for each in record.entities)
        order = [*present, *(label for label in record.types if label not in present)]
        for count in sorted({min(count, len(order)) for count in TYPE_COUNTS} | {len(order)}):
            asked = {label: record.types[label] for label in order[:count]}
            yield name, number, replace(record, types=asked, entities=[e for e in record.entities if e.label in asked])


def _is_padellm(pipeline: GenerativePipeline) -> bool:
    return pipeline.settings.system == "padellm" and pipeline.settings.prompt == "trained"


def _spans(entities: list[dict]) -> list:
    return [[each["start"], each["end"], each["entity_group"]] for each in entities]


def _plain(row: Row) -> dict:
    return {**vars(row), "systems": {name: vars(each) for name, each in row.systems.items()}}


def _logged(log: ResumableLog) -> dict[str, Row]:
    """What was measured before, by key."""
    done = {}
    for line in log.lines:
        values = {name: value for name, value in line.items() if name not in ("key", "systems")}
        systems = {name: Measurement(**measured) for name, measured in line["systems"].items()}
        done[line["key"]] = Row(**values, systems=systems)
    return done


def total_failures(rows: Iterable[Row], system: str) -> Counter:
    """Failures of a system by kind."""
    found: Counter = Counter()
    for row in rows:
        found.update(row.systems[system].failures)
    return found
