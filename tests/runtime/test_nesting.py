"""Nested mentions: the output at which the sigmoid head is sure, and which spans are added to the flat ones."""

import numpy as np
import pytest
from jpt_ner.entities_jpt import Reading
from jpt_ner.heads_jpt import sigmoid_output
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.spans_jpt import Span, nest_spans
from jpt_ner.words_jpt import split_words

TEXT = "the alpha gene promoter binds"
WORDS = np.array(split_words(TEXT))
TYPES = resolve_schema({"protein": "A protein.", "dna": "DNA.", "cell": "A cell."})


@pytest.mark.parametrize(("gamma", "weight"), [(2.5, 5.0), (0.0, 1.0), (0.0, 5.0), (2.0, 1.0), (0.5, 3.0)])
def test_outputs_have_the_least_expected_loss(gamma, weight):
    p = np.linspace(0.0005, 0.9995, 2000)
    for share in (0.5, 0.85):
        loss = -share * weight * (1 - p) ** gamma * np.log(p) - (1 - share) * p**gamma * np.log(1 - p)
        assert sigmoid_output(share, gamma, weight) == pytest.approx(p[loss.argmin()], abs=1e-3)
        if gamma == 0:
            odds = weight * share / (1 - share)
            assert sigmoid_output(share, gamma, weight) == pytest.approx(odds / (1 + odds), abs=1e-5)


def span(words, type_index, score=0.9):
    start = TEXT.index(words)
    return Span(start, start + len(words), type_index, score)


def rows(**words):
    """Sigmoid probabilities by word; 0 by default."""
    values = np.zeros((len(WORDS), 3))
    for row, (start, end) in enumerate(WORDS.tolist()):
        values[row] = words.get(TEXT[start:end], [0, 0, 0])
    return values


OUTER = span("alpha gene promoter", 1)
SURE = {"alpha": [0.9, 0.7, 0], "gene": [0, 0.9, 0.9], "promoter": [0, 0.9, 0.9]}


@pytest.mark.parametrize(
    ("other", "added"),
    [
        (span("alpha", 0), True),
        (span("alpha gene promoter", 0), True),
        (span("the alpha gene promoter binds", 2), True),
        (span("gene promoter binds", 2), False),  # crosses it
        (span("alpha", 1), False),  # of its own type
        (span("binds", 0), False),  # where nothing was found
    ],
)
def test_what_is_added_to_flat_spans(other, added):
    found = nest_spans(WORDS, rows(**SURE), [OUTER], [other], 0.6)
    assert (other in found) == added and OUTER in found and len(found) == 1 + added
    assert found == sorted(found, key=lambda each: (each.start, -each.end, each.type_index))


def test_types_that_compete_do_not_nest():
    wavering = rows(**{**SURE, "alpha": [0.9, 0.5, 0]})
    assert nest_spans(WORDS, wavering, [OUTER], [span("alpha", 0)], 0.6) == [OUTER]
    assert nest_spans(WORDS, wavering, [OUTER], [span("alpha", 0)], 0.5) == [OUTER, span("alpha", 0)]
    assert nest_spans(np.zeros((0, 2), int), np.zeros((0, 3)), [], [span("alpha", 0)], 0.6) == []


def reading(sigmoid):
    softmax = np.full((len(WORDS), 4), 0.02)
    softmax[:, 0] = 0.94
    softmax[1:4] = [0.02, 0.02, 0.94, 0.02]
    return Reading(TEXT, TYPES, WORDS, softmax.astype(np.float32), sigmoid.astype(np.float32), words=None)


def brief(entities):
    return [(each["word"], each["entity_group"]) for each in entities]


def test_nested_decoding_of_a_reading(pipe):
    flat = [("alpha gene promoter", "dna")]
    known = reading(rows(alpha=[0.8, 0.8, 0.6], gene=[0.5, 0.8, 0], promoter=[0.2, 0.8, 0]))
    assert brief(pipe.decode(known)) == flat
    # 0.6 is not sure, 0.8 is; the flat span is no longer alone.
    nested = pipe.decode(known, nested=True)
    assert brief(nested) == [*flat, ("alpha", "protein")]
    # Thresholds drop lower scores, here as elsewhere, and nothing else.
    assert pipe.decode(known, nested=True, threshold=0.0) == nested
    assert brief(pipe.decode(known, nested=True, threshold={"dna": 1.0})) == [("alpha", "protein")]
    assert brief(pipe.decode(known, nested=True, threshold={"protein": 0.9})) == flat
    # Two types that compete for one mention.
    torn = reading(rows(alpha=[0.8, 0.7, 0], gene=[0.8, 0.7, 0], promoter=[0.8, 0.7, 0]))
    assert brief(pipe.decode(torn, nested=True)) == flat


def test_temperature_moves_what_is_sure_along(pipe, monkeypatch):
    """Temperatures must not change which spans are nested."""
    logit = np.log(0.75 / 0.25)
    for temperature in (0.5, 1.0, 3.0):
        monkeypatch.setattr(pipe.model.config, "sigmoid_temperature", temperature)
        p = 1 / (1 + np.exp(-logit / temperature))
        known = reading(rows(alpha=[p, p, 0], gene=[0, p, 0], promoter=[0, p, 0]))
        assert ("alpha", "protein") in brief(pipe.decode(known, nested=True))
