"""The circuit of a provider, on a real Redis, seen by several workers."""

from __future__ import annotations

import asyncio

import pytest

from app.tutor.config import BreakerSettings
from app.tutor.providers.circuit import ProviderCircuit, Verdict
from app.tutor.providers.errors import FailureKind, ProviderFailure, Shut, StoreDown
from app.tutor.store import TutorStore

SERVER = ProviderFailure("p", FailureKind.SERVER)


def health(store: TutorStore, lease: float = 60, **settings: float) -> ProviderCircuit:
    return ProviderCircuit(
        store, BreakerSettings(**{"threshold": 3, "open_for": 0.2, **settings}), lease
    )


async def fail(worker: ProviderCircuit, times: int = 1, failure=SERVER) -> None:
    for entry in [await worker.enter("p") for _ in range(times)]:
        await worker.leave(entry, Verdict.FAILURE, failure)


async def until_half_open(worker: ProviderCircuit) -> None:
    await asyncio.sleep((await worker.waits(["p"]))["p"])


async def test_a_new_provider_may_be_asked(store):
    assert await health(store).waits(["p", "q"]) == {"p": 0, "q": 0}


async def test_failures_in_a_row_open_it_for_every_worker(store):
    one, other = health(store, open_for=60), health(store, open_for=60)
    await fail(one, 2)
    assert (await other.waits(["p"]))["p"] == 0
    await fail(other)
    for worker in (one, other):
        with pytest.raises(Shut) as caught:
            await worker.enter("p")
        assert 0 < caught.value.wait <= 60


async def test_failures_at_the_same_time_count_each(store):
    worker = health(store, threshold=5, open_for=60)
    entries = await asyncio.gather(*(worker.enter("p") for _ in range(5)))
    await asyncio.gather(*(worker.leave(each, Verdict.FAILURE, SERVER) for each in entries))
    with pytest.raises(Shut):
        await worker.enter("p")


async def test_a_success_between_begins_the_count_anew(store):
    worker = health(store)
    await fail(worker, 2)
    await worker.leave(await worker.enter("p"), Verdict.SUCCESS)
    await fail(worker, 2)
    assert (await worker.waits(["p"]))["p"] == 0


async def test_failures_long_ago_do_not_count(store):
    worker = health(store, window=0.01)
    for _ in range(5):
        await fail(worker)
        await asyncio.sleep(0.03)
    assert (await worker.waits(["p"]))["p"] == 0


async def test_half_open_lets_one_of_twenty_try(store):
    worker = health(store)
    await fail(worker, 3)
    await until_half_open(worker)

    entered = await asyncio.gather(*(worker.enter("p") for _ in range(20)), return_exceptions=True)

    trials = [each for each in entered if not isinstance(each, Shut)]
    assert len(trials) == 1
    assert trials[0].trial
    await worker.leave(trials[0], Verdict.SUCCESS)
    assert not (await worker.enter("p")).trial


async def test_a_failed_trial_opens_it_for_twice_as_long(store):
    worker = health(store, open_for=0.2)
    await fail(worker, 3)
    await until_half_open(worker)
    await fail(worker)
    assert (await worker.waits(["p"]))["p"] > 0.2


async def test_it_never_stays_open_longer_than_allowed(store):
    worker = health(store, open_for=0.05, open_max=0.05)
    await fail(worker, 3)
    for _ in range(4):
        await until_half_open(worker)
        await fail(worker)
        assert (await worker.waits(["p"]))["p"] <= 0.05


async def test_a_trial_that_is_cancelled_goes_to_the_next(store):
    worker = health(store)
    await fail(worker, 3)
    await until_half_open(worker)
    await worker.leave(await worker.enter("p"), Verdict.NEUTRAL)
    assert (await worker.enter("p")).trial


async def test_a_trial_of_a_dead_worker_ends_with_its_lease(store):
    dead, other = health(store, lease=0.1), health(store)
    await fail(dead, 3)
    await until_half_open(dead)
    await dead.enter("p")
    await until_half_open(other)
    assert (await other.enter("p")).trial


async def test_cancelled_calls_say_nothing_of_a_healthy_provider(store):
    worker = health(store)
    for _ in range(10):
        await worker.leave(await worker.enter("p"), Verdict.NEUTRAL)
    assert (await worker.waits(["p"]))["p"] == 0


async def test_who_began_before_it_opened_is_no_news(store):
    """Given a slow answer that began in good times, when it ends, the circuit stays open."""
    worker = health(store, open_for=60)
    old = await worker.enter("p")
    await fail(worker, 3)
    await worker.leave(old, Verdict.SUCCESS)
    with pytest.raises(Shut):
        await worker.enter("p")


def limited(retry_after: float) -> ProviderFailure:
    return ProviderFailure("p", FailureKind.RATE_LIMITED, status=429, retry_after=retry_after)


async def test_a_limited_provider_is_left_alone_as_long_as_it_asks(store):
    one, other = health(store), health(store)
    first, second = await one.enter("p"), await other.enter("p")
    await one.leave(first, Verdict.NEUTRAL, limited(30))
    await other.leave(second, Verdict.NEUTRAL, limited(1))  # does not shorten it
    assert 20 < (await other.waits(["p"]))["p"] <= 30


async def test_nobody_is_left_alone_for_a_year(store):
    worker = health(store)
    await worker.leave(await worker.enter("p"), Verdict.NEUTRAL, limited(3e7))
    assert 500 < (await worker.waits(["p"]))["p"] <= BreakerSettings().cooldown_max


async def test_a_wrong_key_opens_it_at_once(store):
    worker = health(store, threshold=5, open_for=60)
    await fail(worker, failure=ProviderFailure("p", FailureKind.DENIED, status=401))
    with pytest.raises(Shut):
        await worker.enter("p")


async def test_what_is_kept_is_forgotten_when_idle(store, client):
    worker = health(store)
    await fail(worker)
    assert 0 < await client.pttl(worker._key("p")) <= 2 * 600_000


async def test_without_redis_nothing_is_known(nowhere, redis_settings):
    with pytest.raises(StoreDown):
        await health(TutorStore(nowhere, redis_settings, 5)).waits(["p"])
