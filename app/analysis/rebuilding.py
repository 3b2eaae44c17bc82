"""Every state of the learners that was, or would have been under other settings.

It applies the stored events again with the worker's own function (`agents.learner.step_of`), from
the record's bytes to the record's bytes, in the order in which the worker did (`order`).

1. Gather, one partition after the other: events, and what tells their order, into a file beside
   `out` that is deleted at the end. So memory holds one learner at a time.
2. Order the records of each learner, and apply them.
3. Write the states as JSON lines, and compare them with those on `user-state`.

A learner who was forgotten has no states of before, in no file.
"""

from __future__ import annotations

import sqlite3
import tempfile
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2
from pydantic import ValidationError

from agents.runtime import envelope
from agents.runtime.topics import (
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.analysis.order import Journal, Ordered, Source, applied, in_order
from app.analysis.reading import consuming
from app.kafka.redrive import partition_counts, scan
from app.kafka.topics import catalogue, physical
from app.process.errors import OperatorError
from app.settings import Settings
from models.files import replacing
from models.learner.config import LearnerSettings
from models.learner.record import RecordError, header_of
from schemas.base import DecodeError, now_ms
from schemas.topics.actions import RecommendationsMade
from schemas.topics.state import UserState

_DAY_MS: Final = 86_400_000
_EVENTS: Final = (INTERACTIONS, EMOTIONS, FEEDBACK, ERASURES)
_SCHEMA: Final = """
CREATE TABLE event (key, topic, place, at, headers, value);
CREATE TABLE told (key, topic, place, version);
CREATE TABLE stored (key, place, value);
CREATE TABLE state (key, version, event, digest);
"""
_INDEXES: Final = "".join(
    f"CREATE INDEX by_{table} ON {table} (key);" for table in ("event", "told", "stored", "state")
)


class UnusableSettings(OperatorError):
    """A file of settings that cannot be used; names the file and the setting."""


@dataclass(slots=True)
class Rebuilt:
    """What was written, and how far it can be trusted.

    Attributes:
        equal, different: states that stand on `user-state` too: with the same bytes, or others.
        in_part: learners whose first events Kafka no longer has: they begin with a stored record.
        inexact: learners whose order the topics do not tell, or whose stored records differ
            (`order.Ordered.exact`).
        pending: events that led to nothing (`order.Ordered.pending`).
    """

    learners: int = 0
    states: int = 0
    equal: int = 0
    different: int = 0
    in_part: int = 0
    inexact: int = 0
    pending: int = 0


async def rebuild(
    settings: Settings, out: Path, *, user: str | None = None, other: LearnerSettings | None = None
) -> Rebuilt:
    """Write the states as JSON lines (`schemas.topics.state.UserState`), one learner after another.

    Args:
        settings: of the deployment, as the worker has them.
        user: this learner alone; None: all.
        other: the settings to apply; None: those of the deployment.

    Raises:
        Unavailable, Stalled, UnknownTopic: Kafka.
        OSError: it cannot be written there.
        NetProblem, BehaviourArtefactProblem, PolicyError: an artefact cannot be used.
    """
    chosen = other or settings.learner
    chosen.load()
    done = Rebuilt()
    with (
        replacing(out) as beside,
        beside.open("wb") as file,
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
    ):
        counts = await partition_counts(settings)
        partitions = range(counts.get(physical(settings, INTERACTIONS), 0))
        if user is not None and partitions:
            partitions = range(
                at := (murmur2(user.encode()) & 0x7FFFFFFF) % len(partitions), at + 1
            )
        for partition in partitions:
            with closing(_Gathered(Path(folder) / f"{partition}.db", partition)) as gathered:
                key = None if user is None else user.encode()
                await _gather(settings, counts, key, gathered)
                for learner in gathered.learners():
                    _write(gathered, learner, file, done, was=settings.learner, chosen=chosen)
    return done


def with_changes(settings: Settings, file: Path) -> LearnerSettings:
    """The deployment's settings of the learner, with those of a TOML file in place of them.

    The file has tables as `masterx settings` names them: `[learner.evidence]`. A path in it is
    one of where you run the command.

    Raises:
        UnusableSettings: it cannot be read, is no TOML, or holds what is no setting of the learner.
    """
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnusableSettings(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableSettings(f"{file} is not TOML: {error}") from None
    if strange := sorted(set(given) - {"learner"}):
        raise UnusableSettings(
            f"{file}: {strange[0]}: only settings of the learner change a state: write tables like "
            "[learner.evidence]"
        )
    tables = given.get("learner", {})
    if not isinstance(tables, dict):
        raise UnusableSettings(
            f"{file}: learner: is no table: write tables like [learner.evidence]"
        )
    merged = _merged(settings.learner.model_dump(exclude_unset=True), tables)
    try:
        return LearnerSettings.model_validate(merged).speaking(settings.words)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["learner", *map(str, first["loc"])])
        raise UnusableSettings(f"{file}: {where}: {first['msg']}") from None


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        inner = found.get(name)
        nested = isinstance(inner, dict) and isinstance(value, dict)
        found[name] = _merged(inner, value) if nested and inner is not None else value
    return found


# -- gathering --------------------------------------------------------------------------------


class _Gathered:
    """One partition's events, by learner, in a file."""

    def __init__(self, path: Path, partition: int) -> None:
        self.partition = partition
        self._base = sqlite3.connect(path, isolation_level=None)
        # The file lives as long as the command: nothing of it has to survive.
        self._base.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)

    def close(self) -> None:
        self._base.close()

    def event(self, topic: str, record: ConsumerRecord) -> None:
        """A record of a topic that the worker reads."""
        headers = [(name, None if v is None else v.decode("latin-1")) for name, v in record.headers]
        row = (record.key, topic, record.offset, record.timestamp, orjson.dumps(headers))
        self._base.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", (*row, record.value))

    def output(self, record: ConsumerRecord) -> None:
        """A record of `recommendations`."""
        try:
            made = envelope.read(RecommendationsMade, record)
        except DecodeError:
            return
        row = (record.key, made.source_topic, made.source_offset, made.version)
        self._base.execute("INSERT INTO told VALUES (?, ?, ?, ?)", row)

    def stored(self, record: ConsumerRecord) -> None:
        """A record of the changelog."""
        row = (record.key, record.offset, record.value)
        self._base.execute("INSERT INTO stored VALUES (?, ?, ?)", row)

    def state(self, record: ConsumerRecord) -> None:
        """A record of `user-state`."""
        if record.value is None:
            return
        try:
            state = envelope.read(UserState, record)
        except DecodeError:
            return
        row = (record.key, state.version, state.event_id, _digest(record.value))
        self._base.execute("INSERT INTO state VALUES (?, ?, ?, ?)", row)

    def learners(self) -> Iterator[bytes]:
        """Every key that has events; the last call before reading them."""
        self._base.executescript(_INDEXES)
        for (key,) in self._base.execute("SELECT DISTINCT key FROM event WHERE key IS NOT NULL"):
            yield key

    def sources(self, key: bytes) -> Iterator[Source]:
        """One learner's events."""
        rows = self._base.execute(
            "SELECT topic, place, at, headers, value FROM event WHERE key = ?", (key,)
        )
        for topic, offset, at, headers, value in rows:
            pairs = [
                (name, None if text is None else text.encode("latin-1"))
                for name, text in orjson.loads(headers)
            ]
            yield Source(topic, self.partition, offset, key, value, pairs, at)

    def journal(self, key: bytes) -> Journal:
        """What tells the order of one learner's events."""
        found = Journal()
        query = "SELECT topic, place, version FROM told WHERE key = ?"
        for topic, offset, version in self._base.execute(query, (key,)):
            found.output((topic, offset), version)
        query = "SELECT value FROM stored WHERE key = ? ORDER BY place"
        for (value,) in self._base.execute(query, (key,)):
            try:
                found.stored(value)
            except RecordError:
                continue
        return found

    def states(self, key: bytes) -> dict[tuple[int, str], bytes]:
        """Digests of one learner's states on `user-state`, by version and event id."""
        query = "SELECT version, event, digest FROM state WHERE key = ?"
        rows = self._base.execute(query, (key,))
        return {(version, event): digest for version, event, digest in rows}


