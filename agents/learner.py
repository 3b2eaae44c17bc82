"""interactions, emotions, feedback, erasures -> the learner's record -> state and advice.

One writer per learner: the records of a partition are applied one after the other,
each by a pure function, with no await between reading the record and writing it.

Outputs leave once the record that they tell of is in the changelog. Otherwise a crash
between the two would leave a state or an intervention in the world that the next
worker does not remember, and contradicts.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from agents.runtime import envelope, metrics
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, NotOwned, Outbox, RecordTable, SourceRecord
from agents.runtime.topics import (
    EMOTIONS,
    ERASURES,
    INTERACTIONS,
    INTERVENTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    TUTOR_REQUESTS,
    USER_STATE,
)
from models.learner.config import LearnerSettings
from models.learner.record import (
    FORMAT,
    CorruptRecord,
    LearnerRecord,
    RecordError,
    UnknownFormat,
    header_of,
    version_of,
)
from models.learner.update import (
    Outputs,
    Position,
    Step,
    apply_emotion,
    apply_erasure,
    apply_feedback,
    apply_interactions,
)
from schemas.base import Derived, now_ms
from schemas.topics.actions import FeedbackReceived
from schemas.topics.emotions import EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.operations import ErasureRequested


@dataclass(frozen=True, slots=True)
class _Applied:
    event: Acknowledgeable
    stored: Future[Any] | None
    """Of the changelog or the dead letter; None where the record stands as it was."""
    outputs: Outputs | None
    forgets: bool = False
    """The learner was erased or is put away: the state is to be deleted as well."""


@dataclass(slots=True)
class _Place:
    """Where a record of the table stands, in the shape of a source record."""

    topic: str
    partition: int
    key: bytes | None
    offset: int = -1
    value: bytes | None = None
    headers: Any = None
    timestamp: float = 0.0


class _Removal:
    """One step of a learner's removal, in the window like a record; done when acknowledged."""

    def __init__(self, partition: int, key: bytes) -> None:
        self.message: SourceRecord = _Place(LEARNER_CHANGELOG, partition, key)
        self.done = asyncio.Event()

    def ack(self) -> bool:
        self.done.set()
        return True


def step_of(
    topic: str, source: SourceRecord, stored: bytes | None, settings: LearnerSettings, writes: int
) -> Step:
    """What one record does to its learner: pure, so whoever has the records can do it again.

    Args:
        topic: the catalogue's name of the record's topic.
        stored: the learner's record in the table; None: nothing is known.
        writes: the format to write records in; one that is already newer stays so.

    Raises DecodeError, RecordError, or what the update raises.
    """
    position = Position(topic, source.partition, source.offset)
    if topic == ERASURES:
        erasure = envelope.read(ErasureRequested, source)
        return apply_erasure(_erasable(stored, writes), erasure, position, settings)
    record = _record(stored, writes)
    if topic == INTERACTIONS:
        batch = envelope.read(InteractionsReceived, source)
        return apply_interactions(record, batch, position, settings)
    if topic == EMOTIONS:
        return apply_emotion(record, envelope.read(EmotionRead, source), settings)
    feedback = envelope.read(FeedbackReceived, source)
    return apply_feedback(record, feedback, position, settings)


def _record(stored: bytes | None, writes: int) -> LearnerRecord:
    """What is known of the learner, in the format to write. Raises RecordError."""
    if stored is None:
        return LearnerRecord.empty(writes)
    record = LearnerRecord.from_bytes(stored)
    return record.lifted() if record.format < writes else record


def _erasable(stored: bytes | None, writes: int) -> LearnerRecord:
    """As `_record`; of a corrupt one what its header still says, for a marker replaces it."""
    try:
        return _record(stored, writes)
    except CorruptRecord:
        empty = LearnerRecord.empty(writes)
        try:
            return replace(empty, version=version_of(stored or b""))
        except RecordError:
            return empty


