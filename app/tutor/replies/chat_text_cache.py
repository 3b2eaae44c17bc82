"""The text of a chat message, by its place in the topic: from memory, or read again.

A request names the place of its message and not the text. The worker reads `chat-messages`
itself, so the text has usually just passed; what has not (a restart, a retry minutes later)
is fetched from Kafka, one record. So the text stays where its retention is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from math import inf

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from agents.runtime.retrying import Retriable
from agents.runtime.topics import CHAT
from app.kafka import clients
from app.kafka.topics import physical
from app.settings import Settings
from schemas.base import DecodeError, Derived
from schemas.topics.chat import ChatReceived

_POLL_MS = 500


class TextUnreachable(Retriable):
    """Kafka did not give the record in time; it may later."""


class RecentTexts:
    """The messages that passed last, in memory and nowhere else.

    Args:
        limit: messages that are remembered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent: OrderedDict[tuple[int, int], ChatReceived] = OrderedDict()

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
        if event.source_topic != CHAT:
            return None
        chat = await self.find(event.source_partition, event.source_offset)
        return None if chat is None or chat.event_id not in event.caused_by else chat

    async def find(self, partition: int, offset: int) -> ChatReceived | None:
        """The message at this place; None where it is not remembered."""
        return self._recent.get((partition, offset))


class ChatTextCache(RecentTexts):
    """Of one worker: what is not remembered is read from Kafka. `close` after use."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.tutor.replies.texts)
        self._topic = physical(settings, CHAT)
        kafka = settings.kafka
        # Where it is not set, the topics may have another number.
        self._partitions = kafka.partitions if "partitions" in kafka.model_fields_set else None
        self._timeout = settings.tutor.replies.text_timeout
        self._consumer = clients.consumer(settings.kafka, auto_offset_reset="none")
        self._started = False
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._started:
            await self._consumer.stop()

    async def find(self, partition: int, offset: int) -> ChatReceived | None:
        """The message at this place; None where it is no longer kept.

        Raises TextUnreachable.
        """
        known = await super().find(partition, offset)
        if known is not None:
            return known
        if offset < 0 or partition < 0 or partition >= (self._partitions or inf):
            # A place that there is not: Kafka would not answer within the timeout.
            return None
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
        try:
            if offset >= (await consumer.end_offsets([tp]))[tp]:
                return None
            consumer.seek(tp, offset)
            record = await _at(consumer, tp, offset)
        except OffsetOutOfRangeError:
            return None
        finally:
            consumer.unsubscribe()
        if record is None or record.value is None:
            return None
        try:
            return ChatReceived.parse(record.value)
        except DecodeError:
            return None


async def _at(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> ConsumerRecord | None:
    """The record at an offset below the end; None where there is none (compaction, markers)."""
    while await consumer.position(tp) <= offset:
        for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=1)).get(tp, ()):
            return record if record.offset == offset else None
    return None
