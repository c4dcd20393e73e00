"""Packed attention behind shared prompts: one row of tokens in, attention per segment out.

A packed row holds prompts and texts one after another, without padding. Every segment attends to itself (causally, or in
both directions if it is an open text) and, if it is a text, to its whole prompt; to nothing else. The prompt is either in
the same row (training) or was encoded earlier (inference), so no text pays for it again. Knows nothing of token ids, types
or tasks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

PACKED_ATTENTION = "jpt_packed"


@dataclass
class Segment:
    """
    Tokens `start:end` of the row. `prompt` is the number of the segment that they continue, or None for a prompt itself.
    Only the last `read` tokens (by default all) are needed from the last layer. In an `open` segment every token sees all
    others of the segment.
    """

    start: int
    end: int
    prompt: int | None = None
    read: int | None = None
    open: bool = False

    @property
    def wanted(self) -> range:
        """Tokens of the row whose last hidden states are needed."""
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
        keep_weights (`bool`, *optional*, defaults to `False`):
            Whether to keep, in `weights`, what the wanted tokens of each text attend to: for each layer one tensor per
            text, of shape `(wanted tokens, prompt and text)`, the mean over heads.
        layers (`int`, *optional*, defaults to 0): Number of attention layers that have followed the layout.
        block_masks (`dict`, *optional*): Masks that `flex_jpt` has built for the row, by sliding window and device.
    """

    segments: list[Segment]
    prompt_states: list[list[tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=list)
    keep_states: bool = False
    keep_weights: bool = False
    states: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    weights: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    layers: int = 0
    block_masks: dict[tuple[int | None, torch.device], BlockMask] = field(default_factory=dict)
    _biases: dict[tuple, torch.Tensor] = field(default_factory=dict)

    def bias(
        self, length: int, total: int, copies: int, is_open: bool, sliding_window: int | None, like: torch.Tensor
    ) -> torch.Tensor | None:
        """
        Additive mask for the last `length` of `total` positions, repeated for `copies` query heads, so of shape
        `(copies * length, total)`. Built once for all layers. `None` if everything is visible.

        Without a sliding window all queries see everything that precedes them, so `total=length` is enough.
        """
        if is_open and (sliding_window is None or total < sliding_window):
            return None
        key = (length, total, copies, is_open, sliding_window, like.dtype, like.device)
        if key not in self._biases:
            query = torch.arange(total - length, total, device=like.device)
            hidden = ~visible(query, torch.arange(total, device=like.device), is_open, sliding_window)
            bias = torch.zeros(length, total, dtype=like.dtype, device=like.device)
            self._biases[key] = bias.masked_fill_(hidden, torch.finfo(like.dtype).min).repeat(copies, 1)
        return self._biases[key]

    def check_followed(self, config: PreTrainedConfig) -> None:
        """
        Call this after the backbone has read the row.

        Raises:
            ValueError: If a layer mixed the row's tokens by other means, so that segments saw each other.
        """
        others = set(getattr(config, "layer_types", None) or []) - {"full_attention", "sliding_attention"}
        if others or self.layers < config.num_hidden_layers:
            raise ValueError(
                f'The "{PACKED_ATTENTION}" attention cannot read backbones of type {config.model_type!r}, not all of '
                "whose layers are softmax attention with exchangeable code; load the model with "
                '`attn_implementation="sdpa"` or `"eager"` instead.'
            )


def visible(query: torch.Tensor, key: torch.Tensor, is_open: bool, sliding_window: int | None) -> torch.Tensor:
    """
    Which keys a query sees, by their positions in prompt and text: `(queries,)`, `(keys,)` to `(queries, keys)`. The
    queries are either all causal or all of an open text, whose later tokens are visible too.
    """
    distance = query[:, None] - key[None]
    seen = torch.ones_like(distance, dtype=torch.bool) if is_open else distance >= 0
    return seen if sliding_window is None else seen & (distance.abs() < sliding_window)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: Callable[[int], torch.Tensor | None],
    window: bool,
    scaling: float,
    softcap: float | None,
    dropout: float,
) -> torch.Tensor:
    """
    Softmax attention of `query (heads, q, d)` over `key, value (key_value_heads, k, d)`. Query heads that share keys are
    folded into the query axis instead of repeating keys. `bias(n)` is the mask of the last n keys, see
    `PackedLayout.bias`.
    """
    heads, length, size = query.shape
    total = key.shape[1]
    query = query.reshape(key.shape[0], -1, size)
    on_cpu = query.device.type == "cpu"
    if softcap is None and not dropout and not window and on_cpu and not torch.is_grad_enabled():
        if products_are_faster(query.dtype):
            found = _by_products(query * scaling, key, value, bias(length))
            return found.view(heads, length, size)
    mask = bias(total)
    # On CPU the fused kernel's backward takes three times as long as that of plain products.
    if softcap is None and not (query.requires_grad and on_cpu):
        found = nn.functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=mask, scale=scaling, dropout_p=dropout
        )
        return found.view(heads, length, size)
    weights = nn.functional.dropout(_weights(query, key, mask, scaling, softcap), p=dropout)
    return (weights @ value).view(heads, length, size)


