"""A Redis of this directory's own, so that tests may empty, stop and break it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import redis.asyncio as redis

from app.embedded import RedisServer
from app.settings import RedisSettings
from app.stores.pushlog import PushLog, redis_client


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[redis.Redis]:
    await redis_server.start()
    client = redis_client(RedisSettings(url=redis_server.endpoint))
    yield client
    await client.aclose()


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    return RedisSettings(url=redis_server.endpoint, prefix=f"t{uuid4().hex[:8]}", log_length=5)


@pytest.fixture
def push_log(client: redis.Redis, redis_settings: RedisSettings) -> PushLog:
    return PushLog(client, redis_settings)
