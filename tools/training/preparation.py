"""The start of every training run: its data, its length, the Trainer's arguments and the backbone."""

import glob
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available

from ...configuration_jpt import JPTConfig
from ..data.records import Problems, hold_out, merge_touching, read_records, read_types
from ..files.opening import data_name
from .recipe import AUTO, DataSource, Recipe, expand
from .sampling import MixtureSource, plan_epochs


def load_sources(recipe: Recipe) -> list[MixtureSource]:
    """
    The recipe's data sets, and behind them those that are replayed.

    Raises:
        ValueError: If a path matches no file, a file has no usable records, or there are fewer than the recipe's
            `min_records`.
    """
    sources = list(iter_sources(recipe, recipe.data))
    if not sources:
        raise ValueError("data: the recipe names no data; give files with `data=FILE`")
    _check_number(recipe, sources)
    if recipe.replay is None:
        return sources
    replayed = list(iter_sources(recipe, recipe.replay.data, "replay.data"))
    share = recipe.replay.share
    scale = share / (1 - share) * sum(each.weight for each in sources) / sum(each.weight for each in replayed)
    return sources + [replace(each, weight=scale * each.weight, replayed=True) for each in replayed]


def iter_sources(recipe: Recipe, entries: Sequence[DataSource], key: str = "data") -> Iterator[MixtureSource]:
    """
    The data sets of some of a recipe's entries, read one after the other.

    Args:
        recipe (`Recipe`): What the paths are relative to, and what happens to bad records.
        entries (`Sequence[DataSource]`): Some of its entries.
        key (`str`): Where the recipe has them, for messages.

    Raises:
        ValueError: If a path matches no file, or a file has no usable records.
    """
    without = "; `replay=null` is without" if key == "replay.data" else ""
    for entry in entries:
        paths = _find_files(recipe, entry.path)
        if not paths:
            raise ValueError(
                f"{key}: no file matches {entry.path!r} in data_root {recipe.data_root!r}; name the folder of your copies "
                f"with `data_root=FOLDER`, or other files with `{key}=FILE`{without}"
            )
        for path in paths:
            problems = Problems()
            types = None if entry.types is None else read_types(recipe.find(entry.types))
            on_error = "skip" if recipe.skip_bad else "raise"
            records = read_records(path, types=types, on_error=on_error, report=problems, **entry.reading)
            if problems:
                tell(f"{path}: left out: {problems.summary()}")
            if not records:
                raise ValueError(f"{key}: {path} has no usable records{without}")
            weight = len(records) ** 0.5 if entry.weight is None else entry.weight
            _, records = hold_out(records, entry.held_out)
            if entry.merge_touching:
                records = list(map(merge_touching, records))
            name = f"{path.parent.name}/{data_name(path)}"
            yield MixtureSource(
                name, records, records[0].dataset_types, weight, entry.families, keep_wording=entry.keep_wording
            )


def _find_files(recipe: Recipe, path: str) -> list[Path]:
    """The file of this name, else those that match it as a pattern."""
    if recipe.find(path).exists():
        return [recipe.find(path)]
    # `data_root` is no part of the pattern: the name of a folder may hold brackets.
    found = glob.glob(expand(path), root_dir=recipe.data_root, recursive=True)
    return sorted(Path(recipe.data_root) / each for each in found)


def _check_number(recipe: Recipe, sources: list[MixtureSource]) -> None:
    number = sum(len(each.records) for each in sources)
    if number < recipe.min_records:
        file = recipe.find(recipe.data[0].path)
        raise ValueError(
            f"data: {number} labelled sentences are too few to train on; `min_records` is {recipe.min_records}. With so few, "
            "tune thresholds and definitions instead, which changes no weights:\n"
            f"  jpt-ner types tune my-types.yaml --data {file} --output tuned.yaml\n"
            f"  jpt-ner types improve tuned.yaml --data {file} --output better.yaml\n"
            "my-types.yaml has the names of your types and their definitions. Then: jpt-ner tag ... --types better.yaml"
        )


def make_arguments(recipe: Recipe) -> TrainingArguments:
    """
    The Trainer's arguments: those of the recipe, and those that follow from its evaluation plan.

    Raises:
        ValueError: If the Trainer does not take a value, or the collator cannot work in other processes.
    """
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
            values |= {"load_best_model_at_end": True, "metric_for_best_model": "f1"}
    values = {**values, **recipe.training}
    if plan.data and plan.best:
        values["save_steps"] = plan.every  # Whichever update is the best, its checkpoint must have been saved.
    if values.get("bf16") == AUTO:
        values["bf16"] = has_bfloat16()
    try:
        arguments = TrainingArguments(output_dir=recipe.output_dir, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"training: {error}") from None
    if arguments.dataloader_num_workers and recipe.system == "jpt" and _embeds_definitions(recipe):
        # A forked process cannot use the GPU, and has the weights of when it was forked.
        raise ValueError(
            "training.dataloader_num_workers: expected 0 for a model that embeds definitions, as only the training process "
            f"can, got {arguments.dataloader_num_workers}"
        )
    if arguments.n_gpu > 1:
        # The Trainer would split a batch with DataParallel, by rows, and texts would lose their prompts.
        tell(f"one of {arguments.n_gpu} GPUs is used; `torchrun` uses more, with a process for each")
        arguments._n_gpu = 1
    return arguments


def _embeds_definitions(recipe: Recipe) -> bool:
    config = JPTConfig.from_pretrained(recipe.checkpoint) if recipe.checkpoint else JPTConfig(**recipe.model)
    return config.type_embedding != "prompt"


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
    """Sets `max_steps` if the recipe gives the length as `num_train_epochs`; a given one is then a limit."""
    if recipe.in_epochs:
        rows = len(plan_epochs(sources, recipe.sampling, epochs=arguments.num_train_epochs))
        updates = math.ceil(rows / rows_per_step(arguments))
        arguments.max_steps = min(updates, recipe.training.get("max_steps", updates))


def rows_per_step(arguments: TrainingArguments) -> int:
    """Number of rows that all processes read in one update."""
    return arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size


def rows_of(arguments: TrainingArguments) -> int:
    """Number of rows that all processes read in all updates."""
    return arguments.max_steps * rows_per_step(arguments)


def tell(line: str) -> None:
    """Prints a line to standard error, above any progress bar."""
    tqdm.write(line, file=sys.stderr)
