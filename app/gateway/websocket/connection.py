"""One open WebSocket: what comes in is answered, what the learner's log gains goes out."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final

import structlog
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Send

from app.gateway.auth.admission import Sender
from app.gateway.delivery.delivery import Delivery
from app.gateway.delivery.feed import Feed
from app.gateway.delivery.send_queue import Frame, Overflow, SendQueue
from app.gateway.intake.intake import Intake
from app.gateway.intake.limits import RateLimit
from app.gateway.intake.refusal import Refusal
from app.gateway.process import metrics
from app.gateway.websocket import codec
from app.gateway.websocket.protocol import GatewayProtocol
from app.redis.push_log import Latest
from app.settings import GatewaySettings, Settings
from schemas.base import now_ms
from schemas.topics.interactions import MAX_INTERACTIONS
from schemas.wire.client import Ping, Resume
from schemas.wire.errors import CloseCode
from schemas.wire.server import Ack, Error, Limits, Pong, Restarting

RESUME_WINDOW: Final = 0.5
"""Seconds after `hello` in which a client's `resume` comes before any push. Whatever else
the client sends ends it; a later resume is answered too, but pushes came before it."""

log = structlog.get_logger(__name__)


def limits_of(settings: Settings) -> Limits:
    """What a client is told of the bounds that it is held to."""
    bounds = settings.gateway
    return Limits(
        max_message_bytes=bounds.max_message_bytes,
        max_text_length=bounds.max_text_length,
        max_interactions=MAX_INTERACTIONS,
        messages_per_second=bounds.messages_per_second,
        burst=bounds.message_burst,
        dedupe_seconds=settings.redis.dedupe_ttl,
        unacknowledged=bounds.unacknowledged,
    )


def hello(latest: Latest, limits: Limits) -> Frame:
    """The first frame that a client gets."""
    return standing("hello", latest, limits=limits.document(), serverTime=now_ms())


def standing(kind: str, latest: Latest, **more: Any) -> Frame:
    """Where the learner stands. The state goes on as the log holds it, unparsed."""
    document = {"type": kind, "epoch": latest.epoch, "offset": latest.offset, **more}
    if latest.user_state is not None:
        document["userState"] = latest.user_state
    if latest.recommendations is not None:
        document["recommendations"] = latest.recommendations["recommendations"]
    return Frame(None, codec.dumps(document))


def resumed(epoch: str, offset: int) -> Frame:
    """The pushes after (epoch, offset) follow."""
    document = {"type": "resumed", "recovered": True, "epoch": epoch, "offset": offset}
    return Frame(None, codec.dumps(document))


class Connection:
    """The connection of one client, from `hello` to the close frame.

    Args:
        sender: who is connected, to which learner.
        protocol: closes it.
        receive, send: ASGI.
        bounds: of sizes, rates and waits.
        limits: those that the client is told.
        intake: takes what the client sends.
        delivery: gives what the learner's log gains.
        rate: of messages, shared by the connections of a learner.
    """

    def __init__(
        self,
        sender: Sender,
        protocol: GatewayProtocol,
        receive: Receive,
        send: Send,
        *,
        bounds: GatewaySettings,
        limits: Limits,
        intake: Intake,
        delivery: Delivery,
        rate: RateLimit,
    ) -> None:
        self.sender = sender
        self._bounds = bounds
        self._limits = limits
        self._intake = intake
        self._delivery = delivery
        self._rate = rate
        self._protocol = protocol
        self._receive = receive
        self._send = send
        # A client counts as slow from an eighth of its bound on.
        self._outbox = SendQueue(bounds.max_outbox_bytes, bounds.max_outbox_bytes // 8)
        self._low_water = bounds.max_outbox_bytes // 16
        self._feed = Feed(sender.user_id, delivery.reader, self)
        # A task while there is something to send, a future while somebody waits for it: an
        # idle connection, as nearly all are, pays for neither.
        self._writer: asyncio.Task[None] | None = None
        self._sent: asyncio.Future[None] | None = None
        self._closed: int | None = None

    async def run(self) -> int:
        """Serve it until it ends. Returns the close code.

        Raises redis.RedisError, OSError: the push log cannot be read; nothing was sent.
        """
        timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._bounds.handshake_timeout):
                latest = await self._delivery.join(self._feed)
            self._queue(hello(latest, self._limits))
            if self.sender.acts:
                self._delivery.announce(self.sender.user_id)
            left = max(0.0, self.sender.principal.expires_at - time.time())
            timers.append(
                loop.call_later(left, self.close, CloseCode.UNAUTHORIZED, "the token has expired")
            )
            timers.append(loop.call_later(RESUME_WINDOW, self._feed.open))
            return await self._read()
        finally:
            self._closed = self._closed or 0
            for timer in timers:
                timer.cancel()
            if self._writer is not None:
                self._writer.cancel()
            self._account(self._outbox.clear)
            self._progressed()
            await self._delivery.leave(self._feed)

    def close(self, code: int, reason: str) -> None:
        """Close it now; what is unsent is lost."""
        if self._closed is None:
            self._closed = code
            self._protocol.close_now(code, reason)

    def restarting(self, reconnect_after: float) -> None:
        """Tell the client that this gateway ends, and when to come back."""
        self._queue(Frame(None, codec.encode(Restarting(reconnect_after=reconnect_after))))

    @property
    def unsent(self) -> int:
        """Bytes queued for the client."""
        return self._outbox.bytes

    async def flushed(self) -> None:
        """Return once everything queued was handed to the transport."""
        while (self._outbox or self._writer is not None) and self._closed is None:
            await self._progress()

    async def silent(self, within: float) -> bool:
        """Whether the client does not answer a ping within so many seconds."""
        return await self._protocol.silent(within)

    # -- in ----------------------------------------------------------------------------

    async def _read(self) -> int:
        while True:
            message: AsgiMessage = await self._receive()
            if message["type"] == "websocket.disconnect":
                return self._closed or int(message.get("code") or 1005)
            text = message.get("text")
            self._take(message["bytes"] if text is None else text)

    def _take(self, data: bytes | str) -> None:
        opened = codec.unpack(data, self._bounds.max_message_bytes)
        kind = codec.UNKNOWN if isinstance(opened, Error) else opened.type
        try:
            # Before whatever else may be wrong with it: this is the cheap answer.
            self._rate.count(self.sender.principal, self.sender.user_id)
        except Refusal as refusal:
            self._answered(kind, refusal.error(opened.id))
        else:
            message = opened if isinstance(opened, Error) else codec.read(opened)
            if isinstance(message, Error):
                self._answered(kind, message)
            elif isinstance(message, Resume):
                self._count(kind, "accepted")
                self._feed.resume(message.epoch, message.offset)
            elif isinstance(message, Ping):
                self._answered(kind, Pong(id=message.id, server_time=now_ms()))
            else:
                self._intake.accept(message, self.sender, partial(self._answered, kind))
        # The client had its chance to resume first.
        self._feed.open()

    def _answered(self, kind: str, answer: Ack | Pong | Error) -> None:
        self._count(kind, answer.code if isinstance(answer, Error) else "accepted")
        self._queue(Frame(None, codec.encode(answer)))

    def _count(self, kind: str, outcome: str) -> None:
        metrics.MESSAGES.labels("websocket", kind, outcome).inc()

    # -- out ---------------------------------------------------------------------------

    def _queue(self, frame: Frame) -> None:
        if self._closed is not None:
            return
        before = self._outbox.conflated
        try:
            self._account(lambda: self._outbox.push(frame))
        except Overflow:
            log.info("connection.client_too_slow", unsent=self._outbox.bytes)
            self.close(CloseCode.TOO_SLOW, "too slow to take what it is sent")
            return
        metrics.CONFLATED.inc(self._outbox.conflated - before)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Send what is queued, and end."""
        while (payload := self._account(self._outbox.pop)) is not None:
            try:
                await self._send({"type": "websocket.send", "text": payload.decode()})
            except (OSError, RuntimeError):
                # Gone, or closed by the server below us. `_read` is told, too; until then this
                # task stays in its place, so that no other is begun.
                self._progressed()
                return
            self._progressed()
        self._writer = None
        self._progressed()

    async def _progress(self) -> None:
        """Return when something has been sent, or the connection ends."""
        if self._sent is None:
            self._sent = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._sent)

    def _progressed(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None and not sent.done():
            sent.set_result(None)

    def _account(self, change: Any) -> Any:
        """Keep the process's sum of unsent bytes."""
        before = self._outbox.bytes
        try:
            return change()
        finally:
            metrics.OUTBOX_BYTES.inc(self._outbox.bytes - before)

    # -- what the feed calls -------------------------------------------------------------

    def push(self, frame: Frame) -> None:
        """Queue a push."""
        self._queue(frame)

    def drop_pushes(self) -> None:
        """Drop queued pushes: they come again."""
        self._account(self._outbox.drop_pushes)

    def recovered(self, epoch: str, offset: int) -> None:
        """Say that the pushes after (epoch, offset) follow."""
        self._queue(resumed(epoch, offset))

    def not_recovered(self, latest: Latest) -> None:
        """Say that pushes were missed, and where things stand."""
        self._queue(standing("resumed", latest, recovered=False))

    async def room(self) -> bool:
        """Return once most of what was queued is sent."""
        while self._outbox.bytes > self._low_water and self._closed is None:
            await self._progress()
        return True
