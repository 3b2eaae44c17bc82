"""What the SDK does to a page, and what it takes from one, in a real Chromium."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio

from models.learner.recommending.serving.catalogue import load_catalogue
from tests.sdk.chromium import chromium
from tests.sdk.test_react import Host, centre
from tests.sdk.test_real_gateway import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

Open = Callable[..., AbstractAsyncContextManager[Host]]
CATALOGUE = ROOT / "models" / "learner" / "recommending" / "catalogue.toml"
STYLE = '<link rel="stylesheet" href="/adaptive.css">'
HOST_ONLY = {
    "lower_difficulty",
    "raise_difficulty",
    "slow_pace",
    "raise_pace",
    "suggest_break",
    "more_interactive_elements",
    "achievement_feedback",
}
LEAST_DWELL = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Open]:
    """Opens pages of sdk/tests/browser/pages, one at a time; they need no gateway."""
    console: list[Any] = []
    profile = str(tmp_path_factory.mktemp("profile"))
    async with chromium(console.append) as driver:
        await driver.do("launch", profile=profile)

        @asynccontextmanager
        async def open_page(
            name: str, query: str = "", html: str = "", *, csp: bool = False
        ) -> AsyncIterator[Host]:
            console.clear()
            site = await driver.do("serve", secret="none", gateway=9, html=html, csp=csp)
            url = f"{site}/{name}.html?{query}"
            await driver.do("open", browser=profile, page="page", url=url)
            try:
                yield Host(driver, console)
            finally:
                await driver.do("close", page="page")

        yield open_page


def actions() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Everything that masterx may recommend: name, action, parameters."""
    for one in load_catalogue(CATALOGUE).actions:
        yield one.name, one.action, dict(one.parameters)


def advice(name: str, action: str, parameters: dict[str, Any], confidence: float = 0.9) -> str:
    """A list of one recommendation, as code."""
    one = {
        "id": name,
        "action": action,
        "parameters": parameters,
        "confidence": confidence,
        "because": [f"a reason for {name} <b>"],
    }
    return orjson.dumps([one]).decode()


SLOW = advice("slow", "slow_animation", {"speed": 0.65})


# -- adapt --------------------------------------------------------------------------------------


async def test_every_action_of_the_catalogue_has_its_effect_or_its_handler(page: Open) -> None:
    said = (ROOT / "docs" / "sdk.md").read_text()
    assert {action for _, action, _ in actions()} > HOST_ONLY
    async with page("adaptive", html=STYLE, csp=True) as site:
        blank = await site.value("state()")
        for name, action, parameters in actions():
            assert f"`{action}`" in said, f"docs/sdk.md does not say what {action} does"
            await site.value(f"recommend({advice(name, action, parameters)})")
            became = await site.value(f"apply('{name}')")
            sent = await site.value("sent.splice(0)")
            state = await site.value("state()")
            if action in HOST_ONLY:
                assert (became, sent, state) == ("no_handler", [], blank), name
                continue
            assert (became, sent) == ("applied", [f"applied {name}"])
            numbers = [v for v in parameters.values() if type(v) in (int, float)]
            for value in numbers:
                assert f": {value:g};" in state["style"], f"{name}: {value} is not in {state}"
            assert [one for one in state if one.startswith("data-mx-")], name
            assert await site.value(f"revert('{name}')")
            assert await site.value("state()") == blank
            assert await site.value("sent.splice(0)") == [f"reverted {name}"]
        assert site.console == []


async def test_the_hosts_handler_does_it_or_says_that_it_did_not(page: Open) -> None:
    query = f"handlers={','.join(sorted(HOST_ONLY))}"
    async with page("adaptive", query) as site:
        for name, action, parameters in actions():
            if action not in HOST_ONLY:
                continue
            await site.value(f"recommend({advice(name, action, parameters)})")
            # Twice, as React's StrictMode does: it is done once, and said once.
            twice = f"Promise.all([apply('{name}'), apply('{name}')])"
            assert await site.value(twice) == ["applied", "applied"]
            assert await site.value("sent.splice(0)") == [f"applied {name}"]
            assert await site.value(f"revert('{name}')")
            assert await site.value("sent.splice(0)") == [f"reverted {name}"]
            assert await site.value("handled.splice(0)") == [action, f"undo {action}"]
    async with page("adaptive", f"{query}&declines=yes") as site:
        await site.value(f"recommend({advice('break', 'suggest_break', {})})")
        assert await site.value("apply('break')") == "declined"
        assert await site.value("sent") == []


