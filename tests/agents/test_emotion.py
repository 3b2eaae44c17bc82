"""The emotion worker as a process, with the real model, on a real broker."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.emotion import EmotionAgent
from agents.runtime.topics import CHAT, DEAD_LETTERS, EMOTIONS
from app.settings import Settings
from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from models.emotion.serving.errors import ReaderStopped, UnreadableText
from schemas.base import new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import Emotion, EmotionRead
from tests.agents.records import Around, Event, stream
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
        # Then each is read once, in order, and the broken one is a dead letter
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


# -- the agent by itself ------------------------------------------------------------------

READING = Reading(
    probabilities={Emotion.JOY: 0.5},
    top=Emotion.JOY,
    valence=0.5,
    arousal=0.5,
    dominance=0.5,
    version="v",
)


class Source:
    """Reads every text as it is told to."""

    version = "v"

    def __init__(self, answers: dict[str, object]) -> None:
        self._answers = answers

    async def submit(self, text: str) -> asyncio.Future[Reading]:
        answer = self._answers.get(text, READING)
        if isinstance(answer, tuple):
            raise answer[0]
        future: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        if answer == "cancelled":
            future.cancel()
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


class Sent:
    """An outbox that keeps what it is given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.readings: list[EmotionRead] = []
        self._error = error

    async def send(self, topic: str, *, key, value, partition, headers) -> asyncio.Future[None]:
        if self._error is not None:
            raise self._error
        self.readings.append(EmotionRead.parse(value))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def flush(self) -> None: ...


def agent(around: Around, outbox: Sent, source: Source) -> EmotionAgent:
    return EmotionAgent(
        source=source,
        outbox=outbox,
        dead_letters=around.dead_letters,
        window=around.window,
        settings=EmotionSettings(),
    )


async def test_a_reading_leaves_with_four_decimals_and_every_class() -> None:
    around, outbox = Around(), Sent()
    exact = dataclasses.replace(
        READING,
        probabilities={Emotion.JOY: 0.123456789, Emotion.AWE: 0.000012},
        valence=0.98765432,
        affect=(0.1234567, -1.00005),
    )
    events = [around.event(CHAT, "ada", chat("ada", "exact"))]
    await agent(around, outbox, Source({"exact": exact})).run(stream(events))
    [sent] = outbox.readings
    assert sent.pad is not None
    assert (sent.pad.valence, sent.affect) == (0.9877, (0.1235, -1.0001))
    assert sent.probabilities == {Emotion.JOY: 0.1235, Emotion.AWE: 0.0}


REFUSED = {
    "too many numbers": dataclasses.replace(READING, affect=(0.5,) * 65),
    "no number": dataclasses.replace(READING, valence=math.nan),
    "above one": dataclasses.replace(READING, probabilities={Emotion.JOY: 1.5}),
    "raises": UnreadableText("no"),
    "raises at once": (RuntimeError("no"),),
}


async def test_a_reading_that_its_schema_refuses_is_one_dead_letter() -> None:
    around, outbox = Around(), Sent()
    texts = ["good", *REFUSED, "good too"]
    events = [around.event(CHAT, "ada", chat("ada", text)) for text in texts]
    await agent(around, outbox, Source(REFUSED)).run(stream(events))
    assert [reading.source_offset for reading in outbox.readings] == [0, len(texts) - 1]
    assert [record.offset for record, _ in around.dead_letters.sent] == [1, 2, 3, 4, 5]
    assert around.positions == [(CHAT, n) for n in range(len(texts))]


async def test_a_worker_that_cannot_send_ends_while_no_message_comes() -> None:
    around = Around()
    event = around.event(CHAT, "ada", chat("ada", "hello"))

    async def one_and_then_silence() -> AsyncIterator[Event]:
        yield event
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        with pytest.raises(OSError, match="nobody takes it"):
            await agent(around, Sent(OSError("nobody takes it")), Source({})).run(
                one_and_then_silence()
            )
    assert around.acknowledged == []


async def test_a_reader_that_is_stopped_makes_no_dead_letter() -> None:
    for answer in ("cancelled", ReaderStopped("no"), (ReaderStopped("no"),)):
        around = Around()
        event = around.event(CHAT, "ada", chat("ada", "hello"))
        async with asyncio.timeout(5):
            with pytest.raises(ReaderStopped):
                await agent(around, Sent(), Source({"hello": answer})).run(stream([event]))
        assert around.dead_letters.sent == []
        assert around.acknowledged == []
