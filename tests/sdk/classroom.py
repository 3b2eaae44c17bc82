"""A learner at a real Chromium, somebody who follows, a real chain, and faults between them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis.asyncio

from agents.runtime.ports import PushKind
from agents.runtime.retrying import Retriable
from agents.runtime.topics import CHAT, INTERACTIONS
from app.gateway.auth.tokens import issue
from app.settings import Settings
from schemas.base import now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import InteractionsReceived
from tests.app.gateway.edge import PREFIX, Pusher, records
from tests.proxy import Proxy
from tests.sdk.chromium import Chromium, StepFailed, chromium
from tests.sdk.test_real_gateway import GatewayProcess
from tests.servers import Services
from tests.workers import WorkerProcess

LEARNER = "ada"
TABS = 2
EVENTS_OF_TAB = 40
"""Recorded by each tab while one fault happens."""
EVERY_MS = 20
DAY_MS = 86_400_000
SETTLED_WITHIN = 90.0
DYING = 2.0
"""Seconds around a kill in which a page may show an intervention, and not live to tell."""


@dataclass
class Told:
    """What the pages told before they died, if they did."""

    stored: dict[str, bool] = field(default_factory=dict)
    """By the event's name: whether it outlives its page."""
    settled: dict[str, str] = field(default_factory=dict)
    page_of: dict[str, str] = field(default_factory=dict)
    """Page of each event that was stored."""
    took_ms: list[float] = field(default_factory=list)
    stored_ms: list[float] = field(default_factory=list)
    interventions: list[str] = field(default_factory=list)
    """As the follower shows them."""
    replies: list[str] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    """`hello`, `resumed` and pushes as the follower's line brought them."""
    causes: set[str] = field(default_factory=set)
    lost_at_ms: int = 0
    """When the gateway said last that it had lost causes."""
    phases: Counter[str] = field(default_factory=Counter)
    problems: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Exceptions of pages, and CSP reports."""
    shown: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By id of a reply that a learner's page shows: page, and when."""
    greeted: set[str] = field(default_factory=set)
    """Pages of the learner that have had a `hello`."""
    looked: set[str] = field(default_factory=set)
    """Interventions that some page of the learner has shown."""

    def heard(self, event: dict[str, Any]) -> None:
        """Take an event of the driver."""
        page = event["page"]
        if event["event"] == "thrown":
            self.complaints.append(f"{page}: {event['text']}")
        if event["event"] == "console" and "Content Security Policy" in event["text"]:
            self.complaints.append(f"{page}: {event['text']}")
        if event["event"] != "told":
            return
        told = event["told"]
        if "hello" in told and page != "follower":
            self.greeted.add(page)
        elif "stored" in told:
            self.stored[told["stored"]] = told["kept"]
            self.page_of[told["stored"]] = page
            self.took_ms.append(told["took"])
            self.stored_ms.append(told["after"])
        elif "settled" in told:
            self.settled[told["settled"]] = told["outcome"]
        elif "problem" in told:
            self.problems.append((page, told["problem"]))
        elif "connection" in told:
            self.phases[told["connection"]["phase"]] += 1
        elif "reply" in told and page != "follower":
            self.shown[told["reply"]] = (page, told["at"] / 1000)
        elif page == "follower":
            self._follow(told)
        elif "intervention" in told:
            self.looked.add(told["intervention"])

    def _follow(self, told: dict[str, Any]) -> None:
        if "intervention" in told:
            self.interventions.append(told["intervention"])
        elif "reply" in told:
            self.replies.append(told["reply"])
        elif "epoch" in told:
            self.frames.append(told)
            if told.get("recovered") is False:
                self.lost_at_ms = now_ms()
            self.causes.update(told.get("causedBy", ()))


