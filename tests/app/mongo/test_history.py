from __future__ import annotations

import asyncio
import functools
import random
from datetime import UTC, datetime

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from agents.runtime.ports import HistoryEntry, HistoryKind
from agents.runtime.retrying import Refused
from app.mongo.field_names import original
from app.mongo.history import HistoryStore
from schemas.topics.operations import ErasureRequested

NOW = 1_900_000_000_000  # in 2030: nothing written here expires during a test


def entry(
    n: int,
    *,
    user: str = "ada",
    kind: HistoryKind = HistoryKind.MESSAGES,
    ingest_time: int | None = None,
    version: int | None = None,
    **document: object,
) -> HistoryEntry:
    ingested = NOW + n if ingest_time is None else ingest_time
    if kind is HistoryKind.STATES:
        version = n if version is None else version
        document = {"version": version, "updatedAt": ingested} | document
    return HistoryEntry(
        kind=kind,
        user_id=user,
        event_id=f"e{n}",
        ingest_time=ingested,
        version=version,
        updated_at=int(document.get("updatedAt", 0)),  # type: ignore[call-overload]
        document={"userId": user, "eventId": f"e{n}", "ingestTime": ingested, "n": n} | document,
    )


def state(n: int, **more) -> HistoryEntry:
    return entry(n, kind=HistoryKind.STATES, **more)


def erasure(user: str, ingest_time: int, n: int = 1) -> ErasureRequested:
    return ErasureRequested(
        event_id=f"erasure-{n}", user_id=user, event_time=ingest_time, ingest_time=ingest_time
    )


async def contents(database) -> dict[str, list[dict]]:
    found = {}
    for name in sorted(await database.list_collection_names()):
        found[name] = await database[name].find().sort("_id").to_list()
    return found


async def test_a_replay_leads_to_the_same_collections(history: HistoryStore, database) -> None:
    entries = [
        entry(n, user=user, kind=kind, version=n if kind is HistoryKind.STATES else None)
        for n in range(1, 5)
        for user in ("ada", "bob")
        for kind in HistoryKind
    ]
    assert await history.write(entries) == [None] * len(entries)
    once = await contents(database)
    assert len(once["messages"]) == 8
    assert [(s["_id"], s["version"]) for s in once["states"]] == [("ada", 4), ("bob", 4)]
    shuffled = random.Random(3).sample(entries, k=len(entries))
    for start in range(0, len(shuffled), 7):
        assert not any(await history.write(shuffled[start : start + 7]))
    assert await contents(database) == once


async def test_two_learners_may_choose_the_same_event_id(history, database) -> None:
    await history.write([entry(1, user="ada", text="mine"), entry(1, user="bob", text="other")])
    messages = await database.messages.find().sort("userId").to_list()
    assert [(m["userId"], m["text"]) for m in messages] == [("ada", "mine"), ("bob", "other")]


async def test_the_first_event_with_an_id_stays(history, database) -> None:
    await history.write([entry(1, text="first")])
    await history.write([entry(1, text="second")])
    [message] = await database.messages.find().to_list()
    assert message["text"] == "first"


async def test_a_state_never_goes_back(history: HistoryStore) -> None:
    for versions in ([3], [1, 2], [5, 4], [3, 5]):
        await history.write([state(version) for version in versions])
    found = await history.profile("ada")
    at = {"ingestTime": NOW + 5, "updatedAt": NOW + 5}
    assert found == {"userId": "ada", "eventId": "e5", "n": 5, "version": 5} | at
    assert await history.profile("bob") is None


