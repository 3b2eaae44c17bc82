"""Workers of the last release and of this one take turns on the same partitions, both ways.

A rolling deploy has both in the group; a rollback gives a partition back to the old one. What
one wrote the other reads, and nothing is lost or counted twice. Every issue that changes a
record runs this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from agents.runtime.topics import (
    CHAT,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    LEARNER_CHANGELOG,
)
from app.kafka.admin import group_members
from app.process.exits import Exit
from app.redis import heartbeats
from app.settings import Settings
from models.learner.record import FORMAT, PREVIOUS
from schemas.base import Event, new_event_id, now_ms
from schemas.topics.actions import FeedbackReceived
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import PAD, EmotionRead
from schemas.topics.interactions import Interaction, InteractionsReceived
from schemas.topics.operations import ErasureRequested
from tests.crash.driver import Load, Planned, Sent, plan, send
from tests.crash.fleet import KILLED, fast
from tests.crash.reader import reading_of
from tests.crash.releases import READS_OF_LAST, WRITTEN_BY_LAST, lay_out
from tests.crash.verdict import judge, settled
from tests.servers import Services
from tests.topics import eventually, produce, read_all
from tests.workers import Release, WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(420)]

THIS = Release()
CHUNK = 40
"""Records after which the readings of their messages follow."""


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return lay_out(tmp_path_factory.mktemp("release") / "last")


def holding(settings: Settings, seconds: float) -> Settings:
    worker = settings.worker.model_copy(update={"format_hold": seconds})
    return settings.model_copy(update={"worker": worker})


def reading(sent: Sent) -> EmotionRead:
    """What the emotion worker would say of a message."""
    read = reading_of(sent.message.text)  # type: ignore[attr-defined]
    return EmotionRead(
        event_id=new_event_id(),
        user_id=sent.message.user_id,
        event_time=sent.message.event_time,
        ingest_time=sent.message.ingest_time,
        caused_by=(sent.message.event_id,),
        source_topic=CHAT,
        source_partition=sent.partition,
        source_offset=sent.offset,
        probabilities=read.probabilities,
        top=read.top,
        pad=PAD(valence=read.valence, arousal=read.arousal, dominance=read.dominance),
    )


def of_one_id(user: str, id_: str) -> list[Planned]:
    """A page that numbers each kind of event from 1 sends these."""
    now = now_ms()
    head = {"user_id": user, "event_time": now, "ingest_time": now}
    click = Interaction(event_id=id_, timestamp=now, interaction_type="click")
    return [
        Planned(
            INTERACTIONS,
            InteractionsReceived(event_id=new_event_id(), interactions=(click,), **head),
        ),
        Planned(CHAT, ChatReceived(event_id=id_, text="again", **head)),
        Planned(
            FEEDBACK,
            FeedbackReceived(
                event_id=id_, target_type="reply", target_id="r", outcome="helpful", **head
            ),
        ),
    ]


@dataclass
class Drive:
    """What is sent, turn by turn. Erased learners are silent until their turn has ended."""

    settings: Settings
    chance: random.Random
    records: int = 0
    erased: set[str] = field(default_factory=set)
    _latest: dict[str, Planned] = field(default_factory=dict)

    def retries(self) -> list[Planned]:
        """The last record of each learner again, as a client does that got no answer."""
        # Not now: what is planned for later turns was received later than this.
        at = {"ingest_time": self._newest}
        return [
            Planned(one.topic, one.message.model_copy(update=at))
            for user, one in self._latest.items()
            if user not in self.erased
        ]

    async def turn(self, planned: Sequence[Planned], erase: str | None = None) -> None:
        """Send them and, half-way, the erasure of a learner of whom nothing more follows."""
        half, silent = len(planned) // 2, erase
        await self._send(planned[:half])
        if silent is not None:
            self.erased.add(silent)
            asked = ErasureRequested(
                event_id=new_event_id(),
                user_id=silent,
                event_time=now_ms(),
                ingest_time=self._newest,
            )
            await produce(self.settings, ERASURES, [(silent, asked)])
        await self._send([one for one in planned[half:] if one.message.user_id != silent])

    async def _send(self, planned: Sequence[Planned]) -> None:
        for start in range(0, len(planned), CHUNK):
            chunk = planned[start : start + CHUNK]
            sent = await send(self.settings, chunk, rate=400)
            readings = [(s.message.user_id, reading(s)) for s in sent if s.topic == CHAT]
            await produce(self.settings, EMOTIONS, readings)
            self.records += len(sent)
            self._latest |= {one.message.user_id: one for one in chunk}

    @property
    def _newest(self) -> int:
        """Ingest time of the newest record that was sent."""
        return max(one.message.ingest_time for one in self._latest.values())


def turns(load: Load, count: int) -> list[list[Planned]]:
    """A load in parts; ingest times grow through all of them, and lie before now."""
    start = now_ms() - int(load.records * 1000 / load.rate) - 1000
    planned = [_as_the_last_sends(one) for one in plan(load, start)]
    size = -(-len(planned) // count)
    return [planned[at : at + size] for at in range(0, len(planned), size)]


def _as_the_last_sends(planned: Planned) -> Planned:
    """Without what the last release would not read: it would count the same event otherwise."""
    if not hasattr(planned.message, "clock_offset"):
        return planned
    message = planned.message.model_copy(update={"clock_offset": 0})
    return Planned(planned.topic, message)


async def reads_of(settings: Settings) -> list[int | None]:
    """What the learner workers that are alive say they read."""
    async with Redis.from_url(settings.redis.url) as redis:
        beats = (await heartbeats.roles(redis, settings.redis))["learner"]
    members = await group_members(settings, f"{settings.worker.group_prefix}-learner")
    # A worker of the last release is heard of in the group alone.
    silent = heartbeats.unheard(members, "learner", beats)
    return [*(one.get("reads") for one in beats), *(None for _ in silent)]


async def written(settings: Settings) -> dict[str, int]:
    """The format of each learner's latest record."""
    log = await read_all(settings, LEARNER_CHANGELOG)
    return {(r.key or b"").decode(): (r.value or b"\0")[0] for r in log}


