"""The backend of Label Studio: what interfaces say, what is predicted for tasks, and that the export reads it back."""

import json

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from fastapi.testclient import TestClient
from jpt_ner.integrations.label_studio import build_app, read_interface
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import read_records

CONFIG = """<View><!-- a remark --><Labels name="mark" toName="body">
  <Label value="city" background="red"/><Label value="artist" hint="A musician, singer or band."/>
</Labels><Text name="body" value="$review"/></View>"""
TEXTS = ["Paris released a new album.", "Angela Merkel 🙂 visited Paris."]
TASKS = [{"id": number, "data": {"review": text, "source": "x"}} for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def client(pipe):
    with TestClient(build_app(pipe, resolve_schema({"city": "A named town.", "dish": "Food."}))) as client:
        yield client


def test_labels_are_the_types():
    interface = read_interface(CONFIG, resolve_schema({"city": "A named town.", "dish": "Food."}))
    assert (interface.from_name, interface.to_name, interface.key) == ("mark", "body", "review")
    types = {each.name: each.definition for each in interface.schema.entity_types}
    assert types == {"city": "A named town.", "artist": "A musician, singer or band."}


def test_tasks_are_annotated(client, pipe, tmp_path):
    answer = client.post("/predict", json={"tasks": TASKS, "label_config": CONFIG, "project": "1.2", "params": {}})
    predictions = answer.json()["results"]
    types = {"city": "A named town.", "artist": "A musician, singer or band."}
    expected = pipe(TEXTS, entity_types=types)
    for prediction, entities in zip(predictions, expected, strict=True):
        assert [each["value"] for each in prediction["result"]] == [
            {"start": e["start"], "end": e["end"], "text": e["word"], "labels": [e["entity_group"]]} for e in entities
        ]
        assert {(each["from_name"], each["to_name"], each["type"]) for each in prediction["result"]} <= {
            ("mark", "body", "labels")
        }
    export = tmp_path / "export.json"
    export.write_text(json.dumps([{**task, "annotations": [p]} for task, p in zip(TASKS, predictions)]))
    records = read_records(export, text_column="review")
    assert [len(record.entities) for record in records] == [len(entities) for entities in expected]


def test_the_rest_of_the_protocol(client):
    assert client.get("/health").json()["status"] == "UP"
    assert client.post("/setup", json={"project": "1", "schema": CONFIG}).json() == {"model_version": "jpt-ner"}
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 201
    assert client.post("/predict", json={"tasks": [], "label_config": CONFIG}).json()["results"] == []


@pytest.mark.parametrize(
    ("config", "tasks", "said"),
    [
        ("<View", TASKS, "is no XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><View/>", TASKS, "may not declare"),
        ("<View><Text name='a' value='$a'/></View>", TASKS, "no <Labels"),
        ("<View><Labels name='l' toName='a'/><Text name='a' value='$a'/></View>", TASKS, "has no <Label"),
        (CONFIG, [*TASKS, {"id": 3, "data": {"text": "a"}}], "`tasks[2]` has no text under 'review'"),
    ],
)
def test_what_is_wrong_is_named(client, config, tasks, said):
    answer = client.post("/predict", json={"tasks": tasks, "label_config": config})
    assert answer.status_code == 422 and said in answer.json()["detail"]
