"""What is for a person goes to one at once, whether or not a reply was asked for.

Every chat message passes here as it is written, without a store or a model between. It is looked
at again where the feelings that were read in it are strong enough to make some words a matter for
a person that alone are none. Whatever comes of it has ids of the message, so said twice it is
known as the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog

from agents.runtime.retrying import Waits, until_stored
from agents.tutor import Send
from app.tutor.config import HearingSettings
from app.tutor.prompt.reply_contract import Danger, ReplyContract
from app.tutor.providers.errors import StoreDown
from app.tutor.replies.chat_text_cache import ChatTextCache
from app.tutor.replies.messages import human_help, intervention
from app.tutor.screening.proactive_mute import ProactiveMute
from schemas.base import Event, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import Emotion, EmotionRead

log = structlog.get_logger(__name__)


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
        texts: ChatTextCache,
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
        await self.call(danger, chat, send)
        age = (now_ms() - chat.ingest_time) / 1000
        if age <= self._settings.heard_for:
            await send(human_help(danger, chat))
