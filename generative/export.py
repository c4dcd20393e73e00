"""Export of a generative system: a model in, a causal LM's folder with settings and code out.

`pipeline("padellm-ner", model=FOLDER, trust_remote_code=True)` loads it where this package is not installed, and so
does everything that loads causal LMs. It has a `config.json` of its own, because with a second pipeline in that of JPT
`pipeline(model=...)` could not tell which task is meant.
"""

import copy
import re
import sys
from pathlib import Path

from ..atomic_jpt import atomic_folder, new_folder
from ..schema_jpt import Schema
from .configuration_generative import CONFIG_KEY, GenerativeConfig

FILES = (
    "chat_prompts.py",
    "configuration_generative.py",
    "decoding.py",
    "examples.py",
    "export.py",
    "extractors.py",
    "formats.py",
    "parsing.py",
    "pipeline_generative.py",
)
SHARED = ("atomic_jpt.py", "entity_pipeline_jpt.py", "presets_jpt.py", "schema_jpt.py", "words_jpt.py")
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
    if not (output / "config.json").is_file():
        new_folder(output)
    with atomic_folder(output) as whole:
        model.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
        config = copy.deepcopy(model.config)
        setattr(config, CONFIG_KEY, settings.to_dict())
        config.custom_pipelines = {settings.task: {"impl": PIPELINE, "pt": ["AutoModelForCausalLM"]}}
        config.save_pretrained(whole)
        _copy_code(whole)
    return output


def _copy_code(folder: Path) -> None:
    """The runtime files, flat, as the Hub's loader wants them."""
    shared_folder = Path(sys.modules[Schema.__module__].__file__).parent
    for file in [*(Path(__file__).with_name(name) for name in FILES), *(shared_folder / name for name in SHARED)]:
        code = re.sub(r"^from \.\.(\w+) import", r"from .\1 import", file.read_text(encoding="utf-8"), flags=re.M)
        (folder / file.name).write_text(code, encoding="utf-8")
