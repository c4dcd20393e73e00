"""The Dockerfile and the handler of Inference Endpoints: what they copy, install, start and answer."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jpt_ner.tools import cli
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions():
    """Pairs of instruction and the rest, with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def is_sent(path):
    """Whether `.dockerignore` lets a file through: the last pattern that fits decides."""
    sent = True
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        if pattern and not pattern.startswith("#"):
            name = pattern.removeprefix("!").removeprefix("**/")
            parts = [path.parts[0]] if not pattern.startswith("**/") else path.parts
            if any(Path(part).match(name) for part in parts):
                sent = pattern.startswith("!")
    return sent


def test_all_instructions_are_known_and_in_order():
    names = [name for name, _ in instructions()]
    known = "FROM ARG ENV WORKDIR COPY RUN USER EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT".split()
    assert names[0] == "FROM" and set(names) <= set(known) and names[-1] == "ENTRYPOINT"
    assert ("ARG", "DEVICE=cpu") in instructions() and DOCKERFILE.count("${DEVICE}") == 1
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_what_is_installed_is_declared():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = (ROOT / "requirements.txt").read_text()
    commands = " ".join(rest for name, rest in instructions() if name == "RUN")
    for extra in re.findall(r"\.\[(\w+)\]", commands):
        assert all(f"{re.split('[>=]', each)[0]}==" in pinned for each in extras[extra])
    assert "torch==" in pinned
    for file in re.findall(r"--(?:constraint|requirement) (\S+)", commands):
        assert (ROOT / file).is_file() and is_sent(Path(file))


def test_what_is_sent_makes_the_package():
    """All that `pyproject.toml` packs is let through, and nothing of tests, runs and environments."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = [
        f"{each.removeprefix('jpt_ner').replace('.', '/').strip('/') or '.'}/*.py" for each in project["packages"]
    ]
    files = [
        file.relative_to(ROOT)
        for pattern in [*patterns, *project["package-data"]["jpt_ner"]]
        for file in ROOT.glob(pattern)
    ]
    assert len(files) > 100 and [file for file in files if not is_sent(file)] == []
    unsent = ("tests/test_a.py", "runs/a", ".venv/bin/python", ".git/config", "docs/speed.md")
    assert not any(is_sent(Path(name)) for name in (*unsent, "tools/__pycache__/cli.pyc"))


def test_programs_are_called_as_they_take_it():
    """The entry point's options exist, and its port is the one that is exposed and asked for its health."""
    entry = dict(instructions())["ENTRYPOINT"]
    program, command, *options = re.findall(r'"([^"]*)"', entry)
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert CliRunner().invoke(cli.app, [command, *options, "--types", "general", "--help"]).exit_code == 0
    port = dict(instructions())["EXPOSE"]
    assert port in options and f":{port}/health" in dict(instructions())["HEALTHCHECK"]
    (tag,) = (rest for name, rest in instructions() if name == "RUN" and rest.startswith("jpt-ner"))
    assert CliRunner().invoke(cli.app, [*shlex.split(tag)[1:], "--help"]).exit_code == 0


@pytest.mark.long
def test_image_is_built():
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker here")
    subprocess.run(["docker", "build", "-t", "jpt-ner-test", ROOT], check=True)
    subprocess.run(["docker", "run", "--rm", "jpt-ner-test", "--help"], check=True)


# ---- Inference Endpoints --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handler_module():
    """Loaded from its file, as the Endpoints' server does."""
    spec = importlib.util.spec_from_file_location("handler", ROOT / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def handler(handler_module, pipe, encoder, monkeypatch):
    """As an Endpoint makes it, of a small model."""

    def pipeline(task, model, trust_remote_code, **options):
        return pipe.model.as_pipeline(pipe.tokenizer, definition_encoder=encoder, **options)

    monkeypatch.setattr("transformers.pipeline", pipeline)
    return handler_module.EndpointHandler("/repository")


def test_handler_answers_as_the_pipeline(handler, pipe):
    types = {"city": "A named town.", "artist": "A musician."}
    text = "Paris released a new album."
    assert handler({"inputs": text, "parameters": {"entity_types": types}}) == pipe(text, entity_types=types)
    own = [{"text": text, "entity_types": types}]
    assert handler({"inputs": own, "parameters": {"nested": True}}) == pipe(own, nested=True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "`inputs` must be given"),
        ({"inputs": "a", "parameters": [1]}, "`parameters` must be a dict"),
        ({"inputs": "a", "parameters": {"entity_types": "/etc/a.yaml"}}, "no file is read here"),
        ({"inputs": [{"text": "a", "entity_types": "a.json"}]}, "no file is read here"),
        ({"inputs": "a", "parameters": {"entity_types": ["a"], "thresold": 1}}, "thresold"),
    ],
)
def test_handler_refuses(handler, data, said):
    with pytest.raises(ValueError, match=said):
        handler(data)


def test_handler_loads_the_pipeline_of_its_repository(handler_module, monkeypatch):
    monkeypatch.setattr("transformers.pipeline", lambda task, **options: (task, options))
    made = handler_module.EndpointHandler("/repository")
    assert made.pipeline == ("jpt-ner", {"model": "/repository", "trust_remote_code": True, "type_files": False})


@pytest.mark.long
def test_handler_reads_with_the_shipped_model():
    """In a process of its own, in which this package cannot be imported, as on an Endpoint."""
    code = (
        "import sys, handler; found = handler.EndpointHandler(sys.argv[1])({'inputs': 'Marta Kovac moved to Lisbon.', "
        "'parameters': {'entity_types': 'general'}}); print(*(each['word'] for each in found), sep='|')"
    )
    command = [sys.executable, "-c", code, str(ROOT)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split("|") == ["Marta Kovac", "Lisbon"]
