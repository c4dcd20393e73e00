"""The `jpt-ner` pipeline: texts and entity types in, found entities with their characters out.

Ties the other files together: types are resolved (`schema_jpt`), embedded (`definitions_jpt`) and read as a prompt once
per set of types; texts are tokenized and cut into windows (`inputs_jpt`), read in batches (`modeling_jpt`), stitched
and decoded (`spans_jpt`). Many texts stream through with bounded memory. Knows nothing of files or training.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import AutoModelForTokenClassification
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import Pipeline

from .definitions_jpt import build_definition_encoder, check_definition_encoder
from .inputs_jpt import (
    OUTSIDE_DEFINITION,
    Prompt,
    Window,
    build_prompt,
    definition_text,
    encode_texts,
    split_windows,
)
from .schema_jpt import Schema, resolve_schema
from .spans_jpt import decode_nested_spans, decode_spans
from .words_jpt import trim_blanks


DEFAULT_BATCH_SIZE = 16
TOKENS_PER_FORWARD = 4096  # of doubled texts, padding included
BATCHES_AHEAD = 8
CHARACTERS_AHEAD = 2**20
PROMPT_CACHE_BYTES = 256 * 2**20
SMALLEST_WINDOW = 32  # tokens; with less of a text in view, scores mean little


@dataclass(frozen=True)
class _Plan:
    """A prompt, the types it was made from, and what space it leaves: windows of `window` tokens, `overlap` shared."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    prompt: Prompt
    window: int
    overlap: int


@dataclass(frozen=True)
class _ReadPrompt:
    """A prompt that the model has read (an `EncodedPrompt`), with its types' embedded definitions `(1 + types, d)`."""

    encoded: Any
    definitions: torch.Tensor | None

    @property
    def memory(self) -> int:
        held = [self.encoded.input_ids, self.encoded.type_states, self.definitions]
        return self.encoded.memory + sum(tensor.nbytes for tensor in held if tensor is not None)


@dataclass
class _Document:
    """One text on its way through. `probabilities (tokens, scores)` is filled in window by window."""

    text: str
    schema: Schema
    words: list[tuple[int, int, int]] | None  # start, end, number of each given word that is not blank
    plan: _Plan | None = None
    input_ids: np.ndarray | None = None
    offsets: np.ndarray | None = None
    windows: Sequence[Window] = ()
    probabilities: np.ndarray | None = None


_Chunk = tuple[_Document, Window, _ReadPrompt]


