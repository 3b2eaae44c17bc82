"""Acknowledgement in offset order, whatever the order of deliveries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.in_flight import InFlight


@dataclass
class Event:
    """A consumed record that notes its acknowledgement."""

    topic: str
    partition: int
    offset: int
    acked: list[tuple[str, int, int]] = field(repr=False)

    @property
    def message(self):
        return SimpleNamespace(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            timestamp=1_000.0 + self.offset,
        )

    def ack(self) -> bool:
        self.acked.append((self.topic, self.partition, self.offset))
        return True


def no_failure(error: BaseException) -> None:
    raise AssertionError(f"unexpected failure: {error!r}")


@given(
    partitions=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    data=st.data(),
)
def test_acknowledged_in_offset_order_and_only_when_delivered(partitions, data):
    async def scenario() -> None:
        acked: list[tuple[str, int, int]] = []
        window = InFlight(len(partitions), no_failure)
        futures: dict[tuple[int, int], asyncio.Future[None]] = {}
        offsets = dict.fromkeys(range(3), 0)
        for partition in partitions:
            await window.slot()
            offset = offsets[partition]
            offsets[partition] += 1
            future = asyncio.get_running_loop().create_future()
            futures[partition, offset] = future
            window.track(Event("t", partition, offset, acked), [future])
        delivered: set[tuple[int, int]] = set()
        for key in data.draw(st.permutations(list(futures))):
            futures[key].set_result(None)
            delivered.add(key)
            await asyncio.sleep(0)
            for partition in range(3):
                mine = [offset for _, p, offset in acked if p == partition]
                # A prefix without gaps, and exactly the longest delivered one.
                longest = 0
                while (partition, longest) in delivered:
                    longest += 1
                assert mine == list(range(longest))
                last = None if not longest else 1_000.0 + longest - 1
                assert window.acknowledged_from("t", partition) == last
        assert len(acked) == window.acknowledged == len(partitions)
        assert len(window) == 0

    asyncio.run(scenario())


async def test_nothing_from_a_failed_delivery_on_is_acknowledged():
    acked: list[tuple[str, int, int]] = []
    failures: list[BaseException] = []
    window = InFlight(10, failures.append)
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(4)]
    for offset, future in enumerate(futures):
        await window.slot()
        window.track(Event("t", 0, offset, acked), [future])
    futures[0].set_result(None)
    futures[1].set_exception(RuntimeError("not delivered"))
    futures[2].set_result(None)
    futures[3].set_exception(RuntimeError("neither"))
    await asyncio.sleep(0)
    assert acked == [("t", 0, 0)]
    assert [str(failure) for failure in failures] == ["not delivered"]


async def test_waits_for_every_delivery_of_a_record():
    acked: list[tuple[str, int, int]] = []
    window = InFlight(1, no_failure)
    one, two = (asyncio.get_running_loop().create_future() for _ in range(2))
    await window.slot()
    window.track(Event("t", 0, 7, acked), [one, two])
    one.set_result(None)
    await asyncio.sleep(0)
    assert acked == []
    two.set_result(None)
    await asyncio.sleep(0)
    assert acked == [("t", 0, 7)]


async def test_a_full_window_holds_the_reader_back():
    acked: list[tuple[str, int, int]] = []
    window = InFlight(1, no_failure)
    await window.slot()
    waiting = asyncio.create_task(window.slot())
    await asyncio.sleep(0)
    assert not waiting.done()
    window.track(Event("t", 0, 0, acked), [])
    await asyncio.wait_for(waiting, 1)
    window.abandon()
    assert len(window) == 0


def test_a_window_without_room_is_refused():
    with pytest.raises(ValueError, match="limit is 0"):
        InFlight(0, no_failure)
