"""What an agent needs of the process around it, as protocols.

`app` implements them; agents only know these, so that the imports point one way.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from agents.runtime.retrying import Refused
from models.emotion.reading import Reading
from schemas.topics.operations import ErasureRequested


class NotOwned(LookupError):
    """The partition is not, or no longer, assigned to this worker."""


class SourceRecord(Protocol):
    """A consumed Kafka record, as Faust hands it over (`event.message`)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: float


class Outbox(Protocol):
    """Where an agent's outputs go."""

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Future[Any]:
        """Buffer one record; the future is done when every in-sync replica has it.

        Waits while the buffer is full. A future that fails means that the process
        must end without acknowledging: what it was computed from comes again.
        """
        ...

    async def flush(self) -> None:
        """Wait until everything that was sent is delivered or failed."""
        ...


class DeadLetters(Protocol):
    """Where a record goes that cannot be processed."""

    async def send(self, record: SourceRecord, error: Exception) -> Future[Any]:
        """Send original bytes, position and reason to `dead-letters`."""
        ...


class RecordTable(Protocol):
    """Keyed records of the partitions this worker owns, backed by a changelog topic."""

    def writing(self, partition: int) -> AbstractAsyncContextManager[None]:
        """Hold the partition: recovered, and not given away before the block ends.

        Raises NotOwned (a LookupError) when it is not assigned to this worker.
        """
        ...

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The record, or None."""
        ...

    async def put(self, partition: int, key: bytes, value: bytes | None) -> Future[Any]:
        """Set (or with None delete) at once; the future is done when the changelog has it."""
        ...


class EmotionSource(Protocol):
    """What reads the emotion in a text: `models.emotion.serving.EmotionReader`."""

    @property
    def version(self) -> str:
        """Version of the weights that answer now."""
        ...

    async def submit(self, text: str) -> Future[Reading]:
        """Queue one text; waits while the queue is full.

        Raises NotRead (or the future fails with it) where the text is no evidence, and
        ModelUnavailable (or the future fails with it) while the model is down;
        the future fails with another error when this text cannot be read.
        """
        ...


class WhenSlow(Enum):
    """What becomes of a push while its client, or the log's reader, is behind."""

    KEPT = "kept"
    """It is sent, in its place."""
    LATEST = "latest"
    """A newer one of its kind takes its place, with the causes of both. It has a `version`."""
    SKIPPED = "skipped"
    """It is not queued: a later push of another kind holds all of it."""


class PushKind(StrEnum):
    """What a push is; the values are the wire's message types.

    Push log, send queue and metrics take from here how they treat a kind.
    """

    STATE = "user_state_update"
    RECOMMENDATIONS = "recommendations"
    INTERVENTION = "intervention"
    TUTOR_DELTA = "tutor_delta"
    TUTOR_REPLY = "tutor_reply"

    @property
    def when_slow(self) -> WhenSlow:
        """What becomes of it; mypy names a kind that is missing here."""
        match self:
            case PushKind.STATE | PushKind.RECOMMENDATIONS:
                return WhenSlow.LATEST
            case PushKind.TUTOR_DELTA:
                return WhenSlow.SKIPPED
            case PushKind.INTERVENTION | PushKind.TUTOR_REPLY:
                return WhenSlow.KEPT

    @classmethod
    def latest_wins(cls) -> tuple[PushKind, ...]:
        """The kinds of which only the newest counts."""
        return tuple(kind for kind in cls if kind.when_slow is WhenSlow.LATEST)


@dataclass(frozen=True, slots=True)
class NewPush:
    """One output on its way to a learner's push log.

    Attributes:
        kind: None for a tombstone: nothing is pushed, the learner's state no longer counts.
        event_id: the output's own id; a redelivered output carries the same one.
        version: of the state, for kinds of which the latest wins; None otherwise.
        ingest_time: of the event it came from, ms; what an erasure compares.
        body: JSON bytes of the wire message, without `epoch`, `offset`, `causedBy`.
        whole: the same with what is not pushed, for who asks for the newest of the kind
            (`hello`, `resumed`, the profile); None where the body is whole.
        topic, partition, offset: where the output stood in Kafka; offset -1 for what comes
            from no topic (a reply as it is being written): then its id alone tells it.
    """

    user_id: str
    kind: PushKind | None
    event_id: str
    caused_by: tuple[str, ...]
    version: int | None
    ingest_time: int
    body: bytes
    topic: str
    partition: int
    offset: int
    whole: bytes | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a push stands in its learner's log; offsets start at 1 in each epoch."""

    epoch: str
    offset: int


class PushLogWriter(Protocol):
    """The push log, as who appends to it sees it. Raises agents.runtime.retrying.StoreError."""

    async def append_many(self, pushes: Sequence[NewPush]) -> list[Appended | Refused | None]:
        """Append in the given order; None for what is there already, stale or erased."""
        ...

    async def forget(self, user_id: str, erased_at: int | None = None) -> None:
        """Remove the learner; pushes ingested up to `erased_at` (ms) no longer count."""
        ...


class HistoryKind(StrEnum):
    """What is kept; the values are MongoDB collections."""

    MESSAGES = "messages"
    INTERACTIONS = "interactions"
    EMOTIONS = "emotions"
    STATES = "state_history"
    """Of each `mongo.state_every` the newest; also in `states`, the newest of all."""
    RECOMMENDATIONS = "recommendations"
    INTERVENTIONS = "interventions"
    REPLIES = "replies"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One record on its way into history.

    Attributes:
        event_id: unique for the learner; the first entry with it is kept.
        ingest_time: of the event it came from, ms; what an erasure compares.
        version: of a state; None otherwise.
        updated_at: of a state, ms: orders states, with the version behind it; 0 otherwise.
        document: JSON-ready, camelCase, with `userId` and `ingestTime`.
        accepted: ids of the events in it that a client may send again.
    """

    kind: HistoryKind
    user_id: str
    event_id: str
    ingest_time: int
    version: int | None
    document: dict[str, Any]
    updated_at: int = 0
    accepted: tuple[str, ...] = ()


class HistoryWriter(Protocol):
    """History, as its only writer sees it. Both may be repeated.

    Both raise agents.runtime.retrying.Retriable and Fatal.
    """

    async def write(self, entries: Sequence[HistoryEntry]) -> list[Refused | None]:
        """Store entries; for each None, or why the store does not take this document."""
        ...

    async def erase(self, request: ErasureRequested) -> None:
        """Remove what was ingested of the learner up to the request, and keep the request."""
        ...
