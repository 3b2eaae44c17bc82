"""In which order the learner worker applied the records of one learner.

Kafka orders the records of one topic. Between topics the worker's own order counts: that in which
it happened to fetch them. Two topics tell it, by the version that each update gave the record:

    learner-changelog  each version with the highest applied offset of each topic: what changed
                       between two versions names the record. Until compaction (a day at least)
    recommendations    version and source position, for each update by interactions or a reading.
                       As long as those are kept

Feedback and erasures have no output. They fill the versions that are left, each topic in its own
order. `Ordered.exact` says whether that leaves no choice.

Kafka drops the oldest records first. So what fills a version below every version that is known
may stand in the place of an event that is gone: only a later stored record proves that it does not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agents.learner import step_of
from agents.runtime import envelope
from agents.runtime.topics import EMOTIONS, ERASURES, FEEDBACK
from models.learner.config import LearnerSettings
from models.learner.record import FORMAT, PREVIOUS, LearnerRecord, header_of
from models.learner.update import Step
from schemas.base import DecodeError, Event
from schemas.topics.emotions import EmotionRead

Place = tuple[str, int]
"""Topic (as in the catalogue) and offset by which the worker guards against a redelivery."""

_UNTOLD: Final = frozenset({FEEDBACK, ERASURES})
"""Topics whose records lead to no output."""


@dataclass(slots=True)
class Source:
    """One record, as the worker got it. `topic` is the catalogue's name."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: float

    @property
    def place(self) -> Place:
        """Of a reading, that of its chat message. Raises DecodeError."""
        if self.topic != EMOTIONS:
            return self.topic, self.offset
        reading = EmotionRead.parse(self.value or b"")
        return reading.source_topic, reading.source_offset


@dataclass(slots=True)
class Journal:
    """What the topics tell of one learner's updates.

    Attributes:
        records: the stored record of each version that the changelog still has.
        applied: the highest applied offset of each topic in it.
        told: the lowest version that an output of each place names. A redelivery's output names
            the record as it stood then, so it is an upper bound.
        erased_at: when the learner was last erased, by the changelog; UTC milliseconds.
    """

    records: dict[int, bytes] = field(default_factory=dict)
    applied: dict[int, dict[str, int]] = field(default_factory=dict)
    told: dict[Place, int] = field(default_factory=dict)
    erased_at: int | None = None
    _format: int = FORMAT

    def stored(self, value: bytes | None) -> None:
        """The next record of the changelog; None: a tombstone. Raises RecordError."""
        if value is None:
            self.records.clear()  # versions begin anew
            self.applied.clear()
            return
        header = header_of(value)
        if header.erased_at is not None:
            self.erased_at = max(header.erased_at, self.erased_at or 0)
        record = LearnerRecord.from_bytes(value)
        # The first of a version: what a fenced worker wrote stands behind its successor's.
        if record.version not in self.records:
            self.records[record.version] = value
            self.applied[record.version] = dict(record.applied)
        self._format = record.format

    def output(self, place: Place, version: int) -> None:
        """The next output."""
        self.told[place] = min(version, self.told.get(place, version))

    def versions(self) -> dict[Place, int]:
        """The version that each place led to, where only one can be meant."""
        shared = Counter(self.told.values())
        found = {place: version for place, version in self.told.items() if shared[version] == 1}
        for version, now in self.applied.items():
            before = {} if version == 1 else self.applied.get(version - 1)
            if before is not None:
                moved = [place for place in now.items() if before.get(place[0]) != place[1]]
                if len(moved) == 1:
                    found[moved[0]] = version
        return found

    def beside(self, missing: int, *, after: int) -> bytes | None:
        """A stored record to go on from, where events up to a version are missing.

        The newest of before it, if there is one, else the oldest of behind.
        """
        newer = sorted(version for version in self.records if version > after)
        before = [version for version in newer if version < missing]
        return self.records[before[-1] if before else newer[0]] if newer else None

    def format_of(self, version: int, before: bytes | None) -> int:
        """The format that a version was written in, as far as it is known."""
        if (there := self.records.get(version)) is not None:
            return max(PREVIOUS, there[0])
        # There is no way back to an older one: if the newest is of an older one, so is the first.
        return self._format if before is None else max(PREVIOUS, before[0])

    def newest(self) -> int:
        """The highest version that anything names."""
        return max(*self.records, *self.told.values(), 0, 0)