class Classroom:
    """One learner's tabs in one browser, a follower's page in another, and the chain."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        driver: Chromium,
        told: Told,
        folder: Path,
        chance: random.Random,
    ) -> None:
        self.settings = settings
        self.services = services
        self.driver = driver
        self.told = told
        self.chance = chance
        self.gateway = GatewayProcess(settings, folder / "gateway.log")
        self.line = Proxy(settings.gateway.port)
        self.site = ""
        self.tabs: list[str] = []
        self.killed: set[str] = set()
        self.full: set[str] = set()
        """Tabs whose disk was full for a while."""
        self.deaths: list[float] = []
        """When all tabs were killed, by the event loop's clock."""
        self.pushed: list[tuple[PushKind, str]] = []
        self.pushed_at: dict[str, float] = {}
        self.pushing: asyncio.Task[None] | None = None
        self._pushed_enough = asyncio.Event()
        self._profile = str(folder / "learner")
        self._watching = str(folder / "follower")
        self._names = itertools.count()
        self._numbers = itertools.count()

    # -- browsers ---------------------------------------------------------------------------

    def address(self, page: str, name: str) -> str:
        """Of a page of the site, which speaks through the faulty line."""
        gateway = f"http://127.0.0.1:{self.line.port}"
        return f"{self.site}/{page}.html?user={LEARNER}&page={name}&gateway={gateway}"

    async def open_tab(self) -> str:
        """One more tab of the learner; its name."""
        name = f"k{next(self._names)}"
        await self.driver.do(
            "open", browser=self._profile, page=name, url=self.address("lesson", name)
        )
        self.tabs.append(name)
        return name

    async def launch(self) -> None:
        """The learner's browser, on the profile that it had, with its tabs."""
        await self.driver.do("launch", profile=self._profile)
        for _ in range(TABS):
            await self.open_tab()

    async def follow(self) -> None:
        """Open the page that follows; it stays until the end."""
        await self.driver.do("launch", profile=self._watching)
        await self.driver.do(
            "open", browser=self._watching, page="follower", url=self.address("follower", "f")
        )
        async with asyncio.timeout(30):
            while not self.told.frames:
                await asyncio.sleep(0.05)

    async def reopen(self, tab: str) -> None:
        """Close a tab once it has sent all, and open another."""
        await self.driver.evaluate(tab, "lesson.flush(20000)")
        await self.driver.do("close", page=tab)
        self.tabs.remove(tab)
        await self.open_tab()

    # -- what is done meanwhile -------------------------------------------------------------

    async def record(self) -> None:
        """Events in each tab. A tab that dies meanwhile ends it."""

        async def in_tab(tab: str) -> None:
            with suppress(StepFailed):
                await self.driver.evaluate(tab, f"lesson.record({EVENTS_OF_TAB}, {EVERY_MS})")

        await asyncio.gather(*(in_tab(tab) for tab in list(self.tabs)))

    async def push(self, pusher: Pusher) -> None:
        """Interventions and replies, until `end_pushing`."""
        while not self._pushed_enough.is_set():
            kind = self.chance.choice([PushKind.INTERVENTION, PushKind.TUTOR_REPLY])
            name = f"{kind}-{next(self._numbers)}"
            body = (
                {"id": name}
                if kind is PushKind.INTERVENTION
                else {"replyId": name, "status": "answered", "final": True}
                | {"attempt": 1, "text": name}
            )
            while True:
                try:
                    await pusher.push(LEARNER, kind, **body)
                    break
                except (OSError, redis.exceptions.RedisError, Retriable):
                    await asyncio.sleep(0.1)
            self.pushed.append((kind, name))
            self.pushed_at[name] = asyncio.get_running_loop().time()
            await asyncio.sleep(self.chance.uniform(0.05, 0.6))

    async def end_pushing(self) -> None:
        """After the push under way, if there is one.

        It is not cancelled: up to Python 3.11 `asyncio.wait_for`, by which redis-py sends, drops a
        cancellation that comes as it ends.
        """
        self._pushed_enough.set()
        if self.pushing is not None:
            await self.pushing

    async def during(self, fault: Fault) -> None:
        """Let a fault happen while events are recorded, and mend it."""
        recording = asyncio.create_task(self.record())
        await asyncio.sleep(self.chance.uniform(0, EVENTS_OF_TAB * EVERY_MS / 1000))
        await FAULTS[fault](self)
        await recording

    # -- faults -----------------------------------------------------------------------------

    async def cut(self) -> None:
        """The connections are reset."""
        self.line.cut()

    async def fall_silent(self) -> None:
        """Nothing comes through for a while, and nothing says so."""
        self.line.silent = True
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        if self.chance.random() < 0.5:
            self.line.cut()
        self.line.silent = False

    async def refuse(self) -> None:
        """No connection is taken for a while."""
        await self.line.refuse()
        await asyncio.sleep(self.chance.uniform(0, 1.5))
        await self.line.listen()

    async def half_close(self) -> None:
        """One direction ends."""
        self.line.half_close()

    async def cut_in_a_frame(self) -> None:
        """The line ends after so many bytes, wherever that is."""
        self.line.cut_after = self.chance.randint(1, 6000)

    async def slow_down(self) -> None:
        """Every piece takes longer."""
        self.line.delay = self.chance.uniform(0.02, 0.15)
        await asyncio.sleep(1)
        self.line.delay = 0.0

    async def _maybe_silent(self) -> None:
        """Half of those that die leave messages under way."""
        if self.chance.random() < 0.5:
            self.line.silent = True
            await asyncio.sleep(0.3)

    def _all_died(self) -> None:
        self.deaths.append(asyncio.get_running_loop().time())
        self.killed.update(self.tabs)
        self.tabs = []

    async def kill_renderers(self) -> None:
        """SIGKILL for the processes of the tabs."""
        await self._maybe_silent()
        await self.driver.do("killRenderers", browser=self._profile)
        self._all_died()
        self.line.cut()
        self.line.silent = False
        for _ in range(TABS):
            await self.open_tab()

    async def kill_browser(self) -> None:
        """SIGKILL for the browser and all of its processes."""
        await self._maybe_silent()
        await self.driver.do("killBrowser", browser=self._profile)
        self._all_died()
        self.line.cut()
        self.line.silent = False
        await self.launch()

    async def kill_gateway(self) -> None:
        """SIGKILL for the gateway; another comes."""
        self.gateway.kill()
        await self.gateway.start()

    async def end_gateway(self) -> None:
        """SIGTERM for the gateway, as a deployment does."""
        await asyncio.to_thread(self.gateway.terminate)
        await self.gateway.start()

    async def stop_redis(self) -> None:
        """Redis ends, and comes back with its data."""
        await self.services.redis.stop()
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        await self.services.redis.start()

    async def expire(self) -> None:
        """The next token is one that has expired, or soon does."""
        seconds = self.chance.choice([-5, 3])
        for tab in self.tabs:
            await self.driver.evaluate(tab, f"lesson.token({seconds})")
        self.line.cut()
        await asyncio.sleep(1)

    async def freeze(self) -> None:
        """The browser freezes a tab, and lets it go on."""
        tab = self.chance.choice(self.tabs)
        await self.driver.cdp(tab, "Page.setWebLifecycleState", state="frozen")
        await asyncio.sleep(self.chance.uniform(0.5, 2))
        await self.driver.cdp(tab, "Page.setWebLifecycleState", state="active")

    async def leave(self) -> None:
        """The learner goes to another page, and back."""
        tab = self.chance.choice(self.tabs)
        await self.driver.do("goto", page=tab, url=f"{self.site}/blank.html")
        await asyncio.sleep(self.chance.uniform(0, 1))
        await self.driver.do("back", page=tab)

    async def fill_the_disk(self) -> None:
        """The browser gives the site no more room, for a while."""
        tab = self.tabs[0]
        self.full.update(self.tabs)
        await self.driver.cdp(tab, "Storage.overrideQuotaForOrigin", origin=self.site, quotaSize=1)
        await asyncio.sleep(0.5)
        await self.driver.cdp(tab, "Storage.overrideQuotaForOrigin", origin=self.site)
        for each in list(self.tabs):
            await self.reopen(each)

    async def set_the_clock(self) -> None:
        """The device's clock jumps by a day, and back."""
        by = self.chance.choice([-DAY_MS, DAY_MS])
        for tab in self.tabs:
            await self.driver.evaluate(tab, f"lesson.skew({by})")
        await asyncio.sleep(0.5)
        for tab in self.tabs:
            await self.driver.evaluate(tab, "lesson.skew(0)")

    # -- the end ----------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until nothing waits in any tab, and the follower has seen the last push."""
        async with asyncio.timeout(SETTLED_WITHIN):
            for tab in self.tabs:
                while not await self.driver.evaluate(tab, "lesson.flush(5000)"):
                    pass
        await self.end_pushing()
        wanted = len(self.pushed)
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while len(self.told.interventions) + len(self.told.replies) < wanted:
                    await asyncio.sleep(0.1)
        await asyncio.sleep(1)  # for one that would come twice

    async def books(self) -> list[dict[str, Any]]:
        """Of each tab that lives."""
        return [await self.driver.evaluate(tab, "lesson.stats()") for tab in self.tabs]

    async def state(self) -> dict[str, Any]:
        """The learner's, as the gateway has it."""
        token = issue(self.settings.auth, LEARNER)
        async with httpx.AsyncClient(base_url=self.gateway.url, trust_env=False) as http:
            answer = await http.get(
                f"{PREFIX}/profile/{LEARNER}", headers={"Authorization": f"Bearer {token}"}
            )
        state: dict[str, Any] = answer.json()["userState"] if answer.is_success else {}
        return state


