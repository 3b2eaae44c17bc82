"""Topic `chat-messages`: what a learner wrote."""

from __future__ import annotations

from schemas.base import Event, Words


class ChatReceived(Event):
    """One accepted chat message. The text is kept as long as the topic's retention (7 days)."""

    text: Words
