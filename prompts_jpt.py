"""Entity types in, the prompt that the pipeline reads once for them and keeps out; and the windows it leaves room for.

The wording of a prompt is `inputs_jpt`'s, and reading it is `modeling_jpt`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from .inputs_jpt import Prompt, PromptStyle, build_prompt, encode_texts

MIN_WINDOW = 32  # tokens; a narrower window would say little


@dataclass(frozen=True)
class PromptPlan:
    """A prompt, the types it was made from, and the windows it leaves room for, in tokens of one copy."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    prompt: Prompt
    window: int
    overlap: int


def plan_prompt(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    names: tuple[str, ...],
    descriptions: tuple[str, ...],
    reading: str | None = None,
) -> PromptPlan:
    """
    Args:
        model ([`JPTForTokenClassification`]): Says how prompts are worded and how long they may be.
        names (`tuple[str, ...]`), descriptions (`tuple[str, ...]`): The types.
        reading (`str`, *optional*): How texts are read behind the prompt, as for calls of the pipeline.

    Raises:
        ValueError: If the prompt leaves no room for a window of `MIN_WINDOW` tokens.
    """
    prompt = build_prompt(tokenizer, names, descriptions, PromptStyle.of(model.config))
    taken = len(prompt.input_ids)
    reading = "twice" if reading == "auto" else reading  # the longer of the two
    window, overlap = model.window(taken, reading)
    smallest = min(model.config.window_length, MIN_WINDOW)
    if window < smallest:
        lengths = [len(tokens.input_ids) for tokens in encode_texts(tokenizer, descriptions)]
        longest = sorted(zip(lengths, names, strict=True), reverse=True)[:5]
        cost, limit = model.text_cost(smallest, reading), model.context_length
        raise ValueError(
            f"`entity_types`: the definitions are too long. The prompt of {len(names)} types takes {taken} tokens "
            f"and {smallest} tokens of text, as they are read, {cost}, {taken + cost - limit} over the limit of "
            f"{limit}. Shorten definitions or look for fewer types at once. The longest: "
            + ", ".join(f"{name!r} ({length} tokens)" for length, name in longest)
        )
    return PromptPlan(names, descriptions, prompt, window, overlap)


@dataclass(frozen=True)
class KeptPrompt:
    """A prompt with its KV cache (an `EncodedPrompt`), and its embedded definitions `(1 + types, encoder_size)`."""

    encoded: Any
    definitions: torch.Tensor | None

    def __post_init__(self):
        # Keys and values are views into those of a whole row, which would be kept along with them.
        self.encoded.states = [(_compact(key), _compact(value)) for key, value in self.encoded.states]

    @property
    def memory(self) -> int:
        """Bytes held."""
        held = [self.encoded.input_ids, self.encoded.type_states, self.definitions]
        return self.encoded.memory + sum(tensor.nbytes for tensor in held if tensor is not None)


def total_memory(prompts: Iterable[KeptPrompt]) -> int:
    """Bytes held by all of them."""
    return sum(prompt.memory for prompt in prompts)


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
