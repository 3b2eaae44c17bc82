"""Documents that expire: by MongoDB's TTL index, or by deletions where a server has none.

Every document carries `expiresAt`, set when it is written: a changed setting holds for later
ones. FerretDB v1 has no TTL index and says so (code 238).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

log = structlog.get_logger(__name__)

_NOT_IMPLEMENTED: Final = 238
_SWEEP_INTERVAL: Final = 60.0
"""Seconds between deletions of expired documents; MongoDB's TTL monitor takes as long."""


def expires_at(ingest_time: int, days: float) -> datetime:
    """When a document of that ingest time (ms) may be deleted."""
    try:
        return datetime.fromtimestamp(ingest_time / 1000, UTC) + timedelta(days=days)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


class Expiry:
    """Lets the documents of some collections expire. Raises pymongo.errors.PyMongoError."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], collections: Sequence[str]) -> None:
        self._database = database
        self._collections = collections
        self._sweeps = False
        self._swept_at = 0.0

    async def prepare(self) -> None:
        """Create the indexes; nothing happens when they are there."""
        for name in self._collections:
            try:
                await self._database[name].create_index("expiresAt", expireAfterSeconds=0)
            except OperationFailure as error:
                if error.code != _NOT_IMPLEMENTED:
                    raise
                await self._database[name].create_index("expiresAt")
                self._sweeps = True
        if self._sweeps:
            log.warning("history.no_ttl_index")

    async def sweep(self) -> None:
        """Delete what has expired, at most once a minute, where the server does not."""
        if self._sweeps and time.monotonic() - self._swept_at > _SWEEP_INTERVAL:
            for name in self._collections:
                await self._database[name].delete_many({"expiresAt": {"$lt": datetime.now(UTC)}})
            self._swept_at = time.monotonic()
