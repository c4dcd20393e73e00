"""Training of the generative systems: what is learned of a text, that packing changes nothing, and whole runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from jpt_ner.configuration_jpt import JPTConfig
from jpt_ner.generative.configuration_generative import GenerativeConfig
from jpt_ner.generative.examples import ExampleOptions, RowCollator, build_examples, encode_part, pack
from jpt_ner.generative.formats import label_part, text_part
from jpt_ner.generative.loading import load_pipeline, read_settings
from jpt_ner.tools.data.records import Entity, Record, TypeInfo, write_records
from jpt_ner.tools.training.generative import GenerativeRows, build_generative_model
from jpt_ner.tools.training.recipe import load_recipe
from jpt_ner.tools.training.resuming import last_whole_checkpoint
from jpt_ner.tools.training.run import train
from jpt_ner.tools.training.sampling import MixtureSource, Sampling, TrainingGroups
from peft import PeftModel
from safetensors.torch import load_file
from tiny import save_backbone, tiny_tokenizer
from transformers import AutoModelForCausalLM, TrainerCallback

TOKENIZER = tiny_tokenizer()
TEXT = "Japan, co-hosts of the World Cup, met Italy."
ENTITIES = [Entity(0, 5, "LOC"), Entity(23, 32, "MISC"), Entity(38, 43, "LOC")]
LABELS = {"PER": "a person", "MISC": "other names", "LOC": "a place"}
SYSTEMS = ("padellm", "autoreg-augmented", "autoreg-structured")


def learned(example) -> str:
    return TOKENIZER.decode([token for token, mask in zip(example.input_ids, example.loss_mask, strict=True) if mask])


def whole(example) -> str:
    return TOKENIZER.decode(example.input_ids)


# ---- examples -------------------------------------------------------------------------------------------------------


def test_one_text_becomes_an_example_for_each_mention_and_each_label_without():
    """Section 3.1 and Table 11 of the paper."""
    examples = build_examples(TOKENIZER, "padellm", TEXT, ENTITIES, LABELS)
    assert [learned(each) for each in examples] == [
        "<|im_end|>",
        "1\n<mention 1> World Cup<|im_end|>",
        "2\n<mention 1> Japan<|im_end|>",
        "2\n<mention 2> Italy<|im_end|>",
    ]
    assert whole(examples[3]) == f"{text_part(TEXT)}{label_part('LOC')}2\n<mention 2> Italy<|im_end|>"


def test_the_template_of_the_index_need_not_be_learned():
    options = ExampleOptions(ignore_index_loss=True)
    examples = build_examples(TOKENIZER, "padellm", TEXT, ENTITIES, LABELS, options)
    assert [learned(each) for each in examples][2:] == ["2\n Japan<|im_end|>", "2\n Italy<|im_end|>"]
    assert whole(examples[3]).endswith("<mention 2> Italy<|im_end|>")


def test_autoregressive_examples_and_definitions():
    (example,) = build_examples(TOKENIZER, "autoreg-structured", TEXT, ENTITIES, LABELS)
    assert learned(example) == " ((LOC): (Japan), (MISC): (World Cup), (LOC): (Italy), (PER): (NULL))<|im_end|>"
    assert "a person" not in whole(example)
    for system in SYSTEMS:
        example = build_examples(TOKENIZER, system, TEXT, ENTITIES, LABELS, ExampleOptions(definitions=True))[0]
        assert "PER: a person" in whole(example) and "a person" not in learned(example)
    (example,) = build_examples(TOKENIZER, "autoreg-augmented", TEXT, ENTITIES, {"LOC": ""})
    assert learned(example) == " [Japan LOC], co-hosts of the World Cup, met [Italy LOC].<|im_end|>"


def test_chinese_template():
    examples = build_examples(
        TOKENIZER, "padellm", "墨西哥", [Entity(0, 3, "地点")], {"地点": ""}, ExampleOptions("zh")
    )
    assert whole(examples[0]) == "文本: 墨西哥\n指定NER标签: 地点\n<数量>1\n<第1文段>墨西哥<|im_end|>"


def test_training_reads_the_tokens_that_inference_will_give():
    """Parts are tokenized by themselves, so a prompt has the same tokens whatever comes after it."""
    prompt = encode_part(TOKENIZER, text_part(TEXT)) + encode_part(TOKENIZER, label_part("LOC"))
    for example in build_examples(TOKENIZER, "padellm", TEXT, ENTITIES, {"LOC": ""}):
        assert example.input_ids[: len(prompt)] == prompt and not any(example.loss_mask[: len(prompt)])
        assert example.loss_mask[len(prompt)]
    # Text is not markup.
    assert TOKENIZER.eos_token_id not in encode_part(TOKENIZER, "a <|im_end|> b")


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="<num>"):
        build_examples(TOKENIZER, "padellm", TEXT, [], {"<num>": ""})
    endless = tiny_tokenizer()
    endless.eos_token = None
    with pytest.raises(ValueError, match="`tokenizer`.*eos_token"):
        build_examples(endless, "padellm", TEXT, [], {"LOC": ""})


# ---- packing --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A random causal LM with adapters, in float32."""
    folder = save_backbone(tmp_path_factory.mktemp("causal"), max_position_embeddings=4096, tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def loss_and_gradient(model, batches, weights):
    model.zero_grad()
    total = sum(model(**batch).loss * weight for batch, weight in zip(batches, weights, strict=True))
    total.backward()
    return total.item(), model.model.layers[0].self_attn.q_proj.weight.grad.clone()


def is_near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_examples_learn_what_single_ones_learn(causal, system, attention):
    causal.set_attn_implementation(attention)
    texts = [(TEXT, ENTITIES), ("Japan, co-hosts of Oslo", [Entity(0, 5, "LOC")]), ("Nobody", [])]
    examples = [each for text, entities in texts for each in build_examples(TOKENIZER, system, text, entities, LABELS)]
    # The plain way: one row each, labels that the model shifts by itself.
    batches, sizes = [], []
    for example in examples:
        ids = torch.tensor([example.input_ids])
        labels = ids.masked_fill(~torch.tensor([example.loss_mask]), -100)
        batches.append({"input_ids": ids, "labels": labels})
        sizes.append(int((labels != -100).sum()))
    slow, slow_gradient = loss_and_gradient(causal, batches, [size / sum(sizes) for size in sizes])

    row = pack(examples)
    assert len(row.targets) == sum(sizes)
    assert len(row.input_ids) < sum(len(each.input_ids) for each in examples)
    fast, fast_gradient = loss_and_gradient(causal, [RowCollator(attention)([row])], [1.0])
    assert fast == pytest.approx(slow, rel=1e-4)
    assert is_near(fast_gradient, slow_gradient)

    # Rows of different lengths in one batch: padding takes no part.
    halves = [pack(examples[:1]), pack(examples[1:])]
    both, both_gradient = loss_and_gradient(causal, [RowCollator(attention)(halves)], [1.0])
    assert both == pytest.approx(slow, rel=1e-4) and is_near(both_gradient, slow_gradient)


def test_a_text_is_in_its_row_once():
    examples = build_examples(TOKENIZER, "padellm", TEXT, ENTITIES, LABELS)
    row = pack(examples)
    text = encode_part(TOKENIZER, text_part(TEXT))
    shared = len(text) + len(encode_part(TOKENIZER, "entity type: "))
    rest = sum(len(each.input_ids) - len(text) for each in examples)
    assert row.input_ids[: len(text)].tolist() == text
    assert len(row.input_ids) < shared + rest
    # Every token sees a chain of as many tokens as its position says.
    assert np.array_equal(row.visible.sum(1), row.position_ids + 1)
    assert not np.triu(row.visible, 1).any()


# ---- rows from records ----------------------------------------------------------------------------------------------

TYPES = {
    "PER": TypeInfo("person", "A named person."),
    "LOC": TypeInfo("place (named)", "A named place."),
    "ORG": TypeInfo("organisation", "A company."),
}
PLAIN = {"name_only": 0, "shortened": 0, "generic": 0, "renamed": 0, "lowercase": 0, "spaced": 0, "coarsened": 0}


def records(number: int = 12) -> list[Record]:
    people, places = ["Angela Merkel", "Bob", "Li"], ["Paris", "New York"]
    found = []
    for i in range(number):
        person, place = people[i % 3], places[i % 2]
        text = f"{person} visited {place}."
        start = len(person) + 9
        entities = [Entity(0, len(person), "PER"), Entity(start, start + len(place), "LOC")]
        found.append(Record(f"r{i}", text, entities))
    return found


def rows(system="padellm", options=None, **sampling) -> GenerativeRows:
    sampling = Sampling(**{**PLAIN, "min_types": 3, "max_types": 3, **sampling})
    options = options or ExampleOptions()
    return GenerativeRows([MixtureSource("a", records(), TYPES, 1.0)], 6, TOKENIZER, system, sampling, options)


def test_rows_hold_the_texts_and_types_of_jpts_groups():
    own = rows(group_tokens=200)
    jpt = TrainingGroups(own.sources, 6, TOKENIZER, JPTConfig(prompt_template="compact"), own.sampling)
    assert own.plan == jpt.plan
    for i in range(6):
        group = jpt.draw(i)
        expected = [
            encode_part(TOKENIZER, text_part(text)) + encode_part(TOKENIZER, label_part(name))
            for text, _ in group.texts
            for name in group.names
        ]
        row = own[i]
        chains = {tuple(row.input_ids[visible]) for visible in row.visible}
        assert len(group.texts) > 1 and all(tuple(ids) in chains for ids in expected)


def test_labels_that_a_system_cannot_write_are_left_out():
    assert "place (named)" in TOKENIZER.decode(rows("padellm")[0].input_ids)
    assert "place (named)" not in TOKENIZER.decode(rows("autoreg-structured")[0].input_ids)
    assert "Bob person" in TOKENIZER.decode(rows("autoreg-augmented")[0].input_ids)


def test_names_are_numbers_only_beside_definitions():
    for definitions in (False, True):
        some = rows(options=ExampleOptions(definitions=definitions), anonymous=1.0)
        assert ("type " in TOKENIZER.decode(some[0].input_ids).replace("entity type", "")) == definitions


def test_long_texts_are_cut_before_a_mention():
    text, entities = "a b c New York Times d", [Entity(0, 1, "LOC"), Entity(6, 20, "ORG")]
    for most in range(1, 25):
        cut, kept = rows(max_text_tokens=most)._cut(text, entities)
        assert text.startswith(cut) and not 6 < len(cut) < 20
        assert kept == [each for each in entities if each.end <= len(cut)]
        assert len(encode_part(TOKENIZER, cut)) <= most


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    save_backbone(folder / "backbone", max_position_embeddings=4096, tie_word_embeddings=True)
    write_records(folder / "data" / "train.jsonl", records())
    types = {label: {"name": info.name, "definition": info.definition} for label, info in TYPES.items()}
    (folder / "data" / "types.json").write_text(json.dumps(types))
    return folder


def write_recipe(setting, name, **values) -> Path:
    recipe = {
        "backbone": str(setting / "backbone"),
        "system": "padellm",
        "output_dir": str(setting / name),
        "data_root": str(setting / "data"),
        "data": [{"path": "train.jsonl"}],
        "load_options": {"dtype": "float32"},
        "model": {"lora_rank": 2, "lora_alpha": 4},
        "sampling": {"group_tokens": 120},
        "save_dtype": "float32",
        "training": {
            "max_steps": 6,
            "per_device_train_batch_size": 2,
            "learning_rate": 0.02,
            "save_steps": 2,
            "use_cpu": True,
            "report_to": "none",
            "logging_steps": 1,
        },
        **values,
    }
    path = setting / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


class Losses(TrainerCallback):
    def __init__(self, stop_at=None):
        self.values = []
        self.stop_at = stop_at

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.values.append(float(logs["loss"]))

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop |= state.global_step == self.stop_at


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(setting):
    straight, first, second = Losses(), Losses(stop_at=4), Losses()
    whole = train(load_recipe(write_recipe(setting, "straight")), [straight])
    recipe = load_recipe(write_recipe(setting, "stopped"))
    train(recipe, [first])
    shutil.rmtree(setting / "stopped" / "final")
    (setting / "stopped" / "final").mkdir()
    (setting / "stopped" / "final" / "README.md").write_text("my card")
    (setting / "stopped" / "final" / "model.safetensors").write_text("of an earlier run")
    assert last_whole_checkpoint(recipe.output_dir).name == "checkpoint-4"
    final = train(recipe, [second])
    assert (final / "README.md").read_text() == "my card" and not (final / "model.safetensors").exists()
    assert first.values + second.values == pytest.approx(straight.values, rel=1e-3)
    assert straight.values[-1] < straight.values[0]
    ours, theirs = (load_file(each / "adapter_model.safetensors") for each in (final, whole))
    assert ours.keys() == theirs.keys() and all(torch.allclose(ours[key], theirs[key], atol=1e-4) for key in ours)


def test_what_is_saved_is_what_was_trained(setting):
    recipe = load_recipe(
        write_recipe(setting, "saved", system="autoreg-structured", entity_types={"person": "A named person."})
    )
    kept = {}

    class Keep(TrainerCallback):
        def on_train_end(self, args, state, control, model=None, **kwargs):
            kept["row"] = RowCollator()([rows("autoreg-structured")[0]])
            with torch.no_grad():
                kept["loss"] = model.eval()(**kept["row"]).loss.item()

    final = train(recipe, [Keep()])
    config = json.loads((final / "config.json").read_text())
    settings = GenerativeConfig.from_model_config(config)
    assert (settings.system, settings.language, settings.definitions) == ("autoreg-structured", "en", False)
    assert settings.entity_types == {"person": "A named person."}
    backbone = AutoModelForCausalLM.from_pretrained(setting / "backbone", dtype=torch.float32)
    with torch.no_grad():
        untrained = backbone(**kept["row"]).loss.item()
        loaded = PeftModel.from_pretrained(backbone, final).eval()(**kept["row"]).loss.item()
    assert loaded == pytest.approx(kept["loss"], abs=1e-4) and loaded < untrained - 0.1
    assert json.loads((final / "adapter_config.json").read_text())["base_model_name_or_path"] == recipe.backbone


@pytest.mark.parametrize(
    "values, message",
    [
        ({"system": "gpt"}, "system"),
        ({"generative": {"language": "fr"}}, "language"),
        ({"generative": {"colour": "red"}}, "generative.*colour"),
        ({"evaluation": {"data": "train.jsonl"}}, "evaluation"),
        ({"backbone": None, "checkpoint": "x", "model": {}}, "backbone"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_before_training(setting, values, message):
    with pytest.raises(ValueError, match=message):
        train(load_recipe(write_recipe(setting, "refused", **values)))
    assert not (setting / "refused").exists()


def test_a_backbone_without_a_language_modelling_head_is_refused(setting, tmp_path):
    save_backbone(tmp_path / "headless", tie_word_embeddings=False)
    recipe = load_recipe(write_recipe(setting, "headless", backbone=str(tmp_path / "headless")))
    with pytest.raises(ValueError, match="head"):
        build_generative_model(recipe)


def test_only_adapters_are_trained(setting):
    model, _ = build_generative_model(load_recipe(write_recipe(setting, "adapters")))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)


def test_all_weights_are_trained_without_adapters(setting):
    """Appendix C of the paper: full fine-tuning, in epochs; what is saved is a whole model that knows its settings."""
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "learning_rate": 0.01, "use_cpu": True}
    recipe = load_recipe(
        write_recipe(
            setting,
            "full",
            model={"lora_rank": 0},
            sampling={**PLAIN, "max_group_texts": 1},
            training={**training, "save_strategy": "no", "report_to": "none", "logging_steps": 1},
        )
    )
    losses = Losses()
    final = train(recipe, [losses])
    assert len(losses.values) == 12  # twice 12 records, two a batch
    assert sum(losses.values[-4:]) < sum(losses.values[:4])
    assert not (final / "adapter_config.json").exists()
    assert read_settings(final) == GenerativeConfig(system="padellm")
    before, after = (
        AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32).state_dict()
        for each in (setting / "backbone", final)
    )
    assert before.keys() == after.keys() and not any(torch.equal(before[key], after[key]) for key in before)
    found = load_pipeline(final, device="cpu").extract("Bob visited Paris.", ["person", "place (named)"])
    assert found.counts.keys() == {"person", "place (named)"}


def test_the_papers_recipe():
    """Section 4.1 and Appendix C."""
    recipe = load_recipe(Path(__file__).parents[3] / "recipes" / "padellm-llama2-7b.yaml")
    training = recipe.training
    assert (training["num_train_epochs"], training["learning_rate"], training["lr_scheduler_type"]) == (
        4,
        1e-5,
        "cosine",
    )
    assert recipe.model["lora_rank"] == 0 and recipe.generative.max_output_tokens == 512
    own = GenerativeRows(
        [MixtureSource("a", records(), TYPES, 1.0)], 12, TOKENIZER, "padellm", recipe.sampling, recipe.generative
    )
    # Whole texts by themselves, under all types by their names.
    for i in range(12):
        group = own.draw(i)
        assert len(group.texts) == 1 and sorted(group.names) == sorted(info.name for info in TYPES.values())


def test_outputs_that_are_too_long_are_left_out():
    entities = [Entity(0, len(TEXT), "PER"), *ENTITIES]
    whole, cut = (
        build_examples(TOKENIZER, "padellm", TEXT, entities, LABELS, ExampleOptions(max_output_tokens=length))
        for length in (512, 20)
    )
    assert {learned(each) for each in whole} - {learned(each) for each in cut} == {f"1\n<mention 1> {TEXT}<|im_end|>"}
    with pytest.raises(ValueError, match="max_output_tokens"):
        ExampleOptions(max_output_tokens=0)


def test_shipped_recipes_train_on_the_same_groups_as_jpt():
    folder = Path(__file__).parents[3] / "recipes"
    jpt = load_recipe(folder / "smollm2-135m.yaml")
    per_update = jpt.training["per_device_train_batch_size"]
    for system in SYSTEMS:
        recipe = load_recipe(folder / f"{system}-smollm2-135m.yaml")
        assert recipe.system == system
        assert (recipe.data, recipe.sampling, recipe.backbone) == (jpt.data, jpt.sampling, jpt.backbone)
        assert recipe.training["max_steps"] == jpt.training["max_steps"]
        assert recipe.training["gradient_accumulation_steps"] == per_update
        adapters = [key for key in jpt.model if key.startswith("lora_")]
        assert all(recipe.model[key] == jpt.model[key] for key in adapters)
