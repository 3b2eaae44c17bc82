"""Erasing a learner: everywhere we can reach at once, by the workers for the rest.

1. `ErasureRequested` on topic `erasures`: the learner worker replaces its record by a
   marker; push, history, tutor and emotion erase again, each in the order of its own stream.
2. A tombstone on `user-state`, so that compaction drops the states there.
3. Push log, replies and history are deleted here too: they do not wait for a worker that is down.
4. When the learner worker has passed the request, a second tombstone: it may have sent
   a state after the first.

Topics are a log: what stands there remains until its retention ends, and the report says
how long that is.

Raises app.process.errors.Unavailable when Kafka did not confirm the request: then no store was
asked.
Whatever fails behind that is told in the report; run it again to have done what it lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from agents.runtime import envelope
from agents.runtime.retrying import StoreError
from agents.runtime.topics import ERASURES, USER_STATE
from app.kafka import clients
from app.kafka.producer import Producer
from app.kafka.topics import catalogue
from app.mongo.history import HistoryStore
from app.privacy.report import ErasureReport, Remaining
from app.process.errors import Misconfigured, Unavailable
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.tutor.providers.errors import StoreDown
from app.tutor.replies.ledger import Ledger
from app.tutor.screening.proactive_mute import ProactiveMute
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from app.worker.role import erasing_roles
from schemas.base import new_event_id, now_ms
from schemas.topics.operations import ErasureRequested

_ASK_AGAIN: Final = 0.25
"""Seconds between two looks at the committed offsets."""
_CLOSING: Final = 5.0
"""Seconds that the producer may take to close."""


async def forget(
    settings: Settings, user_id: str, requested_by: str = "", within: float = 30.0
) -> ErasureReport:
    """Erase a learner, and wait at most `within` seconds for the workers to have done so too.

    Harmless to repeat. Raises app.process.errors.Unavailable when Kafka did not confirm the
    request; pydantic.ValidationError for what is no user id.
    """
    now = now_ms()
    request = ErasureRequested(
        event_id=new_event_id(),
        user_id=user_id,
        event_time=now,
        ingest_time=now,
        requested_by=requested_by,
    )
    producer = Producer(settings, client_id="masterx-erasure")
    try:
        await producer.start()
        position, offset = await _send_request(producer, request)
    except (KafkaError, OSError) as error:
        await _stop(producer)
        raise Unavailable(
            "Kafka", settings.kafka.bootstrap, str(error), "MASTERX_KAFKA__BOOTSTRAP"
        ) from error
    passed: dict[str, bool] = dict.fromkeys(erasing_roles(), False)

    async def follow() -> None:
        await _send_tombstone(producer, user_id, settings.kafka.request_timeout)
        await _until_passed(settings, position, offset, within, passed)
        if passed["learner"]:
            await _send_tombstone(producer, user_id, settings.kafka.request_timeout)

    try:
        redis, mongo, trouble = await asyncio.gather(
            _outcome(_forget_pushes(settings, request)),
            _outcome(_forget_history(settings, request)),
            _outcome(follow()),
        )
    finally:
        await _stop(producer)
    return ErasureReport(
        user_id=user_id,
        erased_at=request.ingest_time,
        partition=position.partition,
        offset=offset,
        stores={"redis": redis, "mongo": mongo},
        passed=passed,
        trouble=trouble,
        remaining=tuple(
            Remaining(topic.name, topic.retention_days)
            for topic in catalogue(settings.kafka)
            if topic.retention_days is not None
        ),
        compaction=settings.kafka.min_compaction_lag,
        edge=settings.redis.dedupe_ttl,
    )


async def _send_request(
    producer: Producer, request: ErasureRequested
) -> tuple[TopicPartition, int]:
    delivery = await producer.send(
        ERASURES,
        key=request.user_id.encode(),
        value=request.json_bytes(),
        headers=envelope.headers(ErasureRequested),
    )
    metadata = await delivery
    return TopicPartition(metadata.topic, metadata.partition), metadata.offset


async def _stop(producer: Producer) -> None:
    # What was to be delivered is; a connection that does not close changes no report.
    with suppress(KafkaError, OSError):
        async with asyncio.timeout(_CLOSING):
            await producer.stop()


async def _send_tombstone(producer: Producer, user_id: str, within: float) -> None:
    # An idempotent producer tries on without end once a record is under way.
    async with asyncio.timeout(within):
        await (await producer.send(USER_STATE, key=user_id.encode(), value=None))


async def _forget_pushes(settings: Settings, request: ErasureRequested) -> None:
    timeout = settings.tutor.timeouts.store
    async with connect(settings.redis, "operator", timeout=timeout) as client:
        await PushLog(client, settings.redis).forget(request.user_id, request.ingest_time)
        ledger = Ledger(client, settings.redis, settings.tutor.replies)
        await ledger.forget(request.user_id, request.ingest_time)
        store = TutorStore(client, settings.redis, settings.tutor.timeouts.store)
        await Budgets(store, settings.tutor.budget).forget(request.user_id)
        await ProactiveMute(store, settings.tutor.hearing.quiet_for).forget(request.user_id)


async def _forget_history(settings: Settings, request: ErasureRequested) -> None:
    store = HistoryStore(settings.mongo)
    try:
        await store.erase(request)
    finally:
        await store.close()


async def _outcome(deletion: Awaitable[None]) -> str | None:
    try:
        await deletion
    except (StoreError, StoreDown, Misconfigured) as error:
        return str(error)
    except (RedisError, PyMongoError, KafkaError, OSError) as error:
        return type(error).__name__
    return None


async def _until_passed(
    settings: Settings,
    position: TopicPartition,
    offset: int,
    within: float,
    passed: dict[str, bool],
) -> None:
    """Note which roles have committed an offset beyond the request, at latest after `within`.

    A coordinator that fails is asked again until then. Raises KafkaError, OSError; what was
    known by then is noted.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    async with asyncio.timeout(within + settings.kafka.request_timeout):
        async with clients.admin(settings.kafka, client_id="masterx-erasure") as admin:
            while True:
                failed: KafkaError | None = None
                for role in [role for role, done in passed.items() if not done]:
                    group = f"{settings.worker.group_prefix}-{role}"
                    try:
                        committed = await admin.list_consumer_group_offsets(
                            group, partitions=[position]
                        )
                    except KafkaError as error:
                        failed = error
                        continue
                    found = committed.get(position)
                    passed[role] = found is not None and found.offset > offset
                if all(passed.values()):
                    return
                if loop.time() >= deadline:
                    if failed is not None:
                        raise failed
                    return
                await asyncio.sleep(_ASK_AGAIN)
