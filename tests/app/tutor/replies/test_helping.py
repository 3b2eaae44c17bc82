"""Danger that the emotion model reads: people are told, and no lesson answers the message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.local.embedded import RedisServer
from app.tutor.config import HearingSettings
from models.words.words import load
from schemas.base import now_ms
from schemas.topics.actions import InterventionRaised
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead, Evidence
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import RequestKind, TutorRequested
from schemas.vocabulary import Concern, Level
from tests.app.tutor.asking import a_chat, a_concern, a_reading, a_request
from tests.app.tutor.conftest import TIMEOUTS, Bench
from tests.app.tutor.replies.test_replying import Desk, Killed
from tests.app.tutor.sse import say, say_when
from tests.topics import eventually

HELP = load().help.message
SAFE = "what is a third of the rope?"


class Learner:
    """One message of a learner: what it asks, and what is read in it."""

    def __init__(self, desk: Desk, text: str = SAFE, user: str = "ada", **fields: Any) -> None:
        desk.offset += 1
        self.desk = desk
        self.place = (0, desk.offset)
        self.chat: ChatReceived = a_chat(user, text, fields.pop("ingest_time", None))
        desk.texts.remember(*self.place, self.chat)
        self.request: TutorRequested = a_request(self.chat, self.place)
        self.read: ConcernRead = a_concern(self.chat, self.place, **fields)

    async def is_heard(self) -> None:
        await self.desk.hearing.hear(self.chat, *self.place, self.desk.send)

    async def asks(self) -> None:
        await self.desk.reply(self.request)

    async def worries(self) -> None:
        await self.desk.replying.concern(self.read, self.desk.send)


@pytest.fixture
async def desk(bench: Bench) -> Desk:
    return await Desk(bench, await bench.endpoint(say("A third ", "is less."))).open()


def raised(desk: Desk) -> list[InterventionRaised]:
    return [each for each in desk.sent if isinstance(each, InterventionRaised)]


def texts(desk: Desk) -> list[str]:
    return [each.text for each in desk.told]


async def test_people_are_told_by_kind_and_the_learner_is_helped_at_once(desk: Desk):
    learner = Learner(desk, kinds={Concern.EATING: 0.7, Concern.ABUSE: 0.55, Concern.SUICIDE: 0.2})
    await learner.is_heard()
    assert desk.sent == []
    await learner.worries()
    [alarm] = raised(desk)
    assert (alarm.level, alarm.confidence) == (Level.CRITICAL, 0.8)
    assert alarm.because == (
        "the message reads like harmful eating", "the message reads like abuse",
    )  # fmt: skip
    assert alarm.caused_by == (learner.chat.event_id,)
    # The learner's page, and history, hear nothing of the kind
    assert [(each.text, each.status, each.final, each.because) for each in desk.told] == [
        (HELP, "human_help", True, ())
    ]
    assert "rope" not in str(desk.sent), "no word of the learner's"
    assert await desk.quiet.holds("ada")


async def test_the_help_message_is_in_the_deployments_language(bench: Bench):
    desk = await Desk(bench, await bench.endpoint(say("Ein Drittel."))).open(language="de")
    learner = Learner(desk, kinds={Concern.EATING: 0.7})
    await learner.worries()
    [alarm] = raised(desk)
    assert alarm.because == ("die Nachricht klingt nach schädlichem Essverhalten",)
    assert texts(desk) == [load("de").help.message]
    assert "mit jemandem, dem du vertraust" in texts(desk)[0]


async def test_hints_of_several_messages_say_so(desk: Desk):
    together = {"from_": Evidence.MESSAGES, "weight": 1.5, "probability": 0.3}
    await Learner(desk, kinds={Concern.DISTRESS: 0.2, Concern.ABUSE: 0.1}, **together).worries()
    await Learner(desk, user="bob", kinds={}, **together).worries()
    await Learner(desk, user="eve", kinds={Concern.ABUSE: 0.5}, **together).worries()
    assert [(each.because, each.confidence) for each in raised(desk)] == [
        (("several messages together read like something that a person should know",), 0.7769),
        (("several messages together read like something that a person should know",), 0.7769),
        (("several messages together read like abuse",), 0.7769),
    ]


async def test_a_request_behind_the_concern_gets_help_and_no_lesson(desk: Desk):
    learner = Learner(desk)
    await learner.worries()
    await learner.asks()
    assert desk.endpoint.seen == []
    assert set(texts(desk)) == {HELP}
    assert {each.event_id for each in desk.told} == {learner.request.reply_id}
    assert {each.because for each in desk.told} == {()}
    assert len(raised(desk)) == 1


async def test_so_does_a_request_that_another_worker_reads(bench: Bench, desk: Desk):
    """Given a concern that was acted on before a restart: the ledger knows."""
    learner = Learner(desk)
    await learner.worries()
    after = await Desk(bench, desk.endpoint).open()
    after.texts.remember(*learner.place, learner.chat)
    await after.reply(learner.request)
    assert desk.endpoint.seen == []
    assert [each.json_bytes() for each in after.told] == [desk.told[0].json_bytes()]


async def test_a_request_in_the_middle_of_its_lesson_ends_in_help(bench: Bench):
    """At once, and not when the provider is given up."""
    patient = TIMEOUTS.model_copy(update={"overall": 500.0, "stall": 500.0})
    desk = await Desk(bench, await bench.endpoint(say())).open(patient)
    began, never = asyncio.Event(), asyncio.Event()
    began.set()
    desk.endpoint.otherwise = say_when(began, "A third of ", may_end=never)
    learner = Learner(desk)
    asking = asyncio.create_task(learner.asks())
    await eventually(lambda: desk.pushed("ada"), bool)
    await learner.worries()
    await asyncio.wait_for(asking, 20)
    seen = await desk.page(learner.request)
    assert seen.text == HELP
    void = [each["status"] for each in await desk.pushed("ada") if each["type"] == "tutor_reply"]
    assert void == ["superseded"]
    assert texts(desk) == [HELP]
    never.set()


async def test_behind_a_lesson_help_comes_by_an_id_of_its_own(desk: Desk):
    learner = Learner(desk)
    await learner.asks()
    await learner.worries()
    assert texts(desk) == ["A third is less.", HELP]
    lesson, help_ = desk.told
    assert lesson.reply_id == learner.request.reply_id != help_.reply_id
    assert help_.event_id == help_.reply_id
    assert help_.final
    # Once more, after a rebalance: the same ids
    await learner.worries()
    assert desk.told[2].event_id == help_.event_id
    assert len({each.event_id for each in raised(desk)}) == 1


async def test_a_request_that_was_put_off_is_not_taken_up_again(desk: Desk):
    learner = Learner(desk)
    claim = await desk.ledger.claim(learner.request)
    await desk.ledger.park(claim, learner.request, now_ms())
    await learner.worries()
    assert await desk.due() == []
    assert texts(desk) == [HELP]


async def test_what_the_words_have_raised_is_not_raised_again(desk: Desk):
    learner = Learner(desk, "i want to kill myself")
    await learner.is_heard()
    before = list(desk.sent)
    await learner.worries()
    assert desk.sent == before


async def test_a_worker_that_remembers_no_call_calls_by_the_same_ids(bench: Bench, desk: Desk):
    """Given words that match today: who heard them may have had another lexicon."""
    learner = Learner(desk, "i want to kill myself")
    await learner.is_heard()
    after = await Desk(bench, desk.endpoint).open()
    after.texts.remember(*learner.place, learner.chat)
    await after.replying.concern(learner.read, after.send)
    assert [each.event_id for each in after.sent] == [each.event_id for each in desk.sent]
    assert len(raised(after)) == 1


async def test_feelings_add_nothing_while_the_concern_waits_for_redis(
    desk: Desk, redis_server: RedisServer
):
    learner = Learner(desk)
    await redis_server.stop()
    worrying = asyncio.create_task(learner.worries())
    try:
        async with asyncio.timeout(30):
            while len(desk.sent) < 2:
                await asyncio.sleep(0.01)
        felt = a_reading(learner.chat, learner.place, dict.fromkeys(desk.alarming, 1.0))
        await desk.hearing.feel(felt, desk.send)
        assert not worrying.done()
        assert [type(each).__name__ for each in desk.sent] == ["InterventionRaised", "TutorReplied"]
    finally:
        await redis_server.start()
    await asyncio.wait_for(worrying, 60)


async def test_what_was_felt_is_not_raised_again(desk: Desk):
    learner = Learner(desk)
    felt = dict.fromkeys(desk.alarming, 1.0)
    reading = learner.request.model_copy(update={"reading": felt})
    await desk.reply(reading)
    before = list(desk.sent)
    await learner.worries()
    assert desk.sent == before


async def test_words_that_are_heard_behind_the_concern_add_nothing(desk: Desk):
    """Given a concern whose message the tutor has not read yet, and cannot reach."""
    learner = Learner(desk, "i want to kill myself")
    desk.texts.forget("ada")
    desk.texts._timeout = 0.05
    await learner.worries()
    before = list(desk.sent)
    assert [type(each).__name__ for each in before] == ["InterventionRaised", "TutorReplied"]
    await learner.is_heard()
    assert desk.sent == before


async def test_until_all_is_said_the_words_are_not_held_back(desk: Desk):
    """Who dies in between must leave one of the two that tells people."""
    learner = Learner(desk, "i want to kill myself")
    desk.texts.forget("ada")
    desk.texts._timeout = 0.05
    desk.dies_at_sending = True
    with pytest.raises(Killed):
        await learner.worries()
    desk.dies_at_sending = False
    await learner.is_heard()
    assert len(raised(desk)) == 1


async def test_a_request_while_people_are_being_told_gets_no_lesson(desk: Desk):
    learner = Learner(desk)
    may_send = asyncio.Event()

    async def slowly(message: Any) -> None:
        await may_send.wait()
        await desk.send(message)

    worrying = asyncio.create_task(desk.replying.concern(learner.read, slowly))
    await asyncio.sleep(0)
    await learner.asks()
    may_send.set()
    await worrying
    assert desk.endpoint.seen == []
    assert set(texts(desk)) == {HELP}
    assert {each.reply_id for each in desk.told} == {learner.request.reply_id}


async def test_of_an_old_message_people_are_told_and_the_learner_is_not(desk: Desk):
    age = int(HearingSettings().heard_for * 1000) + 1000
    await Learner(desk, ingest_time=now_ms() - age).worries()
    assert [type(each).__name__ for each in desk.sent] == ["InterventionRaised"]


async def test_nothing_is_said_to_a_learner_who_was_erased(desk: Desk):
    learner = Learner(desk)
    now = learner.chat.ingest_time
    erasure = ErasureRequested(event_id="e", user_id="ada", event_time=now, ingest_time=now)
    await learner.worries()
    await desk.replying.forget(erasure)
    told = len(desk.told)
    await learner.worries()
    assert len(desk.told) == told
    left = [
        key
        async for key in desk.bench.client.scan_iter(match=f"{desk.bench.redis_settings.prefix}:*")
    ]
    assert left
    assert all(key.endswith((b":fence", b":quiet")) for key in left)


async def test_an_intervention_of_such_a_message_is_put_into_no_words(desk: Desk):
    learner = Learner(desk)
    await learner.worries()
    await desk.quiet.forget("ada")
    unasked = learner.request.model_copy(
        update={"kind": RequestKind.INTERVENTION, "reply_id": "unasked"}
    )
    await desk.reply(unasked)
    assert desk.endpoint.seen == []
    assert len(desk.told) == 1


async def test_what_is_remembered_is_bounded(desk: Desk):
    desk.hearing._settings = HearingSettings(raised=2)
    for user in ("ada", "bob", "eve"):
        await Learner(desk, user=user).worries()
    assert [one.user_id for one in desk.hearing._raised.values()] == ["bob", "eve"]


async def test_without_redis_people_are_told_and_the_learner_is_helped_first(
    desk: Desk, redis_server: RedisServer
):
    learner = Learner(desk)
    await redis_server.stop()
    worrying = asyncio.create_task(learner.worries())
    try:
        async with asyncio.timeout(30):
            while len(desk.sent) < 2:
                await asyncio.sleep(0.01)
        assert [type(each).__name__ for each in desk.sent] == ["InterventionRaised", "TutorReplied"]
        assert not worrying.done(), "it is not acknowledged before the ledger has it"
    finally:
        await redis_server.start()
    await asyncio.wait_for(worrying, 60)
    await learner.asks()
    assert desk.endpoint.seen == []
    assert set(texts(desk)) == {HELP}
