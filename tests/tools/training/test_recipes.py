"""Recipes and what is checked before a run: wrong keys and files are named, and what cannot work does not start."""

import json
import shutil
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import torch
import yaml
from jpt_ner.configuration_jpt import JPTConfig, check_fields
from jpt_ner.generative.formats import check_label
from jpt_ner.inputs_jpt import PromptStyle, build_prompt, encode_texts
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.tools.data.records import Entity, Record, TypeInfo, read_records, read_types, write_records
from jpt_ner.tools.files.model import Document
from jpt_ner.tools.files.writers import OUTPUT_SUFFIXES, document_writer
from jpt_ner.tools.training import preflight, run
from jpt_ner.tools.training.preflight import check_data, check_disk, full_disk_named, measure_representation
from jpt_ner.tools.training.preparation import load_sources, make_arguments, set_max_steps
from jpt_ner.tools.training.recipe import EvaluationSet, load_recipe, parse_value
from jpt_ner.tools.training.resuming import last_whole_checkpoint
from jpt_ner.tools.training.run import build_model, make_optimizer
from jpt_ner.tools.training.sampling import MixtureSource, Sampling, TrainingGroups, plan_epochs
from safetensors import SafetensorError
from tiny import tiny_tokenizer
from transformers import AutoConfig, TrainingArguments

ROOT = Path(__file__).resolve().parents[3]
TOKENIZER = tiny_tokenizer()
TYPES = {"PER": TypeInfo("person", "A named person."), "LOC": TypeInfo("place", "A named place.", "Any place at all.")}


@pytest.fixture
def write_recipe(tmp_path):
    """Writes a small recipe beside its data, changed by the values given, nested keys joined by two underscores."""
    data = tmp_path / "data"
    data.mkdir()
    write_records(data / "records.jsonl", [Record(f"r{i}", f"Bob left {i}", [Entity(0, 3, "PER")]) for i in range(24)])
    (data / "types.json").write_text(json.dumps({"PER": {"name": "person", "definition": "A named person."}}))
    values = {
        "backbone": "some/backbone",
        "output_dir": str(tmp_path / "run"),
        "data_root": str(data),
        "data": [{"path": "records.jsonl"}],
        "model": {"lora_rank": 2},
        "training": {"max_steps": 6, "per_device_train_batch_size": 2, "learning_rate": 0.005},
    }

    def write(**changes):
        recipe = json.loads(json.dumps(values))
        for key, value in changes.items():
            *parents, last = key.split("__")
            target = recipe
            for parent in parents:
                target = target.setdefault(parent, {})
            target[last] = value
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write


# ---- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bakcbone": "x"}, "unknown key 'bakcbone'"),
        ({"sampling__sead": 1}, "sampling: unknown key 'sead'"),
        ({"training__lerning_rate": 1}, "training: unknown key 'lerning_rate'"),
        ({"model__lora_rnak": 1}, "model: unknown key 'lora_rnak'"),
        ({"evaluation__evry": 1}, "evaluation: unknown key 'evry'"),
        ({"data": [{"file": "x"}]}, "data: unknown key 'file'"),
        ({"data": [{"weight": 1}]}, "data: .*path"),
        ({"data": [3]}, "data: expected keys"),
        ({"data": 3}, "data: expected a list, an entry or a path, got 3"),
        ({"sampling": [1]}, "sampling: expected keys"),
        ({"training": None}, r"training: expected dict\[str, Any\], got None"),
        ({"model": "x"}, r"model: expected dict\[str, Any\], got 'x'"),
        ({"evaluation": ["x"]}, "evaluation: expected keys"),
        ({"evaluation__every": 0}, "evaluation: every: expected a whole number"),
        ({"evaluation__limit": 0.5}, "evaluation: limit: expected int . None, got 0.5"),
        (
            {"evaluation__data": [{"path": "x", "watch_only": True}], "evaluation__best": True},
            "evaluation: best: there is nothing to choose by",
        ),
        ({"training__max_steps": 0}, "`max_steps`"),
        ({"checkpoint": "x"}, "exactly one of `backbone` and `checkpoint`"),
        ({"backbone": None}, "exactly one of `backbone` and `checkpoint`"),
        ({"backbone": None, "checkpoint": "x"}, "`model` is for a model made from a backbone"),
        ({"output_dir": None}, "output_dir: expected str, got None"),
        ({"training__max_steps": "abc"}, "training: max_steps: expected int, got 'abc'"),
        ({"training__max_steps": 2.5}, "training: max_steps: expected int, got 2.5"),
        ({"training__learning_rate": "high"}, "training: learning_rate: expected float, got 'high'"),
        ({"training__seed": True}, "training: seed: expected int, got True"),
        ({"model__lora_rank": "2"}, "model: lora_rank: expected int, got '2'"),
        ({"head_learning_rate": "high"}, "head_learning_rate: expected float . None, got"),
        ({"save_dtype": "bf16"}, "save_dtype: should be one of bfloat16, float16, float32"),
        ({"sampling__max_types": "many"}, "sampling: max_types: expected int, got 'many'"),
        ({"sampling__max_types": 0}, "sampling: max_types: expected a whole number from 1"),
        ({"sampling__name_only": 7}, "sampling: name_only: expected a probability"),
        ({"sampling__name_only": 0.6, "sampling__generic": 0.6}, "1 at most together"),
        ({"data": [{"path": "x", "weight": -1}]}, "data: weight: expected a number above 0"),
        ({"evaluation__best": "yes"}, "evaluation: best: expected bool, got 'yes'"),
        ({"skip_bad": "no"}, "skip_bad: expected bool, got 'no'"),
        ({"system": "gpt"}, "system: should be one of jpt, padellm"),
        ({"replay": {"share": 0.5}}, "replay: data: name the files"),
        ({"replay": {"share": 1, "data": "x"}}, "replay: share: expected a number between 0 and 1"),
        ({"replay": {"share": 0.5, "data": [3]}}, "replay: data: expected keys"),
        ({"replay": "x.jsonl"}, "replay: expected keys"),
        ({"replay": {"data": "x"}, "training__num_train_epochs": 1}, "replay: is drawn by its share"),
        ({"evaluation__ignore_labels": [1]}, r"evaluation: ignore_labels: expected list\[str\], got \[1\]"),
        ({"data": [{"path": "x", "families": 1}]}, "data: families: expected bool, got 1"),
        ({"base": "nowhere.yaml"}, "base: expected the name of another recipe file"),
        ({"base": "recipe.yaml"}, "base: expected the name of another recipe file"),
    ],
)
def test_recipes_that_are_wrong_are_refused(write_recipe, changes, message):
    path = write_recipe(**changes)
    with pytest.raises(ValueError, match=f"recipe.yaml.*{message}"):
        load_recipe(path)


