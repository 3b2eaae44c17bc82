"""No record stops a worker: a fuzzed thousand on every topic that a role reads.

The same with another seed: MASTERX_FUZZ_SEED=7 pytest tests/crash/test_fuzz.py
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random, SystemRandom

import pytest
from aiokafka import AIOKafkaProducer
from pymongo import AsyncMongoClient

from agents.runtime.ports import HistoryKind
from agents.runtime.topics import (
    CHAT,
    DEAD_LETTERS,
    EMOTIONS,
    ERASURES,
    INTERACTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
    USER_STATE,
)
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, physical
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.worker.role import roles
from tests.crash.fleet import ENTRY
from tests.crash.fuzz import TOPICS, Fuzzed, fuzzed, good, largest
from tests.crash.verdict import READS, settled
from tests.topics import Record, read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(300)]

CHAIN = ("emotion", "learner", "tutor", "push", "history")
"""In the order of the chain: once one has caught up, what it sent is there for the next."""

EACH = 100
"""Fuzzed records a topic."""

CODECS = ("gzip", "snappy", "lz4", "zstd", None)

Place = tuple[str, int, int]


def thousand(random: Random) -> dict[str, list[Fuzzed]]:
    """Fuzzed records by topic, with good ones between, and good ones last."""
    made: dict[str, list[Fuzzed]] = {}
    for topic in TOPICS:
        records = made[topic] = []
        for number in range(EACH):
            records.append(fuzzed(topic, random, number))
            if number % 5 == 0:
                records.append(good(topic, 1_000 + number))
    made[CHAT] += largest(2_000)
    for topic in TOPICS:
        made[topic] += [good(topic, 3_000 + number) for number in range(16)]
    return made


@asynccontextmanager
async def producing(settings: Settings, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        max_request_size=MAX_DEAD_LETTER_BYTES,
        **options,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(settings: Settings, records: list[Fuzzed], random: Random) -> dict[Place, Fuzzed]:
    """Write them in order, each part of them as another client would; where each stands."""
    placed: dict[Place, Fuzzed] = {}
    size = -(-len(records) // (len(CODECS) + 1))
    parts = [records[at : at + size] for at in range(0, len(records), size)]
    # At first a transaction: its end takes an offset at which no record stands.
    name = f"fuzz-{random.random()}"
    async with producing(settings, transactional_id=name) as producer, producer.transaction():
        placed |= await send(settings, producer, [one.spoken for one in parts[0]], random)
    for codec, part in zip(CODECS, parts[1:], strict=True):
        async with producing(settings, compression_type=codec) as producer:
            placed |= await send(settings, producer, part, random)
    return placed


async def send(
    settings: Settings, producer: AIOKafkaProducer, records: list[Fuzzed], random: Random
) -> dict[Place, Fuzzed]:
    deliveries = []
    for record in records:
        topic, headers = physical(settings, record.topic), list(record.headers)
        if record.key is None and record.value is None:
            # Other clients send such a record; aiokafka does in a batch only.
            batch = producer.create_batch()
            batch.append(key=None, value=None, timestamp=None, headers=headers)
            partition = random.randrange(settings.kafka.partitions)
            deliveries.append(await producer.send_batch(batch, topic, partition=partition))
        else:
            deliveries.append(
                await producer.send(topic, key=record.key, value=record.value, headers=headers)
            )
    placed = {}
    for record, delivery in zip(records, deliveries, strict=True):
        meta = await delivery
        placed[record.topic, meta.partition, meta.offset] = record
    return placed


def check_letters(letters: list[Record], placed: dict[Place, Fuzzed]) -> None:
    """Each broken record is one letter of each role that reads it, and exact; nothing else is."""
    wanted = {
        (role, *place): record
        for place, record in placed.items()
        if record.broken
        for role, topics in READS.items()
        if record.topic in topics and not record.skipped_by(role)
    }
    seen: Counter[tuple[str, str, int, int]] = Counter()
    for letter in letters:
        told = letter.document
        name = (told["role"], told["topic"], told["partition"], told["offset"])
        seen[name] += 1
        record = wanted.get(name)
        assert record is not None, f"a letter of a good record: {name} {told['reason']}"
        assert "omittedBytes" not in told
        assert letter.key == record.key, (name, record.why)
        assert decoded(told.get("valueBase64")) == record.value, (name, record.why)
        headers = tuple((header, decoded(value)) for header, value in told["rawHeaders"])
        assert headers == record.headers, (name, record.why)
        unknown = (told["error"], told["reason"]) == ("UnknownVersion", "unknown_version")
        assert unknown == record.unknown_version, (name, record.why, told["reason"])
    assert {name: count for name, count in seen.items() if count != 1} == {}
    missing = {name: wanted[name].why for name in wanted.keys() - seen.keys()}
    assert missing == {}


def decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


async def check_processed(settings: Settings, placed: dict[Place, Fuzzed]) -> None:
    """What came of each good record, in the role that comes last for its topic."""
    fine: dict[str, dict[Place, Fuzzed]] = defaultdict(dict)
    for place, record in placed.items():
        if not record.broken and not record.tombstone:
            fine[record.topic][place] = record
    assert all(len(fine[topic]) > 30 for topic in TOPICS)
    users = {topic: {record.user for record in fine[topic].values()} for topic in TOPICS}
    states = await read_all(settings, USER_STATE)

    read = {
        (each["sourcePartition"], each["sourceOffset"])
        for each in (record.document for record in await read_all(settings, EMOTIONS) if
                     record.value and record.value.startswith(b'{"schemaVersion":1'))
        if each.get("modelVersion")
    }  # fmt: skip
    assert read == {place[1:] for place in fine[CHAT]}
    told = {record.key for record in states if record.value is not None}
    for topic in (CHAT, EMOTIONS, INTERACTIONS):
        assert {user.encode() for user in users[topic]} - told == set(), topic
    forgotten = {record.key for record in states if record.value is None}
    assert {user.encode() for user in users[ERASURES]} - forgotten == set()
    ended = {
        record.key
        for record in await read_all(settings, TUTOR_REPLIES)
        if record.headers.get("schema") == b"TutorReplied/1"
    }
    assert {user.encode() for user in users[TUTOR_REQUESTS]} - ended == set()
    async with connect(settings.redis, "operator") as redis:
        log = PushLog(redis, settings.redis)
        # Recommendations wait for the state that they were made from: there is none.
        for topic in set(roles()["push"].topics) - {ERASURES, RECOMMENDATIONS}:
            for user in users[topic]:
                assert (await log.head(user)).offset > 0, (topic, user)
    ids = {
        record.document["eventId"]
        for topic in set(roles()["history"].topics) - {ERASURES}
        for record in fine[topic].values()
    }
    client: AsyncMongoClient = AsyncMongoClient(settings.mongo.url)
    try:
        database = client[settings.mongo.database]
        kept = {
            document["eventId"]
            for kind in HistoryKind
            async for document in database[kind].find({}, {"eventId": 1})
        }
    finally:
        await client.close()
    assert ids - kept == set()


async def test_a_fuzzed_thousand_stops_no_worker(topics: Settings, tmp_path: Path) -> None:
    seed = int(os.environ.get("MASTERX_FUZZ_SEED") or SystemRandom().randrange(2**32))
    print(f"MASTERX_FUZZ_SEED={seed}")
    random = Random(seed)
    made = thousand(random)
    assert sum(len(records) for records in made.values()) >= 1_000
    # Given a worker of every role
    workers = [
        WorkerProcess(role, topics, tmp_path / f"{role}.log", module=ENTRY) for role in CHAIN
    ]
    try:
        for worker in workers:
            worker.spawn()  # they start while the records are written
        # When everything comes that Kafka takes
        placed: dict[Place, Fuzzed] = {}
        for records in made.values():
            placed |= await write(topics, records, random)
        # Then each role commits all of it, and lives
        done = asyncio.create_task(settled(topics, *CHAIN, within=200))
        while not done.done():
            await asyncio.wait({done}, timeout=0.5)
            for worker in workers:
                assert worker.exit_code is None, f"{worker.role} ended:\n{worker.tail()}"
        done.result()
        check_letters(await read_all(topics, DEAD_LETTERS), placed)
        await check_processed(topics, placed)
        assert [await worker.stop() for worker in workers] == [0] * len(workers)
    except AssertionError as failure:
        failure.add_note(f"MASTERX_FUZZ_SEED={seed}")
        raise
    finally:
        for worker in workers:
            worker.kill()
