import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis.asyncio

from app.kafka.admin import list_topics
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.local.programs import Program, connected, embedded_services, programs
from app.local.supervisor import NotStarted, Supervisor, running
from app.redis.push_log import PushLog
from app.settings import (
    EmbeddedSettings,
    GatewaySettings,
    KafkaSettings,
    Settings,
    WorkerSettings,
)
from app.worker.role import roles

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

# Stands where the gateway will be: answers /readyz on both its ports, and ends on SIGTERM.
GATEWAY = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from app.settings import Settings
settings = Settings()
class Details(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"roles": {"sleeper": {"state": "ready"}}}).encode())
    def log_message(self, *a): pass
class Ready(Details):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz?roles=all" else 404); self.end_headers()
private = HTTPServer((settings.gateway.status_host, settings.gateway.status_port), Details)
threading.Thread(target=private.serve_forever, daemon=True).start()
HTTPServer((settings.gateway.host, settings.gateway.port), Ready).serve_forever()
"""
SLEEPER = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def nothing_named_elsewhere(monkeypatch):
    for name in ("MASTERX_KAFKA__BOOTSTRAP", "MASTERX_REDIS__URL", "MASTERX_MONGO__URL"):
        monkeypatch.delenv(name, raising=False)


def free_settings(directory: Path) -> Settings:
    return Settings(
        kafka=KafkaSettings(partitions=2),
        gateway=GatewaySettings(port=free_port("127.0.0.1")),
        embedded=EmbeddedSettings(data_dir=directory, kafka_port=0, redis_port=0, mongo_port=0),
    )


def children(settings: Settings) -> tuple[Program, ...]:
    return (
        Program("gateway", [sys.executable, "-c", GATEWAY], 5.0),
        Program("sleeper", [sys.executable, "-c", SLEEPER], 5.0),
    )


class Run:
    """A supervisor in the background, and what it told."""

    def __init__(self, settings, programs=children):
        self.told = []
        self.changed = asyncio.Condition()
        self.stop = asyncio.Event()
        self.ready = asyncio.get_running_loop().create_future()
        self.supervisor = Supervisor(settings, self._report, programs)
        self.task = asyncio.create_task(self.supervisor.run(self.stop, self.ready.set_result))

    def _report(self, name, state, detail):
        self.told.append((name, state, detail))
        self._waker = asyncio.ensure_future(self._wake())

    async def _wake(self):
        async with self.changed:
            self.changed.notify_all()

    async def until_ready(self) -> Settings:
        await asyncio.wait({self.task, self.ready}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.task
        return self.ready.result()

    async def until_told(self, name, state, after=0):
        async with self.changed:
            await self.changed.wait_for(
                lambda: any((n, s) == (name, state) for n, s, _ in self.told[after:])
            )

    async def end(self):
        self.stop.set()
        await self.task


async def test_starts_services_topics_and_children_and_ends_them_in_order(tmp_path):
    others = set(psutil.Process().children())
    run = Run(free_settings(tmp_path))
    settings = await run.until_ready()
    try:
        assert all(topic.ready for topic in await list_topics(settings))
        assert running(tmp_path)
        started = set(psutil.Process().children()) - others
        assert len(started) == 5, "three services, two children"
    finally:
        await run.end()
    stopped = [name for name, state, _ in run.told if state == "stopped"]
    assert stopped == ["gateway", "sleeper", "kafka", "redis", "mongo"]
    assert not any(process.is_running() for process in started)
    assert not running(tmp_path)


async def test_a_second_start_finds_the_earlier_state(tmp_path):
    first = Run(free_settings(tmp_path))
    settings = await first.until_ready()
    async with redis.asyncio.from_url(settings.redis.url) as client:
        await client.set("mx:log", "kept")
    await first.end()

    second = Run(free_settings(tmp_path))
    settings = await second.until_ready()
    try:
        async with redis.asyncio.from_url(settings.redis.url) as client:
            assert await client.get("mx:log") == b"kept"
        topics = next(d for n, s, d in second.told if (n, s) == ("topics", "ready"))
        assert "0 of them new" in topics
    finally:
        await second.end()


async def test_new_topics_have_what_one_machine_can_use_and_old_ones_stay(tmp_path):
    # Given topics of an earlier release, which had three partitions
    explicit = free_settings(tmp_path)
    earlier = explicit.kafka.model_copy(update={"partitions": 3})
    first = Run(explicit.model_copy(update={"kafka": earlier}))
    await first.until_ready()
    await first.end()
    # When no number is set
    unset = explicit.model_copy(update={"kafka": KafkaSettings()})
    second = Run(unset)
    settings = await second.until_ready()
    # Then they stay, and the children know
    try:
        assert settings.kafka.partitions == 3
        assert {topic.partitions for topic in await list_topics(settings)} == {3}
    finally:
        await second.end()
    # And a new folder gets as many as one machine can use
    embedded = unset.embedded.model_copy(update={"data_dir": tmp_path / "new"})
    third = Run(unset.model_copy(update={"embedded": embedded}))
    settings = await third.until_ready()
    try:
        assert settings.kafka.partitions == embedded.partitions < KafkaSettings().partitions
        assert {topic.partitions for topic in await list_topics(settings)} == {embedded.partitions}
    finally:
        await third.end()


async def test_a_child_that_ends_is_started_again(tmp_path):
    run = Run(free_settings(tmp_path))
    await run.until_ready()
    try:
        sleeper = next(p for p in psutil.Process().children() if SLEEPER in p.cmdline())
        told = len(run.told)
        sleeper.kill()
        await run.until_told("sleeper", "restarting", told)
        await run.until_told("sleeper", "starting", told)
        assert any("killed by signal 9" in detail for _, _, detail in run.told[told:])
    finally:
        await run.end()


async def test_after_a_killed_broker_all_start_anew_and_no_push_is_mistaken_for_known(tmp_path):
    # The broker writes at its end: killed, it gives out the same offsets again.
    run = Run(free_settings(tmp_path))
    settings = await run.until_ready()
    try:
        async with redis.asyncio.from_url(settings.redis.url) as client:
            log = PushLog(client, settings.redis)
            epoch = (await log.head("ada")).epoch
            kept = ("mx:push:{ada}:fence", "mx:tutor:{ada}:fence", "mx:tutor:{ada}:used:2026-01-05")
            for key in (*kept, "mx:{tutor}:parked", "mx:tutor:{ada}:quiet"):
                await client.set(key, "1")
            told = len(run.told)
            broker = next(s for s in run.supervisor._services if s.name == "kafka")
            os.kill(broker.pid, signal.SIGKILL)
            await run.until_told("sleeper", "starting", told)
            # Offsets that are gone are forgotten; erasures, budgets and requests are not.
            assert (await log.head("ada")).epoch != epoch
            for key in (*kept, "mx:{tutor}:parked", "mx:tutor:{ada}:quiet"):
                assert await client.get(key) == b"1", key
        assert all(topic.ready for topic in await list_topics(settings))
    finally:
        await run.end()


async def test_two_on_the_same_data_are_refused(tmp_path):
    run = Run(free_settings(tmp_path))
    await run.until_ready()
    try:
        with pytest.raises(NotStarted, match="already runs with the data in"):
            await Run(free_settings(tmp_path)).task
    finally:
        await run.end()


async def test_a_child_that_never_starts_is_given_up_with_the_end_of_its_log(tmp_path):
    def broken(settings):
        return (Program("gateway", [sys.executable, "-c", "exit('no such thing')"], 1.0),)

    run = Run(free_settings(tmp_path), broken)
    with pytest.raises(NotStarted, match="gateway ended 5 times") as failure:
        await run.task
    assert "no such thing" in str(failure.value)
    assert not running(tmp_path)


def test_workers_have_a_name_on_every_broker_and_the_gateway_a_private_port(tmp_path, monkeypatch):
    def of(folder: str, **worker: str) -> Settings:
        embedded = EmbeddedSettings(data_dir=tmp_path / folder)
        given = Settings(embedded=embedded, worker=WorkerSettings(**worker))
        return connected(given, embedded_services(given))

    assert of("one").worker.instance == "local"
    monkeypatch.setenv("MASTERX_KAFKA__BOOTSTRAP", "kafka:9092")
    # Lasting, and another one for another `masterx up` on the same broker
    assert of("one").worker.instance == of("one").worker.instance != of("two").worker.instance
    assert of("one", instance="mine").worker.instance == "mine"
    assert of("one").gateway.status_port > 0


def test_a_child_gets_longer_than_it_takes_to_end():
    settings = Settings()
    for program in programs(settings):
        bounds = settings.gateway if program.name == "gateway" else settings.worker
        assert program.grace > bounds.shutdown_timeout


def test_roles_share_processes_where_the_settings_say_so():
    shared = programs(Settings())
    assert [p.name for p in shared] == ["gateway", "emotion+learner+push", "history+tutor"]
    assert [p.command[3:] for p in shared[1:]] == [
        ["worker", "emotion", "learner", "push"],
        ["worker", "history", "tutor"],
    ]
    # Who shares with somebody that is waited for is waited for
    assert [p.niceness for p in shared] == [0, 0, 0]
    assert roles()["history"].niceness > 0
    alone = programs(Settings(embedded=EmbeddedSettings(share_processes=False)))
    assert [p.name for p in alone] == ["gateway", *roles()]
    assert [p.niceness for p in alone] == [0, *(role.niceness for role in roles().values())]


async def test_what_becomes_of_a_shared_process_is_told_of_each_of_its_roles(tmp_path):
    def two(settings: Settings) -> tuple[Program, ...]:
        gateway, sleeper = children(settings)
        return gateway, replace(sleeper, name="one+other", roles=("one", "other"))

    run = Run(free_settings(tmp_path), two)
    await run.until_ready()
    try:
        told = len(run.told)
        next(p for p in psutil.Process().children() if SLEEPER in p.cmdline()).kill()
        for name in ("one", "other"):
            await run.until_told(name, "restarting", told)
            await run.until_told(name, "starting", told)
        assert any("one+other.log" in detail for _, _, detail in run.told[told:])
    finally:
        await run.end()
    assert "one+other" not in {name for name, _, _ in run.told}


def test_a_service_named_elsewhere_is_not_ours_to_start(monkeypatch):
    monkeypatch.setenv("MASTERX_REDIS__URL", "redis://elsewhere:6379/0")
    assert [service.name for service in embedded_services(Settings())] == ["kafka", "mongo"]
    monkeypatch.setenv("MASTERX_EMBEDDED__ENABLED", "false")
    assert embedded_services(Settings()) == ()


def test_up_refuses_with_what_to_do_when_a_port_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = free_settings(tmp_path)
        settings = settings.model_copy(
            update={"gateway": GatewaySettings(port=taken.getsockname()[1])}
        )
        environment = child_environment(settings)
        for name in ("MASTERX_KAFKA__BOOTSTRAP", "MASTERX_REDIS__URL", "MASTERX_MONGO__URL"):
            environment.pop(name)
        run = subprocess.run(
            [sys.executable, "-m", "app.cli", "up"],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert run.returncode == 1
    assert "is in use" in run.stderr
    assert "MASTERX_GATEWAY__PORT" in run.stderr
