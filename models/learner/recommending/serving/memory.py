"""What is kept of one learner's recommendations, and its bytes.

Everything that was sent is kept in whole numbers, so that a record read again says
exactly what was said the first time: chances in 65535ths, expectations and facts of the
context (scaled by the catalogue's ranges) likewise.

    standing, at most `remembered` decisions, oldest first; the newest with its
    candidates and context; what was learned, at most `learned_actions` actions; what rests,
    each action of the catalogue at most once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

WHOLE: Final = 65_535
"""Probability 1, expectation 1, the top of a fact's range."""
_UNKNOWN: Final = 65_535
_TOP: Final = 65_534
"""Facts of the context keep one number for `unknown`."""

ID_BYTES: Final = 16
# standing, decisions, learned, resting; the moment to which what was learned has decayed
_HEAD: Final = struct.Struct("<BBBBq")
# id, moment, policy version, shown
_DECISION: Final = struct.Struct("<16sq4sB")
# action, expected here, goal then, answers, flags, applied after, follow-up; chance and what
# is expected of this learner stand with the candidates
_SHOWN: Final = struct.Struct("<IHHBBHH")
# candidates, facts of the context
_CONSIDERED: Final = struct.Struct("<BB")
_CANDIDATE: Final = struct.Struct("<IHH")
_LEARNED: Final = struct.Struct("<Iff")
_RESTING: Final = struct.Struct("<Iq")
_SINGLE: Final = struct.Struct("<f")

_EXPLORED, _PERSONAL, _REFUSED, _CLOSED = 1, 2, 4, 8
MAX_APPLIED_AFTER: Final = _UNKNOWN - 1
"""Seconds, 18 hours."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One recommendation of a decision, and what came of it."""

    action: int
    """The four bytes of its name (catalogue.Action.key)."""
    chance: int
    """Of being among those shown, in 65535ths; of the newest decision only, otherwise 0."""
    expected_here: int
    """Expected reward before this learner's own answers, in 65535ths."""
    expected: int
    """Expected reward of this learner, in 65535ths; of the newest decision only, otherwise 0."""
    goal: int | None = None
    """The goal's fact when it was decided (`scaled`); None if unknown."""
    answers: int = 0
    """A bit for each outcome of the catalogue that was learned from."""
    explored: bool = False
    """Drawn to learn about it, not because it ranked highest."""
    personal: bool = False
    """This learner's own answers moved the expectation."""
    applied_after: int | None = None
    """Whole seconds from the decision until the page first did it; None: not, as far as known."""
    refused: bool = False
    closed: bool = False
    """Its goal has been measured, or can no longer be."""
    follow_up: int | None = None
    """Reward measured from the goal (`scaled`)."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One candidate of the newest decision."""

    action: int
    chance: int
    expected: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, from what."""

    id: bytes
    at: int
    """Ingest time, milliseconds."""
    policy: bytes
    """Four bytes that name catalogue, artefact and settings."""
    shown: tuple[Shown, ...]
    candidates: tuple[Considered, ...] = ()
    """Of the newest decision only."""
    context: tuple[int | None, ...] = ()
    """The catalogue's facts in its order (`scaled`); of the newest decision only."""

    def bare(self) -> Decision:
        """Without what only the newest keeps."""
        shown = tuple(replace(one, chance=0, expected=0) for one in self.shown)
        return replace(self, shown=shown, candidates=(), context=())


@dataclass(frozen=True, slots=True)
class Learned:
    """This learner's answers about one action, decayed."""

    action: int
    weight: float
    """Answers' worth."""
    surprise: float
    """Σ weight · (reward - what was expected here)."""


