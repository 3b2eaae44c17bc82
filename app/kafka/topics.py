"""The topic catalogue: every topic, what travels on it, how long it is kept.

Every topic is keyed by the raw UTF-8 user id and has the same number of
partitions, so that one worker owns all of a learner. The count is fixed when the
topics are created; changing it is a rebuild (docs/operations.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    DEAD_LETTERS,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
    USER_STATE,
)
from app.settings import KafkaSettings, Settings
from schemas.base import Message
from schemas.topics.actions import FeedbackReceived, InterventionRaised, RecommendationsMade
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.operations import DeadLetter, ErasureRequested
from schemas.topics.state import UserState
from schemas.topics.tutor import TutorReplied, TutorRequested

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record a topic takes (a protocol limit; the gateway's own bound is far lower)."""

MAX_DEAD_LETTER_BYTES = 2 * MAX_MESSAGE_BYTES
"""Largest dead letter: the largest record in base64, and the reason."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `schema` is None for a changelog, whose records only its owner reads."""

    name: str
    schema: type[Message] | None
    summary: str
    retention_days: float | None
    compacted: bool = False
    max_bytes: int = MAX_MESSAGE_BYTES

    def config(self, settings: KafkaSettings) -> dict[str, str]:
        """Broker-side configuration of this topic."""
        config = {"max.message.bytes": str(self.max_bytes)}
        if self.compacted:
            config["cleanup.policy"] = "compact"
            # A fenced writer's late record may stand behind its successor's until
            # recovery has compared versions; compaction must not drop the newer one
            # first (docs/architecture.md, "A worker that lost its partition").
            config["min.compaction.lag.ms"] = str(int(settings.min_compaction_lag * 1000))
            config["delete.retention.ms"] = str(int(settings.delete_retention * 1000))
        elif self.retention_days is not None:
            config["retention.ms"] = str(int(self.retention_days * _DAY_MS))
            # Kafka deletes a segment when the newest record in it is past its time: with this,
            # none outlives its retention by more than a day.
            config["segment.ms"] = str(_DAY_MS)
        return config


def catalogue(settings: KafkaSettings) -> tuple[Topic, ...]:
    """Every topic, in the order of the chain."""
    keep = settings.retention_days
    return (
        Topic(INTERACTIONS, InteractionsReceived, "Accepted batches of interactions", keep),
        Topic(CHAT, ChatReceived, "Accepted chat messages, with their text", settings.chat_days),
        Topic(FEEDBACK, FeedbackReceived, "What came of a suggestion", keep),
        Topic(ERASURES, ErasureRequested, "Learners to be forgotten", keep),
        Topic(EMOTIONS, EmotionRead, "What the model read in each chat message", keep),
        Topic(
            CONCERNS,
            ConcernRead,
            "Messages that a person should know of; without text",
            settings.chat_days,
        ),
        Topic(USER_STATE, UserState, "Each learner's latest state", None, compacted=True),
        Topic(RECOMMENDATIONS, RecommendationsMade, "Adaptive-UI suggestions", keep),
        Topic(INTERVENTIONS, InterventionRaised, "Reasons to step in", keep),
        Topic(TUTOR_REQUESTS, TutorRequested, "Who asks the tutor for words; without text", keep),
        Topic(
            TUTOR_REPLIES,
            TutorReplied,
            "What the tutor said, with its text",
            settings.chat_days,
        ),
        Topic(
            DEAD_LETTERS,
            DeadLetter,
            "What could not be processed",
            keep,
            max_bytes=MAX_DEAD_LETTER_BYTES,
        ),
        Topic(LEARNER_CHANGELOG, None, "The learner table's changelog", None, compacted=True),
    )


def physical(settings: Settings, name: str) -> str:
    """A topic's name on the broker: the catalogue's, with the cluster's prefix before it."""
    return settings.kafka.topic_prefix + name


def logical(settings: Settings, name: str) -> str:
    """The catalogue's name of a topic on the broker."""
    return name.removeprefix(settings.kafka.topic_prefix)