async def test_of_each_time_the_newest_state_is_kept_whatever_comes_again(
    mongo_settings, database
) -> None:
    """In any order, in any batches, by any number of workers, any number of times."""
    chance = random.Random(7)
    # Given 200 states of two learners in ten minutes: versions and times grow together
    states = []
    for user in ("ada", "bob"):
        at = NOW
        for n in range(1, 201):
            at += chance.randint(0, 6_000)
            states.append(state(n, user=user, updatedAt=at, ingest_time=at - chance.randint(0, 99)))
    must = {}
    for each in states:
        place = (each.user_id, each.updated_at // 60_000)
        if place not in must or must[place] < (each.updated_at, each.version):
            must[place] = (each.updated_at, each.version)
    workers = [HistoryStore(mongo_settings) for _ in range(2)]
    for _ in range(2):
        again = chance.sample(states, k=len(states))
        for start in range(0, len(again), 37):
            batch = again[start : start + 37]
            # Two workers, one of which has lost its partition and does not know
            await asyncio.gather(*(worker.write(batch) for worker in workers))
    kept = await database.state_history.find().to_list()
    assert {
        (s["userId"], s["updatedAt"] // 60_000): (s["updatedAt"], s["version"]) for s in kept
    } == must
    assert len(kept) == len(must)
    newest = await database.states.find().sort("_id").to_list()
    assert [(s["_id"], s["version"]) for s in newest] == [("ada", 200), ("bob", 200)]
    # When the setting changes, then what is kept stays
    finer = HistoryStore(mongo_settings.model_copy(update={"state_every": 0.5}))
    await finer.write([states[-1]])
    every = HistoryStore(mongo_settings.model_copy(update={"state_every": 0}))
    await every.write(states[:20])
    assert await database.state_history.count_documents({}) == len(must) + 1 + 20
    for store in (*workers, finer, every):
        await store.close()


async def test_who_returns_with_a_first_version_has_a_newest_state(history: HistoryStore) -> None:
    # Given version 500 of a learner who was put away half a year ago
    old = NOW - 200 * 86_400_000
    await history.write([state(500, updatedAt=old, ingest_time=old)])
    # When the first state of the return is stored, and the old one comes once more
    await history.write([state(1)])
    await history.write([state(500, updatedAt=old, ingest_time=old), state(2)])
    # Then the newest is of the return
    found = await history.profile("ada")
    assert found is not None
    assert found["version"] == 2


async def test_a_newer_state_replaces_the_whole_document(history: HistoryStore) -> None:
    await history.write([state(1, slope=0.5)])
    await history.write([state(2)])
    found = await history.profile("ada")
    assert found is not None
    assert "slope" not in found


class Writes(CommandListener):
    """The documents of each write command, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def started(self, event: CommandStartedEvent) -> None:
        for name, documents in (("insert", "documents"), ("update", "updates")):
            if event.command_name == name:
                self.seen.append((name, event.command[name], len(event.command[documents])))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.fixture
def writes(monkeypatch) -> Writes:
    """What every client made from here on writes."""
    listener = Writes()
    made = functools.partial(AsyncMongoClient, event_listeners=[listener])
    monkeypatch.setattr("app.mongo.client.AsyncMongoClient", made)
    return listener


async def test_a_state_that_follows_its_own_is_one_write(writes, history, database) -> None:
    # Given first states, of which nobody knows whether they are there
    await history.write([state(1), state(1, user="bob")])
    assert {name for name, _, _ in writes.seen} == {"insert"}
    # When the next ones come
    writes.seen.clear()
    await history.write([state(2), state(2, user="bob")])
    # Then each takes the place of the one before
    assert sorted(writes.seen) == [("update", "state_history", 2), ("update", "states", 2)]
    assert [s["version"] for s in await database.states.find().to_list()] == [2, 2]


@pytest.mark.parametrize("by", ["another worker", "an erasure"])
async def test_a_state_goes_the_longer_way_where_another_has_written(
    by, mongo_settings, history, database
) -> None:
    await history.write([state(1), state(1, user="bob")])
    other = HistoryStore(mongo_settings)
    if by == "an erasure":
        await other.erase(erasure("ada", NOW + 1))
    else:
        await other.write([state(3)])
    await other.close()
    await history.write([state(2), state(2, user="bob")])
    newest = {s["_id"]: s["version"] for s in await database.states.find().to_list()}
    assert newest == {"ada": 2 if by == "an erasure" else 3, "bob": 2}


@pytest.mark.parametrize(
    "poison",
    [{"big": 2**70}, {"nul\x00key": 1}, {"huge": "x" * (17 * 1024 * 1024)}],
    ids=["integer", "key", "size"],
)
async def test_a_document_that_mongo_cannot_hold_costs_only_itself(
    history: HistoryStore, database, poison
) -> None:
    entries = [state(1), entry(2, **poison), entry(3), state(4, **poison)]
    outcomes = await history.write(entries)
    assert [type(outcome) for outcome in outcomes] == [type(None), Refused, type(None), Refused]
    assert [m["n"] for m in await database.messages.find().to_list()] == [3]
    found = await history.profile("ada")
    assert found is not None
    assert found["version"] == 1


async def test_a_document_that_the_server_refuses_costs_only_itself(
    history: HistoryStore, database
) -> None:
    """Which documents a server refuses differs; this one both embedded kinds do."""
    poison = {"p": float("nan")} if await is_nx(database) else {"p": float("inf")}
    outcomes = await history.write([entry(1), entry(2, **poison), entry(3)])
    assert [type(outcome) for outcome in outcomes] == [type(None), Refused, type(None)]
    assert sorted(m["n"] for m in await database.messages.find().to_list()) == [1, 3]


async def test_a_state_that_the_server_will_not_replace_costs_only_itself(
    history: HistoryStore, database
) -> None:
    """Given an older version in its place: it is not inserted, but takes that place."""
    assert await history.write([state(1), state(1, user="bob")]) == [None, None]
    # A server's own rule, of which the store knows nothing.
    outcomes = await history.write([state(2, p=float("inf")), state(2, user="bob"), entry(3)])
    assert [type(outcome) for outcome in outcomes] == [Refused, type(None), type(None)]
    found = await history.profile("bob")
    assert found is not None
    assert found["version"] == 2


async def is_nx(database) -> bool:
    info = await database.command("buildInfo")
    return "ferretdbVersion" not in info


async def test_every_document_has_its_expiry(mongo_settings, history, database) -> None:
    await history.write([entry(0), entry(0, kind=HistoryKind.EMOTIONS), state(1)])
    await history.erase(erasure("bob", NOW))

    def days(document: dict) -> float:
        ingested = datetime.fromtimestamp(document["ingestTime"] / 1000, UTC)
        return (document["expiresAt"].replace(tzinfo=UTC) - ingested).total_seconds() / 86_400

    kept = {name: days(found[0]) for name, found in (await contents(database)).items() if found}
    chat = kept.pop("messages")
    assert chat == mongo_settings.chat_days
    assert set(kept) == {"emotions", "state_history", "states", "erasures"}
    assert set(kept.values()) == {mongo_settings.history_days}


async def test_expired_documents_go(history: HistoryStore, database) -> None:
    """By the server's TTL thread (MongoDB's looks once a minute), or by ours after a write."""
    async with asyncio.timeout(100):
        await history.write([entry(1, ingest_time=1), entry(2)])
        while await database.messages.find_one({"n": 1}) is not None:
            await asyncio.sleep(0.5)
    assert [m["n"] for m in await database.messages.find().to_list()] == [2]


async def test_preparing_twice_is_harmless(mongo_settings, history: HistoryStore) -> None:
    await history.prepare()
    again = HistoryStore(mongo_settings)
    await again.prepare()
    await again.close()


async def test_an_erasure_takes_everything_and_keeps_the_request(history, database) -> None:
    entries = [
        entry(n, user=u, kind=k) for n in (1, 2) for u in ("ada", "bob") for k in HistoryKind
    ]
    await history.write(entries)
    await history.erase(erasure("ada", NOW + 10))
    found = await contents(database)
    audit = found.pop("erasures")
    assert [a["userId"] for a in audit] == ["ada"]
    everybody = {d.get("userId") for documents in found.values() for d in documents}
    assert everybody == {"bob"}
    assert await history.profile("ada") is None


async def test_what_was_ingested_before_an_erasure_does_not_come_back(history, database) -> None:
    await history.erase(erasure("ada", NOW + 10))
    late = [entry(1), state(2), state(10)]
    new = [entry(11), state(12, version=1)]
    assert await history.write([*late, *new, entry(1, user="bob")]) == [None] * 6
    assert [m["n"] for m in await database.messages.find().sort("n").to_list()] == [1, 11]
    assert await database.messages.find_one({"userId": "ada", "n": 1}) is None
    found = await history.profile("ada")
    assert found is not None
    assert found["version"] == 1


async def test_a_redelivered_erasure_leaves_the_new_life_alone(history, database) -> None:
    request = erasure("ada", NOW + 10)
    await history.erase(request)
    await history.write([entry(11), state(12, version=1)])
    await history.erase(request)
    assert await database.messages.count_documents({}) == 1
    assert await database.erasures.count_documents({}) == 1
    assert await history.profile("ada") is not None


async def test_names_that_a_store_refuses_are_written_otherwise(
    history: HistoryStore, database
) -> None:
    context = {"activity.correct": 0.25, "$where": 0.5, "valence": 0.75}
    outcomes = await history.write(
        [
            entry(
                1, kind=HistoryKind.RECOMMENDATIONS, decision={"context": context, "of": [context]}
            ),
            state(2, inner=context),
        ]
    )
    assert outcomes == [None, None]
    found = (await contents(database))["recommendations"][0]["decision"]
    assert original(found) == {"context": context, "of": [context]}
    profile = await history.profile("ada")
    assert profile is not None
    assert profile["inner"] == context
