"""What became of each reply, in Redis: so that a request read again is not answered again.

A learner's keys stand in one slot of Redis Cluster:
    reply:<reply id>  hash    claim    number of the worker run that works on it, from 1
                              attempt  the highest that was shown
                              open     the attempt that is being shown; absent: none
                              tries    how often it was put off
                              final    the reply as it goes to the topic: from then on it stands
                              credit   what feedback is credited to
                              request  the request itself, from when it was put off until its
                                       reply is delivered
                              rated    id of the feedback that counted
    replies           set     reply ids that have a hash
    fence             string  an erasure's time, ms: what was ingested up to it does not count
    conversation, summary, earlier  see `conversations`
and one of all workers:
    parked            zset    learner and reply id by the time they are due, ms

Every method raises redis.RedisError as it comes, and may be repeated. Those that are given a claim
raise ClaimLost where another one is the higher, and ClaimGone where the ledger has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from app.redis.keys import Keys
from app.settings import RedisSettings
from app.tutor.config import ReplySettings
from app.tutor.replies.ledger_scripts import (
    BEGIN,
    CLAIM,
    CLOSE,
    FINISH,
    FORGET,
    PARK,
    RATE,
    TAKE_DUE,
)
from app.tutor.store import AREA
from schemas.base import DecodeError
from schemas.topics.tutor import TutorReplied, TutorRequested

log = structlog.get_logger(__name__)

_SEPARATOR: Final = "\n"
"""Between learner and reply id: neither holds one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer one request, until somebody claims it later.

    Attributes:
        number: of the claim; the highest one holds.
        attempt: the highest that was shown so far.
        open: the attempt that an earlier claim left half-shown, or 0.
        tries: how often the request was put off.
    """

    user_id: str
    reply_id: str
    number: int
    attempt: int
    open: int
    tries: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The request was answered; `reply` is empty where nothing is to be said."""

    reply: bytes


class ClaimLost(Exception):
    """Somebody else works on the request, or the learner was erased."""


class ClaimGone(Exception):
    """The ledger knows nothing of the request: Redis lost its data, or the learner was erased.

    Who claims it again finds out which.
    """


