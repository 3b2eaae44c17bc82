"""One request, one reply: claimed, answered or put off, kept, and told once.

Steps of a request; each may be the last one that this process makes:
1. Claim it in the ledger. Finished before? Tell the same reply again, and no more.
2. Close what an earlier claim left half-shown.
3. Have it answered, pieces going into the push log.
4. Keep the reply in the ledger: from here on it is *the* reply.
5. Tell it on `tutor-replies`; when that is delivered, the request may be acknowledged.
Where there is no answer now, the request is parked, the learner is told once, and the request
may be acknowledged: it is tried again when it is due, by any worker.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import structlog
from redis.exceptions import RedisError

from agents.runtime.ports import PushLogWriter
from agents.runtime.retrying import StoreError, Waits, until_stored
from agents.runtime.topics import CHAT
from agents.tutor import Send
from app.process.concurrency import KeyedLock, end
from app.redis.client import errors_told_apart
from app.tutor.config import ReplySettings
from app.tutor.metrics import FEEDBACK, LOST, PUT_OFF, REPLIES
from app.tutor.prompt.reply_contract import Asked, ReplyContract, Worded
from app.tutor.providers.errors import NoAnswer, Reason, StoreDown
from app.tutor.replies.chat_text_cache import RecentTexts, TextUnreachable
from app.tutor.replies.conversations import Conversations, encoded
from app.tutor.replies.helping import Helping
from app.tutor.replies.ledger import Claim, ClaimGone, ClaimLost, Finished, Ledger
from app.tutor.replies.messages import final_reply, notice
from app.tutor.replies.reply_stream import ReplyStream
from app.tutor.screening.proactive_mute import ProactiveMute
from app.tutor.screening.safety_screening import SafetyScreening
from app.tutor.usage.budget import Budgets
from models.tutor.context.material import Said
from models.words.words import Words
from schemas.base import now_ms
from schemas.topics.actions import FeedbackReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.operations import ErasureRequested
from schemas.topics.tutor import ReplyMode, ReplyStatus, RequestKind, TutorReplied, TutorRequested
from schemas.vocabulary import Speaker

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FAILED: Final = (RedisError, OSError, StoreDown, StoreError)
_LEASE: Final = 30.0
"""Seconds beside the deadline until a request that was taken from the park is due again."""


@dataclass(slots=True)
class _Case:
    """A request that this worker has.

    said: the learner's message, once it is read
    at: its place in the conversation, ms
    """

    request: TutorRequested
    claim: Claim
    showing: ReplyStream
    send: Send
    since: float
    at: int = 0
    said: Said | None = None
    mode: ReplyMode | None = None


class Replying:
    """The tutor, as its agent knows it (`agents.tutor.Tutor`).

    Args:
        deadline: seconds that an answer may take.
        says: why there is no answer, in the deployment's language.
        waits: counts the stores that are waited for.
    """

    def __init__(
        self,
        settings: ReplySettings,
        deadline: float,
        *,
        ledger: Ledger,
        conversations: Conversations,
        budgets: Budgets,
        texts: RecentTexts,
        quiet: ProactiveMute,
        hearing: SafetyScreening,
        words: ReplyContract,
        says: Words,
        pushes: PushLogWriter,
        waits: Waits,
    ) -> None:
        self._settings = settings
        self._lease = deadline + settings.text_timeout + _LEASE
        self._ledger = ledger
        self._conversations = conversations
        self._budgets = budgets
        self._texts = texts
        self._quiet = quiet
        self._hearing = hearing
        self._words = words
        self._says = says
        self._pushes = pushes
        self._waits = waits
        self._lanes = KeyedLock()
        self._waiting_here: Counter[str] = Counter()
        self._under_way: dict[asyncio.Timeout, TutorRequested] = {}
        self._folding: dict[asyncio.Task[None], TutorRequested] = {}
        self._helping = Helping(hearing, ledger, pushes, self._under_way, self._insist)

    # -- what the agent calls --------------------------------------------------------------

    async def reply(self, request: TutorRequested, send: Send) -> None:
        """Do what is to be done about a request, however often it comes."""
        user = request.user_id
        # Who asks without end must not take every place in the window.
        crowded = self._waiting_here[user] >= self._settings.waiting
        self._waiting_here[user] += 1
        until_erased: asyncio.Timeout | None = None
        try:
            async with AsyncExitStack() as stack:
                # Without a limit of time, until the learner is erased.
                until_erased = await stack.enter_async_context(asyncio.timeout(None))
                self._under_way[until_erased] = request
                stack.callback(self._under_way.pop, until_erased)
                if not crowded:
                    # One at a time for a learner: a reply knows what was said before it.
                    await stack.enter_async_context(self._lanes.turn(user))
                await self._reply(request, send, crowded)
        except ClaimLost:
            LOST.inc()
        except TimeoutError:
            if until_erased is None or not until_erased.expired():
                raise
        finally:
            self._waiting_here[user] -= 1
            if not self._waiting_here[user]:
                del self._waiting_here[user]

    async def concern(self, read: ConcernRead, send: Send) -> None:
        """Danger was read in a message: tell people, and help in a reply's place."""
        await self._helping.concern(read, send)

    async def due(self, under_way: int) -> list[TutorRequested]:
        """Requests that were put off and are to be tried now, beside so many under way."""
        room = self._settings.retried_at_once - under_way
        if room <= 0:
            return []
        try:
            return await self._ledger.take_due(now_ms(), self._lease, room)
        except _FAILED as error:
            log.debug("tutor.parked_not_read", error=type(error).__name__)
            return []

    async def rate(self, feedback: FeedbackReceived) -> None:
        """Learn from feedback on a reply; that on anything else, or of no worth, is let pass."""
        worth = self._settings.outcomes.get(feedback.outcome)
        if worth is None:
            return
        credit = await self._insist(
            partial(self._ledger.rate, feedback.user_id, feedback.target_id, feedback.event_id)
        )
        FEEDBACK.labels("unknown" if credit is None else feedback.outcome).inc()
        if credit is not None:
            await self._insist(partial(self._words.learn, credit, worth, feedback.event_id))

    async def forget(self, erasure: ErasureRequested) -> None:
        """Remove what is remembered of a learner."""
        self._texts.forget(erasure.user_id)
        self._hearing.forget(erasure.user_id)
        await self._insist(partial(self._ledger.forget, erasure.user_id, erasure.ingest_time))
        # Nothing of it can be claimed from here on; what is under way must bring nothing back.
        for limit, request in self._under_way.items():
            if _is_before(request, erasure) and not limit.expired():
                limit.reschedule(0.0)
        folding = self._folding.items()
        await end(*(task for task, request in folding if _is_before(request, erasure)))
        await self._insist(partial(self._budgets.forget, erasure.user_id))
        await self._insist(partial(self._quiet.forget, erasure.user_id))

    async def give_up(self, request: TutorRequested, send: Send) -> None:
        """End a request that cannot be worked on: the learner hears so, or nothing unasked."""
        try:
            case = await self._open(request, send, asyncio.get_running_loop().time())
            if case is not None:
                await self._close_earlier(case)
                await self._finish(case, _none(self._says.unanswered.impossible))
        except (ClaimLost, ClaimGone):
            LOST.inc()

    # -- a request -------------------------------------------------------------------------

    async def _reply(self, request: TutorRequested, send: Send, crowded: bool) -> None:
        since = asyncio.get_running_loop().time()
        before: ReplyStream | None = None
        while (case := await self._open(request, send, since, before)) is not None:
            try:
                await self._close_earlier(case)
                worded = await self._worded(case, crowded)
                if worded is not None:
                    await self._finish(case, worded)
            except ClaimGone:
                before = case.showing
                log.warning("tutor.ledger_lost", event_id=request.event_id)
            else:
                return

    async def _open(
        self, request: TutorRequested, send: Send, since: float, before: ReplyStream | None = None
    ) -> _Case | None:
        """Claim a request; None where it is finished: then its reply has been told again."""
        claim = await self._insist(partial(self._ledger.claim, request))
        if isinstance(claim, Finished):
            await self._tell(claim.reply, request, send)
            return None
        if before is not None:
            # The learner's page has not forgotten what Redis has.
            claim = replace(claim, attempt=before.highest, open=before.standing)
        interval = self._settings.piece_interval
        showing = ReplyStream(request, claim, self._ledger, self._pushes, interval)
        return _Case(request, claim, showing, send, since)

    async def _close_earlier(self, case: _Case) -> None:
        """What an earlier claim left half-shown."""
        claim = case.claim
        if claim.open:
            await self._insist(partial(case.showing.void, claim.open))
            await self._insist(partial(self._ledger.close, claim))

    async def _worded(self, case: _Case, crowded: bool) -> Worded | None:
        """The words; None where the request was put off."""
        request = case.request
        if now_ms() > self._ends(request):
            return _none(self._says.unanswered.too_late)
        try:
            instead = await self._read(case)
            if instead is not None:
                return instead
            if crowded:
                return await self._without(case, Reason.BUSY, None)
            return await self._asked(case)
        except TextUnreachable:
            return await self._without(case, "kafka", None)
        except NoAnswer as error:
            return await self._without(case, error.reason, error.retry_after)

    async def _read(self, case: _Case) -> Worded | None:
        """The learner's message, into the case; what is said where no model is to answer it.

        Raises TextUnreachable.
        """
        request = case.request
        if request.kind is RequestKind.INTERVENTION:
            return await self._unasked(case)
        chat = await self._texts.of(request)
        if chat is None:
            return _none(self._says.unanswered.not_kept)
        danger = await self._hearing.asked(chat, request.reading, case.send)
        if danger is not None:
            return Worded(ReplyStatus.HUMAN_HELP, danger.message, danger.because)
        case.mode = chat.reply_mode
        case.said = Said(Speaker.STUDENT, chat.text, chat.ingest_time, chat.event_id)
        return None

    async def _unasked(self, case: _Case) -> Worded | None:
        """Whether nothing is to be said about an intervention. Raises TextUnreachable."""
        request = case.request
        if await self._insist(partial(self._quiet.holds, request.user_id)):
            return _none(self._says.unanswered.person_called)
        if request.source_topic != CHAT:
            return None
        chat = await self._texts.of(request)
        if chat is None:
            return _none(self._says.unanswered.not_kept)
        # Where it is heard a person is called; here it matters only that no model speaks.
        if await self._hearing.known(chat, request.reading) is not None:
            return _none(self._says.unanswered.for_a_person)
        return None

    async def _asked(self, case: _Case) -> Worded:
        """What a model says. Raises NoAnswer."""
        request = case.request
        before = await self._insist(partial(self._conversations.load, request.user_id))
        # A request that was put off is told where it is answered, behind what came since.
        case.at = max(request.ingest_time, before.newest + 1)
        if case.said is not None:
            case.said = replace(case.said, at=case.at)
        asked = Asked(request, case.said, case.mode, before, case.since)
        worded = await self._words.answer(asked, case.showing)
        if worded.danger is not None:
            await self._hearing.call(worded.danger, request, case.send)
        return worded

    async def _without(self, case: _Case, reason: str, retry_after: float | None) -> Worded | None:
        """There is no answer now: put it off, or end it."""
        request, tries, says = case.request, case.claim.tries, self._says.unanswered
        # Half an answer that nobody goes on with must not stay where it was shown.
        await self._insist(case.showing.withdraw)
        if reason == Reason.OFF:
            return Worded(ReplyStatus.OFF, "", (says.off,))
        wait = min(
            max(self._settings.retry_first * 2**tries, retry_after or 0.0),
            self._settings.retry_longest,
        )
        due = now_ms() + int(wait * 1000)
        if reason == Reason.BUDGET or due >= self._ends(request):
            return _none(says.too_slow.format(cause=self._says.causes[reason]))
        PUT_OFF.labels(reason).inc()
        if tries == 0 and request.kind is RequestKind.CHAT:
            # Before it is parked: who is killed between the two tells it again, by the same id.
            because = says.later.format(cause=self._says.causes[reason])
            await case.send(notice(request, because, self._ends(request)))
        await self._insist(partial(self._ledger.park, case.claim, request, due))
        return None

    async def _finish(self, case: _Case, worded: Worded) -> None:
        request = case.request
        reply = final_reply(request, worded, case.showing.numbered(worded.attempt))
        turns: list[bytes] = []
        if worded.status is ReplyStatus.ANSWERED:
            answer = Said(Speaker.TEACHER, worded.text, case.at + 1, request.reply_id)
            turns = [] if case.said is None else [encoded(case.said)]
            turns.append(encoded(answer, worded.mode))
        # Nobody asked for what is said about an intervention: unless something of it was seen,
        # or it is for a person by now, it is said or not.
        silent = (
            request.kind is RequestKind.INTERVENTION
            and worded.status not in (ReplyStatus.ANSWERED, ReplyStatus.HUMAN_HELP)
            and not case.showing.highest
        )
        kept = await self._insist(
            partial(
                self._ledger.finish,
                case.claim,
                b"" if silent else reply.json_bytes(),
                ingest_time=request.ingest_time,
                credit=worded.credit,
                turns=turns,
            )
        )
        REPLIES.labels(worded.status).inc()
        await self._tell(kept, request, case.send)
        if worded.folded:
            # Beside the stream: until it is done, these turns are told by nobody, but kept.
            task = asyncio.create_task(self._fold(request, worded.folded))
            self._folding[task] = request
            task.add_done_callback(self._folding.pop)

    async def _fold(self, request: TutorRequested, folded: tuple[Said, ...]) -> None:
        try:
            before = (await self._conversations.load(request.user_id)).summary
            summary = await self._words.summarised(request, before, folded)
            if summary is not None:
                await self._conversations.fold(request.user_id, summary)
        except _FAILED as error:
            log.warning("tutor.not_folded", event_id=request.event_id, error=type(error).__name__)

    async def close(self) -> None:
        """End what goes on beside the stream."""
        await end(*self._folding)

    async def _tell(self, reply: bytes, request: TutorRequested, send: Send) -> None:
        if reply:
            await send(TutorReplied.parse(reply))
        await self._insist(partial(self._ledger.unpark, request.user_id, request.reply_id))

    def _ends(self, request: TutorRequested) -> int:
        return request.ingest_time + int(self._settings.lifetime * 1000)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        async def told_apart() -> T:
            try:
                with errors_told_apart():
                    return await call()
            except StoreDown as down:
                raise down.error from None

        return await until_stored(told_apart, store="redis", waits=self._waits)


def _is_before(request: TutorRequested, erasure: ErasureRequested) -> bool:
    return request.user_id == erasure.user_id and request.ingest_time <= erasure.ingest_time


def _none(why: str) -> Worded:
    return Worded(ReplyStatus.UNAVAILABLE, "", (why,))
