"""One request, one reply: on a real Redis, with a provider on loopback and no worker around."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.runtime.retrying import Refused, Waits
from agents.runtime.topics import INTERACTIONS
from app.local.embedded import RedisServer
from app.mongo.dialogue import Dialogues
from app.redis.push_log import PushLog
from app.settings import MongoSettings, Settings
from app.tutor.config import TimeoutSettings, TutorSettings
from app.tutor.prompt.composing import Composer
from app.tutor.prompt.layers import LayerOutcomes
from app.tutor.replies.chat_text_cache import ChatTextCache
from app.tutor.replies.conversations import Conversations
from app.tutor.replies.ledger import Claim, ClaimLost, Ledger
from app.tutor.replies.reply_stream import ReplyStream
from app.tutor.replies.replying import Replying
from app.tutor.screening.proactive_mute import ProactiveMute
from app.tutor.screening.safety_screening import SafetyScreening
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from models.tutor.modes.config import ModeSettings
from models.tutor.prompts.templates import TemplateProblem
from models.words.words import ENGLISH, load
from schemas.base import Derived, now_ms
from schemas.topics.actions import FeedbackReceived, TargetType
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import RequestKind, TutorReplied, TutorRequested
from tests.app.tutor.asking import Page, a_chat, a_request, page, pushed
from tests.app.tutor.conftest import TIMEOUTS, Bench
from tests.app.tutor.sse import Endpoint, say, say_when, stall, status
from tests.topics import eventually

NO_MONGO = MongoSettings(url="mongodb://127.0.0.1:1")
"""History is away: a tutor does not wait for it."""


class Killed(Exception):
    """Stands for the end of the process at this point."""


class Desk:
    """A tutor on its own, and what it has sent."""

    def __init__(self, bench: Bench, endpoint: Endpoint) -> None:
        self.bench = bench
        self.endpoint = endpoint
        self.sent: list[Derived] = []
        self.dies_at_sending = False
        self.offset = 0

    async def open(
        self, timeouts: TimeoutSettings = TIMEOUTS, language: str = ENGLISH, **replies: Any
    ) -> Desk:
        client, settings = self.bench.client, self.bench.redis_settings
        modes = replies.pop("modes", ModeSettings())
        tutor = TutorSettings.model_validate(
            {"modes": modes, "replies": {"piece_interval": 0.0, "history_timeout": 0.05, **replies}}
        )
        router = await self.bench.router({"p0": self.endpoint}, timeouts=timeouts)
        self.waits = Waits()
        self.store = store = TutorStore(client, settings, 5)
        self.budgets = Budgets(store, tutor.budget)
        self.texts = ChatTextCache(Settings(redis=settings, tutor=tutor))
        dialogues = Dialogues(NO_MONGO, 0.05)
        self.bench.stack.push_async_callback(dialogues.close)
        self.alarming = tutor.safety.emotions
        self.pushes = PushLog(client, settings)
        self.ledger = Ledger(client, settings, tutor.replies)
        self.quiet = ProactiveMute(store, tutor.hearing.quiet_for)
        layers = LayerOutcomes(store, tutor.context.learning, 5.0)
        words = Composer(tutor, router, layers, load(language))
        self.hearing = SafetyScreening(
            tutor.hearing,
            tutor.safety.long_message,
            texts=self.texts,
            words=words,
            quiet=self.quiet,
            waits=self.waits,
        )
        self.replying = Replying(
            tutor.replies,
            tutor.timeouts.overall,
            ledger=self.ledger,
            conversations=Conversations(client, settings, dialogues, tutor.replies),
            budgets=self.budgets,
            texts=self.texts,
            quiet=self.quiet,
            hearing=self.hearing,
            words=words,
            says=load(language),
            pushes=self.pushes,
            waits=self.waits,
        )
        self.bench.stack.push_async_callback(self.replying.close)
        return self

    def asked(self, text: str = "why?", user: str = "ada", **fields: Any) -> TutorRequested:
        """A request whose message has just passed."""
        self.offset += 1
        chat = a_chat(user, text)
        self.texts.remember(0, self.offset, chat)
        return a_request(chat, (0, self.offset), **fields)

    async def send(self, message: Derived) -> None:
        if self.dies_at_sending:
            raise Killed
        self.sent.append(message)

    async def reply(self, request: TutorRequested) -> None:
        await self.replying.reply(request, self.send)

    @property
    def told(self) -> list[TutorReplied]:
        return [each for each in self.sent if isinstance(each, TutorReplied)]

    async def pushed(self, user: str) -> list[dict[str, Any]]:
        """The learner's push log."""
        return await pushed(Settings(redis=self.bench.redis_settings), user)

    async def page(self, request: TutorRequested) -> Page:
        """What the learner sees of a reply: pieces, and what was told on the topic after them."""
        made = page(await self.pushed(request.user_id), request.reply_id)
        for reply in self.told:
            made.take({"type": "tutor_reply", "text": "", **reply.document()})
        return made

    async def due(self) -> list[TutorRequested]:
        """What is parked, whenever it is due."""
        return await self.ledger.take_due(now_ms() + 10_000_000, 0.0, 10)


