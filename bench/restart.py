"""How long a worker that was killed takes until it has caught up: `python -m bench.restart`.

Starts everything as `masterx up` does, sends a load, kills one role after the other with
SIGKILL, and prints for each the seconds from the start of its successor until its lag is
what it was before. Measure on a quiet machine: the last column tells. Runs on the
embedded services, or on those that MASTERX_KAFKA__BOOTSTRAP, MASTERX_REDIS__URL and
MASTERX_MONGO__URL name.

    --rate      records a second, six of ten interactions, four chat messages (50)
    --times     how often each role is killed (3)
    --roles     which ones (all)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil
from aiokafka import AIOKafkaProducer

from agents.runtime import envelope
from agents.runtime.topics import CHAT, INTERACTIONS
from app.kafka.topics import physical
from app.settings import Settings
from app.worker import role as registry
from bench.system import System, running
from schemas.base import Event, new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import Interaction, InteractionsReceived, TaskData

LEARNERS = 100
SETTLED = 0.1
"""Seconds of the load that a worker is always behind: less counts as nothing."""
LOOKS = 5
"""Looks at the lag, a second apart, before a worker is killed."""
GIVE_UP = 180.0
"""Seconds after which a role counts as not coming back."""
BETWEEN = 5.0
"""Seconds of rest before the next kill."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One restart, in seconds since the successor's process began."""

    ready: float
    caught_up: float
    cpu: float
    """CPU seconds that the successor used until then: what a busy machine does not change."""
    down: float
    """From the kill to the successor's start: the supervisor's pause."""


def a_record(number: int) -> tuple[str, Event]:
    user = f"learner-{random.randrange(LEARNERS)}"
    now = now_ms()
    common = {"event_id": new_event_id(), "user_id": user, "event_time": now, "ingest_time": now}
    if number % 10 < 4:
        return CHAT, ChatReceived(**common, text=f"I do not get step {number} at all")
    done = Interaction(
        timestamp=now, interaction_type="answer", task_data=TaskData(correct=number % 3 > 0)
    )
    return INTERACTIONS, InteractionsReceived(**common, interactions=(done,))


async def send(settings: Settings, rate: float) -> None:
    """Until cancelled."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, acks="all")
    await producer.start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    number = 0
    try:
        while True:
            await asyncio.sleep(began + number / rate - loop.time())
            topic, message = a_record(number)
            await producer.send(
                physical(settings, topic),
                key=message.user_id.encode(),
                value=message.json_bytes(),
                headers=list(envelope.headers(type(message)).items()),
            )
            number += 1
    finally:
        await producer.stop()


@asynccontextmanager
async def load(settings: Settings, rate: float) -> AsyncIterator[None]:
    sending = asyncio.create_task(send(settings, rate))
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        if not sending.cancelled():
            sending.result()


def process_of(system: System, role: str) -> psutil.Process | None:
    for child in psutil.Process(system.pid).children():
        try:
            if child.cmdline()[-2:] == ["worker", role]:
                return child
        except psutil.NoSuchProcess:
            continue
    return None


async def beat_of(client: httpx.AsyncClient, system: System, role: str, since: float) -> dict:
    """The role's beat, if it was told after `since` (Unix seconds); else empty."""
    port = system.settings.gateway.status_port
    try:
        report = (await client.get(f"http://127.0.0.1:{port}/readyz")).json()
    except httpx.HTTPError:
        return {}
    beats = report["roles"][role]["instances"]
    return next((beat for beat in beats if beat["at"] / 1000 > since), {})


async def measure(system: System, role: str, rate: float) -> Measured:
    victim = process_of(system, role)
    if victim is None:
        raise RuntimeError(f"{role} does not run")
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        # A role that writes in batches always has some records under way.
        usual = SETTLED * rate
        for _ in range(LOOKS):
            beat = await beat_of(client, system, role, 0.0)
            usual = max(usual, beat.get("lag") or 0)
            await asyncio.sleep(1.0)
        killed_at = time.time()
        victim.kill()
        async with asyncio.timeout(GIVE_UP):
            while (successor := process_of(system, role)) is None or successor.pid == victim.pid:
                await asyncio.sleep(0.02)
            began = successor.create_time()
            ready = 0.0
            while True:
                beat = await beat_of(client, system, role, began)
                if beat.get("state") == "ready":
                    ready = ready or time.time() - began
                    if beat["lag"] is not None and beat["lag"] <= usual:
                        used = successor.cpu_times()
                        return Measured(
                            ready,
                            time.time() - began,
                            used.user + used.system,
                            began - killed_at,
                        )
                await asyncio.sleep(0.1)


async def run(rate: float, times: int, roles: list[str]) -> None:
    name = f"restart-{uuid.uuid4().hex[:8]}"
    async with (
        running(
            kafka={"topic_prefix": f"{name}.", "partitions": 4},
            worker={"group_prefix": name},
            redis={"prefix": name},
            mongo={"database": name},
        ) as system,
        load(system.settings, rate),
    ):
        await asyncio.sleep(BETWEEN)
        print(
            "| role | ready, s | caught up, s (median) | worst "
            "| CPU, s | pause before the start, s | load |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for role in roles:
            found = []
            for _ in range(times):
                found.append(await measure(system, role, rate))
                await asyncio.sleep(BETWEEN)
            print(
                f"| {role} | {statistics.median(one.ready for one in found):.1f} "
                f"| {statistics.median(one.caught_up for one in found):.1f} "
                f"| {max(one.caught_up for one in found):.1f} "
                f"| {statistics.median(one.cpu for one in found):.1f} "
                f"| {statistics.median(one.down for one in found):.1f} "
                f"| {os.getloadavg()[0]:.1f} on {os.cpu_count()} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument(
        "--roles", nargs="+", default=list(registry.roles()), choices=list(registry.roles())
    )
    options = parser.parse_args()
    asyncio.run(run(options.rate, options.times, options.roles))


if __name__ == "__main__":
    sys.exit(main())
