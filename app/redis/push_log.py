"""The push log: per learner an epoch, a growing offset and a bounded window, in Redis.

`agents.push` appends, the tutor appends pieces of replies, gateways read and listen. An
append is dropped when it has been made before, so that at-least-once from Kafka becomes once
in the log:

- its source position is at or below the highest one appended from that partition
  (a redelivery; what comes from no topic has position -1, and no such guard), or
- its event id stands in the window (the learner worker sent an output again, at a new
  position), or
- it carries a version older than the newest of its kind.

Of states and of recommendations the log keeps the newest; what it supersedes keeps its
offset and its causes (`push_scripts`). Whatever else was pushed stays as it was. A push may
leave out detail (`NewPush.whole`): `latest` gives the newest state with all of it.

A tombstone on `user-state` ends a learner's versions: the next state may have any.

An epoch begins with a log. Redis losing its data, `log_ttl` passing without a push, an
erasure, and a restart or failover that may have lost writes all begin a new one; a client
that comes with an old epoch is told `recovered: false`. "Once" holds within an epoch and
the window: a redelivery after either is appended again, with the same ids.

A state's version is the learner table's. If Kafka's data is lost and offsets and versions
start again, Redis has to be emptied too.

What reads raises redis.RedisError as it comes; what writes raises StoreError of
agents.runtime.retrying.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from agents.runtime.ports import Appended, NewPush, PushKind
from agents.runtime.retrying import Refused
from app.redis.client import errors_told_apart, meaning
from app.redis.keys import Keys
from app.redis.push_scripts import APPEND, FORGET, LATEST, SINCE
from app.redis.subscription import StoredPush, Subscription, parse_entry
from app.settings import RedisSettings
from schemas.base import now_ms

__all__ = [
    "Appended",
    "Head",
    "Latest",
    "NewPush",
    "PushKind",
    "PushLog",
    "StoredPush",
    "Subscription",
    "Tail",
]

_NAMES: Final = ("meta", "log", "ids", "fence")
"""Of a learner's keys, as the scripts take them."""
_DROPPED: Final = frozenset({b"meta", b"log", b"ids"})
"""All but the erasure's fence."""

