"""The comparison: what it measures, how it resumes, and that its figures match the measurements."""

import json
from dataclasses import replace

import pytest
from jpt_ner.generative.configuration_generative import GenerativeConfig
from jpt_ner.generative.export import export
from jpt_ner.generative.pipeline_generative import GenerativePipeline
from jpt_ner.tools import cli
from jpt_ner.tools.benchmark import compare
from jpt_ner.tools.benchmark.compare import VARIANTS, MeasuredText, Measurement, SystemComparison, build_compared
from jpt_ner.tools.benchmark.compare_report import markdown, write_comparison
from jpt_ner.tools.benchmark.mention_errors import error_shares, label_errors, mention_set_score, several_labels
from jpt_ner.tools.benchmark.published import PADELLM_TABLES
from jpt_ner.tools.benchmark.summary import summarize
from jpt_ner.tools.benchmark.systems import GenerativeSystem, SystemOutput
from jpt_ner.tools.data.records import Entity, Record, write_records
from safetensors.torch import load_file, save_file
from tiny import tiny_causal_lm, tiny_tokenizer
from typer.testing import CliRunner

TYPES = {"artist": "Who sings", "city": "Big town", "dish": "Food or drink"}
TEXTS = [
    ("Angela Merkel visited Paris in May, said Bob Dylan.", {"Angela Merkel": "artist", "Paris": "city"}),
    ("Paris released a new album.", {"Paris": "artist"}),
    ("Nothing is in here.", {}),
]
RECORDS = [
    Record(
        str(i),
        text,
        [Entity(text.index(word), text.index(word) + len(word), label) for word, label in words.items()],
        types=TYPES,
    )
    for i, (text, words) in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def generative():
    model, tokenizer = tiny_causal_lm(), tiny_tokenizer()
    return {
        system: GenerativePipeline(
            model=model, tokenizer=tokenizer, device="cpu", settings=GenerativeConfig(system=system, max_new_tokens=64)
        )
        for system in ("padellm", "autoreg-augmented", "autoreg-structured")
    }


@pytest.fixture(scope="module")
def gold(generative, make_pipeline):
    """A comparison with gold outputs."""
    systems = build_compared(make_pipeline(type_embedding="both"), generative, gold_output=True)
    return compare.compare(systems, {"tiny": RECORDS}, repeats=2)


def test_all_systems_read_all_texts(gold):
    names = ["jpt", *VARIANTS, "autoreg-augmented", "autoreg-structured"]
    assert [row.number for row in gold.texts] == [0, 1, 2]
    for row in gold.texts + gold.by_types:
        assert sorted(row.systems) == sorted(names)
        assert all(len(each.seconds) == 2 and min(each.seconds) > 0 for each in row.systems.values())
        assert not row.systems["jpt"].output.lengths and row.systems["autoreg-augmented"].output.lengths
    # Texts with entities under 1, 2 and 3 types; their own come first.
    assert [(row.number, row.types, len(row.gold)) for row in gold.by_types] == [
        *((0, 1, 1), (0, 2, 2), (0, 3, 2)),
        *((1, 1, 1), (1, 2, 1), (1, 3, 1)),
    ]


def test_gold_outputs_score_in_full(gold):
    systems = summarize(gold)["datasets"]["tiny"]["systems"]
    for name, figures in systems.items():
        if name != "jpt":
            assert (figures["f1"], figures["mention_set_f1"], figures["failures"]) == (1.0, 1.0, {})
    assert systems["padellm (batch)"]["errors"] == {
        "labels": 0,
        **{"count_mismatch": 0, "index_inaccuracy": 0, "rest": 0},
    }
    assert systems["padellm (batch)"]["tokens_per_sequence"] < systems["autoreg-structured"]["tokens_per_sequence"]


def test_random_models_fail_by_kind(generative):
    comparison = compare.compare(build_compared(None, generative), {"tiny": RECORDS}, by_types=False)
    assert comparison.by_types == [] and "jpt" not in comparison.texts[0].systems
    summary = summarize(comparison)
    systems = summary["datasets"]["tiny"]["systems"]
    assert all(sum(figures["failures"].values()) > 0 for figures in systems.values())
    assert all(systems[name]["failures"] == systems["padellm (batch)"]["failures"] for name in VARIANTS)
    assert "| failures |" in markdown(summary)


TEXT = "ab cd ef gh ij ab"


def measured(number, gold, dataset="one", **systems):
    return MeasuredText(dataset, number, TEXT, 3, gold, systems)


def output(found, lengths=(), failures=None, counts=None, written=None):
    """An output whose written mentions are those found, unless given."""
    strings = {rule: [[label, TEXT[start:end]] for start, end, label in spans] for rule, spans in found.items()}
    return SystemOutput(found, written or strings, counts or {}, list(lengths), failures or {})


def test_figures():
    """Against figures worked out by hand."""
    span, other = [0, 2, "a"], [0, 2, "b"]
    texts = []
    for number, (gold, fast, slow, lengths) in enumerate(
        [(1, 0.1, 0.4, [2, 3]), (5, 0.3, 1.2, [7]), (0, 0.2, 0.2, [1])]
    ):
        found = {"probability": [span] * (gold > 0), "none": [span, other], "reversed": [other]}
        systems = {
            "padellm (batch)": Measurement([fast, fast + 0.2], output(found, lengths, {"truncated": 1})),
            "autoreg-structured": Measurement([slow, slow], output({"none": []}, [40])),
        }
        texts.append(measured(number, [span] * min(gold, 1), **systems))
    # Of five entities one occurs twice as a string: strictly five, as a set four.
    texts[1].gold = [[3, 5, "a"], [6, 8, "a"], [9, 11, "a"], span, [15, 17, "a"]]
    summary = summarize(SystemComparison({"device": ["cpu"], "threads": 1, "torch": "2", "repeats": 2}, texts, texts))
    figures = summary["datasets"]["one"]
    padellm = figures["systems"]["padellm (batch)"]
    assert padellm["latency"]["mean"] == pytest.approx(300) and padellm["latency"]["p50"] == pytest.approx(300)
    assert padellm["latency"]["p95"] == pytest.approx(390)
    assert padellm["latency"]["mean_many_entities"] == pytest.approx(400)
    assert padellm["tokens_per_sequence"] == pytest.approx(13 / 4)
    assert padellm["sequences_per_text"] == pytest.approx(4 / 3)
    assert padellm["failures"] == {"truncated": 3}
    # Gold 1 + 5 entities; found one in each of two texts; without de-duplication also one wrong in each of three.
    assert padellm["f1"] == pytest.approx(2 * 2 / (6 + 2))
    assert padellm["mention_set_f1"] == pytest.approx(2 * 2 / (5 + 2))
    assert padellm["scores"]["none"]["f1"] == pytest.approx(2 * 2 / (6 + 6))
    assert padellm["scores"]["none"]["mention_set_f1"] == pytest.approx(2 * 2 / (5 + 6))
    assert padellm["scores"]["reversed"]["f1"] == 0
    speedup = figures["speedup"]["padellm (batch)"]["autoreg-structured"]
    assert speedup == {"all": pytest.approx(2.0), "many_entities": pytest.approx(3.0)}
    assert summary["by_entities"]["autoreg-structured"] == {0: 200.0, 1: 400.0, 5: 1200.0}
    assert summary["by_types"]["padellm (batch)"] == {3: pytest.approx(300)}

    report = markdown(summary)
    assert "3 texts, 6 entities, 1 texts with 5 or more" in report
    assert all(title in report for title in PADELLM_TABLES)
    line = next(line for line in report.split("Table 8")[1].splitlines() if line.startswith("| padellm (batch)"))
    assert line == "| padellm (batch) | 6.54 | 8.29 | 10.05 | 4.86 | 3.25 |"
    table = report.split("## Table 6")[1]
    assert "| none | 92.44 | 84.80 | 77.54 | 84.92 | 36.36 |" in table
    assert "| loss ignored | 92.01 | 85.18 | 73.47 | 83.55 |  |" in table
    assert "Table 11" not in report


def test_the_published_predictions_score_as_their_authors_say():
    """Sets of strings, not occurrences: a repeated mention counts once, a hallucination is wrong."""
    text = measured(0, [[0, 2, "a"], [15, 17, "a"], [3, 5, "b"]])
    written = [["a", "ab"], ["b", "zz"]]
    text.systems["x"] = Measurement([1.0], output({"none": [[0, 2, "a"]]}, written={"none": written}))
    score = mention_set_score([text], "x", "none")
    assert (score.correct, score.predicted, score.gold) == (1, 2, 2)


@pytest.mark.parametrize(
    "count, written, found, kind",
    [
        (2, ["ab", "cd"], [[0, 2, "a"], [3, 5, "a"]], None),
        (1, ["ab"], [[0, 2, "a"]], "count_mismatch"),
        (3, ["ab", "cd", "cd"], [[0, 2, "a"], [3, 5, "a"], [6, 8, "a"]], "count_mismatch"),
        (2, ["ab", "ef"], [[0, 2, "a"], [6, 8, "a"]], "index_inaccuracy"),
        (2, ["cd", "ab"], [[3, 5, "a"]], "index_inaccuracy"),
        (2, ["ab", "cd"], [[0, 2, "a"]], "rest"),  # lost to another label, or not found
    ],
)
def test_errors_by_kind(count, written, found, kind):
    text = measured(0, [[0, 2, "a"], [3, 5, "a"], [6, 8, "b"]])
    everything = {rule: [["a", each] for each in written] + [["b", "ef"]] for rule in ("none", "probability")}
    said = output({"probability": [*found, [6, 8, "b"]]}, counts={"a": count, "b": 1, "c": 0}, written=everything)
    text.systems["x"] = Measurement([1.0], said)
    errors = label_errors([text], "x")
    assert [error["kind"] for error in errors] == [kind] * (kind is not None)
    if kind:
        assert errors[0]["label"] == "a" and errors[0]["gold"] == ["ab", "cd"] and errors[0]["written"] == written
        assert error_shares(errors)[kind] == 1.0


def test_mentions_under_several_labels():
    """Of four strings in the predictions two have several labels; de-duplication drops one right and two wrong pairs."""
    text = measured(0, [[0, 2, "a"], [0, 2, "b"], [3, 5, "a"]])
    none = [["a", "ab"], ["b", "ab"], ["c", "ab"], ["a", "cd"], ["b", "cd"], ["a", "ef"], ["c", "gh"]]
    kept = [["a", "ab"], ["a", "cd"], ["a", "ef"], ["c", "gh"]]
    text.systems["x"] = Measurement([1.0], output({}, written={"none": none, "probability": kept}))
    assert several_labels([text], "x") == {"gold": 1, "predicted": 2, "dropped": 3, "dropped_right": 1}


def test_several_datasets_are_summed_up():
    texts = [
        measured(0, [[0, 2, "a"]], name, **{each: Measurement([1.0], output({"none": []}, [3], {"x": 1}))})
        for name in ("one", "two")
        for each in ("ye2023",)
    ]
    about = {"device": ["cpu"], "threads": 1, "torch": "2", "repeats": 1, "systems": ["ye2023"]}
    summary = summarize(SystemComparison(about, texts))
    assert list(summary["datasets"]) == ["one", "two", "all"]
    assert summary["datasets"]["all"]["systems"]["ye2023"]["failures"] == {"x": 2}
    report = markdown(summary)
    assert "| the backbone, asked | 49.9 | 47.9 | 74.7 | 56.2 | 58.1 | 57.4 | 0.0 | 0.0 | 0.0 |" in report


@pytest.fixture
def systems(generative):
    """One system that writes little."""
    pipeline = generative["autoreg-structured"].with_settings(max_new_tokens=4)
    return build_compared(None, {"autoreg-structured": pipeline})


def test_stopped_runs_go_on(systems, backbone, tmp_path, monkeypatch):
    log = {"models": {"autoreg-structured": backbone}, "log": tmp_path / "log.jsonl"}
    read, left = GenerativeSystem.read, [4]  # one to warm up, and two texts

    def stopping(self, records):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return read(self, records)

    monkeypatch.setattr(GenerativeSystem, "read", stopping)
    with pytest.raises(KeyboardInterrupt):
        compare.compare(systems, {"tiny": RECORDS}, **log)
    with log["log"].open("a") as file:
        file.write('{"key": "texts tiny 2 3", "da')  # killed while writing
    left[0] = -1
    whole = compare.compare(systems, {"tiny": RECORDS}, **log)
    assert -left[0] - 1 == 2 + len(whole.by_types)  # warmed up again, and only what was missing
    lines = [json.loads(line) for line in log["log"].read_text().splitlines()]
    assert len(lines) == 1 + len(whole.texts) + len(whole.by_types)
    left[0] = 1  # nothing is read again
    assert compare.compare(systems, {"tiny": RECORDS}, **log) == whole
    with pytest.raises(ValueError, match="the log of another run, which differs in repeats"):
        compare.compare(systems, {"tiny": RECORDS}, **log, repeats=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": RECORDS[0].text.replace("Paris", "Turin")},
        {"types": {**TYPES, "city": "Any place"}},
        {"types": dict(reversed(TYPES.items()))},
        {"entities": RECORDS[0].entities[:1]},
    ],
)
def test_what_has_changed_in_the_data_is_read_again(systems, backbone, tmp_path, monkeypatch, changes):
    log = {"models": {"autoreg-structured": backbone}, "log": tmp_path / "log.jsonl", "by_types": False}
    before = compare.compare(systems, {"tiny": RECORDS}, **log)
    changed, asked = replace(RECORDS[0], **changes), []
    read = GenerativeSystem.read
    monkeypatch.setattr(GenerativeSystem, "read", lambda self, records: asked.extend(records) or read(self, records))
    after = compare.compare(systems, {"tiny": [changed, *RECORDS[1:]]}, **log)
    assert asked == [changed, changed]  # to warm up, and to measure
    gold = [[each.start, each.end, each.label] for each in changed.entities]
    assert (after.texts[0].text, after.texts[0].gold) == (changed.text, gold)
    assert after.texts[1:] == before.texts[1:]