async def test_undo_restores_what_was_there(page: Open) -> None:
    """Also where two recommendations changed the same, and where the host changed it since."""
    soft = advice("soft", "soften_interface", {"scale": 1.1, "transition_speed": 0.7})
    both = orjson.dumps(orjson.loads(SLOW) + orjson.loads(soft)).decode()
    set_up = "document.documentElement"
    async with page("adaptive") as site:
        await site.value(f"{set_up}.style.setProperty('--mx-motion', '0.9')")
        await site.value(f"{set_up}.setAttribute('data-mx-soft', 'mine')")
        before = await site.value("state()")
        await site.value(f"recommend({both})")
        assert await site.value("Promise.all([apply('slow'), apply('soft')])") == ["applied"] * 2
        assert await site.value("computed('--mx-motion')") == "0.7"
        await site.value("revert('soft')")
        assert await site.value("computed('--mx-motion')") == "0.65"
        await site.value("revert('slow')")
        assert await site.value("state()") == before
        assert await site.value("apply('slow')") == "reverted"  # not again, unasked
        assert await site.value("accept('slow')") == "applied"
        await site.value(f"{set_up}.style.setProperty('--mx-motion', '1')")
        await site.value("revert('slow')")
        assert await site.value("computed('--mx-motion')") == "1"


async def test_what_lapses_is_undone_and_nothing_is_sent(page: Open) -> None:
    async with page("adaptive") as site:
        blank = await site.value("state()")
        await site.value(f"recommend({SLOW})")
        await site.value("apply('slow')")
        # A new decision for the same: nothing flickers, and the new one is said to be done.
        again = SLOW.replace('"slow"', '"again"')
        await site.value(f"recommend({again})")
        assert await site.value("active()") == ["again"]
        assert await site.value("sent") == ["applied slow", "applied again"]
        assert await site.value("computed('--mx-motion')") == "0.65"
        await site.value("recommend([])")
        await site.until("!active().length")
        assert await site.value("state()") == blank
        assert await site.value("sent") == ["applied slow", "applied again"]


async def test_one_visual_change_at_a_time(page: Open) -> None:
    """By itself only what is certain enough; the next one after `every`."""
    cues = advice("cues", "attention_cues", {"highlight": 1.2})
    unsure = advice("unsure", "enlarge_targets", {"factor": 1.25}, 0.7)
    rest = advice("break", "suggest_break", {})
    every = orjson.dumps([orjson.loads(one)[0] for one in (SLOW, unsure, rest, cues)])
    async with page("adaptive", "every=1500&patience=200") as site:
        await site.value(f"recommend({every.decode()})")
        await site.value("automatic(true)")
        await site.until("active().length === 1")
        began = await site.value("performance.now()")
        assert await site.value("active()") == ["slow"]
        assert await site.value("apply('unsure')") == "later"  # the page's own wish waits, too
        await site.until("active().length === 2")
        assert await site.value("performance.now()") - began > 1000
        assert await site.value("accept('unsure')") == "applied"  # the learner asked for it
        assert await site.value("active()") == ["slow", "cues", "unsure"]


BUSY: dict[str, list[tuple[Any, ...]]] = {
    "typing": [("keyboard", "type", "x")],
    "pointer": [("mouse", "move", 5, 400), ("mouse", "down")],
    "scrolling": [("mouse", "move", 5, 400), ("mouse", "wheel", 0, 50)],
}


@pytest.mark.parametrize("how", BUSY)
async def test_nothing_changes_while_the_learner_is_busy(page: Open, how: str) -> None:
    html = '<textarea id="text" autofocus></textarea><div style="height: 9000px"></div>'
    async with page("adaptive", "patience=400", html) as site:
        await site.value("document.getElementById('text').focus()")
        await site.value(f"recommend({SLOW})")
        blank = await site.value("state()")
        going = asyncio.create_task(keep(site, how))
        await asyncio.sleep(0.3)
        assert await site.value("apply('slow')") == "later"
        assert await site.value("state()") == blank
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        await site.driver.input("page", "mouse", "up")
        await asyncio.sleep(2.2)
        assert await site.value("apply('slow')") == "applied"
        assert await site.value("sent") == ["applied slow"]


