"""What every learner's record must be, recomputed from the input alone.

The formulas of docs/state.md, written again, straight and slow: every sum over the
list of all events, nothing incremental. From `models.learner` only the record's
bytes are read. Emotions are what the `emotions` topic says of each chat message
first; that is what the model read, and no business of this oracle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import fsum, isclose, sqrt
from typing import Any
from uuid import UUID

from models.learner.record import LearnerRecord
from schemas.topics.emotions import Emotion
from tests.topics import Record

Document = Mapping[str, Any]

MEASURES = (
    "valence", "arousal", "dominance", "responseTime", "dwellTime",
    "tabActive", "correct", "hints", "attempts",
)  # fmt: skip
"""In the order of the sums in a stored record: a numerator and a denominator each."""

SUM_TOLERANCE = 1e-5
"""Sums are kept in float32; one event more or less shows far above this."""
LEAST_NORMAL = 2.0**-126
"""Below it float32 has fewer digits: what is of days ago has decayed to that in a session."""
STEP = 1e-4
"""States have four decimals; shares are rounded together and move by less than a step. The
records are compared as exactly as they are kept."""
LEAST_EMOTION = 0.005
"""A state leaves out emotions with a smaller share (`learner.least_emotion`)."""
READING_TOLERANCE = 2e-3
"""How far a message's readings may differ when it was read twice (batching, bf16)."""


@dataclass(frozen=True, slots=True)
class Decays:
    """The settings that the formulas name; seconds."""

    session: float
    long: float
    trend: float
    skew: float


@dataclass(slots=True)
class Event:
    """One thing that counts, at its clamped time (ms)."""

    time: int
    values: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    is_message: bool = False


@dataclass(slots=True)
class Expected:
    """What one learner's input adds up to."""

    events: list[Event] = field(default_factory=list)
    records: int = 0
    """Records of this learner on the source topics, retries included: the version."""
    applied: dict[str, int] = field(default_factory=dict)
    feedback: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    """Ids that must appear in some state's `causedBy`."""
    erased_at: int | None = None
    """Ingest time of the last erasure: what came up to then leaves no trace."""

    @property
    def newest(self) -> int | None:
        return max((event.time for event in self.events), default=None)

    @property
    def interactions(self) -> int:
        return sum(not event.is_message for event in self.events)

    @property
    def messages(self) -> int:
        return sum(event.is_message for event in self.events)

    def weight(self, event: Event, half_life: float) -> float:
        newest = self.newest
        assert newest is not None
        return 2.0 ** (-(newest - event.time) / (half_life * 1000))

    def sums(self, measure: str, half_life: float) -> tuple[float, float]:
        """Numerator and denominator."""
        carried = [event for event in self.events if measure in event.values]
        return (
            fsum(self.weight(e, half_life) * e.values[measure] for e in carried),
            fsum(self.weight(e, half_life) for e in carried),
        )

    def mix(self, half_life: float) -> tuple[float, dict[str, float]]:
        """The emotion mix's denominator, and each class's numerator."""
        read = [event for event in self.events if event.shares]
        classes = {name for event in read for name in event.shares}
        return fsum(self.weight(e, half_life) for e in read), {
            name: fsum(self.weight(e, half_life) * e.shares.get(name, 0.0) for e in read)
            for name in classes
        }

    def trend(self, half_life: float) -> dict[str, float]:
        """Decayed moments of (minutes before the newest event, valence)."""
        points = [
            (
                self.weight(e, half_life),
                (e.time - (self.newest or 0)) / 60_000,
                e.values["valence"],
            )
            for e in self.events
            # What lies hundreds of half-lives back weighs nothing, in the record as here.
            if "valence" in e.values and self.weight(e, half_life) > 0
        ]
        total = fsum(w for w, _, _ in points)
        if not points:
            return dict.fromkeys(("weight", "squares", "t", "v", "tt", "tv", "vv"), 0.0)
        t = fsum(w * x for w, x, _ in points) / total
        v = fsum(w * y for w, _, y in points) / total
        return {
            "weight": total,
            "squares": fsum(w * w for w, _, _ in points),
            "t": t,
            "v": v,
            "tt": fsum(w * (x - t) ** 2 for w, x, _ in points),
            "tv": fsum(w * (x - t) * (y - v) for w, x, y in points),
            "vv": fsum(w * (y - v) ** 2 for w, _, y in points),
        }


# -- from the input ------------------------------------------------------------------------


