"""Fixtures for tests against real servers.

`services`  the three servers, started once; a test that stops one starts it again
`settings`  Settings of a namespace that no other test shares; topics not yet created
`topics`    the same Settings, topics created

A worker or gateway as a child process gets them by `app.local.environment.child_environment`.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import AsyncMongoClient

from app.kafka.admin import create_topics
from app.kafka.topics import catalogue, physical
from app.local.embedded import free_port
from app.settings import Settings
from tests.servers import Services, choose

# A shell ignores it for what runs in its background, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, not wrong.
hypothesis.settings.register_profile("masterx", deadline=None)
hypothesis.settings.load_profile("masterx")


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    chosen = choose(tmp_path_factory.mktemp("services"))

    async def start() -> None:
        await asyncio.gather(*(service.start() for service in chosen))

    async def stop() -> None:
        # A server that was there before us stays; ours end with the session.
        await asyncio.gather(*(s.stop() for s in chosen if getattr(s, "pid", None)))

    try:
        asyncio.run(start())
        yield chosen
    finally:
        asyncio.run(stop())


@pytest_asyncio.fixture
async def settings(services: Services, tmp_path: Path) -> AsyncIterator[Settings]:
    namespace = f"t{uuid.uuid4().hex[:12]}"
    # Whatever one test stopped, the next one finds running.
    for service in services:
        await service.start()
    base = Settings()
    chosen = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(
                update={
                    "bootstrap": services.kafka.endpoint,
                    "topic_prefix": f"{namespace}.",
                    "partitions": 4,
                }
            ),
            "worker": base.worker.model_copy(update={"group_prefix": namespace}),
            "redis": base.redis.model_copy(
                update={"url": services.redis.endpoint, "prefix": namespace}
            ),
            "mongo": base.mongo.model_copy(
                update={"url": services.mongo.endpoint, "database": namespace}
            ),
            "gateway": base.gateway.model_copy(update={"port": free_port("127.0.0.1")}),
            "embedded": base.embedded.model_copy(
                update={"enabled": False, "data_dir": tmp_path / "masterx"}
            ),
        }
    )
    yield chosen
    await _remove(chosen)


@pytest_asyncio.fixture
async def topics(settings: Settings) -> Settings:
    await create_topics(settings)
    return settings


async def _remove(settings: Settings) -> None:
    """Leave servers that outlive the session as they were found."""
    names = [physical(settings, topic.name) for topic in catalogue(settings.kafka)]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        await admin.delete_topics([name for name in names if name in present])
    finally:
        await admin.close()
    async with redis.asyncio.from_url(settings.redis.url) as client:
        async for key in client.scan_iter(match=f"{settings.redis.prefix}*", count=1000):
            await client.delete(key)
    mongo: AsyncMongoClient = AsyncMongoClient(settings.mongo.url)
    try:
        await mongo.drop_database(settings.mongo.database)
    finally:
        await mongo.close()
