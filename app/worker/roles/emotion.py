"""The role that holds the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from agents.runtime.topics import CHAT, CONCERNS, EMOTIONS, ERASURES
from app.worker.role import Agent, Parts, Role, lag_of

_EXPIRE_SECONDS: Final = 60.0
"""Between two looks for hints that are too old, where no message comes."""


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Load and warm the model, then read chat messages."""
    import asyncio

    from agents.emotion import EmotionAgent
    from app.kafka.topics import logical
    from app.process.concurrency import end
    from app.process.exits import Exit, end_now
    from app.worker.model_metrics import ModelMetrics
    from models.emotion.artefact.artefact import ArtefactProblem
    from models.emotion.hints import Hints
    from models.emotion.serving import EmotionReader
    from models.emotion.serving.following import current, follow
    from schemas.base import now_ms

    reader = EmotionReader(current(parts.settings.emotion), observer=ModelMetrics())
    try:
        await reader.start()
    except ArtefactProblem as problem:
        end_now(Exit.CONFIG, str(problem))
    following = asyncio.create_task(follow(reader, parts.settings.emotion))
    hints = Hints(parts.settings.emotion.concern)

    async def keep_expiring() -> None:
        while True:
            await asyncio.sleep(_EXPIRE_SECONDS)
            hints.expire(now_ms())

    expiring = asyncio.create_task(keep_expiring())
    parts.health.degraded = lambda: None if reader.status == "ok" else f"model {reader.status}"
    try:
        agent = EmotionAgent(
            source=reader,
            outbox=parts.outbox,
            dead_letters=parts.dead_letters,
            window=parts.window,
            settings=parts.settings.emotion,
            hints=hints,
            logical=partial(logical, parts.settings),
        )
        yield Agent(agent.run, parts.outbox.flush, hints.assign)
    finally:
        await end(expiring, following)
        await reader.stop()


# Readings are kept by their text, without a name; what is erased is a learner's sum of hints.
ROLE = Role(
    "emotion",
    topics=(CHAT, ERASURES),
    build=build,
    erases=True,
    scales_by=lag_of(CHAT),
    sends=(EMOTIONS, CONCERNS),
    process="state",
)
