"""Following push logs over Redis pub/sub, with a connection that heals itself.

Pub/sub may drop messages (a lost connection, a listener too slow for Redis's output
buffer). It never does so silently here: every such loss ends the connection, and its
successor says `Reconnected` once it follows everybody again, so that the listener can
fill the gap from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from asyncio import Future
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.process.concurrency import end
from app.redis.client import primary

log = structlog.get_logger(__name__)

_QUEUE: Final = 1024
"""Pushes read ahead of the listener. When it is full the socket waits, then Redis."""
_CHANNELS_PER_COMMAND: Final = 512
_PING_INTERVAL: Final = 5.0
"""Seconds of silence until the connection is asked whether it lives, and until it must answer."""
_PRIMARY_INTERVAL: Final = 2.0
"""Seconds between two looks whether the server is still the primary: a demoted one may go on
answering, and tells nobody what happens elsewhere."""
_FOLLOWING: Final = b"following"
_ALIVE: Final = b"alive"
_BACKOFF_START: Final = 0.05
_BACKOFF_CAP: Final = 2.0


@dataclass(frozen=True, slots=True)
class StoredPush:
    """One entry of a log. `body` is the wire message without epoch, offset, causedBy.

    Of one that is `superseded` only its place and its causes are left; a newer one of its
    kind stands behind it, and stands for it.
    """

    epoch: str
    offset: int
    kind: str
    caused_by: tuple[str, ...]
    body: bytes
    superseded: bool = False

    def wire(self, caused_by: Iterable[str] | None = None) -> bytes:
        """The wire message as JSON; `caused_by` replaces its own where pushes were conflated."""
        causes = list(self.caused_by if caused_by is None else caused_by)
        position = {"epoch": self.epoch, "offset": self.offset, "causedBy": causes}
        # Two objects joined as bytes: the body is not parsed again for every receiver.
        return orjson.dumps(position)[:-1] + b"," + self.body[1:]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The learner was erased: the log is gone, the next one has another epoch."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection was lost and is back; pushes in between came only to the logs."""


Heard = tuple[str, StoredPush | Forgotten] | Reconnected
"""What a listener gets: a learner with what happened, or Reconnected."""


def parse_entry(epoch: str, offset: int, entry: bytes) -> StoredPush:
    """Read an entry of the log (see `push_scripts`)."""
    _event_id, kind, caused_by, body = entry.split(b"\n", 3)
    name = kind.decode()
    causes = tuple(orjson.loads(caused_by))
    return StoredPush(
        epoch, offset, name.removeprefix("-"), causes, body, superseded=name.startswith("-")
    )


def _parse_published(payload: bytes) -> StoredPush | Forgotten:
    if not payload:
        return Forgotten()
    epoch, offset, entry = payload.split(b"\n", 2)
    return parse_entry(epoch.decode(), int(offset), entry)


