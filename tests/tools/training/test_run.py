"""Training groups and runs: prompts, labels, and that a run can be stopped anywhere."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from jpt_ner.configuration_jpt import JPTConfig
from jpt_ner.inputs_jpt import OUTSIDE_DEFINITION, encode_texts
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.spans_jpt import decode_spans
from jpt_ner.tools.data.records import Entity, Record, TypeInfo, write_records
from jpt_ner.tools.evaluation.evaluate import evaluate, load_dataset
from jpt_ner.tools.training.augmentation import coarsen, space_words
from jpt_ner.tools.training.development import DevelopmentScorer
from jpt_ner.tools.training.recipe import load_recipe
from jpt_ner.tools.training.resuming import last_whole_checkpoint
from jpt_ner.tools.training.run import build_model, make_optimizer, save_trained_parts, train
from jpt_ner.tools.training.sampling import GroupCollator, MixtureSource, Sampling, TrainingGroups
from safetensors.torch import load_file
from tensorboard.backend.event_processing import event_accumulator
from tiny import save_backbone, tiny_tokenizer
from transformers import TrainerCallback, TrainingArguments

PLAIN = {"name_only": 0, "shortened": 0, "generic": 0, "renamed": 0, "anonymous": 0, "lowercase": 0, "spaced": 0}
COMPACT = JPTConfig(prompt_template="compact")
PEOPLE, PLACES = ["Angela Merkel", "Bob", "Ada Lovelace", "Li"], ["Paris", "New York", "Rome", "Bad Ems"]
TYPES = {
    "PER": TypeInfo("person", "A named person, real or invented.", "A person"),
    "LOC": TypeInfo("place", "A named place: city, country or mountain.", "A place"),
    "ORG": TypeInfo("organisation", "A company, party or institution by name."),
    "TIME": TypeInfo("time of day", "A time of day; not a date."),
}


def make_records(number: int, seed: int = 0) -> list[Record]:
    rng = random.Random(seed)
    records = []
    for i in range(number):
        text, entities = "", []
        for words, label in ((PEOPLE, "PER"), (["visited", "left", "loves"], None), (PLACES, "LOC")):
            word = rng.choice(words)
            if label:
                entities.append(Entity(len(text), len(text) + len(word), label))
            text += word + " "
        records.append(Record(f"r{i}", text.strip() + rng.choice([".", "!", ", (again)."]), entities))
    return records


TOKENIZER = tiny_tokenizer()


def make_groups(sources, length=20, seed=0, **sampling) -> TrainingGroups:
    return TrainingGroups(sources, length, TOKENIZER, COMPACT, Sampling(seed=seed, **{**PLAIN, **sampling}))


def source(records=None, types=TYPES, name="a", weight=1.0, **options) -> MixtureSource:
    return MixtureSource(name, make_records(30) if records is None else records, types, weight, **options)


def equal(one: dict, other: dict) -> bool:
    texts = zip(one["texts"], other["texts"], strict=True)
    return all(one[key] == other[key] for key in one if key != "texts") and all(
        np.array_equal(a, b) for pair in texts for a, b in zip(*pair, strict=True)
    )


def asked_names(group: dict) -> list[str]:
    """The names that the prompt asks for, in order."""
    prompt = TOKENIZER.decode(group["prompt_input_ids"])
    return [line.split('"')[1] for line in prompt.splitlines() if line.startswith('- "')]


# ---- the plan -------------------------------------------------------------------------------------------------------


def test_the_plan_begins_the_same_however_long_it_is():
    """So that a run may be continued beyond the end that it was planned with."""
    sources = [source(), source(make_records(9, 1), name="b", weight=0.5)]
    short, long = make_groups(sources, 15, **{"renamed": 0.5}), make_groups(sources, 90, **{"renamed": 0.5})
    assert long.plan[:15] == short.plan
    assert all(equal(one, other) for one, other in zip(map(short.__getitem__, range(15)), islice(long, 15)))


def test_seeds_fix_the_groups():
    sampling = {"renamed": 0.5, "lowercase": 0.5, "spaced": 0.5, "anonymous": 0.3}
    one, same, other = (make_groups([source()], 12, seed, **sampling) for seed in (3, 3, 4))
    assert all(equal(one[i], same[i]) for i in range(12))
    assert one.plan != other.plan and not all(equal(one[i], other[i]) for i in range(12))
    assert equal(one[5], one[5])  # in any order and any number of times


def test_every_record_is_seen_once_an_epoch():
    groups = make_groups([source()], 200)
    seen = []
    for _, members, _ in groups.plan:
        seen += members
        if len(seen) >= 30:
            break
    assert sorted(seen) == list(range(30))


def test_weights_are_shares_of_groups():
    groups = make_groups([source(weight=3.0), source(name="b")], 600)
    assert sum(chosen == 0 for chosen, _, _ in groups.plan) / 600 == pytest.approx(0.75, abs=0.07)


def test_groups_hold_no_more_than_asked():
    for limits, most in (({"max_group_texts": 4}, 4), ({"group_tokens": 65}, 4), ({"group_tokens": 1}, 1)):
        assert max(len(members) for _, members, _ in make_groups([source()], 40, **limits).plan) == most


def test_a_share_of_the_groups_is_read_openly_and_holds_more_texts():
    sampling = Sampling(seed=1, **PLAIN, open_reading=0.5, group_tokens=100)
    groups = TrainingGroups(
        [source(make_records(60))],
        200,
        TOKENIZER,
        JPTConfig(prompt_template="compact", readings=["twice", "open"]),
        sampling,
    )
    texts = {
        reading: [len(members) for _, members, each in groups.plan if each == reading]
        for reading in groups.config.readings
    }
    assert len(texts["open"]) == pytest.approx(100, abs=25) and np.mean(texts["open"]) > 1.4 * np.mean(texts["twice"])
    assert {groups[i]["reading"] for i in range(20)} == {"twice", "open"}
    with pytest.raises(ValueError, match="^sampling: open_reading: the model's `readings` have no 'open'"):
        TrainingGroups([source()], 1, TOKENIZER, COMPACT, sampling)


def test_a_share_of_the_prompts_has_names_alone_beside_embedded_definitions():
    groups, mixed = make_groups([source()], 200), make_groups([source()], 200, names_in_prompt=0.5)
    shortened = 0
    for whole, drawn in zip(map(groups.__getitem__, range(200)), map(mixed.__getitem__, range(200)), strict=True):
        assert asked_names(whole) == asked_names(drawn) and whole["definitions"] == drawn["definitions"]
        if len(drawn["prompt_input_ids"]) < len(whole["prompt_input_ids"]):
            shortened += 1
            prompt = TOKENIZER.decode(drawn["prompt_input_ids"])
            assert not any(text.split(": ")[1] in prompt for (text,) in drawn["definitions"][1:])
        else:
            assert equal(whole, drawn)
    assert shortened == pytest.approx(100, abs=25)


# ---- prompts --------------------------------------------------------------------------------------------------------


def read_back(group: dict, texts: dict[tuple, str]) -> list[tuple[str, str]]:
    """Surface and asked name of every span that the labels of a group stand for."""
    names, found = asked_names(group), []
    for ids, labels, _ in group["texts"]:
        text = texts[tuple(ids)]
        offsets = encode_texts(TOKENIZER, [text])[0].offsets
        for span in decode_spans(text, offsets, np.eye(1 + len(names))[labels], rule="token"):
            found.append((text[span.start : span.end], names[span.type_index]))
    return found


def test_labels_read_back_as_the_entities_of_the_types_asked():
    records = make_records(30)
    texts = {tuple(encode_texts(TOKENIZER, [record.text])[0].input_ids): record.text for record in records}
    groups = make_groups([source(records)], 30, min_types=1, max_types=3)
    sizes = set()
    for (_, members, _), group in zip(groups.plan, groups, strict=True):
        names = asked_names(group)
        sizes.add(len(names))
        assert len(names) == len(set(names)) == len(group["type_positions"])
        expected = [
            (records[i].text[each.start : each.end], TYPES[each.label].name)
            for i in members
            for each in records[i].entities
            if TYPES[each.label].name in names
        ]
        assert sorted(read_back(group, texts)) == sorted(expected)
        definitions = {info.name: f"{info.name}: {info.definition}" for info in TYPES.values()}
        assert group["definitions"] == [(OUTSIDE_DEFINITION,), *((definitions[name],) for name in names)]
    assert sizes == {1, 2, 3}


def test_types_come_in_every_order_and_some_do_not_occur():
    groups = list(make_groups([source()], 60))
    orders = {tuple(asked_names(group)) for group in groups}
    assert len(orders) > 20
    assert {name for order in orders for name in order} == {info.name for info in TYPES.values()}
    full = [order for order in orders if len(order) == 4]
    assert full and all({"organisation", "time of day"} < set(order) for order in full)


def test_only_types_that_a_record_was_annotated_for_are_asked_of_it():
    """Types that were not annotated are not negative examples."""
    records = make_records(24)
    for record in records[:12]:
        record.labels = ["PER", "ORG"]
        record.entities = [each for each in record.entities if each.label == "PER"]
    for record in records[20:]:
        record.types = {"PER": "Whoever acts.", "verb": "A word of action."}
        record.entities = [each for each in record.entities if each.label == "PER"]
    records[20].labels = ["verb"]
    records[20].entities = []
    groups = make_groups([source(records)], 60, min_types=1)
    kinds = set()
    for (_, members, _), group in zip(groups.plan, groups, strict=True):
        allowed = {
            frozenset(
                {"verb"}
                if i == 20
                else {"PER", "verb"}
                if i > 20
                else {"person", "organisation"}
                if i < 12
                else {info.name for info in TYPES.values()}
            )
            for i in members
        }
        assert len(allowed) == 1
        kinds |= allowed
        assert set(asked_names(group)) <= next(iter(allowed))
    assert len(kinds) == 4


def test_records_of_which_nothing_may_be_asked_are_left_out():
    records = make_records(6)
    records[2] = replace(records[2], labels=[], entities=[])
    groups = make_groups([source(records)], 20)
    assert {i for _, members, _ in groups.plan for i in members} == {0, 1, 3, 4, 5}
    with pytest.raises(ValueError, match="a: no record"):
        source([records[2]])


def test_records_without_types_are_refused():
    with pytest.raises(ValueError, match="'r0' has no types"):
        source(types=None)


def test_wordings():
    """Each alone; the definition encoder gets the same names and definitions as the prompt."""

    def first(**sampling):
        group = make_groups([source()], 40, min_types=4, **sampling)[7]
        pairs = dict(text.split(": ", 1) for (text,) in group["definitions"][1:])
        prompt = TOKENIZER.decode(group["prompt_input_ids"])
        assert all(f'": "{definition}"' in prompt for definition in pairs.values())
        return asked_names(group), pairs

    full = {info.name: info.definition for info in TYPES.values()}
    names, pairs = first()
    assert pairs == full and set(names) == set(full)
    assert first(name_only=1)[1] == {name: name for name in full}
    assert first(shortened=1)[1] == {
        "person": "A named person",
        "place": "A named place",
        "organisation": "A company",
        "time of day": "A time of day",
    }
    assert first(generic=1)[1] == full | {"person": "A person", "place": "A place"}
    names, pairs = first(anonymous=1)
    assert all(name.startswith("type ") for name in names) and list(pairs) == names
    assert set(pairs.values()) == set(full.values())
    names, pairs = first(renamed=1)
    assert pairs == full and not set(names) <= set(full)
    assert [name.replace("_", "").replace(" ", "").casefold() for name in names] == [
        name.replace(" ", "").casefold() for name in pairs
    ]


def test_sources_may_keep_their_wording():
    """For texts under several schemas: without their definitions, the same question would have several answers."""
    shortened = {"name_only": 0.4, "shortened": 0.3, "generic": 0.3, "names_in_prompt": 0.5, "anonymous": 0.3}
    full = {info.definition for info in TYPES.values()}
    groups = make_groups([source(keep_wording=True)], 40, min_types=4, **shortened)
    for group in map(groups.__getitem__, range(40)):
        assert {text.split(": ", 1)[1] for (text,) in group["definitions"][1:]} == full
        prompt = TOKENIZER.decode(group["prompt_input_ids"])
        assert all(definition in prompt for definition in full)


# ---- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Bob, (again).", "It's Bob's.", "a  b\tc", "Héloïse-Marie 3,5 %", "東京へ行く。"])
def test_spaced_texts_keep_the_surface_of_entities(text):
    changed = 0
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            spaced, entities = space_words(text, [Entity(start, end, "X")])
            surface = spaced[entities[0].start : entities[0].end]
            assert "".join(surface.split()) == "".join(text[start:end].split())
            changed += spaced != text
    assert changed


def test_spaced_texts_are_words_and_marks_with_single_blanks():
    text = "Angela Merkel left Paris, (again)."
    spaced, entities = space_words(text, [Entity(0, 13, "PER"), Entity(19, 24, "LOC")])
    assert spaced == "Angela Merkel left Paris , ( again ) ."
    assert [spaced[each.start : each.end] for each in entities] == ["Angela Merkel", "Paris"]
    assert space_words(text, [Entity(1, 13, "PER")]) == (text, [Entity(1, 13, "PER")])  # no whole word


def test_restyled_texts_label_the_same_words():
    records = [*make_records(10), Record("x", "İzmir and Rome", [Entity(0, 5, "LOC"), Entity(10, 14, "LOC")])]
    for restyle in ({"spaced": 1}, {"lowercase": 1}, {"spaced": 1, "lowercase": 1}, {"uppercase": 1}):
        groups = make_groups([source(records)], 12, min_types=4, **restyle)
        for (_, members, _), group in zip(groups.plan, groups, strict=True):
            for i, (ids, labels, _) in zip(members, group["texts"], strict=True):
                words, before = [], 0
                for index, label in zip(ids, labels, strict=True):
                    if label and label != before:
                        words.append("")
                    if label:
                        words[-1] += TOKENIZER.decode([index])
                    before = label
                surfaces = [records[i].text[each.start : each.end] for each in records[i].entities]
                if i != 10:
                    assert [word.strip().casefold() for word in words] == [text.casefold() for text in surfaces]
                    text = TOKENIZER.decode(ids)
                    assert ("lowercase" in restyle) == (text == text.lower())
                    assert ("uppercase" in restyle) == (text == text.upper())
                    assert ("spaced" in restyle) == (text[-2] == " ")


def test_of_long_texts_a_piece_is_read_that_cuts_no_mention():
    text = "".join(f"word{i} and Angela Merkel. " for i in range(12))
    starts = [i for i in range(len(text)) if text.startswith("Angela", i)]
    record = Record("x", text, [Entity(start, start + 13, "PER") for start in starts])
    whole_ids, whole_labels, _ = make_groups([source([record])], 1, min_types=4, max_text_tokens=5000)[0]["texts"][0]
    mention = int((np.diff(np.flatnonzero(np.diff(whole_labels, prepend=0, append=0)))[::2]).max())
    seen = np.zeros(len(whole_ids), int)
    for index in range(40):
        groups = make_groups([source([record])], 40, min_types=4, max_text_tokens=60)
        ids, labels, _ = groups[index]["texts"][0]
        assert 60 - 15 - 2 * mention <= len(ids) <= 60 or ids[-1] == whole_ids[-1]
        place = next(i for i in range(len(whole_ids)) if np.array_equal(whole_ids[i : i + len(ids)], ids))
        assert np.array_equal(labels > 0, whole_labels[place : place + len(ids)] > 0)
        before, after = place, place + len(ids)
        assert not (before and whole_labels[before - 1] and whole_labels[before])
        assert not (after < len(whole_ids) and whole_labels[after - 1] and whole_labels[after])
        seen[place : place + len(ids)] += 1
    assert (seen > 0).all()  # in time, all of the text


def test_collator_keeps_everything_apart(encoder):
    groups = make_groups([source()], 4, min_types=1, max_group_texts=3)
    items = [
        groups[0],
        {
            **groups[1],
            "texts": [groups[1]["texts"][0], (np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4), np.int8))],
        },
    ]
    batch = GroupCollator(encoder)(items)
    row = 0
    for prompt, item in enumerate(items):
        kept = batch["prompt_attention_mask"][prompt].bool()
        assert batch["prompt_input_ids"][prompt][kept].tolist() == item["prompt_input_ids"]
        count = len(item["type_positions"])
        assert batch["type_positions"][prompt].tolist()[:count] == item["type_positions"]
        assert (batch["type_positions"][prompt][count:] == -1).all()
        vectors = torch.from_numpy(encoder.encode([text for (text,) in item["definitions"]]))
        assert torch.equal(batch["definition_embeddings"][prompt][: 1 + count], vectors)
        for ids, labels, tags in item["texts"]:
            if len(ids):
                kept = batch["attention_mask"][row].bool()
                assert batch["input_ids"][row][kept].tolist() == ids.tolist()
                assert batch["labels"][row][kept].tolist() == labels.tolist()
                assert (batch["labels"][row][~kept] == -100).all()
                assert batch["type_tags"][row][kept][:, :count].tolist() == tags.tolist()
                assert ((tags > 0).any(1) == (labels > 0)).all()
                assert batch["prompt_index"][row] == prompt
                row += 1
    assert row == len(batch["input_ids"])


# ---- runs -----------------------------------------------------------------------------------------------------------


class Endpoint(BaseHTTPRequestHandler):
    """A definition encoder for runs: an embeddings endpoint on this machine, vectors from a hash of the text."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [
            {"index": i, "embedding": [byte / 128 - 1 for byte in hashlib.sha256(text.encode()).digest()[:8]]}
            for i, text in enumerate(request["input"])
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": data}).encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture
def write_recipe(tmp_path, backbone, endpoint, monkeypatch):
    """Writes a recipe with the values given, nested keys joined by dots, and reads it."""
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    data = tmp_path / "data"
    data.mkdir()
    lines = [json.dumps(record.to_dict()) for record in make_records(24)]
    (data / "records.jsonl").write_text("\n".join(lines))
    types = {label: {"name": info.name, "definition": info.definition} for label, info in TYPES.items()}
    (data / "types.json").write_text(json.dumps(types))
    values = {
        "backbone": backbone,
        "output_dir": str(tmp_path / "run"),
        "data_root": str(data),
        "data": [{"path": "records.jsonl"}],
        "load_options": {"dtype": "float32"},
        "model": {
            "prompt_template": "compact",
            "definition_encoder": "openai:hash",
            "definition_encoder_size": 8,
            "type_embedding": "both",
            "projection_hidden_sizes": [32],
            "projection_size": 16,
            "lora_rank": 2,
            "lora_alpha": 4,
            "lora_dropout": 0.1,
        },
        "sampling": {"max_group_texts": 3},
        "training": {
            "max_steps": 6,
            "per_device_train_batch_size": 2,
            "learning_rate": 0.005,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
            "use_cpu": True,
            "logging_steps": 1,
            "save_steps": 3,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 5,
        },
    }

    def write(**changes):
        recipe = json.loads(json.dumps(values))
        for key, value in changes.items():
            *parents, last = key.split("__")
            target = recipe
            for parent in parents:
                target = target[parent]
            target[last] = value
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write