async def keep(site: Host, how: str) -> None:
    """Be busy until cancelled."""
    while True:
        for device, method, *given in BUSY[how]:
            await site.driver.input("page", device, method, *given)
        if how == "pointer":
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)


async def test_composing_and_dragging_are_busy_too(page: Open) -> None:
    html = '<textarea id="text"></textarea>'
    async with page("adaptive", "patience=200", html) as site:
        await site.value(f"recommend({SLOW})")
        for begin, end in [("compositionstart", "compositionend"), ("dragstart", "dragend")]:
            on = "document.getElementById('text').dispatchEvent(new Event('{}', {{bubbles: true}}))"
            await site.value(on.format(begin))
            assert await site.value("apply('slow')") == "later", begin
            await site.value(on.format(end))
        assert await site.value("apply('slow')") == "applied"


async def test_reduced_motion_wins_also_when_it_comes_later(page: Open) -> None:
    async with page("adaptive", html=STYLE) as site:
        await site.value(f"recommend({SLOW})")
        await site.value("apply('slow')")
        assert await site.value("computed('--mx-motion')") == "0.65"
        assert await site.value("computed('--mx-duration')") == "1.538"
        await site.driver.do("emulate", page="page", media={"reducedMotion": "reduce"})
        assert await site.value("computed('--mx-motion')") == "0"
        await site.until("document.documentElement.style.getPropertyValue('--mx-motion') === '0'")
        await site.value("revert('slow')")
        assert await site.value("state()") == {"lang": "en"}


@pytest.mark.parametrize("media", [{"forcedColors": "active"}, {"contrast": "more"}])
async def test_contrast_is_never_reduced(page: Open, media: dict[str, str]) -> None:
    simpler = advice("simpler", "reduce_visual_complexity", {"max_colours": 4})
    look = "getComputedStyle(document.querySelector('img')).filter"
    async with page("adaptive", html=f'{STYLE}<img alt="">') as site:
        await site.value(f"recommend({simpler})")
        await site.value("apply('simpler')")
        assert await site.value(look) == "saturate(0.6)"
        await site.driver.do("emulate", page="page", media=media)
        assert await site.value(look) == "none"


async def test_the_host_wins_and_the_focus_stays(page: Open) -> None:
    larger = advice("larger", "enlarge_targets", {"factor": 1.25})
    less = advice("less", "lower_information_density", {"density": 0.35})
    both = orjson.dumps(orjson.loads(larger) + orjson.loads(less)).decode()
    html = (
        f"{STYLE}<style>:where(.own) {{ min-height: 11px }}</style>"
        "<button id=own class=own>o</button>"
        '<button id=plain>p</button><aside id=one data-mx-optional><a href="#" id=in>i</a></aside>'
        "<aside id=two data-mx-optional>t</aside>"
    )
    look = "getComputedStyle(document.getElementById('{}')).{}"
    async with page("adaptive", html=html) as site:
        await site.value("document.getElementById('in').focus()")
        await site.value(f"recommend({both})")
        assert (
            await site.value("Promise.all([accept('larger'), accept('less')])") == ["applied"] * 2
        )
        assert await site.value(look.format("own", "minHeight")) == "11px"
        assert await site.value(look.format("plain", "minHeight")) == "40px"
        assert await site.value(look.format("one", "display")) == "block"
        assert await site.value(look.format("two", "display")) == "none"
        assert await site.value("document.activeElement.id") == "in"


