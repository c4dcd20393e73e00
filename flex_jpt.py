"""Packed attention in one call per layer, for GPUs: PyTorch's flex attention with a block mask of the row's segments.

`attention_jpt` attends segment by segment, which suits a CPU; a GPU would spend its time on starting small kernels. Here the
whole row, behind all prompts that were read earlier, is one call (`attn_implementation="jpt_packed_flex"`), and only the
blocks in which somebody sees somebody are computed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

from .attention_jpt import PACKED_ATTENTION, PackedLayout, check_call, no_mask, packed_attention

FLEX_ATTENTION = "jpt_packed_flex"
BLOCK = 128  # tokens; what flex attention's kernels are made for


def is_packed(config: PreTrainedConfig) -> bool:
    """Whether a backbone reads packed rows."""
    return config._attn_implementation in (PACKED_ATTENTION, FLEX_ATTENTION)


@dataclass
class RowMask:
    """
    Who sees whom in a packed row, for every query of the row and every key of the earlier prompts and the row.

    Args:
        segment (`np.ndarray` of shape `(keys,)`): Number of each key's segment, as `Segment.prompt` counts them.
        position (`np.ndarray` of shape `(keys,)`): Position of each key in its prompt and text.
        prompt (`np.ndarray` of shape `(queries,)`): Number of the prompt that each query continues, or -1.
        open (`np.ndarray` of shape `(queries,)`): Whether it sees later tokens of its segment, too.
    """

    segment: np.ndarray
    position: np.ndarray
    prompt: np.ndarray
    open: np.ndarray

    @classmethod
    def of(cls, layout: PackedLayout) -> "RowMask":
        lengths = [states[0][0].shape[1] for states in layout.prompt_states]
        earlier = len(lengths)
        lengths += [each.end - each.start for each in layout.segments]
        before = [0] * earlier + [0 if each.prompt is None else lengths[each.prompt] for each in layout.segments]
        own = lengths[earlier:]
        return cls(
            segment=np.repeat(np.arange(len(lengths)), lengths),
            position=np.concatenate(
                [np.arange(start, start + length) for start, length in zip(before, lengths, strict=True)]
            ),
            prompt=np.repeat([-1 if each.prompt is None else each.prompt for each in layout.segments], own),
            open=np.repeat([each.open for each in layout.segments], own),
        )

    def blocks(self) -> np.ndarray:
        """
        Which blocks of keys a block of queries may see something of, `(query blocks, key blocks)`. Others are skipped;
        within these, every pair is looked at. A sliding window is not considered: it only hides more.
        """
        queries, keys = len(self.prompt), len(self.segment)
        first = np.searchsorted(self.segment, np.arange(self.segment[-1] + 1))  # first key of each segment
        last = np.append(first[1:], keys)
        seen = np.zeros((-(-queries // BLOCK), -(-keys // BLOCK)), dtype=bool)
        for number, row in enumerate(seen):
            part = slice(number * BLOCK, min((number + 1) * BLOCK, queries))
            at = slice(part.start + keys - queries, part.stop + keys - queries)  # the same tokens as keys
            ends = np.where(self.open[part], last[self.segment[at]], at.stop)
            row[first[self.segment[at.start]] // BLOCK : (ends.max() - 1) // BLOCK + 1] = True
            for prompt in set(self.prompt[part].tolist()) - {-1}:
                row[first[prompt] // BLOCK : (last[prompt] - 1) // BLOCK + 1] = True
        return seen

    def block_mask(self, sliding_window: int | None, device: torch.device) -> BlockMask:
        """As flex attention takes it."""
        queries, keys = len(self.prompt), len(self.segment)
        segment, position, prompt, is_open = (
            torch.as_tensor(each, device=device) for each in (self.segment, self.position, self.prompt, self.open)
        )
        own_segment, own_position = segment[keys - queries :], position[keys - queries :]

        def visible(batch, head, query, key):
            distance = own_position[query] - position[key]
            own = (own_segment[query] == segment[key]) & (is_open[query] | (distance >= 0))
            seen = own | (prompt[query] == segment[key])
            return seen if sliding_window is None else seen & (distance.abs() < sliding_window)

        seen = torch.as_tensor(self.blocks(), device=device)
        return BlockMask.from_kv_blocks(
            seen.sum(dim=1, dtype=torch.int32)[None, None],
            torch.argsort(seen.int(), dim=1, descending=True, stable=True).to(torch.int32)[None, None],
            BLOCK_SIZE=BLOCK,
            mask_mod=visible,
            seq_lengths=(queries, keys),
        )


@lru_cache
def _compiled():
    # Lengths differ from row to row: one kernel for all.
    return torch.compile(flex_attention, dynamic=True)


@lru_cache
def _capped(softcap: float):
    def score(value, batch, head, query, key):
        return torch.tanh(value / softcap) * softcap

    return score


def flex_packed_attention(
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
    Attention function of the `jpt_packed_flex` backend: the numbers of [`packed_attention`], whose arguments, results and
    errors it has. It is that function where flex attention cannot do it: with dropout, with gradients on a CPU, or if weights
    are to be kept.
    """
    differentiable = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
    kept = packed_layout is not None and packed_layout.keep_weights
    if dropout or kept or (differentiable and query.device.type == "cpu"):
        options = {"dropout": dropout, "sliding_window": sliding_window, "softcap": softcap, **kwargs}
        return packed_attention(
            module, query, key, value, attention_mask, scaling, packed_layout=packed_layout, **options
        )
    layout = check_call(packed_layout, kwargs)
    layer = module.layer_idx
    layout.layers += 1
    if layout.keep_states:
        layout.states[layer] = (key[0], value[0])
    keys = torch.cat([*(states[layer][0] for states in layout.prompt_states), key[0]], dim=1)
    values = torch.cat([*(states[layer][1] for states in layout.prompt_states), value[0]], dim=1)
    kind = sliding_window, query.device  # layers may be on several devices
    if kind not in layout.block_masks:
        layout.block_masks[kind] = RowMask.of(layout).block_mask(sliding_window, query.device)
    attend = flex_attention if query.device.type == "cpu" else _compiled()
    found = attend(
        query,
        keys[None],
        values[None],
        score_mod=None if softcap is None else _capped(softcap),
        block_mask=layout.block_masks[kind],
        scale=scaling,
        enable_gqa=query.shape[1] != keys.shape[0],
    )
    return found.transpose(1, 2), None


AttentionInterface.register(FLEX_ATTENTION, flex_packed_attention)
AttentionMaskInterface.register(FLEX_ATTENTION, no_mask)