class Log(TrainerCallback):
    """Losses by step; stops after `last` steps, as if the machine had been switched off."""

    def __init__(self, last: int | None = None):
        self.losses: dict[int, float] = {}
        self.last = last

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.losses[state.global_step] = logs["loss"]

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.last:
            control.should_training_stop = True


def run(path: Path, last: int | None = None, **overrides) -> tuple[Path, dict[int, float]]:
    log = Log(last)
    folder = train(load_recipe(path, overrides), [log])
    return folder, log.losses


def test_loss_falls_and_the_trained_model_loads(write_recipe):
    path = write_recipe(
        training__max_steps=20,
        training__learning_rate=0.01,
        head_learning_rate=0.02,
        sampling=PLAIN,
    )
    folder, losses = run(path)
    losses = [losses[step] for step in range(1, 21)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])

    model = JPTForTokenClassification.from_pretrained(folder)
    assert model.config.definition_encoder == "openai:hash"
    assert {path.suffix for path in folder.iterdir()} & {".bin", ".pt", ".pth"} == set()
    assert (folder / "tokenizer.json").is_file()
    names = load_file(folder / "model.safetensors").keys()
    assert all(".lora_" in name or name.startswith("head.") for name in names)


def test_a_stopped_run_goes_on_exactly(write_recipe, tmp_path):
    path = write_recipe()
    _, expected = run(path, output_dir=str(tmp_path / "straight"))

    stopped = tmp_path / "stopped"
    run(path, last=3, output_dir=str(stopped))
    assert not (stopped / "checkpoint-6").exists()
    # The machine went off while the next checkpoint was being written.
    shutil.copytree(stopped / "checkpoint-3", stopped / "checkpoint-5")
    (stopped / "checkpoint-5" / "trainer_state.json").unlink()
    (stopped / "checkpoint-5" / "optimizer.pt").write_bytes(b"")
    _, losses = run(path, output_dir=str(stopped))

    assert losses == {step: loss for step, loss in expected.items() if step > 3}
    one, other = (
        load_file(tmp_path / name / "checkpoint-6" / "model.safetensors") for name in ("straight", "stopped")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_run_goes_on_exactly(write_recipe, tmp_path):
    """Killed at whatever it was doing, and started again by the same command."""
    path = write_recipe(training__max_steps=30)
    _, expected = run(path, output_dir=str(tmp_path / "straight"))
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "jpt_ner.tools.cli", "train", str(path), f"output_dir={killed}"]
    # Another number of threads would take sums in another order.
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=threads) as process:
        while last_whole_checkpoint(killed) is None and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    start = last_whole_checkpoint(killed)
    assert start is not None and not (killed / "final").exists()
    _, losses = run(path, output_dir=str(killed))
    step = int(start.name.removeprefix("checkpoint-"))
    assert losses == pytest.approx({number: loss for number, loss in expected.items() if number > step}, rel=1e-3)