@dataclass(frozen=True, slots=True)
class Move:
    """One step of the worker.

    Attributes:
        source: the record that it applied; None: its past is gone, and `start` takes its place.
        writes: the format that it wrote.
        start: the stored record to go on from.
    """

    source: Source | None
    writes: int
    start: bytes | None = None


@dataclass(slots=True)
class Ordered:
    """The steps of one learner, in the worker's order.

    Attributes:
        exact: the topics leave no choice, and each stored record that stands is the same byte by
            byte. False: some steps are in the order of Kafka's times, or the worker had other
            settings.
        whole: it begins with the learner's first event, or with the marker of an erasure. False:
            with another stored record.
        pending: records that led to nothing: the worker has yet to apply them, gave them up as
            dead letters, or they were received before an erasure.
    """

    moves: list[Move] = field(default_factory=list)
    exact: bool = True
    whole: bool = True
    pending: int = 0


def in_order(sources: Iterable[Source], journal: Journal, settings: LearnerSettings) -> Ordered:
    """Order one learner's records as the worker applied them.

    Args:
        sources: all that Kafka has of the learner on the worker's topics, in any order.
        settings: those of the worker then.
    """
    versions = journal.versions()
    steps: list[_Step] = []
    pending = 0
    kept, forgotten = _since_erasure(sorted(sources, key=lambda one: one.offset), journal)
    pending += forgotten
    for source in kept:
        try:
            place = source.place
        except DecodeError:
            pending += 1
            continue
        version = versions.get(place)
        if version is None and source.topic not in _UNTOLD and place not in journal.told:
            pending += 1
            continue
        steps.append(_Step(source, place, version))
    found = _Ordering(steps, versions, journal, settings).run()
    found.pending += pending
    return found


def _since_erasure(sources: Sequence[Source], journal: Journal) -> tuple[Sequence[Source], int]:
    """Without what an erasure made void, where its request is gone; and how many those are."""
    erased_at = journal.erased_at
    if erased_at is None or any(
        one.topic == ERASURES and (_received(one) or 0) >= erased_at for one in sources
    ):
        # The request is applied like any record, and the states of before fall with it.
        return sources, 0
    kept = [one for one in sources if (at := _received(one)) is None or at > erased_at]
    return kept, len(sources) - len(kept)


def _received(source: Source) -> int | None:
    """When masterx received it, UTC milliseconds; None: it cannot be read."""
    try:
        return envelope.read(Event, source).ingest_time
    except DecodeError:
        return None


def applied(move: Move, stored: bytes | None, settings: LearnerSettings) -> Step | None:
    """What the worker does with a record; None: a dead letter."""
    assert move.source is not None
    try:
        return step_of(move.source.topic, move.source, stored, settings, move.writes)
    except Exception:
        # As the worker does: whatever the update raises, the record stands as it was.
        return None


@dataclass(frozen=True, slots=True)
class _Step:
    """A record that the worker has applied, or may have. version: None where nothing tells it."""

    source: Source
    place: Place
    version: int | None


