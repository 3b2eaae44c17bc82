"""Watches over one role of a worker: state, lag, progress.

`app.worker.status` looks at each second, and tells it to Redis and on an HTTP port.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import structlog

from agents.runtime import metrics
from agents.runtime.in_flight import InFlight
from agents.runtime.retrying import Waits
from app.kafka.admin import committed_offsets
from app.process.concurrency import end
from app.process.exits import Exit
from app.redis.heartbeats import Beat, RoleState
from app.settings import Settings
from schemas.base import now_ms

log = structlog.get_logger(__name__)

_OFFSETS_EVERY: Final = 5.0
"""Seconds between two questions to the broker for what lag is counted from."""

Place = tuple[str, int]
"""Topic and partition."""


class WorkerHealth:
    """State and progress of one role.

    While `waits` holds a store, standing still is no fault of the worker's own, and
    restarting it would not help.

    Args:
        role: its name.
        instance: the worker's.
        window: of the role's records.
        reads: the newest format of the role's records that it reads, where there are any.
    """

    def __init__(
        self, role: str, instance: str, settings: Settings, window: InFlight, reads: int | None
    ) -> None:
        self.role = role
        self.instance = instance
        self.waits = Waits()
        self.degraded: Callable[[], str | None] = lambda: None
        self.recovering: Callable[[], int] = lambda: 0
        self.lags: dict[Place, int] = {}
        """Records to acknowledge in each partition; without those of which nothing was fetched."""
        self.lag: int | None = None
        """Their sum; None before it is known."""
        self.behind: float | None = None
        """Seconds that the oldest record to acknowledge may have waited; None: not known."""
        self._caught_up_at: dict[Place, float] = {}
        self._reads = reads
        self._settings = settings
        self._window = window
        self._app: Any = None
        self._assigned = False
        self._acknowledged = 0
        self._progress_at = time.monotonic()
        self._followed_at = time.monotonic()
        self._offsets: asyncio.Task[None] | None = None
        self._committed: dict[Place, int] | None = None
        self._beginnings: dict[Place, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._offsets is not None:
            await end(self._offsets)

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

    @property
    def in_flight(self) -> int:
        """Records that were read and are not yet acknowledged."""
        return len(self._window)

    @property
    def hopeless(self) -> tuple[Exit, str] | None:
        """With which code the process has to end because of this role, and why."""
        worker = self._settings.worker
        if self.joining_seconds > worker.join_timeout:
            # A broker that died meanwhile would be asked for ever.
            waited = f"no partitions from the group in {self.joining_seconds:.0f} s"
            return Exit.UNAVAILABLE, waited
        if self.stalled_seconds > worker.stall_timeout:
            return Exit.STALLED, f"no progress for {self.stalled_seconds:.0f} s"
        return None

    def look(self) -> None:
        """Measure progress and lag anew."""
        acknowledged = self._window.acknowledged
        metrics.ACKNOWLEDGED.labels(self.role).inc(acknowledged - self._acknowledged)
        self._measure_lag()
        if acknowledged != self._acknowledged or not self.lag or self.waits.stores:
            self._progress_at = time.monotonic()
        self._acknowledged = acknowledged

    def _measure_lag(self) -> None:
        if self._app is None or self._committed is None:
            self.behind = None
            return
        consumer = self._app.consumer
        assigned = {(tp.topic, tp.partition): tp for tp in consumer.assignment()}
        for gone in self.lags.keys() - assigned.keys():
            del self.lags[gone]
            self._caught_up_at.pop(gone, None)
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
            self.lags[place] = max(0, end - done)
        self.lag = sum(self.lags.values())
        behind = self._behind(time.time())
        # Of one that holds no partition, and of one that has not looked into all of its own,
        # nobody knows.
        self.behind = behind if assigned and len(self.lags) == len(assigned) else None

    def _behind(self, now: float) -> float:
        """What waits was appended after the record before it, and after the lag was last 0."""
        worst = 0.0
        for place, lag in self.lags.items():
            if not lag:
                self._caught_up_at[place] = now
                continue
            before = self._window.acknowledged_from(*place) or 0.0
            worst = max(worst, now - max(before, self._caught_up_at.get(place, 0.0)))
        return worst

    async def _follow_offsets(self) -> None:
        """Keep what lag is counted from: where the group stood at the assignment, where logs begin.

        The second again and again while there is lag, as a log's beginning moves on.
        """
        group = f"{self._settings.worker.group_prefix}-{self.role}"
        committed: dict[Place, int] | None = None
        while True:
            if self._committed is None or self.lag:
                try:
                    async with asyncio.timeout(self._settings.kafka.request_timeout):
                        if committed is None:
                            committed = await committed_offsets(self._settings, group)
                        self._beginnings = await self._first_offsets()
                    self._committed = committed
                except Exception as error:  # of the broker, or of a consumer that is stopping
                    log.warning("health.offsets_unknown", error=repr(error), action="retrying")
            await asyncio.sleep(_OFFSETS_EVERY)

    async def _first_offsets(self) -> dict[Place, int]:
        consumer = self._app.consumer
        assigned = consumer.assignment()
        begun = await consumer.earliest_offsets(*assigned) if assigned else {}
        return {(tp.topic, tp.partition): offset for tp, offset in begun.items()}

    def beat(self, metrics_at: str) -> Beat:
        """How the role is. metrics_at: where the process's /metrics are, host:port."""
        one = Beat(
            role=self.role,
            instance=self.instance,
            state=self.state,
            detail=self.detail,
            lag=self.lag,
            behind=self.behind,
            at=now_ms(),
            metrics=metrics_at,
        )
        if self._reads is not None:
            one["reads"] = self._reads
        return one