def test_a_folder_is_that_of_one_run(write_recipe, tmp_path, capsys):
    """Another recipe or other data would continue from unrelated weights and be reported as trained."""
    path = write_recipe()
    folder, _ = run(path)
    weights = (folder / "model.safetensors").read_bytes()
    for changes, message in (
        ({"training__learning_rate": 0.001}, "training: learning_rate was 0.005, and is 0.001 now"),
        ({"sampling": PLAIN}, "sampling: anonymous was 0.06, and is 0 now"),
        ({"training__per_device_train_batch_size": 1}, "groups_per_update was 2, and is 1 now"),
        ({"training__max_steps": 3}, "has made 6 updates already, got 3"),
        ({"data": [{"path": "records.jsonl", "families": True}]}, "data: 0: .* has changed. Choose another"),
    ):
        with pytest.raises(ValueError, match=message):
            run(write_recipe(**changes))
    records = load_recipe(path).find("records.jsonl")
    kept = records.read_text()
    records.write_text(kept + "\n" + json.dumps(Record("new", "Bob left", [Entity(0, 3, "PER")]).to_dict()))
    with pytest.raises(ValueError, match="output_dir: .* data: 0: .* has changed. Choose another"):
        run(path)
    records.write_text(kept)
    assert (folder / "model.safetensors").read_bytes() == weights
    capsys.readouterr()
    assert run(write_recipe(training__save_total_limit=3))[1] == {}
    assert "is finished; more `training.max_steps` would go on from update 6" in capsys.readouterr().err
    moved = tmp_path / "moved"
    shutil.move(folder.parent, moved)
    assert run(write_recipe(training__max_steps=7), output_dir=str(moved))[1].keys() == {7}


