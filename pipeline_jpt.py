"""The `jpt-ner` pipeline: texts and entity types in, found entities with their characters out.

Ties the other files together: inputs and types are checked (`entity_pipeline_jpt`); types are embedded (`definitions_jpt`)
and read as a prompt once per set of types (`prompts_jpt`); texts are tokenized and cut into windows (`inputs_jpt`), read in
batches (`modeling_jpt`), stitched and decoded (`entities_jpt`). Many texts stream through in bounded memory. Knows nothing
of files or training.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForTokenClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .card_jpt import fill_card
from .definitions_jpt import build_definition_encoder, check_definition_encoder, mean_vectors
from .entities_jpt import Reading, find_entities
from .entity_pipeline_jpt import EntityPipeline, InputDocument, evaluating, given_options
from .fused_jpt import backbone_state
from .heads_jpt import mean_probabilities
from .inputs_jpt import Window, embedding_texts, encode_texts, split_windows
from .optional_jpt import check_encoder_package
from .prompts_jpt import KeptPrompt, PromptPlan, plan_prompt, total_memory

TOKENS_PER_FORWARD = 4096  # both copies and padding included
BATCHES_AHEAD = 8
CHARACTERS_AHEAD = 2**20
PROMPT_BYTES = 256 * 2**20


@dataclass
class _DocumentInProgress(InputDocument):
    """A text being read. The heads' probabilities (see [`Reading`]) are filled in window by window."""

    plan: PromptPlan | None = None
    input_ids: np.ndarray | None = None
    offsets: np.ndarray | None = None
    windows: Sequence[Window] = ()
    heads: dict[str, np.ndarray] = field(default_factory=dict)


# Windows, each with its prompt as the model has read it.
_Batch = list[tuple[_DocumentInProgress, Window, KeptPrompt]]


