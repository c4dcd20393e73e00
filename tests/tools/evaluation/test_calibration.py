"""Calibration of span scores: the error against a slow reference, temperatures that lower it, files and the command."""

import json

import numpy as np
import pytest
import torch
from jpt_ner.pipeline_jpt import Reading
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools import cli
from jpt_ner.tools.commands import evaluation
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.calibration import (
    Temperatures,
    calibration_of,
    fit_temperatures,
    plot_reliability,
    with_temperatures,
)
from jpt_ner.tools.evaluation.calibration_report import calibrate
from typer.testing import CliRunner

TYPES = {"a": "An a.", "b": "A b."}


def corpus(texts=400, seed=0, sharpness=3.0):
    """Texts of one word that are right as often as a model that is not so sharp would say."""
    rng = np.random.default_rng(seed)
    records, readings = [], []
    for number in range(texts):
        odds = rng.normal(0.5, 1.2)
        right = rng.random() < 1 / (1 + np.exp(-odds))
        entities = [Entity(0, 4, "a" if right else "b")]
        records.append(Record(str(number), "word", entities, TYPES))
        # O is out of the question, and each head gives the first type the same odds, too sharp ones.
        logits = torch.tensor([[-50.0, sharpness * odds, 0.0]], dtype=torch.float64)
        softmax = logits.softmax(-1).numpy()
        sigmoid = torch.tensor([[sharpness * odds, -30.0]], dtype=torch.float64).sigmoid().numpy()
        readings.append(Reading("word", resolve_schema(TYPES), np.array([[0, 4]]), softmax, sigmoid))
    return records, readings


def decode(reading):
    """The first type, with the mean of both heads."""
    score = float(reading.softmax[0, 1] + reading.sigmoid[0, 0]) / 2
    return [{"start": 0, "end": 4, "entity_group": "a", "score": score, "word": "word"}]


def test_calibration_error_equals_its_definition():
    records, readings = corpus(60)
    predictions = [decode(reading) for reading in readings]
    found = calibration_of(records, predictions)
    pairs = [(each[0]["score"], record.entities[0].label == "a") for each, record in zip(predictions, records)]
    error = 0.0
    for number in range(10):
        inside = [
            pair for pair in pairs if number / 10 <= pair[0] < (number + 1) / 10 or (number == 9 and pair[0] == 1)
        ]
        if inside:
            score, right = (sum(values) / len(inside) for values in zip(*inside))
            error += len(inside) / len(pairs) * abs(score - right)
    assert found.error == pytest.approx(error)
    assert found.count == 60 and sum(each.count for each in found.bins) == 60
    assert found.accuracy == pytest.approx(sum(right for _, right in pairs) / 60)
    assert calibration_of(records, [[] for _ in records]).error == 0


def test_temperature_divides_the_logits_of_its_head():
    generator = torch.Generator().manual_seed(0)
    softmax, sigmoid = torch.randn(5, 3, generator=generator), torch.randn(5, 2, generator=generator)
    offsets = np.array([[i, i + 1] for i in range(5)])
    reading = Reading("abcde", resolve_schema(TYPES), offsets, softmax.softmax(-1).numpy(), sigmoid.sigmoid().numpy())
    changed = with_temperatures(reading, Temperatures(2.0, 0.5))
    assert changed.softmax == pytest.approx((softmax / 2).softmax(-1).numpy(), abs=1e-5)
    assert changed.sigmoid == pytest.approx((sigmoid / 0.5).sigmoid().numpy(), abs=1e-5)
    same = with_temperatures(reading, Temperatures())
    assert same.softmax == pytest.approx(reading.softmax, abs=1e-6)
    sure = Reading("a", resolve_schema(TYPES), np.array([[0, 1]]), np.array([[0.0, 1, 0]]), np.array([[1.0, 0]]))
    assert np.isfinite(with_temperatures(sure, Temperatures(4, 4)).probabilities).all()


def test_fitted_temperatures_undo_what_is_too_sharp():
    records, readings = corpus()
    temperatures = fit_temperatures(records, readings, decode)
    assert temperatures.softmax > 1.5 and temperatures.sigmoid > 1.5
    others, other_readings = corpus(seed=1)
    before = calibration_of(others, [decode(each) for each in other_readings])
    after = calibration_of(others, [decode(with_temperatures(each, temperatures)) for each in other_readings])
    assert after.error < before.error / 2
    with pytest.raises(ValueError, match="nothing is found"):
        fit_temperatures(records, readings, lambda reading: [])


@pytest.fixture
def files(tmp_path):
    records = [Record("1", "Ada met Bob", [Entity(0, 3, "a")]), Record("2", "Rome", [Entity(0, 4, "b")])]
    for name in ("test", "dev"):
        write_records(tmp_path / f"{name}.jsonl", records)
    (tmp_path / "types.json").write_text(json.dumps(TYPES))
    return tmp_path / "test.jsonl", tmp_path / "dev.jsonl"


def test_command_writes_tables_and_a_plot(files, pipe, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(evaluation, "load_pipeline", lambda model, device: pipe)
    test, dev = files
    result = CliRunner().invoke(cli.app, ["calibrate", str(test), "--fit", str(dev), "-o", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output
    assert "ECE after" in result.stdout and "`softmax_temperature`" in result.stdout
    document = json.loads((tmp_path / "c.json").read_text())
    (before,) = document["before"].values()
    assert before["count"] > 0 and set(document["temperatures"]) == {"softmax", "sigmoid"}
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    plot_reliability({"before": calibration_of([], [])}, tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").read_text().startswith("<?xml")


def test_fitting_on_what_is_measured_is_refused(files, pipe):
    test, dev = files
    with pytest.raises(ValueError, match="test.jsonl: temperatures cannot be fitted on what they are measured on"):
        calibrate(pipe, [test], [dev, test])
    report = calibrate(pipe, [test, dev])
    assert report.after is None and report.temperatures is None and list(report.before)[-1] == "all"
