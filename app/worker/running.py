"""One role within a worker process: its place in the group, its producer, its agent.

Nothing here is shared with the other roles of the process but the event loop and the bell: a role
has a consumer group, a lease, a window, a producer and a Faust app of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn

import faust
import structlog
from aiokafka.errors import KafkaError

from agents.runtime.in_flight import InFlight
from agents.runtime.retrying import Fatal
from app.kafka.dead_letters import DeadLetterQueue
from app.kafka.producer import Producer
from app.kafka.quirks import Bell, FetchPace, FetchPause, Quirks
from app.kafka.topics import physical
from app.process.exits import Exit, end_now
from app.redis.heartbeats import client_id, static_name
from app.settings import Settings
from app.worker import faust_seams
from app.worker.health import WorkerHealth
from app.worker.lease import Lease
from app.worker.role import Agent, Parts, Role
from app.worker.transport import LeasedTransport

log = structlog.get_logger(__name__)


class RunningRole:
    """A role from its building to its end: `open`, `start`, then `stop`; each once.

    It ends the process, with the role's name in the reason, when it cannot go on safely.

    Args:
        role: which.
        settings: of the process.
        instance: the process's name in heartbeats.
        bell: of the process.
        beside: all roles of the process.
    """

    def __init__(
        self, role: Role, settings: Settings, instance: str, bell: Bell, beside: Sequence[Role]
    ) -> None:
        self.role = role
        self._settings = settings
        self._bell = bell
        self.lease = Lease(
            settings.worker.session_timeout,
            on_lost=lambda reason: self._end(Exit.FENCED, f"group lease lost: {reason}"),
        )
        self._window = InFlight(
            settings.worker.in_flight,
            fail=lambda error: self._end_by(error, f"an output was not delivered: {error!r}"),
        )
        self._pace = FetchPace(fetch_pause(role, settings, beside), settings.kafka.fetch_wait)
        if role.woken:
            bell.hang(self._pace, rung_for(role, beside))
        reads = None if role.reads is None else role.reads()
        self.health = WorkerHealth(role.name, instance, settings, self._window, reads)
        self._agent: Agent | None = None
        self._app: faust.App | None = None
        self._stack = AsyncExitStack()

    async def open(self, letter_bytes: int) -> None:
        """Connect, and build the agent; nothing is consumed yet.

        letter_bytes: the largest record that topic `dead-letters` takes.

        Raises what the role's `build` raises, and aiokafka.errors.KafkaError.
        """
        role, settings = self.role, self._settings
        await self._stack.enter_async_context(self.health)
        producer = Producer(
            settings,
            client_id=f"{settings.worker.group_prefix}-{role.name}",
            before_write=self.lease.check,
            bell=self._bell,
        )
        await self._stack.enter_async_context(producer)
        parts = Parts(
            role=role,
            settings=settings,
            outbox=producer,
            dead_letters=DeadLetterQueue(producer, role.name, settings, letter_bytes),
            window=self._window,
            health=self.health,
        )
        self._agent = await self._stack.enter_async_context(role.build(parts))

    async def start(self) -> None:
        """Join the group and consume; returns once the group has given it partitions."""
        assert self._agent is not None, "open it first"
        self._app = self._faust_app(self._agent)
        self.health.follow(self._app)
        try:
            await self._app.start()
        except KafkaError as error:
            # At once: to close what it opened could end other roles with another reason.
            bootstrap = self._settings.kafka.bootstrap
            self._end(Exit.UNAVAILABLE, f"Kafka at {bootstrap}: {error!r}")
        log.info("worker.started", topics=self.role.topics)

    async def crash(self) -> NoReturn:
        """Wait until Faust crashes, and end the process then."""
        assert self._app is not None, "start it first"
        self._end(Exit.SEND_FAILED, f"Faust crashed: {await faust_seams.crashed(self._app)!r}")

    async def stop(self) -> None:
        """Finish what is under way, leave the group."""
        if self._agent is not None and self._app is not None:
            await self._agent.on_revoked()
            self.lease.resign()
            await self._app.stop()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._stack.aclose()

    def _faust_app(self, agent: Agent) -> faust.App:
        name, settings = self.role.name, self._settings
        worker = settings.worker
        app = faust.App(
            f"{worker.group_prefix}-{name}",
            broker=f"kafka://{settings.kafka.bootstrap}".replace(",", ";"),
            broker_client_id=client_id(worker.group_prefix, name, self.health.instance),
            # Faust wants a folder for tables; ours are in Kafka.
            datadir=Path(tempfile.gettempdir()),
            consumer_group_instance_id=(
                static_name(name, worker.instance) if worker.instance else None
            ),
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
            app.conf.broker_consumer,
            app=app,
            lease=self.lease,
            kafka=settings.kafka,
            quirks=Quirks.of(settings.kafka),
            pace=self._pace,
        )
        topic = app.topic(
            *(physical(settings, topic) for topic in self.role.topics),
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
                    log.exception("agent.raised")
                self._end_by(error, f"the agent raised {error!r}")

        consume.__name__ = consume.__qualname__ = name
        app.agent(topic, name=name)(consume)

        async def revoked(*_: Any, **__: Any) -> None:
            await agent.on_revoked()

        async def assigned(_app: Any, assigned: Any, **_: Any) -> None:
            first = physical(settings, self.role.topics[0])
            agent.on_assigned({tp.partition for tp in assigned if tp.topic == first})
            self.health.assigned()

        app.on_partitions_revoked.connect(revoked, weak=False)
        app.on_partitions_assigned.connect(assigned, weak=False)  # type: ignore[arg-type]
        return app

    def _end(self, code: Exit, reason: str) -> NoReturn:
        end_now(code, f"{self.role.name}: {reason}")

    def _end_by(self, error: BaseException, otherwise: str) -> NoReturn:
        if isinstance(error, Fatal):
            # A restart helps once the store's side has been put right.
            self._end(Exit.UNAVAILABLE, str(error))
        self._end(Exit.SEND_FAILED, otherwise)


def rung_for(role: Role, beside: Sequence[Role]) -> tuple[str, ...]:
    """Topics of a role that others of its process write to."""
    sent = {topic for other in beside for topic in other.sends}
    return tuple(topic for topic in role.topics if topic in sent)


def fetch_pause(role: Role, settings: Settings, beside: Sequence[Role] = ()) -> FetchPause:
    """Of a role, on a broker that does not hold an empty fetch.

    Where a bell can ring for it, it need look for records of other processes no oftener than an
    idle one.
    """
    kafka = settings.kafka
    declared = kafka.empty_fetch_pause if role.fetch_pause is None else role.fetch_pause
    busy = settings.worker.fetch_pauses.get(role.name, declared)
    idle = max(busy, kafka.idle_fetch_pause)
    return FetchPause(idle if role.woken and rung_for(role, beside) else busy, idle)


async def _events(stream: Any) -> AsyncIterator[Any]:
    async for event in stream.noack().events():
        yield event
