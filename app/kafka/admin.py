"""Creates the topics of the catalogue, and says what is there.

Errors:
    TopicsUnusable   the broker refused a topic, or one has another partition count
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiokafka.errors
import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.kafka import clients
from app.kafka.plan import ESSENTIAL
from app.kafka.topics import catalogue, logical, physical
from app.process.errors import OperatorError, Unavailable
from app.redis.heartbeats import GroupMember
from app.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MAX_MESSAGE_BYTES = "max.message.bytes"
_COORDINATOR_PAUSE = 0.2
"""Seconds between two questions to a group's coordinator that is not there yet."""
_NO_ERROR = 0
_TOPIC_ALREADY_EXISTS = 36
_REFUSES_SETTINGS = frozenset({40, 44})
"""INVALID_CONFIG, POLICY_VIOLATION."""
_LEADERS_WITHIN = 30.0


class TopicsUnusable(OperatorError):
    """The topics are not as the settings say, and it is not for us to change them."""


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """One topic of the catalogue on the broker. `partitions` is 0 when it is absent."""

    name: str
    physical: str
    summary: str
    partitions: int
    expected: int
    led: int
    """Partitions that have a leader."""
    created: bool = False
    refused: frozenset[str] = frozenset()
    """Settings that the broker did not take when it was created now; its defaults stay."""

    @property
    def ready(self) -> bool:
        """All partitions there, as many as expected, each with a leader."""
        return self.partitions == self.expected == self.led


async def list_topics(settings: Settings) -> tuple[TopicStatus, ...]:
    """Every topic of the catalogue as it stands on the broker.

    Raises:
        Unavailable: no broker answers.
    """
    async with _admin(settings) as client:
        return await _statuses(client, settings)


async def group_members(settings: Settings, group: str) -> list[GroupMember]:
    """A consumer group's members: who is alive, as the broker sees it.

    Empty for a group that does not exist.

    Raises:
        Unavailable: no broker answers, or not within `kafka.request_timeout`.
    """

    async def ask(client: AIOKafkaAdminClient) -> list[GroupMember]:
        # One group a call: some brokers garble the answer for several.
        (response,) = await client.describe_consumer_groups([group])
        described = response.to_object()["groups"]
        return [
            GroupMember(member["client_id"], member["member_id"])
            for one in described
            for member in one["members"]
        ]

    return await _of_coordinator(settings, ask)


async def committed_offsets(settings: Settings, group: str) -> dict[tuple[str, int], int]:
    """What a consumer group has committed, by physical topic and partition.

    Raises:
        Unavailable: no broker answers, or not within `kafka.request_timeout`.
    """

    async def ask(client: AIOKafkaAdminClient) -> dict[tuple[str, int], int]:
        found = await client.list_consumer_group_offsets(group)
        committed = {(tp.topic, tp.partition): one.offset for tp, one in found.items()}
        return {place: offset for place, offset in committed.items() if offset >= 0}

    return await _of_coordinator(settings, ask)


async def oldest_uncommitted(settings: Settings, group: str, names: Iterable[str]) -> int | None:
    """When the oldest record that a group has yet to commit was appended, UTC milliseconds.

    names: of topics of the catalogue

    Raises:
        Unavailable: no broker answers, or not within `kafka.request_timeout`.
        KafkaError, OSError, TimeoutError: as the first, once it had begun to answer.
    """
    committed = await committed_offsets(settings, group)
    consumer = clients.consumer(settings.kafka, *(physical(settings, name) for name in names))
    async with asyncio.timeout(settings.kafka.request_timeout):
        await clients.start(settings.kafka, consumer)
        try:
            places = consumer.assignment()
            first = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            waiting = set()
            for place in places:
                begin = max(first[place], committed.get((place.topic, place.partition), 0))
                if begin < ends[place]:
                    waiting.add(place)
                    consumer.seek(place, begin)
                else:
                    consumer.pause(place)
            oldest: list[int] = []
            while waiting:
                for place, records in (await consumer.getmany(*waiting, timeout_ms=100)).items():
                    waiting.discard(place)
                    oldest.append(records[0].timestamp)
        finally:
            await consumer.stop()
    return min(oldest, default=None)


