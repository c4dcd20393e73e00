"""What people really have on disk: encodings, line ends, delimiters, packed files, folders, archives."""

import bz2
import gzip
import io
import json
import lzma
import sys
import tracemalloc
import zipfile
from types import SimpleNamespace

import pytest
from jpt_ner.tools.data.records import Entity, read_records
from jpt_ner.tools.files import opening
from jpt_ner.tools.files.documents import passed_over, read_documents
from jpt_ner.tools.files.formats import json_values, table
from jpt_ner.tools.files.model import ReadOptions

ROWS = "id,text\n1,Jürgen lives in Köln.\n2,Čapek 🙂\n"
TEXTS = ["Jürgen lives in Köln.", "Čapek 🙂"]


def read(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_documents(path, **options))


def texts(path, content, **options):
    return [document.text for document in read(path, content, **options)]


# ---- encodings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.conll", "a.txt"])
def test_encodings_are_found_out_in_every_kind_of_file(tmp_path, encoding, name):
    contents = {
        "a.csv": ROWS,
        "a.jsonl": "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS),
        "a.json": json.dumps([{"text": text} for text in TEXTS], ensure_ascii=False, indent=1),
        "a.conll": "\n".join("".join(f"{word}\n" for word in text.split()) for text in TEXTS),
        "a.txt": "".join(TEXTS),
    }
    assert "".join(texts(tmp_path / name, contents[name].encode(encoding))) == "".join(TEXTS)


def test_other_encodings_are_named_and_then_read(tmp_path):
    content = "text\nJürgen lives in Köln.\n".encode("cp1252")
    with pytest.raises(ValueError, match=r"a\.csv:2: not UTF-8 .*--encoding"):
        read(tmp_path / "a.csv", content)
    assert texts(tmp_path / "a.csv", content, encoding="cp1252") == TEXTS[:1]
    assert texts(tmp_path / "a.txt", "北京".encode("gb18030"), encoding="gb18030") == ["北京"]
    with pytest.raises(ValueError, match=r"a\.txt:1: not UTF-8 .*--encoding"):
        read(tmp_path / "a.txt", content[5:])
    with pytest.raises(ValueError, match="`encoding` 'latin-11' is not known"):
        read_documents(tmp_path / "a.txt", encoding="latin-11")
    with pytest.raises(ValueError, match="`encoding` 'base64' is not known"):
        read_documents(tmp_path / "a.txt", encoding="base64")


def test_the_bytes_that_are_wrong_take_no_row_but_their_own(tmp_path):
    messages = []
    found = texts(tmp_path / "a.csv", b"text\none\nt\xffo\nthree\n", on_bad_row=messages.append)
    assert found == ["one", "three"] and [message.split(":")[1] for message in messages] == ["3"]


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_damaged_utf_16_is_named(tmp_path, name):
    content = {"a.csv": "text\none\nt\ud800wo\n", "a.json": '[\n{"text": "one"},\n{"text": "t\ud800wo"}\n]'}[name]
    messages = []
    damaged = "\ufeff".encode("utf-16-le") + content.encode("utf-16-le", "surrogatepass")
    assert texts(tmp_path / name, damaged, on_bad_row=messages.append) == ["one"]
    assert len(messages) == 1 and messages[0].startswith(f"{tmp_path / name}:3: not utf-16; save it as UTF-8")


@pytest.mark.parametrize("frame", ["[\n{},\n{},\n{}\n]\n", "{}\n{}\n{}\n"])
def test_wrong_bytes_in_json_over_many_lines_are_named_too(tmp_path, frame):
    content = frame.format(*(json.dumps({"text": text}, indent=1) for text in ("one", "caf?", "three")))
    content = content.encode().replace(b"caf?", b"caf\xe9")
    messages = []
    assert texts(tmp_path / "a.json", content, on_bad_row=messages.append) == ["one", "three"]
    line = content[: content.index(b"\xe9")].count(b"\n") + 1
    assert len(messages) == 1 and messages[0].startswith(f"{tmp_path / 'a.json'}:{line}: not UTF-8 ")
    assert texts(tmp_path / "a.json", content, encoding="cp1252") == ["one", "café", "three"]


# ---- line ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path, end):
    rows = ROWS.replace("\n", end)
    assert texts(tmp_path / "a.csv", rows) == TEXTS
    assert texts(tmp_path / "a.tsv", rows.replace(",", "\t")) == TEXTS
    lines = end.join(json.dumps({"text": text}) for text in TEXTS)
    assert texts(tmp_path / "a.jsonl", lines) == TEXTS
    assert texts(tmp_path / "a.txt", end.join(TEXTS), format="lines") == TEXTS
    (tmp_path / "b.conll").write_bytes(f"Bob B-PER{end}left O{end}{end}Rome B-LOC{end}".encode())
    assert [record.text for record in read_records(tmp_path / "b.conll")] == ["Bob left", "Rome"]


