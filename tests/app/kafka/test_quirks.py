"""What a worker allows a broker that is not Kafka; nothing where the settings say so."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitResponse_v1, OffsetCommitResponse_v3
from aiokafka.protocol.fetch import FetchResponse_v4

from app.kafka.quirks import ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, Quirks, as_rebalance
from app.settings import KafkaSettings

PAUSE = 0.05
NEVER = 3_600.0


class FetchRequest:
    """Quirks know a request by the name of its type."""


class MetadataRequest:
    pass


def fetched(records: bytes) -> FetchResponse_v4:
    partition = (0, 0, 7, 7, [], records)
    return FetchResponse_v4(0, [("chat-messages", [partition])])


def test_kafka_has_none() -> None:
    assert Quirks.of(KafkaSettings(empty_fetch_pause=0)) == Quirks()
    assert not Quirks().generation_runs_ahead
    assert Quirks().empty_fetch_pause == 0


def test_the_defaults_allow_for_the_embedded_broker() -> None:
    quirks = Quirks.of(KafkaSettings())
    assert quirks.generation_runs_ahead
    assert (quirks.empty_fetch_pause, quirks.fetch_wait) == (0.008, 0.5)


async def test_an_empty_fetch_that_was_not_held_is_followed_by_a_pause() -> None:
    async def send(_request: Any) -> Any:
        return fetched(b"")

    began = time.monotonic()
    response = await Quirks(PAUSE, fetch_wait=60).paced(FetchRequest(), send)
    assert time.monotonic() - began >= PAUSE
    assert response.topics[0][1][0][-1] == b""


@pytest.mark.parametrize(
    ("request_", "records", "held"),
    [
        (FetchRequest(), b"records", 0.0),
        (MetadataRequest(), b"", 0.0),
        (FetchRequest(), b"", 0.06),
    ],
    ids=["it has records", "it is no fetch", "it was held"],
)
async def test_nothing_else_is(request_: Any, records: bytes, held: float) -> None:
    async def send(_request: Any) -> Any:
        await asyncio.sleep(held)
        return fetched(records)

    quirks = Quirks(NEVER, fetch_wait=0.1)
    async with asyncio.timeout(30):  # or it would wait for an hour
        await quirks.paced(request_, send)


@pytest.mark.parametrize("version", [OffsetCommitResponse_v1, OffsetCommitResponse_v3])
def test_a_refused_commit_is_worded_as_a_rebalance(version: Any) -> None:
    topics = [("chat-messages", [(0, ILLEGAL_GENERATION), (1, 0), (2, 25)])]
    fields = {"topics": topics, "throttle_time_ms": 5}
    response = version(*(fields[name] for name in version.SCHEMA.names))
    worded = as_rebalance(response)
    assert type(worded) is version
    assert worded.topics == [("chat-messages", [(0, REBALANCE_IN_PROGRESS), (1, 0), (2, 25)])]
    assert "throttle_time_ms" not in version.SCHEMA.names or worded.throttle_time_ms == 5
