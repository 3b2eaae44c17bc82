"""/healthz and /readyz of the public port; details and /metrics of the private one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis.asyncio

from app.redis.heartbeats import Beat, RoleState, beat
from app.worker.role import roles as registered
from schemas.base import now_ms
from tests.app.gateway.edge import Edge, an_interaction
from tests.servers import Services

pytestmark = pytest.mark.services


def a_beat(role: str, state: RoleState, detail: str = "") -> Beat:
    return Beat(
        role=role, instance=f"{role}-{state}", state=state, detail=detail, lag=0, at=now_ms(),
        metrics="127.0.0.1:1",
    )  # fmt: skip


def private(edge: Edge) -> str:
    return f"http://{edge.gateway.status.address}"


async def test_ready_is_kafka_and_redis_whatever_the_roles_do(edge: Edge):
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
        ready = await http.get("/readyz")
        everything = await http.get("/readyz", params={"roles": "all"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
    # And nobody outside learns more than that
    assert (everything.status_code, everything.json()) == (503, {"ready": False})


async def test_ready_with_all_roles_is_every_dependency_and_every_role(edge: Edge):
    redis_settings = edge.settings.redis
    async with (
        redis.asyncio.from_url(redis_settings.url) as client,
        httpx.AsyncClient(base_url=edge.http, trust_env=False) as http,
    ):

        async def all_ready() -> int:
            edge.gateway.readiness.forget()
            return (await http.get("/readyz", params={"roles": "all"})).status_code

        async def details() -> dict:
            return (await http.get(f"{private(edge)}/readyz", params={"roles": "all"})).json()

        assert await all_ready() == 503
        report = await details()
        assert all(one["ready"] for one in report["dependencies"].values())
        assert {one["state"] for one in report["roles"].values()} == {"absent"}

        for role in registered():
            await beat(client, redis_settings, a_beat(role, "recovering"))
        await beat(client, redis_settings, a_beat("push", "ready"))
        assert await all_ready() == 503
        report = await details()
        assert (report["ready"], report["allReady"]) == (True, False)
        assert report["roles"]["emotion"]["state"] == "recovering"
        assert report["roles"]["push"]["ready"] is True

        for role in registered():
            await beat(client, redis_settings, a_beat(role, "ready"))
        assert await all_ready() == 200
        assert len((await details())["roles"]["emotion"]["instances"]) == 2


@pytest.mark.outage
async def test_without_mongodb_a_gateway_stays_in_service(edge: Edge, services: Services):
    redis_settings = edge.settings.redis
    async with (
        redis.asyncio.from_url(redis_settings.url) as client,
        httpx.AsyncClient(base_url=edge.http, trust_env=False, timeout=30) as http,
    ):
        await services.mongo.stop()
        for role in registered():
            await beat(client, redis_settings, a_beat(role, "ready"))
        edge.gateway.readiness.forget()
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.get("/readyz", params={"roles": "all"})).status_code == 503
        report = (await http.get(f"{private(edge)}/readyz")).json()
        assert report["dependencies"]["mongo"]["ready"] is False
        assert report["ready"] is True
        await services.mongo.start()


async def test_alive(edge: Edge):
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
        answer = await http.get("/healthz")
        detailed = (await http.get(f"{private(edge)}/healthz")).json()
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert detailed["loopLagSeconds"] >= 0
    assert detailed["loopSilentSeconds"] >= 0


async def test_the_private_port_tells_of_a_loop_that_stands_still(edge: Edge):
    def ask() -> tuple[int, float]:
        with httpx.Client(base_url=private(edge), trust_env=False, timeout=30) as http:
            silent = http.get("/healthz").json()["loopSilentSeconds"]
            return http.get("/readyz").status_code, silent

    with ThreadPoolExecutor(1) as thread:
        # This loop is the gateway's, and is blocked while the answer is waited for.
        status, silent = thread.submit(lambda: (time.sleep(1.0), ask())[1]).result(30)
    assert status == 503
    assert silent >= 0.9


async def test_metrics_tell_of_messages_but_not_of_whom_on_the_private_port(edge: Edge):
    async with edge.client("somebody-in-particular") as client:
        await client.call(type="interaction_batch", id="1", interactions=[an_interaction()])
        await client.call(type="dance", id="2")
        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            text = (await http.get(f"{private(edge)}/metrics")).text
            assert (await http.get("/metrics")).status_code == 404
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
