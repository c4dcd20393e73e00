"""Training with any Trainer: rows of words and tags in, batches of `JPTForTokenClassification.forward` out.

The counterpart of `tokenize_and_align_labels` and `DataCollatorForTokenClassification` in transformers' recipe for token
classification. Here types have definitions, which are in a prompt that the texts of a batch share.
"""

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from .definitions_jpt import build_definition_encoder, check_definition_encoder, mean_vectors
from .inputs_jpt import PromptStyle, build_prompt, embedding_texts, encode_texts, split_windows
from .labels_jpt import label_tokens, tag_types
from .schema_jpt import Schema, resolve_schema

ENCODED = ("input_ids", "labels", "type_tags")  # columns that a Trainer keeps, as `forward` has them
TAG = re.compile(r"([BIESLUM])[-_](.+)", re.DOTALL)


class TrainingCollator:
    """
    The data collator of a JPT model, for rows with the same candidate types.

    ```python
    >>> collator = model.training_collator(tokenizer, {"person": "A human being, by name."}, label_names=["O", "B-person", "I-person"])
    >>> rows = dataset.map(collator.encode, batched=True, remove_columns=dataset.column_names)
    >>> Trainer(model=model, args=args, train_dataset=rows, data_collator=collator, processing_class=tokenizer).train()
    ```

    It also accepts unencoded rows, if the Trainer keeps their columns (`remove_unused_columns=False`).

    Args:
        model ([`JPTForTokenClassification`]): The model to train. The types become its default types.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer, a fast one.
        entity_types:
            The types, in any form that `schema_jpt.resolve_schema` takes; their names are those in the tags. Labels
            number them in alphabetical order (`collator.types`).
        label_names (`list[str]`, *optional*):
            Names of the numbers in `tags_column`, such as `dataset.features["ner_tags"].feature.names`. Required if
            tags are numbers.
        words_column (`str`, *optional*, defaults to `"tokens"`): Column of the words.
        tags_column (`str`, *optional*, defaults to `"ner_tags"`):
            Column of the tags, a number or text for each word: `O`, or a type with `B-` or `I-` (or another of
            `E S L U M`) in front; a bare type counts as `I-`.
        definition_encoder (*optional*):
            An encoder of `definitions_jpt`, in place of the one that the configuration names.

    Raises:
        ImportError: If the definition encoder needs a missing package.
        ValueError: If the types are not as described, or leave no room for texts; or if the model was trained with another
            definition encoder.
    """

    def __init__(
        self,
        model,
        tokenizer: PreTrainedTokenizerBase,
        entity_types: Any,
        *,
        label_names: Sequence[str] | None = None,
        words_column: str = "tokens",
        tags_column: str = "ner_tags",
        definition_encoder: Any = None,
    ):
        if not tokenizer.is_fast:
            raise ValueError("`tokenizer` must be a fast tokenizer: labels need the characters of each token")
        # In the order of `config.json`, so that the trained model is used with the same prompt.
        types = sorted(resolve_schema(entity_types).entity_types, key=lambda each: each.name)
        schema = Schema(tuple(types))
        config = model.config
        prompt = build_prompt(tokenizer, schema.names, schema.descriptions, PromptStyle.of(config))
        self.length, self.overlap = model.window(len(prompt.input_ids))
        if self.length < 1:
            raise ValueError(
                f"`entity_types`: the prompt of {len(schema)} types takes {len(prompt.input_ids)} of "
                f"{model.context_length} tokens, which leaves no room for texts; shorten their definitions"
            )
        self.tokenizer = tokenizer
        self.types = schema.names
        self.label_names = None if label_names is None else list(label_names)
        self.words_column, self.tags_column = words_column, tags_column
        definitions = embedding_texts(config, schema.names, schema.descriptions)
        self._group = {
            "prompt_input_ids": prompt.input_ids,
            "type_positions": prompt.type_positions,
            "definitions": definitions,
        }
        self._encoder = None
        if config.type_embedding != "prompt":
            self._encoder = definition_encoder or build_definition_encoder(
                config.definition_encoder,
                backbone=model.model,
                tokenizer=tokenizer,
                device=str(model.device),
                **model.encoder_options,
            )
            size = mean_vectors(self._encoder, definitions).shape[1]
            check_definition_encoder(
                self._encoder.name, config.definition_encoder, size, config.definition_encoder_size
            )
        config.entity_types = dict(zip(schema.names, schema.descriptions, strict=True))

    def encode(self, rows: Mapping[str, Sequence]) -> dict[str, list]:
        """
        Tokenizes a batch of rows, for `Dataset.map(..., batched=True, remove_columns=dataset.column_names)`.

        Args:
            rows (`Mapping[str, Sequence]`): Columns: the words and the tags of each row.

        Returns:
            `dict[str, list]`: `input_ids`, `labels` and `type_tags`, as `forward` takes them. A text that is too long for one
            window becomes several rows, and one without tokens none.

        Raises:
            ValueError: If rows are not as described; the message says which and why.
        """
        missing = [column for column in (self.words_column, self.tags_column) if column not in rows]
        if missing:
            raise ValueError(
                f"rows have no column {missing[0]!r}, but {', '.join(map(repr, rows)) or 'none at all'}. Name columns by "
                "`words_column` and `tags_column`; a Trainer takes away those that it does not know, unless told "
                "`remove_unused_columns=False`"
            )
        encoded: dict[str, list] = {column: [] for column in ENCODED}
        for number, (words, tags) in enumerate(zip(rows[self.words_column], rows[self.tags_column], strict=True)):
            try:
                text, spans = self._spans(words, tags)
                pieces = list(self._pieces(text, spans))
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from None
            for piece in pieces:
                for column, value in zip(ENCODED, piece, strict=True):
                    encoded[column].append(value.tolist())
        return encoded

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Collates rows from `encode`, or rows that it accepts, into a batch.

        Raises:
            ValueError: If the rows are neither.
        """
        if not all(column in row for row in rows for column in ENCODED):
            if any("input_ids" in row for row in rows):
                raise ValueError(
                    "rows were tokenized by other means; give rows of words and tags, or those of `collator.encode`"
                )
            shared = [column for column in (rows[0] if rows else ()) if all(column in row for row in rows)]
            columns = self.encode({column: [row[column] for row in rows] for column in shared})
            rows = [dict(zip(ENCODED, row)) for row in zip(*columns.values(), strict=True)]
        texts = [[torch.as_tensor(row[column]) for column in ENCODED] for row in rows]
        texts = [[ids, labels, tags.view(len(ids), len(self.types))] for ids, labels, tags in texts]
        return collate([{**self._group, "texts": texts}], self._encoder)

    def _spans(self, words: Sequence[str], tags: Sequence[int | str]) -> tuple[str, list[tuple[int, int, int]]]:
        """The text of the words, and the spans of the tags in it: first character, one past the last, type."""
        if not all(isinstance(word, str) for word in words) or isinstance(words, str):
            raise ValueError(f"{self.words_column!r} must be a list of words, got {words!r:.80}")
        if len(words) != len(tags):
            raise ValueError(f"there are {len(words)} words and {len(tags)} tags")
        ends = np.cumsum([len(word) + 1 for word in words]).tolist()
        starts = [end - len(word) - 1 for end, word in zip(ends, words, strict=True)]
        spans: list[tuple[int, int, int]] = []
        previous = None  # type of the word before, if its mention may continue
        for start, end, tag in zip(starts, ends, tags, strict=True):
            prefix, index = self._parse(tag)
            if start == end - 1:  # an empty word is no part of a mention
                continue
            if index is None:
                previous = None
                continue
            if index == previous and prefix not in "BSU":
                spans[-1] = (spans[-1][0], end - 1, index)
            else:
                spans.append((start, end - 1, index))
            previous = None if prefix in "ESLU" else index
        return " ".join(words), spans

    def _parse(self, tag: int | str) -> tuple[str, int | None]:
        """Prefix of a tag and the number of its type, `None` for O."""
        if not isinstance(tag, str):
            if not isinstance(tag, Integral):
                raise ValueError(f"the tag {tag!r} is neither text nor a number")
            if self.label_names is None:
                raise ValueError(
                    f"the tag {tag!r} is a number: say what numbers stand for, such as "
                    'label_names=dataset.features["ner_tags"].feature.names'
                )
            if not 0 <= tag < len(self.label_names):
                raise ValueError(f"the tag {tag!r} is none of the {len(self.label_names)} in `label_names`")
            tag = self.label_names[tag]
        if tag in ("O", "", "_"):
            return "O", None
        match = TAG.fullmatch(tag)
        prefix, name = match.groups() if match and tag not in self.types else ("I", tag)
        if name not in self.types:
            raise ValueError(
                f"the tag {tag!r} is of none of the types in `entity_types`: {', '.join(map(repr, self.types))}"
            )
        return prefix, self.types.index(name)

    def _pieces(self, text: str, spans: list[tuple[int, int, int]]):
        """Token ids, labels and tags per type of a text, or of each window of a long one."""
        tokens = encode_texts(self.tokenizer, [text])[0]
        if not len(tokens.input_ids):
            return
        labels = label_tokens(text, tokens.offsets, spans).labels
        tags = tag_types(text, tokens.offsets, spans, len(self.types))
        for window in split_windows(text, tokens.offsets, self.length, self.overlap):
            # Tokens that windows share are learned in the window that the pipeline takes them from.
            learned = np.full_like(labels, -100)
            learned[window.keep_start : window.keep_end] = labels[window.keep_start : window.keep_end]
            piece = slice(window.start, window.end)
            yield tokens.input_ids[piece], learned[piece], tags[piece]


def collate(groups: Sequence[Mapping[str, Any]], encoder: Any) -> dict[str, torch.Tensor]:
    """
    Collates groups of texts, each with its own prompt, into one batch for `JPTForTokenClassification.forward`.

    Args:
        groups (`Sequence[Mapping]`):
            Each has `prompt_input_ids`, `type_positions` (see `inputs_jpt.Prompt`), `definitions` (groups of texts, O first),
            `texts` (for each text, token ids `(tokens,)`, labels `(tokens,)` and tags per type `(tokens, types)`) and,
            if it is not the model's default, `reading`.
        encoder: An encoder of `definitions_jpt`, or `None` if the model needs no embedded definitions.

    Raises:
        ValueError: If no text has tokens.
    """
    texts = [
        (number, group.get("reading"), *map(torch.as_tensor, text))
        for number, group in enumerate(groups)
        for text in group["texts"]
        if len(text[0])
    ]
    if not texts:
        raise ValueError("no text of the batch has tokens")
    index, readings, ids, labels, tags = map(list, zip(*texts, strict=True))
    prompts = [torch.tensor(group["prompt_input_ids"]) for group in groups]
    positions = [torch.tensor(group["type_positions"]) for group in groups]
    types = max(map(len, positions))
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        "type_tags": pad_sequence(
            [nn.functional.pad(each, (0, types - each.shape[1])) for each in tags], batch_first=True
        ),
        "prompt_input_ids": pad_sequence(prompts, batch_first=True),
        "prompt_attention_mask": pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True),
        "prompt_index": torch.tensor(index),
        "type_positions": pad_sequence(positions, batch_first=True, padding_value=-1),
    }
    if any(readings):
        batch["reading"] = readings
    if encoder is not None:
        if encoder.name == "backbone":
            encoder.clear()  # The adapters have changed since the last batch.
        embeddings = mean_vectors(encoder, [texts for group in groups for texts in group["definitions"]])
        sizes = [len(group["definitions"]) for group in groups]
        batch["definition_embeddings"] = pad_sequence(torch.from_numpy(embeddings).split(sizes), batch_first=True)
    return batch


__all__ = ["TrainingCollator", "collate"]
