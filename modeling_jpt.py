"""The model: texts once, prompts and definition embeddings in; scores of every token for every type out.

`JPTForTokenClassification.forward` duplicates the texts, runs the backbone and hands the second copies to the heads of
`heads_jpt`. Token ids come from `inputs_jpt`, spans are read by `spans_jpt`.
"""

import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, cached_file, can_return_tuple, logging

from .attention_jpt import PACKED_ATTENTION, PackedLayout, Segment
from .backbone_jpt import damaged_files_named, load_backbone
from .configuration_jpt import JPTConfig
from .fused_jpt import fused_backbone
from .heads_jpt import JPTClassifier, JPTHead, classification_loss
from .schema_jpt import preset_folders

logger = logging.get_logger(__name__)

LORA_ADAPTER = "default"


@dataclass
class EncodedPrompt:
    """
    A prompt that the backbone has read, for any number of texts to continue.

    Args:
        input_ids (`Tensor` of shape `(prompt_length,)`): Its token ids.
        type_states (`Tensor` of shape `(types, hidden_size)`): Hidden states at the ends of the types' lines.
        states (`list[tuple[Tensor, Tensor]]`):
            Keys and values per layer, each `(key_value_heads, prompt_length, head_dim)`. Empty if the attention
            backend keeps none; the prompt is then read again with every text.
    """

    input_ids: torch.Tensor
    type_states: torch.Tensor
    states: list[tuple[torch.Tensor, torch.Tensor]]

    @property
    def memory(self) -> int:
        """Bytes held by the keys and values."""
        return sum(key.nbytes + value.nbytes for key, value in self.states)


