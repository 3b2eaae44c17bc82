"""What the tutor's agent does with a stream, whatever the tutor makes of its records."""

from __future__ import annotations

import asyncio
from asyncio import Event as Signal
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from agents.runtime.in_flight import InFlight
from agents.runtime.topics import CHAT, CONCERNS, EMOTIONS, ERASURES, FEEDBACK, TUTOR_REQUESTS
from agents.tutor import Send, TutorAgent, Unsent
from app.tutor.prompt.reply_contract import Worded
from app.tutor.replies.messages import final_reply
from schemas.base import Derived
from schemas.topics.actions import FeedbackReceived
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import EmotionRead
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import ReplyStatus, TutorRequested
from tests.agents.records import Around, Event, message
from tests.app.tutor.asking import a_chat, a_request


class Desk:
    """A tutor that notes what it is given, and replies when it is told to."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []
        self.may_end: defaultdict[str, Signal] = defaultdict(Signal)
        self.fault: Exception | None = None
        self.gives_up_badly: Exception | None = None
        self.says: Derived | None = None
        self.waiting: list[TutorRequested] = []

    async def hear(self, chat: ChatReceived, partition: int, offset: int, send: Send) -> None:
        self.noted.append(("hear", chat.event_id))

    async def feel(self, reading: EmotionRead, send: Send) -> None:
        self.noted.append(("feel", reading.event_id))

    async def concern(self, read: ConcernRead, send: Send) -> None:
        self.noted.append(("concern", read.event_id))

    async def give_up(self, request: TutorRequested, send: Send) -> None:
        self.noted.append(("give up", request.reply_id))
        if self.gives_up_badly is not None:
            raise self.gives_up_badly

    async def reply(self, request: TutorRequested, send: Send) -> None:
        self.noted.append(("reply", request.reply_id))
        if self.says is not None:
            await send(self.says)
        if self.fault is not None:
            raise self.fault
        await self.may_end[request.reply_id].wait()

    async def due(self, under_way: int) -> list[TutorRequested]:
        due, self.waiting = self.waiting, []
        return due

    async def rate(self, feedback: FeedbackReceived) -> None:
        self.noted.append(("rate", feedback.event_id))

    async def forget(self, erasure: ErasureRequested) -> None:
        self.noted.append(("forget", erasure.event_id))


class NoOutbox:
    """Kafka is away for good."""

    async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
        raise OSError("nobody takes it")

    async def flush(self) -> None:
        pass


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def around() -> Around:
    return Around()


@pytest.fixture
async def agent(desk: Desk, around: Around) -> AsyncIterator[TutorAgent]:
    made = TutorAgent(
        tutor=desk,
        hearer=desk,
        outbox=NoOutbox(),
        dead_letters=around.dead_letters,
        window=around.window,
        message_window=around.window.beside(),
        logical=str,
    )
    yield made
    await made.stop()


def asked(user: str = "ada") -> TutorRequested:
    return a_request(a_chat(user, "why?"), (0, 0))


class Stream:
    """Events as they are put in, until it is closed."""

    def __init__(self, agent: TutorAgent) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.running = asyncio.create_task(agent.run(self._read()))

    async def _read(self) -> AsyncIterator[Event]:
        while (event := await self._events.get()) is not None:
            yield event

    def put(self, *events: Event) -> None:
        for event in events:
            self._events.put_nowait(event)

    async def close(self) -> None:
        self._events.put_nowait(None)
        await self.running


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_replies_are_under_way_together_and_acknowledged_in_order(
    agent: TutorAgent, desk: Desk, around: Around
):
    requests = [asked() for _ in range(5)]
    stream = Stream(agent)
    stream.put(*(around.event(TUTOR_REQUESTS, "ada", one) for one in requests))
    await until(lambda: len(desk.noted) == 5)
    for request in reversed(requests[1:]):
        desk.may_end[request.reply_id].set()
    await asyncio.sleep(0)
    assert around.positions == []
    desk.may_end[requests[0].reply_id].set()
    await stream.close()
    assert around.positions == [(TUTOR_REQUESTS, n) for n in range(5)]


async def test_each_topic_goes_where_it_belongs(agent: TutorAgent, desk: Desk, around: Around):
    stream = Stream(agent)
    stream.put(
        around.event(CHAT, "ada", message(CHAT, "ada", 1)),
        around.event(FEEDBACK, "ada", message(FEEDBACK, "ada", 2)),
        around.event(FEEDBACK, "ada", message(FEEDBACK, "ada", 3, targetType="reply")),
        around.event(ERASURES, "ada", message(ERASURES, "ada", 4)),
        around.event(EMOTIONS, "ada", message(EMOTIONS, "ada", 5)),
        around.event(CONCERNS, "ada", message(CONCERNS, "ada", 6)),
    )
    await stream.close()
    assert sorted(desk.noted) == [
        ("concern", f"{CONCERNS}-ada-6"), ("feel", f"{EMOTIONS}-ada-5"),
        ("forget", f"{ERASURES}-ada-4"), ("hear", f"{CHAT}-ada-1"),
        ("rate", f"{FEEDBACK}-ada-3"),
    ]  # fmt: skip
    assert len(around.acknowledged) == 6


async def test_poison_among_others_costs_only_itself(agent: TutorAgent, around: Around):
    stream = Stream(agent)
    stream.put(
        around.event(TUTOR_REQUESTS, "ada", b"not json"),
        around.event(TUTOR_REQUESTS, "bob", asked("ada")),
        around.event(CHAT, "ada", None),
    )
    await stream.close()
    errors = [type(error).__name__ for _, error in around.dead_letters.sent]
    assert sorted(errors) == ["InvalidJson", "InvalidMessage", "InvalidMessage"]
    assert len(around.acknowledged) == 3


async def test_a_request_read_again_while_it_is_worked_on_is_worked_on_behind_it(
    agent: TutorAgent, desk: Desk, around: Around
):
    """The first may find that another worker took its claim, and that one may have died."""
    request = asked()
    stream = Stream(agent)
    stream.put(*(around.event(TUTOR_REQUESTS, "ada", request) for _ in range(3)))
    await until(lambda: len(around.window) == 3 and desk.noted)
    for _ in range(9):
        await asyncio.sleep(0)
    assert desk.noted == [("reply", request.reply_id)], "one at a time"
    desk.may_end[request.reply_id].set()
    await stream.close()
    assert desk.noted == [("reply", request.reply_id)] * 3
    assert around.positions == [(TUTOR_REQUESTS, n) for n in range(3)]


async def test_what_is_read_again_is_acknowledged_when_it_is_answered_itself(
    agent: TutorAgent, desk: Desk, around: Around
):
    request = asked()
    stream = Stream(agent)
    stream.put(around.event(TUTOR_REQUESTS, "ada", request))
    await until(lambda: desk.noted)
    zombie = desk.may_end.pop(request.reply_id)
    stream.put(around.event(TUTOR_REQUESTS, "ada", request))
    await until(lambda: len(around.window) == 2)
    zombie.set()
    await until(lambda: len(desk.noted) == 2)
    assert around.positions == [(TUTOR_REQUESTS, 0)]
    desk.may_end[request.reply_id].set()
    await stream.close()
    assert len(around.acknowledged) == 2


async def test_messages_are_heard_while_requests_take_every_place(desk: Desk, around: Around):
    narrow = InFlight(2, fail=lambda _: None)
    agent = TutorAgent(
        tutor=desk,
        hearer=desk,
        outbox=NoOutbox(),
        dead_letters=around.dead_letters,
        window=narrow,
        message_window=narrow.beside(),
        logical=str,
    )
    requests = [asked() for _ in range(9)]
    stream = Stream(agent)
    stream.put(*(around.event(TUTOR_REQUESTS, "ada", one) for one in requests))
    stream.put(around.event(CHAT, "eve", message(CHAT, "eve", 1)))
    stream.put(around.event(CONCERNS, "eve", message(CONCERNS, "eve", 1)))
    await until(lambda: around.positions == [(CHAT, 0), (CONCERNS, 0)])
    assert ("hear", f"{CHAT}-eve-1") in desk.noted
    assert ("concern", f"{CONCERNS}-eve-1") in desk.noted
    assert len(narrow) == 2
    assert narrow.acknowledged == 2, "who watches over the worker sees that it goes on"
    for request in requests:
        desk.may_end[request.reply_id].set()
    await stream.close()
    assert len(around.acknowledged) == 11


async def test_what_was_put_off_is_tried_when_it_is_due(agent: TutorAgent, desk: Desk):
    request = asked()
    desk.waiting.append(request)
    stream = Stream(agent)
    await until(lambda: desk.noted)
    desk.may_end[request.reply_id].set()
    await stream.close()
    assert desk.noted == [("reply", request.reply_id)]


async def test_one_retry_that_takes_long_does_not_keep_others_waiting(
    agent: TutorAgent, desk: Desk
):
    slow, quick = asked(), asked("bob")
    desk.waiting.append(slow)
    stream = Stream(agent)
    await until(lambda: desk.noted)
    desk.waiting.append(quick)
    await until(lambda: len(desk.noted) == 2)
    desk.may_end[quick.reply_id].set()
    desk.may_end[slow.reply_id].set()
    await stream.close()


async def test_at_the_end_of_the_process_what_is_under_way_is_not_acknowledged(
    agent: TutorAgent, desk: Desk, around: Around
):
    stream = Stream(agent)
    stream.put(around.event(TUTOR_REQUESTS, "ada", asked()))
    await until(lambda: desk.noted)
    # The window fails the process on a delivery that failed; this is none.
    await agent.stop()
    await stream.close()
    assert around.acknowledged == []


async def test_a_request_that_cannot_be_worked_on_is_ended_and_a_dead_letter(
    agent: TutorAgent, desk: Desk, around: Around
):
    desk.fault, request = RuntimeError("a fault of ours"), asked()
    stream = Stream(agent)
    stream.put(around.event(TUTOR_REQUESTS, "ada", request))
    stream.put(around.event(CHAT, "ada", message(CHAT, "ada", 1)))
    await stream.close()
    assert [str(error) for _, error in around.dead_letters.sent] == ["a fault of ours"]
    assert ("give up", request.reply_id) in desk.noted
    assert ("hear", f"{CHAT}-ada-1") in desk.noted
    assert len(around.acknowledged) == 2


async def test_one_that_cannot_even_be_ended_is_a_dead_letter_too(
    agent: TutorAgent, desk: Desk, around: Around
):
    desk.fault, desk.gives_up_badly = RuntimeError("a fault of ours"), RuntimeError("another")
    stream = Stream(agent)
    stream.put(around.event(TUTOR_REQUESTS, "ada", asked()))
    await stream.close()
    assert [str(error) for _, error in around.dead_letters.sent] == ["a fault of ours"]


async def test_a_fault_in_a_retry_ends_that_request_and_others_are_tried(
    agent: TutorAgent, desk: Desk
):
    desk.fault, first = RuntimeError("a fault of ours"), asked()
    desk.waiting.append(first)
    stream = Stream(agent)
    await until(lambda: ("give up", first.reply_id) in desk.noted)
    desk.fault, second = None, asked("bob")
    desk.may_end[second.reply_id].set()
    desk.waiting.append(second)
    await until(lambda: ("reply", second.reply_id) in desk.noted)
    await stream.close()


async def test_what_kafka_does_not_take_is_no_fault_of_the_record(
    agent: TutorAgent, desk: Desk, around: Around
):
    desk.says = final_reply(asked(), Worded(ReplyStatus.OFF, "", ()), 0)
    stream = Stream(agent)
    stream.put(around.event(TUTOR_REQUESTS, "ada", asked()))
    await stream.close()
    assert around.dead_letters.sent == []
    assert around.acknowledged == []
    # Nor is it in a retry, where it ends the agent
    desk.waiting.append(asked())
    stream = Stream(agent)
    with pytest.raises(Unsent, match="TutorReplied"):
        await stream.running