def test_a_run_that_cannot_be_resumed_is_not_overwritten(write_recipe, tmp_path):
    path = write_recipe(training__save_only_model=True)
    folder, _ = run(path)
    kept = {each: each.read_bytes() for each in folder.parent.glob("*/*.safetensors")}
    started = (folder.parent / "run.json").read_bytes()
    with pytest.raises(ValueError, match="^output_dir: .*checkpoint-6 has no whole optimizer.pt.* remove the folder"):
        run(path, **{"training.learning_rate": 0.001})
    assert {each: each.read_bytes() for each in kept} == kept and (folder.parent / "run.json").read_bytes() == started
    # The machine went off while the only checkpoint was being written: nothing is lost by starting again.
    for number in (3, 6):
        (folder.parent / f"checkpoint-{number}" / "trainer_state.json").unlink()
    assert len(run(path)[1]) == 6


def test_accumulated_batches_are_one_batch(write_recipe, tmp_path):
    weights = []
    for size, steps in ((4, 1), (1, 4)):
        path = write_recipe(
            training__per_device_train_batch_size=size,
            training__gradient_accumulation_steps=steps,
            training__max_steps=3,
            model__lora_dropout=0.0,
        )
        _, losses = run(path, output_dir=str(tmp_path / str(size)))
        weights.append((losses, load_file(tmp_path / str(size) / "checkpoint-3" / "model.safetensors")))
    (losses, one), (other_losses, other) = weights
    assert losses == pytest.approx(other_losses, rel=1e-3)
    del one["head.softmax_classifier.bias.bias"]  # The same for all types: its gradient is nothing but noise.
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


