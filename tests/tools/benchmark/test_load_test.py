"""The load test of the server: what it counts as wrong, and that it measures each number of clients."""

import socket

import pytest
from endpoint import Reply, serve

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from jpt_ner.tools.benchmark.load_clients import Answer, ask
from jpt_ner.tools.benchmark.load_test import _wrong, markdown, measure, write
from tiny import tiny_tokenizer


def test_clients_are_measured_beside_direct_calls(make_model, tmp_path):
    make_model(type_embedding="prompt").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    result = measure(str(tmp_path / "model"), clients=[1, 3], texts=4, rounds=1, device="cpu")
    for found in result["clients"].values():
        assert {name: found[name] for name in ("answers", "failed", "mixed", "differ")} == {
            "answers": 4,
            "failed": 0,
            "mixed": 0,
            "differ": 0,
        }
        assert 0 < found["p50_milliseconds"] <= found["p95_milliseconds"]
    assert "| 3 clients |" in markdown(result)
    assert [file.name for file in write(result, tmp_path / "report")] == ["report.json", "report.md"]


REPLIES = {
    "good": Reply('{"entities": []}'),
    "refused": Reply('{"detail": "full"}', 503),
    "no JSON": Reply("<html>", 502),
    "no JSON, and called good": Reply("<html>"),
    "no object": Reply("[]"),
    "cut off": Reply('{"entities": []}', headers={"content-length": "99"}),
    "no answer": Reply(silence=0.01),
}


def test_unreadable_answers_count_as_failed_and_end_no_client():
    texts = [each for kind in REPLIES for each in ("good", "good", kind)]  # three clients, one of them for what fails
    with serve(lambda body: REPLIES[body["text"]]) as endpoint:
        port = int(endpoint.url.split(":")[-1].removesuffix("/v1"))
        _, answers = ask(port, texts, {"city": ""}, clients=3)
    assert sorted(each.number for each in answers) == [*range(len(texts))]
    assert {texts[each.number] for each in answers if each.status == 200} == {"good"}
    direct = [[[] for _ in texts]]
    counts = _wrong([(0, each) for each in answers], [texts], direct, {"city": ""})
    assert counts == {"answers": len(texts), "failed": len(REPLIES) - 1, "mixed": 0, "differ": 0}


def test_a_server_that_cannot_be_reached_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OSError):
        ask(port, ["a", "b"], {"city": ""}, clients=2)


def test_answers_of_other_texts_are_noticed():
    def entity(word, start, label="city"):
        return {"word": word, "start": start, "end": start + len(word), "entity_group": label}

    turns, direct = [["In Graz.", "In Bari."]], [[[entity("Graz", 3)], [entity("Bari", 3)]]]
    answers = [
        (0, Answer(0, 200, 0.1, [entity("Graz", 3)])),
        (0, Answer(1, 200, 0.1, [entity("Graz", 3)])),
        (0, Answer(1, 200, 0.1, [entity("Bari", 3, "dish")])),
        (0, Answer(0, 503, 0.1, [])),
    ]
    assert _wrong(answers, turns, direct, {"city": ""}) == {"answers": 4, "failed": 1, "mixed": 2, "differ": 2}
