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
    from app.redis.push_log import PushLog
    from app.redis.requirements import require
    from app.tutor.prompt.composing import Composer
    from app.tutor.prompt.layers import LayerOutcomes
    from app.tutor.providers import router
    from app.tutor.replies.chat_text_cache import ChatTextCache
    from app.tutor.replies.conversation_prefetch import ConversationPrefetch
    from app.tutor.replies.conversations import Conversations
    from app.tutor.replies.ledger import Ledger
    from app.tutor.replies.replying import Replying
    from app.tutor.screening.proactive_mute import ProactiveMute
    from app.tutor.screening.safety_screening import SafetyScreening
    from app.tutor.store import TutorStore
    from app.tutor.usage.budget import Budgets
    from models.tutor.moves.serving.artefact import ArtefactProblem, shipped

    settings = parts.settings
    tutor = settings.tutor
    await require(settings.redis)
    async with AsyncExitStack() as stack:
        accounts = connect(settings.redis, "accounts", timeout=tutor.timeouts.store)
        stack.push_async_callback(accounts.aclose)
        redis = connect(settings.redis, "tutor", timeout=tutor.timeouts.store)
        stack.push_async_callback(redis.aclose)
        listening = connect(settings.redis, "listening")
        stack.push_async_callback(listening.aclose)
        dialogues = Dialogues(settings.mongo, tutor.replies.history_timeout)
        stack.push_async_callback(dialogues.close)
        texts = ChatTextCache(settings)
        stack.push_async_callback(texts.close)
        store = TutorStore(accounts, settings.redis, tutor.timeouts.store)
        layers = LayerOutcomes(store, tutor.context.learning, tutor.outcomes_refresh)
        try:
            # Read now: at the first message that needs it, it would be too late to say so.
            shipped()
            asking = router.build(settings, accounts)
            composer = Composer(tutor, asking, layers, settings.words)
        except (ValueError, ArtefactProblem) as error:
            end_now(Exit.CONFIG, str(error))
        stack.push_async_callback(asking.close)
        conversations = Conversations(redis, settings.redis, dialogues, tutor.replies)
        quiet = ProactiveMute(store, tutor.hearing.quiet_for)
        hearing = SafetyScreening(
            tutor.hearing,
            tutor.safety.long_message,
            texts=texts,
            words=composer,
            quiet=quiet,
            waits=parts.health.waits,
        )
        replying = Replying(
            tutor.replies,
            tutor.timeouts.overall,
            ledger=Ledger(redis, settings.redis, tutor.replies),
            conversations=conversations,
            budgets=Budgets(store, tutor.budget),
            texts=texts,
            quiet=quiet,
            hearing=hearing,
            words=composer,
            says=settings.words,
            pushes=PushLog(redis, settings.redis),
            waits=parts.health.waits,
        )
        stack.push_async_callback(replying.close)
        agent = TutorAgent(
            tutor=replying,
            hearer=hearing,
            outbox=parts.outbox,
            dead_letters=parts.dead_letters,
            window=parts.window,
            message_window=parts.window.beside(),
            logical=partial(logical, settings),
        )
        preloading = asyncio.create_task(
            ConversationPrefetch(listening, settings.redis, conversations).run(), name="preloading"
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
