"""Prompts and targets of the generative systems, and what is read of outputs, however broken they are."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.generative.chat_prompts import chat_messages
from jpt_ner.generative.formats import (
    MAX_MENTIONS,
    Mention,
    augmented_target,
    check_label,
    count_part,
    index_part,
    label_part,
    labels_part,
    mention_part,
    mentions_of,
    structured_target,
    text_part,
)
from jpt_ner.generative.parsing import (
    locate,
    occurrences,
    parse_augmented,
    parse_chat,
    parse_count,
    parse_mention,
    parse_structured,
    parse_ye2023,
)


@dataclass
class Entity:
    start: int
    end: int
    label: str


def entities_of(text: str, *pairs: tuple[str, str]) -> list[Entity]:
    """Entities found one after the other."""
    found, position = [], 0
    for words, label in pairs:
        position = text.index(words, position)
        found.append(Entity(position, position + len(words), label))
        position += len(words)
    return found


def spans_of(mentions: list[Mention], text: str) -> list[tuple[int, int, str]]:
    located = locate(mentions, text)
    return sorted((*span, each.label) for span, each in zip(located.spans, mentions, strict=True) if span)


JAPAN = "Japan, co-hosts of the World Cup in 2002 and ranked 20th in the world by FIFA, are favourites here."
JAPAN_ENTITIES = entities_of(JAPAN, ("Japan", "LOC"), ("World Cup", "MISC"), ("FIFA", "ORG"))
LABELS = ["PER", "MISC", "LOC", "ORG"]


def count_prompt(text, label, language="en"):
    """The prompt of step 1."""
    return text_part(text, language) + label_part(label, language)


# ---- PaDeLLM-NER ----------------------------------------------------------------------------------------------------


def test_templates_of_the_paper():
    """Table 11, but for the space that makes a mention's tokens those of the text."""
    text = "But Fischler agreed ."
    assert count_prompt(text, "PER") == "text: But Fischler agreed .\nentity type: PER\n<num>"
    assert count_part(1) + index_part(1) + mention_part("Fischler") == "1\n<mention 1> Fischler"
    assert count_prompt("墨西哥政府认为", "地点", "zh") == "文本: 墨西哥政府认为\n指定NER标签: 地点\n<数量>"
    assert count_part(2) + index_part(1, "zh") + mention_part("墨西哥", "zh") == "2\n<第1文段>墨西哥"
    with pytest.raises(ValueError, match="`language`.*'fr'"):
        count_prompt(text, "PER", "fr")


@pytest.mark.parametrize(
    "output, count",
    [("2\n", 2), ("", 0), ("  \n", 0), ("0", 0), ("12\n<mention 1> x", 12), ("3<mention 1>", 3), ("007", 7)]
    + [("65\n", MAX_MENTIONS), ("9" * 500, MAX_MENTIONS), ("two", None), ("-1", None), ("1.5", None), ("²", None)],
)
def test_counts(output, count):
    assert parse_count(output) == count


@pytest.mark.parametrize(
    "output, mention",
    [(" Rome", "Rome"), (" Rome\n<mention 2> Bari", "Rome"), (" Rome<mention 2>", "Rome"), ("罗马<第2文段>", "罗马")]
    + [("", ""), ("\n", ""), ("<num>3", ""), (" a < b", "a < b")],
)
def test_mentions(output, mention):
    assert parse_mention(output) == mention


def test_mentions_are_counted_in_the_order_of_the_text():
    text = "Rome, Bari, Rome"
    entities = [Entity(12, 16, "LOC"), Entity(0, 4, "LOC"), Entity(6, 10, "ORG")]
    assert mentions_of(text, entities, "LOC") == ["Rome", "Rome"]
    assert mentions_of(text, entities, "PER") == []
    assert len(mentions_of("a" * 99, [Entity(i, i + 1, "X") for i in range(99)], "X")) == MAX_MENTIONS


@pytest.mark.parametrize("label", ["<num>", "my <mention 3> x", "a\nb", "", " ", " x", "<数量>", 5, "<entities>"])
def test_labels_with_marks_of_the_template_are_refused(label):
    language = "zh" if label == "<数量>" else "en"
    with pytest.raises(ValueError, match="label"):
        count_prompt("text", label, language)


def test_each_system_has_marks_of_its_own():
    for label, systems in {"a [b]": "autoreg-augmented", "a (b)": "autoreg-structured"}.items():
        for system in ("autoreg-augmented", "autoreg-structured", "padellm"):
            if system in systems:
                with pytest.raises(ValueError, match="rename it"):
                    check_label(label, system)
            else:
                check_label(label, system)
    with pytest.raises(ValueError, match="`system`"):
        check_label("a", "gpt")
    with pytest.raises(ValueError, match="`labels`"):
        chat_messages("text", [])
    for system in ("autoreg-augmented", "autoreg-structured"):
        with pytest.raises(ValueError, match="`labels`"):
            labels_part([], system)


