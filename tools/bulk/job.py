"""A resumable job: files of texts in, a folder of shards with their entities out.

    OUTPUT/manifest.json            model, types, options and files of the job, and its counts
    OUTPUT/shards/part-00000.…      rows with their entities, each file complete or absent
    OUTPUT/bad-rows.jsonl           rows that could not be used, with the reason
    OUTPUT/.job/                    the state: finished shards, and the results of the current one

A shard is finished once its line is in the log. Results of the current shard are saved block by block, so a stopped job
repeats only the block it was in.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...schema_jpt import Schema, save_schema
from ..files.documents import passed_over, read_options
from ..files.formats.writing import Entities
from ..files.model import BadRow, Document, Row
from ..files.tagging import Tagger
from ..loading import about_model
from ..resumable_log import ResumableLog
from .answering import BATCHES_AT_ONCE, answers, check_types
from .inputs import InputFile, Place, Rows, are_parquet, are_tables, check_headers, find_inputs, look_into_parquet
from .manifest import about_types, check_same, ordered, read_manifest, write_manifest
from .progress import Progress
from .shards import FORMATS, Columns, shard_writer

SHARD_ROWS = 10_000
SHARDS, BAD_ROWS, OWN = "shards", "bad-rows.jsonl", ".job"

Block = list[tuple[InputFile, Row]]
Answers = list[Entities | BadRow | None]


@dataclass(frozen=True)
class TaggingJob:
    """
    The settings of a job.

    Args:
        inputs (`Sequence[str]`): Files, folders and patterns.
        output (`Path`): The folder; a new one, or the one of this job.
        schema ([`Schema`], *optional*): Types for rows without their own.
        model (`str`): Folder or Hub id of the model, for the manifest.
        reading (`dict`): How files are read, as for [`ReadOptions`].
        finding (`dict`): How entities are found, as for calls of the pipeline, with `batch_size`.
        format (`str`, *optional*): Of the shards: one of `FORMATS`. Defaults to that of the input.
        shard_rows (`int`, *optional*, defaults to `SHARD_ROWS`): Rows of the input in a shard.
    """

    inputs: Sequence[str]
    output: Path
    schema: Schema | None
    model: str
    reading: dict[str, Any] = field(default_factory=dict)
    finding: dict[str, Any] = field(default_factory=dict)
    format: str | None = None
    shard_rows: int = SHARD_ROWS

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the result, and so must not change."""
        reading = {name: value for name, value in self.reading.items() if value is not None}
        if "format" in reading:
            reading["input_format"] = reading.pop("format")
        finding = {name: value for name, value in self.finding.items() if name != "batch_size"}
        return {**reading, **finding, "output_format": self.format, "shard_rows": self.shard_rows}


@dataclass
class Counts:
    """Progress so far: input rows, bad rows among them, entities and shards."""

    rows: int = 0
    bad_rows: int = 0
    entities: int = 0
    shards: int = 0


def run_job(job: TaggingJob, load_pipeline: Callable[[], Any], tell: Callable[[str], None]) -> Counts:
    """
    Runs a job, or what is left of it.

    Args:
        load_pipeline (`Callable`): Loads the model.
        tell (`Callable`): Receives messages for the user.

    Raises:
        ValueError: If the job was started with other options, another process works on it, or files cannot be read.
        OSError: If they cannot be written. In either case finished work stays, and the next call resumes from there.
    """
    options = read_options(job.reading)
    if job.format not in (None, *FORMATS):
        raise ValueError(f"--output-format should be one of {', '.join(FORMATS)}, got {job.format!r}")
    inputs = find_inputs(job.inputs, job.output, options)
    for each in job.inputs:
        if skipped := passed_over(each, options, job.output):
            tell(skipped)
    read_manifest(job.output)  # refuses other folders before anything is written to them
    (job.output / OWN).mkdir(parents=True, exist_ok=True)
    lock = FileLock(job.output / OWN / "lock", timeout=0)
    try:
        with lock:
            return _Run(job, options, inputs, load_pipeline, tell).run()
    except Timeout:
        raise ValueError(f"--output {job.output}: another process is at this job") from None


