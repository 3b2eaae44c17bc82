"""The text of a message, by its place: from memory, from Kafka, or not any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from agents.runtime.topics import CHAT
from app.kafka.topics import physical
from app.settings import Settings
from app.tutor.replies.chat_text_cache import ChatTextCache, RecentTexts, TextUnreachable
from tests.app.tutor.asking import a_chat, a_request
from tests.topics import produce

pytestmark = pytest.mark.services


def few(settings: Settings, **replies: float) -> Settings:
    changed = settings.tutor.replies.model_copy(update={"texts": 1, **replies})
    tutor = settings.tutor.model_copy(update={"replies": changed})
    return settings.model_copy(update={"tutor": tutor})


@pytest.fixture
async def texts(topics: Settings) -> AsyncIterator[ChatTextCache]:
    made = ChatTextCache(few(topics))
    yield made
    await made.close()


async def test_what_has_passed_is_in_memory_and_what_left_it_is_read_again(
    topics: Settings, texts: ChatTextCache
):
    chats = [a_chat(user, f"from {user}") for user in ("ada", "bob", "ada", "eve")]
    places = await produce(topics, CHAT, [(chat.user_id, chat) for chat in chats])
    for chat, place in zip(chats, places, strict=True):
        texts.remember(*place, chat)
    for chat, place in zip(chats, places, strict=True):
        assert await texts.find(*place) == chat


async def test_of_the_forgotten_nothing_stays_in_memory(topics: Settings, texts: ChatTextCache):
    chat = a_chat("ada", "mine")
    texts.remember(0, 10, chat)
    texts.forget("ada")
    assert await texts.find(0, 10) is None, "and the topic has never had it"


async def test_memory_alone_has_the_last_ones_and_no_more():
    texts = RecentTexts(1)
    first, second = a_chat("ada", "one"), a_chat("ada", "two")
    texts.remember(0, 1, first)
    texts.remember(0, 2, second)
    assert await texts.find(0, 1) is None
    assert await texts.of(a_request(second, (0, 2))) == second
    assert await texts.of(a_request(first, (0, 2))) is None, "another message's request"
    texts.forget("ada")
    assert await texts.find(0, 2) is None


async def test_what_is_no_message_is_none(topics: Settings, texts: ChatTextCache):
    places = await produce(topics, CHAT, [("ada", b"not json"), ("ada", None)])
    assert [await texts.find(*place) for place in places] == [None, None]


async def test_a_place_that_there_is_not_is_not_waited_for(topics: Settings, texts: ChatTextCache):
    (place,) = await produce(topics, CHAT, [("ada", a_chat("ada", "the only one"))])
    async with asyncio.timeout(few(topics).tutor.replies.text_timeout):
        for partition, offset in ((-1, 0), (99, 0), (0, -1), (place[0], 1), (place[0], 2**63 - 1)):
            assert await texts.find(partition, offset) is None
    # Nor is a reading that names another topic.
    assert (
        await texts.of(
            a_request(a_chat("ada", "why?"), place).model_copy(
                update={"source_topic": "interactions"}
            )
        )
        is None
    )


async def test_what_the_topic_no_longer_keeps_is_gone(topics: Settings, texts: ChatTextCache):
    chats = [a_chat("ada", f"number {n}") for n in range(3)]
    places = await produce(topics, CHAT, [("ada", chat) for chat in chats])
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.kafka.bootstrap)
    await admin.start()
    try:
        tp = TopicPartition(physical(topics, CHAT), places[0][0])
        await admin.delete_records({tp: RecordsToDelete(before_offset=places[1][1])})
    except Exception as error:
        pytest.skip(f"the embedded broker does not delete records ({type(error).__name__})")
    finally:
        await admin.close()
    assert await texts.find(*places[0]) is None
    assert await texts.find(*places[2]) == chats[2]


async def test_a_broker_that_is_away_is_not_a_message_that_is_gone(topics: Settings):
    kafka = topics.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    texts = ChatTextCache(few(topics, text_timeout=5.0).model_copy(update={"kafka": kafka}))
    with pytest.raises(TextUnreachable):
        await texts.find(0, 0)
    await texts.close()
