"""Jobs over many files: what is kept, what a resumed job repeats, what is refused."""

import csv
import datetime
import decimal
import errno
import json
import os
import signal
import zipfile
from types import SimpleNamespace

import pytest
from filelock import FileLock
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools import cli
from jpt_ner.tools.bulk import job as jobs
from jpt_ner.tools.bulk.inputs import are_tables, find_inputs
from jpt_ner.tools.bulk.job import TaggingJob, run_job
from jpt_ner.tools.data.records import read_records
from jpt_ner.tools.files.model import ReadOptions
from jpt_ner.tools.loading import load_pipeline
from tiny import tiny_tokenizer
from typer.testing import CliRunner

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SCHEMA = resolve_schema({"name": "A word that begins with a capital letter."})
MODEL = "stand-in"


class StandIn:
    """Finds words in capitals. Refuses texts with `refuse` in them; fails as specified after a number of texts."""

    model = SimpleNamespace(config=SimpleNamespace(entity_types=None))

    def __init__(self, stop_after=None, how=None):
        self.read, self.stop_after, self.how = [], stop_after, how

    def __call__(self, items, is_split_into_words, entity_types, **options):
        for item in items:
            text = item["text"]
            if text == "Word":  # the types are tried
                yield []
                continue
            if self.stop_after is not None and len(self.read) >= self.stop_after:
                raise self.how
            if "refuse" in text:
                raise ValueError("`inputs[0]`: refused")
            self.read.append(text)
            found = entities_of(" ".join(text) if is_split_into_words else text)
            if is_split_into_words:
                found = [
                    {**each, **dict.fromkeys(("first_word", "last_word"), text.index(each["word"]))} for each in found
                ]
            yield found


def entities_of(text):
    start, found = 0, []
    for word in text.split(" "):
        if word[:1].isupper():
            found.append(
                {"entity_group": "name", "score": 0.5, "word": word, "start": start, "end": start + len(word)}
            )
        start += len(word) + 1
    return found


@pytest.fixture(autouse=True)
def named_model(monkeypatch):
    monkeypatch.setattr(jobs, "about_model", lambda model: {"name": model, "revision": f"of {model}"})


def texts(count, first=0):
    return [f"text {number} by Ada" for number in range(first, first + count)]


def write_jsonl(path, count, first=0):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text, "n": [1]}) + "\n" for text in texts(count, first)))


def start(tmp_path, pipeline=None, told=None, **values):
    """Runs a job over `tmp_path/in`, with blocks of 16 rows."""
    options = {"finding": {"batch_size": 2}, "shard_rows": 40, **values}
    options.setdefault("inputs", [str(tmp_path / "in")])
    model, schema = options.pop("model", MODEL), options.pop("schema", SCHEMA)
    job = TaggingJob(output=tmp_path / "out", schema=schema, model=model, **options)
    return run_job(job, lambda: pipeline or StandIn(), (told if told is not None else []).append)


def shards(tmp_path):
    return sorted((tmp_path / "out/shards").iterdir())


def rows(tmp_path):
    return [json.loads(line) for path in shards(tmp_path) for line in path.read_text().splitlines()]


def parquet_rows(tmp_path):
    return pq.read_table(tmp_path / "out/shards").to_pylist()


# ---- output ---------------------------------------------------------------------------------------------------------


def test_parquet_keeps_all_columns_with_their_types(tmp_path):
    (tmp_path / "in").mkdir()
    fields = {
        "body": pa.string(),
        "when": pa.timestamp("us", "UTC"),
        "price": pa.decimal128(9, 2),
        "small": pa.int8(),
        "data": pa.binary(),
        "nested": pa.struct([("a", pa.list_(pa.float32()))]),
        "kind": pa.dictionary(pa.int32(), pa.string()),
    }
    value = {
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "price": decimal.Decimal("1.50"),
        "small": None,
        "data": b"\xff",
        "nested": {"a": [0.5]},
        "kind": "x",
    }
    values = [{"body": text, **value} for text in texts(100)]
    for number in range(2):
        part = pa.Table.from_pylist(values[50 * number : 50 * number + 50], pa.schema(list(fields.items())))
        pq.write_table(part, tmp_path / f"in/{number}.parquet", row_group_size=7)
    counts = start(tmp_path, reading={"text_column": "body"})
    assert (counts.rows, counts.bad_rows, counts.entities, counts.shards) == (100, 0, 100, 3)
    table = pq.read_table(tmp_path / "out/shards")
    assert {name: table.schema.field(name).type for name in fields} == fields
    found = table.to_pylist()
    assert [{name: row[name] for name in fields} for row in found] == values
    assert [row["entities"] for row in found] == [entities_of(text) for text in texts(100)]
    assert [row["id"] for row in found] == [f"{n // 50}.parquet:{n % 50 + 1}" for n in range(100)]
    assert [pq.read_metadata(path).num_rows for path in shards(tmp_path)] == [40, 40, 20]


