"""The log, what is trained on it, and what it says about other policies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.learner.recommending.offline.comparison import (
    MIN_LEARNERS,
    Interval,
    interval,
    resampled,
)
from models.learner.recommending.offline.evaluation import NothingToCompare, compare
from models.learner.recommending.offline.log import (
    Answered,
    Join,
    LoggedDecision,
    LogProblem,
    read_log,
    reward_of,
)
from models.learner.recommending.offline.training import fit_policy
from models.learner.recommending.serving.catalogue import Catalogue
from models.learner.recommending.serving.expectations import LearnedPolicy
from models.learner.recommending.serving.settings import RecommendingSettings
from models.learner.update import Position, apply_emotion, apply_feedback
from schemas.topics.actions import Candidate, FeedbackReceived, FollowUp
from schemas.topics.emotions import Emotion
from tests.models.learner.build import NOW, SETTINGS, feedback, reading
from tests.models.learner.recommending.build import Learner, catalogue, policy

PRIORS = [0.6, 0.5, 0.4]
TRUTH = [0.3, 0.5, 0.8]
"""The priors have it the wrong way round."""


def log_of(learners: int, decisions: int = 10, explore: float = 0.5) -> list[LoggedDecision]:
    rng = random.Random(5)
    # Nobody learns while the log is written: the logging policy is the prior, exploring.
    of = policy(PRIORS, places=1, keep=0, explore=explore, person_strength=1e9)
    people = [Learner(f"l{number}", TRUTH, rng) for number in range(learners)]
    return [one.step(of, answers=0.6)[1] for one in people for _ in range(decisions)]


def best_known() -> LearnedPolicy:
    """What showing a2 always would take."""
    return artefact(TRUTH)


def artefact(truth: Sequence[float], of: Catalogue | None = None) -> LearnedPolicy:
    """One that knows the truth."""
    actions = (of or catalogue(truth)).actions
    document = {
        "catalogue": "",
        "facts": [one.model_dump() for one in catalogue(truth).context],
        "actions": {
            f"a{index}": {
                "effect": action.effect,
                "coefficients": [mean, 0, 0],
                "covariance": [[0.001, 0, 0], [0, 0.001, 0], [0, 0, 0.001]],
                "answers": 1,
                "learners": 1,
            }
            for index, (mean, action) in enumerate(zip(truth, actions, strict=True))
        },
        "decisions": 0,
        "answers": 0,
        "learners": 0,
    }
    return LearnedPolicy.model_validate(document)


def width(one: Interval) -> float:
    assert one.low is not None
    assert one.high is not None
    return one.high - one.low


def test_both_estimators_tell_what_a_policy_is_worth_that_never_ran() -> None:
    compared = compare(
        log_of(300),
        catalogue(PRIORS),
        {"prior": None, "best": best_known()},
        RecommendingSettings(),
        resamples=300,
    )

    for name, truth in (("prior", TRUTH[0]), ("best", TRUTH[2])):
        for estimate in (compared.policies[name].ips, compared.policies[name].doubly_robust):
            assert estimate is not None
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= truth <= estimate.high
            assert estimate.high - estimate.low < 0.3
    prior, best = compared.policies["prior"], compared.policies["best"]
    assert best.doubly_robust is not None
    assert prior.doubly_robust is not None
    lowest, highest = best.doubly_robust.low, prior.doubly_robust.high
    assert lowest is not None
    assert highest is not None
    assert lowest > highest
    assert (prior.unsupported, best.unsupported) == (0, 0)
    assert best.effective_answers < compared.answers
    assert compared.decisions == 3000


def test_what_the_log_could_not_show_is_said_and_not_estimated() -> None:
    # Two variants of one action, the better of which the prior ranks second: in the first of
    # two places it never had a chance, however much the last place explores.
    document = catalogue((0.6, 0.5, 0.4, 0.3)).model_dump(mode="json")
    document["actions"][1]["action"] = document["actions"][0]["action"]
    of_two = Catalogue.model_validate(document)
    truth, rng = [0.2, 0.9, 0.5, 0.3], random.Random(1)
    of = policy(places=2, keep=0, explore=0.3, person_strength=1e9, catalogue_=of_two)
    people = [Learner(f"l{number}", truth, rng) for number in range(60)]
    log = [one.step(of, answers=0.7)[1] for one in people for _ in range(5)]
    policies = {"prior": None, "best": artefact(truth, of_two)}

    compared = compare(log, of_two, policies, RecommendingSettings(), resamples=100)
    asked = compare(
        log, of_two, policies, RecommendingSettings(), resamples=100, max_unsupported=0.5
    ).policies["best"]

    prior, best = compared.policies["prior"], compared.policies["best"]
    assert prior.unsupported == 0
    assert prior.ips is not None
    # One of its two places goes to the variant that was never shown.
    assert best.unsupported == pytest.approx(0.5)
    assert (best.ips, best.doubly_robust) == (None, None)
    assert asked.ips is not None
    assert asked.ips.high is not None
    assert asked.ips.high < (truth[1] + truth[2]) / 2, "what the estimate would have hidden"


def test_a_log_that_never_explored_says_nothing_of_another_policy() -> None:
    compared = compare(
        log_of(30, explore=0.0),
        catalogue(PRIORS),
        {"prior": None, "best": best_known()},
        RecommendingSettings(),
        resamples=100,
    )
    assert compared.policies["prior"].ips is not None
    assert compared.policies["best"].unsupported == 1
    assert compared.policies["best"].ips is None


def test_the_doubly_robust_interval_is_the_narrower_one_where_weights_are_large() -> None:
    log = log_of(400, explore=0.2)
    best = compare(
        log, catalogue(PRIORS), {"best": best_known()}, RecommendingSettings(), resamples=300
    ).policies["best"]
    assert best.largest_weight > 5
    assert best.doubly_robust is not None
    assert best.ips is not None
    assert width(best.doubly_robust) < width(best.ips)


def test_decisions_with_a_candidate_that_left_the_catalogue_are_left_out_and_counted() -> None:
    # Nobody retired: the same decisions, and some that had one more candidate.
    log = log_of(40)
    retired = [
        one.model_copy(
            update={
                "candidates": (
                    *one.candidates,
                    Candidate(variant="gone", action="do-gone", propensity=0.1, expected=0.5),
                )
            }
        )
        for one in log[:50]
    ]
    policies = {"prior": None, "best": best_known()}
    settings = RecommendingSettings()

    compared = compare([*log, *retired], catalogue(PRIORS), policies, settings, resamples=100)

    assert (compared.decisions, compared.left_out) == (400, 50)
    same = compare(log, catalogue(PRIORS), policies, settings, resamples=100)
    assert compared.policies == same.policies
    assert compared.logged == same.logged
    with pytest.raises(NothingToCompare):
        compare(retired, catalogue(PRIORS), policies, settings)


def test_few_learners_have_an_estimate_and_no_interval() -> None:
    few, enough = (
        compare(log_of(n), catalogue(PRIORS), {"prior": None}, RecommendingSettings())
        for n in (MIN_LEARNERS - 1, MIN_LEARNERS)
    )
    for one in (few.logged, few.policies["prior"].ips):
        assert one is not None
        assert 0 <= one.value <= 1
        assert (one.low, one.high) == (None, None)
    assert width(enough.logged) > 0


def test_an_interval_is_that_of_sums_over_people_drawn_again() -> None:
    rng = np.random.default_rng(3)
    columns = np.array([rng.random(50), np.ones(50)])
    drawn = resampled(columns, 4000, seed=1)
    assert drawn is not None
    assert (drawn[1] == 50).all()

    found = interval(columns, drawn, lambda sums: np.asarray(sums[0] / sums[1]))

    # Of a mean of 50, by the normal approximation.
    spread = columns[0].std() / np.sqrt(50)
    assert found.low == pytest.approx(found.value - 1.96 * spread, abs=0.2 * spread)
    assert found.high == pytest.approx(found.value + 1.96 * spread, abs=0.2 * spread)


def test_training_turns_wrong_priors_round() -> None:
    learned = fit_policy(log_of(200), catalogue(PRIORS, strength=4), RecommendingSettings())
    expected = [learned.actions[f"a{index}"].coefficients[0] for index in range(3)]
    assert expected == sorted(expected)
    for mean, truth in zip(expected, TRUTH, strict=True):
        assert mean == pytest.approx(truth, abs=0.1)


def test_few_people_teach_nothing_about_an_action() -> None:
    settings = RecommendingSettings(min_learners=5)
    assert fit_policy(log_of(4, 200), catalogue(PRIORS), settings).actions == {}


def test_one_person_who_answers_often_does_not_outweigh_many() -> None:
    def line(learner: str, number: int, outcome: str) -> LoggedDecision:
        return LoggedDecision.model_validate(
            {
                "decision": f"{learner}{number}",
                "learner": learner,
                "decided_at": NOW,
                "policy_version": "",
                "candidates": [
                    {"variant": "a0", "action": "do-0", "propensity": 1.0, "expected": 0.5}
                ],
                "shown": [{"id": "r", "variant": "a0", "outcomes": [outcome]}],
            }
        )

    many = [line(f"l{number}", number, "helpful") for number in range(30)]
    one = [line("loud", number, "not_helpful") for number in range(3000)]

    learned = fit_policy([*many, *one], catalogue([0.5]), RecommendingSettings(person_strength=3))

    assert learned.actions["a0"].coefficients[0] > 0.5


def test_a_log_without_answers_compares_nothing() -> None:
    silent = [one.model_copy(update={"shown": ()}) for one in log_of(3)]
    for log in (silent, []):
        with pytest.raises(NothingToCompare):
            compare(log, catalogue(PRIORS), {"prior": None}, RecommendingSettings())


# -- the file -----------------------------------------------------------------------------


def test_a_log_reads_as_it_was_written(tmp_path: Path) -> None:
    log = log_of(3)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\n".join(one.json_bytes() for one in log))
    assert list(read_log(file)) == log


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "Invalid JSON"),
        ('{"decision": "d"}', "learner"),
        (
            '{"decision":"d","learner":"l","decidedAt":1,"policyVersion":"","candidates":'
            '[{"variant":"a","action":"x","propensity":0,"expected":0.5}],'
            '"shown":[{"id":"r","variant":"a"}]}',
            "'a' was shown, but is no candidate with a chance",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, part: str) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("\n" + line)
    with pytest.raises(LogProblem) as caught:
        list(read_log(file))
    assert f"{file}:2" in str(caught.value)
    assert part in str(caught.value)


def test_a_reward_is_the_mean_of_what_the_outcomes_say() -> None:
    def reward(*outcomes: str, follow_up: float | None = None) -> tuple[float, float] | None:
        shown = Answered(id="r", variant="a0", outcomes=outcomes, follow_up=follow_up)
        found = reward_of(shown, catalogue([0.5]), 0.25)
        return None if found is None else (found.value, found.weight)

    assert reward() is None
    assert reward("sparkling") is None
    assert reward("helpful") == (1, 1)
    assert reward("helpful", "helpful", "not_helpful") == (0.5, 2)
    assert reward("applied", follow_up=1.0) == pytest.approx((0.8, 0.75))


# -- joining ------------------------------------------------------------------------------


def test_topics_are_joined_in_any_order_each_record_any_number_of_times() -> None:
    step = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), SETTINGS)
    assert step.outputs is not None
    made = step.outputs.recommendations
    target = made.recommendations[0].id
    answers: list[FeedbackReceived] = [
        feedback("f1", target_id=target, outcome="applied"),
        feedback("f2", target_id=target, outcome="helpful"),
        feedback("f3", target_id="of an intervention", target_type="intervention"),
    ]
    followed = made.model_copy(
        update={"decision": None, "follow_ups": (FollowUp(id=target, reward=0.75),)}
    )
    join = Join(b"salt")
    for one in (*answers, answers[0]):
        join.add_feedback(one)
    for update in (followed, made, made):
        join.add_recommendations(update)

    (logged,) = join.decisions()

    assert logged.learner != made.user_id
    assert made.user_id not in logged.json_bytes().decode()
    first, second = logged.shown
    assert (first.outcomes, first.follow_up) == (("applied", "helpful"), 0.75)
    assert (second.outcomes, second.follow_up) == ((), None)
    assert logged.candidates == (made.decision.candidates if made.decision else ())


def test_no_id_of_a_log_is_one_of_the_topics_or_of_another_export() -> None:
    step = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), SETTINGS)
    assert step.outputs is not None
    made = step.outputs.recommendations
    assert made.decision is not None
    exports = []
    for salt in (b"one", b"another"):
        join = Join(salt)
        join.add_recommendations(made)
        join.add_recommendations(made)
        exports.append(next(join.decisions()))
    ids = [{one.decision, one.learner, *(shown.id for shown in one.shown)} for one in exports]
    topics = {made.user_id, made.decision.id, *(one.id for one in made.recommendations)}

    assert len(ids[0]) == 2 + len(made.recommendations)
    assert not ids[0] & ids[1]
    assert not (ids[0] | ids[1]) & topics
    # An id of the topics follows from the user's: whoever guesses that could try it on a line.
    line = exports[0].json_bytes().decode()
    assert not any(identity in line for identity in topics)


def test_a_dismissal_stays_in_the_log_when_the_client_sends_the_cause_again() -> None:
    bored = {Emotion.BOREDOM: 0.9}
    first = apply_emotion(None, reading(0, probabilities=bored), SETTINGS)
    assert first.outputs is not None
    made = first.outputs.recommendations
    said = feedback(target_id=made.recommendations[0].id, outcome="dismissed")
    assert made.recommendations[0].variant == "more-interactive"
    dismissed = apply_feedback(first.record, said, Position("feedback", 3, 0), SETTINGS)
    retried = apply_emotion(
        dismissed.record, reading(5, chat="chat-0", probabilities=bored), SETTINGS
    )
    assert retried.outputs is not None
    again = retried.outputs.recommendations
    assert again.decision == made.decision
    assert len(again.recommendations) < len(made.recommendations)

    # Also as records of earlier versions tell it: without what was shown.
    old = [
        one.model_copy(
            update={"decision": one.decision and one.decision.model_copy(update={"shown": None})}
        )
        for one in (made, again)
    ]
    for records in ((made, again), (again, made), old, old[::-1], (old[1], again)):
        join = Join(b"salt")
        for record in records:
            join.add_recommendations(record)
        join.add_feedback(said)
        (logged,) = join.decisions()
        outcomes = {one.variant: one.outcomes for one in logged.shown}
        assert outcomes == {"more-interactive": ("dismissed",), "achievements": ()}


def test_of_two_decisions_of_one_id_the_first_is_kept_whole() -> None:
    step = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), SETTINGS)
    assert step.outputs is not None
    made = step.outputs.recommendations
    assert made.decision is not None
    assert made.decision.shown is not None
    later = made.model_copy(
        update={
            "decision": made.decision.model_copy(
                update={"decided_at": NOW + 1, "shown": made.decision.shown[:1]}
            )
        }
    )
    join = Join(b"salt")
    join.add_recommendations(made)
    join.add_recommendations(later)
    (logged,) = join.decisions()
    assert logged.decided_at == made.decision.decided_at
    assert len(logged.shown) == len(made.decision.shown)


def test_a_decision_that_does_not_say_what_it_was_chosen_from_is_left_out_and_counted() -> None:
    step = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), SETTINGS)
    assert step.outputs is not None
    made = step.outputs.recommendations
    assert made.decision is not None
    bare = made.model_copy(
        update={"decision": made.decision.model_copy(update={"candidates": (), "shown": None})}
    )
    join = Join(b"salt")
    join.add_recommendations(bare)
    assert (list(join.decisions()), join.undescribed) == ([], 1)
    join.add_recommendations(made)
    join.add_recommendations(bare)
    assert (len(list(join.decisions())), join.undescribed) == (1, 0)


def test_an_erased_learner_is_left_out() -> None:
    step = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), SETTINGS)
    assert step.outputs is not None
    made = step.outputs.recommendations
    join = Join(b"salt")
    join.add_recommendations(made)
    join.forget(made.user_id, NOW - 1)
    assert len(list(join.decisions())) == 1
    join.forget(made.user_id, NOW)
    assert list(join.decisions()) == []
