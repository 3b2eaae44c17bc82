"""Is the gateway alive, can it take messages, and is everything ready that it leads to?"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateway.intake.event_log import EventLog
from app.gateway.process import metrics
from app.kafka.admin import list_topics
from app.process.errors import OperatorError, without_password
from app.process.probes import probe_mongo
from app.redis import heartbeats
from app.settings import Settings
from app.worker.role import roles as registered_roles

_TICK: Final = 0.25
_WINDOW: Final = 40
"""Ticks over which the worst loop lag is told: ten seconds."""
_WITHIN: Final = 2.0
"""Seconds in which a dependency has to answer."""
_FRESH: Final = 1.0
"""Seconds that an answer is kept: anyone may ask as often as they like."""


class LoopLag:
    """How late the event loop comes to what is due; the worst of the last ten seconds."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=_WINDOW)
        self._ticked_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    @property
    def worst(self) -> float:
        """Seconds."""
        return max(self._lags, default=0.0)

    @property
    def silent(self) -> float:
        """Seconds since the loop was last seen to run; for other threads."""
        return time.monotonic() - self._ticked_at

    def open(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._measure(), name="loop-lag")

    async def close(self) -> None:
        """End measuring."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._ticked_at = time.monotonic()
            self._lags.append(max(0.0, loop.time() - due))
            metrics.LOOP_LAG_SECONDS.set(self.worst)


class _Kept:
    """An answer that is asked for again once it is older than `_FRESH` seconds."""

    def __init__(self, ask: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._answer: dict[str, Any] = {}
        self._answered_at = float("-inf")

    async def get(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() - self._answered_at > _FRESH:
                self._answer = await self._ask()
                self._answered_at = loop.time()
            return self._answer

    def forget(self) -> None:
        self._answered_at = float("-inf")


class Readiness:
    """Asks the dependencies and the worker roles how they are.

    A gateway is ready to take messages with Kafka and Redis. What else a message needs
    later waits in Kafka; a gateway taken out of service would not bring it back.
    """

    def __init__(
        self,
        settings: Settings,
        events: EventLog,
        redis: Redis,
    ) -> None:
        self._settings = settings
        self._events = events
        self._redis = redis
        self._needed = _Kept(self._ask_needed)
        self._others = _Kept(self._ask_others)

    async def ready(self, *, roles: bool = False) -> bool:
        """Whether messages can be taken; with `roles` also whether everything behind is ready."""
        if roles:
            return bool((await self.report())["allReady"])
        return _all_ready(await self._needed.get())

    async def report(self) -> dict[str, Any]:
        """How everything is, at most a second old.

        `{"ready": bool, "allReady": bool, "dependencies": {...}, "roles": {...}}`
        """
        needed, others = await asyncio.gather(self._needed.get(), self._others.get())
        ready = _all_ready(needed)
        mongo, roles = others["mongo"], others["roles"]
        return {
            "ready": ready,
            "allReady": ready and mongo["ready"] and _all_ready(roles),
            "dependencies": {**needed, "mongo": mongo},
            "roles": roles,
        }

    def forget(self) -> None:
        """Ask again next time."""
        self._needed.forget()
        self._others.forget()

    async def _ask_needed(self) -> dict[str, Any]:
        settings = self._settings
        kafka, redis = await asyncio.gather(
            self._dependency(settings.kafka.bootstrap, self._kafka),
            self._dependency(settings.redis.url, self._ping_redis),
        )
        return {"kafka": kafka, "redis": redis}

    async def _ask_others(self) -> dict[str, Any]:
        mongo, roles = await asyncio.gather(
            self._dependency(self._settings.mongo.url, self._ping_mongo), self._roles()
        )
        return {"mongo": mongo, "roles": roles}

    async def _dependency(
        self, endpoint: str, ask: Callable[[], Awaitable[object]]
    ) -> dict[str, Any]:
        trouble: str | None = None
        try:
            async with asyncio.timeout(_WITHIN):
                await ask()
        except TimeoutError:
            trouble = f"no answer within {_WITHIN:g} s"
        except OperatorError as error:
            trouble = str(error)
        except (KafkaError, RedisError, OSError) as error:
            trouble = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        answer: dict[str, Any] = {"ready": trouble is None, "at": without_password(endpoint)}
        return answer if trouble is None else answer | {"detail": trouble}

    async def _kafka(self) -> None:
        topics = await list_topics(self._settings)
        missing = [topic.physical for topic in topics if not topic.ready]
        if missing:
            raise OperatorError(
                f"topics not usable: {', '.join(missing)}. Run `masterx topics create`; "
                "`masterx topics list` says how they stand."
            )
        if self._events.trouble is not None:
            raise OperatorError(self._events.trouble)

    async def _ping_redis(self) -> None:
        await self._redis.ping()

    async def _ping_mongo(self) -> None:
        await probe_mongo(self._settings.mongo, within=_WITHIN)

    async def _roles(self) -> dict[str, dict[str, Any]]:
        try:
            async with asyncio.timeout(_WITHIN):
                beats = await heartbeats.roles(self._redis, self._settings.redis)
        except (RedisError, OSError, TimeoutError):
            beats = {}
        return {role: _role(beats.get(role, [])) for role in registered_roles()}


def _all_ready(each: dict[str, Any]) -> bool:
    return all(one["ready"] for one in each.values())


def _role(beats: list[dict[str, Any]]) -> dict[str, Any]:
    """Ready with one instance that is; otherwise told as the first one that is not."""
    if not beats:
        return {"ready": False, "state": "absent", "detail": "no worker", "instances": []}
    shown = next((beat for beat in beats if beat["state"] == "ready"), beats[0])
    return {
        "ready": shown["state"] == "ready",
        "state": shown["state"],
        "detail": shown["detail"],
        "instances": beats,
    }
