"""The account of an attempt: what it used, what it tells of the provider, what it teaches.

Accounts are closed in the background, also those of attempts that were cancelled; only one
that asks the same provider again waits for it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from app.tutor.config import ProviderSettings, TutorSettings
from app.tutor.metrics import ATTEMPTS, COST, DENIED, FIRST_TEXT_SECONDS, STORE_FAILED, TOKENS
from app.tutor.providers.answer_reader import Finished
from app.tutor.providers.circuit import Entry, ProviderCircuit, Verdict
from app.tutor.providers.client import ProviderClient
from app.tutor.providers.errors import FailureKind, ProviderFailure, StoreDown
from app.tutor.providers.router_types import Answer, Request, Usage
from app.tutor.providers.streams import Streams
from app.tutor.replies.speaker_lock import SpeakerLock
from app.tutor.usage.budget import Budgets, Reservation
from app.tutor.usage.outcomes import Outcomes
from models.tutor.providers.choice import Candidate, hedge_delay, speed_score, thrift_score
from models.tutor.providers.evidence import Quality

_log = structlog.get_logger(__name__)
_ANSWERED: Final = "answered"
_CANCELLED: Final = "cancelled"
_SOONEST: Final = 1e-3
"""Seconds; what is faster has no better logarithm."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Everything that one provider is made of."""

    settings: ProviderSettings
    client: ProviderClient
    streams: Streams
    candidate: Candidate

    @property
    def name(self) -> str:
        """Its name in settings, metrics and keys."""
        return self.settings.name


@dataclass(slots=True)
class Pursuit:
    """One request on its way to an answer; times in seconds of the event loop."""

    request: Request
    floor: SpeakerLock
    began_at: float
    dispatched: bool = False


@dataclass(slots=True)
class Attempt:
    """One provider asked once, as far as it has come.

    Attributes:
        chars: of the answer, in `text`.
        unseen: characters that the model wrote and nobody sees.
    """

    provider: Provider
    pursuit: Pursuit
    entry: Entry
    reservation: Reservation
    asked_at: float
    opened: bool = False
    first_text_at: float | None = None
    text: list[str] = field(default_factory=list)
    chars: int = 0
    unseen: int = 0
    finished: Finished | None = None

    def take(self, text: str, most: int) -> str:
        """Add a piece; returns what of it fits into `most` characters."""
        fitting = text[: most - self.chars]
        self.text.append(fitting)
        self.chars += len(fitting)
        return fitting

    def void(self) -> None:
        """All text so far was a thought."""
        self.unseen += self.chars
        self.text, self.chars = [], 0


