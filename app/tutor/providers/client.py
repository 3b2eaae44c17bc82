"""One provider: a prompt goes out, an answer comes in, or ProviderFailure.

Anything that speaks OpenAI's chat completions over server-sent events. No retries here:
who asks again, and whom, is the router's choice.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import cache
from typing import Any, Final, cast

import httpx2
import openai
import structlog

from app.tutor.config import ProviderSettings, TimeoutSettings
from app.tutor.providers.answer_reader import AnswerReader, Finished, Opened, Part
from app.tutor.providers.chunks import EndingNames
from app.tutor.providers.errors import FailureKind, ProviderFailure
from app.tutor.providers.failures import failure
from app.tutor.providers.router_types import PromptMessage

# At debug it logs whole prompts, and OPENAI_LOG turns that on behind our settings' back.
logging.getLogger("openai").setLevel(logging.WARNING)
_log = structlog.get_logger(__name__)

_NO_KEY: Final = "none"
"""For endpoints without one. Never None: the library would send OPENAI_API_KEY to them."""


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
        self._names = EndingNames(settings.name)
        self._held = settings.starts_in_thought
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
        # Raw: the library's reader takes a frame without data for broken JSON.
        self._create = self._client.chat.completions.with_raw_response.create

    async def stream(
        self, turns: tuple[PromptMessage, ...], *, max_output_tokens: int, temperature: float | None
    ) -> AsyncGenerator[Part, None]:
        """Ask, and yield Opened, then Text, Thought and Void, and at last Finished.

        Close the iterator to hang up. Time that the reader takes for a piece counts for none
        of the timeouts.

        Raises ProviderFailure, of every kind. An answer that ended counts as whole even if
        the connection is lost before the token counts come.
        """
        name, loop = self.settings.name, asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(asked_at + self._timeouts.first_text):
                response = await self._open(turns, max_output_tokens, temperature)
        except TimeoutError:
            raise ProviderFailure(name, FailureKind.SLOW) from None
        except Exception as error:
            raise failure(name, error, streaming=False) from None
        received = response.aiter_bytes()
        reader = AnswerReader(
            self.settings,
            self._timeouts,
            received,
            self._names,
            asked_at=asked_at,
            held=self._held,
        )
        whole = False
        try:
            yield Opened()
            async with aclosing(reader.parts()) as parts:
                async for part in parts:
                    whole = isinstance(part, Finished)
                    yield part
        finally:
            self._learn(reader.learned)
            if whole:
                # Read to its end the connection can be used again, and nobody waits for that.
                task = asyncio.create_task(self._drain(response, received))
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)
            else:
                await response.aclose()

    async def close(self) -> None:
        """End the pool; streams that are open fail."""
        for task in self._draining:
            task.cancel()
        await self._client.close()

    def _learn(self, held: bool | None) -> None:
        """Whether this model's answers begin with a thought that nothing opens."""
        if held and not self._held:
            _log.warning(
                "tutor.thought_without_opening",
                provider=self.settings.name,
                action="holding the next answers back until the thought ends",
                setting="starts_in_thought",
            )
        if held is not None:
            self._held = held or self.settings.starts_in_thought

    async def _drain(self, response: httpx2.Response, received: AsyncIterator[bytes]) -> None:
        try:
            async with asyncio.timeout(self._timeouts.tail):
                while await anext(received, None) is not None:
                    pass
        except Exception as error:
            # The answer is whole; all that is lost is a connection.
            _log.debug("tutor.drain", provider=self.settings.name, error=type(error).__name__)
        finally:
            await response.aclose()

    async def _open(
        self, turns: tuple[PromptMessage, ...], max_output_tokens: int, temperature: float | None
    ) -> httpx2.Response:
        settings = self.settings
        fields: dict[str, Any] = {
            settings.output_limit_field: min(max_output_tokens, settings.max_output_tokens)
        }
        if settings.usage_in_stream:
            fields["stream_options"] = {"include_usage": True}
        if temperature is not None:
            fields["temperature"] = temperature
        messages: list[Any] = [{"role": turn.speaker.value, "content": turn.text} for turn in turns]
        answered = await self._create(
            model=settings.model,
            messages=messages,
            stream=True,
            extra_body=settings.extra_body or None,
            **fields,
        )
        return cast("httpx2.Response", answered.http_response)
