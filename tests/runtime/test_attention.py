"""Packed attention against plain attention over every prompt and text as a separate sequence."""

import pytest
import torch
from jpt_ner import attention_jpt
from jpt_ner.attention_jpt import PACKED_ATTENTION, PackedLayout, Segment
from packed import PROMPT_IDS, PROMPTS, read_packed, read_separately
from tiny import FAMILIES, tiny_backbone


@torch.no_grad()
def read_prompts(model) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    model.set_attn_implementation(PACKED_ATTENTION)
    read = []
    for ids in PROMPT_IDS:
        layout = PackedLayout([Segment(0, len(ids))], keep_states=True)
        model(ids[None], use_cache=False, packed_layout=layout)
        read.append([layout.states[layer] for layer in sorted(layout.states)])
    return read


def assert_close(found, expected):
    """In float32: noise follows the largest number."""
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        tolerance = 5e-5 * max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0, msg=lambda text, i=i: f"{i}: {text}")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_packed_row_equals_separate_sequences(family):
    model = tiny_backbone(family)
    for attention in ("eager",) if family == "gemma2" else ("eager", "sdpa"):  # sdpa knows no softcap
        expected = read_separately(model, attention)
        assert_close(read_packed(model), expected)
        assert_close(read_packed(model, read_prompts(model)), expected[len(PROMPTS) :])


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3_text"])
@torch.no_grad()
def test_window_and_softcap_are_in_force(family):
    """The sizes of these tests reach beyond the window and into the softcap: without them, numbers would differ."""
    narrow, wide = tiny_backbone(family), tiny_backbone(family, sliding_window=500)
    assert (read_packed(narrow)[-1] - read_packed(wide)[-1]).abs().max() > 1e-2
    if family == "gemma2":
        uncapped = tiny_backbone(family, attn_logit_softcapping=1e4)
        assert (read_packed(narrow)[-1] - read_packed(uncapped)[-1]).abs().max() > 1e-2


@pytest.mark.parametrize("heads", [1, 2, 4])
@torch.no_grad()
def test_grouped_heads(heads):
    model = tiny_backbone("llama", num_key_value_heads=heads)
    assert_close(read_packed(model), read_separately(model, "eager"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_as_good_as_the_plain_backend(dtype):
    model = tiny_backbone()
    exact = torch.cat(read_separately(model, "eager"))
    model.to(dtype)
    plain = torch.cat(read_separately(model, "eager")).float()
    packed = torch.cat(read_packed(model)).float()
    assert (packed - exact).abs().mean() < 1.5 * (plain - exact).abs().mean()


def loss(states: list[torch.Tensor]) -> torch.Tensor:
    """Depends on every value, and on some more than on others."""
    flat = torch.cat([piece.flatten() for piece in states])
    return (flat * torch.sin(torch.arange(len(flat)))).sum()


def gradients(model, value: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, parameters), strict=True))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_gradients_equal_separate_sequences(family):
    """Of all parameters, so also through the prompt, which the row holds once and separate sequences five times."""
    model = tiny_backbone(family)
    texts = slice(len(PROMPTS), None)
    expected = gradients(model, loss(read_separately(model, "eager")[texts]))
    found = gradients(model, loss(read_packed(model)[texts]))
    for name, gradient in expected.items():
        scale = gradient.abs().max()
        torch.testing.assert_close(found[name], gradient, atol=1e-4 * float(scale), rtol=1e-3, msg=name)

    # Without the gradient through the prompt they would differ.
    cut = gradients(model, loss(read_packed(model, read_prompts(model))))
    key = "layers.0.self_attn.k_proj.weight"
    assert (cut[key] - expected[key]).abs().max() > 1e-2 * expected[key].abs().max()


def test_gradients_of_values_alone():
    """Adapters may be on the values' projection and on neither of the others."""
    model = tiny_backbone()
    texts = slice(len(PROMPTS), None)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("v_proj" in name)
    values = [each for each in model.parameters() if each.requires_grad]
    expected = torch.autograd.grad(loss(read_separately(model, "eager")[texts]), values)
    found = torch.autograd.grad(loss(read_packed(model)[texts]), values)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-3)


def test_dropout_only_in_training():
    model = tiny_backbone(attention_dropout=0.5)
    with torch.no_grad():
        assert_close(read_packed(model), read_packed(model))
        model.train()
        torch.manual_seed(0)
        first, second = read_packed(model), read_packed(model)
    assert (first[-1] - second[-1]).abs().max() > 1e-3
    with_gradient = read_packed(model)
    assert (with_gradient[-1] - read_packed(model)[-1]).abs().max() > 1e-3


def test_refuses_attention_sinks():
    model = tiny_backbone("gpt_oss", attention="eager")
    with pytest.raises(ValueError, match='attn_implementation="sdpa"'):
        read_packed(model)


def test_refuses_a_call_without_layout():
    model = tiny_backbone(attention=PACKED_ATTENTION)
    with pytest.raises(ValueError, match=PACKED_ATTENTION):
        model(PROMPT_IDS[0][None])


@pytest.mark.parametrize("faster", [True, False])
@torch.no_grad()
def test_either_way_on_cpu_is_exact(faster, monkeypatch):
    """The faster way on this CPU is chosen by measurement; both give the same result."""
    monkeypatch.setattr(attention_jpt, "products_are_faster", lambda dtype: faster)
    for family in ("llama", "qwen3", "mistral", "gemma2"):
        model = tiny_backbone(family)
        expected = read_separately(model, "eager")
        assert_close(read_packed(model), expected)
        assert_close(read_packed(model, read_prompts(model)), expected[len(PROMPTS) :])


def test_the_faster_way_is_measured_once():
    attention_jpt.products_are_faster.cache_clear()
    first = attention_jpt.products_are_faster(torch.float32)
    assert isinstance(first, bool) and attention_jpt.products_are_faster(torch.float32) is first
    assert attention_jpt.products_are_faster.cache_info().misses == 1
