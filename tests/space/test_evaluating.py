"""The tab Errors without a browser: labelled files of all sorts, its limits, and files that cannot be used."""

import bz2
import json
from html.parser import HTMLParser

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.space import evaluating
from jpt_ner.space.errors import FileError, PageError
from jpt_ner.space.model import Model

TYPES = {"person": "A human.", "city": "A town."}
TEXT = "Ada <b>met</b> Bob in Rome"
ENTITIES = [{"start": 0, "end": 3, "label": "person"}, {"start": 22, "end": 26, "label": "city"}]


@pytest.fixture(scope="module")
def model(pipe):
    return Model(lambda: pipe)


def write(folder, *rows, name="gold.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def test_errors_are_those_of_the_pipeline(model, pipe, tmp_path):
    file = write(tmp_path, {"id": "a", "text": TEXT, "entities": ENTITIES, "types": TYPES})
    evaluation = evaluating.evaluate_file(model, file, None)
    found = pipe(TEXT, entity_types=TYPES)
    (text,) = evaluation.texts
    assert [each.span for each in text.predicted] == [(e["start"], e["end"], e["entity_group"]) for e in found]
    assert evaluation.rows and evaluation.notes == []
    # Definitions and thresholds of the table stand for those of the file.
    schema = resolve_schema(
        {"entity_types": [{"name": name, "definition": "x y z", "threshold": 1} for name in TYPES]}
    )
    (text,) = evaluating.evaluate_file(model, file, schema).texts
    assert text.predicted == [] and len(text.errors) == 2


def test_frame_holds_the_report_and_no_markup_of_users(model, tmp_path):
    file = write(tmp_path, {"id": "<i>", "text": TEXT, "entities": ENTITIES, "types": TYPES}, name="a<u>.jsonl")
    frames, tags = [], []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append(tag)
            frames.extend([dict(attributes)] if tag == "iframe" else [])

    evaluation = evaluating.evaluate_file(model, file, None)
    Page().feed(evaluating.result_html(evaluation))
    (frame,) = frames
    assert frame["srcdoc"] == evaluation.page and frame["sandbox"] == "allow-scripts"
    assert set(tags) == {"p", "b", "iframe"}


def test_more_texts_than_the_page_reads_are_sampled_and_told(model, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "MAX_TEXTS", 2)
    rows = [{"id": str(n), "text": TEXT, "entities": [], "types": TYPES} for n in range(3)]
    evaluation = evaluating.evaluate_file(model, write(tmp_path, *rows), None)
    assert len(evaluation.texts) == 2 and "up to 2 texts" in evaluation.notes[0]


def test_a_text_that_is_too_long_is_left_out_and_told(model, tmp_path, monkeypatch):
    monkeypatch.setattr("jpt_ner.space.requests.MAX_WORK", 2 * len(TEXT))
    rows = [{"id": str(n), "text": TEXT * n, "entities": [], "types": TYPES} for n in (1, 2)]
    evaluation = evaluating.evaluate_file(model, write(tmp_path, *rows), None)
    assert len(evaluation.texts) == 1 and "Text 2 was left out. The text has 52 characters" in evaluation.notes[0]
    with pytest.raises(FileError, match="Text 2 was left out"):
        evaluating.evaluate_file(model, write(tmp_path, rows[1]), None)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r"^Gold.jsonl: no records"),
        (b'{"id": "a", "text": "x"', "^gold.jsonl, line 1: .*broken JSON|^Gold.jsonl|record"),
        (b'{"id": "a", "text": "Ada", "entities": [{"start": 0, "end": 9, "label": "person"}]}', "outside the text"),
        (
            b'{"id": "a", "text": "Ada", "entities": [{"start": 0, "end": 3, "label": "ghost"}]}',
            "no types|has no types",
        ),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_a_sentence(model, tmp_path, content, message):
    file = tmp_path / "gold.jsonl"
    file.write_bytes(content)
    with pytest.raises(FileError, match=f"(?i){message}") as caught:
        evaluating.evaluate_file(model, file, None)
    assert str(tmp_path) not in str(caught.value)


ROW = json.dumps({"id": "a", "text": "Ada", "entities": [], "types": TYPES}).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gold.jsonl", bz2.compress(ROW * 300_000), r"^gold.jsonl is compressed \(bzip2\)"),
        ("gold.zip", ROW, r"^gold.zip is of a kind that is not known here; this page reads \.jsonl, "),
        ("gold.jsonl", ROW * 4, r"^gold.jsonl has more than this page takes \(3 texts, 20 characters\)"),
        ("gold.jsonl", b"1\n" * 4, r"^gold.jsonl has more than this page takes"),
        ("gold.jsonl", ROW.replace(b"Ada", b"Ada" * 7), r"^gold.jsonl has more than this page takes"),
    ],
    ids=["compressed", "another kind", "records", "bad rows", "characters"],
)
def test_files_that_are_too_large_or_of_another_kind_are_refused(model, tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(evaluating, "MAX_ROWS", 3)
    monkeypatch.setattr(evaluating, "MAX_BATCH_CHARACTERS", 20)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message):
        evaluating.evaluate_file(model, tmp_path / name, None)


def with_own_types(value):
    return {"id": "a", "text": TEXT, "entities": ENTITIES, "entity_types": value}


def test_rows_cannot_make_the_server_read_its_files(model, tmp_path):
    secret = tmp_path / "secret.json"
    for content in (json.dumps(TYPES), "[1, 2", '{"entity_types": {"password": "", "person": ""}}'):
        secret.write_text(content)
        with pytest.raises(FileError, match=r"gold\.jsonl:1: .*no file is read here") as caught:
            evaluating.evaluate_file(model, write(tmp_path, with_own_types(str(secret))), None)
        assert "secret" not in str(caught.value) and "password" not in str(caught.value)


@pytest.mark.parametrize("types", [TYPES, json.dumps(TYPES), {"entity_types": TYPES}])
def test_rows_may_bring_definitions(model, pipe, tmp_path, types):
    (text,) = evaluating.evaluate_file(model, write(tmp_path, with_own_types(types)), None).texts
    found = pipe(TEXT, entity_types=TYPES)
    assert [each.span for each in text.predicted] == [(e["start"], e["end"], e["entity_group"]) for e in found]
    assert found and [each.span[2] for each in text.gold] == ["person", "city"]


def test_labels_that_are_not_among_the_types_are_named(model, tmp_path):
    row = {"id": "a", "text": "Ada", "entities": [{"start": 0, "end": 3, "label": "ghost"}]}
    with pytest.raises(PageError, match="ghost"):
        evaluating.evaluate_file(model, write(tmp_path, row), resolve_schema(TYPES))
