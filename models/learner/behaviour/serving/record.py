"""What is kept of a learner's behaviour: at most about 1 KB, whatever comes.

Four parts, none of which depends on the order in which events arrive (to the
rounding of float32):

    sums      decayed sums over three half-lives, like models/learner/evidence.py
    skills    decayed sums by skill, in BUCKETS buckets by the skill's hash: skills
              that share a bucket are read as one, so that nothing is ever evicted
    window    the last answers, the last response times, the latest exercise: the
              greatest by (time, content), which any order leads to
    stints    when the learner was there: intervals, merged where the pause between
              them is short; the newest STINTS are kept

Duplicates are left out before (models/learner/seen.py).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from math import exp2
from typing import Any, Final, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from models.learner.behaviour.serving.observed import NO_SKILL, UNKNOWN_HINTS, Observed
from models.learner.behaviour.serving.population import Population

ANSWERS_KEPT: Final = 5
RESPONSES_KEPT: Final = 6
STINTS: Final = 3
BUCKETS: Final = 40
MAX_KINDS: Final = 8
NOT_SENT: Final = -1


class Sum(IntEnum):
    """What is summed over each half-life; the order is that of the stored bytes.

    Residuals are what the learner did less what the population does on such
    exercises, so that easy exercises do not make an able learner.
    """

    ANSWERS = 0
    CORRECT = 1
    """Residuals of correct answers."""
    HINT_ANSWERS = 2
    HINTS = 3
    """Residuals of using a hint at all."""
    TRIED = 4
    REPEATED = 5
    """Residuals of more than one attempt."""
    RESPONSES = 6
    RESPONSE = 7
    """Log response times less the population's mean."""
    RESPONSE_SQUARES = 8
    TABS = 9
    TAB_ACTIVE = 10
    EVENTS = 11


WIDTH: Final = len(Sum)
# Plain integers: looking a member up costs more than all the arithmetic of an event.
(
    _ANSWERS,
    _CORRECT,
    _HINT_ANSWERS,
    _HINTS,
    _TRIED,
    _REPEATED,
    _RESPONSES,
    _RESPONSE_OFF,
    _RESPONSE_SQUARES,
    _TABS,
    _TAB_ACTIVE,
    _EVENTS,
) = map(int, Sum)
RECENT, SESSION, NORM = 0, WIDTH, 2 * WIDTH
"""Where each half-life's sums begin."""
_SUMS: Final = struct.Struct(f"<{3 * WIDTH}f")
_BUCKET: Final = struct.Struct("<B3f")
# time, skill, correct, attempts, hints, hint total, problem
_ANSWER: Final = struct.Struct("<qIBhhhI")
# time, log seconds
_RESPONSE: Final = struct.Struct("<qf")
_TASK: Final = struct.Struct("<qIh")
_STINT: Final = struct.Struct("<qq")
# decayed uses, uses
_KIND: Final = struct.Struct("<fI")
# newest, clock; numbers of answers, responses, stints, buckets, kinds
_HEAD: Final = struct.Struct("<qIBBBBB")
_MAX_COUNT: Final = 2**32 - 1
# Lighter than this, a bucket says nothing that could be seen in an estimate.
_FORGOTTEN: Final = 1e-4

Answer = tuple[int, int, int, int, int, int, int]
"""time, skill, correct (0 or 1), attempts, hints, hints on offer, problem; -1 where not sent."""
_Kept = TypeVar("_Kept", bound=tuple[float, ...])


