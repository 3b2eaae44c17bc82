"""Who sends nothing for long is put away, and may return: learner, push and history agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymongo import AsyncMongoClient

from agents import history, push
from agents.learner import LearnerAgent
from agents.runtime.topics import (
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.kafka.producer import Producer
from app.kafka.table import VersionedTable
from app.mongo.history import HistoryStore
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.worker.putting_away import sweep
from models.learner.record import LearnerRecord, header_of, version_of
from schemas.base import Message, new_event_id, now_ms
from schemas.topics.interactions import Interaction, InteractionsReceived
from tests.agents.records import Around, Event, Record, message, stream
from tests.topics import read_all

pytestmark = pytest.mark.services

DAY = 86_400_000
PARTITION = 1
"""That of every record of `Around`."""


def click(user: str, at: int) -> InteractionsReceived:
    event_id = new_event_id()
    one = Interaction(event_id=event_id, timestamp=at, interaction_type="click")
    return InteractionsReceived(
        event_id=event_id, user_id=user, event_time=at, ingest_time=at, interactions=(one,)
    )


class Learners:
    """A learner agent on a real broker, with what it is given."""

    def __init__(self, settings: Settings, producer: Producer) -> None:
        self.around = Around()
        self.settings = settings
        self.table = VersionedTable(settings, LEARNER_CHANGELOG, producer, version_of)
        self.agent = LearnerAgent(
            table=self.table,
            outbox=producer,
            dead_letters=self.around.dead_letters,
            window=self.around.window,
            settings=settings.learner,
            logical=str,
        )
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    async def give(self, topic: str, user: str, sent: Message) -> None:
        event = self.around.event(topic, user, sent)
        await self.events.put(event)
        async with asyncio.timeout(20):
            while event not in self.around.acknowledged:
                await asyncio.sleep(0.005)

    async def sweep(self, now: int) -> int:
        return await sweep(self.table, self.agent, self.settings.learner, now)

    async def stream(self) -> AsyncIterator[Event]:
        while True:
            yield await self.events.get()


@asynccontextmanager
async def learners(settings: Settings) -> AsyncIterator[Learners]:
    """A worker that owns the partition, from its recovery to its end."""
    async with Producer(settings, client_id="test") as producer:
        made = Learners(settings, producer)
        made.table.assign({PARTITION})
        async with made.table.writing(PARTITION):
            pass
        running = asyncio.create_task(made.agent.run(made.stream()))
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.wait({running})
            made.table.assign(set())


async def test_who_returns_is_known_again_everywhere(topics: Settings) -> None:
    now = now_ms()
    long_ago = now - 200 * DAY
    # Given a learner with 20 events of long ago, another who came back since, and an erased one
    async with learners(topics) as worker:
        for n in range(20):
            await worker.give(INTERACTIONS, "ada", click("ada", long_ago + n))
        await worker.give(INTERACTIONS, "bob", click("bob", long_ago))
        await worker.give(FEEDBACK, "bob", message(FEEDBACK, "bob", 1, ingestTime=now - 1))
        erasure = message(ERASURES, "eve", 1, ingestTime=now - 40 * DAY)
        await worker.give(ERASURES, "eve", erasure)
        # When the worker sweeps, then the first is gone, and so is the erased one's marker
        assert await worker.sweep(now) == 2
        assert await worker.sweep(now) == 0
        await worker.agent.drain()
        assert len(worker.table) == 1
        # And who returns begins with version 1
        await worker.give(INTERACTIONS, "ada", click("ada", now))
        await worker.give(INTERACTIONS, "ada", click("ada", now + 1))
    changelog = await read_all(topics, LEARNER_CHANGELOG)
    ada = [r.value for r in changelog if r.key == b"ada"]
    assert [v if v is None else version_of(v) for v in ada] == [*range(1, 21), None, 1, 2]
    assert LearnerRecord.from_bytes(ada[-1] or b"").evidence.interactions == 2
    states = [r for r in await read_all(topics, USER_STATE) if r.key == b"ada"]
    versions = [r.document["version"] if r.value else None for r in states]
    assert versions == [*range(1, 21), None, 1, 2]
    assert [r.value for r in await read_all(topics, USER_STATE) if r.key == b"eve"] == [None]
    # And so it is after a restart
    async with learners(topics) as worker:
        value = worker.table.get(PARTITION, b"ada")
        assert value is not None
        assert version_of(value) == 2
        assert sorted(worker.table._records[PARTITION]) == [b"ada", b"bob"]
    # And for a push worker that reads all of it from the begin, and again
    await pushed(topics)
    # And in history, also where the old state comes last
    await stored(topics)


async def outputs(settings: Settings, *topics: str) -> list[Event]:
    acknowledged: list[Event] = []
    return [
        Event(
            Record(topic, r.partition, r.offset, r.key, r.value, list(r.headers.items())),
            acknowledged,
        )
        for topic in topics
        for r in await read_all(settings, topic)
    ]


async def pushed(settings: Settings) -> None:
    async with connect(settings.redis, "push") as client:
        log = PushLog(client, settings.redis)

        async def run(events: list[Event]) -> None:
            around = Around()
            await push.run(
                stream(events),
                log=log,
                dead_letters=around.dead_letters,
                window=around.window,
                logical=str,
                batch_size=7,
                waits=around.waits,
            )
            assert around.dead_letters.sent == []

        events = await outputs(settings, USER_STATE, RECOMMENDATIONS)
        await run(events)
        await run(events[15:])
        latest = await log.latest("ada")
        assert latest.user_state is not None
        assert latest.user_state["version"] == 2
        tail = await log.since("ada", latest.epoch, 0)
        assert tail is not None
        whole = [p for p in tail.pushes if not p.superseded and p.kind == "user_state_update"]
        assert len([p for p in tail.pushes if p.kind == "user_state_update"]) == 22
        # One of each life: what was superseded in the first is not the second's
        assert len(whole) == 2


async def stored(settings: Settings) -> None:
    store = HistoryStore(settings.mongo)
    try:
        events = await outputs(settings, USER_STATE)
        for order in (events, events[::-1]):
            around = Around()
            await history.run(
                stream(order),
                store=store,
                dead_letters=around.dead_letters,
                window=around.window,
                logical=str,
                batch_size=5,
                waits=around.waits,
            )
            assert around.dead_letters.sent == []
            profile = await store.profile("ada")
            assert profile is not None
            assert profile["version"] == 2
    finally:
        await store.close()
    async with AsyncMongoClient(settings.mongo.url) as client:
        kept = client[settings.mongo.database].state_history
        # One of each minute, of both lives
        assert [s["version"] async for s in kept.find({"userId": "ada"}).sort("updatedAt")] == [
            20,
            2,
        ]


async def test_a_sweep_decodes_no_record(topics: Settings, monkeypatch) -> None:
    now = now_ms()
    async with learners(topics) as worker:
        async with worker.table.writing(PARTITION):
            for n in range(1_500):
                ingested = now - (200 if n % 100 == 0 else 1) * DAY
                head = LearnerRecord(version=n + 1, ingested=ingested).to_bytes()[:34]
                garbage = head + b"\xff" * 60
                await worker.table.put(PARTITION, b"%d" % n, garbage)

        def decode(_: bytes) -> LearnerRecord:
            raise AssertionError("decoded")

        monkeypatch.setattr(LearnerRecord, "from_bytes", decode)
        assert await worker.sweep(now) == 15
        assert len(worker.table) == 1_485


async def test_no_update_is_lost_between_the_steps(topics: Settings) -> None:
    """Learners return while they are put away, at every moment of it."""
    now = now_ms()
    users = [f"u{n}" for n in range(40)]
    async with learners(topics) as worker:
        for user in users:
            await worker.give(INTERACTIONS, user, click(user, now - 200 * DAY))

        async def come_back() -> None:
            for n, user in enumerate(users):
                for _ in range(n % 7):
                    await asyncio.sleep(0)
                await worker.events.put(worker.around.event(INTERACTIONS, user, click(user, now)))
                if n % 5 == 0:
                    await asyncio.sleep(0.003)

        await asyncio.gather(worker.sweep(now), come_back())
        async with asyncio.timeout(30):
            while sum(e.message.topic == INTERACTIONS for e in worker.around.acknowledged) < 80:
                await asyncio.sleep(0.01)
        await worker.agent.drain()
        kept = dict(worker.table._records[PARTITION])
    lives: dict[int, int] = {}
    states = await read_all(topics, USER_STATE)
    changelog = await read_all(topics, LEARNER_CHANGELOG)
    for user in users:
        value = kept[user.encode()]
        interactions = LearnerRecord.from_bytes(value).evidence.interactions
        lives[interactions] = lives.get(interactions, 0) + 1
        # Either it was put away, and has the new event, or it was not, and has both
        of = [r.value for r in changelog if r.key == user.encode()]
        versions = [v if v is None else version_of(v) for v in of]
        assert versions == ([1, None, 1] if interactions == 1 else [1, 2])
        assert of[-1] == value
        # And the last that is told of it is its newest state
        told = [r for r in states if r.key == user.encode()]
        assert told[-1].value is not None
        assert told[-1].document["version"] == header_of(value).version
        assert told[-1].document["activity"]["interactions"] == interactions
    print(f"\nput away: {lives.get(1, 0)}, kept: {lives.get(2, 0)}")
    assert lives.get(1)
    # After a restart nothing is different
    async with learners(topics) as worker:
        assert worker.table._records[PARTITION] == kept


async def test_a_crash_between_the_steps_is_made_good(topics: Settings) -> None:
    now = now_ms()
    async with learners(topics) as worker:
        await worker.give(INTERACTIONS, "ada", click("ada", now - 200 * DAY))
        value = worker.table.get(PARTITION, b"ada")
        assert value is not None
        # Given that the state's tombstone is delivered, and then the worker ends
        removal = await worker.agent._remove(PARTITION, b"ada", value, forgets=True)
        assert removal is not None
        await removal.done.wait()
    async with learners(topics) as worker:
        # Then the record is there, and is put away by the next
        assert worker.table.get(PARTITION, b"ada") == value
        assert await worker.sweep(now) == 1
        await worker.agent.drain()
    assert [r.value for r in await read_all(topics, LEARNER_CHANGELOG)][-1] is None
    assert [r.value for r in await read_all(topics, USER_STATE)][-2:] == [None, None]


async def test_a_deletion_that_is_not_delivered_ends_the_worker(topics: Settings) -> None:
    """The record has left memory: a worker that went on would begin the learner anew."""
    now = now_ms()
    async with learners(topics) as worker:
        await worker.give(INTERACTIONS, "ada", click("ada", now - 200 * DAY))
        failed: list[BaseException] = []
        worker.around.window._fail = failed.append
        outbox = worker.table._outbox

        class Broken:
            async def send(self, *args: object, **more: object) -> None:
                raise OSError("no broker")

        worker.table._outbox = Broken()
        await worker.sweep(now)
        await worker.agent.drain()
        worker.table._outbox = outbox
        assert [type(error) for error in failed] == [OSError]
