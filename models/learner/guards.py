"""What keeps an event from counting twice, or after an erasure; what every event moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from models.learner.config import LearnerSettings
from models.learner.outputs import Cause, Position
from models.learner.record import Header, LearnerRecord
from models.learner.seen import EventId
from schemas.base import Event

_DAY_MS: Final = 86_400_000


def is_erased(record: LearnerRecord, event: Event) -> bool:
    """Whether the event was received before the learner was erased: it does not count."""
    return record.erased_at is not None and event.ingest_time <= record.erased_at


def is_applied(record: LearnerRecord, position: Position) -> bool:
    """Whether this record was applied before: Kafka delivers it again."""
    return position.offset <= record.applied.get(position.topic, -1)


def remembering(record: LearnerRecord, event: Event, settings: LearnerSettings) -> LearnerRecord:
    """The record with the memory of ids that it has when the event arrives."""
    now = max(record.ingested, event.ingest_time)
    seen = record.seen.without_old_kindless(now, settings.seen)
    return record if seen is record.seen else replace(record, seen=seen)


def advance(
    record: LearnerRecord,
    cause: Cause,
    ids: Sequence[EventId],
    settings: LearnerSettings,
) -> LearnerRecord:
    """Version, offset, memory of ids: what every applied record moves."""
    ingest_time, position = cause.event.ingest_time, cause.position
    erased_at = record.erased_at
    if erased_at is not None and _is_past(erased_at, ingest_time, settings):
        erased_at = None
    return replace(
        record,
        version=record.version + 1,
        ingested=max(record.ingested, ingest_time),
        erased_at=erased_at,
        applied={**record.applied, position.topic: position.offset},
        seen=record.seen.plus(ids, ingest_time, settings.seen),
    )


def may_forget(header: Header, now: int, settings: LearnerSettings) -> bool:
    """Whether a stored record's time is over. `now` in ms.

    An erasure's marker is kept for `marker_days`, any other record until its learner has
    sent nothing for `inactive_days`. What the record guards against does not come any
    more then: Kafka keeps nothing for that long (`app.settings` sees to it).
    """
    if header.is_marker and header.erased_at is not None:
        return _is_past(header.erased_at, now, settings)
    return now - header.ingested > settings.inactive_days * _DAY_MS


def _is_past(erased_at: int, now: int, settings: LearnerSettings) -> bool:
    return now - erased_at > settings.marker_days * _DAY_MS
