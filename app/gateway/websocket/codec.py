"""Bytes from a socket -> a message, or the error that answers them. Pure; never raises.

Two steps, because a rate limit stands between them: `unpack` reads the envelope
(cheap), `read` validates the message in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.gateway.intake.events import Batch, Submission, read_interactions
from schemas.base import MAX_ID_LENGTH, UNSEEN, InvalidMessage, Message
from schemas.wire.client import CLIENT_TYPES, InteractionBatch, Ping, Resume, read_client
from schemas.wire.errors import ErrorCode
from schemas.wire.server import Error

Received = Submission | Resume | Ping
"""What a client may send, as it was read."""

UNKNOWN: Final = "unknown"
"""The type of a message whose type we do not know."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BATCH: Final = InteractionBatch.model_fields["type"].default


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
        document = load(raw)
    except ValueError:
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


def load(raw: bytes | bytearray) -> Any:
    """Parse JSON in UTF-8, also what strict parsers refuse and JavaScript writes.

    A lone surrogate (half an emoji, cut off by `slice`) becomes U+FFFD. NaN, Infinity and
    1e400 become floats that are not finite: validation refuses them by the field's name,
    and the sender learns which of its messages it was.

    Raises ValueError: not JSON in UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            return _whole(json.loads(raw.decode()))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        # A pair written as two escapes is one character by now; what is left has lost its half.
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def read(envelope: Envelope) -> Received | Error:
    """Validate the message in an envelope."""
    try:
        if envelope.type == _BATCH:
            return Batch.of(*read_interactions(InteractionBatch, envelope.document))
        message = read_client(envelope.document)
        assert not isinstance(message, InteractionBatch)
        return message
    except InvalidMessage as error:
        return invalid(error, envelope.id)


def decode(frame: bytes | str, max_bytes: int) -> Received | Error:
    """Both steps in one."""
    envelope = unpack(frame, max_bytes)
    return envelope if isinstance(envelope, Error) else read(envelope)


def readable_id(value: Any) -> str | None:
    """The id of a message, if it is one that can be repeated to the client."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH or UNSEEN.search(value):
        return None
    return value


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
