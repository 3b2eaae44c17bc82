"""A dialogue in Redis, taken up from MongoDB, folded into a summary, forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from agents.runtime.ports import HistoryEntry, HistoryKind
from app.mongo.dialogue import Dialogues
from app.mongo.history import HistoryStore
from app.redis.arrivals import announce
from app.redis.client import connect
from app.settings import Settings
from app.tutor.config import ReplySettings
from app.tutor.replies.conversation_prefetch import ConversationPrefetch
from app.tutor.replies.conversations import Conversation, Conversations, encoded
from app.tutor.replies.ledger import Claim, Ledger
from models.tutor.context.material import Said, Summary
from schemas.base import now_ms
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import RequestKind, TutorReplied
from schemas.vocabulary import Speaker
from tests.app.tutor.asking import a_chat, a_request, keys
from tests.topics import eventually

pytestmark = pytest.mark.services

REPLIES = ReplySettings(history_timeout=10.0)
DAY = 86_400_000


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = connect(settings.redis, "push")
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


async def happened(
    history: HistoryStore, user: str, *said: tuple[str, str], ago: int = 60_000
) -> None:
    """The history worker has stored these exchanges, the first of `ago` milliseconds before."""
    entries = []
    for number, (question, answer) in enumerate(said):
        chat = a_chat(user, question, now_ms() - ago + 1_000 * number)
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


def turn(who: Speaker, text: str, at: int) -> Said:
    return Said(who, text, at, id=f"{who}{at}")


def exchange(text: str, at: int) -> list[Said]:
    """One that says `text`, and its answer."""
    return [turn(Speaker.STUDENT, text, at), turn(Speaker.TEACHER, f"as to {text}", at + 1)]


class Kept:
    """A learner's dialogue as Redis holds it, written and read past everything else."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.prefix = f"{settings.redis.prefix}:tutor:{{ada}}:"

    async def lists(self, **turns: list[Said]) -> None:
        for name, said in turns.items():
            mark = [b"{}"] if name == "conversation" else []
            await self.redis.rpush(self.prefix + name, *mark, *map(encoded, said))
            await self.redis.expire(self.prefix + name, 3_600)

    async def summary(self, text: str, since: int, through: int) -> None:
        fields = {"text": text, "since": since, "through": through, "turns": 2, "by": "extractive"}
        await self.redis.set(self.prefix + "summary", orjson.dumps(fields), ex=3_600)

    async def everything(self) -> bytes:
        """All that stands there."""
        found = [await self.redis.get(self.prefix + "summary") or b""]
        for name in ("conversation", "earlier"):
            found += await self.redis.lrange(self.prefix + name, 0, -1)
        return b" ".join(found)


@pytest.fixture
def kept(redis: Redis, settings: Settings) -> Kept:
    return Kept(redis, settings)


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
    summary = Summary("problem: why?", before[1].at, 2, since=before[0].at)
    await conversations.fold("ada", summary)
    found = await conversations.load("ada")
    assert found == Conversation(before[2:], summary, earlier=before[:2])
    # An older one does not come back
    await conversations.fold("ada", Summary("older", before[0].at, 1, since=before[0].at))
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
    reading = asyncio.create_task(ConversationPrefetch(redis, settings.redis, conversations).run())
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
    await conversations.fold("ada", Summary("problem: why?", turns[0].at, 1, since=turns[0].at))
    now = now_ms()
    await Ledger(redis, settings.redis, REPLIES).forget("ada", now)
    await history.erase(
        ErasureRequested(event_id="e", user_id="ada", event_time=now, ingest_time=now)
    )
    assert await conversations.load("ada") == Conversation()
    # A worker that was about to write a summary, and does
    late = Summary("late", turns[1].at, 2, since=turns[0].at)
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
        await dialogues.keep("ada", Summary("problem: why?", now - 1, 1, since=now - 1))
        assert await dialogues.summary("ada") is None
    finally:
        await dialogues.close()


