"""Each acknowledged event is counted exactly once, however batches overlap and fail.

The log and the memory of retries are played here, so that an example can decide what
Kafka does with each record, and when; test_sockets.py and test_failures.py use real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.runtime.topics import CHAT, INTERACTIONS
from app.gateway.auth.admission import Sender
from app.gateway.auth.tokens import Principal
from app.gateway.intake.events import Submission
from app.gateway.intake.intake import Intake
from app.gateway.intake.refusal import Refusal
from app.gateway.websocket.codec import decode
from app.settings import Settings
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Position, apply_emotion, apply_feedback, apply_interactions
from schemas.topics.actions import FeedbackReceived
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.vocabulary import Role
from schemas.wire.server import Ack, Error

NOW = 1_800_000_000_000
ADA = Sender(
    Principal(subject="ada", role=Role.LEARNER, consent=True, learners=frozenset(), expires_at=2e9),
    "ada",
)
LEARNER = LearnerSettings()
BOUNDS = Settings()


class Fate(Enum):
    """What becomes of a record that was appended."""

    TAKEN = "in Kafka, and the gateway is told"
    UNSURE = "in Kafka, but the gateway is told that it failed"
    LOST = "not in Kafka"


class PlayedLog:
    """Kafka, as far as intake sees it: what is appended waits until its fate is played."""

    full = False

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []
        self.pending: list[tuple[str, bytes, asyncio.Future[None]]] = []

    def hold(self) -> None: ...

    def release(self) -> None: ...

    async def append(self, topic: str, *, key: bytes, value: bytes, headers: Any) -> Any:
        assert key == b"ada"
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pending.append((topic, value, delivery))
        return delivery

    def play(self, fate: Fate) -> None:
        """The oldest record that waits meets its fate."""
        if not self.pending:
            return
        topic, value, delivery = self.pending.pop(0)
        if fate is not Fate.LOST:
            self.kept.append((topic, value))
        if fate is Fate.TAKEN:
            delivery.set_result(None)
        else:
            delivery.set_exception(OSError("played"))


class PlayedMemory:
    """The memory of retries; it may be away, as Redis may."""

    def __init__(self) -> None:
        self.away = False
        self.remembered: set[tuple[str, str, str]] = set()

    async def known(self, user_id: str, kind: str, ids: Collection[str]) -> frozenset[str]:
        found = frozenset(one for one in ids if (user_id, kind, one) in self.remembered)
        return frozenset() if self.away else found

    async def remember(self, user_id: str, kind: str, ids: Collection[str]) -> None:
        if not self.away:
            self.remembered |= {(user_id, kind, one) for one in ids}


@dataclass
class Page:
    """A client that keeps each message until it is acknowledged."""

    intake: Intake
    log: PlayedLog
    unanswered: list[asyncio.Task[None]] = field(default_factory=list)
    to_send_again: list[Submission] = field(default_factory=list)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)

    async def send(self, message: Submission) -> None:
        self.unanswered.append(asyncio.create_task(self._send(message)))
        await quiet()

    async def _send(self, message: Submission) -> None:
        try:
            ack = await self.intake.submit(message, ADA)
        except Refusal:
            self.to_send_again.append(message)
        else:
            self._check(message, ack)

    def _check(self, message: Submission, ack: Ack) -> None:
        produced = {named for value in self.log.kept for named in events_of(*value)}
        named = {(message.type, one) for one in ack.event_ids}
        assert named <= produced, "acknowledged, but not produced"
        self.acknowledged |= named


def events_of(topic: str, value: bytes) -> set[tuple[str, str]]:
    document = orjson.loads(value)
    if topic == INTERACTIONS:
        return {("interaction_batch", one["eventId"]) for one in document["interactions"]}
    kind = "chat_message" if topic == CHAT else "feedback"
    return {(kind, document["eventId"])}


async def quiet() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def counted(kept: list[tuple[str, bytes]]) -> LearnerRecord:
    """The learner's record after everything that stands in Kafka."""
    record = LearnerRecord()
    for offset, (topic, value) in enumerate(kept):
        position = Position(topic, 0, offset)
        if topic == INTERACTIONS:
            batch = InteractionsReceived.parse(value)
            step = apply_interactions(record, batch, position, LEARNER)
        elif topic == CHAT:
            step = apply_emotion(record, reading(ChatReceived.parse(value), position), LEARNER)
        else:
            step = apply_feedback(record, FeedbackReceived.parse(value), position, LEARNER)
        assert step.record is not None
        # Through its bytes, as the table keeps it.
        record = LearnerRecord.from_bytes(step.record.to_bytes())
    return record