# ---- autoregressive targets and back --------------------------------------------------------------------------------


def test_targets_of_the_paper():
    """Table 1."""
    assert augmented_target(JAPAN, JAPAN_ENTITIES, LABELS) == (
        " [Japan LOC], co-hosts of the [World Cup MISC] in 2002 and ranked 20th in the world by [FIFA ORG], "
        "are favourites here."
    )
    text = "Cuttitta announced his retirement after the 1995 World Cup from the Italy side that faced England ."
    pairs = [("Cuttitta", "PER"), ("1995 World Cup", "MISC"), ("Italy", "LOC"), ("England", "LOC")]
    assert structured_target(text, entities_of(text, *pairs), LABELS) == (
        " ((PER): (Cuttitta), (MISC): (1995 World Cup), (LOC): (Italy), (LOC): (England), (ORG): (NULL))"
    )
    assert structured_target(text, [], ["PER"]) == " ((PER): (NULL))"
    assert augmented_target(text, entities_of(text, *pairs), ["ORG"]) == " " + text


TRICKY = [
    (JAPAN, [("Japan", "LOC"), ("World Cup", "MISC"), ("FIFA", "ORG")]),
    ("[1] Paris (France) and a [sic] Paris", [("Paris", "LOC"), ("France", "LOC"), ("Paris", "PER")]),
    ("Acme (UK) Ltd (Acme) met f(x) and [y]", [("Acme (UK) Ltd", "ORG"), ("Acme", "ORG"), ("[y]", "MISC")]),
    ("New York Times of New York", [("New York Times", "ORG"), ("New York", "LOC")]),
    ("  led by Ann Party members of Reform", [("Ann Party", "party"), ("Reform", "political party")]),
    ("墨西哥政府和墨西哥人", [("墨西哥", "LOC"), ("墨西哥人", "PER")]),
    ("USA and US, a: (b), (c): d", [("US", "LOC"), ("a: (b), (c)", "MISC")]),
    ("Ümlaut\nin two\r\nlines ", [("lines", "MISC")]),
    ("nothing", []),
]


@pytest.mark.parametrize("text, pairs", TRICKY, ids=range(len(TRICKY)))
@pytest.mark.parametrize("write, read", [(augmented_target, parse_augmented), (structured_target, parse_structured)])
def test_targets_are_read_back(text, pairs, write, read):
    # "US" stands within "USA" first.
    start = text.index("US,") if "US," in text else 0
    entities = entities_of(text[start:], *pairs)
    entities = [Entity(each.start + start, each.end + start, each.label) for each in entities]
    labels = [*LABELS, "party", "political party"]
    parsed = read(write(text, entities, labels), text, labels)
    assert spans_of(parsed.mentions, text) == [(each.start, each.end, each.label) for each in entities]
    assert not parsed.failures and not locate(parsed.mentions, text).failures


def test_marks_tell_which_occurrence_is_meant():
    text = "Paris saw Paris and Paris"
    parsed = parse_augmented("Paris saw [Paris PER] and Paris", text, ["PER"])
    assert spans_of(parsed.mentions, text) == [(10, 15, "PER")]
    # Also where the output has dropped an earlier word and continued.
    parsed = parse_augmented("Paris [Paris PER] and Paris and and", text, ["PER"])
    assert spans_of(parsed.mentions, text) == [(10, 15, "PER")] and parsed.failures == {"altered_text": 1}


@pytest.mark.parametrize(
    "output, mentions, failures",
    [
        ("[Ann PER] met Bob in Ro", [("Ann", "PER")], {"truncated": 1}),
        ("[Ann PER] met [Bob PER", [("Ann", "PER")], {"unbalanced": 1, "altered_text": 1}),
        ("[Ann PER] met [[Bob PER] in Rome.", [("Ann", "PER"), ("Bob", "PER")], {"unbalanced": 1}),
        ("[Ann PLANET] met [Bob PER] in Rome.", [("Bob", "PER")], {"unknown_label": 1, "altered_text": 1}),
        ("[Ann PER] met Bob in Rome. [Ann PER] met", [("Ann", "PER")], {"repeated_text": 1}),
        ("[PER] met [ PER]", [], {"empty_mention": 2, "altered_text": 1}),
        ("[Ann PER] met [Zoe PER]", [("Ann", "PER")], {"altered_text": 1}),
        ("", [], {"truncated": 1}),
    ],
)
def test_broken_augmented_output(output, mentions, failures):
    text = "Ann met Bob in Rome."
    parsed = parse_augmented(output, text, ["PER", "LOC"])
    assert [(text[start:end], label) for start, end, label in spans_of(parsed.mentions, text)] == mentions
    assert parsed.failures == failures


