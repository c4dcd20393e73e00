"""The pipeline as an object: pickled, copied, hashed, compiled, with peft around its model, after training, streaming."""

import copy
import json
import multiprocessing
import pickle
import subprocess
import sys

import joblib
import pytest
import torch
from comparing import assert_same_entities
from jpt_ner import pipeline_jpt
from peft import LoraConfig, get_peft_model
from tiny import tiny_model, tiny_tokenizer
from transformers import TokenClassificationPipeline, pipeline

TEXT = "Angela Merkel visited Paris in May, said Bob Dylan."
TYPES = {"artist": "Who sings", "city": "Big town", "dish": "Food or drink"}
# Unpickles in a process that has imported nothing yet, and prints what the pipeline finds.
FRESH = "import json, pickle, sys; ner = pickle.load(open(sys.argv[1], 'rb')); print(json.dumps(ner(sys.argv[2])))"


@pytest.fixture
def own(make_pipeline):
    """A pipeline whose model may be changed, without anything else of this process in it."""
    pipe = make_pipeline({"entity_types": TYPES}, type_embedding="prompt", definition_encoder="backbone")
    pipe._given_encoder = pipe._definition_encoder = None
    return pipe


def read(job):
    ner, text = job
    return ner(text)


def test_pickled_and_copied(own):
    expected = own(TEXT)
    assert expected
    for other in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert_same_entities(other(TEXT), expected)
        assert other.model is not own.model
        assert other._read_prompts.keys() == own._read_prompts.keys()  # read by itself


def test_pickle_holds_no_caches(own):
    before, digest = pickle.dumps(own), joblib.hash(own)
    own([{"text": TEXT, "entity_types": [f"type {i}"]} for i in range(5)])
    assert len(pickle.dumps(own)) == len(before)
    assert joblib.hash(own) == digest


@pytest.mark.parametrize("loader", ["package", "hub"])
def test_pickles_of_both_loaders_open_in_fresh_processes(own, loader, tmp_path):
    if loader == "hub":
        own.save_pretrained(tmp_path / "saved")
        own = pipeline("jpt-ner", model=tmp_path / "saved", trust_remote_code=True, device="cpu", entity_types=TYPES)
        assert type(own).__module__.startswith("transformers_modules.")
    (tmp_path / "ner.pickle").write_bytes(pickle.dumps(own))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, tmp_path / "ner.pickle", TEXT], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert_same_entities(json.loads(done.stdout), own(TEXT))


def test_sent_to_a_spawned_process(own):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(read, [(own, TEXT)], chunksize=1)
    assert_same_entities(found, [own(TEXT)])


def test_cached_encoders_are_pickled_without_their_vectors(encoder, tmp_path):
    from jpt_ner.definitions_jpt import CachedEncoder

    cached = CachedEncoder(encoder, tmp_path / "vectors.sqlite")
    vectors = cached.encode(["a", "b"])
    copied = pickle.loads(pickle.dumps(cached))
    assert not copied._memory
    assert (copied.encode(["a", "b"]) == vectors).all()


def test_is_a_token_classification_pipeline(own):
    assert isinstance(own, TokenClassificationPipeline)
    own.check_model_type([])  # says nothing


@pytest.mark.parametrize("compiled", [torch.compile, lambda model: model.compile() or model])
def test_compiled_model_is_used_as_it_is(own, compiled):
    expected = own(TEXT)
    own.model = compiled(own.model)
    own.clear_cache()
    assert_same_entities(own(TEXT), expected)


def test_peft_model_in_place_of_the_model(make_model):
    model = make_model(type_embedding="prompt", definition_encoder="backbone", lora_rank=0, entity_types=TYPES)
    plain = model.as_pipeline(tiny_tokenizer())(TEXT)
    lora = LoraConfig(r=2, target_modules=["gate_proj"], init_lora_weights=False)
    adapted = get_peft_model(model, lora)
    ner = pipeline_jpt.JPTPipeline(model=adapted, tokenizer=tiny_tokenizer(), device="cpu")
    found = ner(TEXT)
    assert found != plain
    with adapted.disable_adapter():
        assert_same_entities(ner(TEXT), plain)
    assert_same_entities(ner(TEXT), found)
    assert_same_entities(pickle.loads(pickle.dumps(ner))(TEXT), found)
    merged = adapted.merge_and_unload().as_pipeline(tiny_tokenizer())
    assert [each["word"] for each in merged(TEXT)] == [each["word"] for each in found]


def test_other_models_are_refused(own):
    own.model = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="`model` must be a JPT model, or hold one, got Linear"):
        own.jpt  # noqa: B018


