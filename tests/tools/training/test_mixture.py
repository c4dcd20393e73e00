"""Label errors across several sets: what is found, and what is not an error."""

import json
import re

import numpy as np
import pytest
from jpt_ner import definitions_jpt
from jpt_ner.tools import cli
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.training.mixture import collect, extremes, find_gaps
from jpt_ner.tools.training.mixture_report import recipe_of_files
from jpt_ner.tools.training.preparation import iter_sources
from typer.testing import CliRunner

PERSON = {"name": "person", "definition": "A named human being."}
ATHLETE = {"name": "athlete", "definition": "A named human being in sports."}
CITY = {"name": "city", "definition": "A town by its name."}
PLAYERS = ["Serena Williams", "Maria Sharapova", "Steffi Graf", "Roger Federer", "Pete Sampras", "Rod Laver"]


class WordsEncoder:
    """Alike is what shares words."""

    name = "words"

    def encode(self, texts):
        vectors = np.zeros((len(texts), 512))
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, sum(map(ord, word)) % 512] += 1
        return vectors


def records(name, texts, marked):
    """One record a text, with all mentions of what is marked, surface to label."""
    found = []
    for number, text in enumerate(texts):
        entities = [
            Entity(place.start(), place.end(), label)
            for surface, label in marked.items()
            for place in re.finditer(re.escape(surface), text)
        ]
        found.append(Record(f"{name}-{number}", text, sorted(entities, key=lambda each: each.start)))
    return found


def write(folder, texts, marked, types):
    write_records(folder / "data.jsonl", records(folder.name, texts, marked))
    (folder / "types.json").write_text(json.dumps(types))
    return folder / "data.jsonl"


@pytest.fixture
def sports(tmp_path):
    texts = [f"{player} won in Paris" for player in PLAYERS]
    marked = {**dict.fromkeys(PLAYERS, "athlete"), "Paris": "city"}
    return write(tmp_path / "sports", texts, marked, {"athlete": ATHLETE, "city": CITY})


@pytest.fixture
def wiki(tmp_path):
    """Politicians are persons here, and athletes are nothing; "Williams" alone is nobody's."""
    texts = [f"Angela Merkel met {player} in Paris {number}" for number, player in enumerate(PLAYERS * 2)]
    texts += [f"Williams {number}" for number in range(20)]
    marked = {"Angela Merkel": "person", "Paris": "city"}
    return write(tmp_path / "wiki", texts, marked, {"person": PERSON, "city": CITY})


def collected(paths, limit=1000):
    recipe = recipe_of_files(paths)
    return collect(iter_sources(recipe, recipe.data), limit)


def gaps(paths, **options):
    mixture = collected(paths)
    values = {"similarity": 0.5, "least": 5, "share": 0.2, **options}
    return find_gaps(mixture, WordsEncoder(), **values)


def test_mentions_that_another_set_leaves_unmarked_are_found(sports, wiki):
    (gap,) = gaps([sports, wiki])
    assert (gap.type.dataset, gap.type.name) == ("wiki/data", "person")
    assert (gap.unmarked, gap.marked, gap.share) == (12, 0, 1)
    ((source, similarity, count),) = gap.sources
    assert (source.name, count) == ("athlete", 12) and 0.5 < similarity < 1
    surface, context = gap.examples[0]
    assert surface in PLAYERS and re.match(r"wiki-\d+: Angela Merkel met ", context) and surface in context


def test_what_is_no_fault_is_not_told(sports, wiki, tmp_path):
    assert not gaps([sports, wiki], similarity=0.95)  # no definition covers another
    assert not gaps([sports, wiki], least=13)
    assert not gaps([wiki])
    # The set mostly marks such names as another candidate type.
    path = write(
        tmp_path / "bands", ["none"], {}, {"person": PERSON, "band": {"name": "band", "definition": "Music."}}
    )
    bands = records("bands", [f"{player} came" for player in PLAYERS * 3], dict.fromkeys(PLAYERS, "band"))
    write_records(path, bands + records("more", [f"{player} went" for player in PLAYERS], {}))
    assert not gaps([sports, path])
    write_records(path, records("more", [f"{player} went" for player in PLAYERS], {}))
    assert len(gaps([sports, path])) == 1


def test_common_words_count_only_where_the_set_marks_them_itself(tmp_path):
    word = {"word": {"name": "person", "definition": "A human being."}}
    other = write(tmp_path / "novel", ["the man", "my man", "Men at arms"], {"man": "word", "Men": "word"}, word)
    texts = [f"a man, {number} men; Men {number}" for number in range(9)]
    path = write(tmp_path / "news", texts, {}, {"person": PERSON})
    assert not gaps([other, path])
    write_records(path, records("news", texts, {}) + records("old", ["that man"], {"man": "person"}))
    (gap,) = gaps([other, path])
    assert (gap.unmarked, gap.marked, gap.examples[0][0]) == (9, 1, "man")


