"""`jpt-ner evaluate` end to end with a random model: reports, predictions out and in, definitions compared."""

import json
import re

import pytest
from jpt_ner.tools import cli
from jpt_ner.tools.commands import evaluation
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.evaluation.evaluate import load_datasets
from jpt_ner.tools.evaluation.languages import UNKNOWN, language_of
from jpt_ner.tools.evaluation.predictions import write_predictions
from jpt_ner.tools.evaluation.runs import run_model
from jpt_ner.tools.evaluation.wording import ALL, GIVEN, Variant, compare_variants, comparison_tables, make_variants
from jpt_ner.tools.training.preparation import load_sources
from jpt_ner.tools.training.recipe import load_recipe
from typer.testing import CliRunner

TYPES = {
    "person": {"name": "person", "definition": "A named human being.", "generic": "A human."},
    "city": {"name": "city", "definition": "A named town.", "generic": "A place."},
}
TEXTS = ["Ada met Bob in Rome today", "Rome and Paris", "nothing here at all"]


@pytest.fixture
def data(tmp_path):
    records = [
        Record("a", TEXTS[0], [Entity(0, 3, "person"), Entity(8, 11, "person"), Entity(15, 19, "city")]),
        Record("b", TEXTS[1], [Entity(0, 4, "city"), Entity(9, 14, "city")]),
        Record("c", TEXTS[2], []),
    ]
    write_records(tmp_path / "test.jsonl", records)
    (tmp_path / "types.json").write_text(json.dumps(TYPES))
    return tmp_path / "test.jsonl"


@pytest.fixture
def run(pipe, monkeypatch):
    """Runs `jpt-ner evaluate` with the random model."""
    monkeypatch.setattr(evaluation, "load_pipeline", lambda model, device: pipe)

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return " ".join(re.sub("[─│╭╮╰╯]", " ", result.stderr if code else result.stdout).split())

    return run


def test_report_and_predictions_agree_with_the_scores(data, run):
    folder = data.parent
    told = run(data, "--errors", folder / "r.html", "--save-predictions", folder / "p.jsonl", "-o", folder / "s")
    scores = json.loads((folder / "s.json").read_text())["datasets"][f"{folder.name}/test"]
    rows = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
    errors = scores["errors"]
    assert [
        sum(row["kind"] == kind for row in rows) for kind in ("missed", "spurious", "type", "boundary", "both")
    ] == [errors[kind] for kind in ("missed", "spurious", "wrong_type", "wrong_boundary", "wrong_both")]
    assert len(rows) > 0 and all(row["runner_up"] for row in rows)  # from the model's probabilities
    assert all(0 <= row["gold"]["score"] <= 1 for row in rows if row["gold"])
    assert "written:" in told and "Errors of the shipped model" in (folder / "r.html").read_text()
    # The same predictions as a file have the same scores and errors, and differ from the model in nothing.
    run(data, "--predictions", folder / "p.jsonl", "-o", folder / "t", "--errors", folder / "u.html")
    again = json.loads((folder / "t.json").read_text())["datasets"][f"{folder.name}/test"]
    assert again == scores
    run(data, "--errors", folder / "v.html", "--against", folder / "p.jsonl")
    others = [json.loads(line) for line in (folder / "v.jsonl").read_text().splitlines()]
    assert not any(row["right_in_other"] for row in others) and len(others) == len(rows)
    assert "against p.jsonl" in (folder / "v.html").read_text()


def test_what_does_not_go_together_is_refused_before_anything_is_read(data, run):
    folder = data.parent
    for arguments, message in [
        (["--against", "x.jsonl"], "--against needs --errors"),
        (["--errors", folder / "r.txt"], "--errors should name an .html file"),
        (["--errors", folder / "r.html", "--wording", "name", "--wording", "precise"], "--errors goes with one set"),
        (["--wording", "name", "--wording", "name"], "'name' is given twice"),
        (["--wording", "long"], "`wording` should be one of"),
        (["--predictions", folder / "none.jsonl"], "predictions not found"),
        (["--errors", folder / "r.html", "--against", folder / "none.jsonl"], "predictions not found"),
    ]:
        assert message in run(data, *arguments, code=2)
    assert not (folder / "r.html").exists()