def test_manifest_says_what_the_job_was(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 3)
    start(tmp_path, finding={"batch_size": 2, "nested": True})
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["state"] == "done" and manifest["model"] == {"name": MODEL, "revision": f"of {MODEL}"}
    assert manifest["types"]["entity_types"] == SCHEMA.to_dict()["entity_types"] and manifest["types"]["sha256"]
    assert manifest["counts"] == {"rows": 3, "bad_rows": 0, "entities": 3, "shards": 1}
    assert manifest["settings"]["nested"] is True
    assert resolve_schema(str(tmp_path / "out/types.yaml")) == SCHEMA


def test_rows_of_json_lines_and_of_tables_stay_as_they_are(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 3)
    start(tmp_path)
    assert rows(tmp_path)[2] == {
        "id": "a.jsonl:3",
        "text": texts(3)[2],
        "n": [1],
        "entities": entities_of(texts(3)[2]),
    }
    (tmp_path / "b").mkdir()
    with open(tmp_path / "b/in.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text", "note"], *([text, "=1,\n"] for text in texts(3))])
    run_job(
        TaggingJob([str(tmp_path / "b/in.csv")], tmp_path / "b/out", SCHEMA, MODEL, finding={"batch_size": 2}),
        StandIn,
        print,
    )
    with open(tmp_path / "b/out/shards/part-00000.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["id"], row["text"], row["note"]) for row in found] == [
        (f"in.csv:{n + 2}", text, "=1,\n") if n == 0 else (row["id"], text, "=1,\n")
        for n, (row, text) in enumerate(zip(found, texts(3)))
    ]
    assert [json.loads(row["entities"]) for row in found] == [entities_of(text) for text in texts(3)]
    records = read_records(tmp_path / "b/out/shards/part-00000.csv")
    assert [[each.label for each in record.entities] for record in records] == [["name"]] * 3


def test_what_does_not_fit_the_first_rows_is_kept_in_parquet(tmp_path):
    (tmp_path / "in").mkdir()
    values = [{"id": n, "text": text, "n": n, "tags": ["a"]} for n, text in enumerate(texts(60))]
    values[50] |= {"n": "many", "extra": {"a": [1]}, "tags": [1]}
    values[51]["text"] += " B\ud800\u2028"
    (tmp_path / "in/a.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, StandIn(56, KeyboardInterrupt()), format="parquet")
    start(tmp_path, format="parquet")
    found = parquet_rows(tmp_path)
    assert [row["n"] for row in found] == [*range(50), None, *range(51, 60)]
    assert json.loads(found[50]["other_fields"]) == {"n": "many", "extra": {"a": [1]}, "tags": [1]}
    assert {row["other_fields"] for row in found[:50] + found[51:]} == {None}
    assert found[51]["text"].endswith(" B\ufffd\u2028") and found[1]["tags"] == ["a"]
    assert [each["word"] for each in found[51]["entities"]] == ["Ada", "B\ufffd\u2028"]


def test_a_table_becomes_parquet_though_the_job_was_stopped(tmp_path):
    (tmp_path / "in").mkdir()
    rows = "".join(f"{n},{text},x{n}\n" for n, text in enumerate(texts(60)))
    (tmp_path / "in/a.csv").write_text(f"id,text,other_fields\n{rows}")
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, StandIn(56, KeyboardInterrupt()), format="parquet")
    start(tmp_path, format="parquet")
    found = parquet_rows(tmp_path)
    assert [row["text"] for row in found] == texts(60)
    assert [json.loads(row["other_fields"]) for row in found] == [{"other_fields": f"x{n}"} for n in range(60)]


