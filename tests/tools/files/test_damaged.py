"""Files with bytes that are gone, doubled or others: read as far as that goes, or refused with their name; never a stack trace.

`JPT_FUZZ=2000` in the environment tries so many damages of each file, instead of a few.
"""

import json
import os
import random

import pytest
import yaml
from jpt_ner.schema_jpt import load_schema
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.evaluation.predictions import read_predictions
from jpt_ner.tools.files.documents import read_documents
from jpt_ner.tools.files.model import Document
from jpt_ner.tools.files.writers import document_writer
from jpt_ner.tools.training.recipe import load_recipe

DAMAGES = int(os.environ.get("JPT_FUZZ", "30"))
TEXT = "Anna Berg lives in “Köln”, # not Oslo.\nTom 🙂 Hill"
FOUND = [
    {"entity_group": name, "score": 0.5, "word": TEXT[start:end], "start": start, "end": end}
    for start, end, name in ((0, 9, "person"), (20, 24, "home/town"))
]
SCHEMA = {"name": "x", "entity_types": [{"name": "a", "definition": "A thing.", "threshold": 0.5, "examples": ["b"]}]}
RECIPE = {
    "output_dir": "o",
    "backbone": "b",
    "data": [{"path": "x", "weight": 1.5}],
    "training": {"max_steps": 3, "learning_rate": 1e-4, "save_strategy": False},
    "evaluation": {"every": 3, "data": ["y"]},
    "sampling": {"seed": 1},
    "model": {"lora_rank": 2},
}
EXPORTS = {
    "doccano.jsonl": {"id": 1, "text": "Anna Berg", "label": [[0, 4, "PER"]]},
    "prodigy.jsonl": {"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PER"}], "answer": "accept"},
    "hub.jsonl": {"id": "0", "tokens": ["Anna", "Berg"], "ner_tags": ["B-PER", "I-PER"]},
    "spacy.json": [["Anna Berg", {"entities": [[0, 4, "PER"]]}]],
    "gliner.json": [{"tokenized_text": ["Anna", "Berg"], "ner": [[0, 1, "person"]]}],
}
PLAIN = {
    "table.tsv": 'id\ttext\n1\tAnna "Berg\n2\tTom\n',
    "kaggle.csv": "Sentence #,Word,POS,Tag\nSentence: 1,Anna,NNP,B-PER\n,Berg,NNP,I-PER\n",
    "columns.conllu": "# sent_id = 1\n1-2\tAnna\t_\tB-PER\n1\tAn\t_\tO\n2\tna\t_\tO\n\n",
    "ontonotes.conll": "#begin document (a); part 0\n"
    + "a 0 0 Anna NNP * - - - - (PERSON) -\n" * 2
    + "#end document\n",
}
BYTES = [
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b'"',
    b"\t",
    b",",
    b"[",
    b"}",
    b"#",
    b"&a ",
    b"*a",
    b"9" * 5000,
    b"-",
    b"1e999",
    b"NaN",
    b"null",
    b"!!int ",
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(content))
        end = min(len(content), start + chance.choice([0, 0, 1, 1, 2, 8, 10**6]))
        put = chance.choice([chance.choice(BYTES), content[start:end] * 2, bytes([chance.randrange(256)])])
        content = content[:start] + put + content[end:]
    return content


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A whole file of each kind, by name."""
    folder = tmp_path_factory.mktemp("whole")
    for suffix in (".jsonl", ".csv", ".conll", ".json", ".zip"):
        with document_writer(folder / f"own{suffix}") as add:
            for number in range(2):
                add(Document(1, {"id": number, "text": TEXT}, TEXT), FOUND)
    for name, value in EXPORTS.items():
        (folder / name).write_text(json.dumps(value) + "\n")
    for name, text in PLAIN.items():
        (folder / name).write_text(text)
    (folder / "schema.yaml").write_text(yaml.safe_dump(SCHEMA))
    (folder / "schema.json").write_text(json.dumps(SCHEMA, indent=1))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def read(path):
    if path.name.startswith("schema"):
        load_schema(path)
    elif path.name.startswith("recipe"):
        load_recipe(path)
    else:
        list(read_documents(path, on_bad_row=lambda message: None))
        read_records(path, on_error="skip")
        if path.name == "own.jsonl":
            read_predictions(path, {"x": []})


FILES = [
    *("own.jsonl", "own.csv", "own.conll", "own.json", "own.zip", *EXPORTS, *PLAIN),
    *("schema.yaml", "schema.json", "recipe.yaml"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_refused_by_name(tmp_path, samples, name):
    path = tmp_path / name
    path.write_bytes(samples[name])
    read(path)
    chance = random.Random(name)
    for number in range(DAMAGES):
        path.write_bytes(damaged(samples[name], chance))
        try:
            read(path)
        except ValueError as error:
            assert name in str(error), (number, path.read_bytes()[:300])
        except Exception as error:
            raise AssertionError(f"damage {number}: {path.read_bytes()[:2000]!r}") from error
