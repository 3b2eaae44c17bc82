"""Chromium for tests: a Node process drives it (sdk/tests/browser/driver.mjs)."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.sdk.test_real_gateway import ROOT, node

DRIVER = ROOT / "sdk" / "tests" / "browser" / "driver.mjs"
STEP_SECONDS = 60.0
LONGEST_LINE = 2**24

Heard = Callable[[dict[str, Any]], None]


class StepFailed(AssertionError):
    """What the driver could not do."""


class Chromium:
    """Steps in browsers. Each browser is named by its profile's folder, each page by a name."""

    def __init__(self, process: asyncio.subprocess.Process, heard: Heard) -> None:
        self._process = process
        self._heard = heard
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    async def do(self, step: str, *, within: float = STEP_SECONDS, **given: Any) -> Any:
        """Take a step of the driver; what it gave back.

        Raises:
            StepFailed: it did not work, or not in time.
        """
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"id": number, "do": step, **given}) + b"\n")
        try:
            return await asyncio.wait_for(answer, within)
        except TimeoutError:
            raise StepFailed(f"{step}: no answer within {within:g} s") from None
        finally:
            del self._waiting[number]

    async def evaluate(self, page: str, code: str, *, within: float = STEP_SECONDS) -> Any:
        """The value of an expression in a page; of a promise, what it resolves to."""
        return await self.do("evaluate", page=page, code=code, within=within)

    async def cdp(
        self, page: str, method: str, *, within: float = STEP_SECONDS, **parameters: Any
    ) -> Any:
        """Call the DevTools protocol for a page."""
        return await self.do("cdp", within=within, page=page, method=method, parameters=parameters)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = orjson.loads(line)
            if "event" in said:
                self._heard(said)
                continue
            answer = self._waiting.get(said["id"])
            if answer is None or answer.done():
                continue
            if "error" in said:
                answer.set_exception(StepFailed(said["error"]))
            else:
                answer.set_result(said["value"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(StepFailed("the driver has ended"))

    async def close(self) -> None:
        """End the driver, and the browsers with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reader


@asynccontextmanager
async def chromium(heard: Heard) -> AsyncIterator[Chromium]:
    """A driver; it calls `heard` with each event: told, console, thrown, crashed."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(DRIVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
        cwd=ROOT / "sdk",
        env=os.environ,
    )
    driver = Chromium(process, heard)
    try:
        yield driver
    finally:
        await driver.close()


def forget(profile: Path) -> None:
    """Delete a profile: tens of megabytes."""
    shutil.rmtree(profile, ignore_errors=True)
