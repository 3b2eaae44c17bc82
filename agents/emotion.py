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
from typing import Any, Final

from agents import envelope, metrics
from agents.inflight import Acknowledgeable, InFlight
from agents.ports import DeadLetters, EmotionSource, Outbox, SourceRecord
from agents.topics import CHAT, EMOTIONS
from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from models.emotion.serving.errors import ModelUnavailable, NothingToRead
from schemas.base import now_ms
from schemas.chat import ChatReceived
from schemas.emotions import PAD, EmotionRead

TOPICS: Final = (CHAT,)

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
        self._pending: asyncio.Queue[_Pending] = asyncio.Queue()

    async def run(self, events: AsyncIterator[Acknowledgeable]) -> None:
        """Read every message, until the stream ends."""
        emitting = asyncio.create_task(self._emit())
        try:
            async for event in events:
                await self._window.slot()
                self._pending.put_nowait(await self._submit(event))
                if emitting.done():
                    break
        finally:
            if not emitting.done():
                emitting.cancel()
            await asyncio.wait({emitting})
        if not emitting.cancelled():
            emitting.result()

    async def _submit(self, event: Acknowledgeable) -> _Pending:
        now = time.monotonic()
        try:
            chat = envelope.read(ChatReceived, event.message)
        except ValueError as error:
            return _Pending(event, None, error, now)
        try:
            return _Pending(event, chat, await self._source.submit(chat.text), now)
        except (ModelUnavailable, NothingToRead) as error:
            return _Pending(event, chat, error, now)

    async def _emit(self) -> None:
        while True:
            pending = await self._pending.get()
            self._window.track(pending.event, [await self._finish(pending)])

    async def _finish(self, pending: _Pending) -> Future[Any]:
        source = pending.event.message
        if pending.chat is None:
            assert isinstance(pending.outcome, Exception)
            return await self._bury(source, pending.outcome)
        try:
            reading = await self._reading(pending)
            outcome = "read" if reading is not None else "unavailable"
        except NothingToRead:
            # Said as what it is: not read, and no evidence. "Neutral" would be an invention.
            reading, outcome = None, "nothing_to_read"
        except Exception as error:
            return await self._bury(source, error)
        metrics.RECORDS.labels(CHAT, outcome).inc()
        metrics.STAGE_SECONDS.labels("emotion").observe(time.monotonic() - pending.since)
        return await self._send(source, pending.chat, reading)

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
            except ModelUnavailable:
                if time.monotonic() >= deadline:
                    return None
            await asyncio.sleep(RETRY_SECONDS)
            try:
                outcome = await self._source.submit(pending.chat.text)
            except ModelUnavailable as error:
                outcome = error

    async def _bury(self, source: SourceRecord, error: Exception) -> Future[Any]:
        metrics.RECORDS.labels(CHAT, "dead_letter").inc()
        return await self._dead_letters.bury(source, error)

    async def _send(
        self, source: SourceRecord, chat: ChatReceived, reading: Reading | None
    ) -> Future[Any]:
        message = EmotionRead(
            event_id=chat.event_id,
            user_id=chat.user_id,
            event_time=chat.event_time,
            ingest_time=chat.ingest_time,
            caused_by=(chat.event_id,),
            source_topic=CHAT,
            source_partition=source.partition,
            source_offset=source.offset,
            status="ok" if reading is not None else "unavailable",
            model_version=self._source.version,
            probabilities=dict(reading.probabilities) if reading is not None else {},
            top=reading.top if reading is not None else None,
            affect=_affect(reading),
            wants_reply=chat.wants_reply,
            pad=None
            if reading is None
            else PAD(valence=reading.valence, arousal=reading.arousal, dominance=reading.dominance),
        )
        metrics.SINCE_INGEST_SECONDS.labels("emotion").observe(
            max(0.0, (now_ms() - chat.ingest_time) / 1000)
        )
        return await self._outbox.send(
            EMOTIONS,
            key=source.key,
            value=message.json_bytes(),
            partition=source.partition,
            headers=envelope.headers(EmotionRead, source),
        )


def _affect(reading: Reading | None) -> tuple[float, ...]:
    # Half precision is what the learner's record keeps of it; more digits would only cost bytes.
    return () if reading is None else tuple(round(number, 4) for number in reading.affect)
