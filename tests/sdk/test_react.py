"""React in a real Chromium on a real gateway: one socket, one feedback, nothing on the console."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.runtime.ports import PushKind
from agents.runtime.topics import FEEDBACK, INTERACTIONS
from app.gateway.process.metrics import CLOSES
from schemas.topics.state import Behaviour, Estimate, Source
from tests.app.gateway.edge import Edge, Pusher, records
from tests.schemas.examples import FULL_STATE
from tests.sdk.chromium import Chromium, chromium
from tests.sdk.test_real_gateway import ROOT, node

pytestmark = [pytest.mark.services, pytest.mark.browser]

WITHIN = 30.0
AFTER_RELEASE = 2.5
"""Seconds in which a second client would have come, or the first one have been let go."""
RECOMMENDED = ("attention_cues", "slow_animation", "reduce_distractions")


class Host:
    """A page of the host's, and what its console says."""

    def __init__(self, driver: Chromium, console: list[Any]) -> None:
        self.driver = driver
        self.console = console

    async def value(self, code: str) -> Any:
        return await self.driver.evaluate("page", code)

    async def until(self, code: str) -> None:
        """Wait until an expression holds in the page."""
        await eventually(lambda: self.value(code), code)


async def eventually(holds: Callable[[], Awaitable[Any]], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while not await holds():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not come to: {what}") from None


@asynccontextmanager
async def host(
    edge: Edge,
    folder: Path,
    page: str,
    html: str = "",
    alias: dict[str, str] | None = None,
    mode: str = "development",
) -> AsyncIterator[Host]:
    """A page of sdk/tests/browser/pages on a site whose gateway is `edge`."""
    console: list[Any] = []
    profile = str(folder / "profile")
    async with chromium(console.append) as driver:
        site = await driver.do(
            "serve",
            secret=edge.settings.auth.secret.get_secret_value(),
            gateway=edge.settings.gateway.port,
            html=html,
            options={
                "alias": alias or {},
                "jsx": "automatic",
                "define": {"process.env.NODE_ENV": f'"{mode}"'},
            },
        )
        await driver.do("launch", profile=profile)
        url = f"{site}/{page}.html"
        await driver.do("open", browser=profile, page="page", url=url)
        yield Host(driver, console)


def rendered(major: int) -> dict[str, Any]:
    """What a server with this React sends of the snippets."""
    script = str(ROOT / "sdk" / "tests" / "browser" / "render.mjs")
    found: dict[str, Any] = orjson.loads(
        subprocess.check_output([node(), script, str(major)], cwd=ROOT / "sdk")
    )
    return found


def recommendation(number: int, action: str, confidence: float) -> dict[str, Any]:
    return {
        "id": f"r-{number}",
        "action": action,
        "parameters": {},
        "confidence": confidence,
        "because": ["focus 0.31 is below 0.5 (confidence 0.86)"],
    }


def known_state() -> dict[str, Any]:
    """A state in which the focus is measured, the load derived, and the rest a prior."""

    def estimate(value: float, source: Source) -> Estimate:
        return Estimate(
            value=value, confidence=0.0 if source is Source.PRIOR else 0.5, source=source
        )

    prior = estimate(0.5, Source.PRIOR)
    behaviour = Behaviour(
        focus=estimate(0.31, Source.MEASURED),
        cognitive_load=estimate(0.62, Source.DERIVED),
        engagement=prior,
        fatigue=prior,
        help_need=prior,
        next_correct=prior,
        tendencies={},
    )
    return FULL_STATE.model_copy(update={"behaviour": behaviour}).document()


def closes() -> float:
    """WebSockets that this gateway has closed."""
    [metric] = CLOSES.collect()
    return sum(one.value for one in metric.samples if one.name.endswith("_total"))


@pytest.mark.parametrize("markup", ["new", "hydrated"])
@pytest.mark.parametrize("major", [18, 19])
async def test_strict_mode_is_one_socket_and_one_feedback(
    edge: Edge, pusher: Pusher, tmp_path: Path, major: int, markup: str
) -> None:
    """The first snippet, in StrictMode."""
    server = rendered(major)
    before = closes()
    inside = server["html"] if markup == "hydrated" else ""
    html = f'<div id="root">{inside}</div>'
    async with host(edge, tmp_path, "strict", html, server["alias"]) as page:
        await page.until("document.querySelector('section')?.ariaBusy === 'false'")
        await pusher.push("ada", PushKind.STATE, userState=known_state())
        shown = [recommendation(at, name, 0.9) for at, name in enumerate(RECOMMENDED)]
        host_only = recommendation(8, "suggest_break", 0.9)
        unsure = recommendation(9, "enlarge_targets", 0.7)
        await pusher.push(
            "ada", PushKind.RECOMMENDATIONS, recommendations=[*shown, host_only, unsure]
        )
        await page.until("document.getElementById('figures')")
        assert await page.value("document.getElementById('figures').innerText") == "31% 62% unknown"
        await page.driver.input("page", "mouse", "click", *await centre(page, "next"))
        fed = await records(edge.settings, FEEDBACK, len(shown))
        [clicked] = await records(edge.settings, INTERACTIONS, 1)
        await asyncio.sleep(AFTER_RELEASE)
        fed = await records(edge.settings, FEEDBACK, len(shown))

        assert [one.sender.user_id for one in edge.gateway.connections.snapshot()] == ["ada"]
        assert closes() == before, "another socket was there, and was closed"
        assert await page.value("document.documentElement.dataset.mxCues") == "on"
        assert page.console == []

    answers = [orjson.loads(one.value) for one in fed]
    assert sorted((one["targetId"], one["outcome"]) for one in answers) == [
        (one["id"], "applied") for one in shown
    ]
    [interaction] = orjson.loads(clicked.value)["interactions"]
    assert interaction["elementId"] == "next"
    assert interaction["timingData"]["responseTime"] > 0


async def test_components_render_only_for_what_they_read(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    async with host(edge, tmp_path, "renders") as page:
        await page.until("document.getElementById('whole').innerText.startsWith('true')")
        before = await page.value("({...counted})")
        state = known_state()
        for number in range(1, 6):
            state = {**state, "updatedAt": state["updatedAt"] + number}
            await pusher.push("ada", PushKind.STATE, userState=state)
            shown = f"true {state['updatedAt']}"
            await page.until(f"document.getElementById('whole').innerText === '{shown}'")
        await pusher.push(
            "ada",
            PushKind.RECOMMENDATIONS,
            recommendations=[recommendation(1, "slow_animation", 0.5)],
        )
        await page.until("document.getElementById('advice').innerText === '1'")
        after = await page.value("({...counted})")

        assert await page.value("document.getElementById('focus').innerText") == "measured"
        assert after["whole"] == before["whole"] + 5
        assert after["advice"] == before["advice"] + 1
        assert after["focus"] == before["focus"] + 1
        assert await page.value("click()") == "new"
        assert await page.value("say()") == ["feature_off", "not_followed"]
        assert await page.value("stats().recorded") == 1
        assert await page.value("counted.deeds") == before["deeds"] == 1
        [record] = await records(edge.settings, INTERACTIONS, 1)
        # Privacy mode sends no element ids, and keeps nothing on disk.
        assert b"private" not in record.value
        assert await page.value("indexedDB.databases()") == []
        assert await page.value("localStorage.length + sessionStorage.length") == 0
        assert page.console == []


# -- a host whose props change; as it is shipped: StrictMode mounts twice, and hides faults -------


def followed(edge: Edge) -> list[str | None]:
    return [one.sender.user_id for one in edge.gateway.connections.snapshot()]


def whole_host(edge: Edge, folder: Path) -> AbstractAsyncContextManager[Host]:
    return host(edge, folder, "hosts", mode="production")


ACTIVE = "document.getElementById('active')?.innerText === '{}'"
LESSON = "document.getElementById('lesson')?.innerText"


async def test_consent_is_that_of_the_learner_who_is_there_now(edge: Edge, tmp_path: Path) -> None:
    async with whole_host(edge, tmp_path) as page:
        # Consent and the first component come in one commit.
        await page.value("show({userId: 'ada', consent: 'pending'})")
        await page.value("show({consent: 'granted', active: true})")
        await page.until(ACTIVE.format("true"))
        # Another learner, who has not agreed.
        await page.value("show({userId: 'bob', consent: 'denied'})")
        await page.until(ACTIVE.format("false"))
        assert await page.value("record({interactionType: 'click'})") == "no_consent"
        await asyncio.sleep(AFTER_RELEASE)
        assert followed(edge) == []
        assert await page.value("stats().dropped.no_consent") == 1
        assert await page.value("captured") == ["ada", "bob"]
        await page.value("show({consent: 'granted'})")
        await page.until(ACTIVE.format("true"))
        assert followed(edge) == ["bob"]
        assert page.console == []


async def test_what_is_read_later_is_as_new_as_the_rest(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    async with whole_host(edge, tmp_path) as page:
        await page.value("show({userId: 'ada', consent: 'granted', lesson: true})")
        await page.until("phase() === 'live'")  # what is pushed before `hello` is no page's
        raised: dict[str, Any] = {
            "level": "significant",
            "because": ["it is hard"],
            "recommendations": [],
        }
        await pusher.push("ada", PushKind.INTERVENTION, id="i-1", **raised)
        await asyncio.sleep(0.5)  # nobody has read it: nothing on the page tells that it is here
        await page.value("show({panel: true})")
        await page.until(f"{LESSON} === 'unknown 1 none'")
        await page.value("show({panel: false, userId: 'bob'})")
        await page.until(f"{LESSON} === 'unknown'")
        await page.value("show({userId: 'ada', active: true})")
        await page.until(ACTIVE.format("true"))
        await pusher.push("ada", PushKind.STATE, userState=known_state())
        await page.until(f"{LESSON} === 'known'")
        advice = [recommendation(1, "slow_pace", 0.9)]
        await pusher.push("ada", PushKind.RECOMMENDATIONS, recommendations=advice)
        await asyncio.sleep(0.5)
        await page.value("show({panel: true})")
        await page.until(f"{LESSON} === 'known 1 slow_pace'")
        assert page.console == []


async def test_after_logout_nothing_of_the_learner_is_left(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    async with whole_host(edge, tmp_path) as page:
        props = "userId: 'ada', consent: 'granted', enableRealTimeAdaptation: true"
        await page.value(f"show({{{props}, active: true, lesson: true, panel: true}})")
        await page.until(ACTIVE.format("true"))
        await pusher.push("ada", PushKind.STATE, userState=known_state())
        slower = [recommendation(1, "slow_animation", 0.9)]
        await pusher.push("ada", PushKind.RECOMMENDATIONS, recommendations=slower)
        await page.until(f"{LESSON} === 'known 0 slow_animation'")
        await page.until("document.documentElement.dataset.mxMotion === 'slow'")
        assert await page.value("record()") == "invalid"  # and it throws nothing
        await page.value("logout()")
        await page.until(f"{LESSON} === 'unknown 0 none'")
        assert await page.value("document.documentElement.dataset.mxMotion") is None
        assert await page.value("record({interactionType: 'click'})") == "not_followed"
        await asyncio.sleep(AFTER_RELEASE)
        assert followed(edge) == []
        # The same learner logs in again.
        await page.value("show({consent: 'pending'})")
        await page.value("show({consent: 'granted'})")
        await page.until(ACTIVE.format("true"))
        assert await page.value("record({interactionType: 'click'})") == "stored"
        # What a component has given away does not outlive it.
        await page.value("unmount()")
        await asyncio.sleep(AFTER_RELEASE)
        assert await page.value("record({interactionType: 'click'})") == "not_followed"
        assert followed(edge) == []
        assert page.console == []


async def test_a_component_that_reads_the_state_does_not_adapt_the_page(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    async with whole_host(edge, tmp_path) as page:
        props = "userId: 'ada', consent: 'granted', enableRealTimeAdaptation: true"
        await page.value(f"show({{{props}, beside: true}})")
        await eventually(lambda: is_followed(edge, "ada"), "a connection")
        slower = [recommendation(1, "slow_animation", 0.9)]
        await pusher.push("ada", PushKind.RECOMMENDATIONS, recommendations=slower)
        await pusher.push("ada", PushKind.STATE, userState=known_state())
        await page.until("document.getElementById('beside').innerText !== 'none'")
        await asyncio.sleep(0.5)
        assert await page.value("document.documentElement.dataset.mxMotion") is None
        await page.value("show({lesson: true})")
        await page.until("document.documentElement.dataset.mxMotion === 'slow'")
        await page.value("show({visual: false})")
        assert await page.value("apply()") == "feature_off"
        assert page.console == []


async def is_followed(edge: Edge, user: str) -> bool:
    return followed(edge) == [user]


async def test_the_first_versions_bare_socket_runs(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    """The second snippet: a batch without an id, and what comes back."""
    async with host(edge, tmp_path, "socket") as page:
        told = page.console
        await eventually(lambda: seen(told, "acknowledged"), "an ack")
        await pusher.push("ada", PushKind.STATE, userState=known_state())
        await pusher.push("ada", PushKind.RECOMMENDATIONS, recommendations=[])
        await eventually(lambda: seen(told, "number"), "recommendations")
        [record] = await records(edge.settings, INTERACTIONS, 1)

    [interaction] = orjson.loads(record.value)["interactions"]
    assert (interaction["elementId"], interaction["timingData"]["responseTime"]) == ("next", 1.5)
    assert [one["told"].get("valence", {}).get("value") for one in told] == [None, 1.0, None]


async def test_the_example_is_a_lesson(edge: Edge, pusher: Pusher, tmp_path: Path) -> None:
    """As the gateway serves it, under its own strict policy: consent, an exercise, a difficulty."""
    console: list[Any] = []
    profile = str(tmp_path / "profile")
    field, button = "form[data-mx-ignore] input", "form[data-mx-ignore] button:not([type])"
    async with chromium(console.append) as driver:
        page = Host(driver, console)

        async def press(what: str) -> None:
            await page.value(f"document.querySelector('{what}').click()")

        async def answer(text: str) -> None:
            await page.value(f"document.querySelector('{field}').select()")
            await driver.input("page", "keyboard", "type", text)
            await press(button)

        await driver.do("launch", profile=profile)
        url = f"{edge.http}/example/#{edge.token('demo')}"
        await driver.do("open", browser=profile, page="page", url=url)
        await page.until(f"document.querySelector('{field}')")
        await answer("4")  # nobody has agreed: it is only an exercise
        assert edge.gateway.connections.snapshot() == []
        await press("header input")
        await page.until("document.body.innerText.includes('· live')")
        await answer("2/6")
        await answer("3/4")
        await page.until("document.querySelector('output').innerText === 'Right!'")
        easier = recommendation(1, "lower_difficulty", 0.6)
        await pusher.push("demo", PushKind.RECOMMENDATIONS, recommendations=[easier])
        await page.until("document.querySelector('li strong')")
        await press("li strong ~ button")
        await page.until("document.querySelector('li strong ~ button').innerText === 'Undo'")
        await press(button)  # the next one is easier
        await page.until("document.body.innerText.includes('What is a quarter of 12?')")
        [fed] = await records(edge.settings, FEEDBACK, 1)
        batches = await records(edge.settings, INTERACTIONS, 1)

    assert console == []
    answered = [
        one["taskData"]
        for batch in batches
        for one in orjson.loads(batch.value)["interactions"]
        if one["interactionType"] == "answer"
    ]
    assert answered == [
        {
            "problemId": "half-plus-quarter",
            "skill": "fractions",
            "hintTotal": 2,
            "correct": False,
            "attemptCount": 2,
            "hintCount": 0,
        }
    ]
    assert orjson.loads(fed.value)["outcome"] == "applied"


async def seen(told: list[Any], name: str) -> bool:
    return any(name in one.get("told", {}) for one in told)


async def centre(page: Host, element: str) -> tuple[float, float]:
    """Where to click an element."""
    x, y = await page.value(
        f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
        f"(document.getElementById('{element}').getBoundingClientRect())"
    )
    return x, y
