"""Label errors that show only across the sets of a mixture: sources in, findings out.

A type may be a candidate for a text only if all its mentions in it are marked. This finds mentions of one set that are
unmarked in another under a type with a similar definition, families of types that lack members, and types that never or
always occur. Texts are sampled set by set, so memory depends on the sample and not on the data.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from ...words_jpt import split_words
from ..diagnostics import EXCLUSION
from .augmentation import families
from .sampling import MixtureSource

MAX_WORDS = 8  # of a mention to search for in other sets
MAX_SURFACES = 400  # of each type, the most frequent ones
RELIABLE = 0.75  # share of a surface's occurrences in its own set that are marked as the type
COMMON_WORD = 3  # occurrences in lower case that make a word a common one
FEW_TEXTS = 20  # with fewer, a type that never or always occurs means nothing
ALWAYS = 0.98
ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class CandidateType:
    """
    A type of a set.

    Args:
        dataset (`str`), name (`str`), definition (`str`): Its set and wording.
        members (`tuple[str, ...]`): If it stands for a whole family (`MixtureSource.families`), the labels in it.
        family (`str`): The family that it belongs to or stands for.
    """

    dataset: str
    name: str
    definition: str
    members: tuple[str, ...] = ()
    family: str = ""


@dataclass
class SampledText:
    """A text of the sample: its mentions by range, and the index of its candidate types (`Mixture.asked`)."""

    id: str
    text: str
    mentions: dict[tuple[int, int], int]
    asked: int


@dataclass
class Gap:
    """
    Unmarked mentions in texts with a candidate type that covers them.

    Args:
        type ([`CandidateType`]): The candidate type.
        unmarked (`int`), marked (`int`): Occurrences of the same surfaces that are unmarked, and marked as this type.
        sources (`list[tuple[CandidateType, float, int]]`): Types of other sets (or of this one) that mark them, the similarity
            of the definitions, and the number of unmarked occurrences, in descending order.
        examples (`list[tuple[str, str]]`): Surfaces and their contexts.
    """

    type: CandidateType
    unmarked: int = 0
    marked: int = 0
    sources: list[tuple[CandidateType, float, int]] = field(default_factory=list)
    examples: list[tuple[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the occurrences that are unmarked."""
        return self.unmarked / max(self.unmarked + self.marked, 1)


@dataclass
class Frequency:
    """Number of texts in which a type is a candidate, and in which it has a mention."""

    type: CandidateType
    asked: int = 0
    positive: int = 0

    @property
    def kind(self) -> str | None:
        """`never` or `always`, if there are enough texts to tell."""
        if self.asked < FEW_TEXTS:
            return None
        return "never" if not self.positive else "always" if self.positive >= ALWAYS * self.asked else None


