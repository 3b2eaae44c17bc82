"""The decision log of a real broker: two topics joined, erased learners left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runtime.topics import ERASURES, FEEDBACK, RECOMMENDATIONS
from app.client.decisions import export_decisions
from app.settings import Settings
from models.learner.config import LearnerSettings
from models.learner.recommending.offline.log import read_log
from models.learner.update import apply_emotion
from schemas.topics.actions import FeedbackReceived, RecommendationsMade
from schemas.topics.emotions import Emotion
from schemas.topics.operations import ErasureRequested
from tests.models.learner.build import NOW, reading
from tests.topics import produce

pytestmark = pytest.mark.services


def recommended_to(user: str) -> RecommendationsMade:
    event = reading(0, probabilities={Emotion.BOREDOM: 0.9}).model_copy(update={"user_id": user})
    outputs = apply_emotion(None, event, LearnerSettings()).outputs
    assert outputs is not None
    return outputs.recommendations


def answer_of(user: str, target: str) -> FeedbackReceived:
    return FeedbackReceived(
        event_id=f"answer-{user}",
        user_id=user,
        event_time=NOW,
        ingest_time=NOW,
        target_type="recommendation",
        target_id=target,
        outcome="helpful",
    )


async def test_two_topics_become_one_log_without_erased_learners(
    topics: Settings, tmp_path: Path
) -> None:
    users = ("ann", "ben", "cy")
    made = {user: recommended_to(user) for user in users}
    targets = {user: made[user].recommendations[0].id for user in users}
    await produce(topics, RECOMMENDATIONS, [(user, made[user]) for user in (*users, "ann")])
    await produce(topics, RECOMMENDATIONS, [("ann", b"not json")])
    answers: list[tuple[str, FeedbackReceived]] = [
        (user, answer_of(user, targets[user])) for user in ("ann", "cy")
    ]
    await produce(topics, FEEDBACK, [*answers])
    erasure = ErasureRequested(event_id="e", user_id="cy", event_time=NOW, ingest_time=NOW)
    await produce(topics, ERASURES, [("cy", erasure)])
    out = tmp_path / "log.jsonl"

    assert await export_decisions(topics, out) == (2, 1, 0)

    logged = list(read_log(out))
    assert sorted([one.outcomes for one in line.shown] for line in logged) == [
        [(), ()],
        [("helpful",), ()],
    ]
    assert len({line.learner for line in logged}) == 2
    text = out.read_text()
    identities = [made[user].decision for user in users]
    assert not any(f'"{user}"' in text for user in users)
    assert not any(one.id in text for one in identities if one is not None)
    assert not any(one.id in text for user in users for one in made[user].recommendations)