async def switched(worker: WorkerProcess) -> None:
    """Wait until it writes the new format."""

    async def metric() -> bool:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{worker.port}/metrics")).text
        return f"masterx_record_format {FORMAT}.0" in text

    await eventually(metric, bool, within=60)


async def test_two_releases_take_turns_and_the_new_one_writes_anew_at_last(
    topics: Settings, last: Release, tmp_path: Path
) -> None:
    # Given workers of one name, so that one takes the other's place at once
    settings = holding(fast(topics, instance="only"), 3_600)
    drive = Drive(settings, random.Random(21))
    parts = turns(Load(seed=21, records=1_500, users=40, rate=400), 6)
    users = sorted({one.message.user_id for part in parts for one in part})
    exits: list[int] = []
    workers: list[WorkerProcess] = []

    async def started(release: Release, chosen: Settings = settings) -> WorkerProcess:
        log = tmp_path / f"learner-{len(workers)}.log"
        worker = WorkerProcess("learner", chosen, log, release=release)
        workers.append(worker)
        return await worker.start()

    try:
        # When the old one works, is killed under load, and the new one takes over
        old = await started(last)
        await eventually(lambda: reads_of(settings), lambda said: said == [READS_OF_LAST])
        sending = asyncio.create_task(drive.turn(parts[0], erase=users[0]))
        await asyncio.sleep(0.5)
        old.kill()
        exits.append(await old.ended())
        await sending
        new = await started(THIS)
        await eventually(lambda: reads_of(settings), lambda said: said == [FORMAT])
        await settled(settings, "learner")

        # And is rolled back: the old one comes while the new one is there, under its name
        await drive.turn([*drive.retries(), *parts[1]], erase=users[1])
        old = await started(last)
        exits.append(await new.ended())
        await settled(settings, "learner")

        # And the new one again, after a clean stop; and so on, killed once more
        await drive.turn([*drive.retries(), *parts[2]], erase=users[0])
        exits.append(await old.stop())
        new = await started(THIS)
        await settled(settings, "learner")
        sending = asyncio.create_task(drive.turn([*drive.retries(), *parts[3]]))
        await asyncio.sleep(0.5)
        new.kill()
        exits.append(await new.ended())
        old = await started(last)
        await sending
        await settled(settings, "learner")
        exits.append(await old.stop())

        # Then until here all is as the old one reads it
        assert set((await written(settings)).values()) == {PREVIOUS} == {WRITTEN_BY_LAST}

        # When the old ones are gone for good and nothing is to be waited for
        new = await started(THIS, holding(settings, 0))
        await switched(new)
        await drive.turn([*drive.retries(), *parts[4]], erase=users[2])
        await drive.turn([*of_one_id("a new page", "1"), *of_one_id(users[3], "1")])
        await settled(settings, "learner")
        new.kill()
        exits.append(await new.ended())

        # Then what was touched is of the new format, and is read back
        assert (await written(settings))[users[3]] == FORMAT
        new = await started(THIS, holding(settings, 0))
        await drive.turn([*drive.retries(), *parts[5]])
        await drive.turn(of_one_id("a new page", "1"))
        await settled(settings, "learner")
        exits.append(await new.stop())
    finally:
        for worker in workers:
            worker.kill()
    verdict = await judge(settings, ("learner",), same_bodies=False)
    print(verdict, exits)
    assert verdict.problems == []
    assert verdict.records == drive.records + 4
    assert exits == [KILLED, Exit.FENCED, 0, KILLED, 0, KILLED, 0]
    touched = {one.message.user_id for one in (*parts[4], *parts[5])} - {users[2]}
    formats = await written(settings)
    assert {formats[user] for user in touched} == {FORMAT}


