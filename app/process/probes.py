"""Does a service answer? Each probe returns when it does and raises Unavailable when not.

Errors:
    Unavailable   names the service, where it was looked for, why, and what to do
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiokafka.errors
import redis.exceptions
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from app.process.errors import OperatorError
from app.redis.client import connect
from app.settings import RedisSettings


class Unavailable(OperatorError):
    """A service that does not answer."""

    def __init__(self, service: str, endpoint: str, reason: str, setting: str) -> None:
        self.service = service
        self.endpoint = without_password(endpoint)
        self.reason = reason
        super().__init__(
            f"{service} does not answer at {self.endpoint} ({reason}). "
            f"Start it there, or name another place in {setting}."
        )


def without_password(endpoint: str) -> str:
    """A URL without its credentials, fit for a log or a message."""
    if "@" not in endpoint:
        return endpoint
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def probe_kafka(bootstrap: str, within: float = 5.0) -> None:
    """Ask a broker for its metadata. Raises Unavailable."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=max(1, int(within * 1000))
    )
    try:
        async with asyncio.timeout(within):
            await client.start()
            await client.describe_cluster()
    except (aiokafka.errors.KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("Kafka", bootstrap, _reason(error), "MASTERX_KAFKA__BOOTSTRAP") from error
    finally:
        await client.close()


async def probe_redis(url: str, within: float = 5.0) -> None:
    """PING. Raises Unavailable."""
    client = connect(RedisSettings(url=url), "operator", timeout=within)
    try:
        # Redis says LOADING until its file is read; that is an error here, as it should be.
        async with asyncio.timeout(within):
            await client.ping()
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        raise Unavailable("Redis", url, _reason(error), "MASTERX_REDIS__URL") from error
    finally:
        await client.aclose()


async def probe_mongo(url: str, within: float = 5.0) -> None:
    """Ping. Raises Unavailable."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        url, serverSelectionTimeoutMS=int(within * 1000)
    )
    try:
        async with asyncio.timeout(within):
            await client.admin.command("ping")
    except (PyMongoError, OSError, TimeoutError) as error:
        raise Unavailable("MongoDB", url, _reason(error), "MASTERX_MONGO__URL") from error
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
