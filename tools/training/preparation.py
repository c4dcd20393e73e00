"""The start of every training run: its data, its length, the Trainer's arguments and the backbone."""

import glob
import math
import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available

from ..data.records import Problems, hold_out, merge_touching, read_records, read_types
from ..files.opening import data_name
from .recipe import AUTO, Recipe
from .sampling import MixtureSource, plan_epochs


def load_sources(recipe: Recipe) -> list[MixtureSource]:
    """
    The recipe's data sets.

    Raises:
        ValueError: If a path matches no file, or a file has no usable records.
    """
    sources = []
    for entry in recipe.data:
        paths = sorted(map(Path, glob.glob(str(recipe.find(entry.path)), recursive=True)))
        if not paths:
            raise ValueError(
                f"data: no file matches {entry.path!r} in data_root {recipe.data_root!r}; name the folder of your copies "
                "with `data_root=FOLDER`, or other files with `data=FILE`"
            )
        for path in paths:
            problems = Problems()
            types = None if entry.types is None else read_types(recipe.find(entry.types))
            on_error = "skip" if recipe.skip_bad else "raise"
            records = read_records(path, types=types, on_error=on_error, report=problems, **entry.reading)
            if problems:
                tell(f"{path}: left out: {problems.summary()}")
            if not records:
                raise ValueError(f"data: {path} has no usable records")
            weight = len(records) ** 0.5 if entry.weight is None else entry.weight
            _, records = hold_out(records, entry.held_out)
            if entry.merge_touching:
                records = list(map(merge_touching, records))
            name = f"{path.parent.name}/{data_name(path)}"
            sources.append(MixtureSource(name, records, records[0].dataset_types, weight, entry.families))
    if not sources:
        raise ValueError("data: the recipe names no data; give files with `data=FILE`")
    return sources


def make_arguments(recipe: Recipe) -> TrainingArguments:
    """The Trainer's arguments: those of the recipe, and those that follow from its evaluation plan."""
    values = {
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "use_cpu": not torch.accelerator.is_available(),
    }
    # Every trained weight contributes to every loss, so there are no unused ones to search for.
    values["ddp_find_unused_parameters"] = False
    plan = recipe.evaluation
    if plan.data:
        values |= {
            "eval_strategy": "steps",
            "eval_steps": plan.every,
            "eval_on_start": plan.at_start,
            "per_device_eval_batch_size": 1,  # The Trainer weights batches equally.
        }
        if plan.best:
            values |= {"load_best_model_at_end": True, "metric_for_best_model": "f1", "save_steps": plan.every}
    values = {**values, **recipe.training}
    if plan.data and plan.best and values["save_steps"] % plan.every:
        values["save_steps"] = plan.every  # The best checkpoint must have been saved.
    if values.get("bf16") == AUTO:
        values["bf16"] = has_bfloat16()
    try:
        return TrainingArguments(output_dir=recipe.output_dir, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"training: {error}") from None


def has_bfloat16() -> bool:
    """Whether the hardware computes in bfloat16."""
    if torch.accelerator.is_available():
        return is_torch_bf16_gpu_available()
    return torch.cpu._is_avx512_bf16_supported()


def prepare_backbone(backbone: torch.nn.Module, recipe: Recipe, arguments: TrainingArguments) -> None:
    """Leaves number formats to autocast where it is on, and compiles blocks if the recipe says so."""
    for module in backbone.modules():
        # By default adapters cast their input to float32, which autocast would cast back.
        if (arguments.bf16 or arguments.fp16) and hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
        if recipe.compile_blocks and type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=True)


def set_max_steps(arguments: TrainingArguments, recipe: Recipe, sources: list[MixtureSource]) -> None:
    """Sets `max_steps` if the recipe gives the length as `num_train_epochs`."""
    if arguments.max_steps < 1:
        rows = len(plan_epochs(sources, recipe.sampling, epochs=arguments.num_train_epochs))
        arguments.max_steps = math.ceil(rows / rows_per_step(arguments))


def rows_per_step(arguments: TrainingArguments) -> int:
    """Number of rows that all processes read in one update."""
    return arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size


def rows_of(arguments: TrainingArguments) -> int:
    """Number of rows that all processes read in all updates."""
    return arguments.max_steps * rows_per_step(arguments)


def tell(line: str) -> None:
    """Prints a line to standard error, above any progress bar."""
    tqdm.write(line, file=sys.stderr)