async def test_the_notice_explains_and_undoes(page: Open) -> None:
    async with page("adaptive", html=STYLE, csp=True) as site:
        await site.value(f"recommend({SLOW})")
        await site.value("apply('slow')")
        why = "document.querySelector('.mx-notice details')"
        assert not await site.value(f"{why}.open")
        await site.value(f"{why}.querySelector('summary').click()")
        assert await site.value(f"{why}.querySelector('li').innerText") == "a reason for slow <b>"
        assert await site.value("document.activeElement === document.body")  # it took no focus
        narrow = {"width": 320, "height": 600, "deviceScaleFactor": 1, "mobile": False}
        await site.driver.cdp("page", "Emulation.setDeviceMetricsOverride", **narrow)
        box = "document.querySelector('.mx-notice').getBoundingClientRect()"
        assert await site.value(f"{box}.left >= 0 && {box}.right <= 320")
        await site.value("document.querySelector('.mx-notice button').focus()")
        await site.driver.input("page", "keyboard", "press", "Enter")
        assert await site.value("sent") == ["applied slow", "reverted slow"]
        assert await site.value("document.activeElement.innerText") == "Undone"
        await site.value("closeAll()")
        assert await site.value("document.querySelector('.mx-notice')") is None
        assert await site.value("sent") == ["applied slow", "reverted slow"]
        assert site.console == []


def pair(*lists: str) -> str:
    """Several recommendations, as code."""
    return orjson.dumps([one for given in lists for one in orjson.loads(given)]).decode()


async def test_who_has_no_patience_does_not_stop_the_page(page: Open) -> None:
    lapse = (
        "(async () => { const began = performance.now(); recommend([]);"
        "await new Promise((go) => setTimeout(go, 100)); return performance.now() - began; })()"
    )
    async with page("adaptive", "patience=0&every=2000") as site:
        await site.value(f"recommend({SLOW})")
        assert await site.value("apply('slow')") == "applied"
        assert await site.value(lapse) < 1_500  # not the 2 s in which nothing may change
        await site.until("!active().length")


async def test_what_the_host_did_is_said_of_one_decision(page: Open) -> None:
    """A new decision for the same is not done because the host has done the one before."""
    done, undone = ["suggest_break"], ["suggest_break", "undo suggest_break"]
    async with page("adaptive", "handlers=suggest_break") as site:
        await site.value(f"recommend({advice('first', 'suggest_break', {})})")
        assert await site.value("apply('first')") == "applied"
        await site.value(f"recommend({advice('second', 'suggest_break', {})})")
        await site.until("!active().length")
        assert await site.value("sent") == ["applied first"]
        assert await site.value("handled") == undone
        assert await site.value("apply('second')") == "applied"
        assert await site.value("sent") == ["applied first", "applied second"]
        assert await site.value("handled") == undone + done


@pytest.mark.parametrize("how", ["declines", "hangs"])
async def test_a_handler_that_does_nothing_holds_up_no_other(page: Open, how: str) -> None:
    larger = advice("larger", "enlarge_targets", {})
    both = pair(larger, advice("fewer", "reduce_distractions", {}))
    query = f"handlers=enlarge_targets&{how}=yes&every=300&patience=300"
    async with page("adaptive", query) as site:
        await site.value(f"recommend({both})")
        await site.value("automatic(true)")
        await site.until("active().length")
        await asyncio.sleep(1)
        assert await site.value("sent") == ["applied fewer"]
        assert await site.value("handled") == ["enlarge_targets"]


async def test_what_was_declined_was_no_change(page: Open) -> None:
    both = pair(advice("larger", "enlarge_targets", {}), SLOW)
    query = "handlers=enlarge_targets&declines=yes&every=60000&patience=300"
    async with page("adaptive", query) as site:
        await site.value(f"recommend({both})")
        assert await site.value("apply('larger')") == "declined"
        assert await site.value("apply('slow')") == "applied"


