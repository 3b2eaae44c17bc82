"""A listener that reads along, and stops an answer that a learner should not see."""

from __future__ import annotations

from app.tutor.exchange import Listener
from models.tutor.safety.screening import ReplyWatch, Screen, Screening


class UnsafeReply(Exception):
    """A model's words have failed the check; they go no further."""

    def __init__(self, screening: Screening) -> None:
        super().__init__("a reply failed the safety check")
        self.screening = screening


class Watched:
    """Hands on what it hears (`app.tutor.exchange.Listener`). Raises UnsafeReply.

    A piece with which a phrase is complete is not handed on; its first words may have been.
    """

    def __init__(self, listener: Listener, screen: Screen) -> None:
        self._listener = listener
        self._screen = screen
        self._attempt = 0
        self._watch = ReplyWatch(screen)

    async def piece(self, attempt: int, index: int, text: str) -> None:
        """The next piece of an attempt."""
        if attempt != self._attempt:
            self._attempt, self._watch = attempt, ReplyWatch(self._screen)
        screening = self._watch.add(text)
        if screening is not None:
            raise UnsafeReply(screening)
        await self._listener.piece(attempt, index, text)

    async def superseded(self, attempt: int) -> None:
        """What was shown of an attempt is void."""
        await self._listener.superseded(attempt)