class _Run:
    """One process working on a job."""

    def __init__(self, job: TaggingJob, options, inputs: list[InputFile], load_pipeline, tell):
        self.job, self.options, self.tell = job, options, tell
        self.folder = job.output
        parquet = are_parquet(inputs, options)
        self.is_table = parquet or are_tables(inputs, options)
        self.format = job.format or ("parquet" if parquet else "csv" if self.is_table else "jsonl")
        self.arrow_schema, self.total = look_into_parquet(inputs, options.text_column) if parquet else (None, None)
        if self.format != "jsonl" and self.is_table and not parquet:
            check_headers(inputs, options)
        self.about = {
            "model": about_model(job.model),
            "types": about_types(job.schema),
            "settings": {**job.settings, "output_format": self.format},
        }
        self.old = read_manifest(self.folder)
        if self.old is not None:
            check_same(self.old, self.about, str(self.folder))
        self.log = ResumableLog(self.folder / OWN / "shards.jsonl", {"job": "jpt-ner tag"})
        self.counts = Counts(**self.log.lines[-1]["counts"]) if self.log.lines else Counts()
        self.journal = ResumableLog(self._journal_path(), {"shard": self.counts.shards})
        self.at_hand = sum(
            len(line["answers"]) for line in self.journal.lines
        )  # rows of the shard that is not finished
        self.inputs = self._in_order(inputs)
        self.columns: Columns | None = None
        self.tagger = Tagger(load_pipeline, job.schema, **job.finding)
        self.words = self.is_checked = False

    def run(self) -> Counts:
        self._tidy()
        self._set_columns()
        self._write_manifest("running")  # first: it marks the folder as one of a job
        (self.folder / SHARDS).mkdir(exist_ok=True)
        if self.job.schema is not None:
            save_schema(self.job.schema, self.folder / "types.yaml")
        rows, before = Rows(self.inputs, self.options, self._place()), self._done()
        with Progress(rows, before, self.total, self.tell) as self.progress:
            try:
                while self._shard(rows):
                    pass
            except BaseException:
                self.tell(f"{self.folder}: {self._done()} rows are done; the same command goes on from there")
                raise
        self._write_manifest("done")
        self._summary(before)
        return self.counts

    # Earlier runs

    def _done(self) -> int:
        return self.counts.rows + self.at_hand

    def _place(self) -> Place:
        return Place(*self.log.lines[-1]["next"]) if self.log.lines else Place()

    def _in_order(self, inputs: list[InputFile]) -> list[InputFile]:
        old = [] if self.old is None else self.old["inputs"]
        lines = self.journal.lines or self.log.lines
        begun = lines[-1]["next"][0] + 1 if lines else 0
        by_name = {each.name: each for each in inputs}
        sizes = {name: each.bytes for name, each in by_name.items()}
        return [by_name[name] for name in ordered([*by_name], old, begun, sizes)]

    def _tidy(self) -> None:
        """Removes what an unfinished shard has left."""
        bad, length = self.folder / BAD_ROWS, self.log.lines[-1]["bad_bytes"] if self.log.lines else 0
        if bad.exists() and bad.stat().st_size > length:
            os.truncate(bad, length)
        for path in (self.folder / OWN).glob("part-*.jsonl"):
            if path != self._journal_path():
                path.unlink()

    def _set_columns(self) -> None:
        if self.format == "jsonl":
            return
        saved = Columns.load(self.folder / OWN, self.is_table)
        if self.format == "parquet" and self.arrow_schema is not None:
            self.columns = Columns.of_parquet(self.arrow_schema)
            if saved is None:
                self.columns.save(self.folder / OWN)
            elif saved.schema != self.columns.schema:
                raise ValueError(
                    f"--input: the files have other columns, or columns of other types, than those that {self.folder} was "
                    "begun with; name another --output"
                )
        else:
            self.columns = saved

    # Shards

    def _shard(self, rows: Rows) -> bool:
        """Writes the next shard; returns whether there was anything to write."""
        part = self.folder / SHARDS / f"part-{self.counts.shards:05d}.{self.format}"
        bad: list[dict[str, Any]] = []
        counts = Counts(**asdict(self.counts))
        with ExitStack() as stack:
            write = None
            for block, found in self._blocks(rows):
                documents = [row for _, row in block if isinstance(row, Document)]
                if documents and write is None:
                    self._begin(documents)
                    options = {"top_k": self.job.finding.get("top_k", 0), "words": self.words}
                    write = stack.enter_context(shard_writer(part, self.columns, **options))
                for (file, row), answer in zip(block, found, strict=True):
                    counts.rows += 1
                    if isinstance(answer, BadRow) or not isinstance(row, Document):
                        bad.append(_bad_row(file, row, answer))
                    else:
                        write(row, answer)
                        counts.entities += len(answer)
        if counts.rows == self.counts.rows:
            return False
        counts.shards += 1
        counts.bad_rows += len(bad)
        self._finish(part if write is not None else None, bad, counts, rows.place)
        return True

    def _begin(self, documents: list[Document]) -> None:
        """Determines what depends on the first documents of a job."""
        # The texts of Parquet files are of one type; of other files, any later one may be split into words.
        self.words = self.arrow_schema is None or documents[0].words is not None
        if self.format != "jsonl" and self.columns is None:
            self.columns = Columns.of_rows(documents, self.format, self.is_table)
            self.columns.save(self.folder / OWN)

    def _blocks(self, rows: Rows) -> Iterator[tuple[Block, Answers]]:
        """The rows of a shard with their entities: first those in the journal, then the rest."""
        taken = 0
        for line in list(self.journal.lines):
            block = rows.block(len(line["answers"]), float("inf"))
            if len(block) < len(line["answers"]):
                raise ValueError(f"--input: {self.inputs[-1].path} has fewer rows than when the job was begun")
            taken += len(block)
            yield block, list(map(_from_json, line["answers"]))
        max_rows = BATCHES_AT_ONCE * self.job.finding.get("batch_size", 16)
        while block := rows.block(min(max_rows, self.job.shard_rows - taken)):
            taken += len(block)
            found = self._answer(block)
            place = [rows.place.file, rows.place.row]
            self.journal.append({"answers": [_to_json(each) for each in found], "next": place})
            self.journal.lines.clear()  # They are on disk; memory must not grow with the shard.
            self.at_hand = taken
            self.progress(len(block))
            yield block, found
            if taken >= self.job.shard_rows:
                return

    def _answer(self, block: Block) -> Answers:
        documents = [row for _, row in block if isinstance(row, Document)]
        if documents and not self.is_checked:
            check_types(self.tagger, documents)
            self.is_checked = True
        found = iter(answers(self.tagger, documents))
        return [next(found) if isinstance(row, Document) else None for _, row in block]

    def _finish(self, part: Path | None, bad: list[dict[str, Any]], counts: Counts, place: Place) -> None:
        path = self.folder / BAD_ROWS
        if bad:
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(each, ensure_ascii=True) + "\n" for each in bad)
                file.flush()
                os.fsync(file.fileno())
        line = {"shard": part and part.name, "counts": asdict(counts), "next": [place.file, place.row]}
        self.log.append({**line, "bad_bytes": path.stat().st_size if path.exists() else 0})
        old, self.counts, self.at_hand = self._journal_path(), counts, 0
        self.journal = ResumableLog(self._journal_path(), {"shard": counts.shards})
        old.unlink()

    def _journal_path(self) -> Path:
        return self.folder / OWN / f"part-{self.counts.shards:05d}.jsonl"

    # Messages

    def _write_manifest(self, state: str) -> None:
        begun = (self.old or {}).get("begun") or _now()
        write_manifest(
            self.folder,
            {
                "state": state,
                **self.about,
                "counts": asdict(self.counts),
                "begun": begun,
                "ended": _now() if state == "done" else None,
                "inputs": [{"name": each.name, "bytes": each.bytes} for each in self.inputs],
            },
        )

    def _summary(self, before: int) -> None:
        counts = self.counts
        resumed = f", {counts.rows - before} of them now" if before else ""
        self.tell(f"{self.folder}: {counts.entities} entities in {counts.rows} rows{resumed}")
        if counts.bad_rows:
            self.tell(f"{self.folder / BAD_ROWS}: {counts.bad_rows} rows that could not be used, with the reason")


def _bad_row(file: InputFile, row: Row, answer: Any) -> dict[str, Any]:
    """A line of the file of bad rows."""
    bad = answer if isinstance(answer, BadRow) else row
    assert isinstance(bad, BadRow)
    id = row.row.get("id") if isinstance(row, Document) else bad.id
    return {"file": file.name, "line": bad.line, **({} if id in (None, "") else {"id": id}), "reason": bad.reason}


def _to_json(answer: Entities | BadRow | None) -> Any:
    return {"line": answer.line, "reason": answer.reason} if isinstance(answer, BadRow) else answer


def _from_json(answer: Any) -> Entities | BadRow | None:
    return BadRow(answer["line"], answer["reason"]) if isinstance(answer, dict) else answer


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
