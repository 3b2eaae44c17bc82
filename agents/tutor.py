"""chat-messages, emotions, concerns, tutor-requests, feedback, erasures -> the tutor.

It sends its replies and calls for people.

A reply takes seconds. Each record is worked on in a task of its own, and acknowledged in the
order of offsets by the window, which also bounds how many there are. Chat messages, and what was
read in them, have a window of their own, and are taken past what waits for a place in the other:
what is for a person must not wait for replies to others. Requests that were put off come from the
tutor itself and are none of the stream's.

A record that cannot be read, or worked on, goes to the dead letters, and its neighbours go on; only
what cannot be sent, and a store that refuses this process, ends the worker.

A record of a partition that goes to another worker is worked on to its end: the tutor's ledger
knows who has a request, and only one of two gets to reply.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

import structlog

from agents.runtime import envelope, metrics
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, Outbox, SourceRecord
from agents.runtime.retrying import Fatal
from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    EMOTIONS,
    FEEDBACK,
    INTERVENTIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
)
from schemas.base import Derived, now_ms
from schemas.topics.actions import FeedbackReceived, InterventionRaised, TargetType
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import EmotionRead
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import TutorReplied, TutorRequested

_HEARD: Final = (CHAT, EMOTIONS, CONCERNS)

_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks for requests that are due (no judgement about a person)."""

_TOPIC_OF: Final[dict[type[Derived], str]] = {
    TutorReplied: TUTOR_REPLIES,
    InterventionRaised: INTERVENTIONS,
}

_AHEAD: Final = 10_000
"""Records that wait for a place in the window while messages behind them are read, a worker."""

Send = Callable[[Derived], Awaitable[None]]
"""Sends to the topic of the message; returns when it is delivered."""

log = structlog.get_logger(__name__)


class Unsent(Exception):
    """A message that Kafka did not take: the worker ends, and another tries."""


class Hearer(Protocol):
    """Who knows which message needs a human: `app.tutor.screening.safety_screening`. Repeatable."""

    async def hear(self, chat: ChatReceived, partition: int, offset: int, send: Send) -> None:
        """A chat message passes, whether or not it asks for a reply."""
        ...

    async def feel(self, reading: EmotionRead, send: Send) -> None:
        """What was read in a chat message passes."""
        ...


class Tutor(Protocol):
    """Who replies: `app.tutor.replies.replying`. Everything may be repeated."""

    async def reply(self, request: TutorRequested, send: Send) -> None:
        """Reply, or put it off. Returns when the request may be acknowledged."""
        ...

    async def give_up(self, request: TutorRequested, send: Send) -> None:
        """End a request that cannot be worked on."""
        ...

    async def concern(self, read: ConcernRead, send: Send) -> None:
        """The emotion model reads danger in a message: tell people, and help in a reply's place."""
        ...

    async def due(self, under_way: int) -> list[TutorRequested]:
        """Requests that were put off and are to be tried now, beside so many under way."""
        ...

    async def rate(self, feedback: FeedbackReceived) -> None:
        """Learn from feedback on a reply."""
        ...

    async def forget(self, erasure: ErasureRequested) -> None:
        """Remove what is remembered of a learner."""
        ...