class LearnerAgent:
    """Keeps the learners of this worker's partitions.

    Args:
        table: their records.
        outbox: where states, recommendations, interventions and requests go.
        dead_letters: where records go that cannot be applied.
        window: acknowledges in order.
        settings: decays, bounds and policy.
        logical: the catalogue's name of a topic on the broker.
        writes: the format to write records in; one that is already newer stays so.
    """

    def __init__(
        self,
        *,
        table: RecordTable,
        outbox: Outbox,
        dead_letters: DeadLetters,
        window: InFlight,
        settings: LearnerSettings,
        logical: Callable[[str], str],
        writes: Callable[[], int] = lambda: FORMAT,
    ) -> None:
        self._table = table
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._window = window
        self._settings = settings
        self._logical = logical
        self._writes = writes
        # Bounded by the window: nothing enters without a slot.
        self._applied: asyncio.Queue[_Applied] = asyncio.Queue()

    async def run(self, events: AsyncIterator[Acknowledgeable]) -> None:
        """Apply every event, until the stream ends.

        Raises UnknownFormat: a record in the table is of a format that this version cannot
        read. No event of it is acknowledged or dead-lettered.
        """
        emitting = asyncio.create_task(self._emit())
        applying = asyncio.create_task(self._apply(events))
        try:
            await asyncio.wait({emitting, applying}, return_when=asyncio.FIRST_COMPLETED)
            if applying.done() and applying.exception() is None:
                await self.drain()
        finally:
            emitting.cancel()
            applying.cancel()
            await asyncio.wait({emitting, applying})
        for task in (emitting, applying):
            if not task.cancelled():
                task.result()

    async def drain(self) -> None:
        """Wait until the outputs of everything applied so far are sent."""
        await self._applied.join()

    async def put_away(self, partition: int, key: bytes, value: bytes) -> bool:
        """Delete a learner's record, if it still is `value`, and the state that tells of it.

        The state goes first, behind whatever was computed from the record, and the record
        only when its deletion is delivered: after a crash in between it is put away again.
        A learner who comes back in between keeps the record. Returns whether it was deleted.
        """
        if not header_of(value).is_marker:
            # An erased learner's state is gone already.
            state = await self._remove(partition, key, value, forgets=True)
            if state is None:
                return False
            await state.done.wait()
        return await self._remove(partition, key, value, forgets=False) is not None

    async def _remove(
        self, partition: int, key: bytes, value: bytes, *, forgets: bool
    ) -> _Removal | None:
        """Queue one step behind the updates so far; None where the record is another, or gone."""
        await self._window.slot()
        try:
            async with self._table.writing(partition):
                if self._table.get(partition, key) == value:
                    removal = _Removal(partition, key)
                    stored = None if forgets else await self._deleted(partition, key)
                    self._applied.put_nowait(_Applied(removal, stored, None, forgets))
                    return removal
        except NotOwned:
            pass
        except BaseException:
            self._window.abandon()
            raise
        self._window.abandon()
        return None

    async def _deleted(self, partition: int, key: bytes) -> Future[Any]:
        """Delete the record. A failure is the future's, too: the record has left memory."""
        try:
            return await self._table.put(partition, key, None)
        except Exception as error:
            failed: Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    async def _apply(self, events: AsyncIterator[Acknowledgeable]) -> None:
        async for event in events:
            await self._window.slot()
            try:
                async with self._table.writing(event.message.partition):
                    self._applied.put_nowait(await self._handle(event))
            except NotOwned:
                # Read before a rebalance; its new owner reads it again.
                self._window.abandon()

    async def _emit(self) -> None:
        """Send outputs in the order of the updates, each when its record is stored."""
        while True:
            applied = await self._applied.get()
            deliveries: list[Future[Any]] = []
            if applied.stored is not None:
                deliveries.append(applied.stored)
                await asyncio.wait({applied.stored})
            if applied.outputs is not None and _delivered(applied.stored):
                deliveries += await self._send(applied.outputs, applied.event.message)
            if applied.forgets and _delivered(applied.stored):
                deliveries.append(await self._forget(applied.event.message))
            self._window.track(applied.event, deliveries)
            self._applied.task_done()

    async def _handle(self, event: Acknowledgeable) -> _Applied:
        source = event.message
        topic = self._logical(source.topic)
        try:
            stored = self._table.get(source.partition, _key(source))
            step = step_of(topic, source, stored, self._settings, self._writes())
            value = step.record.to_bytes() if step.changed and step.record is not None else None
        except UnknownFormat:
            # The table's fault and not the event's: a release that reads it goes on here.
            raise
        except Exception as error:
            # Whatever the update raises, the record was not touched: it is replaced whole.
            # So it is with a corrupt one: its learner's events wait in `dead-letters`, whole and
            # in order, until the learner is erased; every other learner goes on.
            metrics.RECORDS.labels(topic, "dead_letter").inc()
            return _Applied(event, await self._dead_letters.send(source, error), None)
        metrics.RECORDS.labels(topic, step.effect).inc()
        metrics.DUPLICATES.labels(topic).inc(step.duplicates)
        metrics.LATE.inc(step.late)
        metrics.CLAMPED.inc(step.clamped)
        put: Future[Any] | None = None
        if step.changed:
            put = await self._table.put(source.partition, _key(source), value)
        # A redelivered erasure must not erase what came after it.
        forgets = topic == ERASURES and (step.record is None or step.record.evidence.newest is None)
        return _Applied(event, put, step.outputs, forgets)

    async def _forget(self, source: SourceRecord) -> Future[Any]:
        # This worker is the only writer of states: no state of before can come in behind.
        return await self._outbox.send(
            USER_STATE, key=source.key, value=None, partition=source.partition
        )

    async def _send(self, outputs: Outputs, source: SourceRecord) -> list[Future[Any]]:
        key = _key(source)

        async def send(topic: str, message: Derived) -> Future[Any]:
            return await self._outbox.send(
                topic,
                key=key,
                value=message.json_bytes(),
                partition=source.partition,
                headers=envelope.headers(type(message), source),
            )

        deliveries = [
            await send(USER_STATE, outputs.state),
            await send(RECOMMENDATIONS, outputs.recommendations),
        ]
        for intervention in outputs.interventions:
            deliveries.append(await send(INTERVENTIONS, intervention))
        for request in outputs.requests:
            deliveries.append(await send(TUTOR_REQUESTS, request))
        metrics.SINCE_INGEST_SECONDS.labels("learner").observe(
            max(0.0, (now_ms() - outputs.state.ingest_time) / 1000)
        )
        return deliveries


def _delivered(stored: Future[Any] | None) -> bool:
    return stored is None or not (stored.cancelled() or stored.exception())


def _key(source: SourceRecord) -> bytes:
    return source.key or b""
