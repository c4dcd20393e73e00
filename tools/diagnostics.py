"""Entity types in, warnings about what a model will find hard in their definitions out.

Nothing here is an error: a schema with warnings works. Checks names and lengths, and, with a definition encoder,
whether two definitions say nearly the same. The limits are empirical: no preset causes a warning (118 definitions of 29
to 41 words, 639 pairs), and the definitions that this model was trained on have 5 to 41 words, 5th to 99th percentile.
Of 20 pairs of definitions that mean the same in other words, `SIMILAR` finds 12; of 10 that differ in one important
word (the buyer's name, the seller's name), it takes 4 for the same. Those would profit from more words, too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..schema_jpt import EntityType, Schema

MIN_WORDS = 5
MAX_WORDS = 60
SIMILARITY_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # of the shipped model, and that of the next number
SIMILAR = 0.65  # cosine of the embeddings of what two definitions include
# A definition names what it excludes, and so resembles its neighbour: only the inclusive part is compared.
EXCLUSION = re.compile(r"(?:[.;,]\s*|\s\()(?:but )?(?:not|nor|never)\b[^.;]*", re.IGNORECASE)
EMPTY_WORDS = {"a", "an", "the", "any", "some", "named", "name", "of", "type", "kind", "entity", "or"}


@dataclass(frozen=True)
class SchemaWarning:
    """
    Something in a schema that is allowed, but rarely intended.

    Args:
        kind (`str`): `"duplicate-name"`, `"bare-name"`, `"short"`, `"long"` or `"similar"`.
        types (`tuple[str, ...]`): Names of the types concerned.
        message (`str`): What is wrong and what helps, in a sentence or two.
    """

    kind: str
    types: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return self.message


def diagnose_schema(schema: Schema | Sequence[EntityType], encoder=None) -> list[SchemaWarning]:
    """
    Finds what makes types hard to distinguish or to understand.

    Args:
        schema ([`Schema`] or `Sequence[EntityType]`):
            The types; a plain sequence may be one that [`resolve_schema`] would refuse, such as a table half filled in.
        encoder (*optional*): The definition encoder `SIMILARITY_ENCODER` (see `definitions_jpt`). Without it
            definitions are not compared.

    Returns:
        `list[SchemaWarning]`: In the order of the types; pairs of similar ones last.
    """
    entity_types = list(schema.entity_types if isinstance(schema, Schema) else schema)
    warnings = [*_repeated_names(entity_types), *(each for one in entity_types for each in _wording(one))]
    flagged = {name for warning in warnings if warning.kind == "bare-name" for name in warning.types}
    compared = [each for each in entity_types if each.name not in flagged]
    if encoder is not None and len(compared) > 1:
        warnings += _similar(compared, encoder)
    return warnings


def _repeated_names(entity_types: Iterable[EntityType]) -> Iterator[SchemaWarning]:
    seen: dict[str, str] = {}
    for each in entity_types:
        key = " ".join(each.name.casefold().split())
        if key and key in seen:
            message = f'"{each.name}" is there twice, upper and lower case left aside; give each type its own name.'
            yield SchemaWarning("duplicate-name", (seen[key], each.name), message)
        seen.setdefault(key, each.name)


def _wording(entity_type: EntityType) -> Iterator[SchemaWarning]:
    name, definition = entity_type.name, entity_type.description
    count = len(definition.split())
    if not _words(definition) - _words(name):
        message = (
            f'The definition of "{name}" says no more than its name; describe what counts, what does not, and give '
            "two or three examples."
        )
        yield SchemaWarning("bare-name", (name,), message)
    elif count < MIN_WORDS:
        message = (
            f'The definition of "{name}" is very short ({count} words); say what counts and what does not, and give '
            "examples."
        )
        yield SchemaWarning("short", (name,), message)
    elif count > MAX_WORDS:
        message = (
            f'The definition of "{name}" is long ({count} words); the model was trained on definitions of up to '
            f"{MAX_WORDS}, and the ends of longer ones may be lost on it."
        )
        yield SchemaWarning("long", (name,), message)


def _words(text: str) -> set[str]:
    """Words that say something, without the s of a plural."""
    return {word.removesuffix("s") for word in re.findall(r"\w+", text.casefold())} - EMPTY_WORDS


def _similar(entity_types: Sequence[EntityType], encoder) -> Iterator[SchemaWarning]:
    included = [EXCLUSION.sub("", each.definition).strip() or each.definition for each in entity_types]
    vectors = np.asarray(encoder.encode(included), dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    similarity = vectors @ vectors.T
    for i, j in combinations(range(len(entity_types)), 2):
        if similarity[i, j] >= SIMILAR:
            first, second = entity_types[i].name, entity_types[j].name
            message = (
                f'"{first}" and "{second}" are described almost alike (similarity {similarity[i, j]:.2f}), so the model '
                "may mix them up; say in each what belongs to the other, or make one type of them."
            )
            yield SchemaWarning("similar", (first, second), message)