async def test_two_releases_share_a_group(
    topics: Settings, last: Release, services: Services, tmp_path: Path
) -> None:
    if type(services.kafka).__name__ == "Broker":
        pytest.skip("the embedded broker is for one worker of a role at a time")
    # Given two workers of the last release
    settings = holding(fast(topics), 3_600)
    drive = Drive(settings, random.Random(22))
    parts = turns(Load(seed=22, records=1_800, users=60, rate=400), 4)
    users = sorted({one.message.user_id for part in parts for one in part})
    workers = [
        await WorkerProcess("learner", settings, tmp_path / f"old-{n}", release=last).start()
        for n in range(2)
    ]
    # When each is replaced under load by one of this release, and one of them back again
    order = [(THIS, False), (THIS, True), (last, False), (THIS, True)]
    ended: list[int] = []
    try:
        for number, ((release, is_killed), part) in enumerate(zip(order, parts, strict=True)):
            sending = asyncio.create_task(drive.turn(part, erase=users[number]))
            await asyncio.sleep(0.5)
            log = tmp_path / f"next-{number}"
            coming = WorkerProcess("learner", settings, log, release=release)
            going = workers[number]
            workers.append(coming)
            await coming.start()
            if is_killed:
                going.kill()
            ended.append(await (going.ended() if is_killed else going.stop()))
            await sending
            await settled(settings, "learner")
            await drive.turn(drive.retries())
        await settled(settings, "learner")
    finally:
        for worker in workers:
            worker.kill()
    verdict = await judge(settings, ("learner",), same_bodies=False)
    print(verdict, ended)
    assert verdict.problems == []
    assert verdict.records == drive.records + len(order)
    assert ended == [0, KILLED, 0, KILLED]
    assert set((await written(settings)).values()) == {PREVIOUS}


def test_a_turn_is_of_events(last: Release) -> None:
    """The old tree is another one than ours, and knows no setting that came since."""
    assert last.root != THIS.root
    assert last.variables is not None
    assert "MASTERX_WORKER__FORMAT_HOLD" not in last.variables
    assert isinstance(of_one_id("a", "1")[0].message, Event)
