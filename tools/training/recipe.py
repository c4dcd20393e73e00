"""Recipes of training runs: a YAML file in, a checked `Recipe` out. Loads no data and no model."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import TrainingArguments

from ...configuration_jpt import JPTConfig, check_fields
from ...generative.examples import ExampleOptions
from ...generative.formats import GENERATIVE_SYSTEMS
from ...source_jpt import SourceDocument, TreeLoader, shown
from ..loading import HOME
from .sampling import Sampling

TRAINABLE_SYSTEMS = ("jpt", *GENERATIVE_SYSTEMS)
LENGTHS = ("max_steps", "num_train_epochs")  # in `training`, of a run
SAVE_DTYPES = ("bfloat16", "float16", "float32")
PACKAGE = "$PACKAGE"
# A value of `training` that depends on the hardware.
AUTO = "auto"
SECTIONS = {"training": TrainingArguments, "model": JPTConfig, "grow": JPTConfig}  # whose values they hold


@dataclass
class DataSource:
    """
    One file of the mixture.

    Args:
        path (`str`): File of records, relative to the recipe's `data_root`; a pattern stands for many files.
        weight (`float`, *optional*):
            Share of the groups of each file. Defaults to the square root of its number of records, so that records of
            small sets are seen more often.
        types (`str`, *optional*): File of the data set's types, instead of `types.json` beside the records.
        reading (`dict`): How the file is read, if that is not detected: options of `records.iter_records`, such as
            `encoding` and `columns`.
        families (`bool`): Whether the part of a label before its first underscore is a family of types, which may be
            merged into one (`Sampling.coarsened`).
        keep_wording (`bool`): Whether its definitions are always given as they are written, and in the prompt: for sets
            with one text under several schemas, whose definitions alone say what is marked.
        merge_touching (`bool`): Whether adjacent mentions of one type are parts of one (`records.merge_touching`).
        held_out (`int`): Number of records of each file that are left out of training, to be scored on
            (`jpt-ner evaluate --held-out`): always the same ones, and whole documents if the ids name them.

    Raises:
        ValueError: If the weight is not above 0, or fewer than 0 records are to be held out.
    """

    path: str
    weight: float | None = None
    types: str | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    families: bool = False
    keep_wording: bool = False
    merge_touching: bool = False
    held_out: int = 0

    def __post_init__(self):
        if self.held_out < 0:
            raise ValueError(f"held_out: expected a whole number from 0, got {self.held_out!r}")
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ValueError(f"weight: expected a number above 0, got {self.weight!r}")


@dataclass
class Replay:
    """
    Data that a model already knows, mixed in so that it keeps what it knew.

    Args:
        data (`list[DataSource]`): Files like those of the recipe's own data. Their weights say how they share the replay.
        share (`float`): Of all groups, between 0 and 1; the rest is the recipe's own data.

    Raises:
        ValueError: If the share is not between 0 and 1, or there is no data.
    """

    data: list[DataSource] = field(default_factory=list)
    share: float = 0.5

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ValueError(f"share: expected a number between 0 and 1, got {self.share!r}; `replay=null` is without")
        if not self.data:
            raise ValueError("data: name the files to replay; `replay=null` is without")


@dataclass
class EvaluationSet:
    """
    One file that the model is scored on during training.

    Args:
        path (`str`): File of records, relative to `data_root`.
        watch_only (`bool`):
            Leave the set out of the mean that chooses the checkpoint: for sets that show forgetting.
    """

    path: str
    watch_only: bool = False


@dataclass
class EvaluationPlan:
    """
    How the model is scored during training.

    Args:
        data (`list[EvaluationSet]`): What it is scored on, by the zero-shot protocol.
        every (`int`): Updates between evaluations.
        limit (`int`, *optional*): Score a fixed sample of this many records of each set.
        ignore_labels (`list[str]`): Labels to leave out, as those of `jpt-ner evaluate --ignore`.
        at_start (`bool`): Also score the model before its first update.
        best (`bool`): If there is `data`, keep the model with the best mean F1 instead of the last.

    Raises:
        ValueError: If a number is below 1, or there is nothing to choose the best by.
    """

    data: list[EvaluationSet] = field(default_factory=list)
    every: int = 100
    limit: int | None = None
    ignore_labels: list[str] = field(default_factory=lambda: ["misc"])
    at_start: bool = False
    best: bool = False

    def __post_init__(self):
        for key in ("every", "limit"):
            number = getattr(self, key)
            if number is not None and number < 1:
                raise ValueError(f"{key}: expected a whole number from 1, got {number!r}")
        if self.best and self.data and all(each.watch_only for each in self.data):
            raise ValueError("best: there is nothing to choose by; give `data` that is not `watch_only`")


@dataclass
class Recipe:
    """
    Everything a run depends on. In paths `$PACKAGE` stands for the folder of this package, and `~` for the home folder.
    A file may name another one as its `base`, and then gives only the keys that differ, each as a whole.

    Args:
        output_dir (`str`): Folder of checkpoints, logs, curves and the final model.
        data (`list[DataSource]`): The mixture.
        backbone (`str`): Where the backbone comes from.
        replay (`Replay`, *optional*):
            Data mixed with `data` at a share of the groups, so that a `checkpoint` keeps what it knew. Its types do not
            become the model's own. For runs of `max_steps`.
        min_records (`int`): A run with fewer records of its own data is refused, with advice on what works instead.
        checkpoint (`str`): A trained JPT model to start from, instead of a backbone; `$PACKAGE` is the one that ships.
        data_root (`str`): Folder that data paths are relative to.
        model (`dict`): Values of `JPTConfig`, for a model made from a backbone.
        grow (`dict`): Parts added to a `checkpoint`, which leave its scores as they are until they are trained:
            `begin_head` and `lora_rank` as for `JPTForTokenClassification.grow`, and `readings`.
        load_options (`dict`):
            Options of `AutoModel.from_pretrained` for the backbone, such as `dtype` or `quantization_config`.
        sampling (`Sampling`): How groups are made.
        training (`dict`):
            Values of `transformers.TrainingArguments`, among them the run's length: `max_steps`, with sources drawn by
            their weight, or `num_train_epochs`, with every record read once per epoch (and `max_steps` as a limit).
            `bf16` may be `"auto"`: where the hardware has it.
        evaluation (`EvaluationPlan`): How the model is scored during training.
        head_learning_rate (`float`): Learning rate of projections and classifiers; `training.learning_rate` is that
            of the adapters. Defaults to the same.
        compile_blocks (`bool`): Compile the backbone's norms and MLPs with `torch.compile`; pays in runs of hours.
        skip_bad (`bool`): Leave records out that cannot be used, and say which, instead of stopping.
        entity_types: Default types of the pipeline, saved with the model: anything `resolve_schema` takes, or `"data"`
            for all types of the training data.
        save_dtype (`str`):
            Precision of the final checkpoint, one of `SAVE_DTYPES`; adapters and head are trained in float32.
        system (`str`):
            What is trained: `"jpt"`, or one of the generative systems for comparison.
        generative (`ExampleOptions`): How examples of a generative system are written.
    """

    output_dir: str
    data: list[DataSource]
    backbone: str | None = None
    checkpoint: str | None = None
    data_root: str = "."
    model: dict[str, Any] = field(default_factory=dict)
    grow: dict[str, Any] = field(default_factory=dict)
    load_options: dict[str, Any] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)
    head_learning_rate: float | None = None
    compile_blocks: bool = False
    skip_bad: bool = False
    replay: Replay | None = None
    min_records: int = 0
    entity_types: Any = None
    save_dtype: str = "bfloat16"
    system: str = "jpt"
    generative: ExampleOptions = field(default_factory=ExampleOptions)

    @property
    def in_epochs(self) -> bool:
        """Whether every record is read once per epoch, instead of sources being drawn by their weight."""
        return "num_train_epochs" in self.training

    def find(self, path: str) -> Path:
        """The file or pattern that a data path of the recipe stands for."""
        return Path(self.data_root) / expand(path)


class _RecipeLoader(TreeLoader):
    """Reads 1e-4 as a number, which YAML 1.1 does not."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_value(text: str) -> Any:
    """
    Parses a value as in a recipe.

    Raises:
        ValueError: If it is no YAML.
    """
    try:
        return yaml.load(text, _RecipeLoader)
    except Exception:  # tags such as !!timestamp on other texts fail in many ways
        raise ValueError(
            f"{shown(text)} cannot be read as YAML; put quotes around what holds marks such as * or ["
        ) from None


