"""`npm install http://.../sdk/masterx-sdk.tgz` from a running gateway, into an empty folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import orjson
import pytest

from tests.app.gateway.edge import Edge
from tests.sdk.test_real_gateway import node

pytestmark = pytest.mark.services

PAGE = """
import { createClient } from "@masterx/sdk";
import { startGateway } from "@masterx/sdk/testing";

const gateway = await startGateway();
const client = createClient({
  url: gateway.url,
  userId: "ada",
  getToken: async () => gateway.token("ada"),
  consent: "granted",
  storage: "memory",
});
const outcome = await client.record({ interactionType: "click" }).accepted;
const state = client.userState.get() ?? await new Promise((go) => client.userState.subscribe(go));
console.log(JSON.stringify([outcome, state.modelStatus, gateway.accepted.length]));
client.close();
await gateway.close();
"""


async def run(folder: Path, *command: str) -> str:
    """What a command says. It has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, said.decode() + complaints.decode()
    return said.decode()


async def test_the_package_installs_from_the_gateway(edge: Edge, tmp_path: Path) -> None:
    executable, npm = node(), shutil.which("npm")
    if npm is None:
        assert "CI" not in os.environ, "install npm: the SDK's package is tested with it"
        pytest.skip("no npm here")
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", f"--cache={tmp_path / 'cache'}")
    page = tmp_path / "page"
    page.mkdir()
    (page / "page.mjs").write_text(PAGE)

    await run(page, npm, "install", f"{edge.http}/sdk/masterx-sdk.tgz", *quiet)
    said = await run(page, executable, "--experimental-websocket", "--no-warnings", "page.mjs")

    [installed] = (page / "node_modules").glob("*/*/package.json")
    assert orjson.loads(installed.read_bytes())["name"] == "@masterx/sdk"
    assert orjson.loads(said) == ["new", "simulated", 1]
    usage = await run(page, str(page / "node_modules" / ".bin" / "masterx-sdk"), "--help")
    assert "masterx-sdk dev" in usage
