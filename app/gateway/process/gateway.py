"""What all connections and requests of one process share."""

from __future__ import annotations

import asyncio
import time

import structlog
from redis.asyncio import Redis

from app.gateway.auth.tokens import Authenticator, Principal, Role
from app.gateway.delivery.delivery import Delivery
from app.gateway.intake.event_log import EventLog
from app.gateway.intake.intake import Intake, Sender
from app.gateway.intake.limits import TokenBuckets
from app.gateway.intake.refusal import Refusal
from app.gateway.intake.retries import RetryMemory
from app.gateway.process.health import LoopLag, Readiness
from app.gateway.process.status import PrivateStatus
from app.gateway.rest.profile import Profiles
from app.gateway.websocket.connections import Connections, Handshakes
from app.gateway.websocket.protocol import SERVICE_RESTART
from app.mongo.history import HistoryStore
from app.redis.arrivals import announce
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.wire import ErrorCode

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
        self.intake = Intake(settings, self.events, RetryMemory(self.redis, settings.redis))
        self.delivery = Delivery(pushes)
        self.history = HistoryStore(settings.mongo)
        self.profiles = Profiles(pushes, self.history)
        self.connections = Connections(
            bounds.max_connections, bounds.max_connections_per_user, bounds.probe_timeout
        )
        self.handshakes = Handshakes(bounds.max_handshakes, bounds.handshake_timeout)
        self.socket_limit = TokenBuckets(bounds.messages_per_second, bounds.message_burst)
        self.request_limit = TokenBuckets(
            bounds.requests_per_minute / 60, bounds.requests_per_minute
        )
        self.loop_lag = LoopLag()
        self.readiness = Readiness(settings, self.events, self.redis)
        self.status = PrivateStatus(bounds, self.readiness, self.loop_lag)
        self._origins = {origin.lower() for origin in origins(settings)}

    async def open(self) -> None:
        """Connect. A service that does not answer is logged, and tried again on and on."""
        self.loop_lag.open()
        self.status.open()
        await self.delivery.open()
        await self.events.open()
        report = await self.readiness.report()
        for name, state in report["dependencies"].items():
            if not state["ready"]:
                log.warning("dependency_unavailable", service=name, **state)

    async def drain(self) -> None:
        """Answer what is under way, then ask every client to come back elsewhere (1012)."""
        within = self.settings.gateway.shutdown_timeout
        await self.intake.drain(within)
        open_now = self.connections.snapshot()
        flushes = [asyncio.ensure_future(connection.flushed()) for connection in open_now]
        if flushes:
            _, late = await asyncio.wait(flushes, timeout=within / 2)
            for flush in late:
                flush.cancel()
        for connection in open_now:
            connection.close(SERVICE_RESTART, "the server restarts")

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

    def announce(self, sender: Sender) -> None:
        """A learner is here: who prepares for them may begin. Returns at once."""
        if sender.principal.may_act_as(sender.user_id):
            self.intake.spawn(announce(self.redis, self.settings.redis, sender.user_id))

    def origin_allowed(self, origin: str | None) -> bool:
        """Whether a page of this origin may connect; programs send none."""
        return origin is None or origin.strip().lower() in self._origins

    def limit_key(self, sender: Sender) -> str:
        """Whose rate a message counts against: the learner's, for whoever acts for it."""
        acts = sender.principal.may_act_as(sender.user_id)
        return sender.user_id if acts else sender.principal.subject

    def count_request(self, principal: Principal, user_id: str | None = None) -> None:
        """Take a REST call from the rate of the learner that it is for.

        Raises Refusal (RATE_LIMITED).
        """
        acts = user_id is not None and principal.role in (Role.SERVICE, Role.ADMIN)
        key = user_id if acts and user_id is not None else principal.subject
        wait = self.request_limit.take(key, time.monotonic())
        if wait:
            raise Refusal(ErrorCode.RATE_LIMITED, "too many requests", retry_after=wait)


def origins(settings: Settings) -> tuple[str, ...]:
    """Origins that may connect; in development the gateway's own address, too."""
    allowed = settings.gateway.allowed_origins
    if settings.environment == "development":
        port = settings.gateway.port
        allowed += tuple(f"http://{host}:{port}" for host in (settings.gateway.host, "localhost"))
    return allowed
