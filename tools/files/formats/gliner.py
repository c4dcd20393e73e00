"""GLiNER's training data: `{"tokenized_text": [...], "ner": [[first word, last word, label]]}`. Read only."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..model import ReadOptions
from .shapes import Parsed, is_list_of_strings, shown, with_own
from .tags import Span, record_of_words


def recognises(value: Any, _: ReadOptions) -> bool:
    return isinstance(value, Mapping) and "tokenized_text" in value


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a key is missing or does not hold what it should.
    """
    if not isinstance(value, Mapping) or not {"tokenized_text", "ner"} <= value.keys():
        raise ValueError("should be a JSON object with 'tokenized_text' and 'ner'")
    words = value["tokenized_text"]
    if not is_list_of_strings(words):
        raise ValueError("'tokenized_text' should be a list of texts and 'ner' a list")
    record: dict[str, Any] | str
    try:
        record = record_of_words(words, _spans(value["ner"], len(words)), options.separator)
        # The types that GLiNER was asked for in this text, if its file gives them.
        keys = (("id", "id"), ("labels", "ner_labels"))
        record |= {new: value[old] for new, old in keys if value.get(old) is not None}
    except ValueError as error:  # The words can still be tagged.
        record = str(error)
    row = with_own({key: each for key, each in value.items() if key != "ner"}, "text", " ".join(words))
    yield Parsed(row["text"], words, record, row)


def _spans(mentions: Any, count: int) -> list[Span]:
    if not isinstance(mentions, list):
        raise ValueError("'tokenized_text' should be a list of texts and 'ner' a list")
    spans = []
    for each in mentions:
        if not isinstance(each, list) or len(each) != 3 or not all(type(index) is int for index in each[:2]):
            raise ValueError(f"mention {shown(each)} should be [first token, last token, label]")
        first, last, label = each
        if not 0 <= first <= last < count:
            raise ValueError(f"mention {each!r} is outside the {count} tokens")
        spans.append((first, last + 1, label))
    return spans
