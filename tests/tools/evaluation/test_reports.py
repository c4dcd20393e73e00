"""Reports of scores: the numbers are in them, and tables stay tables."""

import json

import pytest
from jpt_ner.tools.evaluation.reports import markdown_report
from jpt_ner.tools.evaluation.resampling import bootstrap_interval
from jpt_ner.tools.evaluation.scoring import score_spans
from jpt_ner.tools.tables import markdown_table


def test_cells_cannot_break_a_table():
    table = markdown_table(["a|b", "c"], [["x\ny", 1], ["|", "\\|"]], align_right=True)
    lines = table.splitlines()
    assert lines[:3] == ["| a\\|b | c |", "| --- | ---: |", "| x y | 1 |"]
    assert len(lines) == 4
    with pytest.raises(ValueError, match="expected 2 cells"):
        markdown_table(["a", "b"], [[1]])


def test_reports_hold_the_numbers():
    gold = [[(0, 3, "a"), (4, 7, "odd|name")], [(0, 3, "a")]]
    predicted = [[(0, 3, "a"), (4, 7, "a")], []]
    scores = score_spans(gold, predicted, tokens=[[(0, 3), (4, 7)], [(0, 3)]])
    scores.interval = bootstrap_interval(gold, predicted, samples=50)
    document = json.loads(json.dumps(scores.to_dict()))
    assert document["strict"] == {
        "precision": 0.5,
        "recall": 1 / 3,
        "f1": 0.4,
        "correct": 1,
        "predicted": 2,
        "gold": 3,
    }
    assert document["per_type"]["odd|name"]["gold"] == 1
    assert document["errors"]["wrong_type"] == 1
    assert document["errors"]["typing_accuracy"] == 0.5
    assert document["tokens"]["correct"] == 1
    assert document["token_detection"]["correct"] == 2
    report = markdown_report(scores, "Two texts")
    low, high = scores.interval
    assert f"**40.0** (95 % bootstrap interval {100 * low:.1f} to {100 * high:.1f}), macro F1 25.0." in report
    assert "| strict (boundaries and type) | 50.0 | 33.3 | 40.0 |" in report
    assert "| odd\\|name | 0.0 | 0.0 | 0.0 | 1 | 0 |" in report
    assert report.index("| a |") < report.index("| odd")
    assert "| 80.0 | 50.0 | 100.0 |" in report
    assert "| 1 | 1 | 0 | 0 | 1 | 0 |" in report
    for table in report.split("\n\n"):
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(widths) <= 1
