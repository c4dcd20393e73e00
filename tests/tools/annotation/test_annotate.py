"""Annotation by a language model, against a stand-in on the loopback: whole runs, kills, nonsense, silence and full queues."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
import yaml
from endpoint import FULL, Reply, completion, serve
from hypothesis import given
from hypothesis import strategies as st
from jpt_ner.tools import cli
from jpt_ner.tools.annotation.annotate import AnnotationOptions, Annotator, Passage, annotate, read_passages
from jpt_ner.tools.annotation.journal import Journal
from jpt_ner.tools.annotation.placing import place
from jpt_ner.tools.annotation.questions import MentionCheck, check_judgement, check_types, marked
from jpt_ner.tools.chat import ChatEndpoint, EndpointError
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.training.recipe import load_recipe
from jpt_ner.tools.training.run import train
from tiny import save_backbone
from typer.testing import CliRunner

pytest.importorskip("openai")

ROWS = [
    {"id": "a", "text": "Ann Lee met Bo in Oslo. Bo left Oslo.", "topic": ["agent", "athlete"]},
    {"id": "b", "text": "Bo plays for Vif.", "topic": ["agent", "athlete"]},
    {"id": "c", "text": "Nothing of note.", "topic": "place"},
]
PERSON = {"name": "person", "definition": "A named human being; not a team."}
TEAM = {"name": "team", "definition": "A sports team by its name."}
CITY = {"name": "city", "definition": "A named city or town."}
PROPOSED = {"agent > athlete": [PERSON, TEAM, CITY], "place": [CITY]}
FOUND = {
    "a": [("Ann Lee", "person"), ("Bo", "person"), ("Oslo", "City"), ("Rome", "city")],
    "b": [("Bo", "person")],
    "c": [],
}
MISSED = {"a": [("Bo", "person"), ("Oslo", "city"), ("Bo", "person")], "b": [("Vif", "team"), ("Bo", "team")], "c": []}


def answer(body) -> str:
    """The answers of a perfect model, including mentions that are not in the text."""
    system, question = (message["content"] for message in body["messages"][:2])
    if "schemas" in system:
        return json.dumps({"types": next(types for topic, types in PROPOSED.items() if f": {topic}\n" in question)})
    if "check the quality" in system:
        return json.dumps({"types": 5, "definitions": 4, "extraction": 3, "problems": ["Oslo is unmarked"]})
    name = next(row["id"] for row in ROWS if row["text"][-9:] in question.replace("[[", "").replace(" | city]]", ""))
    entities = (MISSED if "were missed" in question else FOUND)[name]
    return json.dumps({"entities": [{"text": mention, "type": label} for mention, label in entities]})


def respond(body) -> Reply:
    return completion(answer(body))


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def run(texts, endpoint, output=None, options=None, **arguments):
    make = lambda: ChatEndpoint(endpoint.url, "m", timeout=2, max_retries=2, temperature=0)  # noqa: E731
    output = output or texts.with_name("records.jsonl")
    return annotate(texts, output, make, options or AnnotationOptions(workers=2), about={"model": "m"}, **arguments)


def brief(record):
    return [(record.text[each.start : each.end], each.start, each.label) for each in record.entities]


EXPECTED = {
    "a": [
        ("Ann Lee", 0, "person"),
        ("Bo", 12, "person"),
        ("Oslo", 18, "city"),
        ("Bo", 24, "person"),
        ("Oslo", 32, "city"),
    ],
    "b": [("Bo", 0, "person"), ("Vif", 13, "team")],
    "c": [],
}


def test_a_whole_run(texts):
    with serve(respond) as endpoint:
        report = run(texts, endpoint, options=AnnotationOptions(workers=3, judged=2))
    records = read_records(texts.with_name("records.jsonl"))
    assert {record.id: brief(record) for record in records} == EXPECTED
    assert [list(record.types) for record in records] == [["person", "team", "city"]] * 2 + [["city"]]
    assert records[0].types["team"] == TEAM["definition"]
    # Two topics, three texts twice, two judgements; of the mentions Rome is nowhere, and some were marked already.
    assert report.cost["requests"] == len(endpoint.requests) == 2 + 3 + 3 + 2
    assert report.cost["prompt_tokens"] == 11 * 10 and report.cost["completion_tokens"] == 7 * 10
    assert (report.annotated, report.mentions, report.types) == (3, 7, 3)
    assert report.dropped["not_in_text"] == 1 and report.dropped["too_often"] + report.dropped["overlapping"] == 2
    assert report.judged == 2 and report.ratings == {"types": 5, "definitions": 4, "extraction": 3}
    assert len(report.problems) == 2 and report.problems[0].endswith(": Oslo is unmarked")
    assert any("3 of 3 texts annotated: 7 mentions of 3 types" in line for line in report.lines())
    gaps = [body for body in endpoint.requests if "were missed" in body["messages"][1]["content"]]
    assert any("[[Ann Lee | person]] met [[Bo | person]] in [[Oslo | city]]. Bo left" in str(body) for body in gaps)


def test_the_output_trains_at_once(texts, tmp_path):
    with serve(respond) as endpoint:
        run(texts, endpoint)
    backbone = save_backbone(tmp_path / "backbone", max_position_embeddings=4096, tie_word_embeddings=True)
    training = {"max_steps": 1, "use_cpu": True, "report_to": "none", "save_strategy": "no"}
    recipe = {
        "backbone": backbone,
        "system": "padellm",
        "output_dir": str(tmp_path / "run"),
        "data": str(tmp_path / "records.jsonl"),
        "model": {"lora_rank": 2},
        "load_options": {"dtype": "float32"},
        "training": training,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert (train(load_recipe(tmp_path / "recipe.yaml")) / "adapter_config.json").exists()


def test_given_types_and_types_of_each_text(texts):
    types = {"person": PERSON["definition"], "city": CITY["definition"], "team": TEAM["definition"]}
    with serve(respond) as endpoint:
        report = run(texts, endpoint, options=AnnotationOptions(types=types, gaps=False))
        assert report.cost["requests"] == 3 and report.mentions == 4
        one_by_one = run(texts, endpoint, texts.with_name("other.jsonl"), AnnotationOptions(types_per="text"))
        assert one_by_one.cost["requests"] == 9
    asked = [body["messages"][1]["content"] for body in endpoint.requests if "schemas" in str(body["messages"][0])]
    assert [text.count("Passage ") for text in asked] == [1, 1, 1]


KILLED = """
import sys
from jpt_ner.tools.cli import main
sys.argv = ["jpt-ner", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("at", [2, 4, 7])
def test_a_killed_run_asks_nothing_twice(texts, tmp_path, at):
    """If it is killed while a question is in flight, only that one is repeated."""
    process, kill = [], []

    def deadly(body):
        if kill and len(endpoint.requests) == at:
            kill.clear()
            os.kill(process[0].pid, signal.SIGKILL)
        return respond(body)

    with serve(deadly) as endpoint:
        output = tmp_path / "records.jsonl"
        options = ["--base-url", endpoint.url, "--model", "m", "--workers", "1", "--judge", "1"]
        command = [sys.executable, "-c", KILLED, "annotate", str(texts), "-o", str(output), *options]
        kill.append(True)
        process.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        assert process[0].wait() == -signal.SIGKILL and not output.exists()
        assert len(endpoint.requests) == at
        done = CliRunner().invoke(cli.app, command[3:])
        assert done.exit_code == 0, done.output
    questions = Counter(json.dumps(body["messages"]) for body in endpoint.requests)
    assert len(questions) == 2 + 3 + 3 + 1 and questions.total() == len(questions) + 1
    assert questions[json.dumps(endpoint.requests[at - 1]["messages"])] == 2
    assert {record.id: brief(record) for record in read_records(output)} == EXPECTED
    assert f"{len(questions)} requests, 0 malformed" in done.stdout
    # A finished run asks nothing.
    with serve([Reply("no", 500)]) as silent:
        again = [silent.url if each == endpoint.url else each for each in command[3:]]
        assert CliRunner().invoke(cli.app, again).exit_code == 0 and not silent.requests


def test_a_journal_that_was_cut_within_a_line_resumes(texts):
    with serve(respond) as endpoint:
        run(texts, endpoint)
        journal = texts.with_name("records.jsonl.journal.jsonl")
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])
        before = len(endpoint.requests)
        run(texts, endpoint)
        assert len(endpoint.requests) == before + 2
        with pytest.raises(ValueError, match="log of another run, which differs in types_per;"):
            run(texts, endpoint, options=AnnotationOptions(types_per="text"))
        with pytest.raises(ValueError, match="log of another run, which differs in model;"):
            make = lambda: ChatEndpoint(endpoint.url, "m")  # noqa: E731
            annotate(texts, texts.with_name("records.jsonl"), make, about={"model": "another"})