class _Ordering:
    """Applies the steps of one learner, and finds by that which comes next."""

    def __init__(
        self,
        steps: Sequence[_Step],
        versions: Mapping[Place, int],
        journal: Journal,
        settings: LearnerSettings,
    ) -> None:
        self._steps = steps
        self._journal = journal
        self._settings = settings
        last: dict[str, int] = {}
        for step in steps:
            last[step.place[0]] = max(step.place[1], last.get(step.place[0], -1))
        # Of events that came while these were gathered. Of a topic of which nothing is left, what
        # the journal names is gone, and not to come.
        self._to_come = {
            version
            for (topic, offset), version in versions.items()
            if offset > last.get(topic, offset)
        }
        self._found = Ordered()
        self._record = LearnerRecord()
        self._stored: bytes | None = None
        # No event of a version above this one is gone; None: nothing tells.
        self._lowest = min((one.version for one in steps if one.version is not None), default=None)
        self._queues = self._all()
        # So many moves are proven by a stored record, and were exact or not.
        self._proven = 0
        self._exact = True
        # Since then, a record was taken that may stand for one that is gone; and a state followed.
        self._stands_in = self._in_doubt = False

    def run(self) -> Ordered:
        """All moves."""
        self._apply_all()
        while self._is_short():
            start = self._journal.beside(0, after=self._record.version)
            if start is None:
                self._found.exact = self._found.whole = False
                break
            self._go_on_from(start)
            self._apply_all()
        self._found.exact &= not self._in_doubt
        self._heads()
        if self._queues.get(ERASURES):
            # Behind what has yet to be gathered: whatever was before it does not count.
            self._found.moves.clear()
        return self._found

    def _apply_all(self) -> None:
        while (step := self._next()) is not None:
            self._apply(step)

    def _is_short(self) -> bool:
        """Whether events are gone: the record had later versions, and none of them is to come."""
        version = self._record.version
        return self._journal.newest() > version and version + 1 not in self._to_come

    def _all(self) -> dict[str, deque[_Step]]:
        queues: dict[str, deque[_Step]] = {}
        for step in self._steps:
            queues.setdefault(step.source.topic, deque()).append(step)
        return queues

    def _next(self) -> _Step | None:
        """The step that follows; None: there is none."""
        while heads := self._heads():
            version = self._record.version + 1
            if (known := next((one for one in heads if one.version == version), None)) is not None:
                return known
            if version in self._to_come:
                self._found.pending += sum(map(len, self._queues.values()))
                return None
            due = min((one.version for one in heads if one.version is not None), default=version)
            if due - version > self._without_version():
                # There, events are gone that the versions count.
                if (start := self._journal.beside(due, after=version - 1)) is not None:
                    self._go_on_from(start)
                    continue
                self._found.exact = self._found.whole = False
            return self._guess(heads, is_last=due == version)
        return None

    def _heads(self) -> list[_Step]:
        for queue in self._queues.values():
            while queue and queue[0].place[1] <= self._record.applied.get(queue[0].place[0], -1):
                queue.popleft()
        return [queue[0] for queue in self._queues.values() if queue]

    def _without_version(self) -> int:
        """Records that may fill a gap between two versions."""
        return sum(step.version is None for queue in self._queues.values() for step in queue)

    def _guess(self, heads: list[_Step], *, is_last: bool) -> _Step:
        """One of those whose version nothing tells; one topic's are in their order at least."""
        loose = [one for one in heads if one.version is None]
        # Behind the last output, only what has none is left: its order shows in no state.
        silent = is_last and all(one.source.topic in _UNTOLD for one in loose)
        self._found.exact &= len(loose) <= 1 or silent
        self._stands_in |= self._lowest is None or self._record.version + 1 < self._lowest
        return min(loose or heads, key=lambda one: (one.source.timestamp, one.source.offset))

    def _apply(self, step: _Step) -> None:
        self._queues[step.source.topic].popleft()
        writes = self._journal.format_of(self._record.version + 1, self._stored)
        move = Move(step.source, writes)
        self._found.moves.append(move)
        done = applied(move, self._stored, self._settings)
        if done is None or not done.changed or done.record is None:
            return
        self._record, self._stored = done.record, done.record.to_bytes()
        version = self._record.version
        self._found.exact &= step.version in (None, version)
        self._in_doubt |= self._stands_in and step.source.topic not in _UNTOLD
        if (there := self._journal.records.get(version)) is None:
            return
        if self._journal.applied[version] != self._record.applied:
            # Not by those events: some are gone, and others took their versions.
            self._go_on_from(there)
            return
        self._found.exact &= there == self._stored
        if there == self._stored:
            # It remembers the ids of what was applied: nothing stood for anything else.
            self._stands_in = self._in_doubt = False
        self._proven, self._exact = len(self._found.moves), self._found.exact

    def _go_on_from(self, stored: bytes) -> None:
        """A stored record takes the place of what is not proven."""
        del self._found.moves[self._proven :]
        self._found.exact = self._exact
        self._found.whole = header_of(stored).is_marker
        self._stands_in = self._in_doubt = False
        self._found.moves.append(Move(None, stored[0], stored))
        self._proven = len(self._found.moves)
        self._record, self._stored = LearnerRecord.from_bytes(stored), stored
        self._queues = self._all()