class TutorAgent:
    """Hands records to the tutor, any number of learners at a time.

    Args:
        tutor: replies.
        hearer: alerts a human where one is needed.
        outbox: where replies and interventions go.
        dead_letters: where records go that cannot be read.
        window: bounds what is in flight, acknowledges in order.
        message_window: the same for chat messages.
        logical: the catalogue's name of a topic on the broker.
    """

    def __init__(
        self,
        *,
        tutor: Tutor,
        hearer: Hearer,
        outbox: Outbox,
        dead_letters: DeadLetters,
        window: InFlight,
        message_window: InFlight,
        logical: Callable[[str], str],
    ) -> None:
        self._tutor = tutor
        self._hearer = hearer
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._window = window
        self._message_window = message_window
        self._logical = logical
        self._tasks: set[Task[None]] = set()
        self._replying: dict[str, Task[None]] = {}

    async def run(self, events: AsyncIterator[Acknowledgeable]) -> None:
        """Hand over every record, until the stream ends."""
        ahead: asyncio.Queue[Acknowledgeable | None] = asyncio.Queue(_AHEAD)
        reading = asyncio.create_task(self._read(events, ahead))
        working = asyncio.create_task(self._take(ahead))
        retrying = asyncio.create_task(self._retry())
        parts = (reading, working, retrying)
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.cancelled() and reading.exception() is None:
                # The stream has ended; what was read of it is still worked on.
                await asyncio.wait({working, retrying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.wait(parts)
            await self.stop()
        for task in parts:
            if not task.cancelled():
                task.result()

    async def _read(
        self, events: AsyncIterator[Acknowledgeable], ahead: asyncio.Queue[Acknowledgeable | None]
    ) -> None:
        async for event in events:
            if self._logical(event.message.topic) in _HEARD:
                await self._message_window.slot()
                self._message_window.track(event, [await self._begin(event.message)])
            else:
                await ahead.put(event)
        await ahead.put(None)

    async def _take(self, ahead: asyncio.Queue[Acknowledgeable | None]) -> None:
        while (event := await ahead.get()) is not None:
            await self._window.slot()
            self._window.track(event, [await self._begin(event.message)])
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """End what is under way; what is not acknowledged comes again."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _begin(self, source: SourceRecord) -> Future[None]:
        """Start on a record; the future is done when it may be acknowledged."""
        topic = self._logical(source.topic)
        try:
            work = self._work(topic, source)
        except Exception as error:
            metrics.RECORDS.labels(topic, "dead_letter").inc()
            return await self._dead_letters.send(source, error)
        metrics.RECORDS.labels(topic, "skipped" if work is None else "taken").inc()
        # Not the task itself: one that is cancelled at the end of the process has not failed.
        done: Future[None] = asyncio.get_running_loop().create_future()
        if work is None:
            done.set_result(None)
            return done
        name, coroutine = work
        before = self._replying.get(name)
        if before is not None:
            # Delivered again after a rebalance, while it is still worked on here; but perhaps
            # another worker has taken it in between, and died.
            coroutine = _behind(before, coroutine)
        task = self._spawn(name, self._or_dead_letter(source, coroutine))

        def ended(task: Task[None]) -> None:
            if task.cancelled() or done.done():
                return
            error = task.exception()
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(None)

        task.add_done_callback(ended)
        return done

    def _work(
        self, topic: str, source: SourceRecord
    ) -> tuple[str, Coroutine[Any, Any, None]] | None:
        """What a record asks for, under a name; None for nothing. Raises DecodeError."""
        place = f"{topic}:{source.partition}:{source.offset}"
        if topic == TUTOR_REQUESTS:
            request = envelope.read(TutorRequested, source)
            return request.reply_id, self._reply(request, source)
        if topic in _HEARD:
            return place, self._hear(topic, source)
        if topic == FEEDBACK:
            feedback = envelope.read(FeedbackReceived, source)
            if feedback.target_type is not TargetType.REPLY:
                return None
            return place, self._tutor.rate(feedback)
        return place, self._tutor.forget(envelope.read(ErasureRequested, source))

    def _hear(self, topic: str, source: SourceRecord) -> Coroutine[Any, Any, None]:
        """What passes without a request. Raises DecodeError."""
        send = partial(self._send, source)
        if topic == CHAT:
            chat = envelope.read(ChatReceived, source)
            return self._hearer.hear(chat, source.partition, source.offset, send)
        if topic == CONCERNS:
            return self._tutor.concern(envelope.read(ConcernRead, source), send)
        return self._hearer.feel(envelope.read(EmotionRead, source), send)

    async def _or_dead_letter(self, source: SourceRecord, work: Coroutine[Any, Any, None]) -> None:
        """Work on a record; one at which that fails must not come again for ever."""
        try:
            await work
        except (Unsent, Fatal):
            raise
        except Exception as error:
            metrics.RECORDS.labels(self._logical(source.topic), "dead_letter").inc()
            sent = await self._dead_letters.send(source, error)
            await asyncio.shield(sent)

    async def _reply(self, request: TutorRequested, source: SourceRecord | None) -> None:
        send = partial(self._send, source)
        try:
            await self._tutor.reply(request, send)
        except (Unsent, Fatal):
            raise
        except Exception as error:
            # Its type alone: an error's words may hold a learner's.
            log.error("tutor.failed", event_id=request.event_id, error=type(error).__name__)
            await self._give_up(request, send)
            if source is not None:
                raise
        metrics.SINCE_INGEST_SECONDS.labels("tutor").observe(
            max(0.0, (now_ms() - request.ingest_time) / 1000)
        )

    async def _give_up(self, request: TutorRequested, send: Send) -> None:
        try:
            await self._tutor.give_up(request, send)
        except (Unsent, Fatal):
            raise
        except Exception as error:
            log.error("tutor.not_ended", event_id=request.event_id, error=type(error).__name__)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> Task[None]:
        task = asyncio.create_task(work, name=f"tutor {name}")
        self._tasks.add(task)
        self._replying[name] = task

        def ended(_: Task[None]) -> None:
            self._tasks.discard(task)
            if self._replying.get(name) is task:
                del self._replying[name]

        task.add_done_callback(ended)
        return task

    async def _send(self, source: SourceRecord | None, message: Derived) -> None:
        try:
            delivery = await self._outbox.send(
                _TOPIC_OF[type(message)],
                key=message.user_id.encode(),
                value=message.json_bytes(),
                headers=envelope.headers(type(message), source),
            )
            # Who gives this up, as the learner is erased, has not failed to send it.
            await asyncio.shield(delivery)
        except Exception as error:
            raise Unsent(f"{type(message).__name__} {message.event_id}: {error!r}") from error

    async def _retry(self) -> None:
        """Try again what is due, as many at a time as the tutor says. Raises Unsent, Fatal."""
        under_way: set[Task[None]] = set()
        while True:
            for request in await self._tutor.due(len(under_way)):
                if request.reply_id not in self._replying:
                    work = self._reply(request, None)
                    under_way.add(self._spawn(request.reply_id, work))
            if under_way:
                # One that takes long does not keep the others waiting.
                done, under_way = await asyncio.wait(under_way, timeout=_LOOK_AGAIN)
                for task in done:
                    if not task.cancelled():
                        task.result()
            else:
                await asyncio.sleep(_LOOK_AGAIN)


async def _behind(before: Task[None], work: Coroutine[Any, Any, None]) -> None:
    """Once the other has ended, however it did."""
    try:
        await asyncio.wait({before})
        await work
    finally:
        work.close()
