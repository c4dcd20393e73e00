"""The `padellm-ner` and `autoreg-ner` pipelines: texts and entity types in, found entities with their characters out.

The same interface as the `jpt-ner` pipeline (`entity_pipeline_jpt`), around any causal LM. Mentions are generated
(`extractors`) and located in the text; failures to parse or locate are counted. Knows nothing of files or training.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.pipelines import PIPELINE_REGISTRY

from ..entity_pipeline_jpt import EntityPipeline, InputDocument, given_options, lowest_scores
from ..schema_jpt import Schema
from .configuration_generative import DEDUPLICATION, TASKS, GenerativeConfig
from .decoding import Decoder
from .extractors import Extraction, Query, build_extractor, deduplicate, resolve_mentions
from .formats import Mention

MAX_BATCH_CHARACTERS = 4096  # Texts that are read together share one row with a square attention mask.
SETTINGS = tuple(field.name for field in dataclasses.fields(GenerativeConfig) if field.name != "entity_types")


class GenerativePipeline(EntityPipeline):
    """
    Finds entities by generating them: PaDeLLM-NER, or one of the autoregressive systems it is compared with.

    ```python
    >>> from transformers import pipeline

    >>> ner = pipeline("padellm-ner", model=FOLDER, trust_remote_code=True)
    >>> ner("Paris released a new album.", entity_types=["artist", "city"])
    ```

    `failures` counts, by kind, outputs that could not be parsed or found in the text, since the pipeline was created or
    `failures.clear()` was called. Threads may share a pipeline.

    Args:
        settings ([`GenerativeConfig`], *optional*): Defaults to those in the model's configuration, then to PaDeLLM's.
        devices (`list[str]`, *optional*):
            For `mode="multi"`: devices to spread sequences over, the model's own first. Defaults to all CUDA devices if
            the model is on one. On a single device sequences are decoded one by one, as in the paper's simulation.
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        type_files (`bool`, *optional*, defaults to `True`): Whether entity types may be given as a file. `False` where
            strangers give them.
        kwargs: As for every [`Pipeline`] (`model`, `tokenizer`, `device`, `batch_size`), single settings of
            [`GenerativeConfig`] to change, and defaults for the options of calls.

    Raises:
        ValueError: If the tokenizer is missing, no token ends a sequence, or an option is not as described.
    """

    default_batch_size = 8

    def __init__(
        self,
        *,
        settings: GenerativeConfig | None = None,
        devices: Sequence[str] | None = None,
        **kwargs,
    ):
        changes = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
        self.failures: Counter = Counter()
        super().__init__(**kwargs)
        found = settings or GenerativeConfig.from_model_config(self.model.config) or GenerativeConfig()
        self.settings = dataclasses.replace(found, **changes)
        self._decoders = [
            Decoder(model, self._end_ids(), self.settings.reuse_text, self.settings.early_quit)
            for model in self._replicas(devices)
        ]
        self._extractor = build_extractor(self.tokenizer, self._decoders, self.settings)

    def __call__(self, inputs, **options):
        """
        Args:
            inputs (`str`, `dict`, `list`, or any other iterable of items):
                An item is a text, or a dict with `text` and, optionally, `entity_types` of its own. With
                `is_split_into_words`, each text is a list of words.
            entity_types (*optional*): As for [`JPTPipeline`]: anything that `schema_jpt.resolve_schema` takes.
            threshold (`float` or `dict[str, float]`, *optional*):
                Drops entities with a lower probability, of all types or of those named. A threshold that the call gives
                for a type takes precedence, then the type's own, then the one that the call gives for all.
            nested (`bool`, *optional*):
                `False` drops entities that overlap a more probable one. Defaults to keeping all.
            deduplication (`str`, *optional*): Instead of the setting of this name.
            is_split_into_words (`bool`, *optional*, defaults to `False`):
                Whether texts are lists of words. Entities are then whole words, and have `first_word` and `last_word`.
            delimiter (`str`, *optional*, defaults to `" "`): What joins given words.
            batch_size (`int`, *optional*, defaults to 8): Maximum number of texts to read together; 1 in multi mode.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            num_workers, decoder, aggregation_strategy (*optional*): Accepted for compatibility, and ignored.

        Returns:
            For one item, a list of dicts with `entity_group`, `score`, `word`, `start`, `end`, in the order of the
            text; the score is the product of the probabilities of the mention's tokens. For a list or tuple, a list of
            such lists. For any other iterable, a generator of such lists.

        Raises:
            ValueError: If an item, the types or an option are not as described, or a text leaves no room in the
                model's context; the message names what is wrong.
        """
        return super().__call__(inputs, **options)

    def process(self, documents, batch_size, forward_params, postprocess_params, progress) -> Iterator[list[dict]]:
        """Reads several texts together."""
        for batch in _batches(documents, batch_size if self.settings.mode == "batch" else 1):
            for document, extraction in zip(batch, self.forward(batch, **forward_params), strict=True):
                yield self.postprocess((document, extraction), **postprocess_params)
                progress.update()

    def extract(self, text: str, entity_types, forced: Iterable | None = None) -> Extraction:
        """
        The output of the model for one text, with its latency and the lengths of its sequences.

        Args:
            forced (*optional*): Entities to write instead (see `extractors.Extractor.extract`).
        """
        document = self.preprocess(text, schema=self._resolve(entity_types))
        with self._lock:
            return self._extract([document], None if forced is None else [forced])[0]

    def resolve(
        self, extraction: Extraction, text: str, deduplication: str | None = None
    ) -> tuple[list[dict], Counter]:
        """The entities of a text, as calls return them, and the number of failures by kind."""
        rule = deduplication or self.settings.deduplication
        found, hallucinations = resolve_mentions(extraction, text, rule if self.settings.is_padellm else "none")
        entities = [
            {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
            for start, end, label, score in found
        ]
        return entities, extraction.failures + hallucinations

    def kept_mentions(self, extraction: Extraction, deduplication: str | None = None) -> list[Mention]:
        """The mentions of a text as they were written, without duplicates by the rule."""
        rule = deduplication or self.settings.deduplication
        kept = deduplicate(extraction.mentions, extraction.probabilities, rule if self.settings.is_padellm else "none")
        return [extraction.mentions[i] for i in kept]

    def with_settings(self, **changes) -> "GenerativePipeline":
        """A pipeline with changed settings around the same model."""
        return type(self)(
            model=self.model,
            tokenizer=self.tokenizer,
            device=self.device,
            settings=dataclasses.replace(self.settings, **changes),
        )

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Saves model, tokenizer, settings and code: a folder that loads on its own (see `export`)."""
        from .export import export

        export(self.model, self.tokenizer, self.settings, save_directory)

    # Parts of a pipeline

    def _sanitize_parameters(
        self, *, deduplication: str | None = None, top_k: int | None = None, decoder: str | None = None, **shared
    ):
        preprocess, forward, postprocess = super()._sanitize_parameters(**shared)
        if deduplication is not None and deduplication not in DEDUPLICATION:
            raise ValueError(f"`deduplication` must be one of {', '.join(DEDUPLICATION)}, got {deduplication!r}")
        if top_k:
            raise ValueError("`top_k`: a generative model writes one label for a mention and scores no other")
        return preprocess, forward, postprocess | given_options(deduplication=deduplication)

    def _default_types(self):
        return self.settings.entity_types

    def _check_types(self, schema: Schema) -> None:
        self._extractor.check(schema.names)

    def _forward(self, model_inputs: list[InputDocument]) -> list[Extraction]:
        with self._lock:
            return self._extract(model_inputs)

    def _extract(self, documents: list[InputDocument], forced: Sequence[Iterable] | None = None) -> list[Extraction]:
        """One extraction for each document; blank texts are not read."""
        extractions = [Extraction() for _ in documents]
        wanted = [i for i, document in enumerate(documents) if document.text.strip()]
        queries = [
            Query(documents[i].text, dict(zip(documents[i].schema.names, documents[i].schema.descriptions)))
            for i in wanted
        ]
        if queries:
            found = self._extractor.extract(queries, None if forced is None else [forced[i] for i in wanted])
            for i, extraction in zip(wanted, found, strict=True):
                extractions[i] = extraction
        return extractions

    def postprocess(
        self,
        model_outputs: tuple[InputDocument, Extraction],
        nested: bool | None = None,
        threshold: float | Mapping[str, float] | None = None,
        deduplication: str | None = None,
    ) -> list[dict[str, Any]]:
        """Entities of a text that was read."""
        document, extraction = model_outputs
        entities, failures = self.resolve(extraction, document.text, deduplication)
        with self._lock:
            self.failures += failures
        lowest = dict(zip(document.schema.names, lowest_scores(document.schema, threshold), strict=True))
        entities = [each for each in entities if each["score"] >= (lowest[each["entity_group"]] or 0.0)]
        if document.words is not None:
            entities = _whole_words(entities, document)
        return _flat(entities) if nested is False else entities

    # The model

    def _end_ids(self) -> set[int]:
        """Tokens that end a sequence: the tokenizer's, and those of the model's generation config."""
        config = getattr(self.model, "generation_config", None)
        ends = [self.tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
        ids = {i for end in ends for i in (end if isinstance(end, (list, tuple)) else [end]) if i is not None}
        if not ids:
            raise ValueError("`tokenizer` has no `eos_token` to end sequences with")
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


def _batches(documents: Iterable[InputDocument], max_texts: int) -> Iterator[list[InputDocument]]:
    batch: list[InputDocument] = []
    for document in documents:
        characters = sum(len(each.text) for each in [*batch, document])
        if batch and (len(batch) == max_texts or characters > MAX_BATCH_CHARACTERS):
            yield batch
            batch = []
        batch.append(document)
    if batch:
        yield batch


def _flat(entities: list[dict]) -> list[dict]:
    """Drops entities that overlap a more probable one."""
    kept: list[dict] = []
    for each in sorted(entities, key=lambda each: (-each["score"], each["start"], -each["end"])):
        if all(each["end"] <= other["start"] or other["end"] <= each["start"] for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: each["start"])


def _whole_words(entities: list[dict], document: InputDocument) -> list[dict]:
    """Entities extended to whole words."""
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


# Makes `pipeline("padellm-ner", model=object)` work.
for _task in TASKS:
    PIPELINE_REGISTRY.supported_tasks[_task] = {"impl": GenerativePipeline, "pt": (AutoModelForCausalLM,)}

__all__ = ["GenerativePipeline"]
