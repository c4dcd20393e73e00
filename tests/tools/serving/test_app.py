"""The service over HTTP: answers, refusals and their messages, and a clean shutdown."""

import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from jpt_ner.schema_jpt import list_presets, resolve_schema
from jpt_ner.tools.serving.app import build_app
from jpt_ner.tools.serving.limits import Limits
from jpt_ner.tools.serving.server import listen

TYPES = {"city": "A named town.", "artist": "A musician, singer or band."}
TEXTS = ["Paris released a new album.", "Angela Merkel visited Paris.", "", "Ünïcode 🙂 in Zürich"]
LIMITS = Limits(max_characters=100, max_texts=8, max_types=3, max_body=4000, timeout=20)


@pytest.fixture(scope="module")
def client(pipe):
    with TestClient(build_app(pipe, resolve_schema(TYPES), LIMITS, model_name="tiny")) as client:
        yield client


def is_near(found, expected):
    """The same spans, and scores but for what other batches change."""
    assert [{**each, "score": None} for each in found] == [{**each, "score": None} for each in expected]
    assert [each["score"] for each in found] == pytest.approx([each["score"] for each in expected], abs=1e-4)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_tag_finds_what_the_pipeline_finds(client, pipe):
    expected = pipe(TEXTS, entity_types=TYPES)
    assert sum(map(len, expected)) >= 3
    for text, entities in zip(TEXTS, expected):
        is_near(client.post("/tag", json={"text": text, "entity_types": TYPES}).json()["entities"], entities)
    results = client.post("/tag/batch", json={"texts": TEXTS}).json()["results"]
    for found, entities in zip(results, expected, strict=True):
        is_near(found["entities"], entities)


@pytest.mark.parametrize("options", [{"threshold": 0.6}, {"threshold": {"city": 0.7}}, {"nested": True}, {"top_k": 1}])
def test_options_are_those_of_the_pipeline(client, pipe, options):
    found = client.post("/tag", json={"text": TEXTS[1], **options}).json()["entities"]
    expected = pipe(TEXTS[1], entity_types=TYPES, **options)
    for one, other in zip(found, expected, strict=True):
        assert [each["entity_group"] for each in one.pop("alternatives", [])] == [
            each["entity_group"] for each in other.pop("alternatives", [])
        ]
    is_near(found, expected)


def test_texts_may_have_types_of_their_own(client, pipe):
    texts = [TEXTS[0], {"text": TEXTS[1], "entity_types": ["person"]}]
    results = client.post("/tag/batch", json={"texts": texts, "threshold": {"person": 0.2}}).json()["results"]
    assert {each["entity_group"] for each in results[1]["entities"]} <= {"person"}
    is_near(results[1]["entities"], pipe(TEXTS[1], entity_types=["person"], threshold={"person": 0.2}))


def test_answers_of_many_clients_are_not_mixed(client, pipe):
    """Each client uses its own types, which reveal an answer to another client."""
    cases = [
        (f"Item {i} of Paris and Zürich, said Merkel {i}.", {f"kind {i % 5}": f"Word {i % 5}."}) for i in range(20)
    ]
    with ThreadPoolExecutor(32) as pool:
        answers = list(
            pool.map(lambda case: client.post("/tag", json={"text": case[0], "entity_types": case[1]}).json(), cases)
        )
    for (text, types), answer in zip(cases, answers):
        is_near(answer["entities"], pipe(text, entity_types=types))


def test_about(client):
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "waiting": 0}
    types = client.get("/types").json()
    assert set(types["presets"]) == set(list_presets())
    assert [each["name"] for each in types["default"]["entity_types"]] == list(TYPES)
    assert resolve_schema(client.get("/types/general").json()) == resolve_schema("general")
    assert client.get("/types/nothing").status_code == 404
    assert {"/tag", "/tag/batch", "/types", "/health", "/metrics"} <= client.get("/openapi.json").json()[
        "paths"
    ].keys()
    assert "swagger" in client.get("/docs").text


