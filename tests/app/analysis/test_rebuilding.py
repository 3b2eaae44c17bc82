"""States computed again, held against those that a real learner worker wrote."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.runtime.topics import (
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.analysis.rebuilding import UnusableSettings, _Gathered, rebuild, with_changes
from app.kafka.topics import physical
from app.settings import Settings
from models.learner.config import LearnerSettings
from schemas.base import Message, new_event_id, now_ms
from schemas.topics.actions import FeedbackReceived
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import Interaction, InteractionsReceived, TaskData
from schemas.topics.operations import ErasureRequested
from tests.app.analysis.test_frames import masterx
from tests.crash.fleet import fast
from tests.topics import committed, eventually, produce, read_all
from tests.workers import WorkerProcess

USERS = ("ada", "ben", "cy", "dee", "eve")


class Story:
    """What learners did, drawn from a seed; kept by topic, in the order of sending."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._chats = dict.fromkeys(USERS, 0)
        self.now = now_ms() - 3_600_000

    def events(self, count: int) -> dict[str, list[tuple[str, Message]]]:
        found: dict[str, list[tuple[str, Message]]] = {INTERACTIONS: [], EMOTIONS: [], FEEDBACK: []}
        for _ in range(count):
            self.now += self._random.randrange(500, 20_000)
            user = self._random.choice(USERS)
            topic = self._random.choices([INTERACTIONS, EMOTIONS, FEEDBACK], [5, 3, 2])[0]
            made: Message = {
                INTERACTIONS: self._batch,
                EMOTIONS: self._reading,
                FEEDBACK: self._feedback,
            }[topic](user)
            found[topic].append((user, made))
            if self._random.random() < 0.1:  # a client's own retry
                if isinstance(made, EmotionRead):  # it is another record of chat-messages
                    made = made.model_copy(update={"source_offset": self._chat(user)})
                found[topic].append((user, made))
        return found

    def _common(self, user: str) -> dict[str, Any]:
        return {
            "event_id": new_event_id(),
            "user_id": user,
            "event_time": self.now,
            "ingest_time": self.now + 40,
        }

    def _batch(self, user: str) -> InteractionsReceived:
        task = TaskData(
            skill="fractions", correct=self._random.random() < 0.6, hint_count=1, attempt_count=2
        )
        interactions = tuple(
            Interaction(
                event_id=new_event_id(),
                timestamp=self.now - 1_000 * i,
                interaction_type="answer",
                task_data=task,
            )
            for i in range(self._random.randrange(1, 4))
        )
        return InteractionsReceived(**self._common(user), interactions=interactions)

    def _reading(self, user: str) -> EmotionRead:
        valence = self._random.random()
        return EmotionRead(
            **self._common(user),
            caused_by=(new_event_id(),),
            source_topic="chat-messages",
            source_partition=0,
            source_offset=self._chat(user),
            probabilities={Emotion.JOY: 0.1, Emotion.FRUSTRATION: round(1 - valence, 3)},
            top=Emotion.FRUSTRATION,
            pad=PAD(valence=valence, arousal=0.4, dominance=0.5),
        )

    def _chat(self, user: str) -> int:
        self._chats[user] += 1
        return self._chats[user] * 7 + USERS.index(user)

    def _feedback(self, user: str) -> FeedbackReceived:
        return FeedbackReceived(
            **self._common(user),
            target_type="recommendation",
            target_id="never-shown",
            outcome="helpful",
        )


async def send(settings: Settings, events: Mapping[str, list[Any]]) -> None:
    await asyncio.gather(*(produce(settings, topic, made) for topic, made in events.items()))


