"""What one gateway process opens and closes, and which part gets what.

Nothing reaches into this object: `server` hands each door the two or three parts that it needs.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial

import structlog
from redis.asyncio import Redis

from app.gateway.auth.admission import Admission
from app.gateway.auth.tokens import Authenticator
from app.gateway.delivery.delivery import Delivery
from app.gateway.intake.event_log import EventLog
from app.gateway.intake.intake import Intake
from app.gateway.intake.limits import RateLimit
from app.gateway.intake.retries import AcceptedEarlier, HistoryProgress, RetryMemory
from app.gateway.process.health import LoopLag, Readiness
from app.gateway.process.status import PrivateStatus
from app.gateway.rest.profile import KnownClasses, Profiles
from app.gateway.rest.pushes import Polls
from app.gateway.rest.routes import Rest
from app.gateway.websocket.connection import Connection, limits_of
from app.gateway.websocket.connections import Connections, Handshakes
from app.gateway.websocket.endpoint import WebSocketEndpoint
from app.gateway.websocket.protocol import SERVICE_RESTART
from app.mongo.history import HistoryStore
from app.redis.arrivals import announce
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings

log = structlog.get_logger(__name__)


class Gateway:
    """Owns the connections to Kafka, Redis and MongoDB. One a process."""

    def __init__(self, settings: Settings) -> None:
        bounds = settings.gateway
        self.settings = settings
        self.authenticator = Authenticator(settings.auth)
        self.redis: Redis = connect(settings.redis, "gateway")
        pushes = PushLog(self.redis, settings.redis)
        self.events = EventLog(settings)
        self.history = HistoryStore(settings.mongo)
        self.intake = Intake(
            settings,
            self.events,
            RetryMemory(self.redis, settings.redis),
            AcceptedEarlier(self.history, HistoryProgress(self.redis, settings)),
        )
        self.delivery = Delivery(pushes, partial(announce, self.redis, settings.redis))
        self.connections = Connections(
            bounds.max_connections, bounds.max_connections_per_user, bounds.probe_timeout
        )
        self.handshakes = Handshakes(bounds.max_handshakes, bounds.handshake_timeout)
        self.loop_lag = LoopLag()
        self.readiness = Readiness(settings, self.events, self.redis)
        self.status = PrivateStatus(bounds, self.readiness, self.loop_lag)
        admission = Admission(settings, self.authenticator)
        messages = RateLimit(bounds.messages_per_second, bounds.message_burst, "messages")
        limits = limits_of(settings)
        self.connect = partial(
            Connection,
            bounds=bounds,
            limits=limits,
            intake=self.intake,
            delivery=self.delivery,
            rate=messages,
        )
        self.polls = Polls(self.delivery, self.connections, messages, bounds, limits)
        self.websocket = WebSocketEndpoint(
            admission, self.connections, self.connect, bounds.handshake_timeout
        )
        self.rest = Rest(
            admission,
            self.intake,
            Profiles(pushes, self.history, KnownClasses(settings.emotion)),
            self.polls,
            RateLimit(bounds.requests_per_minute / 60, bounds.requests_per_minute, "requests"),
            bounds.max_message_bytes,
        )

    async def open(self) -> None:
        """Connect. A service that does not answer is logged, and tried again on and on."""
        self.loop_lag.open()
        self.status.open()
        await self.delivery.open()
        await self.events.open()
        report = await self.readiness.report()
        for name, state in report["dependencies"].items():
            if not state["ready"]:
                log.warning("gateway.dependency_unavailable", service=name, **state)

    async def drain(self) -> None:
        """Answer what is under way, then ask every client to come back elsewhere (1012)."""
        within = self.settings.gateway.shutdown_timeout
        self.polls.end()
        await self.intake.drain(within)
        open_now = self.connections.snapshot()
        for connection in open_now:
            # Each at another moment: together they would be a storm on those that stay.
            connection.restarting(self._reconnect_after())
        flushes = [asyncio.ensure_future(connection.flushed()) for connection in open_now]
        if flushes:
            _, late = await asyncio.wait(flushes, timeout=within / 2)
            for flush in late:
                flush.cancel()
        for connection in open_now:
            connection.close(SERVICE_RESTART, "the server restarts")

    def _reconnect_after(self) -> float:
        spread = self.settings.gateway.reconnect_spread
        return round(random.uniform(0, spread), 3)  # noqa: S311 - nobody gains by guessing it

    async def close(self) -> None:
        """Deliver what Kafka has not acknowledged, then disconnect."""
        loop = asyncio.get_running_loop()
        within = self.settings.gateway.shutdown_timeout
        ends = loop.time() + within
        await self.events.close(within)
        await self.intake.drain(max(0.0, ends - loop.time()))
        await self.delivery.close()
        await self.status.close()
        await self.loop_lag.close()
        await self.authenticator.close()
        await self.redis.aclose()
        await self.history.close()
