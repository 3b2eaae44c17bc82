"""A request goes in; its answer comes back in pieces and then whole, or NoAnswer is raised.

In order, all of it within the overall deadline:
1. Which providers may be asked now? (health: circuit, cooldown, free streams)
2. Which of them first? (choice: learned from outcomes)
3. Ask it; where it fails in a way that may pass, once more, as late as it says (Retry-After).
4. If its first text is later than usual and hedging is on, ask the second as well.
5. If they failed, go to 1 with those not asked yet; with none left, NoAnswer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Final

import stamina
import structlog
from redis.asyncio import Redis

from app.settings import Settings
from app.tutor.config import TutorSettings
from app.tutor.metrics import ANSWER_SECONDS, IN_FLIGHT, REQUESTS, STORE_FAILED
from app.tutor.providers.circuit import ProviderCircuit
from app.tutor.providers.client import ProviderClient
from app.tutor.providers.errors import (
    FailureKind,
    NoAnswer,
    OverBudget,
    ProviderFailure,
    Reason,
    Shut,
    StoreDown,
)
from app.tutor.providers.hedging import Allowance, race
from app.tutor.providers.provider_attempt import ProviderAttempt
from app.tutor.providers.router_types import Answer, Listener, Request
from app.tutor.providers.streams import Streams
from app.tutor.replies.speaker_lock import SpeakerLock
from app.tutor.store import TutorStore
from app.tutor.usage.attempt_accounting import AttemptAccounting, Provider, Pursuit
from app.tutor.usage.budget import Budgets
from app.tutor.usage.outcomes import Outcomes
from models.tutor.providers.choice import Candidate, ranked
from models.tutor.providers.evidence import Quality, Situation

_log = structlog.get_logger(__name__)
_ANSWERED: Final = "answered"


class Router:
    """Answers requests. Safe for any number at a time; one for each process.

    Args:
        rng: what the choice between providers samples from.
    """

    def __init__(
        self,
        settings: TutorSettings,
        providers: Iterable[Provider],
        health: ProviderCircuit,
        budgets: Budgets,
        outcomes: Outcomes,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._providers = {provider.name: provider for provider in providers}
        self._health = health
        self._outcomes = outcomes
        self._rng = rng or random.Random()  # noqa: S311  a choice, not a secret
        self._accounts = AttemptAccounting(settings, health, budgets, outcomes)
        self._asking = ProviderAttempt(settings, health, budgets, self._accounts)
        self._allowance = Allowance(settings.hedge)
        self._in_flight = 0
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether there is any provider."""
        return bool(self._providers)

    async def answer(self, request: Request, listener: Listener) -> Answer:
        """Have it answered; `listener` hears the pieces as they come.

        Raises NoAnswer, not later than the deadline. What `listener` raises goes through.
        """
        loop = asyncio.get_running_loop()
        pursuit = Pursuit(request, SpeakerLock(listener), loop.time())
        outcome = "error"
        self._in_flight += 1
        try:
            with IN_FLIGHT.track_inprogress():
                answer = await self._in_time(pursuit)
            outcome = _ANSWERED
            return answer
        except NoAnswer as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._in_flight -= 1
            seconds = loop.time() - pursuit.began_at
            REQUESTS.labels(outcome).inc()
            ANSWER_SECONDS.observe(seconds)
            _log.info(
                "tutor.request",
                event_id=request.event_id,
                outcome=outcome,
                task=request.situation.task,
                seconds=round(seconds, 3),
            )

    async def feedback(
        self, provider: str, situation: Situation, helpful: float, once: str | None = None
    ) -> None:
        """What the learner thought of an answer, in [0, 1]. Raises StoreDown.

        once: an id under which it counts once, however often it is told
        """
        if not 0.0 <= helpful <= 1.0:
            raise ValueError("helpful is in [0, 1]")
        if provider in self._providers:
            await self._outcomes.learn(provider, situation, {Quality.HELPFUL: helpful}, once)

    async def close(self) -> None:
        """Close the accounts, then the connections. Call it when no request is under way."""
        await self._accounts.drain()
        if self._refreshing is not None:
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await asyncio.gather(*(each.client.close() for each in self._providers.values()))

    async def _in_time(self, pursuit: Pursuit) -> Answer:
        if not self._providers:
            raise NoAnswer(Reason.OFF)
        if self._in_flight > self._settings.max_in_flight:
            raise NoAnswer(Reason.BUSY)
        try:
            async with asyncio.timeout(self._settings.timeouts.overall) as deadline:
                return await self._pursue(pursuit)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise NoAnswer(Reason.DEADLINE, shown=pursuit.floor.shown) from None
        except OverBudget as error:
            raise self._ended(pursuit, Reason.BUDGET, error.wait) from None
        except StoreDown as error:
            STORE_FAILED.labels("request").inc()
            _log.warning("tutor.store_down", event_id=pursuit.request.event_id, error=str(error))
            raise self._ended(pursuit, Reason.STORE) from None

    async def _pursue(self, pursuit: Pursuit) -> Answer:
        self._refresh_in_background()
        left = dict(self._providers)
        over_budget: OverBudget | None = None
        while left:
            order = await self._order(pursuit, left)
            try:
                answer = await race(
                    order,
                    lambda provider: self._insist(provider, pursuit, left),
                    pursuit.floor,
                    self._hedge_delay(order, pursuit),
                    self._allowance,
                )
            except OverBudget as error:
                # A cheaper one may still be within it.
                over_budget = error
                continue
            if answer is not None:
                return answer
        if over_budget is not None:
            raise over_budget
        waits = await self._health.waits(list(self._providers))
        raise self._ended(pursuit, Reason.EXHAUSTED, min(waits.values()) or None)

    def _ended(
        self, pursuit: Pursuit, reason: Reason, retry_after: float | None = None
    ) -> NoAnswer:
        return NoAnswer(reason, retry_after=retry_after, shown=pursuit.floor.shown)

    # -- 1, 2 ------------------------------------------------------------------------------

    async def _order(self, pursuit: Pursuit, left: dict[str, Provider]) -> list[Provider]:
        """Providers that may be asked now, the best first. Raises NoAnswer if none will be."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._settings.retries.patience
        while (soonest := min((waits := await self._health.waits(list(left))).values())) > 0:
            if loop.time() + soonest > patient_until:
                raise self._ended(pursuit, Reason.EXHAUSTED, soonest)
            await asyncio.sleep(soonest)
        ready = [left[name] for name, wait in waits.items() if wait == 0]
        # A queue is the last resort.
        ready = [provider for provider in ready if not provider.streams.full] or ready
        names = ranked(
            [provider.candidate for provider in ready],
            pursuit.request.situation,
            known=self._outcomes.known,
            now=self._outcomes.now(),
            settings=self._settings.choice,
            rng=self._rng,
        )
        return [left[name] for name in names]

    def _refresh_in_background(self) -> None:
        if self._outcomes.stale and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._outcomes.refresh())

    # -- 3, 4 ------------------------------------------------------------------------------

    async def _insist(
        self, provider: Provider, pursuit: Pursuit, left: dict[str, Provider]
    ) -> Answer:
        """Ask one provider, and again where that may help. Raises as ProviderAttempt.ask does."""
        left.pop(provider.name)
        retries = self._settings.retries
        async for attempt in stamina.retry_context(
            on=self._wait_before_retry,
            attempts=retries.attempts,
            timeout=None,
            wait_initial=retries.wait,
            wait_max=retries.wait_max,
            wait_jitter=retries.wait,
        ):
            with attempt:
                try:
                    return await self._asking.ask(provider, pursuit)
                except Shut:
                    if attempt.num == 1:
                        # Somebody else has the trial. Not asked yet, so still to be asked.
                        left[provider.name] = provider
                    raise
        raise RuntimeError("stamina neither returned nor raised")

    def _wait_before_retry(self, error: Exception) -> bool | float:
        """For stamina: False for no retry, True for its own wait, or seconds."""
        if not isinstance(error, ProviderFailure) or not error.may_pass:
            return False
        if error.retry_after is None:
            # Limited without a word on how long: the cooldown is longer than we may wait.
            return error.kind is not FailureKind.RATE_LIMITED
        if error.retry_after > self._settings.retries.longest_wait:
            return False
        # Not before it, and not all at the same moment.
        return error.retry_after + self._rng.uniform(0, self._settings.retries.wait)

    def _hedge_delay(self, order: list[Provider], pursuit: Pursuit) -> float | None:
        hedge = self._settings.hedge
        if not hedge.enabled or len(order) < 2 or order[1].streams.full:
            return None
        usual = self._accounts.late_after(order[0], pursuit)
        return min(max(usual, hedge.at_least), hedge.at_most)


def build(settings: Settings, redis: Redis, rng: random.Random | None = None) -> Router:
    """A router as the settings say.

    Args:
        redis: of app.tutor.store.connect; stays the caller's to close.

    Raises ValueError where a provider's key is not where the settings say.
    """
    tutor = settings.tutor
    store = TutorStore(redis, settings.redis, tutor.timeouts.store)
    choice = tutor.choice
    providers = [
        Provider(
            each,
            ProviderClient(each, tutor.timeouts),
            Streams(each.name, each.max_streams),
            Candidate(
                each.name, each.prior, each.micros(choice.typical_input, choice.typical_output)
            ),
        )
        for each in tutor.all_providers
    ]
    return Router(
        tutor,
        providers,
        ProviderCircuit(store, tutor.breaker, tutor.timeouts.overall),
        Budgets(store, tutor.budget, timeouts=tutor.timeouts),
        Outcomes(store, choice.half_life, tutor.outcomes_refresh),
        rng=rng,
    )
