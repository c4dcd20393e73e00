"""Files of texts: what is read from each format, messages for bad rows, and exact round trips."""

import csv
import io
import json
import sys
import zipfile

import pytest
from files import docx_bytes, pdf_bytes
from hypothesis import example, given
from hypothesis import strategies as st
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.files.documents import read_documents
from jpt_ner.tools.files.formats.tags import tags_to_spans
from jpt_ner.tools.files.writers import bio_tags, document_writer, json_line


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
        {
            "id": 7,
            "body": "Paris",
            "entity_types": {"city": "A town."},
            "types": ["cafe"],
            "entities": ["old"],
            "more": None,
        },
        {"body": "Rome", "entity_types": "music"},
        {"body": "Bonn", "entity_types": None, "types": "cafe"},
    ]
    content = "\n\n".join(map(json.dumps, rows))
    first, second, third = read(tmp_path, "a.jsonl", content, text_column="body")
    assert first.entity_types.names == ["city"] and second.entity_types.name == "music" and third.entity_types is None
    assert (first.line, second.line, third.line) == (1, 3, 5)
    without = read(tmp_path, "a.jsonl", content, text_column="body", own_types=False)
    assert [each.entity_types for each in without] == [None] * 3
    assert json.loads(json_line(first, [])) == {**rows[0], "entities": []}


def test_cells_of_tables_bring_types_as_json_or_by_name(tmp_path):
    types = [
        json.dumps({"city": "A town, big or small."}),
        ' ["dish"] ',
        "music",
        "",
        " ",
        '{"city": ',
        '{"city": ""}',
    ]
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["text", "entity_types"], *(["Paris", each] for each in types)])
    bad = []
    found = [each.entity_types for each in read(tmp_path, "a.csv", buffer.getvalue(), on_bad_row=bad.append)]
    assert found == [
        resolve_schema({"city": "A town, big or small."}),
        resolve_schema(["dish"]),
        resolve_schema("music"),
        None,
        None,
    ]
    assert [message.split(": ", 1)[1].split("; ")[0] for message in bad] == [
        "entity_types: broken JSON (Expecting value: line 1 column 10 (char 9))",
        'entity_types: "city" has an empty definition',
    ]


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
    (b'{"text": "a", "entity_types": {"city": ""}}', '"city" has an empty definition'),
    (b'{"text": "a", "entity_types": "nothing-like-it"}', "unknown preset 'nothing-like-it'"),
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
        read_documents(tmp_path / "a.xlsx")
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


@pytest.mark.parametrize("suffix", [".json", ".doccano.jsonl", ".prodigy.jsonl"])
def test_another_field_called_text_is_kept_beside_the_text(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with document_writer(path) as write:
        for document in read(tmp_path, "a.jsonl", '{"text": "A summary.", "body": "Ann left."}\n', text_column="body"):
            write(document, [])
    value = json.loads(path.read_text())
    row = value[0]["data"] if suffix == ".json" else value
    assert (row["text"], row["text.1"], row["body"]) == ("Ann left.", "A summary.", "Ann left.")


@pytest.mark.parametrize(("suffix", "key"), [(".doccano.jsonl", "label"), (".prodigy.jsonl", "answer")])
def test_fields_that_mean_something_else_to_a_program_are_kept(tmp_path, suffix, key):
    path, kept = tmp_path / f"out{suffix}", {"id": 1, "text": "Ann left.", f"{key}.1": "good"}
    with document_writer(path) as write:
        for document in read(tmp_path, "a.jsonl", json.dumps({"id": 1, "text": "Ann left.", key: "good"})):
            write(document, [entity(0, 3, "person", document.text)])
    row = json.loads(path.read_text())
    assert row | kept == row and row.get(key) in (None, [[0, 3, "person"]])
    (record,) = read_records(path)
    assert [each.label for each in record.entities] == ["person"]


def test_the_text_of_given_words_takes_no_other_fields_place(tmp_path):
    content = json.dumps({"text": "Don't!", "tokens": ["Do", "n't", "!"]})
    (document,) = read(tmp_path, "a.jsonl", content, text_column="tokens")
    assert document.row == {"text": "Do n't !", "text.1": "Don't!", "tokens": ["Do", "n't", "!"]}


ROWS_WITHOUT_ID = '{"id": null, "text": "Ann"}\n{"id": "", "text": "Bo"}\n{"text": "Cy"}\n'


@pytest.mark.parametrize("suffix", [".csv", ".conll", ".zip"])
def test_a_blank_id_is_none(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with document_writer(path) as write:
        for document in read(tmp_path, "a.jsonl", ROWS_WITHOUT_ID):
            write(document, [entity(0, len(document.text), "person", document.text)])
    ids = {".csv": ["1", "2", "3"], ".conll": ["out-0", "out-1", "out-2"], ".zip": ["1", "2", "3"]}
    assert [record.id for record in read_records(path)] == ids[suffix]
    assert b"None" not in path.read_bytes()


def test_rows_of_many_files_without_an_id_are_called_by_file_and_line(tmp_path):
    read(tmp_path, "a.jsonl", ROWS_WITHOUT_ID)
    documents = list(read_documents(tmp_path))
    assert [document.row["id"] for document in documents] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    assert [document.title for document in documents] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]


def test_texts_of_an_archive_are_called_by_their_file_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        for name, content in {
            "b.txt": "Bo",
            "a.txt": "Ann",
            "in/c.jsonl": '{"text": "Cy"}\n{"id": 7, "text": "Di"}\n',
        }.items():
            archive.writestr(name, content)
    names = ["a.txt", "b.txt", "in/c.jsonl:1"]
    assert [each.row["id"] for each in read_documents(tmp_path / "texts.zip")] == [*names, 7]
    assert [each.row["id"] for each in read_documents(tmp_path)] == [*(f"texts.zip/{name}" for name in names), 7]


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
    assert record.text == document.text
    found = [(record.text[each.start : each.end], each.label) for each in record.entities]
    assert found == [("Angela Merkel", "public figure"), ("U.S", "country"), ("May 3rd", "date")]


@given(data=st.data())
def test_tags_of_whole_words_say_what_the_entities_say(data):
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=12))
    words, position = [], 0
    for length, gap in lengths:
        words.append((position, position + length))
        position += length + gap
    bounds = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=8)))
    spans = [(first, last, data.draw(st.sampled_from("XY"))) for first, last in zip(bounds[::2], bounds[1::2])]
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


