"""One worker role as a process: a Faust app, its producer, and what watches over them.

Faust brings group membership, assignment, fetching and committing. Acknowledging,
producing and tables are ours (docs/architecture.md says why).
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import faust
import structlog
import uvloop
from aiokafka.errors import KafkaError

from agents.runtime.in_flight import InFlight
from agents.runtime.retrying import Fatal
from agents.runtime.topics import DEAD_LETTERS
from app.kafka.admin import max_message_bytes
from app.kafka.dead_letters import Graveyard
from app.kafka.header_names import forgive
from app.kafka.producer import Producer
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, physical
from app.process import logs
from app.process.errors import Misconfigured, Unavailable
from app.process.exits import Exit, end_now, stop_now
from app.process.probes import probe_kafka
from app.redis.heartbeats import client_id, static_name
from app.redis.requirements import Unfit
from app.settings import Role, Settings
from app.worker.health import Watch
from app.worker.lease import Lease
from app.worker.role import Agent, Parts, builder
from app.worker.transport import LeasedTransport

log = structlog.get_logger(__name__)

T = TypeVar("T")

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
BROKER_PATIENCE = 30.0
"""Seconds to look for a broker at start before giving up (a supervisor starts us again)."""


class _Stopped(Exception):
    """SIGTERM or SIGINT came while the worker was still starting."""


def run(role: Role, settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT.

    Ends the process with a code of `app.process.exits.Exit` when it cannot go on safely, and
    with 0 at the latest `worker.shutdown_timeout` seconds after the signal.
    """
    logs.configure(settings.log, role=role)
    forgive()
    try:
        uvloop.run(_run(role, settings))
    except Misconfigured as error:
        end_now(Exit.CONFIG, str(error))
    except (Unavailable, Unfit) as error:
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


async def _run(role: Role, settings: Settings) -> None:
    stop = asyncio.Event()
    _end_on_signal(stop, settings.worker.shutdown_timeout)
    try:
        await _serve(role, settings, stop)
    except _Stopped:
        stop_now("asked to while starting")  # a thread may still be loading a model


async def _serve(role: Role, settings: Settings, stop: asyncio.Event) -> None:
    await _unless(stop, _wait_for_broker(settings))
    # Its operator may have set another bound: a letter above it would end the worker.
    room = await _unless(stop, max_message_bytes(settings, DEAD_LETTERS))
    async with AsyncExitStack() as stack:
        lease = Lease(
            settings.worker.session_timeout,
            on_lost=lambda reason: end_now(Exit.FENCED, f"group lease lost: {reason}"),
        )
        # A pause may fall between the producer's check and its write. Python runs this handler
        # before the next function it enters, and so before the write.
        signal.signal(signal.SIGCONT, lambda *_: lease.awake())
        producer = Producer(
            settings, client_id=f"{settings.worker.group_prefix}-{role}", before_write=lease.check
        )
        await _unless(stop, stack.enter_async_context(producer))
        window = InFlight(
            settings.worker.in_flight,
            fail=lambda error: _end(error, f"an output was not delivered: {error!r}"),
        )
        watch = Watch(role, settings, window)
        await stack.enter_async_context(watch)
        parts = Parts(
            settings=settings,
            outbox=producer,
            dead_letters=Graveyard(producer, role, settings, room or MAX_DEAD_LETTER_BYTES),
            window=window,
            watch=watch,
        )
        agent = await _unless(stop, stack.enter_async_context(builder(role)(parts)))
        app = _faust_app(role, settings, lease, agent, watch)
        watch.follow(app)
        # Not broken off: what has begun to consume is ended in order, below.
        await app.start()
        # What a process holds from its start stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log.info("worker started", topics=agent.topics)
        await _until_stopped(app, stop)
        log.info("worker stops")
        await agent.on_revoked()
        lease.resign()
        await app.stop()


async def _wait_for_broker(settings: Settings) -> None:
    """Raises Unavailable when no broker answers within BROKER_PATIENCE; Misconfigured."""
    deadline = asyncio.get_running_loop().time() + BROKER_PATIENCE
    while True:
        try:
            return await probe_kafka(settings.kafka)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("waiting for the broker", reason=str(error))
            await asyncio.sleep(1.0)


async def _until_stopped(app: faust.App, stop: asyncio.Event) -> None:
    """Return on a signal; end the process when Faust crashed."""
    stopping = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(app._crashed.wait())
    await asyncio.wait({stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
    if crashed.done():
        end_now(Exit.SEND_FAILED, f"Faust crashed: {app.crash_reason!r}")
    crashed.cancel()


def _faust_app(
    role: Role, settings: Settings, lease: Lease, agent: Agent, watch: Watch
) -> faust.App:
    worker = settings.worker
    app = faust.App(
        f"{worker.group_prefix}-{role}",
        broker=f"kafka://{settings.kafka.bootstrap}".replace(",", ";"),
        broker_client_id=client_id(worker.group_prefix, role, watch.instance),
        # Faust wants a folder for tables; ours are in Kafka.
        datadir=Path(tempfile.gettempdir()),
        consumer_group_instance_id=static_name(role, worker.instance) if worker.instance else None,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=worker.session_timeout,
        broker_heartbeat_interval=worker.heartbeat_interval,
        broker_rebalance_timeout=worker.rebalance_timeout,
        broker_max_poll_interval=worker.max_poll_interval,
        broker_commit_interval=worker.commit_interval,
        broker_request_timeout=max(30.0, worker.session_timeout * 2),
        broker_max_poll_records=worker.in_flight,
        stream_buffer_maxsize=worker.in_flight,
        # Handlers are idempotent, and an unbounded wait could hang a rebalance.
        stream_wait_empty=False,
        # Progress is watched by app.worker.health, which knows of waiting for a store.
        stream_processing_timeout=86_400.0,
        broker_commit_livelock_soft_timeout=86_400.0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        web_enabled=False,
        autodiscover=False,
    )
    app.transport = LeasedTransport(
        app.conf.broker_consumer, app=app, lease=lease, kafka=settings.kafka
    )
    topic = app.topic(
        *(physical(settings, name) for name in agent.topics),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )

    async def consume(stream: Any) -> None:
        try:
            await agent.run(_events(stream))
        except Exception as error:
            if not isinstance(error, Fatal):
                log.exception("the agent raised")
            _end(error, f"the agent raised {error!r}")

    consume.__name__ = consume.__qualname__ = role
    app.agent(topic, name=role)(consume)

    async def revoked(*_: Any, **__: Any) -> None:
        await agent.on_revoked()

    async def assigned(_app: Any, assigned: Any, **_: Any) -> None:
        first = physical(settings, agent.topics[0])
        agent.on_assigned({tp.partition for tp in assigned if tp.topic == first})
        watch.assigned()

    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)  # type: ignore[arg-type]
    return app


def _end(error: BaseException, otherwise: str) -> NoReturn:
    if isinstance(error, Fatal):
        # A restart helps once the store's side has been put right.
        end_now(Exit.UNAVAILABLE, str(error))
    end_now(Exit.SEND_FAILED, otherwise)


async def _events(stream: Any) -> AsyncIterator[Any]:
    async for event in stream.noack().events():
        yield event
