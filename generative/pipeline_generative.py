"""The `padellm-ner` and `autoreg-ner` pipelines: texts and entity types in, found entities with their characters out.

The same face as the `jpt-ner` pipeline, around any causal LM. Types are resolved (`schema_jpt`), texts are read
(`extraction`), and what the output holds is found in the text. What could not be read or found is counted. Knows
nothing of files or training.
"""

import copy
import dataclasses
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import Pipeline

from ..schema_jpt import Schema, resolve_schema
from .configuration_generative import DEDUPLICATION, TASKS, GenerativeConfig
from .decoding import Decoder
from .extraction import Reading, Task, build_system, settle

DEFAULT_BATCH_SIZE = 8
CHARACTERS_TOGETHER = 4096  # Texts that are read together share one row of the model: its attention must stay small.
SETTINGS = tuple(field.name for field in dataclasses.fields(GenerativeConfig) if field.name != "entity_types")


@dataclass(frozen=True)
class _Document:
    text: str
    schema: Schema
    words: list[tuple[int, int, int]] | None  # start, end and number of each given word that is not blank


class GenerativePipeline(Pipeline):
    """
    Finds entities by generating them: PaDeLLM-NER, or one of the autoregressive systems it is compared with.

    ```python
    >>> from transformers import pipeline

    >>> ner = pipeline("padellm-ner", model=FOLDER, trust_remote_code=True)
    >>> ner("Paris released a new album.", entity_types=["artist", "city"])
    ```

    `failures` counts, by kind, what the model wrote and could not be read or found in the text, since the pipeline was
    made or `failures.clear()` was called. Threads may share a pipeline.

    Args:
        settings ([`GenerativeConfig`], *optional*): Defaults to what is in the model's configuration, then to PaDeLLM's.
        devices (`list[str]`, *optional*):
            For `mode="multi"`: devices to spread sequences over, the first of them the model's own. Defaults to all
            CUDA devices if the model is on one. On a single device, sequences are decoded one by one, as the paper
            simulates it.
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        kwargs: As for every [`Pipeline`] (`model`, `tokenizer`, `device`, `batch_size`), single settings of
            [`GenerativeConfig`] to change, and defaults for the options of calls.

    Raises:
        ValueError: If the tokenizer is missing, no token ends a sequence, or an option is not as described.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(
        self,
        *args,
        settings: GenerativeConfig | None = None,
        devices: Sequence[str] | None = None,
        show_progress: bool = False,
        **kwargs,
    ):
        changes = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
        self.failures: Counter = Counter()
        self._show_progress = show_progress
        self._lock = threading.RLock()  # The tokenizer keeps the settings of one call.
        super().__init__(*args, **kwargs)
        if self.tokenizer is None:
            raise ValueError("`tokenizer` must be given")
        found = settings or GenerativeConfig.from_model_config(self.model.config) or GenerativeConfig()
        self.settings = dataclasses.replace(found, **changes)
        self.model.eval()
        self._decoders = [
            Decoder(model, self._end_ids(), self.settings.reuse_text, self.settings.early_quit)
            for model in self._replicas(devices)
        ]
        self._system = build_system(self.tokenizer, self._decoders, self.settings)

    def __call__(
        self,
        inputs,
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
        num_workers: int | None = None,
        **options,
    ):
        """
        Args:
            inputs (`str`, `dict`, `list`, or any other iterable of items):
                An item is a text, or a dict with `text` and, optionally, `entity_types` of its own. With
                `is_split_into_words`, each text is a list of words.
            entity_types (*optional*): As for [`JPTPipeline`]: whatever `schema_jpt.resolve_schema` takes.
            threshold (`float`, *optional*):
                Drops entities with a lower probability. The threshold of a type, if it has one, goes first.
            nested (`bool`, *optional*):
                `False` drops entities that overlap with a more probable one. Defaults to keeping what was generated.
            deduplication (`str`, *optional*): Other than the setting of this name.
            is_split_into_words (`bool`, *optional*, defaults to `False`):
                Whether texts are lists of words. Entities are then whole words, and have `first_word` and `last_word`.
            delimiter (`str`, *optional*, defaults to `" "`): What joins given words.
            batch_size (`int`, *optional*, defaults to 8): Most texts to read together. In multi mode it is 1.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            num_workers, decoder, aggregation_strategy (*optional*): Taken for compatibility, and ignored.

        Returns:
            For one item, a list of dicts with `entity_group`, `score`, `word`, `start`, `end`, in the order of the
            text; the score is the product of the probabilities of the mention's tokens. For a list or tuple, a list of
            such lists. For any other iterable, a generator of such lists.

        Raises:
            ValueError: If an item, the types or an option are not as described, or a text leaves no room in the
                model's context; the message names what is wrong.
        """
        if batch_size is None:
            batch_size = DEFAULT_BATCH_SIZE if self._batch_size is None else self._batch_size
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a whole number from 1, got {batch_size!r}")
        given = self._sanitize_parameters(**options)
        preprocess_params, postprocess_params = (
            {**self._preprocess_params, **given[0]},
            {
                **self._postprocess_params,
                **given[2],
            },
        )
        if "schema" not in preprocess_params and self.settings.entity_types:
            preprocess_params["schema"] = self._resolve(self.settings.entity_types)
        single = isinstance(inputs, (str, Mapping))
        single = single or (preprocess_params.get("is_split_into_words", False) and _is_words(inputs))
        if not single and (isinstance(inputs, (bytes, bytearray)) or not isinstance(inputs, (Iterable, Dataset))):
            raise ValueError(f"`inputs` must be a text, a dict with a text, or many, got {type(inputs).__name__}")
        results = self.get_iterator(
            [inputs] if single else inputs,
            num_workers,
            batch_size if self.settings.mode == "batch" else 1,
            preprocess_params,
            {},
            postprocess_params,
            show_progress=self._show_progress if show_progress is None else show_progress,
        )
        if single:
            return next(results)
        return list(results) if isinstance(inputs, (list, tuple)) else results

    def get_iterator(
        self,
        inputs,
        num_workers,
        batch_size,
        preprocess_params,
        forward_params,
        postprocess_params,
        show_progress=False,
    ) -> Iterator[list[dict]]:
        """The way of all texts: some are read together, and given back in their order."""
        total = len(inputs) if isinstance(inputs, Sized) else None
        items = inputs if isinstance(inputs, Iterable) else (inputs[i] for i in range(len(inputs)))
        documents = (self.preprocess(item, position=i, **preprocess_params) for i, item in enumerate(items))
        with tqdm(total=total, unit="text", disable=not show_progress) as progress:
            for batch in _batches(documents, batch_size):
                for document, reading in zip(batch, self.forward(batch, **forward_params), strict=True):
                    yield self.postprocess((document, reading), **postprocess_params)
                    progress.update()

    def read(self, text: str, entity_types, forced: Iterable | None = None) -> Reading:
        """
        What the model wrote about one text, with its latency and the lengths of its sequences.

        Args:
            forced (*optional*): Entities to write instead (see `extraction.System.read`).
        """
        document = self.preprocess(text, schema=self._resolve(entity_types))
        with self._lock:
            return self._read([document], None if forced is None else [forced])[0]

    def settle(self, reading: Reading, text: str, deduplication: str | None = None) -> tuple[list[dict], Counter]:
        """Entities of a reading, as calls return them, and the number of its failures by kind."""
        rule = deduplication or self.settings.deduplication
        found, hallucinations = settle(reading, text, rule if self.settings.system == "padellm" else "none")
        entities = [
            {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
            for start, end, label, score in found
        ]
        return entities, reading.failures + hallucinations

    def with_settings(self, **changes) -> "GenerativePipeline":
        """A pipeline with other settings around the same model."""
        return type(self)(
            model=self.model,
            tokenizer=self.tokenizer,
            device=self.device,
            settings=dataclasses.replace(self.settings, **changes),
        )

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Saves model, tokenizer, settings and code: a folder that loads by itself (see `export`)."""
        from .export import export

        export(self.model, self.tokenizer, self.settings, save_directory)

    # Parts of a pipeline

    def _sanitize_parameters(
        self,
        entity_types=None,
        is_split_into_words: bool | None = None,
        delimiter: str | None = None,
        nested: bool | None = None,
        threshold: float | None = None,
        deduplication: str | None = None,
        top_k: int | None = None,
        decoder: str | None = None,
        aggregation_strategy: str | None = None,
    ) -> tuple[dict, ...]:
        if delimiter is not None and not isinstance(delimiter, str):
            raise ValueError(f"`delimiter` must be text, got {delimiter!r}")
        if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
            raise ValueError(f"`threshold` must be a number from 0 to 1, got {threshold!r}")
        if deduplication is not None and deduplication not in DEDUPLICATION:
            raise ValueError(f"`deduplication` must be one of {', '.join(DEDUPLICATION)}, got {deduplication!r}")
        if top_k:
            raise ValueError("`top_k`: a generative model writes one label for a mention and scores no others")
        schema = None if entity_types is None else self._resolve(entity_types)
        return (
            _given(schema=schema, is_split_into_words=is_split_into_words, delimiter=delimiter),
            {},
            _given(nested=nested, threshold=threshold, deduplication=deduplication),
        )

    def _resolve(self, entity_types) -> Schema:
        return resolve_schema(entity_types, repository=self.model.config.name_or_path or None)

    def preprocess(
        self,
        inputs,
        schema: Schema | None = None,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        position: int = 0,
    ) -> _Document:
        """Checks one item."""
        text = inputs
        try:
            if isinstance(inputs, Mapping):
                unknown = sorted(str(key) for key in inputs if key not in ("text", "entity_types"))
                if unknown or "text" not in inputs:
                    problem = f"unknown key {unknown[0]!r}" if unknown else "no key 'text'"
                    raise ValueError(f"{problem}; a dict has `text` and, optionally, `entity_types`")
                text = inputs["text"]
                if inputs.get("entity_types") is not None:
                    schema = self._resolve(inputs["entity_types"])
            if schema is not None:
                self._system.check(schema.names)
        except ValueError as error:
            raise ValueError(f"`inputs[{position}]`: {error}") from error
        if schema is None:
            raise ValueError(
                "`entity_types` must be given: in the call, when the pipeline is made, with each text, or as "
                "`entity_types` in the model's settings, which have none"
            )
        words = None
        if is_split_into_words:
            if not _is_words(text):
                raise ValueError(f"`inputs[{position}]` must be a list of words, got {type(text).__name__}")
            words, text = _join_words(text, delimiter)
        elif not isinstance(text, str):
            raise ValueError(f"`inputs[{position}]` must be a text, got {type(text).__name__}")
        return _Document(text, schema, words)

    def _forward(self, model_inputs: list[_Document]) -> list[Reading]:
        with self._lock:
            return self._read(model_inputs)

    def _read(self, documents: list[_Document], forced: Sequence[Iterable] | None = None) -> list[Reading]:
        """One reading for each document; blank texts are not read."""
        readings = [Reading() for _ in documents]
        wanted = [i for i, document in enumerate(documents) if document.text.strip()]
        tasks = [
            Task(documents[i].text, dict(zip(documents[i].schema.names, documents[i].schema.descriptions)))
            for i in wanted
        ]
        if tasks:
            found = self._system.read(tasks, None if forced is None else [forced[i] for i in wanted])
            for i, reading in zip(wanted, found, strict=True):
                readings[i] = reading
        return readings

    def postprocess(
        self,
        model_outputs: tuple[_Document, Reading],
        nested: bool | None = None,
        threshold: float | None = None,
        deduplication: str | None = None,
    ) -> list[dict[str, Any]]:
        """Entities of a text that was read."""
        document, reading = model_outputs
        entities, failures = self.settle(reading, document.text, deduplication)
        with self._lock:
            self.failures += failures
        thresholds = {each.name: each.threshold for each in document.schema.entity_types}
        lowest = {name: (threshold or 0.0) if own is None else own for name, own in thresholds.items()}
        entities = [each for each in entities if each["score"] >= lowest[each["entity_group"]]]
        if document.words is not None:
            entities = _whole_words(entities, document)
        return _flat(entities) if nested is False else entities

    # The model

    def _end_ids(self) -> set[int]:
        """Tokens that end a sequence: the tokenizer's, and those of the model's own generation."""
        config = getattr(self.model, "generation_config", None)
        ends = [self.tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
        ids = {i for end in ends for i in (end if isinstance(end, (list, tuple)) else [end]) if i is not None}
        if not ids:
            raise ValueError("`tokenizer` has no `eos_token`, with which sequences end")
        return ids

    def _replicas(self, devices: Sequence[str] | None) -> list:
        if self.settings.mode != "multi":
            return [self.model]
        if devices is None:
            devices = [str(self.model.device)]
            if self.model.device.type == "cuda":
                own = self.model.device.index or 0
                others = [i for i in range(torch.cuda.device_count()) if i != own]
                devices += [f"cuda:{i}" for i in others]
        return [self.model, *(copy.deepcopy(self.model).to(device) for device in devices[1:])]


def _batches(documents: Iterable[_Document], most: int) -> Iterator[list[_Document]]:
    batch: list[_Document] = []
    for document in documents:
        if batch and (len(batch) == most or sum(len(each.text) for each in [*batch, document]) > CHARACTERS_TOGETHER):
            yield batch
            batch = []
        batch.append(document)
    if batch:
        yield batch


def _flat(entities: list[dict]) -> list[dict]:
    """Without those that overlap with a more probable one."""
    kept: list[dict] = []
    for each in sorted(entities, key=lambda each: (-each["score"], each["start"], -each["end"])):
        if all(each["end"] <= other["start"] or other["end"] <= each["start"] for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: each["start"])


def _whole_words(entities: list[dict], document: _Document) -> list[dict]:
    """Entities stretched to the words they touch."""
    found: dict[tuple, dict] = {}
    for each in entities:
        touched = [word for word in document.words if word[0] < each["end"] and each["start"] < word[1]]
        if not touched:
            continue
        (start, _, first), (_, end, last) = touched[0], touched[-1]
        whole = {**each, "word": document.text[start:end], "start": start, "end": end}
        whole |= {"first_word": first, "last_word": last}
        found.setdefault((start, end, each["entity_group"]), whole)
    return list(found.values())


def _given(**options) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_words(value) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _join_words(words: Sequence[str], delimiter: str) -> tuple[list[tuple[int, int, int]], str]:
    """The place in the joined text and the number of each word, without blanks at its edges; and that text."""
    places, start = [], 0
    for number, word in enumerate(words):
        left = start + len(word) - len(word.lstrip())
        right = start + len(word.rstrip())
        if left < right:
            places.append((left, right, number))
        start += len(word) + len(delimiter)
    return places, delimiter.join(words)


# Makes `pipeline("padellm-ner", model=object)` work from here on.
for _task in TASKS:
    PIPELINE_REGISTRY.supported_tasks[_task] = {"impl": GenerativePipeline, "pt": (AutoModelForCausalLM,)}

__all__ = ["GenerativePipeline"]