@dataclass(frozen=True, slots=True)
class Advice:
    """All of one learner's recommendations."""

    standing: bool = False
    """Whether the newest decision is what the page should show now."""
    decisions: tuple[Decision, ...] = ()
    learned: tuple[Learned, ...] = ()
    learned_at: int = 0
    """Milliseconds; what was learned has decayed to this moment."""
    resting: tuple[tuple[int, int], ...] = ()
    """Actions that were refused, and until when (milliseconds) they are not shown."""

    @property
    def current(self) -> Decision | None:
        """The decision that stands, if one does."""
        return self.decisions[-1] if self.standing and self.decisions else None

    def to_bytes(self) -> bytes:
        """Little-endian; nothing for a learner to whom nothing was recommended."""
        if self == Advice():
            return b""
        counts = (len(self.decisions), len(self.learned), len(self.resting))
        parts = [_HEAD.pack(self.standing, *counts, self.learned_at)]
        for index, decision in enumerate(self.decisions):
            shown = decision.shown
            parts.append(_DECISION.pack(decision.id, decision.at, decision.policy, len(shown)))
            parts.extend(_pack_shown(one) for one in shown)
            if index == len(self.decisions) - 1:
                candidates, context = decision.candidates, decision.context
                parts.append(_CONSIDERED.pack(len(candidates), len(context)))
                parts.extend(
                    _CANDIDATE.pack(one.action, one.chance, one.expected) for one in candidates
                )
                parts.append(struct.pack(f"<{len(context)}H", *map(_or_unknown, context)))
        parts.extend(_LEARNED.pack(one.action, one.weight, one.surprise) for one in self.learned)
        parts.extend(_RESTING.pack(*one) for one in self.resting)
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, value: bytes) -> Advice:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: it is cut short or longer than it says.
            struct.error: it is cut short.
        """
        if not value:
            return cls()
        standing, n_decisions, n_learned, n_resting, learned_at = _HEAD.unpack_from(value)
        at = _HEAD.size
        decisions: list[Decision] = []
        for index in range(n_decisions):
            decision, at = _read_decision(value, at, is_newest=index == n_decisions - 1)
            decisions.append(decision)
        learned_end = at + n_learned * _LEARNED.size
        end = learned_end + n_resting * _RESTING.size
        if len(value) != end:
            raise ValueError(f"advice of {len(value)} bytes where its header says {end}")
        return cls(
            standing=bool(standing),
            decisions=tuple(decisions),
            learned=tuple(Learned(*one) for one in _LEARNED.iter_unpack(value[at:learned_end])),
            learned_at=learned_at,
            resting=tuple((key, until) for key, until in _RESTING.iter_unpack(value[learned_end:])),
        )


def share(part: float) -> int:
    """A number in [0, 1] in 65535ths."""
    return round(min(1.0, max(0.0, part)) * WHOLE)


def unshare(parts: int) -> float:
    """65535ths as a number in [0, 1]."""
    return parts / WHOLE


def scaled(value: float | None, low: float, high: float) -> int | None:
    """Where a fact stands in its range, clipped; None if it is not known."""
    if value is None:
        return None
    return round(min(1.0, max(0.0, (value - low) / (high - low))) * _TOP)


def unscaled(parts: int) -> float:
    """Where a fact stands in its range, 0 to 1."""
    return parts / _TOP


def single(value: float) -> float:
    """As four bytes can tell it, so that a record read again is the same."""
    return float(_SINGLE.unpack(_SINGLE.pack(value))[0])


@dataclass(frozen=True, slots=True)
class _Flag:
    bit: int
    field: str


_FLAGS: Final = (
    _Flag(_EXPLORED, "explored"),
    _Flag(_PERSONAL, "personal"),
    _Flag(_REFUSED, "refused"),
    _Flag(_CLOSED, "closed"),
)


def _pack_shown(one: Shown) -> bytes:
    flags = sum(flag.bit for flag in _FLAGS if getattr(one, flag.field))
    return _SHOWN.pack(
        one.action,
        one.expected_here,
        _or_unknown(one.goal),
        one.answers,
        flags,
        _or_unknown(one.applied_after),
        _or_unknown(one.follow_up),
    )


def _read_decision(value: bytes, at: int, *, is_newest: bool) -> tuple[Decision, int]:
    identity, moment, policy, n_shown = _DECISION.unpack_from(value, at)
    at += _DECISION.size
    shown: list[Shown] = []
    for _ in range(n_shown):
        action, here, goal, answers, flags, applied_after, follow_up = _SHOWN.unpack_from(value, at)
        at += _SHOWN.size
        shown.append(
            Shown(
                action=action,
                chance=0,
                expected_here=here,
                expected=0,
                goal=_known(goal),
                answers=answers,
                applied_after=_known(applied_after),
                follow_up=_known(follow_up),
                **{flag.field: bool(flags & flag.bit) for flag in _FLAGS},
            )
        )
    if not is_newest:
        return Decision(identity, moment, policy, tuple(shown)), at
    n_candidates, n_context = _CONSIDERED.unpack_from(value, at)
    at += _CONSIDERED.size
    candidates = tuple(
        Considered(*_CANDIDATE.unpack_from(value, at + index * _CANDIDATE.size))
        for index in range(n_candidates)
    )
    at += n_candidates * _CANDIDATE.size
    context = tuple(map(_known, struct.unpack_from(f"<{n_context}H", value, at)))
    at += 2 * n_context
    by_action = {one.action: one for one in candidates}
    if not all(one.action in by_action for one in shown):
        raise ValueError("an action was shown that is not among the candidates")
    told = (
        replace(one, chance=by_action[one.action].chance, expected=by_action[one.action].expected)
        for one in shown
    )
    return Decision(identity, moment, policy, tuple(told), candidates, context), at


def _or_unknown(value: int | None) -> int:
    return _UNKNOWN if value is None else value


def _known(value: int) -> int | None:
    return None if value == _UNKNOWN else value
