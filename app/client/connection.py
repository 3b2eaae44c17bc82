"""A connection that comes back: messages go out until they are acknowledged, pushes come once.

What docs/wire.md asks of a client: the same ids and one `attempt` more for each try, `resume` from
the last place, close codes, waits, and a bound on what is under way.

Errors:
    Refused       masterx does not take a message, and a retry would not help
    Disconnected  the connection ended for good: closed, or not allowed (an OperatorError)
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.client.gateway import connected, socket_url
from app.process.errors import OperatorError
from schemas.base import InvalidMessage, new_event_id
from schemas.wire.errors import CloseCode, ErrorCode
from schemas.wire.server import Ack

GetToken = Callable[[], Awaitable[str]]
Frames = asyncio.Queue[dict[str, Any] | None]
"""What comes, as on the wire; None: nothing more."""

_PASSING: Final = frozenset(
    {ErrorCode.RATE_LIMITED, ErrorCode.SLOW_DOWN, ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL}
)
"""Errors after which the same message may be accepted."""
_KNOWN: Final = frozenset(ErrorCode)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
"""Seconds before a new connection: the first, doubled up to the last, times a random share."""
_STEADY: Final = 5.0
"""Seconds that a connection lives to count as one that works."""
_UNACKNOWLEDGED: Final = 200
"""Events under way, until `hello` says how many there may be."""
_LARGEST: Final = 262_144
"""Bytes of a message, until `hello` says how many there may be."""
_BESIDE: Final = 64
"""Bytes of `attempt` and `sentAt`."""
_OPEN_WITHIN: Final = 30.0
"""Seconds until the first `hello`."""
_UNPROVEN: Final = 2
"""Tokens that are refused, one after another, until no more are asked for."""
_HEARD: Final = 10_000
"""Frames that wait for whoever iterates."""


class Refused(Exception):
    """masterx does not take a message.

    Attributes: code, field (dotted path or None), message: as in `error` on the wire.
    """

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        where = "" if field is None else f" ({field})"
        super().__init__(f"{code}{where}: {message}")
        self.code, self.field, self.message = code, field, message


class Disconnected(OperatorError):
    """The connection has ended for good."""


class Pending:
    """A message that is not acknowledged."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.message = message
        self.events = len(message.get("interactions", (None,)))
        self.attempt = 0
        self.done: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()


