"""The role that holds the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.runtime.topics import CHAT, EMOTIONS
from app.worker.role import Agent, Parts, Role, lag_of, stateless


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Load and warm the model, then read chat messages."""
    import asyncio

    from agents.emotion import EmotionAgent
    from app.process.exits import Exit, end_now
    from app.worker.model_metrics import ModelMetrics
    from models.emotion.artefact.artefact import ArtefactProblem
    from models.emotion.serving import EmotionReader
    from models.emotion.serving.following import current, follow

    reader = EmotionReader(current(parts.settings.emotion), observer=ModelMetrics())
    try:
        await reader.start()
    except ArtefactProblem as problem:
        end_now(Exit.CONFIG, str(problem))
    following = asyncio.create_task(follow(reader, parts.settings.emotion))
    parts.health.degraded = lambda: None if reader.status == "ok" else f"model {reader.status}"
    try:
        agent = EmotionAgent(
            source=reader,
            outbox=parts.outbox,
            dead_letters=parts.dead_letters,
            window=parts.window,
            settings=parts.settings.emotion,
        )
        yield stateless(parts, agent.run)
    finally:
        following.cancel()
        await reader.stop()


# It keeps readings by their text, and no learner's name: there is nothing to erase.
ROLE = Role(
    "emotion",
    topics=(CHAT,),
    build=build,
    erases=False,
    scales_by=lag_of(CHAT),
    sends=(EMOTIONS,),
    process="state",
)
