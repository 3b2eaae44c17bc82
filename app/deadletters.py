"""Where a record goes that cannot be processed: original bytes, position, reason."""

from __future__ import annotations

import base64
import traceback
from asyncio import Future
from typing import Any

import structlog

from agents import envelope
from agents.metrics import DEAD_LETTERS as BURIED
from agents.ports import Outbox, SourceRecord
from agents.topics import DEAD_LETTERS
from app.settings import Role, Settings
from app.topics import logical
from schemas.base import DecodeError, now_ms
from schemas.operations import DeadLetter

log = structlog.get_logger(__name__)


class Graveyard:
    """Sends to topic `dead-letters`, same key and partition, so that order is kept."""

    def __init__(self, outbox: Outbox, role: Role, settings: Settings) -> None:
        self._outbox = outbox
        self._role = role
        self._settings = settings

    async def bury(self, record: SourceRecord, error: Exception) -> Future[Any]:
        """Send the record and why it failed; the future is done when Kafka has it.

        The reason of a DecodeError names the field and never quotes the input; of any
        other error only its class is told, for its message may hold a learner's words.
        """
        known = isinstance(error, DecodeError)
        letter = DeadLetter(
            topic=logical(self._settings, record.topic),
            partition=record.partition,
            offset=record.offset,
            role=self._role,
            error=type(error).__name__,
            reason=error.message if isinstance(error, DecodeError) else "processing raised",
            field=error.field if isinstance(error, DecodeError) else None,
            failed_at=now_ms(),
            key_base64=_base64(record.key),
            value_base64=_base64(record.value),
            headers=_headers(record),
        )
        BURIED.labels(letter.topic, letter.error).inc()
        log.warning(
            "dead letter",
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            error=letter.error,
            field=letter.field,
            raised_at=None if known else _where(error),
        )
        return await self._outbox.send(
            DEAD_LETTERS,
            key=record.key,
            value=letter.json_bytes(),
            partition=record.partition,
            headers=envelope.headers(DeadLetter, record),
        )


def _where(error: Exception) -> str | None:
    """File and line that raised; not the message, which may hold a learner's words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _headers(record: SourceRecord) -> dict[str, str]:
    if not record.headers:
        return {}
    pairs = record.headers.items() if hasattr(record.headers, "items") else record.headers
    return {str(key): bytes(value).decode(errors="replace") for key, value in pairs}
