"""The role that replies: a ledger in Redis, dialogues in MongoDB, providers over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERVENTIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
)
from app.worker.role import Agent, Parts, Role, Scaling, stateless


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Reply to those who ask.

    Ends the process where a key, a template, a lexicon, a tokenizer or the packaged model of
    teachers' moves cannot be read: a restart would not find it either. Raises
    app.redis.requirements.Unfit.
    """
    import asyncio

    from agents.tutor import TutorAgent
    from app.kafka.topics import logical
    from app.mongo.dialogue import Dialogues
    from app.process.exits import Exit, end_now
    from app.redis.client import connect
    from app.redis.requirements import require
    from app.tutor.replies.chat_text_cache import ChatTextCache
    from app.tutor.replies.conversation_prefetch import ConversationPrefetch
    from app.tutor.wiring import wired
    from models.tutor.moves.serving.artefact import ArtefactProblem

    settings = parts.settings
    await require(settings.redis)
    async with AsyncExitStack() as stack:
        dialogues = Dialogues(settings.mongo, settings.tutor.replies.history_timeout)
        stack.push_async_callback(dialogues.close)
        texts = ChatTextCache(settings)
        stack.push_async_callback(texts.close)
        opening = wired(settings, texts=texts, history=dialogues, waits=parts.health.waits)
        try:
            tutor = await stack.enter_async_context(opening)
        except (ValueError, ArtefactProblem) as error:
            end_now(Exit.CONFIG, str(error))
        listening = connect(settings.redis, "listening")
        stack.push_async_callback(listening.aclose)
        agent = TutorAgent(
            tutor=tutor.replying,
            hearer=tutor.hearing,
            outbox=parts.outbox,
            dead_letters=parts.dead_letters,
            window=parts.window,
            message_window=parts.window.beside(),
            logical=partial(logical, settings),
        )
        preloading = asyncio.create_task(
            ConversationPrefetch(listening, settings.redis, tutor.conversations).run(),
            name="preloading",
        )
        stack.callback(preloading.cancel)
        # First of all: what is under way needs all of the above.
        stack.push_async_callback(agent.stop)
        yield stateless(parts, agent.run)


ROLE = Role(
    "tutor",
    topics=(TUTOR_REQUESTS, CHAT, EMOTIONS, CONCERNS, FEEDBACK, ERASURES),
    build=build,
    erases=True,
    # It waits for language models, not for processors.
    scales_by=Scaling("masterx_tutor_requests_in_flight"),
    sends=(INTERVENTIONS, TUTOR_REPLIES),
    process="beside",
    # A reply takes seconds, but a call for a person waits for this pause and for that of push:
    # together at most 50 ms (docs/architecture.md, "Pauses between fetches").
    fetch_pause=0.03,
)
