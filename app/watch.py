"""Watches over a worker: state, lag, progress; told to Redis and on an HTTP port.

The port answers from a thread of its own, so it also tells of an event loop that
stands still.

GET /metrics   Prometheus
GET /healthz   200 while there is progress or nothing to do; 503 with the reason
GET /readyz    200 when partitions are assigned and recovered
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
import structlog
from prometheus_client import make_wsgi_app
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agents import metrics
from agents.inflight import InFlight
from app.exits import Exit, end_now
from app.settings import Role, Settings
from app.stores.heartbeats import Beat, RoleState, beat, retire
from schemas.base import now_ms

log = structlog.get_logger(__name__)

TICK = 1.0
"""Seconds between two looks."""
_REDIS_TIMEOUT = 2.0


class Watch:
    """State and progress of one worker process.

    `waiting_for` names a service that the worker waits for; standing still is then
    no fault of its own, and restarting it would not help.
    """

    def __init__(self, role: Role, settings: Settings, window: InFlight) -> None:
        self.role = role
        self.instance = settings.worker.instance or f"{socket.gethostname()}-{os.getpid()}"
        self.waiting_for: str | None = None
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
        self._server: WSGIServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._redis = Redis.from_url(
            settings.redis.url,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
        )

    async def __aenter__(self) -> Self:
        worker = self._settings.worker
        self._server = make_server(
            worker.status_host, worker.status_port, self._answer, handler_class=_Quiet
        )
        threading.Thread(target=self._server.serve_forever, name="status", daemon=True).start()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        try:
            await retire(self._redis, self._settings.redis, self.role, self.instance)
        except RedisError as failed:
            log.debug("could not retire the heartbeat", reason=type(failed).__name__)
        await self._redis.aclose()

    @property
    def address(self) -> str:
        """host:port of the status server."""
        if self._server is None:
            return ""
        return f"{self._server.server_address[0]!s}:{self._server.server_port}"

    def follow(self, app: Any) -> None:
        """Watch this Faust app's consumer."""
        self._app = app
        self._followed_at = time.monotonic()

    def assigned(self) -> None:
        """The group has given this worker its partitions (possibly none)."""
        self._assigned = True
        self._progress_at = time.monotonic()

    @property
    def state(self) -> RoleState:
        """How the worker is."""
        if not self._assigned:
            return "starting"
        if self.recovering():
            return "recovering"
        if self.waiting_for or self.degraded():
            return "degraded"
        return "ready"

    @property
    def detail(self) -> str:
        """Why it is not ready, in words; empty when it is."""
        if not self._assigned:
            return "waiting for partitions"
        if self.recovering():
            return f"recovering {self.recovering()} partitions"
        if self.waiting_for:
            return f"waiting for {self.waiting_for}"
        return self.degraded() or ""

    @property
    def stalled_seconds(self) -> float:
        """Seconds without an acknowledgement although there is work; 0 when all is well."""
        if not self.lag or self.waiting_for or self.recovering():
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
            except RedisError as error:
                log.debug("heartbeat not told", reason=type(error).__name__)
            await asyncio.sleep(TICK)

    def _look(self) -> None:
        self._ticked_at = time.monotonic()
        acknowledged = self._window.acknowledged
        metrics.IN_FLIGHT.set(len(self._window))
        metrics.ACKNOWLEDGED.inc(acknowledged - self._acknowledged)
        self._measure_lag()
        if acknowledged != self._acknowledged or not self.lag or self.waiting_for:
            self._progress_at = self._ticked_at
        self._acknowledged = acknowledged

    def _measure_lag(self) -> None:
        if self._app is None or not self._assigned:
            return
        consumer = self._app.consumer
        total = 0
        held = {message.tp for message in consumer.unacked}
        for tp in consumer.assignment():
            highwater = consumer.highwater(tp)
            # Faust's own book of what it committed; before the first commit, of what it read.
            position = consumer._committed_offset[tp]
            if position is None:
                position = consumer._read_offset[tp]
            if highwater is None:
                continue
            lag = max(0, highwater - (position or 0))
            if lag and tp not in held and not consumer._acked[tp]:
                # All that was read is committed. What is left may be no records: the end of a
                # transaction takes an offset, and retention may have taken what stood there.
                lag = max(0, highwater - (consumer.passed(tp) or 0))
            metrics.LAG.labels(tp.topic, tp.partition).set(lag)
            total += lag
        self.lag = total

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

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            answer: Iterable[bytes] = make_wsgi_app()(environ, start)
            return answer
        silent = time.monotonic() - self._ticked_at
        document: dict[str, Any] = {**self._beat(), "loopSilentSeconds": round(silent, 1)}
        if path == "/healthz":
            # A little before the worker would end itself: a probe may be faster.
            alive = max(silent, self.stalled_seconds) < self._settings.worker.stall_timeout
            status = "200 OK" if alive else "503 Service Unavailable"
        elif path == "/readyz":
            ready = self.state == "ready"
            status = "200 OK" if ready else "503 Service Unavailable"
        else:
            status, document = "404 Not Found", {"paths": ["/metrics", "/healthz", "/readyz"]}
        start(status, [("Content-Type", "application/json")])
        return [orjson.dumps(document)]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; their lines help nobody."""
