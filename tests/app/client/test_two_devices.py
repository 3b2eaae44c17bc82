"""A laptop and a phone of one learner, Redis away, the gateway killed: each event counts once.

Nothing but the learner's own memory of ids knows a retry then (`learner.seen`, 512 of a kind). Two
clients that keep to `limits.unacknowledged` stay below it together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from agents.runtime.topics import INTERACTIONS
from app.client.learner import LearnerClient
from app.gateway.auth.tokens import issue
from app.settings import Settings
from schemas.topics.interactions import InteractionsReceived
from tests.app.gateway.edge import PREFIX, records
from tests.sdk.test_real_gateway import GatewayProcess
from tests.servers import Services
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.outage, pytest.mark.timeout(180)]

EACH = 190
"""Events of a device: all of them may be under way."""


async def counted(gateway: GatewayProcess, token: str) -> int:
    """Interactions in the learner's state."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
        answer = await http.get(
            f"{PREFIX}/profile/ada", headers={"Authorization": f"Bearer {token}"}
        )
    return answer.json()["userState"]["activity"]["interactions"] if answer.is_success else 0


async def test_each_event_of_two_devices_counts_once(
    topics: Settings, services: Services, tmp_path: Path
):
    gateway = GatewayProcess(topics, tmp_path / "gateway.log")
    await gateway.start()
    token = issue(topics.auth, "ada")
    try:
        async with (
            WorkerProcess("learner", topics, tmp_path / "learner.log"),
            WorkerProcess("push", topics, tmp_path / "push.log"),
            LearnerClient(gateway.url, "ada", token) as laptop,
            LearnerClient(gateway.url, "ada", token) as phone,
        ):
            await services.redis.stop()
            # Nobody hears an ack from here on: all of it waits when the gateway is killed.
            lines = [device._connection._socket.transport for device in (laptop, phone)]
            for line in lines:
                line.pause_reading()
            sending = [
                asyncio.create_task(device.record([{"interactionType": "click"}] * EACH))
                for device in (laptop, phone)
            ]
            # All are in Kafka then, and nobody has written down that they are.
            await records(topics, INTERACTIONS, 2 * -(-EACH // 50))
            gateway.kill()
            for line in lines:
                line.abort()
            await services.redis.start()
            await gateway.start()
            done = await asyncio.wait_for(asyncio.gather(*sending), 90)
            sent = [event for device in done for event in device.event_ids]
            assert len(set(sent)) == 2 * EACH
            async with asyncio.timeout(60):
                while await counted(gateway, token) < 2 * EACH:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            assert await counted(gateway, token) == 2 * EACH
    finally:
        gateway.kill()
    there = Counter(
        one.event_id
        for record in await records(topics, INTERACTIONS, 1)
        for one in InteractionsReceived.parse(record.value).interactions
    )
    assert set(there) == set(sent)
    assert all(number == 2 for number in there.values()), there
