"""Rows of the Hub's token classification sets: `{"tokens": [...], "ner_tags": [...]}`. Read only.

Tags are strings in any scheme, or numbers whose names are given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..model import ReadOptions
from .shapes import Parsed, is_list_of_strings, shown, with_own
from .tags import record_of_words, tags_to_spans

WORDS_KEYS = ("tokens", "words")
TAGS_KEYS = ("ner_tags", "ner", "tags", "labels", "ner_labels")


def recognises(value: Any, _: ReadOptions) -> bool:
    return isinstance(value, Mapping) and _keys(value) is not None


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a key is missing or does not hold what it should.
    """
    keys = _keys(value) if isinstance(value, Mapping) else None
    if options.columns is not None and isinstance(value, Mapping):
        keys = (options.columns[0], options.columns[-1])
    if keys is None or not set(keys) <= value.keys():
        raise ValueError("should be a JSON object with 'tokens' and 'ner_tags'; other keys are named by --columns")
    words, tags = value[keys[0]], value[keys[1]]
    if not is_list_of_strings(words):
        raise ValueError(f"{keys[0]!r} should be a list of texts, got {shown(words)}")
    given = value.get(options.text_column)
    text = given if isinstance(given, str) else None
    record: dict[str, Any] | str
    try:
        record = record_of_tags(words, named_tags(tags, options.tag_names, keys[1]), options, text)
        if value.get("id") is not None:
            record["id"] = str(value["id"])
    except ValueError as error:  # The words can still be tagged.
        record = str(error)
    if text is None:
        joined = " ".join(words)
        yield Parsed(joined, words, record, with_own(value, "text", joined))
    else:
        yield Parsed(text, None, record, dict(value))


def named_tags(tags: Any, names: Sequence[str] | None, column: str = "ner_tags") -> list[str]:
    """
    The names of the tags of one text.

    Args:
        tags (`list`): Names or numbers.
        names (`Sequence[str]`, *optional*): Names of the numbers, from 0.

    Raises:
        ValueError: If it is not such a list, or a number has no name.
    """
    if not isinstance(tags, list):
        raise ValueError(f"{column} should be a list, got {type(tags).__name__}")
    named = []
    for tag in tags:
        if isinstance(tag, str):
            named.append(tag)
        elif type(tag) is not int:
            raise ValueError(f"{column} should hold tags or their numbers, got {shown(tag)}")
        elif names is None:
            raise ValueError(
                f"the tags in {column!r} are numbers without names: name them from 0 on, as `tag_names` or "
                "--tag-names O,B-PER,I-PER"
            )
        elif not 0 <= tag < len(names):
            raise ValueError(f"tag number {tag} has no name")
        else:
            named.append(names[tag])
    return named


def record_of_tags(
    words: list[str], tags: Sequence[str], options: ReadOptions, text: str | None = None
) -> dict[str, Any]:
    """
    The record of a text with a tag for each word, as [`record_of_words`].

    Raises:
        ValueError: If their numbers differ, or a tag has no known form.
    """
    if len(words) != len(tags):
        raise ValueError(f"{len(words)} tokens but {len(tags)} tags")
    return record_of_words(words, tags_to_spans(tags, options.tag_scheme), options.separator, text)


def _keys(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys of the words and of their tags."""
    words = next((key for key in WORDS_KEYS if isinstance(row.get(key), list)), None)
    if words is None:
        return None
    for key in TAGS_KEYS:
        tags = row.get(key)
        # `tags` and `labels` may belong to the text as a whole.
        if isinstance(tags, list) and (key.startswith("ner") or len(tags) == len(row[words])):
            return words, key
    return None
