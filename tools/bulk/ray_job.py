"""A job on a cluster: Parquet files in, a folder like that of `job` out, shard by shard, on any file system that Arrow knows.

A shard is a range of rows of one file, and is named after both. Actors read, tag and write it, so texts never pass through
the machine that started the job. Existing shards are not redone, whatever failed in between.
"""

import glob
import hashlib
import json
import logging
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...schema_jpt import Schema
from ..files.formats.parquet import ID, batches_of_parquet, import_arrow, missing_column, open_parquet, plain, with_ids
from ..files.opening import expand
from ..loading import about_model
from .inputs import root_of
from .job import SHARD_ROWS, SHARDS
from .manifest import MANIFEST, about_types, check_same, ordered
from .progress import Progress
from .ray_data import EntityTagger, Pool, connected

BAD_ROWS = "bad-rows"
MAX_TASKS = 10_000
ROWS_AT_ONCE = 128  # as many as the pipeline reads ahead


@dataclass(frozen=True)
class RayJob:
    """
    The settings of a job.

    Args:
        inputs (`Sequence[str]`): Files or folders, also of `s3://` and whatever else Arrow knows; local patterns.
        output (`str`): A folder on the same file system, which all machines of the cluster can reach.
        schema ([`Schema`], *optional*): Types for rows without their own.
        model (`str`): A Hub id, or a folder that every machine has.
        options (`dict`): Options of the pipeline's call, and `device`.
        text_column (`str`, *optional*, defaults to `"text"`): Column of the texts.
        shard_rows (`int`, *optional*): Maximum number of rows in a shard, and so of rows that a dying worker loses.
        filesystem (`pyarrow.fs.FileSystem`, *optional*): Instead of the one that the paths name.
    """

    inputs: Sequence[str]
    output: str
    schema: Schema | None
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    text_column: str = "text"
    shard_rows: int = SHARD_ROWS
    filesystem: Any = None

    @property
    def about(self) -> dict[str, Any]:
        """What determines the result, for the manifest."""
        finding = {name: each for name, each in self.options.items() if name not in ("batch_size", "device")}
        settings = {"text_column": self.text_column, "shard_rows": self.shard_rows, **finding}
        return {"model": about_model(self.model), "types": about_types(self.schema), "settings": settings}


def run_on_ray(job: RayJob, address: str, pool: Pool, tell: Callable[[str], None]) -> dict[str, int]:
    """
    Runs a job on a cluster, or what is left of it.

    Args:
        address (`str`): As for [`connected`].
        pool ([`Pool`]): The actors.
        tell (`Callable`): Receives messages for the user.

    Returns:
        `dict[str, int]`: `rows` that this call has finished, and the `bad_rows` among them.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If the cluster cannot be reached, the job was started with other settings, or a file cannot be read.
            Finished shards stay.
    """
    folder = _Folder(job)
    about, old = job.about, folder.manifest()
    if old is not None:
        check_same(old, about, job.output)
    files = folder.inputs(None if old is None else old["inputs"])
    every = list(_shards(folder, files, job))
    shards = [each for each in every if not folder.exists(each["path"])]
    manifest = {
        **about,
        "counts": {"rows": sum(each["rows"] for each in every), "shards": len(every)},
        "inputs": [{"name": name, "bytes": size} for _, name, size in files],
    }
    counts = {"rows": 0, "bad_rows": 0}
    if shards:
        with connected(address, pool) as ray:
            folder.write_manifest({"state": "running", **manifest})
            counts = _run(ray, job, shards, pool, tell)
    folder.write_manifest({"state": "done", **manifest})
    tell(f"{job.output}: {counts['rows']} rows done, {counts['bad_rows']} of them bad (in {BAD_ROWS}/ there)")
    return counts