@pytest.mark.parametrize(
    "output, mentions, failures",
    [
        ("((PER): (Ann), (LOC): (Ro", [("Ann", "PER")], {"truncated": 1}),
        ("((PER): (Ann), (LOC): (", [("Ann", "PER")], {"truncated": 1}),
        ("((PER): (Ann), (LOC", [("Ann", "PER")], {"truncated": 1}),
        ("((PER): (Ann), (LOC):", [("Ann", "PER")], {"truncated": 1}),
        ("((PER): (Ann),", [("Ann", "PER")], {"truncated": 1}),
        ("((PER): (Ann), (LOC): (Rome)", [("Ann", "PER"), ("Rome", "LOC")], {"unbalanced": 1}),
        ("((PER): (Ann, (LOC): (Rome))", [("Ann", "PER"), ("Rome", "LOC")], {"unbalanced": 1}),
        ("(PER): (Ann), (LOC): (Rome)", [("Ann", "PER"), ("Rome", "LOC")], {"unbalanced": 2}),
        ("((PLANET): (Ann), (LOC): (Rome))", [("Rome", "LOC")], {"unknown_label": 1}),
        ("((PER): (), (LOC): (Rome))", [("Rome", "LOC")], {"empty_mention": 1}),
        ("((PER): (Zoe), (LOC): (NULL))", [], {}),
        ("I think that Ann is a person", [], {"malformed": 1}),
        ("Sure: ((PER): (Ann))", [("Ann", "PER")], {"malformed": 1}),
        ("", [], {"truncated": 1}),
        ("()", [], {}),
    ],
)
def test_broken_structured_output(output, mentions, failures):
    text = "Ann met Bob in Rome."
    parsed = parse_structured(output, text, ["PER", "LOC"])
    assert [(text[start:end], label) for start, end, label in spans_of(parsed.mentions, text)] == mentions
    assert parsed.failures == failures


def test_a_loop_gives_no_more_than_the_text_holds():
    text = "Ann met Ann."
    parsed = parse_structured("((PER): (Ann)" + ", (PER): (Ann)" * 200 + ", (PER): (A", text, ["PER"])
    located = locate(parsed.mentions, text)
    assert spans_of(parsed.mentions, text) == [(0, 3, "PER"), (8, 11, "PER")]
    assert located.failures == {"repeated_mention": 199} and parsed.failures == {"truncated": 1}


def test_labels_with_digits_and_colons_in_an_answer():
    answer = "1. 3D model: Utah teapot\n- work: art: Mona Lisa; Guernica\n2) Work: Art : x\nwork: y"
    parsed = parse_chat(answer, "Utah teapot, Mona Lisa, Guernica", ["3D model", "work: art"])
    assert [(each.label, each.text) for each in parsed.mentions] == [
        ("3D model", "Utah teapot"),
        ("work: art", "Mona Lisa"),
        ("work: art", "Guernica"),
        ("work: art", "x"),
    ]
    assert parsed.failures == {"unknown_label": 1}


def test_answers_of_a_chat():
    labels = ["person", "political party"]
    assert "person" in chat_messages("Ann", labels)[1]["content"]
    answer = "Sure!\n- **Person**: Ann; Bob, Zoe\n* political party: None.\nplace: Rome\n\nperson: n/a"
    parsed = parse_chat(answer, "Ann met Bob, Zoe.", labels)
    assert [each.text for each in parsed.mentions] == ["Ann", "Bob, Zoe"]
    assert parsed.failures == {"malformed": 1, "unknown_label": 1}
    parsed = parse_chat("person: Ann, Bob", "Ann met Bob.", labels)
    assert [each.text for each in parsed.mentions] == ["Ann", "Bob"]


