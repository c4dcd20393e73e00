"""The page as a server: clients that ask for too much, leave, send what they should not, or come many at once."""

import json
import os
import threading
import time
import uuid

import httpx
import pytest
from files import docx_bytes
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.space import batch, editor, evaluating, requests, uploads
from jpt_ner.space.errors import ClientGoneError, TextError, TimeLimitError
from jpt_ner.space.finding import find
from jpt_ner.space.model import Model
from jpt_ner.space.page import build_page, launch_options
from jpt_ner.tools.diagnostics import SchemaWarning

TYPES = {"person": "A named human being.", "city": "A named city or town; not a country."}
WINDOWS = 400


class SlowPipeline:
    """The tiny pipeline, but texts that begin with "slow" are read in `WINDOWS` windows of some milliseconds."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.definition_encoder = pipe.definition_encoder
        self.windows = 0
        self.reading = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, *args, **options):
        return self.pipe(*args, **options)

    def decode(self, *args, **options):
        return self.pipe.decode(*args, **options)

    def read(self, text, schema, on_progress=None):
        with self._lock:
            self.reading += 1
            self.most_at_once = max(self.most_at_once, self.reading)
        try:
            if text.startswith("slow"):
                for window in range(1, WINDOWS + 1):
                    time.sleep(0.02)
                    self.windows = window
                    on_progress(window, WINDOWS)
            return self.pipe.read(text.removeprefix("slow"), schema)
        finally:
            with self._lock:
                self.reading -= 1


class Server:
    def __init__(self, address):
        self.api = f"{address}gradio_api"
        self.config = httpx.get(f"{address}config").json()

    def index(self, name):
        return next(each["id"] for each in self.config["dependencies"] if each["api_name"] == name)

    def join(self, name, data):
        session = uuid.uuid4().hex
        body = {"data": data, "fn_index": self.index(name), "session_hash": session}
        # httpx itself would send neither NaN nor lone surrogates; other clients do.
        headers = {"Content-Type": "application/json"}
        return session, httpx.post(f"{self.api}/queue/join", content=json.dumps(body), headers=headers)

    def outputs(self, name, data):
        """Through the queue, as the page calls: whether it succeeded, and the outputs or the error."""
        return self.answer(self.join(name, data)[0])

    def call(self, name, data):
        success, outputs = self.outputs(name, data)
        return success, outputs[0] if success else outputs

    def answer(self, session):
        with httpx.stream("GET", f"{self.api}/queue/data", params={"session_hash": session}, timeout=60) as events:
            for line in events.iter_lines():
                event = json.loads(line[5:]) if line.startswith("data:") else {}
                if event.get("msg") == "process_completed":
                    return event["success"], event["output"]["data" if event["success"] else "error"]
        raise AssertionError("the stream of events ended without an answer")

    def check(self, types, **changes):
        """The table's own call, past the queue."""
        table = next(each["id"] for each in self.config["components"] if each["props"].get("elem_id") == "jpt-types")
        body = {"data": types, "component_id": table, "fn_name": "check_types", "session_hash": "x", **changes}
        headers = {"Content-Type": "application/json"}
        return httpx.post(f"{self.api}/component_server", content=json.dumps(body), headers=headers, timeout=60)

    def upload(self, name, content):
        path = httpx.post(f"{self.api}/upload", files={"files": (name, content)}).json()[0]
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def pipeline(pipe):
    return SlowPipeline(pipe)


