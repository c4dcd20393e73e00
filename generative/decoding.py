"""Greedy decoding of many sequences with a common prefix, with any causal LM: token ids in, token ids and probabilities
out.

PaDeLLM-NER reads one text under many labels and indices. Its authors name two inefficiencies: every sequence encodes the
text again, and finished sequences keep running. `SharedCache` removes the first: its KV cache holds a tree of tokens in one
row, where each token is computed once and visible to those that continue from it. `PaddedCache` is the ordinary batch, one
row per sequence, for comparison and for models whose attention does not take a custom mask. In both, finished sequences can
leave the batch. Knows nothing of entities or text.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

MASKED_ATTENTION = ("eager", "sdpa")  # implementations that take a custom mask


@dataclass
class Generated:
    """
    One generated sequence.

    Args:
        ids (`list[int]`): Tokens, without an end of sequence.
        probabilities (`list[float]`): Probability of each of them, given all before.
        ended (`bool`): Whether it ended by itself rather than at a limit.
        length (`int`): Number of tokens generated, including the one that ended it.
    """

    ids: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    ended: bool = False
    length: int = 0


class Decoder:
    """
    Decodes sequences with one model on one device.

    Args:
        model ([`PreTrainedModel`]): Any causal LM with its head.
        end_ids (`Collection[int]`): Tokens that end a sequence and are not part of the result.
        reuse (`bool`): Compute common prefixes once (`SharedCache`), where the model allows it.
        early_quit (`bool`): Remove finished sequences from the batch.
    """

    def __init__(self, model: PreTrainedModel, end_ids: Collection[int], reuse: bool = True, early_quit: bool = True):
        self.model = model
        self.end_ids = frozenset(end_ids)
        self.early_quit = early_quit
        self.reuse = reuse and can_share(model)
        self._arguments = frozenset(inspect.signature(model.forward).parameters)
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31

    def new_cache(self) -> "SharedCache | PaddedCache":
        """A KV cache. Calls of `generate` with the same one share the prefixes they have read (if `reuse`)."""
        return SharedCache(self._forward) if self.reuse else PaddedCache(self._forward)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        cache: "SharedCache | PaddedCache | None" = None,
        stop_ids: Collection[int] = (),
        forced: Sequence[Sequence[int]] | None = None,
    ) -> list[Generated]:
        """
        Continues each prompt by the most probable token until it ends.

        Args:
            prompts: Token ids of each prompt, at least one token each.
            limits: Maximum number of new tokens of each.
            cache (*optional*): From `new_cache`.
            stop_ids (*optional*): Further tokens that end a sequence; these are part of the result.
            forced (*optional*): Tokens to generate instead of the most probable ones, followed by an end: for the latency and
                the probabilities of a known output.

        Raises:
            ValueError: If a prompt is empty or leaves no room in the model's context.
        """
        for number, prompt in enumerate(prompts):
            if not 0 < len(prompt) < self.limit:
                raise ValueError(
                    f"`prompts[{number}]` must have from 1 to {self.limit - 1} tokens (the model reads at most "
                    f"{self.limit}), got {len(prompt)}"
                )
        limits = [min(limit, self.limit - len(prompt)) for limit, prompt in zip(limits, prompts, strict=True)]
        found = [Generated() for _ in prompts]
        done = [limit < 1 for limit in limits]
        cache = cache or self.new_cache()
        end = min(self.end_ids)
        rows = list(range(len(prompts)))
        logits = cache.start(prompts) if rows else None
        while not all(done):
            wanted = None
            if forced is not None:
                wanted = [(forced[row][len(found[row].ids) :] or [end])[0] for row in rows]
            chosen = []
            for row, (token, probability) in zip(rows, _choose(logits, wanted), strict=True):
                chosen.append(end if done[row] else token)
                if not done[row]:
                    done[row] = self._take(found[row], token, probability, limits[row], stop_ids)
            if self.early_quit:
                chosen = [token for row, token in zip(rows, chosen, strict=True) if not done[row]]
                rows = [row for row in rows if not done[row]]
            if not all(done):
                logits = cache.step(rows, chosen)
        return found

    def _take(self, sequence: Generated, token: int, probability: float, limit: int, stop_ids) -> bool:
        """Adds a token; returns whether the sequence is finished."""
        sequence.length += 1
        if token in self.end_ids:
            sequence.ended = True
            return True
        sequence.ids.append(token)
        sequence.probabilities.append(probability)
        sequence.ended = token in stop_ids
        return sequence.ended or len(sequence.ids) == limit

    def _forward(self, tokens, positions, mask, cache, keep) -> torch.Tensor:
        """Logits `(rows, kept, vocabulary)` of the kept columns of `tokens (rows, columns)`."""
        device = self.model.device
        keep = torch.as_tensor(keep, device=device)
        values = {"input_ids": torch.as_tensor(tokens, device=device), "past_key_values": cache, "use_cache": True}
        if mask is not None:
            values["attention_mask"] = torch.as_tensor(mask, device=device)
            if mask.ndim == 4:
                lowest = torch.finfo(self.model.dtype).min
                allowed = values["attention_mask"]
                values["attention_mask"] = torch.zeros_like(allowed, dtype=self.model.dtype).masked_fill(
                    ~allowed, lowest
                )
        if "position_ids" in self._arguments:
            # A finished sequence that stays in the batch may exceed the last learned position.
            values["position_ids"] = torch.as_tensor(positions, device=device).clamp(max=self.limit - 1)
        if "logits_to_keep" in self._arguments:
            return self.model(**values, logits_to_keep=keep).logits
        return self.model(**values).logits[:, keep]


def _choose(logits: torch.Tensor, wanted: Sequence[int] | None) -> list[tuple[int, float]]:
    """Token and probability for each row of `logits (rows, vocabulary)`: the most probable ones, or those wanted."""
    distribution = logits.float().softmax(-1)
    if wanted is None:
        probabilities, tokens = distribution.max(-1)
    else:
        tokens = torch.tensor(wanted, device=logits.device)
        probabilities = distribution.gather(-1, tokens[:, None])[:, 0]
    return list(zip(tokens.tolist(), probabilities.tolist(), strict=True))


def can_share(model: PreTrainedModel) -> bool:
    """Whether a `SharedCache` works with the model: full attention, custom masks and given positions."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        kinds.add("sliding_attention")
    return (
        kinds == {"full_attention"}
        and config._attn_implementation in MASKED_ATTENTION
        and "position_ids" in inspect.signature(model.forward).parameters
        and not getattr(model, "_is_stateful", False)
    )


