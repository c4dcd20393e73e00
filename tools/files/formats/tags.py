"""Tags of words in, mentions out; and back. IOB1, IOB2, BIOES, BILOU, BMES and BMEWO, however they are written.

`B-PER`, `b-per`, `B_PER` and `PER-B` are the same tag. CoNLL-2012's brackets, `(PERSON*` to `*)`, are read, too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

PREFIXED = re.compile(r"([BIMELSUW])[-_](.+)", re.IGNORECASE | re.DOTALL)
SUFFIXED = re.compile(r"(.+)[-_]([BIMELSUW])", re.IGNORECASE | re.DOTALL)
BRACKETS = re.compile(r"(\([^*()\s]+)*\*?\)*")
WAYS_OUT = "tags without such a letter are read with --tag-scheme io, those of another column with --columns"

Span = tuple[int, int, str]


def parse_tag(tag: str, scheme: str | None = None) -> tuple[str, str] | None:
    """
    The letter of a tag in upper case, and its label: `("B", "PER")`, and `("O", "")` for no mention.

    Args:
        tag (`str`): The tag.
        scheme (`str`, *optional*): `"io"` for bare labels, which come back with the letter I.

    Returns:
        `tuple[str, str]`, or `None` for a tag of another form.
    """
    if tag in ("O", "o"):
        return "O", ""
    if scheme == "io":
        return ("I", tag) if tag else None
    if match := PREFIXED.fullmatch(tag):
        return match[1].upper(), match[2]
    if match := SUFFIXED.fullmatch(tag):
        return match[2].upper(), match[1]
    return None


def tags_to_spans(tags: Sequence[str], scheme: str | None = None) -> list[Span]:
    """
    Mentions of a tag sequence.

    An inside tag without a mention of its label to continue starts one, so that all schemes read alike.

    Args:
        tags (`Sequence[str]`): A tag for each word.
        scheme (`str`, *optional*): As for [`parse_tag`].

    Returns:
        `list[tuple[int, int, str]]`: First word, last word + 1 and label, in order.

    Raises:
        ValueError: For a tag of another form.
    """
    spans: list[Span] = []
    is_open = False
    for index, tag in enumerate(tags):
        parsed = parse_tag(tag, scheme)
        if parsed is None:
            raise ValueError(tag_problem(tag))
        letter, label = parsed
        if letter != "O":
            if is_open and letter in "IMEL" and spans[-1][2] == label:
                spans[-1] = (spans[-1][0], index + 1, label)
            else:
                spans.append((index, index + 1, label))
        is_open = letter in "BIM"
    return spans


def tag_problem(tag: str) -> str:
    """The message for a tag that [`parse_tag`] does not know."""
    expected = "O or one of B I M E L S U W, a hyphen or underscore, and a label, or these in reverse"
    return f"tag {tag!r} should be {expected}; {WAYS_OUT}"


def brackets_to_spans(cells: Sequence[str]) -> list[Span]:
    """
    Mentions of a column of CoNLL-2012: `(PERSON*` opens one, `*)` closes it, `(GPE)` is both.

    Raises:
        ValueError: For a cell of another form, or brackets that do not match.
    """
    spans: list[Span] = []
    unclosed: list[tuple[int, str]] = []
    for index, cell in enumerate(cells):
        if not BRACKETS.fullmatch(cell):
            raise ValueError(f"{cell!r} should be *, (LABEL*, *) or (LABEL)")
        unclosed += [(index, label) for label in re.findall(r"\(([^*()]+)", cell)]
        for _ in range(cell.count(")")):
            if not unclosed:
                raise ValueError(f"{cell!r} closes a bracket that was not opened")
            start, label = unclosed.pop()
            spans.append((start, index + 1, label))
    if unclosed:
        raise ValueError(f"the bracket of {unclosed[-1][1]!r} is never closed")
    return sorted(spans)


def bio_tags(words: Iterable[tuple[int, int]], entities: Iterable[dict[str, Any]]) -> list[str]:
    """
    A tag for each word: `O`, or `B-` or `I-` with the name of the entity it shares a character with; the first if there are
    several. Tabs in names become spaces, because they separate columns.
    """
    ordered = sorted(entities, key=lambda entity: entity["start"])
    tags, index, before = [], 0, None
    for start, end in words:
        while index < len(ordered) and ordered[index]["end"] <= start:
            index += 1
        if index < len(ordered) and ordered[index]["start"] < end:
            name = " ".join(ordered[index]["entity_group"].split())
            tags.append(f"{'I' if before == index else 'B'}-{name}")
            before = index
        else:
            tags.append("O")
    return tags


def record_of_words(
    words: Sequence[str], spans: Iterable[Span], separator: str = " ", text: str | None = None
) -> dict[str, Any]:
    """
    The record of a text that was split into words, from mentions by word.

    Args:
        words (`Sequence[str]`): Its words.
        spans (`Iterable`): First word, last word + 1 and label of each mention.
        separator (`str`): Joins the words, if there is no `text`.
        text (`str`, *optional*): The text that the words were split from; ignored if it does not match them.

    Raises:
        ValueError: If a word is empty.
    """
    if not all(words):
        raise ValueError("a token is empty")
    places = None if text is None else align(text, words)
    if places is None:
        text = separator.join(words)
        places = list(_joined(words, separator))
    entities = [
        {"start": places[first][0], "end": places[last - 1][1], "label": label} for first, last, label in spans
    ]
    return {"text": text, "entities": entities, "tokens": list(words)}


def align(text: str, words: Sequence[str]) -> list[tuple[int, int]] | None:
    """Offsets of words in their text; `None` if anything visible is between them, or a word is missing."""
    places, position = [], 0
    for word in words:
        start = text.find(word, position)
        if start < 0 or not _is_blank(text[position:start]):
            return None
        position = start + len(word)
        places.append((start, position))
    return places if _is_blank(text[position:]) else None


def _is_blank(text: str) -> bool:
    return not any(character.isprintable() and not character.isspace() for character in text)


def _joined(words: Sequence[str], separator: str) -> Iterator[tuple[int, int]]:
    position = 0
    for word in words:
        yield position, position + len(word)
        position += len(word) + len(separator)
