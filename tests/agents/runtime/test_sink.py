"""The loop of the agents that write into a store: in order, whole batches, one dead letter each."""

from __future__ import annotations

import asyncio

import pytest

from agents.runtime import envelope, sink
from agents.runtime.retrying import Fatal, Refused, Retriable
from agents.runtime.sink import Sink
from agents.runtime.topics import CHAT, ERASURES
from tests.agents.records import MODELS, Around, message, stream


class Store:
    """Keeps what it is told, and refuses or fails what a test names."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refuses: set[str] = set()
        self.fails: list[Exception] = []

    async def write(self, items):
        if self.fails:
            raise self.fails.pop(0)
        self.told.append(" ".join(item.event_id for item in items))
        return [Refused("redis", "no") if item.event_id in self.refuses else None for item in items]

    async def erase(self, request) -> None:
        self.told.append(f"erase {request.event_id}")
        if request.event_id in self.refuses:
            raise Refused("redis", "no")

    def read(self, topic, record):
        if record.value is None:
            return None
        return envelope.read(MODELS[topic], record)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def around() -> Around:
    return Around()


async def run(events, store: Store, around: Around, batch_size: int = 16) -> None:
    await sink.run(
        stream(events),
        Sink("push", "redis", read=store.read, write=store.write, erase=store.erase),
        dead_letters=around.dead_letters,
        window=around.window,
        logical=str,
        batch_size=batch_size,
        waits=around.waits,
    )


def events(around: Around, *topics: str):
    return [
        around.event(topic, "ada", message(topic, "ada", n)) for n, topic in enumerate(topics, 1)
    ]


async def test_an_erasure_is_done_in_its_place(store: Store, around: Around):
    batch = events(around, CHAT, CHAT, ERASURES, CHAT)
    await run(batch, store, around)

    assert store.told == [
        f"{CHAT}-ada-1 {CHAT}-ada-2",
        f"erase {ERASURES}-ada-3",
        f"{CHAT}-ada-4",
    ]
    assert len(around.acknowledged) == 4


async def test_what_cannot_be_read_or_is_refused_is_one_dead_letter_each(
    store: Store, around: Around
):
    batch = events(around, CHAT, CHAT, ERASURES, CHAT)
    batch.insert(1, around.event(CHAT, "ada", b"not json"))
    batch.insert(2, around.event(CHAT, "ada", None))
    store.refuses = {f"{CHAT}-ada-2", f"{ERASURES}-ada-3"}
    await run(batch, store, around)

    sent = [record.offset for record, _ in around.dead_letters.sent]
    assert sent == [batch[n].message.offset for n in (1, 3, 4)]
    assert [type(error).__name__ for _, error in around.dead_letters.sent][1:] == ["Refused"] * 2
    assert len(around.acknowledged) == len(batch)  # the stream moves on


async def test_nothing_is_acknowledged_while_the_store_is_away(store: Store, around: Around):
    store.fails = [Retriable("redis", "away")] * 3
    running = asyncio.create_task(run(events(around, CHAT, CHAT), store, around))
    await around.waited("redis")
    assert around.acknowledged == []

    await running
    assert store.told == [f"{CHAT}-ada-1 {CHAT}-ada-2"]  # the same batch, whole
    assert len(around.acknowledged) == 2


async def test_a_batch_of_nothing_to_store_asks_no_store(store: Store, around: Around):
    await run([around.event(CHAT, "ada", None)], store, around)

    assert store.told == []
    assert len(around.acknowledged) == 1


async def test_a_store_that_refuses_the_process_ends_it(store: Store, around: Around):
    store.fails = [Fatal("redis", "WRONGPASS", "MASTERX_REDIS__URL")]
    with pytest.raises(Fatal):
        await run(events(around, CHAT), store, around)
    assert around.acknowledged == []
