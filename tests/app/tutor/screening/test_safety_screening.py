"""What is for a person is told to one, and the learner helped: as written, and as felt."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from agents.runtime.retrying import Waits
from agents.runtime.topics import CHAT, INTERVENTIONS, TUTOR_REPLIES
from agents.tutor import TutorAgent
from app.settings import RedisSettings, Settings
from app.tutor.config import HearingSettings, TutorSettings
from app.tutor.prompt.composing import Composer
from app.tutor.prompt.layers import LayerOutcomes
from app.tutor.prompt.reply_contract import Danger
from app.tutor.replies.chat_text_cache import ChatTextCache
from app.tutor.screening.proactive_mute import ProactiveMute
from app.tutor.screening.safety_screening import SafetyScreening
from app.tutor.store import TutorStore
from models.tutor.safety.config import SafetySettings
from models.words.words import load
from schemas.base import Derived, now_ms
from schemas.figures import rounded
from schemas.topics.actions import InterventionRaised
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import Emotion
from schemas.topics.tutor import TutorRequested
from tests.agents.records import Around, stream
from tests.app.tutor.asking import a_chat, a_reading
from tests.app.tutor.conftest import Bench
from tests.app.tutor.sse import say
from tests.models.tutor.safety.messages import EVERY

CLEAR, HINT, PLAIN = "i want to kill myself", "i can't do this anymore", "what is a third?"


class Ears:
    """Safety screening on the test's own Redis, and what it has sent."""

    def __init__(self, settings: TutorSettings, bench: Bench, store: TutorStore, words: Any):
        self.sent: list[Derived] = []
        self.words = words
        self.alarming = settings.safety.emotions
        self.quiet = ProactiveMute(store, settings.hearing.quiet_for)
        self.texts = ChatTextCache(Settings(redis=bench.redis_settings, tutor=settings))
        self.hearing = SafetyScreening(
            settings.hearing,
            settings.safety.long_message,
            texts=self.texts,
            words=words,
            quiet=self.quiet,
            waits=Waits(),
        )

    async def send(self, message: Derived) -> None:
        self.sent.append(message)

    async def hear(self, chat: ChatReceived) -> None:
        await self.hearing.hear(chat, 0, 1, self.send)

    async def feel(self, chat: ChatReceived, share: float) -> None:
        reading = a_reading(chat, (0, 1), dict.fromkeys(self.alarming, share))
        await self.hearing.feel(reading, self.send)

    @property
    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.sent]


async def ears(bench: Bench, store: TutorStore, marks: TutorStore | None = None) -> Ears:
    settings = TutorSettings()
    router = await bench.router({"p0": await bench.endpoint(say("never asked"))})
    layers = LayerOutcomes(store, settings.context.learning, 5.0)
    words = Composer(settings, router, layers, load())
    return Ears(settings, bench, marks or store, words)


class NobodyAsks:
    """The tutor's other half, in a test in which no reply is asked for."""

    async def due(self, under_way: int) -> list[TutorRequested]:
        return []


class Kept:
    """An outbox that keeps what it was given, by topic, as a reader of the topic has it."""

    def __init__(self) -> None:
        self.sent: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    async def send(self, topic: str, *, value: bytes, **_: object) -> asyncio.Future[None]:
        self.sent[topic].append(orjson.loads(value))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


BOTH = ["InterventionRaised", "TutorReplied"]


async def test_clear_words_are_enough_and_feelings_add_nothing_to_them(bench, store):
    made = await ears(bench, store)
    chat = a_chat("ada", CLEAR)
    await made.hear(chat)
    assert made.kinds == BOTH
    assert await made.quiet.holds("ada")
    assert not await made.quiet.holds("bob")
    await made.feel(chat, 1.0)
    assert made.kinds == BOTH


@pytest.mark.parametrize("text", [HINT, PLAIN], ids=["a hint", "plain words"])
async def test_strong_feelings_make_it_a_matter_for_a_person(bench, store, text):
    made = await ears(bench, store)
    chat = a_chat("ada", text)
    await made.hear(chat)
    await made.feel(chat, 0.0)
    assert made.sent == []
    await made.feel(chat, 1.0)
    assert made.kinds == BOTH
    # Once more, after a rebalance: it has the same ids
    await made.feel(chat, 1.0)
    assert [each.event_id for each in made.sent[:2]] == [each.event_id for each in made.sent[2:]]


class CountedLooks:
    """Whoever finds the words, and how often a text was looked at."""

    def __init__(self, words: Composer) -> None:
        self.danger_of = words.danger
        self.feelings_count = words.feelings_count
        self.looks = 0

    def danger(self, text: str, reading: Mapping[Emotion, float]) -> Danger | None:
        self.looks += 1
        return self.danger_of(text, reading)


