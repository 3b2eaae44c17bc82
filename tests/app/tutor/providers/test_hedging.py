"""A second provider when the first is late: the first text wins, the other one is stopped."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from app.tutor.config import BudgetSettings, HedgeSettings
from app.tutor.providers.errors import NoAnswer
from app.tutor.providers.hedging import Allowance
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from tests.app.tutor.listening import Ear, metric, request
from tests.app.tutor.sse import cut, say, say_when, silence, stall, status

EAGER = {"enabled": True, "at_least": 0.05, "at_most": 0.05, "share": 1.0}


def names(count: int = 2) -> list[str]:
    return [f"p{uuid4().hex[:10]}" for _ in range(count)]


async def two(bench, first, second, **tutor):
    a, b = names()
    one, other = await bench.endpoint(first), await bench.endpoint(second)
    router = await bench.router({a: one, b: other}, **({"hedge": EAGER} | tutor))
    return router, (a, one), (b, other)


async def test_a_late_one_is_overtaken_and_stopped(bench):
    router, (a, one), (b, _) = await two(bench, silence(), say("Quick."))
    won, asked = metric("hedges_total", outcome="won"), request()

    answer = await router.answer(asked, ear := Ear())

    ear.check(answer)
    assert (answer.provider, answer.attempt, answer.text) == (b, 1, "Quick.")
    async with asyncio.timeout(60):
        await one.hung_up.wait()
    await router.close()
    assert metric("hedges_total", outcome="won") == won + 1
    assert metric("attempts_total", provider=a, outcome="cancelled") == 1
    assert metric("attempts_total", provider=b, outcome="answered") == 1
    store = TutorStore(bench.client, bench.redis_settings, 5)
    used, _ = await Budgets(store, BudgetSettings()).used(asked.user_id)
    assert used == 15


async def test_the_late_one_may_still_be_first(bench):
    """Given a first that speaks after the second was asked, but before the second speaks."""
    begin = asyncio.Event()
    router, (a, _), (b, other) = await two(bench, say_when(begin, "Slow."), silence())
    asked = asyncio.create_task(router.answer(request(), ear := Ear()))
    while not other.seen:
        await asyncio.sleep(0.01)
    begin.set()

    answer = await asked

    ear.check(answer)
    assert answer.provider == a
    async with asyncio.timeout(60):
        await other.hung_up.wait()
    await router.close()
    assert metric("attempts_total", provider=b, outcome="cancelled") == 1


async def test_who_speaks_in_time_is_not_hedged(bench):
    """A stream that has begun is not overtaken, however long it goes on."""
    now, later = asyncio.Event(), asyncio.Event()
    now.set()
    router, _, (_, other) = await two(
        bench,
        say_when(now, "In time.", may_end=later),
        say("never"),
        hedge=EAGER | {"at_least": 1.5, "at_most": 1.5},
    )
    ear = Ear()
    asked = asyncio.create_task(router.answer(request(), ear))
    await ear.spoken.wait()
    await asyncio.sleep(1.6)
    later.set()

    ear.check(await asked)
    assert not other.seen


async def test_if_the_first_fails_the_second_goes_on(bench):
    begin = asyncio.Event()

    async def fails_late(x) -> None:
        await begin.wait()
        await status(400)(x)

    router, _, (b, other) = await two(bench, fails_late, say_when(begin, "Mine."))
    asked = asyncio.create_task(router.answer(request(), ear := Ear()))
    while not other.seen:
        await asyncio.sleep(0.01)
    begin.set()
    answer = await asked
    ear.check(answer)
    assert answer.provider == b


async def test_a_winner_that_breaks_off_is_superseded(bench):
    """Given the hedge speaks, wins and is cut twice, the request ends in order."""
    a, b, c = names(3)
    endpoints = [await bench.endpoint(each) for each in (silence(), cut("Half"), say("Whole."))]
    router = await bench.router(dict(zip((a, b, c), endpoints, strict=True)), hedge=EAGER)

    answer = await router.answer(request(), ear := Ear())

    ear.check(answer)
    assert (answer.provider, answer.text) == (c, "Whole.")
    assert ear.void == {1, 2}


async def test_both_silent_end_in_one_failure(bench):
    router, (a, _), (b, _) = await two(bench, silence(), stall("Half"))
    ear = Ear()
    with pytest.raises(NoAnswer, match="exhausted"):
        await router.answer(request(), ear)
    assert ear.void == {1}
    await router.close()
    assert metric("attempts_total", provider=b, outcome="stalled") == 1
    # Stopped for a text that came to nothing; it is not asked again.
    assert metric("attempts_total", provider=a, outcome="cancelled") == 1


async def test_it_is_off_unless_it_is_set(bench):
    begin = asyncio.Event()
    router, _, (_, other) = await two(bench, say_when(begin, "x"), say("y"), hedge={})
    asked = asyncio.create_task(router.answer(request(), Ear()))
    await asyncio.sleep(0.5)
    begin.set()
    await asked
    assert not other.seen


def test_only_a_share_of_requests_is_asked_twice():
    allowance = Allowance(HedgeSettings(share=0.1, burst=3))
    spent = 0
    for _ in range(1_000):
        allowance.earn()
        spent += allowance.spend()
    assert 100 <= spent <= 103
