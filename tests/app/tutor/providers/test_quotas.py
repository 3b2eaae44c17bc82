"""429 is not always "later", and some other statuses are."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from uuid import uuid4

import pytest
import structlog

from app.tutor.providers.chunks import EndingNames
from app.tutor.store import TutorStore
from tests.app.tutor.conftest import Bench
from tests.app.tutor.listening import Ear, metric, request
from tests.app.tutor.sse import garbage, say, status

SPENT = json.dumps(
    {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "pay"}}
).encode()
TOKENS = json.dumps({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}).encode()


def name() -> str:
    return f"p{uuid4().hex[:10]}"


async def health(bench: Bench, provider: str) -> dict[str, str]:
    store = TutorStore(bench.client, bench.redis_settings, 5)
    return await store.fields(store.keys.shared(f"health:{provider}"))


async def test_a_spent_quota_is_for_the_operator(bench: Bench):
    """It is asked once and then in trials, is said once in the log, and shown until it answers."""
    spent, well = await bench.endpoint(status(429, SPENT)), await bench.endpoint(say("Here."))
    first, second = name(), name()
    breaker = {"open_for": 0.05, "open_max": 0.05}
    router = await bench.router({first: spent, second: well}, breaker=breaker)
    with structlog.testing.capture_logs() as logs:
        for _ in range(20):
            assert (await router.answer(request(), Ear())).provider == second
        assert 1 <= len(spent.seen) < 20
        while len(spent.seen) < 3:  # trials
            await router.answer(request(), Ear())
        assert metric("denied", provider=first) == 1
        said = [each for each in logs if each["event"] == "tutor.provider_denied"]
        assert [(each["provider"], each["status"]) for each in said] == [(first, 429)]
        assert int((await health(bench, first))["trips"]) >= 1

        # When the bill is paid
        spent.otherwise = say("Back.")
        while (await router.answer(request(), Ear())).provider != first:
            pass
    await router.close()
    assert metric("denied", provider=first) == 0
    assert metric("attempts_total", provider=first, outcome="rate_limited") == 0


SOON = 40


@pytest.mark.parametrize(
    ("behaviour", "outcome", "least", "most"),
    [
        (status(429), "rate_limited", 4, 5),
        (status(429, retry_after="7.66"), "rate_limited", 7, 7.66),
        (status(429, retry_after="-1"), "rate_limited", 4, 5),
        (status(429, retry_after="1e30"), "rate_limited", 590, 600),
        (status(429, retry_after="tomorrow"), "rate_limited", 4, 5),
        (status(498), "rate_limited", 4, 5),
        (status(413, TOKENS), "rate_limited", 4, 5),
        (status(413), "refused", 0, 0),
        (status(400, TOKENS), "rate_limited", 4, 5),
        (status(529, retry_after="30"), "server", 29, 30),
        (status(529), "server", 0, 0),
        (garbage('{"error": {"code": 429, "message": "slow down"}}', "Be"), "rate_limited", 4, 5),
        (garbage('{"error": "rate_limit_exceeded"}'), "rate_limited", 4, 5),
        (status(400, b'{"error": {"code": "content_filter"}}'), "filtered", 0, 0),
        (status(400, b'{"error": {"code": "context_length_exceeded"}}'), "refused", 0, 0),
        (status(403, b"<html>"), "denied", 0, 0),
        (status(400, b'["no", {"object": 1}]'), "refused", 0, 0),
    ],
    ids=[
        "429", "later, in a fraction", "later, negative", "later, huge", "later, in words", "498",
        "413 of tokens a minute", "413", "400 of tokens a minute", "529 with a time", "529",
        "429 in the stream", "a limit in the stream", "filtered", "too long", "403", "a list",
    ],
)  # fmt: skip
async def test_how_long_it_is_left_alone(bench: Bench, behaviour, outcome, least, most):
    odd, well = await bench.endpoint(behaviour), await bench.endpoint(say("Here."))
    first, second = name(), name()
    router = await bench.router({first: odd, second: well})
    before = time.time()
    answer = await router.answer(request(), ear := Ear())
    ear.check(answer)
    assert answer.provider == second
    await router.close()
    tries = 2 if outcome == "server" and not most else 1
    assert metric("attempts_total", provider=first, outcome=outcome) == tries
    until = float((await health(bench, first)).get("cool_until", 0)) / 1000
    assert (until > 0) == (most > 0)
    if most:
        assert before + least - 1 <= until <= time.time() + most


async def test_a_date_to_come_back_is_kept(bench: Bench):
    when = time.time() + SOON
    odd = await bench.endpoint(status(429, retry_after=formatdate(when, usegmt=True)))
    router = await bench.router({(first := name()): odd, name(): await bench.endpoint(say("x"))})
    await router.answer(request(), Ear())
    await router.close()
    until = float((await health(bench, first))["cool_until"]) / 1000
    assert until == pytest.approx(when, abs=5)


async def test_an_unknown_ending_is_counted_by_name_and_said_once(bench: Bench):
    endpoint = await bench.endpoint(say("x", finish="Tired"))
    router = await bench.router({(provider := name()): endpoint})
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await router.answer(request(), Ear())
    assert metric("endings_total", provider=provider, ending="tired") == 3
    said = [each for each in logs if each["event"] == "tutor.unknown_ending"]
    assert [each["ending"] for each in said] == ["tired"]


def test_the_names_of_endings_are_few_and_hold_no_text():
    names = EndingNames("p")
    assert names.label("stop") == "stop"
    assert names.label("my private question") == "other"
    assert names.label("x" * 33) == "other"
    found = {names.label(f"name{number}") for number in range(1_000)}
    assert len(found) < 20
    assert "other" in found