FELT = st.one_of(st.sampled_from(SafetySettings().supporting), st.sampled_from(Emotion))
TEXTS = [CLEAR, HINT, PLAIN, *list(EVERY)[::12]]


@given(
    chosen=st.lists(
        st.tuples(
            st.one_of(st.just(HINT), st.sampled_from(TEXTS)),
            st.dictionaries(FELT, st.floats(0, 1), max_size=4),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_a_second_look_is_spared_only_where_two_would_say_the_same(bench, store, chosen):
    words = CountedLooks((await ears(bench, store)).words)
    made = Ears(TutorSettings(), bench, store, words)
    for text, read in chosen:
        chat = a_chat("ada", text)
        made.sent.clear()
        await made.hear(chat)
        await made.hearing.feel(a_reading(chat, (0, 1), read), made.send)
        # As if each were looked at twice: what the words say, then what only the feelings add
        alone, felt = words.danger_of(text, {}), words.danger_of(text, read)
        dangers = [alone] if alone else [felt] if felt else []
        raised = [each for each in made.sent if isinstance(each, InterventionRaised)]
        assert [(each.because, each.confidence) for each in raised] == [
            (each.because, rounded(each.confidence)) for each in dangers
        ]


async def test_a_message_is_looked_at_once(bench, store):
    words = CountedLooks((await ears(bench, store)).words)
    made = Ears(TutorSettings(), bench, store, words)
    for text in TEXTS:
        chat = a_chat("ada", text)
        await made.hear(chat)
        await made.feel(chat, 0.3)
    assert words.looks == len(TEXTS)
    # Where feelings may count, it is looked at with them
    chat = a_chat("ada", PLAIN)
    await made.hear(chat)
    await made.feel(chat, 1.0)
    assert words.looks > len(TEXTS) + 1


AS_PAGES_SEND_IT = [
    "I don\u00b4t want to live anymore",
    "I don\u2032t want to live anymore",
    "i dont want to\nlive anymore",
    "i dont want to\r\nlive anymore",
    "i dont want to... live anymore",
    "i just... dont want... to live anymore",
    "I don&#39;t want to live anymore",
    "i want to&nbsp;kill&nbsp;myself",
    "<p>i want to <b>kill</b> myself</p>",
]


async def test_however_a_page_sends_it_the_agent_calls_a_person(bench, store):
    """Through the agent, from the record's bytes to the bytes of the intervention."""
    made, around, outbox = await ears(bench, store), Around(), Kept()
    agent = TutorAgent(
        tutor=NobodyAsks(),
        hearer=made.hearing,
        outbox=outbox,
        dead_letters=around.dead_letters,
        window=around.window,
        message_window=around.window.beside(),
        logical=str,
    )
    texts = [*AS_PAGES_SEND_IT, PLAIN, "is a <b and c> d?", "nobody\nWants pizza", "<p><br></p>"]
    chats = [a_chat(f"learner-{n}", text) for n, text in enumerate(texts)]

    await agent.run(stream([around.event(CHAT, each.user_id, each) for each in chats]))

    texts_of = {chat.event_id: chat.text for chat in chats}
    for topic in (INTERVENTIONS, TUTOR_REPLIES):
        causes = [cause for each in outbox.sent[topic] for cause in each["causedBy"]]
        assert sorted(texts_of[cause] for cause in causes) == sorted(AS_PAGES_SEND_IT)
    assert around.dead_letters.sent == []
    # What is kept of a message is what the learner wrote
    assert [await made.texts.find(1, n) for n in range(len(chats))] == chats


async def test_of_an_old_message_people_are_told_and_the_learner_is_not(bench, store):
    made = await ears(bench, store)
    age = int(HearingSettings().heard_for * 1000) + 1000
    await made.hear(a_chat("ada", CLEAR, ingest_time=now_ms() - age))
    assert made.kinds == BOTH[:1]


async def test_without_redis_people_are_told_and_the_learner_is_helped(
    bench: Bench, nowhere: Redis, redis_settings: RedisSettings, store: TutorStore
):
    made = await ears(bench, store, marks=TutorStore(nowhere, redis_settings, 5))
    await made.hear(a_chat("ada", CLEAR))
    assert made.kinds == BOTH


async def test_the_mark_is_forgotten(bench, store):
    made = await ears(bench, store)
    await made.hear(a_chat("ada", CLEAR))
    await made.quiet.forget("ada")
    assert not await made.quiet.holds("ada")
