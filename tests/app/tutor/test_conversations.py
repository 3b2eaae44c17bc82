"""A dialogue in Redis, taken up from MongoDB, folded into a summary, forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from agents.ports import HistoryEntry, HistoryKind
from app.settings import Settings
from app.stores.arrivals import announce
from app.stores.dialogue import Dialogues
from app.stores.history import HistoryStore
from app.stores.pushlog import redis_client
from app.tutor.config import ReplySettings
from app.tutor.conversations import Conversation, Conversations
from app.tutor.ledger import Claim, Ledger
from app.tutor.preloading import Preloading
from models.tutor.context.material import Summary
from models.tutor.moves.dialogue import Speaker
from schemas.base import now_ms
from schemas.operations import ErasureRequested
from schemas.tutor import RequestKind, TutorReplied
from tests.app.tutor.asking import a_chat, a_request, keys
from tests.topics import eventually

pytestmark = pytest.mark.services

REPLIES = ReplySettings(history_timeout=10.0)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = redis_client(settings.redis)
    yield client
    await client.aclose()


@pytest.fixture
async def dialogues(settings: Settings) -> AsyncIterator[Dialogues]:
    made = Dialogues(settings.mongo, REPLIES.history_timeout)
    yield made
    await made.close()


@pytest.fixture
async def history(settings: Settings) -> AsyncIterator[HistoryStore]:
    made = HistoryStore(settings.mongo)
    yield made
    await made.close()


@pytest.fixture
def conversations(settings: Settings, redis: Redis, dialogues: Dialogues) -> Conversations:
    return Conversations(redis, settings.redis, dialogues, REPLIES)


async def happened(history: HistoryStore, user: str, *said: tuple[str, str]) -> None:
    """The history worker has stored these exchanges."""
    entries = []
    for number, (question, answer) in enumerate(said):
        chat = a_chat(user, question, now_ms() - 60_000 + 1_000 * number)
        request = a_request(chat, (0, number))
        reply = TutorReplied(
            event_id=request.reply_id, user_id=user, event_time=chat.event_time,
            ingest_time=chat.ingest_time, caused_by=(chat.event_id,), kind=RequestKind.CHAT,
            reply_id=request.reply_id, status="answered", final=True, text=answer,
        )  # fmt: skip
        for kind, event in ((HistoryKind.MESSAGES, chat), (HistoryKind.REPLIES, reply)):
            entries.append(
                HistoryEntry(kind, user, event.event_id, event.ingest_time, None, event.document())
            )
    assert await history.write(entries) == [None] * len(entries)


def texts(conversation: Conversation) -> list[tuple[Speaker, str]]:
    return [(said.speaker, said.text) for said in conversation.turns]


async def test_a_learner_nobody_knows_has_said_nothing(conversations: Conversations):
    assert await conversations.load("ada") == Conversation()


async def test_a_dialogue_is_taken_up_from_history_and_goes_on_in_redis(
    settings: Settings, redis: Redis, conversations: Conversations, history: HistoryStore
):
    await happened(history, "ada", ("why?", "think."), ("of what?", "pies."))
    await happened(history, "bob", ("who?", "me."))
    # Given a reply that was finished while the dialogue was not in Redis
    ledger = Ledger(redis, settings.redis, REPLIES)
    request = a_request(a_chat("ada", "which?"), (0, 9))
    claim = await ledger.claim(request)
    assert isinstance(claim, Claim)
    turn = b'{"id":"new","who":"student","text":"which?","at":%d}' % request.ingest_time
    await ledger.finish(claim, b"x", ingest_time=request.ingest_time, turns=[turn])
    # Then all of it is there, oldest first, once
    wanted = [
        (Speaker.STUDENT, "why?"), (Speaker.TEACHER, "think."),
        (Speaker.STUDENT, "of what?"), (Speaker.TEACHER, "pies."),
        (Speaker.STUDENT, "which?"),
    ]  # fmt: skip
    assert texts(await conversations.load("ada")) == wanted
    assert texts(await conversations.load("ada")) == wanted
    # And where Redis and history both hold a turn, it was said once
    mark = await redis.lpop(f"{settings.redis.prefix}:tutor:{{ada}}:conversation")
    assert mark == b"{}"
    assert texts(await conversations.load("ada")) == wanted


async def test_a_summary_takes_the_place_of_its_turns_and_outlives_redis(
    settings: Settings, redis: Redis, conversations: Conversations, history: HistoryStore
):
    await happened(history, "ada", ("why?", "think."), ("of what?", "pies."))
    before = (await conversations.load("ada")).turns
    summary = Summary("problem: why?", before[1].at, 2)
    await conversations.fold("ada", summary)
    found = await conversations.load("ada")
    assert found == Conversation(before[2:], summary, earlier=before[:2])
    # An older one does not come back
    await conversations.fold("ada", Summary("older", before[0].at, 1))
    assert (await conversations.load("ada")).summary == summary
    # When Redis has lost everything
    for name in await keys(redis, settings, "ada"):
        await redis.delete(f"{settings.redis.prefix}:tutor:{{ada}}:{name}")
    # Then it is the same dialogue
    assert await conversations.load("ada") == found


async def test_without_history_the_tutor_knows_what_redis_knows(
    settings: Settings, redis: Redis, history: HistoryStore
):
    nowhere = settings.mongo.model_copy(update={"url": "mongodb://127.0.0.1:1"})
    dialogues = Dialogues(nowhere, 0.2)
    conversations = Conversations(
        redis, settings.redis, dialogues, REPLIES.model_copy(update={"history_timeout": 0.2})
    )
    assert await conversations.load("ada") == Conversation()
    await dialogues.close()
    # And asks again when it is back
    await happened(history, "ada", ("why?", "think."))
    dialogues = Dialogues(settings.mongo, 10)
    back = Conversations(redis, settings.redis, dialogues, REPLIES)
    assert len((await back.load("ada")).turns) == 2
    await dialogues.close()


async def test_a_dialogue_is_read_ahead_when_its_learner_connects(
    settings: Settings, redis: Redis, conversations: Conversations, history: HistoryStore
):
    await happened(history, "ada", ("why?", "think."))
    reading = asyncio.create_task(Preloading(redis, settings.redis, conversations).run())
    try:

        async def arrive() -> set[str]:
            # Said until it is heard: a subscription takes its time, and nobody says when.
            await announce(redis, settings.redis, "ada")
            return await keys(redis, settings, "ada")

        await eventually(arrive, lambda names: "conversation" in names)
    finally:
        reading.cancel()
        await asyncio.wait({reading})


async def test_an_erased_dialogue_does_not_come_back(
    settings: Settings,
    redis: Redis,
    conversations: Conversations,
    history: HistoryStore,
    dialogues: Dialogues,
):
    await happened(history, "ada", ("why?", "think."))
    turns = (await conversations.load("ada")).turns
    await conversations.fold("ada", Summary("problem: why?", turns[0].at, 1))
    now = now_ms()
    await Ledger(redis, settings.redis, REPLIES).forget("ada", now)
    await history.erase(
        ErasureRequested(event_id="e", user_id="ada", event_time=now, ingest_time=now)
    )
    assert await conversations.load("ada") == Conversation()
    # A worker that was about to write a summary, and does
    late = Summary("late", turns[1].at, 2)
    await conversations.fold("ada", late)
    await dialogues.keep("ada", late)
    assert await dialogues.summary("ada") is None
    assert (await conversations.load("ada")).summary is None


async def test_an_erasure_while_a_summary_is_written_takes_it_too(
    settings: Settings, history: HistoryStore
):
    now = now_ms()
    erasure = ErasureRequested(event_id="e", user_id="ada", event_time=now, ingest_time=now)

    class Interrupted(Dialogues):
        """The learner is erased right after it was looked whether they are."""

        async def _erased(self, user_id: str, summary: Summary) -> bool:
            before = await super()._erased(user_id, summary)
            await history.erase(erasure)
            return before

    dialogues = Interrupted(settings.mongo, REPLIES.history_timeout)
    try:
        await dialogues.keep("ada", Summary("problem: why?", now - 1, 1))
        assert await dialogues.summary("ada") is None
    finally:
        await dialogues.close()
