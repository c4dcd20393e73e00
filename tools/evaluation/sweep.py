"""The work of `jpt-ner sweep`: labelled files and settings of the decoder in, F1 under each combination out.

Texts are read once for each way of reading; all other settings only change how the probabilities are decoded.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...configuration_jpt import READINGS, JPTConfig
from ...entities_jpt import Reading, find_entities
from ..data.records import Record
from ..tables import markdown_table, percent, write_json_and_markdown
from .calibration import Temperatures, with_temperatures
from .evaluate import load_datasets, read_texts, score_predictions

Setting = Mapping[str, Any]

# What can be tried without training: words, and numbers with their limits.
CHOICES = {
    "prompt_types": ("definitions", "names"),
    "embedded_types": ("definitions", "names", "both"),
    "reading": (*READINGS, "auto"),
    "begin_head": ("true", "false"),
    "decoder": ("word", "token"),
}
NUMBERS = {
    "auto_confidence": (0.0, 1.0),
    "outside_bias": (-100.0, 100.0),
    "switch_cost": (0.0, 100.0),
    "softmax_temperature": (0.01, 100.0),
    "sigmoid_temperature": (0.01, 100.0),
}
SETTINGS = (*CHOICES, *NUMBERS)
# The others only change how probabilities are decoded.
_OF_READING = ("prompt_types", "embedded_types", "reading", "auto_confidence")


def parse_settings(given: Sequence[str]) -> dict[str, list[Any]]:
    """
    The values to try, by setting.

    Args:
        given (`Sequence[str]`): Each `NAME=VALUE,VALUE...`.

    Raises:
        ValueError: If a setting does not exist or is named twice, or a value is not one of it.
    """
    settings: dict[str, list[Any]] = {}
    for each in given:
        name, _, values = each.partition("=")
        if name not in SETTINGS or not values:
            raise ValueError(f"--set: expected NAME=VALUE,VALUE with one of {', '.join(SETTINGS)}, got {each!r}")
        if name in settings:
            raise ValueError(f"--set: {name} is given twice")
        try:
            settings[name] = list(dict.fromkeys(_value(name, value.strip()) for value in values.split(",")))
        except ValueError as error:
            raise ValueError(f"--set: expected {error} as {name}, got {values!r}") from None
    return settings


def _value(name: str, text: str) -> Any:
    if name in CHOICES:
        if text not in CHOICES[name]:
            raise ValueError(f"one of {', '.join(CHOICES[name])}")
        return text == "true" if name == "begin_head" else text
    low, high = NUMBERS[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"a number from {low:g} to {high:g}")
    return value


@dataclass
class Trial:
    """
    One combination of settings.

    Args:
        setting (`dict`): The settings, by name.
        f1 (`dict[str, float]`): Strict span F1, by dataset.
        seconds (`float`): Time that reading all texts took.
    """

    setting: dict[str, Any]
    f1: dict[str, float]
    seconds: float

    @property
    def mean(self) -> float:
        return sum(self.f1.values()) / len(self.f1)


@dataclass
class Sweep:
    """
    Args:
        settings (`dict[str, list]`): What was tried, by name.
        trials (`list[Trial]`): All combinations.
        present (`dict`): What the model's configuration has for these settings; `None` for the pipeline's default.
    """

    settings: dict[str, list[Any]]
    present: dict[str, Any]
    trials: list[Trial] = field(default_factory=list)

    @property
    def best(self) -> Trial:
        """The combination with the highest mean F1."""
        return max(self.trials, key=lambda trial: trial.mean)


def sweep(pipeline: Any, data: Sequence[str | Path], settings: Mapping[str, Sequence[Any]], **loading) -> Sweep:
    """
    Scores a JPT pipeline under every combination of settings.

    Args:
        pipeline (`JPTPipeline`): The model. Its configuration is as before afterwards.
        data (`Sequence`): Files of labelled records. Use development sets: what is chosen on them must not be reported on
            them.
        settings (`Mapping[str, Sequence]`): Values of each of the `SETTINGS`, as from [`parse_settings`].
        loading: Further options of `evaluate.load_datasets`.

    Raises:
        ValueError: If the data cannot be used, nothing is to be tried, or the model cannot read in a way that is asked for.
    """
    if not settings:
        raise ValueError(f"`settings` must name at least one of {', '.join(SETTINGS)}")
    datasets = load_datasets(data, **loading)
    if not hasattr(pipeline, "read"):
        raise ValueError("this needs the token probabilities of a JPT model, which a generative system does not have")
    config = pipeline.jpt.config
    present = {name: getattr(config, name, None) for name in settings}
    present |= {"reading": config.readings[0]} if "reading" in settings else {}
    present |= {"decoder": "word"} if "decoder" in settings else {}
    result = Sweep({name: list(values) for name, values in settings.items()}, present)
    decoding = {name: values for name, values in settings.items() if name not in _OF_READING}
    for how in _combinations({name: settings[name] for name in _OF_READING if name in settings}):
        readings, seconds = _read(pipeline, datasets, how)
        for what in _combinations(decoding):
            decode = _decoder(config, what)
            f1 = {
                name: score_predictions(records, [*map(decode, readings[name])]).strict.f1
                for name, records in datasets.items()
            }
            result.trials.append(Trial({name: {**how, **what}[name] for name in settings}, f1, seconds))
    return result


def _combinations(settings: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*settings.values()):
        yield dict(zip(settings, values, strict=True))


def _read(pipeline: Any, datasets: Mapping[str, list[Record]], how: Setting) -> tuple[dict[str, list[Reading]], float]:
    """All texts, read in one way, and the seconds that it took once the prompts had been read."""
    config = pipeline.jpt.config
    options = {"reading": how["reading"]} if "reading" in how else {}
    present = {name: getattr(config, name) for name in how.keys() - options.keys()}
    try:
        _configure(pipeline, {name: how[name] for name in present})
        for records in datasets.values():
            read_texts(pipeline, records[:1], **options)
        begin = time.perf_counter()
        readings = {name: read_texts(pipeline, each, show_progress=True, **options) for name, each in datasets.items()}
        return readings, time.perf_counter() - begin
    finally:
        _configure(pipeline, present)


def _configure(pipeline: Any, values: Setting) -> None:
    for name, value in values.items():
        setattr(pipeline.jpt.config, name, value)
    pipeline.clear_cache()


def _decoder(config: JPTConfig, what: Setting) -> Callable[[Reading], list[dict[str, Any]]]:
    """The entities of a text that was read, under other settings than those of the configuration."""
    changed = copy.copy(config)
    for name in what.keys() - {"begin_head", "decoder"}:
        setattr(changed, name, what[name])
    temperatures = Temperatures(
        changed.softmax_temperature / config.softmax_temperature,
        changed.sigmoid_temperature / config.sigmoid_temperature,
    )

    def decode(reading: Reading) -> list[dict[str, Any]]:
        if temperatures != Temperatures():
            reading = with_temperatures(reading, temperatures)
        if not what.get("begin_head", True):
            reading = replace(reading, begin=None)
        return find_entities(reading, changed, decoder=what.get("decoder", "word"))

    return decode


def sweep_table(result: Sweep) -> str:
    """
    A Markdown table: a row for each combination with its settings, F1 by dataset, their mean and, if there are several ways
    of reading, its time. The best mean is bold; what the model has is named below.
    """
    datasets = list(result.trials[0].f1)
    timed = any(name in result.settings for name in _OF_READING)
    head = [*result.settings, *datasets, "mean", *(["seconds", "speed"] if timed else [])]
    first, best = result.trials[0], result.best
    rows = []
    for trial in result.trials:
        mean = percent(trial.mean)
        row = [*map(_shown, trial.setting.values()), *map(percent, trial.f1.values())]
        row.append(f"**{mean}**" if trial is best else mean)
        if timed:
            row += [f"{trial.seconds:.1f}", f"{first.seconds / trial.seconds:.2f}"]
        rows.append(row)
    present = ", ".join(f"`{name}` {_shown(value)}" for name, value in result.present.items())
    return f"{markdown_table(head, rows, align_right=True)}\n\nStrict span F1 in percent. The model has {present}."


def write_sweep(result: Sweep, output: str | Path, about: Mapping[str, Any]) -> list[Path]:
    """
    Writes `output.json` and `output.md`; if one number was tried at several values and matplotlib is installed, also the
    curve `output.png`.

    Returns:
        `list[Path]`: The files.
    """
    document = {
        **about,
        "present": result.present,
        "trials": [{**vars(trial), "mean": trial.mean} for trial in result.trials],
    }
    written = write_json_and_markdown(output, document, f"# Settings compared\n\n{sweep_table(result)}\n")
    if len(result.settings) == 1 and all(
        type(value) is float for (values,) in [result.settings.values()] for value in values
    ):
        picture = written[0].with_suffix(".png")
        try:
            _plot(result, picture)
        except ImportError:
            return written
        written.append(picture)
    return written


def _plot(result: Sweep, path: Path) -> None:
    from matplotlib.figure import Figure

    ((name, values),) = result.settings.items()
    trials = sorted(result.trials, key=lambda trial: trial.setting[name])
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for dataset in trials[0].f1:
        axes.plot(
            sorted(values), [100 * trial.f1[dataset] for trial in trials], marker=".", linewidth=1, label=dataset
        )
    axes.plot(sorted(values), [100 * trial.mean for trial in trials], "k", marker="o", linewidth=2, label="mean")
    axes.axvline(result.present[name], color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel=name, ylabel="strict span F1, %")
    axes.legend(fontsize="small")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
