"""The command line: what it refuses and how it says so, every way in and out of `tag`, and the smaller commands."""

import csv
import json
import re
import subprocess
import sys

import pytest
import yaml
from files import docx_bytes, pdf_bytes
from jpt_ner.tools import cli
from jpt_ner.tools.commands.arguments import schema_of
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.files.highlight import Highlighter
from jpt_ner.tools.files.opening import check_apart
from jpt_ner.tools.loading import HOME, load_pipeline
from jpt_ner.tools.training.preparation import load_sources
from jpt_ner.tools.training.recipe import load_recipe
from rich.console import Console
from tiny import tiny_tokenizer
from typer.testing import CliRunner

TYPES = ["--types", "city=A named town.", "--types", "artist=A musician, singer or band."]
TEXTS = ["Paris released a new album.", "Angela Merkel visited Paris.", "", "Ünïcode 🙂 in Zürich"]


def run(*arguments, input=None, code=0):
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def refused(*arguments, **options):
    """The message of a call that must fail without a stack trace."""
    result = run(*arguments, code=2, **options)
    assert result.stdout == ""
    return " ".join(re.sub("[─│╭╮╰╯]", " ", result.stderr).split())  # in a box or not


@pytest.fixture(scope="module")
def model(make_model, tmp_path_factory):
    """Folder of a random model in the trained-parts form."""
    folder = tmp_path_factory.mktemp("model")
    make_model(type_embedding="prompt").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    """What the pipeline itself finds in `TEXTS`."""
    pipe = load_pipeline(str(model))
    found = pipe(TEXTS, entity_types=schema_of(TYPES[1::2]))
    assert sum(map(len, found)) >= 3
    return found


def is_near(found, expected):
    """The same spans, and scores but for what other batches change."""
    spans = [[{**each, "score": None} for each in entities] for entities in found]
    assert spans == [[{**each, "score": None} for each in entities] for entities in expected]
    for entities, others in zip(found, expected):
        assert [each["score"] for each in entities] == pytest.approx([each["score"] for each in others], abs=1e-4)


# ---- tag ------------------------------------------------------------------------------------------------------------


def test_text_to_json(model, expected):
    lines = [json.loads(run("tag", text, *TYPES, "-m", model, "--json").stdout) for text in TEXTS]
    assert [line["text"] for line in lines] == TEXTS
    is_near([line["entities"] for line in lines], expected)


def test_lines_from_standard_input(model, expected):
    result = run("tag", "-", "--lines", *TYPES, "-m", model, "--json", input="\n".join(TEXTS) + "\n")
    is_near([json.loads(line)["entities"] for line in result.stdout.splitlines()], expected)


