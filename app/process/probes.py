"""Does a service answer? Each probe returns when it does.

Errors:
    Unavailable     names the service, where it was looked for, why, and what to do
    Misconfigured   it answers, and does not take this client: names the setting
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiokafka.errors
import redis.exceptions
from pymongo.errors import PyMongoError

from app.kafka import clients
from app.kafka.settings import KafkaSettings
from app.mongo import client as mongo
from app.mongo.settings import MongoSettings
from app.process.errors import Unavailable
from app.redis.client import connect, rejection
from app.redis.settings import RedisSettings


async def probe_kafka(settings: KafkaSettings, within: float = 5.0) -> None:
    """Ask a broker for its metadata. Raises Unavailable, Misconfigured."""
    try:
        async with asyncio.timeout(within):
            # First by itself: it says why, where a client of aiokafka's only says that.
            await clients.check(settings, within)
            async with clients.admin(settings, within=within) as client:
                await client.describe_cluster()
    except (aiokafka.errors.KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(
            "Kafka", settings.bootstrap, _reason(error), "MASTERX_KAFKA__BOOTSTRAP"
        ) from error


async def probe_redis(settings: RedisSettings, within: float = 5.0) -> None:
    """PING. Raises Unavailable, Misconfigured."""
    client = connect(settings, "operator", timeout=within)
    try:
        # Redis says LOADING until its file is read; that is an error here, as it should be.
        async with asyncio.timeout(within):
            await client.ping()
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        if (refusal := rejection(settings, error)) is not None:
            raise refusal from error
        raise Unavailable("Redis", settings.url, _reason(error), "MASTERX_REDIS__URL") from error
    finally:
        await client.aclose()


async def probe_mongo(settings: MongoSettings, within: float = 5.0) -> None:
    """Ping. Raises Unavailable, Misconfigured."""
    # PyMongo says why only at the end of its own time, so that has to be the first to end.
    client = mongo.connect(settings, find_within=0.8 * within)
    try:
        async with asyncio.timeout(within):
            await client.admin.command("ping")
    except (PyMongoError, OSError, TimeoutError) as error:
        if (refusal := mongo.rejection(settings, error)) is not None:
            raise refusal from error
        raise Unavailable("MongoDB", settings.url, _reason(error), mongo.SETTING) from error
    finally:
        await client.close()


async def until(
    probe: Callable[[], Awaitable[None]],
    within: float,
    every: float = 0.05,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Repeat a probe until it succeeds; its last Unavailable after `within` seconds.

    Gives up at once when `alive` says that waiting is in vain.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        try:
            return await probe()
        except Unavailable:
            if not alive() or loop.time() >= deadline:
                raise
        await asyncio.sleep(every)


def _reason(error: BaseException) -> str:
    text = str(error).split("\n")[0].split(", Timeout:")[0].strip()
    return text[:200] or type(error).__name__