def test_bad_rows_stand_in_a_file_with_the_reason(tmp_path):
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"id": f"r{n}", "text": text}) for n, text in enumerate(texts(40))]
    lines[3], lines[5], lines[20] = '{"text": ', '{"id": "r5"}', json.dumps({"id": "r20", "text": "refuse this"})
    (tmp_path / "in/a.jsonl").write_text("\n".join(lines))
    counts = start(tmp_path)
    assert (counts.rows, counts.bad_rows) == (40, 3)
    bad = [json.loads(line) for line in (tmp_path / "out/bad-rows.jsonl").read_text().splitlines()]
    assert [(each["file"], each["line"], each.get("id")) for each in bad] == [
        ("a.jsonl", 4, None),
        ("a.jsonl", 6, "r5"),
        ("a.jsonl", 21, "r20"),
    ]
    assert "broken JSON" in bad[0]["reason"] and "has no 'text'" in bad[1]["reason"] and bad[2]["reason"] == "refused"
    assert [row["id"] for row in rows(tmp_path)] == [f"r{n}" for n in range(40) if n not in (3, 5, 20)]


def test_rows_of_parquet_without_text_are_bad(tmp_path):
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [7, 8, 9], "text": ["Ada", None, "Bob"]}), tmp_path / "in/a.parquet")
    start(tmp_path)
    assert [row["id"] for row in parquet_rows(tmp_path)] == [7, 9]
    (bad,) = map(json.loads, (tmp_path / "out/bad-rows.jsonl").read_text().splitlines())
    assert bad["line"] == 2 and "should be a text" in bad["reason"]


def test_word_numbers_are_kept_beside_texts_in_parquet(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 60)
    sentences = "".join(f"by O\nAda{number} B-PER\n\n" for number in range(60))
    (tmp_path / "in/b.conll").write_text(sentences)
    start(tmp_path, format="parquet")
    assert len({pq.read_schema(path).serialize().to_pybytes() for path in shards(tmp_path)}) == 1
    found = [(row["first_word"], row["last_word"]) for each in parquet_rows(tmp_path) for row in each["entities"]]
    assert len(shards(tmp_path)) == 3 and found == [(None, None)] * 60 + [(1, 1)] * 60


@pytest.mark.parametrize(("texts", "names"), [(["Ada"], set()), ([["by", "Ada"]], {"first_word", "last_word"})])
def test_word_numbers_of_parquet_are_those_of_its_type(tmp_path, texts, names):
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": texts}), tmp_path / "in/a.parquet")
    start(tmp_path)
    (row,) = parquet_rows(tmp_path)
    (entity,) = row["entities"]
    assert entity.keys() & {"first_word", "last_word"} == names


def test_conll_files_called_tsv_are_no_tables(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("Ada", "Bob"):
        (tmp_path / f"in/{name}.tsv").write_text(f"{name}\tB-PER\nleft\tO\n")
    inputs = find_inputs([str(tmp_path / "in")], tmp_path / "out", ReadOptions())
    assert [are_tables([each], ReadOptions()) for each in inputs] == [False, False]
    start(tmp_path)
    assert [row["text"] for row in rows(tmp_path)] == ["Ada left", "Bob left"]
    (tmp_path / "in/Bob.tsv").write_text("id\ttext\n1\tBob\n")
    assert [are_tables([each], ReadOptions()) for each in inputs] == [False, True]
    assert not are_tables(inputs, ReadOptions()) and are_tables(inputs, ReadOptions(format="tsv"))


def test_texts_of_an_archive_have_ids_of_their_own(tmp_path):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/texts.zip", "w") as archive:
        for name, content in {"a.txt": "Ada", "b.txt": "Bob", "c.jsonl": '{"text": "Cy"}\n'}.items():
            archive.writestr(name, content)
    start(tmp_path)
    assert [row["id"] for row in rows(tmp_path)] == [f"texts.zip/{name}" for name in ("a.txt", "b.txt", "c.jsonl:1")]


# ---- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("stops", [[0], [17, 30], [40, 41], [95]])
def test_a_stopped_job_goes_on(tmp_path, format, stops):
    for number in range(3):
        write_jsonl(tmp_path / f"in/{number}.jsonl", 35, 35 * number)
    (tmp_path / "in/1.jsonl").open("a").write("broken\n")
    read, told = [], []
    for stop in stops:
        pipeline = StandIn(stop, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path, pipeline, told, format=format)
        read += pipeline.read
        assert "rows are done; the same command goes on from there" in told[-1]
    pipeline = StandIn()
    counts = start(tmp_path, pipeline, format=format)
    assert (counts.rows, counts.bad_rows, counts.entities) == (106, 1, 105)
    assert len(read) + len(pipeline.read) - 105 <= 16 * len(stops)
    if format == "csv":
        found = [row["text"] for path in shards(tmp_path) for row in csv.DictReader(path.open(newline=""))]
    else:
        found = [row["text"] for row in (parquet_rows(tmp_path) if format == "parquet" else rows(tmp_path))]
    assert found == texts(105)
    assert len((tmp_path / "out/bad-rows.jsonl").read_text().splitlines()) == 1
    again = StandIn()
    assert start(tmp_path, again, format=format) == counts and again.read == []


def test_parquet_goes_on_within_a_row_group(tmp_path):
    (tmp_path / "in").mkdir()
    table = pa.table({"id": range(100), "text": texts(100)})
    pq.write_table(table, tmp_path / "in/a.parquet", row_group_size=30)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, StandIn(60, KeyboardInterrupt()))
    start(tmp_path)
    assert [(row["id"], row["text"]) for row in parquet_rows(tmp_path)] == list(enumerate(texts(100)))