@pytest.fixture
async def desk(bench: Bench) -> Desk:
    return await Desk(bench, await bench.endpoint(say("Here ", "it is."))).open()


async def test_killed_between_the_ledger_and_the_topic_a_parked_reply_is_told_by_the_next(
    desk: Desk,
):
    # Given a request that was put off, and so is acknowledged
    request = desk.asked()
    desk.endpoint.script.extend([status(503), status(503)])
    await desk.reply(request)
    assert [each.final for each in desk.told] == [False]
    # When who takes it up is killed with the reply in the ledger and not on the topic
    assert await desk.due() == [request]
    desk.dies_at_sending = True
    with pytest.raises(Killed):
        await desk.reply(request)
    desk.dies_at_sending = False
    # Then it is due again, and the same reply is told; after that no more
    asked = len(desk.endpoint.seen)
    assert await desk.due() == [request]
    await desk.reply(request)
    assert [(each.final, each.text) for each in desk.told][1:] == [(True, "Here it is.")]
    assert len(desk.endpoint.seen) == asked
    assert await desk.due() == []


async def test_a_redis_that_restarts_empty_under_load_is_waited_for_and_then_by_nobody(
    desk: Desk, redis_server: RedisServer
):
    """Given replies under way, When Redis ends and comes back without its data."""
    now, may_end = asyncio.Event(), asyncio.Event()
    now.set()
    # As many as one provider takes at a time: what is put off is in Redis alone.
    desk.endpoint.script.extend([say_when(now, "Half ", "and half.", may_end=may_end)] * 6)
    requests = [desk.asked(user=f"learner-{n}") for n in range(6)]
    replying = [asyncio.create_task(desk.reply(request)) for request in requests]
    async with asyncio.timeout(20):
        for request in requests:
            while not await desk.pushed(request.user_id):
                await asyncio.sleep(0.01)
    await redis_server.stop()
    may_end.set()
    async with asyncio.timeout(20):
        while "redis" not in desk.waits.stores:
            await asyncio.sleep(0.01)
    for file in redis_server.directory.glob("*.aof"):
        file.unlink()
    await redis_server.start()
    # Then each is told, once, and nobody waits any more
    await asyncio.wait_for(asyncio.gather(*replying), 60)
    final = [each.reply_id for each in desk.told if each.final]
    assert sorted(final) == sorted(request.reply_id for request in requests)
    assert desk.waits.stores == ()


async def test_one_learners_broken_key_is_no_outage(desk: Desk):
    """Given a key of another type in a reply's place, Then it fails, and others are told."""
    broken, whole = desk.asked(user="eve"), desk.asked()
    await desk.bench.client.set(
        desk.store.keys.of_user("eve", f"reply:{broken.reply_id}"), "no hash"
    )
    async with asyncio.timeout(20):
        with pytest.raises(Refused):
            await desk.reply(broken)
        await desk.reply(whole)
    assert [each.reply_id for each in desk.told] == [whole.reply_id]
    assert desk.waits.stores == ()


