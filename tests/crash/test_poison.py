"""What cannot be read stops nobody else, and can be sent again once the cause is gone."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from agents.runtime.topics import CHAT, DEAD_LETTERS, EMOTIONS
from app.local.environment import child_environment
from app.settings import Settings
from schemas.base import new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from tests.crash.fleet import ENTRY, told
from tests.crash.verdict import lag
from tests.topics import eventually, produce, read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(180)]

WORDS = "zephyr quokka marzipan"
BATCH = 64


def chat(user: str, text: str) -> ChatReceived:
    now = now_ms()
    return ChatReceived(
        event_id=new_event_id(), user_id=user, event_time=now, ingest_time=now, text=text
    )


async def masterx(settings: Settings, *arguments: str) -> str:
    """Run the CLI; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", *arguments,
        env=child_environment(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(("emotion", "learner", "push"), id="together"),
        pytest.param(("emotion",), id="alone", marks=pytest.mark.twin),
    ],
)
async def test_poison_in_batches_of_64(
    topics: Settings, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    # Given four batches of 64 messages, each with one of another poison in its midst
    raising = chat("user-3", f"I like {WORDS} very much")
    poison = [
        ("user-0", b"{not json"),
        ("user-1", b'{"schemaVersion": 1, "userId": "user-1", "text": 7}'),
        ("user-2", b'{"schemaVersion": 1, "text": "' + b"x" * 2_000_000 + b'"}'),
        ("user-3", raising),
    ]
    records: list = []
    for bad in poison:
        batch: list = [
            (f"user-{i % 8}", chat(f"user-{i % 8}", f"lesson {i} made sense to me"))
            for i in range(BATCH - 1)
        ]
        records += [*batch[:30], bad, *batch[30:]]
    good = {m.event_id for _, m in records if isinstance(m, ChatReceived)} - {raising.event_id}
    places = await produce(topics, CHAT, records)
    wanted = {places[n * BATCH + 30]: type(bad[1]).__name__ for n, bad in enumerate(poison)}

    # When a worker with the real model reads them, that raises on one text
    with told(CRASH_READER="model", CRASH_TEXT=WORDS):
        worker = WorkerProcess(roles, topics, tmp_path / "first", module=ENTRY)
        worker.spawn()
    await worker.ready()
    # Then every offset is committed
    await eventually(lambda: lag(topics, "emotion"), lambda left: left == 0, within=60)
    assert await worker.stop() == 0
    # And the others went through, each in its partition's order
    readings = [record.document for record in await read_all(topics, EMOTIONS)]
    assert sorted(r["eventId"] for r in readings) == sorted(good)
    assert {r["status"] for r in readings} == {"ok"}
    for partition in range(topics.kafka.partitions):
        offsets = [r["sourceOffset"] for r in readings if r["sourcePartition"] == partition]
        assert offsets == sorted(offsets)
    # And there is one dead letter each
    letters = [record.document for record in await read_all(topics, DEAD_LETTERS)]
    assert {(one["partition"], one["offset"]) for one in letters} == set(wanted)
    assert len(letters) == len(poison)
    assert sorted(one["error"] for one in letters) == sorted(
        ["InvalidJson", "InvalidMessage", "InvalidMessage", "UnreadableText"]
    )

    # When the cause is gone and the letters are sent again
    async with WorkerProcess(roles, topics, tmp_path / "second"):
        out = await masterx(topics, "dead-letters", "replay", "--all")
        assert out.count("replayed") >= len(poison), out
        # Then the text is read, and what was never a message is a dead letter again
        await eventually(lambda: lag(topics, "emotion"), lambda left: left == 0, within=60)
        again = [record.document for record in await read_all(topics, EMOTIONS)]
        assert sorted(r["eventId"] for r in again) == sorted({*good, raising.event_id})
        letters = [record.document for record in await read_all(topics, DEAD_LETTERS)]
        assert len(letters) == len(poison) + 3


async def test_what_an_earlier_release_does_not_know_is_read_after_the_upgrade(
    topics: Settings, tmp_path: Path
) -> None:
    # Given messages of this release, and a worker of an earlier one
    chats = [chat(f"user-{n}", f"lesson {n} made sense to me") for n in range(20)]
    places = await produce(topics, CHAT, [(one.user_id, one) for one in chats])
    older = WorkerProcess("emotion", topics, tmp_path / "older", module="tests.crash.older_entry")
    async with older:
        await eventually(lambda: lag(topics, "emotion"), lambda left: left == 0, within=60)
        assert await older.stop() == 0
    # Then each is one dead letter that says so, and nothing was read
    letters = [record.document for record in await read_all(topics, DEAD_LETTERS)]
    assert sorted((one["partition"], one["offset"]) for one in letters) == sorted(places)
    assert {(one["error"], one["reason"]) for one in letters} == {
        ("UnknownVersion", "unknown_version")
    }
    assert await read_all(topics, EMOTIONS) == []

    # When the worker is upgraded and the letters are sent again
    async with WorkerProcess("emotion", topics, tmp_path / "newer", module=ENTRY):
        assert "unknown_version" in await masterx(topics, "dead-letters", "list")
        await masterx(topics, "dead-letters", "replay", "--all")
        await eventually(lambda: lag(topics, "emotion"), lambda left: left == 0, within=60)
    # Then each is read
    readings = [record.document for record in await read_all(topics, EMOTIONS)]
    assert sorted(r["eventId"] for r in readings) == sorted(one.event_id for one in chats)
    assert len(await read_all(topics, DEAD_LETTERS)) == len(chats)
