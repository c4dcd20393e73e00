"""Loading of generative systems: an exported folder, a trained one, or any causal LM in, a pipeline out."""

import dataclasses
import json
from pathlib import Path

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import cached_file

from ..atomic_jpt import new_folder
from ..backbone_jpt import damaged_files_named, resolve_backbone
from ..optional_jpt import import_optional
from .configuration_generative import GenerativeConfig
from .pipeline_generative import GenerativePipeline

HUB_TIMEOUT = 5.0  # seconds


def read_settings(checkpoint: str | Path) -> GenerativeConfig | None:
    """
    The settings of a generative system in a folder or a Hub repository; `None` for other models, and if it does not exist or
    cannot be reached.

    Raises:
        ValueError: If its config is not a JSON object.
    """
    try:
        source = resolve_backbone(str(checkpoint))
        if not Path(source).is_dir() and not _in_reach(source):
            return None
        found = cached_file(source, "config.json")
    except OSError:
        return None
    try:
        values = json.loads(Path(found).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{found}: broken JSON ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{found}: expected an object of keys and values, got a {type(values).__name__}")
    return GenerativeConfig.from_model_config(values)


def _in_reach(name: str) -> bool:
    """Whether a Hub repository is in the cache or responds. A single request: without a network, downloads retry for long."""
    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return True
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=HUB_TIMEOUT)
    except Exception:  # no network, no such repository or no access
        return False
    return True


def load_causal_lm(checkpoint: str | Path, backbone: str | None = None, dtype: torch.dtype = torch.float32):
    """
    Loads a causal LM, with its adapters merged if the checkpoint has any.

    Args:
        checkpoint: Folder of adapters from training; or folder or Hub id of a causal LM, which
            `backbone_jpt.resolve_backbone` finds.
        backbone (*optional*): Where to find the backbone, instead of the place that the adapters name.
        dtype: Of the weights; adapters are always merged in float32.

    Raises:
        OSError: If the checkpoint or its backbone cannot be found.
        ValueError: If it lacks weights, such as the head of a causal LM.
    """
    checkpoint = str(checkpoint)
    adapters = Path(checkpoint) / "adapter_config.json"
    if not adapters.is_file():
        return _load_whole(resolve_backbone(checkpoint), dtype)
    peft = import_optional("peft", f"a checkpoint of adapters such as {checkpoint!r}")
    named = json.loads(adapters.read_text(encoding="utf-8"))["base_model_name_or_path"]
    base = _load_whole(resolve_backbone(backbone or named), torch.float32)
    with damaged_files_named(f"a weight file of {checkpoint!r}"):
        model = peft.PeftModel.from_pretrained(base, checkpoint).merge_and_unload()
    return model.to(dtype)


def _load_whole(source: str, dtype: torch.dtype):
    with damaged_files_named(f"a weight file of {source!r}"):
        model, report = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, output_loading_info=True)
    if report["missing_keys"]:
        raise ValueError(
            f"{source!r} is not a complete causal LM: {', '.join(sorted(report['missing_keys'])[:3])} are missing"
        )
    return model


def convert_generative(checkpoint: str | Path, output: str | Path, dtype: str = "float32") -> tuple[int, int]:
    """
    Exports a trained folder: adapters merged, with settings and code.

    Returns:
        `tuple[int, int]`: Bytes of the weights before and after.

    Raises:
        ValueError: If the folder exists and is not empty.
    """
    output = new_folder(output)
    pipeline = load_pipeline(checkpoint, device="cpu", dtype=getattr(torch, dtype))
    pipeline.save_pretrained(output)
    before, after = (
        sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) for folder in (checkpoint, output)
    )
    return before, after


def load_pipeline(
    checkpoint: str | Path,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    backbone: str | None = None,
    settings: GenerativeConfig | None = None,
    **changes,
) -> GenerativePipeline:
    """
    The pipeline of a generative system.

    Args:
        checkpoint: As for `load_causal_lm`.
        device (*optional*): Defaults to the best available.
        dtype (*optional*): Defaults to bfloat16 on a GPU and float32 elsewhere.
        settings (*optional*): Instead of those in the checkpoint.
        changes: Settings to change.
    """
    settings = dataclasses.replace(settings or read_settings(checkpoint) or GenerativeConfig(), **changes)
    if dtype is None:
        on_gpu = torch.cuda.is_available() if device is None else str(device).startswith("cuda")
        dtype = torch.bfloat16 if on_gpu else torch.float32
    model = load_causal_lm(checkpoint, backbone, dtype)
    has_tokenizer = (Path(checkpoint) / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(str(checkpoint) if has_tokenizer else model.config.name_or_path)
    return GenerativePipeline(model=model, tokenizer=tokenizer, device=device, settings=settings)
