"""What generative NER systems read and are trained to write: prompts and targets as text.

Three systems (PaDeLLM-NER, Table 1 and Appendix B): `padellm` writes a count or one mention a sequence,
`autoreg-augmented` repeats the text with marks in it, `autoreg-structured` lists pairs of label and mention. A fourth
wording asks an untrained chat model. Outputs are read by `parsing`. Knows nothing of tokenizers or models.

Prompts and targets are made of *parts*, and every part is tokenized by itself, as plain text without special tokens,
in training and at inference alike. So a part has the same tokens whatever follows it, and the keys and values of the
text part serve all labels. Where a language writes spaces, a target begins with one: its first word then has the
tokens that it has in the text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SYSTEMS = ("autoreg-augmented", "autoreg-structured", "padellm")
MAX_MENTIONS = 64
"""Most mentions of one label in one text: a larger predicted count is cut to this, in training data, too."""

NULL = "NULL"


@dataclass(frozen=True)
class Mention:
    """A predicted mention. `start` is the character where it begins, if the output says so."""

    label: str
    text: str
    start: int | None = None


@dataclass
class Parsed:
    """
    What could be read of an output.

    Args:
        mentions (`list[Mention]`): In the order of the output. Whether they occur in the text is left to `locate`.
        failures (`Counter`): Number of failures by kind: `truncated`, `unbalanced`, `malformed`, `unknown_label`,
            `empty_mention`, `altered_text`, `repeated_text`.
    """

    mentions: list[Mention] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Wording:
    """The template of one language (PaDeLLM-NER, Table 11). `mention` is filled in with the index."""

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
    Raises a `ValueError` for a label that a system cannot write: blank, of several lines, or with marks of its
    template in it (`[` and `]` in `autoreg-augmented`, brackets in `autoreg-structured`).
    """
    if system not in SYSTEMS:
        raise ValueError(f"`system` should be one of {', '.join(SYSTEMS)}, got {system!r}")
    if not isinstance(label, str) or not label.strip() or label != label.strip():
        raise ValueError(f"a label should be a text that is not blank, without white space around it, got {label!r}")
    own = {"autoreg-augmented": r"[\[\]]", "autoreg-structured": r"[()]"}.get(system, r"(?!)")
    found = re.search(rf"[\r\n]|{own}", label) or get_wording(language).markers.search(label)
    if found:
        raise ValueError(
            f"the label {label!r} holds {found[0]!r}, which the template of {system} is made of; rename it"
        )


# ---------------------------------------------------------------------------------------------------- PaDeLLM-NER


def text_part(text: str, language: str = "en") -> str:
    """First part of every prompt: the text. It is the same for all labels of the text."""
    return get_wording(language).text.format(text.replace("\r\n", "\n"))


def label_part(label: str, language: str = "en", definition: str | None = None) -> str:
    """
    Second part of a PaDeLLM prompt: the label, up to and with `<num>`.

    Args:
        definition (`str`, *optional*): Written behind the label, for models that were trained so.

    Raises:
        ValueError: For a label that holds marks of the template.
    """
    check_label(label, "padellm", language)
    wording = get_wording(language)
    return wording.label.format(_describe(label, definition)) + wording.number


def count_part(count: int) -> str:
    """Answer of step 1, the number of mentions. Zero mentions have no such part: the end of the sequence follows."""
    return f"{count}\n"


def index_part(n: int, language: str = "en") -> str:
    """Template before the `n`-th mention, counted from 1."""
    return get_wording(language).mention.format(n)


def mention_part(mention: str, language: str = "en") -> str:
    """Answer of step 2, the mention; the end of the sequence follows."""
    return get_wording(language).space + mention


def count_prompt(text: str, label: str, language: str = "en", definition: str | None = None) -> str:
    """Prompt of step 1: `text_part` and `label_part`."""
    return text_part(text, language) + label_part(label, language, definition)


def mention_prefix(prompt: str, count: int, n: int, language: str = "en") -> str:
    """Prompt of step 2: a `count_prompt`, then `count_part` and `index_part`."""
    return prompt + count_part(count) + index_part(n, language)


def mentions_of(text: str, entities: Sequence, label: str) -> list[str]:
    """Mentions of a label in the order of the text, what PaDeLLM is trained to count and to write."""
    found = sorted((each.start, each.end) for each in entities if each.label == label)
    return [text[start:end] for start, end in found[:MAX_MENTIONS]]


# ------------------------------------------------------------------------------------------------- autoregressive


def labels_part(
    labels: Sequence[str], system: str, language: str = "en", definitions: Mapping[str, str] | None = None
) -> str:
    """
    Second part of an autoregressive prompt: all labels, and the mark behind which the answer begins.

    Raises:
        ValueError: For no labels, or a label that holds marks of the template.
    """
    if not labels:
        raise ValueError("`labels` should name at least one label, got none")
    for label in labels:
        check_label(label, system, language)
    wording = get_wording(language)
    described = [_describe(label, (definitions or {}).get(label)) for label in labels]
    return wording.labels.format("; ".join(described)) + (
        wording.augmented if system == "autoreg-augmented" else wording.structured
    )


def augmented_prompt(
    text: str, labels: Sequence[str], language: str = "en", definitions: Mapping[str, str] | None = None
) -> str:
    """`text_part` and `labels_part` of `autoreg-augmented`."""
    return text_part(text, language) + labels_part(labels, "autoreg-augmented", language, definitions)


def structured_prompt(
    text: str, labels: Sequence[str], language: str = "en", definitions: Mapping[str, str] | None = None
) -> str:
    """`text_part` and `labels_part` of `autoreg-structured`."""
    return text_part(text, language) + labels_part(labels, "autoreg-structured", language, definitions)


def augmented_target(text: str, entities: Sequence, labels: Sequence[str], language: str = "en") -> str:
    """The text with its mentions marked as `[mention LABEL]`; mentions must not overlap."""
    pieces, position = [get_wording(language).space], 0
    for each in sorted(entities, key=lambda each: each.start):
        if each.label in labels:
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


def _describe(label: str, definition: str | None) -> str:
    return f"{label}: {' '.join(definition.split())}" if definition else label


# --------------------------------------------------------------------------------------------- untrained chat model


def chat_messages(text: str, labels: Sequence[str], definitions: Mapping[str, str] | None = None) -> list[dict]:
    """
    A chat that asks a model which was not trained for it (the causal backbone of JPT's Table 11); its answer is read by
    `parse_chat`. The wording is this project's own.

    Raises:
        ValueError: For no labels or labels of several lines.
    """
    if not labels:
        raise ValueError("`labels` should name at least one label, got none")
    for label in labels:
        check_label(label, "padellm")
    types = "\n".join(f"- {_describe(label, (definitions or {}).get(label))}" for label in labels)
    content = (
        f"Find all named entities of these types in the text:\n{types}\n\nText: {text}\n\n"
        "Answer with one line for each type: the type, a colon, and the entities exactly as they are written in the "
        "text, separated by semicolons; or the word none."
    )
    return [
        {"role": "system", "content": "You extract named entities from texts."},
        {"role": "user", "content": content},
    ]
