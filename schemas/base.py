"""The ground that every message stands on: casing, time, identity, encoding.

Errors:
    DecodeError            a payload that is not the message it should be
      InvalidJson          the bytes are not JSON
      InvalidMessage       JSON, but not this message; names the field
      UnknownVersion       a record of a schema version that this release does not read
"""

from __future__ import annotations

import math
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, cast

import orjson
import uuid_utils
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SCHEMA_VERSION: Final = 1

# 100,000,000,000 as seconds is the year 5138; as milliseconds it is March 1973.
# Everything below is taken for seconds, everything from it on for milliseconds.
_SECONDS_BELOW = 100_000_000_000
# The last millisecond that datetime can express (9999-12-31).
_MAX_MILLIS = 253_402_300_799_999
# A number in ASCII digits. float() alone would also take "1_000", "\u0661" and "nan".
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_A_TIME_IS = "a time is a number of seconds or milliseconds since the epoch, or ISO 8601"

MAX_INT64: Final = 2**63 - 1
"""The largest integer of Kafka, MongoDB and orjson."""


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
        """The first violation, named by the path as the client wrote it."""
        found = error.errors(include_url=False)
        first = found[0]
        # A list with a bad item is also "too short after validation": one mistake, not two.
        more = sum(1 for other in found[1:] if other["loc"] != first["loc"][: len(other["loc"])])
        suffix = f" (and {more} more)" if more else ""
        path = ".".join(str(part) for part in first["loc"]) or None
        return cls(f"{_sentence(first)}{suffix}", path)


class UnknownVersion(DecodeError):
    """A record of a schema version that this release does not read; a later one may.

    Its message is the same for every record: `unknown_version`.
    """

    code = "unknown_version"

    def __init__(self, field: str | None = None) -> None:
        super().__init__(self.code, field)


def _sentence(error: ErrorDetails) -> str:
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_unicode":
            return "has a lone surrogate, which UTF-8 cannot express"
        case "model_type" | "model_attributes_type":
            return "should be a JSON object"
        case _:
            return error["msg"]


def now_ms() -> int:
    """Wall-clock time, UTC, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_event_id() -> str:
    """A fresh UUIDv7 (RFC 9562): unique, and sortable by time of creation."""
    return str(uuid_utils.uuid7())


def _seconds_to_millis(seconds: float) -> int:
    # round, not truncate: 1.001 * 1000 is 1000.9999999999999.
    return round(seconds * 1000)


def _moment_to_millis(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("an ISO 8601 time needs its offset from UTC")
    return _seconds_to_millis(moment.timestamp())


def _text_to_millis(text: str) -> int:
    if _NUMBER.fullmatch(text):
        return _number_to_millis(float(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_A_TIME_IS) from None
    return _moment_to_millis(moment)


def _number_to_millis(value: float) -> int:
    # Compared before any arithmetic: an integer of 400 digits does not fit a float.
    if not -_MAX_MILLIS <= value <= _MAX_MILLIS:
        raise ValueError("a time is finite, and not after the year 9999")
    return _seconds_to_millis(value) if value < _SECONDS_BELOW else int(value)


def _to_millis(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(_A_TIME_IS)
    if isinstance(value, int | float):
        millis = _number_to_millis(value)
    elif isinstance(value, str):
        millis = _text_to_millis(value)
    elif isinstance(value, datetime):
        millis = _moment_to_millis(value)
    else:
        raise ValueError(_A_TIME_IS)
    if millis < 0:
        raise ValueError("a time is not before 1970")
    if millis < _SECONDS_BELOW:
        # Sent as milliseconds, it would be taken for seconds when it is read again.
        # In practice it is a duration (a page's performance.now()), not a time.
        raise ValueError("a time is not before March 1973 (is it a duration?)")
    if millis > _MAX_MILLIS:
        raise ValueError("a time is not after the year 9999")
    return millis


def integral(value: Any) -> Any:
    """7.0 is the integer 7, in JSON as in mathematics; true and "7" are not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _no_controls(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has control characters")
    return value


def _printable(value: str) -> str:
    if _no_controls(value) != value.strip():
        raise ValueError("has surrounding blanks")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is blank")
    return value


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value


def _json_object(value: dict[str, Any]) -> dict[str, Any]:
    try:
        back = orjson.loads(orjson.dumps(value))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if _has_non_finite(value):
        raise ValueError("is not JSON: a number is not finite")
    return cast("dict[str, Any]", back)


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_non_finite, value))
    return False


