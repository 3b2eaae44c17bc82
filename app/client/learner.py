"""One learner's connection: send events, hear what comes of them, each once.

    from app.client.learner import LearnerClient

    async with LearnerClient("http://127.0.0.1:8000", "ada", token) as ada:
        await ada.record([{"interactionType": "click", "elementId": "next"}])
        async for part in ada.say("I still do not see why"):
            print(part.text)
        async for push in ada.watch():
            print(push)

A message is kept until masterx acknowledges it. When the connection ends, the client connects
again, resumes its pushes, and sends what is not acknowledged with the same ids (docs/wire.md).
What is not acknowledged when the process ends is lost: nothing is written to disk.

Errors:
    Refused       masterx does not take a message, and a retry would not help
    Disconnected  the connection ended for good: closed, or not allowed (an OperatorError)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, get_args

import orjson

from app.client.connection import Connection, Disconnected, Frames, GetToken, Refused
from schemas.base import new_event_id
from schemas.wire.server import Ack, Push, ServerMessage, TutorDelta, TutorReply

__all__ = ["Disconnected", "LearnerClient", "Recorded", "Refused"]

_PUSHES: Final[dict[str, type[Push]]] = {
    model.model_fields["type"].default: model
    for model in get_args(ServerMessage)
    if issubclass(model, Push)
}
_BATCH: Final = 50
"""Interactions of a message."""
_BYTES: Final = 48 * 1024
"""Bytes of them, unless one has more."""
_REPLY_WITHIN: Final = 120.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was accepted. Like `ack`, for all batches of a call together."""

    event_ids: tuple[str, ...]
    duplicates: tuple[str, ...]
    rejected: tuple[tuple[int, str], ...]
    """Index in the call and why, of interactions that are left out."""


