"""What a release left behind in Kafka, Redis and MongoDB: taken from there, and put back.

A folder holds
    about.json         what the release was asked to do, and what a test may expect
    kafka.json.gz      each topic's records in order, and what each group had committed
    redis.json.gz      every key by DUMP, with the milliseconds that it had to live
    mongo.json.gz      every document, as MongoDB's canonical extended JSON

Names of topics, groups, keys are kept without their prefixes, so that a test restores them into a
namespace of its own. Times to live count from the restoring, as if it had been written just now;
all other times stay.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from bson import json_util
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from app.kafka.admin import committed_offsets
from app.kafka.topics import logical, physical
from app.settings import Settings
from schemas.base import now_ms

_STORES = ("kafka", "redis", "mongo")
_CANONICAL = json_util.CANONICAL_JSON_OPTIONS
_PASSING = ("beat", "beats")
"""Second part of the Redis keys that say who is alive: nobody is."""


@dataclass(frozen=True, slots=True)
class Written:
    """All of it. `about` is free; the rest is as the class methods make it."""

    about: dict[str, Any]
    kafka: dict[str, Any]
    redis: dict[str, Any]
    mongo: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        (folder / "about.json").write_text(json.dumps(self.about, indent=1, sort_keys=True) + "\n")
        for store in _STORES:
            text = json.dumps(getattr(self, store), sort_keys=True, separators=(",", ":"))
            # Without the time: the same content gives the same bytes.
            packed = gzip.compress(text.encode(), compresslevel=9, mtime=0)
            (folder / f"{store}.json.gz").write_bytes(packed)

    @classmethod
    def load(cls, folder: Path) -> Written:
        """Read what `save` wrote."""
        stores = {
            store: json.loads(gzip.decompress((folder / f"{store}.json.gz").read_bytes()))
            for store in _STORES
        }
        return cls(json.loads((folder / "about.json").read_text()), **stores)

    def documents(self, collection: str) -> list[dict[str, Any]]:
        """A collection's documents, as PyMongo would give them."""
        return [json_util.loads(json.dumps(one)) for one in self.mongo["collections"][collection]]

    def records(self, topic: str) -> list[dict[str, Any]]:
        """A topic's records, keys and values as bytes."""
        return [
            one | {"key": _bytes(one["key"]), "value": _bytes(one["value"])}
            for one in self.kafka["topics"][topic]
        ]


async def take(settings: Settings, about: dict[str, Any], groups: Iterable[str]) -> Written:
    """Everything that stands in the three stores under these settings' prefixes.

    groups: names of consumer groups, without `worker.group_prefix` and its hyphen.
    """
    return Written(
        about,
        await _take_kafka(settings, groups),
        await _take_redis(settings),
        await _take_mongo(settings),
    )


async def restore(
    written: Written, settings: Settings, rewound: Mapping[str, Collection[int]] | None = None
) -> None:
    """Put it all back; the topics are there and empty.

    rewound: partitions of a group whose commits are one record back, as when a worker was killed.
    """
    await _restore_records(written, settings)
    await _restore_commits(written, settings, rewound or {})
    await _restore_redis(written, settings)
    await _restore_mongo(written, settings)


# -- Kafka -------------------------------------------------------------------------------------


async def _take_kafka(settings: Settings, groups: Iterable[str]) -> dict[str, Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    topics: dict[str, list[dict[str, Any]]] = {}
    try:
        names = sorted(n for n in await consumer.topics() if not n.startswith("_"))
        for name in names:
            await consumer._client._wait_on_metadata(name)
            tps = [TopicPartition(name, p) for p in consumer.partitions_for_topic(name) or ()]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            found: list[Any] = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
            topics[logical(settings, name)] = [
                {
                    "partition": one.partition,
                    "offset": one.offset,
                    "timestamp": one.timestamp,
                    "key": _text(one.key),
                    "value": _text(one.value),
                    "headers": [[name, _text(value)] for name, value in one.headers],
                }
                for one in sorted(found, key=lambda r: (r.partition, r.offset))
            ]
    finally:
        await consumer.stop()
    committed = {}
    for group in groups:
        places = await committed_offsets(settings, f"{settings.worker.group_prefix}-{group}")
        committed[group] = [
            [logical(settings, topic), partition, offset]
            for (topic, partition), offset in sorted(places.items())
        ]
    return {"topics": topics, "committed": committed}


async def _restore_records(written: Written, settings: Settings) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        for topic in written.kafka["topics"]:
            records = written.records(topic)
            sent = [
                await producer.send(
                    physical(settings, topic),
                    key=one["key"],
                    value=one["value"],
                    partition=one["partition"],
                    timestamp_ms=one["timestamp"],
                    headers=[(name, _bytes(value)) for name, value in one["headers"]],
                )
                for one in records
            ]
            for one, placed in zip(records, await asyncio.gather(*sent), strict=True):
                place = (one["partition"], one["offset"])
                assert (placed.partition, placed.offset) == place, f"{topic}: {placed}, not {place}"
    finally:
        await producer.stop()


async def _restore_commits(
    written: Written, settings: Settings, rewound: Mapping[str, Collection[int]]
) -> None:
    for group, places in written.kafka["committed"].items():
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap,
            group_id=f"{settings.worker.group_prefix}-{group}",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            offsets = {
                TopicPartition(physical(settings, topic), partition): max(
                    0, offset - (partition in rewound.get(group, ()))
                )
                for topic, partition, offset in places
            }
            consumer.assign(list(offsets))
            await consumer.commit(offsets)
        finally:
            await consumer.stop()


# -- Redis -------------------------------------------------------------------------------------


async def _take_redis(settings: Settings) -> dict[str, Any]:
    found = {}
    async with Redis.from_url(settings.redis.url) as client:
        async for key in client.scan_iter(match=f"{settings.redis.prefix}:*"):
            name = key.decode().removeprefix(settings.redis.prefix)
            if name.split(":")[1] in _PASSING:
                continue
            found[name] = [await client.pttl(key), _text(await client.dump(key))]
    return found


async def _restore_redis(written: Written, settings: Settings) -> None:
    async with Redis.from_url(settings.redis.url) as client:
        for name, (to_live, dumped) in written.redis.items():
            await client.restore(settings.redis.prefix + name, max(0, to_live), _bytes(dumped))


# -- MongoDB -----------------------------------------------------------------------------------


async def _take_mongo(settings: Settings) -> dict[str, Any]:
    client: AsyncMongoClient = AsyncMongoClient(settings.mongo.url, tz_aware=True)
    try:
        database = client[settings.mongo.database]
        collections = {}
        for name in sorted(await database.list_collection_names()):
            documents = [one async for one in database[name].find()]
            documents.sort(key=lambda one: str(one["_id"]))
            collections[name] = json.loads(json_util.dumps(documents, json_options=_CANONICAL))
    finally:
        await client.close()
    return {"taken": now_ms(), "collections": collections}


async def _restore_mongo(written: Written, settings: Settings) -> None:
    since = timedelta(milliseconds=now_ms() - written.mongo["taken"])
    client: AsyncMongoClient = AsyncMongoClient(settings.mongo.url)
    try:
        database = client[settings.mongo.database]
        for name in written.mongo["collections"]:
            documents = written.documents(name)
            for one in documents:
                if "expiresAt" in one:
                    one["expiresAt"] += since
            if documents:
                await database[name].insert_many(documents)
    finally:
        await client.close()


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
