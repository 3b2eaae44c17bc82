"""Reads every topic after a run, and says what is wrong with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.runtime.topics import (
    CHAT,
    DEAD_LETTERS,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.kafka.topics import physical
from app.settings import Settings
from app.worker.role import roles as registered_roles
from schemas.base import now_ms
from tests.crash import oracle
from tests.topics import Record, read_all

DAY_MS = 86_400_000

READS = {name: role.topics for name, role in registered_roles().items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    problems: list[str]
    records: int
    learners: int
    redelivered_readings: int
    redelivered_states: int
    interventions: int
    put_away: int

    def __str__(self) -> str:
        return (
            f"{self.records} records of {self.learners} learners; "
            f"{self.redelivered_readings} readings and {self.redelivered_states} states again; "
            f"{self.interventions} interventions; {self.put_away} put away; "
            f"{len(self.problems)} problems"
        )


def decays(settings: Settings) -> oracle.Decays:
    learner = settings.learner
    return oracle.Decays(
        session=learner.evidence.session_half_life,
        long=learner.evidence.long_half_life,
        trend=learner.trajectory.half_life,
        skew=learner.evidence.skew,
    )


async def judge(
    settings: Settings,
    roles: tuple[str, ...] = ("emotion", "learner"),
    *,
    same_bodies: bool = True,
) -> Verdict:
    """Compare every output with the input.

    roles: whose commits must have come to the end.
    same_bodies: of two messages of one identity, both must say the same; another release may
        say it with another field.
    """
    names = (
        INTERACTIONS, CHAT, FEEDBACK, ERASURES, EMOTIONS, LEARNER_CHANGELOG,
        USER_STATE, RECOMMENDATIONS, INTERVENTIONS, DEAD_LETTERS,
    )  # fmt: skip
    topics = {name: await read_all(settings, name) for name in names}
    decay = decays(settings)
    readings, problems = oracle.first_readings(topics[EMOTIONS])
    sources = {name: topics[name] for name in (INTERACTIONS, CHAT, FEEDBACK, ERASURES)}
    changelog = oracle.check_changelog(topics[LEARNER_CHANGELOG])
    latest, ended = changelog.latest, changelog.ended
    wanted, unread = oracle.expected(oracle.of_life(sources, ended), readings, decay)
    problems += unread + changelog.wrong
    latest_end = now_ms() - round(settings.learner.inactive_days * DAY_MS)
    problems += oracle.check_lives(sources, readings, decay, ended, latest_end)
    problems += [f"dead letter: {letter.document}" for letter in topics[DEAD_LETTERS]]

    states: dict[str, dict] = {}
    told: dict[str, set[str]] = {}
    lives: list[list[Record]] = [[]]
    for entry in sorted(topics[USER_STATE], key=lambda r: (r.partition, r.offset)):
        if entry.value is None:
            # Erased; or put away, and then begins anew, or goes on if the record was still there.
            states.pop((entry.key or b"").decode(), None)
            lives.append([])
            continue
        lives[-1].append(entry)
        document = entry.document
        user = document["userId"]
        told.setdefault(user, set()).update(document["causedBy"])
        if user in states and document["version"] < states[user]["version"]:
            # Compaction keeps the last one.
            problems.append(f"{user}: state {document['version']} stands behind a newer one")
        else:
            states[user] = document
    for user, want in wanted.items():
        if user not in latest:
            problems.append(f"{user}: no record")
            continue
        problems += oracle.check_record(user, want, latest[user], decay)
        if lost := want.ids - told.get(user, set()):
            problems.append(f"{user}: no state was caused by {sorted(lost)}")
        if user in states:
            problems += oracle.check_state(user, want, states[user], decay)
        elif want.events:
            problems.append(f"{user}: no state")
    problems += [f"{user}: from nowhere" for user in latest.keys() - wanted.keys()]
    problems += [f"{user}: a state without a record" for user in states.keys() - latest.keys()]
    told_states = [record for life in lives for record in life]
    if same_bodies:
        for life in lives:
            problems += oracle.contradictions(life, USER_STATE, ("userId", "version"))
        problems += oracle.contradictions(
            topics[RECOMMENDATIONS], RECOMMENDATIONS, ("eventId", "version")
        )
        problems += oracle.contradictions(topics[INTERVENTIONS], INTERVENTIONS, ("eventId",))
    behind = {r: left for r in roles if (left := await lag(settings, r))}
    problems += [f"{role} has {left} records not committed" for role, left in behind.items()]
    return Verdict(
        problems,
        records=sum(len(records) for records in sources.values()),
        learners=len(wanted),
        redelivered_readings=len(topics[EMOTIONS]) - len(readings),
        redelivered_states=len(told_states)
        - len({(r.key, r.document["eventId"], r.document["sourceOffset"]) for r in told_states}),
        interventions=len(topics[INTERVENTIONS]),
        put_away=sum(map(len, ended.values())),
    )


async def lag(settings: Settings, role: str) -> int:
    """Records of a role's topics behind which its group's commits stand."""
    group = f"{settings.worker.group_prefix}-{role}"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        left = 0
        for topic in READS[role]:
            name = physical(settings, topic)
            await consumer._client._wait_on_metadata(name)
            tps = [TopicPartition(name, p) for p in consumer.partitions_for_topic(name) or ()]
            ends = await consumer.end_offsets(tps)
            for tp in tps:
                left += ends[tp] - (await consumer.committed(tp) or 0)
        return left
    finally:
        await consumer.stop()


async def settled(
    settings: Settings,
    *roles: str,
    within: float = 90.0,
) -> None:
    """Wait until the roles, in the order of the chain, have committed all there is."""
    async with asyncio.timeout(within):
        while any([await lag(settings, role) for role in roles]):
            await asyncio.sleep(0.5)
