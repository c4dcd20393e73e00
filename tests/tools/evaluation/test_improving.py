"""Improved definitions: what they miss, scored proposals and drafts, judgement on other texts, and stopped runs."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from endpoint import FULL, Reply, completion, serve
from jpt_ner.schema_jpt import load_schema, resolve_schema
from jpt_ner.tools import cli
from jpt_ner.tools.chat import ChatEndpoint, EndpointError
from jpt_ner.tools.commands import types
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.diagnosis import diagnose_types
from jpt_ner.tools.evaluation.errors import analyse_text
from jpt_ner.tools.evaluation.evaluate import load_dataset, predict, redefine, score_predictions
from jpt_ner.tools.evaluation.improvement_report import improvement_report
from jpt_ner.tools.evaluation.improving import _halves, improve_schema
from typer.testing import CliRunner

SCHEMA = {
    "animal": "A beast by name, such as Otter.",
    "place": "A town, such as Rome or Heron.",
    "ghost": "What nobody has seen, such as Casper.",
}
MENTIONS = {"animal": ["Otter", "Badger", "Heron"], "place": ["Rome"]}
SCORE = 0.5  # of all predictions
DRAFTS = ["Any beast at all: Otter, Badger or Heron.", "Some beast or other, but never Rome."]


class Reader:
    """A model that takes definitions literally: it finds the capitalised words that they hold, each under one type."""

    model = None

    def __init__(self, patience=None):
        self.patience, self.texts = patience, 0

    def __call__(self, items, **options):
        for item in items:
            if self.patience is not None and self.texts >= self.patience:
                raise KeyboardInterrupt
            self.texts += 1
            found = []
            for word in re.finditer(r"[A-Z]\w+", item["text"]):
                for name, definition in item["entity_types"].items():
                    if isinstance(definition, dict):
                        if (definition["threshold"] or 0) > SCORE:
                            continue
                        definition = definition["definition"]
                    if re.search(rf"(?<!\. )\b{word[0]}\b", definition):
                        place = {"start": word.start(), "end": word.end(), "word": word[0]}
                        found.append({**place, "entity_group": name, "score": SCORE})
                        break
            yield found


def labelled(text, mentions=MENTIONS):
    return sorted(
        (
            Entity(word.start(), word.end(), label)
            for label, words in mentions.items()
            for word in re.finditer("|".join(words), text)
        ),
        key=lambda each: each.start,
    )


@pytest.fixture
def data(tmp_path):
    """Badgers are missed and herons taken for places."""
    texts = [
        f"Once {a} met {b} in Rome, and it rained {n} days."
        for n in range(4)
        for a, b in [("Otter", "Badger"), ("Heron", "Badger")]
    ]
    types = {name: SCHEMA[name] for name in ("animal", "place")}
    write_records(
        tmp_path / "data.jsonl", [Record(str(n), text, labelled(text), types) for n, text in enumerate(texts)]
    )
    (tmp_path / "types.yaml").write_text(yaml.safe_dump({"entity_types": SCHEMA}, sort_keys=False))
    return tmp_path / "data.jsonl"


def drafted(body):
    """Drafts for animals, and none of use for others."""
    wanted = "animal" in body["messages"][1]["content"].split("\n")[0]
    return completion(json.dumps({"definitions": DRAFTS if wanted else ["A town or a village like Rome or others."]}))


def improve(data, reader=None, endpoint=None, **options):
    with pytest.warns(UserWarning, match="not annotated with 'ghost'"):
        options = {"model": str(data.parent), **options}
        return improve_schema(resolve_schema(SCHEMA), data, reader or Reader(), endpoint=endpoint, **options)


def test_diagnosis_says_what_is_lost_and_to_which_type():
    texts = []
    for number in range(4):
        text = f"Otter, Badger and Heron {number} saw The Rome of Casper"
        record = Record(str(number), text, labelled(text, {**MENTIONS, "place": ["The Rome"]}), SCHEMA)
        texts.append(analyse_text("", record, next(Reader()([{"text": text, "entity_types": SCHEMA}]))))
    animal, place, ghost = diagnose_types(resolve_schema(SCHEMA), texts)
    assert animal.findings == [
        '4 of its 12 mentions are missed, such as "Badger".',
        "4 of its 12 mentions are taken for 'place', such as \"Heron\".",
    ]
    assert animal.proposals[0].entity_type.examples == ("Badger", "Heron")
    assert "4 of its 8 predictions are mentions of 'animal'." in place.findings
    assert any('lack words of the mention, such as "The"' in each for each in place.findings)
    reasons = {each.reason: each.entity_type.definition for each in place.proposals}
    assert (
        reasons["says that 'animal' is not meant"]
        == f"{SCHEMA['place']} Not an animal: a beast by name, such as Otter."
    )
    assert 'The words "The" belong to it.' in reasons["says where it begins and ends"]
    assert (
        ghost.findings == ["The data has no mention of it: its definition cannot be judged."] and not ghost.proposals
    )


def test_what_the_errors_suggest_is_tried_and_kept_if_others_confirm_it(data):
    result = improve(data)
    assert result.texts == (4, 4)
    assert set(dict(zip(result.schema.names, result.schema.entity_types))["animal"].examples) >= {"Badger"}
    assert result.judgement.confirmed and result.judgement.f1[1] > result.judgement.f1[0]
    chosen = [trial for each in result.types for trial in each.trials if trial.chosen]
    assert chosen and all(trial.f1 > 0 for trial in chosen)
    report = improvement_report(result)
    assert "chosen (examples of what is lost)" in report and "no part in choosing" in report


def test_what_others_do_not_confirm_is_not_kept(tmp_path):
    texts = ["Badger and Otter"] * 10
    plain = [Record(str(number), text, [], SCHEMA) for number, text in enumerate(texts)]
    choosing = {record.id for record in _halves(plain, 0)[0]}
    records = [
        Record(
            each.id, each.text, labelled(each.text, {"animal": ["Otter"] + ["Badger"] * (each.id in choosing)}), SCHEMA
        )
        for each in plain
    ]
    write_records(tmp_path / "data.jsonl", records)
    schema = resolve_schema(SCHEMA)
    result = improve_schema(schema, tmp_path / "data.jsonl", Reader())
    assert any(trial.chosen for each in result.types for trial in each.trials)
    assert not result.judgement.confirmed and result.schema == schema
    report = improvement_report(result)
    assert "chosen (" in report and "So the definitions stay as they are" in report
    assert "kept" not in report


def test_drafts_of_a_language_model_are_scored_and_the_best_kept(data):
    with serve(drafted) as server:
        result = improve(data, endpoint=ChatEndpoint(server.url, "m"), drafts=2)
    animal = dict(zip(result.schema.names, result.schema.entity_types))["animal"]
    (of_animals,) = (each for each in result.types if each.diagnosis.entity_type.name == "animal")
    trials = {trial.proposal.reason: trial for trial in of_animals.trials}
    assert trials["draft 1"].proposal.entity_type.definition == DRAFTS[0]
    best = max(of_animals.trials, key=lambda trial: trial.f1)
    assert best.chosen and best.f1 >= trials["draft 1"].f1 > trials["draft 2"].f1
    assert animal == best.proposal.entity_type and result.judgement.confirmed
    assert len(server.requests) == 2  # nothing for what the data has no mention of
    shown = server.requests[0]["messages"][1]["content"]
    assert "[[Badger]]" in shown and SCHEMA["place"] in shown and "are missed" in shown


def test_thresholds_of_the_schema_count_in_its_scores(data):
    """F1 is that of the schema that is written, thresholds included: no place is found here."""
    schema = resolve_schema(SCHEMA)
    kinds = [replace(each, threshold={"place": 0.6, "animal": 0.4}.get(each.name)) for each in schema.entity_types]
    with pytest.warns(UserWarning, match="not annotated with 'ghost'"):
        result = improve_schema(replace(schema, entity_types=tuple(kinds)), data, Reader())
    assert result.schema.thresholds == {"animal": 0.4, "place": 0.6}
    _, judging = _halves(load_dataset(data), 0)
    asked = redefine(judging, dict(zip(result.schema.names, result.schema.descriptions)))
    scores = score_predictions(asked, predict(Reader(), asked, result.schema.thresholds))
    assert result.judgement.f1[1] == scores.strict.f1
    assert result.judgement.after["place"] == 0 < result.judgement.after["animal"]


def test_types_to_change_can_be_named(data):
    result = improve(data, only=["place"])
    assert not any(each.trials for each in result.types if each.diagnosis.entity_type.name != "place")
    with pytest.raises(ValueError, match="'plaice' is no type of the schema; its types: animal, place, ghost"):
        improve_schema(resolve_schema(SCHEMA), data, Reader(), only=["plaice"])


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_stopped_run_resumes_without_asking_or_reading_again(data, tmp_path):
    with serve(drafted) as server:
        endpoint = ChatEndpoint(server.url, "m")
        whole = improve(data, endpoint=endpoint, log=tmp_path / "whole.jsonl")
        once = Reader()
        improve(data, once, endpoint, log=tmp_path / "other.jsonl")
        asked = len(server.requests)
        with pytest.raises(KeyboardInterrupt):
            improve(data, Reader(patience=14), endpoint, log=tmp_path / "log.jsonl")
        rest = Reader()
        again = improve(data, rest, endpoint, log=tmp_path / "log.jsonl")
    assert again.schema == whole.schema and improvement_report(again) == improvement_report(whole)
    assert rest.texts < once.texts
    assert len(server.requests) == asked + 2  # of the run that was stopped
    with pytest.raises(ValueError, match="log of another run, which differs in endpoint;"):
        improve(data, log=tmp_path / "log.jsonl")


def test_predictions_of_another_model_are_not_used(data, tmp_path):
    folder, log = tmp_path / "model", tmp_path / "log.jsonl"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"before")
    improve(data, log=log, model=str(folder))
    again = Reader()
    improve(data, again, log=log, model=str(folder))
    assert again.texts == 0
    (folder / "model.safetensors").write_bytes(b"after!")  # trained again, into the same folder
    with pytest.raises(ValueError, match=r"log of another run, which differs in model\.revision;"):
        improve(data, log=log, model=str(folder))
    with pytest.raises(ValueError, match="`model` must name the model if there is a `log`"):
        improve_schema(resolve_schema(SCHEMA), data, Reader(), log=log)


def test_useless_answers_cost_the_drafts_of_a_type_only(data):
    def answer(body):
        return completion("{half a") if "animal" in body["messages"][1]["content"].split("\n")[0] else drafted(body)

    with serve(answer) as server:
        result = improve(data, endpoint=ChatEndpoint(server.url, "m"))
    (note,) = result.notes
    assert "No drafts for 'animal': m: no usable answer in 3 attempts" in note
    assert any(trial.proposal.reason == "examples of what is lost" for each in result.types for trial in each.trials)


def test_an_endpoint_that_stops_answering_loses_nothing(data, tmp_path):
    replies = [drafted({"messages": [None, {"content": "animal"}]}), FULL]
    with serve(replies) as server:
        endpoint = ChatEndpoint(server.url, "m", max_retries=1)
        result = improve(data, endpoint=endpoint, log=tmp_path / "log.jsonl")
        assert "No more drafts, from 'place' on" in result.notes[0] and "429" in result.notes[0]
        assert any(trial.proposal.reason == "draft 1" for each in result.types for trial in each.trials)
        replies[:] = [drafted({"messages": [None, {"content": "place"}]})]
        server.answer = drafted
        asked = len(server.requests)
        again = improve(data, endpoint=endpoint, log=tmp_path / "log.jsonl")
        assert not again.notes and len(server.requests) == asked + 1
    with serve([Reply("{}", 401)]) as server, pytest.raises(EndpointError, match="refuses the key"):
        improve(data, endpoint=ChatEndpoint(server.url, "m"))


def test_too_little_data_is_refused(tmp_path):
    write_records(tmp_path / "data.jsonl", [Record("1", "Otter", [], SCHEMA)])
    with pytest.raises(ValueError, match="one text is too little"):
        improve_schema(resolve_schema(SCHEMA), tmp_path / "data.jsonl", Reader())


# ---- the command ----------------------------------------------------------------------------------------------------


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["types", "improve", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return " ".join(re.sub("[─│╭╮╰╯]", " ", result.stderr if code else result.stdout).split())


@pytest.mark.filterwarnings("ignore:.*not annotated")
def test_command_writes_the_better_schema(data, monkeypatch):
    monkeypatch.setattr(types, "load_pipeline", lambda model, device: Reader())
    schema, better = data.parent / "types.yaml", data.parent / "better.yaml"
    told = run(schema, "--data", data, "-o", better)
    assert "4 texts to choose definitions on" in told
    assert "Badger" in load_schema(better).descriptions[0]
    assert "give --data FILE" in run(schema, code=2)
    assert "--base-url and --model go together" in run(schema, "--data", data, "--model", "m", code=2)
    assert "a schema file ends in" in run(schema, "--data", data, "-o", "x.txt", code=2)


@pytest.mark.filterwarnings("ignore:.*not annotated")
def test_command_takes_a_folder_of_data(data, tmp_path, monkeypatch):
    monkeypatch.setattr(types, "load_pipeline", lambda model, device: Reader())
    lines = data.read_text().splitlines(keepends=True)
    (tmp_path / "set").mkdir()
    for name, part in (("a.jsonl", lines[:4]), ("b.jsonl", lines[4:])):
        (tmp_path / "set" / name).write_text("".join(part))
    call = [tmp_path / "types.yaml", "--data", tmp_path / "set", "-o", tmp_path / "better.yaml"]
    told = run(*call)
    assert "4 texts to choose definitions on" in told and run(*call) == told
    (tmp_path / "set" / "b.jsonl").write_text("".join(lines[5:]))
    assert "log of another run, which differs in data" in run(*call, code=2)
    assert "outside the folder" in run(*call[:-1], tmp_path / "set" / "better.yaml", code=2)  # its log would be data


def test_command_drafts_from_names_and_examples_without_data(tmp_path):
    types = [
        {"name": "bird", "definition": "bird", "examples": ["Heron"]},
        {"name": "town", "definition": "Any town."},
    ]
    (tmp_path / "types.json").write_text(json.dumps({"entity_types": types}))
    with serve([completion('{"definitions": ["An animal with feathers, by its name."]}')]) as server:
        told = run(tmp_path / "types.json", "--base-url", server.url, "--model", "m", "-o", tmp_path / "out.json")
    assert "An animal with feathers, by its name." in told and len(server.requests) == 1
    assert "Examples of it: Heron" in server.requests[0]["messages"][1]["content"]
    bird, town = load_schema(tmp_path / "out.json").entity_types
    assert bird.examples == ("Heron",) and town.definition == "Any town."
    assert "every type has a definition" in run(
        tmp_path / "out.json", "--base-url", "http://127.0.0.1:9", "--model", "m", code=2
    )
