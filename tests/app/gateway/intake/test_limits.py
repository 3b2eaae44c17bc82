"""A token bucket: never more than it should let pass, never less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.auth.tokens import Principal
from app.gateway.intake.limits import RateLimit, TokenBuckets
from app.gateway.intake.refusal import Refusal
from schemas.vocabulary import Role
from schemas.wire.errors import ErrorCode

steps = st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200)


@given(steps, st.floats(0.5, 50), st.integers(1, 50))
def test_it_agrees_with_counting_tokens(gaps, rate, burst):
    """The oracle is the textbook bucket: `burst` tokens, `rate` more a second."""
    buckets = TokenBuckets(rate, burst)
    now, tokens = 0.0, float(burst)
    for gap in gaps:
        now += gap
        tokens = min(burst, tokens + gap * rate)
        wait = buckets.take("ada", now)
        if abs(tokens - 1) < 1e-6:  # rounding may decide either way
            tokens -= 1 if wait == 0 else 0
            continue
        assert (wait == 0) == (tokens >= 1)
        if wait:
            assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)
        else:
            tokens -= 1


@given(st.floats(0.5, 50), st.integers(1, 50), st.integers(1, 100))
def test_after_the_wait_it_was_told_a_client_gets_through(rate, burst, attempts):
    buckets = TokenBuckets(rate, burst)
    now = 0.0
    for _ in range(attempts):
        if wait := buckets.take("ada", now):
            now += wait + 1e-6
            assert buckets.take("ada", now) == 0


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_users_do_not_share(keys):
    buckets = TokenBuckets(1, 5)
    passed = dict.fromkeys("abc", 0)
    for key in keys:
        passed[key] += buckets.take(key, 0.0) == 0
    assert passed == {key: min(5, keys.count(key)) for key in "abc"}


def test_full_buckets_take_no_memory():
    buckets = TokenBuckets(rate=10, burst=20)
    for second in range(1_000):
        for user in range(5):
            buckets.take(f"user-{second}-{user}", float(second))
    # At most those of the last burst/rate = 2 seconds
    assert len(buckets) <= 15


def test_the_number_of_buckets_is_bounded():
    buckets = TokenBuckets(rate=0.001, burst=1, max_keys=100)
    for user in range(10_000):
        assert buckets.take(str(user), 0.0) == 0
    assert len(buckets) == 100
    assert buckets.take("9999", 0.0) > 0


def principal(role: Role, subject: str) -> Principal:
    return Principal(subject, role, frozenset({"ada"}), consent=True, expires_at=0.0)


@pytest.mark.parametrize(
    ("role", "shared"),
    [(Role.SERVICE, True), (Role.ADMIN, True), (Role.OBSERVER, False)],
)
def test_who_acts_for_a_learner_shares_that_learners_rate(role: Role, shared: bool):
    limit = RateLimit(1, 1, "messages", clock=lambda: 0.0)
    limit.count(principal(Role.LEARNER, "ada"), "ada")
    other = principal(role, "bob")
    if not shared:
        limit.count(other, "ada")
        return
    with pytest.raises(Refusal, match="too many messages") as refused:
        limit.count(other, "ada")
    assert refused.value.code is ErrorCode.RATE_LIMITED
    assert refused.value.retry_after == pytest.approx(1.0)


def test_a_request_for_nobody_counts_against_its_sender():
    limit = RateLimit(1, 1, "requests", clock=lambda: 0.0)
    limit.count(principal(Role.SERVICE, "bob"), None)
    with pytest.raises(Refusal):
        limit.count(principal(Role.SERVICE, "bob"), None)
    limit.count(principal(Role.SERVICE, "bob"), "ada")
