"""The AsyncAPI 3 document: every topic, and the WebSocket in both directions.

Plain dicts: pydantic-asyncapi 0.3.2 misspells two of the specification's fields
(`topicConfiuration`, `securitySchemas`) and does not know `$defs`.
Actions are ours: we `send` what others consume, and `receive` what they send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from app.contracts.json_schema import AsTransmitted, Direction, require_type, type_name
from app.kafka.topics import Topic, catalogue
from app.settings import GatewaySettings, KafkaSettings
from schemas.base import SCHEMA_VERSION, Message
from schemas.topics.operations import DeadLetter
from schemas.wire.client import ChatMessage, ClientMessage, Feedback, InteractionBatch, Ping, Resume
from schemas.wire.errors import CloseCode
from schemas.wire.server import (
    Ack,
    Error,
    Hello,
    Pong,
    Push,
    Restarting,
    Resumed,
    ServerMessage,
)

SOCKET = "socket"

CLOSE_CODES = {
    CloseCode.UNAUTHORIZED: "The token is missing, not valid, or has expired: get a new one.",
    CloseCode.FORBIDDEN: "The token does not allow this learner, or lacks consent: do not retry.",
    CloseCode.TOO_SLOW: "Too many bytes wait to be read: reconnect and resume.",
    CloseCode.TRY_AGAIN: "A service behind us is down: reconnect later, with growing pauses.",
}

Document = dict[str, Any]


def document() -> Document:
    """The whole document. The same on every machine: made of defaults, not of settings."""
    topics = [topic for topic in catalogue(KafkaSettings()) if topic.schema is not None]
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {
            **{topic.name: _topic_channel(topic) for topic in topics},
            SOCKET: _socket_channel(),
        },
        "operations": {
            **{f"write-{topic.name}": _topic_operation(topic) for topic in topics},
            **_socket_operations(),
        },
        "components": _components([topic.schema for topic in topics if topic.schema]),
    }


def _info() -> Document:
    return {
        "title": "masterx",
        "version": f"{SCHEMA_VERSION}.0.0",
        "description": "Interactions and chat messages in; the learner's state, recommendations, "
        "interventions and the tutor's replies out. Delivery is at least once: tell duplicates "
        "by `eventId`. "
        "Ignore fields, types and enum values that you do not know.",
        "license": {
            "name": "Apache-2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
    }


def _servers() -> Document:
    gateway = GatewaySettings()
    return {
        "kafka": {
            "host": KafkaSettings().bootstrap,
            "protocol": "kafka",
            "description": "Any Kafka cluster (MASTERX_KAFKA__BOOTSTRAP).",
        },
        "gateway": {
            "host": f"{gateway.host}:{gateway.port}",
            "protocol": "ws",
            "description": "The gateway; wss behind TLS.",
            "security": [
                {"$ref": "#/components/securitySchemes/bearer"},
                {"$ref": "#/components/securitySchemes/subprotocol"},
            ],
        },
    }


# -- topics -------------------------------------------------------------------------------


def _topic_channel(topic: Topic) -> Document:
    assert topic.schema is not None
    settings = KafkaSettings()
    return {
        "address": topic.name,
        "title": topic.summary,
        "description": _kept(topic),
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {topic.schema.__name__: _message_ref(topic.schema)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": settings.partitions,
                "replicas": settings.replication,
                "topicConfiguration": _topic_configuration(topic.config(settings)),
                "bindingVersion": "0.5.0",
            }
        },
    }


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return (
            "Compacted: the latest record of each learner is kept; "
            "a record without a value means that the learner was forgotten."
        )
    return f"Records are kept for {topic.retention_days:g} days by default."


# What the Kafka binding 0.5.0 has a place for; min.compaction.lag.ms is our own affair.
_NUMBERS = ("retention.ms", "delete.retention.ms", "max.message.bytes")


def _topic_configuration(config: dict[str, str]) -> Document:
    found: Document = {"cleanup.policy": config.get("cleanup.policy", "delete").split(",")}
    return found | {name: int(config[name]) for name in _NUMBERS if name in config}


def _topic_operation(topic: Topic) -> Document:
    assert topic.schema is not None
    return {
        "action": "send",
        "channel": _channel_ref(topic.name),
        "messages": _messages_of(topic.name, [topic.schema]),
        "summary": topic.summary,
    }


def _topic_message(model: type[Message]) -> Document:
    key = (
        "The key of the record that could not be processed, whatever it is; may be absent."
        if model is DeadLetter
        else "The user id, as raw UTF-8. Partitioned by murmur2, as Java's client does."
    )
    return {
        "name": model.__name__,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["content-type", "schema"],
            "properties": {
                "content-type": {"const": "application/json"},
                "schema": {"const": f"{model.__name__}/{SCHEMA_VERSION}"},
                "traceparent": {
                    "type": "string",
                    "description": "W3C Trace Context, where the client's request had one",
                },
            },
        },
        "payload": _schema_ref(model),
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": key},
                "bindingVersion": "0.5.0",
            }
        },
    }


# -- the socket ---------------------------------------------------------------------------


def _socket_channel() -> Document:
    codes = "\n".join(f"- {int(code)}: {meaning}" for code, meaning in CLOSE_CODES.items())
    return {
        "address": "/api/v1/ml-personalization/ws/{userId}",
        "title": "A learner's live connection",
        "description": "`hello` comes first. A bad message is answered by `error` and does not "
        f"end the connection. Close codes of our own:\n\n{codes}",
        "servers": [{"$ref": "#/servers/gateway"}],
        "parameters": {"userId": {"description": "The learner, percent-encoded."}},
        "messages": {
            type_name(model): _message_ref(model)
            for model in (*get_args(ClientMessage), *get_args(ServerMessage))
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {
                        "Authorization": {"type": "string", "pattern": "^Bearer .+$"},
                        "Sec-WebSocket-Protocol": {
                            "type": "string",
                            "description": "masterx.v1, bearer.<jwt>; "
                            "the server answers masterx.v1",
                        },
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {str(int(code)): meaning for code, meaning in CLOSE_CODES.items()},
    }


def _socket_operations() -> Document:
    return {
        "accept": _exchange(
            "Take events in; `ack` once Kafka has them on all in-sync replicas",
            [InteractionBatch, ChatMessage, Feedback],
            [Ack, Error],
        ),
        "resume": _exchange("Send what was missed", [Resume], [Resumed, Error]),
        "ping": _exchange("Answer a ping", [Ping], [Pong, Error]),
        "greet": {
            "action": "send",
            "summary": "Say where things stand, once connected",
            "channel": _channel_ref(SOCKET),
            "messages": _messages_of(SOCKET, [Hello]),
        },
        "restart": {
            "action": "send",
            "summary": "Say when to come back, before this gateway ends and closes (1012)",
            "channel": _channel_ref(SOCKET),
            "messages": _messages_of(SOCKET, [Restarting]),
        },
        "push": {
            "action": "send",
            "summary": "Tell what changed",
            "channel": _channel_ref(SOCKET),
            "messages": _messages_of(
                SOCKET, [model for model in get_args(ServerMessage) if issubclass(model, Push)]
            ),
        },
    }


def _exchange(
    summary: str, asked: Iterable[type[Message]], answers: Iterable[type[Message]]
) -> Document:
    return {
        "action": "receive",
        "summary": summary,
        "channel": _channel_ref(SOCKET),
        "messages": _messages_of(SOCKET, asked),
        "reply": {"channel": _channel_ref(SOCKET), "messages": _messages_of(SOCKET, answers)},
    }


def _socket_message(model: type[Message]) -> Document:
    return {
        "name": type_name(model),
        "contentType": "application/json",
        "payload": _schema_ref(model),
    }


# -- components ---------------------------------------------------------------------------


def _components(topic_models: list[type[Message]]) -> Document:
    received = list(get_args(ClientMessage))
    sent = list(get_args(ServerMessage))
    names, schemas = models_json_schema(
        [
            *((model, Direction.SENT.mode) for model in (*topic_models, *sent)),
            *((model, Direction.RECEIVED.mode) for model in received),
        ],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
        schema_generator=AsTransmitted,
    )
    del names
    for model in received:
        require_type(schemas["$defs"][model.__name__])
    return {
        "messages": {
            **{model.__name__: _topic_message(model) for model in topic_models},
            **{model.__name__: _socket_message(model) for model in (*received, *sent)},
        },
        "schemas": schemas["$defs"],
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "For clients that can set headers.",
            },
            "subprotocol": {
                "type": "httpApiKey",
                "name": "Sec-WebSocket-Protocol",
                "in": "header",
                "description": "For browsers: the subprotocols masterx.v1 and bearer.<jwt>.",
            },
        },
    }


def _channel_ref(channel: str) -> Document:
    return {"$ref": f"#/channels/{channel}"}


def _message_ref(model: type[Message]) -> Document:
    return {"$ref": f"#/components/messages/{model.__name__}"}


def _schema_ref(model: type[Message]) -> Document:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _messages_of(channel: str, models: Iterable[type[Message]]) -> list[Document]:
    on_socket = channel == SOCKET
    return [
        {
            "$ref": f"#/channels/{channel}/messages/"
            + (type_name(model) if on_socket else model.__name__)
        }
        for model in models
    ]
