"""Export of a generative system: a model in, a causal LM's folder with settings and code out.

`pipeline("padellm-ner", model=FOLDER, trust_remote_code=True)` loads it without this package, and so does any program for
causal LMs. It has its own `config.json`, because with a second pipeline in JPT's, `pipeline(model=...)` could not tell which
task is meant.
"""

import copy
import re
import sys
from pathlib import Path

from ..atomic_jpt import MODEL_FILES, atomic_folder, new_folder
from ..schema_jpt import Schema
from .configuration_generative import CONFIG_KEY, GenerativeConfig

PIPELINE = "pipeline_generative.GenerativePipeline"


def export(model, tokenizer, settings: GenerativeConfig, output: str | Path) -> Path:
    """
    Writes a folder that loads on its own. It appears, or replaces the model in a folder of that name, once everything is
    written. Other files in the folder (`README.md`, `.git`) stay.

    Args:
        model ([`PreTrainedModel`]): A causal LM, adapters merged (`loading.load_causal_lm`); saved in its dtype.
        settings ([`GenerativeConfig`]): Written into `config.json`.

    Raises:
        ValueError: If `output` is a file, or a folder that is not empty and has no model (`config.json`) in it.
    """
    output = Path(output)
    if not (output / "config.json").is_file():
        new_folder(output)
    with atomic_folder(output, replaced=MODEL_FILES) as whole:
        model.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
        config = copy.deepcopy(model.config)
        setattr(config, CONFIG_KEY, settings.to_dict())
        config.custom_pipelines = {settings.task: {"impl": PIPELINE, "pt": ["AutoModelForCausalLM"]}}
        config.save_pretrained(whole)
        _copy_code(whole)
    return output


def runtime_files() -> dict[str, Path]:
    """The files that the pipeline needs, by name: its own, and all files of this project that they import."""
    folders = Path(__file__).parent, Path(sys.modules[Schema.__module__].__file__).parent
    found: dict[str, Path] = {}
    waiting = ["pipeline_generative"]
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in found:
            found[name] = next(folder / name for folder in folders if (folder / name).is_file())
            code = found[name].read_text(encoding="utf-8")
            waiting += re.findall(r"^ *from \.{1,2}(\w+) import", code, flags=re.M)
    return found


def _copy_code(folder: Path) -> None:
    """Copies the runtime files into one flat folder, as the Hub's loader requires."""
    for name, file in runtime_files().items():
        code = re.sub(r"^from \.\.(\w+) import", r"from .\1 import", file.read_text(encoding="utf-8"), flags=re.M)
        (folder / name).write_text(code, encoding="utf-8")
