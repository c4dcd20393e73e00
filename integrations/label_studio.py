"""Label Studio: an ML backend that annotates tasks before people do: `python -m jpt_ner.integrations.label_studio`.

The types are the project's labels. A label's definition is the first of these: the given type with its name, the label's
`hint` in the labelling interface, its name. The model cannot be trained from the browser: `jpt-ner train finetune` reads exports.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from xml.etree import ElementTree

import typer
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from ..schema_jpt import EntityType, Schema, resolve_schema
from ..tools.commands.arguments import schema_of
from ..tools.loading import load_service_pipeline
from ..tools.serving.app import add_refusals
from ..tools.serving.batching import Batcher, Text
from ..tools.serving.body_limit import BodyLimit
from ..tools.serving.server import listen, make_server

VERSION = "jpt-ner"
MAX_BODY = 64 * 2**20
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Interface:
    """A labelling interface: the control and its text, the text's key in tasks, and the labels."""

    from_name: str
    to_name: str
    key: str
    schema: Schema


class PredictRequest(BaseModel):
    """Tasks to annotate, and the XML of the project's labelling interface. Other fields from Label Studio are ignored."""

    tasks: list[dict[str, Any]]
    label_config: str


def read_interface(config: str, types: Schema | None = None) -> Interface:
    """
    Args:
        config (`str`): XML of a labelling interface with `Labels` for a `Text`.
        types ([`Schema`], *optional*): Definitions of labels, by name.

    Raises:
        ValueError: If it is not such an interface.
    """
    if "<!" in config.replace("<!--", ""):
        raise ValueError("the labelling interface may not declare a document type or entities")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ValueError(f"the labelling interface is no XML: {error}") from error
    texts = {each.get("name"): each.get("value", "") for each in root.iter("Text")}
    for control in root.iter("Labels"):
        if control.get("toName") not in texts:
            continue
        known = {each.name: each for each in types.entity_types} if types else {}
        labels = [each for each in control.iter("Label") if each.get("value")]
        entity_types = [
            known.get(label.get("value")) or EntityType(label.get("value"), label.get("hint") or label.get("value"))
            for label in labels
        ]
        if not entity_types:
            raise ValueError(
                f"the control {control.get('name')!r} of the labelling interface has no <Label value=...>"
            )
        key = texts[control.get("toName")].lstrip("$")
        return Interface(control.get("name"), control.get("toName"), key, resolve_schema(entity_types))
    raise ValueError("the labelling interface has no <Labels toName=...> for a <Text>")


def predictions(
    interface: Interface, tasks: Sequence[Mapping[str, Any]], found: Sequence[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Entities as predictions for Label Studio, one for each task; its score is the lowest of its entities."""
    return [
        {
            "model_version": VERSION,
            "score": min((each["score"] for each in entities), default=1.0),
            "result": [_region(interface, number, each) for number, each in enumerate(entities, 1)],
        }
        for _, entities in zip(tasks, found, strict=True)
    ]


def _region(interface: Interface, number: int, entity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"entity-{number}",
        "from_name": interface.from_name,
        "to_name": interface.to_name,
        "type": "labels",
        "score": entity["score"],
        "value": {
            "start": entity["start"],
            "end": entity["end"],
            "text": entity["word"],
            "labels": [entity["entity_group"]],
        },
    }


def build_app(pipeline: Any, types: Schema | None = None, **options: Any) -> FastAPI:
    """
    The ML backend as a web application.

    Args:
        pipeline (`EntityPipeline`): From now on called only by the application's thread.
        types ([`Schema`], *optional*): Definitions of labels, by name.
        options: Options of the pipeline's call.
    """
    batcher = Batcher(pipeline)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(title="jpt-ner for Label Studio", lifespan=lifespan)
    add_refusals(app)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY, timeout=TIMEOUT_SECONDS)

    @app.get("/")
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": VERSION}

    @app.post("/setup")
    async def setup(_: dict[str, Any]) -> dict[str, str]:
        return {"model_version": VERSION}

    @app.get("/versions")
    async def versions() -> dict[str, list[str]]:
        return {"versions": [VERSION]}

    @app.post("/webhook", status_code=201)
    async def webhook(_: dict[str, Any]) -> dict[str, str]:
        """Ignores annotations: they are in Label Studio's export."""
        return {"status": "ignored"}

    @app.post("/predict")
    async def predict(body: PredictRequest) -> dict[str, Any]:
        try:
            interface = read_interface(body.label_config, types)
            texts = [_text(task, number, interface) for number, task in enumerate(body.tasks)]
            found = await asyncio.wrap_future(batcher.submit(texts, **options)) if texts else []
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return {"results": predictions(interface, body.tasks, found), "model_version": VERSION}

    return app


def _text(task: Mapping[str, Any], number: int, interface: Interface) -> Text:
    text = (task.get("data") or {}).get(interface.key)
    if not isinstance(text, str):
        raise ValueError(f"`tasks[{number}]` has no text under {interface.key!r}, the key that the interface names")
    return Text(text, interface.schema)


def main(
    types: Annotated[
        list[str] | None,
        typer.Option("--types", "-t", help="What labels mean: a schema file, a preset, or NAME=DEFINITION."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Drop entities that score below.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Label Studio's own default for backends.")] = 9090,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model folder or Hub id.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda`.")] = None,
) -> None:
    """Annotates tasks of Label Studio before people do. Connect it under Settings, Model, as http://HOST:PORT."""
    options = {} if threshold is None else {"threshold": threshold}
    try:
        schema = schema_of(types)
        with listen(host, port) as listener:
            app = build_app(load_service_pipeline(model, device=device), schema, **options)
            make_server(app).run(sockets=[listener])
    except (ValueError, OSError, ImportError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
