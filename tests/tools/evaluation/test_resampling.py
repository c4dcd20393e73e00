"""Bootstrap intervals against scoring every resampling one by one."""

import random

import numpy as np
import pytest
from jpt_ner.tools.evaluation.resampling import bootstrap_changes, bootstrap_interval
from jpt_ner.tools.evaluation.scoring import score_spans


def corpus(texts=30, seed=1):
    """Gold and two sets of predictions, the second better than the first at type `a`."""
    rng = random.Random(seed)
    gold = [[(i, i + 1, rng.choice("ab")) for i in range(rng.randrange(4))] for _ in range(texts)]
    before = [[(start, end, rng.choice("ab")) for start, end, _ in spans] for spans in gold]
    after = [[(start, end, rng.choice([label, "a"])) for start, end, label in spans] for spans in gold]
    return gold, before, after


def test_bootstrap_interval_equals_scoring_resampled_texts(monkeypatch):
    rng = random.Random(1)
    gold = [[(i, i + 1, rng.choice("ab")) for i in range(rng.randrange(4))] for _ in range(30)]
    predicted = [[(start, end, rng.choice([label, "a"])) for start, end, label in spans] for spans in gold]
    generator = np.random.default_rng(7)
    f1 = []
    for chosen in generator.integers(30, size=(200, 30)):
        f1.append(score_spans([gold[i] for i in chosen], [predicted[i] for i in chosen]).strict.f1)
    expected = np.quantile(f1, [0.05, 0.95])
    interval = bootstrap_interval(gold, predicted, samples=200, seed=7, level=0.9)
    assert interval == pytest.approx(tuple(expected))
    assert interval == bootstrap_interval(gold, predicted, samples=200, seed=7, level=0.9)
    assert interval != bootstrap_interval(gold, predicted, samples=200, seed=8, level=0.9)
    assert interval[0] < score_spans(gold, predicted).strict.f1 < interval[1]
    # In blocks, as with many texts.
    monkeypatch.setattr("jpt_ner.tools.evaluation.resampling.RESAMPLED_AT_ONCE", 30 * 64)
    assert interval == bootstrap_interval(gold, predicted, samples=200, seed=7, level=0.9)
    assert bootstrap_interval([[], []], [[], []]) == (0.0, 0.0)


def test_changes_equal_scoring_both_sides_on_the_same_resampled_texts(monkeypatch):
    gold, before, after = corpus()
    changes = {"all": [], "a": [], "b": [], "unseen": []}
    for chosen in np.random.default_rng(3).integers(30, size=(100, 30)):
        first, second = (
            score_spans([gold[i] for i in chosen], [side[i] for i in chosen], labels=None) for side in (before, after)
        )
        changes["all"].append(second.strict.f1 - first.strict.f1)
        for label in ("a", "b"):
            f1 = [each.per_type[label].f1 if label in each.per_type else 0.0 for each in (first, second)]
            changes[label].append(f1[1] - f1[0])
        changes["unseen"].append(0.0)
    expected = {name: tuple(np.quantile(values, [0.025, 0.975])) for name, values in changes.items()}
    overall, by_label = bootstrap_changes(gold, before, after, ["a", "b", "unseen"], samples=100, seed=3)
    assert overall == pytest.approx(expected["all"])
    assert list(by_label) == ["a", "b", "unseen"]
    for label, interval in by_label.items():
        assert interval == pytest.approx(expected[label])
    monkeypatch.setattr("jpt_ner.tools.evaluation.resampling.RESAMPLED_AT_ONCE", 30 * 7)
    assert bootstrap_changes(gold, before, after, ["a"], samples=100, seed=3)[0] == pytest.approx(overall)


def test_nothing_to_resample_is_named():
    with pytest.raises(ValueError, match="no texts"):
        bootstrap_interval([], [])
    with pytest.raises(ValueError, match="`level`"):
        bootstrap_interval([[]], [[]], level=95)
    with pytest.raises(ValueError, match="`gold` has 1 texts"):
        bootstrap_changes([[]], [[]], [[], []], ["a"])
