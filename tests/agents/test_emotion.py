"""The emotion worker as a process, with the real model, on a real broker."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from agents.emotion import EmotionAgent
from agents.runtime.topics import CHAT, CONCERNS, DEAD_LETTERS, EMOTIONS, ERASURES
from app.settings import Settings
from models.emotion.config import ConcernSettings, EmotionSettings
from models.emotion.hints import Hints
from models.emotion.reading import Reading
from models.emotion.serving.errors import (
    ModelUnavailable,
    NotRead,
    ReaderStopped,
    UnreadableText,
)
from schemas.base import new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead, Evidence
from schemas.topics.emotions import Emotion, EmotionRead, Unread
from schemas.vocabulary import Concern
from tests.agents.records import Around, Event, message, stream
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
    # Given an angry message among such in which a learner sees nothing, and one in Spanish
    spanish = "estoy muy triste y no entiendo nada"
    texts = ("&nbsp;", "i hate this!", "<p><br></p>", "&#8203;", spanish)
    sent = [chat("ada", text) for text in texts]
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
        "unavailable", "ok", "unavailable", "unavailable", "unavailable",
    ]  # fmt: skip
    nothing = "nothing_to_read"
    assert [read[each.event_id].get("reason") for each in sent] == [
        nothing, None, nothing, nothing, "unsupported_language",
    ]  # fmt: skip
    assert [read[each.event_id].get("coverage") for each in sent] == [None, 1.0, None, None, None]
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


CONCERN = ConcernSettings(at=0.6, hints_at=1.0, hint_from=0.1, half_life=3_600)


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
        self.concerns: list[ConcernRead] = []
        self.order: list[tuple[str, int]] = []
        self.delivers: dict[str, asyncio.Future[None]] = {}
        self._error = error

    async def send(self, topic: str, *, key, value, partition, headers) -> asyncio.Future[None]:
        if self._error is not None:
            raise self._error
        kind, kept = {
            EMOTIONS: (EmotionRead, self.readings),
            CONCERNS: (ConcernRead, self.concerns),
        }[topic]
        made = kind.parse(value)
        kept.append(made)
        self.order.append((topic, made.source_offset))
        if topic in self.delivers:
            return self.delivers[topic]
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def flush(self) -> None: ...


def agent(
    around: Around,
    outbox: Sent,
    source: Source,
    hints: Hints | None = None,
    settings: EmotionSettings | None = None,
) -> EmotionAgent:
    return EmotionAgent(
        source=source,
        outbox=outbox,
        dead_letters=around.dead_letters,
        window=around.window,
        settings=settings or EmotionSettings(concern=CONCERN),
        hints=Hints(CONCERN) if hints is None else hints,
        logical=str,
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


def counted() -> dict[str, float]:
    """Messages so far, by what became of them."""
    return {
        name: REGISTRY.get_sample_value("masterx_records_total", {"topic": CHAT, "outcome": name})
        or 0.0
        for name in (*(reason.value for reason in Unread), "unavailable", "read")
    }


async def test_a_text_that_is_no_evidence_says_why_and_waits_for_nothing() -> None:
    # Given texts of which the source says at once, or after a while, that they are none
    answers: dict[str, object] = {
        "later": NotRead(Unread.NOT_THE_LEARNER),
        "at once": (NotRead(Unread.UNSUPPORTED_LANGUAGE),),
        "down": ModelUnavailable("no", 0.0),
        "in part": dataclasses.replace(READING, coverage=0.123456),
    }
    around, outbox = Around(), Sent()
    events = [around.event(CHAT, "ada", chat("ada", text)) for text in answers]
    before = counted()
    reader = agent(around, outbox, Source(answers), settings=EmotionSettings(wait_when_down=0))
    async with asyncio.timeout(5):
        await reader.run(stream(events))
    # Then each says so, and only the one that found the model down is counted as that
    assert [(one.status, one.reason, one.coverage) for one in outbox.readings] == [
        ("unavailable", Unread.NOT_THE_LEARNER, None),
        ("unavailable", Unread.UNSUPPORTED_LANGUAGE, None),
        ("unavailable", None, None),
        ("ok", None, 0.1235),
    ]
    assert around.dead_letters.sent == []
    assert {name: now - before[name] for name, now in counted().items()} == {
        "not_the_learner": 1, "unsupported_language": 1, "nothing_to_read": 0,
        "unavailable": 1, "read": 1,
    }  # fmt: skip


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


# -- concerns -----------------------------------------------------------------------------


def worrying(probability: float, **kinds: float) -> Reading:
    concerns = {Concern(kind): share for kind, share in kinds.items()}
    return dataclasses.replace(READING, version="c1", concern=probability, concerns=concerns)


GRAVE, HINT, CALM = worrying(0.75001, abuse=0.70004, suicide=0.1), worrying(0.4), worrying(0.0999)
WORRYING = {"grave": GRAVE, "hint": HINT, "calm": CALM}


def said(around: Around, *texts: str, user: str = "ada") -> list[Event]:
    return [around.event(CHAT, user, chat(user, text)) for text in texts]


async def test_one_grave_message_is_a_concern_without_its_text() -> None:
    around, outbox = Around(), Sent()
    events = said(around, "calm", "grave", "calm")
    await agent(around, outbox, Source(WORRYING)).run(stream(events))
    [concern] = outbox.concerns
    original = ChatReceived.parse(events[1].message.value or b"")
    assert concern.document() == {
        "schemaVersion": 1,
        "eventId": original.event_id,
        "userId": "ada",
        "eventTime": original.event_time,
        "ingestTime": original.ingest_time,
        "clockOffset": 0,
        "causedBy": [original.event_id],
        "sourceTopic": CHAT,
        "sourcePartition": 1,
        "sourceOffset": 1,
        "modelVersion": "c1",
        "probability": 0.75,
        "kinds": {"abuse": 0.7, "suicide": 0.1},
        "from": "message",
    }
    # Before its reading, so that the tutor may know when it is asked
    assert outbox.order == [(EMOTIONS, 0), (CONCERNS, 1), (EMOTIONS, 1), (EMOTIONS, 2)]


async def test_an_artefact_without_the_head_raises_nothing() -> None:
    around, outbox = Around(), Sent()
    await agent(around, outbox, Source({})).run(stream(said(around, "a", "b", "c")))
    assert len(outbox.readings) == 3
    assert outbox.concerns == []


async def test_hints_of_one_learner_add_up_to_one_concern() -> None:
    around, outbox = Around(), Sent()
    events = said(around, "hint") + said(around, "hint", user="bob")
    events += said(around, "calm", "hint", "calm", "hint")
    await agent(around, outbox, Source(WORRYING)).run(stream(events))
    [concern] = outbox.concerns
    assert (concern.user_id, concern.source_offset) == ("ada", 3)
    assert concern.from_ is Evidence.MESSAGES
    assert concern.probability == 0.4
    assert concern.weight == pytest.approx(-2 * math.log(0.6), abs=1e-3)


async def test_a_message_is_acknowledged_once_both_are_delivered() -> None:
    for late in (EMOTIONS, CONCERNS):
        around, outbox = Around(), Sent()
        outbox.delivers[late] = asyncio.get_running_loop().create_future()
        await agent(around, outbox, Source(WORRYING)).run(stream(said(around, "grave")))
        assert around.acknowledged == []
        outbox.delivers[late].set_result(None)
        await asyncio.sleep(0)
        assert around.positions == [(CHAT, 0)]


async def test_a_message_that_is_delivered_again_makes_the_same_and_counts_once() -> None:
    """Given a rebalance before the acknowledgement reached Kafka."""
    around, outbox, hints = Around(), Sent(), Hints(CONCERN)
    hint, grave, last = said(around, "hint", "grave", "hint")
    await agent(around, outbox, Source(WORRYING), hints).run(stream([hint] * 4))
    assert outbox.concerns == [], "one hint, however often it comes"
    await agent(around, outbox, Source(WORRYING), hints).run(stream([grave, last, grave, last]))
    assert [each.source_offset for each in outbox.concerns] == [1, 1]
    assert outbox.concerns[0] == outbox.concerns[1]
    # By the sum as well
    (again,) = said(around, "hint")
    await agent(around, outbox, Source(WORRYING), hints).run(stream([again, again, last]))
    assert [each.from_ for each in outbox.concerns[2:]] == [Evidence.MESSAGES] * 2
    assert outbox.concerns[2] == outbox.concerns[3]


async def test_after_a_kill_a_grave_message_has_the_same_ids_and_hints_are_forgotten() -> None:
    around, before, after = Around(), Sent(), Sent()
    events = said(around, "hint", "grave", "hint")
    await agent(around, before, Source(WORRYING)).run(stream(events[:2]))
    await agent(around, after, Source(WORRYING)).run(stream(events[1:]))
    assert before.concerns == after.concerns
    assert len(after.concerns) == 1


async def test_a_concern_that_its_schema_refuses_is_one_dead_letter() -> None:
    around, outbox = Around(), Sent()
    broken = {"broken": worrying(1.5), "nothing": worrying(math.nan)}
    events = said(around, "broken", "nothing", "calm")
    await agent(around, outbox, Source(WORRYING | broken)).run(stream(events))
    assert [record.offset for record, _ in around.dead_letters.sent] == [0]
    assert [each.source_offset for each in outbox.readings] == [1, 2]
    assert outbox.concerns == []
    assert len(around.acknowledged) == 3


async def test_an_erasure_forgets_the_learners_hints() -> None:
    around, outbox, hints = Around(), Sent(), Hints(CONCERN)
    first, late = said(around, "hint", "hint")
    await agent(around, outbox, Source(WORRYING), hints).run(stream([first]))
    erased = message(ERASURES, "ada", 1, ingestTime=now_ms() + 1)
    events = [
        around.event(ERASURES, "ada", erased),
        around.event(ERASURES, "ada", b"no erasure"),
        late,
    ]
    await agent(around, outbox, Source(WORRYING), hints).run(stream(events))
    assert outbox.concerns == []
    assert [type(error).__name__ for _, error in around.dead_letters.sent] == ["InvalidJson"]
    assert sorted(around.positions) == [(CHAT, 0), (CHAT, 1), (ERASURES, 0), (ERASURES, 1)]
