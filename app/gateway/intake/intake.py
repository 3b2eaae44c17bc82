"""What happens to a client's message, in order:

1. It is read and validated        `websocket.codec`, or the body of a REST call
2. within the user's rate          `limits`
3. from one who may                here: role, consent, userId, length of the text
4. that was not accepted before    here: in flight, or in `retries` (lately; for what may be
                                   a retry of long ago, also in history)
5. appended to its topic           `event_log`, one learner's messages in order
6. and acknowledged                once every in-sync replica has it

A message that is refused at any step has had no effect.

Errors:
    Refusal    see `refusal`
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any

import structlog

from agents.runtime import envelope
from app.gateway.auth.admission import Sender
from app.gateway.intake import trace
from app.gateway.intake.clocks import newest_of
from app.gateway.intake.event_log import EventLog, EventLogUnavailable
from app.gateway.intake.events import Batch, Plan, Submission, plan
from app.gateway.intake.refusal import Refusal
from app.gateway.intake.retries import AcceptedEarlier, RetryMemory
from app.gateway.process import metrics
from app.process.concurrency import KeyedLock
from app.settings import Settings
from schemas.base import now_ms
from schemas.vocabulary import Role
from schemas.wire.client import ChatMessage
from schemas.wire.errors import ErrorCode
from schemas.wire.server import Ack, Error

log = structlog.get_logger(__name__)

_Outcome = asyncio.Future[Refusal | None]
"""How the first attempt of an event ends: None when Kafka has it."""
_Key = tuple[str, str, str]
"""Learner, kind, event id: an id is the client's own within its kind."""


