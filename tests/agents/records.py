"""Records and what is around an agent, for tests of agents against real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from agents.runtime.in_flight import InFlight
from agents.runtime.retrying import Waits
from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    USER_STATE,
)
from schemas.base import Message
from schemas.topics.actions import FeedbackReceived, InterventionRaised, RecommendationsMade
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.operations import ErasureRequested
from schemas.topics.state import UserState
from schemas.topics.tutor import TutorReplied

MODELS: dict[str, type[Message]] = {
    CHAT: ChatReceived,
    INTERACTIONS: InteractionsReceived,
    EMOTIONS: EmotionRead,
    CONCERNS: ConcernRead,
    FEEDBACK: FeedbackReceived,
    ERASURES: ErasureRequested,
    USER_STATE: UserState,
    RECOMMENDATIONS: RecommendationsMade,
    INTERVENTIONS: InterventionRaised,
    TUTOR_REPLIES: TutorReplied,
}

ESTIMATE = {"value": 0.5, "confidence": 0.25, "source": "measured"}


@dataclass(slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: object = None
    timestamp: float = 0.0


@dataclass(slots=True)
class Event:
    message: Record
    acknowledged: list[Event]

    def ack(self) -> bool:
        self.acknowledged.append(self)
        return True


@dataclass(slots=True)
class DeadLetterQueue:
    """Keeps what was sent to it."""

    sent: list[tuple[Record, Exception]] = field(default_factory=list)

    async def send(self, record: Record, error: Exception) -> asyncio.Future[None]:
        self.sent.append((record, error))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Around:
    """A stream of records, and what became of them."""

    def __init__(self) -> None:
        self.acknowledged: list[Event] = []
        self.dead_letters = DeadLetterQueue()
        self.window = InFlight(512, fail=self._failed)
        self.waits = Waits()
        self._offsets: dict[str, int] = {}

    def event(self, topic: str, user: str, value: bytes | Message | None) -> Event:
        """The next record of a topic."""
        offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
        raw = value.json_bytes() if isinstance(value, Message) else value
        return Event(Record(topic, 1, offset, user.encode(), raw), self.acknowledged)

    async def waited(self, store: str) -> None:
        """Return once a write waits for this store."""
        async with asyncio.timeout(30):
            while store not in self.waits.stores:
                await asyncio.sleep(0.01)

    @property
    def positions(self) -> list[tuple[str, int]]:
        return [(event.message.topic, event.message.offset) for event in self.acknowledged]

    def _failed(self, error: BaseException) -> None:
        raise AssertionError("a delivery failed") from error


async def stream(events: Iterable[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def message(topic: str, user: str, n: int, **fields: object) -> Message:
    """A valid message of a topic; `n` makes its id and its version, 1000 + n its ingest time."""
    version = fields.get("version", n)
    common = {
        "eventId": f"{topic}-{user}-{n}",
        "userId": user,
        "eventTime": 1_700_000_000_000 + n,
        "ingestTime": 1_700_000_000_000 + n,
        "causedBy": [f"cause-{n}"],
        "version": version,
        "text": f"text {n}",
        "interactions": [{"timestamp": 1_700_000_000_000, "interactionType": "click"}],
        "recommendations": [],
        "level": "mild",
        "confidence": 0.75,
        "because": ["valence fell"],
        "raisedAt": 1_700_000_000_000 + n,
        "targetType": "intervention",
        "targetId": "i1",
        "replyId": f"reply-{n}",
        "final": True,
        "kind": "chat",
        "outcome": "helped",
        "updatedAt": 1_700_000_000_000 + n,
        "valence": ESTIMATE,
        "arousal": ESTIMATE,
        "dominance": ESTIMATE,
        "trajectory": {"points": 0},
        "activity": {"interactions": n, "messages": 0},
    }
    if topic == CONCERNS:
        common |= {"modelVersion": "m", "probability": 0.75, "from": "message"}
    if topic == TUTOR_REPLIES:
        common["status"] = "answered"
    if topic == RECOMMENDATIONS:
        common["recommendations"] = [
            {"id": f"r{n}", "action": "simplify", "confidence": 0.5, "because": ["load"]}
        ]
    return MODELS[topic].read(common | fields)
