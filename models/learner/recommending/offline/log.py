"""The decision log: what was recommended, from what, and what came of it, as JSON lines.

One line a decision (docs/recommendations.md):

    {"decision": id, "learner": pseudonym, "decidedAt": ms, "policyVersion": hex,
     "context": {fact: 0..1}, "candidates": [{"variant", "action", "propensity", "expected"}],
     "shown": [{"id", "variant", "outcomes": [name, ...], "followUp": 0..1 or absent}]}

It is joined from the topics `recommendations` and `feedback`. Learners, decisions and
recommendations stand in it by hashes whose key is drawn anew for each export: the ids of the
topics follow from the user's id, and would give it away to who guesses it. Times and contexts
are the real ones, by which who has the topics, or another export, can find a line in them.

Errors:
    LogProblem    a line that is not one of a decision log; names file, line and field
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from pydantic import Field, ValidationError

from models.learner.recommending.serving.catalogue import Catalogue
from schemas.base import Message, Unit
from schemas.times import Millis
from schemas.topics.actions import (
    Candidate,
    DecisionMade,
    FeedbackReceived,
    RecommendationsMade,
    TargetType,
)


class LogProblem(ValueError):
    """A file that is not a decision log."""


class Answered(Message):
    """One recommendation that was shown, and what came of it."""

    id: str
    variant: str
    outcomes: tuple[str, ...] = ()
    follow_up: Unit | None = None


class LoggedDecision(Message):
    """One line of the log."""

    decision: str
    learner: str = Field(min_length=1, description="pseudonym: equal for equal people")
    decided_at: Millis
    policy_version: str
    context: dict[str, Unit] = Field(default_factory=dict)
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    shown: tuple[Answered, ...]


@dataclass(frozen=True, slots=True)
class Reward:
    """What came of a recommendation, in one number."""

    value: float
    """0..1: mean of what the outcomes and the goal's movement say, by their weights."""
    weight: float
    """Their sum, in answers."""


def reward_of(one: Answered, catalogue: Catalogue, follow_up_weight: float) -> Reward | None:
    """The reward of a shown recommendation; None if nothing came that teaches."""
    outcomes = {outcome.name: outcome for outcome in catalogue.outcomes}
    parts = [
        (outcomes[name].reward, outcomes[name].weight)
        for name in dict.fromkeys(one.outcomes)
        if name in outcomes
    ]
    if one.follow_up is not None:
        parts.append((one.follow_up, follow_up_weight))
    weight = sum(part for _, part in parts)
    if weight == 0:
        return None
    return Reward(sum(reward * part for reward, part in parts) / weight, weight)


def read_log(path: Path) -> Iterator[LoggedDecision]:
    """Every decision of a log.

    Raises:
        LogProblem: the file cannot be read, or a line is not of a decision log.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _read_line(path, number, line)
    except OSError as error:
        raise LogProblem(f"{path}: cannot be read: {error.strerror}") from error


def _read_line(path: Path, number: int, line: bytes) -> LoggedDecision:
    try:
        logged = LoggedDecision.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "whole line"
        raise LogProblem(f"{path}:{number}: {where}: {first['msg']}") from error
    chances = {one.variant: one.propensity for one in logged.candidates}
    for shown in logged.shown:
        if not chances.get(shown.variant):
            raise LogProblem(
                f"{path}:{number}: '{shown.variant}' was shown, but is no candidate with a chance"
            )
    return logged


# -- joining ------------------------------------------------------------------------------


@dataclass(slots=True)
class Join:
    """Joins what two topics say, in any order, each record any number of times.

    Args:
        salt: key of all pseudonyms, at most 64 bytes; drawn anew for each export.
    """

    salt: bytes
    _decisions: dict[str, tuple[str, DecisionMade]] = field(default_factory=dict)
    _shown: dict[str, dict[str, str]] = field(default_factory=dict)
    """By decision: recommendation id -> variant."""
    _outcomes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By learner and recommendation: event id -> outcome."""
    _follow_ups: dict[tuple[str, str], float] = field(default_factory=dict)

    def add_recommendations(self, made: RecommendationsMade) -> None:
        """Take in one record of `recommendations`."""
        decision = made.decision
        if decision is not None:
            held = self._decisions.get(decision.id)
            # Told again, it is the same; but earlier versions told it again with less.
            if held is None or _tells_more(decision, held[1]):
                self._decisions[decision.id] = (made.user_id, decision)
            if held is not None and held[1].shown is not None:
                pass  # known in full
            elif decision.shown is not None:
                self._shown[decision.id] = {one.id: one.variant for one in decision.shown}
            else:
                # Earlier versions told what was left: together, as much as is known.
                self._shown.setdefault(decision.id, {}).update(
                    {one.id: one.variant for one in made.recommendations if one.variant is not None}
                )
        for one in made.follow_ups:
            self._follow_ups[made.user_id, one.id] = one.reward

    def add_feedback(self, feedback: FeedbackReceived) -> None:
        """Take in one record of `feedback`."""
        if feedback.target_type is TargetType.RECOMMENDATION:
            target = (feedback.user_id, feedback.target_id)
            self._outcomes.setdefault(target, {})[feedback.event_id] = feedback.outcome

    def forget(self, user_id: str, at: int) -> None:
        """Leave out what was decided for a learner up to an erasure. `at`: ingest time, ms."""
        gone = [
            key
            for key, (user, made) in self._decisions.items()
            if user == user_id and made.decided_at <= at
        ]
        for key in gone:
            del self._decisions[key], self._shown[key]

    @property
    def undescribed(self) -> int:
        """Decisions that `decisions` leaves out: their records do not say what was chosen from.

        Earlier versions told a decision again by the catalogue of the moment.
        """
        return sum(not self._is_described(made) for _, made in self._decisions.values())

    def decisions(self) -> Iterator[LoggedDecision]:
        """Every decision that says what it was chosen from, by time."""
        for user, made in sorted(self._decisions.values(), key=lambda one: one[1].decided_at):
            if not self._is_described(made):
                continue
            yield LoggedDecision(
                decision=self._pseudonym("decision", made.id),
                learner=self._pseudonym("learner", user),
                decided_at=made.decided_at,
                policy_version=made.policy_version,
                context=made.context,
                candidates=made.candidates,
                shown=tuple(self._answered(user, self._shown[made.id])),
            )

    def _pseudonym(self, kind: str, identity: str) -> str:
        return blake2b(
            identity.encode(), key=self.salt, person=kind.encode(), digest_size=12
        ).hexdigest()

    def _is_described(self, made: DecisionMade) -> bool:
        possible = {one.variant for one in made.candidates if one.propensity}
        return bool(possible) and possible.issuperset(self._shown[made.id].values())

    def _answered(self, user: str, shown: Mapping[str, str]) -> Iterable[Answered]:
        for identity, variant in shown.items():
            outcomes = self._outcomes.get((user, identity), {})
            yield Answered(
                id=self._pseudonym("shown", identity),
                variant=variant,
                outcomes=tuple(dict.fromkeys(outcomes.values())),
                follow_up=self._follow_ups.get((user, identity)),
            )


def _tells_more(decision: DecisionMade, held: DecisionMade) -> bool:
    if not decision.candidates:
        return False
    return not held.candidates or (held.shown is None and decision.shown is not None)