async def drop(settings: Settings, topic: str, partition: int, before: int) -> None:
    """As Kafka does at the end of the retention: every record before this offset."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        place = TopicPartition(physical(settings, topic), partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


async def all_applied(settings: Settings, events: Mapping[str, int]) -> None:
    """Until the learner worker has committed so many records of each topic."""
    for topic, count in events.items():
        await eventually(
            lambda topic=topic: committed(settings, "learner", topic),
            lambda offsets, count=count: sum(offsets.values()) == count,
        )


async def live_states(settings: Settings, *without: str) -> dict[tuple[str, int, str], bytes]:
    """What stands on user-state, by learner, version and event."""
    found = {}
    for record in await read_all(settings, USER_STATE):
        if record.value is not None and (user := record.key.decode()) not in without:
            document = record.document
            found[user, document["version"], document["eventId"]] = record.value
    return found


def written(out: Path) -> dict[tuple[str, int, str], bytes]:
    found = {}
    for line in out.read_bytes().splitlines():
        document = orjson.loads(line)
        found[document["userId"], document["version"], document["eventId"]] = line
    return found


def sizes(*stories: Mapping[str, list[Any]]) -> dict[str, int]:
    return {topic: sum(len(one.get(topic, ())) for one in stories) for topic in stories[0]}


@pytest.mark.services
@pytest.mark.parametrize("with_changelog", [True, False])
async def test_every_state_is_rebuilt_to_the_byte(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_changelog: bool
) -> None:
    story = Story(seed=7)
    before, after = story.events(150), story.events(150)
    # Poison, and what waits when the worker starts: it fetches the topics in an order of its own.
    await produce(topics, INTERACTIONS, [("ada", b"{not json")])
    await send(topics, before)
    async with WorkerProcess("learner", topics, tmp_path / "log") as worker:
        await all_applied(topics, {**sizes(before), INTERACTIONS: len(before[INTERACTIONS]) + 1})
        await send(topics, after)
        total = sizes(before, after)
        await all_applied(topics, {**total, INTERACTIONS: total[INTERACTIONS] + 1})
        assert await worker.stop() == 0
    if not with_changelog:  # as after compaction: only `recommendations` tells the order
        newest = {one.key: one.offset for one in await read_all(topics, LEARNER_CHANGELOG)}
        take = _Gathered.stored

        def compacted(into: _Gathered, record: Any) -> None:
            if record.offset == newest[record.key]:
                take(into, record)

        monkeypatch.setattr(_Gathered, "stored", compacted)
    out = tmp_path / "states.jsonl"

    done = await rebuild(topics, out)

    live = await live_states(topics)
    assert len(live) > 200
    assert written(out) == live
    assert (done.equal, done.different, done.states) == (len(live), 0, len(live))
    assert (done.in_part, done.inexact, done.pending) == (0, 0, 1)
    # And of one learner alone
    await rebuild(topics, out, user="cy")
    assert written(out) == {name: value for name, value in live.items() if name[0] == "cy"}
    assert list(tmp_path.glob(".states*")) == []


@pytest.mark.services
@pytest.mark.crash
async def test_crashes_of_the_worker_leave_the_states_as_they_were(
    topics: Settings, tmp_path: Path
) -> None:
    chosen = fast(topics, instance="learner-0")
    story = Story(seed=11)
    stories = [story.events(80) for _ in range(3)]
    for events in stories[:2]:
        async with WorkerProcess("learner", chosen, tmp_path / "log") as worker:
            before = len(await read_all(topics, USER_STATE))
            await send(topics, events)
            # Killed with outputs on their way, and before the offsets are committed.
            await eventually(
                lambda: read_all(topics, USER_STATE),
                lambda seen, before=before: len(seen) > before + 5,
            )
            worker.kill()
    async with WorkerProcess("learner", chosen, tmp_path / "log"):
        await send(topics, stories[2])
        await all_applied(topics, sizes(*stories))
    out = tmp_path / "states.jsonl"

    done = await rebuild(chosen, out)

    rebuilt, live = written(out), await live_states(topics)
    assert (done.different, done.inexact, done.in_part) == (0, 0, 0)
    last = {user: version for user, version, _ in sorted(live)}
    for user in USERS:
        events = {event for name, _, event in live if name == user}
        assert events == {event for name, _, event in rebuilt if name == user}
        assert max(version for name, version, _ in rebuilt if name == user) == last[user]
    # What stands on the topic beside them is an output sent again: of an event that is there.
    first = {(user, event): version for user, version, event in sorted(rebuilt, reverse=True)}
    for user, version, event in live.keys() - rebuilt.keys():
        assert version >= first[user, event]


@pytest.mark.services
async def test_other_settings_make_other_states_of_the_same_events(
    topics: Settings, tmp_path: Path
) -> None:
    events = Story(seed=3).events(60)
    await send(topics, events)
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await all_applied(topics, sizes(events))
    file = tmp_path / "other.toml"
    file.write_text("[learner.evidence]\nsession_half_life = 60.0\n")
    was, would = tmp_path / "was.jsonl", tmp_path / "would.jsonl"

    await rebuild(topics, was)
    done = await rebuild(topics, would, other=with_changes(topics, file))

    one, other = written(was), written(would)
    assert one.keys() == other.keys()
    assert done.different > 0.5 * done.states
    assert done.equal + done.different == done.states
    valence = {name: orjson.loads(value)["valence"]["value"] for name, value in one.items()}
    changed = {name: orjson.loads(value)["valence"]["value"] for name, value in other.items()}
    assert valence != changed
    # A setting of the same value changes nothing.
    half_life = topics.learner.evidence.session_half_life
    file.write_text(f"[learner.evidence]\nsession_half_life = {half_life}\n")
    done = await rebuild(topics, would, other=with_changes(topics, file))
    assert (done.different, would.read_bytes()) == (0, was.read_bytes())


@pytest.mark.services
async def test_a_forgotten_learner_has_no_state_of_before(topics: Settings, tmp_path: Path) -> None:
    story = Story(seed=5)
    events = story.events(60)
    await send(topics, events)
    out = tmp_path / "states.jsonl"
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await all_applied(topics, sizes(events))
        erasure = ErasureRequested(
            event_id="e", user_id="ada", event_time=story.now, ingest_time=story.now + 100
        )
        await produce(topics, ERASURES, [("ada", erasure)])
        await rebuild(topics, out)
        assert {user for user, *_ in written(out)} == set(USERS) - {"ada"}
        await all_applied(topics, {ERASURES: 1})
        later = story.events(60)
        await send(topics, later)
        await all_applied(topics, sizes(events, later))

    done = await rebuild(topics, out)

    live = await live_states(topics)
    reborn = {
        name: value
        for name, value in live.items()
        if name[0] != "ada" or orjson.loads(value)["ingestTime"] > erasure.ingest_time
    }
    assert any(user == "ada" for user, *_ in reborn)
    assert written(out) == reborn
    assert (done.different, done.inexact) == (0, 0)


@pytest.mark.services
async def test_a_learner_is_forgotten_also_where_kafka_has_dropped_the_request(
    topics: Settings, tmp_path: Path
) -> None:
    story = Story(seed=5)
    events, later = story.events(60), story.events(60)
    await send(topics, events)
    at = max(message.ingest_time for made in events.values() for _, message in made)  # type: ignore[attr-defined]
    erasure = ErasureRequested(event_id="e", user_id="ada", event_time=at, ingest_time=at)
    out = tmp_path / "states.jsonl"
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await all_applied(topics, sizes(events))
        before = await live_states(topics)
        [(partition, offset)] = await produce(topics, ERASURES, [("ada", erasure)])
        await all_applied(topics, {ERASURES: 1})
        await drop(topics, ERASURES, partition, offset + 1)
        done = await rebuild(topics, out)
        assert {user for user, *_ in written(out)} == set(USERS) - {"ada"}
        assert (done.different, done.inexact, done.in_part) == (0, 0, 0)
        await send(topics, later)
        await all_applied(topics, sizes(events, later))

    done = await rebuild(topics, out)

    of_ada = {name for name in before if name[0] == "ada"}
    live = await live_states(topics)
    assert of_ada
    assert written(out) == {name: value for name, value in live.items() if name not in of_ada}
    assert any(user == "ada" for user, *_ in written(out))
    assert (done.different, done.inexact, done.in_part) == (0, 0, 0)


@pytest.mark.services
async def test_what_is_past_retention_is_left_out_though_kafka_has_yet_to_delete_it(
    topics: Settings, tmp_path: Path
) -> None:
    events = Story(seed=2).events(20)
    await send(topics, events)
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await all_applied(topics, sizes(events))
    await asyncio.sleep(1)
    short = topics.kafka.model_copy(update={"retention_days": 1 / 86_400})
    out = tmp_path / "states.jsonl"

    done = await rebuild(topics.model_copy(update={"kafka": short}), out)

    assert (out.read_bytes(), done.states, done.pending) == (b"", 0, 0)
    assert (await rebuild(topics, out)).states == len(await live_states(topics))


@pytest.mark.services
async def test_what_the_worker_has_not_applied_is_left_out(
    topics: Settings, tmp_path: Path
) -> None:
    events = Story(seed=2).events(20)
    await send(topics, events)
    out = tmp_path / "states.jsonl"
    done = await rebuild(topics, out)
    assert out.read_bytes() == b""
    assert done.states == 0
    assert done.pending == len(events[INTERACTIONS]) + len(events[EMOTIONS])
    assert await read_all(topics, RECOMMENDATIONS) == []


@pytest.mark.services
async def test_the_command_says_what_it_wrote_and_how_far_to_trust_it(
    topics: Settings, tmp_path: Path
) -> None:
    events = Story(seed=13).events(12)
    await send(topics, events)
    async with WorkerProcess("learner", topics, tmp_path / "log"):
        await all_applied(topics, sizes(events))
    out, other = tmp_path / "states.jsonl", tmp_path / "other.toml"
    run = masterx("rebuild", "--out", str(out), settings=topics)
    assert run.returncode == 0, run.stderr
    live = await live_states(topics)
    users = {user for user, *_ in live}
    assert f"{out}: {len(live)} states of {len(users)} learners" in run.stdout
    assert f"{len(live)} of them stand on user-state: {len(live)} equal, 0 diff" in run.stdout
    assert written(out) == live
    user = next(iter(users))
    run = masterx("rebuild", user, "--out", str(out), settings=topics)
    assert {name for name, *_ in written(out)} == {user}
    other.write_text("[learner.evidence]\nhalf_life = 3\n")
    arguments = ("rebuild", "--settings", str(other), "--out", str(tmp_path / "no.jsonl"))
    run = masterx(*arguments, settings=topics)
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: {other}: learner.evidence.half_life: ")
    missing = tmp_path / "no" / "policy.toml"
    other.write_text(f'[learner.policy]\nfile = "{missing}"\n')
    run = masterx(*arguments, settings=topics)
    assert run.returncode == 1
    assert str(missing) in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert not (tmp_path / "no.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("learner = 1", "learner"),
        ("[learner", "is not TOML"),
        ("[worker]\nin_flight = 1", "worker: only settings of the learner"),
        ("[learner.evidence]\nhalf_life = 3", "learner.evidence.half_life: Extra"),
        ("[learner.evidence]\nsession_half_life = -1.0", "learner.evidence.session_half_life: "),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "other.toml"
    file.write_text(text)
    with pytest.raises(UnusableSettings, match=wrong) as refused:
        with_changes(Settings(), file)
    assert str(file) in str(refused.value)


def test_settings_stand_on_those_of_the_deployment(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[learner.policy.gaps]\nmild = 5.0\n")
    gaps = LearnerSettings.model_validate({"policy": {"gaps": {"critical": 7.0}}})
    changed = with_changes(Settings(learner=gaps), file).policy.gaps
    assert (changed.mild, changed.critical, changed.moderate) == (5.0, 7.0, 300.0)
    with pytest.raises(UnusableSettings, match=r"none\.toml: No such file"):
        with_changes(Settings(), tmp_path / "none.toml")