Millis = Annotated[
    int,
    Field(description="UTC, milliseconds since the epoch", ge=0, le=_MAX_MILLIS, strict=True),
    BeforeValidator(integral),
]
"""Time in a record: exact, so that reading what was written gives the same message."""

Timestamp = Annotated[
    int,
    BeforeValidator(_to_millis, json_schema_input_type=Annotated[float, Field(ge=0)] | str),
    Field(
        description="UTC, milliseconds since the epoch; epoch seconds and ISO 8601 with an "
        "offset are accepted; not before March 1973"
    ),
]
"""Time as a client gives it. Kept as milliseconds."""

OpaqueId = Annotated[
    str,
    Field(min_length=1, max_length=64),
    AfterValidator(_no_controls),
    AfterValidator(_not_blank),
]
"""An id that only its owner can read: 1-64 printable characters. Ours are UUIDv7."""

UserId = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
"""A learner: printable, 1-128 characters. Its UTF-8 bytes are the key of every topic."""

Words = Annotated[str, Field(min_length=1), AfterValidator(_not_blank)]
"""What somebody wrote: any Unicode text but blanks only."""

Reported = Annotated[str, BeforeValidator(_encodable)]
"""Text that is reported, whatever it holds: what UTF-8 cannot express becomes '?'."""

Unit = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
"""A share, probability or normalised score in [0, 1]."""

Number = Annotated[float, Field(strict=True)]
"""A finite number; neither a boolean nor a numeral in quotes."""

Flag = Annotated[bool, Field(strict=True)]
"""true or false; neither 1 nor "yes"."""

Count = Annotated[int, Field(ge=0, le=MAX_INT64, strict=True), BeforeValidator(integral)]
"""A whole number that 64 bits hold, from 0."""

Position = Annotated[int, Field(ge=-1, le=MAX_INT64, strict=True), BeforeValidator(integral)]
"""A Kafka partition or offset; -1 when there is none."""

Json = Annotated[dict[str, Any], AfterValidator(_json_object)]
"""A JSON object: finite numbers within 64 bits, Unicode text, lists, objects."""


class Message(BaseModel):
    """Anything that travels: camelCase is sent, camelCase or snake_case is accepted.

    Unknown fields are ignored, so that a newer sender never breaks an older reader.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
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


class Versioned(Message):
    """A message that says its version, which is looked at before any other field."""

    schema_version: Literal[1] = SCHEMA_VERSION

    @classmethod
    def read(cls, document: Any) -> Self:
        """Read from parsed JSON. Raises UnknownVersion and InvalidMessage."""
        if isinstance(document, dict):
            # A newer version may have other fields: its own are not held against ours.
            version = document.get("schemaVersion", document.get("schema_version", SCHEMA_VERSION))
            if isinstance(version, bool) or version != SCHEMA_VERSION:
                raise UnknownVersion("schemaVersion")
        return super().read(document)


class Event(Versioned):
    """A record on a topic.

    `event_id` names the event for ever: a redelivery and a client's retry carry
    the same one. `event_time` is when it happened by the sender's clock,
    `ingest_time` when we received it; both UTC milliseconds.
    """

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
    source_partition: Position = Field(default=-1, description="partition of that record")
    source_offset: Position = Field(default=-1, description="offset of that record")
