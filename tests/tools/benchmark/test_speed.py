"""The bench command: what it counts and computes against plain arithmetic, and that every section runs. No timings."""

import json
import mmap
import sys

import pytest
import torch
from jpt_ner.modeling_jpt import JPTForTokenClassification
from jpt_ner.tools.benchmark import bench, building, full, gliner_system, measuring, sections
from jpt_ner.tools.benchmark.bench import Bench
from jpt_ner.tools.benchmark.forced_generation import FORMATS, ForcedGeneration, causal_lm
from jpt_ner.tools.benchmark.full import cost_per_million
from jpt_ner.tools.benchmark.measuring import PeakMemory, Spread, Stopwatch, ratios, reading_operations, take_turns
from jpt_ner.tools.benchmark.speed import measure
from jpt_ner.tools.benchmark.systems import Encoder, parallel_system
from jpt_ner.tools.benchmark.texts import TYPES, bench_records, bench_types, generate_records, with_types
from jpt_ner.tools.data.records import Entity, Record
from tiny import tiny_tokenizer
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory):
    """A model folder with its tokenizer."""
    folder = tmp_path_factory.mktemp("bench") / "model"
    make_model(type_embedding="prompt").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def test_generated_records_hold_their_entities():
    records = generate_records(200)
    for record in records:
        for entity in record.entities:
            mention = record.text[entity.start : entity.end]
            assert mention.strip() == mention and mention[0].isalnum(), (mention, entity.label)
            assert entity.label in bench_types(9)
    words = sum(len(record.text.split()) for record in records) / len(records)
    assert 38 < words < 47  # CrossNER-Politics: 42.4
    assert records == generate_records(200)
    assert len({record.text for record in records}) > 190


def test_own_records_bring_their_types(tmp_path):
    row = {"id": "1", "text": "Rain in Bergen.", "entities": [{"start": 8, "end": 14, "label": "city"}]}
    rows = [{**row, "types": {"city": "A city."}}, {**row, "id": "2", "types": {"city": "A city.", "sea": "A sea."}}]
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    records, types = bench_records(file, 2)
    assert {record.id for record in records} == {"1", "2"}
    assert types == {"city": "A city.", "sea": "A sea."} and all(record.types == types for record in records)
    with pytest.raises(ValueError, match="2 records, but 3"):
        bench_records(file, 3)


def test_turns_are_interleaved():
    calls = []
    jobs = {name: lambda turn, name=name: calls.append((turn, name)) for name in "abc"}
    seconds = take_turns(jobs, 2)
    assert calls == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a")]
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2, "c": 2}
    # What a job says of its own time stands for what was measured.
    assert take_turns({"a": lambda turn: 7.5 + turn}, 2, show_progress=False) == {"a": [7.5, 8.5]}


def test_spread_and_ratios():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    # Turn by turn: the ratio of the medians would be 2.
    assert ratios([2.0, 20.0, 9.0], [1.0, 10.0, 3.0]).median == 2.0
    assert ratios([9.0, 4.0, 1.0], [3.0, 1.0, 1.0]).median == 3.0


def test_operations_are_those_that_pytorch_counts(make_model):
    """Of the plain way over the text behind the prompt, less what the last layer need not do for the first copy."""
    model = make_model().eval()
    model.merge_lora()
    prompt, text = 23, 17
    ids = torch.randint(3, 300, (prompt + 2 * text + 3,))
    model.model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        model.model(ids[None], use_cache=False)
    with torch.no_grad(), FlopCounterMode(display=False) as prompt_only:
        model.model(ids[None, :prompt], use_cache=False)
    # Eager attention multiplies the whole square; half of the text's own one is masked.
    doubled, width, depth = 2 * text + 3, 32, 2
    masked = 4 * width * depth * (prompt * doubled + doubled * (doubled - 1) / 2)
    plain = whole.get_total_flops() - prompt_only.get_total_flops() - masked
    weights = sum(m.weight.numel() for m in model.model.layers[0].modules() if isinstance(m, torch.nn.Linear))
    unread = doubled - text
    saved = 2 * weights * unread + 4 * width * (unread * prompt + unread * (unread + 1) / 2)
    assert reading_operations(model, prompt, text) == pytest.approx(plain - saved)


