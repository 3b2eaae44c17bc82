"""/healthz, /readyz, /metrics."""

from __future__ import annotations

import httpx
import pytest
import redis.asyncio

from app.settings import ROLES, Role
from app.stores.heartbeats import Beat, RoleState, beat
from schemas.base import now_ms
from tests.app.gateway.edge import Edge, an_interaction

pytestmark = pytest.mark.services


def a_beat(role: Role, state: RoleState, detail: str = "") -> Beat:
    return Beat(
        role=role, instance=f"{role}-{state}", state=state, detail=detail, lag=0, at=now_ms(),
        metrics="127.0.0.1:1",
    )  # fmt: skip


async def test_ready_is_every_dependency_and_every_role(edge: Edge):
    async with (
        redis.asyncio.from_url(edge.settings.redis.url) as client,
        httpx.AsyncClient(base_url=edge.http, trust_env=False) as http,
    ):
        absent = await http.get("/readyz")
        assert absent.status_code == 503
        report = absent.json()
        assert all(one["ready"] for one in report["dependencies"].values())
        assert {one["state"] for one in report["roles"].values()} == {"absent"}

        for role in ROLES:
            await beat(client, edge.settings.redis, a_beat(role, "recovering"))
        await beat(client, edge.settings.redis, a_beat("push", "ready"))
        edge.gateway.readiness.forget()
        report = (await http.get("/readyz")).json()
        assert report["ready"] is False
        assert report["roles"]["emotion"]["state"] == "recovering"
        assert report["roles"]["push"]["ready"] is True

        for role in ROLES:
            await beat(client, edge.settings.redis, a_beat(role, "ready"))
        edge.gateway.readiness.forget()
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert len(ready.json()["roles"]["emotion"]["instances"]) == 2


async def test_alive(edge: Edge):
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
        answer = await http.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "alive"
    assert answer.json()["loopLagSeconds"] >= 0


async def test_metrics_tell_of_messages_but_not_of_whom(edge: Edge):
    async with edge.client("somebody-in-particular") as client:
        await client.call(type="interaction_batch", id="1", interactions=[an_interaction()])
        await client.call(type="dance", id="2")
        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            text = (await http.get("/metrics")).text
    accepted = 'type="interaction_batch"'
    assert (
        f'masterx_gateway_messages_total{{door="websocket",outcome="accepted",{accepted}}}' in text
    )
    assert 'outcome="unknown_type",type="unknown"' in text
    assert "masterx_gateway_connections 1.0" in text
    assert "somebody" not in text


async def test_the_openapi_document_is_whole(edge: Edge):
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
        document = (await http.get("/openapi.json")).json()
    known = set(document["components"]["schemas"])

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"].rpartition("/")[2]} if "$ref" in node else set()
            return own.union(*(references(one) for one in node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    assert references(document["paths"]) <= known
    assert references(document["components"]) <= known
