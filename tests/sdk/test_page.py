"""What a page in Chromium gets of the SDK, and what it costs the page."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from agents.runtime.ports import PushKind
from app.settings import Settings
from tests.app.gateway.edge import Edge, Pusher
from tests.sdk.chromium import Chromium, chromium
from tests.sdk.classroom import LEARNER, classroom, verdict
from tests.servers import Services
from tests.topics import eventually

pytestmark = [pytest.mark.services, pytest.mark.browser, pytest.mark.timeout(240)]

CLIENTS = 1_000
POLL_SECONDS = 25
"""That the SDK lets the gateway hold a poll (sdk/src/core/rest.ts)."""
LEAST_GROWTH = 1_000_000
"""Bytes."""


class Page:
    """One page in a browser of its own."""

    def __init__(self, driver: Chromium, profile: str, events: list[dict[str, Any]]) -> None:
        self.driver = driver
        self.events = events
        self._profile = profile

    def told(self, key: str) -> list[Any]:
        """What it told under this key."""
        return [
            event["told"][key]
            for event in self.events
            if event["event"] == "told" and key in event["told"]
        ]

    async def open(self, url: str) -> None:
        """Open it; what breaks its CSP it tells as `violation`."""
        await self.driver.do("open", browser=self._profile, page="page", url=url, before=WATCH)

    async def evaluate(self, code: str, within: float = 120) -> Any:
        """The value of an expression."""
        return await self.driver.evaluate("page", code, within=within)

    async def heap(self) -> tuple[float, float]:
        """Bytes in use and listeners, once the garbage is gone."""
        await self.driver.cdp("page", "Performance.enable")
        for _ in range(3):
            await self.driver.cdp("page", "HeapProfiler.collectGarbage")
            await asyncio.sleep(0.2)
        told = await self.driver.cdp("page", "Performance.getMetrics")
        metrics = {one["name"]: one["value"] for one in told["metrics"]}
        return metrics["JSHeapUsedSize"], metrics["JSEventListeners"]


WATCH = """document.addEventListener("securitypolicyviolation",
  ({violatedDirective, blockedURI}) =>
    told(JSON.stringify({violation: `${violatedDirective} ${blockedURI}`})));"""


@pytest_asyncio.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    events: list[dict[str, Any]] = []
    async with chromium(events.append) as driver:
        profile = str(tmp_path / "profile")
        await driver.do("launch", profile=profile)
        yield Page(driver, profile, events)


async def serve(page: Page, edge: Edge, *, csp: bool = False) -> str:
    """Serve the pages, with the gateway behind the same origin."""
    url: str = await page.driver.do(
        "serve",
        secret=edge.settings.auth.secret.get_secret_value(),
        gateway=edge.settings.gateway.port,
        csp=csp,
    )
    return url


async def test_a_strict_content_security_policy_is_kept(
    edge: Edge, pusher: Pusher, page: Page
) -> None:
    site = await serve(page, edge, csp=True)
    await page.open(f"{site}/lesson.html?user={LEARNER}&page=csp")
    await page.evaluate("lesson.record(60, 5)")
    await pusher.push(LEARNER, PushKind.INTERVENTION, id="i-1")
    assert await page.evaluate("lesson.flush(20000)")

    async def shown() -> list[str]:
        return page.told("intervention")

    await eventually(shown, lambda all_: "i-1" in all_)
    assert (await page.evaluate("lesson.stats()"))["accepted"] == 60
    assert page.told("violation") == []
    assert [event for event in page.events if event["event"] == "thrown"] == []
    # The policy is in force, and what breaks it is seen.
    await page.evaluate("fetch('http://127.0.0.1:9/').catch(() => null)")
    await page.evaluate("setTimeout(() => { try { document.body.innerHTML = 'x' } catch {} })")

    async def seen() -> list[str]:
        return page.told("violation")

    broken = await eventually(seen, lambda all_: len(all_) >= 2)
    assert {one.split()[0] for one in broken} == {"connect-src", "require-trusted-types-for"}


async def test_a_thousand_clients_leave_nothing_behind(edge: Edge, page: Page) -> None:
    site = await serve(page, edge)
    await page.open(f"{site}/churn.html?user={LEARNER}")
    await page.evaluate("churn.clients(50)")
    heap, listeners = await page.heap()
    await page.evaluate(f"churn.clients({CLIENTS})", within=180)
    heap_after, listeners_after = await page.heap()
    print(f"\nheap {heap:.0f} -> {heap_after:.0f} bytes, listeners {listeners:.0f}")
    assert listeners_after == listeners
    assert heap_after - heap < LEAST_GROWTH
    # Had a client been kept, so would be what it holds.
    assert [event for event in page.events if event["event"] == "thrown"] == []


async def test_a_page_too_busy_to_read_ends_in_the_right_state(
    edge: Edge, pusher: Pusher, page: Page
) -> None:
    site = await serve(page, edge)
    await page.open(f"{site}/follower.html?user={LEARNER}")

    async def greeted() -> list[Any]:
        return page.told("hello")

    await eventually(greeted, bool)
    blocked = asyncio.create_task(
        page.evaluate(
            "new Promise(done => setTimeout(() => done(block(5000)), 0)); "
            "function block(ms) "
            "{ for (const end = performance.now() + ms; performance.now() < end; ); }"
        )
    )
    for number in range(500):
        kind = PushKind.INTERVENTION if number % 5 == 4 else PushKind.STATE
        await pusher.push(LEARNER, kind, size=20_000, id=f"i-{number}")
    await blocked

    async def shown() -> list[str]:
        return page.told("intervention")

    wanted = [f"i-{number}" for number in range(4, 500, 5)]
    await eventually(shown, lambda all_: len(all_) >= len(wanted), within=60)
    assert page.told("intervention") == wanted
    places = [event["told"] for event in page.events if "push" in event.get("told", {})]
    assert [one["offset"] for one in places] == sorted({one["offset"] for one in places})


async def test_without_any_upgrade_a_page_does_all_of_it_by_rest(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    async with classroom(topics, services, tmp_path, random.Random(1), upgrades=False) as room:
        await room.record()

        async def looked() -> set[str]:
            return room.told.looked

        # What is pushed before a page's first answer is in its `hello`.
        await eventually(looked, bool)
        waits = []
        async with redis.asyncio.from_url(topics.redis.url) as client:
            pusher = Pusher(topics, client, topic="help")
            for number in range(5):
                began = time.time()
                name = f"help-{number}"
                await pusher.push(
                    LEARNER,
                    PushKind.TUTOR_REPLY,
                    replyId=name,
                    status="human_help",
                    final=True,
                    attempt=1,
                    text="Ask somebody",
                )
                room.pushed.append((PushKind.TUTOR_REPLY, name))

                async with asyncio.timeout(30):
                    while name not in room.told.shown:
                        await asyncio.sleep(0.02)
                waits.append(room.told.shown[name][1] - began)
        # A poll that answered only at its end would take half of that on average.
        assert sorted(waits)[2] < POLL_SECONDS / 2
        print(f"\nhuman_help on the page after {sorted(waits)[2] * 1000:.0f} ms (median of five)")
        await room.settle()
        assert await verdict(room) == []
        assert room.told.phases["live"] == 0
        assert room.told.phases["polling"] > 0