def derived_interaction_id(batch_id: str, position: int, user: str) -> str:
    """Of an interaction without an id: UUIDv8 (RFC 9562) of a 16-byte BLAKE2b."""
    digest = bytearray(
        blake2b(f"interaction\0{batch_id}:{position}\0{user}".encode(), digest_size=16).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))


def first_readings(emotions: Iterable[Record]) -> tuple[dict[tuple[int, int], Document], list[str]]:
    """The first reading of each chat record by (partition, offset); and disagreements."""
    found: dict[tuple[int, int], Document] = {}
    wrong: list[str] = []
    for record in emotions:
        document = record.document
        place = (document["sourcePartition"], document["sourceOffset"])
        first = found.setdefault(place, document)
        both_read = first["status"] == document["status"] == "ok"
        if first is not document and both_read and not _same_reading(first, document):
            wrong.append(f"chat {place} was read twice, and differently")
    return found, wrong


def _same_reading(one: Document, other: Document) -> bool:
    def close(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
        return a.keys() == b.keys() and all(
            abs(a[name] - b[name]) <= READING_TOLERANCE for name in a
        )

    return close(one["pad"], other["pad"]) and close(one["probabilities"], other["probabilities"])


def expected(
    sources: Mapping[str, Iterable[Record]],
    readings: Mapping[tuple[int, int], Document],
    decays: Decays,
) -> tuple[dict[str, Expected], list[str]]:
    """Every learner's record, from `interactions`, `chat-messages`, `feedback` and `erasures`.

    Each event id counts once of its kind, as it was first received. Messages without a reading
    are reported. What is sent of a learner after an erasure must be sent after the worker has
    applied it, else it is a matter of luck whether it counts.
    """
    learners: dict[str, Expected] = {}
    wrong: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    for record in sources.get("erasures", ()):
        learner = learners.setdefault(record.document["userId"], Expected())
        learner.erased_at = max(record.document["ingestTime"], learner.erased_at or 0)
    for topic, records in sources.items():
        if topic == "erasures":
            continue
        for record in sorted(records, key=lambda r: (r.partition, r.offset)):
            document = record.document
            user = document["userId"]
            learner = learners.setdefault(user, Expected())
            if learner.erased_at is not None and document["ingestTime"] <= learner.erased_at:
                continue
            learner.records += 1
            learner.applied[topic] = record.offset
            cap = document["ingestTime"] + round(decays.skew * 1000)
            offset = document.get("clockOffset", 0)
            if topic == "interactions":
                for position, one in enumerate(document["interactions"]):
                    event_id = one.get("eventId") or derived_interaction_id(
                        document["eventId"], position, user
                    )
                    learner.ids.add(event_id)
                    if (user, topic, event_id) not in seen:
                        seen.add((user, topic, event_id))
                        learner.events.append(
                            Event(min(one["timestamp"] + offset, cap), _interaction_values(one))
                        )
                continue
            event_id = document["eventId"]
            is_new = (user, topic, event_id) not in seen
            seen.add((user, topic, event_id))
            if topic == "feedback":
                if is_new:
                    target = document["targetType"]
                    learner.feedback[target] = learner.feedback.get(target, 0) + 1
                continue
            learner.ids.add(event_id)
            reading = readings.get((record.partition, record.offset))
            if reading is None:
                wrong.append(f"chat {record.partition}:{record.offset} was not read")
            elif is_new and reading["status"] == "ok":
                learner.events.append(
                    Event(
                        min(document["eventTime"] + offset, cap),
                        dict(reading["pad"]),
                        _shares(reading["probabilities"]),
                        is_message=True,
                    )
                )
    return learners, wrong


def _interaction_values(interaction: Document) -> dict[str, float]:
    timing = interaction.get("timingData", {})
    context = interaction.get("contextData", {})
    task = interaction.get("taskData", {})
    values = {
        "responseTime": timing.get("responseTime"),
        "dwellTime": timing.get("dwellTime"),
        "tabActive": context.get("tabActive"),
        "correct": task.get("correct"),
        "hints": task.get("hintCount"),
        "attempts": task.get("attemptCount"),
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _shares(probabilities: Mapping[str, float]) -> dict[str, float]:
    total = max(1.0, fsum(probabilities.values()))
    return {name: probability / total for name, probability in probabilities.items()}


# -- against the output --------------------------------------------------------------------


def check_record(user: str, want: Expected, record: LearnerRecord, decays: Decays) -> list[str]:
    """How a learner's last record differs from what it must be."""
    wrong: list[str] = []

    def exact(name: str, is_: Any, must: Any) -> None:
        if is_ != must:
            wrong.append(f"{user}: {name} is {is_!r}, must be {must!r}")

    def near(name: str, is_: float, must: float, scale: float = 0.0) -> None:
        least = max(SUM_TOLERANCE * scale, LEAST_NORMAL)
        if not isclose(is_, must, rel_tol=SUM_TOLERANCE, abs_tol=least):
            wrong.append(f"{user}: {name} is {is_!r}, must be {must!r}")

    evidence = record.evidence
    exact("erased_at", record.erased_at, want.erased_at)
    if want.erased_at is None:
        # Of an erased learner it depends on the order of the topics what was applied before.
        exact("version", record.version, want.records)
        exact("applied", dict(record.applied), want.applied)
    exact("newest", evidence.newest, want.newest)
    exact("interactions", evidence.interactions, want.interactions)
    exact("messages", evidence.messages, want.messages)
    exact("feedback", {str(k): n for k, n in record.feedback.items()}, want.feedback)
    if want.newest is None:
        return wrong
    for horizon, half_life, sums in (
        ("session", decays.session, evidence.session),
        ("long", decays.long, evidence.long),
    ):
        for index, measure in enumerate(MEASURES):
            numerator, denominator = want.sums(measure, half_life)
            near(f"{horizon} {measure} numerator", sums[2 * index], numerator)
            near(f"{horizon} {measure} denominator", sums[2 * index + 1], denominator)
        weight, classes = want.mix(half_life)
        near(f"{horizon} emotion weight", sums[2 * len(MEASURES)], weight)
        for index, emotion in enumerate(Emotion):
            near(
                f"{horizon} {emotion}",
                sums[2 * len(MEASURES) + 1 + index],
                classes.get(emotion, 0.0),
            )
    moments, trend = want.trend(decays.trend), record.trend
    # Central moments of few points cancel; their scale is the weight times the spread.
    spread = 1.0 + moments["t"] ** 2 + moments["tt"]
    near("trend weight", trend.weight, moments["weight"])
    near("trend squares", trend.weight_squares, moments["squares"])
    near("trend time", trend.time, moments["t"], spread)
    near("trend valence", trend.valence, moments["v"])
    near("trend tt", trend.time_time, moments["tt"], spread)
    near("trend tv", trend.time_valence, moments["tv"], spread)
    near("trend vv", trend.valence_valence, moments["vv"], 1.0)
    return wrong


def check_state(user: str, want: Expected, state: Document, decays: Decays) -> list[str]:
    """How a learner's last state differs from what it must say."""
    wrong: list[str] = []

    def near(name: str, is_: float | None, must: float | None) -> None:
        if is_ is None or must is None:
            if is_ != must:
                wrong.append(f"{user}: state says {name} {is_!r}, must be {must!r}")
        elif not isclose(is_, must, rel_tol=SUM_TOLERANCE, abs_tol=STEP):
            wrong.append(f"{user}: state says {name} {is_!r}, must be {must!r}")

    activity = state["activity"]
    near("interactions", activity["interactions"], want.interactions)
    near("messages", activity["messages"], want.messages)
    for measure in MEASURES:
        numerator, denominator = want.sums(measure, decays.session) if want.events else (0.0, 0.0)
        mean = numerator / denominator if denominator >= 0.01 else None
        if measure in ("valence", "arousal", "dominance"):
            said = state[measure]
            if mean is None:
                near(f"{measure} confidence", said["confidence"], 0.0)
            else:
                near(measure, said["value"], mean)
                near(f"{measure} confidence", said["confidence"], denominator / (denominator + 1))
        else:
            near(measure, activity.get(measure), mean)
    weight, classes = want.mix(decays.session) if want.events else (0.0, {})
    must = {name: n / weight for name, n in classes.items()} if weight >= 0.01 else {}
    said = state.get("emotions", {})
    for name in must.keys() | said.keys():
        if name not in said and must[name] < LEAST_EMOTION + STEP:
            continue
        near(f"emotion {name}", said.get(name), must.get(name))
    return wrong + _check_trajectory(user, want, state["trajectory"], decays)


def _check_trajectory(user: str, want: Expected, said: Document, decays: Decays) -> list[str]:
    moments = want.trend(decays.trend) if want.events else {"weight": 0.0}
    if moments["weight"] < 0.01:
        return [] if said["points"] == 0 else [f"{user}: trajectory of nothing: {said}"]
    n = moments["weight"] ** 2 / moments["squares"]
    if abs(n % 1 - 0.5) > 1e-6 and said["points"] != round(n):
        return [f"{user}: trajectory points {said['points']}, must be {n}"]
    if said["points"] < 4 or said.get("slope") is None:
        return []
    slope = moments["tv"] / moments["tt"]
    rest = max(0.0, moments["vv"] - moments["tv"] ** 2 / moments["tt"]) / moments["weight"]
    noise = max(rest * n / (n - 2), 0.05**2)
    error = sqrt(noise * moments["weight"] / (n * moments["tt"]))
    close = isclose(said["slope"], slope, rel_tol=1e-6, abs_tol=STEP) and isclose(
        said["slopeError"], error, rel_tol=1e-6, abs_tol=STEP
    )
    return [] if close else [f"{user}: slope {said}, must be {slope} ± {error}"]


@dataclass(slots=True)
class Changelog:
    """What the changelog says of the learners, by user id.

    `latest` holds the record of who has one; `ended` those that a tombstone took, in order:
    the learner had been away for long, and whoever comes back begins anew.
    """

    latest: dict[str, LearnerRecord] = field(default_factory=dict)
    ended: dict[str, list[LearnerRecord]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What no fenced writer writes."""


def check_changelog(records: Iterable[Record]) -> Changelog:
    """Every learner's records.

    One writer at a time that loses nothing writes versions 1, 2, 3 ... in this order,
    each once, and again from 1 behind a tombstone. Anything else is a stale write, a lost
    one, or two writers.
    """
    found = Changelog()
    for entry in sorted(records, key=lambda r: (r.partition, r.offset)):
        assert entry.key is not None
        user = entry.key.decode()
        known = found.latest.get(user)
        if entry.value is None:
            if known is None:
                found.wrong.append(f"{user}: a tombstone of no record")
            else:
                found.ended.setdefault(user, []).append(found.latest.pop(user))
            continue
        record = LearnerRecord.from_bytes(entry.value)
        before = 0 if known is None else known.version
        if record.version != before + 1:
            found.wrong.append(f"{user}: version {record.version} stands behind {before}")
        if record.version > before:
            found.latest[user] = record
    return found


def of_life(
    sources: Mapping[str, Iterable[Record]],
    ended: Mapping[str, list[LearnerRecord]],
    life: int | None = None,
) -> dict[str, list[Record]]:
    """The input of each learner's life of this number, from 0; None: of the one that goes on."""

    def belongs(topic: str, record: Record) -> bool:
        lives = ended.get(record.document["userId"], [])
        offsets = [each.applied.get(topic, -1) for each in lives]
        if life is None:
            return record.offset > max(offsets, default=-1)
        return (
            life < len(lives) and max(offsets[:life], default=-1) < record.offset <= offsets[life]
        )

    return {
        topic: [record for record in records if belongs(topic, record)]
        for topic, records in sources.items()
    }


def check_lives(
    sources: Mapping[str, Iterable[Record]],
    readings: Mapping[tuple[int, int], Document],
    decays: Decays,
    ended: Mapping[str, list[LearnerRecord]],
    latest_end: int,
) -> list[str]:
    """What is wrong with lives that ended: an event missing, or one newer than `latest_end`."""
    wrong: list[str] = []
    for life in range(max(map(len, ended.values()), default=0)):
        wanted, unread = expected(of_life(sources, ended, life), readings, decays)
        wrong += unread
        for user, lives in ended.items():
            if life < len(lives):
                wrong += check_record(user, wanted.get(user, Expected()), lives[life], decays)
                if lives[life].ingested > latest_end:
                    wrong.append(f"{user}: put away too early, after {lives[life].ingested}")
    return wrong


_PLACE = {
    "eventId", "causedBy", "eventTime", "ingestTime",
    "sourceTopic", "sourcePartition", "sourceOffset",
}  # fmt: skip
"""Fields that tell which event a state was sent for, not what it says."""


def contradictions(records: Iterable[Record], name: str, key: Iterable[str]) -> list[str]:
    """Messages that share the `key` fields and differ in what they say."""
    fields = tuple(key)
    first: dict[tuple[Any, ...], Document] = {}
    wrong: list[str] = []
    for record in records:
        document = record.document
        said = {k: v for k, v in document.items() if k not in _PLACE}
        identity = tuple(document[each] for each in fields)
        if first.setdefault(identity, said) != said:
            wrong.append(f"{name}: two bodies for {identity}")
    return wrong
