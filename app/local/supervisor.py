"""Everything on one machine: services, topics, every worker role, the gateway.

Numbered, in the order of `Supervisor.run`:
  1. take the lock of the data directory
  2. start the embedded services that are not named elsewhere
  3. create the topics
  4. start the workers and the gateway; start again what ends by itself
  5. wait until the gateway says ready, tell so
  6. on a signal end gateway, workers, services, in this order

Errors:
    NotStarted   names what does not start, and shows the end of its log
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from app.kafka.admin import create_topics, list_topics
from app.local.children import ended, spawn, tail, terminate
from app.local.embedded import Service
from app.local.environment import child_environment
from app.local.programs import Program, connected, embedded_services, programs, status_url
from app.process.errors import OperatorError
from app.process.exits import Exit
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_STEADY_AFTER: Final = 30.0
"""Seconds that a child must have run for its next crash to count as the first."""
_CRASHES_BEFORE_READY: Final = 5
_ASK_WITHIN: Final = 5.0
"""Seconds for one answer of the gateway: what it asks has two."""

Report = Callable[[str, str, str], None]
"""Called with (name, state, detail) whenever something changes; state is one word."""


class NotStarted(OperatorError):
    """`masterx up` cannot go on."""


@dataclass(slots=True)
class _Kept:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    crashes: int = 0
    task: asyncio.Task[None] | None = field(default=None)


class Supervisor:
    """Starts everything, keeps it running, ends it in order.

    Args:
        settings: as the operator gave them; children get them with the services' places.
        report: told of every change.
        children: what to keep running, given the settings that point at the services.
    """

    def __init__(
        self,
        settings: Settings,
        report: Report = lambda name, state, detail: None,
        children: Callable[[Settings], Sequence[Program]] = programs,
    ) -> None:
        self.settings = settings
        self.data_dir = settings.embedded.data_dir.absolute()
        self._report = report
        self._programs = children
        self._services = embedded_services(settings)
        self._children: list[_Kept] = []
        self._ready = False
        self._failed: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Settings], None]) -> None:
        """Run until `stop` is set.

        Raises:
            OperatorError: something that has to run does not start.
        """
        with _lock(self.data_dir):
            self._failed = asyncio.get_running_loop().create_future()
            watching: list[asyncio.Task[None]] = []
            try:
                await self._or_stopped(self._start(), stop)
                if not stop.is_set():
                    watching = [asyncio.create_task(self._guard(s)) for s in self._services]
                    await self._or_stopped(self._until_ready(), stop)
                if not stop.is_set():
                    self._ready = True
                    on_ready(self.settings)
                    await self._or_stopped(stop.wait(), stop)
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.shield(self._end())

    async def _or_stopped(self, step: Any, stop: asyncio.Event) -> None:
        """Await a step; leave it when `stop` is set or a child is beyond hope."""
        assert self._failed is not None
        doing = asyncio.ensure_future(step)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({doing, stopping, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if doing.done():
            doing.result()
            return
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing
        if self._failed.done():
            self._failed.result()

    async def _start(self) -> None:
        unclean = self._broker_was_killed()
        await asyncio.gather(*(self._start_service(service) for service in self._services))
        self.settings = connected(self.settings, self._services)
        if unclean:
            await self._forget_pushes()
        self._mark_broker(running=True)
        await self._create_topics()
        self._start_children()

    async def _create_topics(self) -> None:
        self._report("topics", "starting", "")
        if self._owns_broker() and "partitions" not in self.settings.kafka.model_fields_set:
            there = await list_topics(self.settings)
            if not any(topic.partitions for topic in there):
                self._set_partitions(self.settings.embedded.partitions)
        topics = await create_topics(self.settings)
        # The children need not ask again.
        self._set_partitions(topics[0].expected)
        made = sum(topic.created for topic in topics)
        self._report("topics", "ready", f"{len(topics)} topics, {made} of them new")

    def _set_partitions(self, count: int) -> None:
        kafka = self.settings.kafka.model_copy(update={"partitions": count})
        self.settings = self.settings.model_copy(update={"kafka": kafka})

    async def _start_service(self, service: Service) -> None:
        self._report(service.name, "starting", "")
        await service.start()
        self._report(service.name, "ready", service.endpoint)

    def _start_children(self) -> None:
        self._children = [_Kept(program) for program in self._programs(self.settings)]
        for kept in self._children:
            kept.task = asyncio.create_task(self._keep(kept))

    async def _keep(self, kept: _Kept) -> None:
        """Run a child for ever; a pause that doubles lies between its crashes."""
        loop = asyncio.get_running_loop()
        name = kept.program.name
        while True:
            self._tell(kept, "starting")
            began = loop.time()
            kept.process = spawn(
                kept.program.command,
                self._log(name),
                env=child_environment(self.settings),
                niceness=kept.program.niceness,
            )
            status = await ended(kept.process)
            if loop.time() - began > _STEADY_AFTER:
                kept.crashes = 0
            kept.crashes += 1
            hopeless = status == Exit.CONFIG or kept.crashes >= _CRASHES_BEFORE_READY
            if hopeless and not self._ready:
                return self._give_up(name, status, kept.crashes)
            pause = min(_FIRST_PAUSE * 2 ** (kept.crashes - 1), _LONGEST_PAUSE)
            detail = f"{_meaning(status)}; again in {pause:g} s ({self._log(name)})"
            self._tell(kept, "restarting", detail)
            await asyncio.sleep(pause)

    def _tell(self, kept: _Kept, state: str, detail: str = "") -> None:
        for part in kept.program.parts:
            self._report(part, state, detail)

    def _give_up(self, name: str, status: int | None, crashes: int) -> None:
        log = self._log(name)
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(
                NotStarted(
                    f"{name} ended {crashes} times before it was ready, last: "
                    f"{_meaning(status)}. Run `masterx doctor`. The end of {log}:\n{tail(log)}"
                )
            )

    async def _guard(self, service: Service) -> None:
        """Start a service again that ended by itself; give up when it does not start."""
        assert self._failed is not None
        try:
            while True:
                await service.ended()
                self._report(service.name, "restarting", "it ended by itself; see its log")
                if service.name == "kafka":
                    await self._broker_again(service)
                else:
                    await self._start_service(service)
        except OperatorError as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    async def _broker_again(self, broker: Service) -> None:
        """The broker writes at its end only: killed, it comes back with an earlier state.

        Whoever remembers later offsets would wait for ever, so all start anew.
        """
        await self._end_children()
        await self._start_service(broker)
        await self._forget_pushes()
        await self._create_topics()
        self._start_children()

    async def _until_ready(self) -> None:
        gateway = self.settings.gateway
        url = f"http://{gateway.host}:{gateway.port}"
        async with httpx.AsyncClient(timeout=_ASK_WITHIN, trust_env=False) as client:
            while True:
                with suppress(httpx.HTTPError, ValueError):
                    self._tell_roles((await client.get(f"{status_url(gateway)}/readyz")).json())
                with suppress(httpx.HTTPError):
                    answer = await client.get(f"{url}/readyz", params={"roles": "all"})
                    if answer.status_code == httpx.codes.OK:
                        self._report("gateway", "ready", url)
                        return
                await asyncio.sleep(0.25)

    def _tell_roles(self, document: dict[str, Any]) -> None:
        roles = document.get("roles", {})
        for role, told in roles.items() if isinstance(roles, dict) else ():
            # Before its first heartbeat a role is "absent"; we know that it is starting.
            if isinstance(told, dict) and told.get("state", "absent") != "absent":
                self._report(role, str(told["state"]), str(told.get("detail", "")))

    # -- ending ---------------------------------------------------------------------------

    async def _end(self) -> None:
        await self._end_children()
        for service in self._services:
            if service.pid is not None:
                self._report(service.name, "stopping", "")
                status = await service.stop()
                if service.name == "kafka" and status == 0:
                    self._mark_broker(running=False)
            self._report(service.name, "stopped", "")

    async def _end_children(self) -> None:
        """The gateway first: nothing is accepted any more. Then the workers, together."""
        children, self._children = self._children, []
        for kept in children:
            if kept.task is not None:
                kept.task.cancel()
        gateway = [kept for kept in children if kept.program.name == "gateway"]
        workers = [kept for kept in children if kept.program.name != "gateway"]
        for group in (gateway, workers):
            await asyncio.gather(*(self._end_child(kept) for kept in group))

    async def _end_child(self, kept: _Kept) -> None:
        if kept.process is not None and kept.process.poll() is None:
            self._tell(kept, "stopping")
            await terminate(kept.process, kept.program.grace)
        self._tell(kept, "stopped")

    # -- after a broker that was killed -----------------------------------------------------

    def _broker_was_killed(self) -> bool:
        return self._owns_broker() and self._broker_mark().exists()

    def _mark_broker(self, *, running: bool) -> None:
        if self._owns_broker():
            if running:
                self._broker_mark().touch()
            else:
                self._broker_mark().unlink(missing_ok=True)

    def _broker_mark(self) -> Path:
        return self.data_dir / "kafka.running"

    def _owns_broker(self) -> bool:
        return any(service.name == "kafka" for service in self._services)

    async def _forget_pushes(self) -> None:
        """Drop the push logs alone: they hold offsets that the broker will give out again."""
        if not any(service.name == "redis" for service in self._services):
            self._report("kafka", "restarting", "it lost its last records, Redis may remember them")
            return
        redis = self.settings.redis
        async with connect(redis, "operator") as client:
            await PushLog(client, redis).drop_all()
        self._report("redis", "ready", "push logs dropped: the broker had not ended cleanly")

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"


class _lock:  # noqa: N801 - used as a function
    """Only one supervisor a data directory. Raises NotStarted when it is taken."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise NotStarted(
                f"masterx already runs with the data in {self._path.parent}. "
                "End it, or set MASTERX_EMBEDDED__DATA_DIR to another folder."
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def running(data_dir: Path) -> bool:
    """Whether a supervisor holds this data directory."""
    if not (data_dir / "lock").exists():
        return False
    try:
        with _lock(data_dir):
            return False
    except NotStarted:
        return True


def _meaning(status: int | None) -> str:
    if status is None:
        return "ended"
    if status < 0:
        return f"killed by signal {-status}"
    name = Exit(status).name.lower().replace("_", " ") if status in set(Exit) else "ended"
    return f"{name} (exit {status})"
