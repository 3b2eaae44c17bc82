"""The tutor's parts, put together: what the worker runs, and what an evaluation runs without Kafka.

Settings, and where texts and history come from, enter. Who hears messages and who replies to them
leave. The tutor role and `app/tutor/evaluation` import it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agents.runtime.retrying import Waits
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.tutor.prompt.composing import Composer
from app.tutor.prompt.layers import LayerOutcomes
from app.tutor.providers import router
from app.tutor.replies.chat_text_cache import RecentTexts
from app.tutor.replies.conversations import Conversations, History
from app.tutor.replies.ledger import Ledger
from app.tutor.replies.replying import Replying
from app.tutor.screening.proactive_mute import ProactiveMute
from app.tutor.screening.safety_screening import SafetyScreening
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from models.emotion.language import LanguageNames
from models.tutor.moves.serving.artefact import shipped


@dataclass(frozen=True, slots=True)
class Tutor:
    """Of one process.

    Attributes:
        hearing: every message passes it, and what was read in it (`agents.tutor.Hearer`).
        replying: replies to requests (`agents.tutor.Tutor`).
        conversations: what was said so far.
    """

    hearing: SafetyScreening
    replying: Replying
    conversations: Conversations


@asynccontextmanager
async def wired(
    settings: Settings, *, texts: RecentTexts, history: History, waits: Waits
) -> AsyncIterator[Tutor]:
    """Open what the tutor needs of Redis and of its providers; close it at the end.

    Args:
        texts: where the text of a request's message is found; stays the caller's to close.
        history: what was said before Redis knew of it; stays the caller's to close.
        waits: counts the stores that are waited for.

    Raises ValueError and models.tutor.moves.serving.artefact.ArtefactProblem where a key, a
    template, a lexicon, a tokenizer or the packaged model of teachers' moves cannot be read.
    """
    tutor = settings.tutor
    async with AsyncExitStack() as stack:
        accounts = connect(settings.redis, "accounts", timeout=tutor.timeouts.store)
        stack.push_async_callback(accounts.aclose)
        redis = connect(settings.redis, "tutor", timeout=tutor.timeouts.store)
        stack.push_async_callback(redis.aclose)
        store = TutorStore(accounts, settings.redis, tutor.timeouts.store)
        layers = LayerOutcomes(store, tutor.context.learning, tutor.outcomes_refresh)
        # Read now: at the first message that needs it, it would be too late to say so.
        shipped()
        asking = router.build(settings, accounts)
        stack.push_async_callback(asking.close)
        # The identifier takes a second and 57 MB.
        named = LanguageNames(settings.emotion.language).of if tutor.guard.enabled else None
        composer = Composer(tutor, asking, layers, settings.words, named)
        conversations = Conversations(redis, settings.redis, history, tutor.replies)
        quiet = ProactiveMute(store, tutor.hearing.quiet_for)
        hearing = SafetyScreening(
            tutor.hearing,
            tutor.safety.long_message,
            texts=texts,
            words=composer,
            quiet=quiet,
            waits=waits,
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
            waits=waits,
        )
        stack.push_async_callback(replying.close)
        yield Tutor(hearing, replying, conversations)