def test_peak_memory_sees_what_was_freed():
    memory = PeakMemory("cpu")
    memory.start()
    if memory.above() is None:
        pytest.skip("the system does not tell")
    # Pages of its own: a large tensor may be given memory that the process has had all along.
    with mmap.mmap(-1, 2**26) as block:
        block[:: mmap.PAGESIZE] = bytes(2**26 // mmap.PAGESIZE)
    assert 56e6 < memory.above() < 120e6
    memory.start()
    assert memory.above() < 30e6


def test_stopwatch_counts_classifier_and_decoding(pipe, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    with Stopwatch(pipe) as watch:
        pipe(["Paris in May.", "Rome."], entity_types=["city"])
    assert watch.seconds == 3  # one classifier, two decodings
    pipe("Rome.", entity_types=["city"])
    assert watch.seconds == 3
    assert "postprocess" not in vars(pipe)


@pytest.fixture(scope="module")
def plain(folder):
    return JPTForTokenClassification.from_pretrained(folder, attn_implementation="sdpa")


def test_forced_length_is_that_of_the_gold_output(plain, monkeypatch):
    records = with_types(generate_records(3, (3, 8)), bench_types(2))
    model = causal_lm(plain.model, tiny_tokenizer())
    for size in (1, 3):
        system = ForcedGeneration("x", model, tiny_tokenizer(), batch_size=size)
        generated = []
        generate = system.model.generate

        def spy(*args, _generate=generate, _found=generated, **kwargs):
            found = _generate(*args, **kwargs)
            _found.append(found.shape[1] - kwargs["input_ids"].shape[1])
            return found

        monkeypatch.setattr(system.model, "generate", spy)
        system.read(records)
        monkeypatch.undo()
        lengths = [length for record in records for _, length in system.questions(record)]
        assert generated == (lengths if size == 1 else [max(lengths)])
        # It is the same backbone, not a copy.
        assert system.model.base_model is plain.model


def test_formats_of_forced_outputs():
    """As the systems of the paper's Table 3 answer."""
    text = "Ann Lee met Bo, in Oslo"
    record = Record("1", text, [Entity(0, 7, "person"), Entity(12, 14, "person"), Entity(19, 23, "city")])
    (record,) = with_types([record], {"person": "A person.", "city": "A city."})
    ((prompt, listed),) = FORMATS["json"](record)
    assert json.loads(listed) == [["Ann Lee", "person"], ["Bo", "person"], ["Oslo", "city"]]
    assert text in prompt and "- city: A city." in prompt
    questions = FORMATS["per-type"](record)
    assert [json.loads(gold) for _, gold in questions] == [["Ann Lee", "Bo"], ["Oslo"]]
    assert ["person (A person.)" in prompt for prompt, _ in questions] == [True, False]
    ((_, tagged),) = FORMATS["tagged"](record)
    assert tagged == "Ann(B-person) Lee(I-person) met(O) Bo,(B-person) in(O) Oslo(B-city)"


def test_padellm_and_encoder_read(plain):
    records = with_types(generate_records(2, (3, 8)), bench_types(3))
    results = parallel_system(causal_lm(plain.model, tiny_tokenizer()), tiny_tokenizer()).read(records)
    gold = [sorted((e.start, e.end) for e in record.entities if e.label in record.types) for record in records]
    assert [sorted((e["start"], e["end"]) for e in entities) for _, entities, _ in results] == gold
    encoder = Encoder(tiny_tokenizer(), 2, torch.float32, "cpu")
    assert encoder.read(records) == []
    with pytest.raises(NotImplementedError, match="encoder is timed only"):
        encoder.describe(records[0], None)


def test_costs():
    """The paper's own: 651 sentences in 89.7 seconds at 5.07 dollars an hour cost 0.13 dollars."""
    assert cost_per_million(89.7 / 651, 5.07) * 651 / 1e6 == pytest.approx(0.126, abs=0.001)
    assert cost_per_million(1.0, None) is None


SYSTEMS = ["jpt-naive", "jpt-single", "jpt-batch", "autoregressive"]


def test_every_section_writes_its_part(folder, tmp_path, monkeypatch):
    for module in (bench, full):
        monkeypatch.setattr(module, "matmul_rates", lambda backbone, tokens: {"square": 2e9, "layers": 1e9})
    for module in (sections, full):
        monkeypatch.setattr(
            module, "generate_records", lambda count, words=(3, 8), seed=0: generate_records(count, (3, 9))
        )
    output = tmp_path / "report" / "speed"
    kept = ("float32", "bfloat16", "int8 weights (torchao)")
    monkeypatch.setattr(sections, "VARIANTS", {name: sections.VARIANTS[name] for name in kept})
    monkeypatch.setitem(sys.modules, "torchao", None)
    options = {"texts": 2, "rounds": 1, "batch_size": 2, "full_texts": 1, "device": "cpu", "price_per_hour": 3.6}
    first = measure(folder, output, sections=["compare", "definitions"], systems=SYSTEMS, **options)
    files = measure(folder, output, sections=["curves", "precision", "profile", "full"], **options)
    report = json.loads(output.with_suffix(".json").read_text())
    assert set(report) == {
        "compare",
        "definitions",
        "curves",
        "precision",
        "profile",
        "full",
    }  # the first run's were kept
    assert all(section["machine"]["types"] == 9 for section in report.values())
    naive = report["compare"]["jpt-naive"]
    assert naive["times_jpt-batch"]["median"] > 0 and naive["parameters"] > naive["embeddings"] > 0
    assert all(point["texts_per_second"]["median"] > 0 for point in report["curves"]["types"])
    assert len(report["curves"]["types"]) == 4 and report["definitions"]["operations_times_3_short"] > 1
    assert [*report["precision"]["variants"]["float32"]["milliseconds_per_text"]] == ["batch", "one by one"]
    assert "torchao" in report["precision"]["variants"]["int8 weights (torchao)"]["unavailable"]
    for way in ("batch", "one by one"):
        assert sum(report["profile"][way].values()) == pytest.approx(100, abs=5)
        assert report["profile"][way]["matrix products"] > 0 and "attention" in report["profile"][way]
    ways = report["full"]["ways"]
    assert [name for name in ways if name.startswith("JPT")] == [*ways][:3] and len(ways) == 7
    for way in ways.values():
        # At 3.6 an hour a second costs a thousandth.
        assert way["cost_per_million_texts"] == pytest.approx(1000 * way["seconds"] / way["texts"])
    text = output.with_suffix(".md").read_text()
    assert "every word with its tag (as GNER)" in text and "cost of a million texts at 3.6 an hour" in text
    for heading in ("## Compare", "## Definitions", "## Curves", "## Precision", "## Profile", "## Full"):
        assert heading in text
    assert {file.name for file in first + files} == {
        *("speed.json", "speed.md", "speed-compare.svg", "speed-curves.svg")
    }
    assert sorted(file.name for file in output.parent.iterdir()) == sorted({file.name for file in first + files})


def test_shape_has_the_published_size():
    """Parameters of Qwen3-4B and 8B without their output layer, from their model cards: 4.0 and 7.6 billion."""
    from transformers import AutoConfig, AutoModel

    for shape, billions in (("qwen3-4b", 4.02), ("qwen3-8b", 7.57)):
        values = {"num_key_value_heads": building.KEY_VALUE_HEADS, "head_dim": 128, **building.BACKBONE_SHAPES[shape]}
        with torch.device("meta"):
            model = AutoModel.from_config(AutoConfig.for_model("qwen3", vocab_size=151936, **values))
        assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"sections": ["speed"]}, "unknown section 'speed'; there are: compare"),
        ({"systems": ["bert"]}, "unknown system 'bert'; there are: jpt-naive"),
        ({"shape": "qwen3-1t"}, "`backbone_shape` must be one of tiny"),
        ({"price_per_hour": 0}, "`price_per_hour` must be a number above 0"),
    ],
)
def test_wrong_values_are_named_before_anything_is_loaded(values, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        measure("no/such/model", tmp_path / "x", **values)


def test_gliner_is_told_apart_from_a_process_that_ends(monkeypatch, tmp_path):
    monkeypatch.setenv("JPT_CACHE", str(tmp_path))
    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(gliner_system, "gliner_python", lambda library: "/bin/false")
    with pytest.raises(OSError, match="GLiNER's process ended"):
        gliner_system.GLiNERSystem("gliner-small", 2, torch.float32, "cpu", tmp_path / "tokenizer.json")


def test_types_of_all_kinds():
    assert len(TYPES) == 17
    with pytest.raises(ValueError, match="1 to 17"):
        bench_types(18)
    assert Bench("model").full_texts == 651
