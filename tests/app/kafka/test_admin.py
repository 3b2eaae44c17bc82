import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.runtime.topics import CHAT, LEARNER_CHANGELOG
from app.kafka.admin import (
    TopicsUnusable,
    committed_offsets,
    create_topics,
    group_members,
    list_topics,
)
from app.kafka.topics import catalogue, logical, physical
from app.local.embedded import free_port
from app.process.errors import Unavailable

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
