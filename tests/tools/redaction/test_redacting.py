"""Redaction of texts: the replacements of each style, their consistency, and a record of what was kept."""

import hashlib
import hmac
import random
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpt_ner.tools.redaction.pseudonyms import Pseudonyms
from jpt_ner.tools.redaction.redacting import Redactor, make_style, redact, redacted_text
from jpt_ner.tools.redaction.styles import read_key

KEY = b"a key of 16 bytes"
TYPES = {"person": "A named human being.", "phone": "A number to call."}


def entity(text, word, group="person", score=0.9, after=0):
    start = text.index(word, after)
    return {"entity_group": group, "score": score, "word": word, "start": start, "end": start + len(word)}


def finder(*found):
    """Stands in for a pipeline: finds these words with their types and scores, wherever they first stand."""

    def pipeline(texts, entity_types, threshold, **options):
        assert set(threshold.values()) == {0.0}  # low scores must be reported
        for text in texts:
            yield [entity(text, *each) for each in found if each[0] in text]

    return pipeline


def style(method, **options):
    return make_style(method, chance=random.Random(0), **options)


TEXT = "Marta Kovac called 555-0142. Kovac\nwaited; then Marta Kovac called again, 12 times."
FOUND = [("Marta Kovac", "person", 0.9), ("555-0142", "phone", 0.8), ("Kovac\nwaited", "person", 0.2)]


def test_each_method_says_what_stands_in_the_place():
    pipeline = finder(*FOUND)
    by = {
        method: redact(TEXT, TYPES, method=method, key=KEY if method == "hash" else None, pipeline=pipeline)
        for method in ("replace", "mask", "hash", "pseudonyms")
    }
    assert by["replace"].text == "[PERSON] called [PHONE]. Kovac\nwaited; then [PERSON] called again, 12 times."
    assert by["mask"].text == TEXT.replace("Marta Kovac", "*" * 11).replace("555-0142", "*" * 8)
    digest = hmac.new(KEY, b"marta kovac", hashlib.sha256).hexdigest()[:16]
    assert by["hash"].text.count(f"[PERSON {digest}]") == 2
    assert "Kovac called" not in by["pseudonyms"].text and "[PHONE 1]" in by["pseudonyms"].text


def test_what_scores_low_is_kept_and_told_with_its_place_in_both_texts():
    redacted = redact(TEXT, TYPES, pipeline=finder(*FOUND))
    assert [(each["score"], each["replacement"]) for each in redacted.changed] == [
        (0.9, "[PERSON]"),
        (0.8, "[PHONE]"),
        (None, "[PERSON]"),  # what the model has marked once must not remain elsewhere
    ]
    for each in redacted.changed:
        assert redacted.text[each["new_start"] : each["new_end"]] == each["replacement"]
        assert "word" not in each
    (kept,) = redacted.kept
    assert redacted.text[kept["new_start"] : kept["new_end"]] == kept["word"] == TEXT[kept["start"] : kept["end"]]


def test_thresholds_of_types_go_first():
    types = {"person": {"definition": "A person.", "threshold": 0.95}, "phone": "A number."}
    assert redact(TEXT, types, pipeline=finder(*FOUND)).text.startswith("Marta Kovac called [PHONE]")
    assert "[PERSON]; then" in redact(TEXT, TYPES, threshold=0, pipeline=finder(*FOUND)).text


def test_entities_that_overlap_are_replaced_as_one():
    text = "Call Anna Berg Ltd now"
    found = [entity(text, "Anna Berg", "person", 0.6), entity(text, "Berg Ltd", "company", 0.8)]
    assert redacted_text(text, found, [], style("replace")).text == "Call [COMPANY] now"


@given(st.text("ab \n", max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.booleans())))
def test_places_are_right_whatever_is_found(text, spans):
    groups = {True: [], False: []}
    for start, length, is_high in spans:
        end = min(start + length, len(text))
        if start < end:
            each = {"entity_group": "x", "score": 0.5, "word": text[start:end], "start": start, "end": end}
            groups[is_high].append(each)
    redacted = redacted_text(text, groups[True], groups[False], style("replace"))
    rest, last = "", 0
    for each in redacted.changed:
        assert each["start"] >= last and redacted.text[each["new_start"] : each["new_end"]] == "[X]"
        rest, last = rest + text[last : each["start"]] + "[X]", each["end"]
    assert redacted.text == rest + text[last:]
    for each in redacted.kept:
        assert redacted.text[each["new_start"] : each["new_end"]] == each["word"]


