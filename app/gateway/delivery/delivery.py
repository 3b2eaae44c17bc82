"""One subscription a process: what a learner's log gains goes to that learner's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from app.gateway.delivery.feed import Feed, LogReader, frame
from app.process.concurrency import KeyedLock, end
from app.redis.push_log import Latest, PushLog
from app.redis.subscription import Reconnected, StoredPush, Subscription

_ANNOUNCE_WITHIN: Final = 1.0
"""Seconds that announcements under way get when the process ends."""


class Delivery:
    """The feeds of this process, by learner.

    Args:
        pushes: the learners' logs.
        announce: tells whoever prepares for a learner that the learner is here; never raises.
    """

    def __init__(self, pushes: PushLog, announce: Callable[[str], Awaitable[None]]) -> None:
        self._pushes = pushes
        self._announce = announce
        self._announcing: set[asyncio.Future[None]] = set()
        self.reader = LogReader(pushes)
        self._feeds: dict[str, set[Feed]] = {}
        self._lanes = KeyedLock()
        self._subscription: Subscription | None = None
        self._listener: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._subscription = self._pushes.listen()
        self._listener = asyncio.create_task(self._listen(self._subscription), name="delivery")

    async def close(self) -> None:
        """End listening; what is being announced is told first."""
        if self._announcing:
            await asyncio.wait(self._announcing, timeout=_ANNOUNCE_WITHIN)
        if self._listener is not None:
            await end(self._listener)
        if self._subscription is not None:
            await self._subscription.close()

    async def join(self, feed: Feed) -> Latest:
        """Let a feed hear, then tell where the log stands.

        In this order: what is appended after the reading is heard, and what is heard
        twice is known by its offset. The feed has to be taken out by `leave`.

        Raises redis.RedisError.
        """
        assert self._subscription is not None
        async with self._lanes.turn(feed.user_id):
            await self._subscription.add(feed.user_id)
            self._feeds.setdefault(feed.user_id, set()).add(feed)
        latest = await self._pushes.latest(feed.user_id)
        feed.start(latest)
        return latest

    def announce(self, user_id: str) -> None:
        """The learner is here, and not somebody who looks. Returns at once."""
        told = asyncio.ensure_future(self._announce(user_id))
        self._announcing.add(told)
        told.add_done_callback(self._announcing.discard)

    async def leave(self, feed: Feed) -> None:
        """The connection is gone. Harmless for a feed that never joined."""
        feed.close()
        feeds = self._feeds.get(feed.user_id, set())
        feeds.discard(feed)
        if feeds or self._subscription is None:
            return
        self._feeds.pop(feed.user_id, None)
        async with self._lanes.turn(feed.user_id):
            # Somebody may have joined while we waited.
            if feed.user_id not in self._feeds:
                await self._subscription.remove(feed.user_id)

    async def _listen(self, subscription: Subscription) -> None:
        async for heard in subscription:
            # Pushes that wait are read without a pause; let what they woke run between.
            await asyncio.sleep(0)
            if isinstance(heard, Reconnected):
                for feeds in self._feeds.values():
                    for feed in feeds:
                        feed.stale()
                continue
            user_id, what = heard
            feeds = self._feeds.get(user_id, set())
            if isinstance(what, StoredPush):
                encoded = frame(what) if feeds else None
                for feed in feeds:
                    assert encoded is not None
                    feed.heard(what, encoded)
            else:
                for feed in feeds:
                    feed.stale()