_USERS_PER_TRIP: Final = 128
"""Scripts in one pipeline; bounds what waits in Redis's output buffer."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a learner's log stands; offset 0 is an empty one."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Latest:
    """Head of the log with the newest state and recommendations, read together.

    Attributes:
        user_state: the `userState` document (camelCase), whole, or None.
        recommendations: body of the wire's recommendations message without `epoch`,
            `offset`, `causedBy`: `{"type": ..., "recommendations": [...]}`; or None.
    """

    epoch: str
    offset: int
    user_state: dict[str, Any] | None
    recommendations: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Tail:
    """The pushes after a place, oldest first.

    Attributes:
        pushes: whole ones and superseded ones, in one row of offsets.
        lost: whether superseded pushes after that place have lost their causes. Nothing
            else is missing.
    """

    pushes: list[StoredPush]
    lost: bool


class PushLog:
    """Every learner's push log. Safe to share; holds no state but the connection pool."""

    def __init__(self, redis: Redis, settings: RedisSettings) -> None:
        self._redis = redis
        self._keys = Keys(settings, "push")
        self._length = settings.log_length
        self._ttl = max(1, int(settings.log_ttl * 1000))
        self._append = redis.register_script(APPEND)
        self._latest = redis.register_script(LATEST)
        self._since = redis.register_script(SINCE)
        self._forget = redis.register_script(FORGET)

    async def append_many(self, pushes: Sequence[NewPush]) -> list[Appended | Refused | None]:
        """Append in the given order, each learner's pushes in one atomic step.

        Returns one item for each push: None for what was dropped, Refused where Redis will
        never take a push of this learner. After an error some learners' pushes may be in:
        append the same ones again.

        Raises agents.runtime.retrying.Retriable, Fatal.
        """
        by_user: dict[str, list[int]] = {}
        for position, push in enumerate(pushes):
            by_user.setdefault(push.user_id, []).append(position)
        result: list[Appended | Refused | None] = [None] * len(pushes)
        users = list(by_user)
        for start in range(0, len(users), _USERS_PER_TRIP):
            trip = users[start : start + _USERS_PER_TRIP]
            calls = [self._append_call(user, [pushes[i] for i in by_user[user]]) for user in trip]
            with errors_told_apart():
                replies = await self._run(calls)
            for user, reply in zip(trip, replies, strict=True):
                if isinstance(reply, Refused):
                    for position in by_user[user]:
                        result[position] = reply
                    continue
                epoch, *offsets = reply
                for position, offset in zip(by_user[user], offsets, strict=True):
                    if offset:
                        result[position] = Appended(epoch.decode(), offset)
        return result

    async def head(self, user_id: str) -> Head:
        """Where the log stands; a learner without one gets one, so that the epoch holds."""
        epoch, offset = await self._latest(keys=self._of(user_id)[:3], args=self._fresh())
        return Head(epoch.decode(), offset)

    async def latest(self, user_id: str) -> Latest:
        """Head, newest state and newest recommendations, of one moment."""
        epoch, offset, state, recommendations = await self._latest(
            keys=self._of(user_id)[:3],
            args=[*self._fresh(), PushKind.STATE, PushKind.RECOMMENDATIONS],
        )
        return Latest(
            epoch.decode(),
            offset,
            orjson.loads(state)["userState"] if state else None,
            orjson.loads(recommendations) if recommendations else None,
        )

    async def since(
        self, user_id: str, epoch: str, offset: int, limit: int | None = None
    ) -> Tail | None:
        """The pushes after (epoch, offset), at most `limit` of them.

        None when that is not known: another epoch, an offset that left the window or
        one ahead of the head.
        """
        most = -1 if limit is None else limit
        found = await self._since(
            keys=self._of(user_id)[:3],
            args=[*self._fresh(), epoch, offset, most, *PushKind.latest_wins()],
        )
        if found is None:
            return None
        lost, entries = found
        pushes = [parse_entry(epoch, offset + n, entry) for n, entry in enumerate(entries, start=1)]
        return Tail(pushes, bool(lost))

    async def forget(self, user_id: str, erased_at: int | None = None) -> None:
        """Remove every key of the learner and tell the listeners (they get `Forgotten`).

        Pushes ingested up to `erased_at` (UTC ms; default now) are dropped from then
        on for `log_ttl`: Kafka may still hold some that the push worker has not read.
        In that time the same or an earlier erasure again takes nothing away.

        Raises agents.runtime.retrying.StoreError, of every kind.
        """
        moment = now_ms() if erased_at is None else erased_at
        keys = self._of(user_id)
        with errors_told_apart():
            await self._forget(keys=keys, args=[moment, self._ttl, self._keys.user(user_id)])

    async def drop_all(self) -> None:
        """Drop every learner's log, as if its time to live had passed; erasures stay in force.

        For a Kafka that lost records: the logs hold offsets that it will give out again.
        """
        async for key in self._redis.scan_iter(match=self._keys.users, count=500):
            if bytes(key).rsplit(b":", 1)[-1] in _DROPPED:
                await self._redis.unlink(key)

    def listen(self) -> Subscription:
        """Follow learners' pushes as they are appended; close() it after use."""
        return Subscription(self._redis, self._keys.user)

    def _append_call(self, user_id: str, pushes: Sequence[NewPush]) -> list[Any]:
        call: list[Any] = [self._append.sha, 4, *self._of(user_id), *self._fresh()]
        call += [self._length, self._keys.user(user_id)]
        for push in pushes:
            call += [
                f"{push.topic}:{push.partition}",
                push.offset,
                push.event_id,
                push.kind or "",
                "" if push.version is None else push.version,
                push.ingest_time,
                orjson.dumps(push.caused_by),
                push.body,
                push.whole or "",
            ]
        return call

    async def _run(self, calls: Sequence[list[Any]]) -> list[Any]:
        """Run append scripts in one round trip; load them where Redis has lost them.

        Returns a reply for each: Refused where this one learner's keys are at fault. Any other
        error is raised.
        """
        replies = await self._pipelined(calls)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            await self._redis.script_load(APPEND)
            again = await self._pipelined([calls[i] for i in unknown])
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
        for i, reply in enumerate(replies):
            if isinstance(reply, Exception):
                replies[i] = meaning(reply)
                if not isinstance(replies[i], Refused):
                    raise replies[i] from reply
        return replies

    async def _pipelined(self, calls: Sequence[list[Any]]) -> list[Any]:
        # Not through Script objects: a pipeline with those asks SCRIPT EXISTS each time.
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(*call)
        return list(await pipeline.execute(raise_on_error=False))

    def _fresh(self) -> list[str | int]:
        """The epoch that a log gets if this call begins one, and the time to live."""
        return [secrets.token_urlsafe(9), self._ttl]

    def _of(self, user_id: str) -> list[str]:
        return [self._keys.of_user(user_id, name) for name in _NAMES]
