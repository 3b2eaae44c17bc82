"""Pushes without a WebSocket: a poll gets what follows a place, and waits for it if need be.

A poll is a connection that ends with its first answer. It has a feed of the learner's log like
a socket, counts among the learner's connections while it waits, and holds nothing afterwards:
where the client stands is in the next poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog
from fastapi import Response
from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.gateway.auth.admission import Sender
from app.gateway.delivery.delivery import Delivery
from app.gateway.delivery.feed import Feed
from app.gateway.delivery.send_queue import Frame
from app.gateway.intake.limits import RateLimit, TokenBuckets
from app.gateway.intake.refusal import Refusal
from app.gateway.websocket.connection import hello, resumed, standing
from app.gateway.websocket.connections import Connections
from app.gateway.websocket.protocol import SERVICE_RESTART
from app.redis.push_log import Latest
from app.settings import GatewaySettings
from schemas.base import InvalidMessage
from schemas.wire.client import Resume
from schemas.wire.errors import ErrorCode
from schemas.wire.server import Limits

_RETRY_AFTER: Final = 1.0
_ANNOUNCED_EVERY: Final = 30.0
"""Seconds in which a learner who polls is announced once: a socket is when it connects."""

log = structlog.get_logger(__name__)


def read_query(query: Mapping[str, str], most_wait: float) -> tuple[Resume | None, float]:
    """The place that a poll goes on from (None: it has none), and the seconds that it waits.

    Raises Refusal: INVALID_MESSAGE, with the parameter's name.
    """
    return _place(query.get("epoch"), query.get("offset")), _wait(query.get("wait"), most_wait)


def _place(epoch: str | None, offset: str | None) -> Resume | None:
    if epoch is None and offset is None:
        return None
    if epoch is None or offset is None:
        missing = "epoch" if epoch is None else "offset"
        raise Refusal(
            ErrorCode.INVALID_MESSAGE, "a place has both, epoch and offset; hello has one", missing
        )
    try:
        # As JSON has it: int() would take blanks and underscores, too.
        number = int(offset) if offset.isascii() and offset.isdigit() else offset
    except ValueError:  # thousands of digits
        number = offset
    try:
        return Resume.read({"epoch": epoch, "offset": number})
    except InvalidMessage as error:
        raise Refusal(ErrorCode.INVALID_MESSAGE, error.message, error.field) from None


def _wait(wait: str | None, most: float) -> float:
    if wait is None:
        return most
    with suppress(ValueError):
        seconds = float(wait)
        if 0 <= seconds <= most:  # which NaN is not
            return seconds
    raise Refusal(ErrorCode.INVALID_MESSAGE, f"should be seconds, from 0 to {most:g}", "wait")


class Poll:
    """One poll, from its request to its answer; the outlet of its feed.

    It takes no more pushes once half of `max_outbox_bytes` is reached: the next poll goes on
    from there.

    Args:
        sender: who polls, for which learner.
        delivery: gives what the learner's log gains.
        bounds: of sizes and waits.
        limits: those that the client is told.
    """

    def __init__(
        self, sender: Sender, delivery: Delivery, bounds: GatewaySettings, limits: Limits
    ) -> None:
        self.sender = sender
        self.closed = False
        """Whether the process ends, and the client should come back elsewhere."""
        self._delivery = delivery
        self._bounds = bounds
        self._limits = limits
        self._feed = Feed(sender.user_id, delivery.reader, self)
        self._most = bounds.max_outbox_bytes // 2
        self._frames: list[Frame] = []
        self._bytes = 0
        """Of pushes alone: whatever else there is to say, each answer brings one on its way."""
        self._has_news = False
        self._due = asyncio.Event()

    async def run(self, place: Resume | None, wait: float) -> list[Frame]:
        """The frames of the answer: `hello`; or `resumed`, with what follows the place.

        Raises Refusal: UNAVAILABLE, or UNAUTHORIZED where the token expires before there is
        anything to say.
        """
        loop = asyncio.get_running_loop()
        expires = loop.time() + self.sender.principal.expires_at - time.time()
        until = min(loop.time() + wait, expires)
        try:
            async with asyncio.timeout_at(self._in_time(expires)):
                latest = await self._delivery.join(self._feed)
                if place is None:
                    return [hello(latest, self._limits)]
                self._feed.resume(place.epoch, place.offset)
                await self._feed.caught_up()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._due.wait()
            if self._has_news:
                async with asyncio.timeout_at(self._in_time(expires)):
                    await self._gather()
        except (RedisError, OSError) as error:
            if loop.time() >= expires:
                raise Refusal(ErrorCode.UNAUTHORIZED, "the token has expired") from None
            log.warning("poll.push_log_unavailable", error=type(error).__name__)
            raise _unavailable("pushes are not available") from None
        finally:
            await self._delivery.leave(self._feed)
        if not self._frames:
            raise _unavailable("the push log cannot be read")
        return self._frames

    def _in_time(self, expires: float) -> float:
        return min(asyncio.get_running_loop().time() + self._bounds.handshake_timeout, expires)

    async def _gather(self) -> None:
        """Return once nothing more is at hand: a state's recommendations come right behind it."""
        taken = 0
        while taken < len(self._frames):
            taken = len(self._frames)
            await asyncio.sleep(0)
            # Of an answer that broke off between a stub and its successor, ids would be lost.
            await self._feed.caught_up()

    # -- what the feed calls -------------------------------------------------------------

    def push(self, frame: Frame) -> None:
        """Take a push, if there is room; a live one comes without asking."""
        if self._bytes < self._most:
            self._bytes += len(frame.payload)
            self._add(frame)

    def drop_pushes(self) -> None:
        """Drop what was taken: it comes again."""
        self._frames.clear()
        self._bytes = 0

    def recovered(self, epoch: str, offset: int) -> None:
        """Say that the pushes after (epoch, offset) follow."""
        self._frames.append(resumed(epoch, offset))

    def not_recovered(self, latest: Latest) -> None:
        """Say that pushes were missed, and where things stand."""
        self._add(standing("resumed", latest, recovered=False))

    async def room(self) -> bool:
        """Whether the answer takes more."""
        return self._bytes < self._most

    def _add(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._has_news = True
        self._due.set()

    # -- what the process calls ------------------------------------------------------------

    async def flushed(self) -> None:
        """Nothing is owed: an answer goes out whole."""

    async def silent(self, within: float) -> bool:
        """Never: nobody can ask, and after its wait it makes way by itself."""
        return False

    def restarting(self, reconnect_after: float) -> None:
        """Nothing: its answer, which names a place, has gone out by then."""

    def close(self, code: int, reason: str) -> None:
        """Answer now, with what there is."""
        self.closed = True
        self._due.set()


class Polls:
    """The polls of this process.

    Args:
        delivery: gives what learners' logs gain.
        connections: counts them, and sockets with them.
        rate: of messages, shared with the learner's sockets: a poll that each push answers
            is no request of a person's doing.
        bounds: of sizes and waits.
        limits: those that clients are told.
    """

    def __init__(
        self,
        delivery: Delivery,
        connections: Connections,
        rate: RateLimit,
        bounds: GatewaySettings,
        limits: Limits,
    ) -> None:
        self.rate = rate
        self.most_wait = bounds.most_poll_wait
        self._delivery = delivery
        self._connections = connections
        self._bounds = bounds
        self._limits = limits
        self._announced = TokenBuckets(1 / _ANNOUNCED_EVERY, 1)
        self._ending = False

    async def answer(
        self, sender: Sender, place: Resume | None, wait: float, receive: Receive
    ) -> Response:
        """Answer a poll, once there is something to say or `wait` seconds have passed.

        Raises:
            Refusal: as `Poll.run`; UNAVAILABLE where there are too many connections.
            ClientDisconnect: nobody waits any more.
        """
        full = await self._connections.make_room(sender.user_id)
        if full is not None or self._ending:
            raise _unavailable(full or "the server restarts")
        poll = Poll(sender, self._delivery, self._bounds, self._limits)
        self._connections.add(poll)
        try:
            self._announce(sender)
            frames = await _while_connected(poll, place, wait, receive)
        finally:
            self._connections.remove(poll)
        body = b'{"frames":[' + b",".join(frame.payload for frame in frames) + b"]}"
        headers = {"Cache-Control": "no-store"}
        if poll.closed:
            headers["Connection"] = "close"
        return Response(body, headers=headers, media_type="application/json")

    def end(self) -> None:
        """The process ends: answer those that wait, and take no more."""
        self._ending = True
        for connection in self._connections.snapshot():
            if isinstance(connection, Poll):
                connection.close(SERVICE_RESTART, "the server restarts")

    def _announce(self, sender: Sender) -> None:
        if sender.acts and not self._announced.take(sender.user_id, time.monotonic()):
            self._delivery.announce(sender.user_id)


async def _while_connected(
    poll: Poll, place: Resume | None, wait: float, receive: Receive
) -> list[Frame]:
    running = asyncio.ensure_future(poll.run(place, wait))
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise ClientDisconnect
        return running.result()
    finally:
        running.cancel()
        gone.cancel()
        await asyncio.gather(running, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _unavailable(why: str) -> Refusal:
    return Refusal(
        ErrorCode.UNAVAILABLE, f"{why}; poll again from the same place", retry_after=_RETRY_AFTER
    )