class JPTPipeline(Pipeline):
    """
    Finds the entities of any types in any texts.

    ```python
    >>> from transformers import pipeline

    >>> ner = pipeline("jpt-ner", model=".", trust_remote_code=True)
    >>> ner("Paris released a new album.", entity_types={"artist": "A musician, singer or band, by name."})
    ```

    One pipeline may be used from several threads.

    Args:
        definition_encoder (*optional*):
            An object with `name` and `encode(texts)`, to use in place of the encoder that the model's configuration
            names (see `definitions_jpt`): a copy of it elsewhere, or an endpoint that serves it.
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        kwargs: As for every [`Pipeline`] (`model`, `tokenizer`, `device`, `batch_size`), and defaults for the options
            of [`~JPTPipeline.__call__`].
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *args, definition_encoder=None, show_progress: bool = False, **kwargs):
        self.definition_encoder = definition_encoder
        self.show_progress = show_progress
        self._read_prompts: OrderedDict[tuple, _ReadPrompt] = OrderedDict()
        self._plan = lru_cache(maxsize=256)(self._make_plan)
        # Guards the cache of prompts, and the tokenizer, which keeps the settings of a call while it runs.
        self._lock = threading.RLock()
        super().__init__(*args, **kwargs)
        if self.tokenizer is None or not self.tokenizer.is_fast:
            raise ValueError("`tokenizer` must be given and be a fast one, for the offsets of its tokens")
        self.model.eval()

    def __call__(
        self, inputs, *, batch_size: int | None = None, show_progress: bool | None = None, num_workers=None, **options
    ):
        """
        Args:
            inputs (`str`, `dict`, `list`, or any other iterable of items):
                An item is a text, or a dict of `text` and, optionally, its own `entity_types`. With
                `is_split_into_words`, texts are lists of words.
            entity_types (*optional*):
                What to look for: a dict of name to definition, a list of names or of dicts, a schema file, the name
                of a preset ... (see `schema_jpt.resolve_schema`). Defaults to those in the model's configuration.
            threshold (`float`, *optional*):
                Drop entities that score below, unless their type has a threshold of its own. Defaults to none; with
                `nested`, to 0.5.
            nested (`bool`, *optional*, defaults to `False`):
                Decide for each type on its own (sigmoid head), so that entities of different types may overlap.
            top_k (`int`, *optional*, defaults to 0):
                Add `alternatives` to each entity: this many other types with their scores.
            decoder (`str`, *optional*, defaults to `"word"`): `"word"`, or `"token"` for the paper's rule (Eq. 5).
            is_split_into_words (`bool`, *optional*, defaults to `False`):
                Texts are lists of words, and entities consist of whole words. `start` and `end` count on the words
                joined by `delimiter`; `first_word` and `last_word` number the words from 0.
            delimiter (`str`, *optional*, defaults to `" "`): See `is_split_into_words`.
            batch_size (`int`, *optional*, defaults to 16):
                Most texts, or windows of long ones, in one forward pass.
            show_progress (`bool`, *optional*, defaults to `False`): Show a progress bar over texts.
            aggregation_strategy (`str`, *optional*):
                As in the pipeline of transformers; entities always come whole, so only `"none"` is refused.
            num_workers: Ignored.

        Returns:
            For one item a list of dicts with `entity_group`, `score`, `word`, `start` and `end`, in the order of the
            text; for a list or tuple a list of such lists; for any other iterable a generator of them, which reads
            a bounded number of items ahead.

        Raises:
            ValueError: If an item, type or option is not as described; the message names it.
        """
        preprocess_params, forward_params, postprocess_params = (
            {**defaults, **given}
            for defaults, given in zip(
                (self._preprocess_params, self._forward_params, self._postprocess_params),
                self._sanitize_parameters(**options),
                strict=True,
            )
        )
        if batch_size is None:
            batch_size = self._batch_size or DEFAULT_BATCH_SIZE
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a whole number of at least 1, got {batch_size!r}")
        if preprocess_params.get("nested") and postprocess_params.get("decoder") == "token":
            raise ValueError('`decoder="token"` does not go with `nested`, which reads words')
        params = preprocess_params, forward_params, postprocess_params

        words = preprocess_params.get("is_split_into_words", False)
        if isinstance(inputs, (str, Mapping)) or (words and _is_words(inputs)):
            return self.run_single(inputs, *params)
        if isinstance(inputs, Dataset) and not isinstance(inputs, Iterable):
            items: Iterable = (inputs[i] for i in range(len(inputs)))
        elif isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
            items = inputs
        else:
            raise ValueError(
                f"`inputs` must be a text, a dict with `text`, or many of these, got {type(inputs).__name__}"
            )
        show_progress = self.show_progress if show_progress is None else show_progress
        total = len(inputs) if isinstance(inputs, Sized) else None
        progress = tqdm(total=total, unit=" texts", disable=not show_progress)
        results = self.get_iterator(items, num_workers, batch_size, *params, progress=progress)
        return list(results) if isinstance(inputs, (list, tuple)) else results

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params):
        batch_size = self._batch_size or DEFAULT_BATCH_SIZE
        params = preprocess_params, forward_params, postprocess_params
        return next(self.get_iterator([inputs], None, batch_size, *params))

    def get_iterator(
        self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params, progress=None
    ):
        """The stream behind every call: a bounded number of items is read, batched by length, and given back."""
        pass

    def clear_cache(self) -> None:
        """Forgets all prompts: needed when weights, adapters or device of the model have changed."""
        with self._lock:
            self._read_prompts.clear()

    def _sanitize_parameters(
        self,
        entity_types=None,
        is_split_into_words: bool | None = None,
        delimiter: str | None = None,
        nested: bool | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        decoder: str | None = None,
        aggregation_strategy: str | None = None,
    ) -> tuple[dict, dict, dict]:
        if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
            raise ValueError(f"`threshold` must be a number from 0 to 1, got {threshold!r}")
        pass
