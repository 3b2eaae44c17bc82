"""The package that the gateway serves: npm installs it, and its command runs."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import orjson
import pytest

from app.gateway.rest.pages import PACKAGE
from tests.app.gateway.edge import Edge
from tests.sdk.chromium import chromium
from tests.sdk.test_real_gateway import node

KEY_SECONDS = 10.0

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


@pytest.mark.services
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


class Terminal:
    """`masterx-sdk dev` of the package on a terminal of its own: keys are pressed, not sent."""

    def __init__(self, folder: Path, user: str) -> None:
        with tarfile.open(PACKAGE) as package:
            package.extractall(folder, filter="data")
        command = folder / "package" / "dist" / "testing" / "dev.js"
        ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [node(), str(command), "dev", "--port", "0", "--user", user],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._terminal = ours
        self._said = ""
        self._grew = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                text = os.read(self._terminal, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                text = ""
            with self._grew:
                self._said += text
                self._grew.notify_all()
            if not text:
                return

    def wait_for(self, text: str) -> str:
        """All that it said, once this is in it."""
        with self._grew:
            assert self._grew.wait_for(lambda: text in self._said, KEY_SECONDS), self._said
            return self._said

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def ended(self) -> int:
        return self._process.wait(KEY_SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.mark.parametrize("last", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_the_command_obeys_keys_on_a_terminal(tmp_path: Path, last: str) -> None:
    terminal = Terminal(tmp_path, "ada")
    try:
        terminal.wait_for("q  quit")
        terminal.press("i")
        terminal.wait_for("an intervention is raised (ada is not connected)")
        terminal.press("?")
        terminal.press(last)
        assert terminal.ended() == 0
    finally:
        terminal.kill()


@pytest.mark.browser
async def test_its_page_shows_what_the_keys_do(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "package", "ada")
    complaints: list[dict[str, object]] = []

    async def shows(text: str) -> None:
        code = f"""new Promise((go) => {{
            const look = () => document.body.innerText.includes({orjson.dumps(text).decode()})
              ? go(true) : setTimeout(look, 20);
            look();
        }})"""
        assert await browser.evaluate("page", code, within=KEY_SECONDS)

    try:
        address = terminal.wait_for("q  quit").split()[0]
        async with chromium(complaints.append) as browser:
            profile = str(tmp_path / "profile")
            await browser.do("launch", profile=profile)
            await browser.do("open", browser=profile, page="page", url=address)
            await shows("Connection: live")
            await browser.evaluate("page", "document.getElementById('wrong').click()")
            await shows("cognitiveLoad\n")
            await shows("not known yet")
            terminal.press("i")
            await shows("intervention: moderate")
            terminal.press("t")
            await shows("This is a simulated reply")
            terminal.press("e")
            terminal.wait_for("the token expires (4401)\r\n")
            await shows("connection: connecting")
            await shows("Connection: live")
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        terminal.kill()
    assert [one for one in complaints if one["event"] in {"thrown", "crashed"}] == []
