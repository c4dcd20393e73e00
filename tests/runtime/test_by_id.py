"""By Hub id, as an outside user would: from a server that answers as the Hub does, in processes without this package.

The stand-in and what it can do is in `helpers/hub.py`. Packages that a stranger lacks are kept from being imported.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub import TOKEN, stand_in
from huggingface_hub import ModelCard
from jpt_ner.wheels_jpt import WHEELS
from tiny import save_backbone, tiny_model, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
TYPES = {"artist": "Who sings", "city": "Big town"}
TEXT = "Angela Merkel visited Paris in May, said Bob Dylan."
BACKBONE = "org/backbone"
# Beside transformers, torch and sentence-transformers, with all that these bring along.
LACKING = (
    "jpt_ner",
    "peft",
    "gguf",
    "openai",
    "accelerate",
    "datasets",
    "gradio",
    *(w.package for w in WHEELS.values()),
)
PRELUDE = f"""
import os, sys
for name in {LACKING!r}:
    if name not in os.environ.get("ALLOWED", "").split():
        sys.modules[name] = None
import warnings
from transformers import pipeline
TYPES, TEXT = {TYPES!r}, {TEXT!r}
def load(model, **options):
    return pipeline("jpt-ner", model=model, trust_remote_code=True, device="cpu", **options)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The stand-in with a backbone and a model in both forms, the second with a tag and in private, too."""
    with stand_in() as server:
        folder = Path(save_backbone(tmp_path_factory.mktemp("backbone"), max_position_embeddings=4096))
        pin = server.put(BACKBONE, folder)
        model = tiny_model(
            str(folder),
            prompt_template="compact",
            type_embedding="prompt",
            definition_encoder="backbone",
            max_length=4096,
            entity_types=TYPES,
            begin_head=True,
        )
        model.config.backbone_name_or_path, model.config.backbone_revision = BACKBONE, pin
        parts, whole = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("whole")
        model.save_pretrained(parts)
        tiny_tokenizer().save_pretrained(parts)
        server.put("org/parts", parts)
        server.put("private/parts", parts)
        model.merge_lora()
        model.save_pretrained(whole)
        tiny_tokenizer().save_pretrained(whole)
        server.put("org/whole", whole, revision="v1")
        server.put("org/whole", parts)  # the main revision is another
        server.expected = [each["word"] for each in model.as_pipeline(tiny_tokenizer())(TEXT)]
        assert server.expected
        yield server


@pytest.fixture
def run(hub, tmp_path):
    """Runs a program as an outside user; returns its printed line of JSON, and the requests that it made."""

    def run(program: str, *arguments, home: Path = tmp_path / "home", fails: bool = False, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "JPT_"))}
        environment |= {
            "HF_HOME": str(home),
            "JPT_CACHE": str(home / "jpt"),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        hub.requests.clear()
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + program, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1800,  # only a guard against hanging
        )
        assert bool(done.returncode) is fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout.splitlines()[-1])

    return run


WARM_STARTS = """
import json, urllib.request
from transformers.utils import logging
requests = lambda: len(json.load(urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/stand-in/requests")))
found, counts = [], []
for _ in range(2):
    before = requests()
    ner = load("org/parts")
    counts.append(requests() - before)
    found.append([each["word"] for each in ner(TEXT)])
before = requests()
ner(TEXT, entity_types="general")
names = sorted(name for name in sys.modules if name.endswith("_jpt"))
print(json.dumps({"found": found, "counts": counts, "preset": requests() - before, "modules": len(names)}))
"""


def test_a_stranger_loads_and_loads_again(hub, run):
    said = run(WARM_STARTS)
    assert said["found"] == [hub.expected] * 2
    assert said["modules"] > 10
    first, second = said["counts"]
    assert first > 20 and second <= 5
    assert said["preset"] == 0
    # Then offline, at once.
    again = 'print(__import__("json").dumps([each["word"] for each in load("org/parts")(TEXT)]))'
    assert run(again, HF_HUB_OFFLINE="1") == hub.expected
    assert hub.requests == []


WAYS = """
import json
from transformers import AutoModelForTokenClassification, AutoTokenizer
words = lambda ner: [each["word"] for each in ner(TEXT)]
found = {"tag": words(load("org/whole", revision="v1"))}
cache = {"cache_dir": "elsewhere"}
found["private"] = words(load("private/parts", token=sys.argv[1], model_kwargs=cache))
model = AutoModelForTokenClassification.from_pretrained("org/parts", trust_remote_code=True, **cache)
found["model"] = words(model.as_pipeline(AutoTokenizer.from_pretrained("org/parts", trust_remote_code=True, **cache)))
found["revisions"] = [model.config.backbone_revision, load("org/whole", revision="v1").model.config.self_contained]
ner = load("org/whole", revision="v1")
ner.save_pretrained("saved")
found["saved"] = words(load("saved"))
ner.push_to_hub("me/pushed", token=sys.argv[1])
found["pushed"] = words(load("me/pushed"))
model.push_to_hub("me/model", token=sys.argv[1])
AutoTokenizer.from_pretrained("org/parts", trust_remote_code=True).push_to_hub("me/model", token=sys.argv[1])
found["pushed model"] = words(load("me/model"))
print(json.dumps(found))
"""


def test_all_ways_to_load_save_and_push(hub, run, tmp_path):
    said = run(WAYS, TOKEN)
    assert said.pop("revisions") == [hub.repositories[BACKBONE].refs["main"], True]
    assert said == dict.fromkeys(("tag", "private", "model", "saved", "pushed", "pushed model"), hub.expected)
    assert {path.name for path in (tmp_path / "elsewhere").iterdir() if path.name.startswith("models--")} == {
        "models--private--parts",
        "models--org--parts",
        "models--org--backbone",
    }
    for name in ("me/pushed", "me/model"):
        card = ModelCard(hub.files(name)["README.md"].decode())
        assert "More Information Needed" not in card.text
        assert f'model="{name}"' in card.text and "| artist | Who sings |" in card.text
        assert card.data.library_name == "transformers" and card.data.pipeline_tag == "token-classification"
        assert card.data.base_model in ("org/whole", "org/parts")
        assert "custom_code" in card.data.tags


MISSING = """
import json
from transformers import AutoModelForTokenClassification
def message(load, *arguments, **options):
    try:
        load(*arguments, **options)
    except ImportError as error:
        return str(error)
sys.modules["sentence_transformers"] = None
said = [message(load, "org/parts", revision="embedded")]
options = {"trust_remote_code": True, "is_trainable": True}
said.append(message(AutoModelForTokenClassification.from_pretrained, "org/parts", **options))
print(json.dumps(said))
"""


def test_what_is_missing_is_said_before_weights_are_downloaded(hub, run):
    files = dict(hub.files("org/parts"))
    config = json.loads(files["config.json"]) | {"type_embedding": "both", "definition_encoder": "some/encoder"}
    hub.repositories["org/parts"].commit({**files, "config.json": json.dumps(config).encode()}, "embedded")
    encoder, peft = run(MISSING)
    assert "'some/encoder' needs sentence_transformers: `pip install sentence-transformers`" in encoder
    assert "needs peft: `pip install peft`" in peft
    embedded = hub.repositories["org/parts"].refs["embedded"]
    assert not [request for request in hub.requests if "safetensors" in request and embedded in request]


def test_a_revision_that_is_gone_is_replaced_with_a_warning(hub, run):
    """And from the second start on without a request for it."""
    files = dict(hub.files("org/parts"))
    config = json.loads(files["config.json"]) | {"backbone_revision": "9" * 40}
    hub.repositories["org/parts"].commit({**files, "config.json": json.dumps(config).encode()}, "squashed")
    program = """
import json, logging, transformers
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
transformers.utils.logging.add_handler(handler)
logging.getLogger("transformers_modules").addHandler(handler)
found = [[each["word"] for each in load("org/parts", revision="squashed")(TEXT)] for _ in range(2)]
print(json.dumps([found, [line for line in said if "wanted in revision" in line]]))
"""
    found, said = run(program)
    assert found == [hub.expected] * 2
    assert len(said) == 2 and "9" * 40 in said[0] and "the main one" in said[0] and "in the Hub's cache" in said[1]
    assert len([request for request in hub.requests if "9" * 40 in request]) == 1


def test_the_training_script_of_the_documentation(hub, run, tmp_path):
    """As documented: trains by id, saves, loads in a pipeline, resumes from its checkpoint, and is pushed."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page.partition("## With any Trainer")[2], flags=re.DOTALL)
    assert len(script.strip().splitlines()) <= 25
    on_card = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)[-1]
    assert len(on_card.strip().splitlines()) <= 16 and set(on_card.splitlines()) <= set(script.splitlines())
    for old, new in {"org/jpt-135m": "org/parts", "me/my-model": "me/trained"}.items():
        assert old in script
        script = script.replace(old, new)
    rows = [
        {
            "tokens": ["Anna", "Berg", "lives", "in", "Oslo", "."],
            "ner_tags": ["B-person", "I-person", "O", "O", "B-city", "O"],
        },
        {"tokens": ["Tom", "left", "Bergen"], "ner_tags": ["B-person", "O", "B-city"]},
    ] * 8
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = script.replace("max_steps=200", "max_steps=8").replace("save_steps=100", "save_steps=4")
    script += """
import json, pathlib
state = lambda: json.loads(sorted(pathlib.Path("my-model").glob("checkpoint-*"))[-1].joinpath("trainer_state.json").read_text())
steps = [state()["global_step"]]
trainer.args.max_steps = 12
trainer.train(resume_from_checkpoint=True)
steps.append(trainer.state.global_step)
found = [load(model).model.config.entity_types for model in ("my-model", "me/trained")]
print(json.dumps({"steps": steps, "types": found, "losses": [each["loss"] for each in trainer.state.log_history if "loss" in each]}))
"""
    said = run(script, ALLOWED="peft accelerate datasets", HF_TOKEN=TOKEN)
    assert said["steps"] == [8, 12]
    assert [list(types) for types in said["types"]] == [["city", "person"]] * 2
    card = ModelCard(hub.files("me/trained")["README.md"].decode())
    assert "| person |" in card.text and card.data.base_model == "org/parts"
    assert "training_args.bin" not in hub.files("me/trained")
