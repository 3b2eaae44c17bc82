"""interactions, emotions, feedback, erasures -> the learner's record -> state and advice.

One writer per learner: the records of a partition are applied one after the other,
each by a pure function, with no await between reading the record and writing it.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from agents import envelope, metrics
from agents.inflight import Acknowledgeable, InFlight
from agents.ports import DeadLetters, NotOwned, Outbox, RecordTable, SourceRecord
from agents.topics import (
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    RECOMMENDATIONS,
    USER_STATE,
)
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import (
    Outputs,
    Position,
    Step,
    apply_emotion,
    apply_erasure,
    apply_feedback,
    apply_interactions,
)
from schemas.actions import FeedbackReceived
from schemas.base import Derived, now_ms
from schemas.emotions import EmotionRead
from schemas.interactions import InteractionsReceived
from schemas.operations import ErasureRequested

TOPICS: Final = (INTERACTIONS, EMOTIONS, FEEDBACK, ERASURES)


class LearnerAgent:
    """Keeps the learners of this worker's partitions.

    Args:
        table: their records.
        outbox: where states, recommendations and interventions go.
        dead_letters: where records go that cannot be applied.
        window: acknowledges in order.
        settings: decays, bounds and policy.
        logical: the catalogue's name of a topic on the broker.
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
    ) -> None:
        self._table = table
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._window = window
        self._settings = settings
        self._logical = logical

    async def run(self, events: AsyncIterator[Acknowledgeable]) -> None:
        """Apply every event, until the stream ends."""
        async for event in events:
            await self._window.slot()
            try:
                async with self._table.writing(event.message.partition):
                    deliveries = await self._handle(event.message)
            except NotOwned:
                # Read before a rebalance; its new owner reads it again.
                self._window.abandon()
                continue
            self._window.track(event, deliveries)

    async def _handle(self, source: SourceRecord) -> list[Future[Any]]:
        topic = self._logical(source.topic)
        try:
            step = self._step(topic, source)
        except Exception as error:
            # Whatever the update raises, the record was not touched: it is replaced whole.
            metrics.RECORDS.labels(topic, "dead_letter").inc()
            return [await self._dead_letters.bury(source, error)]
        metrics.RECORDS.labels(topic, step.effect).inc()
        metrics.DUPLICATES.labels(topic).inc(step.duplicates)
        metrics.LATE.inc(step.late)
        metrics.CLAMPED.inc(step.clamped)
        deliveries: list[Future[Any]] = []
        if step.changed:
            value = step.record.to_bytes() if step.record is not None else None
            deliveries.append(await self._table.put(source.partition, _key(source), value))
        if step.outputs is not None:
            deliveries += await self._send(step.outputs, source)
        elif topic == ERASURES and (step.record is None or step.record.evidence.newest is None):
            # This worker is the only writer of states: no state of before can come in
            # behind. A redelivered erasure must not erase what came after it.
            deliveries.append(
                await self._outbox.send(
                    USER_STATE, key=source.key, value=None, partition=source.partition
                )
            )
        return deliveries

    def _step(self, topic: str, source: SourceRecord) -> Step:
        """Read the record, apply the message. Raises DecodeError, or what the update raises."""
        position = Position(topic, source.partition, source.offset)
        stored = self._table.get(source.partition, _key(source))
        record = None if stored is None else LearnerRecord.from_bytes(stored)
        settings = self._settings
        if topic == INTERACTIONS:
            batch = envelope.read(InteractionsReceived, source)
            return apply_interactions(record, batch, position, settings)
        if topic == EMOTIONS:
            return apply_emotion(record, envelope.read(EmotionRead, source), settings)
        if topic == FEEDBACK:
            feedback = envelope.read(FeedbackReceived, source)
            return apply_feedback(record, feedback, position, settings)
        erasure = envelope.read(ErasureRequested, source)
        return apply_erasure(record, erasure, position, settings)

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
        metrics.SINCE_INGEST_SECONDS.labels("learner").observe(
            max(0.0, (now_ms() - outputs.state.ingest_time) / 1000)
        )
        return deliveries


def _key(source: SourceRecord) -> bytes:
    return source.key or b""
