"""The emotion agent with memory around it: one message in, what a worker would send out."""

from __future__ import annotations

import asyncio
from asyncio import Future

import pytest

from agents.runtime import envelope
from app.tutor.evaluation.readings import MessageReader, message_reader
from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from schemas.base import now_ms
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import Emotion, EmotionRead
from tests.app.tutor.asking import a_chat


async def test_readings_are_those_of_the_shipped_model():
    async with message_reader(EmotionSettings()) as reader:
        chats = [a_chat("ada", text) for text in ("thank you so much!", "i hate this, i'm so sad")]
        found = [await reader.read(chat, place) for place, chat in enumerate(chats)]

    readings = [envelope.read(EmotionRead, each.reading) for each in found if each.reading]
    assert [each.caused_by for each in readings] == [(chat.event_id,) for chat in chats]
    assert [each.source_offset for each in readings] == [0, 1]
    assert readings[0].probabilities[Emotion.GRATITUDE] > 0.5
    assert readings[0].pad is not None
    assert readings[1].pad is not None
    assert readings[1].pad.valence < readings[0].pad.valence
    assert [each.concern for each in found] == [None, None]


async def test_a_danger_that_the_model_reads_is_a_concern():
    async with message_reader(EmotionSettings()) as reader:
        chat = a_chat("ada", "i wrote a note for my family, they will find it tomorrow")
        danger = await reader.read(chat, 0)
        harmless = await reader.read(a_chat("ada", "what is 1/2 + 1/3?"), 1)

    assert danger.concern is not None
    assert envelope.read(ConcernRead, danger.concern).caused_by == (chat.event_id,)
    # What was sent for one message is not sent for the next.
    assert harmless.concern is None


class Source:
    """Raises at a text, or breaks the agent."""

    version = "m"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def submit(self, text: str) -> Future[Reading]:
        failing: Future[Reading] = asyncio.get_running_loop().create_future()
        if text == "fails":
            failing.set_exception(self._error)
            return failing
        failing.cancel()
        return failing


async def test_a_message_at_which_the_model_fails_has_no_reading():
    reader = MessageReader(Source(ValueError("no")), EmotionSettings())
    try:
        found = await asyncio.wait_for(reader.read(a_chat("ada", "fails", now_ms()), 0), 30)
    finally:
        await reader.close()

    assert (found.reading, found.concern) == (None, None)


async def test_an_agent_that_ends_is_not_waited_for():
    reader = MessageReader(Source(ValueError("no")), EmotionSettings())
    try:
        with pytest.raises(Exception, match="the reader was stopped under a message"):
            await asyncio.wait_for(reader.read(a_chat("ada", "ends"), 0), 30)
    finally:
        await reader.close()