def _run(ray, job: RayJob, shards: list[dict], pool: Pool, tell) -> dict[str, int]:
    counts = {"rows": 0, "bad_rows": 0}
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.from_items(shards, override_num_blocks=min(len(shards), MAX_TASKS)).map_batches(
        _ShardTagger,
        fn_constructor_kwargs={"job": job},
        batch_format="pyarrow",
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=pool.min_size, max_size=pool.max_size),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
    )
    total = sum(each["rows"] for each in shards)
    try:
        with Progress(None, 0, total, tell) as progress:
            for row in dataset.iter_rows():
                counts = {name: counts[name] + row[name] for name in counts}
                progress(row["rows"])
    except ray.exceptions.RayError as error:
        raise ValueError(f"--ray: a shard could not be done; finished ones stay ({_cause(error)})") from None
    return counts


def _cause(error: BaseException) -> str:
    """The error that an actor raised, unwrapped from Ray's own."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _shards(folder: "_Folder", files: Sequence[tuple[str, str, int]], job: RayJob) -> Iterator[dict[str, Any]]:
    """
    Raises:
        ValueError: If a file is not a complete Parquet file, or lacks columns of the others.
    """
    first: tuple[str, list[str]] | None = None
    for path, name, _ in files:
        with folder.files.open_input_file(path) as stream, open_parquet(path, stream) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
        if job.text_column not in names:
            raise ValueError(missing_column(path, job.text_column, names))
        first = first or (path, names)
        if {*names} != {*first[1]}:
            (column, *_) = sorted({*names} ^ {*first[1]})
            raise ValueError(f"{path}: other columns than those of {first[0]}: {column!r} is in one of them only")
        key = hashlib.sha256(name.encode()).hexdigest()[:12]
        for start in range(0, rows, job.shard_rows):
            shard = f"part-{key}-{start:010d}"
            rows_here = min(job.shard_rows, rows - start)
            yield {
                "source": path,
                "name": name,
                "start": start,
                "rows": rows_here,
                "path": f"{SHARDS}/{shard}.parquet",
            }


class _ShardTagger:
    """An actor of a job: takes shards, and returns the number of finished rows."""

    def __init__(self, job: RayJob):
        self.folder, self.job = _Folder(job), job
        self.tagger = EntityTagger(job.model, job.schema, job.text_column, **job.options)

    def __call__(self, shards: Any) -> Any:
        done = [self._shard(shard) for shard in shards.to_pylist()]
        return import_arrow().table({"rows": [rows for rows, _ in done], "bad_rows": [bad for _, bad in done]})

    def _shard(self, shard: dict[str, Any]) -> tuple[int, int]:
        if self.folder.exists(shard["path"]):  # Its earlier worker died after writing it.
            return shard["rows"], 0
        arrow = import_arrow()
        tagged = [self.tagger.tagged(each) for each in self._pieces(shard)]
        table = arrow.concat_tables([each for each, _ in tagged])
        reasons = [reason for _, each in tagged for reason in each]
        bad = [index for index, reason in enumerate(reasons) if reason is not None]
        if bad:
            ids = map(plain, table.column(ID).take(bad).to_pylist())  # of any type, such as a date
            about = [{"file": shard["name"], "id": id, "reason": reasons[index]} for id, index in zip(ids, bad)]
            name = posixpath.basename(shard["path"]).replace(".parquet", ".jsonl")
            self.folder.write(f"{BAD_ROWS}/{name}", "".join(f"{json.dumps(each)}\n" for each in about).encode())
        sink = arrow.BufferOutputStream()
        arrow.parquet.write_table(table.filter(arrow.array([reason is None for reason in reasons])), sink)
        self.folder.write(shard["path"], sink.getvalue())
        return shard["rows"], len(bad)

    def _pieces(self, shard: dict[str, Any]) -> Iterator[Any]:
        arrow, number, end = import_arrow(), shard["start"], shard["start"] + shard["rows"]
        with self.folder.files.open_input_file(shard["source"]) as stream:
            for batch in batches_of_parquet(shard["source"], number, stream):
                batch = with_ids(batch.slice(0, end - number), shard["name"], number)
                for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                    yield arrow.Table.from_batches([batch.slice(start, ROWS_AT_ONCE)])
                number += batch.num_rows
                if number == end:
                    return


# ---- files ----------------------------------------------------------------------------------------------------------


class _Folder:
    """The output of a job, and the file system that holds it and the input."""

    def __init__(self, job: RayJob):
        arrow = import_arrow()
        import pyarrow.compute  # noqa: F401
        from pyarrow import fs

        self.job, self.fs = job, fs
        kinds = {each.partition("://")[0] if "://" in each else "" for each in (*job.inputs, job.output)}
        if len(kinds) > 1:
            raise ValueError("--input and --output should be on one file system, such as s3:// both")
        self.is_local = kinds == {""} and job.filesystem is None
        try:
            self.files = job.filesystem or (
                fs.LocalFileSystem() if self.is_local else fs.FileSystem.from_uri(job.output)[0]
            )
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"--output {job.output}: {error}") from None
        self.path = self._within(job.output)

    def _within(self, path: str) -> str:
        """A path in the form of the file system."""
        if self.is_local:
            return os.path.abspath(path)
        return (path.partition("://")[2] if "://" in path else path).rstrip("/")

    def inputs(self, old: Sequence[dict] | None) -> list[tuple[str, str, int]]:
        """
        Path, name and bytes of each Parquet file, those of the manifest first.

        Raises:
            ValueError: If there are none besides those of the output, or a file of the manifest is gone or has changed.
        """
        found: dict[str, tuple[str, str, int]] = {}
        for given in self.job.inputs:
            root, listed = self._listed(given)
            for info in listed:
                name = posixpath.relpath(info.path, root) if len(self.job.inputs) == 1 else info.path
                found[name] = (info.path, name, info.size)
        sizes = {name: size for name, (_, _, size) in found.items()}
        names = ordered(sorted(found), old or [], len(old or []), sizes)
        return [found[name] for name in names]

    def _listed(self, given: str) -> tuple[str, list[Any]]:
        """The files that a path stands for, and the folder that their names are relative to."""
        if self.is_local and glob.has_magic(given) and (files := expand(given)) is not None:
            root = os.path.abspath(root_of(given))
            listed = [self.files.get_file_info(os.path.abspath(each)) for each in files]
        else:
            root = self._within(given)
            info = self.files.get_file_info(root)
            if info.is_file:
                return posixpath.dirname(root), [info]
            if info.type == self.fs.FileType.NotFound:
                raise ValueError(f"--input {given}: there is no such file or folder")
            listed = self.files.get_file_info(self.fs.FileSelector(root, recursive=True))
            listed = [each for each in listed if each.is_file and each.path.endswith(".parquet")]
        inputs = [each for each in listed if not each.path.startswith(self.path + "/")]
        if not inputs:
            raise ValueError(f"--input {given}: no .parquet files besides those of the output; --ray reads no others")
        return root, inputs

    def exists(self, name: str) -> bool:
        """Whether a file of the output exists."""
        return self.files.get_file_info(f"{self.path}/{name}").is_file

    def write(self, name: str, content: Any) -> None:
        """Writes a file of the output, which is complete as soon as it exists."""
        path = f"{self.path}/{name}"
        self.files.create_dir(posixpath.dirname(path), recursive=True)
        if self.is_local:
            with atomic_file(Path(path)) as temporary:
                temporary.write_bytes(content)
            return
        with self.files.open_output_stream(path) as stream:  # Object stores show only closed files.
            stream.write(content)

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, if the job was started before."""
        if not self.exists(MANIFEST):
            return None
        with self.files.open_input_stream(f"{self.path}/{MANIFEST}") as stream:
            return json.loads(stream.read())

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Writes the manifest."""
        self.write(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1).encode())


__all__ = ["RayJob", "run_on_ray"]