def test_line_ends_within_cells_and_texts_stay(tmp_path):
    content = 'text,n\r\n"one\rtwo\r\nthree\nfour",1\r\n'
    assert texts(tmp_path / "a.csv", content) == ["one\rtwo\r\nthree\nfour"]
    assert texts(tmp_path / "a.txt", "one\rtwo\r\n") == ["one\rtwo\r\n"]
    assert texts(tmp_path / "a.txt", "one\rstill\nrest", format="lines") == ["one\rstill", "rest"]


# ---- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found_out(tmp_path, delimiter):
    content = (
        delimiter.join(("id", "text", "note, or none; as it is")) + "\n" + delimiter.join(("1", "Bob", '"a,b;c"'))
    )
    (document,) = read(tmp_path / "a.csv", content.replace("note, or none; as it is", '"note, or none; as it is"'))
    assert document.row == {"id": "1", "text": "Bob", "note, or none; as it is": "a,b;c"}


def test_delimiters_are_told_by_excel_or_the_caller(tmp_path):
    assert texts(tmp_path / "a.csv", "sep=;\r\nid;text\r\n1;a, b\r\n") == ["a, b"]
    assert texts(tmp_path / "a.csv", "id#text\n1#a, b\n", delimiter="#") == ["a, b"]
    assert texts(tmp_path / "a.csv", 'text\tn\n"a ""b""\tc"\t1\n', delimiter="tab") == ['a "b"\tc']
    with pytest.raises(ValueError, match="`delimiter` should be one character"):
        read_documents(tmp_path / "a.csv", delimiter="::")


def test_columns_of_a_table_are_known_before_its_text_is():
    for name, content in [
        ("a.csv", "\ufeffid;body;note\n1;x, y;z".encode("utf-16")),
        ("a.csv", b"sep=;\r\nid;body;note\r\n"),
        ("a.tsv", b"id\tbody\tnote\r1\tx\t\r"),
        ("a.csv.gz", gzip.compress(b'id,"body",note\n')),
    ]:
        assert table.header_of(opening.Source(io.BytesIO(content), name, name)) == ["id", "body", "note"], content
    for content in (b"", b"\0\n", b"\xff\xfe"):
        assert isinstance(table.header_of(opening.Source(io.BytesIO(content), "a.csv", "a.csv")), list)


def test_a_blank_text_is_one_and_a_blank_line_is_none(tmp_path):
    assert texts(tmp_path / "a.csv", 'text\none\n""\n\nthree\n') == ["one", "", "three"]
    assert texts(tmp_path / "a.tsv", "text\tn\none\t1\n\t2\n\nthree\t3\n") == ["one", "", "three"]


def test_quotation_marks_in_tsv_are_characters(tmp_path):
    content = 'id\ttext\n1\t"To be or not to be\n2\ta "b" c"\n3\t"whole"\n'
    documents = read(tmp_path / "a.tsv", content)
    assert [document.row for document in documents] == [
        {"id": "1", "text": '"To be or not to be'},
        {"id": "2", "text": 'a "b" c"'},
        {"id": "3", "text": '"whole"'},
    ]
    with pytest.raises(ValueError, match=r"a\.tsv:2: has 1 cells .*--input-format csv --delimiter tab"):
        read(tmp_path / "a.tsv", 'id\ttext\n"a\n')


def test_a_quoted_cell_without_an_end_is_named_by_its_line(tmp_path):
    content = 'id,text\n1,"closed\n""here"""\n2,fine\n3,"never closed, ""or\n4,lost\n'
    messages = []
    assert texts(tmp_path / "a.csv", content, on_bad_row=messages.append) == ['closed\n"here"', "fine"]
    assert (
        len(messages) == 1 and "a.csv:5: the cell whose quotation mark stands on line 5 is never closed" in messages[0]
    )
    content = 'id,text\n1,"a\nb"\n"2\n3",x,"open\n'
    with pytest.raises(ValueError, match=r"a\.csv:4: the cell whose quotation mark stands on line 5 is never closed"):
        read(tmp_path / "a.csv", content)


def test_quotation_marks_that_are_not_doubled_lose_nothing_in_silence(tmp_path):
    messages = []
    content = 'text,n\n"He said "yes" twice",1\na 5" pipe,2\n'
    assert texts(tmp_path / "a.csv", content, on_bad_row=messages.append) == ['a 5" pipe']
    assert "a.csv:2: a quotation mark in a quoted cell has to be doubled" in messages[0]


