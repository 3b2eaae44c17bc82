"""What a learner is told where the emotion model reads danger in a message, whoever comes first.

A concern comes from the emotion worker, and a request for a reply to the same message by way of
the learner worker: either may be the first. So help takes the reply's own place in the ledger:
1. People are told, with no store between: not even the message's text is looked up.
2. The reply is claimed from whoever works on it, and what they showed is void.
3. Help is kept as *the* reply: a request that comes later is told it again.
4. Where a reply is out already, help follows it by an id of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from redis.exceptions import RedisError

from agents.runtime.ports import PushLogWriter
from agents.runtime.retrying import StoreError
from agents.tutor import Send
from app.tutor.replies.ledger import ClaimGone, ClaimLost, Finished, Ledger
from app.tutor.replies.messages import human_help
from app.tutor.replies.reply_stream import ReplyStream
from app.tutor.screening.safety_screening import SafetyScreening
from schemas.topics.concerns import ConcernRead
from schemas.topics.tutor import TutorReplied, TutorRequested

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PATIENCE: Final = 2.0
"""Seconds that Redis may take before the learner is helped without it."""
_CLAIMS: Final = 5
"""Claims of one reply: another worker that takes it in between knows nothing of the concern."""


class Insist(Protocol):
    """Calls until a store has taken it."""

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns."""
        ...


class Helping:
    """Of one worker.

    Args:
        under_way: requests that this worker works on, by what ends each of them.
        insist: waits for Redis.
    """

    def __init__(
        self,
        hearing: SafetyScreening,
        ledger: Ledger,
        pushes: PushLogWriter,
        under_way: Mapping[asyncio.Timeout, TutorRequested],
        insist: Insist,
    ) -> None:
        self._hearing = hearing
        self._ledger = ledger
        self._pushes = pushes
        self._under_way = under_way
        self._insist = insist

    async def concern(self, read: ConcernRead, send: Send) -> None:
        """Tell people, and help the learner in place of a lesson. Repeatable."""
        danger = await self._hearing.concern(read, send)
        if danger is None:
            return
        help_ = human_help(danger, read)
        told = False
        try:
            async with asyncio.timeout(_PATIENCE):
                stands = await self._instead(help_)
        except (RedisError, StoreError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("tutor.help_not_kept", error=type(error).__name__, action="retrying")
            if self._hearing.is_fresh(read):
                await send(help_)
                told = True
            stands = await self._insist(partial(self._instead, help_))
        if stands is not None and self._hearing.is_fresh(read):
            if stands.text != help_.text:
                await send(human_help(danger, read, answered=True))
            elif not told:
                await send(stands)
        await self._insist(partial(self._ledger.unpark, read.user_id, help_.reply_id))

    async def _instead(self, help_: TutorReplied) -> TutorReplied | None:
        """Make this the reply; the one that stands, or None for an erased learner.

        Raises redis.RedisError, StoreError.
        """
        for _ in range(_CLAIMS):
            try:
                claim = await self._ledger.claim(help_)
            except ClaimLost:
                return None
            if isinstance(claim, Finished):
                # Nobody is told an empty one.
                return TutorReplied.parse(claim.reply) if claim.reply else help_
            self._interrupt(help_.reply_id)
            try:
                if claim.open:
                    showing = ReplyStream(help_, claim, self._ledger, self._pushes, 0.0)
                    await showing.void(claim.open)
                    await self._ledger.close(claim)
                kept = await self._ledger.finish(
                    claim, help_.json_bytes(), ingest_time=help_.ingest_time
                )
                return TutorReplied.parse(kept)
            except (ClaimLost, ClaimGone):
                continue
        # Whoever has it answers, and help follows that.
        return help_.model_copy(update={"text": ""})

    def _interrupt(self, reply_id: str) -> None:
        """End the work on this reply here; its claim is lost in any case."""
        for limit, request in self._under_way.items():
            if request.reply_id == reply_id and not limit.expired():
                limit.reschedule(0.0)
