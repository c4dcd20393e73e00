"""spaCy's JSON: pairs `[text, {"entities": [[start, end, label]]}]`, `Doc.to_json()`, and version 2's training format.

Only spaCy reads its binary files (.spacy): `Doc.to_json()` gives what is read here. Pairs are written.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..model import ReadOptions
from .json_values import is_spacy_pair
from .shapes import Parsed, parsed_text, triples
from .tags import record_of_words, tags_to_spans
from .writing import Writer, as_triples, json_lines


def recognises(value: Any, _: ReadOptions) -> bool:
    if is_spacy_pair(value):
        return True
    if not isinstance(value, Mapping):
        return False
    annotations = value.get("annotations")
    is_annotator = isinstance(annotations, list) and all(each is None or is_spacy_pair(each) for each in annotations)
    is_doc = isinstance(value.get("ents"), list) and isinstance(value.get("text"), str)
    return is_doc or isinstance(value.get("paragraphs"), list) or (is_annotator and len(annotations) > 0)


def parse(value: Any, options: ReadOptions) -> Iterator[Parsed]:
    """
    Raises:
        ValueError: If a value is none of these.
    """
    if is_spacy_pair(value):
        text, annotation = value
        yield parsed_text(text, triples(annotation.get("entities", []), "'entities'"), {"text": text})
    elif isinstance(value, Mapping) and "ents" in value:
        row = {key: value[key] for key in ("id", "title", "text", "meta") if key in value}
        yield parsed_text(value.get("text"), triples(value["ents"], "'ents'"), row)
    elif isinstance(value, Mapping) and "paragraphs" in value:
        for paragraph in value["paragraphs"]:
            yield from _paragraph(paragraph, options)
    elif isinstance(value, Mapping) and "annotations" in value:  # of the web tool "NER Annotator for spaCy"
        for each in value["annotations"]:
            if each is not None:
                yield from parse(each, options)
    else:
        raise ValueError(
            'should be [text, {"entities": [[start, end, label]]}] or a JSON object with "text" and "ents"'
        )


def _paragraph(paragraph: Any, options: ReadOptions) -> Iterator[Parsed]:
    """Sentences of version 2's format, whose tokens have BILUO tags."""
    if not isinstance(paragraph, Mapping):
        raise ValueError("'paragraphs' should hold objects")
    if "entities" in paragraph:
        text = paragraph.get("raw")
        yield parsed_text(text, triples(paragraph["entities"], "'entities'"), {"text": text})
        return
    for sentence in paragraph.get("sentences", []):
        tokens = sentence.get("tokens", []) if isinstance(sentence, Mapping) else []
        words = [str(each.get("orth", "")) for each in tokens]
        tags = [str(each.get("ner", "O")) for each in tokens]
        if words:
            record = record_of_words(words, tags_to_spans(tags, options.tag_scheme), options.separator)
            text = " ".join(words)
            yield Parsed(text, words, record, {"tokens": words, "text": text})


# ---- writing --------------------------------------------------------------------------------------------------------


def write(temporary: Path, *_) -> AbstractContextManager[Writer]:
    return json_lines(temporary, lambda document, entities: [document.text, {"entities": as_triples(entities)}])