async def _gather(
    settings: Settings,
    counts: Mapping[str, int],
    key: bytes | None,
    into: _Gathered,
) -> None:
    now = now_ms()
    oldest = {
        topic.name: now - int(topic.retention_days * _DAY_MS)
        for topic in catalogue(settings.kafka)
        if topic.retention_days is not None
    }
    async with consuming(settings) as consumer:

        async def records(topic: str) -> AsyncIterator[ConsumerRecord]:
            name = physical(settings, topic)
            async for record in scan(consumer, counts, name, {into.partition}, 0):
                # Kafka may have dropped a request to erase, and yet to drop what it was about.
                is_kept = record.timestamp >= oldest.get(topic, 0)
                if is_kept and (key is None or record.key == key):
                    yield record

        for topic in _EVENTS:
            async for record in records(topic):
                into.event(topic, record)
        takers = {
            RECOMMENDATIONS: into.output,
            LEARNER_CHANGELOG: into.stored,
            USER_STATE: into.state,
        }
        # Behind the events: what tells of one stands here by then, if the worker has applied it.
        for topic, take in takers.items():
            async for record in records(topic):
                take(record)


# -- applying ---------------------------------------------------------------------------------


def states_of(ordered: Ordered, settings: LearnerSettings) -> list[UserState]:
    """The state after each step, under some settings; none of before an erasure."""
    states: list[UserState] = []
    stored: bytes | None = None
    erased_at: int | None = None
    for move in ordered.moves:
        if move.source is None:
            stored = move.start
            at = None if stored is None else header_of(stored).erased_at
            if at is not None and (erased_at is None or at > erased_at):
                states.clear()
                erased_at = at
            continue
        step = applied(move, stored, settings)
        if step is None or not step.changed or step.record is None:
            continue
        # By way of its bytes, as in the worker: sums are stored in single precision.
        stored = step.record.to_bytes()
        if move.source.topic == ERASURES:
            states.clear()
            erased_at = step.record.erased_at
        elif step.outputs is not None:
            states.append(step.outputs.state)
    return states


def _write(
    gathered: _Gathered,
    key: bytes,
    file: BinaryIO,
    done: Rebuilt,
    *,
    was: LearnerSettings,
    chosen: LearnerSettings,
) -> None:
    ordered = in_order(gathered.sources(key), gathered.journal(key), was)
    there = gathered.states(key)
    states = states_of(ordered, chosen)
    for state in states:
        value = state.json_bytes()
        file.write(value + b"\n")
        before = there.get((state.version, state.event_id))
        done.equal += before == _digest(value)
        done.different += before not in (None, _digest(value))
    done.states += len(states)
    done.learners += bool(states)
    done.in_part += not ordered.whole
    done.inexact += not ordered.exact
    done.pending += ordered.pending


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=16).digest()
