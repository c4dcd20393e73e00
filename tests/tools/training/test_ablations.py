"""The recipe of the ablations: what each of its runs reads, learns from and has to train."""

import re
from pathlib import Path

import pytest
import torch
from jpt_ner.tools.commands.training import key_value
from jpt_ner.tools.data.records import Entity, Record
from jpt_ner.tools.training.recipe import load_recipe
from jpt_ner.tools.training.run import build_model
from jpt_ner.tools.training.sampling import GroupCollator, MixtureSource, TrainingGroups

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "ablation.yaml"
TYPES = {"band": "A group of musicians.", "city": "A named town."}
RECORDS = [Record(f"r{i}", f"Oasis came to Rome {i}.", [Entity(0, 5, "band")], types=TYPES) for i in range(4)]
# Of each run: whether the prompt and the embedded texts have definitions, and how often the text is read.
ROWS = {
    "full": (True, True, 2),
    "single-pass": (True, True, 1),
    "no-definitions": (False, False, 2),
    "prompt-only": (True, False, 2),
    "embedding-only": (False, True, 2),
}


def commands() -> dict[str, list[str]]:
    """The values of the commands that the recipe begins with, by name."""
    lines = re.findall(r"^#   jpt-ner train ablation output_dir=runs/(.*)$", RECIPE.read_text(), re.MULTILINE)
    words = [line.partition("#")[0].split() for line in lines]
    return {name: values for name, *values in words}


@pytest.fixture
def build(backbone, encoder):
    """A run's recipe, model and training groups on a tiny backbone."""

    def build(*values):
        tiny = {
            "backbone": backbone,
            "model.definition_encoder": "fake",
            "model.definition_encoder_size": 6,
            "load_options": {"dtype": torch.float32},
        }
        recipe = load_recipe(RECIPE, {**tiny, **dict(map(key_value, values))})
        model, tokenizer = build_model(recipe)
        source = MixtureSource("a", RECORDS, None, 1.0)
        groups = TrainingGroups([source], 1, tokenizer, model.config, recipe.sampling, recipe.in_epochs)
        return model, tokenizer, groups

    return build


def test_the_recipe_has_a_command_for_every_row():
    assert list(commands()) == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_4(build, encoder, name):
    prompt_defines, embedding_defines, copies = ROWS[name]
    model, tokenizer, groups = build(*commands()[name])
    (group,) = groups
    assert len(group["texts"]) == len(RECORDS)
    prompt = tokenizer.decode(group["prompt_input_ids"])
    assert '"band"' in prompt and ("A group of musicians." in prompt) == prompt_defines
    assert ("twice" in prompt) == ("The first time: '" in prompt) == (copies == 2)
    embedded = [text for (text,) in group["definitions"][1:]]
    assert sorted(each.split(":")[0] for each in embedded) == sorted(TYPES)
    assert any("A group of musicians." in each for each in embedded) == embedding_defines
    assert model.text_cost(10) == 10 * copies + len(model.config.separator_ids) * (copies - 1)
    # The pipeline of the trained model uses the prompts it was trained with.
    pipe = model.as_pipeline(tokenizer, definition_encoder=encoder)
    plan = pipe._plan(tuple(each.split(":")[0] for each in embedded), tuple(TYPES[n.split(":")[0]] for n in embedded))
    assert plan.prompt.input_ids == group["prompt_input_ids"]


def test_rows_read_the_same_texts(build):
    plans = [build(*values)[2].plan for values in commands().values()]
    assert all([members for _, members, _ in plan] == [members for _, members, _ in plans[0]] for plan in plans)


@pytest.mark.parametrize("rank", [0, 4, 16, 32, 64])
def test_ranks_of_table_10(build, encoder, rank):
    model, _, groups = build(f"model.lora_rank={rank}", f"model.lora_alpha={2 * rank}")
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    adapters = [each for name, each in trained.items() if "lora_" in name]
    assert len(adapters) == (2 * 4 * 2 if rank else 0) and all(rank in each.shape for each in adapters)
    assert not [name for name in trained if "lora_" not in name and not name.startswith("head.")]
    assert sum(name.startswith("head.") for name in trained) == len(list(model.head.parameters()))
    model.train()(**GroupCollator(encoder)([groups[0]])).loss.backward()
    assert all(each.grad is not None for each in trained.values())


@pytest.mark.parametrize("values", ["model.readings=[open]", "model.readings=[twice-open]", "model.begin_head=true"])
def test_rows_of_ours_learn(build, encoder, values):
    model, _, groups = build(values)
    assert model.config.begin_head == (values == "model.begin_head=true")
    assert groups[0]["reading"] == model.config.readings[0]
    model.train()(**GroupCollator(encoder)([groups[0]])).loss.backward()
    assert model.head.softmax_classifier.weight.weight.grad.abs().sum() > 0
