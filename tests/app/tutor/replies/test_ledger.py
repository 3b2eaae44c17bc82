"""Who has a request, and what became of it: on a real Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from app.settings import RedisSettings
from app.tutor.config import ReplySettings
from app.tutor.replies.ledger import Claim, ClaimGone, ClaimLost, Finished, Ledger
from schemas.base import now_ms
from tests.app.tutor.asking import a_chat, a_request


@pytest.fixture
def ledger(client: Redis, redis_settings: RedisSettings) -> Ledger:
    return Ledger(client, redis_settings, ReplySettings(conversation_ttl=50_000))


def asked(user: str = "ada {1}"):
    return a_request(a_chat(user, "why?"), (0, 0))


async def taken(ledger: Ledger, request) -> Claim:
    claim = await ledger.claim(request)
    assert isinstance(claim, Claim)
    return claim


async def finished(ledger: Ledger, claim: Claim, reply: bytes, **more) -> bytes:
    return await ledger.finish(claim, reply, ingest_time=now_ms(), **more)


async def test_the_first_reply_stands(ledger: Ledger):
    request = asked()
    assert await finished(ledger, await taken(ledger, request), b"one") == b"one"
    assert await ledger.claim(request) == Finished(b"one")


async def test_a_later_claim_holds_and_an_earlier_one_does_nothing(ledger: Ledger):
    request = asked()
    first = await taken(ledger, request)
    await ledger.begin(first, 1)
    second = await taken(ledger, request)
    assert second.number > first.number
    assert (second.attempt, second.open) == (1, 1)
    for step in (
        lambda: ledger.begin(first, 2),
        lambda: ledger.close(first),
        lambda: ledger.park(first, request, 0),
        lambda: finished(ledger, first, b"late"),
    ):
        with pytest.raises(ClaimLost):
            await step()
    await ledger.close(second)
    assert await finished(ledger, second, b"mine") == b"mine"
    # Who was faster has said it: the other one says the same.
    assert await finished(ledger, first, b"late") == b"mine"


async def test_closing_an_attempt_leaves_its_number_used(ledger: Ledger):
    request = asked()
    claim = await taken(ledger, request)
    await ledger.begin(claim, 3)
    await ledger.close(claim)
    after = await taken(ledger, request)
    assert (after.attempt, after.open) == (3, 0)


async def test_parked_requests_come_when_they_are_due_and_again_if_who_took_them_died(
    ledger: Ledger,
):
    request = asked()
    claim = await taken(ledger, request)
    await ledger.park(claim, request, due=1_000)
    await ledger.park(claim, request, due=1_000)  # its answer was lost: the same once more
    assert await ledger.take_due(999, 60, 10) == []
    assert await ledger.take_due(1_000, 60, 10) == [request]
    # Taken: nobody else gets it, until the lease is over.
    assert await ledger.take_due(60_999, 60, 10) == []
    assert await ledger.take_due(61_000, 60, 10) == [request]
    again = await taken(ledger, request)
    assert again.tries == 1
    await finished(ledger, again, b"x")
    # Finished by one that died before it was told: who takes it tells the same.
    assert await ledger.take_due(999_999_999, 60, 10) == [request]
    assert await ledger.claim(request) == Finished(b"x")
    await ledger.unpark(request.user_id, request.reply_id)
    assert await ledger.take_due(9_999_999_999, 60, 10) == []


async def test_feedback_counts_once_for_a_reply(ledger: Ledger):
    request = asked()
    await finished(ledger, await taken(ledger, request), b"x", credit=b"who")
    user, reply = request.user_id, request.reply_id
    assert await ledger.rate(user, "another", "f1") is None
    assert await ledger.rate(user, reply, "f1") == b"who"
    assert await ledger.rate(user, reply, "f1") == b"who", "a redelivery is the same feedback"
    assert await ledger.rate(user, reply, "f2") is None


async def test_a_reply_without_credit_cannot_be_rated(ledger: Ledger):
    request = asked()
    await finished(ledger, await taken(ledger, request), b"x")
    assert await ledger.rate(request.user_id, request.reply_id, "f1") is None


async def test_the_forgotten_are_not_answered_and_nothing_is_left(
    ledger: Ledger, client: Redis, redis_settings: RedisSettings
):
    request, other = asked(), asked("bob")
    claim = await taken(ledger, request)
    await taken(ledger, other)
    await finished(ledger, await taken(ledger, asked()), b"x", turns=[b"{}"])
    await ledger.park(claim, request, due=0)
    await ledger.forget(request.user_id, now_ms())
    assert await client.zcard(f"{redis_settings.prefix}:{{tutor}}:parked") == 0
    with pytest.raises(ClaimLost):
        await ledger.finish(claim, b"late", ingest_time=request.ingest_time)
    with pytest.raises(ClaimGone):
        await ledger.begin(claim, 1)
    with pytest.raises(ClaimLost):
        await ledger.claim(request)
    assert await ledger.take_due(now_ms(), 60, 10) == []
    names = [key async for key in client.scan_iter(match=f"{redis_settings.prefix}:tutor:*")]
    assert sum(b"ada" in name for name in names) == 1, "the fence"
    assert any(b"bob" in name for name in names)
    # A new life is another one, and a repeated erasure takes nothing of it.
    later = a_request(a_chat("ada {1}", "hello?", now_ms() + 60_000), (0, 1))
    claim = await taken(ledger, later)
    await ledger.park(claim, later, due=0)
    await ledger.forget(request.user_id, request.ingest_time)
    assert await ledger.take_due(now_ms(), 60, 10) == [later]
    assert await ledger.finish(claim, b"hi", ingest_time=later.ingest_time) == b"hi"


async def test_a_claim_that_redis_forgot_is_another_thing_than_one_that_was_lost(
    ledger: Ledger, client: Redis, redis_settings: RedisSettings
):
    request = asked()
    claim = await taken(ledger, request)
    async for key in client.scan_iter(match=f"{redis_settings.prefix}:*"):
        await client.delete(key)
    for step in (
        lambda: ledger.begin(claim, 1),
        lambda: ledger.close(claim),
        lambda: ledger.park(claim, request, 0),
        lambda: finished(ledger, claim, b"x"),
    ):
        with pytest.raises(ClaimGone):
            await step()
    # Who claims it anew has another number than before
    await taken(ledger, request)
    with pytest.raises(ClaimLost):
        await finished(ledger, claim, b"x")


async def test_all_of_a_dialogue_lives_as_long_as_it_goes_on(
    ledger: Ledger, client: Redis, redis_settings: RedisSettings
):
    prefix = f"{redis_settings.prefix}:tutor:{{ada}}"
    for name in ("summary", "earlier"):
        await client.rpush(f"{prefix}:{name}", "x")
        await client.pexpire(f"{prefix}:{name}", 30_000)
    await finished(ledger, await taken(ledger, asked("ada")), b"x", turns=[b"{}"])
    for name in ("conversation", "summary", "earlier"):
        assert 40_000_000 < await client.pttl(f"{prefix}:{name}") <= 50_000_000


async def test_nothing_of_a_dialogue_is_kept_for_a_reply_that_adds_nothing_to_it(
    ledger: Ledger, client: Redis, redis_settings: RedisSettings
):
    """Nobody has read the dialogue for such a reply, so nobody has dropped what is too old."""
    prefix = f"{redis_settings.prefix}:tutor:{{ada}}"
    for name in ("conversation", "summary", "earlier"):
        await client.rpush(f"{prefix}:{name}", "x")
        await client.pexpire(f"{prefix}:{name}", 30_000)
    await finished(ledger, await taken(ledger, asked("ada")), b"for a person")
    for name in ("conversation", "summary", "earlier"):
        assert 0 < await client.pttl(f"{prefix}:{name}") <= 30_000


async def test_a_parked_request_that_cannot_be_read_costs_no_other(
    ledger: Ledger, client: Redis, redis_settings: RedisSettings
):
    broken, sound = asked("ada"), asked("bob")
    for request in (broken, sound):
        await ledger.park(await taken(ledger, request), request, due=0)
    key = f"{redis_settings.prefix}:tutor:{{ada}}:reply:{broken.reply_id}"
    await client.hset(key, "request", b"of another version")
    assert await ledger.take_due(1, 0, 10) == [sound]
    assert await ledger.take_due(2, 0, 10) == [sound]
    assert await client.zcard(f"{redis_settings.prefix}:{{tutor}}:parked") == 1
