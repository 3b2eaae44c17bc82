"""What goes over the wire to a provider, and what must not go anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from app.process.logs import configure
from app.settings import LogSettings
from app.tutor.config import ProviderSettings
from app.tutor.providers.answer_reader import Finished, Opened, Text
from app.tutor.providers.client import ProviderClient
from app.tutor.providers.errors import ProviderFailure
from app.tutor.providers.router_types import Ending, PromptMessage, PromptRole
from tests.app.tutor.conftest import TIMEOUTS
from tests.app.tutor.sse import Exchange, garbage, say, stall, status

TURNS = (
    PromptMessage(PromptRole.SYSTEM, "You are a tutor."),
    PromptMessage(PromptRole.USER, "my private question"),
)


@pytest.fixture
async def made(bench):
    async def make(behaviour, *script, **fields):
        endpoint = await bench.endpoint(behaviour, *script)
        given = {"name": "p", "base_url": endpoint.url, "model": "some-model"} | fields
        client = ProviderClient(ProviderSettings.model_validate(given), TIMEOUTS)
        bench.stack.push_async_callback(client.close)
        return endpoint, client

    return make


async def parts(client: ProviderClient, limit: int = 100) -> list:
    return [part async for part in client.stream(TURNS, max_output_tokens=limit, temperature=None)]


async def test_what_is_asked_and_what_is_said(made):
    endpoint, client = await made(say("Hel", "", "lo"))
    assert await parts(client) == [
        Opened(),
        Text("Hel"),
        Text("lo"),
        Finished(Ending.COMPLETE, 10, 5),
    ]
    assert endpoint.seen[0].body == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "You are a tutor."},
            {"role": "user", "content": "my private question"},
        ],
        "stream": True,
        "max_tokens": 100,
        "stream_options": {"include_usage": True},
    }


async def test_endpoints_differ_in_names(made):
    endpoint, client = await made(
        say("x", usage=None),
        output_limit_field="max_completion_tokens",
        max_output_tokens=50,
        usage_in_stream=False,
        extra_body={"reasoning_effort": "low"},
    )
    assert (await parts(client))[-1] == Finished(Ending.COMPLETE, None, None)
    body = endpoint.seen[0].body
    assert body["max_completion_tokens"] == 50
    assert body["reasoning_effort"] == "low"
    assert not {"max_tokens", "stream_options", "temperature"} & set(body)


async def test_a_limit_that_cut_the_answer_is_told(made):
    _, client = await made(say("Half a sen", finish="length"))
    assert (await parts(client))[-1] == Finished(Ending.LENGTH, 10, 5)


async def test_one_providers_key_does_not_go_to_another(made, monkeypatch):
    """Given OpenAI's variables in the environment, an endpoint with no key gets none of them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-secret")
    monkeypatch.setenv("MINE", "sk-mine")
    endpoint, client = await made(say("x"))
    keyed, other = await made(say("x"), api_key_env="MINE")
    await parts(client)
    await parts(other)
    assert "secret" not in str(endpoint.seen[0].headers)
    assert "secret" not in str(keyed.seen[0].headers)
    assert keyed.seen[0].headers["authorization"] == "Bearer sk-mine"


async def test_a_connection_is_used_again(made):
    endpoint, client = await made(say("x"))
    for _ in range(5):
        await parts(client)
        await asyncio.gather(*client._draining)
    assert endpoint.connections == 1


async def test_an_answer_is_whole_although_the_provider_does_not_hang_up(made):
    async def talks_on(x: Exchange) -> None:
        await x.head()
        await x.text("Done.", "stop")
        await x.counts(3, 2)
        await x.event("[DONE]")
        await x.hang()

    endpoint, client = await made(talks_on)
    async with asyncio.timeout(60):
        assert (await parts(client))[-1] == Finished(Ending.COMPLETE, 3, 2)
        await endpoint.hung_up.wait()


async def test_an_answer_is_whole_without_the_counts_that_were_promised(made):
    async def forgets(x: Exchange) -> None:
        await x.head()
        await x.text("Done.", "stop")
        x.cut()

    _, client = await made(forgets)
    assert (await parts(client))[-1] == Finished(Ending.COMPLETE, None, None)


@pytest.mark.parametrize("counts", [(-1, 5), (10**30, 5)])
async def test_counts_that_cannot_be_cost_no_answer(made, counts):
    async def boasts(x: Exchange) -> None:
        await x.head()
        await x.text("x", "stop")
        await x.counts(*counts)
        await x.event("[DONE]")
        await x.end()

    _, client = await made(boasts)
    assert (await parts(client))[-1] == Finished(Ending.COMPLETE, None, None)


async def test_who_stops_reading_hangs_up(made):
    endpoint, client = await made(stall("Hel"))
    stream = client.stream(TURNS, max_output_tokens=9, temperature=None)
    assert await anext(stream) == Opened()
    assert await anext(stream) == Text("Hel")
    await stream.aclose()
    async with asyncio.timeout(60):
        await endpoint.hung_up.wait()


async def test_time_the_reader_takes_is_not_the_providers(made):
    _, client = await made(say("Hel", "lo"))
    heard = []
    async for part in client.stream(TURNS, max_output_tokens=9, temperature=None):
        heard.append(part)
        if part == Text("Hel"):
            await asyncio.sleep(TIMEOUTS.stall + 0.5)
    assert isinstance(heard[-1], Finished)


@pytest.mark.parametrize(
    "behaviour",
    [
        say("a private answer"),
        status(400, b'{"error": {"message": "my private question is too long"}}'),
        garbage("{my private question"),
        garbage('{"error": {"message": "a private answer"}}'),
    ],
)
async def test_neither_texts_nor_keys_reach_the_log(made, monkeypatch, caplog, behaviour):
    """Even at debug, even with the library's own switch, even in an error's causes."""
    monkeypatch.setenv("OPENAI_LOG", "debug")
    monkeypatch.setenv("MINE", "sk-very-secret")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(LogSettings(level="debug"))
    root.addHandler(caplog.handler)
    try:
        _, client = await made(behaviour, api_key_env="MINE")
        with contextlib.suppress(ProviderFailure):
            try:
                await parts(client)
            except ProviderFailure:
                logging.getLogger("test").exception("with everything that led to it")
                raise
    finally:
        root.handlers[:], root.level = handlers, level
    assert "private" not in caplog.text
    assert "secret" not in caplog.text