class JPTPipeline(EntityPipeline):
    """
    Finds the entities of any types in any texts.

    ```python
    >>> from transformers import pipeline

    >>> ner = pipeline("jpt-ner", model=".", trust_remote_code=True)
    >>> ner("Paris released a new album.", entity_types={"artist": "A musician, singer or band, by name."})
    ```

    Threads may share a pipeline.

    Args:
        definition_encoder (*optional*):
            An object with `name` and `encode(texts)` (see `definitions_jpt`): the encoder that the model's configuration
            names, from another place.
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        type_files (`bool`, *optional*, defaults to `True`): Whether entity types may be given as a file. `False` where
            strangers give them: their embedded definitions are then kept in memory only.
        kwargs: As for every [`Pipeline`] (`model`, `tokenizer`, `device`, `batch_size`), and defaults for the options
            of calls.

    Raises:
        ImportError: If a package is missing that the definition encoder needs.
        ValueError: If the tokenizer is missing or not a fast one, or an option is not as described.
    """

    document_class = _DocumentInProgress
    _transient = ("_lock", "_definition_encoder", "_read_prompts", "_plan", "_read_by")

    def __init__(self, *, definition_encoder=None, **kwargs):
        self._given_encoder = definition_encoder
        super().__init__(**kwargs)
        if not self.tokenizer.is_fast:
            raise ValueError("`tokenizer` must be a fast tokenizer: the pipeline needs the characters of each token")
        if definition_encoder is None and self.jpt.config.type_embedding != "prompt":
            check_encoder_package(self.jpt.config.definition_encoder)

    def _upload_modified_files(self, working_dir, repo_id, *args, **kwargs):
        """The last step of pushing to the Hub. The card is not left blank."""
        fill_card(Path(working_dir) / "README.md", self.jpt.config, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

    def _reset(self) -> None:
        super()._reset()
        self._definition_encoder = self._given_encoder
        self._read_prompts: OrderedDict[tuple, KeptPrompt] = OrderedDict()
        self._read_by: list | None = None  # state of the backbone when it read them
        self._plan = lru_cache(maxsize=256)(self._make_plan)

    @property
    def jpt(self):
        """The [`JPTForTokenClassification`] itself, even if peft, a compiler or parallel training wraps it."""
        model = self.model
        while not hasattr(type(model), "encode_prompts"):
            wrapped = getattr(model, "get_base_model", lambda: None)()
            wrapped = wrapped or getattr(model, "_orig_mod", None) or getattr(model, "module", None)
            if wrapped is None:
                raise ValueError(f"`model` must be a JPT model, or hold one, got {type(self.model).__name__}")
            model = wrapped
        return model

    def __call__(self, inputs, **options):
        """
        Args:
            inputs (`str`, `dict`, `list`, or any other iterable of items):
                An item is a text, or a dict with `text` and, optionally, `entity_types` of its own. With
                `is_split_into_words`, each text is a list of words.
            entity_types (*optional*):
                What to look for: name to definition, a list, a schema file, the name of a preset, or anything else that
                `schema_jpt.resolve_schema` takes. Defaults to the types in the model's configuration.
            threshold (`float` or `dict[str, float]`, *optional*):
                Drops entities with a lower score, of all types or of those named. A threshold that the call gives for a
                type takes precedence, then the type's own threshold, then the one that the call gives for all. Defaults
                to none.
            nested (`bool`, *optional*, defaults to `False`):
                Adds entities of other types within, around or over those found (sigmoid head).
            top_k (`int`, *optional*, defaults to 0):
                Adds `alternatives` to each entity: that many other types with their scores, best first.
            reading (`str`, *optional*):
                How texts are read: `"twice"` (the paper's way), `"open"` (once, every token seeing the whole text: half the
                work) or `"auto"` (open first, then twice where the model was unsure), provided the model was trained
                for it (`config.readings`). Defaults to the first of `config.readings`.
            decoder (`str`, *optional*, defaults to `"word"`): `"word"`, or `"token"` for the rule of the paper (Eq. 5).
            is_split_into_words (`bool`, *optional*, defaults to `False`):
                Whether texts are lists of words. Entities are then whole words, and have `first_word` and `last_word`,
                counted from 0; `start` and `end` are those in the joined text.
            delimiter (`str`, *optional*, defaults to `" "`): What joins given words.
            batch_size (`int`, *optional*, defaults to 16): Maximum number of texts, or windows of long ones, per forward pass.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            num_workers (`int`, *optional*): Ignored.
            aggregation_strategy (`str`, *optional*):
                Accepted for compatibility. Entities always come whole, so every strategy but `"none"` gives the same.

        Returns:
            For one item, a list of dicts with `entity_group`, `score`, `word`, `start`, `end`, in the order of the
            text. For a list or tuple, a list of such lists. For any other iterable, a generator of such lists, which
            reads ahead by at most 8 batches, and with `batch_size=1` not at all: each result is returned before the
            next text is requested.

        Raises:
            ValueError: If an item, the types or an option are not as described; the message says what is wrong.
        """
        return super().__call__(inputs, **options)

    def read(
        self,
        text: str,
        entity_types=None,
        on_progress: Callable[[int, int], None] | None = None,
        reading: str | None = None,
    ) -> Reading:
        """
        Reads one text, for [`~JPTPipeline.decode`] to find its entities any number of times.

        Args:
            text (`str`): The text.
            entity_types (*optional*): As for calls.
            on_progress (`Callable`, *optional*): Receives the number of windows read so far, and the number of all.
            reading (`str`, *optional*): As for calls.

        Raises:
            ValueError: As for calls.
        """
        options, forward_params, _ = self._with_defaults(entity_types=entity_types, reading=reading)
        document = self.preprocess(text, self._with_types(options).get("schema"))
        self._tokenize([document], **forward_params)
        done = 0
        for batch in self._read_windows([document], self._batch_size or self.default_batch_size, **forward_params):
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(document.windows))
        return _reading(document)

    def read_all(
        self, inputs: Iterable[Any], batch_size: int | None = None, show_progress: bool = False, **options
    ) -> Iterator[Reading]:
        """
        Reads many texts in batches, as calls do, for [`~JPTPipeline.decode`].

        Args:
            inputs (`Iterable`): Items as for calls.
            batch_size (`int`, *optional*): As for calls.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            options: `entity_types`, `reading`, `is_split_into_words` and `delimiter`, as for calls.

        Raises:
            ValueError: As for calls.
        """
        preprocess_params, forward_params, _ = self._with_defaults(**options)
        documents, progress = self._prepare(inputs, self._with_types(preprocess_params), show_progress)
        with progress:
            yield from self._readings(documents, self._checked_batch_size(batch_size), forward_params, progress)

    def decode(self, reading: Reading, **options) -> list[dict[str, Any]]:
        """
        The entities of a text that was read, as a call with the same text, types and options returns them.

        Args:
            reading ([`Reading`]): From [`~JPTPipeline.read`].
            options: `threshold`, `nested`, `top_k` and `decoder`, as for calls.
        """
        _, _, options = self._with_defaults(**options)
        return self.postprocess(reading, **options)

    def clear_cache(self) -> None:
        """
        Drops the prompts that were written and read. Needed after a change of the configuration. Changed weights and adapters
        are noticed without it, unless the change leaves no trace: in tensors made in inference mode, or through
        `parameter.data`.
        """
        with self._lock:
            self._plan.cache_clear()
            self._read_prompts.clear()
            if getattr(self._definition_encoder, "name", None) == "backbone" and self._given_encoder is None:
                self._definition_encoder = None

    def _forget_stale_prompts(self) -> None:
        with self._lock:
            state = backbone_state(self.jpt.model)
            if state != self._read_by:
                self.clear_cache()
                self._read_by = state

    def process(self, documents, batch_size, forward_params, postprocess_params, progress) -> Iterator[list[dict]]:
        """The entities of the texts, in their order."""
        for reading in self._readings(documents, batch_size, forward_params, progress):
            yield self.postprocess(reading, **postprocess_params)

    def _readings(self, documents, batch_size: int, forward_params: dict, progress) -> Iterator[Reading]:
        """Reads some texts ahead, batches them by length, and returns them in their order."""
        # With `batch_size=1` the caller may need an answer before it can provide the next text.
        for ahead in _read_ahead(documents, batch_size * BATCHES_AHEAD if batch_size > 1 else 1):
            self._tokenize(ahead, **forward_params)
            progress.update(sum(not document.windows for document in ahead))
            for batch in self._read_windows(ahead, batch_size, **forward_params):
                for document, _ in batch:
                    progress.update(1 / len(document.windows))
            yield from map(_reading, ahead)

    # Options

    def _sanitize_parameters(
        self, *, top_k: int | None = None, decoder: str | None = None, reading: str | None = None, **shared
    ):
        preprocess, forward, postprocess = super()._sanitize_parameters(**shared)
        if top_k is not None and (not isinstance(top_k, int) or top_k < 0):
            raise ValueError(f"`top_k` must be a whole number from 0, got {top_k!r}")
        if decoder not in (None, "word", "token"):
            raise ValueError(f'`decoder` must be "word" or "token", got {decoder!r}')
        known = self.jpt.config.readings
        if {"twice", "open"} <= set(known):
            known = [*known, "auto"]
        if reading not in (None, *known):
            raise ValueError(f"`reading` must be {' or '.join(map(repr, known))} for this model, got {reading!r}")
        forward |= given_options(reading=reading)
        return preprocess, forward, postprocess | given_options(top_k=top_k, decoder=decoder)

    def _with_defaults(self, **options) -> tuple[dict, dict, dict]:
        preprocess, forward, postprocess = super()._with_defaults(**options)
        if postprocess.get("nested") and postprocess.get("decoder") == "token":
            raise ValueError('`decoder="token"` reads flat entities: it cannot be combined with `nested=True`')
        return preprocess, forward, postprocess

    # Tokens, prompts and batches

    def _tokenize(self, documents: list[_DocumentInProgress], reading: str | None = None) -> None:
        documents = [document for document in documents if document.text.strip()]
        with self._lock:
            encoded = encode_texts(self.tokenizer, [document.text for document in documents])
            for document, tokens in zip(documents, encoded, strict=True):
                plan = self._plan(tuple(document.schema.names), tuple(document.schema.descriptions), reading)
                document.plan, document.input_ids, document.offsets = plan, tokens.input_ids, tokens.offsets
                document.windows = split_windows(document.text, tokens.offsets, plan.window, plan.overlap)

    def _make_plan(
        self, names: tuple[str, ...], descriptions: tuple[str, ...], reading: str | None = None
    ) -> PromptPlan:
        return plan_prompt(self.jpt, self.tokenizer, names, descriptions, reading)

    def _read_prompt(self, plan: PromptPlan) -> KeptPrompt:
        """The prompt from the cache, or else read now; the least recently used ones make room."""
        key = plan.names, plan.descriptions, self.jpt.model.config._attn_implementation
        with self._lock:
            if key not in self._read_prompts:
                positions = torch.tensor(plan.prompt.type_positions)
                with evaluating(self.model):
                    encoded = self.jpt.encode_prompts([torch.tensor(plan.prompt.input_ids)], [positions])
                    self._read_prompts[key] = KeptPrompt(encoded[0], self._embed_definitions(plan))
                while len(self._read_prompts) > 1 and total_memory(self._read_prompts.values()) > PROMPT_BYTES:
                    self._read_prompts.popitem(last=False)
            self._read_prompts.move_to_end(key)
            return self._read_prompts[key]

    @property
    def definition_encoder(self):
        """The encoder of the definitions (see `definitions_jpt`), built on first use; `None` if the model needs none."""
        config = self.model.config
        if config.type_embedding == "prompt":
            return None
        with self._lock:
            if self._definition_encoder is None:
                self._definition_encoder = build_definition_encoder(
                    config.definition_encoder,
                    backbone=self.jpt.model,
                    tokenizer=self.tokenizer,
                    device=str(self.device),
                    cache=self._type_files,  # what strangers define is not kept on disk
                    **self.jpt.encoder_options,
                )
            return self._definition_encoder

    def _embed_definitions(self, plan: PromptPlan) -> torch.Tensor | None:
        config = self.model.config
        encoder = self.definition_encoder
        if encoder is None:
            return None
        vectors = mean_vectors(encoder, embedding_texts(config, plan.names, plan.descriptions))
        check_definition_encoder(
            encoder.name, config.definition_encoder, vectors.shape[1], config.definition_encoder_size
        )
        return torch.tensor(vectors, dtype=torch.float32, device=self.model.device)

    def _batches(
        self, windows: list[tuple[_DocumentInProgress, Window]], batch_size: int, reading: str | None
    ) -> Iterator[_Batch]:
        """Batches of bounded size, with windows behind the same prompt together and in order of length."""
        self._forget_stale_prompts()
        order = {id(document.plan): i for i, (document, _) in reversed(list(enumerate(windows)))}
        windows = sorted(windows, key=lambda each: (order[id(each[0].plan)], each[1].end - each[1].start))
        batch: _Batch = []
        prompts: dict[int, KeptPrompt] = {}
        longest = 0
        for document, window in windows:
            read = self._read_prompt(document.plan)
            size = self.jpt.text_cost(window.end - window.start, reading)
            if not read.encoded.states:
                size += len(read.encoded.input_ids)
            if batch and (
                len(batch) == batch_size
                or (len(batch) + 1) * max(longest, size) > TOKENS_PER_FORWARD
                or total_memory({**prompts, id(read): read}.values()) > PROMPT_BYTES
            ):
                yield batch
                batch, prompts, longest = [], {}, 0
            batch.append((document, window, read))
            prompts[id(read)] = read
            longest = max(longest, size)
        if batch:
            yield batch

    # The model and its probabilities

    def _read_windows(
        self, documents: list[_DocumentInProgress], batch_size: int, reading: str | None = None
    ) -> Iterator[list[tuple[_DocumentInProgress, Window]]]:
        """Reads all windows, and yields those that are finished, batch by batch."""
        windows = [(document, window) for document in documents for window in document.windows]
        unsure = []
        for batch in self._batches(windows, batch_size, "open" if reading == "auto" else reading):
            self._read_batch(batch, "open" if reading == "auto" else reading)
            finished = [(document, window) for document, window, _ in batch]
            if reading == "auto":
                sure = [_confidence(*each) >= self.jpt.config.auto_confidence for each in finished]
                unsure += [each for each, is_sure in zip(finished, sure, strict=True) if not is_sure]
                finished = [each for each, is_sure in zip(finished, sure, strict=True) if is_sure]
            yield finished
        for batch in self._batches(unsure, batch_size, "twice"):
            self._read_batch(batch, "twice")
            yield [(document, window) for document, window, _ in batch]

    def _read_batch(self, batch: _Batch, reading: str | None) -> None:
        """Reads windows, and stores the probabilities of their tokens in the documents."""
        heads = {name: scores.numpy() for name, scores in self.forward(batch, reading=reading).items()}
        for row, (document, window, _) in enumerate(batch):
            kept = slice(window.keep_start - window.start, window.keep_end - window.start)
            for name, scores in heads.items():
                # Other texts of the batch may have more types.
                columns = len(document.schema) + (name == "softmax")
                if name not in document.heads:
                    document.heads[name] = np.full((len(document.input_ids), columns), np.nan, dtype=np.float32)
                document.heads[name][window.keep_start : window.keep_end] = scores[row, kept, :columns]

    def _forward(self, model_inputs: _Batch, reading: str | None = None) -> dict[str, torch.Tensor]:
        """Probabilities of each head: `softmax (windows, tokens, 1 + types)`, `sigmoid` and, if any, `begin`."""
        texts = [torch.from_numpy(document.input_ids[w.start : w.end]) for document, w, _ in model_inputs]
        prompts = {id(read): read for _, _, read in model_inputs}
        number = {key: i for i, key in enumerate(prompts)}
        definitions = [read.definitions for read in prompts.values() if read.definitions is not None]
        output = self.model(
            input_ids=pad_sequence(texts, batch_first=True),
            attention_mask=pad_sequence([torch.ones_like(text) for text in texts], batch_first=True),
            prompt_index=torch.tensor([number[id(read)] for _, _, read in model_inputs]),
            encoded_prompts=[read.encoded for read in prompts.values()],
            definition_embeddings=pad_sequence(definitions, batch_first=True) if definitions else None,
            reading=reading,
        )
        config = self.model.config
        heads = {
            "softmax": (output.logits.float() / config.softmax_temperature).softmax(-1),
            "sigmoid": (output.sigmoid_logits.float() / config.sigmoid_temperature).sigmoid(),
        }
        if output.begin_logits is not None:
            heads["begin"] = output.begin_logits.float().sigmoid()
        return heads

    def postprocess(
        self,
        model_outputs: Reading,
        nested: bool = False,
        threshold: float | Mapping[str, float] | None = None,
        top_k: int = 0,
        decoder: str = "word",
    ) -> list[dict[str, Any]]:
        """Entities of a text that was read."""
        return find_entities(model_outputs, self.model.config, nested, threshold, top_k, decoder)


