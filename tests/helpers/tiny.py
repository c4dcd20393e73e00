"""Tiny stand-ins for tests: a byte-level tokenizer with ChatML turns, random backbones of several families."""

from pathlib import Path

import torch
from jpt_ner.modeling_jpt import JPTForTokenClassification
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
)
SENTENCES = [
    "The first time: 'Paris released a new album.' The second time: 'Angela Merkel visited Paris in May.'",
    'Entity type definitions: - "artist": "A musician, singer or band" - "city": "A named city or town"',
    "You are an information-extraction assistant. Find the entities of the given types.",
]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = {"sliding_window": 8}
FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": SLIDING,
    "gemma2": {**SLIDING, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0},
    "gemma3_text": {**SLIDING, "query_pre_attn_scalar": 8, "layer_types": ["sliding_attention", "full_attention"]},
}


def tiny_tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=chat_template,
    )


def tiny_config(family: str = "llama", **values):
    return AutoConfig.for_model(family, **{**SIZES, **FAMILIES.get(family, {}), **values})


def tiny_backbone(family: str = "llama", attention: str = "eager", **values):
    """A random backbone, large enough in its weights for attention to matter."""
    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_config(family, **values), attn_implementation=attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.3)
    return model.eval()


def tiny_causal_lm(family: str = "llama", attention: str = "sdpa", **values):
    """Random weights large enough for outputs to depend on the whole prompt."""
    torch.manual_seed(0)
    config = tiny_config(family, **{"max_position_embeddings": 1024, **values})
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.3)
    return model.eval()


def save_backbone(folder: str | Path, family: str = "llama", **values) -> str:
    """A folder with a random backbone and a tokenizer, as downloaded from the Hub."""
    tiny_backbone(family, **values).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def tiny_model(folder: str, attention: str = "jpt_packed", load_options: dict | None = None, **values):
    """An untrained model around a backbone of `save_backbone`, with adapters that do something."""
    torch.manual_seed(1)
    model = JPTForTokenClassification.from_backbone(
        folder,
        **{
            "separator_ids": [7, 8, 9],
            "definition_encoder_size": 6,
            "projection_hidden_sizes": [24],
            "projection_size": 16,
            "lora_rank": 2,
            "lora_alpha": 4,
            "max_length": 256,
            **values,
        },
        load_options={"dtype": torch.float32, "attn_implementation": attention, **(load_options or {})},
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or name.startswith("head.") and parameter.ndim == 2:
                parameter.normal_(std=0.3)
    return model
