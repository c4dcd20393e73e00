"""`jpt-ner compare`: JPT and the generative systems side by side: F1, latency, generated tokens and failures, from one run.

Every text goes through every system, one after the other in changing order, so that other load on the machine affects all
of them alike. Measurements are logged text by text, so that a stopped run resumes.
"""

import dataclasses
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ...generative.chat_prompts import CHAT_WORDINGS
from ...generative.configuration_generative import GenerativeConfig
from ...generative.formats import GENERATIVE_SYSTEMS
from ...generative.loading import load_pipeline, read_settings
from ...generative.pipeline_generative import GenerativePipeline
from ..data.records import Record
from ..loading import about_model
from ..resumable_log import ResumableLog, digest
from .measuring import take_turns
from .systems import GenerativeSystem, JPTSystem, System, SystemOutput

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
        output (`SystemOutput`): Its output in the first of them.
    """

    seconds: list[float]
    output: SystemOutput


@dataclass
class MeasuredText:
    """
    One text read by all systems.

    Args:
        dataset (`str`): Name of the dataset.
        number (`int`): Of the record in it.
        text (`str`): The text.
        types (`int`): Number of candidate types.
        gold (`list`): `[start, end, label]` of the gold entities of these types.
        systems (`dict[str, Measurement]`): By name of the system.
    """

    dataset: str
    number: int
    text: str
    types: int
    gold: list
    systems: dict[str, Measurement]


@dataclass
class SystemComparison:
    """
    All measurements.

    Args:
        about (`dict`): The machine and the settings.
        texts (`list[MeasuredText]`): Every text under all types of its dataset.
        by_types (`list[MeasuredText]`): Some texts under few and under many types.
    """

    about: dict[str, Any]
    texts: list[MeasuredText] = field(default_factory=list)
    by_types: list[MeasuredText] = field(default_factory=list)


def named_folders(named: Sequence[str]) -> dict[str, str]:
    """
    Folders of generative systems by name, from `NAME=FOLDER` each.

    Raises:
        ValueError: If an item is not of this form, or a name is given twice.
    """
    folders: dict[str, str] = {}
    for each in named:
        name, separator, folder = each.partition("=")
        if not (name and separator and folder):
            raise ValueError(f"`--system` must be NAME=FOLDER, got {each!r}")
        if name in folders:
            raise ValueError(f"`--system`: the name {name!r} is given twice")
        folders[name] = folder
    return folders


def load_generative(folders: Mapping[str, str], device: str | None = None) -> dict[str, GenerativePipeline]:
    """
    Pipelines of generative systems, by name.

    Args:
        folders: By name. If a folder does not say what it holds, the name does: one of `formats.GENERATIVE_SYSTEMS`, or one
            of `chat_prompts.CHAT_WORDINGS` for a causal LM that was not trained for it.

    Raises:
        ValueError: If nothing says what a folder holds.
    """
    pipelines: dict[str, GenerativePipeline] = {}
    for name, folder in folders.items():
        settings = read_settings(folder)
        if settings is None and name not in (*GENERATIVE_SYSTEMS, *CHAT_WORDINGS):
            known = ", ".join((*GENERATIVE_SYSTEMS, *CHAT_WORDINGS))
            raise ValueError(f"`--system`: {folder} does not say which system it is; name it one of {known}")
        if settings is None:
            settings = GenerativeConfig(prompt=name) if name in CHAT_WORDINGS else GenerativeConfig(system=name)
        pipelines[name] = load_pipeline(folder, device=device, settings=settings)
    return pipelines


def build_compared(jpt, generative: Mapping[str, GenerativePipeline], gold_output: bool = False) -> dict[str, System]:
    """
    Systems by name: JPT, all variants of the first PaDeLLM, and the others as they are.

    Args:
        jpt ([`JPTPipeline`], *optional*): Left out if `None`.
        generative: Pipelines by name.
        gold_output: Force gold outputs, for the latency of a model that makes no mistakes.
    """
    systems: list[System] = [] if jpt is None else [JPTSystem("jpt", jpt)]
    first = next((name for name, each in generative.items() if each.settings.is_padellm), None)
    for name, pipeline in generative.items():
        if name == first:
            for variant, changes in VARIANTS.items():
                systems.append(GenerativeSystem(variant, pipeline.with_settings(**changes), gold_output))
        else:
            systems.append(GenerativeSystem(name, pipeline, gold_output))
    return {system.name: system for system in systems}


def compare(
    systems: dict[str, System],
    datasets: dict[str, Sequence[Record]],
    *,
    repeats: int = 1,
    by_types: bool = True,
    models: Mapping[str, str] | None = None,
    log: str | Path | None = None,
    about: dict[str, Any] | None = None,
) -> SystemComparison:
    """
    Measures all systems on all records.

    Args:
        datasets: Records by name of their dataset, each with its candidate types.
        repeats (`int`): Number of times each text is read; latencies are means over repetitions, as in the paper.
        by_types (`bool`): Also read some texts under few and under many of their types.
        models (*optional*): Folder or Hub id of each model that takes part, by name; the report identifies them.
        log (*optional*): File that records the measurements, line by line. Resumes if it exists: texts whose content, types
            or gold entities have changed are measured again.
        about (*optional*): Further facts for the report; a log with different ones is refused.

    Raises:
        ValueError: If the log is of another run, such as one of other models, or `models` are missing.
    """
    if log is not None and not models:
        raise ValueError("`models` must name the models if there is a `log`, which other models may not resume from")
    identities = {name: about_model(model) for name, model in (models or {}).items()}
    facts = {"repeats": repeats, "systems": list(systems), "models": identities}
    about = {**machine(systems), **facts, **(about or {})}
    plan = [("texts", name, i, record) for name, records in datasets.items() for i, record in enumerate(records)]
    if by_types:
        plan += [("by_types", *each) for each in _under_some_types(datasets)]
    kept = ResumableLog(log, about)
    done = {line["key"]: _from_line(line) for line in kept.lines}
    comparison = SystemComparison(about)
    warm: set[tuple] = set()
    for turn, (part, name, number, record) in enumerate(tqdm(plan, unit="text", disable=None)):
        key = f"{part} {name} {number} {digest(record.text, list(record.types.items()), _gold(record))}"
        measured = done.get(key)
        if measured is None:
            order = list(systems)[turn % len(systems) :] + list(systems)[: turn % len(systems)]
            measured = _measure({name: systems[name] for name in order}, name, number, record, repeats, warm)
            kept.append({"key": key, **dataclasses.asdict(measured)})
        getattr(comparison, part).append(measured)
    return comparison


def machine(systems: Mapping[str, System]) -> dict[str, Any]:
    """Facts that timings depend on."""
    models = {name: system.model for name, system in systems.items()}
    return {
        "device": sorted({str(model.device) for model in models.values()}),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": {name: str(next(model.parameters()).dtype) for name, model in models.items()},
    }


def _measure(systems: dict[str, System], name, number, record: Record, repeats: int, warm: set) -> MeasuredText:
    results: dict[str, list] = {}

    def job(system: System) -> Callable[[int], float | None]:
        def run(turn: int) -> float | None:
            read = system.read([record])
            results.setdefault(system.name, read)
            return system.latency(read)

        return run

    for system in systems.values():
        # The prompt, which is read once for a set of types, is not part of a text's latency.
        seen = (system.name, tuple(record.types.items()) if system.keeps_prompt else None)
        if seen not in warm:
            warm.add(seen)
            system.read([record])
    seconds = take_turns({each: job(system) for each, system in systems.items()}, repeats, show_progress=False)
    measured = {
        each: Measurement(seconds[each], system.describe(record, results[each][0])) for each, system in systems.items()
    }
    return MeasuredText(name, number, record.text, len(record.types), _gold(record), measured)


def _gold(record: Record) -> list[list]:
    return [[each.start, each.end, each.label] for each in record.entities]


def _from_line(line: dict[str, Any]) -> MeasuredText:
    values = {name: value for name, value in line.items() if name not in ("key", "systems")}
    systems = {
        name: Measurement(each["seconds"], SystemOutput(**each["output"])) for name, each in line["systems"].items()
    }
    return MeasuredText(**values, systems=systems)


def _under_some_types(datasets: dict[str, Sequence[Record]]) -> Iterable[tuple[str, int, Record]]:
    """Some texts of the dataset with the most types, under some of these: those that occur in the text come first."""
    name, records = max(datasets.items(), key=lambda item: max(len(record.types) for record in item[1]))
    with_entities = [i for i, record in enumerate(records) if record.entities]
    for number in sorted(random.Random(0).sample(with_entities, min(TEXTS_PER_TYPE_COUNT, len(with_entities)))):
        record = records[number]
        present = dict.fromkeys(each.label for each in record.entities)
        order = [*present, *(label for label in record.types if label not in present)]
        for count in sorted({min(count, len(order)) for count in TYPE_COUNTS} | {len(order)}):
            types = {label: record.types[label] for label in order[:count]}
            yield name, number, replace(record, types=types, entities=[e for e in record.entities if e.label in types])
