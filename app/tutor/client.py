"""One provider: a prompt goes out, pieces of text come in, or ProviderFailure.

Anything that speaks OpenAI's chat completions over server-sent events. No retries here:
who asks again, and whom, is the router's choice.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import openai
import structlog
from openai.types.chat import ChatCompletionChunk

from app.tutor.config import ProviderSettings, TimeoutSettings
from app.tutor.errors import FailureKind, ProviderFailure
from app.tutor.exchange import Ending, Turn
from app.tutor.failures import failure

# At debug it logs whole prompts, and OPENAI_LOG turns that on behind our settings' back.
logging.getLogger("openai").setLevel(logging.WARNING)
_log = structlog.get_logger(__name__)

_NO_KEY: Final = "none"
"""For endpoints without one. Never None: the library would send OPENAI_API_KEY to them."""

_ENDINGS: Final = {"length": Ending.LENGTH}
_FILTERED: Final = "content_filter"
_MOST_TOKENS: Final = 2**31
"""No model writes so many; a count beyond is no count."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The provider has taken the request; from now on it may cost."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. Token counts as the provider reports them, or None."""

    ending: Ending
    input_tokens: int | None
    output_tokens: int | None


Part = Opened | Text | Finished
Chunks = openai.AsyncStream[ChatCompletionChunk]


@dataclass(frozen=True, slots=True)
class _Chunk:
    text: str
    ending: str | None
    used: tuple[int, int] | None


@cache
def _trust() -> ssl.SSLContext:
    """The certificates we trust: read once, as that takes a good part of a second."""
    return ssl.create_default_context()


class ProviderClient:
    """A connection pool to one provider. Safe for any number of streams at a time.

    Raises ValueError when the key that the settings name is not there.
    """

    def __init__(self, settings: ProviderSettings, timeouts: TimeoutSettings) -> None:
        self.settings = settings
        self._timeouts = timeouts
        self._draining: set[asyncio.Task[None]] = set()
        key = settings.read_key()
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=key.get_secret_value() if key else _NO_KEY,
            # Of one endpoint's account; another's must not hear of it from the environment.
            default_headers=cast(
                "dict[str, str]",
                {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit},
            ),
            max_retries=0,
            # Reading is timed below, by what is read; the socket's own limit is a backstop.
            timeout=openai.Timeout(timeouts.overall, connect=timeouts.connect),
            http_client=openai.DefaultAsyncHttpxClient(verify=_trust()),
        )
        # The library imports what it offers when it is first used: a second or two that the
        # first learner would wait for, and every stream with it.
        self._create = self._client.chat.completions.create

    async def stream(
        self, turns: tuple[Turn, ...], *, max_output_tokens: int, temperature: float | None
    ) -> AsyncGenerator[Part, None]:
        """Ask, and yield Opened, then Text, and at last Finished.

        Close the iterator to hang up. Time that the reader takes for a piece counts for none
        of the timeouts.

        Raises ProviderFailure, of every kind. An answer that ended counts as whole even if
        the connection is lost before the token counts come.
        """
        name, loop = self.settings.name, asyncio.get_running_loop()
        first_text_by = loop.time() + self._timeouts.first_text
        try:
            async with asyncio.timeout_at(first_text_by):
                chunks = await self._open(turns, max_output_tokens, temperature)
        except TimeoutError:
            raise ProviderFailure(name, FailureKind.SLOW) from None
        except Exception as error:
            raise failure(name, error, streaming=False) from None
        whole = False
        try:
            yield Opened()
            async with aclosing(self._parts(chunks, first_text_by)) as parts:
                async for part in parts:
                    whole = isinstance(part, Finished)
                    yield part
        finally:
            if whole:
                # Read to its end the connection can be used again, and nobody waits for that.
                task = asyncio.create_task(self._drain(chunks))
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)
            else:
                await chunks.close()

    async def close(self) -> None:
        """End the pool; streams that are open fail."""
        for task in self._draining:
            task.cancel()
        await self._client.close()

    async def _drain(self, chunks: Chunks) -> None:
        try:
            async with asyncio.timeout(self._timeouts.tail):
                while await anext(chunks, None) is not None:
                    pass
        except Exception as error:
            # The answer is whole; all that is lost is a connection.
            _log.debug("tutor.drain", provider=self.settings.name, error=type(error).__name__)
        finally:
            await chunks.close()

    async def _open(
        self, turns: tuple[Turn, ...], max_output_tokens: int, temperature: float | None
    ) -> Chunks:
        settings = self.settings
        fields: dict[str, Any] = {
            settings.output_limit_field: min(max_output_tokens, settings.max_output_tokens)
        }
        if settings.usage_in_stream:
            fields["stream_options"] = {"include_usage": True}
        if temperature is not None:
            fields["temperature"] = temperature
        messages: list[Any] = [{"role": turn.speaker.value, "content": turn.text} for turn in turns]
        return cast(
            "Chunks",
            await self._create(
                model=settings.model,
                messages=messages,
                stream=True,
                extra_body=settings.extra_body or None,
                **fields,
            ),
        )

    async def _parts(self, chunks: Chunks, first_text_by: float) -> AsyncGenerator[Part, None]:
        loop, timeouts = asyncio.get_running_loop(), self._timeouts
        spoken = False
        # Moved on by text and not by chunks: empty ones could come for ever.
        limit = first_text_by
        while True:
            chunk = await self._next(chunks, limit, spoken)
            if chunk is None:
                raise ProviderFailure(self.settings.name, FailureKind.CUT)
            if chunk.text:
                spoken = True
                yield Text(chunk.text)
                limit = loop.time() + timeouts.stall
            if chunk.ending is not None:
                break
        if chunk.ending == _FILTERED:
            raise ProviderFailure(self.settings.name, FailureKind.FILTERED)
        if not spoken:
            raise ProviderFailure(self.settings.name, FailureKind.EMPTY)
        used = chunk.used or await self._tail(chunks)
        yield Finished(_ENDINGS.get(chunk.ending, Ending.COMPLETE), *(used or (None, None)))

    async def _next(self, chunks: Chunks, limit: float, spoken: bool) -> _Chunk | None:
        """The next chunk, None at the stream's end. Raises ProviderFailure."""
        name = self.settings.name
        try:
            async with asyncio.timeout_at(limit):
                chunk = await anext(chunks, None)
        except TimeoutError:
            kind = FailureKind.STALLED if spoken else FailureKind.SLOW
            raise ProviderFailure(name, kind) from None
        except Exception as error:
            raise failure(name, error, streaming=True) from None
        return None if chunk is None else self._read(chunk)

    async def _tail(self, chunks: Chunks) -> tuple[int, int] | None:
        """Token counts that come behind the answer's end, where they do."""
        if not self.settings.usage_in_stream:
            return None
        limit = asyncio.get_running_loop().time() + self._timeouts.tail
        try:
            while (chunk := await self._next(chunks, limit, spoken=True)) is not None:
                if chunk.used is not None:
                    return chunk.used
        except ProviderFailure as error:
            # The answer is whole all the same.
            _log.debug("tutor.no_token_counts", provider=error.provider, kind=error.kind)
        return None

    def _read(self, chunk: ChatCompletionChunk) -> _Chunk:
        """What a chunk says. The library does not validate: any JSON may stand behind its name.

        Raises ProviderFailure.
        """
        try:
            used = None
            if chunk.usage is not None:
                used = (int(chunk.usage.prompt_tokens), int(chunk.usage.completion_tokens))
                if not 0 <= min(used) <= max(used) <= _MOST_TOKENS:
                    raise ValueError("no token counts")
            # The last chunk may hold token counts and no choice.
            if not chunk.choices:
                return _Chunk("", None, used)
            choice = chunk.choices[0]
            text = choice.delta.content if choice.delta is not None else None
            ending = choice.finish_reason
            if not isinstance(text, str | None) or not isinstance(ending, str | None):
                raise TypeError("not text")
            # A lone surrogate can be said in JSON, but not in UTF-8, where the text goes next.
            (text or "").encode()
        except (AttributeError, TypeError, ValueError, LookupError):
            raise ProviderFailure(self.settings.name, FailureKind.MALFORMED) from None
        return _Chunk(text or "", ending, used)