def test_repeated_columns_take_nobodys_place(tmp_path):
    with pytest.raises(ValueError, match="the column 'text' stands 2 times in the header"):
        read(tmp_path / "a.csv", "id,text,text\n1,a,b\n")
    (document,) = read(tmp_path / "a.csv", "note,text,note,note.1,note\n1,a,2,3,4\n")
    assert document.row == {"note": "1", "text": "a", "note.1": "2", "note.1.1": "3", "note.2": "4"}


# ---- packed, folders, archives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["{}\n{}\n", "[\n{},\n{}]"])
def test_repeated_keys_of_json_are_named(tmp_path, frame):
    messages = []
    content = frame.format('{"text": "Ann", "meta": {"a": 1, "a": 2}}', '{"text": "Bo"}')
    assert texts(tmp_path / "a.jsonl", content, on_bad_row=messages.append) == ["Bo"]
    line = 1 if content.startswith("{") else 2
    assert messages == [f"{tmp_path / 'a.jsonl'}:{line}: the key 'a' stands twice in one object"]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_files_are_known_by_suffix_and_by_content(tmp_path, suffix, pack):
    assert texts(tmp_path / f"a.csv{suffix}", pack(ROWS.encode())) == TEXTS
    assert texts(tmp_path / "a.csv", pack(ROWS.encode())) == TEXTS
    with pytest.raises(ValueError, match="damaged"):
        read(tmp_path / f"b.csv{suffix}", pack(ROWS.encode() * 10)[:-9])


def test_standard_input_is_read_as_it_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(gzip.compress(ROWS.encode("utf-16")))))
    assert [document.text for document in read_documents("-", format="csv")] == TEXTS


BOMBS = {"a.jsonl": b"", "a.json": b'["', "a.csv": b'text\n"', "a.conll": b""}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_read_as_a_stream_and_refused(tmp_path, monkeypatch, name):
    for module in (opening, table, json_values):
        monkeypatch.setattr(module, "MAX_LINE", 2**17)
    with gzip.open(tmp_path / f"{name}.gz", "wb") as file:
        file.write(BOMBS[name])
        for _ in range(256):
            file.write(b" " * 2**16)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"{name}\.gz.*(more than 131,072 characters|is never closed)"):
            read_records(tmp_path / f"{name}.gz", types={"x": "y"})
        assert tracemalloc.get_traced_memory()[1] < 2**22  # of 16 MB
    finally:
        tracemalloc.stop()


def test_folders_and_patterns_stand_for_their_files(tmp_path):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("second")
    (folder / "a.txt").write_text("first")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "deep" / "c.jsonl").write_text('{"id": 7, "text": "third"}\n{"text": "fourth"}\n')
    found = [(document.row["id"], document.text) for document in read_documents(folder)]
    assert found == [("a.txt", "first"), ("b.txt", "second"), (7, "third"), ("deep/c.jsonl:2", "fourth")]
    assert [document.text for document in read_documents(f"{folder}/*.txt")] == ["first", "second"]
    with pytest.raises(ValueError, match=r"no file matches '.*\*\.csv'"):
        read_documents(f"{folder}/*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no files"):
        read_documents(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"c\.jsonl:3: broken JSON"):
        (folder / "deep" / "c.jsonl").write_text('{"text": "third"}\n{"text": "fourth"}\n{')
        list(read_documents(folder))


def test_files_that_are_passed_over_are_named(tmp_path):
    for name in ("a.txt", "a.ann", "b.csv.gz", *(f"{number}.rtf" for number in range(6))):
        (tmp_path / name).write_text("")
    assert passed_over(tmp_path, ReadOptions()) == (
        f"skipped, as no format is known by their suffix: {', '.join(f'{tmp_path}/{n}.rtf' for n in range(5))} and 1 more"
    )
    assert passed_over(tmp_path / "*.txt", ReadOptions()) is None
    assert passed_over(tmp_path, ReadOptions(format="text")) is None


def test_archives_hold_files_of_any_format(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("export/all.jsonl", '{"text": "Bob", "label": [[0, 3, "PER"]]}\n')
        archive.writestr("__MACOSX/export/._all.jsonl", b"\0\1")
        archive.writestr("notes.conll", "Rome B-LOC\n")
    records = read_records(tmp_path / "a.zip")
    assert [(record.text, record.entities) for record in records] == [
        ("Bob", [Entity(0, 3, "PER")]),
        ("Rome", [Entity(0, 4, "LOC")]),
    ]
    (tmp_path / "b.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"b\.zip: cannot be read as an archive"):
        list(read_documents(tmp_path / "b.zip"))


@pytest.mark.parametrize(("suffix", "way"), [("xlsx", "save it as CSV"), ("spacy", "to_json")])
def test_formats_that_are_not_read_say_what_to_do(tmp_path, suffix, way):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"PK")
    for reads in (read_documents, read_records):
        with pytest.raises(ValueError, match=f"not known by its suffix.*{way}"):
            list(reads(path))