class Killed(StandIn):
    """Its process is killed after so many texts."""

    def __call__(self, items, **options):
        for entities in super().__call__(items, **options):
            yield entities
            if len(self.read) >= 50:
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_job_goes_on(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 100)
    if (child := os.fork()) == 0:
        start(tmp_path, Killed())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [path.name for path in shards(tmp_path) if not path.name.startswith(".")] == ["part-00000.jsonl"]
    # The power is lost in the middle of a line.
    with open(tmp_path / "out/.job/part-00001.jsonl", "a") as file:
        file.write('{"answers": [[{"ent')
    pipeline = StandIn()
    assert start(tmp_path, pipeline).rows == 100
    assert [row["text"] for row in rows(tmp_path)] == texts(100)
    assert 50 <= len(pipeline.read) <= 50 + 16
    assert sorted(path.name for path in shards(tmp_path)) == [f"part-0000{n}.jsonl" for n in range(3)]


@pytest.mark.parametrize("fails_at", [1, 3, 8])
def test_a_full_disk_is_named_and_the_job_goes_on(tmp_path, monkeypatch, fails_at):
    write_jsonl(tmp_path / "in/a.jsonl", 100)
    calls, real = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        start(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "about_model", lambda model: {"name": model, "revision": f"of {model}"})
    start(tmp_path)
    assert [row["text"] for row in rows(tmp_path)] == texts(100)


def test_files_that_are_added_later_are_done_by_the_same_command(tmp_path):
    write_jsonl(tmp_path / "in/m.jsonl", 30)
    start(tmp_path)
    write_jsonl(tmp_path / "in/a.jsonl", 30, 30)  # before the other by name
    pipeline = StandIn()
    assert start(tmp_path, pipeline).rows == 60
    assert pipeline.read == texts(30, 30) and [row["text"] for row in rows(tmp_path)] == texts(60)


# ---- what is refused ------------------------------------------------------------------------------------------------


def refused(tmp_path, **values):
    with pytest.raises(ValueError) as error:
        start(tmp_path, **values)
    return str(error.value)


def test_another_job_is_refused_by_what_differs(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 30)
    start(tmp_path)
    assert "begun with the model stand-in" in refused(tmp_path, model="other")
    other = resolve_schema({"name": "A word."})
    assert "--types" in (message := refused(tmp_path, schema=other)) and "'name' has another definition" in message
    more = resolve_schema([*SCHEMA.entity_types, {"name": "place", "definition": "B."}])
    assert "'place' is new" in refused(tmp_path, schema=more)
    assert "--shard-rows" in refused(tmp_path, shard_rows=10)
    assert "--threshold" in refused(tmp_path, finding={"batch_size": 2, "threshold": 0.5})
    start(tmp_path, finding={"batch_size": 9})  # does not affect results
    write_jsonl(tmp_path / "in/a.jsonl", 31)
    assert "a.jsonl, of which rows are done, has changed" in refused(tmp_path)
    (tmp_path / "in/a.jsonl").rename(tmp_path / "in/b.jsonl")
    assert "a.jsonl, of which rows are done, is gone" in refused(tmp_path)


