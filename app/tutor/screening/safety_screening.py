"""What is for a person goes to one at once, whether or not a reply was asked for.

Every chat message passes here as it is written, without a store or a model between. It is looked
at again where the feelings that were read in it are strong enough to make some words a matter for
a person that alone are none. Whatever comes of it has ids of the message, so said twice it is
known as the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from agents.runtime.retrying import Waits, until_stored
from agents.tutor import Send
from app.tutor.config import HearingSettings
from app.tutor.prompt.reply_contract import Danger, ReplyContract
from app.tutor.providers.errors import StoreDown
from app.tutor.replies.chat_text_cache import RecentTexts
from app.tutor.replies.messages import human_help, intervention
from app.tutor.screening.proactive_mute import ProactiveMute
from schemas.base import Event, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import Emotion, EmotionRead

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Raised:
    """A message that called for a person. told: by a concern, and people know of it."""

    user_id: str
    danger: Danger
    by_concern: bool
    told: bool = False


class SafetyScreening:
    """The tutor's ears, as its agent knows them (`agents.tutor.Hearer`).

    Args:
        long: characters from which a message is looked at beside the event loop.
        waits: counts what is waited for.
    """

    def __init__(
        self,
        settings: HearingSettings,
        long: int,
        *,
        texts: RecentTexts,
        words: ReplyContract,
        quiet: ProactiveMute,
        waits: Waits,
    ) -> None:
        self._settings = settings
        self._long = long
        self._texts = texts
        self._words = words
        self._quiet = quiet
        self._waits = waits
        self._raised: OrderedDict[str, _Raised] = OrderedDict()

    async def hear(self, chat: ChatReceived, partition: int, offset: int, send: Send) -> None:
        """A message passes."""
        self._texts.remember(partition, offset, chat)
        danger = await self.danger(chat, {})
        if danger is not None:
            await self._help(danger, chat, send)

    async def feel(self, reading: EmotionRead, send: Send) -> None:
        """What was read in a message passes: worth a look where the words alone said nothing."""
        # Most feelings are too weak to change what the words alone have said.
        if not self._words.feelings_count(reading.probabilities):
            return
        chat = await until_stored(
            partial(self._texts.of, reading), store="kafka", waits=self._waits
        )
        if chat is None:
            return
        danger = await self.danger(chat, reading.probabilities)
        # What the words alone say was told when they were heard.
        if danger is not None and await self.danger(chat, {}) is None:
            await self._help(danger, chat, send)

    async def concern(self, read: ConcernRead, send: Send) -> Danger | None:
        """The emotion model reads danger in a message: people are told, if they are not yet.

        Returns what is for the learner; None where this worker remembers that the words or the
        feelings have raised the message.
        """
        known = self._raised.get(read.event_id)
        # Words that match say nothing of whether people know: the worker that heard them may
        # have had another lexicon. A call too many has the same id.
        if known is not None and not known.by_concern:
            return None
        danger = self._words.concern(read)
        # The help message names no kind. The intervention does, and the learner's page gets it.
        unnamed = replace(danger, because=())
        # From here on nobody who asks for a reply to the message gets a lesson.
        raised = self._remember(read, unnamed, by_concern=True)
        await self.call(danger, read, send)
        raised.told = True
        return unnamed

    def is_fresh(self, event: Event) -> bool:
        """Whether the learner is still helped, or may have left the message behind."""
        return (now_ms() - event.ingest_time) / 1000 <= self._settings.heard_for

    def forget(self, user_id: str) -> None:
        """Drop what is remembered of a learner."""
        for event_id in [each for each, one in self._raised.items() if one.user_id == user_id]:
            del self._raised[event_id]

    async def known(self, chat: ChatReceived, reading: Mapping[Emotion, float]) -> Danger | None:
        """Whether a message is for a person: by a concern that was read in it, or by itself."""
        raised = self._raised.get(chat.event_id)
        if raised is not None and raised.by_concern:
            return raised.danger
        return await self.danger(chat, reading)

    async def asked(
        self, chat: ChatReceived, reading: Mapping[Emotion, float], send: Send
    ) -> Danger | None:
        """The same for a message that asks for a reply; people are told, if they are not yet."""
        danger = await self.known(chat, reading)
        raised = self._raised.get(chat.event_id)
        # A concern is not acknowledged before people are told.
        if danger is not None and (raised is None or not raised.by_concern):
            await self.call(danger, chat, send)
            self._remember(chat, danger, by_concern=False)
        return danger

    async def danger(self, chat: ChatReceived, reading: Mapping[Emotion, float]) -> Danger | None:
        """Whether a message is for a person, with the feelings read in it if they are known."""
        if len(chat.text) < self._long:
            return self._words.danger(chat.text, reading)
        return await asyncio.to_thread(self._words.danger, chat.text, reading)

    async def call(self, danger: Danger, event: Event, send: Send) -> None:
        """Tell people, and let nothing unasked be said to the learner for a while."""
        await send(intervention(danger, event))
        try:
            await self._quiet.begin(event.user_id)
        except StoreDown as error:
            # People are told whether or not there is a Redis.
            log.warning("tutor.not_quiet", event_id=event.event_id, error=str(error))

    async def _help(self, danger: Danger, chat: ChatReceived, send: Send) -> None:
        raised = self._raised.get(chat.event_id)
        # The concern helps the learner, too. It may still wait for a store.
        if raised is not None and raised.told:
            return
        await self.call(danger, chat, send)
        if self.is_fresh(chat):
            await send(human_help(danger, chat))
        self._remember(chat, danger, by_concern=False)

    def _remember(self, event: Event, danger: Danger, *, by_concern: bool) -> _Raised:
        raised = self._raised[event.event_id] = _Raised(event.user_id, danger, by_concern)
        self._raised.move_to_end(event.event_id)
        while len(self._raised) > self._settings.raised:
            self._raised.popitem(last=False)
        return raised
