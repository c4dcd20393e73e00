"""Settings of a generative NER system: its output format, language and limits.

Plain values, stored in the `config.json` of an ordinary causal LM under the key `generative_ner`, so that any program for
causal LMs can still load the folder.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .chat_prompts import CHAT_WORDINGS
from .formats import GENERATIVE_SYSTEMS

CONFIG_KEY = "generative_ner"
TASKS = {"padellm-ner": ("padellm",), "autoreg-ner": ("autoreg-augmented", "autoreg-structured")}
LANGUAGES = ("en", "zh")
PROMPTS = ("trained", *CHAT_WORDINGS)
DEDUPLICATION = ("probability", "none", "reversed")


@dataclass(frozen=True)
class GenerativeConfig:
    """
    Settings of a generative system.

    Args:
        system (`str`, *optional*, defaults to `"padellm"`): One of `formats.GENERATIVE_SYSTEMS`.
        language (`str`, *optional*, defaults to `"en"`):
            Language of PaDeLLM's template, `"en"` or `"zh"` (Table 11 of the paper).
        prompt (`str`, *optional*, defaults to `"trained"`):
            `"trained"`: the templates that models are trained on. `"chat"` and `"ye2023"`: a task description for a
            causal LM that was not trained for NER (`chat_prompts`).
        max_new_tokens (`int`, *optional*, defaults to 512): Maximum length of one generated sequence (Section 4.1).
        deduplication (`str`, *optional*, defaults to `"probability"`):
            PaDeLLM: of a mention found under several labels, keep the most probable one (Section 3.3). `"none"` keeps
            all of them, `"reversed"` the least probable one (Table 6).
        reuse_text (`bool`, *optional*, defaults to `True`):
            Compute the KV cache of common prefixes once. Same output, less work.
        early_quit (`bool`, *optional*, defaults to `True`):
            Remove finished sequences from the batch. Same output, less work.
        mode (`str`, *optional*, defaults to `"batch"`):
            PaDeLLM: `"batch"` decodes all sequences on one device, `"multi"` one sequence per device (Section 4.1).
        definitions (`bool`, *optional*, defaults to `False`):
            Write the definition of a type after its label; for models that were trained with definitions.
        entity_types (`dict[str, str]`, *optional*): Default types, name to definition.

    Raises:
        ValueError: If a value is not as described.
    """

    system: str = "padellm"
    language: str = "en"
    prompt: str = "trained"
    max_new_tokens: int = 512
    deduplication: str = "probability"
    reuse_text: bool = True
    early_quit: bool = True
    mode: str = "batch"
    definitions: bool = False
    entity_types: dict[str, str] | None = None

    def __post_init__(self):
        _check_choice("system", self.system, GENERATIVE_SYSTEMS)
        _check_choice("language", self.language, LANGUAGES)
        _check_choice("prompt", self.prompt, PROMPTS)
        _check_choice("deduplication", self.deduplication, DEDUPLICATION)
        _check_choice("mode", self.mode, ("batch", "multi"))
        if not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise ValueError(f"`max_new_tokens` must be a whole number from 1, got {self.max_new_tokens!r}")

    @property
    def task(self) -> str:
        """Name of the pipeline."""
        return next(task for task, systems in TASKS.items() if self.system in systems)

    @property
    def is_padellm(self) -> bool:
        """Whether a count and each mention have sequences of their own."""
        return self.system == "padellm" and self.prompt == "trained"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_model_config(cls, config) -> "GenerativeConfig | None":
        """The settings in a model's configuration (an object, or `config.json` as a dict); `None` if there are none."""
        read = config.get if isinstance(config, Mapping) else lambda key: getattr(config, key, None)
        values = read(CONFIG_KEY)
        if values is None:
            return None
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"`{CONFIG_KEY}` in config.json has the unknown key {unknown[0]!r}")
        return cls(**values)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, got {value!r}")