@dataclass(frozen=True, slots=True)
class BehaviourRecord:
    """One learner's behaviour. Floats are float32 exactly, so that bytes round-trip."""

    newest: int = 0
    """Newest event time, milliseconds: the sums' reference time."""
    clock: int = 0
    """Which half-lives the sums were made with (`clock_of`)."""
    sums: tuple[float, ...] = (0.0,) * (3 * WIDTH)
    skills: tuple[tuple[int, float, float, float], ...] = ()
    """By bucket, ascending: decayed answers, residuals of correct, residuals of hints."""
    answers: tuple[Answer, ...] = ()
    """Newest first."""
    responses: tuple[tuple[int, float], ...] = ()
    """Time and log seconds, newest first."""
    task: tuple[int, int, int] | None = None
    """The latest exercise: time, skill, hints on offer."""
    stints: tuple[tuple[int, int], ...] = ()
    """First and last event time of each, newest first."""
    kinds: tuple[tuple[float, int], ...] = ()
    """By kind of content: decayed uses, uses."""

    def total(self, horizon: int, what: Sum) -> float:
        """One sum; `horizon` is RECENT, SESSION or NORM."""
        return self.sums[horizon + what]

    def skill(self, skill: int) -> tuple[float, float, float]:
        """Decayed answers, and residuals of correct and of hints, on a skill."""
        wanted = skill % BUCKETS
        for bucket, *held in self.skills:
            if bucket == wanted:
                return held[0], held[1], held[2]
        return 0.0, 0.0, 0.0

    def to_bytes(self) -> bytes:
        """Little-endian; 160 bytes to about 1 KB."""
        task = self.task or (0, NO_SKILL, -2)
        return b"".join(
            (
                _HEAD.pack(
                    self.newest,
                    self.clock,
                    len(self.answers),
                    len(self.responses),
                    len(self.stints),
                    len(self.skills),
                    len(self.kinds),
                ),
                _TASK.pack(*task),
                _SUMS.pack(*self.sums),
                *(_ANSWER.pack(*answer) for answer in self.answers),
                *(_RESPONSE.pack(*response) for response in self.responses),
                *(_STINT.pack(*stint) for stint in self.stints),
                *(_BUCKET.pack(*bucket) for bucket in self.skills),
                *(_KIND.pack(*kind) for kind in self.kinds),
            )
        )

    @classmethod
    def from_bytes(cls, value: bytes) -> BehaviourRecord:
        """Read what `to_bytes` wrote. Raises struct.error or ValueError on anything else."""
        newest, clock, answers, responses, stints, buckets, kinds = _HEAD.unpack_from(value)
        at = _HEAD.size
        task = _TASK.unpack_from(value, at)
        at += _TASK.size
        sums = _SUMS.unpack_from(value, at)
        at += _SUMS.size
        parts: list[tuple[Any, ...]] = []
        for layout, count in (
            (_ANSWER, answers),
            (_RESPONSE, responses),
            (_STINT, stints),
            (_BUCKET, buckets),
            (_KIND, kinds),
        ):
            end = at + count * layout.size
            parts.append(tuple(layout.iter_unpack(value[at:end])))
            at = end
        if at != len(value):
            raise ValueError(f"behaviour of {len(value)} bytes; its head says {at}")
        return cls(
            newest=newest,
            clock=clock,
            sums=sums,
            skills=parts[3],
            answers=parts[0],
            responses=parts[1],
            task=task if task[2] >= UNKNOWN_HINTS else None,
            stints=parts[2],
            kinds=parts[4],
        )


NO_BEHAVIOUR: Final = BehaviourRecord()


@lru_cache(maxsize=8)
def clock_of(half_lives: tuple[float, ...]) -> int:
    """32 bits that change with the half-lives: sums over others cannot be gone on with."""
    return crc32(struct.pack(f"<{len(half_lives)}d", *half_lives))