class SharedCache:
    """
    Sequences as a tree: tokens are nodes, and sequences with a common prefix share its nodes.

    All nodes form one row of the model's KV cache, in the order of their computation. A mask lets each token see its
    ancestors and itself, and its position is its depth.
    """

    def __init__(self, forward: Callable[..., torch.Tensor]):
        self._forward = forward
        self._cache = DynamicCache()
        self._children: dict[tuple[int, int], int] = {}  # of a node, by token
        self._depths: list[int] = []
        self._visible = np.zeros((0, 0), dtype=bool)
        self._tips: list[int] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Reads prompts, and of these only what is not in the cache. Logits `(prompts, vocabulary)` after each."""
        self._tips = [-1] * len(prompts)
        return self._read(list(range(len(prompts))), prompts)

    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Reads one more token of each of the prompts `rows`. Logits `(rows, vocabulary)`."""
        return self._read(rows, [[token] for token in tokens])

    def _read(self, rows: Sequence[int], sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        known = len(self._depths)
        self._make_room(known + sum(map(len, sequences)))
        new: list[int] = []
        for row, ids in zip(rows, sequences, strict=True):
            node = self._tips[row]
            for place, token in enumerate(ids):
                child = self._children.get((node, token))
                # The last token is always read: its logits are needed, and logits are not cached.
                if child is None or (child < known and place == len(ids) - 1):
                    child = self._grow(node, token)
                    new.append(token)
                node = child
            self._tips[row] = node
        total = len(self._depths)
        mask = self._visible[known:total, :total]
        # A single chain is plain causal attention, for which models need no mask and are faster.
        plain = mask.sum() == sum(range(known + 1, total + 1))
        logits = self._forward(
            np.array([new]),
            np.array([self._depths[known:]]),
            None if plain else mask[None, None],
            self._cache,
            [self._tips[row] - known for row in rows],
        )
        return logits[0]

    def _grow(self, parent: int, token: int) -> int:
        node = len(self._depths)
        if parent >= 0:
            self._visible[node] = self._visible[parent]
        self._visible[node, node] = True
        self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)
        self._children[parent, token] = node
        return node

    def _make_room(self, size: int) -> None:
        held = len(self._visible)
        if size > held:
            larger = np.zeros((max(size, 2 * held, 256),) * 2, dtype=bool)
            larger[:held, :held] = self._visible
            self._visible = larger


class PaddedCache:
    """Sequences as the rows of a batch, padded on the left; every prompt is read in full."""

    def __init__(self, forward: Callable[..., torch.Tensor]):
        self._forward = forward
        self._rows: list[int] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Reads prompts. Logits `(prompts, vocabulary)` after each."""
        longest = max(map(len, prompts))
        self._rows = list(range(len(prompts)))
        self._cache = DynamicCache()
        self._mask = np.array([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
        tokens = np.array([[0] * (longest - len(ids)) + list(ids) for ids in prompts])
        positions = (self._mask.cumsum(1) - 1).clip(min=0)
        return self._forward(tokens, positions, self._mask, self._cache, [longest - 1])[:, 0]

    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Reads one more token of each of the prompts `rows`; others leave for good. Logits `(rows, vocabulary)`."""
        if list(rows) != self._rows:
            kept = [self._rows.index(row) for row in rows]
            self._cache.batch_select_indices(torch.tensor(kept))
            self._mask, self._rows = self._mask[kept], list(rows)
        self._mask = np.pad(self._mask, ((0, 0), (0, 1)), constant_values=1)
        positions = self._mask.sum(1, keepdims=True) - 1
        return self._forward(np.array(tokens)[:, None], positions, self._mask, self._cache, [0])[:, 0]
