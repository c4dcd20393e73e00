"""The pipelines of generative systems: their interface, bad input, what they count, and folders that load alone."""

import copy
import json
import pickle
import subprocess
import sys

import pytest
import torch
from hub import put_in_hub_cache
from jpt_ner.generative import extractors, loading
from jpt_ner.generative.configuration_generative import CONFIG_KEY, GenerativeConfig
from jpt_ner.generative.decoding import Decoder, Generated
from jpt_ner.generative.export import export, runtime_files
from jpt_ner.generative.formats import GENERATIVE_SYSTEMS, Mention
from jpt_ner.generative.loading import convert_generative, load_causal_lm, load_pipeline, read_settings
from jpt_ner.generative.pipeline_generative import GenerativePipeline
from jpt_ner.tools import cli
from jpt_ner.tools import loading as tools_loading
from peft import LoraConfig, get_peft_model
from tiny import save_backbone, tiny_causal_lm, tiny_tokenizer
from transformers import AutoModelForCausalLM, pipeline
from typer.testing import CliRunner

TEXTS = ["Angela Merkel visited Paris in May, said Bob Dylan.", "Paris released a new album.", ""]
TYPES = {"artist": "Who sings", "city": "Big town"}


@pytest.fixture(scope="module")
def model():
    return tiny_causal_lm()


@pytest.fixture
def make(model):
    def make(**options):
        return GenerativePipeline(
            model=model, tokenizer=tiny_tokenizer(), device="cpu", **{"max_new_tokens": 16, **options}
        )

    return make


@pytest.fixture
def scripted(monkeypatch):
    """Makes systems find given mentions, with given probabilities, whatever the model says."""

    def script(*mentions, failures=None):
        def extract(self, queries, forced=None):
            found = [(Mention(label, text), score) for label, text, score in mentions]
            return [
                extractors.Extraction(
                    [each for each, _ in found], [score for _, score in found], extractors.Counter(failures or {}), [3]
                )
                for _ in queries
            ]

        monkeypatch.setattr(extractors.Padellm, "extract", extract)

    return script


def brief(entities):
    return [(each["start"], each["end"], each["entity_group"]) for each in entities]


# ---- the interface --------------------------------------------------------------------------------------------------


def test_entities(make, scripted):
    scripted(("artist", "Bob Dylan", 0.9), ("city", "Paris", 0.8), ("city", "Rome", 0.7), failures={"truncated": 1})
    pipe = make()
    found = pipe(TEXTS[0], entity_types=TYPES)
    assert found == [
        {"entity_group": "city", "score": 0.8, "word": "Paris", "start": 22, "end": 27},
        {"entity_group": "artist", "score": 0.9, "word": "Bob Dylan", "start": 41, "end": 50},
    ]
    # Rome is not in the text: counted, and given no place.
    assert pipe.failures == {"truncated": 1, "invented_text": 1}
    pipe(TEXTS[0], entity_types=TYPES)
    assert pipe.failures == {"truncated": 2, "invented_text": 2}


@pytest.mark.parametrize("system", ["padellm", "autoreg-augmented"])
def test_pickled_and_copied(make, system):
    pipe = make(system=system)
    expected = pipe(TEXTS, entity_types=TYPES)
    for other in (pickle.loads(pickle.dumps(pipe)), copy.deepcopy(pipe)):
        assert other(TEXTS, entity_types=TYPES) == expected


@pytest.mark.parametrize(
    ("system", "output"),
    [
        ("autoreg-augmented", " Rome met in [Rome city]."),
        ("autoreg-structured", " ((Rome fan): (NULL), (city): (Rome))"),
    ],
)
def test_probabilities_are_those_of_the_mention_that_is_marked(make, system, output):
    pipe = make(system=system)
    tokens = pipe.tokenizer(output, add_special_tokens=False, return_offsets_mapping=True)
    begin = output.index("[Rome") + 1 if "[" in output else output.index("(Rome)") + 1
    inside = [start < begin + 4 and end > begin for start, end in tokens["offset_mapping"]]
    generated = Generated(tokens["input_ids"], [0.5 if each else 0.9 for each in inside], True, len(inside))
    found = pipe._extractor._parse(extractors.Query("Rome met in Rome.", {"Rome fan": "x", "city": "y"}), generated)
    assert [each.text for each in found.mentions] == ["Rome"]
    assert found.probabilities == [pytest.approx(0.5 ** sum(inside))]