def add(
    record: BehaviourRecord,
    observed: Sequence[Observed],
    population: Population,
    pause: float,
) -> BehaviourRecord:
    """The record with more interactions in it. `pause`: seconds that end a stint."""
    if not observed:
        return record
    clock = clock_of(population.half_lives)
    if record.clock != clock:
        record = BehaviourRecord(clock=clock, newest=max(o.time for o in observed))
    newest = max(record.newest, *(item.time for item in observed))
    half_lives = population.half_lives
    left = [decay(newest - record.newest, half_life) for half_life in half_lives]
    skills = {b: [a * left[2], c * left[2], h * left[2]] for b, a, c, h in record.skills}
    kinds = [[uses * left[2], count] for uses, count in record.kinds]
    ages = [newest - item.time for item in observed]
    weights = _weights(ages, half_lives)
    rows: list[float] = []
    for item in observed:
        rows += _values(item, population)
    fresh = weights @ np.array(rows).reshape(-1, WIDTH)
    sums = [
        old * left[i // WIDTH] + new
        for i, (old, new) in enumerate(zip(record.sums, fresh.ravel().tolist(), strict=True))
    ]
    answers: list[Answer] = []
    responses: list[tuple[int, float]] = []
    task = record.task
    for item, weight in zip(observed, weights[2].tolist(), strict=True):
        if item.correct is not None:
            _count_skill(skills, item, weight, population)
            answers.append(_answer(item))
        if item.log_response is not None:
            responses.append((item.time, item.log_response))
        if item.has_task and (item.skill or item.hint_total >= 0):
            candidate = (item.time, item.skill, item.hint_total)
            task = candidate if task is None or candidate > task else task
        if item.kind is not None:
            while len(kinds) <= item.kind:
                kinds.append([0.0, 0])
            kinds[item.kind][0] += weight
            kinds[item.kind][1] = min(kinds[item.kind][1] + 1, _MAX_COUNT)
    return BehaviourRecord(
        newest=newest,
        clock=clock,
        sums=_SUMS.unpack(_SUMS.pack(*sums)),
        skills=tuple(
            _BUCKET.unpack(_BUCKET.pack(bucket, *held))
            for bucket, held in sorted(skills.items())
            if held[0] >= _FORGOTTEN
        ),
        answers=_newest(record.answers, answers, ANSWERS_KEPT),
        responses=tuple(
            _RESPONSE.unpack(_RESPONSE.pack(*response))
            for response in _newest(record.responses, responses, RESPONSES_KEPT)
        ),
        task=task,
        stints=_merged(record.stints, [item.time for item in observed], pause),
        kinds=tuple(_KIND.unpack(_KIND.pack(*kind)) for kind in kinds),
    )


def decay(age: int, half_life: float) -> float:
    """Weight of what lies `age` milliseconds back, half after `half_life` seconds."""
    return exp2(-age / (half_life * 1000)) if age > 0 else 1.0


@lru_cache(maxsize=8)
def _scale(half_lives: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """(3,) halvings in a millisecond, negative."""
    return -1.0 / (1000 * np.array(half_lives))


def _weights(ages: Sequence[int], half_lives: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """(3, n) weights of events that lie so many milliseconds back."""
    ages_ = np.array(ages, float)
    weights: npt.NDArray[np.float64] = np.exp2(np.multiply.outer(_scale(half_lives), ages_))
    return weights


def _values(item: Observed, population: Population) -> list[float]:
    """What one interaction adds to each sum, in the order of `Sum`."""
    row = [0.0] * WIDTH
    row[_EVENTS] = 1.0
    if item.correct is not None:
        chances = population.chances(item.skill, item.hint_total)
        row[_ANSWERS] = 1.0
        row[_CORRECT] = item.correct - chances.correct
        if item.hints is not None:
            row[_HINT_ANSWERS] = 1.0
            row[_HINTS] = (item.hints > 0) - chances.hint
        if item.attempts is not None:
            row[_TRIED] = 1.0
            row[_REPEATED] = (item.attempts > 1) - population.repeated
    if item.log_response is not None:
        off = item.log_response - population.log_response
        row[_RESPONSES] = 1.0
        row[_RESPONSE_OFF] = off
        row[_RESPONSE_SQUARES] = off * off
    if item.tab_active is not None:
        row[_TABS] = 1.0
        row[_TAB_ACTIVE] = float(item.tab_active)
    return row


def _count_skill(
    skills: dict[int, list[float]], item: Observed, weight: float, population: Population
) -> None:
    chances = population.chances(item.skill, item.hint_total)
    held = skills.setdefault(item.skill % BUCKETS, [0.0, 0.0, 0.0])
    held[0] += weight
    held[1] += weight * (bool(item.correct) - chances.correct)
    if item.hints is not None:
        held[2] += weight * ((item.hints > 0) - chances.hint)


def _answer(item: Observed) -> Answer:
    return (
        item.time,
        item.skill,
        int(bool(item.correct)),
        NOT_SENT if item.attempts is None else item.attempts,
        NOT_SENT if item.hints is None else item.hints,
        item.hint_total,
        item.problem,
    )


def _newest(held: tuple[_Kept, ...], more: list[_Kept], count: int) -> tuple[_Kept, ...]:
    return tuple(sorted((*held, *more), reverse=True)[:count]) if more else held


def _merged(
    stints: tuple[tuple[int, int], ...], times: Sequence[int], pause: float
) -> tuple[tuple[int, int], ...]:
    """Intervals united where less than `pause` seconds lie between; the newest ones."""
    if stints:
        # The usual case, without sorting: all of it goes on with the newest stint.
        (start, end), last = stints[0], max(times)
        if start <= min(times) and last <= end + pause * 1000:
            return ((start, max(end, last)), *stints[1:])
    spans = sorted((*stints, *((time, time) for time in times)))
    merged = [spans[0]]
    for start, end in spans[1:]:
        first, last = merged[-1]
        if start - last <= pause * 1000:
            merged[-1] = (first, max(last, end))
        else:
            merged.append((start, end))
    return tuple(merged[: -STINTS - 1 : -1])