def _by_products(
    scaled_query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Two plain products and a softmax. `bias (queries, n)` masks the last n keys; those before are visible."""
    scores = torch.bmm(scaled_query, key.transpose(1, 2))
    if bias is not None:
        scores[..., -bias.shape[1] :] += bias
    return torch.bmm(torch.softmax(scores, dim=-1), value)


@lru_cache
def products_are_faster(dtype: torch.dtype) -> bool:
    """
    Whether plain products are faster than PyTorch's fused kernel on this CPU, which depends on its instructions for the
    number format. Measured once for each, in some hundredths of a second.
    """
    query, prompt = torch.ones(3, 3 * 64, 64, dtype=dtype), torch.ones(3, 384, 64, dtype=dtype)
    bias = torch.zeros(query.shape[1], 64, dtype=dtype)
    mask = torch.zeros(query.shape[1], prompt.shape[1], dtype=dtype)

    def products():
        _by_products(query, prompt, prompt, bias)

    def fused():
        nn.functional.scaled_dot_product_attention(query[None], prompt[None], prompt[None], attn_mask=mask)

    def shortest(function) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    return shortest(products) < shortest(fused)


def _weights(
    query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor | None, scaling: float, softcap: float | None
) -> torch.Tensor:
    """Attention weights with every option of a backbone, and with a fast backward."""
    if softcap is not None:
        scores = torch.tanh(query @ key.transpose(1, 2) * (scaling / softcap)) * softcap
        scores = scores if bias is None else scores + bias
    elif bias is None:
        scores = (query * scaling) @ key.transpose(1, 2)
    else:
        scores = torch.baddbmm(bias.expand(len(key), -1, -1), query, key.transpose(1, 2), alpha=scaling)
    return torch.softmax(scores, dim=-1)


def dense_mask(
    config: PreTrainedConfig,
    lengths: list[int],
    open_from: list[int | None],
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor | dict[str, torch.Tensor]:
    """
    The mask of the packed layout for backends that take one of all pairs of tokens (`"sdpa"`, `"eager"`).

    Args:
        lengths (`list[int]`): Tokens of each row of a right-padded batch.
        open_from (`list[int | None]`): Where the open text of each row begins; `None` for a causal row.

    Returns:
        `Tensor` of shape `(batch, 1, tokens, tokens)`, additive; or one for each type of layer, if there are several.

    Raises:
        ValueError: If the backend does not take such a mask.
    """
    if config._attn_implementation not in ("sdpa", "eager"):
        raise ValueError(
            f'`reading="open"` needs the attention backend "{PACKED_ATTENTION}", "sdpa" or "eager", not '
            f"{config._attn_implementation!r}"
        )
    positions = torch.arange(max(lengths), device=device)
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or [])
    masks = {}
    for kind in kinds or {"sliding_attention" if window else "full_attention"}:
        reach = window if kind == "sliding_attention" else None
        seen = []
        for length, start in zip(lengths, open_from, strict=True):
            row = visible(positions, positions, False, reach)
            if start is not None:
                text = slice(start, length)
                row[text, text] = visible(positions[text], positions[text], True, reach)
            # Padding sees itself: a softmax over hidden keys alone is undefined.
            row[:, length:] = False
            seen.append(row | torch.eye(len(row), dtype=torch.bool, device=device))
        mask = torch.zeros(len(lengths), 1, len(positions), len(positions), dtype=dtype, device=device)
        masks[kind] = mask.masked_fill_(~torch.stack(seen)[:, None], torch.finfo(dtype).min)
    return masks if kinds else next(iter(masks.values()))


class _Continued:
    """Keys or values of a prompt, continued by those of one text after another: the prompt is copied only once."""

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
            Of all tokens of the row, or, in the last layer, only of those in `Segment.wanted`.
        key, value (`Tensor` of shape `(key_value_heads, tokens, head_dim)`): Of all tokens of the row.

    Returns:
        `Tensor` of shape `(tokens of the query, heads, head_dim)`.
    """
    layout.layers += 1
    if layout.keep_states:
        layout.states[layer] = (key, value)
    # One split instead of many slices: its backward is a single concatenation.
    lengths = [segment.end - segment.start for segment in layout.segments]
    keys, values = key.split(lengths, dim=1), value.split(lengths, dim=1)
    if query.shape[1] != key.shape[1]:
        lengths = [len(segment.wanted) for segment in layout.segments]
    queries = query.split(lengths, dim=1)
    groups = query.shape[0] // key.shape[0]
    prompts = [states[layer] for states in layout.prompt_states] + list(zip(keys, values, strict=True))
    differentiable = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
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

        def bias(total: int, segment=segment, q=q) -> torch.Tensor | None:
            return layout.bias(q.shape[1], total, groups, segment.open, sliding_window, like=q)

        if layout.keep_weights and number is not None:
            wanted = q[:, -len(segment.wanted) :]
            mask = layout.bias(wanted.shape[1], k.shape[1], groups, segment.open, sliding_window, like=q)
            weights = _weights(wanted.reshape(k.shape[0], -1, k.shape[2]), k, mask, scaling, softcap)
            mean = weights.float().view(-1, wanted.shape[1], k.shape[1]).mean(0)
            layout.weights.setdefault(layer, []).append(mean)
        window = sliding_window is not None and k.shape[1] > sliding_window
        outputs.append(_attend(q, k, v, bias, window, scaling, softcap, dropout).transpose(0, 1))
    return torch.cat(outputs)


def check_call(layout: PackedLayout | None, options: dict) -> PackedLayout:
    """
    The layout that a backbone has passed to the attention function.

    Raises:
        ValueError: If it did not, or has attention sinks.
    """
    if layout is None or options.get("s_aux") is not None:
        raise ValueError(
            f'The "{PACKED_ATTENTION}" attention needs a backbone that passes keyword arguments on to plain softmax '
            'attention; load the model with `attn_implementation="sdpa"` or `"eager"` instead.'
        )
    return layout


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
        packed_layout (`PackedLayout`): The row's segments, passed through the backbone's keyword arguments.

    Returns:
        `Tensor` of shape `(1, tokens, heads, head_dim)`, and None for the weights.

    Raises:
        ValueError: If the backbone did not pass the layout through, or has attention sinks.
    """
    layout = check_call(packed_layout, kwargs)
    found = attend_segments(
        layout, module.layer_idx, query[0], key[0], value[0], scaling, sliding_window, softcap, dropout
    )
    return found[None], None


def no_mask(*args, **kwargs) -> None:
    """The layout defines who attends to whom, so the backbone builds no mask."""
    return None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, no_mask)
