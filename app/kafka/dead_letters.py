"""Where a record goes that cannot be processed: original bytes, position, reason."""

from __future__ import annotations

import base64
import traceback
from asyncio import Future
from typing import Any, Final

import structlog

from agents.runtime import envelope
from agents.runtime.metrics import DEAD_LETTERS as SENT
from agents.runtime.ports import Outbox, SourceRecord
from agents.runtime.topics import DEAD_LETTERS
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, logical
from app.settings import Settings
from schemas.base import DecodeError, now_ms
from schemas.topics.operations import DeadLetter

log = structlog.get_logger(__name__)

_OVERHEAD: Final = 1024
"""Bytes that Kafka and a letter's own headers add to its key and value, at most."""

_SHORT_KEY: Final = 64 * 1024
"""Bytes of a key that a letter keeps where the record does not fit."""

_SHORT_HEADER: Final = 1024
"""Bytes of name and value up to which a header is also told as text."""

_SHORT_TEXT: Final = 512
"""Characters of a reason and of a field's path, which may hold a record's own keys."""


class DeadLetterQueue:
    """Sends to topic `dead-letters`, same key and partition, so that order is kept.

    Args:
        max_bytes: what that topic takes; a record that does not fit is named without its bytes.
    """

    def __init__(
        self,
        outbox: Outbox,
        role: str,
        settings: Settings,
        max_bytes: int = MAX_DEAD_LETTER_BYTES,
    ) -> None:
        self._outbox = outbox
        self._role = role
        self._settings = settings
        # The producer refuses what is larger, whatever the topic would take.
        self._room = min(max_bytes, MAX_DEAD_LETTER_BYTES) - _OVERHEAD

    async def send(self, record: SourceRecord, error: Exception) -> Future[Any]:
        """Send the record and why it failed; the future is done when Kafka has it.

        The reason of a DecodeError names the field and never quotes the input; of any
        other error only its class is told, for its message may hold a learner's words.
        """
        reason, field = _told(error)
        letter = DeadLetter(
            topic=logical(self._settings, record.topic),
            partition=record.partition,
            offset=record.offset,
            role=self._role,
            error=type(error).__name__,
            reason=reason,
            field=field,
            failed_at=now_ms(),
        )
        SENT.labels(letter.topic, letter.error).inc()
        key, value = self._fitted(letter, record)
        log.warning(
            "dead_letters.sent",
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            error=letter.error,
            field=letter.field,
            raised_at=None if isinstance(error, DecodeError) else _where(error),
        )
        return await self._outbox.send(
            DEAD_LETTERS,
            key=key,
            value=value,
            partition=record.partition,
            headers=envelope.headers(DeadLetter, record),
        )

    def _fitted(self, letter: DeadLetter, record: SourceRecord) -> tuple[bytes | None, bytes]:
        """Key and value of the letter's record, with as much of the original as fits.

        A letter that the broker refuses would end the worker, and again at each start.
        """
        pairs = envelope.header_pairs(record)
        size = len(record.key or b"") + len(record.value or b"") + _header_bytes(pairs)
        if size <= self._room:
            exact = {
                "value_base64": _base64(record.value),
                "raw_headers": tuple((name, _base64(value)) for name, value in pairs),
            }
            for told_twice in (
                {"key_base64": _base64(record.key), "headers": _as_text(pairs)},
                {},  # the letter's own key is the record's, and the raw headers are exact
            ):
                whole = DeadLetter(**{**dict(letter), **exact, **told_twice}).json_bytes()
                if len(whole) + len(record.key or b"") <= self._room:
                    return record.key, whole
        log.warning(
            "dead_letters.bytes_omitted", topic=letter.topic, offset=letter.offset, bytes=size
        )
        short = record.key is not None and len(record.key) <= _SHORT_KEY
        return (
            record.key if short else None,
            letter.model_copy(update={"omitted_bytes": size}).json_bytes(),
        )


def _told(error: Exception) -> tuple[str, str | None]:
    """Reason and field."""
    if not isinstance(error, DecodeError):
        return "processing raised", None
    return error.message[:_SHORT_TEXT], error.field[:_SHORT_TEXT] if error.field else None


def _where(error: Exception) -> str | None:
    """File and line that raised; not the message, which may hold a learner's words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _header_bytes(pairs: list[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode(errors="replace")) + len(value or b"") for name, value in pairs)


def _as_text(pairs: list[tuple[str, bytes | None]]) -> dict[str, str]:
    """Short headers for people to read; what is not UTF-8 is exact only in the raw ones."""
    return {
        name: value.decode(errors="replace")
        for name, value in pairs
        if value is not None and len(name) + len(value) <= _SHORT_HEADER
    }
