"""One provider is asked once: permission, budget, stream, and then the account of it.

In order:
1. Wait for a free stream of this provider.
2. Ask its circuit for permission.
3. Reserve the most that this may cost.
4. Stream; the reply guard reads along; the first text that may be shown takes the floor.
5. Say how it went: to the circuit, the budget, and the evidence for later choices.
5 is done whatever happens, also to an attempt that is cancelled; nobody waits for it but
the one that asks again after a failure.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import structlog

from app.tutor.config import TutorSettings
from app.tutor.metrics import DISPATCH_SECONDS, UNFIT
from app.tutor.providers.answer_reader import Finished, Opened, Text, Thought, Void
from app.tutor.providers.circuit import ProviderCircuit
from app.tutor.providers.errors import FailureKind, ProviderFailure
from app.tutor.providers.router_types import Answer, Ending, Request
from app.tutor.usage.attempt_accounting import Attempt, AttemptAccounting, Provider, Pursuit
from app.tutor.usage.budget import Budgets, Reservation
from models.tutor.guard.guard import UnfitReply

log = structlog.get_logger(__name__)


class ProviderAttempt:
    """Asks providers, one attempt at a time."""

    def __init__(
        self,
        settings: TutorSettings,
        health: ProviderCircuit,
        budgets: Budgets,
        accounts: AttemptAccounting,
    ) -> None:
        self._settings = settings
        self._health = health
        self._budgets = budgets
        self._accounts = accounts

    async def ask(self, provider: Provider, pursuit: Pursuit) -> Answer:
        """Steps 1 to 5.

        Raises ProviderFailure, Shut, OverBudget, StoreDown; CancelledError also when another
        attempt of this pursuit has the floor.
        """
        async with provider.streams.one():
            entry = await self._health.enter(provider.name)
            try:
                reservation = await self._reserve(provider, pursuit.request)
            except BaseException:
                self._accounts.unasked(entry)
                raise
            now = asyncio.get_running_loop().time()
            attempt = Attempt(provider, pursuit, entry, reservation, asked_at=now)
            try:
                await self._stream(attempt)
            except ProviderFailure as failure:
                closing = self._accounts.close(attempt, failure)
                await pursuit.floor.give_up()
                # Who asks again must find the circuit as this failure left it.
                await asyncio.shield(closing)
                raise
            except BaseException:
                # Cancelled, or the listener failed: no word on the provider.
                self._accounts.close(attempt, None)
                raise
            self._accounts.close(attempt, None)
            return self._accounts.answer(attempt)

    async def _reserve(self, provider: Provider, request: Request) -> Reservation:
        output = self._limit(provider, request)
        return await self._budgets.reserve(
            request.user_id,
            request.input_tokens + output,
            math.ceil(provider.settings.micros(request.input_tokens, output)),
            request.asked_at,
        )

    def _limit(self, provider: Provider, request: Request) -> int:
        asked = request.max_output_tokens or self._settings.max_output_tokens
        return min(asked, provider.settings.max_output_tokens)

    async def _stream(self, attempt: Attempt) -> None:
        loop, pursuit = asyncio.get_running_loop(), attempt.pursuit
        if not pursuit.dispatched:
            pursuit.dispatched = True
            DISPATCH_SECONDS.observe(loop.time() - pursuit.began_at)
        parts = attempt.provider.client.stream(
            pursuit.request.turns,
            max_output_tokens=self._limit(attempt.provider, pursuit.request),
            temperature=self._settings.temperature,
        )
        most = self._settings.max_output_chars
        new_guard = pursuit.request.guard
        guard = new_guard and new_guard()
        async with aclosing(parts):
            async for part in parts:
                match part:
                    case Opened():
                        attempt.opened = True
                    case Text(text):
                        if attempt.first_text_at is None:
                            attempt.first_text_at = loop.time()
                        taken = attempt.take(text, most)
                        if guard is not None:
                            with _unfit_as_failure(attempt):
                                taken = guard.add(taken)
                        await _say(attempt, taken)
                        if attempt.chars >= most:
                            attempt.finished = Finished(Ending.LENGTH, None, None)
                            break
                    case Thought(chars):
                        attempt.unseen += chars
                    case Void():
                        attempt.void()
                        guard = new_guard and new_guard()
                        await pursuit.floor.give_up()
                    case Finished():
                        attempt.finished = part
        if guard is not None and attempt.finished is not None:
            with _unfit_as_failure(attempt):
                rest = guard.end()
            await _say(attempt, rest)


async def _say(attempt: Attempt, text: str) -> None:
    if text and not await attempt.pursuit.floor.say(text):
        raise asyncio.CancelledError


@contextmanager
def _unfit_as_failure(attempt: Attempt) -> Iterator[None]:
    try:
        yield
    except UnfitReply as unfit:
        name = attempt.provider.name
        UNFIT.labels(name, unfit.reason).inc()
        log.info(
            "tutor.reply_unfit",
            event_id=attempt.pursuit.request.event_id,
            provider=name,
            reason=unfit.reason,
        )
        raise ProviderFailure(name, FailureKind.UNFIT) from None
