"""`kafka`: an Apache Kafka with TLS and logins, started once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.app.kafka.secured import SecuredKafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    server = SecuredKafka(tmp_path_factory.mktemp("secured-kafka"))
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.stop())
