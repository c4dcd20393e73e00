"""Faults of labels that show only across the sets of a mixture: sources in, findings out.

A type may be asked of a text only if all its mentions there are marked. Looked for are mentions of one set that stand
unmarked in another under a type that is described alike, families of types that lack members, and types that are never
or always there. Texts are sampled set by set, so memory depends on the sample and not on the data.
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

MAX_WORDS = 8  # of a mention that is looked for elsewhere
MAX_SURFACES = 400  # of each type, the most frequent ones
RELIABLE = 0.75  # share of a surface's occurrences in its own set that are marked as the type
COMMON_WORD = 3  # times that a word occurs in small letters
FEW_TEXTS = 20  # in fewer, that a type is never or always there says nothing
ALWAYS = 0.98
ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class AskedType:
    """
    A type as a set asks for it.

    Args:
        dataset (`str`), name (`str`), definition (`str`): Whose it is, and what it says.
        members (`tuple[str, ...]`): Of a family (`MixtureSource.families`) whose types are taken for one, their labels.
        family (`str`): The family it belongs to, or stands for.
    """

    dataset: str
    name: str
    definition: str
    members: tuple[str, ...] = ()
    family: str = ""


@dataclass
class SampledText:
    """A text of the sample: its mentions by range, and the index of the types asked of it."""

    id: str
    text: str
    mentions: dict[tuple[int, int], int]
    asked: int


@dataclass
class Gap:
    """
    Mentions that stand unmarked in texts of which a type that covers them is asked.

    Args:
        type ([`AskedType`]): The type that is asked.
        unmarked (`int`), marked (`int`): Occurrences of the same surfaces that are marked as nothing, and as this type.
        sources (`list[tuple[AskedType, float, int]]`): Types of other sets (or of this one) that mark them, how alike the
            definitions are, and how many unmarked occurrences each accounts for; most first.
        examples (`list[tuple[str, str]]`): Surfaces and what they stand in.
    """

    type: AskedType
    unmarked: int = 0
    marked: int = 0
    sources: list[tuple[AskedType, float, int]] = field(default_factory=list)
    examples: list[tuple[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the occurrences, those that are unmarked."""
        return self.unmarked / max(self.unmarked + self.marked, 1)


@dataclass
class Frequency:
    """In how many texts a type is asked, and in how many it has a mention."""

    type: AskedType
    asked: int = 0
    positive: int = 0

    @property
    def kind(self) -> str | None:
        """`never` or `always`, if there are texts enough to say so."""
        if self.asked < FEW_TEXTS:
            return None
        return "never" if not self.positive else "always" if self.positive >= ALWAYS * self.asked else None


