"""Runs the application: binds the port, loads the model, serves until it is stopped."""

import errno
import socket
from pathlib import Path
from typing import Any

import uvicorn

from ...schema_jpt import Schema, resolve_schema
from ..loading import load_service_pipeline
from .app import build_app
from .limits import Limits

WARMING_TEXT = "Marta Kovac moved to Lisbon."
KEPT_CONNECTIONS = 2048  # connections that wait in the kernel until they are accepted
GOING_SECONDS = 30  # that pending answers may take after a stop signal


def serve(
    model: str | None = None,
    schema: Schema | None = None,
    limits: Limits | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    texts_together: int = 32,
    device: str | None = None,
    log_level: str = "info",
) -> None:
    """
    Serves until SIGINT or SIGTERM, then answers pending requests.

    Args:
        model (`str`, *optional*): Folder or Hub id. Defaults to the model of this installation.
        schema ([`Schema`], *optional*): Types for requests that name none.
        limits ([`Limits`], *optional*): Limits of requests.
        host (`str`), port (`int`): Where to listen; port 0 takes a free one.
        texts_together (`int`, *optional*, defaults to 32): Maximum number of texts in one call of the pipeline.
        device (`str`, *optional*): Defaults to the best available.
        log_level (`str`, *optional*, defaults to `"info"`): Of uvicorn.

    Raises:
        ValueError: If the port is in use or may not be taken, before the model is loaded.
        OSError, ImportError: As `loading.load_pipeline`.
    """
    with listen(host, port) as listener:
        pipeline = load_service_pipeline(model, device=device)
        own_types = getattr(pipeline.model.config, "entity_types", None)
        if schema is None and own_types:
            schema = resolve_schema(own_types)
        pipeline(WARMING_TEXT, entity_types=schema or "general")  # builds what is otherwise built on first use
        name = Path(model).name if model else "the shipped model"
        app = build_app(pipeline, schema, limits, texts_together=texts_together, model_name=name)
        try:
            make_server(app, log_level).run(sockets=[listener])
        except KeyboardInterrupt:
            return  # uvicorn raises the signal again once everything is answered


def make_server(app: Any, log_level: str = "info") -> uvicorn.Server:
    """A server of an application, for a socket of [`listen`]."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level=log_level,
            backlog=KEPT_CONNECTIONS,
            timeout_graceful_shutdown=GOING_SECONDS,
            server_header=False,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """
    A listening socket, so that clients wait for the model instead of being refused.

    Raises:
        ValueError: If it cannot listen; the message names the address and the reason.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=KEPT_CONNECTIONS
        )
    except socket.gaierror as error:
        raise ValueError(f"--host: {host!r} is no address of this machine") from error
    except OverflowError as error:
        raise ValueError(f"--port must be from 0 to 65535, got {port}") from error
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"port {port} of {host} is in use; name another with --port",
            errno.EACCES: f"port {port} may only be taken by root; name one from 1024 with --port",
            errno.EADDRNOTAVAIL: f"--host: {host!r} is no address of this machine",
        }
        raise ValueError(reasons.get(error.errno, f"cannot listen on {host}:{port}: {error.strerror}")) from error