def test_options(make, scripted):
    scripted(
        ("artist", "Paris", 0.5),
        ("city", "Paris", 0.6),
        ("city", "visited Paris in May", 0.3),
        ("artist", "Merkel", 0.2),
    )
    pipe = make()
    text = TEXTS[0]
    assert brief(pipe(text, entity_types=TYPES)) == [(7, 13, "artist"), (14, 34, "city"), (22, 27, "city")]
    assert len(pipe(text, entity_types=TYPES, deduplication="none")) == 4
    assert (22, 27, "artist") in brief(pipe(text, entity_types=TYPES, deduplication="reversed"))
    assert brief(pipe(text, entity_types=TYPES, nested=False)) == [(7, 13, "artist"), (22, 27, "city")]
    assert brief(pipe(text, entity_types=TYPES, threshold=0.25)) == [(14, 34, "city"), (22, 27, "city")]
    own = [
        {"name": "artist", "definition": "", "threshold": 0.1},
        {"name": "city", "definition": "x", "threshold": 0.5},
    ]
    own[0]["definition"] = "Who sings"
    assert brief(pipe(text, entity_types=own, threshold=0.9)) == [(7, 13, "artist"), (22, 27, "city")]


def test_words(make, scripted):
    scripted(("city", "Par", 0.6), ("artist", "Bob Dyl", 0.5))
    words = ["Bob", "Dylan", "saw", " Paris ", "", "."]
    found = make()(words, entity_types=TYPES, is_split_into_words=True)
    assert [(each["first_word"], each["last_word"], each["word"]) for each in found] == [
        (0, 1, "Bob Dylan"),
        (3, 3, "Paris"),
    ]
    assert make()([words, words], entity_types=TYPES, is_split_into_words=True) == [found, found]


@pytest.mark.parametrize("system", GENERATIVE_SYSTEMS)
def test_many_texts(make, system):
    """One by one, together, and as a stream: the same, in order."""
    pipe = make(system=system, entity_types=TYPES)
    texts = TEXTS * 3
    expected = [pipe(text) for text in texts]
    failures = dict(pipe.failures)
    assert failures
    for batch_size in (1, 2, 8):
        pipe.failures.clear()
        assert [brief(each) for each in pipe(texts, batch_size=batch_size)] == [brief(each) for each in expected]
        assert pipe.failures == failures
    stream = pipe(text for text in texts)
    assert not isinstance(stream, list) and [brief(each) for each in stream] == [brief(each) for each in expected]
    own = pipe([{"text": TEXTS[0], "entity_types": ["dish"]}, TEXTS[0]])
    assert {each["entity_group"] for each in own[0]} <= {"dish"}
    assert brief(own[1]) == brief(expected[0])


@pytest.mark.parametrize("system", GENERATIVE_SYSTEMS)
def test_default_types(make, system):
    settings = GenerativeConfig(system=system, entity_types=TYPES, max_new_tokens=4)
    assert isinstance(make(settings=settings)(TEXTS[0]), list)


def test_devices(make, model):
    """Sequences spread over copies of the model: the same entities."""
    pipe = make(mode="multi", devices=["cpu", "cpu", "cpu"], entity_types=TYPES)
    assert len(pipe._decoders) == 3 and len({id(each.model) for each in pipe._decoders}) == 3
    assert pipe._decoders[0].model is model
    assert [brief(each) for each in pipe(TEXTS)] == [brief(each) for each in make(entity_types=TYPES)(TEXTS)]
    assert len(make(mode="multi")._decoders) == 1


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", GENERATIVE_SYSTEMS)
def test_nothing_to_read(make, system):
    pipe = make(system=system)
    assert pipe(["", " \n", ""], entity_types=TYPES) == [[], [], []]
    assert pipe([], entity_types=TYPES) == []
    assert not pipe.failures


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "`entity_types` must be given"),
        ({"entity_types": {}}, "entity_types"),
        ({"entity_types": ["city", "a <num> b"]}, "the label 'a <num> b' holds '<num>'"),
        ({"entity_types": ["<mention 2>"]}, "holds '<mention 2>'"),
        ({"entity_types": TYPES, "top_k": 2}, "`top_k`"),
        ({"entity_types": TYPES, "threshold": 2}, "`threshold` must be a number from 0 to 1"),
        ({"entity_types": TYPES, "deduplication": "best"}, "`deduplication` must be one of"),
        ({"entity_types": TYPES, "batch_size": 0}, "`batch_size` must be a whole number"),
    ],
)
def test_refused_options(make, options, message):
    with pytest.raises(ValueError, match=message):
        make()(TEXTS[0], **options)


@pytest.mark.parametrize("system, mark", [("autoreg-augmented", "["), ("autoreg-structured", "(")])
def test_labels_with_marks_of_the_template(make, system, mark):
    with pytest.raises(ValueError, match=rf"`inputs\[1\]`.*holds '\{mark}'"):
        make(system=system)(["Paris", {"text": "Paris", "entity_types": [f"city {mark}big"]}], entity_types=["city"])


