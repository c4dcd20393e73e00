"""The heat map of attention between both copies: its numbers by the formula, its files, and what is refused."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from jpt_ner.inputs_jpt import PromptStyle, build_prompt, encode_texts
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools import cli
from jpt_ner.tools.attention import MAX_TOKENS, attention_map, parse_layers
from naive import NaiveModel
from tiny import tiny_tokenizer
from typer.testing import CliRunner

TEXT = "Paris released a new album. 🙂"
SCHEMA = resolve_schema({"city": "A named town.", "artist": "A musician, singer or band."})
TYPES = ["-t", "city=A named town.", "-t", "artist=A musician, singer or band."]


@pytest.fixture(scope="module")
def pipe(make_pipeline):
    return make_pipeline(type_embedding="both")


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_model(type_embedding="prompt").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def rotated(states, position, theta=10000.0):
    """Pairs of dimensions (i, i + d/2) of one head at one position, turned by the angles of rotary embeddings."""
    half = len(states) // 2
    turned = torch.empty_like(states)
    for i in range(half):
        angle = torch.tensor(position / theta ** (i / half))
        turned[i] = states[i] * angle.cos() - states[i + half] * angle.sin()
        turned[i + half] = states[i + half] * angle.cos() + states[i] * angle.sin()
    return turned


@torch.no_grad()
def naive_weights(model, row, first, second):
    """Softmax of q·k / sqrt(d) over what precedes, pair by pair: the mean over heads, for each layer."""
    backbone = NaiveModel(model, "eager").backbone
    seen = {}
    for number, layer in enumerate(backbone.layers):
        for part in ("q_proj", "k_proj"):
            module = getattr(layer.self_attn, part)
            module.register_forward_hook(lambda m, i, output, key=(number, part): seen.update({key: output[0]}))
    backbone(torch.tensor(row)[None], use_cache=False)
    size, groups = 8, 2
    layers = []
    for number in range(len(backbone.layers)):
        query = seen[number, "q_proj"].unflatten(1, (-1, size))
        key = seen[number, "k_proj"].unflatten(1, (-1, size))
        weights = torch.zeros(len(second), len(first))
        for head in range(query.shape[1]):
            keys = torch.stack([rotated(key[place, head // groups], place) for place in range(len(row))])
            for i, place in enumerate(second):
                scores = keys[: place + 1] @ rotated(query[place, head], place) / size**0.5
                weights[i] += scores.softmax(0)[first] / query.shape[1]
        layers.append(weights.numpy())
    return layers


def test_weights_are_those_of_the_formula(pipe):
    model, tokenizer = pipe.jpt, pipe.tokenizer
    prompt = build_prompt(tokenizer, SCHEMA.names, SCHEMA.descriptions, PromptStyle.of(model.config)).input_ids
    ids = encode_texts(tokenizer, [TEXT])[0].input_ids.tolist()
    separator = list(model.config.separator_ids)
    first = range(len(prompt), len(prompt) + len(ids))
    second = range(first.stop + len(separator), first.stop + len(separator) + len(ids))
    layers = naive_weights(model, [*prompt, *ids, *separator, *ids], list(first), list(second))
    for chosen, expected in (("all", np.mean(layers, axis=0)), ("0", layers[0]), ("1", layers[1])):
        found = attention_map(pipe, TEXT, SCHEMA, chosen)
        assert found.weights.shape == (len(ids), len(ids))
        np.testing.assert_allclose(found.weights, expected, atol=2e-5)
    assert np.abs(layers[0] - layers[1]).max() > 1e-3
    strongest = attention_map(pipe, TEXT, SCHEMA).strongest()
    assert len(strongest) == len(ids) and all(0 <= weight <= 1 for *_, weight in strongest)


def test_layers_are_read_as_they_are_written():
    assert parse_layers("all", 4) == [0, 1, 2, 3]
    assert parse_layers("3, 0-1,1", 4) == [0, 1, 3]
    for wrong in ("", "4", "2-1", "-1", "a", "0,,1", "0-9"):
        with pytest.raises(ValueError, match="`layers` must be 'all' or layers from 0 to 3"):
            parse_layers(wrong, 4)


def test_what_has_no_such_map_is_refused(make_pipeline, pipe):
    with pytest.raises(ValueError, match='attn_implementation="jpt_packed"'):
        attention_map(make_pipeline(attention="eager"), TEXT, SCHEMA)
    with pytest.raises(ValueError, match="a JPT model that reads texts twice"):
        attention_map(make_pipeline(readings=["open"]), TEXT, SCHEMA)
    for text in ("", "word " * MAX_TOKENS):
        with pytest.raises(ValueError, match=f"`text` must have 1 to {MAX_TOKENS} tokens"):
            attention_map(pipe, text, SCHEMA)


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["attention", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_command_writes_numbers_pictures_and_lines(folder, tmp_path):
    pytest.importorskip("matplotlib")
    run(TEXT, *TYPES, "-m", folder, "--layers", "1", "-o", tmp_path / "new" / "map.json")
    written = json.loads((tmp_path / "new" / "map.json").read_text())
    assert written["layers"] == [1] and written["text"] == TEXT
    n = len(written["tokens"])
    assert [TEXT[start:end] for start, end in written["offsets"]] == written["tokens"]
    assert len(written["weights"]) == n and all(len(row) == n and sum(row) <= 1.0001 for row in written["weights"])
    text = "It costs $5 & <b>more</b> than $4."
    run(text, *TYPES, "-m", folder, "-o", tmp_path / "map.svg")
    assert ElementTree.parse(tmp_path / "map.svg").getroot().tag.endswith("svg")
    run(text, *TYPES, "-m", folder, "-o", tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    lines = run(TEXT, *TYPES, "-m", folder).stdout.splitlines()
    assert len(lines) == n and all(re.search(r"[01]\.\d{3}$", line) for line in lines)


def test_command_says_what_is_wrong(folder, tmp_path):
    assert "--output should name a file in .png, .svg, .json" in run(TEXT, "-o", tmp_path / "x.gif", code=2).stderr
    assert "the model has no types of its own" in run(TEXT, "-m", folder, code=2).stderr
    assert "`layers` must be" in run(TEXT, *TYPES, "-m", folder, "--layers", "7", code=2).stderr
    assert not list(tmp_path.iterdir())
