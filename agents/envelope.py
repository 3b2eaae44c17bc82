"""Reading a record, and the headers of what is computed from it."""

from __future__ import annotations

from typing import TypeVar

from agents.ports import SourceRecord
from schemas.base import SCHEMA_VERSION, InvalidMessage, Message

CONTENT_TYPE = "content-type"
SCHEMA = "schema"
TRACEPARENT = "traceparent"
"""W3C Trace Context: handed on from the client's request through every topic."""

M = TypeVar("M", bound=Message)


def read(model: type[M], record: SourceRecord) -> M:
    """The message in a record.

    Raises DecodeError: no value, not JSON, not this message, or keyed by somebody else.
    """
    if record.value is None:
        raise InvalidMessage("has no value")
    message = model.parse(record.value)
    user_id = getattr(message, "user_id", None)
    if user_id is not None and record.key != user_id.encode():
        # It would be applied to one learner, in the partition of another.
        raise InvalidMessage("is not the key of the record", "userId")
    return message


def header(record: SourceRecord, name: str) -> bytes | None:
    """A header's value; Faust hands headers over as a list of pairs or as a mapping."""
    headers = record.headers
    if not headers:
        return None
    pairs = headers.items() if hasattr(headers, "items") else headers
    for key, value in pairs:
        if key == name:
            return bytes(value)
    return None


def headers(model: type[Message], source: SourceRecord | None = None) -> dict[str, bytes]:
    """Headers of a record of this model, computed from `source`."""
    found = {
        CONTENT_TYPE: b"application/json",
        SCHEMA: f"{model.__name__}/{SCHEMA_VERSION}".encode(),
    }
    trace = header(source, TRACEPARENT) if source is not None else None
    if trace is not None:
        found[TRACEPARENT] = trace
    return found