def _read_ahead(documents: Iterable[_DocumentInProgress], max_texts: int) -> Iterator[list[_DocumentInProgress]]:
    """Lists of up to `max_texts` documents, fewer if they are long."""
    ahead: list[_DocumentInProgress] = []
    characters = 0
    for document in documents:
        ahead.append(document)
        characters += len(document.text)
        if len(ahead) == max_texts or characters > CHARACTERS_AHEAD:
            yield ahead
            ahead, characters = [], 0
    if ahead:
        yield ahead


def _confidence(document: _DocumentInProgress, window: Window) -> float:
    """The lowest probability, over the tokens of a window, of the most probable label."""
    rows = slice(window.keep_start, window.keep_end)
    softmax, sigmoid = (torch.from_numpy(document.heads[name][rows]) for name in ("softmax", "sigmoid"))
    return float(mean_probabilities(softmax, sigmoid).amax(-1).min())


def _reading(document: _DocumentInProgress) -> Reading:
    """The heads' probabilities for a document; empty if it is blank."""
    types = len(document.schema)
    empty = {"softmax": np.zeros((0, 1 + types), np.float32), "sigmoid": np.zeros((0, types), np.float32)}
    offsets = document.offsets if document.heads else np.zeros((0, 2), np.int64)
    return Reading(document.text, document.schema, offsets, **(document.heads or empty), words=document.words)


# Makes `pipeline("jpt-ner", model=object)` work from here on, and `save_pretrained` take this file along.
JPTPipeline._registered_impl = {"jpt-ner": {"impl": JPTPipeline, "pt": (AutoModelForTokenClassification,)}}
PIPELINE_REGISTRY.supported_tasks.update(JPTPipeline._registered_impl)

__all__ = ["JPTPipeline"]
