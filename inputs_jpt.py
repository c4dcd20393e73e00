"""Text in, token ids out: the prompt with types and definitions, texts with character offsets, windows of long texts.

User text (texts, names, definitions) is always tokenized as plain text, so `<|im_end|>` in a text is ten characters and
not the end of a turn. The duplication itself happens in the model's `forward`. Knows nothing of weights or scores.
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import BatchEncoding, PreTrainedTokenizerBase

from .reading_jpt import READING_MODES

FIRST_MARKER = "The first time: '"
ONLY_MARKER = "The text: '"
SEPARATOR = "' The second time: '"
OUTSIDE_DEFINITION = "A token that is not part of any named entity"

_TOKENIZING = threading.Lock()
_SLOT = "JPT-CONTENT-{}"
# Some chat templates insert the date, which would change the scores from day to day.
_SAME_DAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}\n"


@dataclass(frozen=True)
class PromptTemplate:
    """Fixed wording around the types: the system turn, whether type names are listed first, the assistant turn."""

    system: str
    list_names: bool
    acknowledgement: str | None


PROMPT_TEMPLATES = {
    # Figure 6 of the paper, word for word.
    "paper": PromptTemplate(
        system=(
            "You are an information-extraction assistant.\n"
            "Task: Perform Named Entity Recognition (NER) on the user-supplied text.\n"
            "The user will give you the supported entity types and their definitions.\n"
            "You will read the types and definitions to understand what each entity type means.\n"
            "The user will give you the text twice in the format "
            "\"The first time: 'actual text' The second time: 'actual text'\".\n"
            "Output Format: Output ONE annotated text with entities as <entity_text, ENTITY_TYPE>\n"
            "Rules:\n"
            "(1) Keep multi-word entities together;\n"
            "(2) Only use provided types;\n"
            "(3) Output once;\n"
            '(4) No bare-noun labelling (e.g., don\'t label "museum" unless part of proper name);\n'
            "(5) Output types exactly as listed;\n"
            "(6) Only label if clearly matches definition."
        ),
        list_names=True,
        acknowledgement=(
            "I have read the definitions. Please provide the text in the format "
            "'The first time: <text> The second time: <text>'"
        ),
    ),
    # The same turns in few tokens, for backbones that learn the task through LoRA rather than from instructions.
    "compact": PromptTemplate(system="Find the entities of the given types.", list_names=False, acknowledgement=None),
}


# What the paper's wording says about the two copies, reworded for models that get one.
_ONE_COPY = {
    "The user will give you the text twice in the format "
    "\"The first time: 'actual text' The second time: 'actual text'\".": (
        "The user will give you the text in the format \"The text: 'actual text'\"."
    ),
    "'The first time: <text> The second time: <text>'": "'The text: <text>'",
}


@dataclass(frozen=True)
class PromptStyle:
    """
    How a model's prompts are worded.

    Args:
        template (`str`): A name in `PROMPT_TEMPLATES`.
        copies (`int`): Number of copies of the text that the prompt announces.
        definitions (`bool`): Whether it contains the types' definitions, or their names alone.
    """

    template: str = "paper"
    copies: int = 2
    definitions: bool = True

    @classmethod
    def of(cls, config) -> "PromptStyle":
        """The style of a model's [`JPTConfig`]. Readings share a prompt, which announces as many copies as any of them has."""
        copies = max(READING_MODES[reading].copies for reading in config.readings)
        return cls(config.prompt_template, copies, config.prompt_types == "definitions")


@dataclass(frozen=True)
class Prompt:
    """
    The prompt of one list of types, up to the point where the first copy of the text begins.

    Args:
        input_ids (`list[int]`): Its token ids.
        type_positions (`list[int]`): For each type the position of the last token of its line.
    """

    input_ids: list[int]
    type_positions: list[int]


