"""The fused path through a backbone against the backbone itself, and that it is not used where it would not be exact."""

import copy
import gc
import weakref

import pytest
import torch
from jpt_ner import fused_jpt
from jpt_ner.attention_jpt import PACKED_ATTENTION, PackedLayout, Segment
from jpt_ner.fused_jpt import fused_backbone
from packed import PROMPT_IDS, TEXTS, packed_row, read_packed, read_separately
from tiny import tiny_backbone

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16 products of oneDNN"
)
READ = [3, 2, 1, 8, 12]  # tokens of each text that are wanted


def half(family="llama", **values):
    return tiny_backbone(family, PACKED_ATTENTION, **values).bfloat16()


@torch.no_grad()
def read_fused(model, prompt_states=None) -> list[torch.Tensor]:
    """States of the texts' last tokens, with the prompts in the row or read before."""
    layout, ids, positions = packed_row(prompt_states, READ)
    states = fused_backbone(model).read(model, layout, ids, positions)
    return list(states.split([len(segment.wanted) for segment in layout.segments]))[-len(TEXTS) :]


@torch.no_grad()
def prompts_read_fused(model):
    read = []
    for ids in PROMPT_IDS:
        layout = PackedLayout([Segment(0, len(ids))], keep_states=True)
        fused_backbone(model).read(model, layout, ids, torch.arange(len(ids)))
        read.append([layout.states[layer] for layer in sorted(layout.states)])
    return read


def tails(rows):
    return torch.cat([row[-read:].float() for row, read in zip(rows[-len(TEXTS) :], READ, strict=True)])


@pytest.mark.parametrize(
    "family, values",
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "num_key_value_heads": 1}),
        ("qwen2", {}),
        ("qwen3", {}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("llama", {"head_dim": 16, "num_hidden_layers": 5}),
    ],
)
@torch.no_grad()
def test_as_near_to_float32_as_the_backbone(family, values):
    exact = tiny_backbone(family, **values)
    for name, parameter in exact.named_parameters():
        if "norm" in name or "bias" in name:
            parameter.uniform_(0.3, 1.7)
    model = copy.deepcopy(exact).bfloat16()
    exact = copy.deepcopy(model).float()  # the same numbers, rounded
    expected = tails(read_separately(exact, "eager"))
    model.set_attn_implementation(PACKED_ATTENTION)
    plain = (tails(read_packed(model)) - expected).abs().mean()
    for prompts in (None, prompts_read_fused(model)):
        found = tails(read_fused(model, prompts))
        assert (found - expected).abs().mean() < 1.5 * plain
        assert plain < 0.1 * expected.abs().mean()  # else everything would pass


def test_changed_weights_are_seen():
    model = half()
    before = tails(read_fused(model))
    assert tails(read_fused(model)).equal(before)
    with torch.no_grad():
        model.layers[0].mlp.up_proj.weight.mul_(0.5)
    changed = tails(read_fused(model))
    assert (changed - before).abs().max() > 1e-2
    model.layers[1].self_attn.o_proj.weight = torch.nn.Parameter(model.layers[0].self_attn.o_proj.weight.clone())
    assert (tails(read_fused(model)) - changed).abs().max() > 1e-2
    packed = fused_backbone_without_gradients(model)
    assert fused_backbone_without_gradients(model) is packed  # laid out once


@torch.no_grad()
def fused_backbone_without_gradients(model):
    return fused_backbone(model)


def test_keeps_out():
    assert fused_backbone(half()) is None  # gradients
    for other in (tiny_backbone(), half("mistral"), half("gemma2"), half().train()):
        assert fused_backbone_without_gradients(other) is None
    model = half()
    assert fused_backbone_without_gradients(model) is not None
    handle = model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert fused_backbone_without_gradients(model) is None
    handle.remove()
    assert fused_backbone_without_gradients(model) is not None
    norm = model.layers[0].input_layernorm
    norm.float()
    assert fused_backbone_without_gradients(model) is None
    norm.bfloat16()
    linear = model.layers[0].mlp.gate_proj
    model.layers[0].mlp.gate_proj = torch.nn.Sequential(linear)
    assert fused_backbone_without_gradients(model) is None


class Quantized(torch.Tensor):
    """A weight that claims to be bfloat16 and is something else, like torchao's."""


def test_keeps_out_of_quantised_weights():
    model = half()
    linear = model.layers[1].mlp.down_proj
    linear.weight = torch.nn.Parameter(linear.weight.detach().as_subclass(Quantized))
    assert type(linear.weight) is not torch.nn.Parameter and linear.weight.dtype == torch.bfloat16
    assert fused_backbone_without_gradients(model) is None


def test_adapters_are_not_passed_over(make_model):
    model = make_model(type_embedding="prompt")
    model.model.to(torch.bfloat16)
    assert fused_backbone_without_gradients(model.model.eval()) is None
    model.merge_lora()
    assert fused_backbone_without_gradients(model.model) is not None


def test_ends_with_its_model_and_is_no_part_of_it():
    model = half()
    fused_backbone_without_gradients(model)
    other = copy.deepcopy(model)
    assert other.state_dict().keys() == model.state_dict().keys() == half().state_dict().keys()
    gone = weakref.ref(fused_backbone_without_gradients(model))
    del model
    gc.collect()
    assert gone() is None
    assert fused_backbone_without_gradients(other) is not None


def test_the_model_reads_with_it(make_model, monkeypatch):
    """Prompts and texts, with scores that agree with the backbone's own way."""
    model = make_model(type_embedding="prompt")
    model.merge_lora()
    model.model.to(torch.bfloat16)
    model.eval()
    prompt = {"prompts": [torch.arange(3, 40)], "type_positions": [torch.tensor([12, 36])]}
    texts = {"input_ids": torch.arange(50, 90).view(2, 20), "attention_mask": torch.ones(2, 20)}
    texts["attention_mask"][1, 13:] = 0
    used = []
    read = fused_jpt.FusedBackbone.read
    monkeypatch.setattr(fused_jpt.FusedBackbone, "read", lambda *args: used.append(1) or read(*args))

    def scores():
        with torch.no_grad():
            return model(**texts, encoded_prompts=model.encode_prompts(**prompt)).sigmoid_logits.clamp(min=-1e3)

    found = scores()
    assert len(used) == 2
    monkeypatch.setattr("jpt_ner.modeling_jpt.fused_backbone", lambda backbone: None)
    expected = scores()
    assert len(used) == 2
    model.model.float()
    exact = scores()
    assert (found - exact).abs().mean() < 1.5 * (expected - exact).abs().mean()
