"""Files of texts: what is read from each format, what is said of bad rows, and that nothing changes on the way back."""

import csv
import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jpt_ner.tools.documents import bio_tags, document_writer, json_line, read_documents
from jpt_ner.tools.readers import tags_to_spans
from jpt_ner.tools.records import read_records


def entity(start, end, name, text=""):
    return {"entity_group": name, "score": 0.5, "word": text[start:end], "start": start, "end": end}


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_documents(path, **options))


def read_all_but_bad(tmp_path, name, content, **options):
    """Texts of the good rows; line numbers and reasons of the bad ones."""
    messages = []
    documents = read(tmp_path, name, content, on_bad_row=messages.append, **options)
    prefix = f"{tmp_path / name}:"
    assert all(message.startswith(prefix) for message in messages)
    bad = [message.removeprefix(prefix).split(": ", 1) for message in messages]
    return [document.text for document in documents], [(int(line), reason) for line, reason in bad]


def test_text_file_is_one_document_without_byte_order_mark(tmp_path):
    (document,) = read(tmp_path, "a.txt", "\ufeffOne.\r\n\r\nTwo.\n")
    assert document.text == "One.\r\n\r\nTwo.\n"
    assert document.item == {"text": document.text}


def test_lines_keep_blank_ones_and_break_at_newlines_only(tmp_path):
    documents = read(tmp_path, "a.txt", "one\u2028still one\r\n\ntwo\x85three", format="lines")
    assert [document.text for document in documents] == ["one\u2028still one", "", "two\x85three"]


def test_json_lines_keep_every_field_and_may_bring_types(tmp_path):
    rows = [
        {"id": 7, "body": "Paris", "types": {"city": "A town."}, "entities": ["old"], "more": None},
        {"body": "Rome", "entity_types": "music"},
        {"body": "Bonn", "types": None},
    ]
    content = "\n\n".join(map(json.dumps, rows))
    first, second, third = read(tmp_path, "a.jsonl", content, text_column="body")
    assert first.entity_types.names == ["city"] and second.entity_types.name == "music" and third.entity_types is None
    assert (first.line, second.line, third.line) == (1, 3, 5)
    assert json.loads(json_line(first, [])) == {**rows[0], "entities": []}


def test_words_in_json_lines_are_joined(tmp_path):
    (document,) = read(tmp_path, "a.jsonl", '{"tokens": ["New", "York", "!"]}', text_column="tokens")
    assert document.item == {"text": ["New", "York", "!"]}
    assert json.loads(json_line(document, []))["text"] == "New York !"


BAD_JSON = [
    (b'{"text": "a"', "broken JSON"),
    (b'["a"]', "should be a JSON object, got list"),
    (b'{"txt": "a"}', "has no 'text'; its keys are 'txt'"),
    (b'{"text": 3}', "'text' should be a text or a list of words, got 3"),
    (b'{"text": "\xff"}', "not UTF-8"),
    (b'{"text": ["a", "b"]}', "'text' should be a text as in other rows"),
    (b'{"text": "a", "types": {"city": ""}}', '"city" has an empty definition'),
    (b'{"text": "a", "types": "nothing-like-it"}', "unknown preset 'nothing-like-it'"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_JSON)
def test_bad_json_lines_stop_or_are_reported_with_their_line(tmp_path, line, reason):
    content = b'{"text": "good"}\n' + line + b'\n{"text": "too"}\n'
    texts, [(number, message)] = read_all_but_bad(tmp_path, "a.jsonl", content)
    assert texts == ["good", "too"] and number == 2 and reason in message
    with pytest.raises(ValueError, match=r"a\.jsonl:2: "):
        read(tmp_path, "a.jsonl", content)


def test_csv_with_quoted_newlines_and_a_cell_of_a_book(tmp_path):
    book = "word " * 40_000
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["id", "text"], ["x", 'two\nlines, "quoted"'], ["y", book]])
    first, second = read(tmp_path, "a.csv", "\ufeff" + buffer.getvalue())
    assert first.row == {"id": "x", "text": 'two\nlines, "quoted"'}
    assert second.text == book and second.line == 4


def test_bad_csv_rows_are_reported_with_the_line_they_begin_on(tmp_path):
    content = b'text,n\n"one\ntwo",1\nshort\nok,2\nlong,3,4\n"\xff\nx",5\n'
    texts, bad = read_all_but_bad(tmp_path, "a.csv", content)
    assert texts == ["one\ntwo", "ok"]
    assert [line for line, _ in bad] == [4, 6, 7]
    assert "has 1 cells where the header has 2" in bad[0][1] and "not UTF-8" in bad[2][1]