def test_training_goes_on_from_a_trained_model(write_recipe, tmp_path):
    folder, _ = run(write_recipe(training__max_steps=2))
    path = write_recipe(backbone=None, checkpoint=str(folder), model={}, entity_types={"x": "An x."})
    model, tokenizer = build_model(load_recipe(path))
    saved = load_file(folder / "model.safetensors")
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained.keys() == saved.keys()
    assert all(torch.equal(trained[name], tensor.float()) for name, tensor in saved.items())
    assert model.config.entity_types == {"x": "An x."} and tokenizer("x")["input_ids"]
    again, losses = run(path, output_dir=str(tmp_path / "again"), **{"training.max_steps": 2, "entity_types": "data"})
    assert len(losses) == 2
    kept = JPTForTokenClassification.from_pretrained(again).config.entity_types
    assert kept == {info.name: info.definition for info in TYPES.values()}


def test_half_precision_runs(write_recipe):
    evaluation = {"data": "records.jsonl", "every": 2, "limit": 5}
    path = write_recipe(training__bf16=True, training__max_steps=2, load_options={}, evaluation=evaluation)
    watch = Watch()
    folder = train(load_recipe(path), [watch])
    assert all(np.isfinite([entry["loss"] for entry in watch.history if "loss" in entry]))
    assert np.isfinite(watch.metrics[2]["eval_loss"]) and "eval_f1" in watch.metrics[2]
    kept = load_file(folder.parent / "checkpoint-2" / "model.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


def test_the_backbone_may_embed_the_definitions(write_recipe, tmp_path):
    path = write_recipe(
        model__definition_encoder="backbone",
        model__definition_encoder_size=32,
        model__switch_cost=0.5,
        training__max_steps=3,
        training__learning_rate=0.02,
        save_dtype="float32",
        evaluation={"data": "records.jsonl", "every": 2},
    )
    watch = Watch()
    folder = train(load_recipe(path), [watch])
    assert JPTForTokenClassification.from_pretrained(folder).config.definition_encoder == "backbone"
    # Vectors as of the weights of that update, not of an earlier one.
    assert watch.metrics[3]["eval_f1"] == scored_as_users_would(folder, tmp_path / "data" / "records.jsonl")


def test_head_and_adapters_have_their_own_learning_rates(write_recipe, tmp_path):
    recipe = load_recipe(write_recipe(head_learning_rate=0.1))
    model, _ = build_model(recipe)
    optimizer, _ = make_optimizer(model, recipe, TrainingArguments(str(tmp_path), **recipe.training))
    rates = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        expected = 0.1 if name.startswith("head.") else 0.005 if ".lora_" in name else None
        assert rates.pop(id(parameter), None) == expected, name
    assert not rates


def test_definitions_that_the_backbone_embeds_follow_its_weights(make_model):
    """Vectors kept from the first step would not be those that the trained model is given."""
    from jpt_ner.definitions_jpt import build_definition_encoder

    model = make_model()
    collator = GroupCollator(build_definition_encoder("backbone", backbone=model.model, tokenizer=TOKENIZER))
    group = make_groups([source()], 1)[0]
    before = collator([group])["definition_embeddings"]
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "lora_B" in name).add_(1.0)
    assert not torch.equal(collator([group])["definition_embeddings"], before)


