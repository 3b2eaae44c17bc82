"""The learner worker as a process, on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runtime.topics import (
    DEAD_LETTERS,
    EMOTIONS,
    ERASURES,
    INTERACTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.kafka.topics import physical
from app.process.exits import Exit
from app.settings import Settings
from models.learner.record import FORMAT, LearnerRecord
from schemas.base import new_event_id, now_ms
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import Interaction, InteractionsReceived
from schemas.topics.operations import ErasureRequested
from tests.topics import committed, eventually, produce, read_all
from tests.workers import WorkerProcess

pytestmark = pytest.mark.services


def batch(user: str, *, count: int = 3, event_id: str | None = None) -> InteractionsReceived:
    now = now_ms()
    return InteractionsReceived(
        event_id=event_id or new_event_id(),
        user_id=user,
        event_time=now,
        ingest_time=now,
        interactions=tuple(
            Interaction(event_id=new_event_id(), timestamp=now - 100 * i, interaction_type="click")
            for i in range(count)
        ),
    )


def reading(user: str, offset: int, valence: float = 0.2) -> EmotionRead:
    now = now_ms()
    event_id = new_event_id()
    return EmotionRead(
        event_id=event_id,
        user_id=user,
        event_time=now,
        ingest_time=now,
        caused_by=(event_id,),
        source_topic="chat-messages",
        source_partition=0,
        source_offset=offset,
        probabilities={Emotion.JOY: 0.1, Emotion.SADNESS: 0.7},
        top=Emotion.SADNESS,
        pad=PAD(valence=valence, arousal=0.4, dominance=0.5),
    )


async def test_events_become_state_and_every_state_is_followed_by_recommendations(
    topics: Settings, tmp_path: Path
) -> None:
    # Given a batch of interactions and the reading of a message of one learner
    first, second = batch("ada"), reading("ada", 0)
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        # When they are produced
        await produce(topics, INTERACTIONS, [("ada", first)])
        await eventually(lambda: read_all(topics, USER_STATE), lambda seen: len(seen) == 1)
        await produce(topics, EMOTIONS, [("ada", second)])
        # Then the state has both, in versions 1 and 2
        states = await eventually(lambda: read_all(topics, USER_STATE), lambda seen: len(seen) == 2)
        assert [s.document["version"] for s in states] == [1, 2]
        assert states[0].document["causedBy"] == [i.event_id for i in first.interactions]
        assert states[1].document["causedBy"] == [second.event_id]
        assert states[1].document["activity"]["interactions"] == 3
        assert states[1].document["valence"]["source"] == "measured"
        recommended = await eventually(
            lambda: read_all(topics, RECOMMENDATIONS), lambda seen: len(seen) == 2
        )
        assert [r.document["version"] for r in recommended] == [1, 2]
        # And the offsets are committed
        await eventually(
            lambda: committed(topics, "learner", INTERACTIONS),
            lambda offsets: sum(offsets.values()) == 1,
        )


async def test_a_restarted_worker_goes_on_from_the_changelog(
    topics: Settings, tmp_path: Path
) -> None:
    async with WorkerProcess("learner", topics, tmp_path / "log") as worker:
        await produce(topics, INTERACTIONS, [("ada", batch("ada")) for _ in range(5)])
        await eventually(lambda: read_all(topics, USER_STATE), lambda seen: len(seen) == 5)
        assert await worker.stop() == 0
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await produce(topics, INTERACTIONS, [("ada", batch("ada"))])
        states = await eventually(
            lambda: read_all(topics, USER_STATE),
            lambda seen: any(s.document["version"] == 6 for s in seen),
        )
    last = max(states, key=lambda s: s.document["version"]).document
    assert last["activity"]["interactions"] == 18
    assert len(await read_all(topics, LEARNER_CHANGELOG)) == 6


async def test_poison_is_a_dead_letter_and_its_neighbours_go_through(
    topics: Settings, tmp_path: Path
) -> None:
    # Given 61 good batches with three bad records among them
    good = [("ada", batch("ada", count=1)) for _ in range(61)]
    records: list = list(good)
    records.insert(10, ("ada", b"{not json"))
    records.insert(30, ("ada", b'{"schemaVersion":1,"userId":"ada"}'))
    records.insert(50, ("ada", b'{"interactions":"' + b"x" * 2_000_000 + b'"}'))
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await produce(topics, INTERACTIONS, records)
        letters = await eventually(
            lambda: read_all(topics, DEAD_LETTERS), lambda seen: len(seen) == 3
        )
        assert [letter.document["offset"] for letter in letters] == [10, 30, 50]
        assert letters[0].document["error"] == "InvalidJson"
        assert letters[1].document["field"] == "eventId"
        await eventually(
            lambda: committed(topics, "learner", INTERACTIONS),
            lambda offsets: sum(offsets.values()) == 64,
        )
    states = await read_all(topics, USER_STATE)
    assert max(s.document["version"] for s in states) == 61


async def test_a_record_of_an_unknown_format_ends_the_worker_and_no_event_is_a_dead_letter(
    topics: Settings, tmp_path: Path
) -> None:
    # Given a release after this one wrote a learner's record, and an event of it waits
    value = bytes([FORMAT + 1]) + LearnerRecord(version=1).to_bytes()[1:]
    ((partition, offset),) = await produce(topics, LEARNER_CHANGELOG, [("ada", value)])
    await produce(topics, INTERACTIONS, [("ada", batch("ada"))])
    worker = WorkerProcess("learner", topics, tmp_path / "log")
    worker.spawn()
    try:
        # Then the worker says where, what it found and what it reads
        assert await worker.ended() == Exit.CONFIG
    finally:
        worker.kill()
    name = physical(topics, LEARNER_CHANGELOG)
    assert f"topic {name}, partition {partition}, offset {offset}" in worker.tail()
    assert f"format {FORMAT + 1}; this version reads 1, 2, 3, 4" in worker.tail()
    assert await read_all(topics, DEAD_LETTERS) == []
    assert sum((await committed(topics, "learner", INTERACTIONS)).values()) == 0


@pytest.mark.parametrize("cut", [0, 6, 60], ids=["empty", "no header", "header only"])
async def test_events_of_a_corrupt_record_wait_as_dead_letters_until_it_is_erased(
    topics: Settings, tmp_path: Path, cut: int
) -> None:
    # Given the record of one learner is cut short, and there is another learner
    whole = LearnerRecord(version=9, applied={"interactions": 99}).to_bytes()
    await produce(topics, LEARNER_CHANGELOG, [("ada", whole[:cut])])
    lost = batch("ada")
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        # When events of both come
        await produce(topics, INTERACTIONS, [("ada", lost), ("bob", batch("bob"))])
        (letter,) = await eventually(lambda: read_all(topics, DEAD_LETTERS), bool)
        # Then hers is kept as it came, and the other goes on
        assert letter.document["error"] == "CorruptRecord"
        states = await eventually(lambda: read_all(topics, USER_STATE), bool)
        assert [state.document["userId"] for state in states] == ["bob"]
        # And once she is erased she begins anew
        now = now_ms()
        erasure = ErasureRequested(
            event_id=new_event_id(), user_id="ada", event_time=now, ingest_time=now
        )
        await produce(topics, ERASURES, [("ada", erasure)])
        await eventually(
            lambda: committed(topics, "learner", ERASURES), lambda done: sum(done.values()) == 1
        )
        await produce(topics, INTERACTIONS, [("ada", batch("ada"))])
        states = await eventually(
            lambda: read_all(topics, USER_STATE),
            lambda seen: any(one.key == b"ada" and one.value is not None for one in seen),
        )
    (hers,) = [one for one in states if one.key == b"ada" and one.value is not None]
    assert hers.document["activity"]["interactions"] == 3
