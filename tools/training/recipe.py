"""Recipes of training runs: a YAML file in, a checked `Recipe` out. Loads no data and no model."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from transformers import TrainingArguments

from ...configuration_jpt import JPTConfig
from ...generative.examples import ExampleOptions
from ...generative.formats import GENERATIVE_SYSTEMS
from .sampling import Sampling

TRAINABLE_SYSTEMS = ("jpt", *GENERATIVE_SYSTEMS)
LENGTHS = ("max_steps", "num_train_epochs")  # in `training`, of a run
SAVE_DTYPES = ("bfloat16", "float16", "float32")
PACKAGE = "$PACKAGE"
# A value of `training` that depends on the hardware.
AUTO = "auto"
HOME = Path(__file__).resolve().parents[2]


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
    merge_touching: bool = False
    held_out: int = 0

    def __post_init__(self):
        if self.held_out < 0:
            raise ValueError(f"held_out: expected a whole number from 0, got {self.held_out!r}")
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ValueError(f"weight: expected a number above 0, got {self.weight!r}")


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
    """

    data: list[EvaluationSet] = field(default_factory=list)
    every: int = 100
    limit: int | None = None
    ignore_labels: list[str] = field(default_factory=lambda: ["misc"])
    at_start: bool = False
    best: bool = False


@dataclass
class Recipe:
    """
    Everything a run depends on. In paths `$PACKAGE` stands for the folder of this package, and `~` for the home folder.
    A file may name another one as its `base`, and then gives only the keys that differ, each as a whole.

    Args:
        output_dir (`str`): Folder of checkpoints, logs, curves and the final model.
        data (`list[DataSource]`): The mixture.
        backbone (`str`): Where the backbone comes from.
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


class _RecipeLoader(yaml.SafeLoader):
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
    except yaml.YAMLError:
        raise ValueError(
            f"{text!r} cannot be read as YAML; put quotes around what holds marks such as * or ["
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
        ValueError: For unknown, missing or wrong keys, naming them and the file.
        FileNotFoundError: If there is no such file.
    """
    values = _read(Path(path))
    for key, value in (overrides or {}).items():
        _override(values, key, value, path)
    _check_kinds(values, path)
    if bool(values.get("backbone")) == bool(values.get("checkpoint")):
        raise ValueError(f"{path}: exactly one of `backbone` and `checkpoint` must be given")
    if values.get("checkpoint") and values.get("model"):
        raise ValueError(f"{path}: `model` is for a model made from a backbone; a `checkpoint` brings its own values")
    if unknown := sorted(values.get("grow", {}).keys() - {"begin_head", "lora_rank", "readings"}):
        raise ValueError(f"{path}: grow: unknown key {unknown[0]!r}; known are begin_head, lora_rank, readings")
    if values.get("grow") and not values.get("checkpoint"):
        raise ValueError(f"{path}: `grow` is for a `checkpoint`; a model made from a backbone gets all by `model`")
    for key, value in list(values.get("training", {}).items()):
        if value is False and key.endswith("_strategy"):
            values["training"][key] = "no"  # YAML reads `no` as false.
        elif value is None and key in LENGTHS:
            del values["training"][key]  # Unset, in favour of the other kind of length.
    values["data"] = _build_paths(DataSource, values.get("data", []), f"{path}: data")
    values["sampling"] = _build(Sampling, values.get("sampling", {}), f"{path}: sampling")
    values["generative"] = _build(ExampleOptions, values.get("generative", {}), f"{path}: generative")
    values["evaluation"] = _build_evaluation(values.get("evaluation", {}), f"{path}: evaluation")
    for key in ("output_dir", "data_root", "checkpoint"):
        if values.get(key):
            values[key] = expand(values[key])
    recipe = _build(Recipe, values, str(path))
    for section, cls in (("training", TrainingArguments), ("model", JPTConfig), ("grow", JPTConfig)):
        given = getattr(recipe, section)
        unknown = sorted(given.keys() - {each.name for each in fields(cls)})
        if unknown:
            raise ValueError(f"{path}: {section}: unknown key {unknown[0]!r}; it takes values of {cls.__name__}")
        _check_values(cls, {key: value for key, value in given.items() if value != AUTO}, f"{path}: {section}")
    for key, known in (("system", TRAINABLE_SYSTEMS), ("save_dtype", SAVE_DTYPES)):
        if getattr(recipe, key) not in known:
            raise ValueError(f"{path}: {key}: should be one of {', '.join(known)}, got {getattr(recipe, key)!r}")
    _check_length(recipe, path)
    return recipe


