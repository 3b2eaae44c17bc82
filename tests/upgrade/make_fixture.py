"""Writes `written-by-0.1/`: what release 0.1 leaves behind after a small load.

    .venv/bin/python -m tests.upgrade.make_fixture

Lays out the release (tests.crash.releases) in a temporary folder, runs its own `masterx up` on
embedded services, sends events of five learners through its gateway, erases one of them with its
own `masterx forget`, ends it by Ctrl-C, and takes what stands in Kafka, Redis and MongoDB. Texts
and ids are the ones below; times are those of the run. Run it again for a new release only, into
a folder of that release: what an old one wrote is no more to be changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import connect

from app.gateway.auth.tokens import issue
from app.kafka.admin import committed_offsets
from app.local.embedded import free_port
from app.local.environment import PREFIX, environment
from app.settings import Settings
from schemas.base import now_ms
from tests.app.gateway.edge import PREFIX as PATH
from tests.app.gateway.edge import Client
from tests.app.tutor.sse import Endpoint, say
from tests.crash.releases import COMMIT, lay_out
from tests.servers import choose
from tests.topics import eventually
from tests.upgrade.written import take
from tests.workers import Release

FOLDER = Path(__file__).parent / "written-by-0.1"
PARTITIONS = 4
WITHIN = 60.0
ERASED = "cy"
ROLES = ("emotion", "learner", "push", "history", "tutor")
"""Those that 0.1 had."""
REPLIES = ("Draw both pies, then compare a slice.", "The pies that you drew.")


def settings_of(directory: Path, **places: dict[str, str]) -> Settings:
    """Where everything is; all else is as the release has it."""
    base = Settings()
    update = {
        "kafka": base.kafka.model_copy(update={"partitions": PARTITIONS, **places["kafka"]}),
        "redis": base.redis.model_copy(update=places["redis"]),
        "mongo": base.mongo.model_copy(update=places["mongo"]),
        "gateway": base.gateway.model_copy(update={"port": free_port("127.0.0.1")}),
        "worker": base.worker.model_copy(update={"instance": "only"}),
        "embedded": base.embedded.model_copy(update={"data_dir": directory / "data"}),
    }
    return base.model_copy(update=update)


def variables(release: Release, settings: Settings, provider: str) -> dict[str, str]:
    """The environment of the release's processes: what differs from its own defaults."""
    ours, defaults = environment(settings), environment(Settings())
    changed = {name: text for name, text in ours.items() if text != defaults[name]}
    assert release.variables is not None
    assert changed.keys() <= release.variables
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)}
    providers = [{"name": "p0", "base_url": provider, "model": "m"}]
    return clean | changed | {
        "PYTHONPATH": str(release.root),
        f"{PREFIX}TUTOR__PROVIDERS": json.dumps(providers),
    }  # fmt: skip


class Learner:
    """A page: sends, and waits until what it sent is in a state that is pushed."""

    def __init__(self, user: str, socket: Any) -> None:
        self.user = user
        self._client = Client(socket)
        self._count = 0
        self.pushes: list[dict[str, Any]] = []
        self.place: tuple[str, int] | None = None

    async def hello(self) -> None:
        """Take the first message."""
        first = await self._client.until("hello")
        self.place = (first["epoch"], first["offset"])

    async def solve(self, *correct: bool, number: str = "") -> str:
        """A batch of finished exercises; its id. `number`: of a batch that is sent again."""
        id_ = number or self._id("batch")
        interactions = [
            {
                "eventId": f"{id_}-{n}",
                "timestamp": now_ms(),
                "interactionType": "answer",
                "timingData": {"responseTime": 3.0 + n, "dwellTime": 9.0},
                "contextData": {"tabActive": True},
                "taskData": {
                    "problemId": f"p{n}", "skill": "fractions", "correct": right,
                    "attemptCount": 1 + (not right), "hintCount": int(not right),
                },
            }
            for n, right in enumerate(correct)
        ]  # fmt: skip
        ids = await self._send("interaction_batch", id_, interactions=interactions)
        if not number:
            await self.until(
                lambda push: push["type"] == "user_state_update" and ids[0] in push["causedBy"]
            )
        return id_

    async def say(self, text: str, *, ask: bool = False) -> dict[str, Any]:
        """A chat message; with `ask` the reply to it, else the state that holds it."""
        id_ = self._id("chat")
        (event,) = await self._send(
            "chat_message", id_, timestamp=now_ms(), text=text, wantsReply=ask
        )
        wanted = "tutor_reply" if ask else "user_state_update"
        return await self.until(
            lambda push: (
                push["type"] == wanted and event in push["causedBy"] and push.get("final", True)
            )
        )

    async def rate(self, kind: str, target: str, outcome: str) -> None:
        """Feedback; whoever asks next is behind it in the stream."""
        await self._send(
            "feedback", self._id("feedback"), targetType=kind, targetId=target, outcome=outcome
        )

    async def until(self, holds: Any) -> dict[str, Any]:
        """The next message of which this is true; pushes are kept."""
        while True:
            message = await self._client.next(WITHIN)
            if "offset" in message:
                self.pushes.append(message)
                self.place = (message["epoch"], message["offset"])
            if holds(message):
                return message

    async def _send(self, kind: str, id_: str, **fields: Any) -> list[str]:
        await self._client.send(type=kind, id=id_, **fields)
        ack = await self.until(lambda message: message.get("id") == id_)
        assert ack["type"] == "ack", ack
        ids: list[str] = ack["eventIds"]
        return ids

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{self.user}-{kind}-{self._count}"