def test_an_edited_topic_combines_no_old_mentions_with_new_types(texts):
    def literal(body):
        """Mentions of the types that were asked for alone."""
        told = json.loads(answer(body))
        listed = body["messages"][1]["content"].casefold()
        told["entities"] = [each for each in told.get("entities", ()) if f"- {each['type'].casefold()}:" in listed]
        return completion(json.dumps(told))

    with serve(literal) as endpoint:
        run(texts, endpoint)
        before = len(endpoint.requests)
        texts.write_text("".join(json.dumps({**row, "topic": "place"}) + "\n" for row in ROWS))
        report = run(texts, endpoint)
        assert len(endpoint.requests) == before + 4  # mentions and gaps of the two texts whose types have changed
    records = {record.id: record for record in read_records(texts.with_name("records.jsonl"))}
    assert [list(record.types) for record in records.values()] == [["city"]] * 3
    assert brief(records["a"]) == [("Oslo", 18, "city"), ("Oslo", 32, "city")] and not records["b"].entities
    assert not report.failures


def test_another_judge_judges_anew(texts):
    def judging(body):
        if body["model"] == "m":
            return respond(body)
        assert "check the quality" in body["messages"][0]["content"]
        if "plays for" in body["messages"][1]["content"]:
            return completion("I would rather not.")
        return completion('{"types": 1, "definitions": 1, "extraction": 1}')

    options = AnnotationOptions(workers=2, judged=3)
    with serve(judging) as endpoint:
        other = lambda: ChatEndpoint(endpoint.url, "other", attempts=1)  # noqa: E731
        first = run(texts, endpoint, options=options)
        asked = len(endpoint.requests)
        second = run(texts, endpoint, options=options, make_judge=other)
        assert [body["model"] for body in endpoint.requests[asked:]] == ["other"] * 3
        assert (first.judged, first.ratings) == (3, {"types": 5, "definitions": 4, "extraction": 3})
        assert (second.judged, second.ratings) == (2, {"types": 1, "definitions": 1, "extraction": 1})
        assert len(second.failures) == 1 and second.failures[0].startswith("judge b: ")
        third = run(texts, endpoint, options=options)  # the first judge again, whose answers are known
        assert (third.ratings, third.failures, len(endpoint.requests)) == (first.ratings, [], asked + 3)


