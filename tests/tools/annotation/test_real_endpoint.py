"""The real protocol: a small model behind `transformers serve`. It takes minutes: `pytest -m long`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from jpt_ner.backbone_jpt import resolve_backbone
from jpt_ner.tools.annotation.annotate import AnnotationOptions, Annotator, Passage
from jpt_ner.tools.annotation.journal import Journal
from jpt_ner.tools.chat import ChatEndpoint

pytest.importorskip("openai")
pytest.importorskip("fastapi")
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TEXT = "Angela Merkel visited Paris in May."
TYPES = {"person": "A named human being.", "city": "A named city or town."}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def served():
    """Address and name of a model that is served."""
    folder = resolve_backbone(MODEL)
    if not os.path.isdir(folder):
        pytest.skip("the wheel with the model is not installed")
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", folder, "--device", "cpu"]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)])
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert process.poll() is None, "transformers serve ended"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.long
def test_a_served_model_annotates(served, tmp_path):
    """A small model may write nonsense, which is counted, as are tokens; nothing is invented."""
    url, name = served
    journal = Journal(tmp_path / "journal.jsonl", {})
    options = AnnotationOptions(types=TYPES, gaps=False, workers=1)
    make = lambda: ChatEndpoint(url, name, timeout=900, max_retries=0, attempts=1, temperature=0)  # noqa: E731
    annotator = Annotator([Passage("a", TEXT)], options, journal, make)
    annotator.run()
    report = annotator.report()
    assert report.cost["requests"] == 1 and report.cost["prompt_tokens"] > 50 and report.cost["completion_tokens"] > 0
    assert report.annotated + len(report.failures) == 1 and report.cost["malformed"] == len(report.failures)
    for record in annotator.records()[0]:
        assert all(record.text[each.start : each.end].strip() and each.label in TYPES for each in record.entities)
    print(json.dumps({"answers": journal.answers, "failures": journal.failures, "cost": journal.cost}))
    Annotator([Passage("a", TEXT)], options, Journal(tmp_path / "journal.jsonl", {}), make).run()
    assert Journal(tmp_path / "journal.jsonl", {}).cost["requests"] == 1