# ---- evaluation while training -------------------------------------------------------------------------------------


@pytest.fixture
def development(tmp_path):
    """Two sets to be scored on."""
    for name, seed in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        write_records(folder / "dev.jsonl", make_records(7, seed))
        types = {label: {"name": info.name, "definition": info.definition} for label, info in TYPES.items()}
        (folder / "types.json").write_text(json.dumps(types))
    entries = [str(tmp_path / "one" / "dev.jsonl"), {"path": str(tmp_path / "two" / "dev.jsonl"), "watch_only": True}]
    return {"evaluation.data": entries, "evaluation.every": 2}


class Watch(TrainerCallback):
    """The metrics of every evaluation, and whether the model is fit to be trained on at the update after it."""

    def __init__(self):
        self.metrics: dict[int, dict] = {}
        self.modes: list[tuple[bool, bool]] = []
        self.history: list[dict] = []

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        self.metrics[state.global_step] = metrics

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        apart = any(".lora_" in name and parameter.grad is not None for name, parameter in model.named_parameters())
        self.modes.append((model.training, apart))

    def on_train_end(self, args, state, control, **kwargs):
        self.history = state.log_history


def scored_as_users_would(folder: Path, path: str | Path) -> float:
    """Strict F1 of a saved model by the functions behind `jpt-ner evaluate`."""
    model = JPTForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    return evaluate(model.as_pipeline(TOKENIZER), load_dataset(path))[0].strict.f1


def test_development_f1_is_that_of_the_saved_models(write_recipe, development, tmp_path):
    """Scored with adapters apart, in the middle of training; the same to the last mention as the checkpoint alone."""
    path = write_recipe(training__learning_rate=0.02, model__switch_cost=0.5, save_dtype="float32")
    watch = Watch()
    overrides = {**development, "training.save_steps": 2, "training.max_steps": 5}
    folder = train(load_recipe(path, overrides), [watch])
    assert sorted(watch.metrics) == [2, 4, 5]  # the last one, too
    assert watch.modes == [(True, True)] * 5
    one, two = (str(tmp_path / name / "dev.jsonl") for name in ("one", "two"))
    for step, metrics in watch.metrics.items():
        checkpoint = folder if step == 5 else folder.parent / f"checkpoint-{step}"
        assert metrics["eval_f1_one-dev"] == metrics["eval_f1"] == scored_as_users_would(checkpoint, one)
        assert metrics["eval_f1_two-dev"] == scored_as_users_would(checkpoint, two)
        assert 0 <= metrics["eval_typing"] <= 1 and metrics["eval_loss"] > 0
    assert any(metrics["eval_f1_two-dev"] != metrics["eval_f1"] for metrics in watch.metrics.values())


def test_evaluation_leaves_training_as_it_is(write_recipe, development, tmp_path):
    path = write_recipe(model__lora_dropout=0.0)
    _, expected = run(path, output_dir=str(tmp_path / "without"))
    _, losses = run(path, output_dir=str(tmp_path / "with"), **development, **{"evaluation.at_start": True})
    assert losses == expected


def test_curves_and_history_go_on_after_a_stop(write_recipe, development, tmp_path):
    path = write_recipe()
    overrides = {**development, "evaluation.every": 3, "evaluation.limit": 4, "training.report_to": "tensorboard"}
    straight, stopped = Watch(), Watch()
    train(load_recipe(path, {**overrides, "output_dir": str(tmp_path / "straight")}), [straight])
    run(path, last=3, output_dir=str(tmp_path / "stopped"), **overrides)
    curves = tmp_path / "stopped" / "curves.png"
    before = curves.read_bytes()
    assert before.startswith(b"\x89PNG")
    train(load_recipe(path, {**overrides, "output_dir": str(tmp_path / "stopped")}), [stopped])
    timings = ("runtime", "per_second", "flos", "train_loss")
    one, other = (
        [{key: value for key, value in entry.items() if not key.endswith(timings)} for entry in watch.history]
        for watch in (straight, stopped)
    )
    assert one == other and [entry["step"] for entry in one if "eval_f1" in entry] == [3, 6]
    assert curves.read_bytes() != before and not list(curves.parent.glob(".*.tmp"))
    tags = set()
    for events in (tmp_path / "straight" / "runs").rglob("events*"):
        accumulator = event_accumulator.EventAccumulator(str(events)).Reload()
        tags |= set(accumulator.Tags()["scalars"])
    assert {"train/loss", "eval/loss", "eval/f1", "eval/f1_one-dev", "eval/f1_two-dev"} <= tags