def test_metrics(client):
    client.post("/tag", json={"text": TEXTS[0]})
    client.get("/nowhere/at-all")
    lines = client.get("/metrics").text.splitlines()
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert values['jpt_requests_total{path="/tag",status="200"}'] >= 1
    assert values['jpt_requests_total{path="other",status="404"}'] >= 1
    assert values['jpt_request_seconds_count{path="/tag"}'] >= 1
    assert values["jpt_texts_together_sum"] >= 1 and values["jpt_texts_waiting"] == 0


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/tag", {}, "`text`: Field required"),
        ("/tag", {"text": 5}, "`text`"),
        ("/tag", {"text": "a", "thresold": 1}, "`thresold`: Extra inputs"),
        ("/tag", {"text": "a", "threshold": 2}, "`threshold"),
        ("/tag", {"text": "a", "threshold": True}, "`threshold`: Input should be a valid number"),
        ("/tag", {"text": "a", "threshold": {"city": 2}}, "`threshold.city`: Input should be less than"),
        ("/tag", {"text": "a", "threshold": {"town": 0.5}}, "`threshold` names 'town'"),
        ("/tag", {"text": "a" * 101}, "`text`: at most 100 characters"),
        ("/tag", {"text": "a", "entity_types": ["a", "b", "c", "d"]}, "at most 3 types"),
        ("/tag", {"text": "a", "entity_types": {}}, "entity_types is empty"),
        ("/tag", {"text": "a", "entity_types": "unheard-of"}, "unknown preset"),
        ("/tag", {"text": "a", "entity_types": "/etc/types.yaml"}, "no file is read here"),
        ("/tag", {"text": "a", "entity_types": {"a": "word " * 600}}, "at most"),
        ("/tag/batch", {"texts": []}, "`texts`"),
        ("/tag/batch", {"texts": ["a", 5]}, "`texts.1`: Input should be a valid string"),
        ("/tag/batch", {"texts": ["a", {"text": "b", "type": {}}]}, "`texts.1.type`: Extra inputs"),
        ("/tag/batch", {"texts": ["a", {"entity_types": "general"}]}, "`texts.1.text`: Field required"),
        ("/tag/batch", {"texts": ["a"] * 9}, "at most 8 texts"),
        ("/tag/batch", {"texts": ["a", "b" * 101]}, "`texts[1]`: at most"),
        (
            "/tag/batch",
            {"texts": [{"text": "a", "entity_types": "x.json"}]},
            "`texts[0]`: entity_types: give the types themselves",
        ),
    ],
)
def test_what_is_wrong_is_named(pipe, path, body, said):
    limits = Limits(max_characters=100, max_texts=8, max_types=3, max_body=2000)
    with TestClient(build_app(pipe, resolve_schema(TYPES), limits)) as client:
        answer = client.post(path, json=body)
    assert answer.status_code in (413, 422) and said in answer.json()["detail"].replace("up to", "at most")


def test_malformed_bodies(client):
    def post(content):
        return client.post("/tag", content=content, headers={"Content-Type": "application/json"})

    assert post(b'{"text": ').json()["detail"] == "`body`: broken JSON at character 9 (Expecting value)"
    assert post(b"").json()["detail"] == "`body`: Field required"
    assert post(b"[1]").json()["detail"].startswith("`body`: Input should be a valid dictionary")
    form = client.post("/tag", content=b'{"text": "a"}', headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code == 422 and "the header Content-Type: application/json" in form.json()["detail"]
    unknown = post(rb'{"text": "a", "entity_types": {"a": {"definition": "b", "\ud800": 1}}}')
    assert unknown.status_code == 422 and r"an unknown field '\ud800'" in unknown.json()["detail"]
    surrogate = post(rb'{"text": "a\ud800"}')
    assert surrogate.status_code == 422 and "lone surrogate" in surrogate.json()["detail"]
    assert post(b'{"text": "a", "threshold": NaN}').status_code == 422


def test_no_types_at_all(pipe):
    with TestClient(build_app(pipe)) as client:
        answer = client.post("/tag", json={"text": "a"})
    assert answer.status_code == 422 and "`entity_types` must be given" in answer.json()["detail"]


def test_too_large_body_with_and_without_its_length(client):
    for content in (b"x" * 50_000, (b"x" * 500 for _ in range(100))):
        answer = client.post("/tag", content=content)
        assert answer.status_code == 413 and "4,000 bytes" in answer.json()["detail"]


class Slow:
    """A pipeline that does not answer before it may."""

    def __init__(self, failure=None):
        self.free = threading.Event()
        self.failure = failure

    def __call__(self, items, **options):
        self.free.wait(20)
        if self.failure:
            raise self.failure
        return [[] for _ in items]


def test_time_out_and_full_queue():
    slow = Slow()
    app = build_app(slow, resolve_schema(TYPES), Limits(timeout=0.3, max_waiting=2))
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        try:
            answers = list(pool.map(lambda _: client.post("/tag", json={"text": "a"}), range(8)))
        finally:
            slow.free.set()
        assert {each.status_code for each in answers} == {503, 504}
        busy = next(each for each in answers if each.status_code == 503)
        assert int(busy.headers["Retry-After"]) >= 1 and "try again" in busy.json()["detail"]
        assert client.post("/tag", json={"text": "a"}).status_code == 200


def test_fault_of_the_server_is_its_own():
    broken = Slow(RuntimeError("out of memory at /secret"))
    broken.free.set()
    with TestClient(build_app(broken, resolve_schema(TYPES)), raise_server_exceptions=False) as client:
        answer = client.post("/tag", json={"text": "a"})
        assert answer.status_code == 500 and "secret" not in answer.text
        assert client.get("/health").status_code == 200


# ---- the program ----------------------------------------------------------------------------------------------------


def test_port_in_use_is_said_before_the_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 is in use; name another with --port"):
            listen("127.0.0.1", port)
    with pytest.raises(ValueError, match="no address of this machine"):
        listen("192.0.2.1", 0)


def test_program_serves_and_ends_tidily(make_model, tmp_path):
    """Stopped in the middle of a request, it answers that request, and ends with 0."""
    from tiny import tiny_tokenizer

    make_model(type_embedding="prompt").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jpt_ner.tools.cli", "serve", "-m", tmp_path, "-t", "city=A town."]
    process = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "Application startup complete" in line:
                break
        body = json.dumps({"text": "Paris. " * 500}).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            head = f"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            reader = connection.makefile("rb")
            while "in_flight 2.0" not in (told := _metrics(port)) and 'total{path="/tag"' not in told:
                pass
            process.send_signal(signal.SIGTERM)
            assert b"200" in reader.readline()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stderr.close()


def _metrics(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()
