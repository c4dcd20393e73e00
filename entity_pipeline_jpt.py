"""What all pipelines that find entities share: how they are called, and which texts and entity types they accept.

Knows nothing of models: `pipeline_jpt` and `generative/pipeline_generative` read the documents that are prepared here.
"""

import copyreg
import operator
import threading
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import TokenClassificationPipeline
from transformers.dynamic_module_utils import init_hf_modules

from .schema_jpt import Schema, resolve_schema
from .words_jpt import trim_blanks

PROGRESS_FORMAT = "{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


@dataclass
class InputDocument:
    """A text, its types and, if words were given, start, end and number of each that is not blank."""

    text: str
    schema: Schema
    words: list[tuple[int, int, int]] | None


class EntityPipeline(TokenClassificationPipeline):
    """
    A pipeline from texts and entity types to entities. Subclasses turn documents into entities in
    [`~EntityPipeline.process`], [`Pipeline._forward`] and [`Pipeline.postprocess`].

    It returns what transformers' [`TokenClassificationPipeline`] returns with an aggregation strategy, and is a subclass
    of it for programs that check; all of its work is replaced. It can be pickled and copied, also into another process:
    weights, tokenizer and options are kept, while caches start empty.

    Args:
        show_progress (`bool`, *optional*, defaults to `False`): Default of this option of calls.
        type_files (`bool`, *optional*, defaults to `True`): Whether entity types may be given as a file. `False` where
            strangers give them.
        kwargs: As for every [`Pipeline`], and defaults for the options of calls.

    Raises:
        ValueError: If the tokenizer is missing, or an option is not as described.
    """

    default_batch_size = 16
    document_class: type[InputDocument] = InputDocument

    _transient: Collection[str] = ("_lock",)  # attributes that `_reset` makes
    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *, show_progress: bool = False, type_files: bool = True, **kwargs):
        self._show_progress = show_progress
        self._type_files = type_files
        self._reset()
        super().__init__(**kwargs)
        if self.tokenizer is None:
            raise ValueError("`tokenizer` must be given")
        self.model.eval()

    def _reset(self) -> None:
        """Creates what belongs to this process and this object alone: locks and caches."""
        self._lock = threading.RLock()  # Also guards the tokenizer, which keeps the settings of one call.

    def __reduce__(self):
        # A new process finds classes of the Hub's loader only once the loader's folder of modules can be imported.
        dynamic = type(self).__module__.startswith("transformers_modules.")
        return _NewObject() if dynamic else copyreg.__newobj__, (type(self),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._transient}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def check_model_type(self, supported_models) -> None:
        """Nothing to check: transformers' list of model classes cannot name those that come with their own code."""

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
            batch_size (`int`, *optional*): Maximum number of texts, or pieces of long ones, to read together.
            show_progress (`bool`, *optional*, defaults to `False`): Whether to show a progress bar, by texts.
            num_workers (`int`, *optional*): Ignored.
            options: See the pipeline's own description.

        Returns:
            For one item, a list of dicts with `entity_group`, `score`, `word`, `start`, `end`, in the order of the
            text. For a list or tuple, a list of such lists. For any other iterable, a generator of such lists.

        Raises:
            ValueError: If an item, the types or an option are not as described; the message names what is wrong.
        """
        batch_size = self._checked_batch_size(batch_size)
        preprocess_params, forward_params, postprocess_params = self._with_defaults(**options)
        preprocess_params = self._with_types(preprocess_params)
        if options.get("entity_types") is not None:
            _check_thresholds(options.get("threshold"), preprocess_params["schema"])
        elif not _may_have_own_types(inputs):
            _check_thresholds(postprocess_params.get("threshold"), preprocess_params.get("schema"))
        single = isinstance(inputs, (str, Mapping))
        single = single or (preprocess_params.get("is_split_into_words", False) and _is_words(inputs))
        if not single and (isinstance(inputs, (bytes, bytearray)) or not isinstance(inputs, (Iterable, Dataset))):
            raise ValueError(f"`inputs` must be a text, a dict with a text, or many, got {type(inputs).__name__}")
        results = self.get_iterator(
            [inputs] if single else inputs,
            num_workers,
            batch_size,
            preprocess_params,
            forward_params,
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
        """The entities of all texts, in their order."""
        documents, progress = self._prepare(inputs, preprocess_params, show_progress)
        with progress:
            yield from self.process(documents, batch_size, forward_params, postprocess_params, progress)

    def _prepare(self, inputs, preprocess_params: dict, show_progress: bool) -> tuple[Iterator[Any], tqdm]:
        """The documents of a call, checked as they are taken, and its progress bar."""
        total = len(inputs) if isinstance(inputs, Sized) else None
        items = inputs if isinstance(inputs, Iterable) else (inputs[i] for i in range(len(inputs)))
        documents = (self.preprocess(item, position=i, **preprocess_params) for i, item in enumerate(items))
        return documents, tqdm(total=total, unit="text", bar_format=PROGRESS_FORMAT, disable=not show_progress)

    def forward(self, model_inputs, **forward_params):
        """As [`Pipeline.forward`], in evaluation mode even if the model is being trained."""
        with evaluating(self.model):
            return super().forward(model_inputs, **forward_params)

    @abstractmethod
    def process(
        self, documents: Iterator[Any], batch_size: int, forward_params: dict, postprocess_params: dict, progress: tqdm
    ) -> Iterator[list[dict]]:
        """The entities of each document, in order; advances `progress` by 1 for each."""

    def _checked_batch_size(self, batch_size: int | None) -> int:
        """The batch size of a call, or its default."""
        if batch_size is None:
            batch_size = self.default_batch_size if self._batch_size is None else self._batch_size
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a whole number from 1, got {batch_size!r}")
        return batch_size

    def _with_defaults(self, **options) -> tuple[dict, dict, dict]:
        """Options of a call for each part of the pipeline, completed by those given when it was created."""
        defaults = self._preprocess_params, self._forward_params, self._postprocess_params
        given = self._sanitize_parameters(**options)
        preprocess, forward, postprocess = ({**old, **new} for old, new in zip(defaults, given, strict=True))
        return preprocess, forward, postprocess

    def _with_types(self, preprocess: dict) -> dict:
        """The options, with the default types if they name none."""
        if "schema" in preprocess or not self._default_types():
            return preprocess
        return {**preprocess, "schema": self._resolve(self._default_types())}

    def _sanitize_parameters(
        self,
        *,
        entity_types=None,
        is_split_into_words: bool | None = None,
        delimiter: str | None = None,
        nested: bool | None = None,
        threshold: float | Mapping[str, float] | None = None,
        aggregation_strategy: str | None = None,
    ) -> tuple[dict, dict, dict]:
        if delimiter is not None and not isinstance(delimiter, str):
            raise ValueError(f"`delimiter` must be text, got {delimiter!r}")
        for value in threshold.values() if isinstance(threshold, Mapping) else given_options(all=threshold).values():
            if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= float(value) <= 1):
                raise ValueError(
                    f"`threshold` must be a number from 0 to 1, or a dict of such by name of type, got {threshold!r}"
                )
        if aggregation_strategy not in (None, "simple", "first", "average", "max"):
            raise ValueError(
                f"`aggregation_strategy` {aggregation_strategy!r} is not available: entities always come whole. "
                'Leave it away, or give "simple"'
            )
        schema = None if entity_types is None else self._resolve(entity_types)
        return (
            given_options(schema=schema, is_split_into_words=is_split_into_words, delimiter=delimiter),
            {},
            given_options(nested=nested, threshold=threshold),
        )

    def _default_types(self) -> Any:
        """Types of the model's configuration, if it has any."""
        return getattr(self.model.config, "entity_types", None)

    def _resolve(self, entity_types) -> Schema:
        return resolve_schema(entity_types, files=self._type_files)

    def _check_types(self, schema: Schema) -> None:
        """Raises a `ValueError` for types that cannot be looked for."""

    def preprocess(
        self,
        inputs,
        schema: Schema | None = None,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        position: int = 0,
    ) -> Any:
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
                self._check_types(schema)
        except ValueError as error:
            raise ValueError(f"`inputs[{position}]`: {error}") from error
        if schema is None:
            raise ValueError(
                "`entity_types` must be given: in the call, when the pipeline is made, with each text, or as "
                "`entity_types` in the model's config.json, which has none"
            )
        words = None
        if is_split_into_words:
            if not _is_words(text):
                raise ValueError(f"`inputs[{position}]` must be a list of words, got {_shown(text)}")
            words, text = _join_words(text, delimiter)
        elif not isinstance(text, str):
            raise ValueError(f"`inputs[{position}]` must be a text, got {_shown(text)}")
        return self.document_class(text, schema, words)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; modules that were in training mode return to it."""
    training = [module for module in model.modules() if module.training] if model.training else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def given_options(**options) -> dict[str, Any]:
    """Those that are not `None`."""
    return {name: value for name, value in options.items() if value is not None}


def lowest_scores(schema: Schema, threshold: float | Mapping[str, float] | None) -> list[float | None]:
    """
    The lowest score at which each type of a schema is returned; `None` if there is no such limit.

    A threshold that the call gives for a type takes precedence, then that of the schema, then the call's for all types.
    """
    by_type = threshold if isinstance(threshold, Mapping) else {}
    of_all = None if isinstance(threshold, Mapping) else threshold
    return [
        by_type.get(each.name, of_all if each.threshold is None else each.threshold) for each in schema.entity_types
    ]


def _check_thresholds(threshold: float | Mapping[str, float] | None, schema: Schema | None) -> None:
    """The thresholds of a call refer to its types, or else to the default ones, if no item has types of its own."""
    if schema is None or not isinstance(threshold, Mapping):
        return
    if unknown := [name for name in threshold if name not in schema.names]:
        raise ValueError(f"`threshold` names {unknown[0]!r}, which is none of the types: {', '.join(schema.names)}")


def _may_have_own_types(inputs) -> bool:
    """Whether any item may have types of its own, as far as that can be seen before reading."""
    items = [inputs] if isinstance(inputs, (str, Mapping)) else inputs
    return not isinstance(items, (list, tuple)) or any(
        isinstance(each, Mapping) and each.get("entity_types") is not None for each in items
    )


class _NewObject:
    """`copyreg.__newobj__` for classes of dynamic modules: unpickling it first makes them importable."""

    def __call__(self, cls: Any):
        return cls.__new__(cls)

    def __reduce__(self):
        # Unpickling makes the items of the list in their order, and then takes the last of them.
        return operator.getitem, ([_DynamicModules(), copyreg.__newobj__], 1)


class _DynamicModules:
    def __reduce__(self):
        return init_hf_modules, ()


def _is_words(value) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _shown(value) -> str:
    return type(value).__name__ if value is None or isinstance(value, (Mapping, Sequence)) else f"{value!r:.80}"


def _join_words(words: Sequence[str], delimiter: str) -> tuple[list[tuple[int, int, int]], str]:
    """Start, end (blanks trimmed) and number of each word in the joined text; and that text."""
    text = delimiter.join(words)
    places, start = [], 0
    for number, word in enumerate(words):
        left, right = trim_blanks(text, start, start + len(word))
        if left < right:
            places.append((left, right, number))
        start += len(word) + len(delimiter)
    return places, text
