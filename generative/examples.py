"""Training examples of the generative systems: a labelled text in, token ids with a loss mask out; and examples with a
common prefix packed into one row that computes the prefix once.

PaDeLLM-NER, Section 3.1: one text becomes one example for each mention, and one for each label without mentions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .formats import (
    augmented_target,
    count_part,
    get_wording,
    index_part,
    label_part,
    labels_part,
    mention_part,
    mentions_of,
    structured_target,
    text_part,
)


@dataclass(frozen=True)
class ExampleOptions:
    """
    How examples are written.

    Args:
        language (`str`): Language of the template, `"en"` or `"zh"`.
        definitions (`bool`): Write the definition of a type after its label.
        ignore_index_loss (`bool`): PaDeLLM: leave the template `<mention n>` out of the loss ("loss ignoring", Table 6).
        max_output_tokens (`int`): Maximum output of one example (Section C of the paper). Longer ones are left out.

    Raises:
        ValueError: If a value is not as described.
    """

    language: str = "en"
    definitions: bool = False
    ignore_index_loss: bool = False
    max_output_tokens: int = 512

    def __post_init__(self):
        get_wording(self.language)
        if self.max_output_tokens < 1:
            raise ValueError(f"max_output_tokens: expected a whole number from 1, got {self.max_output_tokens!r}")


@dataclass(frozen=True)
class Example:
    """
    One sequence.

    Args:
        input_ids (`list[int]`): Prompt, answer and the token that ends the sequence.
        loss_mask (`list[bool]`): Which of them the loss is computed on.
    """

    input_ids: list[int]
    loss_mask: list[bool]


def encode_part(tokenizer, part: str) -> list[int]:
    """Token ids of a part of a prompt or an answer: plain text, without special tokens."""
    return tokenizer(part, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def build_examples(
    tokenizer,
    system: str,
    text: str,
    entities: Sequence,
    labels: Mapping[str, str],
    options: ExampleOptions = ExampleOptions(),
) -> list[Example]:
    """
    All examples of one text.

    Args:
        tokenizer: Its `eos_token_id` ends every sequence.
        system (`str`): One of `formats.GENERATIVE_SYSTEMS`.
        entities: Objects with `start`, `end` and `label`; those with other labels are left out.
        labels: Candidate labels, in the order of the prompt, with their definitions, which `options` may include.

    Raises:
        ValueError: If a label cannot be written in the system's template, or the tokenizer has no end of sequence.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("`tokenizer` has no `eos_token` to end answers with")
    definitions = labels if options.definitions else {}
    first = (text_part(text, options.language), False)
    if system == "padellm":
        answers = [
            [first, (label_part(label, options.language, definitions.get(label)), False), *answer]
            for label in labels
            for answer in _padellm_answers(mentions_of(text, entities, label), options)
        ]
    else:
        write = augmented_target if system == "autoreg-augmented" else structured_target
        prompt = labels_part(list(labels), system, options.language, definitions)
        answers = [[first, (prompt, False), (write(text, entities, list(labels), options.language), True)]]
    examples = [_example(tokenizer, parts) for parts in answers]
    # Longer outputs would not be generated in full either.
    return [each for each in examples if len(each.input_ids) - each.loss_mask.index(True) <= options.max_output_tokens]


def _padellm_answers(mentions: Sequence[str], options: ExampleOptions) -> list[list[tuple[str, bool]]]:
    """The answers to the prompt of one label: one for each mention; without mentions, an empty one."""
    if not mentions:
        return [[]]
    return [
        [
            (count_part(len(mentions)), True),
            (index_part(n, options.language), not options.ignore_index_loss),
            (mention_part(mention, options.language), True),
        ]
        for n, mention in enumerate(mentions, 1)
    ]


def _example(tokenizer, parts: Sequence[tuple[str, bool]]) -> Example:
    input_ids, loss_mask = [], []
    for part, learned in parts:
        ids = encode_part(tokenizer, part)
        input_ids += ids
        loss_mask += [learned] * len(ids)
    return Example([*input_ids, tokenizer.eos_token_id], [*loss_mask, True])


@dataclass(frozen=True)
class PackedRow:
    """
    Examples as trees of tokens in one row, in which a common prefix occurs once.

    Args:
        input_ids (`np.ndarray` of shape `(tokens,)`): Tokens, parents before children.
        position_ids (`np.ndarray` of shape `(tokens,)`): Position in the example, from 0.
        visible (`np.ndarray` of shape `(tokens, tokens)`): Whether a token (row) sees another (column): those before it
            in its example, and itself.
        predicting (`np.ndarray` of shape `(targets,)`): Position of the token that predicts each target. A token occurs
            once for each example that continues from it.
        targets (`np.ndarray` of shape `(targets,)`): The tokens of the loss, of all examples.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    visible: np.ndarray
    predicting: np.ndarray
    targets: np.ndarray


def pack(examples: Sequence[Example]) -> PackedRow:
    """
    Packs examples. Loss and gradients equal those of the examples in separate rows, repeated prefixes included.
    """
    children: dict[tuple[int, int], int] = {}
    input_ids: list[int] = []
    parents: list[int] = []
    predicting: list[int] = []
    targets: list[int] = []
    for example in examples:
        node = -1
        for token, learned in zip(example.input_ids, example.loss_mask):
            if learned:
                if node < 0:
                    raise ValueError("`examples` should begin with a token outside the loss")
                predicting.append(node)
                targets.append(token)
            child = children.get((node, token))
            if child is None:
                child = children[node, token] = len(input_ids)
                input_ids.append(token)
                parents.append(node)
            node = child
    depths = np.zeros(len(input_ids), dtype=np.int64)
    visible = np.eye(len(input_ids), dtype=bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            depths[node] = depths[parent] + 1
            visible[node] |= visible[parent]
    return PackedRow(np.array(input_ids), depths, visible, np.array(predicting), np.array(targets))


class RowCollator:
    """
    Puts packed rows into one batch for the `forward` of a causal LM whose attention takes any mask (`sdpa`, `eager`).

    Logits are computed for the targets only. The loss is their mean.

    Args:
        attention (`str`): The model's attention implementation: `eager` takes additive masks, `sdpa` boolean ones.
    """

    def __init__(self, attention: str = "sdpa"):
        self.attention = attention

    def __call__(self, rows: Sequence[PackedRow]) -> dict[str, torch.Tensor]:
        longest = max(len(row.input_ids) for row in rows)
        max_targets = max(len(row.targets) for row in rows)
        # Padding sees itself: attention over nothing is NaN.
        visible = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1, 1)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        positions = torch.zeros_like(ids)
        predicting = torch.zeros(len(rows), max_targets, dtype=torch.long)
        targets = torch.full_like(predicting, -100)
        for i, row in enumerate(rows):
            n, k = len(row.input_ids), len(row.targets)
            ids[i, :n] = torch.from_numpy(row.input_ids)
            positions[i, :n] = torch.from_numpy(row.position_ids)
            visible[i, 0, :n, :n] = torch.from_numpy(row.visible)
            predicting[i, :k] = torch.from_numpy(row.predicting)
            targets[i, :k] = torch.from_numpy(row.targets)
        if self.attention == "eager":
            visible = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.bfloat16).min)
        return {
            "input_ids": ids,
            "position_ids": positions,
            "attention_mask": visible,
            "logits_to_keep": predicting,
            "labels": targets,
            "shift_labels": targets,
        }
