"""The `jpt-ner` pipeline: texts and entity types in, found entities with their characters out.

Ties the other files together: items and types are taken (`entity_pipeline_jpt`); types are embedded (`definitions_jpt`)
and read as a prompt once per set of types; texts are tokenized and cut into windows (`inputs_jpt`), read in batches
(`modeling_jpt`), stitched and decoded (`spans_jpt`). Many texts stream through with bounded memory. Knows nothing of files or training.
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
from .definitions_jpt import build_definition_encoder, check_definition_encoder
from .entity_pipeline_jpt import Document, EntityPipeline, evaluating, given_options, lowest_scores
from .fused_jpt import backbone_state
from .heads_jpt import mean_probabilities, sigmoid_even_odds
from .inputs_jpt import (
    Prompt,
    PromptStyle,
    Window,
    build_prompt,
    embedding_texts,
    encode_texts,
    split_windows,
)
from .optional_jpt import check_encoder_package
from .schema_jpt import Schema
from .spans_jpt import Span, decode_nested_spans, decode_spans, nest_spans

TOKENS_PER_FORWARD = 4096  # with both copies and padding
BATCHES_AHEAD = 8
CHARACTERS_AHEAD = 2**20
PROMPT_BYTES = 256 * 2**20
SMALLEST_WINDOW = 32  # tokens; a window narrower than this would say little


@dataclass(frozen=True)
class _Plan:
    """A prompt, the types it was made from, and the windows it leaves room for, in tokens of one copy."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    prompt: Prompt
    window: int
    overlap: int


@dataclass(frozen=True)
class _ReadPrompt:
    """A prompt as the model has read it (an `EncodedPrompt`), and its embedded definitions `(1 + types, size)`."""

    encoded: Any
    definitions: torch.Tensor | None

    def __post_init__(self):
        # Keys and values are views into those of a whole row, which would be kept along with them.
        self.encoded.states = [(_compact(key), _compact(value)) for key, value in self.encoded.states]

    @property
    def memory(self) -> int:
        held = [self.encoded.input_ids, self.encoded.type_states, self.definitions]
        return self.encoded.memory + sum(tensor.nbytes for tensor in held if tensor is not None)


@dataclass
class _Document(Document):
    """A text on its way through. The heads' probabilities (see [`Reading`]) are filled in window by window."""

    plan: _Plan | None = None
    input_ids: np.ndarray | None = None
    offsets: np.ndarray | None = None
    windows: Sequence[Window] = ()
    heads: dict[str, np.ndarray] = field(default_factory=dict)


# Windows with what their prompts were read as.
_Batch = list[tuple[_Document, Window, _ReadPrompt]]


