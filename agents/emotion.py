"""chat-messages, erasures -> batched inference -> emotions, concerns.

Messages are submitted as they come and the model takes them in batches; the readings
leave in the order of the messages' offsets, because the learner's guard against
redelivery is the highest offset it has applied. A concern leaves right before its reading: the
tutor should know of it before somebody asks it for an answer.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from agents.runtime import envelope, metrics
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, EmotionSource, Outbox, SourceRecord
from agents.runtime.topics import CHAT, CONCERNS, EMOTIONS, ERASURES
from models.emotion.config import EmotionSettings
from models.emotion.hints import Hints, Place
from models.emotion.reading import Reading
from models.emotion.serving.errors import ModelUnavailable, NotRead, ReaderStopped
from schemas.base import now_ms
from schemas.figures import rounded
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import PAD, Emotion, EmotionRead, Unread
from schemas.topics.operations import ErasureRequested

RETRY_SECONDS = 0.25
"""Between two tries of a model that is down (no judgement about a person)."""


@dataclass(slots=True)
class _Pending:
    event: Acknowledgeable
    chat: ChatReceived | None
    outcome: Future[Reading] | Exception
    since: float


class EmotionAgent:
    """Reads the emotion in each chat message.

    Args:
        source: the model.
        outbox: where readings go.
        dead_letters: where messages go that cannot be read.
        window: bounds what is in flight, acknowledges in order.
        settings: how long a message waits for a model that is down.
        hints: add up over a learner's messages.
        logical: the catalogue's name of a topic on the broker.
    """

    def __init__(
        self,
        *,
        source: EmotionSource,
        outbox: Outbox,
        dead_letters: DeadLetters,
        window: InFlight,
        settings: EmotionSettings,
        hints: Hints,
        logical: Callable[[str], str],
    ) -> None:
        self._source = source
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._window = window
        self._settings = settings
        self._hints = hints
        self._logical = logical
        # Bounded by the window: nothing enters without a slot.
        self._pending: asyncio.Queue[_Pending | None] = asyncio.Queue()

    async def run(self, events: AsyncIterator[Acknowledgeable]) -> None:
        """Read every message, until the stream ends. Raises what the sending raised."""
        emitting = asyncio.create_task(self._emit())
        reading = asyncio.create_task(self._read(events))
        try:
            # Who cannot send must not wait for another message, or for a place in the window.
            await asyncio.wait({emitting, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and reading.exception() is None:
                # The stream has ended; what was read of it is still sent.
                await asyncio.wait({emitting})
        finally:
            emitting.cancel()
            reading.cancel()
            await asyncio.wait({emitting, reading})
        for task in (emitting, reading):
            if not task.cancelled():
                task.result()

    async def _read(self, events: AsyncIterator[Acknowledgeable]) -> None:
        async for event in events:
            await self._window.slot()
            if self._logical(event.message.topic) == ERASURES:
                self._window.track(event, await self._forget(event.message))
            else:
                self._pending.put_nowait(await self._submit(event))
        self._pending.put_nowait(None)

    async def _submit(self, event: Acknowledgeable) -> _Pending:
        now = time.monotonic()
        try:
            chat = envelope.read(ChatReceived, event.message)
        except Exception as error:
            return _Pending(event, None, error, now)
        try:
            return _Pending(event, chat, await self._source.submit(chat.text), now)
        except ReaderStopped:
            raise
        except Exception as error:
            return _Pending(event, chat, error, now)

    async def _emit(self) -> None:
        while (pending := await self._pending.get()) is not None:
            self._window.track(pending.event, await self._finish(pending))

    async def _forget(self, source: SourceRecord) -> list[Future[Any]]:
        try:
            erasure = envelope.read(ErasureRequested, source)
        except Exception as error:
            metrics.RECORDS.labels(ERASURES, "dead_letter").inc()
            return [await self._dead_letters.send(source, error)]
        metrics.RECORDS.labels(ERASURES, "taken").inc()
        self._hints.forget(erasure.user_id, source.partition, erasure.ingest_time, now_ms())
        return []

    async def _finish(self, pending: _Pending) -> list[Future[Any]]:
        source = pending.event.message
        if pending.chat is None:
            assert isinstance(pending.outcome, Exception)
            return [await self._dead_letter(source, pending.outcome)]
        try:
            reading, reason = await self._outcome(pending)
            # A reading that its schema refuses is a fault of this one record, too.
            message = self._message(source, pending.chat, reading, reason)
            value = message.json_bytes()
            concern = self._concern(source, pending.chat, reading)
        except ReaderStopped:
            raise
        except Exception as error:
            return [await self._dead_letter(source, error)]
        deliveries = [] if concern is None else [await self._send_concern(source, concern)]
        outcome = reason or ("unavailable" if reading is None else "read")
        metrics.RECORDS.labels(CHAT, outcome).inc()
        metrics.STAGE_SECONDS.labels("emotion").observe(time.monotonic() - pending.since)
        metrics.SINCE_INGEST_SECONDS.labels("emotion").observe(
            max(0.0, (now_ms() - message.ingest_time) / 1000)
        )
        delivery = await self._outbox.send(
            EMOTIONS,
            key=source.key,
            value=value,
            partition=source.partition,
            headers=envelope.headers(EmotionRead, source),
        )
        return [*deliveries, delivery]

    async def _send_concern(self, source: SourceRecord, concern: ConcernRead) -> Future[Any]:
        return await self._outbox.send(
            CONCERNS,
            key=source.key,
            value=concern.json_bytes(),
            partition=source.partition,
            headers=envelope.headers(ConcernRead, source),
        )

    def _concern(
        self, source: SourceRecord, chat: ChatReceived, reading: Reading | None
    ) -> ConcernRead | None:
        """What a person should know, by this message or with those before it."""
        if reading is None or reading.concern is None:
            return None
        place = Place(source.partition, source.offset, chat.ingest_time)
        alarm = self._hints.read(chat.user_id, place, reading.concern, now_ms())
        if alarm is None:
            return None
        return ConcernRead(
            **_derived(source, chat),
            model_version=reading.version,
            probability=rounded(reading.concern),
            kinds={kind: rounded(share) for kind, share in reading.concerns.items()},
            from_=alarm.source,
            weight=None if alarm.weight is None else rounded(alarm.weight),
        )

    async def _outcome(self, pending: _Pending) -> tuple[Reading | None, Unread | None]:
        """The reading, or why there is none; neither where the model stayed down.

        Raises what the model raised.
        """
        try:
            return await self._reading(pending), None
        except NotRead as unread:
            # Said as what it is: not read, and no evidence. "Neutral" would be an invention.
            return None, unread.reason

    async def _reading(self, pending: _Pending) -> Reading | None:
        """The reading, or None when the model stayed down for as long as a message waits.

        Raises what the model raised about this one text.
        """
        assert pending.chat is not None
        deadline = pending.since + self._settings.wait_when_down
        outcome = pending.outcome
        while True:
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                return await outcome
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # Else this task would end as if it had been told to, and the worker stand still.
                raise ReaderStopped("the reader was stopped under a message") from None
            except ModelUnavailable:
                if time.monotonic() >= deadline:
                    return None
            await asyncio.sleep(RETRY_SECONDS)
            try:
                outcome = await self._source.submit(pending.chat.text)
            except ModelUnavailable as error:
                outcome = error

    async def _dead_letter(self, source: SourceRecord, error: Exception) -> Future[Any]:
        metrics.RECORDS.labels(CHAT, "dead_letter").inc()
        return await self._dead_letters.send(source, error)

    def _message(
        self,
        source: SourceRecord,
        chat: ChatReceived,
        reading: Reading | None,
        reason: Unread | None,
    ) -> EmotionRead:
        return EmotionRead(
            **_derived(source, chat),
            status="ok" if reading is not None else "unavailable",
            reason=reason,
            coverage=None if reading is None else rounded(reading.coverage),
            model_version=self._source.version,
            probabilities=_probabilities(reading),
            top=reading.top if reading is not None else None,
            affect=_affect(reading),
            wants_reply=chat.wants_reply,
            pad=_pad(reading),
        )


def _derived(source: SourceRecord, chat: ChatReceived) -> dict[str, Any]:
    """What a reading and a concern say alike of the message that they come from."""
    return {
        "event_id": chat.event_id,
        "user_id": chat.user_id,
        "event_time": chat.event_time,
        "ingest_time": chat.ingest_time,
        "clock_offset": chat.clock_offset,
        "caused_by": (chat.event_id,),
        "source_topic": CHAT,
        "source_partition": source.partition,
        "source_offset": source.offset,
    }


def _probabilities(reading: Reading | None) -> dict[Emotion, float]:
    # Each class that the model knows, 0.0 too: an absent one is unknown.
    return {} if reading is None else {e: rounded(p) for e, p in reading.probabilities.items()}


def _pad(reading: Reading | None) -> PAD | None:
    if reading is None:
        return None
    return PAD(
        valence=rounded(reading.valence),
        arousal=rounded(reading.arousal),
        dominance=rounded(reading.dominance),
    )


def _affect(reading: Reading | None) -> tuple[float, ...]:
    # Half precision is what the learner's record keeps of it; more digits would only cost bytes.
    return () if reading is None else tuple(map(rounded, reading.affect))