def test_training_is_noticed(own):
    """One step of any optimizer: prompts that were read before are read again."""
    before = own(TEXT)
    optimizer = torch.optim.AdamW([each for each in own.model.parameters() if each.requires_grad], lr=0.3)
    for each in own.model.parameters():
        if each.requires_grad:
            each.grad = torch.randn_like(each)
    optimizer.step()
    after = own(TEXT)
    assert after != before
    assert_same_entities(after, own.model.as_pipeline(own.tokenizer, entity_types=TYPES)(TEXT))


def test_the_model_stays_in_its_mode(make_pipeline):
    """A callback of a training may use the pipeline between two steps; dropout plays no part in what it finds."""
    ner = make_pipeline(lora_dropout=0.9, entity_types=TYPES)
    expected = ner(TEXT)
    ner.model.train()
    ner.model.head.eval()
    assert_same_entities(ner(TEXT), expected)
    assert ner.model.training and ner.model.model.training and not ner.model.head.training
    ner.clear_cache()
    assert_same_entities(ner(TEXT), expected)


def test_prompts_hold_what_is_counted(own):
    for number in range(4):
        own(TEXT, entity_types={f"artist {number}": "Who sings " * 20, "city": "Big town"})
    tensors = {}
    for prompt in own._read_prompts.values():
        parts = [prompt.encoded.input_ids, prompt.encoded.type_states, *sum(map(list, prompt.encoded.states), [])]
        tensors |= {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}
    assert len(tensors) > 8
    assert sum(tensors.values()) == pipeline_jpt.total_memory(own._read_prompts.values())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stream_is_read_ahead_as_documented(own, batch_size):
    asked = []

    def arriving():
        for number in range(100):
            asked.append(number)
            yield f"Message {number}"

    results = own(arriving(), batch_size=batch_size)
    next(results)
    assert len(asked) == (1 if batch_size == 1 else 8 * batch_size)
    next(results)
    assert len(asked) == (2 if batch_size == 1 else 8 * batch_size)


def test_thresholds_by_type(own, monkeypatch):
    monkeypatch.setattr("jpt_ner.entities_jpt.NESTED_PROBABILITY", 0.5)  # so that every type is found
    every = own(TEXT, threshold=0.0, nested=True)
    scores = {name: max(each["score"] for each in every if each["entity_group"] == name) for name in TYPES}
    name = max(scores, key=scores.get)
    found = own(TEXT, nested=True, threshold=dict.fromkeys(TYPES, 0.0) | {name: 1.0})
    assert_same_entities(found, [each for each in every if each["entity_group"] != name])
    # A call's threshold for a type takes precedence over the type's own.
    strict = {each: {"definition": words, "threshold": 1.0} for each, words in TYPES.items()}
    assert own(TEXT, entity_types=strict, nested=True) == []
    found = own(TEXT, entity_types=strict, nested=True, threshold={name: 0.0})
    assert_same_entities(found, [each for each in every if each["entity_group"] == name])
    reading = own.read(TEXT)
    assert own.decode(reading, threshold={name: 0.0}, nested=True) != []
    with pytest.raises(ValueError, match="`threshold` names 'town', which is none of the types: artist, city, dish"):
        own(TEXT, threshold={"town": 0.5})
    with pytest.raises(ValueError, match="`threshold` must be a number from 0 to 1, or a dict of such"):
        own(TEXT, threshold={"city": 2})


def test_thresholds_for_types_of_items_and_of_calls(own):
    """The model's default types say nothing of what is asked for instead."""
    item = {"text": TEXT, "entity_types": {"drug": "A medicine"}}
    assert own(item, threshold={"drug": 1.0}) == [] and own([item, TEXT], threshold={"drug": 1.0})[0] == []
    with pytest.raises(ValueError, match="names 'drug', which is none of the types"):
        own([TEXT, TEXT], threshold={"drug": 1.0})
    with pytest.raises(ValueError, match="names 'city', which is none of the types: drug"):
        own(TEXT, entity_types=["drug"], threshold={"city": 1.0})
    strict = own.model.as_pipeline(own.tokenizer, threshold={"city": 1.0}, definition_encoder=own.definition_encoder)
    assert strict(TEXT, entity_types=["drug"], threshold=None) is not None


def test_backbones_without_positions(tmp_path, encoder):
    """BLOOM has no longest sequence, and biases that packed attention does not know."""
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 320}
    from transformers import BloomConfig, BloomModel

    torch.manual_seed(0)
    BloomModel(BloomConfig(**sizes)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = tiny_model(
        str(tmp_path),
        attention="eager",
        max_length=2048,
        prompt_template="compact",
        definition_encoder="fake",
        lora_target_modules=["query_key_value"],
        window_length=64,
        window_overlap=8,
    )
    assert not hasattr(model.model.config, "max_position_embeddings")
    ner = model.as_pipeline(tiny_tokenizer(), definition_encoder=encoder)
    assert len(ner([TEXT, TEXT * 5], entity_types=TYPES)) == 2