@dataclass(frozen=True)
class EncodedText:
    """Token ids `(tokens,)` of one text and their characters, `offsets (tokens, 2)`, end exclusive."""

    input_ids: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Window:
    """Tokens `start:end` are read together; the predictions for `keep_start:keep_end` are used."""

    start: int
    end: int
    keep_start: int
    keep_end: int


def _well_formed(text: str) -> str:
    """Replaces lone surrogates, which no tokenizer accepts; all offsets stay the same."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text)


def _tokenize(tokenizer: PreTrainedTokenizerBase, texts: str | list[str], plain: bool) -> BatchEncoding:
    """Tokenizes without adding special tokens; `plain` text contains none, whatever it looks like."""
    # Tokenizers keep that choice as state, which another thread must not change before it is used.
    with _TOKENIZING:
        return tokenizer(texts, add_special_tokens=False, split_special_tokens=plain, return_offsets_mapping=True)


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = _tokenize(tokenizer, _well_formed(text), plain=True)
    return encoding["input_ids"], encoding["offset_mapping"]


def separator_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of SEP (Eq. 1): the wording between the two copies."""
    return _plain_ids(tokenizer, SEPARATOR)[0]


def embedding_texts(config, names: Sequence[str], descriptions: Sequence[str]) -> list[tuple[str, ...]]:
    """
    What the definition encoder reads for each of a list of types, O first, as a model's [`JPTConfig`] says: a group of texts,
    whose [`~definitions_jpt.mean_vectors`] are embedded.
    """
    described = [f"{name}: {text}" for name, text in zip(names, descriptions, strict=True)]
    if config.embedded_types == "both":
        return [(OUTSIDE_DEFINITION,), *zip(names, described, strict=True)]
    return [(OUTSIDE_DEFINITION,), *((text,) for text in (names if config.embedded_types == "names" else described))]


def build_prompt(
    tokenizer: PreTrainedTokenizerBase,
    names: Sequence[str],
    descriptions: Sequence[str],
    style: PromptStyle = PromptStyle(),  # noqa: B008
) -> Prompt:
    """
    Writes the prompt of a list of types (Appendix C, Figure 6) with the tokenizer's own chat template.

    Args:
        names (`Sequence[str]`): Names of the types, in order.
        descriptions (`Sequence[str]`): Their definitions, same order. Line breaks become spaces: one line per type.
        style (`PromptStyle`, *optional*): How it is worded; defaults to the paper's.

    Raises:
        ValueError: If the template is unknown, or the tokenizer's chat template cannot render the turns in order.
    """
    if style.template not in PROMPT_TEMPLATES:
        raise ValueError(f"`prompt_template` must be one of {sorted(PROMPT_TEMPLATES)}, got {style.template!r}")
    wording = PROMPT_TEMPLATES[style.template]
    names = [" ".join(name.split()) for name in names]
    types, line_ends = "", []
    if wording.list_names:
        types += f"Supported entity types ({len(names)}): {json.dumps(names, ensure_ascii=False)}\n"
    types += "Entity type definitions:" if style.definitions else "Entity types:"
    for name, description in zip(names, descriptions, strict=True):
        types += f'\n- "{name}"'
        if style.definitions:
            types += f': "{" ".join(description.split())}"'
        line_ends.append(len(types))

    contents = [wording.system, types]
    messages = [{"role": "system", "content": _SLOT.format(0)}, {"role": "user", "content": _SLOT.format(1)}]
    if wording.acknowledgement is None:
        contents[1] += "\n"
    else:
        contents.append(wording.acknowledgement)
        messages.append({"role": "assistant", "content": _SLOT.format(2)})
        messages.append({"role": "user", "content": _SLOT.format(3)})
        contents.append("")
    contents[-1] += FIRST_MARKER if style.copies == 2 else ONLY_MARKER
    if style.copies == 1:
        for twice, once in _ONE_COPY.items():
            contents = [
                content if turn == 1 else content.replace(twice, once) for turn, content in enumerate(contents)
            ]

    input_ids: list[int] = []
    type_positions: list[int] = []
    for turn, before in enumerate(_split_turns(tokenizer, messages)):
        input_ids += _tokenize(tokenizer, before, plain=False)["input_ids"]
        ids, offsets = _plain_ids(tokenizer, contents[turn])
        if turn == 1:
            starts = np.array([start for start, _ in offsets])
            type_positions = [len(input_ids) + int(np.searchsorted(starts, end)) - 1 for end in line_ends]
        input_ids += ids
    return Prompt(input_ids, type_positions)