@dataclass
class JPTTokenClassifierOutput(ModelOutput):
    """
    Args:
        loss (`Tensor` of shape `(1,)`, *optional*): Cross-entropy plus focal loss, when labels were given.
        logits (`Tensor` of shape `(batch, n, 1 + types)`):
            Softmax head; index 0 is O. Types a text was not asked for, and padding, have the lowest finite value.
        sigmoid_logits (`Tensor` of shape `(batch, n, types)`): Sigmoid head, one binary decision per type.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    sigmoid_logits: torch.Tensor | None = None

    def probabilities(self) -> torch.Tensor:
        """
        Mean of both heads (A.2), shape `(batch, n, 1 + types)`. The sigmoid head's probability of O is taken as one
        minus its largest type probability.
        """
        softmax = self.logits.float().softmax(-1)
        sigmoid = self.sigmoid_logits.float().sigmoid()
        outside = 1 - sigmoid.amax(-1, keepdim=True)
        return (softmax + torch.cat([outside, sigmoid], dim=-1)) / 2


class JPTPreTrainedModel(PreTrainedModel):
    config: JPTConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = {"head"}

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, JPTClassifier):
            # A scaled identity: from the first step on, tokens and types are compared by their similarity.
            size = module.weight.in_features
            init.copy_(module.weight.weight, torch.eye(size) / size**0.5)
            init.zeros_(module.bias.weight)
            init.zeros_(module.bias.bias)


class JPTForTokenClassification(JPTPreTrainedModel):
    """
    Just Pass Twice: token classification with a causal language model and definitions of types.

    Build an untrained model around a backbone with [`~JPTForTokenClassification.from_backbone`], load a trained one
    with [`~JPTForTokenClassification.from_pretrained`].
    """

    def __init__(self, config: JPTConfig, backbone: PreTrainedModel | None = None):
        if config._attn_implementation is None:
            config._attn_implementation = PACKED_ATTENTION
        super().__init__(config)
        self.model = AutoModel.from_config(config.text_config) if backbone is None else backbone
        self.head = JPTHead(config, config.get_text_config().hidden_size)
        self.post_init()

    # Construction, loading and saving

    @classmethod
    def from_backbone(
        cls,
        backbone_name_or_path: str,
        *,
        separator_ids: list[int],
        revision: str | None = None,
        load_options: dict | None = None,
        **config_values,
    ) -> "JPTForTokenClassification":
        """
        An untrained JPT model: a frozen backbone with fresh adapters, projections and classifiers.

        Args:
            backbone_name_or_path (`str`): Where the backbone's weights are; see `backbone_jpt`.
            separator_ids (`list[int]`): Token ids of SEP, from `inputs_jpt.separator_ids(tokenizer)`.
            revision (`str`, *optional*): Hub revision of the backbone.
            load_options (`dict`, *optional*):
                Options of `AutoModel.from_pretrained` for the backbone: `dtype`, `device_map`,
                `quantization_config`, `attn_implementation` ...
            config_values: Values of [`JPTConfig`].
        """
        options = {"attn_implementation": PACKED_ATTENTION, **(load_options or {})}
        layers = config_values.get("backbone_layers")
        backbone = load_backbone(backbone_name_or_path, layers, revision=revision, **options)
        config = JPTConfig(
            text_config=backbone.config,
            backbone_name_or_path=backbone_name_or_path,
            backbone_revision=revision,
            separator_ids=separator_ids,
            **config_values,
        )
        model = cls._around(config, backbone, options["attn_implementation"])
        model.add_lora()
        return model

    @classmethod
    def _around(cls, config: JPTConfig, backbone: PreTrainedModel, attention: str) -> "JPTForTokenClassification":
        for module in backbone.modules():
            module._is_hf_initialized = True  # `post_init` must not touch loaded weights.
        config._attn_implementation = attention
        config.get_text_config().name_or_path = config.backbone_name_or_path  # not the folder it was found in
        model = cls(config, backbone)
        model.head.to(device=backbone.device, dtype=torch.float32)
        return model.eval()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *model_args,
        config: JPTConfig | None = None,
        is_trainable: bool = False,
        backbone: str | None = None,
        **kwargs,
    ):
        """
        Loads either checkpoint form. A self-contained one loads like any model. For the trained-parts form the backbone
        is found through `backbone_jpt`, and the adapters are merged into it, which needs no peft.

        Args:
            is_trainable (`bool`, *optional*, defaults to `False`):
                Keep the adapters apart, to train on (as peft's argument of that name does). The backbone is frozen
                then, and saving gives the trained-parts form again.
            backbone (`str`, *optional*): Path or Hub id to take the backbone from, instead of the config's.
            kwargs: As in `PreTrainedModel.from_pretrained`.

        Raises:
            OSError: If the checkpoint or the backbone cannot be found.
            ValueError: If the checkpoint does not fit the config or the backbone.
        """
        hub_options = {name: kwargs[name] for name in _HUB_OPTIONS if kwargs.get(name) is not None}
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None))
        attention = kwargs.pop("attn_implementation", None)
        if config is None:
            config, kwargs = JPTConfig.from_pretrained(
                pretrained_model_name_or_path, return_unused_kwargs=True, **{**kwargs, **hub_options}
            )
        config = deepcopy(config)  # which is written to below
        # The auto classes and `pipeline` have put it into the config by now.
        attention = attention or config._attn_implementation or PACKED_ATTENTION
        kwargs |= {
            **hub_options,
            "attn_implementation": attention,
            "dtype": _resolve_dtype(dtype, config, kwargs.get("device_map")),
        }
        if config.self_contained:
            if is_trainable:
                raise ValueError(
                    "`is_trainable`: a self-contained checkpoint has no adapters to train on; give the trained-parts "
                    "form that it was made from"
                )
            return cls._load_self_contained(pretrained_model_name_or_path, *model_args, config=config, **kwargs)

        with damaged_files_named(f"model.safetensors of {str(pretrained_model_name_or_path)!r}"):
            weights = load_file(cached_file(pretrained_model_name_or_path, "model.safetensors", **hub_options))
        module = load_backbone(
            backbone or config.backbone_name_or_path,
            config.backbone_layers,
            revision=None if backbone else config.backbone_revision,
            **{name: kwargs[name] for name in _BACKBONE_OPTIONS if kwargs.get(name) is not None},
        )
        config.text_config = module.config
        model = cls._around(config, module, attention)
        model.config.name_or_path = str(pretrained_model_name_or_path)
        lora = {name: weights.pop(name) for name in list(weights) if ".lora_" in name}
        model._load_exactly(weights, model.head, "head.")
        if any(weight.is_meta for weight in module.parameters()):
            raise ValueError(
                "`device_map` offloads a part of the backbone, where adapters have no effect; convert the checkpoint to "
                "the self-contained form, which can be offloaded"
            )
        mergeable = not getattr(module.config, "_is_quantized", False)
        if is_trainable or (lora and not mergeable):
            model.add_lora()
            model._load_exactly(lora, model.model, "model.", only=".lora_")
            if not is_trainable:
                model.requires_grad_(False)
        else:
            model._merge_lora(lora)
            model.config.self_contained = True
            model.config.lora_rank = 0
        # An adapter of someone's own on top, which the auto classes have found in the folder they were given.
        adapter_options = dict(kwargs.get("adapter_kwargs") or {})
        if adapter := adapter_options.pop("_adapter_model_path", None):
            model.load_adapter(adapter, adapter_kwargs=adapter_options)
        return model

    @classmethod
    def _load_self_contained(cls, name_or_path, *model_args, output_loading_info: bool = False, **kwargs):
        with damaged_files_named(f"model.safetensors of {str(name_or_path)!r}"):
            model, info = super().from_pretrained(name_or_path, *model_args, output_loading_info=True, **kwargs)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(
                f"`pretrained_model_name_or_path`: the checkpoint does not fit its config in {len(missing)} tensors, "
                f"such as {missing[0]!r}, which are missing"
            )
        return (model, info) if output_loading_info else model

    def _load_exactly(self, weights: dict[str, torch.Tensor], module: nn.Module, prefix: str, only: str = "") -> None:
        own = {prefix + name: tensor for name, tensor in module.state_dict().items() if only in name}
        _check_fit({name: tensor.shape for name, tensor in own.items()}, weights)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])

    def add_lora(self) -> None:
        """
        Adds trainable low-rank adapters to the frozen backbone, as the config says (Table 5). From here on saving
        gives the trained-parts form.
        """
        self.model.requires_grad_(False)
        if self.config.lora_rank:
            from peft import LoraConfig, inject_adapter_in_model

            lora = LoraConfig(
                r=self.config.lora_rank,
                lora_alpha=self.config.lora_alpha,
                lora_dropout=self.config.lora_dropout,
                target_modules=list(self.config.lora_target_modules),
            )
            inject_adapter_in_model(lora, self.model, adapter_name=LORA_ADAPTER)
            for name, parameter in self.model.named_parameters():
                if ".lora_" in name:
                    parameter.data = parameter.data.float()
        self.config.self_contained = False
        self._keys_to_ignore_on_save = [
            name for name in self.state_dict() if name.startswith("model.") and ".lora_" not in name
        ]

    @torch.no_grad()
    def _merge_lora(self, weights: dict[str, torch.Tensor]) -> None:
        targets = self.config.lora_target_modules
        layers = {
            f"model.{name}": module
            for name, module in self.model.named_modules()
            if self.config.lora_rank and name.rpartition(".")[2] in targets
        }
        expected = {}
        for name, layer in layers.items():
            if not isinstance(layer, nn.Linear):
                raise ValueError(f"{name!r} is no linear layer: load with `is_trainable=True` to keep adapters apart")
            expected[f"{name}.lora_A.{LORA_ADAPTER}.weight"] = torch.Size([self.config.lora_rank, layer.in_features])
            expected[f"{name}.lora_B.{LORA_ADAPTER}.weight"] = torch.Size([layer.out_features, self.config.lora_rank])
        _check_fit(expected, weights)
        for name, layer in layers.items():
            weight = layer.weight
            lora_a, lora_b = (
                weights[f"{name}.lora_{part}.{LORA_ADAPTER}.weight"].to(weight.device).float() for part in "AB"
            )
            delta = lora_b @ lora_a * (self.config.lora_alpha / self.config.lora_rank)
            weight.copy_((weight.float() + delta).to(weight.dtype))

    def merge_lora(self) -> None:
        """
        Merges the adapters into the backbone's weights, in place. Saving then gives the self-contained form.

        Raises:
            ValueError: If the backbone is quantized.
        """
        if getattr(self.model.config, "_is_quantized", False):
            raise ValueError("adapters cannot be merged into a quantized backbone; load it without quantization")
        lora = {name: tensor for name, tensor in self.state_dict().items() if ".lora_" in name}
        for name, module in list(self.named_modules()):
            if hasattr(module, "base_layer"):
                parent, _, child = name.rpartition(".")
                setattr(self.get_submodule(parent), child, module.base_layer)
        self._merge_lora(lora)
        self.config.self_contained = True
        self.config.lora_rank = 0
        self._keys_to_ignore_on_save = None

    def save_pretrained(self, save_directory, **kwargs):
        """Saves the model with its code and schema presets, in the form it is in: with adapters, the trained parts."""
        if not self.config.self_contained:
            kwargs["max_shard_size"] = "1TB"  # trained parts are small, and always in one file
        super().save_pretrained(save_directory, **kwargs)
        target = Path(save_directory) / "schemas"
        for source in preset_folders(self.config.name_or_path or None):
            if source.is_dir() and source.resolve() != target.resolve():
                shutil.copytree(source, target, dirs_exist_ok=True)
                break

    def as_pipeline(self, tokenizer, **kwargs):
        """The `jpt-ner` pipeline around this model."""
        # Saving the model copies this import's file too, so that a fine-tuned folder is complete.
        from .pipeline_jpt import JPTPipeline

        return JPTPipeline(model=self, tokenizer=tokenizer, **kwargs)

    # Computation

    def _is_packed(self) -> bool:
        return self.model.config._attn_implementation == PACKED_ATTENTION

    def _double(self, text: torch.Tensor) -> torch.Tensor:
        """`x` to `x SEP x` (Eq. 1)."""
        if self.config.single_pass:
            return text
        separator = torch.tensor(self.config.separator_ids, dtype=text.dtype, device=text.device)
        return torch.cat([text, separator, text])

    def _check_length(self, length: int) -> None:
        # Some backbones know no positions, and so no longest one.
        own_limit = getattr(self.model.config, "max_position_embeddings", self.config.max_length)
        limit = min(self.config.max_length, own_limit)
        if length > limit:
            raise ValueError(
                f"`input_ids`: prompt and doubled text take {length} tokens, {length - limit} over the limit of {limit}"
            )

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[torch.Tensor], type_positions: Sequence[torch.Tensor]
    ) -> list[EncodedPrompt]:
        """
        Reads prompts once, for any number of later `forward` calls.

        Args:
            prompts (`Sequence[Tensor]`): Token ids of each prompt, each of shape `(prompt_length,)`.
            type_positions (`Sequence[Tensor]`): Positions of each prompt's types, each of shape `(types,)`.
        """
        encoded = []
        for input_ids, positions in zip(prompts, type_positions, strict=True):
            self._check_length(len(input_ids))
            input_ids = input_ids.to(self.model.device)
            layout = PackedLayout([Segment(0, len(input_ids))], keep_states=True)
            if self._is_packed():
                (states,) = self._read_row(layout, input_ids, torch.arange(len(input_ids), device=input_ids.device))
            else:
                states = self.model(input_ids=input_ids[None], use_cache=False).last_hidden_state[0]
            cache = [layout.states[layer] for layer in sorted(layout.states)]
            encoded.append(EncodedPrompt(input_ids, states[positions.to(states.device)], cache))
        return encoded

    def _read_row(
        self, layout: PackedLayout, input_ids: torch.Tensor, position_ids: torch.Tensor
    ) -> list[torch.Tensor]:
        """Hidden states of each segment's wanted tokens."""
        fused = fused_backbone(self.model)
        if fused is not None:
            states = fused.read(self.model, layout, input_ids, position_ids)
            return list(states.split([len(segment.wanted) for segment in layout.segments]))
        states = self.model(
            input_ids=input_ids[None], position_ids=position_ids[None], use_cache=False, packed_layout=layout
        ).last_hidden_state[0]
        layout.check_followed(self.model.config)
        return [states[segment.wanted.start : segment.wanted.stop] for segment in layout.segments]

    def _read_packed(
        self, texts: list[torch.Tensor], index: list[int], prompts: list[torch.Tensor], encoded: list[EncodedPrompt]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """One row without padding. Returns hidden states per text (last copy) and per prompt of the row."""
        pieces, positions, segments, start = [], [], [], 0
        lengths = [len(prompt.input_ids) for prompt in encoded] + [len(prompt) for prompt in prompts]
        for prompt in prompts:
            segments.append(Segment(start, start + len(prompt)))
            pieces.append(prompt)
            positions.append(torch.arange(len(prompt), device=prompt.device))
            start += len(prompt)
        for text, prompt in zip(texts, index, strict=True):
            doubled = self._double(text)
            self._check_length(lengths[prompt] + len(doubled))
            segments.append(Segment(start, start + len(doubled), prompt, read=len(text)))
            pieces.append(doubled)
            positions.append(torch.arange(lengths[prompt], lengths[prompt] + len(doubled), device=text.device))
            start += len(doubled)
        layout = PackedLayout(segments, prompt_states=[prompt.states for prompt in encoded])
        states = self._read_row(layout, torch.cat(pieces), torch.cat(positions))
        return states[len(prompts) :], states[: len(prompts)]

    def _read_rows(
        self, texts: list[torch.Tensor], index: list[int], prompts: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """One right-padded row per text, for any attention backend. Duplicates first, then pads."""
        rows = [torch.cat([prompts[prompt], self._double(text)]) for text, prompt in zip(texts, index, strict=True)]
        self._check_length(max(len(row) for row in rows))
        input_ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        states = self.model(input_ids=input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        text_states = [
            states[i, len(row) - len(text) : len(row)] for i, (row, text) in enumerate(zip(rows, texts, strict=True))
        ]
        first = {prompt: row for row, prompt in reversed(list(enumerate(index)))}
        prompt_states = [
            states[first[i], : len(prompt)] if i in first else states.new_zeros(len(prompt), states.shape[-1])
            for i, prompt in enumerate(prompts)
        ]
        return text_states, prompt_states

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        prompt_index: torch.Tensor | None = None,
        type_positions: torch.Tensor | None = None,
        definition_embeddings: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        encoded_prompts: list[EncodedPrompt] | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs,
    ) -> JPTTokenClassifierOutput:
        """
        Args:
            input_ids (`Tensor` of shape `(batch, n)`): Texts, once each. They are duplicated here.
            attention_mask (`Tensor` of shape `(batch, n)`, *optional*): 1 for tokens, 0 for padding on either side.
            prompt_input_ids (`Tensor` of shape `(prompts, prompt_length)`): From `inputs_jpt.build_prompt`.
            prompt_attention_mask (`Tensor` of shape `(prompts, prompt_length)`, *optional*): Likewise for prompts.
            prompt_index (`Tensor` of shape `(batch,)`, *optional*):
                Prompt of each text. Defaults to the only prompt, or to the i-th for the i-th text.
            type_positions (`Tensor` of shape `(prompts, types)`):
                Positions of the types in their prompt, counted without padding; -1 where a prompt has fewer types.
            definition_embeddings (`Tensor` of shape `(prompts, 1 + types, encoder_size)`):
                Embedded definitions, O first. Not needed if `config.type_embedding` is `"prompt"`.
            labels (`Tensor` of shape `(batch, n)`, *optional*): 0 for O, j for the j-th type, -100 to ignore.
            encoded_prompts (`list[EncodedPrompt]`, *optional*):
                From `encode_prompts`, in place of `prompt_input_ids`, `prompt_attention_mask` and `type_positions`.
            num_items_in_batch (`Tensor` or `int`, *optional*):
                What the loss is divided by, given by the Trainer under gradient accumulation. Defaults to the number
                of labels.

        Raises:
            ValueError: If prompts are missing, indices are out of range or a sequence is too long.
        """
        device = self.model.device
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.bool()
        texts = [row[keep].to(device) for row, keep in zip(input_ids, mask, strict=True)]
        encoded = encoded_prompts or []
        if encoded:
            prompts = []
            counts = [len(prompt.type_states) for prompt in encoded]
        elif prompt_input_ids is None or type_positions is None:
            raise ValueError(
                "`prompt_input_ids` and `type_positions`, or `encoded_prompts`, must be given; to tag texts, use "
                "`model.as_pipeline(tokenizer)`"
            )
        else:
            if prompt_attention_mask is None:
                prompt_attention_mask = torch.ones_like(prompt_input_ids)
            prompts = [
                row[keep].to(device) for row, keep in zip(prompt_input_ids, prompt_attention_mask.bool(), strict=True)
            ]
            counts = (type_positions >= 0).sum(-1).tolist()
        index = self._resolve_prompt_index(prompt_index, len(texts), len(counts))
        if self.config.type_embedding != "prompt":
            self._check_definitions(definition_embeddings, counts)

        if self._is_packed():
            text_states, prompt_states = self._read_packed(texts, index, prompts, encoded)
        else:
            rows = [prompt.input_ids for prompt in encoded] if encoded else prompts
            text_states, prompt_states = self._read_rows(texts, index, rows)
        if encoded:
            type_states = [prompt.type_states for prompt in encoded]
        else:
            type_states = [
                states[positions[:count].to(states.device)]
                for states, positions, count in zip(prompt_states, type_positions, counts, strict=True)
            ]

        batch, n = input_ids.shape
        logits = text_states[0].new_full(
            (batch, n, 1 + max(counts)), torch.finfo(torch.float32).min, dtype=torch.float32
        )
        sigmoid_logits = logits[..., 1:].clone()
        loss = None if labels is None else logits.new_zeros(())
        mask = mask.to(logits.device)
        if labels is not None:
            labels = labels.to(logits.device).masked_fill(~mask, -100)
        for prompt, count in enumerate(counts):
            members = [i for i, chosen in enumerate(index) if chosen == prompt]
            if not members:
                continue
            definitions = None
            if self.config.type_embedding != "prompt":
                definitions = definition_embeddings[prompt, : 1 + count].to(device)
            states = torch.cat([text_states[i] for i in members])
            softmax_scores, sigmoid_scores = self.head(states, definitions, type_states[prompt])
            softmax_scores, sigmoid_scores = softmax_scores.float(), sigmoid_scores.float()
            if labels is not None:
                chosen = torch.cat([labels[i][mask[i]] for i in members])
                loss = loss + classification_loss(softmax_scores, sigmoid_scores, chosen, self.config)
            rows = torch.cat([torch.full((len(texts[i]),), i, device=mask.device) for i in members])
            columns = torch.cat([mask[i].nonzero()[:, 0] for i in members])
            logits[rows, columns, : 1 + count] = softmax_scores
            sigmoid_logits[rows, columns, :count] = sigmoid_scores
        if loss is not None:
            items = (labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
            loss = loss / items
        return JPTTokenClassifierOutput(loss=loss, logits=logits, sigmoid_logits=sigmoid_logits)

    def _resolve_prompt_index(self, prompt_index: torch.Tensor | None, texts: int, prompts: int) -> list[int]:
        if prompt_index is not None:
            index = prompt_index.tolist()
        elif prompts == 1:
            index = [0] * texts
        else:
            index = list(range(texts))
        if len(index) != texts or not all(0 <= i < prompts for i in index):
            raise ValueError(
                f"`prompt_index` must name one of {prompts} prompts for each of {texts} texts, got {index[:10]}"
            )
        return index

    def _check_definitions(self, definition_embeddings: torch.Tensor | None, counts: list[int]) -> None:
        if definition_embeddings is None:
            raise ValueError(
                "`definition_embeddings` must be given: this model matches tokens with embedded definitions"
            )
        prompts, types, size = definition_embeddings.shape
        if prompts != len(counts) or types < 1 + max(counts) or size != self.config.definition_encoder_size:
            raise ValueError(
                f"`definition_embeddings` must be of shape ({len(counts)}, {1 + max(counts)}, "
                f"{self.config.definition_encoder_size}): prompts, O and types, size of the encoder; got "
                f"{tuple(definition_embeddings.shape)}"
            )


_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
_BACKBONE_OPTIONS = (
    *("cache_dir", "force_download", "local_files_only", "token", "dtype", "attn_implementation"),
    *("device_map", "max_memory", "offload_folder", "offload_buffers", "quantization_config"),
)


def _check_fit(expected: dict[str, torch.Size], weights: dict[str, torch.Tensor]) -> None:
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += [name for name in expected.keys() & weights.keys() if expected[name] != weights[name].shape]
    if wrong:
        raise ValueError(
            f"`pretrained_model_name_or_path`: the checkpoint does not fit its config and backbone in {len(wrong)} "
            f"tensors, such as {wrong[0]!r}; it was trained with another architecture"
        )


def _resolve_dtype(dtype: torch.dtype | str | None, config: JPTConfig, device_map) -> torch.dtype:
    """The dtype asked for; for "auto" the checkpoint's, but float32 where a CPU would emulate bfloat16 slowly."""
    if isinstance(dtype, str) and dtype != "auto":
        dtype = getattr(torch, dtype)
    if isinstance(dtype, torch.dtype):
        return dtype
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else getattr(torch, config.dtype or "float32")
    on_cpu = device_map in (None, "cpu")
    if on_cpu and dtype in (torch.bfloat16, torch.float16) and not torch.cuda.is_available():
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return dtype


JPTForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")

__all__ = ["EncodedPrompt", "JPTForTokenClassification", "JPTTokenClassifierOutput"]
