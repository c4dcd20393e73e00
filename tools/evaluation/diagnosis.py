"""What each definition misses, and to which other type; and changes that might help, derived from the errors alone.

Proposals mean nothing until they are scored: `improving` does that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...schema_jpt import EntityType, Schema
from .errors import AnalysedText, TypeErrors, errors_by_type
from .matching import BOTH, BOUNDARY, MISSED, SPURIOUS, TYPE

MIN_COUNT = 3  # minimum number of errors of a kind to report
MIN_SHARE = 0.1  # minimum share of the type's gold mentions, or of its predictions for spurious ones
MAX_EXAMPLES = 3
MAX_EXAMPLE_WORDS = 5


@dataclass(frozen=True)
class Proposal:
    """A changed definition of a type, and the reason."""

    entity_type: EntityType
    reason: str


@dataclass
class Diagnosis:
    """
    What one definition misses.

    Args:
        entity_type ([`EntityType`]): The present type.
        errors ([`TypeErrors`]): The errors at its mentions.
        findings (`list[str]`): What is missed, as sentences, most frequent first.
        proposals (`list[Proposal]`): Changes to try.
    """

    entity_type: EntityType
    errors: TypeErrors
    findings: list[str] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)


@dataclass
class _Words:
    """The words of one type's mentions, by what became of them."""

    lost: dict[str, Counter] = field(default_factory=dict)  # by the type they were given, `""` for none
    spurious: Counter = field(default_factory=Counter)
    cut: Counter = field(default_factory=Counter)
    added: Counter = field(default_factory=Counter)


def diagnose_types(schema: Schema, texts: Sequence[AnalysedText]) -> list[Diagnosis]:
    """
    What each definition of a schema misses on analysed texts.

    Args:
        schema ([`Schema`]): The types, with the names used in the texts.
        texts (`Sequence[AnalysedText]`): Read under this schema.

    Returns:
        `list[Diagnosis]`: Those with the most errors first.
    """
    by_type = errors_by_type(texts)
    words = _collect(texts)
    written = {(each.label, text.text[each.start : each.end].casefold()) for text in texts for each in text.gold}
    types = {each.name: each for each in schema.entity_types}
    found = []
    for name, entity_type in types.items():
        errors = by_type.get(name, TypeErrors(name))
        diagnosis = Diagnosis(entity_type, errors)
        if errors.gold == 0:
            diagnosis.findings.append("The data has no mention of it: its definition cannot be judged.")
            found.append(diagnosis)
            continue
        seen = words.get(name, _Words())
        _lost(diagnosis, seen, written)
        _wrongly_found(diagnosis, seen, types, written)
        _boundaries(diagnosis, seen)
        found.append(diagnosis)
    return sorted(found, key=lambda each: -each.errors.kinds.total())


def _collect(texts: Sequence[AnalysedText]) -> dict[str, _Words]:
    words: dict[str, _Words] = {}
    for text in texts:
        for error in text.errors:
            of = words.setdefault((error.gold or error.predicted).label, _Words())
            ours = None if error.gold is None else text.text[error.gold.start : error.gold.end]
            theirs = None if error.predicted is None else text.text[error.predicted.start : error.predicted.end]
            if error.kind in (TYPE, BOTH, MISSED):
                of.lost.setdefault("" if error.predicted is None else error.predicted.label, Counter())[ours] += 1
            elif error.kind == SPURIOUS:
                of.spurious[theirs] += 1
            elif error.kind == BOUNDARY:
                cut, added = _differences(text.text, error.gold, error.predicted)
                of.cut.update(cut)
                of.added.update(added)
    return words


def _differences(text: str, gold, predicted) -> tuple[list[str], list[str]]:
    """The words of the mention that a prediction lacks at either end, and the words that it has besides."""
    cut = [text[gold.start : predicted.start], text[predicted.end : gold.end]]
    added = [text[predicted.start : gold.start], text[gold.end : predicted.end]]
    return [each.strip() for each in cut if each.strip()], [each.strip() for each in added if each.strip()]


