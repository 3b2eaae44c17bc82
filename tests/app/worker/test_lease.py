"""The lease of a worker: when may it write?"""

from __future__ import annotations

import pytest

from app.worker.lease import Lease


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def lease(clock: Clock, lost: list[str]) -> Lease:
    return Lease(10.0, lost.append, clock)


def test_no_write_before_the_group_has_answered(lease: Lease):
    assert not lease.valid


def test_valid_for_its_duration_from_the_sending(lease: Lease, clock: Clock, lost: list[str]):
    sent_at = lease.now()
    clock.seconds += 4  # the answer took four seconds
    lease.renew(sent_at)
    clock.seconds += 5.9
    assert lease.valid
    lease.check()
    clock.seconds += 0.2
    assert not lease.valid
    lease.check()
    assert lost == ["no word from the coordinator within the session timeout"]


def test_a_late_renewal_does_not_bring_it_back(lease: Lease, clock: Clock, lost: list[str]):
    lease.renew(lease.now())
    clock.seconds += 30  # stopped, and woken again
    lease.renew(lease.now())
    assert not lease.valid
    assert lost == ["silent for 30.0 s"]


def test_the_coordinator_can_take_it_away(lease: Lease, lost: list[str]):
    lease.revoke("unknown member")  # before joining: the ordinary way in
    assert lost == []
    lease.renew(lease.now())
    lease.revoke("unknown member")
    lease.renew(lease.now())
    assert not lease.valid
    assert lost == ["unknown member"]


def test_one_who_has_resigned_may_be_told_that_he_is_no_member(lease: Lease, lost: list[str]):
    lease.renew(lease.now())
    lease.resign()
    lease.revoke("unknown member")
    assert lost == []


def test_a_resigned_lease_still_runs_out(lease: Lease, clock: Clock, lost: list[str]):
    lease.renew(lease.now())
    lease.resign()
    clock.seconds += 11
    lease.check()
    assert lost == ["no word from the coordinator within the session timeout"]


def test_awake_again_within_the_lease_or_after_it(lease: Lease, clock: Clock, lost: list[str]):
    lease.awake()  # before joining
    lease.renew(lease.now())
    clock.seconds += 9
    lease.awake()
    assert lost == []
    clock.seconds += 2
    lease.awake()
    assert lost == ["no word from the coordinator within the session timeout"]


def test_a_pause_after_resigning_says_nothing(lease: Lease, clock: Clock, lost: list[str]):
    lease.renew(lease.now())
    lease.resign()
    clock.seconds += 11
    lease.awake()
    assert lost == []
