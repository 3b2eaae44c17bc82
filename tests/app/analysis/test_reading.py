"""What analysts read of a real broker: typed, each once, without forgotten learners."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from agents.runtime.topics import (
    CHAT,
    DEAD_LETTERS,
    ERASURES,
    INTERACTIONS,
    LEARNER_CHANGELOG,
    USER_STATE,
)
from app.analysis.reading import Forgotten, UnknownTopic, Unreadable, follow, read
from app.local.embedded import free_port
from app.process.errors import Unavailable
from app.settings import Settings
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Position, apply_emotion, apply_erasure
from schemas.base import new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import EmotionRead
from schemas.topics.operations import DeadLetter, ErasureRequested
from schemas.topics.state import UserState
from tests.models.learner.build import reading
from tests.topics import produce

OFFSETS = count(1)
SERVICES = pytest.mark.services


def chat(user: str, text: str = "hello", *, at: int | None = None, **more: Any) -> ChatReceived:
    now = at or now_ms()
    event_id = more.get("event_id") or new_event_id()
    return ChatReceived(event_id=event_id, user_id=user, event_time=now, ingest_time=now, text=text)


def state(user: str, version: int, *, at: int | None = None) -> UserState:
    event: EmotionRead = reading(next(OFFSETS), valence=0.4).model_copy(
        update={"user_id": user, "ingest_time": at or now_ms()}
    )
    outputs = apply_emotion(None, event, LearnerSettings()).outputs
    assert outputs is not None
    return outputs.state.model_copy(update={"version": version})


def erasure(user: str, at: int | None = None) -> ErasureRequested:
    now = at or now_ms()
    return ErasureRequested(event_id=new_event_id(), user_id=user, event_time=now, ingest_time=now)


async def found(topic: str, settings: Settings, **more: Any) -> list[Any]:
    return [one async for one in read(topic, settings=settings, **more)]


# -- read -------------------------------------------------------------------------------------


@SERVICES
async def test_a_record_that_stands_twice_is_read_once_and_each_learner_has_ids_of_their_own(
    topics: Settings,
) -> None:
    first = chat("ada", "one", event_id="1")
    sent = [first, chat("ben", "two", event_id="1"), first, chat("ada", "three", event_id="2")]
    await produce(topics, CHAT, [(one.user_id, one) for one in sent])
    got = await found(CHAT, topics)
    assert all(isinstance(one, ChatReceived) for one in got)
    assert sorted(one.text for one in got) == ["one", "three", "two"]
    assert [one.text for one in got if one.user_id == "ada"] == ["one", "three"]


@SERVICES
async def test_since_and_until_are_times_of_receipt(topics: Settings) -> None:
    now = now_ms()
    times = [now - 3_600_000, now - 1_800_000, now - 60_000]
    await produce(topics, CHAT, [("ada", chat("ada", str(at), at=at)) for at in times])
    half_past = datetime.fromtimestamp(times[1] / 1000, UTC)
    for since in (half_past, half_past.isoformat(), times[1], times[1] / 1000):
        got = await found(CHAT, topics, since=since)
        assert [one.ingest_time for one in got] == times[1:]
    got = await found(CHAT, topics, since=times[0], until=times[2])
    assert [one.ingest_time for one in got] == times[:2]


@SERVICES
async def test_a_forgotten_learner_is_left_out_with_all_from_before(topics: Settings) -> None:
    at = now_ms() - 10_000
    await produce(topics, CHAT, [(user, chat(user, at=at)) for user in ("ada", "ben")])
    await produce(topics, ERASURES, [("ada", erasure("ada", at + 5_000))])
    await produce(topics, CHAT, [("ada", chat("ada", "again", at=at + 6_000))])
    # A record of before that arrives late, and one that stands at the very time.
    await produce(topics, CHAT, [("ada", chat("ada", at=at + n)) for n in (100, 5_000)])

    assert sorted(one.text for one in await found(CHAT, topics)) == ["again", "hello"]
    assert [one.user_id for one in await found(ERASURES, topics)] == ["ada"]


@SERVICES
async def test_a_tombstone_deletes_what_stands_before_it(topics: Settings) -> None:
    await produce(
        topics,
        USER_STATE,
        [
            ("ada", state("ada", 1)),
            ("ben", state("ben", 1)),
            ("ada", state("ada", 2)),
            ("ada", None),
            ("ada", state("ada", 1)),
            ("ben", state("ben", 3)),
            ("ben", state("ben", 2)),  # of a worker that had lost the partition
        ],
    )
    got = await found(USER_STATE, topics)
    assert sorted((one.user_id, one.version) for one in got) == [("ada", 1), ("ben", 1), ("ben", 3)]


@SERVICES
async def test_markers_tell_of_erasures_where_a_topic_is_kept_for_longer(topics: Settings) -> None:
    """Chat is kept for 20 days, requests to erase for 7: the request has gone."""
    kafka = topics.kafka.model_copy(update={"chat_days": 20.0})
    longer = topics.model_copy(update={"kafka": kafka})
    at = now_ms() - 10_000
    marker = apply_erasure(
        LearnerRecord(), erasure("ada", at + 1), Position(ERASURES, 0, 0), topics.learner
    ).record
    assert marker is not None
    await produce(topics, LEARNER_CHANGELOG, [("ada", marker.to_bytes()), ("ben", b"\xff")])
    await produce(topics, CHAT, [("ada", chat("ada", at=at)), ("ben", chat("ben", at=at))])
    assert [one.user_id for one in await found(CHAT, longer)] == ["ben"]


@SERVICES
async def test_what_is_past_its_retention_is_not_given(topics: Settings) -> None:
    kafka = topics.kafka.model_copy(update={"chat_days": 0.5 / 86_400})
    await produce(topics, CHAT, [("ada", chat("ada"))])
    await asyncio.sleep(0.6)
    assert await found(CHAT, topics.model_copy(update={"kafka": kafka})) == []
    assert len(await found(CHAT, topics)) == 1


@SERVICES
async def test_a_record_that_cannot_be_read_is_named_or_counted(topics: Settings) -> None:
    good = chat("ada")
    places = await produce(topics, CHAT, [("ada", good), ("ada", b'{"eventId":1}')])
    with pytest.raises(Unreadable, match=rf"chat-messages, partition {places[1][0]}, offset 1: "):
        await found(CHAT, topics)
    await produce(topics, CHAT, [("eve", good), ("ada", b"{")])
    records = read(CHAT, unreadable="skip", settings=topics)
    assert [one async for one in records] == [good]
    assert records.skipped == 3  # one of them is keyed by somebody else


@SERVICES
async def test_dead_letters_are_told_once_and_not_of_the_forgotten(topics: Settings) -> None:
    letter = DeadLetter(
        topic=CHAT, partition=0, offset=3, role="emotion", error="E", reason="r", failed_at=now_ms()
    )
    again = letter.model_copy(update={"failed_at": letter.failed_at + 5})
    await produce(topics, DEAD_LETTERS, [("ada", letter), ("ada", again), ("ben", letter)])
    await produce(topics, ERASURES, [("ben", erasure("ben"))])
    assert await found(DEAD_LETTERS, topics) == [letter]


def test_a_topic_that_holds_nothing_to_read_is_named() -> None:
    with pytest.raises(UnknownTopic, match="Did you mean 'user-state'"):
        read("user-states", settings=Settings())
    with pytest.raises(UnknownTopic, match=r"there is no topic 'x'. There are: interactions"):
        follow("x", settings=Settings())
    with pytest.raises(UnknownTopic, match="the learner worker's own memory"):
        read(LEARNER_CHANGELOG, settings=Settings())
    with pytest.raises(ValueError, match=r"'yesterday': .*a time is"):
        read(CHAT, since="yesterday", settings=Settings())
    with pytest.raises(ValueError, match="offset from UTC"):
        read(CHAT, until=datetime(2026, 11, 30), settings=Settings())


@SERVICES
async def test_a_topic_that_is_not_there_is_told(settings: Settings) -> None:
    with pytest.raises(UnknownTopic, match=r"has no topic t\w+\.chat-messages\. Create it"):
        await found(CHAT, settings)


async def test_a_broker_that_is_not_there_is_told() -> None:
    place = f"127.0.0.1:{free_port('127.0.0.1')}"
    kafka = Settings().kafka.model_copy(update={"bootstrap": place})
    with pytest.raises(Unavailable, match=place):
        await found(CHAT, Settings().model_copy(update={"kafka": kafka}))


# -- follow -----------------------------------------------------------------------------------


async def take(records: AsyncGenerator[Any, None], number: int) -> list[Any]:
    async with asyncio.timeout(20):
        return [await anext(records) for _ in range(number)]


@SERVICES
async def test_following_gives_what_comes_once_and_tells_who_is_forgotten(
    topics: Settings,
) -> None:
    began = now_ms()
    before = state("ada", 1)
    await produce(topics, USER_STATE, [("ada", before)])
    async with aclosing(follow(USER_STATE, since=began, settings=topics)) as states:
        assert await take(states, 1) == [before]
        second = state("ada", 2)
        await produce(topics, USER_STATE, [("ada", before), ("ada", second), ("ben", before)])
        assert await take(states, 1) == [second]  # what cannot be read comes next
        with pytest.raises(Unreadable):
            await take(states, 1)
    async with aclosing(
        follow(USER_STATE, since=began, unreadable="skip", settings=topics)
    ) as states:
        assert await take(states, 2) == [before, second]
        await produce(topics, USER_STATE, [("ada", None)])
        (gone,) = await take(states, 1)
        assert isinstance(gone, Forgotten)
        assert gone.user_id == "ada"
        new_life = state("ada", 1)
        await produce(topics, USER_STATE, [("ada", new_life)])
        # An erasure: what was received before it does not come any more.
        assert await take(states, 1) == [new_life]
        at = now_ms()
        await produce(topics, ERASURES, [("ada", erasure("ada", at))])
        assert await take(states, 1) == [Forgotten("ada", at)]
        late, later = state("ada", 2, at=at - 1), state("ada", 3, at=at + 1)
        await produce(topics, USER_STATE, [("ada", late), ("ada", later)])
        assert await take(states, 1) == [later]


@SERVICES
async def test_following_begins_with_what_comes_next(topics: Settings) -> None:
    await produce(topics, INTERACTIONS, [("ada", b"nothing that anybody could read")])
    await produce(topics, CHAT, [("ada", chat("ada", "before"))])
    async with aclosing(follow(CHAT, settings=topics)) as chats:
        first = asyncio.create_task(take(chats, 1))
        number = 0
        while not first.done():  # until it stands at the end, what is sent is before it
            number += 1
            await produce(topics, CHAT, [("ada", chat("ada", f"new {number}"))])
            await asyncio.sleep(0.1)
        assert (await first)[0].text.startswith("new ")


@SERVICES
async def test_what_is_remembered_while_following_is_bounded(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.analysis.reading._FOLLOWED", 2)
    began = now_ms()
    one, two, three = (chat("ada", text) for text in ("1", "2", "3"))
    await produce(topics, CHAT, [("ada", each) for each in (one, two, two, three, one)])
    async with aclosing(follow(CHAT, since=began, settings=topics)) as chats:
        assert await take(chats, 4) == [one, two, three, one]


def test_reading_needs_neither_polars_nor_torch_nor_faust() -> None:
    code = (
        "import sys; import app.analysis.reading, app.analysis.frames, app.analysis.codebook; "
        "found = {'polars', 'torch', 'faust', 'pymongo'} & set(sys.modules);"
        "sys.exit(str(found) if found else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
