"""The text of a chat message, by its place in the topic: from memory, or read again.

A request names the place of its message and not the text. The worker reads `chat-messages`
itself, so the text has usually just passed; what has not (a restart, a retry minutes later)
is fetched from Kafka, one record. So the text stays where its retention is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from agents.persistence import Retriable
from agents.topics import CHAT
from app.settings import Settings
from app.topics import physical
from schemas.base import DecodeError, Derived
from schemas.chat import ChatReceived


class TextUnreachable(Retriable):
    """Kafka did not give the record in time; it may later."""


class Texts:
    """Of one worker. `open` before use, `close` after."""

    def __init__(self, settings: Settings) -> None:
        self._topic = physical(settings, CHAT)
        self._limit = settings.tutor.replies.texts
        self._timeout = settings.tutor.replies.text_timeout
        self._recent: OrderedDict[tuple[int, int], ChatReceived] = OrderedDict()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        self._started = False
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._started:
            await self._consumer.stop()

    def remember(self, partition: int, offset: int, chat: ChatReceived) -> None:
        """This message has passed."""
        self._recent[partition, offset] = chat
        while len(self._recent) > self._limit:
            self._recent.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Drop what is remembered of a learner."""
        for place in [p for p, chat in self._recent.items() if chat.user_id == user_id]:
            del self._recent[place]

    async def of(self, event: Derived) -> ChatReceived | None:
        """The message that an event was made of; None where it is no longer kept.

        Raises TextUnreachable.
        """
        chat = await self.find(event.source_partition, event.source_offset)
        return None if chat is None or chat.event_id not in event.caused_by else chat

    async def find(self, partition: int, offset: int) -> ChatReceived | None:
        """The message at this place; None where it is no longer kept.

        Raises TextUnreachable.
        """
        known = self._recent.get((partition, offset))
        if known is not None:
            return known
        try:
            async with asyncio.timeout(self._timeout), self._one_at_a_time:
                return await self._fetch(TopicPartition(self._topic, partition), offset)
        except (KafkaError, OSError, TimeoutError) as error:
            raise TextUnreachable("kafka", type(error).__name__) from error

    async def _fetch(self, tp: TopicPartition, offset: int) -> ChatReceived | None:
        consumer = self._consumer
        if not self._started:
            await consumer.start()
            self._started = True
        consumer.assign([tp])
        consumer.seek(tp, offset)
        try:
            record = await consumer.getone(tp)
        except OffsetOutOfRangeError:
            return None
        finally:
            consumer.unsubscribe()
        if record.offset != offset or record.value is None:
            return None
        try:
            return ChatReceived.parse(record.value)
        except DecodeError:
            return None
