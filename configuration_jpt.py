"""Configuration of a JPT model: the backbone, the trained parts around it, and how its probabilities are read.

Plain values only. What the values do is documented where they are used: `inputs_jpt` (prompt, windows),
`heads_jpt` (projections, heads, losses), `checkpoint_jpt` (LoRA), `definitions_jpt` (encoder), `spans_jpt` (decoding).
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from huggingface_hub.dataclasses import type_validator
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .optional_jpt import check_encoder_package
from .source_jpt import shown

# Ways to read a text; `reading_jpt` says what they are.
READINGS = ("twice", "open", "once", "twice-open")
# Far above any model's; a config that was tampered with is not to allocate all memory.
MAX_SIZE = 2**14
MAX_LAYERS = 8  # of a projection


class _Tasks(dict):
    """
    The tasks in `config.json`, as `pipeline` reads them. A single entry, because with two `pipeline` refuses a call without
    a task; it is also found under the names that transformers has for such tasks.
    """

    def __contains__(self, task):
        return super().__contains__(task) or task in ("token-classification", "ner")

    def __getitem__(self, task):
        # A copy, because `pipeline` adds classes to it, which cannot be saved.
        return dict(super().__getitem__(task if super().__contains__(task) else next(iter(self))))


class JPTConfig(PreTrainedConfig):
    r"""
    Configuration of [`JPTForTokenClassification`].

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the causal backbone, of any family `AutoModel` knows.
        backbone_name_or_path (`str`, *optional*):
            Where the frozen backbone's weights come from when the checkpoint holds the trained parts only.
        backbone_revision (`str`, *optional*):
            Hub revision of the backbone.
        backbone_layers (`int`, *optional*):
            Number of layers of the backbone to keep, from the first; hidden states are taken after the last of them and
            the backbone's final norm. Defaults to all.
        self_contained (`bool`, *optional*, defaults to `False`):
            Whether `model.safetensors` holds the whole model. If not, it holds LoRA, projections and classifiers.
        prompt_template (`str`, *optional*, defaults to `"paper"`):
            Name of the prompt wording in `inputs_jpt.PROMPT_TEMPLATES`; `"paper"` is Figure 6 of the paper.
        prompt_types (`str`, *optional*, defaults to `"definitions"`):
            Whether the prompt contains the types' `"definitions"` or their `"names"` alone.
        embedded_types (`str`, *optional*, defaults to `"definitions"`):
            Whether `"definitions"` or `"names"` are embedded, or the mean of `"both"`. In Table 4, "embedding only" and
            "prompt only" have names in one of the two places, "no definitions" in both.
        separator_ids (`list[int]`, *optional*):
            Token ids of the text between the two copies (SEP in Eq. 1), set from the tokenizer.
        max_length (`int`, *optional*, defaults to 4096):
            Longest sequence in tokens: prompt, both copies and the separator (Table 6).
        window_length (`int`, *optional*, defaults to 512):
            Longest piece of a text, in tokens of one copy, that is read at once.
        window_overlap (`int`, *optional*, defaults to 64):
            Tokens that neighbouring pieces of a long text share.
        readings (`list[str]`, *optional*):
            How the weights were trained to read texts, the default first (each of `READINGS`): `"twice"` as in the paper,
            `"once"` as in its "Single Pass" ablation (Table 4), `"open"` in one pass in which the tokens of a text see
            each other, `"twice-open"` in two copies in which they do. Defaults to `["twice"]`.
        auto_confidence (`float`, *optional*, defaults to 0.6):
            With `reading="auto"`, a text is read twice if any token's most probable label is less probable than this
            after the open reading.
        single_pass (`bool`, *optional*, defaults to `False`):
            Equivalent of `readings=["once"]` in checkpoints of earlier versions.
        projection_hidden_sizes (`list[int]`, *optional*, defaults to `[1024]`):
            Hidden sizes of the projection MLPs (Table 5: `[1024]` for 4B, `[1024, 512]` for 8B).
        projection_size (`int`, *optional*, defaults to 256):
            Size d_p of the space that tokens and types share.
        share_projections (`bool`, *optional*, defaults to `True`):
            Whether both heads read the same projections (A.2) or have their own (the counts of Table 5).
        type_embedding (`str`, *optional*, defaults to `"definition"`):
            Source of a type's embedding: `"definition"` (the text encoder, Eq. 3), `"prompt"` (the backbone's
            hidden state at the end of the type's line in the prompt) or `"both"` (their sum).
        definition_encoder (`str`, *optional*, defaults to `"Qwen/Qwen3-Embedding-8B"`):
            Identity of the text encoder that the model was trained with; others are refused.
        definition_encoder_size (`int`, *optional*, defaults to 4096):
            Size of the encoder's embeddings.
        begin_head (`bool`, *optional*, defaults to `False`):
            Whether a third head predicts where mentions of a type begin, so that adjacent mentions of one type are told
            apart. The paper's model has none.
        lora_rank (`int`, *optional*, defaults to 32), lora_alpha (`int`, *optional*, defaults to 64):
            Rank and scaling numerator of the adapters. Rank 0: none (frozen backbone, or merged).
        lora_dropout (`float`, *optional*, defaults to 0.0):
            Dropout on the adapters' input.
        lora_target_modules (`list[str]`, *optional*):
            Linear layers that get an adapter, by the last part of their name. Defaults to the attention projections.
        outside_weight (`float`, *optional*, defaults to 0.25):
            Weight of O tokens in the cross-entropy (w_O of A.2); entity tokens weigh 1.
        focal_gamma (`float`, *optional*, defaults to 2.5), positive_weight (`float`, *optional*, defaults to 5.0):
            Focusing exponent and positive weight of the sigmoid head's focal loss (A.2).
        begin_weight (`float`, *optional*, defaults to 1.0):
            Weight of the begin head's loss.
        switch_cost (`float`, *optional*, defaults to 2.0):
            Decoder: the transition penalty, in nats, from one type to another without an O between.
        outside_bias (`float`, *optional*, defaults to 0.0):
            Decoder: nats added to the log-probability of O; negative values give more spans, positive ones fewer.
        softmax_temperature (`float`, *optional*, defaults to 1.0), sigmoid_temperature (`float`, *optional*):
            Divisors of the heads' scores in the pipeline, which calibrate their probabilities.
        entity_types (`dict[str, str]`, *optional*):
            Default types of the pipeline, name to definition.
        custom_pipelines (`dict`, *optional*):
            Where `pipeline` finds the class of each task. Defaults to `pipeline_jpt`, next to the model.
    """

    model_type = "jpt"
    # So that a Trainer takes `logits` for the predictions.
    keys_to_ignore_at_inference = ["sigmoid_logits", "begin_logits"]
    sub_configs_defaults = {"text_config": SubConfigSpec(AutoConfig, model_type="qwen3")}

    text_config: dict | PreTrainedConfig | None = None
    backbone_name_or_path: str | None = None
    backbone_revision: str | None = None
    backbone_layers: int | None = None
    self_contained: bool = False
    prompt_template: str = "paper"
    prompt_types: str = "definitions"
    embedded_types: str = "definitions"
    separator_ids: list[int] | None = None
    max_length: int = 4096
    window_length: int = 512
    window_overlap: int = 64
    readings: list[str] | None = None
    auto_confidence: float = 0.6
    single_pass: bool = False
    projection_hidden_sizes: list[int] | None = None
    projection_size: int = 256
    share_projections: bool = True
    type_embedding: str = "definition"
    begin_head: bool = False
    definition_encoder: str = "Qwen/Qwen3-Embedding-8B"
    definition_encoder_size: int = 4096
    lora_rank: int = 32
    lora_alpha: int = 64
    lora_dropout: float = 0.0
    lora_target_modules: list[str] | None = None
    outside_weight: float = 0.25
    focal_gamma: float = 2.5
    positive_weight: float = 5.0
    begin_weight: float = 1.0
    switch_cost: float = 2.0
    outside_bias: float = 0.0
    softmax_temperature: float = 1.0
    sigmoid_temperature: float = 1.0
    entity_types: dict[str, str] | None = None
    custom_pipelines: dict | None = None

    def __post_init__(self, **kwargs):
        _refuse_labels({"id2label": self.id2label, "label2id": self.label2id, **kwargs})
        hints = {name: hint for name, hint in inspect.get_annotations(JPTConfig).items() if hasattr(self, name)}
        check_fields(hints, {name: getattr(self, name) for name in hints})
        self._check_dtypes()
        if self.projection_hidden_sizes is None:
            self.projection_hidden_sizes = [1024]
        if self.lora_target_modules is None:
            self.lora_target_modules = ["q_proj", "k_proj", "v_proj", "o_proj"]
        self._check_sizes()
        if self.readings is None:
            self.readings = ["once" if self.single_pass else "twice"]
        if not self.readings or not set(self.readings) <= set(READINGS):
            raise ValueError(f"`readings` must be some of {', '.join(map(repr, READINGS))}, got {self.readings!r}")
        self.single_pass = self.readings == ["once"]
        if self.prompt_types not in ("definitions", "names"):
            raise ValueError(f'`prompt_types` must be "definitions" or "names", got {self.prompt_types!r}')
        if self.embedded_types not in ("definitions", "names", "both"):
            raise ValueError(f'`embedded_types` must be "definitions", "names" or "both", got {self.embedded_types!r}')
        if self.type_embedding not in ("definition", "prompt", "both"):
            raise ValueError(f'`type_embedding` must be "definition", "prompt" or "both", got {self.type_embedding!r}')
        if not 0 <= self.window_overlap <= self.window_length // 2:
            raise ValueError(
                f"`window_overlap` must be between 0 and half of `window_length` ({self.window_length}), "
                f"got {self.window_overlap}"
            )
        self.custom_pipelines = _Tasks(
            self.custom_pipelines
            or {"jpt-ner": {"impl": "pipeline_jpt.JPTPipeline", "pt": ["AutoModelForTokenClassification"]}}
        )
        super().__post_init__(**kwargs)

    def _check_dtypes(self) -> None:
        inner = self.text_config if isinstance(self.text_config, dict) else {}
        for name, value in (
            ("dtype", self.dtype),
            ("text_config: dtype", inner.get("dtype", inner.get("torch_dtype"))),
        ):
            if isinstance(value, str) and value != "auto" and not isinstance(getattr(torch, value, None), torch.dtype):
                raise ValueError(f"`{name}` must be the name of a dtype such as float32, got {shown(value)}")

    def _check_sizes(self) -> None:
        sizes: Iterator[tuple[str, int | None]] = (
            (name, getattr(self, name)) for name in ("projection_size", "definition_encoder_size", "backbone_layers")
        )
        hidden = [("projection_hidden_sizes", size) for size in self.projection_hidden_sizes]
        for name, value in (*sizes, *hidden):
            if value is not None and not 1 <= value <= MAX_SIZE:
                raise ValueError(f"`{name}`: expected a number from 1 to {MAX_SIZE}, got {shown(value)}")
        if len(hidden) > MAX_LAYERS:
            raise ValueError(f"`projection_hidden_sizes`: expected up to {MAX_LAYERS} numbers, got {len(hidden)}")
        for name, minimum in (("window_length", 1), ("max_length", 1), ("lora_rank", 0)):
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name}`: expected a number from {minimum}, got {getattr(self, name)}")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """
        As `PreTrainedConfig.from_pretrained`.

        Raises:
            ImportError: If it is loaded for a pipeline that needs a missing package. Raised here, before anything large
                is downloaded.
            ValueError: If the values are not those of a JPT model, or labels are given.
        """
        found = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        config = found[0] if isinstance(found, tuple) else found
        if "_from_pipeline" in kwargs and config.type_embedding != "prompt":
            check_encoder_package(config.definition_encoder)
        return found

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """
        As `PreTrainedConfig.from_dict`.

        Raises:
            ValueError: If the values are those of another type of model, or labels are given.
        """
        _refuse_labels(kwargs)
        kind = config_dict.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise ValueError(f"the config is that of a model of type {kind!r}, not of a JPT model")
        try:
            return super().from_dict(config_dict, **kwargs)
        except (StrictDataclassError, AttributeError, KeyError, TypeError) as error:  # of the backbone's values
            raise ValueError(f"the config cannot be used: {' '.join(str(error).split())}") from error


def check_fields(hints: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """
    Whether values are of the types that the fields of a dataclass have, as huggingface_hub's strict dataclasses check
    it; a whole number is a number, too, and no number is infinite.

    Args:
        hints (`Mapping[str, Any]`): Types by the names of the fields; of others any value is taken.

    Raises:
        ValueError: For the first that is not, naming it.
    """
    for name, value in values.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint) or isinstance(value, float) and not math.isfinite(value):
            expected = hint.__name__ if isinstance(hint, type) else str(hint)
            raise ValueError(f"{name}: expected {expected.replace('typing.', '')}, got {shown(value)}")


def _fits(value: Any, hint: Any) -> bool:
    try:
        type_validator("value", value, hint)
    except TypeError:
        try:
            return type(value) is int and _fits(float(value), hint)
        except OverflowError:
            return False
    return True


def _refuse_labels(values: dict) -> None:
    """Refuses the labels of other token classifiers, except their default of two labels named by numbers."""
    for name in ("num_labels", "id2label", "label2id"):
        value = values.get(name)
        names = {*value.values(), *value.keys()} if isinstance(value, dict) else set()
        if value is not None and not (names and names <= {0, 1, "0", "1", "LABEL_0", "LABEL_1"}):
            raise ValueError(
                f"`{name}`: a JPT model has no fixed labels, it looks for any types that are described to it. Leave "
                "`num_labels`, `id2label` and `label2id` out; to train on tags, describe their types: "
                "`model.training_collator(tokenizer, entity_types={name: definition, ...})`"
            )


JPTConfig.register_for_auto_class()

__all__ = ["JPTConfig"]
