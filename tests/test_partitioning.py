"""Every producer puts a learner into the same partition: aiokafka's and librdkafka's alike.

librdkafka decides a record's partition only once it knows the topic's metadata, so it
is asked on a real broker; what it says is compared with aiokafka's pure partitioner.
"""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2
from confluent_kafka import Producer
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from agents.runtime.topics import CHAT
from app.kafka.topics import physical
from app.settings import Settings

USER_IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128)
# Java's own figures (Kafka's UtilsTest.testMurmur2): what all clients must agree with.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def ours(key: bytes, partitions: int) -> int:
    """The partition that our own producers choose."""
    everywhere = list(range(partitions))
    return int(DefaultPartitioner()(key, everywhere, everywhere))


def theirs(settings: Settings, keys: list[bytes]) -> list[int]:
    """The partitions that librdkafka chose for records that the broker took."""
    chosen: dict[int, int] = {}
    failed: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
        }
    )
    for position, key in enumerate(keys):

        def delivered(error, message, position=position) -> None:
            if error is not None:
                failed.append(str(error))
            else:
                chosen[position] = message.partition()

        producer.produce(physical(settings, CHAT), key=key, value=b"{}", on_delivery=delivered)
    assert producer.flush(30) == 0
    assert not failed
    return [chosen[position] for position in range(len(keys))]


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_our_hash_is_javas(key, hashed):
    assert murmur2(key) == hashed % 2**32


@given(USER_IDS, st.integers(1, 64))
def test_a_learner_always_has_the_same_partition(user_id, partitions):
    partition = ours(user_id.encode(), partitions)

    assert 0 <= partition < partitions
    assert partition == (murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions


@pytest.mark.services
def test_librdkafka_chooses_the_same_partition(topics: Settings):
    @profile(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(USER_IDS, min_size=50, max_size=200, unique=True))
    def agree(user_ids: list[str]) -> None:
        keys = [user_id.encode() for user_id in user_ids]

        assert theirs(topics, keys) == [ours(key, topics.kafka.partitions) for key in keys]

    agree()


@pytest.mark.services
def test_the_learners_are_spread(topics: Settings):
    keys = [f"learner-{number}".encode() for number in range(1_000)]
    count = topics.kafka.partitions
    found = theirs(topics, keys)

    assert {found.count(partition) > 1_000 / count / 2 for partition in range(count)} == {True}
