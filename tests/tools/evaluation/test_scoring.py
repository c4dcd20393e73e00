"""Scores of spans (tools/evaluation/scoring.py) against seqeval, nervaluate, published numbers and slow references."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.tools.data.model import token_ranges
from jpt_ner.tools.evaluation.scoring import ErrorSplit, Score, score_mention_sets, score_spans

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
LABELS = ["a", "b", "c"]


def tags_of(spans, length):
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


@st.composite
def flat_spans(draw, length):
    """Mentions of a text of `length` tokens that neither overlap nor repeat, adjacent ones of one type included."""
    spans, position = [], 0
    while position < length:
        end = min(position + draw(st.integers(1, 4)), length)
        label = draw(st.sampled_from([None, *LABELS]))
        if label is not None:
            spans.append((position, end, label))
        position = end
    return spans


@st.composite
def flat_corpora(draw):
    lengths = draw(st.lists(st.integers(1, 16), min_size=1, max_size=4))
    gold = [draw(flat_spans(length)) for length in lengths]
    predicted = [draw(st.just(spans) | flat_spans(length)) for spans, length in zip(gold, lengths, strict=True)]
    return lengths, gold, predicted


def assert_equal_to_peers(lengths, gold, predicted):
    from nervaluate import Evaluator
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    scores = score_spans(gold, predicted)
    true = [tags_of(spans, length) for spans, length in zip(gold, lengths, strict=True)]
    guess = [tags_of(spans, length) for spans, length in zip(predicted, lengths, strict=True)]
    labels = sorted({span[2] for spans in gold + predicted for span in spans})
    results = Evaluator(true, guess, tags=labels, loader="list").evaluate()
    for name, score in [
        ("strict", scores.strict),
        ("exact", scores.exact),
        ("partial", scores.partial),
        ("ent_type", scores.type_only),
    ]:
        theirs = results["overall"][name]
        assert (score.predicted, score.gold) == (theirs.actual, theirs.possible), name
        assert score.correct == theirs.correct + 0.5 * theirs.partial, name
        assert [score.precision, score.recall, score.f1] == pytest.approx([theirs.precision, theirs.recall, theirs.f1])
    if not labels:
        return
    report = classification_report(true, guess, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    for name, score in [*scores.per_type.items(), ("micro avg", scores.strict)]:
        ours = [score.precision, score.recall, score.f1, score.gold]
        assert ours == pytest.approx([report[name][key] for key in ("precision", "recall", "f1-score", "support")])
    assert scores.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])


@settings(deadline=None)
@given(flat_corpora())
def test_equal_to_seqeval_and_nervaluate_on_flat_mentions(corpus):
    assert_equal_to_peers(*corpus)


def test_equal_to_seqeval_and_nervaluate_on_real_mentions():
    """Real gold (development split) and predictions made of it by moved boundaries, other types, gaps and inventions."""
    path = SHARED / "eval" / "conll03" / "dev.jsonl"
    if not path.is_file():
        pytest.skip(f"no data at {path}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:1500]]
    rng, lengths, gold, predicted = random.Random(0), [], [], []
    for row in rows:
        length, spans = len(row["tokens"]), []
        for start, tag in enumerate(row["tags"]):
            if tag.startswith("B-"):
                end = start + 1
                while end < length and row["tags"][end].startswith("I-"):
                    end += 1
                spans.append((start, end, tag[2:]))
        guess = []
        for start, end, label in [*spans, (rng.randrange(length), length, "ORG")]:
            start, end = max(0, start - rng.choice([0, 0, 0, 1])), min(length, end + rng.choice([0, 0, 0, 1, 2]))
            label = rng.choice([label, label, label, "PER", "LOC"])
            if rng.random() < 0.8 and all(end <= other[0] or other[1] <= start for other in guess):
                guess.append((start, end, label))
        lengths.append(length)
        gold.append(spans)
        predicted.append(sorted(guess))
    assert_equal_to_peers(lengths, gold, predicted)
    errors = score_spans(gold, predicted).errors
    assert min(vars(errors).values()) > 50, "the sample should hold every kind of error"


@settings(deadline=None)
@given(flat_corpora())
def test_error_split_accounts_for_every_mention_once(corpus):
    _, gold, predicted = corpus
    scores, errors = score_spans(gold, predicted), score_spans(gold, predicted).errors
    pairs = errors.correct + errors.wrong_type + errors.wrong_boundary + errors.wrong_both
    assert errors.correct == scores.strict.correct
    assert errors.correct + errors.wrong_type == scores.exact.correct
    assert pairs + errors.missed == scores.strict.gold
    assert pairs + errors.spurious == scores.strict.predicted
    for spans in gold:
        assert score_spans([spans], [spans]).errors == ErrorSplit(len(spans), 0, 0, 0, 0, 0)
    swapped = score_spans(predicted, gold).errors
    assert (swapped.missed, swapped.spurious) == (errors.spurious, errors.missed)
    assert swapped.detection.f1 == pytest.approx(errors.detection.f1)


def test_each_kind_of_error_is_told_apart():
    gold = [[(0, 5, "a"), (10, 15, "a"), (20, 25, "a"), (30, 35, "a"), (40, 45, "a"), (50, 60, "a")]]
    predicted = [
        [(0, 5, "a"), (10, 15, "b"), (20, 28, "a"), (33, 39, "b"), (70, 75, "a"), (50, 54, "b"), (55, 57, "a")]
    ]
    errors = score_spans(gold, predicted).errors
    # The last mention belongs to the prediction of its type, though another overlaps it longer.
    assert errors == ErrorSplit(correct=1, wrong_type=1, wrong_boundary=2, wrong_both=1, missed=1, spurious=2)
    assert errors.detection == Score(5, 7, 6)
    assert errors.typing_accuracy == 1 / 2
    assert errors.boundary_accuracy == 1 / 3


def test_repeated_and_overlapping_predictions():
    gold, predicted = [[(0, 4, "a")]], [[(0, 4, "a"), (0, 4, "a"), [0, 4, "b"], (2, 6, "a")]]
    scores = score_spans(gold, predicted)
    assert scores.strict == Score(1, 3, 1)
    assert scores.exact == Score(1, 3, 1)
    assert scores.partial == Score(1, 3, 1)
    assert scores.type_only == Score(1, 3, 1)
    assert scores.errors == ErrorSplit(1, 0, 0, 0, 0, 2)
    # An exact pair is found even where a prediction before it overlaps the same mention.
    assert score_spans([[(2, 6, "a")]], [[(0, 4, "a"), (2, 6, "b")]]).exact.correct == 1


def test_labels_restrict_both_sides_and_empty_input_scores_zero():
    gold, predicted = [[(0, 4, "a"), (5, 6, "b")]], [[(0, 4, "a"), (5, 6, "c")]]
    scores = score_spans(gold, predicted, labels=["c", "a", "d"])
    assert scores.strict == Score(1, 2, 1)
    assert scores.per_type == {"c": Score(0, 1, 0), "a": Score(1, 1, 1), "d": Score(0, 0, 0)}
    assert scores.macro_f1 == 0.5
    empty = score_spans([[], []], [[], []])
    assert (empty.strict.f1, empty.macro_f1, empty.errors.typing_accuracy, empty.texts) == (0, 0, 0, 2)
    assert score_spans([], []).strict == Score(0, 0, 0)


@settings(deadline=None)
@given(flat_corpora())
def test_token_scores_equal_a_count_over_tags(corpus):
    lengths, gold, predicted = corpus
    text = "".join("xy "[: index % 2 + 1] + "z " for index in range(max(lengths)))
    words = token_ranges(text, text.split())

    def in_characters(corpus):
        return [[(words[start][0], words[end - 1][1], label) for start, end, label in spans] for spans in corpus]

    scores = score_spans(in_characters(gold), in_characters(predicted), tokens=[words] * len(lengths))
    tags = [tag[2:] for spans, length in zip(gold, lengths, strict=True) for tag in tags_of(spans, length)]
    guess = [tag[2:] for spans, length in zip(predicted, lengths, strict=True) for tag in tags_of(spans, length)]
    pairs = list(zip(tags, guess, strict=True))
    marked, guessed = sum(map(bool, tags)), sum(map(bool, guess))
    assert scores.tokens == Score(sum(bool(tag) and tag == other for tag, other in pairs), guessed, marked)
    assert scores.token_detection == Score(sum(bool(tag and other) for tag, other in pairs), guessed, marked)


def test_a_token_belongs_to_a_mention_that_shares_a_character_with_it():
    scores = score_spans([[(0, 3, "a")]], [[(2, 6, "a")]], tokens=[[(0, 4), (5, 7)]])
    assert scores.tokens == Score(1, 2, 1)
    assert score_spans([[(0, 3, "a")]], [[]]).tokens is None


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`gold` has 1 texts and `predicted` 2"):
        score_spans([[]], [[], []])
    with pytest.raises(ValueError, match=r"`predicted\[1\]` should hold"):
        score_spans([[], []], [[], [(4, 4, "a")]])
    with pytest.raises(ValueError, match="`tokens` should have one item for each of the 1 texts, got 2"):
        score_spans([[]], [[]], tokens=[[(0, 1)], [(0, 1)]])
    with pytest.raises(ValueError, match="`gold` has 0"):
        score_mention_sets([], [[]])


def test_padellm_rule_gives_its_published_score():
    path = SHARED / "eval" / "padellm-conll03" / "predictions.jsonl"
    if not path.is_file():
        pytest.skip(f"no data at {path}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    gold, predicted = [row["gold"] for row in rows], [row["pred"] for row in rows]
    score = score_mention_sets(gold, predicted)
    assert (score.correct, score.predicted - score.correct, score.gold - score.correct) == (5130, 376, 454)
    assert round(score.f1, 5) == 0.92516
    assert round(score_mention_sets(gold, predicted, repeats=True).f1, 4) == 0.9205


def test_mention_sets_and_repeats():
    gold, predicted = [[("a", "x")] * 3, [("a", "x")]], [[("a", "x"), ("a", "x")], [("b", "x")]]
    assert score_mention_sets(gold, predicted) == Score(1, 2, 2)
    assert score_mention_sets(gold, predicted, repeats=True) == Score(2, 3, 4)
