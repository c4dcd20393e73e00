"""Offsets of mentions as other programs count them in, offsets in Python's characters out.

JavaScript counts UTF-16 units: a character such as an emoji takes two there, one here. Files do not say which they
count, so it is detected: by the mentions' texts if the file has them, or else by which way more mentions are whole words.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

Mention = dict[str, Any]  # start, end, label and, if the file has it, the text of the mention


def in_characters(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """
    Mentions whose offsets count characters of the text.

    Args:
        text (`str`): The text.
        mentions (`Sequence[dict]`): Would-be entities, unchecked.

    Returns:
        `list[dict]`: The same, or copies with other offsets if these count UTF-16 units.
    """
    plain = list(mentions)
    if not text or max(text) <= "\uffff" or not all(_has_offsets(each) for each in plain):
        return plain
    units = [0, *accumulate(2 if character > "\uffff" else 1 for character in text)]
    character_at = {unit: index for index, unit in enumerate(units)}
    converted = [
        {**each, "start": character_at.get(each["start"], -1), "end": character_at.get(each["end"], -1)}
        for each in plain
    ]
    return converted if _fits(text, converted) > _fits(text, plain) else plain


def trimmed(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Mentions without blanks at their boundaries, which people mark by accident."""
    result = []
    for each in mentions:
        if _has_offsets(each) and 0 <= each["start"] < each["end"] <= len(text):
            mention = text[each["start"] : each["end"]]
            start = each["start"] + len(mention) - len(mention.lstrip())
            end = each["end"] - len(mention) + len(mention.rstrip())
            if start < end:
                each = {**each, "start": start, "end": end}
                if isinstance(each.get("text"), str):
                    each["text"] = each["text"].strip()
        result.append(each)
    return result


def _has_offsets(mention: Mention) -> bool:
    return type(mention.get("start")) is int and type(mention.get("end")) is int


def _fits(text: str, mentions: Sequence[Mention]) -> int:
    """How many mentions are correct in this way of counting."""
    return sum(_is_whole(text, each) for each in mentions)


def _is_whole(text: str, mention: Mention) -> bool:
    start, end = mention["start"], mention["end"]
    if not 0 <= start < end <= len(text):
        return False
    said = mention.get("text", mention.get("word"))
    if isinstance(said, str):
        return text[start:end] == said
    inside = (text[start - 1 : start] + text[start]).isalnum() and start > 0
    outside = (text[end - 1] + text[end : end + 1]).isalnum() and end < len(text)
    return not (inside or outside or text[start].isspace() or text[end - 1].isspace())
