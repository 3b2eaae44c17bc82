"""A learner's day: nobody gets past the limit, however many ask at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from app.tutor.budget import Budgets
from app.tutor.config import BudgetSettings, ReplySettings
from app.tutor.errors import OverBudget
from app.tutor.ledger import Ledger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def budgets(store, now=NOON, **settings) -> Budgets:
    return Budgets(store, BudgetSettings(**settings), lambda: now)


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
