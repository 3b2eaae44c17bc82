import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.runtime.topics import CHAT, LEARNER_CHANGELOG
from app.kafka import clients
from app.kafka.admin import (
    TopicsUnusable,
    _keys_of,
    committed_offsets,
    create_topics,
    group_members,
    list_topics,
    topic_settings,
)
from app.kafka.topics import catalogue, logical, physical
from app.local.doctor import examine
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.process.errors import Unavailable
from app.settings import KafkaSettings, Settings
from tests.app.kafka.secured import REFUSED
from tests.servers import ROOT
from tests.topics import eventually

pytestmark = pytest.mark.services


def changed(settings, **kafka):
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=kafka)})


async def test_creates_every_topic_with_its_partitions_and_only_once(settings):
    assert not any(status.partitions for status in await list_topics(settings))

    first = await create_topics(settings)
    assert [status.name for status in first] == [t.name for t in catalogue(settings.kafka)]
    assert all(status.created and status.ready for status in first)
    assert {status.partitions for status in first} == {4}

    second = await create_topics(settings)
    assert all(status.ready and not status.created for status in second)


async def test_the_broker_has_the_configuration_of_the_catalogue(topics):
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.kafka.bootstrap)
    await admin.start()
    try:
        names = {physical(topics, t.name): t.config(topics.kafka) for t in catalogue(topics.kafka)}
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        )
    finally:
        await admin.close()
    seen = {}
    for answer in answers:
        for _code, _message, _kind, name, entries in answer.resources:
            seen[name] = {entry[0]: entry[1] for entry in entries}
    for name, config in names.items():
        assert config.items() <= seen[name].items(), name


async def test_another_partition_count_is_refused_with_both_numbers(topics):
    other = changed(topics, partitions=7)
    with pytest.raises(TopicsUnusable, match="PARTITIONS=7") as failure:
        await create_topics(other)
    assert f"{physical(topics, CHAT)} has 4" in str(failure.value)


async def without_chat(topics: Settings) -> None:
    """Delete a topic. Kafka says yes at once, and deletes it a moment later."""
    async with clients.admin(topics.kafka) as admin:
        await admin.delete_topics([physical(topics, CHAT)])

    async def missing() -> set[str]:
        return {t.name for t in await list_topics(topics) if not t.partitions}

    assert await eventually(missing, lambda gone: gone == {CHAT}) == {CHAT}


async def test_topics_that_exist_keep_their_count_where_none_is_set(topics):
    # Given topics of four partitions, one of them gone, and settings that name no number
    kafka = topics.kafka
    unset = KafkaSettings(bootstrap=kafka.bootstrap, topic_prefix=kafka.topic_prefix)
    settings = topics.model_copy(update={"kafka": unset})
    await without_chat(topics)
    # When they are created
    found = await create_topics(settings)
    # Then they are as the others
    assert {(t.partitions, t.expected, t.created) for t in found if t.name == CHAT} == {
        (4, 4, True)
    }
    assert {t.partitions for t in found} == {4}
    assert all(t.ready for t in found)


async def test_a_refused_count_creates_nothing(topics):
    await without_chat(topics)
    with pytest.raises(TopicsUnusable, match="PARTITIONS=7"):
        await create_topics(changed(topics, partitions=7))
    assert {t.name for t in await list_topics(topics) if not t.partitions} == {CHAT}


async def test_a_refusal_is_quoted(settings):
    with pytest.raises(TopicsUnusable, match="refused to create topics"):
        await create_topics(changed(settings, replication=9))


async def test_without_a_broker_it_says_where_it_looked(settings):
    place = f"127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(Unavailable, match=place):
        await list_topics(changed(settings, bootstrap=place))


def test_prefix_and_back(settings):
    name = physical(settings, LEARNER_CHANGELOG)
    assert name == f"{settings.kafka.topic_prefix}learner-changelog"
    assert logical(settings, name) == LEARNER_CHANGELOG


