"""Found entities, compared: equal, but for scores, which may differ by the rounding of another machine or batch."""

import pytest


def without_scores(value):
    if isinstance(value, dict):
        return {key: without_scores(each) for key, each in value.items() if key != "score"}
    return [without_scores(each) for each in value] if isinstance(value, list) else value


def scores(value):
    if isinstance(value, dict):
        return [value["score"]] * ("score" in value) + [x for each in value.values() for x in scores(each)]
    return [x for each in value for x in scores(each)] if isinstance(value, list) else []


def assert_same_entities(found, expected, tolerance=1e-4):
    assert without_scores(found) == without_scores(expected)
    assert scores(found) == pytest.approx(scores(expected), abs=tolerance)
