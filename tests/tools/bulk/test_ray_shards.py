"""What a job on Ray does without a cluster: the files it finds, the shards an actor writes."""

import datetime
import decimal
import json
from types import SimpleNamespace

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools import loading
from jpt_ner.tools.bulk.ray_data import EntityTagger
from jpt_ner.tools.bulk.ray_job import RayJob, _Folder, _shards, _ShardTagger

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SCHEMA = resolve_schema({"text": "A whole text."})


def whole(text):
    return [{"entity_group": "text", "score": 0.5, "word": text, "start": 0, "end": len(text)}]


def stand_in(items, **_):
    """Finds each text as a whole."""
    return (whole(item["text"]) for item in items)


@pytest.fixture(autouse=True)
def pipeline(monkeypatch):
    stand_in.model = SimpleNamespace(config=SimpleNamespace(entity_types=None))
    monkeypatch.setattr(loading, "load_pipeline", lambda model, device: stand_in)


def job(tmp_path, *inputs):
    return RayJob([str(tmp_path / each) for each in inputs], str(tmp_path / "tagged"), SCHEMA, "stand-in")


def tagged(tmp_path, table):
    """Does the only shard of a table: its rows, and what is told of bad ones."""
    pq.write_table(table, tmp_path / "in.parquet")
    settings = job(tmp_path, "in.parquet")
    folder = _Folder(settings)
    (shard,) = _shards(folder, folder.inputs(None), settings)
    rows, bad = _ShardTagger(settings)._shard(shard)
    lines = [each for path in tmp_path.glob("tagged/bad-rows/*") for each in path.read_text().splitlines()]
    assert rows == table.num_rows and bad == len(lines)
    return pq.read_table(tmp_path / "tagged" / shard["path"]), [json.loads(each) for each in lines]


@pytest.mark.parametrize("given", [".", "**/*.parquet", "**/*"])
def test_files_of_the_output_are_no_input(tmp_path, given):
    for name in ("a.parquet", "tagged/shards/part-0.parquet", "tagged-too/b.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": ["Ada"]}), tmp_path / name)
    (tmp_path / "tagged/manifest.json").write_text("{}")
    found = _Folder(job(tmp_path, given)).inputs(None)
    assert [name for _, name, _ in found] == ["a.parquet", "tagged-too/b.parquet"]
    with pytest.raises(ValueError, match="no .parquet files besides those of the output"):
        _Folder(job(tmp_path, f"tagged/{given}")).inputs(None)


IDS = {
    "text": (["x", "y"], "y"),
    "date": ([datetime.date(2026, 1, 2), datetime.date(2026, 1, 3)], "2026-01-03"),
    "time": ([datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 3, 4)], "2026-01-03T04:00:00"),
    "bytes": ([b"\xff", b"\xfe"], "/g=="),
    "decimal": ([decimal.Decimal("1.50"), decimal.Decimal("2.50")], "2.50"),
}


@pytest.mark.parametrize("kind", IDS)
def test_bad_rows_may_have_ids_of_any_type(tmp_path, kind):
    ids, shown = IDS[kind]
    table, (bad,) = tagged(tmp_path, pa.table({"id": ids, "text": ["Ada", None]}))
    assert table.column("id").to_pylist() == ids[:1]
    assert (bad["file"], bad["id"]) == ("in.parquet", shown) and "should be a text" in bad["reason"]


def test_all_columns_are_kept_also_one_called_error(tmp_path):
    texts, errors = [*(f"text {number}" for number in range(300)), None], [*map(str, range(300)), "of the user"]
    table, (bad,) = tagged(tmp_path, pa.table({"error": errors, "text": texts}))
    assert table.column_names == ["id", "error", "text", "entities"]
    assert table.column("error").to_pylist() == errors[:300]
    assert table.column("entities").to_pylist() == list(map(whole, texts[:300]))
    assert bad["id"] == "in.parquet:301" and "should be a text" in bad["reason"]


def test_the_class_tells_the_reason_in_its_own_column():
    table = EntityTagger(entity_types=SCHEMA)(pa.table({"error": [1, 2], "text": ["Ada", None]}))
    assert table.column_names == ["text", "entities", "error"]
    good, bad = table.column("error").to_pylist()
    assert good is None and "should be a text" in bad
