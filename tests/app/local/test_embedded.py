import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient

from app.local.embedded import (
    Broker,
    DocumentStore,
    RedisServer,
    ServiceFailed,
    free_port,
    port_taken,
)
from app.process.errors import Unavailable, without_password
from app.process.probes import probe_kafka, probe_mongo, probe_redis
from app.settings import KafkaSettings, MongoSettings, RedisSettings

pytestmark = pytest.mark.services


@pytest.mark.parametrize("kind", [Broker, RedisServer, DocumentStore])
async def test_start_returns_when_it_answers_and_stop_leaves_nothing(kind, tmp_path):
    service = kind(tmp_path)
    await service.start()
    try:
        assert service.port != 0
        assert port_taken("127.0.0.1", service.port)
        process = psutil.Process(service.pid)
        listening = {c.laddr.ip for c in process.net_connections("tcp") if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}, "a service binds loopback only"
    finally:
        await service.stop()
    assert service.pid is None
    assert not process.is_running()
    assert not port_taken("127.0.0.1", service.port)


async def test_the_broker_keeps_records_and_counts_over_a_restart(tmp_path):
    broker = Broker(tmp_path)
    await broker.start()
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.endpoint)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 3, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=broker.endpoint) as producer:
            await producer.send_and_wait("kept", b"value", key=b"key", partition=2)

        await broker.restart()

        consumer = AIOKafkaConsumer(bootstrap_servers=broker.endpoint, auto_offset_reset="earliest")
        async with consumer:
            consumer.assign([TopicPartition("kept", 2)])
            await consumer.seek_to_beginning()
            record = await consumer.getone()
            assert (record.key, record.value, record.offset) == (b"key", b"value", 0)
            assert consumer.partitions_for_topic("kept") == {0, 1, 2}
    finally:
        await broker.stop()


async def test_redis_keeps_what_it_was_given_over_a_restart(tmp_path):
    server = RedisServer(tmp_path)
    await server.start()
    try:
        async with redis.asyncio.from_url(server.endpoint) as client:
            await client.set("kept", "value")
        await server.restart()
        async with redis.asyncio.from_url(server.endpoint) as client:
            assert await client.get("kept") == b"value"
    finally:
        await server.stop()


async def test_the_document_store_keeps_what_it_was_given_over_a_restart(tmp_path):
    store = DocumentStore(tmp_path)
    await store.start()
    try:
        for round_ in range(2):
            client = AsyncMongoClient(store.endpoint)
            if round_ == 0:
                await client.history.events.insert_one({"_id": "kept", "n": 1})
                await store.restart()
            else:
                assert await client.history.events.find_one({"_id": "kept"}) == {
                    "_id": "kept",
                    "n": 1,
                }
            await client.close()
    finally:
        await store.stop()


async def test_a_taken_port_is_named_with_what_to_do(tmp_path):
    first = RedisServer(tmp_path / "first")
    await first.start()
    try:
        second = RedisServer(tmp_path / "second", port=first.port)
        with pytest.raises(ServiceFailed, match=f"redis: port {first.port} is already in use"):
            await second.start()
    finally:
        await first.stop()


async def test_a_service_that_dies_at_start_shows_the_end_of_its_log(tmp_path):
    class Misconfigured(RedisServer):
        def _command(self, executable):
            return [*super()._command(executable), "--no-such-option", "yes"]

    with pytest.raises(ServiceFailed, match="ended at start with status 1") as failure:
        await Misconfigured(tmp_path, port=free_port("127.0.0.1")).start()
    assert "no-such-option" in str(failure.value)


async def test_a_missing_wheel_says_what_to_install(tmp_path):
    class NotInstalled(Broker):
        @property
        def executable(self):
            return tmp_path / "nowhere" / "noida-db"

    with pytest.raises(ServiceFailed, match="pip install noida-db"):
        await NotInstalled(tmp_path).start()


def test_children_end_with_a_parent_that_was_killed(tmp_path):
    # Given a process that started a Redis
    program = f"""
import asyncio, time
from pathlib import Path
from app.local.embedded import RedisServer
server = RedisServer(Path({str(tmp_path)!r}))
asyncio.run(server.start())
print(server.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    # When it is killed without a chance to clean up
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    # Then the Redis ends by itself
    child.wait(timeout=30)


@pytest.mark.parametrize(
    ("probe", "service", "setting"),
    [
        (probe_kafka, KafkaSettings(bootstrap="127.0.0.1:1"), "MASTERX_KAFKA__BOOTSTRAP"),
        (probe_redis, RedisSettings(url="redis://:secret@127.0.0.1:1/0"), "MASTERX_REDIS__URL"),
        (probe_mongo, MongoSettings(url="mongodb://me:secret@127.0.0.1:1"), "MASTERX_MONGO__URL"),
    ],
)
async def test_a_probe_says_who_where_and_what_to_do(probe, service, setting):
    with pytest.raises(Unavailable) as failure:
        await probe(service, within=1)
    assert "127.0.0.1:1" in str(failure.value)
    assert setting in str(failure.value)
    assert "secret" not in str(failure.value)


def test_a_url_is_shown_without_its_password():
    assert without_password("redis://u:p@h:1/0") == "redis://h:1/0"
    assert without_password("h:1,i:2") == "h:1,i:2"
    assert without_password("mongodb://u:p@h:1,i:2/db") == "mongodb://h:1,i:2/db"
    assert without_password("redis://u:p/w?d@h:1/0") == "redis://h:1/0", "nobody escaped it"
    assert without_password("redis://h:1/0?password=p&db=2") == "redis://h:1/0?password=***&db=2"