@pytest.mark.parametrize(
    "inputs", [3, b"Paris", {"body": "Paris"}, {"text": "Paris", "labels": []}, [None], [["Paris"]]]
)
def test_refused_inputs(make, inputs):
    with pytest.raises(ValueError, match="`inputs"):
        make()(inputs, entity_types=TYPES)


@pytest.mark.parametrize("system", GENERATIVE_SYSTEMS)
def test_context_limit(system):
    """Texts up to the limit give a result, cut outputs are counted; longer ones are refused."""
    model = tiny_causal_lm(max_position_embeddings=128)
    pipe = GenerativePipeline(model=model, tokenizer=tiny_tokenizer(), device="cpu", system=system)
    refused = 0
    for words in range(4, 60, 4):
        try:
            pipe("Bob " * words, entity_types=["city"])
        except ValueError as error:
            assert "128" in str(error)
            refused += 1
        else:
            assert not refused
    assert refused and pipe.failures["truncated"] + pipe.failures["unreadable_count"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"system": "gner"},
        {"language": "de"},
        {"mode": "both"},
        {"deduplication": "x"},
        {"prompt": "y"},
        {"max_new_tokens": 0},
    ],
)
def test_refused_settings(make, changes):
    with pytest.raises(ValueError, match=f"`{next(iter(changes))}` "):
        make(**changes)


# ---- folders --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "padellm"
    settings = GenerativeConfig(max_new_tokens=16, entity_types=TYPES)
    return export(model, tiny_tokenizer(), settings, folder)