class Subscription:
    """The learners that one gateway follows. One consumer iterates; anyone adds and removes."""

    def __init__(self, redis: Redis, channel_of: Callable[[str], str]) -> None:
        self._redis = redis
        self._channel_of = channel_of
        self._followed: dict[bytes, str] = {}
        self._asked: dict[bytes, tuple[str, Future[None]]] = {}
        # SUBSCRIBEs that this connection has not confirmed. Only the last counts: after
        # add, remove, add the first confirmation is still of the cancelled one.
        self._unconfirmed: Counter[bytes] = Counter()
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue(maxsize=_QUEUE)
        self._connection: AbstractConnection | None = None
        self._tried = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    async def add(self, user_id: str) -> None:
        """Follow a learner; on return every later push is heard. Adding twice is harmless.

        Raises redis.ConnectionError while Redis cannot be reached; the learner is not
        followed then.
        """
        if self._reader is None and not self._closed:
            self._reader = asyncio.create_task(self._follow(), name="push-subscription")
        await self._tried.wait()
        channel = self._channel_of(user_id).encode()
        if channel in self._followed:
            return
        if channel not in self._asked:
            connection = self._connection
            if connection is None:
                raise RedisConnectionError("the push subscription has no connection to Redis")
            self._asked[channel] = (user_id, asyncio.get_running_loop().create_future())
            self._unconfirmed[channel] += 1
            await self._send(connection, "SUBSCRIBE", channel)
        asked = self._asked.get(channel)
        if asked is not None:
            # Shielded: one waiter that is cancelled does not undo it for the others.
            await asyncio.shield(asked[1])
        elif channel not in self._followed:
            raise RedisConnectionError("the push subscription lost its connection to Redis")

    async def remove(self, user_id: str) -> None:
        """Stop following a learner; what was already heard of it may still be yielded."""
        channel = self._channel_of(user_id).encode()
        asked = self._asked.pop(channel, None)
        if asked is not None:
            asked[1].cancel()
        followed = self._followed.pop(channel, None)
        if self._connection is not None and (asked or followed) is not None:
            await self._send(self._connection, "UNSUBSCRIBE", channel)

    async def close(self) -> None:
        """End it, and the iteration with it; safe to call twice."""
        self._closed = True
        self._tried.set()
        if self._reader is not None:
            await end(self._reader)
        while not self._heard.empty():
            self._heard.get_nowait()
        self._heard.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Heard]:
        """What happens to the learners followed, in the order of each one's log."""
        while (heard := await self._heard.get()) is not None:
            yield heard

    # -- the connection: one task owns it -------------------------------------------------

    async def _follow(self) -> None:
        failures = 0
        lost = False
        while True:
            connection = self._new_connection()
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                server = await _run_id(connection)
                await self._resubscribe(connection)
                self._connection = connection
                self._tried.set()
                failures = 0
                await self._read_from(server, connection, lost=lost)
            except (RedisError, OSError, ValueError) as error:
                log.warning("subscription.lost", error=repr(error))
            finally:
                lost = lost or self._connection is not None
                self._connection = None
                self._fail_asked()
                await connection.disconnect(nowait=True)
                self._tried.set()
            delay = min(_BACKOFF_CAP, _BACKOFF_START * 2**failures)
            failures = min(failures + 1, 16)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311

    def _new_connection(self) -> AbstractConnection:
        """One of its own, which fails instead of reconnecting behind our back.

        RESP2, because there a subscribed connection reads nothing but plain lists.
        """
        pool = self._redis.connection_pool
        options = {
            name: value
            for name, value in pool.connection_kwargs.items()
            if not name.startswith(("maint_", "orig_", "oss_"))
        }
        options |= {
            "protocol": 2,
            "decode_responses": False,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        connection: AbstractConnection = pool.connection_class(**options)
        return connection

    async def _resubscribe(self, connection: AbstractConnection) -> None:
        self._unconfirmed.clear()
        channels = iter(list(self._followed))
        while chunk := list(islice(channels, _CHANNELS_PER_COMMAND)):
            self._unconfirmed.update(chunk)
            await connection.send_command("SUBSCRIBE", *chunk)
        # Answered in order: after this one's pong everybody above is followed.
        await connection.send_command("PING", _FOLLOWING)

    async def _read_from(self, server: str, connection: AbstractConnection, *, lost: bool) -> None:
        """Read until the connection is lost, or the server is not the primary any more."""
        tasks = (
            asyncio.create_task(self._read(connection, lost=lost)),
            asyncio.create_task(self._until_other_primary(server)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end(*tasks)

    async def _until_other_primary(self, server: str) -> None:
        # Asked by another connection: with RESP2 one that subscribes answers nothing but pings.
        while True:
            await asyncio.sleep(_PRIMARY_INTERVAL)
            # Redis away: the reading finds that, too.
            with contextlib.suppress(RedisError, OSError):
                if await primary(self._redis) != server:
                    break
        raise RedisConnectionError("another server is the primary now")

    async def _read(self, connection: AbstractConnection, *, lost: bool) -> None:
        asked_for_life = False
        while True:
            message = await connection.read_response(
                timeout=_PING_INTERVAL, disconnect_on_error=False
            )
            if message is None:
                if asked_for_life:
                    raise RedisConnectionError("Redis did not answer a ping")
                asked_for_life = True
                await connection.send_command("PING", _ALIVE)
                continue
            asked_for_life = False
            match message:
                case [b"message", channel, payload]:
                    user_id = self._followed.get(channel)
                    if user_id is not None:
                        await self._heard.put((user_id, _parse_published(payload)))
                case [b"subscribe", channel, _]:
                    self._confirm(channel)
                case [b"pong", b"following"] | b"following" if lost:
                    await self._heard.put(Reconnected())

    async def _send(self, connection: AbstractConnection, command: str, channel: bytes) -> None:
        # A write that fails leaves the connection to its reader, which finds it closed,
        # fails whoever waits for a confirmation and connects again.
        try:
            await connection.send_command(command, channel)
        except (RedisError, OSError):
            pass
        except AttributeError:
            # redis-py begins the write in a task, which finds no writer where the reader has
            # disconnected meanwhile.
            if self._connection is connection:
                raise

    def _confirm(self, channel: bytes) -> None:
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return
        del self._unconfirmed[channel]
        asked = self._asked.pop(channel, None)
        if asked is not None:
            user_id, confirmed = asked
            # Before the waiter runs: the next message may be this learner's.
            self._followed[channel] = user_id
            confirmed.set_result(None)

    def _fail_asked(self) -> None:
        for _, confirmed in self._asked.values():
            if not confirmed.done():
                confirmed.set_exception(
                    RedisConnectionError("the push subscription lost its connection to Redis")
                )
                # Nobody may be waiting any more; that is no error of the event loop's.
                confirmed.exception()
        self._asked.clear()


async def _run_id(connection: AbstractConnection) -> str:
    await connection.send_command("INFO", "server")
    answer = bytes(await connection.read_response())
    return answer.partition(b"run_id:")[2].split(None, 1)[0].decode()
