"""An answer is read: bytes of a response go in, pieces of text come out, or ProviderFailure.

An answer ends with `[DONE]` or with the stream, and not with a `finish_reason`: some providers
send one in every chunk. A reason says how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from app.tutor.config import ProviderSettings, TimeoutSettings
from app.tutor.metrics import ENDINGS
from app.tutor.providers.answer_text import AnswerText, Shown, visible
from app.tutor.providers.chunks import Chunk, Counts, EndingNames, Finish, read
from app.tutor.providers.errors import FailureKind, ProviderFailure
from app.tutor.providers.events import Event, EventDecoder
from app.tutor.providers.failures import failure
from app.tutor.providers.router_types import Ending

_DONE: Final = "[DONE]"
_MOST_BYTES: Final = 2**20
"""Of one event, or of an answer that is not streamed. More is no chat completion."""
_FAILURES: Final = {
    Finish.TOOLS: FailureKind.MALFORMED,
    Finish.FILTERED: FailureKind.FILTERED,
    Finish.CUT: FailureKind.CUT,
    Finish.BROKEN: FailureKind.SERVER,
}
_ENDINGS: Final = {
    Finish.COMPLETE: Ending.COMPLETE,
    Finish.LENGTH: Ending.LENGTH,
    Finish.UNKNOWN: Ending.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """The provider has taken the request; from now on it may cost."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, not empty; the first one holds something that can be seen."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """The model has written so many characters that nobody sees."""

    chars: int


@dataclass(frozen=True, slots=True)
class Void:
    """All text so far turns out to be a thought; what follows is the answer."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. Token counts as the provider reports them, or None."""

    ending: Ending
    input_tokens: int | None
    output_tokens: int | None


Part = Opened | Text | Thought | Void | Finished