def test_the_best_model_becomes_the_final_one(write_recipe, development, monkeypatch):
    """The second of three evaluations is made the best; its weights, not the last, are saved."""
    scores = iter([0.2, 0.9, 0.4])
    monkeypatch.setattr(DevelopmentScorer, "__call__", lambda self, _=None: {"f1": next(scores)})
    path = write_recipe(training__learning_rate=0.02, save_dtype="float32", training__save_total_limit=2)
    changes = {**development, "evaluation.best": True, "training.save_steps": 2}
    folder, _ = run(path, **changes)
    kept = {path.name for path in folder.parent.glob("checkpoint-*")}
    assert kept == {"checkpoint-4", "checkpoint-6"}
    best, last, final = (load_file(folder.parent / name / "model.safetensors") for name in (*sorted(kept), "final"))
    assert all(torch.equal(final[name], best[name]) for name in best)
    assert not all(torch.equal(final[name], last[name]) for name in last)


def test_the_best_model_is_found_in_a_folder_that_was_moved(write_recipe, development, tmp_path, monkeypatch):
    scores = iter([0.2, 0.9, 0.4])
    monkeypatch.setattr(DevelopmentScorer, "__call__", lambda self, _=None: {"f1": next(scores)})
    path = write_recipe(training__learning_rate=0.02, save_dtype="float32")
    changes = {**development, "evaluation.best": True}
    folder, _ = run(path, **changes)
    moved = tmp_path / "moved"
    shutil.move(folder.parent, moved)
    shutil.rmtree(moved / "final")
    assert run(path, output_dir=str(moved), **changes)[1] == {}
    best, final = (load_file(moved / name / "model.safetensors") for name in ("checkpoint-4", "final"))
    assert all(torch.equal(final[name], best[name]) for name in best)


def test_development_sets_that_are_not_there_are_named_before_the_model_is_built(write_recipe):
    recipe = load_recipe(write_recipe(backbone="nowhere/at-all"), {"evaluation.data": "gone.jsonl"})
    with pytest.raises(ValueError, match="evaluation: data: no such file: .*gone.jsonl"):
        train(recipe)


# ---- large backbones -----------------------------------------------------------------------------------------------


def test_activation_checkpointing_changes_nothing_but_memory(write_recipe, tmp_path):
    folder = save_backbone(tmp_path / "backbone", "qwen3", max_position_embeddings=4096)
    path = write_recipe(backbone=folder, model__lora_dropout=0.0, training__max_steps=3)
    _, expected = run(path, output_dir=str(tmp_path / "plain"))
    _, losses = run(path, output_dir=str(tmp_path / "less"), **{"training.activation_checkpointing": True})
    assert losses == pytest.approx(expected, rel=1e-5)


def test_a_quantised_backbone_stays_frozen_and_trains(write_recipe, tmp_path):
    """4-bit weights as the documentation gives them for JPT-8B."""
    pytest.importorskip("bitsandbytes", reason="quantised backbones need bitsandbytes")
    folder = save_backbone(tmp_path / "backbone", "qwen3", hidden_size=64, max_position_embeddings=4096)
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    quantised["bnb_4bit_compute_dtype"] = "bfloat16"
    path = write_recipe(
        backbone=folder,
        load_options={"quantization_config": quantised},
        training__bf16=True,
        training__activation_checkpointing=True,
        training__max_steps=20,
        training__learning_rate=0.01,
        sampling=PLAIN,
    )
    model, _ = build_model(load_recipe(path))
    weight = model.model.layers[0].self_attn.q_proj.base_layer.weight
    assert weight.dtype == torch.uint8 and not weight.requires_grad
    folder, losses = run(path)
    assert np.mean([losses[step] for step in range(16, 21)]) < 0.9 * np.mean([losses[step] for step in range(1, 6)])
    names = load_file(folder / "model.safetensors").keys()
    assert all(".lora_" in name or name.startswith("head.") for name in names)


def test_two_processes_train_as_one_that_accumulates(write_recipe, development, tmp_path):
    """Loss scaling, the order of groups, and evaluation in shares: started as users do, over gloo."""
    path = write_recipe(
        model__lora_dropout=0.0,
        model__switch_cost=0.5,
        training__per_device_train_batch_size=1,
        training__gradient_accumulation_steps=2,
        training__learning_rate=0.02,
        training__max_steps=4,
        training__save_steps=4,
        evaluation={"data": development["evaluation.data"], "every": 2},
    )
    alone = Watch()
    train(load_recipe(path, {"output_dir": str(tmp_path / "alone")}), [alone])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "jpt_ner.tools.cli", "train", str(path)]
    command += [f"output_dir={tmp_path / 'together'}", "training.gradient_accumulation_steps=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "find_unused_parameters" not in done.stderr
    assert done.stderr.count("mentions cannot be represented") == 1  # said once
    state = json.loads((tmp_path / "together" / "checkpoint-4" / "trainer_state.json").read_text())
    history = [each for each in state["log_history"] if "loss" in each or "eval_f1" in each]
    expected = [each for each in alone.history if "loss" in each or "eval_f1" in each]
    for one, other in zip(expected, history, strict=True):
        keys = one.keys() & {"loss", "grad_norm", "learning_rate", "eval_loss", "eval_detection", "eval_f1_two-dev"}
        assert {key: other[key] for key in keys} == pytest.approx({key: one[key] for key in keys}, rel=2e-3), one
    one, other = (load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("alone", "together"))
    del one["head.softmax_classifier.bias.bias"]  # The same for all types: its gradient is nothing but noise.
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=3e-4, rtol=2e-3, msg=name)