async def test_who_is_in_a_group_and_what_it_has_committed(topics):
    group = topics.worker.group_prefix
    assert await group_members(topics, group) == []
    assert await committed_offsets(topics, group) == {}
    name = physical(topics, CHAT)
    consumer = AIOKafkaConsumer(
        name,
        bootstrap_servers=topics.kafka.bootstrap,
        group_id=group,
        client_id="masterx-learner@pod-1",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        (member,) = await group_members(topics, group)
        assert member.client_id == "masterx-learner@pod-1"
        assert member.member_id
        await consumer.commit({tp: 7 for tp in consumer.assignment() if tp.partition == 1})
        assert await committed_offsets(topics, group) == {(name, 1): 7}
    finally:
        await consumer.stop()


async def test_asking_about_a_group_needs_a_broker(settings):
    away = changed(settings, bootstrap=f"127.0.0.1:{free_port('127.0.0.1')}")
    for ask in (group_members, committed_offsets):
        with pytest.raises(Unavailable):
            await ask(away, "any")


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Config segment.ms is not supported", {"segment.ms"}),
        ("segment.ms and retention.ms", {"segment.ms", "retention.ms"}),
        ("not by this policy", {"segment.ms", "retention.ms"}),
        (None, {"segment.ms", "retention.ms"}),
        ("cleanup.policy must not be compact", set()),
        ("cleanup.policy and segment.ms", set()),
    ],
)
def test_which_settings_a_refusal_is_about(message, refused):
    config = {"cleanup.policy": "compact", "segment.ms": "1", "retention.ms": "1"}
    assert _keys_of(message, config) == refused


@pytest.mark.slow
class TestManaged:
    """On an Apache Kafka whose policy refuses what MSK Serverless does."""

    async def test_topics_are_created_without_what_is_refused_and_it_is_told(self, kafka):
        settings = Settings(kafka=kafka.settings(topic_prefix="serverless."))
        created = await create_topics(settings)
        assert all(status.ready for status in created)
        wanted = {t.name: t.config(settings.kafka) for t in catalogue(settings.kafka)}
        for status in created:
            assert status.refused == {key for key in wanted[status.name] if key in REFUSED}
        on_broker = await topic_settings(settings)
        for name, config in wanted.items():
            taken = {key: value for key, value in config.items() if key not in REFUSED}
            assert taken.items() <= on_broker[name].items(), name

        found = [one for one in await examine(settings) if one.name == "topics"]
        said = [one.found for one in found if not one.fine]
        assert "serverless.chat-messages: segment.ms is 604800000, not 86400000" in said
        assert any("min.compaction.lag.ms is 0, not" in one for one in said)
        assert not any(one.blocks for one in found)

    def test_the_command_prints_a_line_for_each(self, kafka):
        settings = Settings(kafka=kafka.settings(topic_prefix="serverless.two."))
        run = subprocess.run(
            [sys.executable, "-m", "app.cli", "topics", "create"],
            env=child_environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines = run.stderr.strip().splitlines()
        configs = [topic.config(settings.kafka) for topic in catalogue(settings.kafka)]
        assert len(lines) == sum(key in REFUSED for config in configs for key in config)
        assert all(line.startswith("refused by the broker: serverless.two.") for line in lines)

    async def test_doctor_judges_topics_that_somebody_else_created(self, kafka):
        settings = Settings(kafka=kafka.settings("plain", topic_prefix="theirs."))
        names = [physical(settings, topic.name) for topic in catalogue(settings.kafka)]
        async with clients.admin(settings.kafka) as client:
            await client.create_topics([NewTopic(name, 4, 1) for name in names])
        found = [one for one in await examine(settings) if one.name == "topics" and not one.fine]
        blocking = {one.found for one in found if one.blocks}
        assert blocking == {
            f"theirs.{name}: cleanup.policy is delete, not compact"
            for name in ("user-state", "learner-changelog")
        }
        assert any("max.message.bytes is 1048588" in one.found for one in found)
        assert all(one.remedy.startswith("Change it there: ") for one in found)
