"""The backend of Label Studio: what interfaces say, what is predicted for tasks, and that the export reads it back."""

import json
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from fastapi.testclient import TestClient
from jpt_ner.integrations import label_studio
from jpt_ner.integrations.label_studio import build_app, read_interface
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.serving.batching import Batcher

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


def test_a_full_or_closing_queue_asks_to_come_again(monkeypatch):
    free = threading.Event()

    def slow(items, **options):
        assert free.wait(20)
        return [[] for _ in items]

    monkeypatch.setattr(label_studio, "Batcher", partial(Batcher, max_waiting=2))
    app, body = build_app(slow), {"tasks": TASKS[:1], "label_config": CONFIG}
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.post, "/predict", json=body) for _ in range(8)]
        try:
            done, _ = wait(asked, 20, FIRST_COMPLETED)
        finally:
            free.set()
        assert {each.result().status_code for each in asked} == {200, 503}
    full = done.pop().result()
    assert full.status_code == 503 and "try again" in full.json()["detail"]
    assert int(full.headers["Retry-After"]) >= 1
    closed = TestClient(app).post("/predict", json=body)  # after the end of the lifespan
    assert closed.status_code == 503 and "shutting down" in closed.json()["detail"]
    assert int(closed.headers["Retry-After"]) >= 1
