"""The web application: requests are checked, handed to the batcher, and answered within the time limit."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ...entity_pipeline_jpt import EntityPipeline
from ...schema_jpt import Schema, list_presets, resolve_schema
from .batching import Batcher, BusyError, ClosedError, Entities
from .bodies import (
    BatchAnswer,
    BatchRequest,
    ErrorAnswer,
    Health,
    TagAnswer,
    TagRequest,
    TypesAnswer,
    checked_texts,
)
from .body_limit import BodyLimit
from .limits import Limits
from .metrics import Counting, Metrics

LOOKING_SECONDS = 0.5  # between checks whether a client still waits
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        408: "The body took too long.",
        413: "The body is too large.",
        422: "Something in the request is not as it should be.",
        503: "Too many texts are waiting, or the server is shutting down; see `Retry-After`.",
        504: "The answer took too long.",
    }.items()
}


def build_app(
    pipeline: EntityPipeline,
    schema: Schema | None = None,
    limits: Limits | None = None,
    *,
    texts_together: int = 32,
    model_name: str = "",
) -> FastAPI:
    """
    Args:
        pipeline (`EntityPipeline`): From now on called only by the application's thread.
        schema ([`Schema`], *optional*): Types for requests that name none.
        limits ([`Limits`], *optional*): Limits of requests.
        texts_together (`int`, *optional*, defaults to 32): Maximum number of texts in one call of the pipeline.
        model_name (`str`, *optional*): Name of the model in `/health`.

    Returns:
        `FastAPI`: At the end of its lifespan it waits for texts that are being read.
    """
    limits = limits or Limits()
    metrics = Metrics()
    batcher = Batcher(
        pipeline, texts_together=texts_together, max_waiting=limits.max_waiting, on_turn=metrics.add_turn
    )
    metrics.watch(lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(
        title="jpt-ner",
        summary="Finds entities of any types, described in words, in any text.",
        lifespan=lifespan,
    )
    _add_errors(app)
    add_refusals(app)
    _add_reading(app, batcher, schema, limits)
    _add_about(app, batcher, metrics, schema, model_name)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body, timeout=limits.timeout)
    app.add_middleware(Counting, metrics=metrics, paths={getattr(route, "path", "") for route in app.routes})
    return app


def _add_errors(app: FastAPI) -> None:
    """All errors have one form: `detail`, a sentence. They do not repeat what the client sent."""

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        is_json = "json" in request.headers.get("content-type", "")
        return JSONResponse({"detail": _malformed(error, is_json)}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the server failed; its log says how"}, 500)


def add_refusals(app: FastAPI) -> None:
    """Answers 503 with `Retry-After` when the batcher takes no more texts: its queue is full, or it is closing."""

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(error.retry_after)})

    @app.exception_handler(ClosedError)
    async def closed(_: Request, error: ClosedError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "10"})


def _malformed(error: RequestValidationError, is_json: bool) -> str:
    """What is wrong with a body, of several things the one that lies deepest."""
    if isinstance(error.body, bytes) and not is_json:
        return "`body`: should be JSON, sent with the header Content-Type: application/json"
    deepest = max(error.errors(), key=lambda each: len(each["loc"]))
    if deepest["type"] == "json_invalid":
        return f"`body`: broken JSON at character {deepest['loc'][-1]} ({deepest['ctx']['error']})"
    place, value = [], error.body
    # What leads nowhere in the body is pydantic's name of one of several forms.
    for part in deepest["loc"][1:]:
        if isinstance(value, dict) and part in value or isinstance(value, list) and isinstance(part, int):
            place.append(str(part))
            value = value[part]
    if deepest["type"] == "missing":
        place.append(str(deepest["loc"][-1]))
    return f"`{'.'.join(place) or 'body'}`: {deepest['msg']}"


def _add_reading(app: FastAPI, batcher: Batcher, schema: Schema | None, limits: Limits) -> None:
    async def read(request: Request, body: TagRequest | BatchRequest) -> list[Entities]:
        try:
            future = batcher.submit(checked_texts(body, schema, limits), **body.call_options)
            return await _answer(request, asyncio.wrap_future(future), limits.timeout)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    options: dict[str, Any] = {"response_model_exclude_none": True, "responses": PROBLEMS}

    @app.post("/tag", **options)
    async def tag(request: Request, body: TagRequest) -> TagAnswer:
        """Entities of one text."""
        (entities,) = await read(request, body)
        return TagAnswer.model_validate({"entities": entities})

    @app.post("/tag/batch", **options)
    async def tag_batch(request: Request, body: BatchRequest) -> BatchAnswer:
        """Entities of several texts, in order."""
        results = await read(request, body)
        return BatchAnswer.model_validate({"results": [{"entities": entities} for entities in results]})


async def _answer(request: Request, future: asyncio.Future, timeout: float) -> list[Entities]:
    """Waits for the answer. Texts not yet started when the time is up, or the client has gone, are dropped."""
    end = time.monotonic() + timeout
    try:
        while (left := end - time.monotonic()) > 0:
            done, _ = await asyncio.wait({future}, timeout=min(left, LOOKING_SECONDS))
            if done:
                return future.result()
            if await request.is_disconnected():
                raise HTTPException(499, "the client has gone")
    finally:
        future.cancel()
    raise HTTPException(504, f"no answer within {timeout:g} s; send fewer or shorter texts, or fewer types")


def _add_about(app: FastAPI, batcher: Batcher, metrics: Metrics, schema: Schema | None, model_name: str) -> None:
    @app.get("/types", response_model_exclude_none=True)
    async def types() -> TypesAnswer:
        """The default types, and the names of presets."""
        return TypesAnswer(default=schema.to_dict() if schema else None, presets=list_presets())

    @app.get("/types/{preset}", responses={404: {"model": ErrorAnswer}})
    async def types_of(preset: str) -> dict[str, Any]:
        """The types of a preset, to start your own from."""
        if preset not in list_presets():
            raise HTTPException(404, f"there is no preset {preset[:80]!r}")
        return resolve_schema(preset).to_dict()

    @app.get("/health", responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        """Whether requests are answered."""
        alive = batcher.is_alive
        answer = Health(status="ok" if alive else "closed", model=model_name, waiting=batcher.waiting)
        return JSONResponse(answer.model_dump(), 200 if alive else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics_text() -> Response:
        """Counts and times, in the text format of Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)
