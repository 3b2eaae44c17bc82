"""The ground that every message stands on: casing, time, identity, encoding.

Errors:
    DecodeError            a payload that is not the message it should be
      InvalidJson          the bytes are not JSON
      InvalidMessage       JSON, but not this message; names the field
"""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
import uuid_utils
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

SCHEMA_VERSION: Final = 1

# 100,000,000,000 as seconds is the year 5138; as milliseconds it is March 1973.
# Everything below is taken for seconds, everything from it on for milliseconds.
_SECONDS_BELOW = 100_000_000_000
# The last millisecond that datetime can express (9999-12-31).
_MAX_MILLIS = 253_402_300_799_999


class DecodeError(ValueError):
    """A payload that is not the message it should be.

    Attributes:
        field: dotted path of the offending field, or None for the whole payload.
        message: one sentence that says what is wrong.
    """

    code: ClassVar[str] = "invalid_message"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class InvalidJson(DecodeError):
    """The bytes are not JSON."""

    code = "invalid_json"


class InvalidMessage(DecodeError):
    """JSON, but not this message; `field` names where."""

    @classmethod
    def from_pydantic(cls, error: ValidationError, model: type[BaseModel]) -> InvalidMessage:
        """The first violation, named by the path as the client wrote it (camelCase)."""
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or None
        more = error.error_count() - 1
        suffix = f" (and {more} more)" if more else ""
        return cls(f"{first['msg']}{suffix}", path)


def now_ms() -> int:
    """Wall-clock time, UTC, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_event_id() -> str:
    """A fresh UUIDv7 (RFC 9562): unique, and sortable by time of creation."""
    return str(uuid_utils.uuid7())


def _to_millis(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a time is a number of seconds or milliseconds since the epoch")
    if isinstance(value, datetime):
        value = value.timestamp()
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(
                    "a time is a number of seconds or milliseconds since the epoch, or ISO 8601"
                ) from None
            if moment.tzinfo is None:
                raise ValueError("an ISO 8601 time needs its offset from UTC") from None
            value = moment.timestamp()
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("a time is finite")
        if value < 0:
            raise ValueError("a time is not before 1970")
        millis = int(value * 1000) if value < _SECONDS_BELOW else int(value)
        if millis > _MAX_MILLIS:
            raise ValueError("a time is not after the year 9999")
        return millis
    return value


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("has control characters or surrounding blanks")
    return value


Millis = Annotated[
    int,
    BeforeValidator(_to_millis, json_schema_input_type=Annotated[float, Field(ge=0)] | str),
    Field(description="UTC, milliseconds since the epoch (seconds are accepted)", ge=0),
]
"""Time. Epoch seconds or milliseconds (or ISO 8601) are accepted, milliseconds are sent."""

OpaqueId = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
"""An id that only its owner can read: printable, 1-64 characters. Ours are UUIDv7."""

UserId = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
"""A learner: printable, 1-128 characters. Its UTF-8 bytes are the key of every topic."""

Unit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""A share, probability or normalised score in [0, 1]."""


class Message(BaseModel):
    """Anything that travels: camelCase is sent, camelCase or snake_case is accepted.

    Unknown fields are ignored, so that a newer sender never breaks an older reader.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        ser_json_inf_nan="null",
    )

    @classmethod
    def parse(cls, payload: bytes | str) -> Self:
        """Read from JSON.

        Raises:
            InvalidJson: the bytes are not JSON.
            InvalidMessage: JSON, but not this message.
        """
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise InvalidJson(f"not JSON: {error}") from error
        return cls.read(document)

    @classmethod
    def read(cls, document: Any) -> Self:
        """Read from parsed JSON. Raises InvalidMessage."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise InvalidMessage.from_pydantic(error, cls) from error

    def document(self) -> dict[str, Any]:
        """The message as a JSON-ready dict in camelCase; absent fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def json_bytes(self) -> bytes:
        """The message as UTF-8 JSON."""
        return orjson.dumps(self.document())


class Event(Message):
    """A record on a topic.

    `event_id` names the event for ever: a redelivery and a client's retry carry
    the same one. `event_time` is when it happened by the sender's clock,
    `ingest_time` when we received it; both UTC milliseconds.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: OpaqueId
    user_id: UserId
    event_time: Millis
    ingest_time: Millis


class Derived(Event):
    """A record that a worker computed from another one.

    The source position is what makes redelivery harmless: a reader keeps the
    highest `source_offset` it has applied for each source topic of a user.
    """

    caused_by: tuple[OpaqueId, ...] = Field(
        default=(), description="ids of the client's events that led to this record"
    )
    source_topic: str = Field(default="", description="topic of the record it was computed from")
    source_partition: int = Field(default=-1, description="partition of that record")
    source_offset: int = Field(default=-1, description="offset of that record")
