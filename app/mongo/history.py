"""History in MongoDB: what was said and done, what was read in it, what came of it.

Collections (all documents carry `userId`, `ingestTime` in ms and `expiresAt`):
    messages interactions emotions recommendations interventions replies feedback
               one document an event; `_id` is the user id, a line feed, the event id,
               because event ids come from clients and two learners may choose the same
    state_history
               the newest state of each `mongo.state_every` seconds of a learner; `_id` is the
               user id, a line feed, the begin of that time (ms), a slash, its length (ms).
               With 0, one document an event, as above
    summaries  one document a learner, of the dialogue with the tutor (`app.mongo.dialogue`)
    accepted   one document a record of a client, without content (`app.mongo.accepted`)
    states     one document a learner, its newest state; `_id` is the user id
    erasures   one document a request: the audit, and what keeps erased records out

Events never change, so the first document with an id stays and the same one again is no
error: any replay leads to the same collections. A state replaces an older one only: one with
an earlier `updatedAt`, or with the same and a lower version (a learner who was put away and
returns begins with version 1 again, months later).

`expiresAt` is set when a document is written: a changed setting holds for later ones.

Only plain inserts, replaces and deletes are used; MongoDB-wire servers differ beyond that
(FerretDB v1 answers a failed upsert in a way that PyMongo cannot read; `app.mongo.expiry`
deletes what has expired where a server has no TTL index).

`write` and `erase` raise agents.runtime.retrying.Retriable and Fatal; what reads raises
pymongo.errors.PyMongoError as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
import structlog
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from agents.runtime.ports import HistoryEntry, HistoryKind
from agents.runtime.retrying import Refused
from app.mongo import accepted
from app.mongo.client import connect
from app.mongo.errors import DENIED, DUPLICATE, FULL, REFUSED, STORE, meaning
from app.mongo.expiry import Expiry, expires_at
from app.mongo.field_names import original, stored
from app.mongo.settings import MongoSettings
from schemas.topics.operations import ErasureRequested

log = structlog.get_logger(__name__)

_TEXTS: Final = frozenset({HistoryKind.MESSAGES, HistoryKind.REPLIES})
"""What people and the tutor said: kept for less long."""
STATES: Final = "states"
ERASURES: Final = "erasures"
SUMMARIES: Final = "summaries"
"""Of dialogues with the tutor; written by `app.mongo.dialogue`."""

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
"""What MongoDB takes (a protocol limit)."""
_TIMEOUT: Final = 3.0
"""Seconds to find the server; the caller decides whether to try again."""
_SOCKET_TIMEOUT: Final = 20.0

_REMEMBERED: Final = 10_000
"""States of which this process knows what it wrote last, at most."""
_TRIES: Final = 8
"""Of a document that fails, alone, with a code we do not know: then it is refused too."""

_Order = tuple[int, int]
"""A state's `updatedAt` and version: which of two is newer."""


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest state of a place, and where its entry stands in the batch."""

    entry: HistoryEntry
    position: int

    @property
    def order(self) -> _Order:
        return self.entry.updated_at, self.entry.version or 0

    @property
    def older(self) -> list[dict[str, Any]]:
        """What an older document holds: either of these."""
        updated_at, version = self.order
        return [
            {"updatedAt": {"$lt": updated_at}},
            {"updatedAt": updated_at, "version": {"$lt": version}},
        ]


class HistoryStore:
    """Writes and erases history; reads a learner's newest state."""

    def __init__(self, settings: MongoSettings) -> None:
        self._settings = settings
        self._client = connect(settings, find_within=_TIMEOUT, answer_within=_SOCKET_TIMEOUT)
        # Journalled: Kafka offsets are committed once this says that it is written.
        self._database = self._client.get_database(
            settings.database, write_concern=WriteConcern(w="majority", j=True)
        )
        self._prepared = False
        self._expiry = Expiry(
            self._database, (*HistoryKind, STATES, SUMMARIES, accepted.ACCEPTED, ERASURES)
        )
        self._last_order: OrderedDict[tuple[str, str], _Order] = OrderedDict()
        # Failures of single documents since the last write that went through.
        self._unexplained: Counter[str] = Counter()

    async def prepare(self) -> None:
        """Create the indexes; nothing happens when they are there. `write` does it too."""
        for name in (*HistoryKind, ERASURES):
            await self._database[name].create_index([("userId", 1), ("eventTime", 1)])
        await accepted.prepare(self._database)
        await self._expiry.prepare()
        self._prepared = True

    async def write(self, entries: Sequence[HistoryEntry]) -> list[Refused | None]:
        """Store entries in any order; harmless to repeat.

        Returns for each None, or `Refused` where the store does not take the document.
        Entries ingested before their learner's erasure are left out.

        Raises agents.runtime.retrying.Retriable, Fatal.
        """
        with self._errors_told_apart():
            return await self._write(entries)

    async def _write(self, entries: Sequence[HistoryEntry]) -> list[Refused | None]:
        if not self._prepared:
            await self.prepare()
        outcomes: list[Refused | None] = [None] * len(entries)
        erased_at = await self.erased_at({entry.user_id for entry in entries})
        by_name: dict[str, list[tuple[int, RawBSONDocument]]] = {}
        newest: dict[tuple[str, str], _Newest] = {}
        for position, entry in enumerate(entries):
            if entry.ingest_time <= erased_at.get(entry.user_id, -1):
                continue
            thinned = entry.version is not None and self._settings.state_every > 0
            key = entry.user_id if thinned else f"{entry.user_id}\n{entry.event_id}"
            try:
                encoded = self._encode(entry, key)
            except Refused as error:
                outcomes[position] = error
                continue
            if not thinned:
                by_name.setdefault(entry.kind, []).append((position, encoded))
            if entry.accepted:
                remembered = accepted.document(entry, self._settings.accepted_days)
                by_name.setdefault(accepted.ACCEPTED, []).append((position, remembered))
            if entry.version is not None:
                one = _Newest(entry, position)
                for place in self._places(entry):
                    if place not in newest or newest[place].order < one.order:
                        newest[place] = one
        writes = [self._insert(name, documents) for name, documents in by_name.items()]
        writes += [
            self._replace(name, {key: one for (of, key), one in newest.items() if of == name})
            for name in (STATES, HistoryKind.STATES)
        ]
        # Waits for all, so that none is still under way when the caller tries again.
        for result in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            for position, refused in result.items():
                outcomes[position] = refused
        self._unexplained.clear()
        await self._expiry.sweep()
        return outcomes

    async def erase(self, request: ErasureRequested) -> None:
        """Remove what was ingested of the learner up to the request's ingest time.

        The request itself is kept first: from then on `write` leaves out what of that
        time comes late. What was ingested later stays, so that a repeat takes nothing.

        Raises agents.runtime.retrying.Retriable, Fatal.
        """
        with self._errors_told_apart():
            await self._erase(request)

    async def _erase(self, request: ErasureRequested) -> None:
        if not self._prepared:
            await self.prepare()
        audit = {
            "_id": f"{request.user_id}\n{request.event_id}",
            "expiresAt": expires_at(request.ingest_time, self._settings.history_days),
            **request.document(),
        }
        # By whoever comes first: `masterx forget` and the history worker both erase.
        with contextlib.suppress(DuplicateKeyError):
            await self._database[ERASURES].insert_one(audit)
        until = {"ingestTime": {"$lte": request.ingest_time}}
        await asyncio.gather(
            self._database[STATES].delete_many({"_id": request.user_id} | until),
            self._database[SUMMARIES].delete_many({"_id": request.user_id} | until),
            *(
                self._database[name].delete_many({"userId": request.user_id} | until)
                for name in (*HistoryKind, accepted.ACCEPTED)
            ),
        )

    async def erased_at(self, user_ids: set[str]) -> dict[str, int]:
        """When learners were last erased, ms; those never erased are left out."""
        found: dict[str, int] = {}
        if user_ids:
            requests = self._database[ERASURES].find({"userId": {"$in": sorted(user_ids)}})
            async for request in requests:
                moment = max(request["ingestTime"], found.get(request["userId"], 0))
                found[request["userId"]] = moment
        return found

    async def profile(self, user_id: str) -> dict[str, Any] | None:
        """The learner's newest state as a UserState document (camelCase), or None."""
        found = await self._database[STATES].find_one({"_id": user_id})
        if found is not None:
            del found["_id"], found["expiresAt"]
        return None if found is None else original(found)

    async def accepted(
        self, user_id: str, kind: HistoryKind, event_ids: Collection[str]
    ) -> frozenset[str]:
        """Those of a client's event ids that were accepted in the last `mongo.accepted_days`."""
        return await accepted.known(self._database, user_id, kind, event_ids)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    @contextlib.contextmanager
    def _errors_told_apart(self) -> Iterator[None]:
        try:
            yield
        except (PyMongoError, OSError) as error:
            # It may come back empty: without its indexes nothing would expire.
            self._prepared = False
            raise meaning(error) from error

    def _encode(self, entry: HistoryEntry, key: str) -> RawBSONDocument:
        settings = self._settings
        days = settings.chat_days if entry.kind in _TEXTS else settings.history_days
        document = {
            "_id": key,
            "expiresAt": expires_at(entry.ingest_time, days),
            **stored(entry.document),
        }
        try:
            encoded = bson.encode(document)
        except (BSONError, OverflowError, RecursionError, ValueError, TypeError) as error:
            reason = f"the document cannot be written as BSON ({type(error).__name__})"
            raise Refused(STORE, reason) from error
        if len(encoded) > MAX_DOCUMENT_BYTES:
            reason = f"{len(encoded)} bytes as BSON, at most {MAX_DOCUMENT_BYTES} are taken"
            raise Refused(STORE, reason)
        return RawBSONDocument(encoded)

    async def _insert(
        self, name: str, documents: Sequence[tuple[int, RawBSONDocument]]
    ) -> dict[int, Refused]:
        """Insert what is not there yet; the positions that were refused."""
        collection = self._database[name]
        refused, _ = await self._insert_new(collection, [one for _, one in documents])
        return {documents[index][0]: error for index, error in refused.items()}

    def _places(self, entry: HistoryEntry) -> list[tuple[str, str]]:
        """Collections and `_id`s of the documents that a state replaces where it is newer."""
        places = [(STATES, entry.user_id)]
        if self._settings.state_every:
            length = max(1, round(self._settings.state_every * 1000))
            begin = entry.updated_at // length * length
            # With the length: after a change of the setting no old document is replaced.
            places.append((HistoryKind.STATES, f"{entry.user_id}\n{begin}/{length}"))
        return places

    async def _replace(self, name: str, states: Mapping[str, _Newest]) -> dict[int, Refused]:
        """Write states, by `_id`, where they are newer; the positions that were refused."""
        refused: dict[int, Refused] = {}
        documents: dict[str, RawBSONDocument] = {}
        for key, state in states.items():
            try:
                documents[key] = self._encode(state.entry, key)
            except Refused as error:  # its other id makes it a little longer than in _insert
                refused[state.position] = error
        swapped = await self._swap(name, states, documents)
        others = [key for key in documents if key not in swapped]
        if others:
            refused |= await self._insert_or_replace(name, states, documents, others)
        for key in documents:
            self._last_order[name, key] = states[key].order
            self._last_order.move_to_end((name, key))
        while len(self._last_order) > _REMEMBERED:
            self._last_order.popitem(last=False)
        return refused

    async def _swap(
        self,
        name: str,
        states: Mapping[str, _Newest],
        documents: Mapping[str, RawBSONDocument],
    ) -> Collection[str]:
        """Replace what still is as this process left it; the keys that need nothing more.

        One write a state, where `_insert_or_replace` makes three. Nobody says which of many
        replacements found nothing to replace: then all of them go the longer way, which is
        harmless to those that are done.
        """
        replacements = {
            key: ReplaceOne[Any]({"_id": key, "updatedAt": last[0], "version": last[1]}, one)
            for key, one in documents.items()
            if (last := self._last_order.get((name, key))) and last < states[key].order
        }
        if not replacements:
            return ()
        try:
            done = await self._database[name].bulk_write([*replacements.values()], ordered=False)
        except BulkWriteError:
            return ()  # the longer way finds out what is wrong with which
        return replacements if done.matched_count == len(replacements) else ()

    async def _insert_or_replace(
        self,
        name: str,
        states: Mapping[str, _Newest],
        documents: Mapping[str, RawBSONDocument],
        keys: Sequence[str],
    ) -> dict[int, Refused]:
        """Write states of which nobody knows what is stored; the positions that were refused."""
        collection = self._database[name]
        failed, there = await self._insert_new(collection, [documents[key] for key in keys])
        refused = {states[keys[index]].position: error for index, error in failed.items()}
        # Two steps instead of an upsert that fails on a newer version: see above. Filters make
        # the second safe; two of them, because the embedded store scans for an `$or`.
        taken = [(keys[index], older) for index in there for older in states[keys[index]].older]
        if taken:
            replacements = [
                ReplaceOne[Any]({"_id": key, **older}, documents[key]) for key, older in taken
            ]
            write = collection.bulk_write(replacements, ordered=False)
            replaced, _ = await self._refusals(write, [key for key, _ in taken])
            for index, error in replaced.items():
                refused[states[taken[index][0]].position] = error
        return refused

    async def _insert_new(
        self, collection: AsyncCollection[dict[str, Any]], documents: Sequence[RawBSONDocument]
    ) -> tuple[dict[int, Refused], list[int]]:
        """Insert those whose `_id` is new; the refused, and the indexes of those that are there."""
        write = collection.insert_many(documents, ordered=False)
        return await self._refusals(write, [document["_id"] for document in documents])

    async def _refusals(
        self, write: Awaitable[object], keys: Sequence[str]
    ) -> tuple[dict[int, Refused], list[int]]:
        """What a bulk write did not take: refused for good, and those whose `_id` is there.

        Raises BulkWriteError when a document failed for a reason that may pass.
        """
        try:
            await write
        except BulkWriteError as error:
            refused: dict[int, Refused] = {}
            known: list[int] = []
            may_pass = bool(error.details.get("writeConcernErrors"))
            for failure in error.details["writeErrors"]:
                code, index = failure["code"], failure["index"]
                if code == DUPLICATE:
                    known.append(index)
                elif code in DENIED or code in FULL:
                    may_pass = True  # not about this document; the caller tells them apart
                elif code in REFUSED or self._tried_enough(keys[index]):
                    reason = f"the store refused the document (code {code})"
                    refused[index] = Refused(STORE, reason)
                else:
                    may_pass = True
            if may_pass:
                raise
            return refused, known
        return {}, []

    def _tried_enough(self, key: str) -> bool:
        self._unexplained[key] += 1
        return self._unexplained[key] >= _TRIES
