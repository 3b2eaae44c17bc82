"""The lesson in a German Chromium: German is what a learner reads, and no English remains."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.runtime.ports import PushKind
from tests.app.gateway.edge import Edge, Pusher
from tests.sdk.chromium import chromium
from tests.sdk.test_react import Host, known_state, recommendation
from tests.sdk.test_real_gateway import ROOT, node

pytestmark = [pytest.mark.services, pytest.mark.browser]

COLLECT = """
globalThis.shown = new Set();
const collect = () => {
  if (!document.body) return;
  const all = document.createTreeWalker(document.body, NodeFilter.SHOW_ALL);
  while (all.nextNode()) {
    const { nodeType, data } = all.currentNode;
    if (nodeType === Node.TEXT_NODE && data.trim()) shown.add(data.trim());
    for (const name of ["aria-label", "title", "placeholder", "alt"]) {
      const said = all.currentNode.getAttribute?.(name);
      if (said) shown.add(said);
    }
  }
};
new MutationObserver(collect).observe(document, {
  subtree: true, childList: true, characterData: true, attributes: true,
});
"""
"""Notes each text and label that ever stands in the page."""

FIELD = "form[data-mx-ignore] input"
BUTTON, HINT = (f"form[data-mx-ignore] button{which}" for which in (":not([type])", "[type]"))
REASON = "Grund des Servers"


def words() -> dict[str, dict[str, Any]]:
    """Of the SDK and of the example, by language: what they say."""
    script = str(ROOT / "sdk" / "tests" / "words.mjs")
    found: dict[str, Any] = orjson.loads(
        subprocess.check_output([node(), script], cwd=ROOT / "sdk")
    )
    return found


def texts(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text of a language with its path."""
    if isinstance(tree, str):
        yield path, tree
        return
    for key, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from texts(one, f"{path}.{key}")


def english_only(language: dict[str, Any]) -> Iterator[re.Pattern[str]]:
    """What English says and German does not: the words between the blanks of each text."""
    german = dict(texts(language["de"]))
    for path, text in texts(language["en"]):
        if text == german[path] or path.endswith(".locale"):
            continue
        for part in re.split(r"\{\w+\}", text):
            if part.strip(" ,.:?"):
                yield re.compile(rf"(?<!\w){re.escape(part.strip())}(?!\w)")


async def test_a_german_browser_shows_german_and_no_english(
    edge: Edge, pusher: Pusher, tmp_path: Path
) -> None:
    said = words()
    lesson, sdk = said["example"]["de"], said["sdk"]["de"]
    console: list[Any] = []
    profile = str(tmp_path / "profile")
    async with chromium(console.append) as driver:
        page = Host(driver, console)

        async def press(what: str) -> None:
            await page.value(f"document.querySelector('{what}').click()")

        async def shows(text: str) -> None:
            await page.until(f"document.body.innerText.includes({orjson.dumps(text).decode()})")

        async def answer(text: str) -> None:
            await page.value(f"document.querySelector('{FIELD}').select()")
            await driver.input("page", "keyboard", "type", text)
            await press(BUTTON)

        await driver.do("launch", profile=profile, flags=["--accept-lang=de-AT"])
        url = f"{edge.http}/example/"
        await driver.do("open", browser=profile, page="page", url=url, before=COLLECT)
        await shows(lesson["login"]["begin"])
        assert await page.value("navigator.language") == "de-AT"
        assert await page.value("document.documentElement.lang") == "de"
        assert await page.value("document.title") == lesson["title"]
        await page.value("document.querySelector('.login input').focus()")
        await driver.input("page", "keyboard", "type", edge.token("demo"))
        await press(".login button")

        # An exercise: wrong, every hint, right with a decimal comma, the next one.
        await shows(lesson["tasks"]["half-plus-quarter"]["question"])
        await answer("2/6")
        await shows(lesson["exercises"]["wrong"])
        for hint in lesson["tasks"]["half-plus-quarter"]["hints"]:
            await press(HINT)
            await shows(hint)
        await answer("0,75")
        await shows(lesson["exercises"]["right"])
        await press(BUTTON)
        await shows(lesson["tasks"]["third-of-half"]["question"])

        # What masterx knows, and what it does to the page unasked.
        await press("header input")
        await shows(lesson["phases"]["live"])
        state = known_state() | {"modelReason": "unsupported_language"}
        await pusher.push("demo", PushKind.STATE, userState=state)
        await shows(lesson["unread"]["unsupported_language"])
        await shows("31\u00a0%, gemessen, zu 50\u00a0% sicher")
        await shows(sdk["figures"]["unknown"])
        slower = recommendation(1, "slow_animation", 0.9) | {"because": [REASON]}
        others = [
            recommendation(at, action, 0.6) | {"because": [REASON]}
            for at, action in enumerate(lesson["actions"], 2)
            if action != "slow_animation"
        ]
        await pusher.push("demo", PushKind.RECOMMENDATIONS, recommendations=[slower, *others])
        await shows(f"{sdk['notice']['changed']} {sdk['notice']['actions']['slow_animation']}")
        assert REASON in await page.value("document.querySelector('.mx-notice').textContent")
        await page.value("document.querySelector('.mx-notice button').focus()")
        await press(".mx-notice button")
        await shows(sdk["notice"]["undone"])
        await page.value("document.activeElement.blur()")

        async def accept(action: str) -> None:
            label = orjson.dumps(lesson["actions"][action]).decode()
            await page.value(
                "[...document.querySelectorAll('li')].find((one) =>"
                f" one.querySelector('strong')?.innerText === {label}"
                ").querySelector(':scope > button').click()"
            )

        # What the page does itself: a break, easier exercises, and what it cannot do.
        await accept("suggest_break")
        await shows("Wie wäre es mit einer Pause von 5 Minuten?")
        await press(".break button:last-child")
        await shows(lesson["outcomes"]["declined"])
        await accept("slow_pace")
        await shows(lesson["outcomes"]["no_handler"])
        await accept("lower_difficulty")
        await shows(f"{sdk['notice']['changed']} {lesson['handled']['lower_difficulty']}")
        shown = await page.value("[...shown]")

    assert console == []
    patterns = [one for language in said.values() for one in english_only(language)]
    left = {text: one.pattern for text in shown for one in patterns if one.search(text)}
    assert left == {}
    german = {text for language in said.values() for _, text in texts(language["de"])}
    assert len(german & set(shown)) > len(german) / 2, "the lesson showed too little to tell"