class AttemptAccounting:
    """Closes accounts. Nothing it does can make an answer fail."""

    def __init__(
        self,
        settings: TutorSettings,
        health: ProviderCircuit,
        budgets: Budgets,
        outcomes: Outcomes,
    ) -> None:
        self._settings = settings
        self._health = health
        self._budgets = budgets
        self._outcomes = outcomes
        self._denied: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()

    def close(self, attempt: Attempt, failure: ProviderFailure | None) -> asyncio.Task[None]:
        """The attempt is over: answered, failed, or (with neither) cancelled."""
        return self._later(self._close(attempt, failure))

    def unasked(self, entry: Entry) -> None:
        """Permission was given, but the provider was not asked: a trial goes to somebody else."""
        self._later(self._leave(entry, Verdict.NEUTRAL, None))

    async def drain(self) -> None:
        """Wait until every account is closed. What Redis does not take at once is given up."""
        self._draining.set()
        while self._closing:
            await asyncio.gather(*self._closing)

    def answer(self, attempt: Attempt) -> Answer:
        """Of an attempt that has finished."""
        if attempt.finished is None or attempt.first_text_at is None:
            raise RuntimeError("a stream ended without an answer and without a failure")
        began_at, settings = attempt.pursuit.began_at, attempt.provider.settings
        return Answer(
            text="".join(attempt.text),
            attempt=attempt.pursuit.floor.shown,
            provider=settings.name,
            model=settings.model,
            ending=attempt.finished.ending,
            usage=self._usage(attempt, None),
            first_text=attempt.first_text_at - began_at,
            total=asyncio.get_running_loop().time() - began_at,
        )

    def late_after(self, provider: Provider, pursuit: Pursuit) -> float:
        """Seconds after which this provider's first text is later than usual."""
        return hedge_delay(
            provider.candidate,
            pursuit.request.situation,
            self._settings.hedge.quantile,
            known=self._outcomes.known,
            now=self._outcomes.now(),
            settings=self._settings.choice,
        )

    def _later(self, closing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, attempt: Attempt, failure: ProviderFailure | None) -> None:
        name, usage = attempt.provider.name, self._usage(attempt, failure)
        elapsed = asyncio.get_running_loop().time() - attempt.asked_at
        self._report(attempt, failure, usage, elapsed)
        await self._leave(attempt.entry, _verdict(attempt, failure), failure)
        used = (usage.input_tokens + usage.output_tokens, usage.micros)
        try:
            await self._budgets.settle(attempt.reservation, *used)
        except StoreDown as error:
            self._unsaid(name, error)
            # Nobody waits for that: who asks again needs to find the circuit, not this.
            self._later(self._settle_later(attempt, used))
            return
        try:
            await self._outcomes.learn(
                name,
                attempt.pursuit.request.situation,
                self._observed(attempt, failure, usage, elapsed),
            )
        except StoreDown as error:
            self._unsaid(name, error)

    async def _settle_later(self, attempt: Attempt, used: tuple[int, int]) -> None:
        """Say what was used until Redis has it, for as long as the reservation is held."""
        loop, pause = asyncio.get_running_loop(), self._settings.timeouts.store
        until = loop.time() + self._budgets.lease
        while loop.time() < until and not self._draining.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), pause)
            try:
                await self._budgets.settle(attempt.reservation, *used)
            except StoreDown as error:
                self._unsaid(attempt.provider.name, error)
            else:
                return

    def _unsaid(self, provider: str, error: StoreDown) -> None:
        STORE_FAILED.labels("close").inc()
        _log.warning("tutor.account_open", provider=provider, error=str(error))

    async def _leave(self, entry: Entry, verdict: Verdict, failure: ProviderFailure | None) -> None:
        try:
            await self._health.leave(entry, verdict, failure)
        except StoreDown as error:
            STORE_FAILED.labels("leave").inc()
            _log.warning("tutor.health_unsaid", provider=entry.provider, error=str(error))

    def _usage(self, attempt: Attempt, failure: ProviderFailure | None) -> Usage:
        """As reported, or estimated; a request that was never taken uses nothing."""
        finished = attempt.finished
        if finished is not None and finished.input_tokens is not None:
            used, reported = (finished.input_tokens, finished.output_tokens or 0), True
        elif failure is not None and failure.used is not None:
            used, reported = failure.used, True
        else:
            # One that answers too late may have read the prompt all the same.
            slow = failure is not None and failure.kind is FailureKind.SLOW
            read = attempt.pursuit.request.input_tokens if attempt.opened or slow else 0
            written = math.ceil((attempt.chars + attempt.unseen) / self._settings.chars_per_token)
            used, reported = (read, written), False
        cost = attempt.provider.settings.micros(*used)
        return Usage(*used, micros=math.ceil(cost), reported=reported)

    def _observed(
        self, attempt: Attempt, failure: ProviderFailure | None, usage: Usage, elapsed: float
    ) -> dict[Quality, float]:
        """What this attempt teaches."""
        choice, observed = self._settings.choice, dict[Quality, float]()
        if failure is not None:
            observed[Quality.SUCCESS] = 0.0
        elif attempt.finished is not None:
            observed[Quality.SUCCESS] = 1.0
            observed[Quality.THRIFT] = thrift_score(usage.micros, choice)
        waited = None
        if attempt.first_text_at is not None:
            waited = attempt.first_text_at - attempt.asked_at
        elif (failure is not None and failure.kind is FailureKind.SLOW) or (
            # Stopped before its first text, it would have taken at least so long. That is
            # news only if it is late already: what was stopped at once is not fast.
            failure is None and elapsed >= self.late_after(attempt.provider, attempt.pursuit)
        ):
            waited = elapsed
        if waited is not None:
            observed[Quality.SPEED] = speed_score(waited, choice)
            observed[Quality.FIRST_TEXT] = math.log(max(waited, _SOONEST))
        return observed

    def _report(
        self, attempt: Attempt, failure: ProviderFailure | None, usage: Usage, elapsed: float
    ) -> None:
        name = attempt.provider.name
        outcome = failure.kind.value if failure else _ANSWERED if attempt.finished else _CANCELLED
        ATTEMPTS.labels(name, outcome).inc()
        TOKENS.labels(name, "input").inc(usage.input_tokens)
        TOKENS.labels(name, "output").inc(usage.output_tokens)
        COST.labels(name).inc(usage.micros / 1e6)
        self._report_denied(attempt, failure)
        if attempt.first_text_at is not None:
            FIRST_TEXT_SECONDS.labels(name).observe(attempt.first_text_at - attempt.asked_at)
        (_log.warning if failure else _log.debug)(
            "tutor.attempt",
            event_id=attempt.pursuit.request.event_id,
            provider=name,
            outcome=outcome,
            status=failure.status if failure else None,
            seconds=round(elapsed, 3),
        )

    def _report_denied(self, attempt: Attempt, failure: ProviderFailure | None) -> None:
        """Somebody has to act: said once in the log, and shown until the provider answers."""
        name = attempt.provider.name
        if failure is None:
            if attempt.finished is not None:
                self._denied.discard(name)
                DENIED.labels(name).set(0)
        elif failure.kind is FailureKind.DENIED:
            DENIED.labels(name).set(1)
            if name not in self._denied:
                self._denied.add(name)
                _log.error(
                    "tutor.provider_denied",
                    provider=name,
                    status=failure.status,
                    action="check its key, its quota and its bill",
                )


def _verdict(attempt: Attempt, failure: ProviderFailure | None) -> Verdict:
    if failure is not None:
        return Verdict.FAILURE if failure.counts else Verdict.NEUTRAL
    return Verdict.SUCCESS if attempt.finished else Verdict.NEUTRAL
