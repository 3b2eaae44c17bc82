"""Hints of danger that add up over a learner's last messages.

A message with probability p adds -log(1 - p): were the messages independent, a sum of s would mean
that with probability 1 - exp(-s) at least one of them is for a person. The sum halves with every
`half_life` between two messages. Only the emotion worker's memory holds it, of so many learners,
and so long, as `ConcernSettings` says: a restart or a rebalance forgets it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import exp2, log1p
from typing import NamedTuple

from models.emotion.config import ConcernSettings
from schemas.topics.concerns import Evidence


class Place(NamedTuple):
    """Where a message stands in its topic, and when masterx received it (ms)."""

    partition: int
    offset: int
    at: int


class Alarm(NamedTuple):
    """A person should know. weight: the sum that says so; None where one message does."""

    source: Evidence
    weight: float | None


@dataclass(slots=True)
class _Sum:
    """Of one learner.

    weight: the sum at `at` (ms); offset: of the last message in it
    raised: offset and weight of the last alarm by the sum: a redelivery raises the same one
    touched: when a hint came last, by the worker's clock, ms
    erased: what was received up to then (ms) does not count
    """

    partition: int
    touched: int
    weight: float = 0.0
    at: int = 0
    offset: int = -1
    raised: tuple[int, float] | None = None
    erased: int = -1


class Hints:
    """Of all learners of a worker. Times are in milliseconds."""

    def __init__(self, settings: ConcernSettings) -> None:
        self._settings = settings
        # The one that was touched last stands last.
        self._sums: OrderedDict[str, _Sum] = OrderedDict()
        self._partitions: set[int] | None = None

    def __len__(self) -> int:
        """Learners of whom something is remembered."""
        return len(self._sums)

    def read(self, user_id: str, place: Place, probability: float, now: int) -> Alarm | None:
        """Take a message in; the alarm that it raises, alone or with those before it.

        After an alarm the sum starts anew: one story raises one. A message that comes again adds
        nothing, and raises what it raised before.
        """
        self.expire(now)
        if probability >= self._settings.at:
            known = self._sums.get(user_id)
            if known is not None and place.offset > known.offset:
                known.weight, known.offset = 0.0, place.offset
            return Alarm(Evidence.MESSAGE, None)
        # NaN is no hint.
        if not probability >= self._settings.hint_from or not self._owns(place.partition):
            return None
        weight = self._add(user_id, place, probability, now)
        return None if weight is None else Alarm(Evidence.MESSAGES, weight)

    def _add(self, user_id: str, place: Place, probability: float, now: int) -> float | None:
        """The sum with this hint, where it is enough."""
        known = self._sums.get(user_id)
        if known is None or known.partition != place.partition:
            known = _Sum(place.partition, now)
        if place.at <= known.erased:
            return None
        if place.offset <= known.offset:
            raised = known.raised
            return raised[1] if raised is not None and raised[0] == place.offset else None
        self._touch(user_id, known, now)
        weight = self._decayed(known, place.at) - log1p(-probability)
        known.at, known.offset = max(known.at, place.at), place.offset
        if weight < self._settings.hints_at:
            known.weight = weight
            return None
        known.weight, known.raised = 0.0, (place.offset, weight)
        return weight

    def expire(self, now: int) -> None:
        """Forget those of whom no hint came for `kept`."""
        oldest = now - int(self._settings.kept * 1000)
        while self._sums and next(iter(self._sums.values())).touched < oldest:
            self._sums.popitem(last=False)

    def forget(self, user_id: str, partition: int, erased_at: int, now: int) -> None:
        """Forget a learner; what was received up to `erased_at` adds nothing any more."""
        self._touch(user_id, _Sum(partition, now, erased=erased_at), now)

    def assign(self, partitions: set[int]) -> None:
        """Forget whoever is another worker's now, or was until now."""
        kept = partitions if self._partitions is None else partitions & self._partitions
        self._partitions = set(partitions)
        for user_id in [user for user, one in self._sums.items() if one.partition not in kept]:
            del self._sums[user_id]

    def _owns(self, partition: int) -> bool:
        # What was under way as a partition went to another worker is the other's to add.
        return self._partitions is None or partition in self._partitions

    def _decayed(self, known: _Sum, at: int) -> float:
        passed = max(0, at - known.at) / 1000
        if passed > self._settings.kept:
            return 0.0
        return known.weight * exp2(-passed / self._settings.half_life)

    def _touch(self, user_id: str, known: _Sum, now: int) -> None:
        known.touched = max(known.touched, now)
        self._sums[user_id] = known
        self._sums.move_to_end(user_id)
        while len(self._sums) > self._settings.learners:
            self._sums.popitem(last=False)
