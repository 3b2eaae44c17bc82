"""Watches over a worker: state, lag, progress; told to Redis and on an HTTP port.

The port answers from threads of its own (`app.process.status_server`), so it also tells of an
event loop that stands still.

GET /metrics   Prometheus
GET /healthz   200 while there is progress or nothing to do; 503 with the reason
GET /readyz    200 when partitions are assigned and recovered
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import structlog
from redis.exceptions import RedisError

from agents.runtime import metrics
from agents.runtime.in_flight import InFlight
from agents.runtime.retrying import Waits
from app.kafka.admin import committed_offsets
from app.process.exits import Exit, end_now
from app.process.status_server import Answer, StatusServer
from app.redis.client import connect
from app.redis.heartbeats import Beat, RoleState, beat, retire, roles
from app.settings import Role, Settings
from schemas.base import now_ms

log = structlog.get_logger(__name__)

TICK = 1.0
"""Seconds between two looks."""
_OFFSETS_EVERY = 5.0
"""Seconds between two questions to the broker for what lag is counted from."""
_SWEEP_EVERY = 60
"""Ticks between two looks at all beats, which drop those of workers that are gone."""


class Watch:
    """State and progress of one worker process.

    While `waits` holds a store, standing still is no fault of the worker's own, and
    restarting it would not help.
    """

    def __init__(self, role: Role, settings: Settings, window: InFlight) -> None:
        self.role = role
        self.instance = settings.worker.instance or f"{socket.gethostname()}-{os.getpid()}"
        self.waits = Waits()
        self.degraded: Callable[[], str | None] = lambda: None
        self.recovering: Callable[[], int] = lambda: 0
        self.lag: int | None = None
        self.reads: int | None = None
        """The newest format of its role's records that this worker reads, where there are any."""
        self._settings = settings
        self._window = window
        self._app: Any = None
        self._assigned = False
        self._acknowledged = 0
        self._progress_at = time.monotonic()
        self._ticked_at = time.monotonic()
        self._followed_at = time.monotonic()
        self._server: StatusServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._offsets: asyncio.Task[None] | None = None
        self._committed: dict[tuple[str, int], int] | None = None
        self._beginnings: dict[tuple[str, int], int] = {}
        self._measured: set[tuple[str, int]] = set()
        self._redis = connect(settings.redis, "heartbeat")

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
        for task in (self._task, self._offsets):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self._server is not None:
            self._server.close()
        try:
            await retire(self._redis, self._settings.redis, self.role, self.instance)
        except RedisError as failed:
            log.debug("could not retire the heartbeat", reason=type(failed).__name__)
        await self._redis.aclose()

    @property
    def address(self) -> str:
        """host:port of the status server."""
        return "" if self._server is None else self._server.address

    def follow(self, app: Any) -> None:
        """Watch this Faust app's consumer."""
        self._app = app
        self._followed_at = time.monotonic()

    def assigned(self) -> None:
        """The group has given this worker its partitions (possibly none)."""
        self._assigned = True
        if self._offsets is not None:
            self._offsets.cancel()
        self._committed = None
        self._offsets = asyncio.create_task(self._follow_offsets(), name="offsets")
        self._progress_at = time.monotonic()

    @property
    def state(self) -> RoleState:
        """How the worker is."""
        if not self._assigned:
            return "starting"
        if self.recovering():
            return "recovering"
        if self.waits.stores or self.degraded():
            return "degraded"
        return "ready"

    @property
    def detail(self) -> str:
        """Why it is not ready, in words; empty when it is."""
        if not self._assigned:
            return "waiting for partitions"
        if self.recovering():
            return f"recovering {self.recovering()} partitions"
        if self.waits.stores:
            return f"waiting for {self.waits}"
        return self.degraded() or ""

    @property
    def stalled_seconds(self) -> float:
        """Seconds without an acknowledgement although there is work; 0 when all is well."""
        if not self.lag or self.waits.stores or self.recovering():
            return 0.0
        return time.monotonic() - self._progress_at

    @property
    def joining_seconds(self) -> float:
        """Seconds that the group has been asked for partitions; 0 once it has given them."""
        if self._app is None or self._assigned:
            return 0.0
        return time.monotonic() - self._followed_at

    async def _watch(self) -> None:
        worker = self._settings.worker
        ticks = 0
        while True:
            self._look()
            if self.joining_seconds > worker.join_timeout:
                # A broker that died meanwhile would be asked for ever.
                waited = f"no partitions from the group in {self.joining_seconds:.0f} s"
                end_now(Exit.UNAVAILABLE, waited)
            if self.stalled_seconds > worker.stall_timeout:
                end_now(Exit.STALLED, f"no progress for {self.stalled_seconds:.0f} s")
            try:
                await beat(self._redis, self._settings.redis, self._beat())
                if ticks % _SWEEP_EVERY == 0:
                    await roles(self._redis, self._settings.redis)
            except RedisError as error:
                log.debug("heartbeat not told", reason=type(error).__name__)
            ticks += 1
            await asyncio.sleep(TICK)

    def _look(self) -> None:
        self._ticked_at = time.monotonic()
        acknowledged = self._window.acknowledged
        metrics.IN_FLIGHT.set(len(self._window))
        metrics.ACKNOWLEDGED.inc(acknowledged - self._acknowledged)
        self._measure_lag()
        if acknowledged != self._acknowledged or not self.lag or self.waits.stores:
            self._progress_at = self._ticked_at
        self._acknowledged = acknowledged

    def _measure_lag(self) -> None:
        if self._app is None or self._committed is None:
            return
        consumer = self._app.consumer
        total = 0
        assigned = {(tp.topic, tp.partition): tp for tp in consumer.assignment()}
        for gone in self._measured - assigned.keys():
            metrics.LAG.remove(*gone)
        self._measured &= assigned.keys()
        held = {(message.topic, message.partition) for message in consumer.unacked}
        for place, tp in assigned.items():
            end = consumer.highwater(tp)
            if end is None:
                continue  # nothing was fetched yet
            # What retention took away, nobody has to acknowledge any more. Without a
            # commit a group begins with the first record there is.
            done = max(
                self._window.acknowledged_to(*place) or 0,
                self._committed.get(place, 0),
                self._beginnings.get(place, 0),
            )
            if done < end and place not in held:
                # All that was read is acknowledged. What is left may be no records: the end
                # of a transaction takes an offset, too.
                done = max(done, consumer.passed(tp) or 0)
            lag = max(0, end - done)
            metrics.LAG.labels(*place).set(lag)
            self._measured.add(place)
            total += lag
        self.lag = total

    async def _follow_offsets(self) -> None:
        """Keep what lag is counted from: where the group stood at the assignment, where logs begin.

        The second again and again while there is lag, as a log's beginning moves on.
        """
        group = f"{self._settings.worker.group_prefix}-{self.role}"
        committed: dict[tuple[str, int], int] | None = None
        while True:
            if self._committed is None or self.lag:
                try:
                    async with asyncio.timeout(self._settings.kafka.request_timeout):
                        if committed is None:
                            committed = await committed_offsets(self._settings, group)
                        self._beginnings = await self._first_offsets()
                    self._committed = committed
                except Exception as error:  # of the broker, or of a consumer that is stopping
                    log.warning("watch.offsets_unknown", error=repr(error), action="retrying")
            await asyncio.sleep(_OFFSETS_EVERY)

    async def _first_offsets(self) -> dict[tuple[str, int], int]:
        consumer = self._app.consumer
        assigned = consumer.assignment()
        begun = await consumer.earliest_offsets(*assigned) if assigned else {}
        return {(tp.topic, tp.partition): offset for tp, offset in begun.items()}

    def _beat(self) -> Beat:
        one = Beat(
            role=self.role,
            instance=self.instance,
            state=self.state,
            detail=self.detail,
            lag=self.lag,
            at=now_ms(),
            metrics=self.address,
        )
        if self.reads is not None:
            one["reads"] = self.reads
        return one

    def _healthz(self, _query: str) -> Answer:
        silent = time.monotonic() - self._ticked_at
        # A little before the worker would end itself: a probe may be faster.
        alive = max(silent, self.stalled_seconds) < self._settings.worker.stall_timeout
        return 200 if alive else 503, {**self._beat(), "loopSilentSeconds": round(silent, 1)}

    def _readyz(self, _query: str) -> Answer:
        return 200 if self.state == "ready" else 503, dict(self._beat())
