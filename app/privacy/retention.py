"""Where a learner's data is and for how long: the tables of docs/privacy.md as data.

tests/app/privacy/test_retention.py holds them against the topics, the stores and the page: a place
that is not listed here fails there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from agents.runtime import topics
from app.kafka.topics import catalogue
from app.settings import KafkaSettings, Settings


class Store(StrEnum):
    """Where data lies."""

    KAFKA = "Kafka"
    REDIS = "Redis"
    MONGO = "MongoDB"


@dataclass(frozen=True, slots=True)
class Kept:
    """One place.

    Attributes:
        store: where it lies.
        name: of a topic or collection, or of a Redis key behind the prefix.
        text: whether words of a learner or the tutor, or what follows from them, may stand there.
        setting: dotted name of the setting that bounds its time; None: the code does, and the page
            says how long.
    """

    store: Store
    name: str
    text: bool
    setting: str | None

    def bound(self, settings: Settings) -> float | None:
        """The setting's value, in the setting's own unit; None without one."""
        if self.setting is None:
            return None
        value: Any = settings
        for part in self.setting.split("."):
            value = getattr(value, part)
        return float(value)


def _kafka() -> Iterator[Kept]:
    with_text = {topics.CHAT, topics.TUTOR_REPLIES, topics.DEAD_LETTERS}
    chat_days = {topics.CHAT, topics.TUTOR_REPLIES, topics.CONCERNS}
    compacted = {topics.USER_STATE, topics.LEARNER_CHANGELOG}
    # The affect embedding of a text follows from the text.
    derived = {topics.EMOTIONS, topics.LEARNER_CHANGELOG}
    for topic in catalogue(KafkaSettings()):
        name = topic.name
        setting = "kafka.chat_days" if name in chat_days else "kafka.retention_days"
        if name in compacted:
            setting = "learner.inactive_days"
        yield Kept(Store.KAFKA, name, name in with_text | derived, setting)


_REDIS: Final = (
    Kept(Store.REDIS, "push:{user}:log", True, "redis.log_ttl"),
    Kept(Store.REDIS, "push:{user}:meta", True, "redis.log_ttl"),
    Kept(Store.REDIS, "push:{user}:ids", False, "redis.log_ttl"),
    Kept(Store.REDIS, "push:{user}:fence", False, "redis.log_ttl"),
    Kept(Store.REDIS, "seen:<hash>", False, "redis.dedupe_ttl"),
    Kept(Store.REDIS, "tutor:{user}:conversation", True, "tutor.replies.conversation_ttl"),
    Kept(Store.REDIS, "tutor:{user}:earlier", True, "tutor.replies.conversation_ttl"),
    Kept(Store.REDIS, "tutor:{user}:summary", True, "tutor.replies.conversation_ttl"),
    Kept(Store.REDIS, "tutor:{user}:reply:<reply id>", True, "tutor.replies.memory"),
    Kept(Store.REDIS, "tutor:{user}:replies", False, "tutor.replies.memory"),
    Kept(Store.REDIS, "tutor:{user}:fence", False, "tutor.replies.memory"),
    Kept(Store.REDIS, "tutor:{user}:quiet", False, "tutor.hearing.quiet_for"),
    Kept(Store.REDIS, "tutor:{user}:used:<day>", False, None),
    Kept(Store.REDIS, "tutor:{user}:preloading", False, None),
)
_MONGO: Final = (
    Kept(Store.MONGO, "messages", True, "mongo.chat_days"),
    Kept(Store.MONGO, "replies", True, "mongo.chat_days"),
    Kept(Store.MONGO, "summaries", True, "mongo.chat_days"),
    Kept(Store.MONGO, "interactions", False, "mongo.history_days"),
    Kept(Store.MONGO, "emotions", False, "mongo.history_days"),
    Kept(Store.MONGO, "state_history", False, "mongo.history_days"),
    Kept(Store.MONGO, "states", False, "mongo.history_days"),
    Kept(Store.MONGO, "recommendations", False, "mongo.history_days"),
    Kept(Store.MONGO, "interventions", False, "mongo.history_days"),
    Kept(Store.MONGO, "feedback", False, "mongo.history_days"),
    Kept(Store.MONGO, "accepted", False, "mongo.accepted_days"),
    Kept(Store.MONGO, "erasures", False, "mongo.history_days"),
)

TEXT_FIELDS: Final = {
    topics.CHAT: frozenset({"text"}),
    topics.TUTOR_REPLIES: frozenset({"text"}),
    topics.EMOTIONS: frozenset({"affect"}),
    topics.DEAD_LETTERS: frozenset({"valueBase64", "headers", "rawHeaders", "reason", "field"}),
}
"""Which fields of a topic's records may hold words, or what follows from them. An export leaves
them out unless it is told otherwise."""

RETENTION: Final[tuple[Kept, ...]] = (*_kafka(), *_REDIS, *_MONGO)
"""Every place that holds something of one learner, but the memory of running processes."""
