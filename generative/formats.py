"""Formats of generative NER systems: texts, labels and entities in, prompts and targets as text out.

Three formats (PaDeLLM-NER, Table 1 and Appendix B): `padellm` writes a count or one mention per sequence,
`autoreg-augmented` repeats the text with mentions marked, `autoreg-structured` lists pairs of label and mention. Prompts for
untrained chat models are in `chat_prompts`; `parsing` reads outputs. Knows nothing of tokenizers or models.

Prompts and targets are made of *parts*. Every part is tokenized on its own, as plain text without special tokens, in
training and at inference alike. So a part has the same tokens whatever follows it, and the KV cache of the text part serves
all labels. In languages written with spaces a target begins with one, so that its first word has the same
tokens as in the text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GENERATIVE_SYSTEMS = ("padellm", "autoreg-augmented", "autoreg-structured")
# For one label in one text: larger predicted counts and training examples are cut to this.
MAX_MENTIONS = 64

NULL = "NULL"


@dataclass(frozen=True)
class Mention:
    """A predicted mention. `start` is its first character in the text, if the output determines it."""

    label: str
    text: str
    start: int | None = None


@dataclass
class ParsedOutput:
    """
    The mentions and failures in an output.

    Args:
        mentions (`list[Mention]`): In the order of the output; `locate` finds them in the text.
        failures (`Counter`): Number of failures by kind: `truncated`, `unbalanced`, `malformed`, `unknown_label`,
            `empty_mention`, `altered_text`, `repeated_text`.
    """

    mentions: list[Mention] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Wording:
    """The template of one language (PaDeLLM-NER, Table 11); `mention` is formatted with the index."""

    text: str
    label: str
    labels: str
    number: str
    mention: str
    augmented: str
    structured: str
    space: str
    markers: re.Pattern


WORDINGS = {
    "en": Wording(
        text="text: {}\n",
        label="entity type: {}\n",
        labels="entity types: {}\n",
        number="<num>",
        mention="<mention {}>",
        augmented="<annotated>",
        structured="<entities>",
        space=" ",
        markers=re.compile(r"<(num|mention \d+|annotated|entities)>"),
    ),
    "zh": Wording(
        text="文本: {}\n",
        label="指定NER标签: {}\n",
        labels="指定NER标签: {}\n",
        number="<数量>",
        mention="<第{}文段>",
        augmented="<标注>",
        structured="<实体>",
        space="",
        markers=re.compile(r"<(数量|第\d+文段|标注|实体)>"),
    ),
}


def get_wording(language: str) -> Wording:
    """
    The template of a language.

    Raises:
        ValueError: For a language without one.
    """
    if language not in WORDINGS:
        raise ValueError(f"`language` should be one of {', '.join(WORDINGS)}, got {language!r}")
    return WORDINGS[language]


def check_label(label: str, system: str, language: str = "en") -> None:
    """
    Raises a `ValueError` for a label that a system cannot write: blank, of several lines, or with markers of its template
    in it (`[` and `]` in `autoreg-augmented`, parentheses in `autoreg-structured`).
    """
    if system not in GENERATIVE_SYSTEMS:
        raise ValueError(f"`system` should be one of {', '.join(GENERATIVE_SYSTEMS)}, got {system!r}")
    if not isinstance(label, str) or not label.strip() or label != label.strip():
        raise ValueError(f"a label should be a text that is not blank, without white space around it, got {label!r}")
    own = {"autoreg-augmented": r"[\[\]]", "autoreg-structured": r"[()]"}.get(system, r"(?!)")
    found = re.search(rf"[\r\n]|{own}", label) or get_wording(language).markers.search(label)
    if found:
        raise ValueError(
            f"the label {label!r} holds {found[0]!r}, which is a marker in the template of {system}; rename it"
        )


# ---------------------------------------------------------------------------------------------------- PaDeLLM-NER


def text_part(text: str, language: str = "en") -> str:
    """First part of every prompt: the text, the same for all labels."""
    return get_wording(language).text.format(text.replace("\r\n", "\n"))


def label_part(label: str, language: str = "en", definition: str | None = None) -> str:
    """
    Second part of a PaDeLLM prompt: the label, up to and including `<num>`.

    Args:
        definition (`str`, *optional*): Follows the label, for models that were trained with definitions.

    Raises:
        ValueError: For a label that holds markers of the template.
    """
    check_label(label, "padellm", language)
    wording = get_wording(language)
    return wording.label.format(describe(label, definition)) + wording.number


def count_part(count: int) -> str:
    """Answer of step 1, the number of mentions. For no mentions there is no answer: the sequence ends at once."""
    return f"{count}\n"


def index_part(n: int, language: str = "en") -> str:
    """Template before the `n`-th mention, counting from 1."""
    return get_wording(language).mention.format(n)


def mention_part(mention: str, language: str = "en") -> str:
    """Answer of step 2, the mention; the end of the sequence follows."""
    return get_wording(language).space + mention


def mentions_of(text: str, entities: Sequence, label: str) -> list[str]:
    """Mentions of a label in the order of the text, which PaDeLLM is trained to count and to write."""
    found = sorted((each.start, each.end) for each in entities if each.label == label)
    return [text[start:end] for start, end in found[:MAX_MENTIONS]]


# ------------------------------------------------------------------------------------------------- autoregressive


def labels_part(
    labels: Sequence[str], system: str, language: str = "en", definitions: Mapping[str, str] | None = None
) -> str:
    """
    Second part of an autoregressive prompt: all labels, and the marker after which the answer begins.

    Raises:
        ValueError: For no labels, or a label that holds markers of the template.
    """
    if not labels:
        raise ValueError("`labels` should name at least one label, got none")
    for label in labels:
        check_label(label, system, language)
    wording = get_wording(language)
    described = [describe(label, (definitions or {}).get(label)) for label in labels]
    return wording.labels.format("; ".join(described)) + (
        wording.augmented if system == "autoreg-augmented" else wording.structured
    )


def augmented_target(text: str, entities: Sequence, labels: Sequence[str], language: str = "en") -> str:
    """
    The text with its mentions marked as `[mention LABEL]`. The format cannot represent overlaps: of overlapping mentions the
    first is kept, and of those with the same start the longest.
    """
    pieces, position = [get_wording(language).space], 0
    for each in sorted(entities, key=lambda each: (each.start, -each.end)):
        if each.label in labels and each.start >= position:
            pieces += [text[position : each.start], f"[{text[each.start : each.end]} {each.label}]"]
            position = each.end
    return "".join([*pieces, text[position:]])


def structured_target(text: str, entities: Sequence, labels: Sequence[str], language: str = "en") -> str:
    """`((LABEL): (mention), ...)` in the order of the text, then labels without mentions as `(LABEL): (NULL)`."""
    found = sorted((each.start, each.end, each.label) for each in entities if each.label in labels)
    present = {label for _, _, label in found}
    pairs = [(label, text[start:end]) for start, end, label in found]
    pairs += [(label, NULL) for label in labels if label not in present]
    return f"{get_wording(language).space}({', '.join(f'({label}): ({mention})' for label, mention in pairs)})"


def describe(label: str, definition: str | None) -> str:
    """A label with its definition, if there is one, in one line."""
    return f"{label}: {' '.join(definition.split())}" if definition else label
