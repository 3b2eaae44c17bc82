"""Recommendations through the update: redeliveries say the same, answers count once."""

from __future__ import annotations

from models.learner.recommending.serving.memory import Advice
from models.learner.record import LearnerRecord
from models.learner.update import (
    Effect,
    Outputs,
    Step,
    apply_emotion,
    apply_erasure,
    apply_feedback,
    apply_interactions,
)
from schemas.topics.emotions import Emotion
from tests.models.learner.build import (
    NOW,
    SETTINGS,
    at,
    batch,
    erasure,
    feedback,
    interaction,
    reading,
)

BORED = {Emotion.BOREDOM: 0.9}


def bored(offset: int = 0, time: int = NOW) -> Step:
    return apply_emotion(None, reading(offset, time=time, probabilities=BORED), SETTINGS)


def record(step: Step) -> LearnerRecord:
    assert step.record is not None
    return step.record


def outputs(step: Step) -> Outputs:
    assert step.outputs is not None
    return step.outputs


def test_a_decision_is_logged_once_and_its_recommendations_keep_their_ids() -> None:
    first = bored()
    then = apply_emotion(
        record(first), reading(1, time=NOW + 60_000, probabilities=BORED), SETTINGS
    )

    made, kept = outputs(first).recommendations, outputs(then).recommendations
    assert made.decision is not None
    assert {one.variant for one in made.decision.candidates} >= {"more-interactive", "achievements"}
    assert kept.decision is None
    assert [one.id for one in kept.recommendations] == [one.id for one in made.recommendations]
    assert len(made.recommendations) == 2
    assert all(one.propensity and one.policy_version for one in made.recommendations)


def test_a_redelivery_and_a_retry_send_the_very_same_decision() -> None:
    event = reading(0, probabilities=BORED)
    first = apply_emotion(None, event, SETTINGS)
    # As the next worker has it: from the changelog's bytes.
    stored = LearnerRecord.from_bytes(record(first).to_bytes())

    redelivered = apply_emotion(stored, event, SETTINGS)
    retried = apply_emotion(stored, reading(5, chat="chat-0", probabilities=BORED), SETTINGS)

    assert redelivered.effect is Effect.REDELIVERY
    made, again = outputs(first).recommendations, outputs(redelivered).recommendations
    assert again.json_bytes() == made.json_bytes()
    assert retried.effect is Effect.RETRY
    assert outputs(retried).recommendations.decision == made.decision


def test_a_cause_that_comes_again_after_its_ids_were_forgotten_does_not_decide_twice() -> None:
    first = bored()
    between = reading(1, time=NOW + 700_000, probabilities=BORED)
    decided = apply_emotion(record(first), between, SETTINGS)
    again = reading(7, chat="chat-0", time=NOW, ingest=NOW + 1_010_000, probabilities=BORED)

    then = apply_emotion(record(decided), again, SETTINGS)

    assert then.effect is Effect.APPLIED
    ids = [one.id for one in record(then).advice.decisions]
    assert len(ids) == len(set(ids)) == 2
    assert outputs(then).recommendations.decision is None
    after = reading(8, time=NOW + 1_011_000, probabilities=BORED)
    assert outputs(apply_emotion(record(then), after, SETTINGS)).recommendations.decision


def test_an_answer_is_learned_from_once_whatever_comes_again() -> None:
    step = bored()
    target = outputs(step).recommendations.recommendations[0].id
    said = feedback(target_id=target, outcome="helpful")

    answered = apply_feedback(record(step), said, at(0, "feedback"), SETTINGS)
    redelivered = apply_feedback(record(answered), said, at(0, "feedback"), SETTINGS)
    retried = apply_feedback(record(answered), said, at(1, "feedback"), SETTINGS)
    other_id = feedback("another", target_id=target, outcome="helpful")
    repeated = apply_feedback(record(answered), other_id, at(2, "feedback"), SETTINGS)

    (learned,) = record(answered).advice.learned
    assert learned.weight == 1
    assert redelivered.record == record(answered)
    assert record(retried).advice == record(answered).advice
    assert record(repeated).advice == record(answered).advice


def test_what_is_not_about_a_recommendation_teaches_nothing() -> None:
    step = bored()
    target = outputs(step).recommendations.recommendations[0].id
    for fields in (
        {"target_id": target, "outcome": "sparkling"},
        {"target_id": target, "target_type": "reply"},
        {"target_id": "of somebody else"},
    ):
        answered = apply_feedback(record(step), feedback(**fields), at(0, "feedback"), SETTINGS)
        assert record(answered).advice == record(step).advice
        assert sum(record(answered).feedback.values()) == 1


def test_a_dismissed_recommendation_is_gone_with_the_next_update() -> None:
    step = bored()
    gone, *_ = outputs(step).recommendations.recommendations
    said = feedback(target_id=gone.id, outcome="dismissed")
    answered = apply_feedback(record(step), said, at(0, "feedback"), SETTINGS)

    then = apply_interactions(record(answered), batch([interaction("i")]), at(0), SETTINGS)

    left = outputs(then).recommendations.recommendations
    assert gone.action not in {one.action for one in left}
    assert len(left) == 1


def test_an_erasure_leaves_nothing_of_what_was_recommended_or_answered() -> None:
    step = bored()
    target = outputs(step).recommendations.recommendations[0].id
    answered = apply_feedback(record(step), feedback(target_id=target), at(0, "feedback"), SETTINGS)

    erased = apply_erasure(record(answered), erasure(NOW + 1), at(0, "erasures"), SETTINGS)

    assert record(erased).advice == Advice()
    assert record(erased).advice.to_bytes() == b""