Fault = str
NETWORK = {
    "cut": Classroom.cut,
    "silent": Classroom.fall_silent,
    "refused": Classroom.refuse,
    "half closed": Classroom.half_close,
    "cut in a frame": Classroom.cut_in_a_frame,
    "slow": Classroom.slow_down,
}
FAULTS = NETWORK | {
    "renderers killed": Classroom.kill_renderers,
    "browser killed": Classroom.kill_browser,
    "gateway killed": Classroom.kill_gateway,
    "gateway ended": Classroom.end_gateway,
    "Redis stopped": Classroom.stop_redis,
    "token expired": Classroom.expire,
    "frozen": Classroom.freeze,
    "left and back": Classroom.leave,
    "disk full": Classroom.fill_the_disk,
    "clock set": Classroom.set_the_clock,
}


@asynccontextmanager
async def classroom(
    settings: Settings,
    services: Services,
    folder: Path,
    chance: random.Random,
    *,
    mutant: str | None = None,
    upgrades: bool = True,
) -> AsyncIterator[Classroom]:
    """A chain that runs, with the follower's page and the learner's tabs open.

    mutant: a fault to build into the SDK (sdk/tests/browser/mutants.mjs).
    upgrades: whether WebSockets get through.
    """
    told = Told()
    async with AsyncExitStack() as stack:
        for roles in ("learner", "push", "history"):
            await stack.enter_async_context(WorkerProcess(roles, settings, folder / f"{roles}.log"))
        driver = await stack.enter_async_context(chromium(told.heard))
        room = Classroom(settings, services, driver, told, folder, chance)
        stack.callback(room.gateway.kill)
        await room.gateway.start()
        room.line.upgrades = upgrades
        await stack.enter_async_context(room.line)
        room.site = await driver.do(
            "serve",
            secret=settings.auth.secret.get_secret_value(),
            gateway=room.line.port,
            mutant=mutant,
        )
        await room.follow()
        await room.launch()
        async with asyncio.timeout(60):
            while len(told.greeted) < TABS:  # what is pushed before is no page's
                await asyncio.sleep(0.05)
        client = await stack.enter_async_context(
            redis.asyncio.from_url(settings.redis.url, socket_timeout=5)
        )
        room.pushing = asyncio.create_task(room.push(Pusher(settings, client)))
        try:
            yield room
        finally:
            await room.end_pushing()


