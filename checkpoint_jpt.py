"""The two forms of a checkpoint: building, loading, growing, merging and saving of `JPTForTokenClassification`.

*Trained parts* are adapters, projections and classifiers; `backbone_jpt` finds the backbone. *Self-contained* is the whole
model. The computation is in `modeling_jpt`.
"""

from copy import deepcopy
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import cached_file

from .attention_jpt import PACKED_ATTENTION
from .backbone_jpt import damaged_files_named, load_backbone
from .card_jpt import fill_card
from .configuration_jpt import JPTConfig
from .heads_jpt import JPTHead
from .optional_jpt import check_installed, import_optional
from .source_jpt import shown

LORA_ADAPTER = "default"
ADAPTERS = "keeping adapters apart (`is_trainable=True`, or a quantized backbone)"

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
_BACKBONE_OPTIONS = (
    *("cache_dir", "force_download", "local_files_only", "token", "dtype", "attn_implementation"),
    *("device_map", "max_memory", "offload_folder", "offload_buffers", "quantization_config"),
)


class JPTCheckpointModel(PreTrainedModel):
    """Building around a backbone, growing, loading and saving, for both forms of checkpoints."""

    config: JPTConfig
    model: PreTrainedModel  # the backbone
    head: JPTHead
    # Where to look for the definition encoder.
    encoder_options: dict = {}

    @classmethod
    def from_backbone(
        cls,
        backbone_name_or_path: str,
        *,
        separator_ids: list[int],
        revision: str | None = None,
        load_options: dict | None = None,
        **config_values,
    ) -> Self:
        """
        An untrained JPT model: a frozen backbone with fresh adapters, projections and classifiers.

        Args:
            backbone_name_or_path (`str`): Where the backbone's weights are; see `backbone_jpt`.
            separator_ids (`list[int]`): Token ids of SEP, from `inputs_jpt.separator_ids(tokenizer)`.
            revision (`str`, *optional*): Hub revision of the backbone. Defaults to the revision found, if known.
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
            backbone_revision=revision or getattr(backbone.config, "_commit_hash", None),
            separator_ids=separator_ids,
            **config_values,
        )
        model = cls._around(config, backbone, options["attn_implementation"])
        model.add_lora()
        return model

    @classmethod
    def _around(cls, config: JPTConfig, backbone: PreTrainedModel, attention: str) -> Self:
        for module in backbone.modules():
            module._is_hf_initialized = True  # `post_init` must not touch loaded weights.
        config._attn_implementation = attention
        config.get_text_config().name_or_path = config.backbone_name_or_path  # not the folder where it was found
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
        Loads either form of checkpoint. A self-contained one loads like any model. For the trained-parts form
        `backbone_jpt` finds the backbone, and the adapters are merged into it, which does not need peft.

        Args:
            is_trainable (`bool`, *optional*, defaults to `False`):
                Keep the adapters unmerged for further training (as peft's argument of that name does). The backbone is
                frozen then, and saving gives the trained-parts form again.
            backbone (`str`, *optional*): Path or Hub id to take the backbone from, instead of the config's.
            kwargs: As in `PreTrainedModel.from_pretrained`.

        Raises:
            ImportError: If adapters are to stay unmerged and peft is not installed.
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
        config = deepcopy(config)  # it is modified below
        _check_separator(config)
        # The auto classes and `pipeline` have already moved it into the config.
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
            loaded = cls._load_self_contained(pretrained_model_name_or_path, *model_args, config=config, **kwargs)
        else:
            loaded = cls._load_trained_parts(
                pretrained_model_name_or_path, config, is_trainable, backbone, hub_options, kwargs
            )
        _keep_encoder_options(loaded[0] if isinstance(loaded, tuple) else loaded, hub_options)
        return loaded

    @classmethod
    def _load_trained_parts(
        cls,
        name_or_path,
        config: JPTConfig,
        is_trainable: bool,
        backbone: str | None,
        hub_options: dict,
        options: dict,
    ) -> Self:
        if is_trainable and config.lora_rank:
            check_installed("peft", ADAPTERS)  # before anything large is downloaded
        with damaged_files_named(f"model.safetensors of {str(name_or_path)!r}"):
            weights = load_file(cached_file(name_or_path, "model.safetensors", **hub_options))
        module = load_backbone(
            backbone or config.backbone_name_or_path,
            config.backbone_layers,
            revision=None if backbone else config.backbone_revision,
            **{name: options[name] for name in _BACKBONE_OPTIONS if options.get(name) is not None},
        )
        config.text_config = module.config
        model = cls._around(config, module, options["attn_implementation"])
        model.config.name_or_path = str(name_or_path)
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
        # An additional adapter that the auto classes found in the given folder.
        adapter_options = dict(options.get("adapter_kwargs") or {})
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
        Adds trainable low-rank adapters to the frozen backbone, as configured (Table 5). From then on saving gives the
        trained-parts form.
        """
        self.model.requires_grad_(False)
        if self.config.lora_rank:
            peft = import_optional("peft", ADAPTERS)
            lora = peft.LoraConfig(
                r=self.config.lora_rank,
                lora_alpha=self.config.lora_alpha,
                lora_dropout=self.config.lora_dropout,
                target_modules=list(self.config.lora_target_modules),
            )
            peft.inject_adapter_in_model(lora, self.model, adapter_name=LORA_ADAPTER)
            for name, parameter in self.model.named_parameters():
                if ".lora_" in name:
                    parameter.data = parameter.data.float()
        self.config.self_contained = False
        self._keys_to_ignore_on_save = [
            name for name in self.state_dict() if name.startswith("model.") and ".lora_" not in name
        ]

    @torch.no_grad()
    def grow(self, *, lora_rank: int | None = None, begin_head: bool = False) -> None:
        """
        Adds trainable parts to a model with adapters. Its scores stay the same until it is trained.

        Args:
            lora_rank (`int`, *optional*): A larger rank for the adapters; `lora_alpha` grows in proportion.
            begin_head (`bool`, *optional*, defaults to `False`): Add the begin head, if there is none. Until it is
                trained, it gives every token a probability of one half.

        Raises:
            ValueError: If the rank is smaller than the model's, `lora_alpha` would be no whole number, or the model has no
                adapters.
        """
        config = self.config
        grows = lora_rank not in (None, config.lora_rank)
        if grows and not 0 < config.lora_rank < lora_rank:
            raise ValueError(f"`lora_rank`: adapters of rank {config.lora_rank} cannot grow to rank {lora_rank}")
        if grows and config.lora_alpha * lora_rank % config.lora_rank:
            raise ValueError(
                f"`lora_rank`: with rank {lora_rank}, `lora_alpha` {config.lora_alpha} would not stay in proportion to rank "
                f"{config.lora_rank} as a whole number"
            )
        if begin_head and not config.begin_head:
            config.begin_head = True
            self.head.add_begin_classifier(config.projection_size)
        if not grows:
            return
        for module in self.model.modules():
            if LORA_ADAPTER not in getattr(module, "lora_A", {}):
                continue
            down, up = module.lora_A[LORA_ADAPTER], module.lora_B[LORA_ADAPTER]
            weight = torch.empty(lora_rank, down.in_features, device=down.weight.device)
            nn.init.kaiming_uniform_(weight, a=5**0.5)  # as peft initialises it
            weight[: config.lora_rank] = down.weight
            down.weight, down.out_features = nn.Parameter(weight), lora_rank
            added = up.weight.new_zeros(up.out_features, lora_rank - config.lora_rank)
            up.weight, up.in_features = nn.Parameter(torch.cat([up.weight, added], dim=1)), lora_rank
            module.r[LORA_ADAPTER] = lora_rank  # `scaling` stays the same, as alpha grows in proportion
        config.lora_alpha = config.lora_alpha * lora_rank // config.lora_rank
        config.lora_rank = lora_rank

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
        """Saves the model with its code, in the form it is in: with adapters, the trained parts."""
        if not self.config.self_contained:
            kwargs["max_shard_size"] = "1TB"  # trained parts are small, and always in one file
        super().save_pretrained(save_directory, **kwargs)

    def _upload_modified_files(self, working_dir, repo_id, *args, **kwargs):
        """What all ways of pushing end with. The card is not left blank."""
        fill_card(Path(working_dir) / "README.md", self.config, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)