async def test_the_notice_takes_nobodys_focus_and_says_it_once(page: Open) -> None:
    again = SLOW.replace('"slow"', '"again"')
    cues = advice("cues", "attention_cues", {})
    box = "document.querySelector('.mx-notice')"
    focus = "document.activeElement.tagName"
    async with page("adaptive", html=f'{STYLE}<button id="host">h</button>') as site:
        # It is there to be read out, and not to be seen.
        assert await site.value(f"getComputedStyle({box}).display") != "none"
        size = f"(({{width, height}}) => [width, height])({box}.getBoundingClientRect())"
        assert await site.value(size) == [0, 0]
        await site.value(f"recommend({SLOW})")
        await site.value("apply('slow')")
        await site.value("document.getElementById('host').focus()")
        await site.value(f"{box}.querySelector('summary').focus()")
        await site.driver.input("page", "keyboard", "press", "Enter")
        await site.value(f"recommend({again})")  # the same, decided anew
        assert await site.value("active()") == ["again"]
        assert await site.value(f"[{focus}, {box}.querySelector('details').open]") == [
            "SUMMARY",
            True,
        ]
        await site.value(f"recommend({pair(again, cues)})")  # another one waits
        assert await site.value("apply('cues')") == "applied"
        assert await site.value(f"[{focus}, {box}.innerText.includes('slowly')]") == [
            "SUMMARY",
            True,
        ]
        await site.value("document.getElementById('host').focus()")
        await site.until(f"{box}.innerText.includes('stands out')")
        assert await site.value("document.activeElement.id") == "host"
        await site.value(f"[...{box}.querySelectorAll('button')][1].click()")
        assert await site.value(f"{box}.childElementCount") == 0
        third = cues.replace('"cues"', '"third"')
        await site.value(f"recommend({pair(again, third)})")
        assert await site.value("active()") == ["again", "third"]
        assert await site.value(f"{box}.childElementCount") == 0  # it was closed
        assert site.console == []


async def test_the_notice_undoes_the_decision_that_is_in_effect(page: Open) -> None:
    async with page("adaptive") as site:
        await site.value(f"recommend({SLOW})")
        await site.value("apply('slow')")
        again = SLOW.replace('"slow"', '"again"')
        await site.value(f"recommend({again})")
        await site.value("document.querySelector('.mx-notice button').click()")
        assert await site.value("sent") == ["applied slow", "applied again", "reverted again"]


async def test_two_clients_on_one_page_leave_no_trace(page: Open) -> None:
    larger = advice("larger", "enlarge_targets", {"factor": 1.2})
    largest = advice("larger", "enlarge_targets", {"factor": 1.5})  # ids are each learner's own
    async with page("adaptive") as site:
        blank = await site.value("state()")
        await site.value(f"recommend({larger})")
        assert await site.value("accept('larger')") == "applied"
        assert await site.value(f"acceptOther({largest})") == "applied"
        assert await site.value("computed('--mx-target')") == "1.5"
        await site.value("closeAll()")
        assert await site.value("computed('--mx-target')") == "1.5"
        await site.value("closeOther()")
        assert await site.value("state()") == blank


async def test_undo_restores_what_was_important(page: Open) -> None:
    style = "document.documentElement.style"
    async with page("adaptive") as site:
        await site.value(f"{style}.setProperty('--mx-motion', '0.9', 'important')")
        before = await site.value("state()")
        await site.value(f"recommend({SLOW})")
        assert await site.value("accept('slow')") == "applied"
        assert await site.value("computed('--mx-motion')") == "0.65"
        await site.value("revert('slow')")
        assert await site.value("state()") == before
        assert "important" in before["style"]


# -- capture ------------------------------------------------------------------------------------

FIELDS = ("free", "area", "edit", "password", "mail")
CLICKED = ("label", "enter", "ignored", "inner", "unmarked", "choice", "hidden", "send")
KNOWN = {
    "interactionType",
    "elementId",
    "taskData",
    "timingData",
    "viewportData",
    "contextData",
    "problemId",
    "skill",
    "responseTime",
    "dwellTime",
    "scrollDistance",
    "tabActive",
}


