"""Evaluation through the pipeline: the protocol, the scores, the reports."""

import gzip
import json
import shutil

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.evaluate import evaluate, load_dataset, load_datasets, predict
from jpt_ner.tools.evaluation.reports import summary_table, write_report

TYPES = {
    "person": {"name": "person", "definition": "A named human being."},
    "lang": {"name": "programming language", "definition": "A language programs are written in."},
    "misc": {"name": "other", "definition": "Anything else that has a name."},
}


@pytest.fixture
def dataset(tmp_path):
    records = [
        Record("a", "Ada wrote Python", [Entity(0, 3, "person"), Entity(10, 16, "lang")]),
        Record("b", "Bob saw Mars", [Entity(0, 3, "person"), Entity(8, 12, "misc")]),
        Record("c", "nothing here", []),
    ]
    write_records(tmp_path / "test.jsonl", records)
    (tmp_path / "types.json").write_text(json.dumps(TYPES))
    return tmp_path / "test.jsonl"


def found(text, name, word, score=0.9):
    start = text.index(word)
    return {"entity_group": name, "score": score, "word": word, "start": start, "end": start + len(word)}


def test_protocol_asks_names_not_labels_and_leaves_misc_out(dataset):
    records = load_dataset(dataset)
    assert [record.id for record in records] == ["a", "b", "c"]
    assert all(list(record.types) == ["person", "programming language"] for record in records)
    assert [each.label for each in records[0].entities] == ["person", "programming language"]
    assert [each.label for each in records[1].entities] == ["person"]
    assert "other" in load_dataset(dataset, ignore_labels=())[0].types


def test_scores_count_what_the_pipeline_returned(dataset, tmp_path):
    answers = {
        "Ada wrote Python": [("person", "Ada"), ("person", "Python")],
        "Bob saw Mars": [("person", "Bob")],
        "nothing here": [],
    }

    def pipeline(items, **options):
        assert all(set(item) == {"text", "entity_types"} for item in items)
        return [[found(item["text"], *answer) for answer in answers[item["text"]]] for item in items]

    scores, predictions = evaluate(pipeline, load_dataset(dataset))
    assert len(predictions) == 3
    assert (scores.strict.correct, scores.strict.predicted, scores.strict.gold) == (2, 3, 3)
    assert scores.errors.wrong_type == 1 and scores.errors.detection.f1 == 1
    assert scores.interval[0] <= scores.strict.f1 <= scores.interval[1]
    assert "66.7%" in summary_table({"x": scores})
    write_report({"x": scores}, tmp_path / "report-0.5", {"model": "tiny"})
    report = json.loads((tmp_path / "report-0.5.json").read_text())
    assert (report["mean_strict_f1"], report["model"]) == (pytest.approx(2 / 3), "tiny")
    assert "66.7%" in (tmp_path / "report-0.5.md").read_text()


def test_a_tiny_model_is_scored_end_to_end(dataset, pipe):
    scores, predictions = evaluate(pipe, load_dataset(dataset))
    assert scores.texts == 3
    assert scores.strict.predicted == sum(len(spans) for spans in predictions)


def test_nothing_to_evaluate_is_an_error(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match="empty.jsonl"):
        load_dataset(tmp_path / "empty.jsonl", types={"person": "A named human being."})


def test_only_ignored_types_are_an_error_that_says_so(tmp_path):
    write_records(tmp_path / "test.jsonl", [Record("b", "Bob saw Mars", [Entity(8, 12, "misc")])])
    with pytest.raises(ValueError, match="test.jsonl: no types to ask for are left without 'misc'"):
        load_dataset(tmp_path / "test.jsonl", types={"misc": "Anything that has a name."})
    assert load_dataset(tmp_path / "test.jsonl", types={"misc": "Anything that has a name."}, ignore_labels=[])


def test_bad_records_stop_or_are_left_out(dataset, recwarn):
    with open(dataset, "a") as file:
        file.write(
            json.dumps({"id": "d", "text": "Bob", "entities": [{"start": 0, "end": 9, "label": "person"}]}) + "\n"
        )
    with pytest.raises(ValueError, match="test.jsonl:4: record 'd': .* outside the text"):
        load_dataset(dataset)
    assert [record.id for record in load_dataset(dataset, skip_bad=True)] == ["a", "b", "c"]
    assert "test.jsonl:4" in str(recwarn.pop(UserWarning).message)


