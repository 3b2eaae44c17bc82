"""Users and servers that masterx cannot work with, and what is said of them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from app.local.environment import child_environment
from app.process.errors import Rejected
from app.process.exits import Exit
from app.redis import heartbeats
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.redis.requirements import BESIDE, PROBES, Unfit, obstacles, require
from app.settings import RedisSettings, Settings
from app.tutor.config import BudgetSettings, ReplySettings
from app.tutor.replies.ledger import Claim, Ledger
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from schemas.base import now_ms
from schemas.topics.tutor import RequestKind, TutorRequested
from tests.app.redis.servers import ConfiguredRedis
from tests.app.redis.test_client import program, push, server  # noqa: F401
from tests.schemas.examples import BARE_STATE, DERIVED

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def started(tmp_path: Path, program: Path | None) -> AsyncIterator[ConfiguredRedis]:  # noqa: F811
    async with server(tmp_path, program=program) as started:
        yield started


async def as_user(started: ConfiguredRedis, *rules: str) -> RedisSettings:
    await started.order("ACL", "SETUSER", "mx", "reset", "on", ">pw", *rules)
    return RedisSettings(url=started.endpoint.replace("//", "//mx:pw@"))


OURS = ("~mx:*", "resetchannels", "&mx:*")


def test_every_command_of_a_script_is_looked_at() -> None:
    scripts = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    called = set(re.findall(r"redis\.p?call\('([A-Z]+)'", scripts))
    assert called
    assert called <= {*PROBES, *BESIDE}


async def test_a_user_who_may_do_all_is_fit(started: ConfiguredRedis) -> None:
    settings = RedisSettings(url=started.endpoint)
    assert await obstacles(settings) == []
    assert await started.order("DBSIZE") == 0


async def test_a_user_without_dangerous_commands_lacks_info_alone(
    started: ConfiguredRedis,
) -> None:
    settings = await as_user(started, *OURS, "+@all", "-@dangerous", "-@admin")
    with pytest.raises(Unfit, match=r"may not run INFO .*\+info"):
        await require(settings)
    await started.order("ACL", "SETUSER", "mx", "+info")
    assert await obstacles(settings) == []


async def test_the_commands_of_the_documentation_are_enough(started: ConfiguredRedis) -> None:
    """Given a user with what docs/operations.md grants, and no more."""
    page = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"ACL SETUSER masterx on >PASSWORD (.*)", page)
    assert found is not None
    settings = await as_user(started, *found[1].split())
    assert await obstacles(settings) == []
    await everything_works(settings)


@pytest.mark.parametrize("missing", ["hincrby", "evalsha", "publish", "subscribe", "zadd"])
async def test_each_missing_command_is_named(started: ConfiguredRedis, missing: str) -> None:
    settings = await as_user(started, *OURS, "+@all", f"-{missing}")
    (obstacle,) = await obstacles(settings)
    assert missing.upper() in obstacle
    assert f"+{missing}" in obstacle


async def test_a_wrong_password_and_other_keys_are_named(started: ConfiguredRedis) -> None:
    settings = await as_user(started, "~other:*", "&*", "+@all")
    (obstacle,) = await obstacles(settings)
    assert "mx:*" in obstacle
    wrong = settings.model_copy(update={"url": settings.url.replace(":pw@", ":no@")})
    with pytest.raises(Rejected, match=r"MASTERX_REDIS__URL: .*invalid username-password"):
        await require(wrong)


async def test_a_redis_that_is_away_is_no_obstacle_to_a_start() -> None:
    await require(RedisSettings(url="redis://127.0.0.1:1/0"))


async def test_a_gateway_that_lacks_a_command_ends_with_its_name(started: ConfiguredRedis) -> None:
    settings = await as_user(started, *OURS, "+@all", "-info")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "gateway"),
        env=child_environment(Settings(redis=settings)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == Exit.UNAVAILABLE, said
    assert b"may not run INFO" in said


# -- cluster mode -----------------------------------------------------------------------------


async def everything_works(settings: RedisSettings) -> None:
    """What masterx does with Redis, each once."""
    async with connect(settings, "push") as client:
        log = PushLog(client, settings)
        await log.append_many([push(1), push(1, "bob")])
        assert (await log.latest("ada")).offset == 1
        for instance in "ab":
            beat = heartbeats.Beat(
                role="push", instance=instance, state="ready", detail="", lag=0, at=0, metrics=""
            )
            await heartbeats.beat(client, settings, beat)
        assert len((await heartbeats.roles(client, settings))["push"]) == 2
        ledger = Ledger(client, settings, ReplySettings())
        store = TutorStore(client, settings, 5)
        budgets = Budgets(store, BudgetSettings())
        request = TutorRequested(
            **{**DERIVED, "user_id": "ada", "ingest_time": now_ms()},
            reply_id="reply-1",
            kind=RequestKind.CHAT,
            state=BARE_STATE,
        )
        claim = await ledger.claim(request)
        assert isinstance(claim, Claim)
        await ledger.park(claim, request, now_ms() - 1)
        assert await ledger.take_due(now_ms(), 30, 10) == [request]
        await ledger.finish(claim, b"{}", ingest_time=request.ingest_time, turns=[b"{}"])
        await budgets.settle(await budgets.reserve("ada", 1, 1), 1, 1)
        await ledger.forget("ada", now_ms())
        await budgets.forget("ada")
        await log.forget("ada")
        await log.drop_all()
        assert (await log.head("bob")).offset == 0


async def until_whole(client: redis.Redis) -> None:
    async with asyncio.timeout(30):
        while True:
            info = str(await client.execute_command("CLUSTER", "INFO"))
            if "cluster_state:ok" in info and "cluster_slots_assigned:16384" in info:
                return
            await asyncio.sleep(0.05)


async def test_cluster_mode_with_one_shard_works(tmp_path: Path, program: Path | None) -> None:  # noqa: F811
    async with server(tmp_path, "cluster-enabled yes", program=program) as started:
        await started.order("CLUSTER", "ADDSLOTS", *range(16_384))
        settings = RedisSettings(url=started.endpoint)
        async with connect(settings, "operator") as client:
            await until_whole(client)
        assert await obstacles(settings) == []
        await everything_works(settings)


async def test_several_shards_are_refused(tmp_path: Path, program: Path | None) -> None:  # noqa: F811
    lines = ("cluster-enabled yes", "cluster-require-full-coverage no")
    async with (
        server(tmp_path / "a", *lines, program=program) as first,
        server(tmp_path / "b", *lines, program=program) as second,
    ):
        await first.order("CLUSTER", "ADDSLOTS", *range(8_192))
        await second.order("CLUSTER", "ADDSLOTS", *range(8_192, 16_384))
        await first.order("CLUSTER", "MEET", "127.0.0.1", second.port)
        settings = RedisSettings(url=first.endpoint)
        async with connect(settings, "operator") as client:
            await until_whole(client)
        with pytest.raises(Unfit, match="one shard"):
            await require(settings)
