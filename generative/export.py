"""A generative system as a folder of its own: model in, and out a causal LM's folder with settings and code.

`pipeline("padellm-ner", model=FOLDER, trust_remote_code=True)` loads it where this package is not installed, and so
does everything that loads causal LMs. It has a `config.json` of its own, because a second pipeline in that of JPT would
leave `pipeline(model=...)` with two tasks to choose from.
"""

import copy
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..schema_jpt import preset_folders
from .configuration_generative import CONFIG_KEY, GenerativeConfig

FILES = (
    "configuration_generative.py",
    "decoding.py",
    "examples.py",
    "export.py",
    "extraction.py",
    "formats.py",
    "parsing.py",
    "pipeline_generative.py",
)
PIPELINE = "pipeline_generative.GenerativePipeline"


def export(model, tokenizer, settings: GenerativeConfig, output: str | Path) -> Path:
    """
    Writes a folder that loads by itself. It appears, or replaces a folder of that name, once everything is written.

    Args:
        model ([`PreTrainedModel`]): A causal LM, adapters merged (`loading.load_causal_lm`); saved in its dtype.
        settings ([`GenerativeConfig`]): Written into `config.json`.

    Raises:
        ValueError: If `output` is a file, or a folder with something other than a model in it.
    """
    output = Path(output)
    if (
        output.exists()
        and not (output / "config.json").is_file()
        and not (output.is_dir() and not any(output.iterdir()))
    ):
        raise ValueError(f"`output` must be a new or an empty folder, or one of a model, got {str(output)!r}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        whole = Path(temporary) / "new"
        model.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
        config = copy.deepcopy(model.config)
        setattr(config, CONFIG_KEY, settings.to_dict())
        config.custom_pipelines = {settings.task: {"impl": PIPELINE, "pt": ["AutoModelForCausalLM"]}}
        config.save_pretrained(whole)
        _copy_code(whole, model.config.name_or_path or None)
        if output.exists():
            os.replace(output, Path(temporary) / "old")
        os.replace(whole, output)
    return output


def _copy_code(folder: Path, repository: str | None) -> None:
    """The runtime files, flat, as the Hub's loader wants them, and the presets."""
    schema_file = Path(sys.modules[preset_folders.__module__].__file__)
    for file in [*(Path(__file__).with_name(name) for name in FILES), schema_file]:
        code = file.read_text(encoding="utf-8").replace("from ..schema_jpt", "from .schema_jpt")
        (folder / file.name).write_text(code, encoding="utf-8")
    for presets in preset_folders(repository):
        if presets.is_dir():
            shutil.copytree(presets, folder / "schemas", dirs_exist_ok=True)
