"""Servers of this directory's own, so that tests may empty, stop and break it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import redis.asyncio as redis
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.local.embedded import DocumentStore, RedisServer
from app.mongo.history import HistoryStore
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import MongoSettings, RedisSettings
from tests.servers import Remote, Server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[redis.Redis]:
    await redis_server.start()
    client = connect(RedisSettings(url=redis_server.endpoint), "push")
    yield client
    await client.aclose()


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    return RedisSettings(url=redis_server.endpoint, prefix=f"t{uuid4().hex[:8]}", log_length=5)


@pytest.fixture
def push_log(client: redis.Redis, redis_settings: RedisSettings) -> PushLog:
    return PushLog(client, redis_settings)


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server named in the environment, or an embedded one."""
    named = os.environ.get("MASTERX_MONGO__URL")
    server: Server = (
        Remote("mongo", named) if named else DocumentStore(tmp_path_factory.mktemp("mongo"))
    )
    asyncio.run(server.start())
    yield server
    if not named:
        asyncio.run(server.stop())


@pytest.fixture
async def mongo_settings(mongo_server: Server) -> AsyncIterator[MongoSettings]:
    await mongo_server.start()
    settings = MongoSettings(url=mongo_server.endpoint, database=f"t{uuid4().hex[:8]}")
    yield settings
    async with AsyncMongoClient(settings.url) as client:
        await client.drop_database(settings.database)


@pytest.fixture
async def history(mongo_settings: MongoSettings) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(mongo_settings)
    yield store
    await store.close()


@pytest.fixture
async def database(mongo_settings: MongoSettings) -> AsyncIterator[AsyncDatabase]:
    async with AsyncMongoClient(mongo_settings.url) as client:
        yield client[mongo_settings.database]
