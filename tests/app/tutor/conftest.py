"""A Redis of this directory's own, and routers to endpoints on loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
import redis.asyncio as redis

from app.local.embedded import RedisServer
from app.redis.client import connect
from app.settings import RedisSettings, Settings, WorkerSettings
from app.tutor import metrics
from app.tutor.config import TimeoutSettings, TutorSettings
from app.tutor.providers.router import Router, build
from app.tutor.store import TutorStore
from tests.app.tutor.sse import Behaviour, Endpoint

# Generous beside what a loaded machine takes for loopback, short enough to run out of often.
TIMEOUTS = TimeoutSettings(overall=40, connect=10, first_text=4, stall=4, tail=4, store=20)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("tutor-redis"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def client(
    redis_server: RedisServer, redis_settings: RedisSettings
) -> AsyncIterator[redis.Redis]:
    await redis_server.start()
    client = connect(redis_settings, "accounts", timeout=TIMEOUTS.store)
    yield client
    await client.aclose()


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    return RedisSettings(url=redis_server.endpoint, prefix=f"t{uuid4().hex[:8]}")


@pytest.fixture
def store(client: redis.Redis, redis_settings: RedisSettings) -> TutorStore:
    return TutorStore(client, redis_settings, 5)


@pytest.fixture
async def nowhere(redis_settings: RedisSettings) -> AsyncIterator[redis.Redis]:
    """A client of a Redis that is not there."""
    client = connect(redis_settings.model_copy(update={"url": "redis://127.0.0.1:1"}), "accounts")
    yield client
    await client.aclose()


class Bench:
    """Makes endpoints, and routers to them; ends them all."""

    def __init__(self, client: redis.Redis, redis_settings: RedisSettings) -> None:
        self.client = client
        self.redis_settings = redis_settings
        self.stack = AsyncExitStack()

    async def endpoint(self, behaviour: Behaviour, *script: Behaviour) -> Endpoint:
        endpoint = Endpoint(behaviour)
        endpoint.script.extend(script)
        return await self.stack.enter_async_context(endpoint)

    async def router(self, providers: dict[str, Endpoint], **tutor: object) -> Router:
        """To these providers, asked in this order for as long as they are well.

        `each` holds fields of all providers, `own` those of one by its name; the rest is the
        tutor's settings.
        """
        each, own = tutor.pop("each", {}), tutor.pop("own", {})
        listed = [
            {
                "name": name,
                "base_url": endpoint.url,
                "model": "m",
                # So sure of itself that no sample departs from it.
                "prior": {"success": 0.9 - 0.1 * place, "weight": 1e7},
                **each,
                **own.get(name, {}),
            }
            for place, (name, endpoint) in enumerate(providers.items())
        ]
        tutor["choice"] = {"pooling": 1e7, **tutor.get("choice", {})}
        fields = {"timeouts": TIMEOUTS, "providers": listed, **tutor}
        settings = Settings(
            redis=self.redis_settings,
            tutor=TutorSettings.model_validate(fields),
            # No worker runs here; some of these routers are more patient than one may be.
            worker=WorkerSettings(stall_timeout=600),
        )
        router = build(settings, self.client, random.Random(1))
        self.stack.push_async_callback(router.close)
        return router


@pytest.fixture
async def bench(client: redis.Redis, redis_settings: RedisSettings) -> AsyncIterator[Bench]:
    made = Bench(client, redis_settings)
    async with made.stack:
        yield made
    # Every router here has providers of its own; reading a family costs all its labels.
    for family in (metrics.ATTEMPTS, metrics.STREAMS, metrics.TOKENS):
        family.clear()