def reading(chat: ChatReceived, at: Position) -> EmotionRead:
    return EmotionRead(
        event_id=chat.event_id,
        user_id=chat.user_id,
        event_time=chat.event_time,
        ingest_time=chat.ingest_time,
        caused_by=(chat.event_id,),
        source_topic=at.topic,
        source_partition=at.partition,
        source_offset=at.offset,
        status="ok",
        model_version="played",
        probabilities={Emotion.NEUTRAL: 1.0},
        top=Emotion.NEUTRAL,
        pad=PAD(valence=0.5, arousal=0.5, dominance=0.5),
    )


def message(document: dict[str, Any]) -> Submission:
    found = decode(orjson.dumps(document), BOUNDS.gateway.max_message_bytes)
    assert not isinstance(found, Error), found
    return found  # type: ignore[return-value]


# Ids that each kind counts from 1, as pages do; batches overlap in any way.
NUMBERS = st.integers(1, 6).map(str)


@st.composite
def batches(draw: st.DrawFn) -> Submission:
    ids = draw(st.lists(NUMBERS, min_size=1, max_size=5))
    interactions = [
        {"eventId": one, "timestamp": NOW, "interactionType": "click"}
        | ({"elementId": 7} if draw(st.integers(0, 5)) == 0 else {})
        for one in ids
    ]
    if all("elementId" in one for one in interactions):
        del interactions[0]["elementId"]
    return message({"type": "interaction_batch", "id": "b", "interactions": interactions})


CHATS = NUMBERS.map(
    lambda one: message(
        {"type": "chat_message", "id": one, "eventId": one, "timestamp": NOW, "text": "hm"}
    )
)
FEEDBACKS = NUMBERS.map(
    lambda one: message(
        {
            "type": "feedback", "id": one, "targetType": "reply",
            "targetId": "r", "outcome": "helpful",
        }
    )
)  # fmt: skip
STEPS = st.lists(batches() | CHATS | FEEDBACKS | st.sampled_from(Fate) | st.booleans(), max_size=30)


class NoHistory:
    """Nothing here says that it is a retry of long ago, so history is not asked."""

    covered = 600.0


def batch_of(*ids: str) -> Submission:
    interactions = [{"eventId": i, "timestamp": NOW, "interactionType": "click"} for i in ids]
    return message({"type": "interaction_batch", "id": "b", "interactions": interactions})


@given(STEPS)
@example([batch_of("a", "b"), batch_of("a", "b", "c", "d"), Fate.LOST, Fate.TAKEN])
@example([batch_of("a", "b"), batch_of("a", "b", "c", "d"), Fate.UNSURE, Fate.TAKEN])
@example([True, batch_of("a"), Fate.TAKEN, batch_of("a", "b"), Fate.UNSURE])
@settings(max_examples=300)
def test_each_acknowledged_event_is_counted_exactly_once(steps):
    """`True` takes the memory away, `False` brings it back."""
    asyncio.run(play(steps))


async def play(steps: list[Any]) -> None:
    log, memory = PlayedLog(), PlayedMemory()
    intake = Intake(BOUNDS, log, memory, NoHistory(), clock=lambda: NOW)  # type: ignore[arg-type]
    page = Page(intake, log)
    for step in steps:
        if isinstance(step, Fate):
            log.play(step)
            await quiet()
        elif isinstance(step, bool):
            memory.away = step
        else:
            await page.send(step)
    # In the end Kafka takes everything, and the page sends what has no ack.
    while log.pending or page.to_send_again:
        again, page.to_send_again = page.to_send_again, []
        for one in again:
            await page.send(one)
        while log.pending:
            log.play(Fate.TAKEN)
            await quiet()
    await asyncio.gather(*page.unanswered)

    record = counted(log.kept)
    kinds = [kind for kind, _ in page.acknowledged]
    assert record.evidence.interactions == kinds.count("interaction_batch")
    assert record.evidence.messages == kinds.count("chat_message")
    assert sum(record.feedback.values()) == kinds.count("feedback")