def test_nonsense_is_asked_again_and_counted(texts):
    calls = Counter()

    def stubborn(body):
        question = body["messages"][1]["content"]
        calls[question] += 1
        if "Bo plays" in question and "were missed" not in question and "Passage" not in question:
            return completion('{"entities": [{"text": "Bo"')  # half a JSON, however often
        if calls[question] == 1 and "Passage" in question:
            return completion("I would rather talk about the weather.")
        return respond(body)

    with serve(stubborn) as endpoint:
        report = run(texts, endpoint)
        assert (report.annotated, report.cost["malformed"]) == (2, 3 + 2)
        assert len(report.failures) == 1 and report.failures[0].startswith("mentions b: ")
        assert {record.id for record in read_records(texts.with_name("records.jsonl"))} == {"a", "c"}
        asked = len(endpoint.requests)
        assert run(texts, endpoint).failures and len(endpoint.requests) == asked
    with serve(respond) as endpoint:
        report = run(texts, endpoint, options=AnnotationOptions(retry_failed=True))
        assert (report.annotated, report.failures, len(endpoint.requests)) == (3, [], 2)


def test_full_queues_and_silence_are_waited_for(texts):
    calls = Counter()

    def slow(body):
        question = json.dumps(body["messages"])
        calls[question] += 1
        if calls[question] == 1:
            return FULL
        return Reply(silence=30) if calls[question] == 2 and "were missed" in question else respond(body)

    make = None
    with serve(slow) as endpoint:
        make = lambda: ChatEndpoint(endpoint.url, "m", timeout=1, max_retries=3)  # noqa: E731
        report = annotate(texts, texts.with_name("r.jsonl"), make, AnnotationOptions(workers=8), about={})
        assert report.annotated == 3 and not report.failures and report.cost["requests"] == 8