@pytest.mark.parametrize("type_embedding", ["definition", "prompt", "both"])
def test_every_trained_weight_takes_part_in_every_loss(make_model, encoder, type_embedding):
    """Why processes need not search for unused ones."""
    model = make_model(type_embedding=type_embedding).train()
    batch = GroupCollator(encoder)([make_groups([source()], 1)[0]])
    model(**batch).loss.backward()
    unused = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert not unused


def test_a_model_that_embeds_no_definitions_needs_no_encoder(write_recipe, monkeypatch):
    def build(*args, **kwargs):
        raise AssertionError("a definition encoder was built")

    monkeypatch.setattr("jpt_ner.tools.training.run.build_definition_encoder", build)
    path = write_recipe(
        model__type_embedding="prompt",
        training__max_steps=2,
        evaluation={"data": ["records.jsonl"], "every": 1, "limit": 2},
    )
    _, losses = run(path)
    assert set(losses) == {1, 2}


# ---- runs that break off --------------------------------------------------------------------------------------------


def test_a_full_disk_while_saving_costs_one_checkpoint(write_recipe, tmp_path, monkeypatch):
    """The optimizer's state is cut off in the second checkpoint: the run says so and resumes from the first."""
    path = write_recipe(training__save_steps=2)
    _, expected = run(path, output_dir=str(tmp_path / "straight"))
    save = torch.save

    def full(value, file, *args, **kwargs):
        if "checkpoint-4" in str(file) and str(file).endswith("optimizer.pt"):
            Path(file).write_bytes(b"PK")
            raise OSError(28, "No space left on device", str(file))
        save(value, file, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    broken = str(tmp_path / "broken")
    with pytest.raises(OSError, match="No space left"):
        run(path, output_dir=broken)
    monkeypatch.setattr(torch, "save", save)
    _, losses = run(path, output_dir=broken)
    assert losses == {step: loss for step, loss in expected.items() if step > 2}


def test_the_final_model_is_replaced_whole_or_not_at_all(write_recipe, monkeypatch):
    recipe = load_recipe(write_recipe())
    model, tokenizer = build_model(recipe)
    folder = Path(recipe.output_dir) / "final"
    save_trained_parts(model, tokenizer, folder, "bfloat16")
    before = (folder / "model.safetensors").read_bytes()
    (folder / "README.md").write_text("my card")
    save_trained_parts(model, tokenizer, folder, "float32")
    assert (folder / "README.md").read_text() == "my card"
    assert (folder / "model.safetensors").stat().st_size > 1.5 * len(before)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr(type(tokenizer), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        save_trained_parts(model, tokenizer, folder, "bfloat16")
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["final"]


def test_a_folder_with_the_run_of_another_model_is_refused(write_recipe):
    folder, _ = run(write_recipe(training__max_steps=3))
    for change, name in (({"model__lora_rank": 4}, "lora"), ({"model__lora_target_modules": ["q_proj"]}, "lora")):
        (folder.parent / "run.json").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=f"^output_dir: .*another architecture.*{name}"):
            run(write_recipe(**change))


# ---- coarse types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_general_type_takes_over_what_is_not_asked_for_by_itself(seed):
    kinds = ("person_actor", "person_politician", "person_athlete", "person_author", "person_other")
    types = {label: TypeInfo(label.replace("_", " "), f"A {label}.") for label in (*kinds, "place_city", "date")}
    record = Record("a", "abcdef", [Entity(i, i + 1, label) for i, label in enumerate((*kinds, "date"))])
    coarse, (changed,) = coarsen(types, [record], random.Random(seed))
    special = [label for label in kinds if label in coarse]
    assert len(special) <= 3 and {"person", "place_city", "date"} <= coarse.keys()
    assert set(coarse) == {"person", "place_city", "date", *special}
    for before, after in zip(record.entities, changed.entities, strict=True):
        assert (before.start, before.end) == (after.start, after.end)
        assert after.label == (before.label if before.label in coarse else "person")
    assert record.entities[0].label == "person_actor"  # the record itself stays as it was
    united = coarse["person"]
    for label in kinds:  # It says whom it stands for: "person" would make negatives of people nobody has marked.
        assert (types[label].name in united.definition) == (label not in special)
    assert united.name != "person"


# ---- joined and listed texts ----------------------------------------------------------------------------------------


def test_joined_and_listed_texts_mark_the_same_surfaces():
    records = make_records(40)
    surfaces = {(record.text[each.start : each.end], each.label) for record in records for each in record.entities}
    separators = set()
    for options in ({"joined": 0.5}, {"listed": 0.5}, {"joined": 0.3, "listed": 0.3, "lowercase": 0.3}):
        groups = make_groups([source(records)], 30, min_types=4, **options)
        for index in range(30):
            for text, entities in groups.draw(index).texts:
                for each in entities:
                    surface = text[each.start : each.end]
                    assert any(surface in (name, name.lower()) and each.label == label for name, label in surfaces)
                for one, other in pairwise(sorted(entities, key=lambda each: each.start)):
                    assert one.end < other.start
                    separators.add(text[one.end : other.start])
    assert {"\n", "\t", ", ", " and "} <= separators
    # A joined text keeps all mentions of its parts.
    whole = make_groups([source(records)], 30, min_types=4, joined=1.0).draw(0)
    plain = make_groups([source(records)], 30, min_types=4).draw(0)
    assert sum(len(entities) for _, entities in whole.texts) == sum(len(entities) for _, entities in plain.texts)
    assert len(whole.texts) < len(plain.texts)