def _check_length(recipe: Recipe, path: str | Path) -> None:
    lengths = [recipe.training[key] for key in LENGTHS if key in recipe.training]
    if not lengths or min(lengths) <= 0:
        raise ValueError(f"{path}: training: `max_steps` or `num_train_epochs` must be given, a number above 0")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _RecipeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: broken YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a recipe of keys and values, got {values!r:.100}")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or not (path.parent / base).is_file() or (path.parent / base).samefile(path):
        raise ValueError(f"{path}: base: expected the name of another recipe file beside this one, got {base!r}")
    return {**_read(path.parent / base), **values}


def _override(values: dict, key: str, value: Any, path: str | Path) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {key}: {parent} has no keys to set")
    values[last] = value


def _check_kinds(values: dict, path: str | Path) -> None:
    kinds = {
        **dict.fromkeys(("data",), (list, str)),
        **dict.fromkeys(("model", "grow", "load_options", "training", "evaluation"), dict),
        **dict.fromkeys(("output_dir", "data_root"), str),
        **dict.fromkeys(("backbone", "checkpoint"), (str, type(None))),
        **dict.fromkeys(("skip_bad", "compile_blocks"), bool),
    }
    for key, kind in kinds.items():
        if key in values and not isinstance(values[key], kind):
            expected = (kind if isinstance(kind, type) else kind[0]).__name__
            raise ValueError(f"{path}: {key}: expected a {expected}, got {values[key]!r:.100}")


def _build_paths(cls, values: Any, where: str) -> list:
    """Builds entries; a path alone stands for an entry, and an entry for a list of one."""
    entries = values if isinstance(values, list) else [values]
    return [_build(cls, {"path": entry} if isinstance(entry, str) else entry, where) for entry in entries]


def _build_evaluation(values: dict, where: str) -> EvaluationPlan:
    plan = _build(
        EvaluationPlan, {**values, "data": _build_paths(EvaluationSet, values.get("data", []), where)}, where
    )
    if not isinstance(plan.ignore_labels, list):
        raise ValueError(f"{where}: ignore_labels: expected a list of labels, got {plan.ignore_labels!r}")
    for key in ("every", "limit"):
        number = getattr(plan, key)
        if not (type(number) is int and number > 0) and (key, number) != ("limit", None):
            raise ValueError(f"{where}: {key}: expected a whole number from 1, got {number!r}")
    if plan.best and plan.data and all(each.watch_only for each in plan.data):
        raise ValueError(f"{where}: best: there is nothing to choose by; give `data` that is not `watch_only`")
    return plan


def _build(cls, values: Any, where: str):
    names = {each.name for each in fields(cls)}
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected keys {sorted(names)}, got {values!r}")
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(names))}")
    _check_values(cls, values, where)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _check_values(cls, values: dict[str, Any], where: str) -> None:
    """Checks the kinds of values, for fields that take numbers, texts and switches alone."""
    hints = {each.name: each.type for each in fields(cls)}
    for key, value in values.items():
        hint = hints.get(key, Any)
        kinds = set(get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,))
        if not kinds <= _KINDS.keys():
            continue
        # An int is a valid float, but a bool is not.
        allowed = kinds | ({int} if float in kinds else set())
        if type(value) not in allowed:
            expected = " or ".join(_KINDS[kind] for kind in _KINDS if kind in kinds and kind is not NoneType)
            raise ValueError(f"{where}: {key}: expected {expected}, got {value!r:.100}")


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "nothing"}
