"""The batcher: answers belong to their requests, a fault affects one request, the queue is bounded, closing answers."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.serving.batching import Batcher, BusyError, ClosedError, Text

SCHEMA = resolve_schema({"word": "Any word."})


class Echo:
    """A pipeline whose only entity of a text is the text, and which can be held up."""

    def __init__(self):
        self.calls = []
        self.free = threading.Event()
        self.free.set()
        self.called = threading.Event()

    def __call__(self, items, **options):
        self.calls.append(([item["text"] for item in items], options))
        self.called.set()
        assert self.free.wait(20)
        if any(item["text"] == "bad" for item in items):
            raise ValueError("`inputs`: bad")
        return [[{"word": item["text"], **options}] for item in items]

    def hold(self):
        """Called once a first request is being read, so that all later ones wait."""
        self.free.clear()
        self.called.clear()


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def make(echo):
    made = []

    def batcher(**options):
        made.append(Batcher(echo, **options))
        return made[-1]

    yield batcher
    echo.free.set()
    for each in made:
        each.close()


def texts(*words):
    return [Text(word, SCHEMA) for word in words]


def words(future):
    return [entities[0]["word"] for entities in future.result(20)]


def held(echo, batcher):
    """The future of a request that is being read until `echo.free` is set."""
    echo.hold()
    future = batcher.submit(texts("first"))
    assert echo.called.wait(20)
    return future


def test_answers_belong_to_their_requests(make):
    batcher = make(texts_together=7)

    def client(number):
        asked = [f"{number}-{i}" for i in range(number % 5 + 1)]
        return words(batcher.submit(texts(*asked))) == asked

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(client, range(200)))


def test_waiting_requests_are_read_together_where_options_are_alike(echo, make):
    batcher = make()
    first = held(echo, batcher)
    futures = [batcher.submit(texts(word)) for word in "abc"] + [batcher.submit(texts("d"), nested=True)]
    echo.free.set()
    assert words(first) == ["first"] and [words(each) for each in futures] == [["a"], ["b"], ["c"], ["d"]]
    assert echo.calls == [(["first"], {}), (["a", "b", "c"], {}), (["d"], {"nested": True})]


def test_small_request_is_not_held_up_by_large_one(echo, make):
    batcher = make(texts_together=4)
    held(echo, batcher)
    large, small = batcher.submit(texts(*map(str, range(10)))), batcher.submit(texts("small"))
    echo.free.set()
    assert words(small) == ["small"] and words(large) == [*map(str, range(10))]
    assert "small" in echo.calls[1][0]


def test_one_bad_request_hurts_no_other(echo, make):
    batcher = make()
    held(echo, batcher)
    good, bad, other = (batcher.submit(texts(*each)) for each in (["a", "b"], ["c", "bad"], ["d"]))
    echo.free.set()
    assert words(good) == ["a", "b"] and words(other) == ["d"]
    with pytest.raises(ValueError, match="bad"):
        bad.result(20)
    assert words(batcher.submit(texts("after"))) == ["after"] and batcher.waiting == 0


def test_full_queue_says_when_to_come_again(echo, make):
    batcher = make(max_waiting=3)
    held(echo, batcher)
    waiting = batcher.submit(texts("a", "b"))
    with pytest.raises(BusyError) as refused:
        batcher.submit(texts("c", "d"))
    assert refused.value.retry_after >= 1
    last = batcher.submit(texts("c"))
    echo.free.set()
    assert words(waiting) == ["a", "b"] and words(last) == ["c"]


def test_cancelled_requests_are_not_read(echo, make):
    batcher = make()
    held(echo, batcher)
    gone, kept = batcher.submit(texts("gone", "gone")), batcher.submit(texts("kept"))
    assert gone.cancel() and batcher.waiting == 1
    echo.free.set()
    assert words(kept) == ["kept"]
    with pytest.raises(CancelledError):
        gone.result(20)
    assert [call for call, _ in echo.calls] == [["first"], ["kept"]]


def test_closing_answers_what_waits_and_takes_no_more(echo, make):
    batcher = make()
    first = held(echo, batcher)
    waiting = batcher.submit(texts("a"))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while batcher.is_alive:
        pass
    with pytest.raises(ClosedError):
        batcher.submit(texts("b"))
    echo.free.set()
    closing.join(20)
    assert words(first) == ["first"] and words(waiting) == ["a"]
