"""What learners really write, from a page in Chromium through real workers to the page and `watch`.

`MASTERX_PICTURE=docs/page.png` keeps the picture of it that README shows.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.gateway.auth.tokens import issue
from app.local.environment import child_environment
from app.settings import Settings
from tests.sdk.chromium import chromium
from tests.sdk.test_react import Host
from tests.sdk.test_real_gateway import ROOT, GatewayProcess
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.browser, pytest.mark.timeout(240)]

LEARNER = "demo"
MOOD = "document.querySelector('meter[aria-label=\"Mood of messages\"]')?.value"
SPANISH = "no entiendo nada de este tema y estoy muy triste, nadie me ayuda"
SIZE = {"width": 1000, "height": 960, "deviceScaleFactor": 1, "mobile": False}
FIELD = "section form:not([data-mx-ignore]) input"
LONG = (
    "so i started with the first task this morning like you said, wrote down what is given, and "
    "then i looked at the second one, where there are two fractions with different denominators. "
    "first i multiplied the two numbers below, then the ones above, and compared it with the "
    "example from the book, page 41, the one with the pizza. after that i did the same with the "
    "third and the fourth task, and checked both with the calculator, which took until lunch. in "
    "the afternoon i went through the list again from the beginning, this time with the tables "
    "that we got on monday, and i put all of the steps below each other in my notebook, so that "
    "you can see which one comes from where. the last one is on the other side of the sheet. "
    "honestly i am so fed up and sad now, every single one of them is wrong again, i hate this "
    "and i just want to cry"
)


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[list[str]]:
    """`masterx watch`; its lines as they come."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "watch", LEARNER),
        env=child_environment(settings),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode())

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        process.terminate()
        await process.wait()
        await reading


async def test_an_emoji_a_spanish_sentence_and_a_long_complaint(
    topics: Settings, tmp_path: Path
) -> None:
    console: list[Any] = []
    async with AsyncExitStack() as stack:
        for roles in ("emotion", "learner", "push"):
            await stack.enter_async_context(WorkerProcess(roles, topics, tmp_path / f"{roles}.log"))
        gateway = GatewayProcess(topics, tmp_path / "gateway.log")
        stack.callback(gateway.kill)
        await gateway.start()
        seen = await stack.enter_async_context(watching(topics))
        driver = await stack.enter_async_context(chromium(console.append))
        page = Host(driver, console)
        profile = str(tmp_path / "profile")
        await driver.do("launch", profile=profile)
        url = f"{gateway.url}/example/#{issue(topics.auth, LEARNER)}"
        await driver.do("open", browser=profile, page="page", url=url)

        async def says(text: str) -> None:
            await page.value(
                "document.querySelector('section form:not([data-mx-ignore]) input').focus()"
            )
            await driver.input("page", "keyboard", "insertText", text)
            await driver.input("page", "keyboard", "press", "Enter")

        async def mood() -> float:
            return float(await page.value(MOOD))

        await page.until("document.querySelector('header input')")
        await page.value("document.querySelector('header input').click()")
        await page.until("document.body.innerText.includes('· live')")
        await says("chapter 4 😄😄")
        await page.until(f"{MOOD} > 0.55")
        glad = await mood()
        await says("chapter 4 😭😭")
        await page.until(f"{MOOD} < {glad} - 0.1")
        sad = await mood()
        await says(LONG)
        await page.until(f"{MOOD} < {sad} - 0.02")
        sadder = await mood()
        await says(SPANISH)
        await page.until("document.body.innerText.includes('in a language that masterx does not')")
        assert await mood() == pytest.approx(sadder, abs=0.02)  # it keeps what it knew
        if picture := os.environ.get("MASTERX_PICTURE"):
            await driver.cdp("page", "Emulation.setDeviceMetricsOverride", **SIZE)
            await driver.do("screenshot", page="page", path=str(ROOT / picture))
    watched = "".join(seen)
    assert re.search("language", watched), watched
    assert not [one for one in console if one["event"] == "thrown"]
