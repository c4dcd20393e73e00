"""A checkpoint of trained parts in, a folder with the whole model out: adapters merged, no backbone or peft needed."""

import os
from pathlib import Path

import torch
from transformers import AutoTokenizer
from transformers.utils import cached_file

from ...atomic_jpt import atomic_folder, new_folder
from ...modeling_jpt import JPTForTokenClassification


def convert(checkpoint: str, output: str | Path, dtype: str = "float32") -> tuple[int, int]:
    """
    Writes the self-contained form of a model. The folder appears whole or not at all.

    Args:
        checkpoint (`str`): Model folder or Hub id.
        output (`str` or `Path`): Folder to create.
        dtype (`str`, *optional*, defaults to `"float32"`): Of the weights. They are merged in float32 in any case.

    Returns:
        `tuple[int, int]`: Bytes of the weights before and after.

    Raises:
        ValueError: If the folder exists and is not empty.
        OSError: If the checkpoint or its backbone cannot be found.
    """
    output = new_folder(output)
    model = JPTForTokenClassification.from_pretrained(checkpoint, dtype=torch.float32).to(getattr(torch, dtype))
    # Given the config, the tokenizer does not run the code in the model's folder.
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, config=model.config)
    with atomic_folder(output) as whole:
        model.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
    before = os.path.getsize(cached_file(checkpoint, "model.safetensors"))
    return before, sum(file.stat().st_size for file in output.glob("*.safetensors"))
