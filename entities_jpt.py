"""The heads' probabilities for a text in, its entities with their characters out.

A [`Reading`] keeps the probabilities of one text, so that it can be decoded again with other options and no forward pass.
Spans come from `spans_jpt`; here they get the names of their types, and the words that were given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .configuration_jpt import JPTConfig
from .entity_pipeline_jpt import lowest_scores
from .heads_jpt import mean_probabilities, sigmoid_output
from .schema_jpt import Schema
from .spans_jpt import Span, decode_nested_spans, decode_spans, nest_spans

# How probable a second type of a mention must be. From even odds on, nested mentions cost more than they bring on GENIA
# (docs/evaluation.md).
NESTED_PROBABILITY = 0.85


@dataclass(frozen=True)
class Reading:
    """
    The heads' probabilities for a text: its entities at any threshold, nested or not, without another forward pass.

    Args:
        text (`str`): The text.
        schema ([`Schema`]): The types, with the thresholds that [`find_entities`] applies.
        offsets (`np.ndarray` of shape `(tokens, 2)`): Characters of each token, from first to one past the last.
        softmax (`np.ndarray` of shape `(tokens, 1 + types)`): Probabilities of the softmax head, O first.
        sigmoid (`np.ndarray` of shape `(tokens, types)`): Probabilities of the sigmoid head.
        begin (`np.ndarray` of shape `(tokens, types)`, *optional*):
            Probabilities of the begin head, if the model has one.
        words (`list[tuple[int, int, int]]`, *optional*):
            Start, end and number of each word, if words were given.
    """

    text: str
    schema: Schema
    offsets: np.ndarray
    softmax: np.ndarray
    sigmoid: np.ndarray
    begin: np.ndarray | None = None
    words: list[tuple[int, int, int]] | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Mean of the softmax and sigmoid heads `(tokens, 1 + types)`."""
        return mean_probabilities(torch.from_numpy(self.softmax), torch.from_numpy(self.sigmoid)).numpy()


def find_entities(
    reading: Reading,
    config: JPTConfig,
    nested: bool = False,
    threshold: float | Mapping[str, float] | None = None,
    top_k: int = 0,
    decoder: str = "word",
) -> list[dict[str, Any]]:
    """
    The entities of a text, as [`~pipeline_jpt.JPTPipeline`] returns them.

    Args:
        reading ([`Reading`]): The heads' probabilities.
        config ([`JPTConfig`]): The model's, for its transition penalty, its bias of O and the loss of its sigmoid head.
        nested, threshold, top_k, decoder: As for calls of the pipeline.
    """
    words = None if reading.words is None else [(start, end) for start, end, _ in reading.words]
    spans = _decode(reading, config, nested, decoder, {"top_k": top_k, "words": words, "begins": reading.begin})
    limits = lowest_scores(reading.schema, threshold)
    entities = [_entity(span, reading, top_k) for span in spans if span.score >= (limits[span.type_index] or 0)]
    if reading.words is not None:
        first = {start: number for start, _, number in reading.words}
        last = {end: number for _, end, number in reading.words}
        for entity in entities:
            entity |= {"first_word": first[entity["start"]], "last_word": last[entity["end"]]}
    return entities


def _decode(reading: Reading, config: JPTConfig, nested: bool, decoder: str, options: dict[str, Any]) -> list[Span]:
    """
    Flat spans and, if `nested`, those of other types that the sigmoid head is sure of. The output at which it is sure
    depends on its loss: with the paper's values, 0.5 would mean one time in six.
    """
    path: dict[str, Any] = {
        "rule": decoder,
        "transition_penalty": config.switch_cost,
        "outside_bias": config.outside_bias,
    }
    flat = decode_spans(reading.text, reading.offsets, reading.probabilities, **path, **options)
    if not nested:
        return flat
    sure = sigmoid_output(NESTED_PROBABILITY, config.focal_gamma, config.positive_weight)
    sure = 1 / (1 + (1 / sure - 1) ** (1 / config.sigmoid_temperature))
    others = decode_nested_spans(reading.text, reading.offsets, reading.sigmoid, thresholds=sure, **options)
    return nest_spans(reading.offsets, reading.sigmoid, flat, others, sure)


def _entity(span: Span, reading: Reading, top_k: int) -> dict[str, Any]:
    names = reading.schema.names
    entity: dict[str, Any] = {
        "entity_group": names[span.type_index],
        "score": span.score,
        "word": reading.text[span.start : span.end],
        "start": span.start,
        "end": span.end,
    }
    if top_k:
        entity["alternatives"] = [{"entity_group": names[index], "score": score} for index, score in span.alternatives]
    return entity