def test_no_file_that_is_read_or_written_is_written_over(data, run):
    folder = data.parent
    content = data.read_bytes()
    (folder / "before.jsonl").write_bytes(content)
    for arguments, message in [
        (["--errors", folder / "test.html"], "test.jsonl' is a file that is read"),
        (
            ["--errors", folder / "before.html", "--against", folder / "before.jsonl"],
            "before.jsonl' is a file that is read",
        ),
        (["--errors", folder / "r.html", "--save-predictions", folder / "r.jsonl"], "r.jsonl' would be one file"),
        (["--save-predictions", folder / "s.json", "-o", folder / "s"], "s.json' would be one file"),
    ]:
        assert message in run(data, *arguments, code=2)
    assert data.read_bytes() == (folder / "before.jsonl").read_bytes() == content
    assert {each.name for each in folder.iterdir()} == {"test.jsonl", "before.jsonl", "types.json"}


def test_definitions_are_compared_with_the_first(data, run):
    folder = data.parent
    (folder / "mine.yaml").write_text(
        "entity_types:\n- {name: city, definition: A village., threshold: 1}\n- {name: person, definition: Folk.}\n"
    )
    told = run(data, "--wording", "generic", "--wording", "precise", "-t", folder / "mine.yaml", "-o", folder / "w")
    assert told.count("change") == 2 and ALL in told
    document = json.loads((folder / "w.json").read_text())
    assert (document["compared_with"], len(document["variants"])) == ("generic", 3)
    name = f"{folder.name}/test"
    mine = document["variants"][str(folder / "mine.yaml")][name]
    assert mine["definitions"] == {"person": "Folk.", "city": "A village."}
    assert mine["per_type"].get("city", {"predicted": 0})["predicted"] == 0  # below its threshold
    assert document["variants"]["generic"][name]["change_intervals"][ALL] == [0, 0]


def test_thresholds_of_a_schema_apply_whatever_the_data_calls_its_types(tmp_path, run):
    file, mine = tmp_path / "other" / "test.jsonl", tmp_path / "mine.yaml"
    write_records(file, [Record(str(number), text, []) for number, text in enumerate(TEXTS)])
    labelled = {"PER": {"name": "person", "definition": "Folk."}, "LOC": {"name": "city", "definition": "A town."}}
    (file.parent / "types.json").write_text(json.dumps(labelled))

    def predicted(threshold, *options):
        kinds = [{"name": label, "definition": "Any.", "threshold": threshold} for label in labelled]
        mine.write_text(json.dumps({"entity_types": kinds}))  # JSON is YAML
        run(file, "-t", mine, *options, "-o", tmp_path / "s")
        document = json.loads((tmp_path / "s.json").read_text())
        found = document["variants"][str(mine)] if "--wording" in options else document["datasets"]
        return found["other/test"]["strict"]["predicted"]

    for options in ([], ["--wording", "precise"], ["--errors", tmp_path / "r.html"]):
        assert predicted(0, *options) > 0 == predicted(1, *options)


