"""Parquet files of texts and of labelled data, read as files of JSON are."""

import datetime
import json
import math

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.files.documents import read_documents
from jpt_ner.tools.files.formats.jsonl import json_line
from jpt_ner.tools.files.formats.parquet import rows_of_parquet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def test_texts_keep_their_columns_as_json_can_hold_them(tmp_path):
    values = {"id": [7, 8], "text": ["Ada", "Bob"], "day": [datetime.date(2026, 1, 2)] * 2, "raw": [b"\xff", None]}
    pq.write_table(pa.table(values), tmp_path / "a.parquet")
    documents = list(read_documents(tmp_path / "a.parquet"))
    assert [document.text for document in documents] == ["Ada", "Bob"]
    assert (
        json_line(documents[0], []) == '{"id": 7, "text": "Ada", "day": "2026-01-02", "raw": "/w==", "entities": []}'
    )


def test_numbers_that_json_has_not_become_null_or_text(tmp_path):
    pq.write_table(pa.table({"text": ["Ada"] * 2, "n": [math.nan, -math.inf]}), tmp_path / "a.parquet")
    lines = [json_line(document, []) for document in read_documents(tmp_path / "a.parquet")]
    assert lines == [
        '{"text": "Ada", "n": null, "entities": []}',
        '{"text": "Ada", "n": "-inf", "entities": []}',
    ]


CITY, DISH = "A named town.", "Food, by name."


@pytest.mark.parametrize(
    "column",
    [
        [json.dumps({"city": CITY}), json.dumps([{"name": "dish", "definition": DISH}]), None],
        [{"city": CITY}, {"dish": DISH}, None],
        [{"entity_types": {"city": CITY}}, {"entity_types": {"dish": DISH}}, None],
        [{"city": {"definition": CITY}}, {"dish": {"definition": DISH}}, None],
        [
            [{"name": "city", "definition": CITY, "examples": None}],
            [{"name": "dish", "definition": DISH, "examples": []}],
            None,
        ],
    ],
    ids=["text", "struct", "file format", "struct of structs", "list of structs"],
)
def test_rows_bring_types_to_a_file_and_to_a_job_alike(tmp_path, column):
    """In a struct column Arrow gives each row the names of all rows, those of other rows with null."""
    path = tmp_path / "a.parquet"
    mention = [{"start": 0, "end": 3, "label": "city"}], [{"start": 0, "end": 3, "label": "dish"}], []
    pq.write_table(pa.table({"text": ["Ada", "Bob", "Eve"], "entity_types": column, "entities": mention}), path)
    expected = [resolve_schema({"city": CITY}), resolve_schema({"dish": DISH}), None]
    for documents in (read_documents(path), rows_of_parquet(path, "a", "text")):
        assert [each.entity_types for each in documents] == expected
    assert [record.types for record in read_records(path)] == [{"city": CITY}, {"dish": DISH}, None]

    # Written as JSON lines, they are the same types again.
    copy = tmp_path / "a.jsonl"
    copy.write_text("\n".join(json_line(each, []) for each in read_documents(path)))
    assert [each.entity_types for each in read_documents(copy)] == expected


def test_records_keep_their_language(tmp_path):
    mention = [{"start": 0, "end": 3, "label": "person"}]
    values = {"text": ["Ada", "Bob"], "entities": [mention, []], "language": ["de", None]}
    pq.write_table(pa.table(values), tmp_path / "a.parquet")
    assert [record.language for record in read_records(tmp_path / "a.parquet")] == ["de", None]


def test_records_of_the_hub(tmp_path):
    table = pa.table({"tokens": [["Ada", "ran"], ["In", "Rome"]], "ner_tags": [["B-PER", "O"], ["O", "B-LOC"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = [
        (record.text, [each.label for each in record.entities]) for record in read_records(tmp_path / "a.parquet")
    ]
    assert found == [("Ada ran", ["PER"]), ("In Rome", ["LOC"])]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    for reads in (read_documents, read_records):
        with pytest.raises(ValueError, match=r"a\.parquet: not a Parquet file, or not a whole one"):
            list(reads(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"body": ["Ada"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet:1: has no 'text'; its keys are 'body'"):
        list(read_documents(tmp_path / "a.parquet"))
