"""Redaction of files: every format, columns, folders, reports, pseudonyms on disk, and inputs that are never overwritten."""

import csv
import json
import os
import sys

import pytest
from files import docx_bytes, pdf_bytes
from jpt_ner.tools import cli
from jpt_ner.tools.commands import redaction as command
from jpt_ner.tools.redaction import mapping as stored
from jpt_ner.tools.redaction.mapping import MappingFile
from typer.testing import CliRunner

TEXT = "Anna Berg called Tom Hill."
REDACTED = "[PERSON NAME] called [PERSON NAME]."
KEY = "a key of some length"
WORDS = {"Anna Berg": 0.9, "Tom Hill": 0.8, "Berg": 0.9, "Hill": 0.2}


def pipeline(texts, entity_types, threshold, **options):
    """Stands in for a model: finds the longest of these words, wherever they stand."""
    for text in texts:
        found, position = [], 0
        while position < len(text):
            word = next((each for each in WORDS if text.startswith(each, position)), None)
            if word:
                place = {"start": position, "end": position + len(word), "word": word}
                found.append({"entity_group": "person name", "score": WORDS[word], **place})
            position += len(word or "x")
        yield found


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(command, "load_pipeline", lambda *_, **__: pipeline)
    monkeypatch.setenv("JPT_KEY", KEY)