def test_a_log_needs_the_models(systems, tmp_path):
    with pytest.raises(ValueError, match="`models` must name the models if there is a `log`"):
        compare.compare(systems, {"tiny": RECORDS}, log=tmp_path / "log.jsonl")
    assert not (tmp_path / "log.jsonl").exists()


def test_files(gold, tmp_path):
    written = write_comparison(gold, tmp_path / "v1.2" / "report")
    assert [path.name for path in written] == ["report.json", "report.md", "report-entities.svg", "report-types.svg"]
    assert json.loads(written[0].read_text()) == json.loads(json.dumps(summarize(gold)))
    assert "forced to be the gold ones" not in written[1].read_text()
    assert all("</svg>" in path.read_text() and "padellm" in path.read_text() for path in written[2:])
    assert sorted(path.name for path in written[0].parent.iterdir()) == sorted(path.name for path in written)


# ---- command line ---------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(each) for each in arguments])


def test_command(generative, tmp_path):
    folder = export(generative["padellm"].model, tiny_tokenizer(), GenerativeConfig(max_new_tokens=8), tmp_path / "p")
    write_records(tmp_path / "test.jsonl", RECORDS)
    command = ["compare", tmp_path / "test.jsonl", "--no-jpt", "--device", "cpu", "-o", tmp_path / "out"]
    systems = ["-s", f"mine={folder}", "-s", f"autoreg-structured={folder}", "--no-by-types", "--limit", "2"]
    result = run(*command, *systems)
    assert result.exit_code == 0, result.output
    assert "2 texts" in result.stdout and (tmp_path / "out.log.jsonl").exists()
    summary = json.loads((tmp_path / "out.json").read_text())
    errors = [json.loads(line) for line in (tmp_path / "out.errors.jsonl").read_text().splitlines()]
    counted = list(summary["datasets"].values())[0]["systems"]["padellm (batch)"]["errors"]["labels"]
    assert len(errors) == counted > 0 and errors[0]["text"] in dict(TEXTS)
    # The folder says that it is PaDeLLM, whatever it is called.
    assert list(summary["datasets"].values())[0]["systems"].keys() == {*VARIANTS, "autoreg-structured"}


