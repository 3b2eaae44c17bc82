"""A reply as it is being written: its pieces on their way into the learner's push log.

The log keeps a bounded number of pushes, so pieces are gathered: the first goes at once, then
one in `piece_interval` seconds at most. Pieces that are still gathered when the text ends are
not sent: the reply follows, and holds the whole of it. Where Redis does not take a piece at
once, no more of that attempt are shown: a provider must not wait for it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

import orjson
import structlog
from redis.exceptions import RedisError

from agents.runtime.ports import NewPush, PushKind, PushLogWriter
from agents.runtime.retrying import StoreError
from app.tutor.replies.ledger import Claim, Ledger
from models.ids import derived_id
from schemas.topics.tutor import ReplyFields, ReplyStatus, TutorReplied, TutorRequested

log = structlog.get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds that Redis may take for a piece."""
_SOURCE: Final = "tutor"
"""Stands for a topic; with offset -1 the push log goes by the id alone."""


class ReplyStream:
    """The listener of one answer (`app.tutor.providers.router_types.Listener`).

    Attempts go on from those that earlier claims have shown. Raises app.tutor.replies.ledger's
    ClaimLost where another worker has the request by now, and ClaimGone where Redis forgot it.
    """

    def __init__(
        self,
        request: TutorRequested | TutorReplied,
        claim: Claim,
        ledger: Ledger,
        pushes: PushLogWriter,
        interval: float,
    ) -> None:
        self._request = request
        self._claim = claim
        self._ledger = ledger
        self._pushes = pushes
        self._interval = interval
        self._gathered: list[str] = []
        self._begun = 0
        self._standing = 0
        self._muted = 0
        self._index = 0
        self._shown_at = -math.inf

    def numbered(self, attempt: int) -> int:
        """An attempt's number as the learner sees it; 0 stays 0."""
        return self._claim.attempt + attempt if attempt else 0

    @property
    def highest(self) -> int:
        """The highest attempt that the learner may have seen a piece of, under any claim."""
        return max(self._claim.attempt, self._begun)

    @property
    def standing(self) -> int:
        """The attempt that the learner may have seen a piece of and that is not void, or 0."""
        return self._standing

    async def piece(self, attempt: int, index: int, text: str) -> None:
        """The next piece of an attempt."""
        number = self.numbered(attempt)
        if number == self._muted:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._take(number, text)
        except (RedisError, StoreError, OSError) as error:  # a TimeoutError is an OSError
            self._muted = number
            log.warning("tutor.pieces_not_shown", error=type(error).__name__)

    async def _take(self, number: int, text: str) -> None:
        if number != self._begun:
            await self._ledger.begin(self._claim, number)
            self._begun = self._standing = number
            self._index, self._gathered = 0, []
            self._shown_at = -math.inf
        self._gathered.append(text)
        now = asyncio.get_running_loop().time()
        if now - self._shown_at >= self._interval:
            self._shown_at = now
            await self._show(number)

    async def superseded(self, attempt: int) -> None:
        """What was shown of an attempt is void."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.withdraw()
        except (RedisError, StoreError, OSError) as error:
            log.debug("tutor.piece_not_shown", error=type(error).__name__)

    async def withdraw(self) -> None:
        """Void what stands, if anything does. Raises redis.RedisError, StoreError."""
        if self._standing:
            # Once more, to be sure of the claim: who lost it must not void behind the reply.
            await self._ledger.begin(self._claim, self._standing)
            await self.void(self._standing)
            self._standing = 0
            await self._ledger.close(self._claim)

    async def void(self, number: int) -> None:
        """Tell the learner that this attempt is superseded. Raises StoreError."""
        fields = ReplyFields(
            reply_id=self._request.reply_id,
            status=ReplyStatus.SUPERSEDED,
            final=False,
            attempt=number,
        )
        await self._push(
            PushKind.TUTOR_REPLY,
            derived_id(f"superseded:{number}", self._request.reply_id, self._request.user_id),
            fields.document(),
        )

    async def _show(self, number: int) -> None:
        text, self._gathered = "".join(self._gathered), []
        index, self._index = self._index, self._index + 1
        reply_id = self._request.reply_id
        fields = {"replyId": reply_id, "attempt": number, "index": index, "text": text}
        event_id = derived_id(f"piece:{number}:{index}", reply_id, self._request.user_id)
        await self._push(PushKind.TUTOR_DELTA, event_id, fields)

    async def _push(self, kind: PushKind, event_id: str, fields: dict[str, object]) -> None:
        push = NewPush(
            user_id=self._request.user_id,
            kind=kind,
            event_id=event_id,
            caused_by=self._request.caused_by,
            version=None,
            ingest_time=self._request.ingest_time,
            body=orjson.dumps({"type": kind, **fields}),
            topic=_SOURCE,
            partition=0,
            offset=-1,
        )
        await self._pushes.append_many([push])