def test_template_of_ye_et_al():
    """As Figure 7 of GLiNER's paper prints it."""
    labels = ["Organization", "Person", "Location", "Miscellaneous"]
    (message,) = chat_messages("Ann left.", labels, wording="ye2023")
    assert message == {
        "role": "user",
        "content": "Please identify Organization, Person, Location, and Miscellaneous Entity from the given text, output "
        "using the format as:\nEntity: Organization: None | Person: None | Location: Word1, Word2 | Miscellaneous: Word3\n"
        "Text: Ann left.\nEntity:",
    }
    (message,) = chat_messages("Ann left.", ["person"], wording="ye2023")
    assert "identify person Entity" in message["content"] and "Entity: person: Word3\n" in message["content"]
    with pytest.raises(ValueError, match="`wording`"):
        chat_messages("Ann", labels, wording="ye")
    with pytest.raises(ValueError, match="at least one label"):
        chat_messages("Ann", [], wording="ye2023")
    with pytest.raises(ValueError, match="separates labels"):
        chat_messages("Ann", ["person|place"], wording="ye2023")
    assert "person|place" in chat_messages("Ann", ["person|place"], wording="chat")[1]["content"]


@pytest.mark.parametrize(
    "output, mentions, failures",
    [
        (" person: Ann, Bob | political party: None", [("person", "Ann"), ("person", "Bob")], {}),
        (
            "Entity: Person: Ann\nEntity: political party: Greens |",
            [("person", "Ann"), ("political party", "Greens")],
            {},
        ),
        ("**person**: Ann. | place: Rome", [("person", "Ann.")], {"unknown_label": 1}),
        ("None", [], {}),
        ("I see Ann and Bob", [], {"malformed": 1}),
        ("", [], {}),
    ],
)
def test_answers_to_the_template_of_ye_et_al(output, mentions, failures):
    parsed = parse_ye2023(output, "Ann met Bob.", ["person", "political party"])
    assert [(each.label, each.text) for each in parsed.mentions] == mentions and parsed.failures == failures


def test_overlapping_mentions_are_not_marked_twice():
    """The augmented format holds no overlaps; the others do."""
    text = "New York Times of Rome"
    entities = [
        *entities_of(text, ("New York Times", "ORG")),
        *entities_of(text, ("New York", "LOC"), ("Rome", "LOC")),
    ]
    assert augmented_target(text, entities, ["ORG", "LOC"]) == " [New York Times ORG] of [Rome LOC]"
    assert (
        structured_target(text, entities, ["ORG", "LOC"])
        == " ((LOC): (New York), (ORG): (New York Times), (LOC): (Rome))"
    )
    assert mentions_of(text, entities, "LOC") == ["New York", "Rome"] and mentions_of(text, entities, "ORG") == [
        text[:14]
    ]


# ---- mentions to characters -----------------------------------------------------------------------------------------


def test_the_nth_mention_is_the_nth_occurrence():
    text = "Rome and Rome and Romeo"
    one = Mention("LOC", "Rome")
    located = locate([one, one, one, Mention("LOC", "Oslo")], text)
    assert located.spans == [(0, 4), (9, 13), None, None]
    assert located.failures == {"repeated_mention": 1, "invented_text": 1}


def test_labels_share_an_occurrence_only_if_they_must():
    text = "Rome or Rome"
    mentions = [Mention("LOC", "Rome"), Mention("ORG", "Rome"), Mention("PER", "Rome")]
    assert locate(mentions, text).spans == [(0, 4), (8, 12), (0, 4)]


def test_occurrences_are_words_where_there_are_words():
    assert occurrences("US", "RUSSIA, US, US-based, USA") == [8, 12]
    assert occurrences("us", "bus") == [1]
    assert occurrences("墨西", "墨西哥的墨西") == [0, 4]
    assert occurrences("aa", "aaa") == [0, 1]
    assert occurrences("", "abc") == [] and occurrences("x", "") == []


OUTPUT = st.lists(
    st.sampled_from(
        ["[", "]", "(", ")", "): (", ", ", "Ann", " PER", "PER", "LOC", "NULL", " ", "met Bob", "\n", ":", "é"]
    )
    | st.text(max_size=5),
    max_size=25,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(OUTPUT, st.sampled_from(["Ann met Bob", "", "[Ann] (met) Bob", "Ann Ann Ann"]))
def test_no_output_gives_places_that_the_text_has_not(output, text):
    for read in (parse_augmented, parse_structured, parse_chat):
        parsed = read(output, text, ["PER", "LOC"])
        located = locate(parsed.mentions, text)
        for mention, span in zip(parsed.mentions, located.spans, strict=True):
            assert mention.label in ("PER", "LOC") and mention.text.strip()
            assert span is None or text[slice(*span)] == mention.text
        taken = Counter((span, each.label) for span, each in zip(located.spans, parsed.mentions) if span)
        assert not taken or max(taken.values()) == 1
        assert sum(located.failures.values()) == located.spans.count(None)
    assert parse_count(output) in {None, *range(MAX_MENTIONS + 1)}
    assert "\n" not in parse_mention(output)
