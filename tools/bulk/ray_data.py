"""Many machines: a model in each actor of a Ray Data pipeline. `ray_job` builds whole jobs on it.

    ds = ray.data.read_parquet("s3://bucket/texts/")
    ds = ds.map_batches(EntityTagger, fn_constructor_kwargs={"entity_types": "types.yaml"},
                        batch_format="pyarrow", batch_size=128, compute=ActorPoolStrategy(min_size=1, max_size=8))

Ray does the rest: its pool grows with the work, it pauses reading when memory is short, and it passes the batches of a
dead actor to others.
"""

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ...schema_jpt import resolve_schema
from ..files.formats.parquet import documents_of_batch, import_arrow
from ..files.model import BadRow, Document
from .shards import ENTITIES, entity_type

ERROR = "error"
LOCAL, AUTO = "local", "auto"
CLIENT_PORT = 10001
CONNECT_SECONDS = 5
KNOWN_ADDRESSES = f"`{LOCAL}`, `{AUTO}`, HOST:PORT or ray://HOST:PORT"


class EntityTagger:
    """
    Tags batches of rows, for `map_batches(EntityTagger, batch_format="pyarrow", ...)`. Loads its model and reads its prompt
    once, when the actor is made.

    Args:
        model (`str`, *optional*): A Hub id, or a folder that every machine has. Defaults to the model that comes with
            the package.
        entity_types (*optional*): As for calls of the pipeline. A schema file is read by each actor: give a [`Schema`]
            or a dict where only the driver has it.
        text_column (`str`, *optional*, defaults to `"text"`): Column of the texts, or of lists of words.
        device (`str`, *optional*): Defaults to the GPU that Ray gives the actor, or else the CPU.
        options: Further options of the pipeline's call, such as `threshold`.

    Raises:
        ValueError: If there are no types, or the model cannot look for them.
    """

    def __init__(
        self,
        model: str | None = None,
        entity_types: Any = None,
        text_column: str = "text",
        device: str | None = None,
        **options: Any,
    ):
        from ..files.tagging import Tagger
        from ..loading import load_pipeline
        from .answering import check_types

        schema = None if entity_types is None else resolve_schema(entity_types)
        self.text_column, self.top_k = text_column, options.get("top_k", 0)
        self.tagger = Tagger(lambda: load_pipeline(model, device=device), schema, **options)
        if self.tagger.has_types:
            check_types(self.tagger, [])

    def __call__(self, table: Any) -> Any:
        """
        Args:
            table (`pyarrow.Table`): Rows with a text each.

        Returns:
            `pyarrow.Table`: The rows with `entities`, and with the reason in `error` where a row could not be used, instead
                of any columns of these names.

        Raises:
            ValueError: If there is no such column.
        """
        arrow, (tagged, reasons) = import_arrow(), self.tagged(table)
        kept = tagged.select([name for name in tagged.column_names if name != ERROR])
        return kept.append_column(ERROR, arrow.array(reasons, arrow.string()))

    def tagged(self, table: Any) -> tuple[Any, list[str | None]]:
        """
        The rows with `entities` and all their other columns; and for each the reason why it could not be used, or `None`.

        Raises:
            ValueError: As when called.
        """
        from .answering import answers

        arrow = import_arrow()
        rows = list(documents_of_batch(table, self.text_column))
        found = iter(answers(self.tagger, [row for row in rows if isinstance(row, Document)]))
        results = [next(found) if isinstance(row, Document) else row for row in rows]
        is_bad = [isinstance(each, BadRow) for each in results]
        entities = [None if bad else each for each, bad in zip(results, is_bad)]
        reasons = [each.reason if isinstance(each, BadRow) else None for each in results]
        column = table.schema.field(self.text_column).type
        words = arrow.types.is_list(column) or arrow.types.is_large_list(column)
        kept = table.select([name for name in table.column_names if name != ENTITIES])
        return kept.append_column(ENTITIES, arrow.array(entities, entity_type(self.top_k, words))), reasons


@dataclass(frozen=True)
class Pool:
    """
    The actors of a job.

    Args:
        min_size (`int`), max_size (`int`): Their minimum and maximum number; Ray adds actors while there is work for them.
        cpus (`float`), gpus (`float`): What each of them needs.
    """

    min_size: int = 1
    max_size: int = 1
    cpus: float = 1
    gpus: float = 0

    @classmethod
    def of(cls, workers: str | None, cpus: float = 1, gpus: float = 0) -> "Pool":
        """
        Args:
            workers (`str`, *optional*): `"4"`, or `"1,16"` for a pool that grows.

        Raises:
            ValueError: If it is neither.
        """
        numbers = (workers or "1").split(",")
        if not all(each.strip().isdigit() for each in numbers) or len(numbers) > 2:
            raise ValueError(f"--workers should be a number such as 4, or two such as 1,16, got {workers!r}")
        low, high = int(numbers[0]), int(numbers[-1])
        if not 1 <= low <= high:
            raise ValueError(f"--workers should be from 1, and its second number not below its first, got {workers!r}")
        return cls(low, high, cpus, gpus)


@contextmanager
def connected(address: str, pool: Pool):
    """
    `ray`, connected to a cluster for the duration; unchanged if it was connected before.

    Args:
        address (`str`): `"local"` (a cluster on this machine), `"auto"`, `"HOST:PORT"` or `"ray://HOST:PORT"`.
        pool ([`Pool`]): What a cluster on this machine needs room for.

    Raises:
        ImportError: If it is not installed.
        ValueError: If the cluster cannot be reached; raised within seconds.
    """
    if find_spec("ray") is None:
        raise ImportError("--ray needs Ray Data: pip install '.[ray]' in a checkout")
    import ray

    if ray.is_initialized():
        yield ray
        return
    _check_address(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", **_local(pool) if address == LOCAL else {})
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f"--ray {address}: no cluster can be reached ({str(error).splitlines()[0]})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _local(pool: Pool) -> dict[str, Any]:
    """Cores for the actors and for the tasks that read and write; without these, both would wait for each other."""
    cores = max(os.cpu_count() or 1, round(pool.min_size * pool.cpus + 0.5))
    return {"num_cpus": cores + 1, "include_dashboard": False}


def _check_address(address: str) -> None:
    """Tries to connect first: Ray itself would wait for minutes."""
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host and address.startswith("ray://"):
        host, port = port, str(CLIENT_PORT)
    if not host or not port.isdigit():
        raise ValueError(f"--ray should be {KNOWN_ADDRESSES}, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--ray {address}: no cluster can be reached there ({error})") from None


__all__ = ["EntityTagger", "Pool", "connected"]
