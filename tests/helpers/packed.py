"""Prompts and texts as one packed row, and as sequences of their own."""

import torch
from jpt_ner.attention_jpt import PACKED_ATTENTION, PackedLayout, Segment

PROMPTS = [13, 5]
TEXTS = [(0, 9), (1, 4), (0, 1), (1, 17), (0, 12)]  # prompt and length


def make_ids(length: int, seed: int) -> torch.Tensor:
    return torch.randint(3, 320, (length,), generator=torch.Generator().manual_seed(seed))


PROMPT_IDS = [make_ids(length, 10 + i) for i, length in enumerate(PROMPTS)]
TEXT_IDS = [make_ids(length, 20 + i) for i, (_, length) in enumerate(TEXTS)]


def read_separately(model, attention: str) -> list[torch.Tensor]:
    """Hidden states of every prompt and every text, read as sequences without neighbours."""
    model.set_attn_implementation(attention)
    rows = [model(ids[None], use_cache=False).last_hidden_state[0] for ids in PROMPT_IDS]
    for (prompt, length), ids in zip(TEXTS, TEXT_IDS, strict=True):
        row = torch.cat([PROMPT_IDS[prompt], ids])
        rows.append(model(row[None], use_cache=False).last_hidden_state[0, -length:])
    return rows


def packed_row(prompt_states=None, read=None) -> tuple[PackedLayout, torch.Tensor, torch.Tensor]:
    """One row of all texts: its layout, token ids and positions; with the prompts in it, or read before."""
    segments, pieces, positions, start = [], [], [], 0
    if prompt_states is None:
        for ids in PROMPT_IDS:
            segments.append(Segment(start, start := start + len(ids)))
            pieces.append(ids)
            positions.append(torch.arange(len(ids)))
    for (prompt, length), ids, wanted in zip(TEXTS, TEXT_IDS, read or [None] * len(TEXTS), strict=True):
        segments.append(Segment(start, start := start + length, prompt, read=wanted))
        pieces.append(ids)
        positions.append(torch.arange(length) + PROMPTS[prompt])
    return PackedLayout(segments, prompt_states or []), torch.cat(pieces), torch.cat(positions)


def read_packed(model, prompt_states=None) -> list[torch.Tensor]:
    """As `read_separately`, from one row."""
    model.set_attn_implementation(PACKED_ATTENTION)
    layout, ids, positions = packed_row(prompt_states)
    states = model(ids[None], position_ids=positions[None], use_cache=False, packed_layout=layout).last_hidden_state[0]
    return [states[segment.start : segment.end] for segment in layout.segments]