class Connection:
    """A connection to one learner, for one event loop: `open`, use, `close`.

    Args:
        url: of the gateway, like http://127.0.0.1:8000.
        user: the learner.
        token: or an async function that gives one; it is asked before each connection.
    """

    def __init__(self, url: str, user: str, token: str | GetToken) -> None:
        """Raises OperatorError: `url` is no address."""
        self._url = socket_url(url, user)
        self._token = token
        self._socket: ClientConnection | None = None
        self._place: tuple[str, int] | None = None
        self._resuming = False
        self._hello: dict[str, Any] | None = None
        self._pending: dict[str, Pending] = {}
        self._room = asyncio.Condition()
        self._unacknowledged = _UNACKNOWLEDGED
        self._reconnect_after: float | None = None
        self._heard: set[Frames] = set()
        self._opened = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._largest = _LARGEST
        self._greeted_now = False
        self._unproven = 0
        """Connections in a row that ended with 4401 before `hello`."""
        self._ended: Disconnected | None = None
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises OperatorError: no gateway there; Disconnected: it does not let us in."""
        self._running = asyncio.create_task(self._run(), name="learner-client")
        opened = asyncio.create_task(self._opened.wait())
        try:
            await asyncio.wait(
                {self._running, opened},
                timeout=_OPEN_WITHIN,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._running.done():
                self._running.result()
            if not opened.done():
                raise Disconnected(f"the gateway did not let us in within {_OPEN_WITHIN:g} s")
        except BaseException:
            await self.close()
            raise
        finally:
            opened.cancel()

    async def close(self) -> None:
        """End it. Messages that are not acknowledged fail with Disconnected."""
        assert self._running is not None
        self._running.cancel()
        try:
            await asyncio.gather(self._running, return_exceptions=True)
        finally:
            self._end(Disconnected("the client was closed"))

    # -- for whoever uses it -------------------------------------------------------------

    @property
    def hello(self) -> dict[str, Any] | None:
        """What the gateway said first."""
        return self._hello

    async def send(self, kind: str, **fields: Any) -> Pending:
        """A message that is under way, once there is room for it; one that is so already, as it is.

        Raises Disconnected; Refused: it is too large for the gateway.
        """
        if self._ended is not None:
            raise self._ended
        message = {"type": kind, "id": new_event_id(), **fields}
        if (known := self._pending.get(message["id"])) is not None:
            return known
        if kind == "chat_message":
            message = {"timestamp": int(time.time() * 1000), **message}
        # Far beyond its bound the gateway would not read it, but close: again and again.
        if len(orjson.dumps(message)) + _BESIDE > self._largest:
            raise Refused(ErrorCode.TOO_LARGE, f"a message has at most {self._largest} bytes")
        pending = Pending(message)
        async with self._room:
            await self._room.wait_for(lambda: self._has_room(pending) or self._ended is not None)
            if self._ended is not None:
                raise self._ended
            self._pending[message["id"]] = pending
        await self._try(pending)
        return pending

    def listen(self) -> Frames:
        """A queue that gets every frame from now on."""
        queue: Frames = asyncio.Queue(_HEARD)
        self._heard.add(queue)
        return queue

    def leave(self, queue: Frames) -> None:
        """No more frames into this queue."""
        self._heard.discard(queue)

    async def next(self, queue: Frames) -> dict[str, Any]:
        """The next frame of a queue. Raises Disconnected."""
        frame = None if self._ended is not None and queue.empty() else await queue.get()
        if frame is None:
            raise self._ended or Disconnected("whoever listens takes too long for what comes")
        return frame

    def _tell(self, frame: dict[str, Any] | None) -> None:
        for queue in list(self._heard):
            try:
                queue.put_nowait(frame)
            except asyncio.QueueFull:
                self._heard.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    # -- the connection ------------------------------------------------------------------

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._connect_once()
                except Disconnected:
                    raise
                except Exception:  # no gateway there, or no token to be had: later, perhaps
                    if not self._opened.is_set():
                        raise
                if time.monotonic() - began > _STEADY:
                    wait = _FIRST_WAIT
                told, self._reconnect_after = self._reconnect_after, None
                await asyncio.sleep(wait * random.random() if told is None else told)  # noqa: S311
                wait = min(2 * wait, _LONGEST_WAIT)
        except Exception as error:
            self._end(error if isinstance(error, Disconnected) else Disconnected(str(error)))
            raise

    async def _connect_once(self) -> None:
        token = self._token if isinstance(self._token, str) else await self._token()
        self._greeted_now = False
        async with connected(self._url, token) as socket:
            try:
                async for raw in socket:
                    with suppress(InvalidMessage, KeyError, TypeError, ValueError):
                        self._take(socket, orjson.loads(raw))  # or a newer release's: ignored
            except ConnectionClosed:
                pass  # the close code says whether to come back
            finally:
                self._socket = None
            if self._for_good(socket.close_code):
                raise Disconnected(
                    f"closed by the gateway: {socket.close_code} {socket.close_reason}"
                )

    def _for_good(self, code: int | None) -> bool:
        """Whether another connection would end the same way."""
        if self._greeted_now or code != CloseCode.UNAUTHORIZED:
            self._unproven = 0
        if code != CloseCode.UNAUTHORIZED:
            return code == CloseCode.FORBIDDEN
        # A token that was good has expired; one that never was is wrong.
        self._unproven += not self._greeted_now
        return isinstance(self._token, str) or self._unproven >= _UNPROVEN

    def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "hello":
            self._greeted(socket, message)
        elif kind == "resumed":
            self._resumed(message)
        elif kind == "ack":
            self._acknowledged(Ack.read(message))
        elif kind == "error":
            self._failed(message)
        elif kind == "restarting":
            self._reconnect_after = float(message["reconnectAfter"])
        elif "epoch" in message and not self._resuming:
            place = str(message["epoch"]), int(message["offset"])
            if self._place is None or self._place[0] != place[0] or self._place[1] < place[1]:
                self._place = place
                self._tell(message)

    def _greeted(self, socket: ClientConnection, hello: dict[str, Any]) -> None:
        self._socket = socket
        self._greeted_now = True
        limits = hello.get("limits", {})
        self._largest = int(limits.get("maxMessageBytes", _LARGEST))
        self._unacknowledged = int(limits.get("unacknowledged", _UNACKNOWLEDGED))
        if self._place is None:
            self._place = str(hello["epoch"]), int(hello["offset"])
            self._hello = hello
            self._tell(hello)
        else:
            self._resuming = True
            self._spawn(self._resume())  # before what is sent again below
        self._opened.set()
        for pending in list(self._pending.values()):
            self._spawn(self._try(pending))

    async def _resume(self) -> None:
        if self._place is not None:
            epoch, offset = self._place
            await self._raw({"type": "resume", "epoch": epoch, "offset": offset})

    def _resumed(self, message: dict[str, Any]) -> None:
        self._resuming = False
        self._place = str(message["epoch"]), int(message["offset"])
        if not message["recovered"]:
            self._tell(message)

    def _has_room(self, pending: Pending) -> bool:
        under_way = sum(one.events for one in self._pending.values())
        return not under_way or under_way + pending.events <= self._unacknowledged

    async def _try(self, pending: Pending) -> None:
        if self._socket is None or pending.done.done():
            return  # it goes out with the next connection
        pending.attempt += 1
        sent_at = int(time.time() * 1000)
        await self._raw({**pending.message, "attempt": pending.attempt, "sentAt": sent_at})

    async def _raw(self, message: dict[str, Any]) -> None:
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(orjson.dumps(message).decode())

    def _acknowledged(self, ack: Ack) -> None:
        pending = self._settled(ack.id)
        if pending is not None and not pending.done.done():
            pending.done.set_result(ack)

    def _failed(self, error: dict[str, Any]) -> None:
        """As it came: a newer release may have codes that this one does not know."""
        code, message = str(error.get("code")), str(error.get("message"))
        after = float(error.get("retryAfter") or _FIRST_WAIT)
        pending = self._pending.get(str(error.get("id")))
        if pending is None:
            if self._resuming and code in _PASSING:  # `resume` has no id
                self._spawn(self._later(after, self._resume))
        elif code in _PASSING or ("retryAfter" in error and code not in _KNOWN):
            self._spawn(self._later(after, partial(self._try, pending)))
        else:
            self._settled(pending.message["id"])
            if not pending.done.done():
                pending.done.set_exception(Refused(code, message, error.get("field")))
                pending.done.exception()  # seen, though the caller may have gone

    async def _later(self, after: float, again: Callable[[], Awaitable[None]]) -> None:
        """Try again on this connection; a new one begins with all of it anyway."""
        socket = self._socket
        await asyncio.sleep(after)
        if self._socket is socket:
            await again()

    def _settled(self, message_id: str) -> Pending | None:
        pending = self._pending.pop(message_id, None)
        if pending is not None:
            self._spawn(self._tell_room())
        return pending

    async def _tell_room(self) -> None:
        async with self._room:
            self._room.notify_all()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _end(self, why: Disconnected) -> None:
        if self._ended is not None:
            return
        self._ended = why
        for task in self._sending:
            task.cancel()
        for pending in self._pending.values():
            if not pending.done.done():
                pending.done.set_exception(why)
                pending.done.exception()  # seen, though nobody may wait for it
        self._pending.clear()
        self._tell(None)
        self._spawn(self._tell_room())