class Mixture:
    """
    A sample of the texts of several sources, with the types asked of them.

    Args:
        limit (`int`): Texts of each source that are looked at. Frequencies are of all texts.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.types: list[AskedType] = []
        self.texts: list[list[SampledText]] = []  # by source
        self.frequencies: dict[int, Frequency] = {}
        self.asked: list[tuple[int, ...]] = []  # types, by `SampledText.asked`
        self.family_of: dict[int, int] = {}  # a member's type to that of its family
        self.names: list[str] = []
        self._indices: dict[AskedType, int] = {}

    def add(self, source: MixtureSource) -> None:
        """Counts all texts of a source and keeps a sample of them."""
        self.names.append(source.name)
        united = self._add_families(source)
        interned: dict[tuple[int, ...], int] = {}
        kept = sorted(source.candidates)
        if len(kept) > self.limit:
            kept = random.Random(source.name).sample(kept, self.limit)
        sampled = set(kept)
        texts = []
        for index, asked in source.candidates.items():
            record = source.records[index]
            types = {
                label: self._index(AskedType(source.name, info.name, info.definition, family=united.get(label, "")))
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

    def _index(self, asked: AskedType) -> int:
        if asked not in self._indices:
            self._indices[asked] = len(self.types)
            self.types.append(asked)
        return self._indices[asked]

    def _add_families(self, source: MixtureSource) -> dict[str, str]:
        """Adds what stands for each family of the source; the families of its labels."""
        if not (source.families and source.types):
            return {}
        united = {}
        for family, members in families(source.types).items():
            whole = self._index(AskedType(source.name, family, f"A named {family}", tuple(members), family))
            for label in members:
                united[label] = family
                info = source.types[label]
                self.family_of[self._index(AskedType(source.name, info.name, info.definition, family=family))] = whole
        return united


def collect(sources: Iterable[MixtureSource], limit: int) -> Mixture:
    """A [`Mixture`] of sources that are read one after the other."""
    mixture = Mixture(limit)
    for source in tqdm(sources, unit="set", desc="reading"):
        mixture.add(source)
    return mixture


def extremes(mixture: Mixture) -> list[Frequency]:
    """Types that are in none, or in nearly all, of the texts they are asked of; most texts first."""
    found = [each for each in mixture.frequencies.values() if each.kind]
    return sorted(found, key=lambda each: (each.kind, -each.asked))


def find_gaps(mixture: Mixture, encoder, similarity: float, least: int, share: float) -> list[Gap]:
    """
    Mentions that stand unmarked where a type is asked that covers them.

    A surface is looked for under the type of another set if that set marks it nearly wherever it occurs. It counts against
    the most similar type asked of the text it stands in, if the two are alike enough and the set does not mark such
    surfaces as something else. Words that are no names count only where the set marks them elsewhere: what is said of
    "man" or "temperature" is a matter of definition. Families count as types, too.

    Args:
        mixture ([`Mixture`]): From [`collect`].
        encoder: The definition encoder.
        similarity (`float`): Cosine from which one definition is taken to cover the other.
        least (`int`), share (`float`): Unmarked occurrences of a gap, at least, and as a share of all that were found.

    Returns:
        `list[Gap]`: Most unmarked occurrences first.
    """
    surfaces = _surfaces(mixture)
    found = _Occurrences(mixture, surfaces)
    covering = _Covering(mixture, _vectors(mixture.types, encoder), similarity)
    counts: dict[tuple[int, int], Counter[tuple[int, str]]] = defaultdict(Counter)  # (asked, marking): (set, surface)
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
    # What stands most often unmarked, of several types.
    seen = []
    for marking in order[:3]:
        for (asked, surface), _ in by_type[marking].most_common(2):
            if surface not in seen:
                seen.append(surface)
                gap.examples.append((surface, found.examples[number, asked, surface]))
    return gap


class _Surfaces:
    """The mentions that are looked for, words joined by blanks: by type, and by first word the numbers of words."""

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
    Where surfaces occur in the sampled texts.

    Attributes:
        unmarked (`Counter`): By set, asked types and surface: occurrences that overlap no mention.
        marked (`dict`): By set and surface: occurrences that are mentions, by type.
        examples (`dict`): By set, asked types and surface: what an unmarked one stands in.
    """

    def __init__(self, mixture: Mixture, surfaces: _Surfaces):
        self.mixture, self.surfaces = mixture, surfaces
        self.unmarked: Counter[tuple[int, int, str]] = Counter()
        self.marked: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
        self.examples: dict[tuple[int, int, str], str] = {}
        self._bare: Counter[tuple[int, str]] = Counter()
        self._small: Counter[str] = Counter()  # words in small letters
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
        """Whether a surface looks like a name: in capitals where its script has such, and no word that occurs without."""
        if surface.lower() == surface.upper():
            return True
        if surface == surface.lower():
            return False
        return " " in surface or self._small[surface.lower()] < COMMON_WORD

    def marks(self, number: int, surface: str, covering: int) -> bool:
        """Whether a set marks a surface as a type, or one of a family, somewhere."""
        return any(
            covering in (label, self.mixture.family_of.get(label)) for label in self.marked.get((number, surface), ())
        )

    def reliable(self, surface: str) -> list[int]:
        """The types that mark a surface in their own set nearly wherever it occurs there."""
        types = []
        for number, label in self._markers.get(surface, ()):
            labels = self.marked[number, surface]
            if labels[label] >= RELIABLE * (labels.total() + self._bare[number, surface]):
                types.append(label)
        return types


class _Covering:
    """Which of the types asked of a text cover a type: the one described most like it, and so of families."""

    def __init__(self, mixture: Mixture, vectors: np.ndarray, least: float):
        self.mixture, self.vectors, self.least = mixture, vectors, least
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
                    if self.similarity(marking, nearest) >= self.least and nearest != marking:
                        best.append(nearest)
            self._known[marking, asked] = best
        return self._known[marking, asked]


def _vectors(types: Sequence[AskedType], encoder) -> np.ndarray:
    """Unit vectors of names with what their definitions include."""
    texts = [f"{each.name}: {EXCLUSION.sub('', each.definition).strip() or each.definition}" for each in types]
    parts = [
        np.asarray(encoder.encode(texts[first : first + ENCODED_AT_ONCE]), dtype=np.float32)
        for first in tqdm(range(0, len(texts), ENCODED_AT_ONCE), desc="definitions", unit="batch")
    ]
    vectors = np.concatenate(parts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