class Mixture:
    """
    A sample of the texts of several sources, with their candidate types.

    Args:
        limit (`int`): Number of texts of each source to keep. Frequencies count all texts.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.types: list[CandidateType] = []
        self.texts: list[list[SampledText]] = []  # by source
        self.frequencies: dict[int, Frequency] = {}
        self.asked: list[tuple[int, ...]] = []  # types, by `SampledText.asked`
        self.family_of: dict[int, int] = {}  # a member's type to that of its family
        self.names: list[str] = []
        self._indices: dict[CandidateType, int] = {}

    def add(self, source: MixtureSource) -> None:
        """Counts all texts of a source and keeps a sample of them. Sources of one name are numbered."""
        name, number = source.name, 1
        while name in self.names:
            number += 1
            name = f"{source.name} ({number})"
        self.names.append(name)
        united = self._add_families(source, name)
        interned: dict[tuple[int, ...], int] = {}
        kept = sorted(source.candidates)
        if len(kept) > self.limit:
            kept = random.Random(source.name).sample(kept, self.limit)
        sampled = set(kept)
        texts = []
        for index, asked in source.candidates.items():
            record = source.records[index]
            types = {
                label: self._index(CandidateType(name, info.name, info.definition, family=united.get(label, "")))
                for label, info in asked.items()
            }
            present = {each.label for each in record.entities}
            for label, number in types.items():
                frequency = self.frequencies.setdefault(number, Frequency(self.types[number]))
                frequency.asked += 1
                frequency.positive += label in present
            if index in sampled:
                families_here = {self.family_of[each] for each in types.values() if each in self.family_of}
                key = (*types.values(), *sorted(families_here))
                if key not in interned:
                    interned[key] = len(self.asked)
                    self.asked.append(key)
                mentions = {
                    (each.start, each.end): types[each.label] for each in record.entities if each.label in types
                }
                texts.append(SampledText(record.id, record.text, mentions, interned[key]))
        self.texts.append(texts)

    def _index(self, asked: CandidateType) -> int:
        if asked not in self._indices:
            self._indices[asked] = len(self.types)
            self.types.append(asked)
        return self._indices[asked]

    def _add_families(self, source: MixtureSource, name: str) -> dict[str, str]:
        """Adds a type for each family of the source, under the name of its set; returns the families of its labels."""
        if not (source.families and source.types):
            return {}
        united = {}
        for family, members in families(source.types).items():
            whole = self._index(CandidateType(name, family, f"A named {family}", tuple(members), family))
            for label in members:
                united[label] = family
                info = source.types[label]
                self.family_of[self._index(CandidateType(name, info.name, info.definition, family=family))] = whole
        return united


def collect(sources: Iterable[MixtureSource], limit: int) -> Mixture:
    """A [`Mixture`] of sources, read one after the other."""
    mixture = Mixture(limit)
    for source in tqdm(sources, unit="set", desc="reading"):
        mixture.add(source)
    return mixture


def extremes(mixture: Mixture) -> list[Frequency]:
    """Types that occur in none, or in nearly all, of the texts they are candidates for; most texts first."""
    found = [each for each in mixture.frequencies.values() if each.kind]
    return sorted(found, key=lambda each: (each.kind, -each.asked))


def find_gaps(mixture: Mixture, encoder, similarity: float, least: int, share: float) -> list[Gap]:
    """
    Finds unmarked mentions in texts with a candidate type that covers them.

    A surface is searched for under the type of another set if that set marks it nearly wherever it occurs. It counts against
    the most similar candidate type of its text, if the two are similar enough and the set does not mark such surfaces as
    something else. Words that are not names count only if the set marks them elsewhere: whether "man" or "temperature" is a
    mention is a matter of definition. Families count as types, too.

    Args:
        mixture ([`Mixture`]): From [`collect`].
        encoder: The definition encoder.
        similarity (`float`): Minimum cosine at which one definition covers the other.
        least (`int`), share (`float`): Minimum of unmarked occurrences of a gap, and of their share of all occurrences.

    Returns:
        `list[Gap]`: Most unmarked occurrences first.
    """
    surfaces = _surfaces(mixture)
    found = _Occurrences(mixture, surfaces)
    covering = _Covering(mixture, _vectors(mixture.types, encoder), similarity)
    counts: dict[tuple[int, int], Counter[tuple[int, str]]] = defaultdict(
        Counter
    )  # (candidate, marking): (set, surface)
    for (number, asked, surface), times in found.unmarked.items():
        for marking in found.reliable(surface):
            for covered in covering(marking, asked):
                if not (found.is_name(surface) or found.marks(number, surface, covered)):
                    continue
                counts[covered, marking][asked, surface] += times
    gaps: dict[int, dict[int, Counter]] = defaultdict(dict)
    set_of = {name: number for number, name in enumerate(mixture.names)}
    for (covered, marking), occurrences in counts.items():
        number = set_of[mixture.types[covered].dataset]
        agreeing = differing = 0
        for surface in surfaces.of_type[marking]:
            for label, times in found.marked.get((number, surface), {}).items():
                if covered in (label, mixture.family_of.get(label)):
                    agreeing += times
                else:
                    differing += times
        if differing <= agreeing or differing < 2:
            gaps[covered][marking] = occurrences
    result = [_gap(mixture, found, covering, covered, by_type) for covered, by_type in gaps.items()]
    result = [gap for gap in result if gap.unmarked >= least and gap.share >= share]
    return sorted(result, key=lambda gap: -gap.unmarked)


def _gap(mixture: Mixture, found: "_Occurrences", covering: "_Covering", covered: int, by_type) -> Gap:
    gap = Gap(mixture.types[covered])
    number = mixture.names.index(gap.type.dataset)
    unique = {place: times for occurrences in by_type.values() for place, times in occurrences.items()}
    gap.unmarked = sum(unique.values())
    for surface in {surface for _, surface in unique}:
        for label, times in found.marked.get((number, surface), {}).items():
            gap.marked += times * (covered in (label, mixture.family_of.get(label)))
    order = sorted(by_type, key=lambda marking: -by_type[marking].total())
    gap.sources = [
        (mixture.types[marking], covering.similarity(marking, covered), by_type[marking].total()) for marking in order
    ]
    # The surfaces that are most often unmarked, for several types.
    seen = []
    for marking in order[:3]:
        for (asked, surface), _ in by_type[marking].most_common(2):
            if surface not in seen:
                seen.append(surface)
                gap.examples.append((surface, found.examples[number, asked, surface]))
    return gap


class _Surfaces:
    """The mentions to search for, words joined by blanks: by type; and by first word, the numbers of words."""

    def __init__(self):
        self.of_type: dict[int, list[str]] = {}
        self.all: set[str] = set()
        self.lengths: dict[str, set[int]] = defaultdict(set)

    def add(self, type_index: int, counts: Counter[str]) -> None:
        chosen = [surface for surface, _ in counts.most_common(MAX_SURFACES)]
        self.of_type[type_index] = chosen
        for surface in chosen:
            words = surface.split(" ")
            self.all.add(surface)
            self.lengths[words[0]].add(len(words))


def _surfaces(mixture: Mixture) -> _Surfaces:
    result = _Surfaces()
    for texts in mixture.texts:
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for text in texts:
            for (start, end), label in text.mentions.items():
                words = _words(text.text[start:end])
                surface = " ".join(words)
                if 3 <= len(surface) and len(words) <= MAX_WORDS and any(map(str.isalpha, surface)):
                    counts[label][surface] += 1
        for label, surfaces in counts.items():
            result.add(label, surfaces)
    return result


def _words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


class _Occurrences:
    """
    The occurrences of surfaces in the sampled texts.

    Attributes:
        unmarked (`Counter`): By set, candidate types and surface: occurrences that overlap no mention.
        marked (`dict`): By set and surface: occurrences that are mentions, by type.
        examples (`dict`): By set, candidate types and surface: the context of an unmarked occurrence.
    """

    def __init__(self, mixture: Mixture, surfaces: _Surfaces):
        self.mixture, self.surfaces = mixture, surfaces
        self.unmarked: Counter[tuple[int, int, str]] = Counter()
        self.marked: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
        self.examples: dict[tuple[int, int, str], str] = {}
        self._bare: Counter[tuple[int, str]] = Counter()
        self._small: Counter[str] = Counter()  # words in lower case
        texts = [(number, text) for number, texts in enumerate(mixture.texts) for text in texts]
        for number, text in tqdm(texts, unit="text", desc="searching"):
            self._search(number, text)
        self._markers: dict[str, list[tuple[int, int]]] = defaultdict(list)  # surface to (set, type)
        for (number, surface), labels in self.marked.items():
            self._markers[surface] += [(number, label) for label in labels]

    def _search(self, number: int, text: SampledText) -> None:
        for (start, end), label in text.mentions.items():
            surface = " ".join(_words(text.text[start:end]))
            if surface in self.surfaces.all:
                self.marked[number, surface][label] += 1
        covered = np.zeros(len(text.text), dtype=bool)
        for start, end in text.mentions:
            covered[start:end] = True
        for surface, start, end in self._candidates(text.text):
            if not covered[start:end].any():
                covered[start:end] = True  # no shorter one within it
                key = (number, text.asked, surface)
                self.unmarked[key] += 1
                self._bare[number, surface] += 1
                if key not in self.examples:
                    self.examples[key] = f"{text.id}: {text.text[max(0, start - 40) : end + 40]}"

    def _candidates(self, text: str) -> Iterator[tuple[str, int, int]]:
        words = split_words(text)
        pieces = [text[start:end] for start, end in words]
        self._small.update(piece for piece in pieces if piece.islower())
        for first, piece in enumerate(pieces):
            for length in sorted(self.surfaces.lengths.get(piece, ()), reverse=True):
                surface = " ".join(pieces[first : first + length])
                if first + length <= len(pieces) and surface in self.surfaces.all:
                    yield surface, words[first][0], words[first + length - 1][1]

    def is_name(self, surface: str) -> bool:
        """Whether a surface looks like a name: capitalised, if its script has capitals, and not common in lower case."""
        if surface.lower() == surface.upper():
            return True
        if surface == surface.lower():
            return False
        return " " in surface or self._small[surface.lower()] < COMMON_WORD

    def marks(self, number: int, surface: str, covering: int) -> bool:
        """Whether a set marks a surface anywhere as a type, or as one of its family."""
        return any(
            covering in (label, self.mixture.family_of.get(label)) for label in self.marked.get((number, surface), ())
        )

    def reliable(self, surface: str) -> list[int]:
        """The types that mark a surface nearly wherever it occurs in their own set."""
        types = []
        for number, label in self._markers.get(surface, ()):
            labels = self.marked[number, surface]
            if labels[label] >= RELIABLE * (labels.total() + self._bare[number, surface]):
                types.append(label)
        return types


class _Covering:
    """Which candidate types of a text cover a type: the one with the most similar definition, and the same for families."""

    def __init__(self, mixture: Mixture, vectors: np.ndarray, min_similarity: float):
        self.mixture, self.vectors, self.min_similarity = mixture, vectors, min_similarity
        self._known: dict[tuple[int, int], list[int]] = {}

    def similarity(self, one: int, other: int) -> float:
        first, second = self.mixture.types[one], self.mixture.types[other]
        if first.family and second.members and first.family == second.family:
            return 1.0
        return float(self.vectors[one] @ self.vectors[other])

    def __call__(self, marking: int, asked: int) -> list[int]:
        if (marking, asked) not in self._known:
            types = self.mixture.asked[asked]
            best: list[int] = []
            for united in (False, True):
                among = [each for each in types if bool(self.mixture.types[each].members) == united]
                if among:
                    nearest = max(among, key=lambda each: self.similarity(marking, each))
                    if self.similarity(marking, nearest) >= self.min_similarity and nearest != marking:
                        best.append(nearest)
            self._known[marking, asked] = best
        return self._known[marking, asked]


def _vectors(types: Sequence[CandidateType], encoder) -> np.ndarray:
    """Unit vectors of names with the inclusive part of their definitions."""
    texts = [f"{each.name}: {EXCLUSION.sub('', each.definition).strip() or each.definition}" for each in types]
    parts = [
        np.asarray(encoder.encode(texts[first : first + ENCODED_AT_ONCE]), dtype=np.float32)
        for first in tqdm(range(0, len(texts), ENCODED_AT_ONCE), desc="definitions", unit="batch")
    ]
    vectors = np.concatenate(parts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
