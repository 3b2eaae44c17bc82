"""What a worker allows a broker that is not Kafka; nothing where the settings say so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitResponse_v1, OffsetCommitResponse_v3
from aiokafka.protocol.fetch import FetchResponse_v4

from app.kafka.quirks import (
    IDLE_AFTER,
    ILLEGAL_GENERATION,
    REBALANCE_IN_PROGRESS,
    Bell,
    FetchPace,
    FetchPause,
    Quirks,
    as_rebalance,
)
from app.settings import KafkaSettings

NEVER = 3_600.0
HELD = 0.5
BUSY = FetchPause(busy=0.008, idle=0.02)


class FetchRequest:
    """Quirks know a request by the name of its type."""


class MetadataRequest:
    pass


def fetched(records: bytes = b"", error: int = 0, throttled: int = 0) -> FetchResponse_v4:
    partitions = [(0, 0, 7, 7, [], b""), (1, error, 7, 7, [], records)]
    return FetchResponse_v4(throttled, [("chat-messages", partitions)])


class Consumer:
    """What a consumer asks through a pace, on a clock that moves only as it waits."""

    def __init__(self, pause: FetchPause, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.pace = FetchPace(pause, fetch_wait=HELD, clock=lambda: self.now)

        loop = asyncio.get_running_loop()

        def call_later(seconds: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
            self.now += seconds
            return loop.call_at(loop.time(), callback, *args)

        monkeypatch.setattr(loop, "call_later", call_later)

    async def waits(
        self, answer: FetchResponse_v4, *, held: float = 0.0, request: Any = None, after: float = 0
    ) -> float:
        """Ask `after` so many seconds; the answer comes after `held`. The pause before it."""
        self.now += after
        began = self.now

        async def send(_request: Any) -> FetchResponse_v4:
            self.now += held
            return answer

        assert await self.pace.step(request or FetchRequest(), send) is answer
        return round(self.now - began - held, 6)


def test_kafka_has_none() -> None:
    assert Quirks.of(KafkaSettings(empty_fetch_pause=0)) == Quirks()
    assert not Quirks().generation_runs_ahead
    assert not Quirks().empty_fetches_return_at_once


def test_the_defaults_allow_for_the_embedded_broker() -> None:
    assert Quirks.of(KafkaSettings()) == Quirks(
        empty_fetches_return_at_once=True, generation_runs_ahead=True
    )


async def test_a_broker_that_does_not_hold_is_asked_with_pauses(monkeypatch) -> None:
    consumer = Consumer(BUSY, monkeypatch)
    # Nobody has said yet whether it holds
    assert await consumer.waits(fetched(b"records")) == 0
    assert await consumer.waits(fetched(b"records")) == 0
    assert await consumer.waits(fetched()) == 0
    # It does not: each fetch waits, also one that brings something
    assert await consumer.waits(fetched(b"records")) == BUSY.busy
    assert await consumer.waits(fetched(b"records")) == BUSY.busy
    # The time since the last answer counts
    assert await consumer.waits(fetched(), after=0.006) == round(BUSY.busy - 0.006, 6)
    assert await consumer.waits(fetched(), after=0.5) == 0


async def test_it_waits_longer_once_nothing_has_come_for_a_while(monkeypatch) -> None:
    consumer = Consumer(BUSY, monkeypatch)
    await consumer.waits(fetched(b"records"))
    await consumer.waits(fetched())
    assert await consumer.waits(fetched()) == BUSY.busy
    await consumer.waits(fetched(), after=IDLE_AFTER)
    assert await consumer.waits(fetched(b"records")) == BUSY.idle
    assert await consumer.waits(fetched()) == BUSY.busy


async def test_one_that_holds_is_asked_at_once(monkeypatch) -> None:
    consumer = Consumer(FetchPause(NEVER, NEVER), monkeypatch)
    for _ in range(3):
        assert await consumer.waits(fetched(), held=HELD) == 0
        assert await consumer.waits(fetched(b"records")) == 0
    # Also if it once was slow to forget: the last empty answer counts
    await consumer.waits(fetched())
    assert await consumer.waits(fetched(), held=HELD) == NEVER
    assert await consumer.waits(fetched()) == 0


@pytest.mark.parametrize(
    ("answer", "request_"),
    [
        (fetched(error=6), FetchRequest()),
        (fetched(throttled=100), FetchRequest()),
        (fetched(), MetadataRequest()),
    ],
    ids=["an error", "throttled", "no fetch"],
)
async def test_what_says_nothing_of_holding(answer, request_, monkeypatch) -> None:
    consumer = Consumer(FetchPause(NEVER, NEVER), monkeypatch)
    assert await consumer.waits(answer, request=request_) == 0
    assert await consumer.waits(answer, request=request_) == 0


async def test_a_bell_ends_the_pause(monkeypatch) -> None:
    consumer = Consumer(BUSY, monkeypatch)
    await consumer.waits(fetched())
    await consumer.waits(fetched(b"records"))
    # Rung since the last fetch was sent: the next one goes at once, and only that
    consumer.pace.ring()
    consumer.pace.ring()
    assert await consumer.waits(fetched()) == 0
    assert await consumer.waits(fetched()) == BUSY.busy


async def test_what_is_acknowledged_while_a_fetch_is_under_way_is_fetched_next(monkeypatch) -> None:
    consumer = Consumer(BUSY, monkeypatch)
    await consumer.waits(fetched())

    async def send(_request: Any) -> Any:
        consumer.pace.ring()
        return fetched()

    await consumer.pace.step(FetchRequest(), send)
    assert await consumer.waits(fetched()) == 0


async def test_a_bell_of_another_thread_wakes_who_waits() -> None:
    pace = FetchPace(FetchPause(NEVER, NEVER), fetch_wait=60)
    bell = Bell()
    bell.hang(pace, ["emotions"])

    async def send(_request: Any) -> Any:
        return fetched()

    await pace.step(FetchRequest(), send)
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(pace.step(FetchRequest(), send))
        while pace._waiting is None:
            await asyncio.sleep(0)
        await asyncio.to_thread(bell.ring, "chat-messages")
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not bell.wakes("chat-messages")
        assert bell.wakes("emotions")
        await asyncio.to_thread(bell.ring, "emotions")
        await waiting
    # Whoever was told to leave the group waits no more; a bell finds nobody
    leaving = asyncio.create_task(pace.step(FetchRequest(), send))
    while pace._waiting is None:
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert pace._waiting is None
    bell.ring("emotions")


@pytest.mark.parametrize("version", [OffsetCommitResponse_v1, OffsetCommitResponse_v3])
def test_a_refused_commit_is_worded_as_a_rebalance(version: Any) -> None:
    topics = [("chat-messages", [(0, ILLEGAL_GENERATION), (1, 0), (2, 25)])]
    fields = {"topics": topics, "throttle_time_ms": 5}
    response = version(*(fields[name] for name in version.SCHEMA.names))
    worded = as_rebalance(response)
    assert type(worded) is version
    assert worded.topics == [("chat-messages", [(0, REBALANCE_IN_PROGRESS), (1, 0), (2, 25)])]
    assert "throttle_time_ms" not in version.SCHEMA.names or worded.throttle_time_ms == 5
