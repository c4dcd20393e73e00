"""The load test of the server: what it counts as wrong, and that it measures each number of clients."""

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from jpt_ner.tools.benchmark.load_clients import Answer
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