async def _of_coordinator(
    settings: Settings, ask: Callable[[AIOKafkaAdminClient], Awaitable[T]]
) -> T:
    try:
        async with asyncio.timeout(settings.kafka.request_timeout), _admin(settings) as client:
            while True:
                try:
                    return await ask(client)
                except aiokafka.errors.KafkaError as error:
                    # A new cluster has no coordinator until somebody has asked for one.
                    if not error.retriable:
                        raise
                    await asyncio.sleep(_COORDINATOR_PAUSE)
    except (aiokafka.errors.KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(
            "Kafka", settings.kafka.bootstrap, repr(error), "MASTERX_KAFKA__BOOTSTRAP"
        ) from error


async def create_topics(settings: Settings) -> tuple[TopicStatus, ...]:
    """Create what is missing and return once every partition has a leader. Idempotent.

    Existing topics are left as they are: their configuration is the operator's. A setting that
    the broker refuses is left out (`TopicStatus.refused`), but for those of `plan.ESSENTIAL`.

    Raises:
        Unavailable: no broker answers.
        TopicsUnusable: refused by the broker (its words are quoted), or a topic
            exists with another partition count.
    """
    async with _admin(settings) as client:
        before = await _statuses(client, settings)
        differing = _differing(before)
        if differing:
            raise TopicsUnusable(_other_count(differing, settings))
        missing = {status.name: status.expected for status in before if status.partitions == 0}
        refused = await _create(client, settings, missing)
        after = await _led(client, settings)
    return tuple(
        replace(
            status,
            created=status.name in missing,
            refused=refused.get(status.name, frozenset()),
        )
        for status in after
    )


async def topic_settings(settings: Settings) -> dict[str, dict[str, str]]:
    """Each topic's settings on the broker, by the catalogue's name; none where it does not say.

    Raises:
        Unavailable: no broker answers.
    """
    names = {physical(settings, topic.name): topic.name for topic in catalogue(settings.kafka)}
    found: dict[str, dict[str, str]] = {}
    async with _admin(settings) as client:
        try:
            answers = await client.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            )
        except clients.FAILURES as error:
            log.warning("topics.settings_unknown", error=repr(error))
            return {}
    for answer in answers:
        for code, _message, _kind, name, entries in answer.resources:
            if code == _NO_ERROR and name in names:
                found[names[name]] = {entry[0]: entry[1] for entry in entries if entry[1]}
    return found


async def max_message_bytes(settings: Settings, name: str) -> int | None:
    """The largest record that a topic of the catalogue takes; None where the broker does not say.

    Raises:
        Unavailable: no broker answers.
    """
    resource = ConfigResource(
        ConfigResourceType.TOPIC, physical(settings, name), {_MAX_MESSAGE_BYTES: ""}
    )
    async with _admin(settings) as client:
        try:
            answers = await client.describe_configs([resource])
        except (aiokafka.errors.KafkaError, TimeoutError) as error:
            log.warning("admin.max_message_bytes_unknown", topic=name, error=repr(error))
            return None
    for answer in answers:
        for _code, _message, _kind, _name, entries in answer.resources:
            for entry in entries:
                if entry[0] == _MAX_MESSAGE_BYTES and entry[1]:
                    return int(entry[1])
    return None