async def test_turns_that_are_too_old_go_when_a_dialogue_is_read(
    conversations: Conversations, kept: Kept, settings: Settings
):
    """Given a learner who comes every day, words of more than chat_days ago are nowhere."""
    limit = now_ms() - int(settings.mongo.chat_days * DAY)
    old = [said for day in range(14, 0, -1) for said in exchange(f"old{day}", limit - day * DAY)]
    young = exchange("young", limit + DAY)
    await kept.lists(
        earlier=old[:10] + exchange("behind", limit + DAY // 2), conversation=old[10:] + young
    )
    found = await conversations.load("ada")
    assert found.turns == tuple(young)
    assert [said.text for said in found.earlier] == ["behind", "as to behind"]
    assert b"old" not in await kept.everything()
    assert b"young" in await kept.everything()


async def test_a_summary_with_a_turn_that_is_too_old_starts_anew(
    conversations: Conversations, kept: Kept, settings: Settings
):
    limit = now_ms() - int(settings.mongo.chat_days * DAY)
    told, younger = exchange("told", limit + 2 * DAY), exchange("younger", limit + DAY)
    await kept.summary("problem: quoted", since=limit - 1_000, through=limit + DAY + 1)
    await kept.lists(earlier=exchange("old", limit - 1_000) + younger, conversation=told)
    # What was in it and is young enough is told again, and so folded again
    assert await conversations.load("ada") == Conversation((*younger, *told))
    assert await conversations.load("ada") == Conversation((*younger, *told))
    assert b"quoted" not in await kept.everything()
    summary = Summary("problem: younger", younger[1].at, 2, since=younger[0].at)
    await conversations.fold("ada", summary)
    wanted = Conversation(tuple(told), summary, earlier=tuple(younger))
    assert await conversations.load("ada") == wanted


async def test_no_more_goes_back_than_is_read_from_history(
    settings: Settings, redis: Redis, dialogues: Dialogues, kept: Kept
):
    few = REPLIES.model_copy(update={"conversation_turns": 2})
    conversations = Conversations(redis, settings.redis, dialogues, few)
    now = now_ms()
    behind, last = exchange("behind", now - 3_000), exchange("last", now - 2_000)
    await kept.summary("problem: quoted", since=1, through=now)
    await kept.lists(earlier=behind + last, conversation=[])
    assert await conversations.load("ada") == Conversation(tuple(last), earlier=tuple(behind))


async def test_a_summary_of_unknown_age_is_too_old(conversations: Conversations, kept: Kept):
    await kept.lists(conversation=[])
    fields = {"text": "problem: quoted", "through": now_ms(), "turns": 2, "by": "extractive"}
    await kept.redis.set(kept.prefix + "summary", orjson.dumps(fields))
    assert await conversations.load("ada") == Conversation()


async def test_a_summary_is_not_folded_with_a_turn_that_is_too_old(
    conversations: Conversations, dialogues: Dialogues, kept: Kept, settings: Settings
):
    limit = now_ms() - int(settings.mongo.chat_days * DAY)
    told = exchange("told", limit + DAY)
    await kept.lists(conversation=told)
    late = Summary("problem: quoted", told[1].at, 4, since=limit - 1_000)
    await conversations.fold("ada", late)
    assert await conversations.load("ada") == Conversation(tuple(told))
    assert await dialogues.summary("ada") is None


async def test_a_dialogue_is_taken_up_without_what_is_too_old(
    settings: Settings, conversations: Conversations, dialogues: Dialogues, kept: Kept
):
    """Given a store that has not deleted yet what has expired."""
    days = settings.mongo.chat_days
    longer = settings.mongo.model_copy(update={"chat_days": days + 30})
    history, summaries = HistoryStore(longer), Dialogues(longer, REPLIES.history_timeout)
    over = int((days + 1) * DAY)
    try:
        await happened(history, "ada", ("old?", "so old."), ago=over)
        await happened(history, "ada", ("why?", "think."), ("of what?", "pies."))
        before = await dialogues.turns("ada", 10)
        assert len(before) == 6
        through = before[3][0].at
        quoting = Summary("problem: old?", through, 4, since=before[0][0].at)
        await summaries.keep("ada", quoting)
    finally:
        await history.close()
        await summaries.close()
    assert await dialogues.summary("ada") == quoting
    # Then what is younger is there, also what the summary had held
    wanted = tuple(said for said, _ in before[2:])
    found = await conversations.load("ada")
    assert (found.turns, found.summary, found.earlier) == (wanted, None, ())
    assert b"old" not in await kept.everything()


async def test_a_summary_expires_with_its_oldest_turn(settings: Settings, dialogues: Dialogues):
    since = now_ms() - 3 * DAY
    await dialogues.keep("ada", Summary("problem: why?", since + 2 * DAY, 2, since=since))
    await dialogues.keep("ada", Summary("problem: why?", since + 3 * DAY, 4, since=since))
    async with AsyncMongoClient(settings.mongo.url, tz_aware=True) as client:
        found = await client[settings.mongo.database]["summaries"].find_one({"_id": "ada"})
    began = datetime.fromtimestamp(since / 1000, UTC)
    assert found["expiresAt"] == began + timedelta(days=settings.mongo.chat_days)