# ---- Word and PDF files ---------------------------------------------------------------------------------------------

TRACKED = """
<w:p><w:r><w:t xml:space="preserve">Paid </w:t></w:r><w:del w:id="1"><w:r><w:delText>late</w:delText></w:r></w:del>
<w:ins w:id="2"><w:r><w:t>in</w:t><w:tab/><w:t>time</w:t></w:r></w:ins></w:p>
<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>
"""


def test_word_file_is_read_in_order_with_tables_insertions_and_controls(tmp_path):
    content = docx_bytes("Ünï 🙂 one.", "", "Two.", table=[["a", "b"], ["c\nd", "e"]], xml=TRACKED)
    (document,) = read(tmp_path, "a.docx", content, text_column="unused here")
    assert document.text == "Ünï 🙂 one.\n\nTwo.\na\tb\nc\nd\te\nPaid in\ttime\nIn a control."


def test_word_files_aligned_tabs_and_readings_above_words(tmp_path):
    ruby = "<w:ruby><w:rt><w:r><w:t>hon</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>本</w:t></w:r></w:rubyBase></w:ruby>"
    xml = f"<w:p><w:r><w:t>Ann</w:t></w:r><w:r><w:ptab/><w:t>Oslo </w:t></w:r><w:r>{ruby}</w:r></w:p>"
    (document,) = read(tmp_path, "a.docx", docx_bytes(xml=xml))
    assert document.text == "Ann\tOslo 本"


def test_pdf_is_read_page_by_page(tmp_path):
    (document,) = read(tmp_path, "a.PDF", pdf_bytes("Marta Kovac lives", "", "in Lisbon."))
    assert document.text == "Marta Kovac lives\n\n\n\nin Lisbon."
    (document,) = read(tmp_path, "a.bin", pdf_bytes("Printing is forbidden.", owner_password="x"), format="pdf")
    assert document.text == "Printing is forbidden."


