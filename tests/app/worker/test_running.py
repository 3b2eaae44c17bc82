"""How long a role waits between fetches, where the broker does not hold an empty one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.runtime.topics import EMOTIONS
from app.kafka.quirks import FetchPause
from app.process.exits import Exit
from app.settings import KafkaSettings, Settings, WorkerSettings
from app.worker.role import Role, alone, chosen, roles, sharing
from app.worker.running import fetch_pause, rung_for
from tests.app.cli.test_commands import masterx

LONGER = 0.05
"""Seconds that a call for a person may come later than when only an empty fetch paused."""
BEFORE = 0.008
"""That pause."""
CALLS = [
    ("tutor", "push"),  # its words say so
    ("emotion", "tutor", "push"),  # the feelings read in it
    ("emotion", "learner", "push"),  # the learner's state
    ("learner", "push"),
]


def pause_of(name: str, settings: Settings, *beside: str) -> FetchPause:
    return fetch_pause(roles()[name], settings, chosen(beside or (name,)))


@pytest.mark.parametrize("processes", [alone(), sharing()], ids=["one each", "shared"])
@pytest.mark.parametrize("path", CALLS, ids="-".join)
def test_a_call_for_a_person_comes_at_most_50_ms_later(
    path: tuple[str, ...], processes: tuple[tuple[Role, ...], ...]
) -> None:
    """Even if no bell rings."""
    beside = {role.name: together for together in processes for role in together}
    longest = sum(max(fetch_pause(roles()[n], Settings(), beside[n])) for n in path)
    assert longest - BEFORE * len(path) <= LONGER
    topics = [roles()[name].topics for name in path]
    assert all(before != after for before, after in pairwise(topics))


def test_what_a_learner_waits_for_waits_least() -> None:
    settings = Settings()
    found = {name: pause_of(name, settings).busy for name in roles()}
    assert found["emotion"] == found["learner"] == found["push"] == BEFORE
    assert BEFORE < found["tutor"] < found["history"]


def test_where_a_bell_rings_one_looks_less_often() -> None:
    settings = Settings()
    state = ("emotion", "learner", "push")
    idle = settings.kafka.idle_fetch_pause
    assert pause_of("learner", settings, *state) == (idle, idle)
    assert pause_of("push", settings, *state) == (idle, idle)
    # Nobody beside these sends what they wait for
    assert pause_of("emotion", settings, *state) == pause_of("emotion", settings)
    assert pause_of("push", settings, "push", "history") == pause_of("push", settings)
    # And who wants more at once is not woken
    everybody = tuple(roles())
    assert pause_of("history", settings, *everybody) == pause_of("history", settings)
    assert not roles()["history"].woken
    assert rung_for(roles()["learner"], chosen(everybody)) == (EMOTIONS,)


def test_the_settings_decide() -> None:
    kafka = KafkaSettings(empty_fetch_pause=0.1, idle_fetch_pause=0.3)
    settings = Settings(kafka=kafka, worker=WorkerSettings(fetch_pauses={"tutor": 0, "push": 2}))
    assert pause_of("learner", settings) == (0.1, 0.3)
    assert pause_of("tutor", settings) == (0, 0.3)
    assert pause_of("push", settings) == (2, 2)


def test_a_pause_of_a_role_that_there_is_not_ends_the_worker() -> None:
    run = masterx("worker", "push", MASTERX_WORKER__FETCH_PAUSES='{"pusj": 1}')
    assert run.returncode == Exit.CONFIG
    assert "worker.fetch_pauses names 'pusj', which is no role; there are emotion" in run.stderr
