"""Thresholds: the best one against trying all, no gain claimed where there is none, few mentions, and the command."""

import json
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.schema_jpt import load_schema
from jpt_ner.tools import cli
from jpt_ner.tools.commands import types
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.scoring import score_spans
from jpt_ner.tools.evaluation.thresholds import _Corpus, tune_thresholds
from typer.testing import CliRunner


def corpus(texts=120, seed=0, telling=True):
    """Type `a`: wrong predictions score low, if scores are telling. Type `b`: likewise, with few mentions."""
    rng = random.Random(seed)
    gold, predicted = [], []
    for _ in range(texts):
        spans, found = [], []
        for place in range(6):
            label = "b" if place == 5 and rng.random() < 0.1 else "a"
            span = (place * 10, place * 10 + 5, label)
            right = rng.random() < 0.5
            if right:
                spans.append(span)
            score = rng.uniform(0.4, 1) if right or not telling else rng.uniform(0, 0.6)
            found.append((span, score))
        gold.append(spans)
        predicted.append(found)
    return gold, predicted


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=8), st.integers(0, 4))
def test_best_threshold_is_as_good_as_any(pairs, missed):
    predicted = [((place, place + 1, "a"), score / 6) for place, (score, _) in enumerate(pairs)]
    gold = [(place, place + 1, "a") for place, (_, right) in enumerate(pairs) if right]
    gold += [(100 + place, 101 + place, "a") for place in range(missed)]

    def f1(threshold):
        kept = [span for span, score in predicted if threshold is None or score >= threshold]
        return score_spans([gold], [kept]).strict.f1

    best = _Corpus([gold], [predicted], ["a"]).scored([0], "a").best()
    assert f1(best) == pytest.approx(max(f1(each) for each in [None, *(number / 12 for number in range(13))]))
    if best is not None:
        assert f1(best) > f1(None)


def test_thresholds_help_where_scores_tell_right_from_wrong():
    gold, predicted = corpus()
    tuned = tune_thresholds(gold, predicted, ["a", "b", "unseen"])
    a, b, unseen = tuned.types
    assert 0.35 < a.threshold < 0.65
    assert b.label == "b" and b.mentions < 20 and not b.own and b.threshold == tuned.shared
    assert (unseen.mentions, unseen.own, unseen.f1) == (0, False, 0)
    assert tuned.f1_tuned > tuned.f1 + 0.1 and tuned.interval[0] > 0
    assert tune_thresholds(gold, predicted, ["a", "b", "unseen"]) == tuned
    # On similar texts the gain is about as reported.
    others, found = corpus(seed=1)
    kept = [[span for span, score in each if score >= a.threshold] for each in found]
    assert score_spans(others, kept).strict.f1 == pytest.approx(tuned.f1_tuned, abs=0.05)


def test_no_gain_is_claimed_where_scores_say_nothing():
    gains = []
    for seed in range(5):
        gold, predicted = corpus(texts=30, seed=seed, telling=False)
        tuned = tune_thresholds(gold, predicted, ["a", "b"])
        gains.append(tuned.f1_tuned - tuned.f1)
    assert sum(gains) / len(gains) < 0.01
    with pytest.raises(ValueError, match="3 texts are too few"):
        tune_thresholds(gold[:3], predicted[:3], ["a"])


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """Labelled texts, and a schema with a type that they are not annotated with."""
    gold, predicted = corpus(texts=60)
    records, answers = [], {}
    for number, (spans, found) in enumerate(zip(gold, predicted)):
        text = f"{number:03d} " + " ".join(["word", "and..."] * 6)
        place = {start: text.index("word") + 12 * (start // 10) for start in range(0, 60, 10)}
        entities = [Entity(place[start], place[start] + 4, label) for start, _, label in spans]
        records.append(Record(str(number), text, entities))
        answers[text] = [
            {"start": place[start], "end": place[start] + 4, "entity_group": label, "score": score, "word": "word"}
            for (start, _, label), score in found
        ]
    write_records(tmp_path / "data.jsonl", records)
    (tmp_path / "types.json").write_text(json.dumps({"a": "An a.", "b": {"name": "b", "definition": "A b."}}))
    schema = {
        "entity_types": [{"name": name, "definition": f"Some {name}.", "threshold": 0.9} for name in ("b", "a", "c")]
    }
    (tmp_path / "types.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    return tmp_path, answers


def test_command_stores_thresholds_and_says_where_they_are_from(files, monkeypatch, recwarn):
    folder, answers = files

    def pipeline(items, **options):
        items = list(items)
        assert all(
            "threshold" not in str(item["entity_types"]) for item in items
        )  # none that drops predictions to tune on
        return [answers[item["text"]] for item in items]

    monkeypatch.setattr(types, "load_pipeline", lambda model, device: pipeline)
    command = ["types", "tune", str(folder / "types.yaml"), "--data", str(folder / "data.jsonl")]
    result = CliRunner().invoke(cli.app, [*command, "-o", str(folder / "tuned.yaml")])
    assert result.exit_code == 0, result.output
    assert (
        "Fewer than 20 mentions" in result.stdout
        and "Not annotated in this file, so left as they are: c" in result.stdout
    )
    schema = load_schema(folder / "tuned.yaml")
    assert schema.names == ["b", "a", "c"] and 0.3 < schema.thresholds["a"] < 0.7
    assert schema.thresholds["b"] != 0.9 and schema.thresholds["c"] == 0.9
    refused = CliRunner().invoke(cli.app, [*command, "-o", str(folder / "tuned.txt")])
    assert refused.exit_code == 2 and "a schema file ends in" in refused.stderr
