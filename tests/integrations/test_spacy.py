"""The spaCy component: entities, scores, tokens that do not fit, streams, and what is saved."""

import pytest

pytest.importorskip("spacy")

import spacy
from jpt_ner.integrations import spacy_component
from jpt_ner.integrations.spacy_component import EntityComponent

pytestmark = pytest.mark.extras

TYPES = {"city": "A named town.", "artist: by name": 'A musician, singer or band. It\'s "named".'}
TEXTS = ["Paris released a new album.", "Angela Merkel visited Paris.", "Ünïcode 🙂 in Zürich", " "]


class Fixed:
    """A pipeline that finds given entities."""

    def __init__(self, *entities):
        self.entities = entities

    def __call__(self, texts, **_):
        return [
            [
                {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
                for start, end, label, score in self.entities
            ]
            for text in texts
        ]


@pytest.fixture
def nlp(pipe, monkeypatch):
    monkeypatch.setattr(spacy_component, "load_pipeline", lambda model, device: pipe)
    made = spacy.blank("en")
    made.add_pipe("jpt_ner", config={"entity_types": TYPES})
    return made


def annotated(text, *entities, earlier=(), **options):
    component = EntityComponent("jpt_ner", entity_types=["a", "b"], options={}, **options)
    component._pipeline = Fixed(*entities)
    doc = spacy.blank("en")(text)
    doc.ents = [doc.char_span(*each) for each in earlier]
    return component(doc)


def test_finds_what_the_pipeline_finds(nlp, pipe):
    for doc, expected in zip(nlp.pipe(TEXTS), pipe(TEXTS, entity_types=TYPES), strict=True):
        group = doc.spans["jpt_ner"]
        assert [span.label_ for span in group] == [each["entity_group"] for each in expected]
        assert group.attrs["offsets"] == [[each["start"], each["end"]] for each in expected]
        assert group.attrs["scores"] == pytest.approx([each["score"] for each in expected], abs=1e-4)
        assert [span._.score for span in doc.ents] == pytest.approx([each["score"] for each in expected], abs=1e-4)


def test_misaligned_entities_are_widened_and_none_is_lost():
    doc = annotated("He saw Londoners there.", (7, 13, "a", 0.5), (13, 16, "b", 0.7))
    assert [(span.text, span.label_) for span in doc.spans["jpt_ner"]] == [("Londoners", "a"), ("Londoners", "b")]
    assert doc.spans["jpt_ner"].attrs["offsets"] == [[7, 13], [13, 16]]
    assert [(span.text, span.label_, span._.score) for span in doc.ents] == [("Londoners", "b", 0.7)]


def test_entities_that_were_there_stay_unless_said_otherwise():
    found, earlier = (0, 12, "a", 0.9), [(7, 12, "GPE")]
    assert [span.label_ for span in annotated("He saw Paris", found, earlier=earlier).ents] == ["GPE"]
    assert [span.label_ for span in annotated("He saw Paris", found, earlier=earlier, overwrite=True).ents] == ["a"]
    doc = annotated("He saw Paris", found, earlier=earlier)
    assert [span.label_ for span in doc.spans["jpt_ner"]] == ["a"]


def test_pipeline_is_saved_with_its_types(nlp, tmp_path):
    expected = [[(span.text, span.label_) for span in doc.ents] for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert [[(span.text, span.label_) for span in doc.ents] for doc in again.pipe(TEXTS)] == expected
    other = spacy.blank("en")
    other.add_pipe("jpt_ner")
    other.from_bytes(nlp.to_bytes())
    assert [[(span.text, span.label_) for span in doc.ents] for doc in other.pipe(TEXTS)] == expected
    doc = nlp(TEXTS[1])
    kept = spacy.tokens.Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert kept.spans["jpt_ner"].attrs == doc.spans["jpt_ner"].attrs


def test_stream_is_read_in_batches(nlp):
    asked = []

    def texts():
        for number in range(10):
            asked.append(number)
            yield f"Text {number} of Paris."

    stream = nlp.pipe(texts(), batch_size=2)
    assert next(stream).text == "Text 0 of Paris." and len(asked) < 10
    assert [doc.text[:6] for doc in stream] == [f"Text {number}" for number in range(1, 10)]


def test_errors_are_spacys_to_handle(nlp):
    nlp.get_pipe("jpt_ner")._pipeline = None
    nlp.get_pipe("jpt_ner")._options["threshold"] = 5
    with pytest.raises(ValueError, match="`threshold` must be"):
        nlp(TEXTS[0])
    failed = []
    nlp.set_error_handler(lambda name, component, docs, error: failed.extend(docs))
    assert list(nlp.pipe(TEXTS[:2])) == [] and [doc.text for doc in failed] == TEXTS[:2]


def test_malformed_types_are_refused():
    with pytest.raises(ValueError, match="unknown preset"):
        spacy.blank("en").add_pipe("jpt_ner", config={"entity_types": "unheard-of"})
