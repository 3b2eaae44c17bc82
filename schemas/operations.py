"""Topics `erasures` and `dead-letters`: what operators answer for."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Event, Message, Millis


class ErasureRequested(Event):
    """Forget this learner: records ingested before `ingest_time` no longer count."""

    requested_by: str = Field(default="", max_length=128)


class DeadLetter(Message):
    """What could not be processed, with the original bytes and the reason.

    The record's key is the original key; `value_base64` is the original value.
    """

    schema_version: int = 1
    topic: str
    partition: int
    offset: int
    role: str = Field(description="the worker role that gave up")
    error: str = Field(description="class of the error")
    reason: str = Field(description="one sentence")
    field: str | None = None
    failed_at: Millis
    key_base64: str | None = None
    value_base64: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
