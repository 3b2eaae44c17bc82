"""A seeded load of many learners, and sending it to the topics as the gateway would.

What is planned is a pure function of the seed and the start time. A share of the
events comes late (within and beyond the lateness bound), from the future, without
ids of their own, or again: a client's retry carries the ids of what it repeats, at a
new offset and with a new ingest time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from aiokafka import AIOKafkaProducer

from agents.runtime import envelope
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.kafka.topics import physical
from app.settings import Settings
from schemas.base import Event
from schemas.topics.actions import FeedbackReceived, TargetType
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import (
    ContextData,
    Interaction,
    InteractionsReceived,
    TaskData,
    TimingData,
)

REMEMBERED = 6
"""A retry repeats one of a learner's last few records: well inside the learner's memory of ids."""

_WORDS = (
    "I do not get this step at all", "oh, now it makes sense", "why is the sign negative here",
    "this is boring", "can I have a hint please", "I am so tired of fractions", "great, it worked",
    "again", "and now", "hm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """How much, of whom, how fast."""

    seed: int
    records: int = 4_000
    users: int = 200
    rate: float = 200.0
    """Records a second."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to be."""

    topic: str
    message: Event


@dataclass(frozen=True, slots=True)
class Sent:
    """One record as Kafka has it."""

    topic: str
    partition: int
    offset: int
    message: Event


class _Plan:
    def __init__(self, load: Load, start_ms: int) -> None:
        self._load = load
        self._start = start_ms
        self._random = random.Random(load.seed)
        self._recent: dict[str, deque[Planned]] = {}

    def records(self) -> list[Planned]:
        users = [f"learner-{self._load.seed}-{i}-é" for i in range(self._load.users)]
        # A few learners are busy, most are not.
        weights = [1 / (1 + i % 20) for i in range(len(users))]
        planned = []
        for index in range(self._load.records):
            user = self._random.choices(users, weights)[0]
            ingest = self._start + int(index * 1000 / self._load.rate)
            recent = self._recent.setdefault(user, deque(maxlen=REMEMBERED))
            if recent and self._random.random() < 0.08:
                record = self._again(self._random.choice(list(recent)), ingest)
            else:
                record = self._fresh(user, ingest)
            recent.append(record)
            planned.append(record)
        return planned

    def _fresh(self, user: str, ingest: int) -> Planned:
        kind = self._random.random()
        if kind < 0.60:
            return Planned(INTERACTIONS, self._batch(user, ingest))
        if kind < 0.95:
            return Planned(CHAT, self._chat(user, ingest))
        message = FeedbackReceived(
            event_id=self._id(),
            user_id=user,
            event_time=ingest,
            ingest_time=ingest,
            target_type=self._random.choice(list(TargetType)),
            target_id=self._id(),
            outcome="accepted",
        )
        return Planned(FEEDBACK, message)

    def _again(self, record: Planned, ingest: int) -> Planned:
        """The same ids, received later; of a batch sometimes a part, with something new."""
        message = record.message
        update: dict[str, object] = {"ingest_time": ingest}
        in_part = self._random.random() < 0.5
        named = isinstance(message, InteractionsReceived) and message.interactions[0].event_id
        if isinstance(message, InteractionsReceived) and named and in_part:
            kept = message.interactions[: self._random.randint(1, len(message.interactions))]
            new = self._interaction(ingest, True)
            update |= {"event_id": self._id(), "interactions": (*kept, new)}
        return Planned(record.topic, message.model_copy(update=update))

    def _batch(self, user: str, ingest: int) -> InteractionsReceived:
        named = self._random.random() < 0.7
        behind = self._clock_offset()
        interactions = tuple(
            self._interaction(ingest - behind, named) for _ in range(self._random.randint(1, 6))
        )
        return InteractionsReceived(
            event_id=self._id(),
            user_id=user,
            event_time=max(i.timestamp for i in interactions),
            ingest_time=ingest,
            clock_offset=behind,
            interactions=interactions,
        )

    def _interaction(self, ingest: int, named: bool) -> Interaction:
        draw = self._random
        return Interaction(
            event_id=self._id() if named else None,
            timestamp=self._time(ingest),
            interaction_type=draw.choice(["click", "answer", "scroll"]),
            timing_data=TimingData(
                response_time=draw.uniform(0, 90) if draw.random() < 0.7 else None,
                dwell_time=draw.uniform(0, 300) if draw.random() < 0.5 else None,
            ),
            context_data=ContextData(tab_active=draw.random() < 0.5)
            if draw.random() < 0.8
            else None,
            task_data=TaskData(
                correct=draw.random() < 0.4,
                attempt_count=draw.randint(0, 5),
                hint_count=draw.randint(0, 4) if draw.random() < 0.5 else None,
            )
            if draw.random() < 0.5
            else None,
        )

    def _chat(self, user: str, ingest: int) -> ChatReceived:
        words = self._random.choices(_WORDS, k=self._random.randint(1, 5))
        behind = self._clock_offset()
        return ChatReceived(
            event_id=self._id(),
            user_id=user,
            event_time=self._time(ingest - behind),
            ingest_time=ingest,
            clock_offset=behind,
            text=", ".join(words),
        )

    def _clock_offset(self) -> int:
        """Mostly a good clock; sometimes one that is up to three hours slow or fast, in ms."""
        good = self._random.random() < 0.8
        return 0 if good else self._random.randint(-10_800_000, 10_800_000)

    def _time(self, ingest: int) -> int:
        """By the learner's clock: mostly just now, sometimes late or in the future."""
        kind = self._random.random()
        if kind < 0.80:
            return ingest - self._random.randint(0, 2_000)
        if kind < 0.90:  # late, within the bound
            return ingest - self._random.randint(2_000, 290_000)
        if kind < 0.95:  # beyond it
            return ingest - self._random.randint(310_000, 3_600_000)
        if kind < 0.98:  # ahead, within the skew
            return ingest + self._random.randint(0, 29_000)
        return ingest + self._random.randint(31_000, 86_400_000)

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def plan(load: Load, start_ms: int) -> list[Planned]:
    """The records of a load, in the order of sending."""
    return _Plan(load, start_ms).records()


async def send(
    settings: Settings,
    records: Sequence[Planned],
    rate: float,
    on_progress: Callable[[int], Awaitable[None]] | None = None,
) -> list[Sent]:
    """Write records in order, `rate` a second; where each came to stand.

    `on_progress` is awaited with the number sent so far, after each tenth of a second.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    loop = asyncio.get_running_loop()
    started = loop.time()
    deliveries = []
    try:
        for index, record in enumerate(records):
            behind = started + index / rate - loop.time()
            if behind > 0.05:
                await asyncio.sleep(behind)
                if on_progress is not None:
                    await on_progress(index)
            headers = envelope.headers(type(record.message))
            headers[envelope.TRACEPARENT] = f"00-{index:032x}-{index:016x}-01".encode()
            deliveries.append(
                await producer.send(
                    physical(settings, record.topic),
                    key=record.message.user_id.encode(),
                    value=record.message.json_bytes(),
                    headers=list(headers.items()),
                )
            )
        done = await asyncio.gather(*deliveries)
    finally:
        await producer.stop()
    return [
        Sent(record.topic, meta.partition, meta.offset, record.message)
        for record, meta in zip(records, done, strict=True)
    ]
