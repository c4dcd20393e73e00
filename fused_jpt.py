"""Packed rows in, hidden states of a Llama-like backbone in bfloat16 on CPU out, in few operations.

On CPUs with bfloat16 instructions a small backbone spends most of its time outside of matrix products: laying out weights,
normalising, rotating, multiplying gates. Here weights are laid out once, products include their activation, gate and
residual (oneDNN's fused post-operations), and the last layer computes only what is needed. For inference only; everything
else is left to the backbone's own code.
"""

import threading
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from .attention_jpt import PackedLayout, attend_segments

# Their layers differ only in biases and in norms of queries and keys.
FAMILIES = ("llama", "qwen2", "qwen3")

_PACKING = threading.Lock()
_packed: "WeakKeyDictionary[PreTrainedModel, tuple[list[int], FusedBackbone | None]]" = WeakKeyDictionary()


def fused_backbone(backbone: PreTrainedModel) -> "FusedBackbone | None":
    """
    The backbone with its weights laid out, built on first use and again whenever weights have changed. Takes as much
    memory as the layers' weights. `None` if it does not apply: with gradients, another device, number format or family,
    or quantised, hooked or compiled layers.
    """
    if torch.is_grad_enabled() or backbone.training or backbone.dtype != torch.bfloat16:
        return None
    state = backbone_state(backbone)
    with _PACKING:
        known, fused = _packed.get(backbone, (None, None))
        if known != state:
            fused = FusedBackbone(backbone) if _applies(backbone) else None
            _packed[backbone] = state, fused
    return fused


def backbone_state(backbone: PreTrainedModel) -> list:
    """A fingerprint of the backbone's modules, hooks, weights and adapters. Cheaper than `backbone.modules()`."""
    numbers: list = []
    modules: list[nn.Module] = [backbone]
    while modules:
        module = modules.pop()
        numbers += [id(module), len(module._forward_hooks), len(module._forward_pre_hooks)]
        if "_active_adapter" in module.__dict__:  # a layer of peft
            numbers += [module._disable_adapters, str(module._active_adapter)]
        numbers.append(id(module._compiled_call_impl))
        for weight in module._parameters.values():
            if weight is not None:
                numbers += [weight.data_ptr(), -1 if weight.is_inference() else weight._version]
        modules += module._modules.values()
    return numbers


def _applies(backbone: PreTrainedModel) -> bool:
    config = backbone.config
    return (
        config.model_type in FAMILIES
        and config.hidden_act == "silu"
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and all(_is_usual(weight) for weight in backbone.parameters())
        and not any(_is_changed(module) for module in backbone.modules())
        # Adapters and quantised layers wrap plain ones, or are subclasses of them.
        and all(type(linear) is nn.Linear for layer in backbone.layers for linear in _linears(layer))
    )


def _is_usual(weight: nn.Parameter) -> bool:
    """Not quantised (which may claim to be bfloat16), and no inference tensor, whose changes leave no trace."""
    plain = type(weight) is nn.Parameter and not weight.is_inference()
    return plain and weight.dtype == torch.bfloat16 and weight.device.type == "cpu"


def _is_changed(module: nn.Module) -> bool:
    """Whether hooks or a compiler change how it runs."""
    hooked = module._forward_hooks or module._forward_pre_hooks or hasattr(module, "_hf_hook")
    return bool(hooked) or module._compiled_call_impl is not None


def _linears(layer: nn.Module) -> list[nn.Module]:
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    return [*projections, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


class _Product:
    """Linear layers with the same input as one, with the weight of the norm before them multiplied in."""

    def __init__(self, *layers: nn.Linear, norm: torch.Tensor | None = None):
        weight = torch.cat([layer.weight for layer in layers])
        if norm is not None:
            weight = (weight.float() * norm.float()).to(weight.dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])

    def __call__(self, states: torch.Tensor, activation: str = "none") -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(states, self.weight, self.bias, activation, [], "")

    def combined(self, states: torch.Tensor, other: torch.Tensor, operation: str) -> torch.Tensor:
        """`product + other` or `product * other`."""
        return torch.ops.mkldnn._linear_pointwise.binary(states, other, self.weight, self.bias, operation)


