"""Tells how a worker process is: each second to Redis, and on one HTTP port for all its roles.

The port answers from threads of its own (`app.process.status_server`), so it also tells of an
event loop that stands still.

GET /metrics   Prometheus
GET /healthz   200 while each role makes progress or has nothing to do; 503 with the reason
GET /readyz    200 when each role has its partitions, and has recovered them

A process of one role answers with that role's heartbeat. One of several answers with `state`,
`detail` and `lag` of them all, and the heartbeats in `roles`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog
from redis.exceptions import RedisError

from agents.runtime import metrics
from app.process.concurrency import end
from app.process.exits import end_now
from app.process.status_server import Answer, StatusServer
from app.redis.client import connect
from app.redis.heartbeats import Beat, beat, retire, roles
from app.settings import Settings
from app.worker.health import WorkerHealth

log = structlog.get_logger(__name__)

TICK: Final = 1.0
"""Seconds between two looks."""
_SWEEP_EVERY: Final = 60
"""Ticks between two looks at all beats, which drop those of workers that are gone."""


class Status:
    """Looks at every role of this process once a second, for as long as it is open.

    Ends the process when one of its roles makes no progress, or was given no partitions.
    """

    def __init__(self, settings: Settings, healths: Sequence[WorkerHealth]) -> None:
        self._settings = settings
        self._healths = healths
        self._redis = connect(settings.redis, "heartbeat")
        self._ticked_at = time.monotonic()
        self._measured: set[tuple[str, str, int]] = set()
        self._server: StatusServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        worker = self._settings.worker
        self._server = StatusServer(
            worker.status_host,
            worker.status_port,
            {"/healthz": self._healthz, "/readyz": self._readyz},
            setting="worker.status_host and worker.status_port",
        )
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            await end(self._task)
        if self._server is not None:
            self._server.close()
        try:
            for one in self._healths:
                await retire(self._redis, self._settings.redis, one.role, one.instance)
        except RedisError as failed:
            log.debug("heartbeat.retire_failed", reason=type(failed).__name__)
        await self._redis.aclose()

    async def _watch(self) -> None:
        ticks = 0
        while True:
            self._look()
            try:
                for one in self._beats():
                    await beat(self._redis, self._settings.redis, one)
                if ticks % _SWEEP_EVERY == 0:
                    await roles(self._redis, self._settings.redis)
            except RedisError as error:
                log.debug("heartbeat.failed", reason=type(error).__name__)
            ticks += 1
            await asyncio.sleep(TICK)

    def _look(self) -> None:
        self._ticked_at = time.monotonic()
        lags: dict[tuple[str, str, int], int] = {}
        for one in self._healths:
            one.look()
            metrics.IN_FLIGHT.labels(one.role).set(one.in_flight)
            lags |= {(one.role, *place): lag for place, lag in one.lags.items()}
        for gone in self._measured - lags.keys():
            metrics.LAG.remove(*gone)
        for place, lag in lags.items():
            metrics.LAG.labels(*place).set(lag)
        self._measured = set(lags)
        for one in self._healths:
            hopeless = one.hopeless
            if hopeless is not None:
                code, reason = hopeless
                end_now(code, f"{one.role}: {reason}")

    def _beats(self) -> list[Beat]:
        address = "" if self._server is None else self._server.address
        return [one.beat(address) for one in self._healths]

    def _healthz(self, _query: str) -> Answer:
        silent = time.monotonic() - self._ticked_at
        stalled = max(one.stalled_seconds for one in self._healths)
        # A little before the worker would end itself: a probe may be faster.
        alive = max(silent, stalled) < self._settings.worker.stall_timeout
        return 200 if alive else 503, {**self._document(), "loopSilentSeconds": round(silent, 1)}

    def _readyz(self, _query: str) -> Answer:
        ready = all(one.state == "ready" for one in self._healths)
        return 200 if ready else 503, self._document()

    def _document(self) -> dict[str, Any]:
        beats = self._beats()
        if len(beats) == 1:
            return dict(beats[0])
        lags = [one["lag"] for one in beats]
        details = [f"{one['role']}: {one['detail']}" for one in beats if one["detail"]]
        worst = next((one for one in beats if one["state"] != "ready"), beats[0])
        return {
            "state": worst["state"],
            "detail": "; ".join(details),
            "lag": None if None in lags else sum(lag or 0 for lag in lags),
            "roles": {one["role"]: one for one in beats},
        }
