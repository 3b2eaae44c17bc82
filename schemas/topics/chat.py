"""Topic `chat-messages`: what a learner wrote."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Event, Flag, Words
from schemas.times import ClockOffset
from schemas.topics.tutor import ReplyMode


class ChatReceived(Event):
    """One accepted chat message. The text is kept as long as the topic's retention (7 days)."""

    clock_offset: ClockOffset
    text: Words = Field(description="what the learner wrote")
    wants_reply: Flag | None = Field(
        default=None, description="of the tutor; absent: as `learner.tutor.reply_to_all` says"
    )
    reply_mode: ReplyMode | None = Field(
        default=None, description="how the learner chose to be helped; absent: the tutor chooses"
    )
