"""A worker process: one role, or several side by side, from the start to the signal to stop.

Faust brings group membership, assignment, fetching and committing. Acknowledging,
producing and tables are ours (docs/architecture.md says why).

Each role is a `app.worker.running.RunningRole`. The roles of a process share the event loop, the
status port and the fate: when one cannot go on, the process ends, and a supervisor starts all of
them again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import threading
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeVar

import structlog
import uvloop
from aiokafka.errors import KafkaError
from structlog.contextvars import bound_contextvars

from agents.runtime.topics import DEAD_LETTERS
from app.kafka.admin import max_message_bytes
from app.kafka.header_names import forgive
from app.kafka.quirks import Bell
from app.kafka.topics import MAX_DEAD_LETTER_BYTES
from app.process import logs
from app.process.errors import Misconfigured, Unavailable
from app.process.exits import Exit, end_now, stop_now
from app.process.probes import probe_kafka
from app.redis.requirements import Unfit
from app.settings import Settings
from app.worker.role import Role, RoleError, check_names
from app.worker.running import RunningRole
from app.worker.status import Status

log = structlog.get_logger(__name__)

T = TypeVar("T")

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
BROKER_PATIENCE = 30.0
"""Seconds to look for a broker at start before giving up (a supervisor starts us again)."""


class _Stopped(Exception):
    """SIGTERM or SIGINT came while the worker was still starting."""


class _NotOpened(Exception):
    """What a role needs is not there, or unfit; the text names the role."""


def run(roles: Sequence[Role], settings: Settings) -> None:
    """Run a worker of these roles until SIGTERM or SIGINT.

    Ends the process with a code of `app.process.exits.Exit` when one of them cannot go on
    safely, and with 0 at the latest `worker.shutdown_timeout` seconds after the signal.
    """
    logs.configure(settings.log, role="+".join(role.name for role in roles))
    forgive()
    try:
        check_names(settings)
    except RoleError as error:
        end_now(Exit.CONFIG, str(error))
    try:
        uvloop.run(_run(roles, settings))
    except Misconfigured as error:
        end_now(Exit.CONFIG, str(error))
    except (Unavailable, _NotOpened) as error:
        end_now(Exit.UNAVAILABLE, str(error))
    except KafkaError as error:
        end_now(Exit.UNAVAILABLE, f"Kafka at {settings.kafka.bootstrap}: {error!r}")


def _end_on_signal(stop: asyncio.Event, within: float) -> None:
    """Set `stop` on the first signal; end the process after `within` seconds or on the second.

    A thread of its own sees to that: neither an import, nor a broker or store that does
    not answer, nor a library that waits without a limit can keep the process.
    """
    loop = asyncio.get_running_loop()
    asked, ask = os.pipe()

    def wait() -> None:
        os.read(asked, 1)
        loop.call_soon_threadsafe(stop.set)
        again, _, _ = select.select([asked], [], [], within)
        stop_now("asked to again" if again else f"not done within {within:g} s")

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in _STOP:
        # Not the loop's own handler, which waits until the loop runs.
        signal.signal(number, lambda *_: os.write(ask, b"!"))


async def _unless(stop: asyncio.Event, step: Awaitable[T]) -> T:
    """The result of a step of starting. Raises _Stopped, and cancels it, once `stop` is set."""
    doing = asyncio.ensure_future(step)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            raise _Stopped
        return doing.result()
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})


async def _run(roles: Sequence[Role], settings: Settings) -> None:
    stop = asyncio.Event()
    _end_on_signal(stop, settings.worker.shutdown_timeout)
    try:
        await _serve(roles, settings, stop)
    except _Stopped:
        stop_now("asked to while starting")  # a thread may still be loading a model


async def _serve(roles: Sequence[Role], settings: Settings, stop: asyncio.Event) -> None:
    await _unless(stop, _wait_for_broker(settings))
    # Its operator may have set another bound: a letter above it would end the worker.
    room = await _unless(stop, max_message_bytes(settings, DEAD_LETTERS))
    instance = settings.worker.instance or f"{socket.gethostname()}-{os.getpid()}"
    bell = Bell()
    running = [RunningRole(role, settings, instance, bell, roles) for role in roles]

    def awake(*_: object) -> None:
        for one in running:
            one.lease.awake()

    # A pause may fall between a producer's check and its write. Python runs this handler
    # before the next function it enters, and so before the write.
    signal.signal(signal.SIGCONT, awake)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Status(settings, [one.health for one in running]))
        # All are built before the first one consumes: to import what a role needs, or to load a
        # model, may keep the event loop for seconds.
        for one in running:
            stack.push_async_callback(one.close)
            await _unless(stop, _opened(one, room or MAX_DEAD_LETTER_BYTES))
        # What a process holds from its start stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # Side by side: Faust's start waits for the group, and the end for what is under way.
        await asyncio.gather(*(_play(one, stop) for one in running))


async def _opened(one: RunningRole, letter_bytes: int) -> None:
    with bound_contextvars(role=one.role.name):
        try:
            await one.open(letter_bytes)
        except (Unavailable, Unfit) as error:
            raise _NotOpened(f"{one.role.name}: {error}") from error


async def _play(one: RunningRole, stop: asyncio.Event) -> None:
    """Consume until the signal. Then, and not before it has joined, end in order."""
    with bound_contextvars(role=one.role.name):  # and so of every task that this begins
        await one.start()
        crash = asyncio.create_task(one.crash())
        await stop.wait()
        log.info("worker.stopping")
        crash.cancel()
        await one.stop()


async def _wait_for_broker(settings: Settings) -> None:
    """Raises Unavailable when no broker answers within BROKER_PATIENCE; Misconfigured."""
    deadline = asyncio.get_running_loop().time() + BROKER_PATIENCE
    while True:
        try:
            return await probe_kafka(settings.kafka)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("worker.waiting_for_broker", reason=str(error))
            await asyncio.sleep(1.0)
