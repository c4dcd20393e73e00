"""Training from a recipe: a YAML file in, a trained-parts checkpoint out, through `transformers.Trainer`.

The Trainer is used as it is, without a subclass: the model computes its loss, the collator builds batches, and the
dataset is a plan fixed by the seed, so a run that was stopped resumes exactly where it was.
"""

import glob
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, get_scheduler, set_seed

from ..backbone_jpt import resolve_backbone
from ..configuration_jpt import JPTConfig
from ..definitions_jpt import build_definition_encoder
from ..inputs_jpt import separator_ids
from ..modeling_jpt import JPTForTokenClassification
from ..schema_jpt import resolve_schema
from .records import find_types, read_records
from .sampling import GroupCollator, Sampling, Source, TrainingGroups


@dataclass
class DataSource:
    """
    One file of the mixture.

    Args:
        path (`str`): File of records, relative to the recipe's `data_root`; a pattern stands for many files.
        weight (`float`, *optional*):
            Share of the groups of every file. Defaults to the square root of its number of records, so that small
            sets are seen more often per record.
    """

    path: str
    weight: float | None = None


@dataclass
class Recipe:
    """
    Everything a run depends on.

    Args:
        output_dir (`str`): Folder of checkpoints, logs and the final model.
        data (`list[DataSource]`): The mixture.
        backbone (`str`): Where the backbone comes from.
        checkpoint (`str`): A trained JPT model to start from, instead of a backbone.
        data_root (`str`): Folder that data paths are relative to.
        model (`dict`): Values of `JPTConfig`, for a model made from a backbone.
        load_options (`dict`): Options of `AutoModel.from_pretrained` for the backbone, such as `dtype`.
        sampling (`Sampling`): How groups are made.
        training (`dict`): Values of `transformers.TrainingArguments`. `max_steps` is required.
        head_learning_rate (`float`): Learning rate of projections and classifiers; `training.learning_rate` is that
            of the adapters. Defaults to the same.
        compile_blocks (`bool`): Compile the backbone's norms and MLPs with `torch.compile`; pays in runs of hours.
        entity_types: Default types of the pipeline, saved with the model: anything `resolve_schema` takes.
        save_dtype (`str`): Precision of the final checkpoint; adapters and head are trained in float32.
    """

    output_dir: str
    data: list[DataSource]
    backbone: str | None = None
    checkpoint: str | None = None
    data_root: str = "."
    model: dict[str, Any] = field(default_factory=dict)
    load_options: dict[str, Any] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    training: dict[str, Any] = field(default_factory=dict)
    head_learning_rate: float | None = None
    compile_blocks: bool = False
    entity_types: Any = None
    save_dtype: str = "bfloat16"


class _RecipeLoader(yaml.SafeLoader):
    """Takes 1e-4 for a number, which YAML 1.1 does not."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_recipe(path: str | Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """
    Reads a recipe.

    Args:
        path (`str` or `Path`): YAML file.
        overrides (`dict`, *optional*): Values that replace the file's, nested keys joined by dots.

    Raises:
        ValueError: For unknown or missing keys, naming them and the file.
        FileNotFoundError: If there is no such file.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _RecipeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: broken YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a recipe of keys and values, got {values!r:.100}")
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    if bool(values.get("backbone")) == bool(values.get("checkpoint")):
        raise ValueError(f"{path}: exactly one of `backbone` and `checkpoint` must be given")
    if values.get("checkpoint") and values.get("model"):
        raise ValueError(f"{path}: `model` is for a model made from a backbone; a `checkpoint` brings its own values")
    for key, kind in (
        ("data", list),
        ("model", dict),
        ("load_options", dict),
        ("training", dict),
        ("output_dir", str),
    ):
        if not isinstance(values.get(key, kind()), kind):
            raise ValueError(f"{path}: {key}: expected a {kind.__name__}, got {values[key]!r:.100}")
    values["data"] = [_build(DataSource, source, f"{path}: data") for source in values.get("data", [])]
    values["sampling"] = _build(Sampling, values.get("sampling", {}), f"{path}: sampling")
    recipe = _build(Recipe, values, str(path))
    for section, cls in (("training", TrainingArguments), ("model", JPTConfig)):
        unknown = sorted(values.get(section, {}).keys() - {each.name for each in fields(cls)})
        if unknown:
            raise ValueError(f"{path}: {section}: unknown key {unknown[0]!r}; it takes values of {cls.__name__}")
    if not recipe.training.get("max_steps"):
        raise ValueError(f"{path}: training: `max_steps` must be given")
    return recipe


def _build(cls, values: Any, where: str):
    names = {each.name for each in fields(cls)}
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected keys {sorted(names)}, got {values!r}")
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(names))}")
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None


