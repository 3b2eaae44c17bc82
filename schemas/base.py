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
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, cast

import orjson
import uuid_utils
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from schemas.times import Millis, integral

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SCHEMA_VERSION: Final = 1

# What an id may not hold: controls, blanks other than U+0020, marks that are not seen, lone
# surrogates, private use, noncharacters. Written out, because Python's own tables change
# from version to version. ZWNJ and ZWJ (U+200C, U+200D) are absent on purpose: names of
# people are spelled with them.
UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U0001d173-\U0001d17a\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe-\U000e00ff"
    "\U000f0000-\U0010ffff]"
)
_UNSEEN_AT_AN_END = " \u200c\u200d"

MAX_ID_LENGTH: Final = 64
"""Characters of a client's id, at most."""

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
        case "finite_number":
            return "is not a finite number"
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


@lru_cache(maxsize=4096)
def _seen(value: str) -> str:
    # Kept for a moment: an event's id comes again in each record that it leads to.
    if unseen := UNSEEN.search(value):
        raise ValueError(f"has a character that cannot be seen (U+{ord(unseen[0]):04X})")
    if not value.strip(_UNSEEN_AT_AN_END):
        raise ValueError("is blank")
    return value


def _addressable(value: str) -> str:
    if value != value.strip(_UNSEEN_AT_AN_END):
        raise ValueError("has surrounding blanks")
    if value in {".", ".."}:
        raise ValueError("is . or .., which no browser can put into an address")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is blank")
    return value


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value


def measured(least: float, most: float) -> BeforeValidator:
    """A figure outside [least, most] is absent, not an error.

    A real clock is set back while it measures (a time below 0), or its machine sleeps over
    a weekend (above a day): the event happened all the same. What is no finite number is
    left to the type to refuse.
    """

    def within(value: Any) -> Any:
        if type(value) in (float, int) and least <= value <= most:
            return value  # what comes, nearly always
        number = isinstance(value, int | float) and not isinstance(value, bool)
        outside = number and (value < least or value > most)
        return None if outside and abs(value) != math.inf else value

    return BeforeValidator(within)


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


OpaqueId = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_LENGTH),
    AfterValidator(_seen),
]
"""An id that only its owner can read: 1-64 characters that can be seen, ZWJ and ZWNJ among
them. Ours are UUIDv7."""

UserId = Annotated[
    str,
    Field(min_length=1, max_length=128),
    AfterValidator(_seen),
    AfterValidator(_addressable),
]
"""A learner: as an `OpaqueId`, of 1-128 characters, without surrounding blanks, neither `.`
nor `..`. Its UTF-8 bytes are the key of every topic."""

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

Ordinal = Annotated[int, Field(ge=1, le=MAX_INT64, strict=True), BeforeValidator(integral)]
"""The first is 1."""

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

    schema_version: Literal[1] = Field(
        default=SCHEMA_VERSION, description="major version of the message"
    )

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

    event_id: OpaqueId = Field(description="names the event; a repetition has the same one")
    user_id: UserId = Field(description="the learner")
    event_time: Millis = Field(
        description="when it happened, by the sender's clock; UTC, milliseconds since the epoch"
    )
    ingest_time: Millis = Field(
        description="when masterx received it; UTC, milliseconds since the epoch"
    )


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
