"""A worker that kills itself at a chosen moment: `python -m tests.crash.worker_entry ROLE...`.

    CRASH_POINT    one of `Point`; empty: never
    CRASH_AT       at which pass of it (1 is the first)
    CRASH_SWEEP    seconds between two looks for learners to put away
    CRASH_READER   `hash` (default): tests.crash.reader instead of the model; `model`: the model
    CRASH_TEXT     with `model`: its forward pass raises on texts that hold these words

Nothing in the production code knows of this: the wrappers stand around what a worker
is given (its outbox, its window, its model).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio import Future
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any

from agents.emotion import EmotionAgent
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import Outbox
from agents.runtime.topics import EMOTIONS, LEARNER_CHANGELOG, USER_STATE
from app.kafka.producer import Producer
from app.kafka.topics import logical
from app.settings import get_settings
from app.worker import putting_away, running
from app.worker.process import run
from app.worker.role import Agent, Builder, Parts, Role, chosen, stateless
from models.emotion.config import EmotionSettings
from models.emotion.hints import Hints
from models.emotion.reading import Reading
from tests.crash.reader import HashReader


class Point(StrEnum):
    """Where a worker dies, or stops."""

    NEVER = ""
    BEFORE_INFERENCE = "before-inference"
    AFTER_INFERENCE = "after-inference"
    """Read, and nothing of it sent."""
    BEFORE_CHANGELOG = "before-changelog"
    """Applied in memory, and nothing of it sent."""
    AFTER_CHANGELOG = "after-changelog"
    """The record is in Kafka, its outputs are not."""
    OUTPUTS_FIRST = "outputs-first"
    """From here on no record reaches Kafka; what does not wait for that is in Kafka."""
    AFTER_TOMBSTONE = "after-tombstone"
    """A learner's state is deleted, the record is not."""
    BEFORE_COMMIT = "before-commit"
    """All is in Kafka, the source's offset is not committed."""
    AT_THE_WRITE = "at-the-write"
    """Stopped (SIGSTOP), not dead: the lease allowed a produce request that is not yet written."""


POINT = Point(os.environ.get("CRASH_POINT", ""))
AT = int(os.environ.get("CRASH_AT", "1"))
_passes: Counter[Point] = Counter()


def passed(point: Point) -> bool:
    """Count a pass; whether this is the one to die at."""
    _passes[point] += 1
    return point is POINT and _passes[point] == AT


def die() -> None:
    """As `kill -9` would."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyReader(HashReader):
    async def submit(self, text: str) -> Future[Reading]:
        if passed(Point.BEFORE_INFERENCE):
            die()
        return await super().submit(text)


class DeadlyOutbox:
    """Dies before, between or after sends."""

    def __init__(self, inner: Outbox) -> None:
        self._inner = inner
        self._held = False

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Future[Any]:
        if topic == EMOTIONS and passed(Point.AFTER_INFERENCE):
            die()
        if topic == LEARNER_CHANGELOG:
            if passed(Point.BEFORE_CHANGELOG):
                die()
            if self._held or passed(Point.OUTPUTS_FIRST):
                if not self._held:
                    asyncio.get_running_loop().call_later(1.0, die)
                self._held = True
                return asyncio.get_running_loop().create_future()
        if topic == USER_STATE and value is None and passed(Point.AFTER_TOMBSTONE):
            await self._inner.send(topic, key=key, value=value, partition=partition)
            await self._inner.flush()
            die()
        if topic == USER_STATE and passed(Point.AFTER_CHANGELOG):
            await self._inner.flush()
            die()
        return await self._inner.send(
            topic, key=key, value=value, partition=partition, headers=headers
        )

    async def flush(self) -> None:
        await self._inner.flush()


class DeadlyEvent:
    def __init__(self, inner: Acknowledgeable) -> None:
        self._inner = inner
        self.message = inner.message

    def ack(self) -> bool:
        if passed(Point.BEFORE_COMMIT):
            die()
        return self._inner.ack()


class DeadlyWindow(InFlight):
    def track(self, event: Acknowledgeable, deliveries: Any) -> None:
        super().track(DeadlyEvent(event), deliveries)


class StoppedProducer(Producer):
    def __init__(self, *args: Any, before_write: Callable[[], None], **options: Any) -> None:
        def check() -> None:
            before_write()
            if passed(Point.AT_THE_WRITE):
                os.kill(os.getpid(), signal.SIGSTOP)

        super().__init__(*args, before_write=check, **options)


@asynccontextmanager
async def emotion_without_model(parts: Parts) -> AsyncIterator[Agent]:
    reader = DeadlyReader()
    reader.start()
    agent = EmotionAgent(
        source=reader,
        outbox=parts.outbox,
        dead_letters=parts.dead_letters,
        window=parts.window,
        settings=parts.settings.emotion,
        hints=Hints(parts.settings.emotion.concern),
        logical=partial(logical, parts.settings),
    )
    yield stateless(parts, agent.run)


@asynccontextmanager
async def emotion_with_model(parts: Parts) -> AsyncIterator[Agent]:
    """The role as it is; before inference it may die, and on some words its model raises."""
    # Imports torch.
    from models.emotion import serving  # noqa: PLC0415
    from models.emotion.serving.engine import Engine, load_engine  # noqa: PLC0415

    class DeadlyModel(serving.EmotionReader):
        async def submit(self, text: str) -> Future[Reading]:
            if passed(Point.BEFORE_INFERENCE):
                die()
            return await super().submit(text)

    def load(settings: EmotionSettings) -> Engine:
        engine = load_engine(settings)
        words = os.environ.get("CRASH_TEXT")
        if words is None:
            return engine
        needle = " ".join(map(str, engine.tokenise([words])[0][0][1:-1]))

        def run(batch: Any) -> Any:
            rows = [" ".join(map(str, text[0])) for text in batch.batch.texts]
            if any(needle in row for row in rows):
                raise RuntimeError("as the test wants")
            return engine.run(batch)

        return replace(engine, run=run)

    serving.EmotionReader = partial(DeadlyModel, load=load)  # type: ignore[assignment,misc]
    async with parts.role.build(parts) as agent:
        yield agent


def deadly(role: Role) -> Role:
    """The role with a deadly outbox; emotion also with a deadly reader."""
    build: Builder = role.build
    if role.name == "emotion":
        hashed = os.environ.get("CRASH_READER", "hash") == "hash"
        build = emotion_without_model if hashed else emotion_with_model

    def build_around(parts: Parts) -> Any:
        own = replace(parts, role=role, outbox=DeadlyOutbox(parts.outbox))
        return build(own)

    return replace(role, build=build_around)


if __name__ == "__main__":
    running.InFlight = DeadlyWindow  # type: ignore[misc]
    running.Producer = StoppedProducer  # type: ignore[misc]
    sweep = os.environ.get("CRASH_SWEEP", putting_away.SWEEP_SECONDS)
    putting_away.SWEEP_SECONDS = float(sweep)
    run([deadly(role) for role in chosen(sys.argv[1:])], get_settings())
