"""The emotion worker as a process, with the real model, on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.topics import CHAT, DEAD_LETTERS, EMOTIONS
from app.settings import Settings
from schemas.base import new_event_id, now_ms
from schemas.chat import ChatReceived
from tests.topics import committed, eventually, produce, read_all
from tests.workers import WorkerProcess

pytestmark = pytest.mark.services


def chat(user: str, text: str) -> ChatReceived:
    now = now_ms()
    return ChatReceived(
        event_id=new_event_id(), user_id=user, event_time=now, ingest_time=now, text=text
    )


async def test_messages_become_readings_in_the_order_of_their_offsets(
    topics: Settings, tmp_path: Path
) -> None:
    # Given messages of several learners, long ones among short ones, and one that is no message
    texts = ["thank you so much, this finally makes sense!", "i hate this, it never works"]
    records: list = [
        (f"user-{n % 5}", chat(f"user-{n % 5}", texts[n % 2] + " really" * (n % 40)))
        for n in range(60)
    ]
    records.insert(7, ("user-1", b"\xff\xfe"))
    async with WorkerProcess("emotion", topics, tmp_path / "log"):
        # When they are produced
        await produce(topics, CHAT, records)
        # Then each is read once, in order, and the broken one is buried
        readings = await eventually(
            lambda: read_all(topics, EMOTIONS), lambda seen: len(seen) >= 60
        )
        assert len(readings) == 60
        for partition in {r.partition for r in readings}:
            offsets = [r.document["sourceOffset"] for r in readings if r.partition == partition]
            assert offsets == sorted(offsets)
        grateful = next(r.document for r in readings if r.document["causedBy"] == [first(records)])
        assert grateful["top"] == "gratitude"
        assert all(0 <= p <= 1 for p in grateful["probabilities"].values())
        assert 0 <= grateful["pad"]["valence"] <= 1
        assert grateful["modelVersion"]
        assert len(await read_all(topics, DEAD_LETTERS)) == 1
        await eventually(
            lambda: committed(topics, "emotion", CHAT),
            lambda offsets: sum(offsets.values()) == 61,
        )


async def test_where_nothing_can_be_seen_nothing_is_measured(
    topics: Settings, tmp_path: Path
) -> None:
    # Given an angry message among such in which a learner sees nothing
    sent = [chat("ada", text) for text in ("&nbsp;", "i hate this!", "<p><br></p>", "&#8203;")]
    async with WorkerProcess("emotion", topics, tmp_path / "log"):
        # When they are produced
        await produce(topics, CHAT, [("ada", each) for each in sent])
        readings = await eventually(
            lambda: read_all(topics, EMOTIONS), lambda seen: len(seen) >= len(sent)
        )
        assert await read_all(topics, DEAD_LETTERS) == []
    # Then only the one is read; of the others there is no figure that a state could take in
    read = {r.document["causedBy"][0]: r.document for r in readings}
    assert [read[each.event_id]["status"] for each in sent] == [
        "unavailable", "ok", "unavailable", "unavailable",
    ]  # fmt: skip
    for each in sent:
        document = read[each.event_id]
        known = document["status"] == "ok"
        assert bool(document.get("probabilities")) is known
        assert (document.get("pad") is not None) is known
        assert (document.get("top") is not None) is known


def first(records: list) -> str:
    return records[0][1].event_id
