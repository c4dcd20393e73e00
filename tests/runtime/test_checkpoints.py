"""Both checkpoint forms: what they hold, that they load to the same numbers, and what happens to damaged ones."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from cases import CASE, assert_same, by_text
from jpt_ner.attention_jpt import PACKED_ATTENTION
from jpt_ner.configuration_jpt import JPTConfig
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.tools.loading import load_pipeline
from safetensors.torch import load_file, save_file
from tiny import save_backbone, tiny_model, tiny_tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification

BATCH = CASE.inputs()


@torch.no_grad()
def read(model) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return by_text(model(**BATCH), BATCH)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def model(backbone):
    return tiny_model(backbone, type_embedding="both")


@pytest.fixture(scope="module")
def parts(model, tmp_path_factory):
    """The trained-parts form."""
    folder = tmp_path_factory.mktemp("parts")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory):
    """The self-contained form, converted from the other."""
    folder = tmp_path_factory.mktemp("whole")
    JPTForTokenClassification.from_pretrained(parts, dtype=torch.float32).save_pretrained(folder)
    return folder


def tensors(folder) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def config_of(folder) -> dict:
    return json.loads((Path(folder) / "config.json").read_text())


# ---- what is saved --------------------------------------------------------------------------------------------------


def test_trained_parts_hold_adapters_and_head_and_nothing_else(model, parts):
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert tensors(parts).keys() == trained
    assert {name.split(".")[0] for name in trained} == {"model", "head"}
    assert all(".lora_" in name for name in trained if name.startswith("model."))
    assert config_of(parts)["self_contained"] is False
    assert not [path for path in parts.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pickle")]


def test_self_contained_holds_all_and_no_adapters(whole, backbone):
    names = tensors(whole).keys()
    assert not any(".lora_" in name or "base_layer" in name for name in names)
    assert {name for name in names if name.startswith("model.")} == {f"model.{name}" for name in tensors(backbone)}
    assert config_of(whole)["self_contained"] is True


def test_saved_folders_carry_their_code(parts, whole):
    for folder in (parts, whole):
        config = config_of(folder)
        for reference in config["auto_map"].values():
            assert (folder / f"{reference.split('.')[0]}.py").is_file()


# ---- equal numbers --------------------------------------------------------------------------------------------------


def test_all_roads_give_the_same_scores(model, parts, whole):
    expected = read(model)
    for options in ({}, {"is_trainable": True}, {"attn_implementation": "sdpa"}):
        assert_same(read(JPTForTokenClassification.from_pretrained(parts, **options)), expected)
    for options in ({}, {"attn_implementation": "sdpa"}):
        assert_same(read(JPTForTokenClassification.from_pretrained(whole, **options)), expected)


def test_backend_is_packed_unless_asked_for(parts, whole):
    for folder in (parts, whole):
        loaded = JPTForTokenClassification.from_pretrained(folder)
        assert loaded.config._attn_implementation == loaded.model.config._attn_implementation == PACKED_ATTENTION
        loaded = JPTForTokenClassification.from_pretrained(folder, attn_implementation="eager")
        assert loaded.config._attn_implementation == loaded.model.config._attn_implementation == "eager"
        assert not loaded.training


def test_merging_in_place_gives_the_self_contained_form(backbone, whole, tmp_path):
    model = tiny_model(backbone, type_embedding="both")
    model.merge_lora()
    assert_same(read(model), read(JPTForTokenClassification.from_pretrained(whole)))
    model.save_pretrained(tmp_path)
    assert tensors(tmp_path).keys() == tensors(whole).keys()
    assert_same(read(JPTForTokenClassification.from_pretrained(tmp_path)), read(model))


def test_a_trainable_model_saves_trained_parts_again(parts, tmp_path):
    loaded = JPTForTokenClassification.from_pretrained(parts, is_trainable=True)
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == tensors(parts).keys()
    with torch.no_grad():
        loaded.head.softmax_classifier.bias.bias += 1
    loaded.save_pretrained(tmp_path)
    before, after = tensors(parts), tensors(tmp_path)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["head.softmax_classifier.bias.bias"] and before.keys() == after.keys()


def test_trained_parts_stay_in_one_file(model, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert_same(read(JPTForTokenClassification.from_pretrained(tmp_path, dtype=torch.float32)), read(model))


def test_a_self_contained_model_is_not_taken_for_training(whole):
    """It has no adapters any more, so the whole backbone would be trained unintentionally."""
    with pytest.raises(ValueError, match="self-contained"):
        JPTForTokenClassification.from_pretrained(whole, is_trainable=True)


def test_loaded_weights_are_those_of_the_backbone(backbone, parts, whole):
    original = tensors(backbone)
    fresh = tiny_model(backbone, lora_rank=0)
    trainable = JPTForTokenClassification.from_pretrained(parts, is_trainable=True)
    for name, tensor in original.items():
        assert torch.equal(fresh.model.state_dict()[name], tensor), name
        layer, _, part = name.rpartition(".")
        kept = trainable.model.state_dict()
        assert torch.equal(kept[name] if name in kept else kept[f"{layer}.base_layer.{part}"], tensor), name
    saved, loaded = tensors(whole), JPTForTokenClassification.from_pretrained(whole).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


def test_neither_form_needs_peft_to_be_read(parts, whole, model, monkeypatch):
    expected = read(model)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError):
        JPTForTokenClassification.from_pretrained(parts, is_trainable=True)
    for folder in (parts, whole):
        assert_same(read(JPTForTokenClassification.from_pretrained(folder)), expected)


def test_auto_class_loads_both_forms_from_their_own_code(parts, whole, model):
    for folder in (parts, whole):
        loaded = AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=True)
        assert type(loaded).__module__.startswith("transformers_modules.")
        assert_same(read(loaded), read(model))


def test_the_backbone_may_be_given_when_it_has_moved(backbone, parts, model, tmp_path):
    moved = json.loads((parts / "config.json").read_text()) | {"backbone_name_or_path": str(tmp_path / "gone")}
    for path in parts.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(moved))
    with pytest.raises(OSError, match="backbone=FOLDER"):
        JPTForTokenClassification.from_pretrained(tmp_path)
    assert_same(read(JPTForTokenClassification.from_pretrained(tmp_path, backbone=backbone)), read(model))


# ---- precision and placement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_heads_stay_float32_in_half_precision(parts, whole, model, dtype):
    expected = read(model)
    for folder in (parts, whole):
        for options in ({}, {"is_trainable": True}) if folder == parts else ({},):
            loaded = JPTForTokenClassification.from_pretrained(folder, dtype=dtype, **options)
            assert {p.dtype for p in loaded.head.parameters()} == {torch.float32}
            dtypes = {p.dtype for name, p in loaded.model.named_parameters() if ".lora_" not in name}
            assert dtypes == {getattr(torch, dtype)}
            # Roundings add up differently from one CPU to another, so single scores of a random model may be far off.
            found, right = (
                torch.cat([scores.flatten() for text in each for scores in text]) for each in (read(loaded), expected)
            )
            assert (found - right).abs().mean() < 0.05 * right.abs().max()


def test_a_half_precision_model_keeps_its_dtypes_when_saved(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # without it, "auto" is float32
    half = JPTForTokenClassification.from_pretrained(parts, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    loaded = JPTForTokenClassification.from_pretrained(tmp_path, dtype="auto")
    assert {name: p.dtype for name, p in loaded.named_parameters()} == {n: p.dtype for n, p in half.named_parameters()}
    weights = half.state_dict()
    assert all(tensor.equal(weights[name]) for name, tensor in loaded.state_dict().items())
    assert_same(read(loaded), read(half), 0.02)  # the same numbers, added up in bfloat16


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_maps(parts, whole, model, device_map):
    for folder in (parts, whole):
        assert_same(read(JPTForTokenClassification.from_pretrained(folder, device_map=device_map)), read(model))


def test_offloading_is_for_the_self_contained_form(parts, whole, model, tmp_path):
    """Merging adapters into offloaded weights, or adding to them, would have no effect."""
    placement = {"embed_tokens": "cpu", "layers.0": "cpu", "layers.1": "disk", "norm": "cpu", "rotary_emb": "cpu"}
    with pytest.raises(ValueError, match="self-contained"):
        JPTForTokenClassification.from_pretrained(parts, device_map=placement, offload_folder=str(tmp_path))
    placement = {f"model.{name}": place for name, place in placement.items()} | {"head": "cpu"}
    loaded = JPTForTokenClassification.from_pretrained(whole, device_map=placement, offload_folder=str(tmp_path))
    assert any(parameter.is_meta for parameter in loaded.model.parameters())
    assert_same(read(loaded), read(model))


# ---- checkpoints that do not fit ------------------------------------------------------------------------------------


@pytest.fixture
def copy(parts, tmp_path):
    """Changes to a checkpoint: of its tensors, its config or its bytes."""

    def change(tensors_change=None, size=None, **config):
        for path in parts.iterdir():
            if path.is_file():
                (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "config.json").write_text(json.dumps(config_of(parts) | config))
        if tensors_change:
            kept = tensors(parts)
            tensors_change(kept)
            save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
        if size is not None:
            file = tmp_path / "model.safetensors"
            file.write_bytes(file.read_bytes()[:size])
        return tmp_path

    return change


@pytest.mark.parametrize("is_trainable", [False, True])
@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("head.softmax_classifier.bias.weight", "missing"),
        ("head.softmax_classifier.other", "added"),
        ("head.token_projections.0.layers.0.weight", "of another shape"),
        ("model.layers.1.self_attn.q_proj.lora_A.default.weight", "missing"),
        ("model.layers.1.self_attn.q_proj.lora_B.default.weight", "missing"),
        ("model.layers.7.self_attn.q_proj.lora_A.default.weight", "added"),
        ("model.layers.1.self_attn.q_proj.lora_B.default.weight", "of another shape"),
    ],
)
def test_tensors_that_do_not_fit_are_named(copy, name, action, is_trainable):
    def change(kept):
        if action == "missing":
            del kept[name]
        else:
            kept[name] = torch.zeros(3, 2)

    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        JPTForTokenClassification.from_pretrained(copy(change), is_trainable=is_trainable)


@pytest.mark.parametrize("is_trainable", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        {"lora_rank": 4},
        {"lora_rank": 0},
        {"lora_target_modules": ["q_proj"]},
        {"projection_size": 8},
        {"share_projections": False},
        {"type_embedding": "definition"},
    ],
    ids=str,
)
def test_configs_that_do_not_fit_are_refused(copy, config, is_trainable):
    """Merging with another rank, for example, would silently scale the adapters wrongly."""
    with pytest.raises(ValueError, match="does not fit"):
        JPTForTokenClassification.from_pretrained(copy(**config), is_trainable=is_trainable)


@pytest.mark.parametrize("is_trainable", [False, True])
def test_another_backbone_is_refused(parts, tmp_path, is_trainable):
    wider = save_backbone(tmp_path / "wider", hidden_size=48)
    shallow = save_backbone(tmp_path / "shallow", num_hidden_layers=1)
    for other in (wider, shallow):
        with pytest.raises(ValueError, match="does not fit"):
            JPTForTokenClassification.from_pretrained(parts, backbone=other, is_trainable=is_trainable)


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_truncated_files_are_named(copy, size):
    folder = copy(size=size)
    with pytest.raises(OSError, match=r"model\.safetensors.*damaged"):
        JPTForTokenClassification.from_pretrained(folder)


def test_a_folder_without_weights_is_an_error(copy):
    folder = copy()
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        JPTForTokenClassification.from_pretrained(folder)


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_truncated_self_contained_files_and_backbones_are_named(whole, backbone, parts, tmp_path, size):
    for source in (whole, Path(backbone)):
        (tmp_path / source.name).mkdir()
        for path in source.iterdir():
            if path.is_file():
                (tmp_path / source.name / path.name).write_bytes(path.read_bytes())
        file = tmp_path / source.name / "model.safetensors"
        file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(OSError, match=r"model\.safetensors.*damaged"):
        JPTForTokenClassification.from_pretrained(tmp_path / whole.name)
    with pytest.raises(OSError, match="backbone.*damaged"):
        JPTForTokenClassification.from_pretrained(parts, backbone=str(tmp_path / Path(backbone).name))


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "head.softmax_classifier.weight.weight"])
def test_a_self_contained_model_lacks_nothing(whole, tmp_path, name):
    """Random numbers would silently replace missing ones."""
    kept = tensors(whole)
    del kept[name]
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes())
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        JPTForTokenClassification.from_pretrained(tmp_path)


def test_a_config_that_is_given_is_not_changed(parts, model):
    config = type(model.config).from_pretrained(parts)
    for _ in range(2):
        assert_same(read(JPTForTokenClassification.from_pretrained(parts, config=config)), read(model))
    assert config.self_contained is False and config.lora_rank == 2


def test_adapters_of_transposed_layers_are_not_merged(tmp_path):
    """GPT-2 stores its weights transposed, which square ones would not reveal."""
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=4, vocab_size=320)
    AutoModel.from_config(config).save_pretrained(tmp_path / "gpt2")
    model = tiny_model(str(tmp_path / "gpt2"), lora_target_modules=["c_proj"])
    model.save_pretrained(tmp_path / "parts")
    with pytest.raises(ValueError, match="c_proj.*is_trainable"):
        JPTForTokenClassification.from_pretrained(tmp_path / "parts")
    loaded = JPTForTokenClassification.from_pretrained(tmp_path / "parts", is_trainable=True)
    assert_same(read(loaded), read(model))


# ---- quantized backbones --------------------------------------------------------------------------------------------


def test_a_quantized_backbone_keeps_its_adapters_apart(tmp_path):
    folder = save_backbone(tmp_path / "quantized")
    quantization = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
    (tmp_path / "quantized" / "config.json").write_text(
        json.dumps(config_of(folder) | {"quantization_config": quantization})
    )
    model = tiny_model(folder)
    model.save_pretrained(tmp_path / "parts")
    assert tensors(tmp_path / "parts").keys() == {name for name, p in model.named_parameters() if p.requires_grad}

    for is_trainable in (False, True):
        loaded = JPTForTokenClassification.from_pretrained(tmp_path / "parts", is_trainable=is_trainable)
        assert type(loaded.model.layers[0].mlp.up_proj).__name__ == "AutoBitLinear"
        assert any(".lora_" in name for name in loaded.state_dict())
        assert any(parameter.requires_grad for parameter in loaded.parameters()) == is_trainable
        assert_same(read(loaded), read(model), tolerance=1e-2)  # its activations are rounded to 8 bits
        with pytest.raises(ValueError, match="quantized"):
            loaded.merge_lora()
    loaded.save_pretrained(tmp_path / "again")
    assert tensors(tmp_path / "again").keys() == tensors(tmp_path / "parts").keys()


# ---- fewer layers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_model_of_the_first_layers_loads_in_both_forms(family, tmp_path):
    source = save_backbone(tmp_path / "backbone", family, num_hidden_layers=3)
    model = tiny_model(source, backbone_layers=2, type_embedding="both")
    assert len(model.model.layers) == kept_layers(model) == 2
    model.save_pretrained(tmp_path / "parts")
    loaded = JPTForTokenClassification.from_pretrained(tmp_path / "parts", dtype=torch.float32)
    loaded.save_pretrained(tmp_path / "whole")
    whole = JPTForTokenClassification.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    for other in (loaded, whole):
        assert kept_layers(other) == 2
        for found, expected in zip(read(other), read(model), strict=True):
            for one, reference in zip(found, expected, strict=True):
                torch.testing.assert_close(one, reference, atol=1e-4, rtol=1e-4)


def kept_layers(model) -> int:
    return model.config.get_text_config().num_hidden_layers


# ---- values that were tampered with ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_length": "x"}, "window_length: expected int, got 'x'"),
        ({"window_length": True}, "window_length: expected int, got True"),
        ({"window_length": 0, "window_overlap": 0}, "`window_length`: expected a number from 1"),
        ({"separator_ids": None}, "`separator_ids`: expected token ids from 0 to 319, got None"),
        ({"separator_ids": [10**9]}, "`separator_ids`: expected token ids"),
        ({"separator_ids": [-1]}, "`separator_ids`: expected token ids"),
        ({"separator_ids": ["a"]}, "separator_ids: expected list"),
        ({"projection_size": 10**9}, "`projection_size`: expected a number from 1 to 16384"),
        ({"projection_size": -1}, "`projection_size`: expected a number from 1"),
        ({"projection_hidden_sizes": [10**9]}, "`projection_hidden_sizes`: expected a number from 1"),
        ({"projection_hidden_sizes": [8] * 99}, "`projection_hidden_sizes`: expected up to 8 numbers"),
        ({"outside_bias": "x"}, "outside_bias: expected float, got 'x'"),
        ({"outside_bias": float("nan")}, "outside_bias: expected float, got nan"),
        ({"entity_types": {"a": 1}}, "entity_types: expected dict"),
        ({"text_config": 5}, "text_config: expected dict"),
        ({"text_config": {"model_type": "llama", "hidden_size": "x"}}, "the config cannot be used: .*hidden_size"),
        ({"text_config": {"model_type": "llama", "dtype": "os"}}, "`text_config: dtype` must be the name of a dtype"),
        ({"dtype": "nope"}, "`dtype` must be the name of a dtype such as float32, got 'nope'"),
        ({"dtype": "os"}, "`dtype` must be the name of a dtype"),
    ],
    ids=str,
)
def test_values_that_no_model_has_are_named(whole, tmp_path, values, message):
    (tmp_path / "config.json").write_text(json.dumps({**config_of(whole), **values}))
    with pytest.raises(ValueError, match=message):
        JPTForTokenClassification.from_pretrained(tmp_path)


def test_whole_numbers_are_numbers(whole, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**config_of(whole), "switch_cost": 2, "outside_bias": 0}))
    assert JPTConfig.from_pretrained(tmp_path).switch_cost == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "[]", "config.json: expected an object of keys and values, got a list"),
        ("config.json", "[" * 100_000, "config.json: broken JSON"),
        ("config.json", "{", "config.json: broken JSON"),
        ("tokenizer.json", "{}", "the tokenizer of .* cannot be read"),
        ("tokenizer.json", "[" * 100_000, "the tokenizer of .* cannot be read"),
    ],
)
def test_files_that_were_damaged_are_named(whole, tmp_path, name, content, message):
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    tiny_tokenizer().save_pretrained(folder)
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_pipeline(str(folder), device="cpu")
