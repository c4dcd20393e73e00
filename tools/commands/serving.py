"""`jpt-ner serve` and `bench-serve`: their options. The work is done in `serving` and `benchmark`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...optional_jpt import check_installed
from ..serving.limits import Limits
from .arguments import schema_of

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


@dataclass
class Address:
    """Address, model and batching."""

    host: Annotated[
        str, typer.Option(help="`0.0.0.0` for all networks. There is no authentication: put a proxy in front.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda`. Default: the best available.")] = None
    types: Annotated[
        list[str] | None,
        typer.Option("--types", "-t", help="Types for requests that name none, as for `tag`. May be repeated."),
    ] = None
    texts_together: Annotated[
        int, typer.Option(min=1, help="Maximum number of texts, of all waiting requests, to read together.")
    ] = 32


@dataclass
class RequestLimits:
    """Limits of requests."""

    max_characters: Annotated[int, typer.Option(min=1, help="Characters of one text.")] = Limits.max_characters
    max_texts: Annotated[int, typer.Option(min=1, help="Texts of one request.")] = Limits.max_texts
    max_types: Annotated[int, typer.Option(min=1, help="Types of one text.")] = Limits.max_types
    max_body: Annotated[
        int, typer.Option(min=1, help="Bytes of a request's body; larger ones are answered with 413.")
    ] = Limits.max_body
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Texts that may wait; further requests are answered with 503.")
    ] = Limits.max_waiting
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a request is answered with 504.")] = (
        Limits.timeout
    )


def serve(address: Address, limits: RequestLimits) -> None:
    """
    Serves the model over HTTP, with batching; `/docs` describes it.

    Examples:

    - `jpt-ner serve --types general`

    - `curl localhost:8000/tag --json '{"text": "Marta Kovac moved to Lisbon."}'`
    """
    _check_packages()
    from ..serving.server import serve as run

    run(
        address.model,
        schema_of(address.types),
        Limits(**vars(limits)),
        host=address.host,
        port=address.port,
        texts_together=address.texts_together,
        device=address.device,
    )


def bench_serve(
    clients: Annotated[
        list[int] | None, typer.Option(min=1, help="Clients at once. May be repeated. Default: 1, 8 and 32.")
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts in each turn of each kind.")] = 96,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each kind.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of PyTorch's threads. Default: its own choice.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write OUTPUT.json and OUTPUT.md.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda`. Default: the best available.")] = None,
) -> None:
    """Load test of `serve` on this machine: throughput, latency and correct answers, compared with direct calls."""
    _check_packages()
    from ..benchmark.load_test import markdown, measure, write

    result = measure(model, clients=clients or [1, 8, 32], texts=texts, rounds=rounds, threads=threads, device=device)
    typer.echo(markdown(result))
    if output is not None:
        typer.echo(f"written: {', '.join(map(str, write(result, output)))}", err=True)


def _check_packages() -> None:
    for package in PACKAGES:
        check_installed(package, "the server")
