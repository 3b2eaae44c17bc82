"""A record's bytes: round trip, size, and a clear word on what cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.behaviour.serving.record import NO_BEHAVIOUR
from models.learner.evidence import EMOTION_WEIGHT, FIRST_EMOTION, WIDTH, Evidence
from models.learner.record import (
    FORMAT,
    PREVIOUS,
    CorruptRecord,
    LearnerRecord,
    PastIntervention,
    RecordError,
    UnknownFormat,
    header_of,
    version_of,
)
from models.learner.seen import HASH_BYTES, EventId, Kind, Seen
from models.learner.trajectory import Trend
from schemas.topics.actions import TargetType
from schemas.topics.emotions import Unread
from schemas.vocabulary import Level
from tests.models.learner.build import NOW, SETTINGS, batch, fold, interaction, reading

COUNTS = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, 253_402_300_799_999)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SUMS = st.lists(
    st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=WIDTH, max_size=WIDTH
).map(tuple)
TEXTS = st.text(max_size=30)

evidences = st.builds(
    Evidence,
    newest=TIMES,
    session=SUMS,
    long=SUMS,
    classes=st.integers(0, 2**41 - 1),
    interactions=COUNTS,
    messages=COUNTS,
)
trends = st.builds(Trend, *[NUMBERS] * 7)
seens = st.lists(st.tuples(TIMES, st.lists(TEXTS, max_size=5)), max_size=4).map(
    lambda runs: Seen(
        tuple((time, len(ids)) for time, ids in runs),
        b"x" * (HASH_BYTES * sum(len(ids) for _, ids in runs)),
    )
)
pasts = st.builds(
    PastIntervention,
    event_id=TEXTS,
    level=st.sampled_from(Level),
    confidence=st.floats(0, 1),
    because=st.lists(TEXTS, max_size=3).map(tuple),
    raised_at=TIMES,
    version=COUNTS,
)
markers = st.builds(
    LearnerRecord,
    format=st.just(FORMAT),
    version=COUNTS,
    ingested=TIMES,
    erased_at=TIMES,
    applied=st.dictionaries(TEXTS, COUNTS),
)
records = st.builds(
    LearnerRecord,
    format=st.just(FORMAT),
    version=COUNTS,
    ingested=TIMES,
    erased_at=st.none() | TIMES,
    applied=st.dictionaries(TEXTS, COUNTS, max_size=4),
    seen=seens,
    evidence=evidences,
    trend=trends,
    model_unavailable=st.booleans(),
    unread=st.none() | st.sampled_from(Unread),
    feedback=st.dictionaries(st.sampled_from(TargetType), COUNTS),
    active=st.lists(TEXTS, max_size=4).map(tuple),
    raised=st.dictionaries(st.sampled_from(Level), TIMES),
    recent=st.lists(pasts, max_size=3).map(tuple),
)
WRITTEN = Path(__file__).parent / "written"
"""Records as earlier releases wrote them; format-3.bin by 0.1 (5921eda)."""


def previous(record: LearnerRecord) -> LearnerRecord:
    """The same as a record of the previous format."""
    return replace(record, format=PREVIOUS, seen=replace(record.seen, by_kind=False))


@given((markers | records).flatmap(lambda one: st.sampled_from([one, previous(one)])))
def test_round_trip_is_exact(record: LearnerRecord) -> None:
    value = record.to_bytes()
    assert value[0] == record.format
    assert LearnerRecord.from_bytes(value) == record
    assert version_of(value) == record.version
    header = header_of(value)
    assert header[:3] == (record.version, record.ingested, record.erased_at)
    bare = LearnerRecord(record.version, record.ingested, record.erased_at, record.applied)
    if record.erased_at is not None and record == bare:
        assert header.is_marker
    if header.is_marker:
        # What a marker holds more, no update makes.
        assert record.erased_at is not None
        assert not len(record.seen)
        assert record.evidence.newest is None


def test_a_header_is_read_without_the_rest() -> None:
    value = LearnerRecord(version=7, ingested=1_000, erased_at=5).to_bytes()
    broken = value[:40] + b"\xff" * 400
    with pytest.raises(CorruptRecord):
        LearnerRecord.from_bytes(broken)
    assert header_of(broken)[:3] == (7, 1_000, 5)
    for cut in (b"", value[:5], b"\x63" + value[1:]):
        with pytest.raises(RecordError):
            header_of(cut)


@given(records, st.data())
def test_a_cut_record_is_corrupt(record: LearnerRecord, data: st.DataObject) -> None:
    value = record.to_bytes()
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    with pytest.raises(CorruptRecord):
        LearnerRecord.from_bytes(cut)


@given(st.binary(max_size=400))
def test_noise_is_refused_not_misread(noise: bytes) -> None:
    for value in (noise, bytes([FORMAT]) + noise):
        try:
            read = LearnerRecord.from_bytes(value)
        except RecordError:
            continue
        assert read.to_bytes()


def test_another_format_is_named() -> None:
    value = bytes([FORMAT + 1]) + LearnerRecord().to_bytes()[1:]
    with pytest.raises(UnknownFormat, match=f"format {FORMAT + 1}; this version reads 1, 2, 3, 4"):
        LearnerRecord.from_bytes(value)
    with pytest.raises(UnknownFormat):
        version_of(value)


def test_a_record_of_format_2_is_read_and_its_behaviour_begins_anew() -> None:
    """Given answers were kept without their exercise's name, Then all else is gone on with."""
    record = fold([batch([interaction("a"), interaction("b", NOW + 1000)])]).record
    assert record is not None
    assert record.behaviour != NO_BEHAVIOUR

    read = LearnerRecord.from_bytes(bytes([2]) + record.to_bytes()[1:])

    assert read == previous(replace(record, behaviour=NO_BEHAVIOUR))


