"""user-state, recommendations, interventions, tutor-replies -> the learners' push logs in Redis.

One batch at a time: nothing is acknowledged before the whole batch is in the log, and
the log drops what is appended again. While Redis is away the stream waits; a push that Redis
will never take is one dead letter.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import orjson

from agents.runtime import envelope, metrics
from agents.runtime.batching import batches
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, NewPush, PushKind, PushLogWriter, SourceRecord
from agents.runtime.retrying import Refused, Waits, until_stored
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

Step = NewPush | ErasureRequested | Exception
"""What a record asks for; an error for one that cannot be read or stored."""

T = TypeVar("T")


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
    async with batches(events, batch_size) as stream:
        async for batch in stream:
            await push_batch(
                batch,
                log=log,
                dead_letters=dead_letters,
                window=window,
                logical=logical,
                waits=waits,
            )


async def push_batch(
    batch: Sequence[Acknowledgeable],
    *,
    log: PushLogWriter,
    dead_letters: DeadLetters,
    window: InFlight,
    logical: Callable[[str], str],
    waits: Waits,
) -> None:
    """Append one batch, then hand its records to the window in their order."""
    began = time.monotonic()
    steps = [_step(logical(event.message.topic), event.message) for event in batch]

    async def insist(write: Callable[[], Awaitable[T]]) -> T:
        return await until_stored(write, store="redis", waits=waits)

    async def append(positions: list[int]) -> None:
        pushes = [step for step in map(steps.__getitem__, positions) if isinstance(step, NewPush)]
        outcomes = await insist(partial(log.append_many, pushes))
        for position, outcome in zip(positions, outcomes, strict=True):
            if isinstance(outcome, Refused):
                steps[position] = outcome

    positions: list[int] = []
    for position, step in enumerate(steps):
        if isinstance(step, NewPush):
            positions.append(position)
        elif isinstance(step, ErasureRequested):
            # In its place: what came before it is gone, what comes after it stays.
            await append(positions)
            positions = []
            try:
                await insist(partial(log.forget, step.user_id, step.ingest_time))
            except Refused as error:
                steps[position] = error
    await append(positions)
    _measure(batch, steps, logical, time.monotonic() - began)

    for event, step in zip(batch, steps, strict=True):
        await window.slot()
        if isinstance(step, Exception):
            window.track(event, [await dead_letters.bury(event.message, step)])
        else:
            window.track(event, [])


def _step(topic: str, record: SourceRecord) -> Step:
    try:
        if record.value is None and topic == USER_STATE:
            return _tombstone(topic, record)
        if topic == ERASURES:
            return envelope.read(ErasureRequested, record)
        return _PUSHES[topic](topic, record)
    except Exception as error:
        return error


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
    body = b'{"type":"user_state_update","userState":' + (record.value or b"") + b"}"
    return _push(PushKind.STATE, state, body, version=state.version, topic=topic, record=record)


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


_PUSHES: Final[dict[str, Callable[[str, SourceRecord], NewPush]]] = {
    USER_STATE: _state,
    RECOMMENDATIONS: _recommendations,
    INTERVENTIONS: _intervention,
    TUTOR_REPLIES: _reply,
}


def _measure(
    batch: Sequence[Acknowledgeable],
    steps: Sequence[Step],
    logical: Callable[[str], str],
    seconds: float,
) -> None:
    metrics.BATCH_RECORDS.labels("push").observe(len(batch))
    metrics.STAGE_SECONDS.labels("push").observe(seconds)
    now = now_ms()
    for event, step in zip(batch, steps, strict=True):
        topic = logical(event.message.topic)
        outcome = "dead_letter" if isinstance(step, Exception) else "stored"
        metrics.RECORDS.labels(topic, outcome).inc()
        if isinstance(step, NewPush) and step.kind is not None:
            since_ingest = max(0.0, (now - step.ingest_time) / 1000)
            metrics.SINCE_INGEST_SECONDS.labels("push").observe(since_ingest)