def test_exported_folder_loads_in_a_clean_process(exported, make):
    """Without this package: blocked, and away from the working tree."""
    program = """
import json, sys

class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "jpt_ner":
            raise ImportError("not installed here")

sys.meta_path.insert(0, Blocked)
from transformers import pipeline

folder, texts, again = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
found = [pipeline(task, model=folder, trust_remote_code=True, device="cpu")(texts) for task in ("padellm-ner", None)]
ner = pipeline("padellm-ner", model=folder, trust_remote_code=True, device="cpu", mode="multi", reuse_text=False)
found.append(ner(texts))
assert isinstance(ner(texts[0], entity_types="music"), list)  # a preset
ner.save_pretrained(again)
found.append(pipeline("padellm-ner", model=again, trust_remote_code=True, device="cpu")(texts))
assert pipeline("text-generation", model=folder, device="cpu")("Paris", max_new_tokens=2)
print(json.dumps(found))
"""
    again = exported.with_name("again")
    command = [sys.executable, "-c", program, str(exported), json.dumps(TEXTS), str(again)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=exported.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    expected = make(entity_types=TYPES)(TEXTS)
    for each in found:
        assert [brief(entities) for entities in each] == [brief(entities) for entities in expected]
    assert {"extractors.py", "chat_prompts.py", "schema_jpt.py", "words_jpt.py"} <= runtime_files().keys()
    names = {path.name for path in exported.iterdir()}
    assert {
        *runtime_files(),
        "schema_jpt.py",
        "presets_jpt.py",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    } <= names
    assert names == {path.name for path in again.iterdir()}


def test_saving_over_a_model_keeps_what_is_not_its_own(make, tmp_path):
    """The folder may be a clone of its repository. What would be loaded with the new model goes."""
    make(system="autoreg-structured").save_pretrained(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    (tmp_path / ".git").mkdir()
    kept = {"README.md": "my card", ".git/HEAD": "ref: refs/heads/main", "results.json": "{}"}
    for name, content in {**kept, "model-00001-of-00002.safetensors": "", "added_tokens.json": "{}"}.items():
        (tmp_path / name).write_text(content)
    make().save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert {path.name for path in tmp_path.iterdir()} == written | {"README.md", ".git", "results.json"}
    assert read_settings(tmp_path).system == "padellm"


def test_hub_repository(exported, make):
    name = put_in_hub_cache(exported, "org/padellm-tiny")
    expected = [brief(each) for each in make(entity_types=TYPES)(TEXTS)]
    for ner in (
        pipeline(model=name, trust_remote_code=True, device="cpu"),
        tools_loading.load_pipeline(name, device="cpu"),
    ):
        assert [brief(each) for each in ner(TEXTS)] == expected
    with pytest.raises(ValueError, match="trust_remote_code"):
        pipeline("padellm-ner", model=name, trust_remote_code=False)


def test_hub_ids_out_of_reach_are_not_waited_for(monkeypatch):
    """A download is retried for most of a minute; settings are asked for once."""
    asked = []

    def refuse(url, timeout):
        asked.append((url, timeout))
        raise ConnectionError("no route")

    monkeypatch.setattr(loading, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(loading, "cached_file", lambda *arguments: pytest.fail("downloads are not tried"))
    assert read_settings("org/nowhere") is None
    assert asked == [("https://huggingface.co/org/nowhere/resolve/main/config.json", loading.HUB_TIMEOUT)]


def test_exported_settings(exported, make, tmp_path):
    assert read_settings(exported) == GenerativeConfig(max_new_tokens=16, entity_types=TYPES)
    config = json.loads((exported / "config.json").read_text())
    assert list(config["custom_pipelines"]) == ["padellm-ner"] and config["model_type"] == "llama"
    make(system="autoreg-structured").save_pretrained(tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    assert list(config["custom_pipelines"]) == ["autoreg-ner"]
    assert config[CONFIG_KEY]["system"] == "autoreg-structured"
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="`output` must be a new or an empty folder"):
        make().save_pretrained(tmp_path / "notes")
    assert (tmp_path / "notes" / "mine.txt").exists()


def test_objects(model):
    """Importing the file, here or from any folder, makes the tasks known for models that are loaded already."""
    for task in ("padellm-ner", "autoreg-ner"):
        ner = pipeline(task, model=model, tokenizer=tiny_tokenizer(), device="cpu")
        assert type(ner).__name__ == "GenerativePipeline"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as training leaves it: adapters, settings, tokenizer; and the folder of its backbone."""
    folder = tmp_path_factory.mktemp("trained")
    backbone = save_backbone(folder / "backbone", max_position_embeddings=1024, tie_word_embeddings=True)
    base = AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(0)
    adapted = get_peft_model(base, config)
    adapted.save_pretrained(folder / "final")
    base.config.generative_ner = GenerativeConfig(max_new_tokens=16, entity_types=TYPES).to_dict()
    base.config.save_pretrained(folder / "final")
    tiny_tokenizer().save_pretrained(folder / "final")
    return folder / "final", adapted.eval()


def test_adapters_are_merged(trained):
    folder, adapted = trained
    ids = torch.tensor([[5, 6, 7, 8]])
    merged = load_causal_lm(folder)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        assert torch.allclose(merged(input_ids=ids).logits, expected, atol=1e-4)
        adapted.disable_adapter_layers()
        plain = adapted(input_ids=ids).logits
        adapted.enable_adapter_layers()
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_backbones_without_a_head(tmp_path):
    """A head of random weights would be no error to transformers, and writes nonsense."""
    with pytest.raises(ValueError, match="lm_head.weight are missing"):
        load_causal_lm(save_backbone(tmp_path))


def test_trained_folder_to_exported_folder(trained, tmp_path):
    folder, _ = trained
    expected = load_pipeline(folder, device="cpu")(TEXTS)
    before, after = convert_generative(folder, tmp_path / "out")
    assert before < after
    found = load_pipeline(tmp_path / "out", device="cpu")(TEXTS)
    assert [brief(each) for each in found] == [brief(each) for each in expected]
    with pytest.raises(ValueError, match="empty"):
        convert_generative(folder, tmp_path / "out")


def test_command_line(trained, tmp_path):
    """The same commands as for JPT."""
    folder, _ = trained
    run = lambda *arguments: CliRunner().invoke(cli.app, [str(each) for each in arguments])  # noqa: E731
    record = {"id": "1", "text": TEXTS[0], "entities": [{"start": 22, "end": 27, "label": "city"}], "types": TYPES}
    (tmp_path / "test.jsonl").write_text(json.dumps(record) + "\n")
    result = run("evaluate", tmp_path / "test.jsonl", "--model", folder, "--device", "cpu")
    assert result.exit_code == 0 and "95 % interval" in result.output and "failures: " in result.output
    result = run("tag", TEXTS[0], "--model", folder, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["text"] == TEXTS[0]
    result = run("tag", TEXTS[0], "--model", folder, "-t", "a <num>=b", "--json")
    assert result.exit_code == 2 and "holds '<num>'" in result.stderr
    assert run("convert", folder, tmp_path / "out").exit_code == 0
    assert read_settings(tmp_path / "out") == read_settings(folder)


def test_folders_of_other_models(exported, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "jpt"}')
    assert read_settings(tmp_path) is None
    assert read_settings(tmp_path / "none") is None
    config = json.loads((exported / "config.json").read_text())
    config[CONFIG_KEY]["speed"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="unknown key 'speed'"):
        read_settings(tmp_path)


def test_models_without_an_end(model):
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = None
    try:
        with pytest.raises(ValueError, match="no `eos_token`"):
            GenerativePipeline(model=model, tokenizer=tokenizer, device="cpu")
    finally:
        model.generation_config.eos_token_id = before


def test_reuse_is_the_default_and_switches(make):
    for reuse in (True, False):
        decoder = make(reuse_text=reuse, early_quit=not reuse)._decoders[0]
        assert isinstance(decoder, Decoder) and (decoder.reuse, decoder.early_quit) == (reuse, not reuse)
