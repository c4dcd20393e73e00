"""Checkpoints of one run in, the mean of their weights out: much of the effect of a learning-rate decay, at no cost."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoTokenizer
from transformers.utils import cached_file

from ...atomic_jpt import new_folder
from ...configuration_jpt import JPTConfig
from ...modeling_jpt import JPTForTokenClassification
from ..training.run import save_trained_parts

# Settings of use, which may differ between checkpoints.
_FREE = ("_name_or_path", "dtype", "entity_types", "transformers_version")


def average(checkpoints: Sequence[str], output: str | Path, dtype: str = "bfloat16") -> None:
    """
    Writes the mean of the trained parts of several checkpoints; all else is taken from the first.

    Args:
        checkpoints (`Sequence[str]`): Two or more folders or Hub ids of trained parts, of the same configuration.
        output (`str` or `Path`): Folder to create. It appears whole or not at all.
        dtype (`str`, *optional*, defaults to `"bfloat16"`): Of the weights written. The mean is computed in float32.

    Raises:
        ValueError:
            If the checkpoints cannot be averaged, one of them is damaged or incomplete, or the folder exists and is
            not empty.
        OSError: If a checkpoint or its backbone cannot be found.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"`checkpoints` should be two or more, got {len(checkpoints)}")
    output = new_folder(output)
    first, *others = checkpoints
    values, weights = _read(first)
    for other in others:
        other_values, other_weights = _read(other)
        different = sorted(key for key in values | other_values if values.get(key) != other_values.get(key))
        if different:
            raise ValueError(f"{other} is configured otherwise than {first}: {', '.join(different)}")
        lacking = sorted(weights.keys() ^ other_weights.keys())
        if lacking:
            raise ValueError(f"{lacking[0]!r} is in only one of {first} and {other}: an incomplete checkpoint")
        for name, tensor in other_weights.items():
            weights[name] += tensor
    # Fails if the first checkpoint is incomplete, as the others would be then.
    model = JPTForTokenClassification.from_pretrained(first, is_trainable=True, dtype=torch.float32)
    model.load_state_dict({name: tensor / len(checkpoints) for name, tensor in weights.items()}, strict=False)
    save_trained_parts(model, AutoTokenizer.from_pretrained(first, config=model.config), output, dtype)


def _without_free(values: dict) -> dict:
    return {key: value for key, value in values.items() if key not in _FREE}


def _read(checkpoint: str) -> tuple[dict, dict[str, torch.Tensor]]:
    config = JPTConfig.from_pretrained(checkpoint)
    if not config.lora_rank:
        raise ValueError(f"{checkpoint}: only checkpoints of trained parts, with adapters apart, can be averaged")
    values = _without_free(config.to_dict())
    values["text_config"] = _without_free(values["text_config"])  # it has the number format once more
    try:
        weights = load_file(cached_file(checkpoint, "model.safetensors"))
    except SafetensorError as error:
        raise ValueError(f"{checkpoint}: model.safetensors is damaged ({error})") from None
    return values, {name: tensor.float() for name, tensor in weights.items()}
