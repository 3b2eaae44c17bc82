"""The tutor worker as a process, on real services, with providers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    EMOTIONS,
    INTERACTIONS,
    INTERVENTIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
)
from app.process.exits import Exit
from app.redis.client import connect
from app.settings import Settings
from app.tutor.config import ProviderSettings
from schemas.base import now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.tutor import ReplyMode, RequestKind
from schemas.vocabulary import Concern, Level
from tests.app.tutor.asking import (
    a_chat,
    a_concern,
    a_reading,
    a_request,
    ask,
    page,
    pushed,
    replies,
    shown,
    with_tutor,
)
from tests.app.tutor.sse import Endpoint, say, say_when, stall, status
from tests.servers import Services
from tests.topics import committed, eventually, produce, read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


@asynccontextmanager
async def running(settings: Settings, logs: Path, *roles: str) -> AsyncIterator[None]:
    workers = [WorkerProcess(role, settings, logs / f"{role}.log") for role in roles]
    try:
        await asyncio.gather(*(worker.start() for worker in workers))
        yield
    finally:
        for worker in workers:
            worker.kill()


async def test_who_asks_sees_the_reply_come_and_then_whole(topics: Settings, tmp_path: Path):
    async with Endpoint(say("Think ", "of ", "cake.")) as endpoint:
        settings = with_tutor(topics, endpoint, replies={"piece_interval": 0.0})
        async with running(settings, tmp_path, "tutor", "push"):
            # When a learner asks
            (request,) = await ask(settings, a_chat("ada", "why is 1/2 more than 1/3?"))
            found = await shown(settings, "ada")
    # Then the pieces come first, in order, and the reply holds them all
    deltas = [each for each in found if each["type"] == "tutor_delta"]
    assert [(each["attempt"], each["index"]) for each in deltas] == [(1, 0), (1, 1), (1, 2)]
    assert "".join(each["text"] for each in deltas) == "Think of cake."
    final = found[-1]
    assert final["type"] == "tutor_reply"
    assert final["replyId"] == request.reply_id
    assert (final["status"], final["text"], final["attempt"]) == ("answered", "Think of cake.", 1)
    assert (final["provider"], final["model"]) == ("p0", "m")
    assert final["usage"] == {
        "inputTokens": 10, "outputTokens": 5, "micros": 0, "reported": True,
    }  # fmt: skip
    assert 0 < final["latency"]["firstText"] <= final["latency"]["total"]
    assert final["promptVersion"]
    assert (final["mode"], bool(final["because"])) == ("socratic", True)
    assert final["causedBy"] == list(request.caused_by)
    # And the words went to the provider as the learner's
    said = endpoint.seen[0].body["messages"]
    assert "why is 1/2 more than 1/3?" in said[-1]["content"]
    assert said[-1]["role"] == "user"
    assert all("1/3" not in each["content"] for each in said if each["role"] == "system")


async def test_a_request_that_comes_again_is_not_answered_again(topics: Settings, tmp_path: Path):
    async with Endpoint(say("Once.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            (request,) = await ask(settings, a_chat("ada", "why?"))
            await shown(settings, "ada")
            # When the learner worker says it again, and the learner asks something new after it
            await produce(settings, TUTOR_REQUESTS, [("ada", request), ("ada", request)])
            await ask(settings, a_chat("ada", "and now?"))
            found = await shown(settings, "ada", final=2)
        told = [record.document for record in await read_all(settings, TUTOR_REPLIES)]
    # Then the provider was asked once for it, the same reply was told, and shown once
    assert len(endpoint.seen) == 2
    again = [each for each in told if each["replyId"] == request.reply_id]
    assert len(again) >= 2
    assert all(each == again[0] for each in again)
    assert page(found, request.reply_id).final["text"] == "Once."


async def test_what_was_said_before_is_in_the_next_prompt(topics: Settings, tmp_path: Path):
    async with Endpoint(say("Because of the pies.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            await ask(settings, a_chat("ada", "why is a third less?"))
            await shown(settings, "ada")
            await ask(settings, a_chat("ada", "which pies?"))
            await shown(settings, "ada", final=2)
    roles = [each["role"] for each in endpoint.seen[1].body["messages"]]
    told = " ".join(each["content"] for each in endpoint.seen[1].body["messages"])
    assert roles == ["system", "user", "assistant", "user"]
    assert told.index("why is a third less?") < told.index("pies.") < told.index("which pies?")


async def test_a_learner_may_choose_how_to_be_helped(topics: Settings, tmp_path: Path):
    async with Endpoint(say("It is so.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            chosen = a_chat("ada", "why?").model_copy(update={"reply_mode": ReplyMode.DIRECT})
            (request,) = await ask(settings, chosen)
            found = await shown(settings, "ada")
    final = page(found, request.reply_id).final
    assert (final["mode"], final["because"]) == ("direct", ["the learner chose it"])


LONG = (
    "Count the slices first, then look at the plates beside them. Which of both has more, and why? "
    "Write down what you see before you say it, and tell me the sum as soon as you have one. "
    "We go on from there."
)


async def test_what_no_longer_fits_is_summarised_and_comes_back_when_it_is_asked_about(
    topics: Settings, tmp_path: Path
):
    context = {"budget": 1_400, "learning": {"trial": 0.0}}
    async with Endpoint(say(LONG)) as endpoint:
        settings = with_tutor(topics, endpoint, context=context)
        async with running(settings, tmp_path, "tutor", "push"):
            # Given a dialogue about pies, and then for long about trains
            await ask(settings, a_chat("ada", "why do the pies weigh less than the cakes?"))
            await shown(settings, "ada")
            for number in range(2, 9):
                await ask(settings, a_chat("ada", f"train number {number} is late again " * 6))
                await shown(settings, "ada", final=number)

            async def summary() -> bytes | None:
                async with connect(settings.redis, "push") as client:
                    key = f"{settings.redis.prefix}:tutor:{{ada}}:summary"
                    return await client.get(key)

            assert b"pies" in (await eventually(summary, bool) or b"")
            # When the pies are asked about again
            await ask(settings, a_chat("ada", "so the pies weigh less than the cakes?"))
            await shown(settings, "ada", final=9)
    told = " ".join(each["content"] for each in endpoint.seen[-1].body["messages"][:-1])
    assert "why do the pies weigh less" in told
    assert "asked: why do the pies" in told, "as an earlier exchange"


async def test_an_intervention_is_put_into_words_and_nobody_hears_of_it_where_it_cannot_be(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("Shall we take a breath?")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            clicks = {"kind": RequestKind.INTERVENTION, "source_topic": INTERACTIONS}
            raised = a_request(
                a_chat("ada", "not asked"), (0, 0), **clicks,
                level=Level.MODERATE, because=("valence 0.31 is below 0.35",),
            )  # fmt: skip
            await produce(settings, TUTOR_REQUESTS, [("ada", raised)])
            found = await shown(settings, "ada")
            assert page(found, raised.reply_id).text == "Shall we take a breath?"
            assert found[-1]["mode"] == "encouragement"
            assert "valence 0.31 is below 0.35" in str(endpoint.seen[0].body)
            # When nobody answers, until its time is over
            endpoint.otherwise = status(503)
            late = a_request(a_chat("bob", "x", now_ms() - 3_000_000), (0, 0), **clicks)
            now = a_request(a_chat("bob", "x"), (0, 0), **clicks)
            await produce(settings, TUTOR_REQUESTS, [("bob", late), ("bob", now)])
            await eventually(
                lambda: committed(settings, "tutor", TUTOR_REQUESTS),
                lambda offsets: sum(offsets.values()) == 3,
            )
            assert await pushed(settings, "bob") == []


async def test_who_asks_without_end_is_put_off_and_others_are_not(topics: Settings, tmp_path: Path):
    may_begin = asyncio.Event()
    async with Endpoint(say_when(may_begin, "Here.")) as endpoint:
        settings = with_tutor(topics, endpoint, replies={"waiting": 2})
        async with running(settings, tmp_path, "tutor", "push"):
            await ask(settings, *(a_chat("ada", f"why, the {n}th?") for n in range(6)))
            told = await eventually(
                lambda: pushed(settings, "ada"),
                lambda log: sum(each["type"] == "tutor_reply" for each in log) == 4,
            )
            assert {each["status"] for each in told} == {"unavailable"}
            await ask(settings, a_chat("bob", "and mine?"))
            await eventually(lambda: _now(endpoint.open_now), lambda number: number == 2)
            # When the first ones are answered, the others are, too
            may_begin.set()
            found = await shown(settings, "ada", final=6)
            await shown(settings, "bob")
    assert sum(each.get("status") == "answered" for each in found) == 6


async def test_without_a_provider_it_says_that_it_is_off(topics: Settings, tmp_path: Path):
    settings = with_tutor(topics)
    async with running(settings, tmp_path, "tutor", "push"):
        (request,) = await ask(settings, a_chat("ada", "why?"))
        found = await shown(settings, "ada")
    assert [each["status"] for each in found if each["type"] == "tutor_reply"] == ["off"]
    assert page(found, request.reply_id).text == ""


async def test_when_nobody_answers_it_says_so_once_and_answers_when_one_does(
    topics: Settings, tmp_path: Path
):
    # Given a provider that is down
    async with Endpoint(status(503)) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            (request,) = await ask(settings, a_chat("ada", "why?"))
            # Then the learner is told, and the request does not hold the stream
            found = await eventually(lambda: pushed(settings, "ada"), bool)
            assert (found[0]["status"], found[0]["final"]) == ("unavailable", False)
            assert found[0]["retryUntil"] > request.ingest_time
            await eventually(
                lambda: committed(settings, "tutor", TUTOR_REQUESTS),
                lambda offsets: sum(offsets.values()) == 1,
            )
            tried = len(endpoint.seen)
            await eventually(lambda: _now(len(endpoint.seen)), lambda seen: seen > tried + 1)
            # When it is back
            endpoint.otherwise = say("Late, but here.")
            found = await shown(settings, "ada")
            on_topic = await replies(settings, 1)
    assert [each["status"] for each in on_topic] == ["unavailable", "answered"]
    # Then it is answered, and "not now" was said once
    told = [each for each in found if each["type"] == "tutor_reply"]
    assert [(each["status"], each["final"]) for each in told] == [
        ("unavailable", False), ("answered", True),
    ]  # fmt: skip
    assert page(found, request.reply_id).text == "Late, but here."


async def test_a_request_ends_with_its_lifetime(topics: Settings, tmp_path: Path):
    async with Endpoint(status(503)) as endpoint:
        settings = with_tutor(topics, endpoint, replies={"lifetime": 3.0})
        async with running(settings, tmp_path, "tutor", "push"):
            (request,) = await ask(settings, a_chat("ada", "why?"))
            found = await shown(settings, "ada")
            endpoint.otherwise = say("Too late.")
            # What comes later than its lifetime is not asked for
            asked = len(endpoint.seen)
            await ask(settings, a_chat("bob", "why?", request.ingest_time - 10_000))
            late = await shown(settings, "bob")
            assert len(endpoint.seen) == asked
    told = [(each["status"], each["final"]) for each in found if each["type"] == "tutor_reply"]
    assert told == [("unavailable", False), ("unavailable", True)]
    assert [(each["status"], each["final"]) for each in late] == [("unavailable", True)]


async def _now(value: int) -> int:
    return value


async def test_killed_in_the_middle_of_fifty_replies_each_learner_gets_one(
    topics: Settings, tmp_path: Path
):
    may_go_on = asyncio.Event()
    half = "Half of it"
    async with Endpoint(stall(half)) as endpoint:
        settings = with_tutor(topics, endpoint)
        learners = [f"learner-{n}" for n in range(50)]
        async with running(settings, tmp_path, "push"):
            # Given a worker with fifty replies half shown
            worker = await WorkerProcess("tutor", settings, tmp_path / "tutor.log").start()
            requests = await ask(settings, *(a_chat(user, f"why, {user}?") for user in learners))

            async def half_shown() -> int:
                logs = await asyncio.gather(*(pushed(settings, user) for user in learners))
                return sum(any(each["type"] == "tutor_delta" for each in log) for log in logs)

            await eventually(half_shown, lambda number: number == 50, 60)
            # When it is killed, and another one takes its place
            worker.kill()
            endpoint.otherwise = say_when(may_go_on, "All ", "of it.")
            second = await WorkerProcess("tutor", settings, tmp_path / "tutor-2.log").start()
            may_go_on.set()
            logs = dict(
                zip(
                    learners,
                    await asyncio.gather(*(shown(settings, user) for user in learners)),
                    strict=True,
                )
            )
            assert await second.stop() == 0
        told = await replies(settings, 50)
    # Then each has one final reply, the whole one, and what was half shown is void
    for request in requests:
        log = [each for each in logs[request.user_id] if each.get("replyId") == request.reply_id]
        seen = page(log, request.reply_id)
        assert seen.final["status"] == "answered"
        assert seen.text == "All of it."
        void = [each for each in log if each.get("status") == "superseded"]
        assert [each["attempt"] for each in void] == [1]
        first_of_second = next(place for place, each in enumerate(log) if each["attempt"] > 1)
        assert log.index(void[0]) < first_of_second
    finals = [each["replyId"] for each in told if each["final"]]
    assert sorted(finals) == sorted(request.reply_id for request in requests)


async def test_what_is_for_a_person_brings_help_at_once_and_no_model_is_asked(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("Never mind.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            # When somebody says it, asking for a reply
            (request,) = await ask(settings, a_chat("ada", "i want to kill myself"))
            found = await shown(settings, "ada")
            # Or asking for none: there is no request, only the message
            said = a_chat("bob", "i want to kill myself")
            await produce(settings, CHAT, [("bob", said)])
            also = await shown(settings, "bob")
            # Or where the words alone do not say it, but the feelings read in them
            felt = a_chat("eve", "what is a third?")
            (place,) = await produce(settings, CHAT, [("eve", felt)])
            alarming = dict.fromkeys(settings.tutor.safety.emotions, 0.9)
            await produce(settings, EMOTIONS, [("eve", a_reading(felt, place, alarming))])
            too = await shown(settings, "eve")
            await eventually(
                lambda: committed(settings, "tutor", TUTOR_REQUESTS),
                lambda offsets: sum(offsets.values()) == 1,
            )
        raised = [each.document for each in await read_all(settings, INTERVENTIONS)]
    # Then both get the message that is configured, and a person is called, once for each
    for user, pushes in (("ada", found), ("bob", also), ("eve", too)):
        final = next(each for each in pushes if each["type"] == "tutor_reply")
        assert (final["status"], final["final"]) == ("human_help", True)
        assert final["text"] == settings.words.help.message
        called = {each["eventId"] for each in raised if each["userId"] == user}
        assert len(called) == 1
    assert {each["level"] for each in raised} == {"critical"}
    assert all(each["because"] for each in raised)
    assert "kill myself" not in str(raised)
    assert endpoint.seen == []
    assert page(found, request.reply_id).final["text"] == settings.words.help.message


async def test_danger_that_the_model_reads_brings_help_and_no_lesson_whichever_comes_first(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("A third is less.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):

            async def worry(chat: ChatReceived, place: tuple[int, int]) -> None:
                read = a_concern(chat, place, kinds={Concern.ABUSE: 0.8})
                await produce(settings, CONCERNS, [(chat.user_id, read)] * 2)

            # Given a message without a word that the lexicon knows, When its concern comes first
            first = a_chat("ada", "the rope is a third?")
            (place,) = await produce(settings, CHAT, [("ada", first)])
            await worry(first, place)
            await shown(settings, "ada")
            request = a_request(first, place)
            await produce(settings, TUTOR_REQUESTS, [("ada", request)])
            await eventually(
                lambda: committed(settings, "tutor", TUTOR_REQUESTS),
                lambda offsets: sum(offsets.values()) == 1,
            )
            assert endpoint.seen == []
            # Or when the lesson is out before it
            second = a_chat("bob", "and half of it?")
            (lesson,) = await ask(settings, second)
            await shown(settings, "bob")
            await worry(second, (lesson.source_partition, lesson.source_offset))
            late = await shown(settings, "bob", final=2)
            # Or when no reply was asked for, and the words have raised it
            third = a_chat("eve", "i want to kill myself")
            (place,) = await produce(settings, CHAT, [("eve", third)])
            await shown(settings, "eve")
            await worry(third, place)
            await eventually(
                lambda: committed(settings, "tutor", CONCERNS),
                lambda offsets: sum(offsets.values()) == 6,
            )
            early = await shown(settings, "ada")
        raised = [each.document for each in await read_all(settings, INTERVENTIONS)]
        told = [each.document for each in await read_all(settings, TUTOR_REPLIES)]
    help_ = settings.words.help.message
    finals = {
        user: [each["text"] for each in log if each.get("final")]
        for user, log in (("ada", early), ("bob", late))
    }
    assert finals == {"ada": [help_], "bob": ["A third is less.", help_]}
    assert page(early, request.reply_id).text == help_
    assert page(late, lesson.reply_id).text == "A third is less."
    assert {each["text"] for each in told if each["userId"] == "ada"} == {help_}
    # Then people are told once of each message, by kind, and by no word of it
    for user in ("ada", "bob", "eve"):
        assert len({each["eventId"] for each in raised if each["userId"] == user}) == 1
    assert [each["because"] for each in raised if each["userId"] != "eve"] == [
        ["the message reads like abuse"]
    ] * 4
    assert len([each for each in raised if each["userId"] == "eve"]) == 1
    assert "rope" not in str(raised)
    assert "abuse" not in str(told) + str([each for each in early + late if "replyId" in each])


async def test_a_models_words_that_a_learner_should_not_see_go_no_further(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("Well, ", "you should ", "kill yourself", ". Bye.")) as endpoint:
        settings = with_tutor(topics, endpoint, replies={"piece_interval": 0.0})
        async with running(settings, tmp_path, "tutor", "push"):
            (request,) = await ask(settings, a_chat("ada", "what now?"))
            found = await shown(settings, "ada")
            # The conversation does not remember it either
            endpoint.otherwise = say("Fine.")
            await ask(settings, a_chat("ada", "and then?"))
            await shown(settings, "ada", final=2)
    assert "kill yourself" not in str(found)
    seen = page(found, request.reply_id)
    assert seen.final["status"] == "human_help"
    assert seen.text == settings.words.help.reply
    assert "kill yourself" not in str(endpoint.seen[-1].body)


async def test_an_unfit_reply_is_taken_back_and_another_one_is_told(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("Cut both ", "into sixths.")) as endpoint:
        endpoint.script.append(say("A half ", "is more.", "<|im_end|>", "user"))
        settings = with_tutor(topics, endpoint, replies={"piece_interval": 0.0})
        async with running(settings, tmp_path, "tutor", "push"):
            (request,) = await ask(settings, a_chat("ada", "why is a third less?"))
            found = await shown(settings, "ada")
            await ask(settings, a_chat("ada", "and then?"))
            await shown(settings, "ada", final=2)
    assert "A half" in str(found)
    assert "im_end" not in str(found)
    assert [each["status"] for each in found if each["type"] == "tutor_reply"] == [
        *("superseded", "unavailable", "answered"),
    ]
    seen = page(found, request.reply_id)
    assert (seen.text, seen.final["text"]) == ("Cut both into sixths.",) * 2
    # The conversation does not remember what was unfit
    assert "A half" not in str(endpoint.seen[-1].body)


async def test_two_hundred_replies_are_under_way_in_one_worker(topics: Settings, tmp_path: Path):
    may_begin = asyncio.Event()
    async with Endpoint(say_when(may_begin, "Here ", "it is.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        learners = [f"learner-{n}" for n in range(200)]
        async with running(settings, tmp_path, "tutor"):
            await ask(settings, *(a_chat(user, f"why, {user}?") for user in learners))
            await eventually(lambda: _now(endpoint.open_now), lambda number: number == 200)
            # The stream goes on beside them: what is for a person does not wait
            await produce(settings, CHAT, [("eve", a_chat("eve", "i want to kill myself"))])
            await eventually(
                lambda: read_all(settings, TUTOR_REPLIES),
                lambda told: [each.document["status"] for each in told] == ["human_help"],
            )
            may_begin.set()
            told = await replies(settings, 201)
    answered = [each for each in told if each["status"] == "answered"]
    assert {each["userId"] for each in answered} == set(learners)
    assert len(answered) == 200


async def half_shown(settings: Settings, user: str) -> None:
    """Until the learner has seen a piece."""
    await eventually(
        lambda: pushed(settings, user),
        lambda log: any(each["type"] == "tutor_delta" for each in log),
        60.0,
    )


async def test_stopped_in_the_middle_it_leaves_the_reply_to_its_successor(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(stall("Half")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "push"):
            first = await WorkerProcess("tutor", settings, tmp_path / "tutor.log").start()
            (request,) = await ask(settings, a_chat("ada", "why?"))
            await half_shown(settings, "ada")
            # When it is asked to stop, it does
            assert await first.stop() == 0, first.tail()
            endpoint.otherwise = say("Whole.")
            async with running(settings, tmp_path, "tutor"):
                found = await shown(settings, "ada")
    assert page(found, request.reply_id).text == "Whole."


async def test_a_worker_that_slept_through_its_replacement_says_nothing_more(
    topics: Settings, tmp_path: Path
):
    may_end = asyncio.Event()
    beginning = asyncio.Event()
    beginning.set()
    async with Endpoint(say_when(beginning, "Old", may_end=may_end)) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "push"):
            first = await WorkerProcess("tutor", settings, tmp_path / "tutor.log").start()
            try:
                (request,) = await ask(settings, a_chat("ada", "why?"))
                await half_shown(settings, "ada")
                # Given a worker that is paused in the middle of a reply
                first.pause()
                endpoint.otherwise = say("New.")
                async with running(settings, tmp_path, "tutor"):
                    await shown(settings, "ada")
                    # When it wakes up and its provider goes on
                    first.resume()
                    may_end.set()
                    assert await first.ended() == Exit.FENCED
                    await ask(settings, a_chat("ada", "and now?"))
                    found = await shown(settings, "ada", final=2)
            finally:
                first.resume()
                first.kill()
        told = [record.document for record in await read_all(settings, TUTOR_REPLIES)]
    # Then only its successor's reply was told
    assert page(found, request.reply_id).text == "New."
    assert {each["text"] for each in told} == {"New."}


@pytest.mark.outage
async def test_while_redis_is_away_requests_wait_and_then_are_answered(
    topics: Settings, tmp_path: Path, services: Services
):
    async with Endpoint(say("Here.")) as endpoint:
        settings = with_tutor(topics, endpoint)
        async with running(settings, tmp_path, "tutor", "push"):
            (before,) = await ask(settings, a_chat("ada", "why?"))
            await shown(settings, "ada")
            await services.redis.stop()
            try:
                (request,) = await ask(settings, a_chat("bob", "why?"))
                # What is for a person does not wait for Redis
                await produce(settings, CHAT, [("eve", a_chat("eve", "i want to kill myself"))])
                await eventually(
                    lambda: read_all(settings, TUTOR_REPLIES),
                    lambda told: told[-1].document["status"] == "human_help",
                )
            finally:
                await services.redis.start()
            found = await shown(settings, "bob")
            await replies(settings, 3)
    assert page(found, request.reply_id).text == "Here."
    assert before.reply_id != request.reply_id


async def test_a_key_that_is_not_there_ends_the_worker_for_good(topics: Settings, tmp_path: Path):
    settings = with_tutor(topics)
    provider = ProviderSettings(
        name="far", base_url="https://example.invalid/v1", model="m", api_key_env="NO_SUCH_KEY"
    )
    tutor = settings.tutor.model_copy(update={"providers": (provider,)})
    settings = settings.model_copy(update={"tutor": tutor})
    worker = WorkerProcess("tutor", settings, tmp_path / "tutor.log")
    worker.spawn()
    assert await worker.ended() == Exit.CONFIG
    assert "NO_SUCH_KEY" in worker.tail()


async def test_a_budget_without_room_for_the_instructions_ends_the_worker_for_good(
    topics: Settings, tmp_path: Path
):
    safety = {"help_message": "Talk to somebody you trust. " * 300}
    settings = with_tutor(topics, context={"budget": 1_000}, safety=safety)
    worker = WorkerProcess("tutor", settings, tmp_path / "tutor.log")
    worker.spawn()
    assert await worker.ended() == Exit.CONFIG
    assert "context.budget" in worker.tail()


async def test_what_was_put_off_is_answered_behind_what_was_said_since(
    topics: Settings, tmp_path: Path
):
    # Given a first question that finds no answer at first, and a second one that does
    async with Endpoint(say("And so on.")) as endpoint:
        endpoint.script.extend([status(503), status(503)])
        slow = {"retry_first": 3.0, "retry_longest": 3.0}
        settings = with_tutor(topics, endpoint, replies=slow)
        async with running(settings, tmp_path, "tutor", "push"):
            await ask(settings, a_chat("ada", "the first question?"))
            await eventually(lambda: pushed(settings, "ada"), bool)
            await ask(settings, a_chat("ada", "the second question?"))
            await shown(settings, "ada", final=2)
            # Then a third one is told of both, in the order of the answers
            await ask(settings, a_chat("ada", "the third question?"))
            await shown(settings, "ada", final=3)
    told = " ".join(each["content"] for each in endpoint.seen[-1].body["messages"])
    places = [told.index(f"the {which} question?") for which in ("second", "first", "third")]
    assert places == sorted(places)
    assert "the first question?" in endpoint.seen[-2].body["messages"][-1]["content"]
