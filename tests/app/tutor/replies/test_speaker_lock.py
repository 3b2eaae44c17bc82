"""Who speaks first has the floor; nobody else is heard until the speaker breaks off."""

from __future__ import annotations

import asyncio

from app.tutor.replies.speaker_lock import SpeakerLock
from tests.app.tutor.listening import Ear


async def in_a_task(coroutine):
    return await asyncio.create_task(coroutine)


async def test_the_second_speaker_is_not_heard():
    floor = SpeakerLock(ear := Ear())

    async def speak(first: str, second: str) -> list[bool]:
        said = [await floor.say(first)]
        await asyncio.sleep(0)
        return [*said, await floor.say(second)]

    heard = await asyncio.gather(in_a_task(speak("a", "b")), in_a_task(speak("x", "y")))

    assert heard == [[True, True], [False, False]]
    assert ear.attempts == [["a", "b"]]


async def test_who_has_not_spoken_gives_nothing_up():
    floor = SpeakerLock(ear := Ear())
    assert await in_a_task(floor.say("a"))
    await in_a_task(floor.give_up())
    assert floor.shown == 1
    assert not ear.void


async def test_after_a_break_the_next_attempt_begins_at_nought():
    floor = SpeakerLock(ear := Ear())

    async def broken() -> None:
        await floor.say("a")
        await floor.say("b")
        await floor.give_up()

    await in_a_task(broken())
    assert not floor.taken.is_set()
    assert floor.shown == 0
    assert await in_a_task(floor.say("c"))
    assert (ear.attempts, ear.void, floor.shown) == ([["a", "b"], ["c"]], {1}, 2)