def _split_turns(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[str]:
    """Renders the chat and returns the template's text before each turn's content."""
    if tokenizer.chat_template is None:
        return ["" if turn == 0 else "\n\n" for turn in range(len(messages))]
    template = tokenizer.get_chat_template()
    first = {"role": "user", "content": messages[0]["content"] + "\n\n" + messages[1]["content"]}
    reason = None
    # Templates without a system turn raise an error of their own (Gemma), drop it, or move it to the last turn (Mistral).
    # The system text then begins the first user turn.
    for candidate in (messages, [first, *messages[2:]]):
        try:
            rendered = tokenizer.apply_chat_template(candidate, chat_template=_SAME_DAY + template, tokenize=False)
        except Exception as error:
            reason = error
            continue
        pieces = re.split(_SLOT.format(r"(\d)"), rendered)
        if pieces[1::2] == [str(turn) for turn in range(len(messages))]:
            return pieces[:-1:2]
    raise ValueError(
        "`tokenizer`: its chat template cannot render the turns of the prompt in order; set `chat_template` to another, "
        "or to None"
    ) from reason


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[EncodedText]:
    """Tokenizes texts as plain text, without special tokens, with exact character offsets on the texts as given."""
    if not texts:
        return []
    encoding = _tokenize(tokenizer, [_well_formed(text) for text in texts], plain=True)
    return [
        EncodedText(np.asarray(ids, dtype=np.int64), np.asarray(offsets, dtype=np.int64).reshape(-1, 2))
        for ids, offsets in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
    ]


def split_windows(text: str, offsets: np.ndarray, length: int, overlap: int) -> list[Window]:
    """
    Cuts a long text into overlapping windows. Every token is kept from exactly one window, the one with the most context
    around it, so that an entity on a seam is read whole and found once.

    Args:
        offsets (`np.ndarray` of shape `(tokens, 2)`): Character offsets of the tokens.
        length (`int`): Maximum number of tokens in a window. Windows end at a sentence, else at whitespace, if there is
            one in their last quarter.
        overlap (`int`): Number of tokens that neighbouring windows share, at most half of `length`.
    """
    n = len(offsets)
    bounds = []
    start = 0
    while n - start > length:
        end = _cut(text, offsets, start + length - length // 4, start + length)
        bounds.append((start, end))
        start = _cut(text, offsets, max(start + 1, end - overlap - overlap // 2), end - overlap)
    bounds.append((start, n))
    seams = [(next_start + end) // 2 for (_, end), (next_start, _) in zip(bounds, bounds[1:])]
    keeps = zip([0, *seams], [*seams, n], strict=True)
    return [Window(start, end, *keep) for (start, end), keep in zip(bounds, keeps, strict=True)]


def _cut(text: str, offsets: np.ndarray, low: int, high: int) -> int:
    """The last good end of a window within tokens `low..high`: a sentence end, else whitespace, else `high`."""
    whitespace = None
    for token in range(high, low - 1, -1):
        gap = text[offsets[token - 1, 1] - 1 : offsets[token, 0] + 1] if token < len(offsets) else ""
        if re.match(r"[。！？]|[.!?…]\s|.?\n", gap):
            return token
        if whitespace is None and re.search(r"\s", gap):
            whitespace = token
    return high if whitespace is None else whitespace
