"""Which events were accepted, so that a retry is known days later: the collection `accepted`.

One document a record that came from a client, without content:

    _id         the user id, a line feed, the kind, a line feed, the record's id
    userId, kind (agents.runtime.ports.HistoryKind), ingestTime (ms), expiresAt
    eventIds    of the events in it

History writes it with the record; an erasure takes it away.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase

from agents.runtime.ports import HistoryEntry, HistoryKind
from app.mongo.expiry import expires_at

ACCEPTED: Final = "accepted"

_Database = AsyncDatabase[dict[str, Any]]


async def prepare(database: _Database) -> None:
    """Create the index; nothing happens when it is there. Raises pymongo.errors.PyMongoError."""
    await database[ACCEPTED].create_index([("userId", 1), ("eventIds", 1)])


def document(entry: HistoryEntry, days: float) -> RawBSONDocument:
    """What is kept of an entry for `days`."""
    return RawBSONDocument(
        bson.encode(
            {
                "_id": f"{entry.user_id}\n{entry.kind}\n{entry.event_id}",
                "userId": entry.user_id,
                "kind": str(entry.kind),
                "eventIds": list(entry.accepted),
                "ingestTime": entry.ingest_time,
                "expiresAt": expires_at(entry.ingest_time, days),
            }
        )
    )


async def known(
    database: _Database, user_id: str, kind: HistoryKind, event_ids: Collection[str]
) -> frozenset[str]:
    """Those of the ids that history has seen. Raises pymongo.errors.PyMongoError."""
    asked = frozenset(event_ids)
    query = {"userId": user_id, "kind": str(kind), "eventIds": {"$in": sorted(asked)}}
    found: set[str] = set()
    async for one in database[ACCEPTED].find(query, {"eventIds": 1}):
        found.update(one["eventIds"])
    return asked & found