def load_sources(recipe: Recipe) -> list[Source]:
    """
    The recipe's data sets.

    Raises:
        ValueError: If a path matches no file or a file has no usable records.
    """
    sources = []
    for entry in recipe.data:
        paths = sorted(map(Path, glob.glob(str(Path(recipe.data_root) / entry.path), recursive=True)))
        if not paths:
            raise ValueError(f"data: no file matches {entry.path!r} in {recipe.data_root!r}")
        for path in paths:
            records = [record for record in read_records(path) if record.text.strip()]
            if not records:
                raise ValueError(f"data: {path} has no usable records")
            weight = len(records) ** 0.5 if entry.weight is None else entry.weight
            sources.append(Source(f"{path.parent.name}/{path.stem}", records, find_types(path), weight))
    if not sources:
        raise ValueError("data: the recipe names no data")
    return sources


def build_model(recipe: Recipe):
    """The recipe's model and tokenizer, ready to be trained."""
    options = {"dtype": torch.bfloat16, **recipe.load_options}
    if recipe.checkpoint:
        tokenizer = AutoTokenizer.from_pretrained(recipe.checkpoint, trust_remote_code=True)
        model = JPTForTokenClassification.from_pretrained(recipe.checkpoint, is_trainable=True, **options)
    else:
        tokenizer = AutoTokenizer.from_pretrained(resolve_backbone(recipe.backbone))
        model = JPTForTokenClassification.from_backbone(
            recipe.backbone, separator_ids=separator_ids(tokenizer), load_options=options, **recipe.model
        )
    if recipe.entity_types is not None:
        schema = resolve_schema(recipe.entity_types)
        model.config.entity_types = dict(zip(schema.names, schema.descriptions, strict=True))
    return model, tokenizer


def make_optimizer(model: JPTForTokenClassification, recipe: Recipe, arguments: TrainingArguments):
    """AdamW with one learning rate for the adapters and one for the head, and the scheduler of the arguments."""
    head = [parameter for parameter in model.head.parameters() if parameter.requires_grad]
    lora = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
    groups = [{"params": head, "lr": recipe.head_learning_rate or arguments.learning_rate}]
    if lora:
        groups.append({"params": lora, "lr": arguments.learning_rate})
    optimizer = torch.optim.AdamW(
        groups, betas=(arguments.adam_beta1, arguments.adam_beta2), weight_decay=arguments.weight_decay
    )
    scheduler = get_scheduler(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(arguments.max_steps),
        num_training_steps=arguments.max_steps,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
    return optimizer, scheduler


def train(recipe: Recipe, callbacks: list[TrainerCallback] | None = None) -> Path:
    """
    Runs a recipe, from its last whole checkpoint if there is one.

    Returns:
        `Path`: Folder of the trained model.
    """
    arguments = TrainingArguments(
        output_dir=recipe.output_dir,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        **recipe.training,
    )
    set_seed(arguments.seed)
    sources = load_sources(recipe)
    model, tokenizer = build_model(recipe)
    if arguments.bf16 or arguments.fp16:
        _let_autocast_choose_dtypes(model)
    if recipe.compile_blocks:
        _compile_blocks(model)
    per_step = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    groups = TrainingGroups(
        sources, arguments.max_steps * per_step, tokenizer, model.config.prompt_template, recipe.sampling
    )
    encoder = build_definition_encoder(model.config.definition_encoder, backbone=model.model, tokenizer=tokenizer)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=groups,
        data_collator=GroupCollator(encoder),
        processing_class=tokenizer,
        optimizers=make_optimizer(model, recipe, arguments),
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=_last_whole_checkpoint(recipe.output_dir))
    final = Path(recipe.output_dir) / "final"
    if trainer.is_world_process_zero():
        save_trained_parts(model, tokenizer, final, recipe.save_dtype)
    return final


def _last_whole_checkpoint(folder: str) -> str | None:
    """The Trainer writes its state last: a checkpoint without it was cut off."""
    whole = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
    return last and str(last)


def save_trained_parts(model: JPTForTokenClassification, tokenizer, folder: Path, dtype: str) -> None:
    """Saves a checkpoint to be used or shipped: adapters and head in `dtype`, without the Trainer's own files."""
    left_out = set(model._keys_to_ignore_on_save or ())
    weights = {
        name: tensor.to(getattr(torch, dtype)) for name, tensor in model.state_dict().items() if name not in left_out
    }
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


def _let_autocast_choose_dtypes(model: JPTForTokenClassification) -> None:
    """Adapters cast their input to their own float32 unless told not to; autocast would cast it back."""
    for module in model.model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False


def _compile_blocks(model: JPTForTokenClassification) -> None:
    for module in model.model.modules():
        if type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=True)
