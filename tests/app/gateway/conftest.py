"""A gateway over the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
import redis.asyncio

from app.settings import Settings
from tests.app.gateway.edge import Edge, Pusher, serving


@pytest_asyncio.fixture
async def edge(topics: Settings) -> AsyncIterator[Edge]:
    async with serving(topics) as running:
        yield running


@pytest_asyncio.fixture
async def pusher(settings: Settings) -> AsyncIterator[Pusher]:
    async with redis.asyncio.from_url(settings.redis.url) as client:
        yield Pusher(settings, client)