def test_files_that_cannot_be_read_are_named_and_finished_shards_stay(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        pq.write_table(pa.table({"text": texts(50), "n": range(50)}), tmp_path / f"in/{name}.parquet")
    whole = (tmp_path / "in/b.parquet").read_bytes()
    (tmp_path / "in/b.parquet").write_bytes(whole[:-100])
    assert "b.parquet: not a Parquet file, or not a whole one" in refused(tmp_path)
    pq.write_table(pa.table({"body": texts(50), "n": range(50)}), tmp_path / "in/b.parquet")
    assert "b.parquet: the file has no column 'text'" in refused(tmp_path)
    pq.write_table(pa.table({"text": texts(50)}), tmp_path / "in/b.parquet")
    assert "b.parquet: the file has no column 'n', which" in refused(tmp_path)
    pq.write_table(pa.table({"text": texts(50), "n": ["x"] * 50}), tmp_path / "in/b.parquet")
    assert "b.parquet: its columns have other types" in refused(tmp_path)
    damaged = bytearray(whole)
    damaged[4:300] = bytes(296)
    (tmp_path / "in/b.parquet").write_bytes(damaged)
    assert "b.parquet: the Parquet file is damaged" in refused(tmp_path)
    assert [pq.read_metadata(path).num_rows for path in shards(tmp_path)] == [40]
    (tmp_path / "in/notes.txt").write_text("Not a table.")
    assert "notes.txt is no Parquet file" in refused(tmp_path)


def test_tables_need_the_same_columns(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("id,text,n\n1,Ada,2\n")
    (tmp_path / "in/b.csv").write_text("id,text\n1,Ada\n")
    assert "b.csv: the file has no column 'n', which" in refused(tmp_path)
    start(tmp_path, format="jsonl")
    assert [row.get("n") for row in rows(tmp_path)] == ["2", None]


def test_files_of_no_known_format_are_told(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 1)
    (tmp_path / "in/b.rtf").write_text("")
    for _ in range(2):  # the second time, files of the output lie there, too
        told = []
        run_job(TaggingJob([str(tmp_path / "in")], tmp_path / "in/out", SCHEMA, MODEL), StandIn, told.append)
        assert told[0].endswith(f"suffix: {tmp_path / 'in/b.rtf'}")


def test_outputs_and_inputs_that_cannot_be(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", 3)
    assert "standard input" in refused(tmp_path, inputs=["-"])
    assert "add --ray" in refused(tmp_path, inputs=["s3://bucket/a.parquet"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    assert "holds other things than a job" in refused(tmp_path)
    (tmp_path / "out/mine.txt").unlink()
    (tmp_path / "out/.job").mkdir()
    with FileLock(tmp_path / "out/.job/lock"):
        assert "another process is at this job" in refused(tmp_path)
    counts = start(tmp_path, inputs=[str(tmp_path)])  # the output lies within the input
    assert counts.rows == start(tmp_path, inputs=[str(tmp_path)]).rows == 3


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_finds_what_the_pipeline_finds(tmp_path, make_model, monkeypatch):
    monkeypatch.undo()
    make_model(type_embedding="prompt").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    found = ["Paris released a new album.", "Angela Merkel visited Paris.", "", "Ünïcode 🙂 in Zürich"]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": found}), tmp_path / "in/a.parquet")
    command = [
        "tag",
        "-i",
        f"{tmp_path}/in/*.parquet",
        "-o",
        f"{tmp_path}/out/",
        "-m",
        f"{tmp_path}/model",
        "--top-k",
        "1",
    ]
    result = CliRunner().invoke(cli.app, [*command, "-t", "city=A named town.", "-t", "artist=A musician."])
    assert result.exit_code == 0, result.output
    pipe = load_pipeline(str(tmp_path / "model"))
    expected = pipe(found, entity_types={"city": "A named town.", "artist": "A musician."}, top_k=1)
    written = parquet_rows(tmp_path)
    for row, entities in zip(written, expected, strict=True):
        assert [(e["start"], e["end"], e["entity_group"]) for e in row["entities"]] == [
            (e["start"], e["end"], e["entity_group"]) for e in entities
        ]
        assert all(len(entity["alternatives"]) == 1 for entity in row["entities"])
    assert sum(map(len, expected)) > 0
    result = CliRunner().invoke(cli.app, [*command, "-t", "city=Another."])
    assert result.exit_code == 2 and "begun with other types" in result.stderr
    result = CliRunner().invoke(cli.app, ["tag", "-i", "a.jsonl", "-i", "b.jsonl", "-o", "c.jsonl"])
    assert result.exit_code == 2 and "its name ends in /" in result.stderr
