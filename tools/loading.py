"""The pipeline of a model of either kind: from a folder, a Hub id, or the model that comes with this installation.

And what identifies a model, so that nothing resumes with another one.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[1]
# What a model consists of, but not the reports that may be written beside it.
MODEL_FILES = ("*config.json", "*token*.json", "*vocab*.json", "*.index.json", "*.safetensors", "*.bin")
ENDS = 2**20  # bytes at the start and end of a weights file that identify it


def load_pipeline(
    model: str | None = None, *, device: str | None = None, dtype: str = "auto", attention: str | None = None
):
    """
    Args:
        model (`str`, *optional*): Folder or Hub id of a JPT model or of a generative system. Defaults to the one that
            comes with the package.
        device (`str`, *optional*): Defaults to the best available.
        dtype (`str`, *optional*, defaults to `"auto"`): Of a JPT model's weights.
        attention (`str`, *optional*): Attention backend of a JPT model, such as `"eager"`; defaults to packed attention.

    Returns:
        [`EntityPipeline`]: A `JPTPipeline`, or a `GenerativePipeline`.

    Raises:
        ImportError: If a package is missing that the model needs.
        OSError: If the model or its backbone cannot be found.
        ValueError: If there is no such folder or device, its files are damaged, or no model comes with this installation.
    """
    if device is not None:
        _check_device(device)
    if model is None:
        if not (HOME / "config.json").is_file():
            raise ValueError(f"no model comes with this installation ({HOME}); name one with --model")
        model = str(HOME)
    if not os.path.isdir(model) and (model.count("/") > 1 or model.startswith((".", "/", "~"))):
        raise ValueError(f"model folder not found: {model}")
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from ..generative import loading as generative
    from ..modeling_jpt import JPTForTokenClassification

    logging.disable_progress_bar()
    if generative.read_settings(model) is not None:
        return generative.load_pipeline(model, device=device)
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    loaded = JPTForTokenClassification.from_pretrained(model, dtype=dtype, **options)
    # Given the config, the tokenizer does not need the code in the model's folder.
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, config=loaded.config)
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:  # raised by the tokenizers library; damaged files fail in many ways
        raise ValueError(
            f"the tokenizer of {model} cannot be read ({type(error).__name__}: {str(error)[:200]}); save or download it again"
        ) from error
    return loaded.as_pipeline(tokenizer, device=device)


def _check_device(device: str) -> None:
    """
    Raises:
        ValueError: If there is no such device, or this installation cannot use it.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"`device` {device!r} cannot be used here ({reason}); take another, such as 'cpu'") from error


def about_model(model: str) -> dict[str, str]:
    """
    A model's name, and what identifies its version: the commit of a Hub repository, or a hash of a folder.

    Args:
        model (`str`): Folder or Hub id.

    Raises:
        OSError: If the configuration of a Hub model cannot be found.
    """
    from transformers.utils.hub import cached_file, extract_commit_hash

    from ..backbone_jpt import resolve_backbone

    folder = resolve_backbone(model)  # Of a causal LM, an installed copy may be loaded.
    if os.path.isdir(folder):
        return {"name": Path(model).resolve().name, "revision": f"sha256:{_hash_of_folder(Path(folder))[:16]}"}
    return {"name": model, "revision": str(extract_commit_hash(cached_file(model, "config.json"), None))}


def _hash_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)}):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with open(file, "rb") as stream:
            digest.update(stream.read(ENDS))
            stream.seek(max(0, size - ENDS))
            digest.update(stream.read())
    return digest.hexdigest()


def load_service_pipeline(model: str | None = None, *, device: str | None = None):
    """
    As [`load_pipeline`], for a service: embeddings are kept in memory only, because definitions are texts of its clients.
    """
    from ..definitions_jpt import build_definition_encoder

    pipeline = load_pipeline(model, device=device)
    config = pipeline.model.config
    if getattr(config, "type_embedding", "prompt") == "prompt" or config.definition_encoder == "backbone":
        return pipeline
    encoder = build_definition_encoder(config.definition_encoder, device=str(pipeline.device), cache=False)
    return pipeline.model.as_pipeline(pipeline.tokenizer, device=pipeline.device, definition_encoder=encoder)