async def test_a_redis_that_loses_its_data_during_a_reply_costs_no_reply(desk: Desk):
    may_end = asyncio.Event()
    began = asyncio.Event()
    began.set()
    desk.endpoint.script.append(say_when(began, "Half ", "and half.", may_end=may_end))
    request = desk.asked()
    replying = asyncio.create_task(desk.reply(request))
    await eventually(lambda: desk.pushed("ada"), bool)
    # When the ledger is gone while the provider still speaks
    async for key in desk.bench.client.scan_iter(
        match=f"{desk.bench.redis_settings.prefix}:tutor*"
    ):
        await desk.bench.client.delete(key)
    may_end.set()
    await replying
    # Then it is done again, and what was shown is void: attempts go on in the learner's page
    assert [(each.final, each.text, each.attempt) for each in desk.told] == [
        (True, "Here it is.", 2)
    ]
    kinds = [(each["type"], each["attempt"]) for each in await desk.pushed("ada")]
    assert kinds[0] == ("tutor_delta", 1)
    assert kinds[kinds.index(("tutor_reply", 1)) :][1:] == [("tutor_delta", 2)] * 2


@pytest.mark.parametrize(
    "pieces",
    [("You ", "are ", "worth ", "less ", "so kill yourself", ". Bye."), ("So kill yourself. ",)],
    ids=["shown in part", "not shown"],
)
async def test_unsafe_words_for_an_intervention_give_way_to_human_help(desk: Desk, pieces):
    desk.endpoint.otherwise = say(*pieces)
    request = desk.asked(kind=RequestKind.INTERVENTION)
    await desk.reply(request)
    assert [(each.status, each.final) for each in desk.told] == [("human_help", True)]
    seen = await desk.page(request)
    assert seen.text == desk.told[0].text


@pytest.mark.parametrize("kind", RequestKind)
async def test_half_an_answer_at_the_deadline_does_not_stay_on_the_page(bench: Bench, kind):
    short = TIMEOUTS.model_copy(update={"overall": 2.0})
    desk = await Desk(bench, await bench.endpoint(stall("Half of"))).open(short)
    request = desk.asked(kind=kind)
    await desk.reply(request)
    found = await desk.pushed("ada")
    assert [(each["type"], each["attempt"]) for each in found] == [
        ("tutor_delta", 1), ("tutor_reply", 1),
    ]  # fmt: skip
    assert found[-1]["status"] == "superseded"
    assert (await desk.page(request)).text == ""
    assert await desk.due() == [request]


async def test_one_request_too_many_is_looked_at_for_what_is_for_a_person(bench: Bench):
    may_begin = asyncio.Event()
    endpoint = await bench.endpoint(say_when(may_begin, "Here."))
    desk = await Desk(bench, endpoint).open(waiting=1)
    first = asyncio.create_task(desk.reply(desk.asked()))
    await eventually(lambda: _now(endpoint.open_now), bool)
    # When the learner has no place left, and the emotions read in the message are clear
    reading = dict.fromkeys(desk.alarming, 1.0)
    await desk.reply(desk.asked("nothing to see in the words", reading=reading))
    assert [each.status for each in desk.told] == ["human_help"]
    may_begin.set()
    await first


async def test_after_a_message_for_a_person_nothing_unasked_is_said(desk: Desk):
    await desk.hearing.hear(a_chat("ada", "i want to kill myself"), 0, 99, desk.send)
    assert [type(each).__name__ for each in desk.sent] == ["InterventionRaised", "TutorReplied"]
    # When an intervention wants words, of whatever cause
    later = desk.asked("one more try", kind=RequestKind.INTERVENTION)
    clicks = later.model_copy(update={"source_topic": INTERACTIONS, "reply_id": "other"})
    for unasked in (later, clicks):
        await desk.reply(unasked)
    # Then no model was asked, and nothing was told; of another learner it is
    assert desk.endpoint.seen == []
    assert len(desk.sent) == 2
    await desk.reply(desk.asked("one more try", user="bob", kind=RequestKind.INTERVENTION))
    assert [each.status for each in desk.told] == ["human_help", "answered"]
    # And who asks is answered
    await desk.reply(desk.asked("why?"))
    assert desk.told[-1].status == "answered"


async def test_no_model_speaks_of_an_intervention_whose_message_is_for_a_person(desk: Desk):
    """Before it was heard, or where the mark did not reach Redis."""
    request = desk.asked("i want to kill myself", kind=RequestKind.INTERVENTION)
    felt = desk.asked(
        "nothing to see", kind=RequestKind.INTERVENTION, reading=dict.fromkeys(desk.alarming, 1.0)
    )
    gone = felt.model_copy(update={"caused_by": ("another",), "reply_id": "another"})
    for unasked in (request, felt, gone):
        await desk.reply(unasked)
    assert desk.endpoint.seen == []
    assert desk.sent == []