def expand(path: str) -> str:
    """A path with `$PACKAGE` and `~` filled in."""
    if path == PACKAGE or path.startswith(f"{PACKAGE}/"):
        path = str(HOME) + path.removeprefix(PACKAGE)
    return str(Path(path).expanduser())


def load_recipe(path: str | Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """
    Reads a recipe.

    Args:
        path (`str` or `Path`): YAML file.
        overrides (`dict`, *optional*): Values that replace the file's, nested keys joined by dots.

    Raises:
        ValueError: For unknown, missing, repeated or wrong keys and for aliases, naming them, the file and the line.
        FileNotFoundError: If there is no such file.
    """
    places = _Places(path)
    values = _read(Path(path), places)
    for key, value in (overrides or {}).items():
        _override(values, key, value, places)
    _check_start(values, places)
    for key, value in list(values.get("training", {}).items()):
        if value is False and key.endswith("_strategy"):
            values["training"][key] = "no"  # YAML reads `no` as false.
        elif value is None and key in LENGTHS:
            del values["training"][key]  # Unset, in favour of the other kind of length.
    values["data"] = _build_paths(DataSource, values.get("data", []), ("data",), places)
    if values.get("replay") is not None:
        values["replay"] = _build_replay(values["replay"], places)
    values["sampling"] = _build(Sampling, values.get("sampling", {}), ("sampling",), places)
    values["generative"] = _build(ExampleOptions, values.get("generative", {}), ("generative",), places)
    values["evaluation"] = _build_evaluation(values.get("evaluation", {}), places)
    for key in ("output_dir", "data_root", "checkpoint"):
        if isinstance(values.get(key), str):
            values[key] = expand(values[key])
    recipe = _build(Recipe, values, (), places)
    for section, cls in SECTIONS.items():
        given = getattr(recipe, section)
        _check_values(cls, {key: value for key, value in given.items() if value != AUTO}, (section,), places)
    for key, known in (("system", TRAINABLE_SYSTEMS), ("save_dtype", SAVE_DTYPES)):
        if getattr(recipe, key) not in known:
            raise places.error((key,), f"should be one of {', '.join(known)}, got {getattr(recipe, key)!r}")
    lengths = [recipe.training[key] for key in LENGTHS if key in recipe.training]
    if not lengths or min(lengths) <= 0:
        raise places.error(("training",), "`max_steps` or `num_train_epochs` must be given, a number above 0")
    if recipe.replay is not None and recipe.in_epochs:
        raise places.error(
            ("replay",),
            "is drawn by its share, and a run of `training.num_train_epochs` reads every record once; give "
            "`training.max_steps` alone, or `replay=null`",
        )
    return recipe


class _Places:
    """Where the values of a recipe come from: its file, or those that it is based on."""

    def __init__(self, path: str | Path):
        self.path = path
        self.sources: dict[str, SourceDocument] = {}  # by the keys of the recipe; not of those that were overridden

    def error(self, where: tuple, message: str, key: Any = None) -> ValueError:
        """An error about the value with these keys and indices, or about a key in it."""
        message = ": ".join([*(each for each in where if isinstance(each, str)), message])
        place = where if key is None else (*where, key)
        source = self.sources.get(place[0]) if place else None
        return ValueError(f"{self.path}: {message}") if source is None else source.error(place, message)


def _read(path: Path, places: _Places, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    source = SourceDocument(path, "recipe")
    values = source.read(_RecipeLoader)
    if not isinstance(values, dict):
        raise source.error((), f"expected a recipe of keys and values, got {shown(values)}")
    base = values.pop("base", None)
    seen = (*seen, path.resolve())
    if base is not None:
        other = path.parent / base if isinstance(base, str) else path
        if not other.is_file() or other.resolve() in seen:
            raise source.error(
                ("base",), f"base: expected the name of another recipe file beside this one, got {shown(base)}"
            )
        values = {**_read(other, places, seen), **values}
    places.sources |= {key: source for key in values if (key,) in source.lines}
    return values


def _override(values: dict, key: str, value: Any, places: _Places) -> None:
    *parents, last = key.split(".")
    places.sources.pop((*parents, last)[0], None)
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"{places.path}: {key}: {parent} has no keys to set")
    values[last] = value


def _check_start(values: dict[Any, Any], places: _Places) -> None:
    """Checks the keys that the other checks rely on."""
    for section, cls in SECTIONS.items():
        known = {each.name for each in fields(cls)} if section != "grow" else {"begin_head", "lora_rank", "readings"}
        given = values.get(section)
        for key in given if isinstance(given, dict) else ():
            if key not in known:
                takes = ", ".join(sorted(known)) if section == "grow" else f"values of {cls.__name__}"
                raise places.error((section,), f"unknown key {shown(key)}; it takes {takes}", key)
    for key in ("model", "grow", "load_options", "training", "backbone", "checkpoint"):
        if key in values:
            _check_values(Recipe, {key: values[key]}, (), places)
    if not isinstance(values.get("data", []), (list, str, dict)):
        raise places.error(("data",), f"expected a list, an entry or a path, got {shown(values['data'])}")
    if bool(values.get("backbone")) == bool(values.get("checkpoint")):
        raise places.error((), "exactly one of `backbone` and `checkpoint` must be given")
    if values.get("checkpoint") and values.get("model"):
        message = "`model` is for a model made from a backbone; a `checkpoint` brings its own values"
        raise places.error((), message, "model")
    if values.get("grow") and not values.get("checkpoint"):
        raise places.error(
            (), "`grow` is for a `checkpoint`; a model made from a backbone gets all by `model`", "grow"
        )


def _build_paths(cls, values: Any, where: tuple, places: _Places) -> list:
    """Builds entries; a path alone stands for an entry, and an entry for a list of one."""
    entries = values if isinstance(values, list) else [values]
    return [
        _build(cls, {"path": entry} if isinstance(entry, str) else entry, (*where, index), places)
        for index, entry in enumerate(entries)
    ]


def _build_replay(values: Any, places: _Places) -> Replay:
    where = ("replay",)
    if isinstance(values, dict):
        values = {**values, "data": _build_paths(DataSource, values.get("data", []), (*where, "data"), places)}
    return _build(Replay, values, where, places)


def _build_evaluation(values: Any, places: _Places) -> EvaluationPlan:
    where = ("evaluation",)
    if isinstance(values, dict):
        values = {**values, "data": _build_paths(EvaluationSet, values.get("data", []), (*where, "data"), places)}
    return _build(EvaluationPlan, values, where, places)


def _build(cls, values: Any, where: tuple, places: _Places):
    names = {each.name for each in fields(cls)}
    if not isinstance(values, dict):
        raise places.error(where, f"expected keys {', '.join(sorted(names))}, got {shown(values)}")
    for key in values:
        if key not in names:
            raise places.error(where, f"unknown key {shown(key)}; known are {', '.join(sorted(names))}", key)
    _check_values(cls, values, where, places)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise places.error(where, str(error)) from None


def _check_values(cls, values: dict[str, Any], where: tuple, places: _Places) -> None:
    """Checks that values have the types of the fields of a dataclass."""
    hints = {each.name: each.type for each in fields(cls)}
    for key, value in values.items():
        try:
            check_fields(hints, {key: value})
        except ValueError as error:
            raise places.error(where, str(error), key) from None