class _Layer:
    def __init__(self, layer: nn.Module):
        attention, mlp = layer.self_attn, layer.mlp
        before, after = layer.input_layernorm, layer.post_attention_layernorm
        self.index, self.size, self.scaling = attention.layer_idx, attention.head_dim, attention.scaling
        self.sliding_window = getattr(attention, "sliding_window", None)
        self.query_norm, self.key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        self.heads = attention.q_proj.out_features // self.size
        self.key_value_heads = attention.k_proj.out_features // self.size
        self.epsilons = before.variance_epsilon, after.variance_epsilon
        self.project = _Product(attention.q_proj, attention.k_proj, attention.v_proj, norm=before.weight)
        self.output = _Product(attention.o_proj)
        self.gate = _Product(mlp.gate_proj, norm=after.weight)
        self.up = _Product(mlp.up_proj, norm=after.weight)
        self.down = _Product(mlp.down_proj)

    def read(
        self,
        layout: PackedLayout,
        states: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        wanted: torch.Tensor | None,
    ) -> torch.Tensor:
        """States `(tokens, hidden_size)` before the layer to those after it; only of `wanted` tokens, if given."""
        projected = self.project(_normed(states, self.epsilons[0])).view(len(states), -1, self.size)
        rotated, value = projected.split([self.heads + self.key_value_heads, self.key_value_heads], dim=1)
        if self.query_norm is not None:
            query, key = rotated.split([self.heads, self.key_value_heads], dim=1)
            rotated = torch.cat([self.query_norm(query), self.key_norm(key)], dim=1)
        query, key = _rotated(rotated, *rotation).split([self.heads, self.key_value_heads], dim=1)
        if wanted is not None:
            query, states = query[wanted], states[wanted]
        by_head = (each.transpose(0, 1) for each in (query, key, value))
        found = attend_segments(layout, self.index, *by_head, self.scaling, self.sliding_window)
        states = self.output.combined(found.flatten(1), states, "add")
        normed = _normed(states, self.epsilons[1])
        gated = self.up.combined(normed, self.gate(normed, "swish"), "mul")
        return self.down.combined(gated, states, "add")


def _normed(states: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMSNorm without its weight, which is part of the product that follows."""
    norm = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=torch.float32)
    return states * (norm.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()).to(states.dtype)


def _rotated(states: torch.Tensor, cosine: torch.Tensor, signed_sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions of `states (tokens, heads, head_dim)`; the sine of each first half is negated."""
    return torch.addcmul(states * cosine, states.roll(states.shape[-1] // 2, dims=-1), signed_sine)


class FusedBackbone:
    """Reads packed rows as the backbone does with `attn_implementation="jpt_packed"`."""

    def __init__(self, backbone: PreTrainedModel):
        # Keeps no reference to the backbone, so that both can be freed together.
        with torch.no_grad():
            self.layers = [_Layer(layer) for layer in backbone.layers]

    def read(
        self, backbone: PreTrainedModel, layout: PackedLayout, input_ids: torch.Tensor, position_ids: torch.Tensor
    ) -> torch.Tensor:
        """
        Args:
            input_ids, position_ids (`Tensor` of shape `(tokens,)`): The packed row.

        Returns:
            Last hidden states `(wanted tokens, hidden_size)`, in the order of the segments.
        """
        states = backbone.embed_tokens(input_ids)
        cosine, sine = (each[0, :, None] for each in backbone.rotary_emb(states[None], position_ids[None]))
        half = sine.shape[-1] // 2
        signed_sine = torch.cat([-sine[..., :half], sine[..., half:]], dim=-1)
        wanted = torch.cat([torch.arange(each.wanted.start, each.wanted.stop) for each in layout.segments])
        for layer in self.layers[:-1]:
            states = layer.read(layout, states, (cosine, signed_sine), None)
        states = self.layers[-1].read(layout, states, (cosine, signed_sine), wanted)
        return backbone.norm(states)
