"""Predictions of other systems: every form that is taken, and what is refused with clear words."""

import json

import pytest
from jpt_ner.tools.data.records import Entity, Record
from jpt_ner.tools.evaluation.predictions import read_predictions, write_predictions

TYPES = {"person": "A human.", "programming language": "What programs are written in."}
RECORDS = [
    Record("a", "Ada wrote Python, Ada did", [Entity(0, 3, "person"), Entity(10, 16, "programming language")], TYPES),
    Record("7", "nothing here", [], TYPES),
]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def spans(predictions):
    return [
        [(each["start"], each["end"], each["entity_group"], each["score"]) for each in found] for found in predictions
    ]


def test_all_forms_of_entities_are_placed_alike(tmp_path):
    forms = [
        [{"start": 0, "end": 3, "entity_group": "person", "score": 0.5, "word": "Ada"}],
        [{"start": 0, "end": 3, "label": "person", "score": 0.5, "text": "Ada"}],
        [{"type": "person", "mention": "Ada", "score": 0.5}],
    ]
    for entities in forms:
        file = write(tmp_path / "p.jsonl", {"id": "a", "entities": entities}, {"id": 7, "entities": []})
        assert spans(read_predictions(file, {"x": RECORDS})["x"]) == [[(0, 3, "person", 0.5)], []]
    rows = {"id": "a", "pred": [["person", "Ada"], ["lang", "Python"], ["person", "Ada"], ["misc", "wrote"]]}
    file = write(tmp_path / "p.jsonl", {"id": 7, "pred": []}, rows, {"id": "of another file", "pred": [["x", "y"]]})
    found = read_predictions(file, {"x": RECORDS}, labels={"x": {"lang": "programming language"}})["x"]
    assert spans(found)[0] == [
        (0, 3, "person", None),
        (10, 16, "programming language", None),
        (18, 21, "person", None),
    ]


def test_what_is_written_is_read_back_by_dataset(tmp_path):
    datasets = {"x/test": RECORDS, "y/test": RECORDS}
    entity = {"entity_group": "person", "score": 0.25, "word": "Ada", "start": 18, "end": 21}
    predictions = {"x/test": [[entity], []], "y/test": [[], []]}
    write_predictions(tmp_path / "p.jsonl", datasets, predictions)
    assert read_predictions(tmp_path / "p.jsonl", datasets) == predictions


def test_mentions_that_are_not_in_the_text_are_left_out_and_told(tmp_path):
    pairs = [["person", "Ada"], ["person", "Grace"], *[["person", "Ada"]] * 2]
    file = write(tmp_path / "p.jsonl", {"id": "a", "pred": pairs}, {"id": 7, "pred": []})
    with pytest.warns(UserWarning, match=r"2 mentions do not occur in their texts, .*'Grace'"):
        found = read_predictions(file, {"x": RECORDS})["x"]
    assert len(found[0]) == 2


def test_labels_that_were_not_asked_for_count_and_are_told(tmp_path):
    entities = [["person", "Ada"], ["band", "Python"]]
    file = write(tmp_path / "p.jsonl", {"id": "a", "entities": entities}, {"id": 7, "entities": []})
    with pytest.warns(UserWarning, match=r"1 of 2 predictions have labels that were not asked for: 'band' \(1\)"):
        assert len(read_predictions(file, {"x": RECORDS})["x"][0]) == 2


REFUSED = {
    "other ids": ([{"id": "z", "entities": []}], "another data set: none of the 2 texts of x has a line .*'a'"),
    "some ids": ([{"id": "a", "entities": []}], "another data set: only 1 of the 2 texts of x has a line .*'7'"),
    "another text": (
        [{"id": "a", "text": "Bob", "entities": []}, {"id": 7, "entities": []}],
        "p.jsonl:1: record 'a': predictions of another text: it begins 'Bob' there",
    ),
    "another word": (
        [
            {"id": "a", "entities": [{"start": 0, "end": 3, "label": "person", "word": "Bob"}]},
            {"id": 7, "entities": []},
        ],
        "p.jsonl:1: record 'a': 'Bob' was predicted at 0 to 3, where the data has 'Ada'",
    ),
    "outside": (
        [{"id": "a", "entities": [{"start": 0, "end": 99, "label": "person"}]}, {"id": 7, "entities": []}],
        "0 to 99 is no span of the text of 25 characters",
    ),
    "other labels": (
        [{"id": "a", "entities": [["gene", "Ada"]]}, {"id": 7, "entities": []}],
        "another data set: none of its labels, such as 'gene' .* such as 'person'",
    ),
    "other words": (
        [{"id": "a", "entities": [["person", "BRCA1"]]}, {"id": 7, "entities": []}],
        "another data set: none of its mentions, such as 'BRCA1', occurs",
    ),
    "no id": ([{"entities": []}], "p.jsonl:1: no `id`"),
    "twice": ([{"id": "a", "entities": []}, {"id": "a", "entities": []}], "p.jsonl:2: the id 'a' is that of line 1"),
    "no entities": ([{"id": "a"}, {"id": 7, "entities": []}], "expected a list of `entities`"),
    "no label": ([{"id": "a", "entities": [{"start": 0, "end": 3}]}, {"id": 7, "entities": []}], "has no label"),
    "no object": ([{"id": "a", "entities": ["Ada"]}, {"id": 7, "entities": []}], r"expected an entity .* got 'Ada'"),
    "a score in words": (
        [
            {"id": "a", "entities": [{"start": 0, "end": 3, "label": "person", "score": "high"}]},
            {"id": 7, "entities": []},
        ],
        "a score should be a number, got 'high'",
    ),
    "a list": ([["a"]], "p.jsonl:1: expected an object with `id`"),
}


@pytest.mark.parametrize("rows, message", REFUSED.values(), ids=REFUSED)
def test_predictions_that_do_not_fit_are_refused(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path / "p.jsonl", *rows), {"x": RECORDS})


def test_broken_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="predictions not found"):
        read_predictions(tmp_path / "none.jsonl", {"x": RECORDS})
    (tmp_path / "p.jsonl").write_text('{"id": "a", "entities": []}\n{"id": 7, "entit')
    with pytest.raises(ValueError, match=r"p.jsonl:2: broken JSON"):
        read_predictions(tmp_path / "p.jsonl", {"x": RECORDS})