async def test_a_request_that_is_given_up_ends_what_was_shown(desk: Desk):
    request = desk.asked()
    claim = await desk.ledger.claim(request)
    assert isinstance(claim, Claim)
    await ReplyStream(request, claim, desk.ledger, desk.pushes, 0.0).piece(1, 0, "Half")
    await desk.replying.give_up(request, desk.send)
    assert [(each.status, each.final) for each in desk.told] == [("unavailable", True)]
    assert (await desk.page(request)).text == ""
    # And it is the reply from here on
    await desk.reply(request)
    assert desk.told[1] == desk.told[0]


async def _now(value: int) -> int:
    return value


async def test_who_lost_its_claim_voids_nothing_behind_the_reply(bench: Bench):
    # Given a push log so short that it has forgotten what its successor has voided
    bench.redis_settings = bench.redis_settings.model_copy(update={"log_length": 2})
    desk = await Desk(bench, await bench.endpoint(say("Here ", "it is."))).open()
    request = desk.asked()
    first = await desk.ledger.claim(request)
    assert isinstance(first, Claim)
    showing = ReplyStream(request, first, desk.ledger, desk.pushes, 0.0)
    await showing.piece(1, 0, "Half")
    # Given another worker that takes the request and replies
    await desk.reply(request)
    before = await desk.pushes.head("ada")
    # When the first one finds out that its provider broke off
    with pytest.raises(ClaimLost):
        await showing.superseded(1)
    assert await desk.pushes.head("ada") == before


async def test_a_long_message_is_looked_at_beside_the_event_loop(desk: Desk):
    text = "how is it that thirds are less than halves? " * 500 + "i want to kill myself"
    hearing = asyncio.create_task(desk.hearing.hear(a_chat("ada", text), 0, 1, desk.send))
    turns = 0
    while not hearing.done():
        await asyncio.sleep(0)
        turns += 1
    # Then others had turns meanwhile: without a thread there is one before it, and one behind
    assert turns > 4
    assert [each.status for each in desk.told] == ["human_help"]


async def test_an_erasure_ends_what_is_under_way_and_nothing_of_it_comes_back(desk: Desk):
    began, never = asyncio.Event(), asyncio.Event()
    began.set()
    desk.endpoint.otherwise = say_when(began, "Half", may_end=never)
    first, second = (asyncio.create_task(desk.reply(desk.asked())) for _ in range(2))
    other = asyncio.create_task(desk.reply(desk.asked(user="bob")))
    await eventually(lambda: desk.pushed("ada"), bool)
    await eventually(lambda: desk.pushed("bob"), bool)
    now = now_ms()
    erasure = ErasureRequested(event_id="e", user_id="ada", event_time=now, ingest_time=now)
    await desk.replying.forget(erasure)
    await desk.replying.forget(erasure)
    await asyncio.gather(first, second)
    assert desk.sent == []
    assert not other.done()
    never.set()
    await other
    left = [key async for key in desk.bench.client.scan_iter(match="*{ada}*")]
    prefix = desk.bench.redis_settings.prefix
    assert [key for key in left if key.startswith(f"{prefix}:tutor:".encode())] == [
        f"{prefix}:tutor:{{ada}}:fence".encode()
    ]


async def test_feedback_that_comes_again_counts_once(desk: Desk):
    request = desk.asked()
    await desk.reply(request)
    said = FeedbackReceived(
        event_id="f1", user_id="ada", event_time=now_ms(), ingest_time=now_ms(),
        target_type=TargetType.REPLY, target_id=request.reply_id, outcome="helpful",
    )  # fmt: skip

    async def sums() -> list[dict[str, str]]:
        return [
            {cell: text.split(" ")[0] for cell, text in (await desk.store.fields(name)).items()}
            for name in map(desk.store.keys.shared, ("outcomes", "layers"))
        ]

    await desk.replying.rate(said)
    once = await sums()
    assert any("helpful" in cell for cell in once[0])
    assert once[1]
    await desk.replying.rate(said)
    assert await sums() == once


async def test_a_ladder_that_the_templates_do_not_have_is_found_at_the_start(bench: Bench):
    desk = Desk(bench, await bench.endpoint(say("Here.")))
    with pytest.raises(TemplateProblem, match="6 rungs"):
        await desk.open(modes=ModeSettings(ladder=(0, 1, 2, 3, 4, 5)))
