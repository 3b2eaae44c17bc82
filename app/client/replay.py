"""Replays recorded client messages over the real WebSocket, and measures what comes back.

A recording is one JSON object a line: `{"at": seconds, "message": {...}}`. `at` counts
from the recording's start and does not fall; `message` is what a client sends
(schemas.wire.client).

By default a replay is a new session: ids are fresh (the server would recognise the old
ones as a client's retry) and times move to now. `as_recorded` changes nothing.

Errors:
    NotReplayable   names file, line and field
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.process.errors import OperatorError
from schemas.base import new_event_id
from schemas.wire.client import CLIENT_MESSAGE

_OF_THE_SESSION = frozenset({"eventId", "event_id", "userId", "user_id"})
"""What a renewed message leaves to the server: it knows who is speaking."""

_AWAITED = frozenset({"interaction_batch", "chat_message"})
"""Messages that a state follows. Their answers are told apart by an id, so each gets one."""

Show = Callable[[float, str, dict[str, Any]], None]
"""Called with seconds since the start, "→" or "←", and the message."""


class NotReplayable(OperatorError):
    """A recording that cannot be used."""


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded message. `at`: seconds from the start."""

    at: float
    message: dict[str, Any]


def read(path: Path) -> list[Line]:
    """A recording. Raises NotReplayable."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotReplayable(f"{path}: {error.strerror}") from error
    lines: list[Line] = []
    for number, text in enumerate(raw.splitlines(), start=1):
        if not text.strip():
            continue
        line = _line(text, f"{path}, line {number}")
        if lines and line.at < lines[-1].at:
            raise NotReplayable(f"{path}, line {number}: at: is before the line above")
        lines.append(line)
    if not lines:
        raise NotReplayable(f"{path} has no messages")
    return lines


def _line(text: bytes, place: str) -> Line:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotReplayable(f"{place}: not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("message"), dict):
        raise NotReplayable(f'{place}: is not {{"at": seconds, "message": {{...}}}}')
    at = document.get("at")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < math.inf:
        raise NotReplayable(f"{place}: at: is not a number of seconds from 0")
    try:
        CLIENT_MESSAGE.validate_python(document["message"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise NotReplayable(f"{place}: message.{where}: {first['msg']}") from error
    return Line(float(at), document["message"])


def renewed(message: dict[str, Any], now: float) -> dict[str, Any]:
    """The message as a new one: fresh ids, its times at `now` (epoch seconds)."""
    fresh = dict(message)
    millis = int(now * 1000)
    if "id" in fresh or fresh["type"] in _AWAITED:
        fresh["id"] = new_event_id()
    for name in _OF_THE_SESSION:
        fresh.pop(name, None)
    if "timestamp" in fresh:
        fresh["timestamp"] = millis
    if isinstance(fresh.get("interactions"), list):
        fresh["interactions"] = [
            {name: value for name, value in one.items() if name not in _OF_THE_SESSION}
            | {"timestamp": millis}
            for one in fresh["interactions"]
        ]
    return fresh


@dataclass(slots=True)
class Outcome:
    """What was sent and what came of it. Times are seconds on one monotonic clock."""

    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    closed: str | None = None
    sent_at: dict[str, float] = field(default_factory=dict)
    acked_at: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stated_at: dict[str, float] = field(default_factory=dict)

    @property
    def ack_latencies(self) -> list[float]:
        """Seconds from sending a message to its ack."""
        return [at - self.sent_at[name] for name, at in self.acked_at.items()]

    @property
    def state_latencies(self) -> list[float]:
        """Seconds from sending a message to the first state update that it caused."""
        found = []
        for name, events in self.events.items():
            seen = [self.stated_at[event] for event in events if event in self.stated_at]
            if seen:
                found.append(min(seen) - self.sent_at[name])
        return found

    @property
    def complete(self) -> bool:
        """Every message is acknowledged and in the state, or refused."""
        for name in self.sent_at:
            if name in self.refused:
                continue
            events = self.events.get(name)
            if events is None or not any(event in self.stated_at for event in events):
                return False
        return True

    def take(self, message: dict[str, Any], at: float) -> None:
        """Note one message of the server."""
        kind = str(message.get("type"))
        self.received[kind] += 1
        name = message.get("id")
        if kind == "ack" and name in self.sent_at:
            self.acked_at[name] = at
            # A duplicate was accepted before: no new state follows it.
            known = set(message.get("duplicates", ()))
            if rejected := message.get("rejected"):
                self.errors["rejected"] += len(rejected)
            fresh = tuple(one for one in message.get("eventIds", ()) if one not in known)
            if fresh:
                self.events[name] = fresh
            else:
                self.refused.add(name)
        elif kind == "error":
            self.errors[str(message.get("code"))] += 1
            if name in self.sent_at:
                self.refused.add(name)
        elif kind == "user_state_update":
            for event in message.get("causedBy", ()):
                self.stated_at.setdefault(event, at)


async def replay(
    socket: ClientConnection,
    lines: Sequence[Line],
    *,
    speed: float = 1.0,
    as_recorded: bool = False,
    patience: float = 10.0,
    show: Show = lambda at, direction, message: None,
) -> Outcome:
    """Send a recording and take what comes back.

    Args:
        socket: an open connection.
        lines: the recording.
        speed: times the recorded pace; infinite sends as fast as the socket takes it.
        as_recorded: keep ids and times.
        patience: seconds to wait, after the last message, for answers that are due.
        show: told of every message, both ways.
    """
    outcome = Outcome()
    began = time.monotonic()
    changed = asyncio.Event()

    async def receive() -> None:
        try:
            async for raw in socket:
                at = time.monotonic()
                message = orjson.loads(raw)
                outcome.take(message, at)
                show(at - began, "←", message)
                changed.set()
        finally:
            changed.set()

    receiving = asyncio.create_task(receive())
    try:
        await _send(
            socket, lines, outcome, began=began, speed=speed, as_recorded=as_recorded, show=show
        )
        async with asyncio.timeout(patience):
            while not outcome.complete and not receiving.done():
                await changed.wait()
                changed.clear()
    except TimeoutError:
        pass
    except ConnectionClosed as error:
        outcome.closed = f"{error.rcvd.code} {error.rcvd.reason}" if error.rcvd else str(error)
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    return outcome


async def _send(
    socket: ClientConnection,
    lines: Iterable[Line],
    outcome: Outcome,
    *,
    began: float,
    speed: float,
    as_recorded: bool,
    show: Show,
) -> None:
    for line in lines:
        wait = began + line.at / speed - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        message = line.message if as_recorded else renewed(line.message, time.time())
        at = time.monotonic()
        outcome.sent[str(message["type"])] += 1
        # Pings and resumes have answers of their own, and no state follows feedback.
        if message["type"] in _AWAITED:
            # Sent now, whenever it happened: a recording's age is not a slow clock.
            sent_at = int(time.time() * 1000)
            message = {"id": new_event_id(), **message, "sentAt": sent_at}
            outcome.sent_at[message["id"]] = at
        show(at - began, "→", message)
        await socket.send(orjson.dumps(message).decode())


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are at or below (nearest rank). Raises ValueError if none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
