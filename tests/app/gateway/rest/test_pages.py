"""The SDK that a page loads from the gateway."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import FastAPI

from app.gateway.rest.pages import PACKAGE, SDK, router
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


async def test_the_lesson_is_there_in_development_only(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as client:
        page = await client.get("/example/")
        files = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        parts = [await client.get(f"/example/{name}") for name in files]
        other = await client.get("/example/..%2Fsdk%2Fv1.js")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert files == ["lesson.css", "lesson.js"]
    assert [part.status_code for part in parts] == [200, 200]
    assert [part.headers["content-type"].partition(";")[0] for part in parts] == [
        "text/css",
        "text/javascript",
    ]
    assert other.status_code == 404

    app = FastAPI()
    app.include_router(router(example=False))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(base_url="http://gateway", transport=transport) as client:
        assert (await client.get("/example/")).status_code == 404
        assert (await client.get("/sdk/v1.js")).status_code == 200
