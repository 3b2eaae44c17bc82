"""A listener that reads along, and stops an answer that a learner should not see."""

from __future__ import annotations

from app.tutor.providers.router_types import Listener
from models.tutor.safety.screening import ReplyWatch, Screen, Screening


class UnsafeReply(Exception):
    """A model's words have failed the check; they go no further."""

    def __init__(self, screening: Screening) -> None:
        super().__init__("a reply failed the safety check")
        self.screening = screening


class ScreenedListener:
    """Hands on what it hears (`app.tutor.providers.router_types.Listener`). Raises UnsafeReply.

    A piece with which a phrase is complete is not handed on; its first words may have been. Pieces
    of a sentence of which only its end can say whether it fails are held back until then; what
    is still held when the text ends is in the reply that follows.
    """

    def __init__(self, listener: Listener, screen: Screen) -> None:
        self._listener = listener
        self._screen = screen
        self._attempt = 0
        self._watch = ReplyWatch(screen)
        self._held: list[str] = []
        self._index = 0

    async def piece(self, attempt: int, index: int, text: str) -> None:
        """The next piece of an attempt."""
        if attempt != self._attempt:
            self._attempt, self._watch = attempt, ReplyWatch(self._screen)
            self._held, self._index = [], 0
        screening = self._watch.add(text)
        if screening is not None:
            raise UnsafeReply(screening)
        self._held.append(text)
        if not self._watch.undecided:
            text, self._held = "".join(self._held), []
            index, self._index = self._index, self._index + 1
            await self._listener.piece(attempt, index, text)

    async def superseded(self, attempt: int) -> None:
        """What was shown of an attempt is void."""
        if attempt == self._attempt and self._index:
            await self._listener.superseded(attempt)