# ---- pseudonyms -----------------------------------------------------------------------------------------------------


def test_a_person_has_one_name_in_all_texts_whichever_form_comes_first():
    texts = ["M. Kovac wrote.", "So did KOVAC.", "Dr Marta Kovac's letter", "Marta von Kovac", "Jonas Lind"]
    words = [("M. Kovac",), ("KOVAC",), ("Dr Marta Kovac's",), ("Marta von Kovac",), ("Jonas Lind",)]
    redactor = Redactor(lambda: finder(*words), style("pseudonyms"), TYPES)
    short, capitals, title, particle, other = (each.text for each in redactor(texts))
    first, last = title.removeprefix("Dr ").removesuffix("'s letter").split()
    assert short == f"{first[0]}. {last} wrote." and capitals == f"So did {last.upper()}."
    assert particle == f"{first} von {last}" and {first, last}.isdisjoint(other.split())
    assert not {"marta", "kovac", "jonas", "lind"} & {each.casefold() for each in chain([first, last], other.split())}


def test_many_people_have_many_names():
    names = style("pseudonyms")
    given = {f"Name{number}": names(f"Name{number}", "person name") for number in range(3000)}
    assert len({each.casefold() for each in given.values()}) == 3000
    assert all(names(each, "PER") == invented for each, invented in given.items())


def test_other_types_are_numbered_and_jobs_go_on_with_what_they_remember():
    names = style("pseudonyms")
    assert [names(each, "email") for each in ("a@b.org", "c@d.org", "A@b.org")] == [
        "[EMAIL 1]",
        "[EMAIL 2]",
        "[EMAIL 1]",
    ]
    given = names("Anna Berg", "person")
    later = Pseudonyms(names.mapping)
    assert later("Anna Berg", "person") == given and later("e@f.org", "email") == "[EMAIL 3]"


@pytest.mark.parametrize(
    "name", ["Judge", "J", "Dr", "O'Brien", "Jean-Luc", "北京", "ß", "İ", "Anna\u0301", "--", "'s"]
)
def test_names_of_all_kinds_are_replaced(name):
    invented = style("pseudonyms")(name, "person")
    assert (invented == name) is (name in ("--", "'s"))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "burn"}, "`method` should be one of replace, mask, hash, pseudonyms"),
        ({"method": "hash"}, "needs a key"),
        ({"method": "hash", "key": b"short"}, "16 bytes or more, got 5"),
        ({"threshold": 2}, "`threshold` should be a number from 0 to 1"),
        ({"entity_types": "no-such"}, "unknown preset"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        redact(TEXT, pipeline=finder(), **options)


def test_keys_come_from_one_place_and_are_long_enough(tmp_path, monkeypatch):
    (tmp_path / "key").write_bytes(KEY + b"\n")
    monkeypatch.setenv("JPT_KEY", KEY.decode())
    assert read_key(tmp_path / "key") == read_key(None, "JPT_KEY") == KEY and read_key() is None
    (tmp_path / "short").write_text("abc")
    for options, message in (
        ((tmp_path / "short",), "--key-file .*got 3"),
        ((tmp_path / "key", "JPT_KEY"), "one of them"),
        ((None, "NO_KEY"), "no environment variable 'NO_KEY'"),
    ):
        with pytest.raises(ValueError, match=message):
            read_key(*options)


def test_texts_before_one_that_cannot_be_read_are_done():
    def texts():
        yield TEXT
        raise ValueError("broken")

    results = Redactor(lambda: finder(*FOUND), style("mask"), TYPES)(texts())
    assert next(results).changed
    with pytest.raises(ValueError, match="broken"):
        next(results)
    assert list(Redactor(lambda: finder(), style("mask"), TYPES)([])) == []