class Intake:
    """Takes messages in. One a process; its tasks outlive the connection that sent."""

    def __init__(
        self,
        settings: Settings,
        events: EventLog,
        retries: RetryMemory,
        earlier: AcceptedEarlier,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._max_text = settings.gateway.max_text_length
        self._timeout = settings.kafka.request_timeout
        self._events = events
        self._retries = retries
        self._earlier = earlier
        self._clock = clock
        self._lanes = KeyedLock()
        self._in_flight: dict[_Key, _Outcome] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def accept(
        self, message: Submission, sender: Sender, answer: Callable[[Ack | Error], object]
    ) -> None:
        """Take a message and return; later `answer` is called, once, with how it ended.

        What was taken is followed to its end, also when the connection has gone by then.
        """
        self._spawn(self._answer(message, sender, answer))

    async def _answer(
        self, message: Submission, sender: Sender, answer: Callable[[Ack | Error], object]
    ) -> None:
        try:
            answer(await self.submit(message, sender))
        except Refusal as refusal:
            answer(refusal.error(message.id))
        except Exception:
            log.exception("intake.message_failed", type=message.type)
            answer(Refusal.internal().error(message.id))

    async def submit(self, message: Submission, sender: Sender) -> Ack:
        """Accept a message: steps 3 to 6.

        Returns:
            The acknowledgement, once Kafka has every event of the message.

        Raises:
            Refusal: not accepted. After UNAVAILABLE the record may still arrive; a retry
                with the same id is then recognised.
        """
        started = time.perf_counter()
        check(message, sender, self._max_text)
        now = self._clock()
        planned = plan(message, sender.user_id, now, clock_offset(message, sender, now))
        again = may_be_again(message, now, self._earlier.covered)
        if self._closing:
            raise Refusal.unavailable("this gateway is about to end")
        if self._events.full:
            raise Refusal(ErrorCode.SLOW_DOWN, "too much is under way; slow down", retry_after=1.0)
        self._events.hold()
        try:
            async with asyncio.timeout(self._timeout):
                # Shielded: what is appended has to be followed to its end, also when
                # nobody waits for the answer any more.
                attempt = self._spawn(self._append(planned, sender, again))
                duplicates, outcomes = await asyncio.shield(attempt)
                if outcomes:
                    await asyncio.wait(outcomes)
        except TimeoutError:
            raise Refusal.unavailable("Kafka has not acknowledged in time") from None
        for outcome in outcomes:
            if (refusal := outcome.result()) is not None:
                raise refusal
        metrics.DUPLICATES.inc(len(duplicates))
        metrics.REJECTED.inc(len(planned.rejected))
        metrics.ACK_SECONDS.labels(message.type).observe(time.perf_counter() - started)
        return Ack(
            id=message.id,
            event_ids=planned.event_ids,
            duplicates=duplicates,
            rejected=planned.rejected,
        )

    async def drain(self, within: float) -> None:
        """Refuse what comes; wait, at most so many seconds, until what came is answered."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    async def _append(
        self, planned: Plan, sender: Sender, again: Again
    ) -> tuple[tuple[str, ...], set[_Outcome]]:
        """Steps 4 and 5. The held record is released on every way out."""
        user_id, kind = sender.user_id, planned.kind
        settling = False
        try:
            async with self._lanes.turn(user_id):
                racing = {
                    one: self._in_flight[user_id, kind, one]
                    for one in planned.event_ids
                    if (user_id, kind, one) in self._in_flight
                }
                asked = [one for one in planned.event_ids if one not in racing]
                known = await self._retries.known(user_id, kind, asked)
                if again is not Again.NO:
                    unknown = [one for one in asked if one not in known]
                    old = again is Again.LONG_AGO
                    known |= await self._earlier.known(user_id, planned.history, unknown, old=old)
                new = [one for one in dict.fromkeys(asked) if one not in known]
                duplicates = tuple(one for one in planned.event_ids if one not in set(new))
                outcomes = set(racing.values())
                if new:
                    outcomes.add(await self._produce(planned, new, sender))
                    settling = True
                return duplicates, outcomes
        except EventLogUnavailable as error:
            raise Refusal.unavailable(f"Kafka does not take records ({error})") from error
        finally:
            if not settling:
                self._events.release()

    async def _produce(self, planned: Plan, new: list[str], sender: Sender) -> _Outcome:
        record = planned.record(new)
        traceparent = sender.traceparent or trace.new()
        delivery = await self._events.append(
            planned.topic,
            key=sender.user_id.encode(),
            value=record.json_bytes(),
            headers=envelope.headers(type(record)) | {envelope.TRACEPARENT: traceparent.encode()},
        )
        outcome: _Outcome = asyncio.get_running_loop().create_future()
        keys = [(sender.user_id, planned.kind, one) for one in new]
        self._in_flight.update(dict.fromkeys(keys, outcome))
        self._spawn(self._settle(keys, record.event_id, delivery, outcome))
        return outcome

    async def _settle(
        self,
        keys: list[_Key],
        event_id: str,
        delivery: asyncio.Future[Any],
        outcome: _Outcome,
    ) -> None:
        """Step 6, and the memory for step 4 of whoever comes again. One learner, one kind."""
        try:
            await asyncio.wait({delivery})
            self._events.release()
            error = None if delivery.cancelled() else delivery.exception()
            if delivery.cancelled() or error is not None:
                log.warning(
                    "intake.event_not_accepted", event_id=event_id, error=type(error).__name__
                )
                outcome.set_result(Refusal.unavailable("Kafka did not take the record"))
            else:
                outcome.set_result(None)
                # Remembered before it leaves the set of those in flight: no moment between.
                user_id, kind, _ = keys[0]
                await self._retries.remember(user_id, kind, [one for _, _, one in keys])
        finally:
            for key in keys:
                del self._in_flight[key]

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refusal):
            log.error("intake.task_failed", exc_info=error)


class Again(Enum):
    """Whether a message may have been accepted before, beside what Redis knows."""

    NO = auto()
    LATELY = auto()
    LONG_AGO = auto()


def may_be_again(message: Submission, receipt: int, covered: float) -> Again:
    """By the client's own count, or else by the age of what is in the message.

    The age is by the clock of its `sentAt`, or else by ours: a guess at how far off the
    client's clock is would take a retry after an hour for news from a slow one.

    Args:
        message: what came.
        receipt: when it came by our clock, UTC milliseconds.
        covered: seconds for which Redis knows.
    """
    newest = newest_of(message)
    sent = receipt if message.sent_at is None else message.sent_at
    old = newest is None or sent - newest > covered * 1000
    if message.attempt is None:
        return Again.LONG_AGO if old and newest is not None else Again.NO
    if message.attempt == 1:
        return Again.NO
    return Again.LONG_AGO if old else Again.LATELY


def clock_offset(message: Submission, sender: Sender, receipt: int) -> int:
    """What the sender's clock is behind ours, milliseconds; 0 of whoever acts for a learner.

    A backend that passes events on does not know the clocks of its learners' devices.
    """
    by_device = sender.principal.role is Role.LEARNER
    return sender.clock.offset(message, receipt) if by_device else 0


def check(message: Submission, sender: Sender, max_text: int) -> None:
    """Step 3. Raises Refusal."""
    principal = sender.principal
    if not sender.acts:
        raise Refusal(ErrorCode.FORBIDDEN, "this token may not send for this learner")
    if not principal.consent:
        raise Refusal(ErrorCode.CONSENT_REQUIRED, principal.why_no_consent)
    if isinstance(message, ChatMessage) and len(message.text) > max_text:
        raise Refusal(ErrorCode.TOO_LARGE, f"a text has at most {max_text} characters", "text")
    if isinstance(message, Batch):
        for position, user_id in message.triage.named:
            if user_id != sender.user_id:
                allowed = principal.may_act_as(user_id)
                raise Refusal(
                    ErrorCode.INVALID_MESSAGE if allowed else ErrorCode.FORBIDDEN,
                    "is not the learner that this message is for",
                    f"interactions.{position}.userId",
                )
