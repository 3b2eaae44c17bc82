"""A learner's day: nobody gets past the limit, however many ask at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from agents.runtime.retrying import Retriable
from app.tutor.config import BudgetSettings, ReplySettings, TimeoutSettings
from app.tutor.providers.errors import OverBudget, StoreDown
from app.tutor.replies.ledger import Ledger
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets, Reservation
from tests.topics import eventually

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = TimeoutSettings(overall=0.001, store=0.001)
"""Of requests so short that what they reserve lapses while one looks."""


def budgets(store, now=NOON, timeouts=TimeoutSettings(), **settings) -> Budgets:
    return Budgets(store, BudgetSettings(**settings), lambda: now, timeouts=timeouts)


async def reserved(worker: Budgets, tokens: int, micros: int) -> Reservation:
    """As soon as there is room for it."""

    async def attempt() -> Reservation | None:
        try:
            return await worker.reserve("ann", tokens, micros)
        except OverBudget:
            return None

    return await eventually(attempt, bool)


class Unheard(TutorStore):
    """Redis does what it is told, and its answer is lost: too late, or nobody waits any more."""

    async def run(self, *call):
        await super().run(*call)
        raise StoreDown(Retriable("redis", "TimeoutError"))


async def test_many_at_once_never_pass_the_limit(store):
    workers = [budgets(store, tokens_per_day=1_000) for _ in range(4)]
    made = await asyncio.gather(
        *(workers[i % 4].reserve("ann", 30, 1) for i in range(60)), return_exceptions=True
    )
    refused = [each for each in made if isinstance(each, OverBudget)]
    assert len(made) - len(refused) == 33
    assert await workers[0].used("ann") == (990, 33)


async def test_what_was_not_used_can_be_used_again(store):
    worker = budgets(store, tokens_per_day=100)
    first = await worker.reserve("ann", 90, 50)
    await worker.settle(first, 10, 5)
    await worker.reserve("ann", 90, 50)
    assert await worker.used("ann") == (100, 55)


async def test_cost_has_a_limit_of_its_own(store):
    worker = budgets(store, tokens_per_day=None, dollars_per_day=0.0001)
    await worker.reserve("ann", 10**9, 100)
    with pytest.raises(OverBudget) as caught:
        await worker.reserve("ann", 1, 1)
    assert caught.value.limit == "cost"
    assert caught.value.wait == 12 * 3600


async def test_no_limit(store):
    worker = budgets(store, tokens_per_day=None, dollars_per_day=None)
    await worker.reserve("ann", 10**12, 10**12)


async def test_another_learner_and_another_day_are_not_touched(store):
    today = budgets(store, tokens_per_day=100)
    tomorrow = budgets(store, NOON.replace(day=2), tokens_per_day=100)
    await today.reserve("ann", 100, 0)
    await today.reserve("bob", 100, 0)
    await tomorrow.reserve("ann", 100, 0)


async def test_ids_that_look_alike_are_apart(store):
    worker = budgets(store)
    await worker.reserve("a}{b", 7, 0)
    assert await worker.used("a%7D%7Bb") == (0, 0)


async def test_an_erased_learner_stays_erased(store):
    """Given an attempt under way, when the learner is erased, its account brings nothing back."""
    worker = budgets(store)
    reservation = await worker.reserve("ann", 50, 50)
    await worker.forget("ann")
    await worker.settle(reservation, 10, 10)
    assert await worker.used("ann") == (0, 0)


async def test_days_are_not_kept_for_ever(store, client):
    reservation = await budgets(store).reserve("ann", 1, 1)
    assert 0 < await client.ttl(reservation.key) <= 2 * 86_400


async def test_who_was_erased_after_asking_gets_nothing(store, client, redis_settings):
    """Given an erasure between two providers of one request, the second brings nothing back."""
    worker = budgets(store)
    await worker.reserve("ann", 1, 1, asked_at=1_000)
    await Ledger(client, redis_settings, ReplySettings()).forget("ann", 1_000)
    await worker.forget("ann")
    with pytest.raises(OverBudget):
        await worker.reserve("ann", 1, 1, asked_at=1_000)
    assert await worker.used("ann") == (0, 0)
    await worker.reserve("ann", 1, 1, asked_at=1_001)


async def test_what_nobody_settles_lapses(store):
    """Given a worker that is killed, what it had set aside is free once its request is over."""
    killed = budgets(store, timeouts=MOMENT, tokens_per_day=100)
    await killed.reserve("ann", 100, 7)
    worker = budgets(store, tokens_per_day=100)
    await reserved(worker, 90, 1)
    assert await worker.used("ann") == (90, 1)
    # What is held by one that may still be under way is not given away.
    with pytest.raises(OverBudget):
        await worker.reserve("ann", 90, 1)


async def test_a_reservation_that_its_caller_never_heard_of_lapses(client, redis_settings):
    """Given a Redis that reserves and answers too late, again and again, the day is not used up."""
    unheard = budgets(Unheard(client, redis_settings, 5), timeouts=MOMENT, tokens_per_day=100)
    worker = budgets(TutorStore(client, redis_settings, 5), tokens_per_day=100)
    for _ in range(5):
        with pytest.raises(StoreDown):
            await unheard.reserve("ann", 30, 1)
    await reserved(worker, 100, 1)
    assert await worker.used("ann") == (100, 1)


async def test_settling_twice_counts_once(store):
    worker = budgets(store)
    first, second = [await worker.reserve("ann", 90, 50) for _ in range(2)]
    for _ in range(3):
        await worker.settle(first, 10, 5)
    assert await worker.used("ann") == (100, 55)
    await worker.settle(second, 10, 5)
    await worker.settle(first, 10, 5)
    assert await worker.used("ann") == (20, 10)


async def test_what_was_used_counts_once_though_its_time_was_over(store):
    late = budgets(store, timeouts=MOMENT, tokens_per_day=100)
    reservation = await late.reserve("ann", 100, 50)
    worker = budgets(store, tokens_per_day=100)
    await worker.settle(await reserved(worker, 50, 0), 0, 0)
    assert await worker.used("ann") == (0, 0)
    for _ in range(3):
        await late.settle(reservation, 10, 5)
    assert await worker.used("ann") == (10, 5)


async def test_one_that_is_late_but_still_held_is_replaced(store):
    late = budgets(store, timeouts=MOMENT)
    reservation = await late.reserve("ann", 100, 50)
    await late.settle(reservation, 10, 5)
    assert await late.used("ann") == (10, 5)


async def test_an_account_of_before_an_erasure_is_not_booked_on_the_life_after(store, client):
    worker = budgets(store)
    before = await worker.reserve("ann", 50, 50)
    await worker.forget("ann")
    assert not [key async for key in client.scan_iter(match=f"{before.key}*")]
    await worker.reserve("ann", 7, 7)
    await worker.settle(before, 10, 10)
    assert await worker.used("ann") == (7, 7)


async def test_nothing_is_left_of_what_was_settled(store, client):
    """A day's account does not grow with the number of answers."""
    worker = budgets(store)
    for _ in range(20):
        await worker.settle(made := await worker.reserve("ann", 50, 50), 1, 1)
    assert await client.hgetall(made.key) == {b"tokens": b"20", b"micros": b"20"}
