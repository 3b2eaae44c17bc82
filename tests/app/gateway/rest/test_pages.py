"""The SDK that a page loads from the gateway."""

from __future__ import annotations

import httpx
import pytest

from app.gateway.rest.pages import PACKAGE, SDK
from tests.app.gateway.edge import Edge

pytestmark = pytest.mark.services

ORIGIN = {"Origin": "https://school.example"}


async def test_any_page_may_load_the_sdk(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as client:
        answer = await client.get("/sdk/v1.js", headers=ORIGIN)

    assert answer.status_code == 200
    assert answer.content == SDK.read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "immutable" not in answer.headers["cache-control"]


async def test_npm_may_load_the_package(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as client:
        answer = await client.get("/sdk/masterx-sdk.tgz")
        again = await client.get(
            "/sdk/masterx-sdk.tgz", headers={"If-None-Match": answer.headers["etag"]}
        )

    assert answer.status_code == 200
    assert answer.content == PACKAGE.read_bytes()
    # Not Content-Encoding: a client would hand npm the tar without its gzip.
    assert "content-encoding" not in answer.headers
    assert again.status_code == 304


async def test_a_browser_that_has_it_does_not_load_it_again(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as client:
        first = await client.get("/sdk/v1.js")
        again = await client.get("/sdk/v1.js", headers={"If-None-Match": first.headers["etag"]})
        other = await client.get("/sdk/v1.js", headers={"If-None-Match": '"another"'})

    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
