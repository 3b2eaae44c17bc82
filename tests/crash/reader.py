"""A reader of emotions without a model: what it reads is a function of the text.

The crash tests are about delivery, and a worker that imports torch takes as long to
start as the whole test may run. It answers in batches, late, and only to what it is
given, like the real one; `raises` in a text makes it fail on that text alone.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256

from models.emotion.reading import Reading
from schemas.topics.emotions import Emotion

BATCH = 64
SECONDS_A_BATCH = 0.02
UNREADABLE = "the model raises on this"


class Unreadable(RuntimeError):
    """This text cannot be read."""


class HashReader:
    """An `EmotionSource`."""

    version = "hash-1"

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[Reading]]] = asyncio.Queue(256)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def submit(self, text: str) -> asyncio.Future[Reading]:
        future: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        await self._queue.put((text, future))
        return future

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await asyncio.sleep(SECONDS_A_BATCH)
            for text, future in batch:
                if future.cancelled():
                    continue
                if UNREADABLE in text:
                    future.set_exception(Unreadable("as the test wants"))
                else:
                    future.set_result(reading_of(text))


def reading_of(text: str) -> Reading:
    """Numbers in [0, 1] from the text's hash."""
    numbers = [byte / 255 for byte in sha256(text.encode()).digest()]
    probabilities = {emotion: numbers[i] for i, emotion in enumerate(list(Emotion)[:20])}
    return Reading(
        probabilities=probabilities,
        top=max(probabilities, key=probabilities.__getitem__),
        valence=numbers[20],
        arousal=numbers[21],
        dominance=numbers[22],
        version=HashReader.version,
    )
