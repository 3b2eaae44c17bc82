"""For how long nothing unasked is said to a learner who wrote what is for a person.

A mark in Redis with nothing in it; it goes by itself, and with the learner's erasure.
"""

from __future__ import annotations

from typing import Final

from app.tutor.store import TutorStore

_BEGIN: Final = "redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])"
_HOLDS: Final = "return redis.call('EXISTS', KEYS[1])"


class ProactiveMute:
    """All learners'. Every method raises StoreDown.

    Args:
        seconds: how long it lasts from the last such message on.
    """

    def __init__(self, store: TutorStore, seconds: float) -> None:
        self._store = store
        self._seconds = max(1, round(seconds))

    async def begin(self, user_id: str) -> None:
        """From now on."""
        await self._store.run(_BEGIN, [self._key(user_id)], self._seconds)

    async def holds(self, user_id: str) -> bool:
        """Whether it is so now."""
        return bool(await self._store.run(_HOLDS, [self._key(user_id)]))

    async def forget(self, user_id: str) -> None:
        """Remove the learner."""
        await self._store.delete([self._key(user_id)])

    def _key(self, user_id: str) -> str:
        return self._store.keys.of_user(user_id, "quiet")
