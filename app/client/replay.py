"""Replays recorded client messages as one learner's client, and measures what comes back.

A recording is one JSON object a line: `{"at": seconds, "message": {...}}`. `at` counts
from the recording's start and does not fall; `message` is what a client sends
(schemas.wire.client).

By default a replay is a new session: ids are fresh (the server would recognise the old
ones as a client's retry) and times move to now. `as_recorded` changes nothing.

Messages go through `app.client.learner`: they are sent again over new connections until masterx
acknowledges them, so a gateway that restarts costs time and no message. What that client does by
itself (ping, resume) is not taken from a recording.

Errors:
    NotReplayable   names file, line and field
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from app.client.learner import Disconnected, LearnerClient, Refused
from app.process.errors import OperatorError
from schemas.base import new_event_id
from schemas.wire.client import CLIENT_MESSAGE
from schemas.wire.server import Ack

_OF_THE_SESSION = frozenset({"eventId", "event_id", "userId", "user_id"})
"""What a renewed message leaves to the server: it knows who is speaking."""

_AWAITED = frozenset({"interaction_batch", "chat_message"})
"""Messages that a state follows. Their answers are told apart by an id, so each gets one."""

_OF_THE_CLIENT = frozenset({"ping", "resume"})
"""Messages that the client sends by itself, where they are due."""

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
    """Why the connection ended for good."""
    left_out: int = 0
    """Messages that the client sends by itself."""
    sent_at: dict[str, float] = field(default_factory=dict)
    acked_at: dict[str, float] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    """Messages that no state follows: refused, known before, or acknowledged feedback."""
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stated_at: dict[str, float] = field(default_factory=dict)

    @property
    def ack_latencies(self) -> list[float]:
        """Seconds from first sending a message to its ack."""
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
            if name in self.settled:
                continue
            events = self.events.get(name)
            if events is None or not any(event in self.stated_at for event in events):
                return False
        return True

    def acknowledge(self, ack: Ack, at: float, *, awaited: bool) -> None:
        """Note an ack. awaited: a state follows the message."""
        self.received["ack"] += 1
        self.acked_at[ack.id] = at
        self.errors.update(["rejected"] * len(ack.rejected))
        # A duplicate was accepted before: no new state follows it.
        fresh = tuple(one for one in ack.event_ids if one not in ack.duplicates)
        if fresh and awaited:
            self.events[ack.id] = fresh
        else:
            self.settled.add(ack.id)

    def refuse(self, name: str, code: str) -> None:
        """Note that a message is not accepted, and that another try would not help."""
        self.errors[code] += 1
        self.settled.add(name)

    def take(self, frame: dict[str, Any], at: float) -> None:
        """Note what the server sent by itself."""
        kind = str(frame.get("type"))
        self.received[kind] += 1
        if kind == "user_state_update":
            for event in frame.get("causedBy", ()):
                self.stated_at.setdefault(event, at)


async def replay(
    client: LearnerClient,
    lines: Sequence[Line],
    *,
    speed: float = 1.0,
    as_recorded: bool = False,
    patience: float = 10.0,
    show: Show = lambda at, direction, message: None,
) -> Outcome:
    """Send a recording and take what comes back.

    Args:
        client: connected.
        lines: the recording.
        speed: times the recorded pace; infinite sends as fast as the gateway lets.
        as_recorded: keep ids and times.
        patience: seconds to wait, after the last message, for answers that are due.
        show: told of every message, both ways.
    """
    return await _Replay(client, show).run(lines, speed, as_recorded, patience)


class _Replay:
    """One replay under way."""

    def __init__(self, client: LearnerClient, show: Show) -> None:
        self._client = client
        self._show = show
        self._began = time.monotonic()
        self._changed = asyncio.Event()
        self._outcome = Outcome()

    async def run(
        self, lines: Iterable[Line], speed: float, as_recorded: bool, patience: float
    ) -> Outcome:
        outcome = self._outcome
        receiving = asyncio.create_task(self._receive(self._client.frames()))
        try:
            for line in lines:
                await self._send(line, speed, as_recorded)
            async with asyncio.timeout(patience):
                while not outcome.complete and outcome.closed is None:
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            pass
        except Disconnected as error:
            outcome.closed = str(error)
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        return outcome

    async def _receive(self, frames: AsyncGenerator[dict[str, Any], None]) -> None:
        try:
            async with aclosing(frames):
                async for frame in frames:
                    at = time.monotonic()
                    self._outcome.take(frame, at)
                    self._came(frame, at)
        except Disconnected as error:
            self._outcome.closed = str(error)
            self._changed.set()

    async def _send(self, line: Line, speed: float, as_recorded: bool) -> None:
        if line.message["type"] in _OF_THE_CLIENT:
            self._outcome.left_out += 1
            return
        wait = self._began + line.at / speed - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        message = line.message if as_recorded else renewed(line.message, time.time())
        message = {"id": new_event_id(), **message}
        at = time.monotonic()
        kind, name = str(message["type"]), str(message["id"])
        self._outcome.sent[kind] += 1
        self._outcome.sent_at.setdefault(name, at)
        self._show(at - self._began, "→", message)
        try:
            acked = await self._client.send(message)
        except Refused as refused:
            self._refused(name, refused)
        else:
            acked.add_done_callback(partial(self._answered, name, kind in _AWAITED))

    def _answered(self, name: str, awaited: bool, acked: asyncio.Future[Ack]) -> None:
        error = None if acked.cancelled() else acked.exception()
        if isinstance(error, Refused):
            self._refused(name, error)
        elif error is None and not acked.cancelled():
            ack, at = acked.result(), time.monotonic()
            self._outcome.acknowledge(ack, at, awaited=awaited)
            self._came(ack.document(), at)

    def _refused(self, name: str, refused: Refused) -> None:
        self._outcome.refuse(name, refused.code)
        said = {"code": refused.code, "field": refused.field, "message": refused.message}
        self._came({"type": "error", "id": name, **said}, time.monotonic())

    def _came(self, message: dict[str, Any], at: float) -> None:
        self._show(at - self._began, "←", message)
        self._changed.set()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are at or below (nearest rank). Raises ValueError if none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