def test_types_that_were_not_asked_of_a_text_have_no_gaps(sports, wiki):
    limited = [json.loads(line) for line in wiki.read_text().splitlines()]
    for each in limited:
        each["labels"] = ["city"]
        each["entities"] = [entity for entity in each["entities"] if entity["label"] == "city"]
    wiki.write_text("".join(json.dumps(each) + "\n" for each in limited))
    assert not gaps([sports, wiki])


def test_only_so_many_texts_are_searched_but_all_are_counted(sports, wiki):
    mixture = collected([sports, wiki], 4)
    assert [len(texts) for texts in mixture.texts] == [4, 4]
    again = collected([sports, wiki], 4)
    assert [text.id for texts in mixture.texts for text in texts] == [
        text.id for texts in again.texts for text in texts
    ]
    counted = {each.type.name: (each.asked, each.positive) for each in mixture.frequencies.values()}
    assert counted["person"] == (32, 12)


def test_types_that_are_never_or_always_there(tmp_path):
    types = {"person": PERSON, "city": CITY, "athlete": ATHLETE}
    texts = [f"Ada {number}" for number in range(30)] + ["Ada in Rome"]
    path = write(tmp_path / "set", texts, {"Ada": "person", "Rome": "city"}, types)
    found = extremes(collected([path], 10))
    assert [(each.kind, each.type.name, each.asked) for each in found] == [
        ("always", "person", 31),
        ("never", "athlete", 31),
    ]
    write_records(path, records("set", texts[:19], {"Ada": "person"}))  # too few texts to say so
    assert not extremes(collected([path], 10))


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(definitions_jpt, "build_definition_encoder", lambda name: WordsEncoder())

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli.app, ["data", "check", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stderr if code else result.stdout

    return run


def test_a_recipe_is_checked_as_it_is_trained_on(sports, tmp_path, run):
    """Families whose members another set has more of, and records that are held out."""
    labels = {"person_politician": "politician", "person_artist": "artist", "person_soldier": "soldier"}
    texts = [f"Angela Merkel met {player}" for player in PLAYERS * 2]
    types = {label: {"name": name, "definition": f"Such a {name}."} for label, name in labels.items()}
    write(tmp_path / "kinds", texts, {"Angela Merkel": "person_politician"}, types)
    recipe = tmp_path / "recipe.yaml"
    values = {"backbone": "x", "output_dir": "x", "training": {"max_steps": 1}}
    data = [{"path": "sports/data.jsonl"}, {"path": "kinds/data.jsonl", "families": True, "held_out": 2}]
    recipe.write_text(json.dumps({**values, "data": data}))
    told = run(recipe, f"data_root={tmp_path}", "--similarity", 0.2, "-o", tmp_path / "check")
    report = json.loads((tmp_path / "check.json").read_text())
    (family,) = report["families"]
    assert (family["type"], family["unmarked"], family["marked"]) == ("person", 10, 0)
    assert family["members"] == list(labels)
    assert "| kinds | person | 3 | 10 | 0 | sports: athlete (10) |" in told
    assert told.strip() in (tmp_path / "check.md").read_text()


def test_sets_of_one_name_are_told_apart(sports, wiki, tmp_path, run):
    copies = []
    for place, path in (("a", sports), ("b", wiki)):
        (tmp_path / place).mkdir()
        copies.append(path.parent.rename(tmp_path / place / "en") / "data.jsonl")
    (gap,) = gaps(copies)
    assert (gap.type.dataset, gap.type.name, gap.unmarked) == ("en/data (2)", "person", 12)
    assert [source.dataset for source, *_ in gap.sources] == ["en/data"]
    assert collected(copies[::-1]).names == ["en/data", "en/data (2)"]
    assert "| en/data (2) | person | 12 |" in run(*copies, "--similarity", 0.5)


def test_nested_mentions_are_read(sports, run):
    record = Record("nested", "Rod Laver won", [Entity(0, 9, "athlete"), Entity(4, 9, "athlete")])
    with open(sports, "a") as file:
        print(json.dumps(record.to_dict()), file=file)
    assert "1 sets, 2 types, 7 texts searched" in run(sports)


def test_what_cannot_be_read_is_said(sports, run):
    assert "no such file" in run(sports, sports.with_name("none.jsonl"), code=2)
    assert "recipe not found" in run("none", code=2)