def test_json_lines_to_json_lines(model, expected, tmp_path):
    rows = [{"id": number, "body": text, "kept": [1]} for number, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("tag", "-i", tmp_path / "in.jsonl", "--text-column", "body", *TYPES, "-m", model, "-o", tmp_path / "out.jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    is_near([row.pop("entities") for row in written], expected)
    assert written == rows


def test_csv_to_csv(model, expected, tmp_path):
    with open(tmp_path / "in.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(TEXTS)])
    run("tag", "-i", tmp_path / "in.csv", *TYPES, "-m", model, "-o", tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (int(row["id"]), int(row["start"]), int(row["end"]), row["entity_group"], row["word"]) for row in rows
    ] == [
        (number, each["start"], each["end"], each["entity_group"], each["word"])
        for number, entities in enumerate(expected)
        for each in entities
    ]


def test_word_and_pdf_files_to_label_studio_and_brat(model, expected, tmp_path):
    (tmp_path / "in.pdf").write_bytes(pdf_bytes(TEXTS[1]))
    run("tag", "-i", tmp_path / "in.pdf", *TYPES, "-m", model, "-o", tmp_path / "out.json")
    (task,) = json.loads((tmp_path / "out.json").read_text())
    values = [each["value"] for each in task["predictions"][0]["result"]]
    spans = [(each["start"], each["end"], each["entity_group"]) for each in expected[1]]
    assert [(each["start"], each["end"], *each["labels"]) for each in values] == spans and spans
    (tmp_path / "in.docx").write_bytes(docx_bytes(TEXTS[1]))
    run("tag", "-i", tmp_path / "in.docx", *TYPES, "-m", model, "-o", tmp_path / "out.ann")
    assert (tmp_path / "out.txt").read_text() == TEXTS[1]
    lines = [line for line in (tmp_path / "out.ann").read_text().splitlines() if line.startswith("T")]
    assert [line.split("\t")[1] for line in lines] == [f"{name} {start} {end}" for start, end, name in spans]


def test_conll_to_conll_tags_the_given_words(model, tmp_path):
    sentences = [text.split() for text in TEXTS if text]
    content = "\n".join("".join(f"{word}\tO\n" for word in words) for words in sentences)
    (tmp_path / "in.conll").write_text(content)
    run("tag", "-i", tmp_path / "in.conll", *TYPES, "-m", model, "-o", tmp_path / "out.conll")
    records = read_records(tmp_path / "out.conll")
    assert [record.tokens for record in records] == sentences
    result = run("tag", "-i", tmp_path / "in.conll", *TYPES, "-m", model, "--json")
    for record, line in zip(records, result.stdout.splitlines(), strict=True):
        row = json.loads(line)
        assert row["tokens"] == record.tokens and row["text"] == record.text
        found = [(each["start"], each["end"], each["entity_group"]) for each in row["entities"]]
        assert found == [(each.start, each.end, each.label) for each in record.entities]
    assert sum(len(record.entities) for record in records) > 0


def test_types_of_rows_go_before_those_of_the_call_and_it_is_said(model, tmp_path):
    rows = [{"text": TEXTS[0], "entity_types": {"own": "Anything at all."}}, {"text": TEXTS[0], "types": ["cafe"]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run("tag", "-i", tmp_path / "in.jsonl", "-t", "given=Anything at all.", "-m", model, "--json", "--nested")
    names = [{each["entity_group"] for each in json.loads(line)["entities"]} for line in result.stdout.splitlines()]
    assert names == [{"own"}, {"given"}]
    assert "1 text(s) brought their own `entity_types`, which replaced --types" in result.stderr


def test_options_reach_the_pipeline(model):
    call = ["tag", TEXTS[0], *TYPES, "-m", model, "--json"]
    nested = json.loads(run(*call, "--nested", "--threshold", "0", "--top-k", "1").stdout)["entities"]
    spans = sorted((each["start"], each["end"]) for each in nested)
    assert any(right[0] < left[1] for left, right in zip(spans, spans[1:]))
    assert all(len(each["alternatives"]) == 1 for each in nested)
    assert json.loads(run(*call, "--threshold", "1").stdout)["entities"] == []


def test_many_rows_stream_and_bad_ones_are_skipped_on_demand(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "Paris"}\n' * 300 + "{broken\n" + '{"text": "Rome"}\n' * 5)
    call = ["tag", "-i", tmp_path / "in.jsonl", *TYPES, "-m", model, "-o", tmp_path / "out.jsonl"]
    assert "in.jsonl:301: broken JSON" in refused(*call)
    assert not (tmp_path / "out.jsonl").exists()
    result = run(*call, "--skip-bad", "--batch-size", "4")
    assert "in.jsonl:301: broken JSON" in result.stderr and "1 row(s) skipped" in result.stderr
    texts = [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert texts == ["Paris"] * 300 + ["Rome"] * 5


def test_a_bad_row_takes_nothing_from_those_before_it(model, tmp_path):
    rows = [{"id": number, "text": TEXTS[0]} for number in range(20)]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in.jsonl").write_text(content + '{"id": 20, "text": null}\n')
    call = ["tag", "-i", tmp_path / "in.jsonl", *TYPES, "-m", model]
    shown = run(*call, "--json", code=2)
    assert len(shown.stdout.splitlines()) == 20 and "in.jsonl:21: 'text' should be" in shown.stderr
    failed = run(*call, "-o", tmp_path / "out.jsonl", code=2)
    assert "in.jsonl:21: 'text' should be" in failed.stderr and "out.partial.jsonl: 20 texts" in failed.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl", "out.partial.jsonl"]
    kept = [json.loads(line)["id"] for line in (tmp_path / "out.partial.jsonl").read_text().splitlines()]
    assert kept == list(range(20))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".conll", ".zip"])
def test_a_model_scores_100_on_its_own_output(model, tmp_path, suffix):
    """Of texts in a folder, and with the types that they were tagged with."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "types.yaml").write_text(
        yaml.safe_dump({"entity_types": dict(each.split("=") for each in TYPES[1::2])})
    )
    call = ["-t", tmp_path / "types.yaml", "-m", model]
    run("tag", "-i", folder, *call, "-o", tmp_path / f"own{suffix}")
    run("evaluate", tmp_path / f"own{suffix}", *call, "-o", tmp_path / "report")
    strict = next(iter(json.loads((tmp_path / "report.json").read_text())["datasets"].values()))["strict"]
    assert strict["f1"] == 1 and strict["gold"] >= 3


def test_files_are_read_as_the_options_say(model, tmp_path):
    (tmp_path / "in.csv").write_bytes("id;body\n1;Jürgen\n".encode("cp1252"))
    call = ["-i", tmp_path / "in.csv", "--text-column", "body", *TYPES, "-m", model, "--json"]
    assert "--encoding" in refused("tag", *call)
    assert json.loads(run("tag", *call, "--encoding", "cp1252").stdout)["body"] == "Jürgen"
    (tmp_path / "in.conll").write_text("x\tParis\tcity\nx\tis\tO\n")
    options = ["--columns", "2,3", "--tag-scheme", "io", "-t", write_types(tmp_path), "-m", model]
    assert "| 1 |" in run("evaluate", tmp_path / "in.conll", *options).stdout
    assert "--tag-scheme io" in refused("evaluate", tmp_path / "in.conll", *options[:2], *options[4:])


def write_types(tmp_path):
    (tmp_path / "types.yaml").write_text("entity_types:\n  - name: city\n    definition: A named town.\n")
    return tmp_path / "types.yaml"


def test_nested_records_are_evaluated_where_that_is_said(model, tmp_path):
    entities = [{"start": 0, "end": 5, "label": "city"}, {"start": 0, "end": 2, "label": "city"}]
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "text": TEXTS[0], "entities": entities}))
    call = ["evaluate", tmp_path / "in.jsonl", "-t", write_types(tmp_path), "-m", model]
    assert "overlap" in refused(*call) and "--nested" in refused(*call)
    assert "| 1 |" in run(*call, "--nested").stdout


def test_definitions_that_end_like_files_are_definitions(tmp_path):
    schema = schema_of(["file=A file name, such as config.json", "x=y.yaml"])
    assert {each.name: each.definition for each in schema.entity_types} == {
        "file": "A file name, such as config.json",
        "x": "y.yaml",
    }
    path = tmp_path / "lr=1.yaml"
    path.write_text("entity_types: {city: A named town.}\n")
    assert schema_of([str(path)]).names == ["city"]
    with pytest.raises(ValueError, match="schema file not found: runs/lr=1/types.yaml"):
        schema_of(["runs/lr=1/types.yaml"])


ENDED = """
import sys
from jpt_ner.tools import cli
from jpt_ner.tools.commands import tag
class Slow:
    settings = type("Settings", (), {"entity_types": None})
    def __call__(self, items, **options):
        for number, item in enumerate(items):
            if number == 3:
                print("three", flush=True)
                sys.stdin.read()
            yield []
tag.load_pipeline = lambda *_, **__: Slow()
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_a_run_that_is_ended_leaves_what_it_has_done_and_no_hidden_files(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n' * 9)
    call = ["tag", "-i", "in.jsonl", "-t", "city=A named town.", "-o", "out.jsonl"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", ENDED, *call], cwd=tmp_path, text=True, **pipes)
    try:
        assert process.stdout.readline() == "three\n"
        assert any(each.name.startswith(".out.jsonl.") for each in tmp_path.iterdir())
        process.terminate()
        _, told = process.communicate()
    finally:
        process.kill()
    assert process.returncode not in (0, -15) and "out.partial.jsonl: 3 texts" in told and "Traceback" not in told
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl", "out.partial.jsonl"]


def test_no_documents_at_all(tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    run("tag", "-i", tmp_path / "in.jsonl", *TYPES, "-o", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_what_tag_refuses(model, tmp_path):
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "types.yaml").write_text("entity_types:\n  - name: city\n")
    there = ["-m", model]
    assert "either a text or --input" in refused("tag", *TYPES)
    assert "either a text or --input" in refused("tag", "x", "-i", "y", *TYPES)
    assert "read it with --input" in refused("tag", tmp_path / "in.txt", *TYPES)
    assert "No such file" in refused("tag", "-i", tmp_path / "none.txt", *TYPES)
    assert "give the format" in refused("tag", "-i", tmp_path / "in.xlsx", *TYPES)
    assert "unknown preset 'nothing'" in refused("tag", "x", "-t", "nothing")
    assert '"city" has an empty definition' in refused("tag", "x", "-t", "city=")
    assert '"city" repeats "City"' in refused("tag", "x", "-t", "City=a", "-t", "city=b")
    assert "types.yaml:2: " in refused("tag", "x", "-t", tmp_path / "types.yaml")
    (tmp_path / "folder.jsonl").mkdir()
    assert "is a folder" in refused("tag", "x", *TYPES, "-o", tmp_path / "folder.jsonl")
    assert "No such file" in refused("evaluate", tmp_path / "none.jsonl", "-t", "general")
    assert "should end in" in refused("tag", "x", *TYPES, "-o", tmp_path / "out.xlsx")
    assert "overlapping" in refused("tag", "x", *TYPES, "--nested", "-o", tmp_path / "out.conll")
    assert "--top-k" in refused("tag", "x", *TYPES, "--top-k", 2, "-o", tmp_path / "out.csv")
    assert "model folder not found" in refused("tag", "x", *TYPES, "-m", tmp_path / "none")
    for device in ("abacus", ""):
        assert f"`device` {device!r} cannot be used here" in refused("tag", "x", *TYPES, "--device", device)
    assert "--types" in refused("tag", "x", *there)
    assert "decoder" in refused("tag", "x", *TYPES, *there, "--nested", "--decoder", "token")
    assert "less than or equal to 1" in refused("tag", "x", *TYPES, "--threshold", "2")


OUTPUTS = {
    "tag": ("tag", "-i", "own.json", *TYPES, "-o", "link.json"),
    "tag a folder": ("tag", "-i", ".", *TYPES, "-o", "own.json"),
    "tag with types": ("tag", "x", "-t", "own.json", "-o", "own.json"),
    "evaluate": ("evaluate", "own.json", *TYPES[:2], "-o", "own"),
    "evaluate with types": ("evaluate", "other.json", "-t", "own.json", "-o", "own"),
    "compare": ("compare", "own.json", *TYPES[:2], "-o", "own"),
    "calibrate": ("calibrate", "own.json", *TYPES[:2], "-o", "own"),
    "sweep": ("sweep", "own.json", "--set", "outside_bias=0", "-o", "own"),
    "bench": ("bench", "--data", "own.json", "-o", "own"),
    "data stats": ("data", "stats", "own.json", "-o", "own"),
    "data check": ("data", "check", "own.json", "-o", "own"),
    "types tune": ("types", "tune", "general", "--data", "own.json", "-o", "own.json"),
    "types improve": ("types", "improve", "general", "--data", "own.json", "-o", "own.json"),
}


@pytest.mark.parametrize("command", [*OUTPUTS])
def test_an_output_replaces_no_file_that_is_read(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    content = json.dumps([{"id": 1, "text": TEXTS[0], "entities": []}])
    (tmp_path / "own.json").write_text(content)
    (tmp_path / "other.json").write_text(content)
    (tmp_path / "link.json").symlink_to("own.json")
    assert "is a file that is read" in refused(*OUTPUTS[command])
    assert (tmp_path / "own.json").read_text() == content


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "set/own.json"),
        ("compare", "set/own.json"),
        ("calibrate", "set/own.json"),
        ("calibrate", "other.json", "--fit", "set/own.json"),
        ("sweep", "set/own.json", "--set", "outside_bias=0"),
        ("bench", "--data", "set/own.json"),
        ("data", "stats", "other.json", "set/own.json"),
        ("data", "check", "set/own.json"),
    ],
)
def test_a_report_does_not_replace_the_types_of_the_data(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name in ("set/own.json", "other.json"):
        (tmp_path / name).write_text(json.dumps([{"id": 1, "text": TEXTS[0], "entities": []}]))
    (tmp_path / "set" / "types.json").write_text('{"city": "A town."}')
    assert re.search(r"is a file that is read \('\S*set/types.json'\)", refused(*command, "-o", "set/types"))
    assert (tmp_path / "set" / "types.json").read_text() == '{"city": "A town."}'


def test_the_check_of_a_recipe_does_not_replace_its_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").write_text(json.dumps([{"id": 1, "text": TEXTS[0], "entities": []}]))
    (tmp_path / "mine.json").write_text('{"city": "A town."}')
    recipe = {"backbone": "x", "output_dir": "x", "data": [{"path": "own.*", "types": "mine.json"}]}
    (tmp_path / "recipe.yaml").write_text(json.dumps({**recipe, "training": {"max_steps": 1}}))
    assert "is a file that is read" in refused("data", "check", "recipe.yaml", "-o", "mine")
    assert (tmp_path / "mine.json").read_text() == '{"city": "A town."}'


@pytest.mark.parametrize("command", ["evaluate", "compare", "calibrate", "sweep", "bench", "data stats", "data check"])
def test_reports_that_cannot_be_written_are_refused_before_any_work(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").write_text(json.dumps([{"id": 1, "text": TEXTS[0], "entities": []}]))
    (tmp_path / "file").write_text("")
    model = [] if command.startswith("data") else ["-m", tmp_path / "none"]  # what the work would fail by
    assert "error: file: " in refused(*OUTPUTS[command][:-1], "file/report", *model)


def test_outputs_are_told_apart_from_inputs_and_from_each_other(tmp_path):
    own, out = tmp_path / "own.json", tmp_path / "out.json"
    own.write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "hard.json").hardlink_to(own)
    (tmp_path / "link.json").symlink_to(out)
    check_apart(["-", own, tmp_path / "none.json"], [None, out, tmp_path / "new.json"])
    check_apart(["/dev/null", tmp_path / "folder"], ["/dev/null", "/dev/null"])  # loses nothing
    for output in (own, tmp_path / "hard.json", tmp_path / "OWN.json"):
        for inputs in (own, tmp_path, tmp_path / "*.json"):
            with pytest.raises(ValueError, match="is a file that is read"):
                check_apart([inputs], [output])
    for other in (out, tmp_path / "Out.json", tmp_path / "link.json", tmp_path / "folder" / ".." / "out.json"):
        with pytest.raises(ValueError, match="would be one file"):
            check_apart([own], [out, None, other])


# ---- highlighting ---------------------------------------------------------------------------------------------------


def highlighted(text, spans, **options):
    entities = [{"start": start, "end": end, "entity_group": name, "score": 0.5} for start, end, name in spans]
    with (console := Console(width=200, highlight=False, **options)).capture() as capture:
        highlighter = Highlighter(console, {"city": "#010203", "artist": None}, scores=True)
        highlighter.print(text, entities)
        highlighter.print_legend()
    return capture.get()


def test_brackets_where_there_is_no_colour():
    text = "Paris Hilton saw \x1b[31mParis\r\n\u2028now"
    shown = highlighted(text, [(0, 5, "city"), (0, 12, "artist"), (22, 27, "city")], color_system=None)
    assert shown.startswith("[[Paris|city 0.50] Hilton|artist 0.50] saw \ufffd[31m[Paris|city 0.50]\n")
    assert shown.endswith("\n\n city  2    artist  1   \n")


def test_colours_where_there_are():
    shown = highlighted("in Paris", [(3, 8, "city")], color_system="truecolor", force_terminal=True)
    assert "in \x1b[1;30;48;2;1;2;3mParis\x1b[0m" in shown


def test_terminal_output_of_files_has_titles_and_a_legend_for_each_schema(model, tmp_path):
    rows = [{"id": "first", "text": TEXTS[0], "entity_types": ["aa"]}, {"text": TEXTS[1], "entity_types": ["bb"]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = run("tag", "-i", tmp_path / "in.jsonl", "-m", model).stdout
    first, second = shown.split("line 2")
    assert first.startswith("first ")
    assert re.search(r"^ aa  \d", first, re.M) and "bb" not in first
    assert re.search(r"^ bb  \d", second, re.M) and "aa" not in second


# ---- types, train, convert ------------------------------------------------------------------------------------------


def test_types_commands(tmp_path):
    assert "restaurant" in run("types", "list").stdout
    shown = run("types", "show", "restaurant").stdout
    (tmp_path / "mine.yaml").write_text(shown)
    assert "12 entity types: venue" in run("types", "check", tmp_path / "mine.yaml").stdout
    (tmp_path / "mine.yaml").write_text(shown + "  - name: food\n    definition: again\n")
    line = len(shown.splitlines()) + 1
    assert f"mine.yaml:{line}: " in refused("types", "check", tmp_path / "mine.yaml")
    assert "unknown preset" in refused("types", "show", "nothing")
    for name in ("city\x1b[2J", "\x1b[2J"):
        (tmp_path / "mine.json").write_text(json.dumps({"entity_types": {name: "A named town.", "town": ""}}))
        assert "\x1b" not in refused("types", "check", tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text(json.dumps({"entity_types": {"city\x1b[2J": "A named town."}}))
    assert "1 entity types: city\ufffd[2J" in run("types", "check", tmp_path / "mine.json").stdout


def test_convert_gives_the_same_scores_without_the_backbone(model, tmp_path):
    result = run("convert", model, tmp_path / "whole")
    assert "self-contained" in result.stdout
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["self_contained"] and config["lora_rank"] == 0
    call = ["tag", TEXTS[1], *TYPES, "--json", "-m"]
    parts, whole = (json.loads(run(*call, folder).stdout)["entities"] for folder in (model, tmp_path / "whole"))
    assert parts
    is_near([whole], [parts])
    assert "new or an empty folder" in refused("convert", model, tmp_path / "whole")
    run("convert", model, tmp_path / "half", "--dtype", "bfloat16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.7 * sizes[0]


def test_train_by_recipe_with_other_values(backbone, tmp_path):
    records = [
        {"id": str(number), "text": "Paris is in France.", "entities": [{"start": 0, "end": 5, "label": "city"}]}
        for number in range(8)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    (tmp_path / "types.json").write_text(json.dumps({"city": "A named town."}))
    recipe = {
        "backbone": backbone,
        "output_dir": str(tmp_path / "run"),
        "data_root": str(tmp_path),
        "data": [{"path": "data.jsonl"}],
        "model": {"type_embedding": "definition", "definition_encoder": "backbone", "definition_encoder_size": 32},
        "training": {"max_steps": 50, "per_device_train_batch_size": 1, "use_cpu": True},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    call = ["train", tmp_path / "recipe.yaml", "training.max_steps=1", "training.learning_rate=1e-4"]
    result = run(*call, "model.lora_rank=2", "model.prompt_template=compact")
    folder = tmp_path / "run" / "final"
    assert str(folder) in result.stdout
    assert json.loads((folder / "config.json").read_text())["lora_rank"] == 2
    assert "expected KEY=VALUE" in refused("train", tmp_path / "recipe.yaml", "steps")
    for recipe in ("no-such-recipe", tmp_path / "no-such-recipe.yaml"):
        assert "smollm2-135m" in refused("train", recipe)
    for value in ("data=*.jsonl", "data=[a.jsonl"):
        assert "error: data: " in refused("train", tmp_path / "recipe.yaml", value)


# ---- evaluate -------------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    records = [{"id": "a", "text": TEXTS[1], "entities": [{"start": 22, "end": 27, "label": "city"}]}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    (tmp_path / "types.json").write_text(json.dumps({"city": "A named town."}))
    return tmp_path / "test.jsonl"


def test_evaluate_takes_files_either_way_and_reports_what_was_scored(model, labelled, tmp_path):
    report = tmp_path / "reports" / "v0.5"
    result = run("evaluate", "--model", model, "--data", labelled, "--output", report)
    assert f"{tmp_path.name}/test" in result.stdout and run("evaluate", labelled, "-m", model).stdout in result.stdout
    found = json.loads((tmp_path / "reports" / "v0.5.json").read_text())
    assert found["model"].endswith(model.name) and found["ignored_labels"] == ["misc"]
    assert str(tmp_path) not in (tmp_path / "reports" / "v0.5.md").read_text() + json.dumps(found)


def test_what_evaluate_refuses(model, labelled, tmp_path, backbone):
    assert "give one or more files" in refused("evaluate", "-m", model)
    assert "names a file twice" in refused("evaluate", labelled, labelled, "-m", model)
    assert "of type 'llama', not of a JPT model" in refused("evaluate", labelled, "-m", backbone)
    (tmp_path / "file").touch()
    assert "file" in refused("evaluate", labelled, "-m", model, "-o", tmp_path / "file" / "report")
    with open(labelled, "a") as file:
        file.write('{"id": "b", "text": "Bob"}\n')
    assert "--skip-bad" in refused("evaluate", labelled, "-m", model)
    with pytest.warns(UserWarning, match="'entities' is missing"):
        assert "| 1 |" in run("evaluate", labelled, "-m", model, "--skip-bad").stdout


@pytest.mark.parametrize("name", ["tasks.json", "tasks.doccano.jsonl", "tasks.prodigy.jsonl", "tasks.zip"])
def test_what_was_marked_and_corrected_is_learned_from_and_compared(model, tmp_path, name):
    """The commands of docs/annotate-and-learn.md, but for the training itself."""
    types = tmp_path / "my-types.yaml"
    types.write_text(yaml.safe_dump({"entity_types": {"city": "A named town.", "artist": "A musician or band."}}))
    texts = [f"{number}: {text}" for number, text in enumerate(TEXTS * 6) if text]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    run("tag", "-i", tmp_path / "in.txt", "--lines", "-t", types, "-m", model, "-o", tmp_path / name)
    source = {"path": str(tmp_path / name), "types": str(types), "held_out": 3}
    recipe = load_recipe(HOME / "recipes" / "finetune.yaml", {"data": [source], "min_records": 15, "replay": None})
    (learned,) = load_sources(recipe)
    assert len(learned.records) == len(texts) - 3
    with pytest.raises(ValueError, match="15 labelled sentences are too few"):
        load_sources(load_recipe(HOME / "recipes" / "finetune.yaml", {"data": [source], "replay": None}))
    before, report = tmp_path / "before.jsonl", tmp_path / "report.html"
    call = ["evaluate", tmp_path / name, "-t", types, "--held-out", 3, "-m", model]
    assert "| 3 |" in run(*call, "--save-predictions", before).stdout
    run(*call, "--errors", report, "--against", before)
    assert "before" in report.read_text()
    held = {json.loads(line)["text"] for line in before.read_text().splitlines()}
    assert held.isdisjoint(record.text for record in learned.records)


# ---- the program ----------------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['jpt-ner', '--help']\nfrom jpt_ner.tools.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'huggingface_hub'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "Finds entities" in result.stdout