def test_a_record_of_the_last_release_is_read_and_written_back_byte_for_byte() -> None:
    """Given workers of two releases take turns, Then each finds what the other left."""
    value = (WRITTEN / "format-3.bin").read_bytes()

    record = LearnerRecord.from_bytes(value)

    assert (record.format, record.version) == (PREVIOUS, 3)
    assert (record.evidence.interactions, record.evidence.messages) == (3, 1)
    assert record.feedback == {TargetType.RECOMMENDATION: 1}
    assert record.behaviour != NO_BEHAVIOUR
    ids = [EventId(Kind.FEEDBACK, each) for each in ("i-0", "i-2", "b-1", "m-1", "f-1", "new")]
    assert record.seen.unseen(ids) == [5]
    assert record.to_bytes() == value


@given((markers | records).map(previous))
def test_lifting_changes_the_format_and_what_is_asked_of_new_ids(record: LearnerRecord) -> None:
    lifted = record.lifted()

    assert lifted.to_bytes()[0] == FORMAT
    assert LearnerRecord.from_bytes(lifted.to_bytes()) == lifted == lifted.lifted()
    assert replace(lifted, format=PREVIOUS, seen=record.seen) == record
    assert (lifted.seen.hashes, lifted.seen.runs) == (record.seen.hashes, record.seen.runs)
    assert len(lifted.to_bytes()) <= len(record.to_bytes()) + 2


def test_more_ids_without_kind_than_ids_are_corrupt() -> None:
    record = previous(LearnerRecord(seen=Seen(((NOW, 1),), b"x" * HASH_BYTES))).lifted()
    wrong = replace(record, seen=replace(record.seen, kindless=2))
    with pytest.raises(CorruptRecord, match="2 of them without kind"):
        LearnerRecord.from_bytes(wrong.to_bytes())


def test_numbers_keep_their_places() -> None:
    # The layout is a promise to stored records: measures first, classes last.
    assert (EMOTION_WEIGHT, FIRST_EMOTION, WIDTH) == (18, 19, 60)


def test_an_active_learner_fits_4_kb() -> None:
    # Half an hour: an interaction every four seconds in batches of five, a message a minute.
    events = []
    for minute in range(30):
        for part in range(3):
            time = NOW + minute * 60_000 + part * 20_000
            ids = [f"{minute}-{part}-{i}" for i in range(5)]
            events.append(
                batch(
                    [interaction(id_, time, context_data={"tab_active": True}) for id_ in ids],
                    batch_id=f"{minute}-{part}",
                    ingest=time,
                )
            )
        events.append(reading(minute, time=NOW + minute * 60_000, valence=0.2))
    record = fold(events, SETTINGS).record
    assert record is not None
    assert len(record.seen) > 100
    assert len(record.to_bytes()) <= 4096
