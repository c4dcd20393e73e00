"""The repository as the Hub's loader sees it: saved folders, and copies of them in a Hub cache, under every task."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from comparing import assert_same_entities
from hub import put_in_hub_cache
from jpt_ner.pipeline_jpt import JPTPipeline
from peft import LoraConfig
from tiny import tiny_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    pipeline,
)

TEXTS = ["Angela Merkel visited Paris in May, said Bob Dylan.", "Paris released a new album.", ""]
TYPES = {"artist": "Who sings", "city": "Big town", "dish": "Food or drink"}
FORMS = ["trained parts", "self-contained"]


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(type_embedding="both", entity_types=TYPES)


@pytest.fixture(scope="module")
def expected(model, encoder):
    found = model.as_pipeline(tiny_tokenizer(), definition_encoder=encoder)(TEXTS)
    assert sum(map(len, found)) >= 3
    return found


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory):
    """The model saved in both forms."""
    folders = {form: tmp_path_factory.mktemp("saved") / form.replace(" ", "-") for form in FORMS}
    model.save_pretrained(folders[FORMS[0]])
    merged = copy.deepcopy(model)
    merged.merge_lora()
    merged.save_pretrained(folders[FORMS[1]])
    for folder in folders.values():
        tiny_tokenizer().save_pretrained(folder)
    return folders


@pytest.fixture(params=FORMS)
def folder(request, folders):
    return folders[request.param]


@pytest.fixture(scope="module")
def load(encoder):
    def load(where, task="jpt-ner", **options):
        return pipeline(task, model=where, trust_remote_code=True, definition_encoder=encoder, device="cpu", **options)

    return load


# ---- loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["jpt-ner", "token-classification", "ner", None])
def test_every_task_gives_the_pipeline(folder, load, expected, task):
    ner = load(str(folder), task)
    assert type(ner).__name__ == "JPTPipeline"
    assert ner.task == (task or "jpt-ner")
    assert_same_entities(ner(TEXTS), expected)


def test_places(folders, load, expected, tmp_path, monkeypatch):
    folder = folders["trained parts"]
    odd = tmp_path / "my-model.v1 (copy)"
    shutil.copytree(folder, odd)
    for place in (folder, f"{folder}/", odd):
        assert_same_entities(load(place)(TEXTS), expected)
    monkeypatch.chdir(odd)
    assert_same_entities(load(".")(TEXTS), expected)


@pytest.mark.parametrize("form", FORMS)
def test_hub_repository(folders, load, expected, form, tmp_path):
    name = put_in_hub_cache(folders[form], f"org/jpt-tiny.{form.replace(' ', '-')}")
    ner = load(name)
    assert_same_entities(ner(TEXTS), expected)
    assert_same_entities(load(name, "token-classification")(TEXTS), expected)
    assert ner.model.config_class is type(ner.model.config)
    # Presets are found, and the folder saved from here is as complete as the repository.
    assert isinstance(ner("Paris", entity_types="music"), list)
    ner.save_pretrained(tmp_path / "saved")
    assert_complete(tmp_path / "saved")
    assert_same_entities(load(tmp_path / "saved")(TEXTS), expected)


def test_auto_classes(folder, expected, encoder):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert (config.model_type, config.entity_types) == ("jpt", TYPES)
    assert config.get_text_config().model_type == "llama"
    model = AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert_same_entities(model.as_pipeline(tokenizer, definition_encoder=encoder)(TEXTS), expected)


def test_trust_is_asked_for(folder):
    for task in ("jpt-ner", "token-classification"):
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            pipeline(task, model=str(folder), trust_remote_code=False)


def test_objects(model, folders, load, expected, encoder):
    """Once the file was loaded, here or from anywhere, the task works with models that are loaded already."""
    load(folders["trained parts"])
    options = {"model": model, "tokenizer": tiny_tokenizer(), "definition_encoder": encoder, "device": "cpu"}
    assert_same_entities(pipeline("jpt-ner", **options)(TEXTS), expected)
    assert_same_entities(pipeline("token-classification", pipeline_class=JPTPipeline, **options)(TEXTS), expected)


def test_pipeline_of_transformers_says_what_to_do(model):
    """It is what `pipeline` takes for the model as an object, which names no pipeline of its own."""
    with pytest.raises(ValueError, match=r"model.as_pipeline\(tokenizer\)"):
        pipeline("token-classification", model=model, tokenizer=tiny_tokenizer(), device="cpu")(TEXTS[0])


def test_options_of_the_pipeline_go_through(folders, load):
    ner = load(folders["trained parts"], entity_types=["person"], threshold=0.0, top_k=1, batch_size=1)
    assert {each["entity_group"] for found in ner(TEXTS) for each in found} == {"person"}
    ner = load(folders["trained parts"], dtype=torch.bfloat16, model_kwargs={"attn_implementation": "sdpa"})
    assert (ner.model.model.dtype, ner.model.head.softmax_classifier.weight.weight.dtype) == (
        torch.bfloat16,
        torch.float32,
    )
    assert ner.model.model.config._attn_implementation == "sdpa"
    assert isinstance(ner(TEXTS), list)


# ---- saving ---------------------------------------------------------------------------------------------------------


def assert_complete(folder: Path):
    """Everything that the Hub needs, and nothing else."""
    config = json.loads((folder / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_jpt.JPTConfig",
        "AutoModelForTokenClassification": "modeling_jpt.JPTForTokenClassification",
    }
    assert config["custom_pipelines"] == {
        "jpt-ner": {"impl": "pipeline_jpt.JPTPipeline", "pt": ["AutoModelForTokenClassification"]}
    }
    assert config["architectures"] == ["JPTForTokenClassification"]
    names = {path.name for path in folder.iterdir()}
    here = Path(__file__).resolve().parents[2]
    assert {path.name for path in here.glob("*_jpt.py")} == {name for name in names if name.endswith(".py")}
    assert {"model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl")) and name != "training_args.bin"]


def test_saved_models_are_complete(folder):
    assert_complete(folder)


@pytest.mark.parametrize("form", FORMS)
def test_saved_pipelines_load_again_and_again(folders, load, expected, form, tmp_path):
    ner = load(folders[form], "token-classification")
    for name in ("first", "second"):
        ner.save_pretrained(tmp_path / name)
        assert_complete(tmp_path / name)
        ner = load(tmp_path / name)
        assert_same_entities(ner(TEXTS), expected)


def test_pipelines_of_new_models_are_saved_whole(model, load, expected, encoder, tmp_path):
    model.as_pipeline(tiny_tokenizer(), definition_encoder=encoder).save_pretrained(tmp_path)
    assert_complete(tmp_path)
    assert_same_entities(load(tmp_path)(TEXTS), expected)
    assert_same_entities(load(tmp_path, None)(TEXTS), expected)


def test_trainer_saves_a_folder_that_loads(model, load, expected, tmp_path):
    arguments = TrainingArguments(tmp_path / "run", use_cpu=True, report_to="none")
    Trainer(model=model, args=arguments, processing_class=tiny_tokenizer()).save_model(tmp_path / "final")
    assert_complete(tmp_path / "final")
    assert_same_entities(load(tmp_path / "final")(TEXTS), expected)


def test_configuration_stays_as_it_is_for_pipelines(folders, tmp_path):
    config = AutoConfig.from_pretrained(folders["trained parts"], trust_remote_code=True)
    assert "token-classification" in config.custom_pipelines and "summarization" not in config.custom_pipelines
    config.custom_pipelines["ner"]["pt"] = (AutoModelForTokenClassification,)  # as `pipeline` does
    config.save_pretrained(tmp_path)
    saved, before = (json.loads((path / "config.json").read_text()) for path in (tmp_path, folders["trained parts"]))
    assert saved["custom_pipelines"] == before["custom_pipelines"]


@pytest.mark.parametrize("form", FORMS)
def test_adapters_on_top(folders, load, expected, form, tmp_path):
    """A peft adapter that someone trained on top of a saved model: its folder loads like the model's."""
    ner = load(folders[form])
    ner.model.add_adapter(LoraConfig(r=2, target_modules=["gate_proj"], init_lora_weights=False))
    adapted = ner(TEXTS)
    ner.model.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    tiny_tokenizer().save_pretrained(tmp_path)
    found = load(tmp_path)(TEXTS)
    assert found != expected
    assert_same_entities(found, adapted)
