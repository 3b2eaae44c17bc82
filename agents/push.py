"""user-state, recommendations, interventions, tutor-replies -> the learners' push logs in Redis.

`agents.runtime.sink` is the loop; here is what a record is on the wire. The log drops what is
appended again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

import orjson

from agents.runtime import envelope, metrics, sink
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, NewPush, PushKind, PushLogWriter, SourceRecord
from agents.runtime.retrying import Refused, Waits
from agents.runtime.sink import Sink
from agents.runtime.topics import (
    ERASURES,
    INTERVENTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    USER_STATE,
)
from schemas.base import Derived, now_ms
from schemas.topics.actions import InterventionRaised, RecommendationsMade
from schemas.topics.operations import ErasureRequested
from schemas.topics.state import UserState
from schemas.topics.tutor import ReplyFields, TutorReplied

_NOT_LIVE: Final = frozenset({"longTerm", "long_term"})
"""Fields of a state that move over weeks: no push carries them, whoever asks gets them."""


async def run(
    events: AsyncIterator[Acknowledgeable],
    *,
    log: PushLogWriter,
    dead_letters: DeadLetters,
    window: InFlight,
    logical: Callable[[str], str],
    batch_size: int,
    waits: Waits,
) -> None:
    """Push every record of the stream, until it ends. Raises agents.runtime.retrying.Fatal."""

    async def append(pushes: Sequence[NewPush]) -> Sequence[object]:
        outcomes = await log.append_many(pushes)
        now = now_ms()
        for push, outcome in zip(pushes, outcomes, strict=True):
            if push.kind is not None and not isinstance(outcome, Refused):
                since_ingest = max(0.0, (now - push.ingest_time) / 1000)
                metrics.SINCE_INGEST_SECONDS.labels("push").observe(since_ingest)
        return outcomes

    async def forget(request: ErasureRequested) -> None:
        await log.forget(request.user_id, request.ingest_time)

    await sink.run(
        events,
        Sink("push", "redis", read=_read, write=append, erase=forget),
        dead_letters=dead_letters,
        window=window,
        logical=logical,
        batch_size=batch_size,
        waits=waits,
    )


def _read(topic: str, record: SourceRecord) -> NewPush | ErasureRequested:
    if record.value is None and topic == USER_STATE:
        return _tombstone(topic, record)
    if topic == ERASURES:
        return envelope.read(ErasureRequested, record)
    return PUSHES[topic](topic, record)


def _tombstone(topic: str, record: SourceRecord) -> NewPush:
    """Of a learner who was erased or put away: the versions of who returns begin anew."""
    return NewPush(
        user_id=(record.key or b"").decode(),
        kind=None,
        event_id="",
        caused_by=(),
        version=None,
        ingest_time=0,
        body=b"",
        topic=topic,
        partition=record.partition,
        offset=record.offset,
    )


def _state(topic: str, record: SourceRecord) -> NewPush:
    state = envelope.read(UserState, record)
    # The record's own bytes: they have just been validated, and are the wire's userState.
    whole = record.value or b""
    push = _push(
        PushKind.STATE, state, _update(whole), version=state.version, topic=topic, record=record
    )
    if state.long_term is None:
        return push
    document = orjson.loads(whole)
    live = {name: value for name, value in document.items() if name not in _NOT_LIVE}
    return replace(push, body=_update(orjson.dumps(live)), whole=push.body)


def _update(state: bytes) -> bytes:
    return b'{"type":"user_state_update","userState":' + state + b"}"


def _recommendations(topic: str, record: SourceRecord) -> NewPush:
    made = envelope.read(RecommendationsMade, record)
    fields = {
        "type": PushKind.RECOMMENDATIONS,
        "recommendations": [item.document() for item in made.recommendations],
    }
    body = orjson.dumps(fields)
    return _push(
        PushKind.RECOMMENDATIONS, made, body, version=made.version, topic=topic, record=record
    )


def _intervention(topic: str, record: SourceRecord) -> NewPush:
    raised = envelope.read(InterventionRaised, record)
    fields = {
        "type": PushKind.INTERVENTION,
        "id": raised.event_id,
        "level": raised.level,
        "confidence": raised.confidence,
        "because": raised.because,
        "raisedAt": raised.raised_at,
    }
    body = orjson.dumps(fields)
    return _push(PushKind.INTERVENTION, raised, body, version=None, topic=topic, record=record)


def _reply(topic: str, record: SourceRecord) -> NewPush:
    reply = envelope.read(TutorReplied, record)
    body = orjson.dumps({"type": PushKind.TUTOR_REPLY, **ReplyFields.of(reply).document()})
    return _push(PushKind.TUTOR_REPLY, reply, body, version=None, topic=topic, record=record)


def _push(
    kind: PushKind,
    message: Derived,
    body: bytes,
    *,
    version: int | None,
    topic: str,
    record: SourceRecord,
) -> NewPush:
    return NewPush(
        user_id=message.user_id,
        kind=kind,
        event_id=message.event_id,
        caused_by=message.caused_by,
        version=version,
        ingest_time=message.ingest_time,
        body=body,
        topic=topic,
        partition=record.partition,
        offset=record.offset,
    )


PUSHES: Final[dict[str, Callable[[str, SourceRecord], NewPush]]] = {
    USER_STATE: _state,
    RECOMMENDATIONS: _recommendations,
    INTERVENTIONS: _intervention,
    TUTOR_REPLIES: _reply,
}
"""What a record of each topic becomes; the role reads these topics and erasures."""
