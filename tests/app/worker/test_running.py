"""How long a role waits between fetches, where the broker does not hold an empty one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.kafka.quirks import FetchPause
from app.process.exits import Exit
from app.settings import KafkaSettings, Settings, WorkerSettings
from app.worker.role import roles
from app.worker.running import fetch_pause
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


def pause_of(name: str, settings: Settings) -> FetchPause:
    return fetch_pause(roles()[name], settings)


@pytest.mark.parametrize("path", CALLS, ids="-".join)
def test_a_call_for_a_person_comes_at_most_50_ms_later(path: tuple[str, ...]) -> None:
    longest = sum(max(pause_of(name, Settings())) for name in path)
    assert longest - BEFORE * len(path) <= LONGER
    topics = [roles()[name].topics for name in path]
    assert all(before != after for before, after in pairwise(topics))


def test_what_a_learner_waits_for_waits_least() -> None:
    settings = Settings()
    found = {name: pause_of(name, settings).busy for name in roles()}
    assert found["emotion"] == found["learner"] == found["push"] == BEFORE
    assert BEFORE < found["tutor"] < found["history"]


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