class AnswerReader:
    """Reads one answer.

    Args:
        received: the response's body.
        asked_at: by the event loop's clock; timeouts begin there.
        held: whether its beginning is a thought that only a closing tag ends.

    Attributes:
        learned: whether this model's next answer is to be `held`; None: nothing new.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        timeouts: TimeoutSettings,
        received: AsyncIterator[bytes],
        names: EndingNames,
        *,
        asked_at: float,
        held: bool,
    ) -> None:
        self.learned: bool | None = None
        self._name = settings.name
        self._timeouts = timeouts
        self._received = received
        self._names = names
        self._text = AnswerText(settings.thought_tags, held=held, most=settings.thought_chars_held)
        self._counts = Counts()
        self._wrote = False
        self._finish: Finish | None = None
        self._reason = ""
        self._unreliable = False
        """Text has followed a reason: the next one does not mean that the answer is whole."""
        self._since = asked_at
        self._patience = timeouts.first_text
        self._limit = asked_at + timeouts.first_text

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Text, Thought and Void as they come, and at last Finished.

        Time that the reader takes for a part counts for none of the timeouts. Raises
        ProviderFailure; its `used` is what the provider has reported until then.
        """
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    chunk = read(self._name, event)
                    if chunk is None:
                        continue
                    for part in self._take(chunk):
                        yield part
                    self._move_limit(chunk)
                    if self._text.overfull:
                        yield Thought(self._text.end(cut=True).thought)
                        raise ProviderFailure(self._name, self._without_text())
        except ProviderFailure as error:
            # An answer that has ended is whole, whatever becomes of its token counts.
            if self._finish not in _ENDINGS or self._unreliable or self._text.overfull:
                error.used = self._used()
                raise
        for part in self._end():
            yield part

    # -- bytes to events -------------------------------------------------------------------

    async def _events(self) -> AsyncGenerator[Event, None]:
        """Events until `[DONE]` or the stream's end. Raises ProviderFailure.

        An answer that comes at once, as one JSON document, is one event.
        """
        decoder, whole = EventDecoder(_MOST_BYTES), bytearray()
        streamed: bool | None = None
        while (received := await self._next()) is not None:
            if streamed is None and (begun := received.lstrip()):
                # Not by its type: some call events JSON, and no event begins so.
                streamed = not begun.startswith((b"{", b"["))
            if streamed is False:
                whole += received
                if len(whole) > _MOST_BYTES:
                    raise ProviderFailure(self._name, FailureKind.MALFORMED)
                continue
            try:
                events = list(decoder.feed(received))
            except ValueError:
                raise ProviderFailure(self._name, FailureKind.MALFORMED) from None
            for event in events:
                if event.data.startswith(_DONE):
                    return
                yield event
        try:
            last = list(decoder.end()) if not whole else [Event("", whole.decode())]
        except ValueError:
            raise ProviderFailure(self._name, FailureKind.MALFORMED) from None
        for event in last:
            if not event.data.startswith(_DONE):
                yield event

    async def _next(self) -> bytes | None:
        """The next bytes, None at the stream's end. Raises ProviderFailure."""
        loop = asyncio.get_running_loop()
        try:
            # Bytes that are there already are had without a wait, which alone is timed.
            if loop.time() >= self._limit:
                raise TimeoutError
            async with asyncio.timeout_at(self._limit):
                return await anext(self._received, None)
        except TimeoutError:
            kind = FailureKind.STALLED if self._text.spoken else FailureKind.SLOW
            raise ProviderFailure(self._name, kind) from None
        except Exception as error:
            raise failure(self._name, error, streaming=True) from None

    # -- chunks to parts -------------------------------------------------------------------

    def _take(self, chunk: Chunk) -> list[Part]:
        self._counts = self._counts.merged(chunk.counts)
        self._wrote = self._wrote or bool(chunk.text or chunk.thought)
        bad = self._finish is not None and self._finish not in _ENDINGS
        if chunk.text and not bad:
            self._unreliable = self._unreliable or self._finish is not None
            if chunk.finish is not None:
                self._finish, self._reason = chunk.finish, chunk.reason
        elif chunk.finish is not None and chunk.finish >= (self._finish or Finish.COMPLETE):
            self._finish, self._reason = chunk.finish, chunk.reason
        parts = self._parts(self._text.feed(chunk.text)) if chunk.text else []
        if chunk.thought:
            parts.append(Thought(chunk.thought))
        return parts

    def _parts(self, shown: Shown) -> list[Part]:
        parts: list[Part] = []
        if self._text.only_closed:
            self.learned = True
        if shown.void:
            parts.append(Void())
        if shown.thought:
            parts.append(Thought(shown.thought))
        if shown.text:
            parts.append(Text(shown.text))
        return parts

    def _move_limit(self, chunk: Chunk) -> None:
        """Until when the next bytes may come. Empty chunks move nothing: they could go on."""
        now, timeouts = asyncio.get_running_loop().time(), self._timeouts
        told = visible(chunk.text) if not self._text.spoken else bool(chunk.text)
        if told and self._text.spoken and not self._text.thinking:
            self._since, self._patience = now, timeouts.stall
            self._limit = now + timeouts.stall
        elif told or chunk.thought:
            # Thoughts are life, up to a bound.
            longest = min(self._since + timeouts.thinking, now + timeouts.stall)
            self._limit = max(self._since + self._patience, longest)
        if chunk.finish is not None:
            # With text in the same chunk, or before any, it may be one of many.
            if not self._text.spoken:
                self._limit = min(self._limit, now + timeouts.stall)
            else:
                self._limit = now + (timeouts.stall if chunk.text else timeouts.tail)

    # -- the end ---------------------------------------------------------------------------

    def _end(self) -> list[Part]:
        """How it ended. Raises ProviderFailure."""
        finish, text = self._finish, self._text
        if finish is None:
            raise ProviderFailure(self._name, FailureKind.CUT, used=self._used())
        ENDINGS.labels(self._name, self._names.label(self._reason)).inc()
        if finish in _FAILURES:
            raise ProviderFailure(self._name, _FAILURES[finish], used=self._used())
        if text.holding and finish is Finish.COMPLETE:
            # It was expected to think first, and did not.
            self.learned = False
        parts = self._parts(text.end(cut=finish is not Finish.COMPLETE))
        if not text.spoken:
            raise ProviderFailure(self._name, self._without_text(), used=self._used())
        ending = _ENDINGS[finish]
        if text.thinking and ending is Ending.COMPLETE:
            # Something followed that nobody sees.
            ending = Ending.UNKNOWN
        parts.append(Finished(ending, *(self._used() or (None, None))))
        return parts

    def _without_text(self) -> FailureKind:
        cut = self._finish is Finish.LENGTH or self._text.holding
        return FailureKind.NO_ROOM if cut else FailureKind.EMPTY

    def _used(self) -> tuple[int, int] | None:
        """Token counts, where they are whole: a prompt has tokens, and so has what is written."""
        counts = self._counts
        whole = counts.input and (counts.output or not self._wrote)
        return (counts.input, counts.output) if whole else None
