"""What the emotion worker makes of a message: its own agent and model, with memory around them.

A chat message enters; the record for `emotions` and the one for `concerns` leave, with the bytes
that a worker would send.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agents.emotion import EmotionAgent
from agents.runtime import envelope
from agents.runtime.in_flight import InFlight
from agents.runtime.ports import EmotionSource, SourceRecord
from agents.runtime.topics import CHAT, CONCERNS, EMOTIONS
from app.process.concurrency import end
from models.emotion.config import EmotionSettings
from models.emotion.hints import Hints
from models.emotion.serving import EmotionReader
from models.emotion.serving.following import current
from schemas.topics.chat import ChatReceived


@dataclass(slots=True)
class MemoryRecord:
    """A record that stands in no topic (`agents.runtime.ports.SourceRecord`)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: float = 0.0


@dataclass(slots=True)
class _Passing:
    """One message on its way through the agent (`agents.runtime.in_flight.Acknowledgeable`)."""

    message: SourceRecord
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def ack(self) -> bool:
        self.acknowledged.set()
        return True


class _Outbox:
    """What the agent sent for the message that it works on (`agents.runtime.ports.Outbox`)."""

    def __init__(self) -> None:
        self.sent: dict[str, MemoryRecord] = {}

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Future[Any]:
        self.sent[topic] = MemoryRecord(topic, partition or 0, 0, key, value, headers)
        return _done()

    async def flush(self) -> None:
        """Nothing is under way."""


class _DeadLetters:
    """A message that cannot be read has no reading: who asks for it finds none."""

    async def send(self, record: SourceRecord, error: Exception) -> Future[Any]:
        return _done()


@dataclass(frozen=True, slots=True)
class Read:
    """Of one message. reading: None where the worker would send a dead letter."""

    reading: MemoryRecord | None
    concern: MemoryRecord | None


class MessageReader:
    """Has the emotion agent read messages, one after the other. Close it with `close`.

    source: the model, started
    """

    def __init__(self, source: EmotionSource, settings: EmotionSettings) -> None:
        self._outbox = _Outbox()
        self._coming: asyncio.Queue[_Passing] = asyncio.Queue()
        self._failed: list[BaseException] = []
        agent = EmotionAgent(
            source=source,
            outbox=self._outbox,
            dead_letters=_DeadLetters(),
            window=InFlight(1, self._failed.append),
            settings=settings,
            hints=Hints(settings.concern),
            logical=str,
        )
        self._running = asyncio.create_task(agent.run(self._messages()), name="emotion agent")

    async def read(self, chat: ChatReceived, offset: int) -> Read:
        """What was read in a message at this place. Raises what ends the agent."""
        passing = _Passing(
            MemoryRecord(
                CHAT, 0, offset, chat.user_id.encode(), chat.json_bytes(),
                envelope.headers(ChatReceived), chat.ingest_time / 1000,
            )
        )  # fmt: skip
        self._outbox.sent.clear()
        self._coming.put_nowait(passing)
        acknowledged = asyncio.create_task(passing.acknowledged.wait())
        try:
            await asyncio.wait({acknowledged, self._running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            acknowledged.cancel()
        if not passing.acknowledged.is_set():
            self._running.result()
            raise RuntimeError("the emotion agent ended before a message was read")
        return Read(self._outbox.sent.get(EMOTIONS), self._outbox.sent.get(CONCERNS))

    async def close(self) -> None:
        """End the agent."""
        await end(self._running)

    async def _messages(self) -> AsyncIterator[_Passing]:
        while True:
            yield await self._coming.get()


@asynccontextmanager
async def message_reader(settings: EmotionSettings) -> AsyncIterator[MessageReader]:
    """Load the model that a worker with these settings has, and read with it.

    Raises models.emotion.artefact.artefact.ArtefactProblem, OSError.
    """
    source = EmotionReader(current(settings))
    await source.start()
    try:
        reader = MessageReader(source, settings)
        try:
            yield reader
        finally:
            await reader.close()
    finally:
        await source.stop()


def _done() -> Future[Any]:
    done: Future[Any] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
