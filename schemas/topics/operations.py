"""Topics `erasures` and `dead-letters`: what operators answer for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from schemas.base import Count, Event, Position, Reported, Versioned
from schemas.times import In, Millis

HeaderValue = Annotated[
    str | None, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
]
"""Base64, or null. Unlike an absent field, an absent item of a list has to be told."""


class ErasureRequested(Event):
    """Forget this learner: records ingested before `ingest_time` no longer count."""

    requested_by: str = Field(default="", max_length=128)


class DeadLetter(Versioned):
    """What could not be processed, with the original bytes and the reason.

    The record's key is the original key; `value_base64` is the original value.
    """

    topic: str
    partition: Position
    offset: Position
    role: str = Field(description="the worker role that gave up")
    error: str = Field(description="class of the error")
    reason: Reported = Field(
        description="one sentence; `unknown_version` where a later release may read the record"
    )
    field: Reported | None = None
    failed_at: Millis
    key_base64: str | None = None
    value_base64: str | None = None
    headers: dict[Reported, Reported] = Field(
        default_factory=dict, description="short ones, as text for people"
    )
    raw_headers: tuple[tuple[Reported, HeaderValue], ...] | None = Field(
        default=None,
        description="every header as [name, value in base64 or null], in order and with repeats; "
        "absent in letters of earlier releases",
    )
    omitted_bytes: Annotated[Count | None, In("bytes")] = Field(
        default=None,
        description="size of a record that fits no letter: its value, its headers and a key of "
        "more than 64 KiB are not here; the record stays on its topic for that topic's retention",
    )