def test_predictions_are_read_back_where_sets_name_their_types_alike(tmp_path, run):
    """A label of one set is the name of a type in the other, and of another type in its own."""
    sets = {"one": {"city": "town", "town": "river"}, "two": {"x": "city", "y": "town"}}
    for folder, names in sets.items():
        first, second = names
        entities = [Entity(0, 4, first), Entity(9, 14, second)]
        write_records(tmp_path / "sets" / folder / "data.jsonl", [Record("a", TEXTS[1], entities)])
        types = {label: {"name": name, "definition": f"A {name}."} for label, name in names.items()}
        (tmp_path / "sets" / folder / "types.json").write_text(json.dumps(types))
    pattern = tmp_path / "sets" / "*" / "data.jsonl"
    datasets = load_datasets([pattern])
    gold = {
        name: [
            [
                {"start": each.start, "end": each.end, "entity_group": each.label, "score": 1.0}
                for each in record.entities
            ]
            for record in records
        ]
        for name, records in datasets.items()
    }
    write_predictions(tmp_path / "p.jsonl", datasets, gold)
    for given in ([pattern], [tmp_path / "sets" / folder / "data.jsonl" for folder in sets]):
        run(*given, "--predictions", tmp_path / "p.jsonl", "-o", tmp_path / "s")
        scores = json.loads((tmp_path / "s.json").read_text())["datasets"]
        assert {name: each["strict"]["f1"] for name, each in scores.items()} == {"one/data": 1, "two/data": 1}
    # Labels are understood too, those of each set in its own way.
    rows = [
        {"dataset": "one/data", "id": "a", "entities": [["city", "Rome"]]},
        {"dataset": "two/data", "id": "a", "entities": [["x", "Rome"], ["y", "Paris"]]},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(pattern, "--predictions", tmp_path / "q.jsonl", "-o", tmp_path / "s")
    scores = json.loads((tmp_path / "s.json").read_text())["datasets"]
    assert {name: each["strict"]["correct"] for name, each in scores.items()} == {"one/data": 1, "two/data": 2}


def test_definitions_on_the_command_line_are_one_set_together(data, run):
    folder = data.parent
    given = ["-t", "person=Folk.", "-t", "city=A village."]
    run(data, *given, "-o", folder / "w")
    (folder / "mine.yaml").write_text("entity_types: {person: Folk., city: A village.}\n")
    run(data, "-t", folder / "mine.yaml", "-o", folder / "v")
    scores = [json.loads((folder / file).read_text())["datasets"] for file in ("w.json", "v.json")]
    assert scores[0] == scores[1]
    run(data, *given[:2], "-t", folder / "mine.yaml", *given[2:], "--wording", "name", "-o", folder / "w")
    document = json.loads((folder / "w.json").read_text())
    assert list(document["variants"]) == ["name", GIVEN, str(folder / "mine.yaml")]
    for name in list(document["variants"])[1:]:
        (scores,) = document["variants"][name].values()
        assert scores["definitions"] == {"person": "Folk.", "city": "A village."}
    assert "`types` lack 'city'" in run(data, *given[:2], code=2)
    assert "person" in run(data, *given, *given[:2], code=2)


def test_changes_are_differences_of_f1_on_the_same_texts(data, pipe):
    variants = make_variants(["name", "precise"], None)
    comparison = compare_variants(pipe, [data], variants)
    name = f"{data.parent.name}/test"
    for variant in variants:
        datasets = load_datasets([data], wording=variant.wording)
        assert comparison.runs[variant.name].predictions == run_model("m", pipe, datasets).predictions
    table = comparison_tables(comparison)
    for label in ("person", "city"):
        first, second = (comparison.scores[each][name].per_type.get(label) for each in ("name", "precise"))
        change = 100 * ((second.f1 if second else 0) - (first.f1 if first else 0))
        row = next(line for line in table.splitlines() if line.startswith(f"| {label} |"))
        assert f"| {change:+.1f} |" in row
    assert make_variants(None, None) == [Variant("precise")]


def test_trimming_is_told_of_the_readings_of_one_run(data, run):
    folder = data.parent
    told = run(data, "--trimming", "-o", folder / "s")
    effects = json.loads((folder / "s.json").read_text())["trimming"]
    plain = json.loads((folder / "s.json").read_text())["datasets"][f"{folder.name}/test"]["strict"]["f1"]
    assert {each["f1"] for effect in effects.values() for each in effect.values()} == {plain}
    assert "F1 with all rules" in told and "## Rules of trimming" in (folder / "s.md").read_text()
    for arguments in (["--decoder", "token"], ["--predictions", folder / "s.jsonl"]):
        assert "--trimming needs a model and the decoder" in run(data, "--trimming", *arguments, code=2)


# ---- held-out records and languages ---------------------------------------------------------------------------------


@pytest.fixture
def training_sets(tmp_path):
    """Two folders as a recipe names them, with more records than are held out."""
    for folder in ("news_de", "mixed"):
        records = [
            Record(
                f"{folder}-{'fr' if number % 2 else 'it'}-{number}", f"Ada met Bob {number}", [Entity(0, 3, "person")]
            )
            for number in range(40)
        ]
        write_records(tmp_path / folder / "data.jsonl", records)
        (tmp_path / folder / "types.json").write_text(json.dumps(TYPES))
    return [tmp_path / folder / "data.jsonl" for folder in ("news_de", "mixed")]


def test_held_out_records_are_those_that_training_leaves_out(training_sets, run, tmp_path):
    values = {"backbone": "x", "output_dir": "x", "data_root": str(tmp_path), "training": {"max_steps": 1}}
    values["data"] = [{"path": "*/data.jsonl", "held_out": 10}]
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))
    trained = [each.id for source in load_sources(load_recipe(tmp_path / "recipe.yaml")) for each in source.records]
    run(*training_sets, "--held-out", 10, "--save-predictions", tmp_path / "p.jsonl", "-o", tmp_path / "s")
    evaluated = [json.loads(line)["id"] for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(evaluated) == 20 and not set(trained) & set(evaluated)
    assert len(trained) == 60
    assert json.loads((tmp_path / "s.json").read_text())["held_out"] == 10


def test_scores_by_language_are_of_the_texts_of_all_its_sets(training_sets, run, tmp_path):
    told = run(*training_sets, "--languages", "-o", tmp_path / "s")
    report = json.loads((tmp_path / "s.json").read_text())
    languages = report["languages"]
    assert {name: each["texts"] for name, each in languages.items()} == {"de": 40, "fr": 20, "it": 20}
    assert languages["fr"]["datasets"] == ["mixed/data"]
    assert languages["de"]["strict"] == report["datasets"]["news_de/data"]["strict"]
    for side in ("gold", "predicted", "correct"):
        assert sum(each["strict"][side] for each in languages.values()) == sum(
            each["strict"][side] for each in report["datasets"].values()
        )
    assert "| fr | 20 |" in told and "| fr | 20 |" in (tmp_path / "s.md").read_text()
    told = run(*training_sets, "--language", "mixed=de")
    assert "| de | 80 |" in told


def test_a_record_says_its_language_first(run, tmp_path):
    entities, types = [Entity(0, 3, "person")], {"person": "A human."}
    records = [Record(each, "Ada met Bob", entities, types, language=each) for each in ("pt", "nl")]
    write_records(tmp_path / "news_de" / "data.jsonl", records)
    run(tmp_path / "news_de" / "data.jsonl", "--languages", "-o", tmp_path / "s")
    languages = json.loads((tmp_path / "s.json").read_text())["languages"]
    assert {name: each["texts"] for name, each in languages.items()} == {"nl": 1, "pt": 1}


def test_languages_that_cannot_be_are_refused(training_sets, run):
    assert "expected FOLDER=CODE" in run(*training_sets, "--language", "mixed", code=2)
    assert "no folder or file" in run(*training_sets, "--language", "mixd=de", code=2)
    assert "--languages goes with one set" in run(
        *training_sets, "--languages", "--wording", "name", "--wording", "precise", code=2
    )


def test_where_a_language_is_said():
    record = Record("mixed-xx-1", "x")
    assert language_of(Record("1", "x", language="pt"), "uner_de/data") == "pt"
    assert language_of(record, "uner_de/data", {"uner_de": "nl"}) == "nl"
    assert language_of(record, "wikiann-en/test") == "en"
    assert language_of(record, "data/dev_fr") == "fr"
    assert language_of(record, "mixed/data") == "xx"
    assert language_of(record, "scierc/data") == language_of(record, "data") == UNKNOWN
    assert Record.from_dict(Record("1", "x", language="pt").to_dict()).language == "pt"