@dataclass(frozen=True)
class Found:
    """What stands in Kafka."""

    ids: dict[str, Counter[str]]
    """By name of the event, its ids and how often each is there."""
    interactions: set[str]
    """Ids of the interactions."""


async def in_kafka(settings: Settings) -> Found:
    """Read both topics of events."""
    ids: dict[str, Counter[str]] = {}
    interactions: set[str] = set()
    for record in await records(settings, INTERACTIONS, 1):
        for one in InteractionsReceived.parse(record.value).interactions:
            ids.setdefault(str(one.element_id), Counter())[str(one.event_id)] += 1
            interactions.add(str(one.event_id))
    for record in await records(settings, CHAT, 0):
        said = ChatReceived.parse(record.value)
        ids.setdefault(said.text, Counter())[said.event_id] += 1
    return Found(ids, interactions)


async def verdict(room: Classroom) -> list[str]:
    """All that is wrong; nothing, if every promise was kept."""
    told, wrong = room.told, []
    found = await in_kafka(room.settings)
    # A tab that lost its disk said so, and what it held may end with it.
    promised = {
        name for name, kept in told.stored.items() if kept or told.page_of[name] not in room.killed
    }
    forgetful = {told.page_of[name] for name, kept in told.stored.items() if not kept}
    if forgetful - room.full:
        wrong.append(f"pages kept nothing on a disk that had room: {forgetful - room.full}")
    lost = sorted(promised - set(found.ids))
    if lost:
        wrong.append(f"{len(lost)} events were stored and are not in Kafka: {lost[:5]}")
    several = {name: ids for name, ids in found.ids.items() if len(ids) > 1}
    if several:
        wrong.append(f"{len(several)} events have several ids: {list(several.items())[:3]}")
    names = Counter(one for ids in found.ids.values() for one in ids)
    if shared := [one for one, number in names.items() if number > 1]:
        wrong.append(f"{len(shared)} ids are those of several events: {shared[:3]}")
    unsound = {name: how for name, how in told.settled.items() if how not in ("new", "duplicate")}
    if unsound:
        wrong.append(f"{len(unsound)} events were not accepted: {Counter(unsound.values())}")
    for stats in await room.books():
        left = stats["recorded"] - stats["accepted"] - stats["refused"] - stats["pending"]
        if left != sum(stats["dropped"].values()) or stats["pending"] or stats["dropped"]:
            wrong.append(f"books do not balance: {stats}")
    counted = -1
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while counted != len(found.interactions):
                counted = (await room.state()).get("activity", {}).get("interactions", 0)
                await asyncio.sleep(0.2)
    if counted != len(found.interactions):
        wrong.append(f"the state counts {counted} of {len(found.interactions)} interactions")
    with suppress(TimeoutError):
        async with asyncio.timeout(10):  # the state may be there before its push
            while uncaused(told, found):
                await asyncio.sleep(0.1)
    wrong += _pushes(room, found)
    wrong += told.complaints
    return wrong