async def play(settings: Settings, open_: Any) -> dict[str, Any]:
    """The load; what a test needs to know of it."""
    async with AsyncExitStack() as stack:

        async def page(user: str) -> Learner:
            learner = Learner(user, await stack.enter_async_context(open_(user)))
            await learner.hello()
            return learner

        # A page that holds a place and comes back under the next release
        ada = await page("ada")
        retried = await ada.solve(True, False, True)
        held = ada.place
        ada = await page("ada")
        await ada.say("I do not see why the sign turns here.")
        first = await ada.say("Can you show me one step?", ask=True)
        await ada.rate("reply", first["replyId"], "helpful")
        await ada.solve(False, False)
        missed = [push["replyId"] for push in ada.pushes if push["type"] == "tutor_reply"]

        # One who only clicks, and whose page sends a batch again
        ben = await page("ben")
        again = await ben.solve(True, True)
        await ben.solve(True, number=again)
        await ben.solve(False, True, True)

        # One who asks twice
        dora = await page("dora")
        said = ["Why is a third less than a half?", "Which pies do you mean?"]
        told = [await dora.say(text, ask=True) for text in said]
        await dora.rate("reply", told[0]["replyId"], "not_helpful")
        await dora.say("Ah, now I have got it.")

        zoe = await page("zoë")
        await zoe.say("Ich übe Brüche: ½ + ¼.")
        await zoe.solve(True)

        # And one who is erased
        cy = await page(ERASED)
        await cy.solve(False)
        await cy.say("This one is not for keeps.")
    return {
        "resume": {"user": "ada", "epoch": held[0], "offset": held[1], "replies": missed},
        "retried": {"user": "ada", "id": retried, "interactions": 3},
        "dialogue": {"user": "dora", "said": said, "told": [one["text"] for one in told]},
        "erased": ERASED,
        "learners": ["ada", "ben", "cy", "dora", "zoë"],
    }


async def settled(settings: Settings) -> None:
    """Wait until no group's commits move any more."""
    seen: list[Any] = []

    async def look() -> list[Any]:
        seen.append(
            [await committed_offsets(settings, f"masterx-{role}") for role in ROLES]
        )  # fmt: skip
        await asyncio.sleep(1.0)
        return seen[-4:]

    await eventually(look, lambda last: len(last) == 4 and all(one == last[0] for one in last))


async def run(root: Path, env: dict[str, str], *command: str) -> asyncio.subprocess.Process:
    """One command of the release."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", *command, cwd=root, env=env,
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


async def make(directory: Path) -> None:
    """Lay out, run, take, save."""
    release = lay_out(directory / "release")
    services = choose(directory / "services")
    await asyncio.gather(*(service.start() for service in services))
    up: asyncio.subprocess.Process | None = None
    try:
        settings = settings_of(
            directory,
            kafka={"bootstrap": services.kafka.endpoint},
            redis={"url": services.redis.endpoint},
            mongo={"url": services.mongo.endpoint},
        )
        async with Endpoint(say(REPLIES[0])) as endpoint:
            endpoint.script.extend(say(text) for text in (*REPLIES, REPLIES[1]))
            env = variables(release, settings, endpoint.url)
            up = await run(release.root, env, "up")
            assert up.stdout is not None
            ready = await up.stdout.readline()
            assert b"is ready" in ready, ready

            def open_(user: str) -> connect:
                port = settings.gateway.port
                return connect(
                    f"ws://127.0.0.1:{port}{PATH}/ws/{quote(user)}",
                    additional_headers={"Authorization": f"Bearer {issue(settings.auth, user)}"},
                )

            about = await play(settings, open_)
            forgotten = await run(release.root, env, "forget", ERASED, "--yes")
            assert await forgotten.wait() == 0
            await settled(settings)
            os.killpg(up.pid, signal.SIGINT)
            assert await up.wait() == 0
        about |= {"release": COMMIT, "partitions": PARTITIONS}
        written = await take(settings, about, ROLES)
        FOLDER.mkdir(exist_ok=True)
        written.save(FOLDER)
        print(json.dumps(about, indent=1))
        print({topic: len(records) for topic, records in written.kafka["topics"].items()})
    finally:
        if up is not None and up.returncode is None:
            up.terminate()
            await up.wait()
        await asyncio.gather(*(service.stop() for service in services))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(make(Path(folder)))