class Ledger:
    """Of every reply. Safe to share.

    Args:
        replies: how long a reply is remembered, and a conversation kept.
    """

    def __init__(self, redis: Redis, settings: RedisSettings, replies: ReplySettings) -> None:
        self._redis = redis
        self._keys = Keys(settings, AREA)
        self._ttl = int(replies.memory * 1000)
        self._talk_ttl = int(replies.conversation_ttl * 1000)
        self._scripts: dict[str, AsyncScript] = {}

    async def claim(self, request: TutorRequested | TutorReplied) -> Claim | Finished:
        """Take the request from whoever had it. Raises ClaimLost for an erased learner."""
        found = await self._run(
            CLAIM, request.user_id, request.reply_id, request.ingest_time, request.reply_id
        )
        if found is None:
            raise ClaimLost
        if len(found) == 1:
            return Finished(bytes(found[0]))
        number, attempt, shown, tries = (int(each) for each in found)
        return Claim(request.user_id, request.reply_id, number, attempt, shown, tries)

    async def begin(self, claim: Claim, attempt: int) -> None:
        """An attempt is about to be shown."""
        _held(await self._of(BEGIN, claim, attempt))

    async def close(self, claim: Claim) -> None:
        """What was shown is void, and the learner was told."""
        _held(await self._of(CLOSE, claim))

    async def finish(
        self,
        claim: Claim,
        reply: bytes,
        *,
        ingest_time: int,
        credit: bytes = b"",
        turns: Sequence[bytes] = (),
    ) -> bytes:
        """Make this the reply, unless there is one; add what was said to the conversation.

        Returns the reply that stands.
        """
        kept = await self._of(FINISH, claim, ingest_time, reply, credit, self._talk_ttl, *turns)
        if isinstance(kept, int):
            _held(kept)
        return bytes(kept)

    async def park(self, claim: Claim, request: TutorRequested, due: int) -> None:
        """Put the request off until `due` (ms)."""
        _held(await self._of(PARK, claim, request.json_bytes(), claim.tries + 1))
        await self._redis.zadd(self._parked, {self._member(claim.user_id, claim.reply_id): due})

    async def take_due(self, now: int, lease: float, limit: int) -> list[TutorRequested]:
        """Requests that are due; each is due again after `lease` seconds unless removed."""
        script = self._script(TAKE_DUE)
        members = await script(keys=[self._parked], args=[now, now + int(lease * 1000), limit])
        found = []
        for member in members:
            user_id, reply_id = bytes(member).decode().split(_SEPARATOR)
            key = self._keys.of_user(user_id, f"reply:{reply_id}")
            request = await cast("Any", self._redis.hget(key, "request"))
            try:
                # None: delivered, erased, or forgotten in time.
                parsed = None if request is None else TutorRequested.parse(request)
            except DecodeError as error:
                # Of another version, or broken: it would be no better the next time.
                log.error("tutor.parked_unreadable", reply_id=reply_id, error=str(error))
                parsed = None
            if parsed is None:
                await self.unpark(user_id, reply_id)
            else:
                found.append(parsed)
        return found

    async def unpark(self, user_id: str, reply_id: str) -> None:
        """The request is not to be tried again: its reply is delivered, or there is none."""
        key = self._keys.of_user(user_id, f"reply:{reply_id}")
        await cast("Any", self._redis.hdel(key, "request"))
        await self._redis.zrem(self._parked, self._member(user_id, reply_id))

    async def rate(self, user_id: str, reply_id: str, feedback_id: str) -> bytes | None:
        """What this feedback is credited to; None where the reply is not known or was rated.

        The same feedback again gets the same answer.
        """
        found = await self._run(RATE, user_id, reply_id, feedback_id)
        return None if found is None else bytes(found)

    async def forget(self, user_id: str, erased_at: int) -> None:
        """Remove everything of the learner; what was ingested up to `erased_at` (ms) is void."""
        of_user = self._keys.of_user
        prefix = of_user(user_id, "reply:")
        keys = [of_user(user_id, name) for name in ("replies", "fence", *TALK)]
        replies = await cast("Any", self._redis.smembers(keys[0]))
        erased = await self._script(FORGET)(keys=keys, args=[erased_at, self._ttl, prefix])
        if erased and replies:
            parked = [self._member(user_id, bytes(reply).decode()) for reply in replies]
            await self._redis.zrem(self._parked, *parked)

    @property
    def _parked(self) -> str:
        return self._keys.shared("parked")

    @staticmethod
    def _member(user_id: str, reply_id: str) -> str:
        return f"{user_id}{_SEPARATOR}{reply_id}"

    async def _of(self, script: str, claim: Claim, *arguments: str | int | bytes) -> Any:
        return await self._run(script, claim.user_id, claim.reply_id, claim.number, *arguments)

    async def _run(
        self, script: str, user_id: str, reply_id: str, *arguments: str | int | bytes
    ) -> Any:
        names = (f"reply:{reply_id}", "replies", "fence", "conversation", "summary", "earlier")
        keys = [self._keys.of_user(user_id, name) for name in names]
        return await self._script(script)(keys=keys, args=[self._ttl, *arguments])

    def _script(self, text: str) -> AsyncScript:
        if text not in self._scripts:
            self._scripts[text] = self._redis.register_script(text)
        return self._scripts[text]


def _held(state: int) -> None:
    """What the scripts return in place of a result."""
    if state < 0:
        raise ClaimGone
    if state == 0:
        raise ClaimLost


TALK: Final = ("conversation", "summary", "earlier", "preloading")
"""A learner's keys that `conversations` keeps."""
