"""The packed row in one call against the segments one by one, and the blocks of its mask against the pairs themselves."""

import numpy as np
import pytest
import torch
from jpt_ner.attention_jpt import PACKED_ATTENTION, PackedLayout, Segment
from jpt_ner.flex_jpt import BLOCK, FLEX_ATTENTION, RowMask
from packed import PROMPT_IDS, packed_row
from tiny import save_backbone, tiny_backbone, tiny_model

# It warns that it is slow on a CPU.
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def encode(model, attention: str) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    model.set_attn_implementation(attention)
    states = []
    for ids in PROMPT_IDS:
        layout = PackedLayout([Segment(0, len(ids))], keep_states=True)
        model(ids[None].to(model.device), use_cache=False, packed_layout=layout)
        layout.check_followed(model.config)
        states.append([layout.states[layer] for layer in sorted(layout.states)])
    return states


def read(model, attention: str, kept: bool, is_open: bool) -> torch.Tensor:
    layout, ids, positions = packed_row(encode(model, attention) if kept else None)
    model.set_attn_implementation(attention)
    for segment in layout.segments:
        segment.open = is_open and segment.prompt is not None
    found = model(
        ids[None].to(model.device),
        position_ids=positions[None].to(model.device),
        use_cache=False,
        packed_layout=layout,
    )
    layout.check_followed(model.config)
    return found.last_hidden_state[0]


def both(model, kept: bool, is_open: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return read(model, FLEX_ATTENTION, kept, is_open), read(model, PACKED_ATTENTION, kept, is_open)


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
@torch.no_grad()
def test_one_call_equals_segment_by_segment(family, is_open):
    """Grouped heads, a sliding window and a softcap among them; prompts in the row and read before."""
    model = tiny_backbone(family)
    for kept in (False, True):
        found, expected = both(model, kept, is_open)
        torch.testing.assert_close(found, expected, atol=5e-5 * max(1.0, float(expected.abs().max())), rtol=0)


def test_gradients_on_a_cpu_are_those_of_the_segments():
    model = tiny_backbone()
    found, expected = both(model, False, False)
    assert found.requires_grad
    torch.testing.assert_close(found, expected)


def test_a_model_reads_with_it(tmp_path):
    """Whole: prompts kept, then texts twice and openly."""
    folder = save_backbone(tmp_path / "backbone")
    prompt = torch.arange(20, 50)
    texts = [torch.arange(60, 60 + length) for length in (5, 11, 1)]
    definitions = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0))
    found = []
    for attention in (PACKED_ATTENTION, FLEX_ATTENTION):
        model = tiny_model(folder, attention, readings=["twice", "open"]).eval()
        with torch.no_grad():
            encoded = model.encode_prompts([prompt], [torch.tensor([4, 9])])
            for reading in ("twice", "open"):
                found.append(score(model, encoded, texts, definitions, reading))
    for one, other in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def score(model, encoded, texts, definitions, reading: str) -> torch.Tensor:
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    output = model(
        ids, attention_mask=mask, encoded_prompts=encoded, definition_embeddings=definitions, reading=reading
    )
    return output.logits[mask.bool()]


def random_layout(seed: int) -> PackedLayout:
    """Prompts read before and in the row, and causal and open texts behind them, over several blocks."""
    random = np.random.default_rng(seed)
    kept = [[(torch.zeros(1, int(length), 2),) * 2] for length in random.integers(1, 400, size=2)]
    segments, start = [], 0
    for _ in range(int(random.integers(1, 3))):
        segments.append(Segment(start, start := start + int(random.integers(1, 300))))
    for _ in range(int(random.integers(1, 12))):
        length, prompt = int(random.integers(1, 200)), int(random.integers(0, len(kept) + 1))
        segments.append(Segment(start, start := start + length, prompt, open=bool(random.integers(2))))
    return PackedLayout(segments, kept)


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("seed", range(8))
def test_no_visible_pair_is_in_a_skipped_block(seed, window):
    layout = random_layout(seed)
    row = RowMask.of(layout)
    queries, keys = len(row.prompt), len(row.segment)
    mask = row.block_mask(window, torch.device("cpu"))
    query, key = torch.meshgrid(torch.arange(queries), torch.arange(keys), indexing="ij")
    pairs = mask.mask_mod(0, 0, query, key).numpy()

    # Each query sees its prompt and what is before it in its segment, or all of that: nothing else.
    lengths = [states[0][0].shape[1] for states in layout.prompt_states]
    starts = np.cumsum([0, *lengths])[:-1].tolist() + [sum(lengths) + each.start for each in layout.segments]
    lengths += [each.end - each.start for each in layout.segments]
    expected = np.zeros((queries, keys), dtype=bool)
    for segment in layout.segments:
        before = 0 if segment.prompt is None else lengths[segment.prompt]
        for at in range(segment.start, segment.end):
            here = before + at - segment.start
            own = range(segment.start, segment.end if segment.open else at + 1)
            places = [
                (sum(lengths[: len(layout.prompt_states)]) + each, before + each - segment.start) for each in own
            ]
            if segment.prompt is not None:
                places += [(starts[segment.prompt] + each, each) for each in range(before)]
            for place, position in places:
                expected[at, place] = window is None or abs(here - position) < window
    np.testing.assert_array_equal(pairs, expected)

    computed = np.kron(mask.to_dense()[0, 0].numpy() > 0, np.ones((BLOCK, BLOCK), dtype=bool))[:queries, :keys]
    assert not (pairs & ~computed).any()
    if window is None:
        assert computed.mean() < 1


@CUDA
@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_on_a_gpu_compiled(family, is_open):
    model = tiny_backbone(family, head_dim=16).cuda()
    for kept in (False, True):
        with torch.no_grad():
            found, expected = both(model, kept, is_open)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    found, expected = both(model, False, is_open)
    weight = model.layers[0].self_attn.k_proj.weight
    one, other = (torch.autograd.grad(states.square().sum(), weight)[0] for states in (found, expected))
    torch.testing.assert_close(one, other, atol=1e-2 * float(other.abs().max()), rtol=1e-2)
