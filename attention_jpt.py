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
    """
    Tokens `start:end` of the row. `prompt` is the segment they continue, or None for a prompt itself. Of the last
    layer only the states of the last `read` tokens are wanted, by default of all.
    """

    start: int
    end: int
    prompt: int | None = None
    read: int | None = None

    @property
    def wanted(self) -> range:
        """Tokens of the row whose last states are wanted."""
        return range(self.start if self.read is None else self.end - self.read, self.end)


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

    def causal_bias(
        self, length: int, total: int, copies: int, sliding_window: int | None, like: torch.Tensor
    ) -> torch.Tensor:
        """
        Additive mask for the last `length` of `total` positions, repeated for `copies` query heads, so of shape
        `(copies * length, total)`. Made once for all layers.
        """
        key = (length, total, copies, sliding_window, like.dtype, like.device)
        if key not in self._biases:
            query = torch.arange(total - length, total, device=like.device)[:, None]
            position = torch.arange(total, device=like.device)[None]
            hidden = position > query
            if sliding_window is not None:
                hidden |= position <= query - sliding_window
            bias = torch.zeros(length, total, dtype=like.dtype, device=like.device)
            self._biases[key] = bias.masked_fill_(hidden, torch.finfo(like.dtype).min).repeat(copies, 1)
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
    """
    Softmax attention of `query (heads, q, d)` over `key, value (key_value_heads, k, d)`, with `bias (groups * q, k)`
    for the query heads that share keys. These are folded into the query axis instead of repeating keys.
    """
    heads, length, size = query.shape
    key_value_heads = key.shape[0]
    query = query.reshape(key_value_heads, -1, size)
    if softcap is None and not (query.requires_grad and query.device.type == "cpu"):
        # On CPU the fused kernel is twice as fast forwards, and three times as slow backwards.
        found = nn.functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=bias, scale=scaling, dropout_p=dropout
        )
        return found.view(heads, length, size)
    bias = bias.expand(key_value_heads, -1, -1)
    if softcap is None:
        scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scaling)
    else:
        scores = torch.tanh(query @ key.transpose(1, 2) * (scaling / softcap)) * softcap + bias
    weights = nn.functional.dropout(torch.softmax(scores, dim=-1), p=dropout)
    return (weights @ value).view(heads, length, size)


class _Continued:
    """Keys or values of a prompt with those of one text after another behind it: the prompt is copied once."""

    def __init__(self, prompt: torch.Tensor, longest: int):
        heads, self.length, size = prompt.shape
        self.states = prompt.new_empty(heads, self.length + longest, size)
        self.states[:, : self.length] = prompt

    def by(self, text: torch.Tensor) -> torch.Tensor:
        end = self.length + text.shape[1]
        self.states[:, self.length : end] = text
        return self.states[:, :end]


@torch.compiler.disable
def attend_segments(
    layout: PackedLayout,
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """
    Attention of one layer, segment by segment.

    Args:
        layer (`int`): Index of the layer.
        query (`Tensor` of shape `(heads, tokens, head_dim)`):
            Of all tokens of the row, or only of those that are wanted of the last layer (`Segment.wanted`).
        key, value (`Tensor` of shape `(key_value_heads, tokens, head_dim)`): Of all tokens of the row.

    Returns:
        `Tensor` of shape `(tokens of the query, heads, head_dim)`.
    """
    layout.layers += 1
    if layout.keep_states:
        layout.states[layer] = (key, value)
    # One split instead of many slices: its backward is one concatenation.
    lengths = [segment.end - segment.start for segment in layout.segments]
    keys, values = key.split(lengths, dim=1), value.split(lengths, dim=1)
    if query.shape[1] != key.shape[1]:
        lengths = [len(segment.wanted) for segment in layout.segments]
    queries = query.split(lengths, dim=1)
    groups = query.shape[0] // key.shape[0]
    prompts = [states[layer] for states in layout.prompt_states] + list(zip(keys, values, strict=True))
    differentiable = torch.is_grad_enabled() and (key.requires_grad or query.requires_grad)
    longest = max(each.shape[1] for each in keys)
    continued: dict[int, tuple[_Continued, _Continued]] = {}
    outputs = []
    for segment, q, k, v in zip(layout.segments, queries, keys, values, strict=True):
        number = segment.prompt
        if number is not None and differentiable:
            k, v = (torch.cat(pair, dim=1) for pair in zip(prompts[number], (k, v), strict=True))
        elif number is not None:
            if number not in continued:
                prompt_key, prompt_value = prompts[number]
                continued[number] = _Continued(prompt_key, longest), _Continued(prompt_value, longest)
            k, v = (whole.by(text) for whole, text in zip(continued[number], (k, v), strict=True))
        bias = layout.causal_bias(q.shape[1], k.shape[1], groups, sliding_window, like=q)
        outputs.append(_attend(q, k, v, bias, scaling, softcap, dropout).transpose(0, 1))
    return torch.cat(outputs)


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
    found = attend_segments(
        packed_layout, module.layer_idx, query[0], key[0], value[0], scaling, sliding_window, softcap, dropout
    )
    return found[None], None


def _no_mask(*args, **kwargs) -> None:
    """The layout says who attends to whom, so the backbone builds no mask."""
    return None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
