"""Texts in, the same texts with the entities found in them replaced out, and a record of what was changed and what was not."""

import random
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ...schema_jpt import Schema, resolve_schema
from ..loading import load_pipeline
from .pseudonyms import Pseudonyms
from .styles import METHODS, Hashed, Style, masked, replaced

THRESHOLD = 0.3  # low, because a missed name does more harm than a lost word
SHORTEST_REPEAT = 3  # characters of a mention to search for in the rest of its text
PRESET = "personal-data"

Entities = list[dict[str, Any]]


@dataclass(frozen=True)
class Redacted:
    """
    A text after redaction.

    Args:
        text (`str`): The text.
        changed (`list[dict]`):
            What was replaced: `entity_group`, `score` (`None` for a repeat that the model did not mark itself), `start`
            and `end` in the original text, `new_start`, `new_end` and `replacement` in the new one.
        kept (`list[dict]`):
            What scored too low and was kept: `entity_group`, `score`, `word`, `start`, `end`, and `new_start` and
            `new_end`.
    """

    text: str
    changed: Entities
    kept: Entities


def redact(
    text: str,
    entity_types: Any = PRESET,
    *,
    method: str = "replace",
    key: bytes | None = None,
    threshold: float = THRESHOLD,
    pipeline: Any = None,
) -> Redacted:
    """
    Redacts one text. For many texts, or for consistent names across them, make a [`Redactor`].

    Args:
        text (`str`): The text.
        entity_types (*optional*): What to redact, in any form that `resolve_schema` takes.
        method (`str`, *optional*): One of `styles.METHODS`.
        key (`bytes`, *optional*): The key of `"hash"`.
        threshold (`float`, *optional*): What scores lower is kept, unless its type has a threshold of its own.
        pipeline (*optional*): The pipeline. Defaults to the one of the shipped model.

    Raises:
        ValueError: For types, a method, a key or a threshold that are not as described.
    """
    style = make_style(method, key)
    redactor = Redactor(lambda: pipeline or load_pipeline(), style, entity_types, threshold)
    (redacted,) = redactor([text])
    return redacted


def make_style(
    method: str,
    key: bytes | None = None,
    mapping: Mapping[str, Any] | None = None,
    chance: random.Random | None = None,
) -> Style:
    """
    The style of a method of `styles.METHODS`.

    Args:
        key (`bytes`, *optional*): The key of `"hash"`.
        mapping (`dict`, *optional*), chance (`random.Random`, *optional*): As for [`Pseudonyms`].

    Raises:
        ValueError: For another method, or `"hash"` without a key.
    """
    if method == "hash":
        if key is None:
            raise ValueError("`method` 'hash' needs a key: --key-file or --key-env")
        return Hashed(key)
    if method == "pseudonyms":
        return Pseudonyms(mapping, chance)
    if method not in METHODS:
        raise ValueError(f"`method` should be one of {', '.join(METHODS)}, got {method!r}")
    return masked if method == "mask" else replaced


