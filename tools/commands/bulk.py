"""`jpt-ner tag` over many files into a folder: its options. The work is done in `bulk`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .arguments import InputFormat, schema_of

if TYPE_CHECKING:
    from .tag import Finding, TagInput


@dataclass
class Bulk:
    """How a job is divided, and where it runs."""

    output_format: Annotated[
        Literal["jsonl", "csv", "parquet"] | None,
        typer.Option(
            help="Format of the files in an output folder. Default: parquet for parquet, csv for tables, else jsonl."
        ),
    ] = None
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows in each file of an output folder.")] = 10_000
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Tag Parquet files on a Ray cluster (`pip install '.[ray]'`): `local` (this machine), `auto` (the "
            "cluster that this machine belongs to), `HOST:PORT` or `ray://HOST:PORT`. Input and output may be `s3://`, `gs://` ...",
        ),
    ] = None
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N[,MAX]",
            help="For Ray: number of processes, each with a model; with two numbers, a pool that grows with the work.",
        ),
    ] = None
    worker_cpus: Annotated[float, typer.Option(min=0, help="For Ray: cores of each process.")] = 1
    worker_gpus: Annotated[float, typer.Option(min=0, help="For Ray: GPUs of each process, or a fraction.")] = 0

    def is_job(self, output: str | None) -> bool:
        """Whether the output is a folder of many files."""
        if self.ray is not None:
            return True
        return output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output))


def run_bulk(
    input: "TagInput",
    reading: InputFormat,
    output: str | None,
    finding: "Finding",
    bulk: Bulk,
    load: Callable[..., Any],
) -> None:
    """
    Runs a job.

    Raises:
        ValueError: If options do not go together, or whatever the job raises.
    """
    if input.text is not None or not input.input:
        raise ValueError("an --output that is a folder, and --ray, need texts from files: --input FILE")
    if output is None:
        raise ValueError("--ray needs a folder: --output tagged/")
    from ..loading import HOME

    schema, model = schema_of(input.types), finding.model or str(HOME)

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    if bulk.ray is not None:
        if bulk.output_format not in (None, "parquet"):
            raise ValueError(f"--output-format {bulk.output_format}: --ray writes parquet")
        from ..bulk.ray_data import Pool
        from ..bulk.ray_job import RayJob, run_on_ray

        pool = Pool.of(bulk.workers, cpus=bulk.worker_cpus, gpus=bulk.worker_gpus)
        calls = {**finding.options, "device": finding.device}
        on_ray = RayJob(input.input, output, schema, model, calls, reading.text_column, bulk.shard_rows)
        run_on_ray(on_ray, bulk.ray, pool, tell)
        return
    from ..bulk.job import TaggingJob, run_job

    options = {**reading.options, **({"format": "lines"} if input.lines else {})}
    job = TaggingJob(
        input.input, Path(output), schema, model, options, finding.options, bulk.output_format, bulk.shard_rows
    )
    run_job(job, lambda: load(finding.model, device=finding.device), tell)
