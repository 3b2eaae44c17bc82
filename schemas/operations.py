"""Topics `erasures` and `dead-letters`: what operators answer for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import SCHEMA_VERSION, Event, Message, Millis, Position, Reported


class ErasureRequested(Event):
    """Forget this learner: records ingested before `ingest_time` no longer count."""

    requested_by: str = Field(default="", max_length=128)


class DeadLetter(Message):
    """What could not be processed, with the original bytes and the reason.

    The record's key is the original key; `value_base64` is the original value.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    topic: str
    partition: Position
    offset: Position
    role: str = Field(description="the worker role that gave up")
    error: str = Field(description="class of the error")
    reason: Reported = Field(description="one sentence")
    field: Reported | None = None
    failed_at: Millis
    key_base64: str | None = None
    value_base64: str | None = None
    headers: dict[Reported, Reported] = Field(default_factory=dict)