def names(value: Any) -> set[str]:
    """Every name of an object, however deep."""
    if isinstance(value, list):
        return set().union(*map(names, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(names, value.values()))


async def test_nothing_is_captured_but_what_is_marked(page: Open) -> None:
    async with page("captured") as site:
        for field in FIELDS:
            await site.driver.input("page", "mouse", "click", *await centre(site, field))
            await site.driver.input("page", "keyboard", "type", f"TYPED-SECRET-{field}")
        for element in CLICKED:
            await site.driver.input("page", "mouse", "click", *await centre(site, element))
            await site.driver.input("page", "keyboard", "press", "Escape")
        # A page may show what is in a password's field: it stays one.
        await site.value("document.getElementById('password').type = 'text'")
        await site.driver.input("page", "mouse", "click", *await centre(site, "password"))
        await asyncio.sleep(LEAST_DWELL)
        await site.driver.input("page", "mouse", "move", *await centre(site, "scroller"))
        await site.driver.input("page", "mouse", "wheel", 0, 100)
        await asyncio.sleep(0.5)
        await site.driver.input("page", "mouse", "move", 3, 300)
        await site.driver.input("page", "mouse", "wheel", 0, 5000)
        await site.until("scrollY > 1500")
        await asyncio.sleep(0.5)
        await site.value("document.getElementById('hidden').click()")  # no learner did that
        await site.value("end()")
        recorded = await site.value("recorded")
        complaints = site.console

    assert complaints == []
    assert "SECRET" not in orjson.dumps(recorded).decode()
    assert names(recorded) <= KNOWN
    kinds = {(one["interactionType"], one.get("elementId")) for one in recorded}
    clicked = {name for kind, name in kinds if kind == "click"}
    assert clicked == {"answer", "essay", "choice", "editor", "marked", "send"}
    assert ("submit", "exercise") in kinds
    assert ("scroll", "reader") in kinds
    assert ("scroll", None) in kinds
    assert {name for kind, name in kinds if kind == "dwell"} >= {"exercise", "answer", "marked"}
    assert sum(one.get("elementId") == "marked" for one in recorded) == 2  # a click, a dwell

    [submit] = [one for one in recorded if one["interactionType"] == "submit"]
    assert submit["taskData"] == {"problemId": "p-9", "skill": "fractions"}
    assert submit["timingData"]["responseTime"] > 0
    assert all(one["contextData"] == {"tabActive": True} for one in recorded)
    scrolled: Counter[str | None] = Counter()  # five seconds may end while a page scrolls
    for one in recorded:
        if "viewportData" in one:
            scrolled[one.get("elementId")] += one["viewportData"]["scrollDistance"]
    assert all(distance > 50 for distance in scrolled.values())


async def test_a_hidden_tab_ends_the_dwell_and_says_so(page: Open) -> None:
    hide = (
        "Object.defineProperty(document, 'visibilityState', {{value: '{}', configurable: true}}),"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    async with page("captured") as site:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(LEAST_DWELL + 0.3)
        await site.value(hide.format("hidden"))
        longest = asyncio.get_running_loop().time() - began + 1
        recorded = await site.value("recorded.splice(0)")
        assert recorded[-1] == {"interactionType": "tab", "contextData": {"tabActive": False}}
        dwelled = [one for one in recorded if one["interactionType"] == "dwell"]
        assert {one["elementId"] for one in dwelled} >= {"exercise", "answer"}
        assert all(1 <= one["timingData"]["dwellTime"] < longest for one in dwelled)
        await asyncio.sleep(LEAST_DWELL + 0.3)
        await site.value(hide.format("visible"))
        await site.value("end()")
        [back] = await site.value("recorded")  # nothing dwelled meanwhile
        assert back == {"interactionType": "tab", "contextData": {"tabActive": True}}


async def test_time_without_consent_is_no_time(page: Open) -> None:
    """Neither dwell nor scrolling nor a response time reaches back behind the consent."""
    async with page("captured", "consent=pending") as site:
        before = LEAST_DWELL + 1
        await site.value("scrollTo(0, 300)")
        await asyncio.sleep(before)
        await site.value("setConsent('granted')")
        await site.value("scrollTo(0, 0)")
        await asyncio.sleep(0.3)
        await site.driver.input("page", "mouse", "click", *await centre(site, "send"))
        await site.value("setConsent('denied')")  # nothing more is told, not even what dwelled
        [click, submit] = await site.value("recorded.splice(0)")
        assert (click["elementId"], submit["elementId"]) == ("send", "exercise")
        assert 0 < submit["timingData"]["responseTime"] < before
        await asyncio.sleep(before)
        await site.value("scrollTo(0, 200)")
        await site.driver.input("page", "mouse", "click", *await centre(site, "hidden"))
        await site.value("setConsent('granted')")
        await asyncio.sleep(LEAST_DWELL + 0.5)
        assert await site.value("recorded.length") == 0
        await site.value("end()")
        recorded = await site.value("recorded.splice(0)")
        assert {one["interactionType"] for one in recorded} == {"dwell"}
        assert all(one["timingData"]["dwellTime"] < before for one in recorded)
        await site.value("setConsent('denied'), setConsent('granted')")  # it has ended
        await site.driver.input("page", "mouse", "click", *await centre(site, "hidden"))
        assert await site.value("recorded") == []
        assert site.console == []


async def test_one_answer_has_one_response_time(page: Open) -> None:
    """The click on a marked button, and the submit that comes of it."""
    form = (
        '<form id="quick" data-mx-id="quick" data-mx-problem="p-1" style="position: fixed; top: 0">'
        '<button id="answer" data-mx-id="answer" data-mx-response>a</button></form>'
    )
    submits = "document.forms.quick.addEventListener('submit', (event) => event.preventDefault())"
    async with page("captured") as site:
        await site.value(f"make('{form}'), {submits}")
        for _ in range(2):
            await asyncio.sleep(LEAST_DWELL + 0.3)
            await site.driver.input("page", "mouse", "click", *await centre(site, "answer"))
        recorded = await site.value("recorded")
    answers = [one for one in recorded if one.get("elementId") in {"answer", "quick"}]
    kinds = [(one["interactionType"], "timingData" in one) for one in answers]
    assert kinds == [("click", True), ("submit", False)] * 2
    assert all(one["timingData"]["responseTime"] > 0.5 for one in answers if "timingData" in one)


async def test_names_of_fields_hide_nothing(page: Open) -> None:
    """A form's fields hide its properties of the same name: `form.elements` may be an input."""
    names = ("elements", "hasAttribute", "getAttribute", "parentNode", "isConnected", "localName")
    fields = "".join(f'<input name="{name}">' for name in names)
    forms = (
        f'<div style="position: fixed; top: 0"><form data-mx-id="plain">{fields}'
        '<button type="button" id="plain" data-mx-id="safe">s</button></form>'
        f'<form data-mx-id="login-SECRET">{fields}<input type="password" name="p">'
        '<button type="button" id="secret" data-mx-id="secret-SECRET">s</button></form></div>'
    )
    async with page("captured") as site:
        await site.value(f"make('{forms}')")
        await asyncio.sleep(LEAST_DWELL + 0.5)
        for element in ("plain", "secret"):
            await site.driver.input("page", "mouse", "click", *await centre(site, element))
        await site.value("end()")
        recorded = await site.value("recorded")
        assert site.console == []
    kinds = {(one["interactionType"], one.get("elementId")) for one in recorded}
    assert kinds >= {("click", "safe"), ("dwell", "safe"), ("dwell", "plain")}
    assert "SECRET" not in orjson.dumps(recorded).decode()


@pytest.mark.parametrize("element", ["documentElement", "body"])
async def test_a_page_that_is_ignored_tells_nothing(page: Open, element: str) -> None:
    """Nor how far it was scrolled, nor whether its tab is in front."""
    async with page("captured") as site:
        await site.value(f"document.{element}.setAttribute('data-mx-ignore', '')")
        await asyncio.sleep(LEAST_DWELL + 0.5)
        await site.value("recorded.splice(0)")  # what was in view before
        await site.value("scrollTo(0, 900)")
        await site.driver.input("page", "mouse", "click", *await centre(site, "hidden"))
        await asyncio.sleep(0.3)
        await site.value("document.dispatchEvent(new Event('visibilitychange'))")
        await site.value("end()")
        assert await site.value("recorded") == []


async def test_what_is_added_later_is_seen_and_ignored_as_it_says(page: Open) -> None:
    async with page("captured") as site:
        await site.value(
            'make(\'<div style="position: fixed; top: 0">'
            '<b data-mx-id="late">l</b><b data-mx-id="not" data-mx-ignore>n</b></div>\')'
        )
        await asyncio.sleep(LEAST_DWELL + 0.8)
        await site.value("end()")
        shown = {one["elementId"] for one in await site.value("recorded")}
        assert "late" in shown
        assert "not" not in shown