def test_files_of_one_name_are_told_apart(dataset, tmp_path):
    for folder in ("a/same", "b/same"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("test.jsonl", "types.json"):
            (tmp_path / folder / name).write_bytes((tmp_path / name).read_bytes())
    packed = tmp_path / "a" / "same" / "dev.jsonl.gz"
    packed.write_bytes(gzip.compress(dataset.read_bytes()))
    one, other = (tmp_path / folder / "same" / "test.jsonl" for folder in "ab")
    assert list(load_datasets([one, packed])) == ["same/test", "same/dev"]
    assert list(load_datasets([one, other])) == ["a/same/test", "b/same/test"]
    again = shutil.copy(packed, packed.with_name("test.jsonl.gz"))
    assert list(load_datasets([one, again])) == ["same/test.jsonl", "same/test.jsonl.gz"]
    with pytest.raises(ValueError, match="names a file twice"):
        load_datasets([one, tmp_path / "a" / "same" / "test.jsonl"])


# ---- definitions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def worded(dataset):
    """The same data with generic definitions of its types."""
    types = {label: {**each, "generic": f"Some {each['name']}."} for label, each in TYPES.items()}
    (dataset.parent / "types.json").write_text(json.dumps(types))
    return dataset


def test_types_are_asked_in_the_wording_that_is_wanted(worded):
    names = ["person", "programming language"]
    for wording, definitions in [
        ("precise", [TYPES["person"]["definition"], TYPES["lang"]["definition"]]),
        ("generic", ["Some person.", "Some programming language."]),
        ("name", names),
    ]:
        records = load_dataset(worded, wording=wording)
        assert [each.label for each in records[0].entities] == names
        assert all(record.types == dict(zip(names, definitions, strict=True)) for record in records)
    with pytest.raises(ValueError, match="`wording` should be one of name, generic, precise, got 'long'"):
        load_dataset(worded, wording="long")


def test_no_generic_definition_is_an_error_that_names_the_types(dataset):
    with pytest.raises(ValueError, match="no generic definition of 'person', 'programming language'"):
        load_dataset(dataset, wording="generic")


def test_given_definitions_stand_for_those_of_the_data(dataset, recwarn):
    given = {"person": "Whoever.", "lang": "Code.", "planet": "A planet."}  # by name, by label, and one too many
    records = load_dataset(dataset, types=given)
    assert records[0].types == {"person": "Whoever.", "programming language": "Code."}
    assert [each.label for each in records[0].entities] == ["person", "programming language"]
    assert "test.jsonl is not annotated with 'planet': not asked" in str(recwarn.pop(UserWarning).message)
    with pytest.raises(ValueError, match="`types` lack 'programming language', with which this file is annotated"):
        load_dataset(dataset, types={"person": "Whoever."})
    assert load_dataset(dataset, types={"person": "Whoever."}, ignore_labels=("misc", "lang"))[0].types == {
        "person": "Whoever."
    }


def test_given_definitions_stand_for_those_of_the_records(tmp_path):
    own = {"person": "A human."}
    write_records(tmp_path / "test.jsonl", [Record("a", "Ada wrote", [Entity(0, 3, "person")], types=own)])
    assert load_dataset(tmp_path / "test.jsonl", types={"person": "Whoever."})[0].types == {"person": "Whoever."}


def test_thresholds_reach_the_pipeline(dataset):
    asked = []

    def pipeline(items, **options):
        asked.extend(item["entity_types"] for item in items)
        return [[] for _ in items]

    records = load_dataset(dataset)
    predict(pipeline, records, {"person": 0.7})
    assert asked[0]["person"] == {"definition": "A named human being.", "threshold": 0.7}
    assert resolve_schema(asked[0]).thresholds == {"person": 0.7}
    predict(pipeline, records)
    assert asked[-1] == records[0].types
