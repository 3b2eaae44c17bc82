"""Times: seconds, milliseconds or ISO 8601 come in, UTC milliseconds go out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


@dataclass(frozen=True, slots=True)
class In:
    """The unit of a figure, among a field's annotations, for codebooks (app.analysis).

    Validation and JSON Schema do not look at it; a description names the unit for their readers.
    """

    unit: str


MOMENT = In("UTC, to the millisecond")
"""Of a point in time; a number on the wire and on topics, a date with a time in frames."""

# 100,000,000,000 as seconds is the year 5138; as milliseconds it is March 1973.
# Everything below is taken for seconds, everything from it on for milliseconds.
_SECONDS_BELOW = 100_000_000_000
# The last millisecond that datetime can express (9999-12-31).
MAX_MILLIS = 253_402_300_799_999
# A number in ASCII digits. float() alone would also take "1_000", "\u0661" and "nan".
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_A_TIME_IS = "a time is a number of seconds or milliseconds since the epoch, or ISO 8601"


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
    if not -MAX_MILLIS <= value <= MAX_MILLIS:
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
    if millis > MAX_MILLIS:
        raise ValueError("a time is not after the year 9999")
    return millis


def integral(value: Any) -> Any:
    """7.0 is the integer 7, in JSON as in mathematics; true and "7" are not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


Millis = Annotated[
    int,
    Field(description="UTC, milliseconds since the epoch", ge=0, le=MAX_MILLIS, strict=True),
    BeforeValidator(integral),
    MOMENT,
]
"""Time in a record: exact, so that reading what was written gives the same message."""

Timestamp = Annotated[
    int,
    BeforeValidator(_to_millis, json_schema_input_type=Annotated[float, Field(ge=0)] | str),
    Field(
        description="UTC, milliseconds since the epoch; epoch seconds and ISO 8601 with an "
        "offset are accepted; not before March 1973"
    ),
    MOMENT,
]
"""Time as a client gives it. Kept as milliseconds."""

ClockOffset = Annotated[
    int,
    Field(
        default=0,
        ge=-MAX_MILLIS,
        le=MAX_MILLIS,
        strict=True,
        description="milliseconds that the sender's clock was behind ours: add it to the times "
        "that the client gave; absent in records of earlier versions",
    ),
    BeforeValidator(integral),
    In("ms"),
]
"""What a device's clock was off by, when its message came."""