def _lost(diagnosis: Diagnosis, words: _Words, written: set[tuple[str, str]]) -> None:
    """Mentions that were missed or given another type."""
    name, gold = diagnosis.entity_type.name, diagnosis.errors.gold
    telling: Counter = Counter()
    for other, mentions in sorted(words.lost.items(), key=lambda item: -item[1].total()):
        count = mentions.total()
        telling.update(mentions)
        if _matters(count, gold):
            what = f"are taken for {other!r}" if other else "are missed"
            diagnosis.findings.append(f"{count} of its {gold} mentions {what}, such as {_shown(mentions)}.")
    examples = _telling(telling, name, written)
    if examples and _matters(telling.total(), gold):
        known = diagnosis.entity_type.examples
        entity_type = replace(
            diagnosis.entity_type, examples=(*known, *(each for each in examples if each not in known))
        )
        diagnosis.proposals.append(Proposal(entity_type, "examples of what is lost"))


def _wrongly_found(
    diagnosis: Diagnosis, words: _Words, types: dict[str, EntityType], written: set[tuple[str, str]]
) -> None:
    """Mentions of other types, and words that are no mentions, that were given this type."""
    entity_type, predicted = diagnosis.entity_type, diagnosis.errors.predicted
    for other, count in diagnosis.errors.taken_from.most_common():
        if _matters(count, predicted) and other in types:
            diagnosis.findings.append(f"{count} of its {predicted} predictions are mentions of {other!r}.")
            clause = _first_clause(types[other].definition)
            article = "an" if other[:1].casefold() in "aeiou" else "a"
            sentence = f"Not {article} {other}: {clause}."
            diagnosis.proposals.append(
                Proposal(_with_sentence(entity_type, sentence), f"says that {other!r} is not meant")
            )
    if _matters(words.spurious.total(), predicted):
        diagnosis.findings.append(
            f"{words.spurious.total()} of its {predicted} predictions are not mentions of any type, such as "
            f"{_shown(words.spurious)}."
        )
        wrong = _telling(words.spurious, None, written)
        if wrong:
            sentence = f"Not words such as {', '.join(wrong)}."
            diagnosis.proposals.append(Proposal(_with_sentence(entity_type, sentence), "names what is wrongly found"))


def _boundaries(diagnosis: Diagnosis, words: _Words) -> None:
    """Mentions that were found too short or too long."""
    gold = diagnosis.errors.gold
    for differences, what, sentence in (
        (words.cut, "lack words of the mention", "The words {} belong to it."),
        (words.added, "have words besides the mention", "The words {} do not belong to it."),
    ):
        if _matters(differences.total(), gold):
            diagnosis.findings.append(
                f"{differences.total()} of its predictions {what}, such as {_shown(differences)}."
            )
            repeated = [each for each, count in differences.most_common(MAX_EXAMPLES) if count > 1]
            if repeated:
                quoted = ", ".join(f'"{each}"' for each in repeated)
                changed = _with_sentence(diagnosis.entity_type, sentence.format(quoted))
                diagnosis.proposals.append(Proposal(changed, "says where it begins and ends"))


def _matters(count: int, total: int) -> bool:
    return count >= MIN_COUNT and count >= MIN_SHARE * total


def _telling(words: Counter, label: str | None, written: set[tuple[str, str]]) -> list[str]:
    """Frequent, short mentions that are not mentions of another type elsewhere."""
    others = {word for name, word in written if name != label}
    chosen: dict[str, str] = {}
    for word, _ in words.most_common():
        folded = word.casefold()
        if folded not in others and folded not in chosen and len(word.split()) <= MAX_EXAMPLE_WORDS:
            chosen[folded] = " ".join(word.split())
    return list(chosen.values())[:MAX_EXAMPLES]


def _shown(words: Counter) -> str:
    return ", ".join(f'"{" ".join(word.split())}"' for word, _ in words.most_common(MAX_EXAMPLES))


def _first_clause(definition: str) -> str:
    """The beginning of a definition, as part of a sentence."""
    clause = definition.split(". ")[0].split(";")[0].rstrip(".")
    return clause if clause[1:2].isupper() else clause[:1].lower() + clause[1:]


def _with_sentence(entity_type: EntityType, sentence: str) -> EntityType:
    definition = entity_type.definition.rstrip()
    ended = definition if definition.endswith((".", "!", "?")) else f"{definition}."
    return replace(entity_type, definition=f"{ended} {sentence}")
