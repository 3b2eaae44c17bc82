"""The first lines of docs/sdk.md run as they stand, against a real gateway."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest

from agents.runtime.topics import CHAT, INTERACTIONS
from app.gateway.rest.pages import SDK
from tests.app.gateway.edge import Edge, records
from tests.sdk.test_real_gateway import ROOT, node

pytestmark = pytest.mark.services

ADDRESS = "http://127.0.0.1:8000"
TOKEN = "the output of `masterx token demo`"


async def test_the_first_lines_of_the_page_run(edge: Edge) -> None:
    [code, *_] = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "sdk.md").read_text(), re.DOTALL)
    assert ADDRESS in code
    assert TOKEN in code
    # Node imports no module from an address; everything else stays.
    code = code.replace(f"{ADDRESS}/sdk/v1.js", SDK.as_uri())
    code = code.replace(ADDRESS, edge.http).replace(TOKEN, edge.token("demo"))

    process = await asyncio.create_subprocess_exec(
        node(),
        "--experimental-websocket",
        "--input-type=module",
        "--eval",
        code,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        [clicked] = await records(edge.settings, INTERACTIONS, 1)
        [said] = await records(edge.settings, CHAT, 1)
    finally:
        process.kill()
        _, complaints = await process.communicate()

    assert orjson.loads(clicked.value)["interactions"][0]["elementId"] == "next"
    assert orjson.loads(said.value)["text"] == "Why?"
    assert b"Error" not in complaints
