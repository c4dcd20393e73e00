"""The mean of checkpoints is the mean of their weights, and only like is averaged with like."""

import json
import shutil

import pytest
import torch
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.tools.checkpoints.averaging import average
from jpt_ner.tools.checkpoints.convert import convert
from jpt_ner.tools.training.run import save_trained_parts
from safetensors.torch import load_file, save_file
from tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def checkpoints(make_model, tmp_path_factory):
    """Two checkpoints whose weights differ, and one of another configuration."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, seed, values in (("a", 0, {}), ("b", 1, {}), ("wide", 0, {"lora_rank": 3})):
        model = make_model(**values)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_()
        save_trained_parts(model, tiny_tokenizer(), folder / name, "float32")
    return folder


def weights(folder):
    model = JPTForTokenClassification.from_pretrained(folder, is_trainable=True, dtype=torch.float32)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_weights_are_the_mean(checkpoints, tmp_path):
    average([str(checkpoints / "a"), str(checkpoints / "b"), str(checkpoints / "b")], tmp_path / "mean", "float32")
    first, second, mean = (weights(folder) for folder in (checkpoints / "a", checkpoints / "b", tmp_path / "mean"))
    assert first.keys() == mean.keys() and any("lora_A" in name for name in mean)
    for name in mean:
        assert not torch.equal(first[name], second[name])
        torch.testing.assert_close(mean[name], (first[name] + 2 * second[name]) / 3)


def test_checkpoints_of_machines_with_and_without_bfloat16_are_averaged(checkpoints, tmp_path):
    """Each is saved in the number format that it was trained in."""
    shutil.copytree(checkpoints / "b", tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["dtype"] == config["text_config"]["dtype"] == "float32"
    config["dtype"] = config["text_config"]["dtype"] = "bfloat16"
    (tmp_path / "b" / "config.json").write_text(json.dumps(config))
    average([str(checkpoints / "a"), str(tmp_path / "b")], tmp_path / "mean", "float32")
    assert weights(tmp_path / "mean").keys() == weights(checkpoints / "a").keys()


def test_refuses_what_cannot_be_averaged(checkpoints, tmp_path):
    a, b, wide = (str(checkpoints / name) for name in ("a", "b", "wide"))
    with pytest.raises(ValueError, match="two or more"):
        average([a], tmp_path / "out")
    with pytest.raises(ValueError, match="otherwise than .*lora_rank"):
        average([a, wide], tmp_path / "out")
    with pytest.raises(ValueError, match="new or an empty folder"):
        average([a, b], checkpoints)
    for damage in ("head", "half"):
        shutil.copytree(b, tmp_path / damage)
    weights = load_file(tmp_path / "head" / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if not name.startswith("head.")},
        tmp_path / "head" / "model.safetensors",
        {"format": "pt"},
    )
    half = tmp_path / "half" / "model.safetensors"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    for pair in ([a, str(tmp_path / "head")], [str(tmp_path / "head"), a]):
        with pytest.raises(ValueError, match=r"'head\..* is in only one of .* incomplete"):
            average(pair, tmp_path / "out")
    with pytest.raises(ValueError, match="half: model.safetensors is damaged"):
        average([a, str(tmp_path / "half")], tmp_path / "out")
    with pytest.raises(ValueError, match="head"):
        average([str(tmp_path / "head"), str(tmp_path / "head")], tmp_path / "out")
    convert(a, tmp_path / "merged")
    with pytest.raises(ValueError, match="adapters apart"):
        average([str(tmp_path / "merged"), a], tmp_path / "out")
    assert not (tmp_path / "out").exists()