def test_an_endpoint_that_fails_stops_the_run_and_keeps_what_is_there(texts):
    def failing(body):
        last = "Nothing of note" in body["messages"][1]["content"] and "were missed" in body["messages"][1]["content"]
        return Reply('{"error": {"message": "out of memory"}}', 500) if last else respond(body)

    with serve(failing) as endpoint, pytest.raises(EndpointError, match="out of memory"):
        run(texts, endpoint, options=AnnotationOptions(workers=1))
    assert {record.id for record in read_records(texts.with_name("records.jsonl"))} == {"a", "b"}
    with serve(respond) as endpoint:
        assert run(texts, endpoint).annotated == 3
        assert len(endpoint.requests) == 1


def test_a_text_that_is_refused_does_not_stop_the_others(texts):
    def refusing(body):
        long = "Bo plays" in body["messages"][1]["content"] and "Passage" not in body["messages"][1]["content"]
        return Reply('{"error": {"message": "context too long"}}', 400) if long else respond(body)

    with serve(refusing) as endpoint:
        report = run(texts, endpoint)
    assert report.annotated == 2 and "context too long" in report.failures[0]
    with serve([Reply('{"error": {"message": "no such parameter"}}', 400)]) as endpoint:
        with pytest.raises(ValueError, match="no text could be annotated: .*no such parameter"):
            run(texts, endpoint, texts.with_name("none.jsonl"))
    assert not texts.with_name("none.jsonl").exists()


