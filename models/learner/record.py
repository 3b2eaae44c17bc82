"""What is kept of one learner, and its bytes in the table.

Errors:
    RecordError          bytes that are not a record
      UnknownFormat      written by another version of this code
      CorruptRecord      cut short, or not what its header says
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import orjson

from models.learner.affect import AffectMean
from models.learner.behaviour.serving.record import NO_BEHAVIOUR, BehaviourRecord
from models.learner.evidence import FIRST_EMOTION, Evidence
from models.learner.recommending.serving.memory import Advice
from models.learner.seen import HASH_BYTES, HASH_BYTES_FORMAT_1, Seen, from_format_1
from models.learner.trajectory import NO_TREND, Trend
from schemas.topics.actions import TargetType
from schemas.topics.emotions import Emotion, Unread
from schemas.vocabulary import Level

FORMAT: Final = 4
"""Grows when the layout below changes; an older reader then refuses the record."""
PREVIOUS: Final = 3
"""What is written until every worker reads FORMAT (app/worker/formats.py)."""
READABLE: Final = frozenset((1, 2, PREVIOUS, FORMAT))
"""Format 1 had sums in double precision, longer hashes, and no behaviour; format 2 behaviour
without the names of exercises, which begins anew; format 3 ids without their kind. All are
still read; a record of 1 or 2 is written as one of 3."""

_OTHER_BEHAVIOUR: Final = frozenset((1, 2))
"""Formats whose behaviour is not read."""

_HAS_EVIDENCE, _UNAVAILABLE, _ERASED, _HAS_AFFECT, _HAS_BEHAVIOUR = 1, 2, 4, 8, 16
_HAS_KINDLESS = 32
# format, flags, version, newest ingest time, erased at, runs of seen, ids seen, bytes of tail
_HEAD: Final = struct.Struct("<BBQqqHHI")
# newest event time, interactions, messages, classes read (bits), classes stored
_COUNTS: Final = struct.Struct("<qQQQB")
_TREND: Final = struct.Struct("<7d")
_RUN: Final = struct.Struct("<qH")
# bytes of behaviour
_BEHAVIOUR: Final = struct.Struct("<H")
# ids in `seen` without their kind
_KINDLESS: Final = struct.Struct("<H")


class RecordError(ValueError):
    """Bytes that are not a record of a learner."""


class UnknownFormat(RecordError):
    """A record that another version of this code wrote."""


class CorruptRecord(RecordError):
    """A record that is cut short or not what its header says."""


@dataclass(frozen=True, slots=True)
class PastIntervention:
    """An intervention as it was raised, so that a redelivery sends the very same."""

    event_id: str
    level: Level
    confidence: float
    because: tuple[str, ...]
    raised_at: int
    version: int


@dataclass(frozen=True, slots=True)
class LearnerRecord:
    """One learner. Never changed in place: an update makes a new one.

    An erased learner's record is a marker: version, offsets and `erased_at` only.
    """

    format: int = FORMAT
    """What it is written as, FORMAT or PREVIOUS; `lifted` leads from one to the other."""
    version: int = 0
    """Grows by one with each applied record."""
    ingested: int = -1
    """Newest ingest time applied, milliseconds; the clock of gaps between interventions."""
    erased_at: int | None = None
    """Ingest time of the last erasure, milliseconds: what came before it does not count."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """Highest applied offset of each source topic (a learner has one partition)."""
    seen: Seen = field(default_factory=Seen)
    evidence: Evidence = field(default_factory=Evidence)
    trend: Trend = NO_TREND
    behaviour: BehaviourRecord = NO_BEHAVIOUR
    affect: AffectMean | None = None
    """Decayed mean of the affect embeddings."""
    model_unavailable: bool = False
    """The last message was not read."""
    unread: Unread | None = None
    """Why it was not; None where the model was down."""
    feedback: Mapping[TargetType, int] = field(default_factory=dict)
    """How often feedback came, by what it was about."""
    active: tuple[str, ...] = ()
    """Names of the rules that hold, sorted: a held rule lets go later than it caught."""
    raised: Mapping[Level, int] = field(default_factory=dict)
    """When each level was last raised, ingest time in milliseconds."""
    recent: tuple[PastIntervention, ...] = ()
    """The last interventions, oldest first."""
    advice: Advice = field(default_factory=Advice)
    """What was recommended, and what this learner's answers taught."""

    @classmethod
    def empty(cls, format_: int) -> LearnerRecord:
        """Of a learner of whom nothing is known, to be written in this format."""
        return cls(format=format_, seen=Seen(by_kind=format_ != PREVIOUS))

    def lifted(self) -> LearnerRecord:
        """The same in FORMAT. There is no way back."""
        if self.format == FORMAT:
            return self
        return replace(self, format=FORMAT, seen=self.seen.with_kinds())

    def to_bytes(self) -> bytes:
        """The record in little-endian binary: a few hundred bytes to about 7 KB."""
        advice = self.advice.to_bytes()
        tail = orjson.dumps(self._tail(len(advice)))
        runs, evidence = self.seen.runs, self.evidence
        flags = (
            (_HAS_EVIDENCE if evidence.newest is not None else 0)
            | (_UNAVAILABLE if self.model_unavailable else 0)
            | (_ERASED if self.erased_at is not None else 0)
            | (_HAS_AFFECT if self.affect is not None else 0)
            | (_HAS_BEHAVIOUR if self.behaviour != NO_BEHAVIOUR else 0)
            | (_HAS_KINDLESS if self.seen.kindless else 0)
        )
        parts = [
            _HEAD.pack(
                self.format,
                flags,
                self.version,
                self.ingested,
                self.erased_at or 0,
                len(runs),
                len(self.seen),
                len(tail),
            )
        ]
        if evidence.newest is not None:
            parts.append(
                _COUNTS.pack(
                    evidence.newest,
                    evidence.interactions,
                    evidence.messages,
                    evidence.classes,
                    len(Emotion),
                )
            )
            sums = evidence.session + evidence.long
            parts.append(struct.pack(f"<{len(sums)}f", *sums))
            trend = self.trend
            parts.append(
                _TREND.pack(
                    trend.weight,
                    trend.weight_squares,
                    trend.time,
                    trend.valence,
                    trend.time_time,
                    trend.time_valence,
                    trend.valence_valence,
                )
            )
        if self.affect is not None:
            parts.append(self.affect.to_bytes())
        if flags & _HAS_BEHAVIOUR:
            behaviour = self.behaviour.to_bytes()
            parts += (_BEHAVIOUR.pack(len(behaviour)), behaviour)
        if self.seen.kindless:
            parts.append(_KINDLESS.pack(self.seen.kindless))
        parts.extend(_RUN.pack(*run) for run in runs)
        parts.append(self.seen.hashes)
        parts.append(advice)
        parts.append(tail)
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, value: bytes) -> LearnerRecord:
        """Read what `to_bytes` wrote.

        Raises:
            UnknownFormat: another version of this code wrote it.
            CorruptRecord: it is cut short or not what its header says.
        """
        _check_format(value)
        try:
            return cls._decode(value)
        except (struct.error, ValueError, KeyError, TypeError) as error:
            raise CorruptRecord(f"learner record of {len(value)} bytes: {error}") from error

    @classmethod
    def _decode(cls, value: bytes) -> LearnerRecord:
        written, flags, version, ingested, erased_at, n_runs, n_ids, n_tail = _HEAD.unpack_from(
            value
        )
        at = _HEAD.size
        evidence, trend = Evidence(), NO_TREND
        if flags & _HAS_EVIDENCE:
            evidence, trend, at = _decode_evidence(value, at)
        affect = None
        if flags & _HAS_AFFECT:
            affect, at = AffectMean.from_bytes(value, at)
        behaviour = NO_BEHAVIOUR
        if flags & _HAS_BEHAVIOUR:
            start = at + _BEHAVIOUR.size
            at = start + _BEHAVIOUR.unpack_from(value, at)[0]
            if written not in _OTHER_BEHAVIOUR:
                behaviour = BehaviourRecord.from_bytes(value[start:at])
        kindless = 0
        if written == FORMAT and flags & _HAS_KINDLESS:
            kindless = _KINDLESS.unpack_from(value, at)[0]
            at += _KINDLESS.size
            if kindless > n_ids:
                raise ValueError(f"it holds {n_ids} ids, and {kindless} of them without kind")
        end_of_runs = at + n_runs * _RUN.size
        is_first = written == 1
        end_of_ids = end_of_runs + n_ids * (HASH_BYTES_FORMAT_1 if is_first else HASH_BYTES)
        if len(value) < end_of_ids + n_tail:
            raise ValueError(f"its header says {end_of_ids + n_tail} bytes or more")
        runs = tuple(_RUN.iter_unpack(value[at:end_of_runs]))
        hashes = value[end_of_runs:end_of_ids]
        end_of_advice = len(value) - n_tail
        tail = orjson.loads(value[end_of_advice:])
        if end_of_advice - end_of_ids != tail.get("advice", 0):
            raise ValueError(f"its advice has {end_of_advice - end_of_ids} bytes")
        seen = Seen(
            runs, from_format_1(hashes) if is_first else hashes, written == FORMAT, kindless
        )
        return cls(
            format=max(written, PREVIOUS),
            version=version,
            ingested=ingested,
            erased_at=erased_at if flags & _ERASED else None,
            applied=tail["applied"],
            seen=seen,
            evidence=evidence,
            trend=trend,
            behaviour=behaviour,
            affect=affect,
            model_unavailable=bool(flags & _UNAVAILABLE),
            unread=Unread(tail["unread"]) if "unread" in tail else None,
            feedback={TargetType(k): n for k, n in tail.get("feedback", {}).items()},
            active=tuple(tail.get("active", ())),
            raised={Level(level): at for level, at in tail.get("raised", {}).items()},
            recent=tuple(
                PastIntervention(event_id, Level(level), confidence, tuple(because), when, of)
                for event_id, level, confidence, because, when, of in tail.get("recent", ())
            ),
            advice=Advice.from_bytes(value[end_of_ids:end_of_advice]),
        )

    def _tail(self, advice_bytes: int) -> dict[str, Any]:
        tail: dict[str, Any] = {"applied": self.applied}
        if advice_bytes:
            tail["advice"] = advice_bytes
        if self.unread is not None:
            tail["unread"] = self.unread
        if self.feedback:
            tail["feedback"] = {target.value: n for target, n in self.feedback.items()}
        if self.active:
            tail["active"] = self.active
        if self.raised:
            tail["raised"] = {level.value: at for level, at in self.raised.items()}
        if self.recent:
            tail["recent"] = [
                (p.event_id, p.level.value, p.confidence, p.because, p.raised_at, p.version)
                for p in self.recent
            ]
        return tail