def test_csv_without_the_column_names_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="no column 'text'; its columns are 'id', 'body'"):
        read(tmp_path, "a.csv", "id,body\n1,x\n")


def test_conll_reads_words_from_the_first_column(tmp_path):
    content = "-DOCSTART- -X- O\n\nNew NNP B-LOC\nYork\u00a0City NNP I-LOC\n\n \t\nTabbed word\tO\n"
    first, second = read(tmp_path, "a.conll", content)
    assert first.words == ["New", "York\u00a0City"] and first.text == "New York\u00a0City" and first.line == 3
    assert first.columns[0] == ["New", "NNP", "B-LOC"]
    assert second.words == ["Tabbed word"]


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match="not known by its suffix"):
        read_documents(tmp_path / "a.pdf")
    with pytest.raises(FileNotFoundError):
        read_documents(tmp_path / "none.txt")


@example(texts=["half a pair \ud83d", "\0\u2028"])
@given(texts=st.lists(st.text(st.characters(), max_size=20), max_size=5))
def test_any_text_survives_json_lines(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("json")
    rows = [{"text": text, "n": number} for number, text in enumerate(texts)]
    documents = read(folder, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with document_writer(folder / "b.jsonl") as write:
        for document in documents:
            write(document, [entity(0, len(document.text), "whole", document.text)])
    written = [json.loads(line) for line in (folder / "b.jsonl").read_bytes().splitlines()]
    assert [{"text": row["text"], "n": row["n"]} for row in written] == rows
    assert [row["entities"][0]["word"] for row in written] == texts


def test_csv_output_has_a_row_for_each_entity(tmp_path):
    documents = read(tmp_path, "a.jsonl", '{"id": "p", "text": "Paris, Rome"}\n{"text": "none"}\n{"text": "Bonn"}\n')
    with document_writer(tmp_path / "b.csv") as write:
        write(documents[0], [entity(0, 5, "city, big", "Paris, Rome"), entity(7, 11, "city", "Paris, Rome")])
        write(documents[1], [])
        write(documents[2], [entity(0, 4, "city", "Bonn")])
    with open(tmp_path / "b.csv", encoding="utf-8", newline="") as file:
        rows = [(row["id"], int(row["start"]), row["entity_group"], row["word"]) for row in csv.DictReader(file)]
    assert rows == [("p", 0, "city, big", "Paris"), ("p", 7, "city", "Rome"), ("3", 0, "city", "Bonn")]


def test_conll_output_of_words_keeps_their_columns(tmp_path):
    (document,) = read(tmp_path, "a.conll", "New NNP B-LOC\nYork NNP I-LOC\n! . O\n")
    with document_writer(tmp_path / "b.conll") as write:
        write(document, [entity(0, 8, "a city", document.text)])
    assert (tmp_path / "b.conll").read_text() == (
        "New\tNNP\tB-LOC\tB-a city\nYork\tNNP\tI-LOC\tI-a city\n!\t.\tO\tO\n\n"
    )


def test_conll_output_of_texts_is_read_back_as_labelled_data(tmp_path):
    (document,) = read(tmp_path, "a.txt", "Angela Merkel visited\n\nthe U.S. on May 3rd.")
    spans = [(0, 13, "public figure"), (27, 30, "country"), (35, 42, "date")]
    with document_writer(tmp_path / "b.conll") as write:
        write(document, [entity(*span, document.text) for span in spans])
    (record,) = read_records(tmp_path / "b.conll")
    found = [(record.text[each.start : each.end], each.label) for each in record.entities]
    assert found == [("Angela Merkel", "public figure"), ("U . S", "country"), ("May 3rd", "date")]


@given(data=st.data())
def test_tags_of_whole_words_say_what_the_entities_say(data):
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=12))
    words, position = [], 0
    for length, gap in lengths:
        words.append((position, position + length))
        position += length + gap
    edges = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=8)))
    spans = [(first, last, data.draw(st.sampled_from("XY"))) for first, last in zip(edges[::2], edges[1::2])]
    entities = [entity(words[first][0], words[last - 1][1], name) for first, last, name in spans]
    assert tags_to_spans(bio_tags(words, entities[::-1])) == spans


def test_failure_leaves_the_older_file_and_nothing_else(tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("older")
    (document,) = read(tmp_path, "a.txt", "x")
    with pytest.raises(RuntimeError), document_writer(target) as write:
        write(document, [])
        raise RuntimeError
    assert target.read_text() == "older"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", "out.jsonl"]


@pytest.mark.parametrize(("name", "reason"), [("out.xlsx", "should end in"), ("no/out.csv", "does not exist")])
def test_output_that_cannot_be_written(tmp_path, name, reason):
    with pytest.raises(ValueError, match=reason), document_writer(tmp_path / name):
        pass