@dataclass(frozen=True)
class Reading:
    """
    What the heads say of a text: its entities at any threshold, nested or not, without another forward pass.

    Args:
        text (`str`): The text.
        schema ([`Schema`]): The types, with the thresholds that [`~JPTPipeline.decode`] applies.
        offsets (`np.ndarray` of shape `(tokens, 2)`): Characters of each token, from first to one past the last.
        softmax (`np.ndarray` of shape `(tokens, 1 + types)`): Probabilities of the softmax head, O first.
        sigmoid (`np.ndarray` of shape `(tokens, types)`): Probabilities of the sigmoid head.
        begin (`np.ndarray` of shape `(tokens, types)`, *optional*):
            Probabilities of the begin head, if the model has one.
        words (`list[tuple[int, int, int]]`, *optional*):
            Start, end and number of each word that was given, where words were.
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
            An object with `name` and `encode(texts)` (see `definitions_jpt`), in place of the one that is built from
            what the model's configuration says: the same encoder from another place.
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        kwargs: As for every [`Pipeline`] (`model`, `tokenizer`, `device`, `batch_size`), and defaults for the options
            of calls.

    Raises:
        ImportError: If a package is missing that the definition encoder needs.
        ValueError: If the tokenizer is missing or not a fast one, or an option is not as described.
    """

    document_class = _Document
    _transient = ("_lock", "_definition_encoder", "_read_prompts", "_plan", "_read_by")

    def __init__(self, *, definition_encoder=None, **kwargs):
        self._given_encoder = definition_encoder
        super().__init__(**kwargs)
        if not self.tokenizer.is_fast:
            raise ValueError("`tokenizer` must be a fast tokenizer: the pipeline needs the characters of each token")
        if definition_encoder is None and self.jpt.config.type_embedding != "prompt":
            check_encoder_package(self.jpt.config.definition_encoder)

    def _upload_modified_files(self, working_dir, repo_id, *args, **kwargs):
        """What pushing ends with. The card is not left blank."""
        fill_card(Path(working_dir) / "README.md", self.jpt.config, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

    def _reset(self) -> None:
        super()._reset()
        self._definition_encoder = self._given_encoder
        self._read_prompts: OrderedDict[tuple, _ReadPrompt] = OrderedDict()
        self._read_by: list | None = None  # the state of the backbone that has read them
        self._plan = lru_cache(maxsize=256)(self._make_plan)

    @property
    def jpt(self):
        """The [`JPTForTokenClassification`] itself, also where peft, a compiler or parallel training is around it."""
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
                What to look for: name to definition, a list, a schema file, the name of a preset, or whatever else
                `schema_jpt.resolve_schema` takes. Defaults to the types in the model's configuration.
            threshold (`float` or `dict[str, float]`, *optional*):
                Drops entities that score below, of all types or of those named. What the call says of a type goes
                first, then the type's own threshold, then what the call says of all. Defaults to none.
            nested (`bool`, *optional*, defaults to `False`):
                Adds entities of other types within, around or over those found (sigmoid head).
            top_k (`int`, *optional*, defaults to 0):
                Adds `alternatives` to each entity: that many other types with their scores, best first.
            reading (`str`, *optional*):
                How texts are read: `"twice"` (the paper's), `"open"` (once, by tokens that see their whole text: half the
                work) or `"auto"` (openly, and then again twice where that left doubts), as far as the model was
                trained for it (`config.readings`). Defaults to the first of `config.readings`.
            decoder (`str`, *optional*, defaults to `"word"`): `"word"`, or `"token"` for the rule of the paper (Eq. 5).
            is_split_into_words (`bool`, *optional*, defaults to `False`):
                Whether texts are lists of words. Entities are then whole words, and have `first_word` and `last_word`,
                counted from 0; `start` and `end` are those in the joined text.
            delimiter (`str`, *optional*, defaults to `" "`): What joins given words.
            batch_size (`int`, *optional*, defaults to 16): Most texts, or windows of long ones, in one forward pass.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            num_workers (`int`, *optional*): Ignored.
            aggregation_strategy (`str`, *optional*):
                Taken for compatibility. Entities always come whole, so every strategy but `"none"` will do.

        Returns:
            For one item, a list of dicts with `entity_group`, `score`, `word`, `start`, `end`, in the order of the
            text. For a list or tuple, a list of such lists. For any other iterable, a generator of such lists, which
            reads ahead by 8 batches at most, and with `batch_size=1` not at all: each text is answered before the
            next is asked for.

        Raises:
            ValueError: If an item, the types or an option are not as described; the message names what is wrong.
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
        Reads one text for [`~JPTPipeline.decode`] to find entities in, as often as wanted.

        Args:
            text (`str`): The text.
            entity_types (*optional*): As for calls.
            on_progress (`Callable`, *optional*): Receives how many windows of the text were read, and of how many.
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

    def decode(self, reading: Reading, **options) -> list[dict[str, Any]]:
        """
        The entities of a text that was read: what a call with the same text, types and options returns.

        Args:
            reading ([`Reading`]): From [`~JPTPipeline.read`].
            options: `threshold`, `nested`, `top_k` and `decoder`, as for calls.
        """
        _, _, options = self._with_defaults(**options)
        return self.postprocess(reading, **options)

    def clear_cache(self) -> None:
        """
        Forgets the prompts that were read. Changed weights and adapters are noticed without it, except where they leave
        no trace: in tensors made in inference mode, and through `parameter.data`.
        """
        with self._lock:
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
        """Some texts are read ahead, put in batches by length, and given back in their order."""
        # Who asks for single answers may wait for one before the next text is given.
        for ahead in _read_ahead(documents, batch_size * BATCHES_AHEAD if batch_size > 1 else 1):
            self._tokenize(ahead, **forward_params)
            progress.update(sum(not document.windows for document in ahead))
            for batch in self._read_windows(ahead, batch_size, **forward_params):
                for document, _ in batch:
                    progress.update(1 / len(document.windows))
            for document in ahead:
                yield self.postprocess(_reading(document), **postprocess_params)

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

    def _tokenize(self, documents: list[_Document], reading: str | None = None) -> None:
        documents = [document for document in documents if document.text.strip()]
        with self._lock:
            encoded = encode_texts(self.tokenizer, [document.text for document in documents])
            for document, tokens in zip(documents, encoded, strict=True):
                plan = self._plan(tuple(document.schema.names), tuple(document.schema.descriptions), reading)
                document.plan, document.input_ids, document.offsets = plan, tokens.input_ids, tokens.offsets
                document.windows = split_windows(document.text, tokens.offsets, plan.window, plan.overlap)

    def _make_plan(self, names: tuple[str, ...], descriptions: tuple[str, ...], reading: str | None = None) -> _Plan:
        """
        Raises:
            ValueError: If the prompt leaves no room for a window of `SMALLEST_WINDOW` tokens.
        """
        model, config = self.jpt, self.jpt.config
        prompt = build_prompt(self.tokenizer, names, descriptions, PromptStyle.of(config))
        taken = len(prompt.input_ids)
        reading = "twice" if reading == "auto" else reading  # the longer of the two
        window = min(config.window_length, model.text_room(taken, reading))
        smallest = min(config.window_length, SMALLEST_WINDOW)
        if window < smallest:
            lengths = [len(tokens.input_ids) for tokens in encode_texts(self.tokenizer, descriptions)]
            longest = sorted(zip(lengths, names, strict=True), reverse=True)[:5]
            cost, limit = model.text_cost(smallest, reading), model.context_length
            raise ValueError(
                f"`entity_types`: the definitions are too long. The prompt of {len(names)} types takes {taken} tokens "
                f"and {smallest} tokens of text, as they are read, {cost}, {taken + cost - limit} over the limit of "
                f"{limit}. Shorten definitions or look for fewer types at once. The longest: "
                + ", ".join(f"{name!r} ({length} tokens)" for length, name in longest)
            )
        return _Plan(names, descriptions, prompt, window, config.window_overlap * window // config.window_length)

    def _read_prompt(self, plan: _Plan) -> _ReadPrompt:
        """The prompt from memory, or else read now; the ones unused for longest make room."""
        key = plan.names, plan.descriptions, self.jpt.model.config._attn_implementation
        with self._lock:
            if key not in self._read_prompts:
                positions = torch.tensor(plan.prompt.type_positions)
                with evaluating(self.model):
                    encoded = self.jpt.encode_prompts([torch.tensor(plan.prompt.input_ids)], [positions])
                    self._read_prompts[key] = _ReadPrompt(encoded[0], self._embed_definitions(plan))
                while len(self._read_prompts) > 1 and _memory(self._read_prompts.values()) > PROMPT_BYTES:
                    self._read_prompts.popitem(last=False)
            self._read_prompts.move_to_end(key)
            return self._read_prompts[key]

    @property
    def definition_encoder(self):
        """What embeds the definitions (see `definitions_jpt`), built when first used; `None` if the model does not."""
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
                    **self.jpt.encoder_options,
                )
            return self._definition_encoder

    def _embed_definitions(self, plan: _Plan) -> torch.Tensor | None:
        config = self.model.config
        encoder = self.definition_encoder
        if encoder is None:
            return None
        vectors = np.asarray(encoder.encode(embedding_texts(config, plan.names, plan.descriptions)))
        check_definition_encoder(
            encoder.name, config.definition_encoder, vectors.shape[1], config.definition_encoder_size
        )
        return torch.tensor(vectors, dtype=torch.float32, device=self.model.device)

    def _batches(
        self, windows: list[tuple[_Document, Window]], batch_size: int, reading: str | None
    ) -> Iterator[_Batch]:
        """Windows of one prompt together and in order of length, in batches of bounded size."""
        self._forget_stale_prompts()
        order = {id(document.plan): i for i, (document, _) in reversed(list(enumerate(windows)))}
        windows = sorted(windows, key=lambda each: (order[id(each[0].plan)], each[1].end - each[1].start))
        batch: _Batch = []
        prompts: dict[int, _ReadPrompt] = {}
        longest = 0
        for document, window in windows:
            read = self._read_prompt(document.plan)
            size = self.jpt.text_cost(window.end - window.start, reading)
            if not read.encoded.states:
                size += len(read.encoded.input_ids)
            if batch and (
                len(batch) == batch_size
                or (len(batch) + 1) * max(longest, size) > TOKENS_PER_FORWARD
                or _memory({**prompts, id(read): read}.values()) > PROMPT_BYTES
            ):
                yield batch
                batch, prompts, longest = [], {}, 0
            batch.append((document, window, read))
            prompts[id(read)] = read
            longest = max(longest, size)
        if batch:
            yield batch

    # The model and what it says

    def _read_windows(
        self, documents: list[_Document], batch_size: int, reading: str | None = None
    ) -> Iterator[list[tuple[_Document, Window]]]:
        """Has all windows read, and gives back those that are finished, batch by batch."""
        windows = [(document, window) for document in documents for window in document.windows]
        in_doubt = []
        for batch in self._batches(windows, batch_size, "open" if reading == "auto" else reading):
            self._read_batch(batch, "open" if reading == "auto" else reading)
            finished = [(document, window) for document, window, _ in batch]
            if reading == "auto":
                sure = [_confidence(*each) >= self.jpt.config.auto_confidence for each in finished]
                in_doubt += [each for each, is_sure in zip(finished, sure, strict=True) if not is_sure]
                finished = [each for each, is_sure in zip(finished, sure, strict=True) if is_sure]
            yield finished
        for batch in self._batches(in_doubt, batch_size, "twice"):
            self._read_batch(batch, "twice")
            yield [(document, window) for document, window, _ in batch]

    def _read_batch(self, batch: _Batch, reading: str | None) -> None:
        """Has windows read, and keeps for each document what is said of its tokens."""
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
        reading = model_outputs
        types = reading.schema.entity_types
        words = None if reading.words is None else [(start, end) for start, end, _ in reading.words]
        options: dict[str, Any] = {"top_k": top_k, "words": words, "begins": reading.begin}
        spans = self._decode(reading, nested, decoder, options)
        limits = lowest_scores(reading.schema, threshold)
        spans = [span for span in spans if (limits[span.type_index] or 0) <= span.score]
        first = {start: number for start, _, number in reading.words or ()}
        last = {end: number for _, end, number in reading.words or ()}
        entities = []
        for span in spans:
            entity: dict[str, Any] = {
                "entity_group": types[span.type_index].name,
                "score": span.score,
                "word": reading.text[span.start : span.end],
                "start": span.start,
                "end": span.end,
            }
            if reading.words is not None:
                entity |= {"first_word": first[span.start], "last_word": last[span.end]}
            if top_k:
                entity["alternatives"] = [
                    {"entity_group": types[index].name, "score": score} for index, score in span.alternatives
                ]
            entities.append(entity)
        return entities

    def _decode(self, reading: Reading, nested: bool, decoder: str, options: dict[str, Any]) -> list[Span]:
        """
        Flat spans and, where wanted, those of other types that the sigmoid head is as sure of. From which number on it
        is, its loss decides: for the paper's values 0.5 would be one time in six.
        """
        config = self.model.config
        path = {"rule": decoder, "transition_penalty": config.switch_cost, "outside_bias": config.outside_bias}
        flat = decode_spans(reading.text, reading.offsets, reading.probabilities, **path, **options)
        if not nested:
            return flat
        even = sigmoid_even_odds(config.focal_gamma, config.positive_weight)
        even = 1 / (1 + (1 / even - 1) ** (1 / config.sigmoid_temperature))
        others = decode_nested_spans(reading.text, reading.offsets, reading.sigmoid, thresholds=even, **options)
        return nest_spans(reading.offsets, reading.sigmoid, flat, others, even)


def _read_ahead(documents: Iterable[_Document], most: int) -> Iterator[list[_Document]]:
    """Lists of `most` documents, or of fewer if they are long."""
    ahead: list[_Document] = []
    characters = 0
    for document in documents:
        ahead.append(document)
        characters += len(document.text)
        if len(ahead) == most or characters > CHARACTERS_AHEAD:
            yield ahead
            ahead, characters = [], 0
    if ahead:
        yield ahead


def _confidence(document: _Document, window: Window) -> float:
    """The probability of the most probable label, of the token of a window where it is lowest."""
    rows = slice(window.keep_start, window.keep_end)
    softmax, sigmoid = (torch.from_numpy(document.heads[name][rows]) for name in ("softmax", "sigmoid"))
    return float(mean_probabilities(softmax, sigmoid).amax(-1).min())


def _reading(document: _Document) -> Reading:
    """What was said of a document; of a blank one, nothing."""
    types = len(document.schema)
    empty = {"softmax": np.zeros((0, 1 + types), np.float32), "sigmoid": np.zeros((0, types), np.float32)}
    offsets = document.offsets if document.heads else np.zeros((0, 2), np.int64)
    return Reading(document.text, document.schema, offsets, **(document.heads or empty), words=document.words)


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _memory(prompts: Iterable[_ReadPrompt]) -> int:
    return sum(prompt.memory for prompt in prompts)


# Makes `pipeline("jpt-ner", model=object)` work from here on, and `save_pretrained` take this file along.
JPTPipeline._registered_impl = {"jpt-ner": {"impl": JPTPipeline, "pt": (AutoModelForTokenClassification,)}}
PIPELINE_REGISTRY.supported_tasks.update(JPTPipeline._registered_impl)

__all__ = ["JPTPipeline"]
