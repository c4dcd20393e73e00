"""Pairs of gold and predicted spans: every mention once, nothing better left free."""

from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.tools.evaluation.matching import PAIRED, match_spans, overlap

SPANS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 5), st.sampled_from("ab")).map(
        lambda each: (each[0], each[0] + each[1], each[2])
    ),
    max_size=5,
)


@settings(deadline=None)
@given(SPANS, SPANS)
def test_every_mention_is_in_one_match_and_no_better_pair_is_left(gold, predicted):
    matches = match_spans(gold, predicted)
    assert sorted(match.gold for match in matches if match.gold is not None) == list(range(len(gold)))
    assert sorted(match.predicted for match in matches if match.predicted is not None) == list(range(len(predicted)))

    def rank(ours, theirs):
        return 2 * (ours[:2] != theirs[:2]) + (ours[2] != theirs[2])

    pairs = {}
    for match in matches:
        if match.gold is None or match.predicted is None:
            assert match.kind == ("spurious" if match.gold is None else "missed")
            continue
        ours, theirs = gold[match.gold], predicted[match.predicted]
        assert overlap(ours, theirs) > 0
        assert match.kind == PAIRED[rank(ours, theirs)]
        pairs["gold", match.gold] = pairs["predicted", match.predicted] = rank(ours, theirs)
    # Whoever overlaps is paired, or what it overlaps is paired as well or better.
    for number, ours in enumerate(gold):
        for index, theirs in enumerate(predicted):
            if overlap(ours, theirs) > 0:
                best = min(pairs.get(("gold", number), 9), pairs.get(("predicted", index), 9))
                assert best <= rank(ours, theirs)
    starts = [(gold[match.gold] if match.gold is not None else predicted[match.predicted])[0] for match in matches]
    assert starts == sorted(starts)
