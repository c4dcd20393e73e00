"""Settings tried on labelled data: each row equals an evaluation of a model that has these settings."""

import json

import pytest
from comparing import assert_same_entities
from jpt_ner.tools import cli
from jpt_ner.tools.commands import evaluation
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.evaluate import load_dataset, predict, score_predictions
from jpt_ner.tools.evaluation.sweep import parse_settings, sweep, sweep_table
from typer.testing import CliRunner

TYPES = {"artist": "Who sings", "city": "Big town"}
TEXTS = ["Angela Merkel visited Paris in May, said Bob Dylan.", "Ada met Bob", "Rome", "Paris and Rome, Bob and Ada"]


@pytest.fixture
def file(tmp_path):
    records = [Record(str(i), text, [Entity(0, 3, "artist")], TYPES) for i, text in enumerate(TEXTS)]
    write_records(tmp_path / "dev.jsonl", records)
    return tmp_path / "dev.jsonl"


@pytest.fixture
def model(make_pipeline):
    return make_pipeline(begin_head=True, readings=["twice", "open"])


def f1(pipe, file, **options):
    records = load_dataset(file)
    return score_predictions(records, predict(pipe, records, **options)).strict.f1


def entities_found(monkeypatch):
    """Every list of entities that a sweep scores."""
    from jpt_ner.tools.evaluation import sweep as module

    found = []
    score = module.score_predictions
    monkeypatch.setattr(module, "score_predictions", lambda records, each: found.append(each) or score(records, each))
    return found


def test_rows_equal_models_with_these_settings(model, make_pipeline, file, monkeypatch):
    found = entities_found(monkeypatch)
    settings = {
        "outside_bias": [-3.0, 0.3],
        "switch_cost": [0.0, 4.0],
        "softmax_temperature": [1.0, 2.0],
        "sigmoid_temperature": [0.5],
    }
    result = sweep(model, [file], settings)
    assert len(result.trials) == len(found) == 8
    records = load_dataset(file)
    for trial, entities in zip(result.trials, found, strict=True):
        own = make_pipeline(begin_head=True, readings=["twice", "open"], **trial.setting)
        expected = predict(own, records)
        assert [[(e["start"], e["end"], e["entity_group"]) for e in each] for each in entities] == [
            [(e["start"], e["end"], e["entity_group"]) for e in each] for each in expected
        ]
        scores = [e["score"] for each in expected for e in each]
        assert [e["score"] for each in entities for e in each] == pytest.approx(scores, abs=1e-4)
        assert trial.f1 == {f"{file.parent.name}/dev": score_predictions(records, expected).strict.f1}
    assert len({str(each) for each in found}) > 2  # the settings do something
    assert model.model.config.outside_bias == 0.3


def test_ways_of_reading(model, file):
    result = sweep(model, [file], {"decoder": ["word", "token"], "reading": ["twice", "open"]})
    expected = [
        f1(model, file, reading=reading, decoder=decoder)
        for reading in ("twice", "open")
        for decoder in ("word", "token")
    ]
    assert [trial.mean for trial in result.trials] == expected
    assert result.present == {"decoder": "word", "reading": "twice"}
    assert "| seconds | speed |" in sweep_table(result)
    sure = model.model.config.auto_confidence
    auto = sweep(model, [file], {"reading": ["auto"], "auto_confidence": [0.0, 1.0], "begin_head": [False]})
    assert model.model.config.auto_confidence == sure
    without = sweep(model, [file], {"reading": ["open", "twice"], "begin_head": [False]})
    assert [trial.f1 for trial in auto.trials] == [trial.f1 for trial in without.trials]
    with pytest.raises(ValueError, match="once"):
        sweep(model, [file], {"reading": ["once"]})


def test_what_is_said_of_the_types(model, make_pipeline, file, monkeypatch):
    found = entities_found(monkeypatch)
    settings = {"prompt_types": ["definitions", "names"], "embedded_types": ["names", "both"]}
    before = predict(model, load_dataset(file))
    result = sweep(model, [file], settings)
    for trial, entities in zip(result.trials, found, strict=True):
        own = make_pipeline(begin_head=True, readings=["twice", "open"], **trial.setting)
        assert_same_entities(entities, predict(own, load_dataset(file)))
    assert len({str(each) for each in found}) == 4
    assert_same_entities(predict(model, load_dataset(file)), before)


def test_command(model, file, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(evaluation, "load_pipeline", lambda name, device: model)
    run = lambda *arguments: CliRunner().invoke(cli.app, ["sweep", str(file), *arguments])  # noqa: E731
    done = run("--set", "outside_bias=-1,0,0.3", "-o", str(tmp_path / "sweep"))
    assert done.exit_code == 0, done.output
    assert "The model has `outside_bias` 0.3." in done.stdout and "| outside_bias |" in done.stdout
    trials = json.loads((tmp_path / "sweep.json").read_text())["trials"]
    assert [trial["setting"] for trial in trials] == [{"outside_bias": value} for value in (-1.0, 0.0, 0.3)]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert f"{max(100 * trial['mean'] for trial in trials):.1f}**" in (tmp_path / "sweep.md").read_text()
    done = run("--set", "begin_head=true,false", "-o", str(tmp_path / "begin"))
    assert done.exit_code == 0 and not (tmp_path / "begin.png").exists()
    given = run("--set", "decoder=word", "-t", "artist=Who sings", "-t", "city=Big town")
    (tmp_path / "types.json").write_text(
        json.dumps({each: {"name": each, "definition": TYPES[each]} for each in TYPES})
    )
    assert run("--set", "decoder=word", "-t", str(tmp_path / "types.json")).stdout == given.stdout != ""
    done = run("--set", "decoder=word", "-t", "general", "-t", "music")
    assert done.exit_code == 2 and "expected one set of definitions, got 2" in done.stderr


@pytest.mark.parametrize(
    "given, words",
    [
        ("bias=1", "one of prompt_types"),
        ("outside_bias", "expected NAME=VALUE"),
        ("outside_bias=", "expected NAME=VALUE"),
        ("outside_bias=nan", "a number from -100 to 100"),
        ("outside_bias=x", "a number from -100 to 100"),
        ("switch_cost=-1", "a number from 0 to 100"),
        ("auto_confidence=2", "a number from 0 to 1"),
        ("begin_head=yes", "one of true, false"),
        ("reading=thrice", "one of twice"),
    ],
)
def test_unusable_settings(given, words):
    with pytest.raises(ValueError, match=words):
        parse_settings([given])


def test_a_setting_is_given_once():
    with pytest.raises(ValueError, match="outside_bias is given twice"):
        parse_settings(["outside_bias=1", "outside_bias=2"])
    assert parse_settings(["switch_cost=1, 1,2"]) == {"switch_cost": [1.0, 2.0]}