def _pushes(room: Classroom, found: Found) -> list[str]:
    """What is wrong with what the follower saw."""
    told, wrong = room.told, []
    for kind, shown in (
        (PushKind.INTERVENTION, told.interventions),
        (PushKind.TUTOR_REPLY, told.replies),
    ):
        pushed = [name for each, name in room.pushed if each is kind]
        if shown != pushed:
            missed = [name for name in pushed if name not in shown]
            twice = [name for name, number in Counter(shown).items() if number > 1]
            wrong.append(f"{kind}: missed {missed[:5]}, twice {twice[:5]}, of {len(pushed)}")
    # A page that dies may have shown what it could not tell us any more.
    interventions = [name for kind, name in room.pushed if kind is PushKind.INTERVENTION]
    unseen = [
        name
        for name in interventions
        if name not in told.looked
        and not any(-DYING < death - room.pushed_at[name] < DYING for death in room.deaths)
    ]
    if unseen or not interventions:
        wrong.append(f"no page of the learner showed {len(unseen)} interventions: {unseen[:5]}")
    place: tuple[str, int] | None = None
    for frame in told.frames:
        if "push" in frame:
            after = (frame["epoch"], frame["offset"])
            if place is not None and after <= place and after[0] == place[0]:
                wrong.append(f"a push came again: {after} after {place}")
            place = after
    if causes := uncaused(told, found):
        wrong.append(f"no push says that these caused it: {len(causes)} {sorted(causes)[:3]}")
    return wrong


def uncaused(told: Told, found: Found) -> set[str]:
    """Interactions that no push has named as its cause, and no loss explains.

    A log keeps 64 causes of what it has superseded, and says when it has lost more: those of before
    are not told then. Ids say when they were made, by a clock that may have been set.
    """
    return {
        one
        for one in found.interactions - told.causes
        if told.lost_at_ms < made_at_ms(one) < now_ms()
    }


def made_at_ms(event_id: str) -> int:
    """When a UUIDv7 was made, UTC milliseconds."""
    return int(event_id[:8] + event_id[9:13], 16)
