"""Augmentation of training data: types and texts in, the same mentions with other wording or in other surroundings out.

`sampling` draws how often each of them happens. The character offsets of mentions stay right.
"""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...words_jpt import split_words
from ..data.records import Entity, Record, TypeInfo

MarkedText = tuple[str, list[Entity]]  # a text and its mentions


def families(types: Mapping[str, TypeInfo]) -> dict[str, list[str]]:
    """Labels by family (`person` of `person_politician`), for families of three members and more."""
    found = defaultdict(list)
    for label in types:
        family, _, kind = label.partition("_")
        if kind and family != "other":
            found[family].append(label)
    return {family: members for family, members in found.items() if len(members) >= 3}


def longest_merged_type(family: str, names: Sequence[str]) -> TypeInfo:
    """The merged type with the longest definition, for members of these names."""
    return max(_merged_types(family, names), key=lambda info: len(info.definition))


def _merged_types(family: str, names: Sequence[str]) -> list[TypeInfo]:
    """Wordings of a type that stands for any of several."""
    listed = f"{', '.join(names[:-1])} or {names[-1]}"
    return [
        TypeInfo(f"{family} ({listed})", f"A named {family} of one of these kinds: {listed}; no other {family}"),
        TypeInfo(f"{family} of some kinds", f"The name of one of these: {listed}. Another {family} is none"),
        TypeInfo(f"{names[0]} and the like", f"Any of these by name: {listed}"),
        TypeInfo(" / ".join(names), f"{listed}, in full or in part; not a {family} of another kind"),
    ]


def coarsen(
    types: dict[str, TypeInfo], records: list[Record], rng: random.Random
) -> tuple[dict[str, TypeInfo], list[Record]]:
    """Merges most types of each family; up to three stay apart, and at least two are merged."""
    present = {each.label for record in records for each in record.entities}
    renamed, coarse = {}, dict(types)
    for family, members in families(types).items():
        rng.shuffle(members)
        members.sort(key=lambda label: label not in present)
        apart = members[: rng.randint(0, min(3, len(members) - 2))]
        merged = [label for label in members if label not in apart]
        rng.shuffle(merged)
        for label in merged:
            renamed[label] = family
            del coarse[label]
        coarse[family] = rng.choice(_merged_types(family, [types[label].name for label in merged]))
    relabelled = [
        replace(
            record, entities=[replace(each, label=renamed.get(each.label, each.label)) for each in record.entities]
        )
        for record in records
    ]
    return coarse, relabelled


def as_written(types: list[TypeInfo]) -> tuple[list[str], list[str], list[str]]:
    """Names and definitions for the prompt, and names for the definition encoder, as the source words them."""
    names = [info.name for info in types]
    return names, [info.definition for info in types], names


def first_clause(text: str) -> str:
    """A definition up to its first punctuation mark."""
    return re.split(r"[.;:,(]\s?", text, maxsplit=1)[0] or text


def _title(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in name.split())


NAME_STYLES = (
    str.upper,
    _title,
    lambda name: name.replace(" ", "_"),
    lambda name: name.replace(" ", "_").upper(),
    lambda name: _title(name).replace(" ", ""),
)


def space_words(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Joins words and punctuation marks by single spaces, as many corpora are distributed."""
    words = split_words(text)
    starts, ends, position = {}, {}, 0
    for start, end in words:
        starts[start] = position
        ends[end] = position + end - start
        position += end - start + 1
    if any(each.start not in starts or each.end not in ends for each in entities):
        return text, entities
    spaced = " ".join(text[start:end] for start, end in words)
    return spaced, [Entity(starts[each.start], ends[each.end], each.label) for each in entities]


def concatenate(parts: Sequence[MarkedText], separators: Sequence[str]) -> MarkedText:
    """Joins texts, with a separator after each but the last."""
    whole, moved = "", []
    for (text, entities), separator in zip(parts, [*separators, ""], strict=True):
        moved += [Entity(each.start + len(whole), each.end + len(whole), each.label) for each in entities]
        whole += text + separator
    return whole, moved


def list_mentions(mentions: Sequence[tuple[str, str]], rng: random.Random) -> MarkedText:
    """A text that lists mentions, each given as surface and label."""
    separator, last = rng.choice(_LIST_SEPARATORS)
    parts = [(surface, [Entity(0, len(surface), label)]) for surface, label in mentions]
    return concatenate(parts, [*[separator] * (len(parts) - 2), last])


_LIST_SEPARATORS = (
    ("\n", "\n"),
    ("\n", "\n"),
    ("\t", "\t"),
    (" | ", " | "),
    (", ", " and "),
    (", ", ", "),
    ("; ", "; "),
    (" , ", " and "),
)
