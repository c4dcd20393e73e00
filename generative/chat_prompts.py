"""Prompts for a chat model that was never trained for NER: a text and types in, messages out. `parsing` reads the answer.

Two wordings: `chat` is this project's own and includes the definitions; `ye2023` is the template of Ye et al. (2023), which
JPT's paper uses for its untrained backbone (Table 11), as printed in GLiNER's paper (Zaratiana et al. 2024, Figure 7).
"""

from collections.abc import Mapping, Sequence

from .formats import check_label, describe

CHAT_WORDINGS = ("chat", "ye2023")


def chat_messages(
    text: str, labels: Sequence[str], definitions: Mapping[str, str] | None = None, wording: str = "chat"
) -> list[dict[str, str]]:
    """
    The messages that request the entities of a text.

    Args:
        definitions (`dict[str, str]`, *optional*): By label. The template of Ye et al. has no place for them.
        wording (`str`): One of `CHAT_WORDINGS`.

    Raises:
        ValueError: For an unknown wording, no labels, labels of several lines, or with the separator of the wording in them.
    """
    if wording not in CHAT_WORDINGS:
        raise ValueError(f"`wording` should be one of {', '.join(CHAT_WORDINGS)}, got {wording!r}")
    if not labels:
        raise ValueError("`labels` should name at least one label, got none")
    for label in labels:
        check_label(label, "padellm")
        if wording == "ye2023" and "|" in label:
            raise ValueError(f"the label {label!r} holds '|', which separates labels in the wording ye2023; rename it")
    if wording == "ye2023":
        return [{"role": "user", "content": _ye2023(text, labels)}]
    types = "\n".join(f"- {describe(label, (definitions or {}).get(label))}" for label in labels)
    content = (
        f"Find all named entities of these types in the text:\n{types}\n\nText: {text}\n\n"
        "Answer with one line for each type: the type, a colon, and the entities exactly as they are written in the "
        "text, separated by semicolons; or the word none."
    )
    return [
        {"role": "system", "content": "You extract named entities from texts."},
        {"role": "user", "content": content},
    ]


def _ye2023(text: str, labels: Sequence[str]) -> str:
    listed = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])}, and {labels[-1]}"
    # In the printed example of four types, the last two show the form of entities.
    shown = ["None"] * len(labels)
    shown[-2:] = ["Word1, Word2", "Word3"][-len(labels) :]
    example = " | ".join(f"{label}: {words}" for label, words in zip(labels, shown, strict=True))
    return (
        f"Please identify {listed} Entity from the given text, output using the format as:\n"
        f"Entity: {example}\nText: {text}\nEntity:"
    )