async def _create(
    client: AIOKafkaAdminClient, settings: Settings, partitions: Mapping[str, int]
) -> dict[str, frozenset[str]]:
    """Create topics; the settings of each that the broker did not take. Raises TopicsUnusable.

    partitions: of each topic to create, by its name in the catalogue
    """
    configs = {
        topic.name: topic.config(settings.kafka)
        for topic in catalogue(settings.kafka)
        if topic.name in partitions
    }
    left_out: dict[str, frozenset[str]] = {}
    refused: list[str] = []
    pending = list(configs)
    while pending and not refused:
        response = await client.create_topics(
            [
                NewTopic(
                    name=physical(settings, name),
                    num_partitions=partitions[name],
                    replication_factor=settings.kafka.replication,
                    topic_configs=configs[name],
                )
                for name in pending
            ],
            timeout_ms=int(settings.kafka.request_timeout * 1000),
        )
        pending = []
        for topic, code, message in response.topic_errors:
            name = logical(settings, topic)
            if code in (_NO_ERROR, _TOPIC_ALREADY_EXISTS):  # another process was faster
                continue
            keys = _keys_of(message, configs[name]) if code in _REFUSES_SETTINGS else frozenset()
            if not keys:
                refused.append(f"{topic}: {message or aiokafka.errors.for_code(code).__name__}")
                continue
            left_out[name] = left_out.get(name, frozenset()) | keys
            configs[name] = {k: v for k, v in configs[name].items() if k not in keys}
            pending.append(name)
    if refused:
        raise TopicsUnusable(
            f"The broker at {settings.kafka.bootstrap} refused to create topics: "
            + "; ".join(refused)
            + ". See MASTERX_KAFKA__REPLICATION and the broker's limits."
        )
    return left_out


def _keys_of(message: str | None, config: Mapping[str, str]) -> frozenset[str]:
    """Which of a topic's settings a refusal is about; none where it must not go without them.

    A refusal that names none may be about any.
    """
    named = frozenset(key for key in config if key in (message or ""))
    if named & ESSENTIAL:
        return frozenset()
    return named or frozenset(config) - ESSENTIAL


async def _led(client: AIOKafkaAdminClient, settings: Settings) -> tuple[TopicStatus, ...]:
    """Wait until each partition has a leader; a broker tells of a new topic with a delay."""
    deadline = asyncio.get_running_loop().time() + _LEADERS_WITHIN
    while True:
        statuses = await _statuses(client, settings)
        differing = _differing(statuses)
        if differing:
            raise TopicsUnusable(_other_count(differing, settings))
        if all(status.ready for status in statuses):
            return statuses
        if asyncio.get_running_loop().time() >= deadline:
            lacking = ", ".join(s.physical for s in statuses if not s.ready)
            raise TopicsUnusable(
                f"No leader after {_LEADERS_WITHIN:g} s for: {lacking}. Are all brokers up?"
            )
        await asyncio.sleep(0.1)


def _differing(statuses: Iterable[TopicStatus]) -> list[TopicStatus]:
    return [status for status in statuses if status.partitions not in (0, status.expected)]


def _other_count(differing: list[TopicStatus], settings: Settings) -> str:
    found = ", ".join(f"{status.physical} has {status.partitions}" for status in differing)
    return (
        f"Topics at {settings.kafka.bootstrap} have another partition count than "
        f"MASTERX_KAFKA__PARTITIONS={settings.kafka.partitions}: {found}. Set it to theirs, or "
        "rebuild the topics (docs/operations.md); all of a learner must stay on one partition."
    )


async def _statuses(client: AIOKafkaAdminClient, settings: Settings) -> tuple[TopicStatus, ...]:
    # Asked for all topics, not by name: some brokers create what is asked for by name.
    found: dict[str, Any] = {entry["topic"]: entry for entry in await client.describe_topics()}
    there = {
        topic.name: found.get(physical(settings, topic.name), {}).get("partitions", [])
        for topic in catalogue(settings.kafka)
    }
    expected = _expected(settings, {len(partitions) for partitions in there.values() if partitions})
    statuses = []
    for topic in catalogue(settings.kafka):
        name = physical(settings, topic.name)
        partitions = there[topic.name]
        statuses.append(
            TopicStatus(
                name=topic.name,
                physical=name,
                summary=topic.summary,
                partitions=len(partitions),
                expected=expected,
                led=sum(1 for partition in partitions if partition["leader"] >= 0),
            )
        )
    return tuple(statuses)


def _expected(settings: Settings, counts: set[int]) -> int:
    """Partitions of every topic. `counts`: of those that exist, which keep theirs unless told."""
    if len(counts) == 1 and "partitions" not in settings.kafka.model_fields_set:
        return next(iter(counts))
    return settings.kafka.partitions


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(clients.admin(settings.kafka))
        except clients.FAILURES as error:
            raise Unavailable(
                "Kafka", settings.kafka.bootstrap, str(error), "MASTERX_KAFKA__BOOTSTRAP"
            ) from error
        yield client
