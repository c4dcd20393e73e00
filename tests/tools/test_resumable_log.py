"""The log: a run resumes from its own lines, and refuses those of another by what differs."""

import pytest
from jpt_ner.tools.resumable_log import ResumableLog, digest

ABOUT = {"models": {"a": {"name": "a", "revision": "1"}}, "sizes": (1, 2), "limit": None}


def test_lines_are_there_again(tmp_path):
    ResumableLog(tmp_path / "log.jsonl", ABOUT).append({"key": 1})
    assert ResumableLog(tmp_path / "log.jsonl", ABOUT).lines == [{"key": 1}]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"limit": 3}, "limit"),
        ({"models": {"a": {"name": "b", "revision": "2"}}}, r"models\.a\.name, models\.a\.revision"),
        ({"models": {"b": {}}, "sizes": [2, 1]}, r"models\.a, models\.b, sizes"),
        ({"models": None}, "models"),
        ({"further": None}, "further"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, changes, named):
    ResumableLog(tmp_path / "log.jsonl", ABOUT).append({"key": 1})
    with pytest.raises(
        ValueError, match=rf"log\.jsonl is the log of another run, which differs in {named}; remove it"
    ):
        ResumableLog(tmp_path / "log.jsonl", {**ABOUT, **changes})


@pytest.mark.parametrize("content", ['{"text": "a"}\n', "[1]\n", "text\n"])
def test_other_files_are_no_logs(tmp_path, content):
    (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(ValueError, match="not a log of this program"):
        ResumableLog(tmp_path / "log.jsonl", ABOUT)
    assert (tmp_path / "log.jsonl").read_text() == content


def test_digests_tell_values_and_their_order_apart():
    values = [("a", "b"), ("ab",), ("a", ["b"]), ({"a": 1, "b": 2},), ({"b": 2, "a": 1},), ("\ud800",)]
    assert len({digest(*each) for each in values}) == len(values)
    assert digest("a", {"b": [1]}) == digest("a", {"b": [1]})
