"""Reading a record, and the headers of what is computed from it."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from agents.runtime.ports import SourceRecord
from schemas.base import SCHEMA_VERSION, InvalidMessage, Message, UnknownVersion

CONTENT_TYPE = "content-type"
SCHEMA = "schema"
TRACEPARENT = "traceparent"
"""W3C Trace Context: handed on from the client's request through every topic."""

_VERSION: Final = re.compile(rb"[^/]+/([0-9]{1,9})")
"""Of the header `schema`: `ChatReceived/1`. What has another form says nothing of a version."""

_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,72})?")
"""A traceparent of any version, at most 128 bytes: one of megabytes would not fit an output."""

M = TypeVar("M", bound=Message)


def read(model: type[M], record: SourceRecord) -> M:
    """The message in a record.

    Raises DecodeError: of an unknown version, no value, not JSON, not this message, or keyed by
    somebody else.
    """
    for version in values(record, SCHEMA):
        found = _VERSION.fullmatch(version)
        if found is not None and int(found[1]) != SCHEMA_VERSION:
            # Before the value: a later version need not be JSON.
            raise UnknownVersion(SCHEMA)
    if record.value is None:
        raise InvalidMessage("has no value")
    message = model.parse(record.value)
    user_id = getattr(message, "user_id", None)
    if user_id is not None and record.key != user_id.encode():
        # It would be applied to one learner, in the partition of another.
        raise InvalidMessage("is not the key of the record", "userId")
    return message


def header_pairs(record: SourceRecord) -> list[tuple[str, bytes | None]]:
    """Every header in order, repeats and nulls as well; Faust has pairs, a mapping or None."""
    given = record.headers
    if not given:
        return []
    pairs = given.items() if hasattr(given, "items") else given
    return [(name, None if value is None else bytes(value)) for name, value in pairs]


def values(record: SourceRecord, name: str) -> list[bytes]:
    """The values of a header, in order; a null is none."""
    pairs = header_pairs(record)
    return [value for key, value in pairs if key == name and value is not None]


def headers(model: type[Message], source: SourceRecord | None = None) -> dict[str, bytes]:
    """Headers of a record of this model, computed from `source`."""
    found = {
        CONTENT_TYPE: b"application/json",
        SCHEMA: f"{model.__name__}/{SCHEMA_VERSION}".encode(),
    }
    for trace in values(source, TRACEPARENT) if source is not None else ():
        if _TRACE.fullmatch(trace):
            found[TRACEPARENT] = trace
            break
    return found