UNREADABLE = {
    "empty.docx": (b"", "cannot be read as a Word file"),
    "text.docx": (b"just text", "cannot be read as a Word file"),
    "cut.docx": (docx_bytes("x" * 999)[:-200], "cannot be read as a Word file"),
    "blank.docx": (docx_bytes(" ", ""), "the Word file has no text"),
    "old.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "or a Word file with a password"),
    "empty.pdf": (b"", "cannot be read as PDF"),
    "text.pdf": (b"just text", "cannot be read as PDF"),
    "scan.pdf": (pdf_bytes("", ""), "has no text, only pictures of pages"),
    "locked.pdf": (pdf_bytes("x", password="secret"), "the PDF has a password"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_word_and_pdf_files_say_why_in_a_sentence(tmp_path, name):
    content, reason = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        list(read_documents(path))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    messages = []
    assert list(read_documents(path, on_bad_row=messages.append)) == [] and messages == [str(caught.value)]


def test_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(ImportError, match="pip install pypdf"):
        read(tmp_path, "a.pdf", b"x")


# ---- for annotation tools -------------------------------------------------------------------------------------------

EMOJI = "👩‍🚀 Zoë met\r\nthe U.S. team 🙂 in Zürich."


def found_in(text, *spans):
    return [entity(text.index(word), text.index(word) + len(word), name, text) for word, name in spans]


SPANS = [("Zoë", "person"), ("U.S. team", "job / role"), ("Zürich", "city")]


def test_label_studio_tasks_count_characters_as_code_points(tmp_path):
    """As Label Studio does since 1.4, for texts with characters that are two units to JavaScript, too."""
    rows = [{"id": 1, "text": EMOJI, "entities": ["old"], "kept": "x"}, {"text": "none"}]
    documents = read(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with document_writer(tmp_path / "b.json") as write:
        write(documents[0], found_in(EMOJI, *SPANS))
        write(documents[1], [])
    first, second = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert first["data"] == {"id": 1, "text": EMOJI, "kept": "x"} and second["data"] == {"text": "none"}
    assert second["predictions"][0]["result"] == []
    result = first["predictions"][0]["result"]
    assert len({each["id"] for each in result}) == 3
    assert {(each["from_name"], each["to_name"], each["type"]) for each in result} == {("label", "text", "labels")}
    points = list(EMOJI)  # what [...text] is in JavaScript
    for each, (word, name) in zip(result, SPANS, strict=True):
        value = each["value"]
        assert value["labels"] == [name] and value["text"] == word and each["score"] == 0.5
        assert "".join(points[value["start"] : value["end"]]) == word


def test_label_studio_without_documents_is_an_empty_list(tmp_path):
    with document_writer(tmp_path / "b.json"):
        pass
    assert json.loads((tmp_path / "b.json").read_text()) == []


def read_standoff(text, annotations):
    """The entities of a brat file by its grammar, `ID TAB TYPE START END(;START END)* TAB TEXT`."""
    spans = []
    for line in annotations.splitlines():
        if line.startswith("T"):
            _, places, shown = line.split("\t")
            name, places = places.split(" ", 1)
            pieces = [tuple(map(int, piece.split(" "))) for piece in places.split(";")]
            assert shown == " ".join(text[start:end] for start, end in pieces) and not set("\r\n") & set(shown)
            spans.append((pieces[0][0], pieces[-1][1], name))
    return spans


def test_brat_standoff_of_one_document_lies_beside_its_text(tmp_path):
    (document,) = read(tmp_path, "a.txt", EMOJI)
    entities = found_in(EMOJI, *SPANS, ("met\r\nthe", "broken"))
    with document_writer(tmp_path / "b.ann") as write:
        write(document, entities)
    text = (tmp_path / "b.txt").read_bytes().decode()
    annotations = (tmp_path / "b.ann").read_bytes().decode()
    assert text == EMOJI
    names = ["person", "job_role", "city", "broken"]
    assert read_standoff(text, annotations) == [
        (each["start"], each["end"], name) for each, name in zip(entities, names, strict=True)
    ]
    assert "#1\tAnnotatorNotes T1\tscore 0.500\n" in annotations
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", "b.ann", "b.txt"]


def test_brat_standoff_never_overwrites_another_text(tmp_path):
    (document,) = read(tmp_path, "a.txt", EMOJI)
    with document_writer(tmp_path / "a.ann") as write:
        write(document, [])
    assert (tmp_path / "a.txt").read_bytes().decode() == EMOJI
    (tmp_path / "b.txt").write_text("notes")
    with pytest.raises(ValueError, match=r"b\.txt is there and holds another text"):
        with document_writer(tmp_path / "b.ann") as write:
            write(document, [])
    assert (tmp_path / "b.txt").read_text() == "notes" and not (tmp_path / "b.ann").exists()


def test_brat_standoff_of_many_documents_is_an_archive(tmp_path):
    with pytest.raises(ValueError, match="one document only; write a .zip"):
        with document_writer(tmp_path / "b.ann") as write:
            for document in read(tmp_path, "a.txt", "one\ntwo", format="lines"):
                write(document, [])
    rows = [{"id": "a/1", "text": EMOJI}, {"id": "a/1", "text": "in Zürich"}, {"text": "half a pair \ud83d"}]
    documents = read(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with document_writer(tmp_path / "b.zip") as write:
        for document in documents:
            write(document, found_in(document.text, ("in", "a place")) if "in" in document.text else [])
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert "[entities]\na_place\n" in files.pop("annotation.conf")
    assert "\na_place | a place\n" in files.pop("visual.conf")
    assert list(files) == ["a_1.txt", "a_1.ann", "a_1-2.txt", "a_1-2.ann", "3.txt", "3.ann"]
    assert files["3.txt"] == "half a pair \ufffd"
    for name, count in [("a_1", 1), ("a_1-2", 1), ("3", 0)]:
        assert len(read_standoff(files[f"{name}.txt"], files[f"{name}.ann"])) == count
