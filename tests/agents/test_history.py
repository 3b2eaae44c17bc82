from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, OperationFailure

from agents import history
from agents.runtime.retrying import Fatal, Retriable
from agents.runtime.topics import (
    CHAT,
    EMOTIONS,
    ERASURES,
    INTERACTIONS,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.local.embedded import DocumentStore
from app.mongo.errors import meaning
from app.mongo.history import HistoryStore
from app.settings import MongoSettings
from app.worker.role import roles
from schemas.topics.state import UserState
from tests.agents.records import Around, Event, message, stream
from tests.models.learner.build import fold, reading


@pytest.fixture
async def server(tmp_path) -> AsyncIterator[DocumentStore]:
    server = DocumentStore(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def store(server: DocumentStore) -> AsyncIterator[HistoryStore]:
    # Kept for ever: the messages of these tests are of 2023.
    settings = MongoSettings(url=server.endpoint, chat_days=100_000, history_days=100_000)
    store = HistoryStore(settings)
    yield store
    await store.close()


@pytest.fixture
async def database(server: DocumentStore):
    async with AsyncMongoClient(server.endpoint) as client:
        yield client["masterx"]


@pytest.fixture
def around() -> Around:
    return Around()


async def run(
    events: list[Event], store: HistoryStore, around: Around, batch_size: int = 256
) -> None:
    await history.run(
        stream(events),
        store=store,
        dead_letters=around.dead_letters,
        window=around.window,
        logical=str,
        batch_size=batch_size,
        waits=around.waits,
    )
    await asyncio.sleep(0)


async def test_every_topic_has_its_collection(store, database, around: Around) -> None:
    events = [
        around.event(topic, "ada", message(topic, "ada", 1))
        for topic in roles()["history"].topics[:-1]
    ]
    await run(events, store, around)
    for name in (
        "messages",
        "interactions",
        "emotions",
        "state_history",
        "states",
        "recommendations",
        "interventions",
        "replies",
        "feedback",
    ):
        [document] = await database[name].find().to_list()
        assert document["userId"] == "ada", name
    assert len(around.acknowledged) == len(events)
    found = await store.profile("ada")
    assert UserState.read(found) == message(USER_STATE, "ada", 1)
    [batch] = await database.interactions.find().to_list()
    assert batch["interactions"] == [{"timestamp": 1_700_000_000_000, "interactionType": "click"}]


async def test_documents_have_the_digits_that_the_topic_has(
    store, database, around: Around
) -> None:
    """Given thirds, which no float holds, Then what is stored has four decimals, too."""
    read = reading(0, valence=1 / 3, probabilities=dict.fromkeys(("joy", "awe", "fear"), 1 / 3))
    outputs = fold([read, reading(1, valence=2 / 3)]).outputs
    assert outputs is not None
    await run([around.event(USER_STATE, read.user_id, outputs.state)], store, around)

    for name in ("states", "state_history"):
        [document] = await database[name].find().to_list()
        assert UserState.read(document) == outputs.state
        assert document["valence"]["value"] == round(document["valence"]["value"], 4)
        assert sorted(document["emotions"].values()) == [0.1666, 0.1667, 0.1667, 0.5]


async def test_an_embedding_does_not_outlive_its_text(store, database, around: Around) -> None:
    """Given a reading with its affect embedding, Then history keeps the reading alone."""
    read = message(EMOTIONS, "ada", 1).model_copy(update={"affect": (0.25,) * 64})
    await run([around.event(EMOTIONS, "ada", read)], store, around)

    [document] = await database["emotions"].find().to_list()
    assert document["eventId"] == read.event_id
    assert not document.get("affect")


async def test_poison_among_others_costs_only_itself(store, database, around: Around) -> None:
    too_big = message(
        RECOMMENDATIONS,
        "ada",
        2,
        recommendations=[
            {
                "id": "r",
                "action": "a",
                "confidence": 1,
                "because": [],
                "parameters": {"n": 2**64 - 1},
            }
        ],
    )
    events = [
        around.event(CHAT, "ada", message(CHAT, "ada", 1)),
        around.event(CHAT, "ada", b"{"),
        around.event(CHAT, "ada", message(CHAT, "bob", 1)),
        around.event(RECOMMENDATIONS, "ada", too_big),
        around.event(USER_STATE, "ada", None),
        around.event(EMOTIONS, "ada", message(EMOTIONS, "ada", 1)),
        around.event(CHAT, "ada", message(CHAT, "ada", 2)),
    ]
    await run(events, store, around)
    assert [type(error).__name__ for _, error in around.dead_letters.sent] == [
        "InvalidJson",
        "InvalidMessage",
        "Refused",
    ]
    assert await database.messages.count_documents({}) == 2
    assert await database.emotions.count_documents({}) == 1
    assert len(around.acknowledged) == len(events)


async def test_an_erasure_in_a_batch_takes_what_came_before_it(
    store, database, around: Around
) -> None:
    events = [
        around.event(CHAT, "ada", message(CHAT, "ada", 1)),
        around.event(CHAT, "bob", message(CHAT, "bob", 1)),
        around.event(ERASURES, "ada", message(ERASURES, "ada", 5)),
        around.event(INTERACTIONS, "ada", message(INTERACTIONS, "ada", 4)),
        around.event(CHAT, "ada", message(CHAT, "ada", 6)),
    ]
    # However the batches are cut, and if everything comes again
    for batch_size in (256, 2, 1):
        await run(events, store, around, batch_size)
        found = await database.messages.find().sort("_id").to_list()
        assert [(m["userId"], m["text"]) for m in found] == [("ada", "text 6"), ("bob", "text 1")]
        assert await database.interactions.count_documents({}) == 0
        [audit] = await database.erasures.find().to_list()
        assert audit["userId"] == "ada"


async def test_while_mongo_is_away_nothing_is_acknowledged_and_nothing_is_lost(
    store, database, around: Around, server: DocumentStore
) -> None:
    await run([around.event(CHAT, "ada", message(CHAT, "ada", 0))], store, around)
    await server.stop()
    events = [
        around.event(topic, "ada", message(topic, "ada", n))
        for n in range(1, 20)
        for topic in (CHAT, USER_STATE)
    ]
    running = asyncio.create_task(run(events, store, around, batch_size=8))
    await around.waited("mongo")
    assert len(around.acknowledged) == 1
    await server.start()
    await asyncio.wait_for(running, 60)
    assert len(around.acknowledged) == 1 + len(events)
    assert around.positions[1:] == [(e.message.topic, e.message.offset) for e in events]
    assert await database.messages.count_documents({}) == 20
    # All within a minute: one state is kept, the newest
    assert [s["version"] async for s in database.state_history.find()] == [19]
    found = await store.profile("ada")
    assert found is not None
    assert found["version"] == 19
    assert around.waits.stores == ()


async def test_a_mongo_that_comes_back_empty_gets_its_indexes_again(
    store, database, around: Around, server: DocumentStore
) -> None:
    """Given a store that lost its data, Then what is written to it expires as before."""
    await run([around.event(CHAT, "ada", message(CHAT, "ada", 1))], store, around)
    await server.stop()
    shutil.rmtree(server.directory)
    running = asyncio.create_task(
        run([around.event(CHAT, "ada", message(CHAT, "ada", 2))], store, around)
    )
    await around.waited("mongo")
    await server.start()
    await asyncio.wait_for(running, 60)
    assert [m["text"] for m in await database.messages.find().to_list()] == ["text 2"]
    indexes = await database.messages.index_information()
    assert any(index.get("expireAfterSeconds") == 0 for index in indexes.values())


async def test_a_mongo_that_refuses_this_user_ends_the_stream_with_a_reason() -> None:
    """In the words of a MongoDB with users; the embedded server has none."""
    for code, error in ((13, "Unauthorized"), (18, "AuthenticationFailed")):
        kind = meaning(OperationFailure("no", code, {"codeName": error}))
        assert type(kind) is Fatal
        assert "MASTERX_MONGO__URL" in str(kind)
    assert type(meaning(OperationFailure("full", 14031))) is Retriable
    assert type(meaning(AutoReconnect("gone"))) is Retriable
