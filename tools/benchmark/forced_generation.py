"""Autoregressive NER on any backbone, timed: `generate` with outputs forced to the length of the gold ones.

Forcing the length keeps the output of an untrained model from distorting the time. There are three formats, as used with
large language models: a JSON list (`json`), one question per type (`per-type`, as UniNER) and every word with its tag
(`tagged`, as GNER).
"""

import json
from collections.abc import Callable, Sequence

import torch
from transformers import AutoModelForCausalLM

from ..data.records import Record
from .systems import System, count_parameters

LIST_PROMPT = (
    "Find all entities of the given types in the text. Answer with a JSON list of [mention, type] pairs.\n"
    "{types}\nText: {text}\nEntities: "
)
TYPE_PROMPT = "Text: {text}\nWhat describes {name} ({definition}) in the text? Answer with a JSON list.\nEntities: "
TAG_PROMPT = "Tag every word of the text with its BIO tag of the given types, as word(tag).\n{types}\nText: {text}\nTagged text: "


def causal_lm(backbone, tokenizer):
    """A causal LM around a backbone without a head; as its head, the input embeddings, which are as large."""
    config = backbone.config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=config._attn_implementation)
    model.set_submodule(model.base_model_prefix, backbone)
    model.lm_head.weight = backbone.get_input_embeddings().weight
    model.generation_config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
    return model.eval()


class ForcedGeneration(System):
    """
    Args:
        model: A causal LM with its head.
        format (`str`): One of `FORMATS`.
        batch_size (`int`): Number of prompts to pad and generate together.
    """

    def __init__(self, name: str, model, tokenizer, format: str = "json", batch_size: int = 1):
        super().__init__(name, batch_size)
        self.tokenizer, self.model, self._questions = tokenizer, model, FORMATS[format]
        self.parameters = count_parameters(model.base_model)

    def questions(self, record: Record) -> list[tuple[str, int]]:
        """Prompts for the entities of a text, and the number of tokens of each output with its end."""
        return [(prompt, len(self.tokenizer(gold).input_ids) + 1) for prompt, gold in self._questions(record)]

    def read(self, records: Sequence[Record]) -> list:
        questions = [question for record in records for question in self.questions(record)]
        for start in range(0, len(questions), self.batch_size):
            prompts, lengths = zip(*questions[start : start + self.batch_size], strict=True)
            self.tokenizer.padding_side = "left"
            inputs = self.tokenizer(list(prompts), return_tensors="pt", padding=len(prompts) > 1)
            length = max(lengths)
            with torch.inference_mode():
                self.model.generate(
                    **inputs.to(self.model.device), max_new_tokens=length, min_new_tokens=length, do_sample=False
                )
        return []


def _as_list(record: Record) -> list[tuple[str, str]]:
    mentions = [[record.text[each.start : each.end], each.label] for each in record.entities]
    return [(LIST_PROMPT.format(types=_listed(record), text=record.text), json.dumps(mentions, ensure_ascii=False))]


def _per_type(record: Record) -> list[tuple[str, str]]:
    questions = []
    for name, definition in record.types.items():
        mentions = [record.text[each.start : each.end] for each in record.entities if each.label == name]
        prompt = TYPE_PROMPT.format(text=record.text, name=name, definition=definition)
        questions.append((prompt, json.dumps(mentions, ensure_ascii=False)))
    return questions


def _tagged(record: Record) -> list[tuple[str, str]]:
    words, position = [], 0
    for word in record.text.split():
        start = record.text.index(word, position)
        position = start + len(word)
        tag = "O"
        for each in record.entities:
            if each.start < position and start < each.end:
                tag = f"{'B' if start <= each.start else 'I'}-{each.label}"
        words.append(f"{word}({tag})")
    return [(TAG_PROMPT.format(types=_listed(record), text=record.text), " ".join(words))]


def _listed(record: Record) -> str:
    return "\n".join(f"- {name}: {definition}" for name, definition in record.types.items())


FORMATS: dict[str, Callable[[Record], list[tuple[str, str]]]] = {
    "json": _as_list,
    "per-type": _per_type,
    "tagged": _tagged,
}