def _check_separator(config: JPTConfig) -> None:
    vocabulary = config.get_text_config().vocab_size
    if config.separator_ids is None or not all(0 <= each < vocabulary for each in config.separator_ids):
        raise ValueError(
            f"`separator_ids`: expected token ids from 0 to {vocabulary - 1}, got {shown(config.separator_ids)}"
        )


def _keep_encoder_options(model: JPTCheckpointModel, hub_options: dict) -> None:
    kept = {name: hub_options[name] for name in ("cache_dir", "local_files_only") if name in hub_options}
    model.encoder_options = kept


def _check_fit(expected: dict[str, torch.Size], weights: dict[str, torch.Tensor]) -> None:
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += [name for name in expected.keys() & weights.keys() if expected[name] != weights[name].shape]
    if wrong:
        raise ValueError(
            f"`pretrained_model_name_or_path`: the checkpoint does not fit its config and backbone in {len(wrong)} "
            f"tensors, such as {wrong[0]!r}; it was trained with another architecture"
        )


def _resolve_dtype(dtype: torch.dtype | str | None, config: JPTConfig, device_map) -> torch.dtype:
    """The requested dtype; for "auto" the checkpoint's, but float32 where a CPU would emulate bfloat16 slowly."""
    if isinstance(dtype, str) and dtype != "auto":
        dtype = getattr(torch, dtype)
    if isinstance(dtype, torch.dtype):
        return dtype
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else getattr(torch, config.dtype or "float32")
    on_cpu = device_map in (None, "cpu")
    if on_cpu and dtype in (torch.bfloat16, torch.float16) and not torch.cuda.is_available():
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return dtype