@pytest.fixture(scope="module")
def server(pipeline, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        page = build_page(lambda: pipeline)
        _, address, _ = page.launch(
            **launch_options(), prevent_thread_lock=True, server_name="127.0.0.1", quiet=True, inbrowser=False
        )
        yield Server(address)
        page.close()


def is_sentence(message):
    return (
        message.endswith(".")
        and message[0] not in "'\"["
        and not any(mark in message for mark in ("/tmp", "Traceback", "Errno", "object is not", "NoneType'"))
    )


# ---- the table's check ----------------------------------------------------------------------------------------------


def rows(number, definition="A thing of this kind that is not like others, such as x"):
    return {"entity_types": [{"name": f"t{i}", "definition": f"{definition} {i}"} for i in range(number)]}


@pytest.mark.parametrize(
    ("types", "sentence"),
    [
        (rows(800), "at most 60 types"),
        (rows(2, "long " * 1000), "too long"),
        ({"entity_types": [{"name": "n" * 5000, "definition": "x"}]}, "too long"),
        (5, "Expected"),
        ("x", "Unknown preset"),
        ("../secret.yaml", "no file is read here"),
        ([1], "must be a name"),
        (None, "Expected"),
        ({"entity_types": 5}, "Expected"),
        ({"entity_types": [5, None, {"name": ["x"], "examples": 5}]}, "must be"),
        ({"entity_types": [{"name": "half \ud83d", "definition": "x"}]}, "half a character"),
    ],
)
def test_the_check_answers_whatever_it_is_sent_in_a_few_bytes(server, types, sentence):
    answer = server.check(types)
    assert answer.status_code == 200 and len(answer.content) < 5000
    assert sentence in answer.json()["error"] and is_sentence(answer.json()["error"])


def test_warnings_are_limited_by_row(server):
    def everything_is_similar(types):
        names = [each.name for each in types]
        return [SchemaWarning("similar", (a, b), f"{a} and {b} are alike.") for a in names for b in names]

    notes = editor.type_notes(rows(60), everything_is_similar)
    assert [len(messages) for messages in notes["warnings"]] == [editor.MAX_WARNINGS + 1] * 60
    assert notes["warnings"][0][-1] == "116 more warnings like these." and notes["error"] == ""
    assert len(server.check(rows(60)).content) < 100_000


# ---- errors are sentences -------------------------------------------------------------------------------------------

NO_UPLOAD = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("tag", ["Paris", "a" * 300, 0, False], "Unknown preset"),
        ("tag", ["Paris", None, 0, False], "Expected a dict"),
        ("tag", ["Paris", "/etc/passwd.yaml", 0, False], "no file is read here"),
        ("tag", [None, TYPES, 0, False], "no text yet"),
        ("tag", [["Paris"], TYPES, 0, False], "no text yet"),
        ("tag", ["Paris", TYPES, "high", False], "threshold: must be"),
        ("tag", ["Paris", TYPES, float("nan"), False], "threshold: must be"),
        ("tag", [NO_UPLOAD, TYPES, 0, False], "Only files that were uploaded"),
        ("tag", ["Paris"], "could not be answered"),
        ("tag", ["x " * 20_000, rows(60), 0, False], "up to 16,666 characters"),
        ("tag", ["half \ud83d", TYPES, 0, False], "half a character"),
        ("export", ["Paris", TYPES, ["jsonl"], 0, False], "output_format: must be one of"),
        ("export", ["Paris", TYPES, "../../x", 0, False], "output_format: must be one of"),
        ("compare", ["Paris", TYPES, 7, 0, 0], "Expected a dict"),
        ("tag_file", [None, TYPES, "text", "jsonl", 0, False], "file: there is none"),
        ("tag_file", [NO_UPLOAD, TYPES, "text", "jsonl", 0, False], "Only files that were uploaded"),
    ],
)
def test_errors_are_sentences(server, name, data, sentence):
    success, message = server.call(name, data)
    assert not success and sentence in message and is_sentence(message)


def test_what_fails_inside_is_a_sentence_too(server, pipeline, monkeypatch):
    def fail(*_, **__):
        raise OSError("[Errno 28] No space left on device: '/srv/secret'")

    monkeypatch.setattr(pipeline, "read", fail)
    success, message = server.call("tag", ["Paris", TYPES, 0, False])
    assert not success and "could not be answered" in message and "secret" not in message


# ---- uploads --------------------------------------------------------------------------------------------------------


def test_users_who_upload_the_same_file_both_get_an_answer(server):
    """Gradio keeps it once, under the hash of its content."""
    first, second = (server.upload("same.txt", b"Paris in May") for _ in range(2))
    assert first["path"] == second["path"]
    for file in (first, second):
        success, answer = server.call("tag_file", [file, TYPES, "text", "jsonl", 0, False])
        assert success and answer["texts"] == 1


@pytest.mark.parametrize("handler", ["tag_file", "upload", "import_schema"])
def test_an_upload_that_is_gone_is_a_sentence(server, handler):
    name = "gone.yaml" if handler == "import_schema" else "gone.txt"
    file = server.upload(name, f"of {handler}".encode())
    os.unlink(file["path"])
    data = [file, TYPES, "text", "jsonl", 0, False] if handler == "tag_file" else [file]
    answer = str(server.outputs(handler, data))
    assert "no longer there" in answer and os.path.dirname(file["path"]) not in answer


def test_a_schema_file_of_megabytes_is_not_parsed(server):
    file = server.upload("large.yaml", b"entity_types:\n" + b"  - x\n" * 200_000)
    assert "may have up to 200 kB" in str(server.outputs("import_schema", [file]))


def test_one_upload_is_read_at_a_time(tmp_path, monkeypatch):
    reading, most = [], []

    def read_documents(path, **_):
        reading.append(path)
        most.append(len(reading))
        time.sleep(0.02)
        reading.remove(path)
        return iter([])

    monkeypatch.setattr(uploads, "read_documents", read_documents)
    paths = [tmp_path / f"{i}.txt" for i in range(6)]
    threads = []
    for path, read in zip(paths, [uploads.first_text, lambda path: uploads.read_batch(path, None)] * 3):
        path.write_text("x")

        def attempt(path=path, read=read):
            with pytest.raises(uploads.FileError):
                read(str(path))

        threads.append(threading.Thread(target=attempt))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_nobody_waits_without_end_for_the_files_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_WAITING_SECONDS", 0)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x", "entities": [], "types": TYPES}) + "\n")
    readers = [
        lambda: uploads.first_text(str(path)),
        lambda: uploads.read_batch(path, "text")[0][0].text,
        lambda: evaluating._labelled(path, None)[0][0].text,
    ]
    with uploads.reading_turn():
        for read in readers:
            with pytest.raises(uploads.FileError, match="still being read"):
                read()
    assert [read() for read in readers] == ["x"] * 3