class LearnerClient:
    """A connection to one learner. Use it as an async context manager, in one event loop.

    Args:
        url: of the gateway, like http://127.0.0.1:8000.
        user: the learner.
        token: or an async function that gives one; it is asked before each connection.
    """

    def __init__(self, url: str, user: str, token: str | GetToken) -> None:
        """Raises OperatorError: `url` is no address."""
        self._connection = Connection(url, user, token)

    async def __aenter__(self) -> Self:
        """Connect. Raises OperatorError: no gateway there; Disconnected: it does not let us in."""
        await self._connection.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. Messages that are not acknowledged fail with Disconnected."""
        await self._connection.close()

    # -- sending -------------------------------------------------------------------------

    async def record(self, interactions: Sequence[Mapping[str, Any]]) -> Recorded:
        """Send interactions, as docs/wire.md spells them; returns once Kafka has them.

        Without `timestamp` an interaction happened now; without `eventId` it gets one.

        Raises Refused, Disconnected.
        """
        now = time.time() * 1000
        whole = [{"timestamp": int(now), "eventId": new_event_id(), **one} for one in interactions]
        sent = [
            (at, await self._connection.send("interaction_batch", interactions=part))
            for at, part in _batches(whole)
        ]
        ids: list[str] = []
        duplicates: list[str] = []
        rejected: list[tuple[int, str]] = []
        for at, pending in sent:
            ack = await asyncio.shield(pending.done)
            ids += ack.event_ids
            duplicates += ack.duplicates
            rejected += [
                (at + one.index, f"{one.field or 'interaction'}: {one.message}")
                for one in ack.rejected
            ]
        return Recorded(tuple(ids), tuple(duplicates), tuple(rejected))

    async def tell(self, text: str) -> str:
        """Send what the learner wrote, without asking for a reply; the event's id.

        Raises Refused, Disconnected.
        """
        pending = await self._connection.send("chat_message", text=text, wantsReply=False)
        return (await asyncio.shield(pending.done)).event_ids[0]

    async def say(
        self, text: str, *, mode: str | None = None, within: float = _REPLY_WITHIN
    ) -> AsyncIterator[TutorDelta | TutorReply]:
        """Send what the learner wrote, and give the tutor's reply as it comes.

        Deltas come in their order. One of a higher `attempt` voids those before it. After a gap
        no more deltas of that attempt come: the reply has the whole text. The last part is a
        TutorReply with `final`.

        Args:
            mode: how the learner chose to be helped; None: the tutor chooses.
            within: seconds until the final reply.

        Raises Refused, Disconnected; TimeoutError: no final reply came in time.
        """
        event_id = new_event_id()
        more = {} if mode is None else {"replyMode": mode}
        order = _InOrder()
        until = asyncio.get_running_loop().time() + within
        queue = self._connection.listen()
        try:
            async with asyncio.timeout_at(until):
                message = {"eventId": event_id, "text": text, "wantsReply": True, **more}
                pending = await self._connection.send("chat_message", **message)
                await asyncio.shield(pending.done)
            while True:
                # Never around a yield: what the caller does meanwhile is not ours to cancel.
                async with asyncio.timeout_at(until):
                    frame = await self._connection.next(queue)
                if event_id not in frame.get("causedBy", ()):
                    continue
                push = _push(frame)
                if isinstance(push, (TutorDelta, TutorReply)) and order.takes(push):
                    yield push
                    if isinstance(push, TutorReply) and push.final:
                        return
        finally:
            self._connection.leave(queue)

    async def feedback(self, target_type: str, target_id: str, outcome: str) -> str:
        """Say what came of a recommendation, an intervention or a reply; the event's id.

        Raises Refused, Disconnected.
        """
        pending = await self._connection.send(
            "feedback", targetType=target_type, targetId=target_id, outcome=outcome
        )
        return (await asyncio.shield(pending.done)).event_ids[0]

    async def send(self, message: Mapping[str, Any]) -> asyncio.Future[Ack]:
        """Send a message as docs/wire.md spells it, with its `type`; await what comes for its ack.

        For interaction_batch, chat_message and feedback. Without `id` it gets one. A message whose
        `id` is under way already is not sent a second time.

        Raises Disconnected, Refused; the future too.
        """
        fields = {name: value for name, value in message.items() if name != "type"}
        return (await self._connection.send(str(message["type"]), **fields)).done

    # -- hearing -------------------------------------------------------------------------

    def watch(self) -> AsyncGenerator[Push, None]:
        """Every push from this call on, once and in order.

        Raises Disconnected; InvalidMessage: a push is not what this release knows by its type.
        """
        return self._pushes(self.frames())

    def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """As on the wire: `hello`, the pushes from this call on, and `resumed` where some are lost.

        Raises Disconnected.
        """
        # Here, and not at the first step: what comes until then is not to be missed.
        return self._frames(self._connection.listen(), self._connection.hello)

    async def _frames(
        self, queue: Frames, hello: dict[str, Any] | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        try:
            if hello is not None:
                yield hello
            while True:
                yield await self._connection.next(queue)
        finally:
            self._connection.leave(queue)

    async def _pushes(
        self, frames: AsyncGenerator[dict[str, Any], None]
    ) -> AsyncGenerator[Push, None]:
        async with aclosing(frames):
            async for frame in frames:
                if (push := _push(frame)) is not None:
                    yield push


def _batches(
    interactions: Sequence[dict[str, Any]],
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Cut to messages: where each begins, and what is in it. A large one goes alone."""
    begin, size = 0, 0
    part: list[dict[str, Any]] = []
    for at, one in enumerate(interactions):
        more = len(orjson.dumps(one))
        if part and (len(part) == _BATCH or size + more > _BYTES):
            yield begin, part
            begin, part, size = at, [], 0
        part.append(one)
        size += more
    if part:
        yield begin, part


class _InOrder:
    """Which parts of one reply to give on (docs/wire.md, tutor_delta and tutor_reply)."""

    def __init__(self) -> None:
        self._attempt = 0
        self._index = 0

    def takes(self, part: TutorDelta | TutorReply) -> bool:
        """Whether this part stands; remembers what it says of those that follow."""
        if isinstance(part, TutorReply):
            return True
        if part.attempt > self._attempt:
            self._attempt, self._index = part.attempt, 0
        if part.attempt < self._attempt or part.index != self._index:
            return False
        self._index += 1
        return True


def _push(frame: dict[str, Any]) -> Push | None:
    """A frame as a push; None for any other, and for one that a newer release knows."""
    model = _PUSHES.get(str(frame.get("type")))
    return None if model is None else model.read(frame)
