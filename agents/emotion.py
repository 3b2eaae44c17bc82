"""chat-messages -> batched inference -> emotions.

Messages are submitted as they come and the model takes them in batches; the readings
leave in the order of the messages' offsets, because the learner's guard against
redelivery is the highest offset it has applied.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from agents.runtime import envelope, metrics
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, EmotionSource, Outbox, SourceRecord
from agents.runtime.topics import CHAT, EMOTIONS
from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from models.emotion.serving.errors import ModelUnavailable, NothingToRead, ReaderStopped
from schemas.base import now_ms
from schemas.figures import rounded
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import PAD, Emotion, EmotionRead

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
    """

    def __init__(
        self,
        *,
        source: EmotionSource,
        outbox: Outbox,
        dead_letters: DeadLetters,
        window: InFlight,
        settings: EmotionSettings,
    ) -> None:
        self._source = source
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._window = window
        self._settings = settings
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
            self._window.track(pending.event, [await self._finish(pending)])

    async def _finish(self, pending: _Pending) -> Future[Any]:
        source = pending.event.message
        if pending.chat is None:
            assert isinstance(pending.outcome, Exception)
            return await self._dead_letter(source, pending.outcome)
        try:
            reading, outcome = await self._outcome(pending)
            # A reading that its schema refuses is a fault of this one record, too.
            message = self._message(source, pending.chat, reading)
            value = message.json_bytes()
        except ReaderStopped:
            raise
        except Exception as error:
            return await self._dead_letter(source, error)
        metrics.RECORDS.labels(CHAT, outcome).inc()
        metrics.STAGE_SECONDS.labels("emotion").observe(time.monotonic() - pending.since)
        metrics.SINCE_INGEST_SECONDS.labels("emotion").observe(
            max(0.0, (now_ms() - message.ingest_time) / 1000)
        )
        return await self._outbox.send(
            EMOTIONS,
            key=source.key,
            value=value,
            partition=source.partition,
            headers=envelope.headers(EmotionRead, source),
        )

    async def _outcome(self, pending: _Pending) -> tuple[Reading | None, str]:
        """The reading and what the metric calls it. Raises what the model raised."""
        try:
            reading = await self._reading(pending)
        except NothingToRead:
            # Said as what it is: not read, and no evidence. "Neutral" would be an invention.
            return None, "nothing_to_read"
        return reading, "read" if reading is not None else "unavailable"

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
        self, source: SourceRecord, chat: ChatReceived, reading: Reading | None
    ) -> EmotionRead:
        return EmotionRead(
            event_id=chat.event_id,
            user_id=chat.user_id,
            event_time=chat.event_time,
            ingest_time=chat.ingest_time,
            clock_offset=chat.clock_offset,
            caused_by=(chat.event_id,),
            source_topic=CHAT,
            source_partition=source.partition,
            source_offset=source.offset,
            status="ok" if reading is not None else "unavailable",
            model_version=self._source.version,
            probabilities=_probabilities(reading),
            top=reading.top if reading is not None else None,
            affect=_affect(reading),
            wants_reply=chat.wants_reply,
            pad=_pad(reading),
        )


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
