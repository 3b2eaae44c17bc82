from __future__ import annotations

from models.emotion.serving.breaker import Breaker, BreakerState


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker(failures=3, cooldown=5)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_it_opens_at_the_limit_and_not_before() -> None:
    breaker = Breaker(failures=3, cooldown=5)
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.state(0) is BreakerState.CLOSED
    breaker.failed(0)
    assert breaker.state(0) is BreakerState.OPEN


def test_a_success_starts_the_count_anew() -> None:
    breaker = Breaker(failures=2, cooldown=5)
    for _ in range(10):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) is BreakerState.CLOSED


def test_it_is_half_open_after_the_cooldown() -> None:
    breaker = opened(at=100)
    assert breaker.state(104.9) is BreakerState.OPEN
    assert breaker.retry_after(104) == 1
    assert breaker.state(105) is BreakerState.HALF_OPEN


def test_a_failed_trial_opens_for_another_cooldown() -> None:
    breaker = opened(at=100)
    breaker.failed(106)
    assert breaker.state(110.9) is BreakerState.OPEN
    assert breaker.state(111) is BreakerState.HALF_OPEN


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened(at=100)
    breaker.succeeded()
    assert breaker.state(105) is BreakerState.CLOSED
    breaker.failed(106)
    assert breaker.state(106) is BreakerState.CLOSED
