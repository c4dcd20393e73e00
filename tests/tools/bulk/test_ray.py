"""Jobs on a Ray cluster of several processes on this machine. Needs `ray[data]`, and `moto[server]` as a stand-in for S3."""

import json
import socket
import threading
import time

import pytest
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.tools.bulk.ray_data import EntityTagger, Pool, connected
from jpt_ner.tools.bulk.ray_job import RayJob, run_on_ray
from jpt_ner.tools.loading import load_pipeline
from tiny import tiny_tokenizer

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ray = pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")

pytestmark = pytest.mark.extras
SCHEMA = resolve_schema({"city": "A named town.", "artist": "A musician."})
TEXTS = [f"{name} number {n} released a new album." for n in range(60) for name in ("Paris", "Ada", "The Smiths")]


@pytest.fixture(scope="module")
def model(make_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_model(type_embedding="prompt").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def expected(model):
    found = load_pipeline(model)(TEXTS, entity_types=SCHEMA)
    assert sum(map(len, found)) > 60
    return found


@pytest.fixture(scope="module")
def cluster():
    with connected("local", Pool(2, 2)):
        yield


def is_same(found, expected):
    for entities, others in zip(found, expected, strict=True):
        spans = [[(each["start"], each["end"], each["entity_group"]) for each in one] for one in (entities, others)]
        assert spans[0] == spans[1]
        assert [each["score"] for each in entities] == pytest.approx([each["score"] for each in others], abs=1e-4)


def write_input(folder):
    folder.mkdir()
    for number in range(2):
        part = TEXTS[90 * number : 90 * number + 90]
        pq.write_table(pa.table({"text": part, "n": range(90)}), folder / f"{number}.parquet", row_group_size=25)


def job(tmp_path, model, **values):
    return RayJob([str(tmp_path / "in/*.parquet")], str(tmp_path / "out"), SCHEMA, model, shard_rows=20, **values)


def sorted_rows(folder):
    names = [f"{n // 90}.parquet:{n % 90 + 1}" for n in range(180)]
    found = {row["id"]: row for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()}
    assert sorted(found) == sorted(names) and sum(pq.read_metadata(each).num_rows for each in folder.iterdir()) == 180
    return [found[name] for name in names]


def kill_one(folder, killed):
    """Kills one of the workers once the first shard is written."""
    while not list(folder.glob("shards/*.parquet")):
        time.sleep(0.05)
    for process in psutil.Process().children(recursive=True):
        if "MapWorker" in " ".join(process.cmdline()):
            process.kill()
            killed.append(process.pid)
            return


def test_two_workers_find_the_same_though_one_is_killed(tmp_path, model, expected, cluster):
    write_input(tmp_path / "in")
    killed, told = [], []
    killer = threading.Thread(target=kill_one, args=(tmp_path / "out", killed), daemon=True)
    killer.start()
    run_on_ray(job(tmp_path, model), "local", Pool(2, 2), told.append)
    assert killed
    rows = sorted_rows(tmp_path / "out/shards")
    assert [row["text"] for row in rows] == TEXTS and [row["n"] for row in rows] == [*range(90)] * 2
    is_same([row["entities"] for row in rows], expected)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["state"] == "done" and manifest["counts"] == {"rows": 180, "shards": 10}
    # Existing shards are skipped; differences are refused.
    assert run_on_ray(job(tmp_path, model), "local", Pool(), told.append)["rows"] == 0
    next((tmp_path / "out/shards").iterdir()).unlink()
    assert run_on_ray(job(tmp_path, model), "local", Pool(), told.append)["rows"] in (10, 20)
    is_same([row["entities"] for row in sorted_rows(tmp_path / "out/shards")], expected)
    with pytest.raises(ValueError, match="--threshold: the job in .* was begun with None, not 0.5"):
        run_on_ray(job(tmp_path, model, options={"threshold": 0.5}), "local", Pool(), told.append)


def test_own_pipelines_read_and_write_what_is_like_s3(tmp_path, model, expected, cluster):
    moto = pytest.importorskip("moto.server")
    fs = pytest.importorskip("pyarrow.fs")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        files = fs.S3FileSystem(
            access_key="a",
            secret_key="b",
            endpoint_override=f"{host}:{port}",
            scheme="http",
            allow_bucket_creation=True,
        )
        files.create_dir("bucket/in")
        pq.write_table(pa.table({"text": [TEXTS[0], None]}), "bucket/in/a.parquet", filesystem=files)
        on_s3 = RayJob(["s3://bucket/in"], "s3://bucket/out", SCHEMA, model, filesystem=files)
        counts = run_on_ray(on_s3, "local", Pool(), print)
        assert counts == {"rows": 2, "bad_rows": 1}
        (shard,) = files.get_file_info(fs.FileSelector("bucket/out/shards"))
        is_same(pq.read_table(shard.path, filesystem=files).column("entities").to_pylist(), expected[:1])
        (bad,) = files.get_file_info(fs.FileSelector("bucket/out/bad-rows"))
        assert json.loads(files.open_input_stream(bad.path).read())["id"] == "a.parquet:2"
    finally:
        server.stop()


def test_the_class_for_own_pipelines(model, expected, cluster):
    rows = [{"name": n, "text": text} for n, text in enumerate([*TEXTS[:40], None])]
    dataset = ray.data.from_items(rows, override_num_blocks=4).map_batches(
        EntityTagger,
        fn_constructor_kwargs={"model": model, "entity_types": SCHEMA, "nested": False},
        batch_format="pyarrow",
        batch_size=16,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2),
        num_cpus=1,
    )
    found = sorted(dataset.take_all(), key=lambda row: row["name"])
    is_same([row["entities"] for row in found[:40]], expected[:40])
    assert [row["error"] for row in found[:40]] == [None] * 40
    assert found[40]["entities"] is None and "should be a text" in found[40]["error"]


def test_files_that_cannot_be_read_are_named(tmp_path, model):
    write_input(tmp_path / "in")
    whole = (tmp_path / "in/1.parquet").read_bytes()
    (tmp_path / "in/1.parquet").write_bytes(whole[:-50])
    with pytest.raises(ValueError, match=r"1\.parquet: not a Parquet file, or not a whole one"):
        run_on_ray(job(tmp_path, model), "local", Pool(), print)
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "in/1.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet: other columns than those of .*0\.parquet: 'n'"):
        run_on_ray(job(tmp_path, model), "local", Pool(), print)


def test_a_cluster_that_cannot_be_reached_is_named_soon(tmp_path, model):
    if ray.is_initialized():
        ray.shutdown()
    write_input(tmp_path / "in")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(ValueError, match=f"--ray {address}: no cluster can be reached there"):
                run_on_ray(job(tmp_path, model), address, Pool(), print)
    with pytest.raises(ValueError, match="--ray should be `local`, `auto`"):
        run_on_ray(job(tmp_path, model), "nowhere", Pool(), print)
    with pytest.raises(ValueError, match="--workers should be"):
        Pool.of("many")
    assert not (tmp_path / "out").exists()