def run(*arguments, input=None, code=0):
    result = CliRunner().invoke(cli.app, ["redact", *map(str, arguments)], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def refused(*arguments):
    result = run(*arguments, code=2)
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- ways in and out ------------------------------------------------------------------------------------------------


def test_texts_and_standard_input():
    assert run(TEXT).stdout == REDACTED + "\n"
    result = run("-", input=f"{TEXT}\r\nHill was here.\r\n")
    assert result.stdout_bytes.decode() == f"{REDACTED}\r\nHill was here.\r\n"
    assert "changed 2 (person name 2) in 1 text" in result.stderr
    assert "below the threshold: 1 (person name 1)" in result.stderr


@pytest.mark.parametrize("suffix", [".txt", ".docx", ".pdf"])
def test_documents_are_written_as_text(tmp_path, suffix):
    content = {".txt": TEXT.encode(), ".docx": docx_bytes(TEXT), ".pdf": pdf_bytes(TEXT)}[suffix]
    (tmp_path / f"in{suffix}").write_bytes(content)
    run("-i", tmp_path / f"in{suffix}", "-o", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().strip() == REDACTED
    assert "should end in .txt or .md" in refused("-i", tmp_path / f"in{suffix}", "-o", tmp_path / "out.pdf")


def test_rows_of_json_keep_their_other_columns_which_are_told(tmp_path):
    rows = [{"id": 7, "body": TEXT, "to": "Anna Berg", "n": [1]}, {"id": 8, "body": "", "to": None, "n": [2]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    call = ["-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--text-column", "body"]
    assert "columns kept as they are: 'id', 'to', 'n'" in run(*call).stderr
    assert lines_of(tmp_path / "out.jsonl") == [{**rows[0], "body": REDACTED}, rows[1]]
    assert "'id', 'n'" in run(*call, "--also", "to").stderr
    assert lines_of(tmp_path / "out.jsonl")[0] == {**rows[0], "body": REDACTED, "to": "[PERSON NAME]"}
    before = (tmp_path / "out.jsonl").read_bytes()
    assert "no row of in.jsonl has 'too'" in refused(*call, "--also", "too")
    assert "'n' should be a text, got a list" in refused(*call, "--also", "n")
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_annotations_do_not_carry_the_words_along(tmp_path):
    tagged = {"text": TEXT, "entities": [{"start": 0, "end": 9, "word": "Anna Berg", "entity_group": "person"}]}
    exported = {"id": 3, "text": TEXT, "label": [[0, 9, "PER"]], "author": "Tom Hill"}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (tagged, exported)))
    assert "annotations hold words" in run("-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl").stderr
    assert lines_of(tmp_path / "out.jsonl") == [{"text": REDACTED}, {"id": 3, "text": REDACTED}]
    with open(tmp_path / "in.csv", "w", newline="") as file:  # a shard of a job
        csv.writer(file).writerows([["id", "text", "entities"], ["1", TEXT, json.dumps(tagged["entities"])]])
    run("-i", tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes().decode() == f"id,text\r\n1,{REDACTED}\r\n"


@pytest.mark.parametrize(("name", "delimiter"), [("in.csv", ","), ("in.csv", ";"), ("in.tsv", "\t")])
def test_tables_stay_tables(tmp_path, name, delimiter):
    with open(tmp_path / name, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["n", "text"], ["1", TEXT], ["2", "Nobody"]])
    output = tmp_path / f"out{name[2:]}"
    run("-i", tmp_path / name, "-o", output)
    with open(output, newline="") as file:
        rows = list(csv.reader(file, delimiter="\t" if name == "in.tsv" else ","))
    assert rows == [["n", "text"], ["1", REDACTED], ["2", "Nobody"]]


def test_cells_of_tsv_that_would_be_divided_are_refused(tmp_path):
    (tmp_path / "in.tsv").write_text(f"n;text;m\n1;{TEXT}\tx;2\n")
    assert "a cell holds '\\t'" in refused("-i", tmp_path / "in.tsv", "-o", tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()
    run("-i", tmp_path / "in.tsv", "-o", tmp_path / "out.tsv", "--delimiter", ";")
    assert (tmp_path / "out.tsv").read_text() == f"n;text;m\n1;{REDACTED}\tx;2\n"


def test_a_column_that_is_named_twice_is_redacted_once(tmp_path):
    (tmp_path / "in.csv").write_text(f"text\n{TEXT}\n")
    told = run("-i", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--also", "text").stderr
    assert "changed 2 (person name 2) in 1 text" in told


def test_a_folder_of_files_and_its_report(tmp_path):
    source = tmp_path / "letters"
    (source / "old").mkdir(parents=True)
    (source / "a.txt").write_text(f"{TEXT} Hill.")
    (source / "old" / "a.pdf").write_bytes(pdf_bytes(TEXT))
    (source / "old" / "rows.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")
    (source / "old" / "empty.pdf").write_bytes(pdf_bytes(""))
    (source / "sums.xlsx").write_text("not read")
    call = ["-i", source, "-o", tmp_path / "out", "--report", tmp_path / "report.jsonl"]
    assert "empty.pdf" in refused(*call)
    (stopped,) = [line["stopped"] for line in lines_of(tmp_path / "report.jsonl") if "stopped" in line]
    assert "empty.pdf" in stopped and (tmp_path / "out" / "a.txt").is_file()
    result = run(*call, "--skip-bad")
    assert "left out, as it cannot be redacted: sums.xlsx" in result.stderr and "empty.pdf" in result.stderr
    written = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert written == {"a.txt", "old/a.pdf.txt", "old/rows.jsonl"}
    *mentions, summary = lines_of(tmp_path / "report.jsonl")
    assert summary["texts"] == 3 and summary["changed"] == {"person name": 6} and summary["kept"] == {"person name": 1}
    text = (tmp_path / "out" / "a.txt").read_text()
    for each in mentions:
        if each["action"] == "changed":
            assert each["file"] != "a.txt" or text[each["new_start"] : each["new_end"]] == each["replacement"]
    kept = [each["word"] for each in mentions if each["action"] == "kept"]
    assert kept == ["Hill"] and "Anna" not in (tmp_path / "report.jsonl").read_text()


# ---- inputs are never overwritten -----------------------------------------------------------------------------------


def test_what_is_read_is_never_written_over(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text(TEXT)
    os.symlink(source, tmp_path / "link.txt")
    os.link(source, tmp_path / "hard.txt")
    (tmp_path / "sub").mkdir()
    os.symlink(tmp_path, tmp_path / "sub" / "up")
    for other in ("in.txt", "link.txt", "hard.txt", "IN.txt", "sub/../in.txt", "sub/up/in.txt"):
        assert "is a file that is read" in refused("-i", source, "-o", tmp_path / other)
    assert "is a file that is read" in refused("-i", tmp_path / "link.txt", "-o", source)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": TEXT}))
    report = ["--report", tmp_path / "rows.jsonl"]
    assert "is a file that is read" in refused("-i", tmp_path / "rows.jsonl", "-o", tmp_path / "out.jsonl", *report)
    assert "would be one file" in refused("-i", source, "-o", tmp_path / "o.txt", "--report", tmp_path / "O.TXT")
    for output in (tmp_path, tmp_path / "sub", tmp_path / "sub" / "new"):
        assert "apart from the one that is read" in refused("-i", tmp_path, "-o", output)
    assert source.read_text() == TEXT and not (tmp_path / "out.jsonl").exists()


def test_names_that_differ_in_case_alone_are_told_apart_before_anything_is_written(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "A.txt"):
        (tmp_path / "in" / name).write_text(TEXT)
    if len(os.listdir(tmp_path / "in")) == 2:
        assert "would be one file" in refused("-i", tmp_path / "in", "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a text or --input"),
        ([TEXT, "--mapping", "m"], "--mapping goes with --method pseudonyms"),
        ([TEXT, "--method", "pseudonyms", "--mapping", "m"], "give its key"),
        ([TEXT, "--method", "hash"], "needs a key"),
        ([TEXT, "--key-env", "JPT_KEY"], "a key is for --method hash"),
        ([TEXT, "--method", "hash", "--key-env", "NONE"], "no environment variable 'NONE'"),
        (["-i", "in.conll"], "conll is not redacted"),
        (["-i", "in.zip"], "unpack it"),
        (["-i", "none.txt"], "none.txt"),
        (["-i", "in.txt", "--also", "x"], "--also: names columns"),
        (["-i", "*.txt"], "name a folder"),
        (["-i", "in.txt", "--report", "report.csv"], "--report: should end in .jsonl"),
        (["-i", "in.txt", "-o", "no/where.txt"], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in.txt", "in.conll", "in.zip"):
        (tmp_path / name).write_text("Anna O\n")
    assert message in refused(*arguments)


# ---- pseudonyms on disk ---------------------------------------------------------------------------------------------


def test_pseudonyms_are_not_written_unless_asked_and_are_the_same_in_all_files(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(TEXT)
    run("-i", tmp_path / "in", "-o", tmp_path / "out", "--method", "pseudonyms")
    first, second = ((tmp_path / "out" / name).read_text() for name in ("a.txt", "b.txt"))
    assert first == second != TEXT and "called" in first
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


@pytest.mark.parametrize("way", ["text", "standard input", "file", "output", "pipe"])
@pytest.mark.parametrize("fails", [True, False])
def test_pseudonyms_are_saved_before_any_of_them_is_shown(tmp_path, monkeypatch, way, fails):
    shown_at_save, saved = [], []

    class Mapping:
        """Stands in for the encrypted file, which needs a package."""

        def __init__(self, path, key):
            self.path = path

        def read(self):
            return None

        def write(self, content):
            shown_at_save.append(shown())
            if fails:
                raise OSError("the disk is full")
            saved.append({**content["words"]})

    monkeypatch.setattr(stored, "MappingFile", Mapping)
    (tmp_path / "in.txt").write_text(TEXT)
    output = tmp_path / "out.txt"
    inputs = ["-i", tmp_path / "in.txt"]
    arguments = {"text": [TEXT], "standard input": ["-"], "file": inputs}.get(way, [*inputs, "-o", output])
    if way == "pipe":
        os.mkfifo(output)
        end = os.open(output, os.O_RDONLY | os.O_NONBLOCK)

    def shown():
        if way == "pipe":
            try:
                return os.read(end, 1000).decode()
            except BlockingIOError:  # open, and empty
                return ""
        if way == "output":
            return output.read_text() if output.exists() else ""
        sys.stdout.flush()
        return sys.stdout.buffer.getvalue().decode()  # what the runner captures

    call = [*arguments, "--method", "pseudonyms", "--mapping", tmp_path / "names", "--key-env", "JPT_KEY"]
    result = run(*call, input=TEXT, code=2 if fails else 0)
    assert shown_at_save == [""]
    text = shown() if way in ("pipe", "output") else result.stdout
    if fails:
        assert text == "" and "the disk is full" in result.stderr
    else:
        assert text.split()[0].casefold() == saved[0]["anna"].casefold() != "anna"


@pytest.mark.extras
def test_the_file_of_pseudonyms_goes_on_and_opens_with_its_key_alone(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    (tmp_path / "in.txt").write_text(TEXT)
    mapping = tmp_path / "names.json"
    call = ["-i", tmp_path / "in.txt", "--method", "pseudonyms", "--mapping", mapping, "--key-env", "JPT_KEY"]
    first = run(*call).stdout
    assert run(*call).stdout == first == run(TEXT, *call[2:]).stdout.rstrip("\n")
    content = mapping.read_text().casefold()
    assert "anna" not in content and first.split()[0].casefold() not in content
    assert mapping.stat().st_mode & 0o077 == 0
    words = MappingFile(mapping, KEY.encode()).read()["words"]
    assert words["anna"].casefold() == first.split()[0].casefold()
    before = mapping.read_bytes()
    monkeypatch.setenv("JPT_KEY", "another key of some length")
    assert "written with another key" in refused(*call)
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    assert "is not a file of pseudonyms" in refused(*call[:4], "--mapping", mine, "--key-env", "JPT_KEY")
    assert mapping.read_bytes() == before and mine.read_text() == "{}"


def test_without_the_package_the_file_is_refused_at_once(tmp_path, monkeypatch):
    from jpt_ner import optional_jpt

    monkeypatch.setattr(optional_jpt.importlib.util, "find_spec", lambda name: None)
    call = ["--method", "pseudonyms", "--mapping", tmp_path / "names.json", "--key-env", "JPT_KEY"]
    assert "needs cryptography: `pip install cryptography`" in refused(TEXT, *call)
