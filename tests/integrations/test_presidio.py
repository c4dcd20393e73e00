"""The Presidio recognizer: names, requested entities, and its use in an analyzer."""

import pytest

pytest.importorskip("presidio_analyzer")

from jpt_ner.integrations.presidio_recognizer import JPTRecognizer

pytestmark = pytest.mark.extras

TYPES = {"person name": "A named human being.", "home-town": "A named town."}
TEXT = "Angela Merkel visited Paris."


def test_names_are_those_of_presidio(pipe):
    recognizer = JPTRecognizer(TYPES, names={"person name": "PERSON"}, pipeline=pipe)
    assert recognizer.supported_entities == ["HOME_TOWN", "PERSON"]
    expected = pipe(TEXT, entity_types=TYPES)
    names = {"person name": "PERSON", "home-town": "HOME_TOWN"}
    found = [(each.entity_type, each.start, each.end, each.score) for each in recognizer.analyze(TEXT, [])]
    assert found == [(names[each["entity_group"]], each["start"], each["end"], each["score"]) for each in expected]
    assert found


def test_only_what_is_asked_for_is_given(pipe):
    recognizer = JPTRecognizer(TYPES, pipeline=pipe)
    kinds = {each.entity_type for each in recognizer.analyze(TEXT, [])}
    for kind in kinds:
        assert {each.entity_type for each in recognizer.analyze(TEXT, [kind])} == {kind}
    assert recognizer.analyze(TEXT, ["IBAN"]) == []


def test_unknown_names_are_refused(pipe):
    with pytest.raises(ValueError, match="`names`: 'person' is none of the types, which are: person name"):
        JPTRecognizer(TYPES, names={"person": "PERSON"}, pipeline=pipe)
