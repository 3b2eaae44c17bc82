"""Bytes from a socket -> a message, or the error that answers them. Pure; never raises.

Two steps, because a rate limit stands between them: `unpack` reads the envelope
(cheap), `read` validates the message in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas.base import InvalidMessage, Message
from schemas.wire import CLIENT_TYPES, ClientMessage, Error, ErrorCode, read_client

UNKNOWN: Final = "unknown"
"""The type of a message whose type we do not know."""

_MAX_ID: Final = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """A JSON object. `type` is UNKNOWN, and `id` None, where it could not be read."""

    type: str
    id: str | None
    document: dict[str, Any]


def unpack(frame: bytes | str, max_bytes: int) -> Envelope | Error:
    """Read the envelope of a frame of at most `max_bytes` bytes."""
    raw = frame.encode(errors="surrogatepass") if isinstance(frame, str) else frame
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        if len(raw) > max_bytes:
            return _too_large(None, max_bytes)
        return Error(code=ErrorCode.INVALID_JSON, message="not JSON in UTF-8")
    if not isinstance(document, dict):
        return Error(code=ErrorCode.INVALID_MESSAGE, message="a message is a JSON object")
    message_id = readable_id(document.get("id"))
    if len(raw) > max_bytes:
        return _too_large(message_id, max_bytes)
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in CLIENT_TYPES:
        kind = UNKNOWN
    return Envelope(kind, message_id, document)


def read(envelope: Envelope) -> ClientMessage | Error:
    """Validate the message in an envelope."""
    try:
        return read_client(envelope.document)
    except InvalidMessage as error:
        return invalid(error, envelope.id)


def decode(frame: bytes | str, max_bytes: int) -> ClientMessage | Error:
    """Both steps in one."""
    envelope = unpack(frame, max_bytes)
    return envelope if isinstance(envelope, Error) else read(envelope)


def readable_id(value: Any) -> str | None:
    """The id of a message, if it is one that can be repeated to the client."""
    usable = isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()
    return value if usable else None


def invalid(error: InvalidMessage, message_id: str | None) -> Error:
    """The answer to a message that is not what it should be."""
    return Error(
        id=message_id,
        code=ErrorCode(error.code),
        field=error.field,
        message=error.message,
    )


def encode(message: Message) -> bytes:
    """A server message as it goes over the wire."""
    return message.json_bytes()


def dumps(document: dict[str, Any]) -> bytes:
    """A server message whose parts are documents already."""
    return orjson.dumps(document)


def _too_large(message_id: str | None, max_bytes: int) -> Error:
    return Error(
        id=message_id,
        code=ErrorCode.TOO_LARGE,
        message=f"a message has at most {max_bytes} bytes; send smaller batches",
    )