class Header(NamedTuple):
    """What the first bytes of a stored record tell. The fields are those of `LearnerRecord`."""

    version: int
    ingested: int
    erased_at: int | None
    is_marker: bool
    """Of an erased learner of whom nothing was received since."""


def header_of(value: bytes) -> Header:
    """A stored record's header, without reading the rest. Raises RecordError."""
    _check_format(value)
    try:
        _, flags, version, ingested, erased_at, _, ids, _ = _HEAD.unpack_from(value)
    except struct.error as error:
        raise CorruptRecord(f"learner record of {len(value)} bytes: {error}") from error
    # Whatever is applied leaves an id.
    marker = flags == _ERASED and not ids
    return Header(version, ingested, erased_at if flags & _ERASED else None, marker)


def version_of(value: bytes) -> int:
    """A stored record's version, without reading the rest. Raises RecordError."""
    _check_format(value)
    try:
        return int(_HEAD.unpack_from(value)[2])
    except struct.error as error:
        raise CorruptRecord(f"learner record of {len(value)} bytes: {error}") from error


def _check_format(value: bytes) -> None:
    if not value:
        raise CorruptRecord("an empty learner record")
    if value[0] not in READABLE:
        known = ", ".join(map(str, sorted(READABLE)))
        raise UnknownFormat(f"learner record of format {value[0]}; this version reads {known}")


def _decode_evidence(value: bytes, at: int) -> tuple[Evidence, Trend, int]:
    newest, interactions, messages, classes, stored = _COUNTS.unpack_from(value, at)
    at += _COUNTS.size
    if stored > len(Emotion):
        raise ValueError(f"it holds {stored} emotion classes, this version knows {len(Emotion)}")
    width = FIRST_EMOTION + stored
    layout = struct.Struct(f"<{2 * width}{'d' if value[0] == 1 else 'f'}")
    sums = layout.unpack_from(value, at)
    at += layout.size
    trend = Trend(*_TREND.unpack_from(value, at))
    # Classes are only ever appended, so an older record lacks the last ones.
    missing = (0.0,) * (len(Emotion) - stored)
    evidence = Evidence(
        newest=newest,
        session=sums[:width] + missing,
        long=sums[width:] + missing,
        classes=classes,
        interactions=interactions,
        messages=messages,
    )
    return evidence, trend, at + _TREND.size
