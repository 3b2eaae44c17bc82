"""Redis as the tutor uses it: scripts with a limit of time, and one error for all that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from app.redis.client import meaning
from app.redis.keys import Keys
from app.settings import RedisSettings
from app.tutor.providers.errors import StoreDown
from app.tutor.scripts import LEARN

AREA: Final = "tutor"
"""Of the tutor's keys in Redis."""

_COUNTED: Final = 86_400
"""Seconds in which an outcome that comes again is known; Kafka brings it again within minutes."""

Argument = str | int | float


class TutorStore:
    """Runs one script at a time of each caller's. Safe to share.

    Args:
        redis: a client with the policy "accounts": a reservation must not run twice.
        timeout: seconds of one call.
    """

    def __init__(self, redis: Redis, settings: RedisSettings, timeout: float) -> None:
        self._redis = redis
        self.keys = Keys(settings, AREA)
        self._timeout = timeout
        self._scripts: dict[str, AsyncScript] = {}

    async def run(self, script: str, keys: Sequence[str], *arguments: Argument) -> Any:
        """What the script returns. Raises StoreDown."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._script(script)(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreDown(meaning(error)) from None

    def _script(self, text: str) -> AsyncScript:
        if text not in self._scripts:
            self._scripts[text] = self._redis.register_script(text)
        return self._scripts[text]

    async def learn(
        self,
        name: str,
        outcomes: Sequence[tuple[str, float]],
        *,
        half_life: float,
        now: float,
        once: str | None,
    ) -> bool:
        """Add outcomes, each a cell and its value, to the shared sums of this name.

        once: an id under which they count once, however often it is called; None: each time

        Returns whether they counted. Raises StoreDown.
        """
        keys = [self.keys.shared(name)]
        if once is not None:
            keys.append(self.keys.shared(f"counted:{name}:{once}"))
        cells = [part for cell, value in outcomes for part in (cell, repr(value))]
        return bool(await self.run(LEARN, keys, half_life, now, _COUNTED, *cells))

    async def fields(self, key: str) -> dict[str, str]:
        """A whole hash, as text. Raises StoreDown."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._redis.hgetall(key)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreDown(meaning(error)) from None
        return {_text(name): _text(value) for name, value in found.items()}

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove these keys, of one learner. Raises StoreDown."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.delete(*keys)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreDown(meaning(error)) from None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
