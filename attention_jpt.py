"""Packed attention behind shared prompts: one row of tokens in, attention per segment out.

A packed row holds prompts and doubled texts one after another, without padding. Every segment attends causally to
itself and, if it is a text, to all of its prompt; nothing else. The prompt is either in the same row (training) or
encoded earlier (inference), so no text ever pays for it again. Knows nothing of token ids, types or tasks.
"""

from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

PACKED_ATTENTION = "jpt_packed"


@dataclass
class Segment:
    """Tokens `start:end` of the row. `prompt` is the segment they continue, or None for a prompt itself."""

    start: int
    end: int
    prompt: int | None = None


@dataclass
class PackedLayout:
    """
    Who attends to whom in one packed row.

    Args:
        segments (`list[Segment]`): Consecutive segments that cover the row.
        prompt_states (`list[list[tuple[Tensor, Tensor]]]`, *optional*):
            Prompts encoded earlier, numbered before the row's own segments: one list per prompt with the keys and
            values of every layer, each of shape `(key_value_heads, prompt_length, head_dim)`.
        keep_states (`bool`, *optional*, defaults to `False`):
            Whether to keep the keys and values of the row in `states`, one pair per layer.
        layers (`int`, *optional*, defaults to 0): Counts the attention layers that have followed the layout.
    """

    segments: list[Segment]
    prompt_states: list[list[tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=list)
    keep_states: bool = False
    states: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    layers: int = 0
    _biases: dict[tuple, torch.Tensor] = field(default_factory=dict)

    def causal_bias(self, length: int, total: int, sliding_window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Additive mask `(length, total)` for the last `length` of `total` positions, made once for all layers."""
        key = (length, total, sliding_window, like.dtype, like.device)
        if key not in self._biases:
            query = torch.arange(total - length, total, device=like.device)[:, None]
            position = torch.arange(total, device=like.device)[None]
            hidden = position > query
            if sliding_window is not None:
                hidden |= position <= query - sliding_window
            bias = torch.zeros(length, total, dtype=like.dtype, device=like.device)
            self._biases[key] = bias.masked_fill_(hidden, torch.finfo(like.dtype).min)
        return self._biases[key]

    def check_followed(self, config: PreTrainedConfig) -> None:
        """
        To be called after the backbone has read the row.

        Raises:
            ValueError: If some layer mixed the row's tokens by other means, so that segments saw each other.
        """
        others = set(getattr(config, "layer_types", None) or []) - {"full_attention", "sliding_attention"}
        if others or self.layers < config.num_hidden_layers:
            raise ValueError(
                f'The "{PACKED_ATTENTION}" attention cannot read backbones of type {config.model_type!r}, not all of '
                "whose layers are softmax attention with exchangeable code; load the model with "
                '`attn_implementation="sdpa"` or `"eager"` instead.'
            )


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    scaling: float,
    softcap: float | None,
    dropout: float,
) -> torch.Tensor:
    """Softmax attention of `query (heads, q, d)` over `key, value (key_value_heads, k, d)` with `bias (q, k)`."""
    heads, length, _ = query.shape
    key_value_heads = key.shape[0]
    if softcap is None and not (query.requires_grad and query.device.type == "cpu"):
        # On CPU the fused kernel is twice as fast forwards, and three times as slow backwards.
        return nn.functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=bias, scale=scaling, dropout_p=dropout, enable_gqa=True
        )[0]
    # Heads of one group share their keys: fold them into the query axis instead of repeating keys.
    groups = heads // key_value_heads
    grouped = query.reshape(key_value_heads, groups * length, -1)
    grouped_bias = bias.repeat(groups, 1).expand(key_value_heads, -1, -1)
    if softcap is None:
        scores = torch.baddbmm(grouped_bias, grouped, key.transpose(1, 2), alpha=scaling)
    else:
        scores = torch.tanh(grouped @ key.transpose(1, 2) * (scaling / softcap)) * softcap + grouped_bias
    weights = nn.functional.dropout(torch.softmax(scores, dim=-1), p=dropout)
    return (weights @ value).view(heads, length, -1)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    packed_layout: PackedLayout | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """
    Attention function of the `jpt_packed` backend, with the signature of `transformers.AttentionInterface`.

    Args:
        query (`Tensor` of shape `(1, heads, tokens, head_dim)`), key, value (`(1, key_value_heads, tokens, head_dim)`):
            Rotated states of the packed row.
        packed_layout (`PackedLayout`): The row's segments, handed through the backbone's keyword arguments.

    Returns:
        `Tensor` of shape `(1, tokens, heads, head_dim)`, and None for the weights.

    Raises:
        ValueError: If the backbone did not hand the layout through, or has attention sinks.
    """
    if packed_layout is None or kwargs.get("s_aux") is not None:
        raise ValueError(
            f'The "{PACKED_ATTENTION}" attention needs a backbone that passes keyword arguments on to plain softmax '
            'attention; load the model with `attn_implementation="sdpa"` or `"eager"` instead.'
        )
    packed_layout.layers += 1
    query, key, value = query[0], key[0], value[0]
    layer = module.layer_idx
    if packed_layout.keep_states:
        packed_layout.states[layer] = (key, value)
    # One split instead of many slices: its backward is one concatenation.
    lengths = [segment.end - segment.start for segment in packed_layout.segments]
    queries, keys, values = (states.split(lengths, dim=1) for states in (query, key, value))
    prompts = [states[layer] for states in packed_layout.prompt_states] + list(zip(keys, values, strict=True))
    outputs = []
    for segment, q, k, v in zip(packed_layout.segments, queries, keys, values, strict=True):
        if segment.prompt is not None:
            prompt_key, prompt_value = prompts[segment.prompt]
            k, v = torch.cat([prompt_key, k], dim=1), torch.cat([prompt_value, v], dim=1)
        bias = packed_layout.causal_bias(q.shape[1], k.shape[1], sliding_window, like=q)
        outputs.append(_attend(q, k, v, bias, scaling, softcap, dropout))
    return torch.cat(outputs, dim=1).transpose(0, 1).unsqueeze(0), None


def _no_mask(*args, **kwargs) -> None:
    """The layout says who attends to whom, so the backbone builds no mask."""
    return None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
