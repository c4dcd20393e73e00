"""Resuming runs: what a run was started with, its last whole checkpoint, and whether it may be resumed.

A recipe, its data and the run's folder in; a checkpoint or an error out.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainingArguments

from ...atomic_jpt import atomic_file
from ...modeling_jpt import JPTForTokenClassification
from .preparation import rows_per_step
from .recipe import Recipe
from .sampling import MixtureSource

STARTED_WITH = "run.json"
# Keys of a recipe that may differ when a run is resumed: locations, and what does not affect the trained weights.
FREE = {
    "output_dir",
    "data_root",
    "data",
    "evaluation",
    "compile_blocks",
    "skip_bad",
    "min_records",
    "entity_types",
    "save_dtype",
}
# Keys of `training`, by their beginning. The length of a run and the end of its learning rate may be decided late.
FREE_TRAINING = tuple(
    "max_steps num_train_epochs lr_scheduler_kwargs save_ logging_ eval_ report_to run_name push_to_hub hub_ disable_tqdm log_level "
    "dataloader_ per_device_ gradient_accumulation_steps gradient_checkpointing activation_ use_cpu bf16 fp16 tf32 ddp_ "
    "fsdp deepspeed torch_compile".split()
)


def find_start(recipe: Recipe, arguments: TrainingArguments, sources: Sequence[MixtureSource]) -> Path | None:
    """
    The checkpoint to resume from, or None for a new run, whose folder then records what it was started with.

    Raises:
        ValueError: If the folder holds a run with other data or another recipe, a longer one, or one that cannot be
            resumed.
    """
    folder = Path(recipe.output_dir)
    given = _started_with(recipe, arguments, sources)
    checkpoint = last_whole_checkpoint(folder)
    if checkpoint is None:
        _check_unfinished(folder)
    file = folder / STARTED_WITH
    if checkpoint is not None and file.is_file():
        _check_same(json.loads(file.read_bytes()), given, folder)
    elif arguments.process_index == 0:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as path:
            path.write_text(json.dumps(given, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if checkpoint is not None:
        done = _number(checkpoint)
        if done > arguments.max_steps:
            raise ValueError(
                f"training: max_steps: the run in {folder} has made {done} updates already, got {arguments.max_steps}; "
                "give as many or more, or choose another `output_dir`"
            )
        if arguments.process_index == 0:
            whole = "is finished; more `training.max_steps` would go on" if done == arguments.max_steps else "goes on"
            tqdm.write(f"the run in {folder} {whole} from update {done}", file=sys.stderr)
    return checkpoint


def _check_unfinished(folder: Path) -> None:
    """
    Of a folder without a whole checkpoint: a new run may replace one that was cut short, but not those that are finished.
    """
    if finished := _finished_checkpoints(folder):
        raise ValueError(
            f"output_dir: {folder} holds a run that cannot be resumed: {finished[-1].name} has no whole "
            f"{_fault(finished[-1])}, as with `training.save_only_model`, FSDP or DeepSpeed. Choose another `output_dir`, "
            "or remove the folder to start again"
        )


def _started_with(recipe: Recipe, arguments: TrainingArguments, sources: Sequence[MixtureSource]) -> dict[str, Any]:
    values = {key: value for key, value in asdict(recipe).items() if key not in FREE}
    values["training"] = {key: value for key, value in recipe.training.items() if not key.startswith(FREE_TRAINING)}
    values["groups_per_update"] = rows_per_step(arguments)
    # By content and folder name, so that the data may be moved.
    values["data"] = {
        f"{number}: {source.name}": [
            source.weight,
            source.families,
            _digest(source),
            *["keep_wording"] * source.keep_wording,
        ]
        for number, source in enumerate(sources)
    }
    return json.loads(json.dumps(values, default=str))


def _digest(source: MixtureSource) -> str:
    return hashlib.sha256(repr((source.records, source.types)).encode("utf-8", "replace")).hexdigest()


def _check_same(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    for key in sorted(before.keys() | now.keys()):
        was, given = before.get(key), now.get(key)
        if was == given:
            continue
        if isinstance(was, dict) and isinstance(given, dict):
            part = min(each for each in was.keys() | given.keys() if was.get(each) != given.get(each))
            key, was, given = f"{key}: {part}", was.get(part), given.get(part)
        change = "has changed" if key.startswith("data: ") else f"was {was!r}, and is {given!r} now"
        raise ValueError(
            f"output_dir: {folder} holds a run that was started differently: {key} {change}. Choose another "
            "`output_dir` for a new run"
        )


def last_whole_checkpoint(folder: str | Path) -> Path | None:
    """
    The newest complete checkpoint of a run. The Trainer writes its state last; if that exists but another file was cut
    off, as by a full disk or a power cut, the checkpoint before it is taken.
    """
    return next((path for path in reversed(_finished_checkpoints(folder)) if _fault(path) is None), None)


def _finished_checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints whose last file was written, in order; others were being written when the run was stopped."""
    found = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    return sorted((path for path in found if path.name.removeprefix("checkpoint-").isdigit()), key=_number)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _fault(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that is missing or damaged."""
    path = checkpoint / "trainer_state.json"
    try:
        json.loads(path.read_bytes())
        path = next(checkpoint.glob("adapter_model.safetensors"), checkpoint / "model.safetensors")
        with safe_open(path, "pt"):
            pass  # Compares the file's size with its header.
        for path in [checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *checkpoint.glob("rng_state*.pth")]:
            with zipfile.ZipFile(path) as file:
                if file.testzip() is not None:
                    return path.name
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile):
        return path.name
    return None


def check_resumable(model: JPTForTokenClassification, checkpoint: Path) -> None:
    """
    Raises:
        ValueError: If the checkpoint has other trained parts than the model, which the Trainer might not notice.
    """
    left_out = set(model._keys_to_ignore_on_save or ())
    own = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name not in left_out}
    with safe_open(checkpoint / "model.safetensors", "pt") as file:
        saved = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    wrong = sorted(own.keys() ^ saved.keys()) or sorted(name for name in own if own[name] != saved[name])
    if wrong:
        raise ValueError(
            f"output_dir: {checkpoint} is of a model with another architecture: it differs in {wrong[0]!r}. Go on with "
            "the recipe it was made with, or choose another `output_dir`"
        )


class FollowFolder(TrainerCallback):
    """Finds the best checkpoint of a run whose folder was moved or renamed; the Trainer forgets a path that is gone."""

    def on_train_begin(self, args, state, control, **kwargs):
        if state.best_global_step:
            here = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
            if here.is_dir():
                state.best_model_checkpoint = str(here)
