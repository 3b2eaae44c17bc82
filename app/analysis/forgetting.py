"""Which of a topic's records to give on: each once, and none of a learner who was forgotten.

What tells who was forgotten: requests on `erasures`, tombstones on a compacted topic, and the
markers of the learner worker where a topic is kept for longer than the requests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from agents.runtime import envelope
from agents.runtime.topics import ERASURES, LEARNER_CHANGELOG
from app.kafka.redrive import scan
from app.kafka.topics import Topic, physical
from app.settings import Settings
from models.learner.record import RecordError, header_of
from schemas.base import DecodeError, Event, Message
from schemas.topics.operations import DeadLetter, ErasureRequested
from schemas.topics.state import UserState


@dataclass(frozen=True, slots=True)
class Forgotten:
    """masterx has forgotten a learner: delete what you hold of them.

    Attributes:
        at: when, UTC, milliseconds since the epoch.
    """

    user_id: str
    at: int


class Once:
    """Which records to give on.

    Args:
        erased: when each learner was last erased, UTC milliseconds.
        tombstones: the offset of each learner's last one on this topic.
        most: ids to remember; None: all.
    """

    def __init__(
        self, erased: dict[str, int], tombstones: Mapping[bytes, int], most: int | None = None
    ) -> None:
        self._erased = erased
        self._tombstones = tombstones
        self._most = most
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._versions: dict[str, int] = {}

    def takes(self, record: ConsumerRecord, message: Message) -> bool:
        """Whether it is new, and of a learner who is not forgotten; remembers it."""
        if record.offset <= self._tombstones.get(record.key, -1):
            return False
        if isinstance(message, DeadLetter):
            # When its record was received, it does not say for sure.
            user = (record.key or b"").decode(errors="replace")
            place = f"{message.topic}:{message.partition}:{message.offset}"
            return user not in self._erased and self._is_new(place.encode())
        assert isinstance(message, Event)
        user = message.user_id
        if not isinstance(message, ErasureRequested):
            erased_at = self._erased.get(user)
            if erased_at is not None and message.ingest_time <= erased_at:
                return False
        if isinstance(message, UserState):
            # A worker that lost its partition may have written behind its successor.
            if message.version < self._versions.get(user, -1):
                return False
            self._versions[user] = message.version
        # A client's id names an event among those of its learner.
        return self._is_new(f"{user}\0{message.event_id}".encode())

    def forget(self, user_id: str, erased_at: int | None) -> None:
        """A learner was forgotten; versions begin anew.

        erased_at: what was received until then does not come any more, UTC milliseconds; None:
            what is still to come is of a new life.
        """
        self._versions.pop(user_id, None)
        if erased_at is not None:
            self._erased[user_id] = max(erased_at, self._erased.get(user_id, 0))

    def _is_new(self, name: bytes) -> bool:
        digest = int.from_bytes(blake2b(name, digest_size=8).digest())
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if self._most is not None and len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True


async def erasures_of(
    settings: Settings,
    consumer: AIOKafkaConsumer,
    counts: Mapping[str, int],
    topic: Topic,
    partition: int,
) -> dict[str, int]:
    """When each learner of a partition was last erased, UTC milliseconds."""
    found: dict[str, int] = {}
    if topic.name == ERASURES:
        return found
    async for record in scan(consumer, counts, physical(settings, ERASURES), {partition}, 0):
        try:
            erasure = envelope.read(ErasureRequested, record)
        except DecodeError:
            continue  # a dead letter of the workers: nobody was erased by it
        found[erasure.user_id] = max(erasure.ingest_time, found.get(erasure.user_id, 0))
    if (topic.retention_days or 0) > settings.kafka.retention_days:
        # The topic is kept for longer than requests to erase. Markers of erasures outlive both.
        name = physical(settings, LEARNER_CHANGELOG)
        async for record in scan(consumer, counts, name, {partition}, 0):
            try:
                erased_at = header_of(record.value or b"").erased_at
            except RecordError:
                continue
            user = record.key.decode()
            found[user] = max(erased_at or 0, found.get(user, 0))
    return found