class Redactor:
    """
    Redacts texts one after the other, all in one style.

    Args:
        load (`Callable`): Loads the pipeline; called with the first text.
        style (`Callable`): From [`make_style`].
        entity_types, threshold (*optional*): As for [`redact`].
        options: Further options of the pipeline's call.

    Raises:
        ValueError: If types or threshold are not as described.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        style: Style,
        entity_types: Any = PRESET,
        threshold: float = THRESHOLD,
        **options: Any,
    ):
        if isinstance(threshold, bool) or not 0 <= threshold <= 1:
            raise ValueError(f"`threshold` should be a number from 0 to 1, got {threshold!r}")
        self.style = style
        self.schema: Schema = resolve_schema(entity_types)
        self._load, self._options = load, options
        self._pipeline: Any = None
        self._lowest = {name: self.schema.thresholds.get(name, threshold) for name in self.schema.names}

    def __call__(self, texts: Iterable[str]) -> Iterator[Redacted]:
        """Redacted texts, in order; an error in reading a text is raised once those before it are done."""
        failures: list[Exception] = []
        pending: deque[str] = deque()

        def items() -> Iterator[str]:
            try:
                for text in texts:
                    pending.append(text)
                    yield text
            except Exception as error:  # The pipeline has read ahead: the texts it holds must not be lost.
                failures.append(error)

        given = items()
        first = next(given, None)
        if first is not None:
            self._pipeline = self._pipeline or self._load()
            everything = dict.fromkeys(self.schema.names, 0.0)
            found = self._pipeline(
                chain([first], given), entity_types=self.schema, threshold=everything, **self._options
            )
            for entities in found:
                yield self.apply(pending.popleft(), entities)
        if failures:
            raise failures[0]

    def apply(self, text: str, entities: Entities) -> Redacted:
        """Redacts a text whose entities are known."""
        high: Entities = []
        low: Entities = []
        for each in entities:
            (high if each["score"] >= self._lowest[each["entity_group"]] else low).append(each)
        return redacted_text(text, high, low, self.style)


def redacted_text(text: str, entities: Entities, low: Entities, style: Style) -> Redacted:
    """
    A text with these entities and their exact repeats replaced.

    Args:
        entities (`list[dict]`): What to replace, as pipelines return it. Overlapping entities are replaced as one, with the
            type of the highest score.
        low (`list[dict]`): Entities that scored too low.
        style (`Callable`): Makes the replacements.
    """
    spans = _united(entities)
    spans = sorted([*spans, *_repeats(text, spans)], key=lambda each: each["start"])
    parts: list[str] = []
    changed: Entities = []
    position = length = 0
    for each in spans:
        before = text[position : each["start"]]
        replacement = style(text[each["start"] : each["end"]], each["entity_group"])
        start = length + len(before)
        position, length = each["end"], start + len(replacement)
        parts += [before, replacement]
        changed.append({**each, "new_start": start, "new_end": length, "replacement": replacement})
    return Redacted("".join(parts) + text[position:], changed, _kept(low, changed))


def _united(entities: Entities) -> Entities:
    united: Entities = []
    for each in sorted(entities, key=lambda each: each["start"]):
        span = {name: each[name] for name in ("entity_group", "score", "start", "end")}
        if united and span["start"] < united[-1]["end"]:
            best = max(united[-1], span, key=lambda one: one["score"])
            united[-1] = {**best, "start": united[-1]["start"], "end": max(united[-1]["end"], span["end"])}
        else:
            united.append(span)
    return united


def _repeats(text: str, spans: Entities) -> Entities:
    """Further occurrences of a mention, as whole words, outside of what is replaced already."""
    groups: dict[str, str] = {}
    for each in spans:
        mention = text[each["start"] : each["end"]].strip()
        if len(mention) >= SHORTEST_REPEAT:
            groups.setdefault(mention, each["entity_group"])
    if not groups:
        return []
    longest_first = sorted(groups, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    repeats: Entities = []
    position = 0
    for each in [*spans, {"start": len(text), "end": len(text)}]:
        repeats += [
            {"entity_group": groups[match[0]], "score": None, "start": match.start(), "end": match.end()}
            for match in pattern.finditer(text, position, each["start"])
        ]
        position = each["end"]
    return repeats


def _kept(low: Entities, changed: Entities) -> Entities:
    """Low-scoring entities that were not replaced as part of others, with their offsets in the new text."""
    kept = []
    ends = [each["end"] for each in changed]
    for each in low:
        number = bisect_right(ends, each["start"])  # of replacements that end before it
        if number < len(changed) and changed[number]["start"] < each["end"]:
            continue
        shift = changed[number - 1]["new_end"] - ends[number - 1] if number else 0
        place = {"new_start": each["start"] + shift, "new_end": each["end"] + shift}
        kept.append({name: each[name] for name in ("entity_group", "score", "word", "start", "end")} | place)
    return kept
