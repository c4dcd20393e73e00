"""What a system gets wrong: kinds, scores and runners-up, the confusion matrix, and what only one of two systems finds."""

import json

import numpy as np
import pytest
from jpt_ner.pipeline_jpt import Reading
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import Entity, Record
from jpt_ner.tools.evaluation.errors import (
    analyse_text,
    confusion_matrix,
    contrast,
    count_kinds,
    error_row,
    errors_by_type,
    worst_texts,
)
from jpt_ner.tools.evaluation.scoring import score_spans

TYPES = {"person": "A human.", "city": "A town."}
TEXT = "Ada met Bob Lee in Rome and Paris on Monday"
GOLD = [Entity(0, 3, "person"), Entity(8, 15, "person"), Entity(19, 23, "city"), Entity(28, 33, "city")]
RECORD = Record("a", TEXT, GOLD, TYPES)


def entity(start, end, label, score=0.9):
    return {"entity_group": label, "score": score, "word": TEXT[start:end], "start": start, "end": end}


# Right, too short, of another type, nothing for Paris, and Monday which is none.
FOUND = [entity(0, 3, "person"), entity(8, 11, "person"), entity(19, 23, "person", 0.6), entity(37, 43, "city", 0.4)]


def reading():
    """Word by word the probabilities of O, person and city, equal in both heads' mean."""
    words = [(0, 3), (4, 7), (8, 11), (12, 15), (16, 18), (19, 23), (24, 27), (28, 33), (34, 36), (37, 43)]
    softmax = np.full((len(words), 3), 0.0)
    softmax[:] = (0.9, 0.06, 0.04)
    softmax[0] = (0.1, 0.8, 0.1)
    softmax[2] = (0.2, 0.7, 0.1)
    softmax[3] = (0.6, 0.3, 0.1)
    softmax[5] = (0.1, 0.6, 0.3)
    softmax[7] = (0.5, 0.1, 0.4)
    softmax[9] = (0.3, 0.3, 0.4)
    # With these the mean of both heads is the softmax head's: sigmoid O is 1 minus its maximum.
    sigmoid = softmax[:, 1:].copy()
    return Reading(TEXT, resolve_schema(TYPES), np.array(words), softmax, sigmoid)


def test_every_wrong_mention_has_its_kind_scores_and_runner_up():
    text = analyse_text("x", RECORD, FOUND, reading())
    rows = [error_row(text, error) for error in text.errors]
    assert json.loads(json.dumps(rows)) == rows
    assert [row["kind"] for row in rows] == ["boundary", "type", "missed", "spurious"]
    boundary, wrong_type, missed, spurious = rows
    assert boundary["gold"]["word"] == "Bob Lee" and boundary["predicted"]["word"] == "Bob"
    assert boundary["gold"]["score"] == pytest.approx((0.7 + 0.3) / 2)
    assert wrong_type["predicted"] == {"start": 19, "end": 23, "label": "person", "score": 0.6, "word": "Rome"}
    assert wrong_type["gold"]["score"] == pytest.approx(0.3)
    assert (wrong_type["runner_up"]["label"], wrong_type["runner_up"]["score"]) == ("city", pytest.approx(0.3))
    assert missed["predicted"] is None and missed["gold"]["score"] == pytest.approx(0.4)
    assert missed["runner_up"]["label"] == "city"  # what it would have been, had O not been more probable
    assert spurious["gold"] is None and spurious["runner_up"]["label"] in ("O", "person")
    assert count_kinds([text]) == {"missed": 1, "spurious": 1, "type": 1, "boundary": 1, "both": 0}
    assert sum(count_kinds([text]).values()) == len(text.errors)


def test_without_probabilities_runners_up_are_the_alternatives():
    found = [{**each, "alternatives": [{"entity_group": "city", "score": 0.2}]} for each in FOUND]
    text = analyse_text("x", RECORD, found)
    assert [error.runner_up for error in text.errors] == [("city", 0.2), ("city", 0.2), None, ("city", 0.2)]
    assert all(error.gold is None or error.gold.score is None for error in text.errors)
    bare = analyse_text("x", RECORD, [{**each, "score": None} for each in FOUND])
    assert {error.runner_up for error in bare.errors} == {None}


def test_types_and_confusion_matrix_account_for_every_mention():
    texts = [analyse_text("x", RECORD, FOUND), analyse_text("x", Record("b", TEXT, [], TYPES), [entity(0, 3, "city")])]
    scores = score_spans(
        [[each.span for each in text.gold] for text in texts],
        [[each.span for each in text.predicted] for text in texts],
    )
    by_type = errors_by_type(texts)
    for label, each in by_type.items():
        strict = scores.per_type[label]
        assert each.score == strict
    assert dict(by_type["city"].taken_for) == {"person": 1} and dict(by_type["person"].taken_from) == {"city": 1}
    matrix = confusion_matrix(texts)
    assert matrix.labels == ["city", "person", "O"]
    #                                     city person O
    assert matrix.counts.tolist() == [[0, 1, 1], [0, 2, 0], [2, 0, 0]]
    assert [text.id for text in worst_texts(texts)] == ["a", "b"]
    right = analyse_text("x", RECORD, [entity(each.start, each.end, each.label) for each in GOLD])
    assert worst_texts([right]) == [] and right.errors == []


def test_a_prediction_that_is_there_twice_counts_once():
    text = analyse_text("x", RECORD, [each for each in FOUND for _ in range(2)])
    once = analyse_text("x", RECORD, FOUND)
    assert text == once
    scores = score_spans([[each.span for each in text.gold]], [[(*each.span,) for each in once.predicted] * 2])
    assert {label: each.score for label, each in errors_by_type([text]).items()} == scores.per_type


def test_contrast_lists_what_only_one_system_gets_right():
    ours = analyse_text("x", RECORD, FOUND)
    # Finds Rome and Paris, misses Ada, invents nothing, but takes "met" for a person, where ours says nothing.
    theirs = analyse_text("x", RECORD, [entity(4, 7, "person"), entity(19, 23, "city"), entity(28, 33, "city")])
    found = contrast([ours], [theirs])
    assert (found.both, found.neither) == (0, 1)
    assert [(each.kind, TEXT[each.start : each.start + 3]) for _, each in found.only_first] == [
        ("missed", "Ada"),
        ("spurious", "met"),
    ]
    assert [(each.kind, TEXT[each.start : each.start + 3]) for _, each in found.only_second] == [
        ("type", "Rom"),
        ("missed", "Par"),
        ("spurious", "Mon"),
    ]
    assert all(text is theirs for text, _ in found.only_first) and all(text is ours for text, _ in found.only_second)
    assert contrast([ours], [ours]).only_first == []
    with pytest.raises(ValueError, match="the same texts"):
        contrast([ours], [])
