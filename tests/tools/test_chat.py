"""The chat endpoint, against a stand-in on the loopback: answers of all kinds, refusals, silence."""

import socket

import pytest
from endpoint import FULL, Reply, completion, serve
from jpt_ner.tools.chat import AnswerError, ChatEndpoint, EndpointError, json_in

pytest.importorskip("openai")
QUESTION = [{"role": "user", "content": "Count."}]


def chat(endpoint, **options):
    return ChatEndpoint(endpoint.url, "m", **{"timeout": 5, "max_retries": 1, **options})


def number(value):
    if not isinstance(value, dict) or not isinstance(value.get("number"), int):
        raise ValueError("expected a `number`")
    return value["number"]


@pytest.mark.parametrize(
    "answer",
    [
        '{"number": 3}',
        'Here you are:\n```json\n{"number": 3}\n```\nAnything else?',
        '<think>{"number": 4}? No.</think>{"number": 3}',
    ],
)
def test_json_is_found_in_what_is_written_around_it(answer):
    with serve([completion(answer)]) as endpoint:
        asked = chat(endpoint)
        assert asked.ask_json(QUESTION, number) == 3
    assert endpoint.requests[0]["path"] == "/v1/chat/completions"
    assert (endpoint.requests[0]["model"], endpoint.requests[0]["messages"]) == ("m", QUESTION)
    assert dict(asked.counts) == {"requests": 1, "prompt_tokens": 11, "completion_tokens": 7}


def test_an_answer_that_cannot_be_used_is_asked_for_again_with_the_reason():
    replies = [completion('{"number": '), completion("three"), completion('{"number": 3}')]
    with serve(replies) as endpoint:
        asked = chat(endpoint)
        assert asked.ask_json(QUESTION, number) == 3
    assert asked.counts["malformed"] == 2
    *_, answer, correction = endpoint.requests[1]["messages"]
    assert answer["content"] == '{"number": ' and "broken or incomplete JSON" in correction["content"]
    assert "expected JSON, got 'three'" in endpoint.requests[2]["messages"][-1]["content"]
    assert len(endpoint.requests[2]["messages"]) == 3  # the question, the last answer and what is wrong with it


def test_answers_that_are_never_right_end_with_the_last_reason():
    with serve([completion('{"figure": 3}')]) as endpoint:
        with pytest.raises(AnswerError, match="no usable answer in 3 attempts; the last one: expected a `number`"):
            chat(endpoint).ask_json(QUESTION, number)
    assert len(endpoint.requests) == 3


def test_a_full_queue_is_waited_for_and_in_the_end_told():
    with serve([FULL, completion('{"number": 3}')]) as endpoint:
        assert chat(endpoint).ask_json(QUESTION, number) == 3
    with (
        serve([FULL]) as endpoint,
        pytest.raises(EndpointError, match=r"takes no more requests for now \(429\), 2 times"),
    ):
        chat(endpoint).ask(QUESTION)
    assert len(endpoint.requests) == 2


def test_silence_ends_in_time():
    with serve([Reply(silence=30)]) as endpoint:
        with pytest.raises(EndpointError, match=r"gave no answer within 0.2 seconds, 1 times"):
            chat(endpoint, timeout=0.2, max_retries=0).ask(QUESTION)


REFUSALS = {
    "key": (Reply("{}", 401), r"refuses the key \(401\); set OPENAI_API_KEY"),
    "model": (Reply("{}", 404), r"does not know the model 'm'"),
    "broken": (
        Reply('{"error": {"message": "out of memory"}}', 500, {"retry-after-ms": "1"}),
        "fails with status 500",
    ),
    "nonsense": (Reply("<html>It works!</html>"), "does not answer like a chat endpoint"),
    "half": (Reply('{"id": "1", "choices": [{"mess'), "does not answer like a chat endpoint"),
    "empty": (Reply('{"choices": []}'), "does not answer like a chat endpoint"),
    "other": (Reply('{"pong": true}'), "does not answer like a chat endpoint"),
}


@pytest.mark.parametrize("reply, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals_are_told_in_clear_words(reply, message):
    with serve([reply]) as endpoint, pytest.raises(EndpointError, match=message):
        chat(endpoint).ask(QUESTION)


def test_nobody_there_and_no_address(monkeypatch):
    with socket.socket() as taken:  # bound but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EndpointError, match=f"{url} cannot be reached"):
            ChatEndpoint(url, "m", max_retries=0).ask(QUESTION)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        ChatEndpoint(None, "m")
    with pytest.raises(ValueError, match="must start with http"):
        ChatEndpoint("localhost:80", "m")


def test_key_and_address_come_from_the_environment(monkeypatch):
    with serve([completion("1")]) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url + "/")
        assert ChatEndpoint(None, "m").ask(QUESTION) == "1"


def test_half_a_character_is_asked_for_again():
    """It could be neither sent back nor written."""
    with serve([completion('["\\ud83d"]'), completion("\ud83d"), completion('["\\ud83d\\ude00"]')]) as endpoint:
        assert ChatEndpoint(endpoint.url, "m").ask_json(QUESTION, list) == ["😀"]
        assert "lone surrogate" in endpoint.requests[1]["messages"][-1]["content"]


def test_half_of_an_object_is_no_answer():
    assert json_in('[1, {"a": 2}] and so on') == [1, {"a": 2}]
    for text in ("", "no", '{"a": 1', "[1, 2", "[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ValueError):
            json_in(text)
