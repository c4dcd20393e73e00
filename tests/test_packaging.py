"""What `pip install .` installs: the runtime files, tools, the Space, presets, recipes and the model; not tests or runs."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "*.py",
    "pyproject.toml",
    "LICENSE",
    "README.md",
    "generative/*.py",
    "integrations/*.py",
    "tools/**/*.py",
    "tools/**/templates/*",
    "schemas/*.yaml",
    "recipes/*.yaml",
    "samples/*.jsonl",
    "data/*.gz",
    "data/train/*.gz",
    "space/*.*",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, with stand-ins for the model and for what must stay out."""
    pytest.importorskip("setuptools", minversion="77", reason="the wheel is built without isolation")
    source = tmp_path_factory.mktemp("source")
    for pattern in COPIED:
        for file in ROOT.glob(pattern):
            copy = source / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (source / name).write_text(name)
    for name in ("runs/a/model.safetensors", "tests/test_a.py", "tests/__init__.py", "samples/a.txt", ".venv/a.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    command = ["wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", "dist"]
    subprocess.run([sys.executable, "-m", "pip", *command], cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_the_code_and_the_model(wheel):
    installed = {name.removeprefix("jpt_ner/") for name in wheel.namelist() if name.startswith("jpt_ner/")}
    sources = {
        str(file.relative_to(ROOT))
        for pattern in (
            "*_jpt.py",
            "app.py",
            "generative/*.py",
            "integrations/*.py",
            "space/*.py",
            "space/*.js",
            "space/*.html",
            "space/style.css",
            "tools/**/*.py",
            "tools/**/templates/*",
        )
        for file in ROOT.glob(pattern)
    }
    data = {str(file.relative_to(ROOT)) for name in ("schemas", "recipes") for file in ROOT.glob(f"{name}/*.yaml")}
    model = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert len(sources) > 15 and len(data) > 10
    assert sources | data | model | {"__init__.py"} <= installed


def test_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"jpt_ner"}
    folders = {name.split("/")[1] for name in wheel.namelist() if name.count("/") > 1 and name.startswith("jpt_ner/")}
    assert folders == {"data", "generative", "integrations", "samples", "schemas", "space", "recipes", "tools"}


def test_wheel_has_the_program_and_its_licence(wheel):
    about = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "jpt-ner = jpt_ner.tools.cli:main" in wheel.read(about["entry_points.txt"]).decode()
    assert "License-Expression: Apache-2.0" in wheel.read(about["METADATA"]).decode()


def test_tested_versions_satisfy_the_declared_ones():
    packaging = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = project["optional-dependencies"]
    for declared in [*project["dependencies"], *extras["train"], *extras["test"]]:
        requirement = packaging.Requirement(declared)
        assert pinned[requirement.name.lower()] in requirement.specifier, declared
