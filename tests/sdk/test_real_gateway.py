"""The SDK's core in Node against a real gateway that is killed: what it promised, Kafka holds."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import redis.asyncio

from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.auth.tokens import issue
from app.gateway.intake.events import derive_id
from app.local.environment import child_environment
from app.settings import Settings
from tests.app.gateway.edge import Edge, Pusher, records

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "sdk" / "tests"
READY_SECONDS = 40.0
PAGE_SECONDS = 90.0
OLDEST_NODE = 20
"""Older ones have no WebSocket."""


def node() -> str:
    """Where Node is. It is there wherever CI runs; without it this test shows nothing."""
    found = shutil.which("node")
    told = "v0" if found is None else subprocess.check_output([found, "--version"], text=True)
    if found is None or int(told.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        assert "CI" not in os.environ, f"install Node {OLDEST_NODE}: the SDK is tested with it"
        pytest.skip(f"no Node {OLDEST_NODE} here")
    return found


class GatewayProcess:
    """A gateway as a process of its own, so that it can be killed."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{settings.gateway.port}"

    async def start(self) -> None:
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "gateway"],
                env=child_environment(self._settings),
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
        async with httpx.AsyncClient() as client, asyncio.timeout(READY_SECONDS):
            while True:
                assert self._process.poll() is None, self._log.read_text()
                try:
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)

    def terminate(self) -> None:
        """SIGTERM, and wait for the end."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(READY_SECONDS)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def page(url: str, token: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A page of `PAGES` in Node, for the learner `ada`."""
    process = await asyncio.create_subprocess_exec(
        node(),
        "--experimental-websocket",
        "--unhandled-rejections=strict",
        str(PAGES / name),
        env=os.environ | {"URL": url, "USER_ID": "ada", "TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def step(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """The page's next line, which has to be this step."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    if not line:
        raise AssertionError((await process.stderr.read()).decode())
    said: dict[str, Any] = orjson.loads(line)
    assert said.get("step") == name, said
    return said


async def in_kafka(settings: Settings, topics: tuple[str, ...]) -> Counter[str]:
    """How often each event is there, by its id. Every topic has to hold some."""
    found: Counter[str] = Counter()
    for topic in topics:
        for one in await records(settings, topic, 1):
            record = orjson.loads(one.value)
            found.update(event["eventId"] for event in record.get("interactions", [record]))
    return found


def event_id(event: dict[str, Any]) -> str:
    """Of an event that the page names, as the topics name it."""
    if event["kind"] != "feedback":
        return str(event["id"])
    return derive_id("ada", "feedback", event["id"])


async def test_what_was_stored_reaches_kafka_over_cuts_and_a_kill(
    topics: Settings, tmp_path: Path
) -> None:
    gateway = GatewayProcess(topics, tmp_path / "gateway.log")
    await gateway.start()
    try:
        async with (
            redis.asyncio.from_url(topics.redis.url) as client,
            page(gateway.url, issue(topics.auth, "ada"), "real_gateway.mjs") as process,
            asyncio.timeout(PAGE_SECONDS),
        ):
            pusher = Pusher(topics, client)
            await step(process, "live")
            await pusher.push("ada", id="i-1")
            await step(process, "kill")
            gateway.kill()
            await pusher.push("ada", id="i-2")
            await pusher.push("ada", id="i-3")
            await gateway.start()
            await pusher.push("ada", id="i-4")
            await step(process, "recorded")
            done = await step(process, "done")
    finally:
        gateway.kill()

    assert done["interventions"] == ["i-1", "i-2", "i-3", "i-4"]
    events = {one["id"]: one for one in done["events"]}
    assert len(events) == len(done["events"]) == 300
    assert done["flushed"], done["stats"]
    assert {one["outcome"] for one in events.values()} <= {"new", "duplicate"}
    assert all(one["stored"] for one in events.values())
    assert done["stats"]["accepted"] == done["stats"]["recorded"] == 300
    assert done["stats"]["retries"] > 0, "no message was under way when the line ended"
    found = await in_kafka(topics, (INTERACTIONS, CHAT, FEEDBACK))
    in_topics = {event_id(one): one for one in done["events"]}
    assert set(found) == set(in_topics)
    # A gateway that is killed between Kafka and Redis forgets that it took an event; the learner's
    # own memory knows it then. Nothing else may be there twice.
    twice = [in_topics[one] for one, number in found.items() if number > 1]
    assert all(one["unanswered"] for one in twice)


async def test_without_websockets_rest_serves(edge: Edge, pusher: Pusher) -> None:
    """Events by POST, and pushes by polls that wait: each once and in order."""
    async with (
        page(edge.http, edge.token("ada"), "real_rest.mjs") as process,
        asyncio.timeout(PAGE_SECONDS),
    ):
        await step(process, "live")
        for number in range(6):
            await pusher.push("ada", id=f"i-{number}")
            await asyncio.sleep(0.3 if number % 2 else 0.0)
        done = await step(process, "done")

    assert done["interventions"] == [f"i-{number}" for number in range(6)]

    assert done["flushed"], done
    assert done["transport"] == "rest"
    *accepted, wrong = done["ids"]
    assert done["outcomes"] == ["new"] * len(accepted) + ["refused"]
    [problem] = done["problems"]
    assert (problem["id"], problem["field"]) == (wrong, "timingData.responseTime")
    assert await in_kafka(edge.settings, (INTERACTIONS, CHAT)) == Counter(accepted)