def test_results_of_another_model_are_not_reported(generative, tmp_path):
    folder, model = tmp_path / "p", generative["padellm"].model
    export(model, tiny_tokenizer(), GenerativeConfig(max_new_tokens=8), folder)
    write_records(tmp_path / "test.jsonl", RECORDS)
    command = [
        "compare",
        tmp_path / "test.jsonl",
        "--no-jpt",
        "--device",
        "cpu",
        "--no-by-types",
        "-s",
        f"mine={folder}",
    ]
    for _ in range(2):  # The reports beside the model make it no other one.
        result = run(*command, "-o", folder / "out")
        assert result.exit_code == 0, result.output
    about = json.loads((folder / "out.json").read_text())["about"]
    assert about["models"]["mine"]["name"] == "p" and about["models"]["mine"]["revision"].startswith("sha256:")

    weights = {name: 2 * weight for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})  # trained again, into the same folder
    result = run(*command, "-o", folder / "out")
    assert result.exit_code == 2
    assert "the log of another run, which differs in models.mine.revision;" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "systems, message",
    [
        (["padellm"], "must be NAME=FOLDER"),
        (["a=x", "a=y"], "the name 'a' is given twice"),
        (["a=x"], "does not say which system it is"),
        (["ye=x"], "name it one of padellm, autoreg-augmented, autoreg-structured, chat, ye2023"),
        (["padellm=/nowhere/at/all"], "not"),
    ],
)
def test_refused_systems(tmp_path, systems, message):
    with (tmp_path / "test.jsonl").open("w") as file:
        file.write(json.dumps({"id": "1", "text": "Paris", "entities": [], "types": TYPES}) + "\n")
    options = [each for system in systems for each in ("-s", system)]
    result = run("compare", tmp_path / "test.jsonl", "--no-jpt", *options)
    assert result.exit_code == 2 and message in result.stderr
