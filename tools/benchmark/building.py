"""Builds the systems that `bench` times: from a JPT model, from its backbone alone, or with random weights."""

from collections.abc import Sequence
from functools import partial

import torch
from transformers import AutoConfig

from ...modeling_jpt import JPTForTokenClassification
from .forced_generation import ForcedGeneration, causal_lm
from .gliner_system import GLINER_SYSTEMS, GLiNERSystem, tokenizer_file
from .systems import Encoder, JPTSystem, NaiveJPT, System, parallel_system

SYSTEM_NAMES = (
    "jpt-naive",
    "jpt-single",
    "jpt-batch",
    "jpt-open",
    "autoregressive",
    "autoregressive-batch",
    "padellm",
    "encoder",
    *GLINER_SYSTEMS,
)
BACKBONE_SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8},
    "qwen3-4b": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "qwen3-8b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
}
KEY_VALUE_HEADS = 8


def build_systems(names: Sequence[str], model: str, tokenizer, device: str, batch_size: int) -> list[System]:
    """
    The systems by name, all with weights in the number format that JPT chooses for the machine.

    Args:
        names (`Sequence[str]`): From `SYSTEM_NAMES`. All of them means all that the model can do: `jpt-open` is left out
            if it was not trained to read once.
        model (`str`): Folder or Hub id of a JPT model.
        batch_size (`int`): Of the systems that batch.

    Raises:
        ValueError: For an unknown name.
    """
    unknown = sorted(set(names) - set(SYSTEM_NAMES))
    if unknown:
        raise ValueError(f"unknown system {unknown[0]!r}; there are: {', '.join(SYSTEM_NAMES)}")
    fast = JPTForTokenClassification.from_pretrained(model)
    if tuple(names) == SYSTEM_NAMES and "open" not in fast.config.readings:
        names = [name for name in names if name != "jpt-open"]
    dtype = fast.model.dtype
    plain = JPTForTokenClassification.from_pretrained(model, attn_implementation="sdpa")
    pipeline = fast.as_pipeline(tokenizer, device=device)
    naive = NaiveJPT(plain.as_pipeline(tokenizer, device=device))
    generating = causal_lm(plain.model, tokenizer)
    builders = {
        "jpt-naive": lambda: naive,
        "jpt-single": lambda: JPTSystem("jpt-single", pipeline, 1),
        "jpt-batch": lambda: JPTSystem("jpt-batch", pipeline, batch_size),
        "jpt-open": lambda: JPTSystem("jpt-open", pipeline, batch_size, reading="open"),
        "autoregressive": lambda: ForcedGeneration("autoregressive", generating, tokenizer),
        "autoregressive-batch": lambda: ForcedGeneration(
            "autoregressive-batch", generating, tokenizer, batch_size=batch_size
        ),
        "padellm": lambda: parallel_system(generating, tokenizer),
        "encoder": lambda: Encoder(tokenizer, batch_size, dtype, device),
    }

    def gliner(name: str) -> GLiNERSystem:
        return GLiNERSystem(name, batch_size, dtype, device, tokenizer_file(tokenizer))

    builders |= {name: partial(gliner, name) for name in GLINER_SYSTEMS}
    return [builders[name]() for name in names]


def random_model(config, shape: str, device: str, dtype: torch.dtype) -> JPTForTokenClassification:
    """A JPT model around a Qwen3 backbone of the given shape with random weights, allocated on the device it is used on."""
    config.text_config = AutoConfig.for_model(
        "qwen3",
        **{"num_key_value_heads": KEY_VALUE_HEADS, "head_dim": 128, **BACKBONE_SHAPES[shape]},
        vocab_size=151936,
        max_position_embeddings=40960,
        dtype=dtype,
    )
    with torch.device("meta"):
        model = JPTForTokenClassification(config)
    rotary = model.model.rotary_emb
    model.model.to(dtype)
    model = model.to_empty(device=device).eval()
    model.model.rotary_emb = type(rotary)(config.text_config).to(device)  # its buffers are computed, not random
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm" in name else weight.normal_(std=0.02)
    return model.requires_grad_(False)