def test_limits_of_the_page_reach_word_and_pdf_files(tmp_path):
    path = tmp_path / "long.docx"
    path.write_bytes(docx_bytes("word " * (uploads.MAX_CHARACTERS // 4)))
    with pytest.raises(uploads.FileError, match=r"^long.docx: has more than 50,000 characters of text\.$"):
        uploads.first_text(str(path))


def test_rows_with_endless_keys_are_named_in_short(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(dict.fromkeys(map(str, range(100_000)))) + "\n")
    documents, (reason,) = uploads.read_batch(path, "text")
    assert documents == [] and reason.startswith("Line 1: has no 'text'") and len(reason) < 400


# ---- many at once, and those who leave ------------------------------------------------------------------------------


def test_nothing_runs_past_the_queue(server):
    for name in ("tag", "export", "compare", "tag_file", "upload", "import_schema"):
        body = {"data": ["Paris", TYPES, 0, False], "fn_index": server.index(name), "session_hash": "x"}
        answer = httpx.post(f"{server.api}/run/predict", json=body)
        assert answer.status_code == 404, name


def test_two_texts_are_read_at_a_time(server, pipeline):
    pipeline.most_at_once = 0
    sessions = [server.join("tag", [f"Paris {i}", TYPES, 0, False])[0] for i in range(12)]
    assert all(server.answer(session)[0] for session in sessions)
    assert 1 <= pipeline.most_at_once <= 2


def test_work_stops_when_its_client_leaves(server, pipeline):
    """Two long texts fill both places; when their clients have gone, the next text need not wait for their end."""
    pipeline.windows = 0

    def leave():
        session, _ = server.join("tag", ["slow", TYPES, 0, False])
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{server.api}/queue/data", params={"session_hash": session}, timeout=1)

    clients = [threading.Thread(target=leave) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    success, _ = server.call("tag", ["Paris", TYPES, 0, False])
    assert success and 0 < pipeline.windows < WINDOWS and pipeline.reading == 0


def test_work_stops_when_its_client_cancels(server, pipeline):
    pipeline.windows = 0
    session, joined = server.join("tag", ["slow", TYPES, 0, False])
    with httpx.stream("GET", f"{server.api}/queue/data", params={"session_hash": session}, timeout=60) as events:
        lines = events.iter_lines()
        while pipeline.windows == 0:
            next(lines)
        cancelled = {"session_hash": session, "fn_index": server.index("tag"), "event_id": joined.json()["event_id"]}
        httpx.post(f"{server.api}/cancel", json=cancelled, timeout=60)
        list(lines)
    success, _ = server.call("tag", ["Paris", TYPES, 0, False])
    assert success and pipeline.windows < WINDOWS


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_time_is_up_or_foreseeably_too_short(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(requests.time, "monotonic", lambda: now[0])
    limit = requests.RequestLimit(60)
    now[0] = 4
    limit.check(1, 1000)  # too early to tell
    now[0] = 20
    limit.check(1, 3)
    with pytest.raises(TimeLimitError, match="the 60 seconds that a request may take"):
        limit.check(1, 4)
    now[0] = 61
    with pytest.raises(TimeLimitError):
        limit.check()


def test_a_client_that_left_in_the_queue_costs_nothing(monkeypatch, pipeline):
    limit = requests.RequestLimit(60)
    monkeypatch.setattr(limit, "_is_abandoned", lambda: True)
    with pytest.raises(ClientGoneError):
        find(Model(lambda: pipeline), "Paris", TYPES, 0, False, limit=limit)


@pytest.mark.parametrize(
    ("characters", "types", "fits"), [(50_000, 20, True), (50_000, 21, False), (16_000, 60, True)]
)
def test_long_texts_take_fewer_types(characters, types, fits):
    if fits:
        requests.check_work(characters, types)
    else:
        with pytest.raises(TextError, match=r"may have up to 47,619 characters"):
            requests.check_work(characters, types)


def test_what_a_file_had_when_its_time_was_up_is_kept(monkeypatch, tmp_path, pipe):
    checks = iter([None, None, TimeLimitError("The time is up.")])

    def check(self, *_):
        error = next(checks)
        if error is not None:
            raise error

    monkeypatch.setattr(requests.RequestLimit, "check", check)
    monkeypatch.setattr(batch, "CHUNK_TEXTS", 2)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"Paris {i}"}) + "\n" for i in range(9)))
    result = batch.tag_file(Model(lambda: pipe), path, "text", resolve_schema(TYPES), 0, False)
    assert [document.text for document, _ in result.tagged] == [f"Paris {i}" for i in range(4)]
    assert "4 of 9 texts were read" in result.stopped and result.stopped in batch.report(result, resolve_schema(TYPES))
