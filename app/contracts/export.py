"""What others may rely on, as files: JSON Schema of every message, AsyncAPI, OpenAPI.

`export` writes them; they are committed under `contracts/`, and tests hold them
against the code and against `contracts/baseline/`, the last released ones.

    topics/<topic>.json     what we write to a topic, for whoever consumes it
    readers/<topic>.json    what our own workers accept from it (older records, replays)
    wire/<message>.json     WebSocket messages and REST bodies
    asyncapi.json           topics and WebSocket in one AsyncAPI 3 document
    openapi.json            the gateway's REST paths
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from app.contracts.asyncapi import document as asyncapi
from app.contracts.json_schema import AsTransmitted, Direction, require_type, type_name
from app.gateway.process.server import create_app
from app.kafka.topics import catalogue
from app.settings import KafkaSettings, Settings
from schemas.base import SCHEMA_VERSION, Message
from schemas.wire.client import ClientMessage
from schemas.wire.rest import (
    Accepted,
    ChatRequest,
    FeedbackRequest,
    InteractionRequest,
    Problem,
    Profile,
    Pushes,
)
from schemas.wire.server import ServerMessage

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Contract:
    """One message in one direction, and the file that it is written to."""

    path: str
    model: type[Message]
    direction: Direction

    def json_schema(self) -> dict[str, Any]:
        """A self-contained JSON Schema (2020-12), by camelCase name."""
        schema = self.model.model_json_schema(
            by_alias=True, mode=self.direction.mode, schema_generator=AsTransmitted
        )
        require_type(schema)
        name = self.path.removesuffix(".json").replace("/", ":")
        return {"$schema": DIALECT, "$id": f"urn:masterx:{name}:{SCHEMA_VERSION}", **schema}


def contracts() -> Iterator[Contract]:
    """Every contract, in the order of the chain."""
    # Not Settings(): a contract does not depend on whose machine it is written.
    for topic in catalogue(KafkaSettings()):
        if topic.schema is not None:
            yield Contract(f"topics/{topic.name}.json", topic.schema, Direction.SENT)
            yield Contract(f"readers/{topic.name}.json", topic.schema, Direction.RECEIVED)
    for model in get_args(ClientMessage):
        yield Contract(f"wire/{type_name(model)}.json", model, Direction.RECEIVED)
    for model in get_args(ServerMessage):
        yield Contract(f"wire/{type_name(model)}.json", model, Direction.SENT)
    yield Contract("wire/interaction_request.json", InteractionRequest, Direction.RECEIVED)
    yield Contract("wire/chat_request.json", ChatRequest, Direction.RECEIVED)
    yield Contract("wire/feedback_request.json", FeedbackRequest, Direction.RECEIVED)
    yield Contract("wire/accepted.json", Accepted, Direction.SENT)
    yield Contract("wire/problem.json", Problem, Direction.SENT)
    yield Contract("wire/profile.json", Profile, Direction.SENT)
    yield Contract("wire/pushes.json", Pushes, Direction.SENT)


def documents() -> dict[str, dict[str, Any]]:
    """Every document by its path below the directory."""
    found = {contract.path: contract.json_schema() for contract in contracts()}
    found["asyncapi.json"] = asyncapi()
    # Defaults, whatever the environment says.
    found["openapi.json"] = create_app(Settings.model_construct()).openapi()
    return found


def render(document: dict[str, Any]) -> str:
    """The same text for the same document, on every machine."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def export(directory: Path) -> list[Path]:
    """Write every document below the directory; returns their paths, sorted."""
    written = []
    for path, document in documents().items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(document), encoding="utf-8", newline="\n")
        written.append(target)
    return sorted(written)
