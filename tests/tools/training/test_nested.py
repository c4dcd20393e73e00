"""Nested mentions from end to end: records that overlap, labels for each type, both systems' training, and scores."""

import json

import numpy as np
import pytest
import torch
import yaml
from jpt_ner.configuration_jpt import JPTConfig
from jpt_ner.generative.examples import ExampleOptions
from jpt_ner.tools import cli
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.training.generative import GenerativeRows
from jpt_ner.tools.training.preparation import load_sources
from jpt_ner.tools.training.recipe import load_recipe
from jpt_ner.tools.training.run import PLAIN_SAMPLING, train
from jpt_ner.tools.training.sampling import TrainingGroups
from tiny import tiny_tokenizer
from typer.testing import CliRunner

TYPES = {"dna": "A stretch of DNA.", "protein": "A protein."}
TEXTS = ["the {} gene binds", "no {} gene here", "a {} gene"]
TOKENIZER = tiny_tokenizer()


def make_record(number, name, text):
    start = text.index("{")
    text = text.format(name)
    inner = Entity(start, start + len(name), "protein")
    return Record(f"r{number}", text, [Entity(start, inner.end + len(" gene"), "dna"), inner], types=TYPES)


RECORDS = [make_record(i, name, text) for i, (name, text) in enumerate(zip(("abc", "fos", "jun"), TEXTS))]


@pytest.fixture
def recipe(tmp_path, backbone):
    """Writes the records and a recipe of a small run on them; `nested` says that they may overlap."""

    def write(nested=True, **values):
        write_records(tmp_path / "data.jsonl", RECORDS)
        source = {"path": "data.jsonl", **({"reading": {"allow_overlaps": True}} if nested else {})}
        plain = {key: value for key, value in vars(PLAIN_SAMPLING).items() if key != "seed"}
        recipe = {
            "backbone": backbone,
            "output_dir": str(tmp_path / "run"),
            "data_root": str(tmp_path),
            "data": [source],
            "load_options": {"dtype": "float32"},
            "save_dtype": "float32",
            "sampling": {**plain, "max_group_texts": 3},
            "model": {
                "prompt_template": "compact",
                "definition_encoder": "backbone",
                "definition_encoder_size": 32,
                "type_embedding": "both",
                "projection_hidden_sizes": [32],
                "projection_size": 16,
                "lora_rank": 4,
            },
            "training": {
                "max_steps": 80,
                "per_device_train_batch_size": 1,
                "learning_rate": 0.01,
                "use_cpu": True,
                "save_strategy": "no",
                "report_to": "none",
                "disable_tqdm": True,
            },
            **values,
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return load_recipe(tmp_path / "recipe.yaml")

    return write


def test_records_that_overlap_are_trained_on_where_that_is_said(recipe):
    with pytest.raises(ValueError, match="overlap .*reading: {allow_overlaps: true}"):
        load_sources(recipe(nested=False))
    (source,) = load_sources(recipe())
    assert [record.entities for record in source.records] == [record.entities for record in RECORDS]


def test_every_type_has_labels_of_its_own(recipe):
    groups = TrainingGroups(load_sources(recipe()), 1, TOKENIZER, JPTConfig(), PLAIN_SAMPLING)
    group, drawn = groups[0], groups.draw(0)
    ((ids, labels, tags),) = group["texts"]
    dna, protein = drawn.labels.index("dna"), drawn.labels.index("protein")
    both = (tags > 0).all(axis=1)
    assert both.any() and (tags[both][0] == 2).all()  # both begin where the inner one does
    assert ((tags[:, dna] > 0) & (tags[:, protein] == 0)).any() and not (
        (tags[:, dna] == 0) & (tags[:, protein] > 0)
    ).any()
    # The softmax head has one label a token: that of the outer mention.
    assert set(labels[both].tolist()) == {dna + 1} and np.array_equal(labels > 0, tags[:, dna] > 0)
    assert len(ids) == len(labels) == len(tags)


def test_padellm_writes_the_mentions_of_each_label(recipe):
    rows = GenerativeRows(load_sources(recipe()), 1, TOKENIZER, "padellm", PLAIN_SAMPLING, ExampleOptions())
    record = next(each for each in RECORDS if each.text == rows.draw(0).texts[0][0])
    row = rows[0]
    written = TOKENIZER.decode(row.targets.tolist())
    for entity in record.entities:
        assert f"<mention 1> {record.text[entity.start : entity.end]}<|im_end|>" in written
    assert written.count("<mention 1>") == 2


def test_a_nested_set_is_learned_and_scored(recipe, tmp_path):
    """What the flat reading cannot hold is found by the nested one, and nothing is lost by it."""
    torch.manual_seed(0)
    model = train(recipe())

    call = ["evaluate", tmp_path / "data.jsonl", "--nested", "--model", model, "-o", tmp_path / "scores"]
    result = CliRunner().invoke(cli.app, [str(each) for each in call])
    assert result.exit_code == 0, result.output
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["datasets"].values()
    assert scores["strict"]["gold"] == 6
    assert scores["strict"]["recall"] > 0.5  # more than a flat reading can have
    assert scores["strict"]["precision"] > 0.7
