"""Gains and losses of trimming rules: counted on known mentions, and rules restored afterwards."""

import pytest
from jpt_ner import words_jpt
from jpt_ner.tools.data.records import Entity, Record
from jpt_ner.tools.evaluation.runs import Run
from jpt_ner.tools.evaluation.trimming import rules, trimming_effects, trimming_section, without
from jpt_ner.words_jpt import trim_span

TEXTS = ["Yahoo! said C++ is fine", "He saw the Rhine .", "(Apple Inc.) grew"]
# The untrimmed predictions: character ranges.
SAID = [[(0, 6), (12, 15)], [(7, 18)], [(1, 11)]]
GOLD = [[(0, 5), (12, 15)], [(11, 16)], [(1, 11)]]


class Decoder:
    """Trims the predictions, as the decoder for words does."""

    def decode(self, reading, decoder, nested):
        text, ranges = reading
        trimmed = [trim_span(text, *each) for each in ranges]
        return [{"start": start, "end": end, "entity_group": "name"} for start, end in trimmed if start < end]


@pytest.fixture
def run():
    records = [
        Record(str(number), text, [Entity(start, end, "name") for start, end in gold], types={"name": "A name."})
        for number, (text, gold) in enumerate(zip(TEXTS, GOLD, strict=True))
    ]
    readings = list(zip(TEXTS, SAID, strict=True))
    found = [Decoder().decode(each, "word", False) for each in readings]
    return Run("m", {"set": records}, {"set": found}, {"set": readings})


def test_gains_and_losses_are_counted(run):
    effects = {rule: each["set"] for rule, each in trimming_effects(run, Decoder()).items()}
    counts = {rule: (each.changed, each.made_right, each.made_wrong) for rule, each in effects.items() if each.changed}
    assert counts == {
        "exclamation": (1, 0, 1),  # "Yahoo!", which is "Yahoo" here
        "plus": (1, 1, 0),
        "abbreviation": (1, 1, 0),
        "article": (1, 1, 0),
        "marks": (1, 1, 0),  # "Rhine ."
    }
    assert effects["plus"].gain == pytest.approx(1 / 4)
    assert effects["exclamation"].gain == pytest.approx(-1 / 4)
    assert {each.f1 for each in effects.values()} == {3 / 4}
    section = trimming_section(run, Decoder())
    assert section.data["plus"]["set"]["made_right"] == 1
    assert "| plus | 1 | 1 | 0 | +25.00 |" in section.text and "changed by: closing," in section.text


def test_all_rules_are_back_afterwards():
    before = (words_jpt.RULES_AT_RIGHT, words_jpt.RULES_AT_LEFT, words_jpt.is_mark, words_jpt.is_article)
    assert len(rules()) == len(before[0]) + len(before[1]) + 2
    for rule in rules():
        with pytest.raises(KeyboardInterrupt), without(rule):
            assert before != (
                words_jpt.RULES_AT_RIGHT,
                words_jpt.RULES_AT_LEFT,
                words_jpt.is_mark,
                words_jpt.is_article,
            )
            raise KeyboardInterrupt
    assert before == (words_jpt.RULES_AT_RIGHT, words_jpt.RULES_AT_LEFT, words_jpt.is_mark, words_jpt.is_article)
    with pytest.raises(ValueError, match="`rule` should be one of marks, article, closing"), without("spelling"):
        pass


def test_a_run_without_probabilities_is_refused(run):
    run.readings = {}
    with pytest.raises(ValueError, match="needs the token probabilities of a JPT model"):
        trimming_effects(run, Decoder())