@pytest.mark.parametrize("content", ["", "- a\n- b", "just text", "a: [", "\tx: 1"])
def test_files_that_are_no_recipes_are_refused(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match="recipe.yaml"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("output_dir: o\ntrue: 6\nzz: 1", "2: unknown key True"),
        ("training: {true: 6}", "1: training: unknown key True"),
        ("data: x\noutput_dir: !!timestamp soon", "2: cannot read 'soon'"),
        ("output_dir: 2024-01-01", "1: output_dir: expected str, got datetime.date"),
        ("a: &a [x]\noutput_dir: *a", "2: broken YAML: aliases are not allowed"),
        ("data: x\ndata: y", '2: duplicate key "data", first on line 1'),
        ("training:\n  max_steps: 1\n  seed: x", "3: training: seed: expected int, got 'x'"),
        ("data:\n- x\n- path: y\n  weight: z", "4: data: weight: expected float . None, got 'z'"),
        ("data: " + "[" * 3000, "1: the file is nested too deeply for a recipe"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told_with_its_line(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    given = "".join(f"{key}: x\n" for key in ("backbone", "output_dir", "data") if f"{key}:" not in content)
    path.write_text(f"{content}\n{given}")
    with pytest.raises(ValueError, match=f"recipe.yaml:{message}"):
        load_recipe(path)


def test_recipes_that_go_on_from_one_another_are_refused(tmp_path):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}.yaml\n")
    with pytest.raises(ValueError, match="b.yaml:1: base: expected the name of another recipe file"):
        load_recipe(tmp_path / "a.yaml")


def test_what_the_trainer_has_by_default_may_be_written_down():
    for each in fields(TrainingArguments):
        value = each.default if each.default is not MISSING else each.default_factory()
        check_fields({each.name: each.type}, {each.name: value})


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_numbers_as_yaml_does_not_read_them(write_recipe):
    """YAML takes 1e-3 for a text."""
    path = write_recipe()
    path.write_text(
        path.read_text().replace("learning_rate: 0.005", "learning_rate: 5e-3") + "head_learning_rate: 1e-2\n"
    )
    recipe = load_recipe(path)
    assert recipe.training["learning_rate"] == 0.005 and recipe.head_learning_rate == 0.01


def test_words_of_yaml_that_are_values_of_the_trainer(write_recipe):
    assert load_recipe(write_recipe(training__save_strategy=False)).training["save_strategy"] == "no"
    assert load_recipe(write_recipe(training__bf16="auto")).training["bf16"] == "auto"
    assert parse_value("5e-3") == 0.005 and parse_value("[a, b]") == ["a", "b"] and parse_value("a.jsonl") == "a.jsonl"
    for text in ("[a.jsonl", "*.jsonl", "a: b: c", "!!timestamp soon", "[" * 3000):
        with pytest.raises(ValueError, match="cannot be read as YAML; put quotes"):
            parse_value(text)


def test_what_the_trainer_refuses_is_named(write_recipe, make_model):
    with pytest.raises(ValueError, match="^training: "):
        make_arguments(load_recipe(write_recipe(training__save_strategy="sometimes")))
    recipe = load_recipe(write_recipe(training__lr_scheduler_kwargs={"bogus": 1}))
    with pytest.raises(ValueError, match="^training: lr_scheduler_kwargs: .*bogus"):
        make_optimizer(make_model(), recipe, make_arguments(recipe))
    recipe = load_recipe(write_recipe(training__optim="adafactor"))
    with pytest.raises(ValueError, match="^training: optim: expected adamw_torch.*got 'adafactor'"):
        make_optimizer(make_model(), recipe, make_arguments(recipe))
    recipe = load_recipe(write_recipe(training__optim_args="betas=0.8,0.9"))
    with pytest.raises(ValueError, match="^training: optim_args: not supported"):
        make_optimizer(make_model(), recipe, make_arguments(recipe))


def test_adam_gets_the_values_of_the_trainer(write_recipe, make_model):
    given = {"adam_epsilon": 1e-5, "adam_beta1": 0.8, "adam_beta2": 0.9, "weight_decay": 0.1}
    recipe = load_recipe(write_recipe(), {f"training.{key}": value for key, value in given.items()})
    optimizer, _ = make_optimizer(make_model(), recipe, make_arguments(recipe))
    for group in optimizer.param_groups:
        assert (group["eps"], group["betas"], group["weight_decay"]) == (1e-5, (0.8, 0.9), 0.1)


def test_definitions_are_not_embedded_in_other_processes(write_recipe):
    for changes in ({}, {"backbone": None, "model": {}, "checkpoint": "$PACKAGE"}):
        path = write_recipe(training__dataloader_num_workers=2, **changes)
        with pytest.raises(ValueError, match="^training.dataloader_num_workers: expected 0 .*, got 2"):
            make_arguments(load_recipe(path))
    path = write_recipe(training__dataloader_num_workers=2)
    for others in ({"model.type_embedding": "prompt"}, {"system": "padellm"}):
        assert make_arguments(load_recipe(path, others)).dataloader_num_workers == 2


def test_one_process_trains_on_one_gpu(write_recipe, monkeypatch, capsys):
    """With more, the Trainer would cut batches by rows, and texts would lose their prompts."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    recipe = load_recipe(write_recipe())
    assert TrainingArguments(recipe.output_dir, use_cpu=False).n_gpu == 2
    arguments = make_arguments(recipe)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 2)
    assert "one of 2 GPUs is used" in capsys.readouterr().err


def test_what_may_be_the_best_is_saved(write_recipe):
    plan = {"data": ["records.jsonl"], "every": 30, "best": True}
    for steps in (20, 30, 60):
        recipe = load_recipe(write_recipe(evaluation=plan, training__save_steps=steps))
        assert make_arguments(recipe).save_steps == 30
    assert make_arguments(load_recipe(write_recipe(evaluation=plan))).save_steps == 30


def test_overrides_reach_nested_keys(write_recipe):
    recipe = load_recipe(write_recipe(), {"training.max_steps": 9, "sampling.seed": 4, "output_dir": "elsewhere"})
    assert (recipe.training["max_steps"], recipe.sampling.seed, recipe.output_dir) == (9, 4, "elsewhere")
    assert recipe.training["per_device_train_batch_size"] == 2
    with pytest.raises(ValueError, match="output_dir has no keys"):
        load_recipe(write_recipe(), {"output_dir.x": 1})


def test_a_path_by_itself_is_a_data_set(write_recipe):
    recipe = load_recipe(write_recipe(), {"data": "mine.jsonl", "evaluation.data": "dev.jsonl"})
    assert [(each.path, each.weight) for each in recipe.data] == [("mine.jsonl", None)]
    assert recipe.evaluation.data == [EvaluationSet("dev.jsonl")]
    recipe = load_recipe(write_recipe(), {"data": parse_value("{path: x.jsonl, held_out: 30}")})
    assert [(each.path, each.held_out) for each in recipe.data] == [("x.jsonl", 30)]
    recipe = load_recipe(write_recipe(data=["a.jsonl", {"path": "b.jsonl", "weight": 2}]))
    assert [(each.path, each.weight) for each in recipe.data] == [("a.jsonl", None), ("b.jsonl", 2)]


def test_a_recipe_goes_on_from_its_base_key_by_key(write_recipe, tmp_path):
    write_recipe()
    (tmp_path / "other.yaml").write_text("base: recipe.yaml\nmodel: {lora_rank: 9}\ntraining: {max_steps: 3}\n")
    recipe = load_recipe(tmp_path / "other.yaml")
    assert recipe.model == {"lora_rank": 9} and recipe.training == {"max_steps": 3}
    assert recipe.backbone == "some/backbone"


def test_paths_may_name_the_package_and_home(write_recipe, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = load_recipe(write_recipe(backbone=None, model={}, checkpoint="$PACKAGE", output_dir="~/runs"))
    assert Path(recipe.checkpoint) == ROOT and recipe.output_dir == str(tmp_path / "runs")
    assert recipe.find("$PACKAGE/data/dev.jsonl.gz") == ROOT / "data" / "dev.jsonl.gz"
    assert recipe.find("x.jsonl") == tmp_path / "data" / "x.jsonl"
    assert recipe.find("~/x.jsonl") == tmp_path / "x.jsonl"


# ---- the recipes that ship ------------------------------------------------------------------------------------------

SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_arguments_that_the_trainer_takes(path, tmp_path):
    recipe = load_recipe(path, {"output_dir": str(tmp_path / "run"), "training.use_cpu": True})
    arguments = make_arguments(recipe)
    assert (arguments.max_steps > 0 or recipe.in_epochs) and arguments.ddp_find_unused_parameters is False
    assert recipe.data or path.stem == "finetune"
    if recipe.checkpoint:
        assert json.loads((Path(recipe.checkpoint) / "config.json").read_text())["model_type"] == "jpt"
    for entry in [*recipe.data, *recipe.evaluation.data]:
        if entry.path.startswith("$PACKAGE"):
            assert recipe.find(entry.path).is_file()


def papers_recipes():
    return [load_recipe(ROOT / "recipes" / f"qwen3-{size}b.yaml") for size in (4, 8)]


def test_the_papers_values():
    """Tables 5 and 6, Section 4.1: batches of 8 on four GPUs with accumulation 2."""
    small, large = papers_recipes()
    assert (small.model["lora_rank"], small.model["lora_alpha"]) == (32, 64)
    assert (large.model["lora_rank"], large.model["lora_alpha"]) == (128, 256)
    assert small.model["projection_hidden_sizes"] == [1024] and large.model["projection_hidden_sizes"] == [1024, 512]
    for recipe in (small, large):
        assert "base" not in (ROOT / "recipes" / f"{Path(recipe.output_dir).name}.yaml").read_text()
        training = recipe.training
        assert training["learning_rate"] == 5e-5 and training["lr_scheduler_type"] == "cosine"
        assert (training["num_train_epochs"], training["warmup_steps"]) == (5, 0.1) and recipe.in_epochs
        assert 4 * training["per_device_train_batch_size"] * training["gradient_accumulation_steps"] == 8
        assert training["gradient_accumulation_steps"] == 2
        assert recipe.head_learning_rate is None and recipe.training["activation_checkpointing"] is True
        assert recipe.model["max_length"] == 4096


def test_the_papers_passages_are_read_whole_and_as_they_are_worded():
    types = {f"type {number}": f"Definition {number}." for number in range(30)}
    text = "Bob left Rome. " * 40
    records = [Record(f"r{i}", f"{i} {text}", [Entity(2, 5, "type 1")], types=types) for i in range(3)]
    for recipe in papers_recipes():
        groups = TrainingGroups(
            [MixtureSource("a", records, None, 1.0)], 3, TOKENIZER, JPTConfig(), recipe.sampling, in_epochs=True
        )
        for number in range(3):
            group = groups.draw(number)
            assert dict(zip(group.names, group.descriptions, strict=True)) == types
            ((ids, labels, tags),) = groups[number]["texts"]
            (written, _), *others = group.texts
            assert not others and len(ids) == len(encode_texts(TOKENIZER, [written])[0].input_ids)
            assert written in {record.text for record in records}


@pytest.mark.parametrize(
    "number, lora, separate, shared", [(0, 23.6, 14.7, 7.35), (1, 122.7, 19.4, 9.71)], ids=["4B", "8B"]
)
def test_trained_parameters_of_the_papers_recipes(number, lora, separate, shared):
    """Table 5, on meta tensors: nothing is allocated."""
    recipe = papers_recipes()[number]
    shape = {"hidden_size": (2560, 4096)[number], "intermediate_size": (9728, 12288)[number], "head_dim": 128}
    backbone = AutoConfig.for_model(
        "qwen3", num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8, vocab_size=151936, **shape
    )
    for values, projections in (({}, separate), ({"share_projections": True}, shared)):
        with torch.device("meta"):
            model = JPTForTokenClassification(JPTConfig(text_config=backbone, **{**recipe.model, **values}))
            model.add_lora()
        trained = [(name, each.numel()) for name, each in model.named_parameters() if each.requires_grad]
        assert sum(size for name, size in trained if "lora_" in name) / 1e6 == pytest.approx(lora, abs=0.05)
        found = sum(size for name, size in trained if "_projections." in name) / 1e6
        assert found == pytest.approx(projections, abs=0.03)


# ---- epochs ---------------------------------------------------------------------------------------------------------


def epoch_sources():
    types = {"PER": TypeInfo("person", "A named person.")}
    return [
        MixtureSource(
            name, [Record(f"{name}{i}", f"Bob left {i}", [Entity(0, 3, "PER")]) for i in range(size)], types, weight
        )
        for name, size, weight in (("a", 7, 100.0), ("b", 3, 1.0))
    ]


def test_every_record_is_read_once_per_epoch():
    sampling = Sampling(max_group_texts=2)
    sources = epoch_sources()
    rows = plan_epochs(sources, sampling, epochs=3)
    per_epoch = len(rows) // 3
    assert len(rows) == 3 * per_epoch == 3 * (4 + 2)
    for start in range(0, len(rows), per_epoch):
        read = [(source, i) for source, group in rows[start : start + per_epoch] for i in group]
        assert sorted(read) == [(0, i) for i in range(7)] + [(1, i) for i in range(3)]
    assert rows[:per_epoch] != rows[per_epoch : 2 * per_epoch]
    assert plan_epochs(sources, sampling, epochs=1.5) == rows[:9]
    assert plan_epochs(sources, sampling, length=14) == rows[:14]
    groups = TrainingGroups(sources, 14, TOKENIZER, JPTConfig(), sampling, in_epochs=True)
    assert [(chosen, members) for chosen, members, _ in groups.plan] == rows[:14]
    assert {reading for *_, reading in groups.plan} == {"twice"}


def test_epochs_become_updates(write_recipe):
    path = write_recipe(training__num_train_epochs=3, training__max_steps=None)
    recipe = load_recipe(path)
    arguments = make_arguments(recipe)
    set_max_steps(arguments, recipe, epoch_sources())
    # 7 and 3 texts are short enough for a group of each source: 2 groups an epoch, 2 groups an update.
    assert arguments.max_steps == 3
    for limit, expected in ((2, 2), (160, 3)):
        limited = load_recipe(path, {"training.max_steps": limit})
        arguments = make_arguments(limited)
        set_max_steps(arguments, limited, epoch_sources())
        assert arguments.max_steps == expected and limited.in_epochs


def test_types_of_a_data_set_may_be_elsewhere(write_recipe, tmp_path):
    (tmp_path / "names.json").write_text(json.dumps({"PER": {"name": "名称", "definition": "A person."}}))
    entry = {"path": "records.jsonl", "types": str(tmp_path / "names.json")}
    (source,) = load_sources(load_recipe(write_recipe(data=[entry])))
    assert source.types["PER"].name == "名称"
    with pytest.raises(ValueError, match="types file not found: .*nowhere.json"):
        load_sources(load_recipe(write_recipe(data=[{**entry, "types": str(tmp_path / "nowhere.json")}])))


def test_data_are_read_as_the_recipe_says(write_recipe, tmp_path):
    (tmp_path / "table.csv").write_bytes("w;t\nJürgen;B-PER\nlebt;O\n".encode("latin-1"))
    (tmp_path / "types.json").write_text(json.dumps({"PER": {"name": "person", "definition": "A person."}}))
    entry = {"path": str(tmp_path / "table.csv"), "reading": {"encoding": "latin-1", "columns": "w,t"}}
    (source,) = load_sources(load_recipe(write_recipe(data=[entry])))
    assert source.records == [Record("table-0", "Jürgen lebt", [Entity(0, 6, "PER")], tokens=["Jürgen", "lebt"])]
    with pytest.raises(ValueError, match="unknown option 'encodign'"):
        load_sources(load_recipe(write_recipe(data=[{**entry, "reading": {"encodign": "latin-1"}}])))


@pytest.mark.parametrize("suffix", [*OUTPUT_SUFFIXES, ".doccano.jsonl", ".prodigy.jsonl", ".spacy.jsonl"])
def test_what_tag_writes_is_trained_on(write_recipe, tmp_path, suffix):
    text = "Bob left\nRome."
    found = [
        {"entity_group": name, "score": 0.5, "word": text[start:end], "start": start, "end": end}
        for start, end, name in [(0, 3, "person"), (9, 13, "home/town")]
    ]
    with document_writer(tmp_path / f"own{suffix}") as add:
        add(Document(1, {"text": text}, text), found)
    (tmp_path / "types.json").write_text(json.dumps({"person": "A person.", "home/town": "A town."}))
    (source,) = load_sources(load_recipe(write_recipe(data=[{"path": str(tmp_path / f"own{suffix}")}])))
    assert source.records[0].text == text
    assert source.records[0].entities == [Entity(0, 3, "person"), Entity(9, 13, "home/town")]


def test_replayed_data_get_their_share_of_the_groups_and_no_say_in_the_types(write_recipe, tmp_path):
    known = [Record(f"k{i}", "Oslo", [Entity(0, 4, "CITY")], types={"CITY": "A town."}) for i in range(40)]
    for name in ("a", "b"):
        write_records(tmp_path / "known" / f"{name}.jsonl", known)
    replay = {"share": 0.25, "data": str(tmp_path / "known" / "*.jsonl")}
    recipe = load_recipe(write_recipe(replay=replay))
    sources = load_sources(recipe)
    assert [each.replayed for each in sources] == [False, True, True]
    own, *others = (each.weight for each in sources)
    assert sum(others) / (own + sum(others)) == pytest.approx(0.25) and others[0] == pytest.approx(others[1])
    groups = TrainingGroups(sources, 400, TOKENIZER, JPTConfig(), recipe.sampling)
    assert sum(chosen > 0 for chosen, _, _ in groups.plan) / 400 == pytest.approx(0.25, abs=0.08)
    assert run._types_of(sources) == {"person": "A named person."}


def test_fine_tuning_replays_the_shipped_data(write_recipe, tmp_path):
    data = {"data": str(tmp_path / "data" / "records.jsonl"), "output_dir": str(tmp_path / "run")}
    recipe = load_recipe(ROOT / "recipes" / "finetune.yaml", data)
    (entry,) = recipe.replay.data
    assert len(list(recipe.find(entry.path).parent.glob(Path(entry.path).name))) == 14
    (own,) = load_sources(load_recipe(ROOT / "recipes" / "finetune.yaml", {**data, "replay": None}))
    assert own.weight == 24**0.5


def test_too_few_sentences_are_sent_to_what_works_with_few(write_recipe, tmp_path):
    file = tmp_path / "data" / "few.jsonl"
    write_records(file, [Record(f"r{i}", "Bob", [Entity(0, 3, "PER")]) for i in range(19)])
    recipe = ROOT / "recipes" / "finetune.yaml"
    with pytest.raises(
        ValueError, match=r"(?s)19 labelled sentences are too few.*types tune my-types.yaml --data "
    ) as told:
        load_sources(load_recipe(recipe, {"data": str(file)}))
    assert str(told.value).count(str(file)) == 2 and "types improve" in str(told.value)
    assert load_sources(load_recipe(recipe, {"data": str(file), "min_records": 0, "replay": None}))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "labels-zh").glob("*.json")), ids=lambda path: path.stem)
def test_chinese_label_names(path):
    """Table 10: as many types as its column says, and names that the templates can write."""
    types = read_types(str(path))
    sizes = {"weibo": 8, "msra": 3, "ontonotes4": 4, "resume": 8, "youku": 3, "ecommerce": 2}
    assert len(types) == sizes[path.stem]
    for info in types.values():
        check_label(info.name, "padellm", "zh")
        assert all("\u4e00" <= character <= "\u9fff" for character in info.name)


def test_the_shipped_data_can_be_used_and_keeps_dev_apart():
    recipe = load_recipe(ROOT / "recipes" / "smollm2-135m.yaml", {"data": "$PACKAGE/data/train/*.jsonl.gz"})
    sources = load_sources(recipe)
    assert [source.name for source in sources] == [
        f"train/{name}"
        for name in (
            "conversation",
            "culture",
            "documents",
            "everyday",
            "fields",
            "knowledge",
            "lexicon",
            "newsroom",
            "papers",
            "requests",
            "roles",
            "science",
            "society",
            "wires",
        )
    ]
    assert sum(len(source.records) for source in sources) == 9839
    dev = read_records(ROOT / "data" / "dev.jsonl.gz")
    schemas = {json.dumps(record.types) for source in sources for record in source.records}
    assert len(dev) == 304 and schemas.isdisjoint(json.dumps(record.types) for record in dev)
    texts = {record.text for source in sources for record in source.records}
    assert texts.isdisjoint(record.text for record in dev)
    contrasts = read_records(ROOT / "data" / "contrasts.jsonl.gz")
    assert len(contrasts) == 2786 and schemas.isdisjoint(json.dumps(record.types) for record in contrasts)
    nested = read_records(ROOT / "data" / "nested.jsonl.gz", allow_overlaps=True)
    assert len(nested) == 273 and schemas.isdisjoint(json.dumps(record.types) for record in nested)
    size = sum(path.stat().st_size for path in (ROOT / "data").rglob("*"))
    assert size < 8 << 20


# ---- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "names no data"),
        ([{"path": "nothing_*.jsonl"}], "no file matches 'nothing_.*data_root=FOLDER"),
        ([{"path": "empty.jsonl"}], "empty.jsonl has no usable records"),
        ([{"path": "unknown.jsonl"}], "unknown.jsonl:1: record 'x'.*'ORG'.* not among the types"),
        ([{"path": "bare/bare.jsonl"}], "record 'x' has no types"),
    ],
)
def test_data_that_cannot_be_used_is_named(write_recipe, tmp_path, data, message):
    (tmp_path / "data" / "empty.jsonl").write_text("\n")
    record = Record("x", "Halden Robotics", [Entity(0, 15, "ORG")])
    write_records(tmp_path / "data" / "unknown.jsonl", [record])
    write_records(tmp_path / "data" / "bare" / "bare.jsonl", [record])
    recipe = load_recipe(write_recipe(data=data))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_sources(recipe)


def test_replayed_data_that_cannot_be_used_is_named(write_recipe, tmp_path):
    (tmp_path / "data" / "empty.jsonl").write_text("\n")
    for name, message in (
        ("nothing_*.jsonl", "no file matches 'nothing_.* `replay.data=FILE`; `replay=null` is without"),
        ("empty.jsonl", ".*empty.jsonl has no usable records; `replay=null` is without"),
    ):
        with pytest.raises(ValueError, match=rf"^replay\.data: {message}"):
            load_sources(load_recipe(write_recipe(replay={"data": name})))


def test_brackets_in_the_names_of_files_and_folders(write_recipe, tmp_path):
    folder = tmp_path / "mine [1]"
    shutil.copytree(tmp_path / "data", folder)
    (folder / "records.jsonl").rename(folder / "train[1].jsonl")
    for path in ("train[1].jsonl", "train*.jsonl", str(folder / "train[1].jsonl")):
        (source,) = load_sources(load_recipe(write_recipe(data_root=str(folder), data=path)))
        assert source.name == "mine [1]/train[1]"


def test_bad_records_are_left_out_if_asked_and_named(write_recipe, tmp_path, capsys):
    path = tmp_path / "data" / "mixed.jsonl"
    write_records(path, [Record("a", "Bob", [Entity(0, 3, "PER")]), Record("b", "Bob", [Entity(0, 9, "PER")])])
    with pytest.raises(ValueError, match="mixed.jsonl:2: record 'b'"):
        load_sources(load_recipe(write_recipe(data="mixed.jsonl")))
    (source,) = load_sources(load_recipe(write_recipe(data="mixed.jsonl", skip_bad=True)))
    assert [record.id for record in source.records] == ["a"]
    assert "mixed.jsonl:2: record 'b'" in capsys.readouterr().err


def test_sources_are_files_of_a_pattern_or_of_any_place(write_recipe, tmp_path):
    data = tmp_path / "data"
    for number in (1, 2):
        (data / f"set_{number}").mkdir()
        shutil.copy(data / "types.json", data / f"set_{number}")
        (data / f"set_{number}" / "part.jsonl").write_text((data / "records.jsonl").read_text())
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data / "set_1", elsewhere)
    entries = [{"path": "set_*/part.jsonl", "weight": 2}, {"path": str(elsewhere / "part.jsonl")}]
    sources = load_sources(load_recipe(write_recipe(data=entries)))
    assert [each.name for each in sources] == ["set_1/part", "set_2/part", "elsewhere/part"]
    assert [each.weight for each in sources] == [2, 2, pytest.approx(24**0.5)]
    assert sources[0].records == read_records(data / "records.jsonl")


# ---- labels and lengths ---------------------------------------------------------------------------------------------


def test_mentions_that_tokens_cannot_carry_are_counted():
    """With tokens of white space words only, every kind of loss can be written down by hand."""
    text = "Bob (Rome) Ann Lee x"
    whole = [Entity(0, 3, "PER"), Entity(11, 14, "PER")]
    measured = measure_representation([Record("a", text, whole)], TOKENIZER)
    assert (measured.lost, measured.longest_text) == (0, len(encode_texts(TOKENIZER, [text])[0].input_ids))
    touching = [Entity(11, 14, "PER"), Entity(15, 18, "PER")]
    measured = measure_representation([Record("a", text, touching), Record("b", text, whole)], TOKENIZER)
    assert (measured.mentions, measured.lost, measured.touching) == (4, 2, 2)
    # The middle of a token: the byte-level tokenizer has "first" as one token.
    word = next(word for word in ("first", "second", "time", "The") if len(TOKENIZER.tokenize(word)) == 1)
    measured = measure_representation([Record("a", word, [Entity(0, len(word) - 1, "PER")])], TOKENIZER)
    assert (measured.lost, measured.touching) == (1, 0)


def test_what_is_lost_is_reported_by_source(make_model):
    good = MixtureSource("good", [Record("a", "Bob", [Entity(0, 3, "PER")])], TYPES, 1.0)
    bad = MixtureSource("bad", [Record("a", "Bob Ann", [Entity(0, 3, "PER"), Entity(4, 7, "PER")])], TYPES, 1.0)
    assert check_data([good, bad], TOKENIZER, make_model(), Sampling()) == [
        "bad: 2 of 2 mentions cannot be represented by the tokens (2 touch another of their type)",
        "2 data set(s): 2 of 3 mentions cannot be represented by the tokens (2 touch another of their type)",
    ]


def longest_drawn(sources, sampling, model) -> int:
    """Tokens of the longest sequence among 300 groups."""
    groups = TrainingGroups(sources, 300, TOKENIZER, JPTConfig(prompt_template="compact"), sampling)
    return max(
        len(group["prompt_input_ids"]) + 2 * len(ids) + len(model.config.separator_ids)
        for group in map(groups.__getitem__, range(300))
        for ids, *_ in group["texts"]
    )


def test_a_prompt_that_may_become_too_long_is_refused_at_once(make_model):
    """Whatever is drawn fits into what was checked: no group of a plan is longer."""
    definitions = {f"t{i}": TypeInfo(f"type number {i}", "word " * i + "end.", "word " * 2 * i) for i in range(1, 9)}
    texts = [Record(f"r{i}", "some words and more " * i, [Entity(0, 4, "t1")]) for i in range(1, 5)]
    sources = [
        MixtureSource("short", [Record("a", "Bob", [])], TYPES, 1.0),
        MixtureSource("long", texts, definitions, 1.0),
    ]
    sampling = Sampling(max_types=5, max_text_tokens=40)
    model = make_model()
    names, descriptions = preflight._longest_types(sources[1], TOKENIZER, sampling)
    assert len(names) == 5
    separator = len(model.config.separator_ids)
    exact = len(build_prompt(TOKENIZER, names, descriptions, PromptStyle("compact")).input_ids) + 2 * 40 + separator
    assert longest_drawn(sources, sampling, model) <= exact
    model.config.max_length = exact
    check_data(sources, TOKENIZER, model, sampling)
    model.config.max_length = exact - 1
    with pytest.raises(
        ValueError, match=rf"^long: a prompt of 5 types .*: 1 over the limit of {exact - 1}.*TYPE_NUMBER_8"
    ):
        check_data(sources, TOKENIZER, model, sampling)


@pytest.mark.parametrize("restyled", [{}, {"spaced": 0, "lowercase": 0}])
def test_general_types_and_texts_written_otherwise_are_longer_than_the_data(make_model, restyled):
    """The general type of a family may have a longer definition than any of its own, and marks set apart more tokens."""
    types = {f"person_{name}": TypeInfo(f"a rather long name of some {name}", "Who.") for name in ("x", "y", "z", "w")}
    record = Record("a", "a(b)c,d(e)f.g!h", [Entity(0, 1, "person_x")])
    sources = [MixtureSource("family", [record], types, 1.0, families=True)]
    sampling = Sampling(max_types=3, max_text_tokens=60, coarsened=1, **restyled)
    model = make_model()
    drawn = longest_drawn(sources, sampling, model)
    model.config.max_length = drawn - 1
    with pytest.raises(ValueError, match="^family: a prompt of 3 types"):
        check_data(sources, TOKENIZER, model, sampling)


@pytest.mark.parametrize("changed", ["spaced", "lowercase", "uppercase", "joined", "listed"])
def test_texts_that_are_changed_may_be_as_long_as_any(make_model, changed):
    sources = [MixtureSource("short", [Record("a", "Bob", [Entity(0, 3, "PER")])], TYPES, 1.0)]
    as_given = {"spaced": 0, "lowercase": 0}
    model = make_model()
    model.config.max_length = longest_drawn(sources, Sampling(max_text_tokens=60, **as_given), model) + 20
    check_data(sources, TOKENIZER, model, Sampling(max_text_tokens=60, **as_given))
    with pytest.raises(ValueError, match="^short: .* with a text of 60"):
        check_data(sources, TOKENIZER, model, Sampling(max_text_tokens=60, **{**as_given, changed: 0.5}))


# ---- disk and checkpoints -------------------------------------------------------------------------------------------


def test_a_disk_too_small_for_the_checkpoints_is_refused_at_once(write_recipe, make_model, monkeypatch):
    model = make_model()
    size = 12 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(int(3.5 * size)))

    def check(**training):
        check_disk(
            model, make_arguments(load_recipe(write_recipe(), {f"training.{k}": v for k, v in training.items()}))
        )

    check(save_steps=1, save_total_limit=2)  # three at a time
    check(save_steps=3)  # after 3 and 6 updates
    check(save_strategy="no")
    with pytest.raises(OSError, match=r"output_dir: .* lower `training.save_total_limit`"):
        check(save_steps=1, save_total_limit=3)
    with pytest.raises(OSError, match="output_dir"):
        check(save_steps=1)
    for step in (1, 2):  # A resumed run has some of them already.
        (Path(load_recipe(write_recipe()).output_dir) / f"checkpoint-{step}").mkdir(parents=True)
    check(save_steps=1, save_total_limit=3)


class Usage:
    def __init__(self, free: int):
        self.free = free


def test_checkpoints_of_another_kind_of_model_are_refused(write_recipe, backbone, tmp_path):
    for folder, message in ((backbone, "is a model of type 'llama', not a JPT model"), (tmp_path, "no config.json")):
        recipe = load_recipe(write_recipe(backbone=None, model={}, checkpoint=str(folder)))
        with pytest.raises(ValueError, match=f"^checkpoint: .*{message}"):
            build_model(recipe)


def test_errors_of_a_full_disk_say_so(write_recipe, make_model, monkeypatch, tmp_path):
    """PyTorch and safetensors name neither the disk nor the folder."""
    model, arguments = make_model(), make_arguments(load_recipe(write_recipe(output_dir=str(tmp_path))))
    for error in (RuntimeError("unexpected pos 64 vs 0"), SafetensorError("I/O error")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100))
        with (
            pytest.raises(OSError, match="no space left for a checkpoint") as raised,
            full_disk_named(model, arguments),
        ):
            raise error
        assert raised.value.filename == str(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12))
        with pytest.raises(type(error)), full_disk_named(model, arguments):
            raise error


@pytest.mark.parametrize("damaged", ["trainer_state.json", "model.safetensors", "optimizer.pt", "rng_state.pth"])
@pytest.mark.parametrize("how", ["cut off", "emptied", "removed"])
def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path, damaged, how):
    from safetensors.torch import save_file

    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({"x": torch.zeros(100)}, folder / "model.safetensors")
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            torch.save({"x": torch.zeros(100)}, folder / name)
        (folder / "trainer_state.json").write_text('{"global_step": 5}')
    assert last_whole_checkpoint(tmp_path).name == "checkpoint-10"
    file = tmp_path / "checkpoint-10" / damaged
    if how == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 if how == "cut off" else 0])
    expected = "checkpoint-10" if (damaged, how) == ("rng_state.pth", "removed") else "checkpoint-5"
    assert last_whole_checkpoint(tmp_path).name == expected
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-best" / "trainer_state.json").write_text("{}")
    assert last_whole_checkpoint(tmp_path).name == expected
    assert last_whole_checkpoint(tmp_path / "nowhere") is None