# ---- command line and bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "`base_url`: give the address"),
        (["--base-url", "localhost:1"], "must start with http"),
        (["--base-url", "http://127.0.0.1:9/v1", "--types", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_options(texts, options, message, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    output = texts.with_name("o.jsonl")
    result = CliRunner().invoke(cli.app, ["annotate", str(texts), "-o", str(output), "--model", "m", *options])
    assert result.exit_code == 2 and message in result.stderr and not output.exists()


def test_texts_that_cannot_be_used(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text('{"id": 1, "text": "A"}\n{"id": 1, "text": "B"}\n')
    with pytest.raises(ValueError, match="t.jsonl:2: the id '1' is given twice"):
        read_passages(file)
    file.write_text('{"id": 1, "text": " "}\n')
    with pytest.raises(ValueError, match="no texts to annotate"):
        read_passages(file)
    file.write_text('{"id": null, "text": "A"}\n{"id": null, "text": "B"}\n')
    assert [passage.id for passage in read_passages(file)] == ["line-1", "line-2"]
    (tmp_path / "t.csv").write_text("body,kind\nAnn left.,news\n")
    (passage,) = read_passages(tmp_path / "t.csv", text_column="body", topic_column="kind")
    assert (passage.text, passage.topic) == ("Ann left.", "news")
    with pytest.raises(ValueError, match="`types_per`"):
        AnnotationOptions(types_per="week")


def test_half_characters_do_not_stop_a_run(tmp_path):
    file = tmp_path / "texts.jsonl"
    rows = [{**ROWS[0], "text": "\ud83d " + ROWS[0]["text"]}, ROWS[2]]
    rows.append({"id": "\udc00", "text": ROWS[1]["text"], "topic": "place\ud83d"})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serve(respond) as endpoint:
        run(file, endpoint, options=AnnotationOptions(types={"person": "x", "team": "y", "city": "z"}))
    first, _, last = read_records(tmp_path / "records.jsonl")
    assert first.text == "\ufffd " + ROWS[0]["text"] and last.id == "\ufffd"
    assert brief(first) == [(mention, start + 2, label) for mention, start, label in EXPECTED["a"]]
    assert [passage.topic for passage in read_passages(file)] == ["agent > athlete", "place", "place\ufffd"]


# ---- answers --------------------------------------------------------------------------------------------------------


def test_types_are_checked():
    assert check_types({"types": [PERSON, {**PERSON, "name": "Person"}, {"name": "x", "definition": "y"}, {}]}) == {
        "person": PERSON["definition"]
    }
    for value in ({"types": []}, {"types": ["person"]}, {"kinds": [PERSON]}, 3, None):
        with pytest.raises(ValueError, match="expected"):
            check_types(value)


def test_mentions_are_checked():
    check = MentionCheck({"city": "A city."})
    assert check({"entities": [{"text": " Oslo ", "type": "CITY"}, {"text": "", "type": "city"}]}) == [
        ["Oslo", "city"]
    ]
    assert check([]) == []
    for value in ({"entities": [{"text": 1, "type": "city"}]}, {"entities": "Oslo"}, "Oslo"):
        with pytest.raises(ValueError, match="expected"):
            check(value)
    with pytest.raises(ValueError, match="'lake' is none of the types"):
        check([{"text": "Oslo", "type": "lake"}])


def test_judgements_are_checked():
    good = {"types": 5, "definitions": 4.5, "extraction": 1}
    assert check_judgement({**good, "problems": ["x", 3], "else": 1}) == {**good, "problems": ["x"]}
    for value in (None, [good], {**good, "types": 6}, {**good, "types": True}, {**good, "problems": "x"}):
        with pytest.raises(ValueError, match="expected"):
            check_judgement(value)


def test_longer_mentions_stay_and_marks_are_readable():
    text = "New York Times of New York"
    spans, dropped = place(text, [["New York", "city"], ["New York Times", "paper"], ["New York", "city"]])
    assert spans == [(0, 14, "paper"), (18, 26, "city")] and dropped.total() == 1
    assert marked(text, spans) == "[[New York Times | paper]] of [[New York | city]]"


@given(
    st.text(alphabet="ab c", max_size=20),
    st.lists(st.tuples(st.text(alphabet="ab c", min_size=1, max_size=4), st.sampled_from("xy")), max_size=8),
)
def test_nothing_is_invented(text, written):
    spans, dropped = place(text, written)
    wanted = Counter((mention, label) for mention, label in written)
    found = Counter((text[start:end], label) for start, end, label in spans)
    assert not found - wanted and found.total() + dropped.total() == wanted.total()
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False))
    # Existing mentions stay when it is asked again.
    again, _ = place(text, written, present=spans)
    assert set(spans) <= set(again)


def test_changed_texts_are_asked_again(tmp_path):
    types = {"city": "A city."}
    journal = Journal(tmp_path / "j.jsonl", {})
    with serve([completion('{"entities": []}')]) as endpoint:
        for text, number in (("Oslo.", 1), ("Oslo.", 1), ("Rome.", 2)):
            options = AnnotationOptions(types=types, gaps=False)
            make = lambda: ChatEndpoint(endpoint.url, "m")  # noqa: E731
            Annotator([Passage("a", text)], options, journal, make).run()
            assert len(endpoint.requests) == number
