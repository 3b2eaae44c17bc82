"""Every private hook into Faust, mode and aiokafka's consumer; nobody else in app/ has one.

faust-streaming and aiokafka are pinned. `tests/app/worker/test_faust_seams.py` looks at each
seam by its name: should a new version move one, the test that fails says which, and the
paragraph here says what would break. What the producer hangs on is in
`app.kafka.aiokafka_seams`, because app/kafka knows nothing of a worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any, ClassVar, NamedTuple, cast

import aiokafka
import faust
import uvloop
from faust.transport.drivers import aiokafka as driver
from mode.threads import WorkerThread

Send = Callable[[Any], Awaitable[Any]]
"""Sends one request of Kafka's protocol and returns the response."""
Step = Callable[[Any, Send], Awaitable[Any]]
"""Given a request and how to send it, returns the response that aiokafka is to see."""


class Membership(NamedTuple):
    """As what a consumer belongs to its group."""

    group: str
    generation: int
    member: str


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Lets the transport build the aiokafka consumer, and tells it once that one has started.

    Overrides `_create_worker_consumer` and reads `_consumer`. Faust has settings for most of
    the consumer's arguments, but none for the assignor or `fetch_max_wait_ms`, and no hook
    after the start. Without it, Faust assigns partitions round robin, so that the topics of
    one learner may go to two workers, and no lease is renewed.
    """

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        return cast(SeamedTransport, transport).build_consumer(self.app.conf)

    async def on_start(self) -> None:
        """Start the consumer, in this thread's event loop, and tell the transport."""
        await super().on_start()
        cast(SeamedTransport, self.transport).consumer_started(self._consumer)

    def passed(self, tp: Any) -> int | None:
        """See `passed_offset`."""
        return None if self._consumer is None else passed_offset(self._consumer, tp)


class LoopThread(WorkerThread):
    """A thread of mode's that closes the event loop that it was given, and knows the role.

    Reads `thread_loop` of its service, which mode's public arguments set, and closes only where
    it made the loop itself. Runs in the context of whoever made it, where the role's name is
    bound for logs. Without it, a loop of uvloop's stays open, and says so at the end, and log lines
    of the consumer name no role.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._context = copy_context()

    def run(self) -> None:
        """Run the service, then close its loop."""
        self._context.run(super().run)
        self.service.thread_loop.close()


class Consumer(driver.Consumer):
    """Faust's consumer on a `ConsumerThread`, whose event loop is uvloop's.

    Overrides `_new_consumer_thread` and reads `_thread`: Faust names the class of the thread
    in that method only. Without it, the thread is Faust's own, and `ConsumerThread` is dead
    code.
    """

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(
            self,
            loop=self.loop,
            beacon=self.beacon,
            thread_loop=uvloop.new_event_loop(),
            Worker=LoopThread,
        )

    def passed(self, tp: Any) -> int | None:
        """See `passed_offset`."""
        return cast(ConsumerThread, self._thread).passed(tp)


class Producer(driver.Producer):
    """Faust's own producer, which Faust starts and masterx sends nothing by.

    Overrides `_settings_auth`. Faust knows broker credentials of its own kind, which cannot say
    all that masterx's settings can. Without it, a worker cannot start on a broker that asks for
    TLS or a login.
    """

    def _settings_auth(self) -> Mapping[str, Any]:
        return cast(SeamedTransport, self.transport).connection()


class SeamedTransport(driver.Transport):
    """Faust's transport with three methods to fill in.

    Sets `Consumer` and `Producer`, which Faust's transport reads as its public attributes; that
    is all. Faust makes its transports from a URL's scheme and has no setting for a class of
    one's own. Without it, the classes here are not used.
    """

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = Producer

    def connection(self) -> Mapping[str, Any]:
        """Arguments of aiokafka's clients that say where the brokers are and how to log in."""
        raise NotImplementedError

    def build_consumer(self, conf: Any) -> aiokafka.AIOKafkaConsumer:
        """The consumer of this worker. Called in the consumer's thread."""
        raise NotImplementedError

    def consumer_started(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        """The consumer talks to its group from here on. Called in the consumer's thread."""
        raise NotImplementedError


def between_group_requests(consumer: aiokafka.AIOKafkaConsumer, step: Step) -> None:
    """Let `step` send every request to the group's coordinator, and see the response.

    Replaces `_send_req` of the consumer's `_coordinator`. aiokafka tells nobody that a
    heartbeat was accepted, and hides from its user that the group has put him out. Without
    it, no lease is renewed: a worker sends nothing and ends with 71.
    """
    coordinator = consumer._coordinator
    send: Send = coordinator._send_req

    async def stepped(request: Any) -> Any:
        return await step(request, send)

    coordinator._send_req = stepped


def between_requests(consumer: aiokafka.AIOKafkaConsumer, step: Step) -> None:
    """Let `step` send every request of the consumer, to whichever broker.

    Replaces `send` of the consumer's `_client`. aiokafka asks again at once after an empty
    fetch, because Kafka holds one back by itself, and has no setting for a pause. Without it,
    a worker asks an embedded broker some 300 times a second.
    """
    client = consumer._client
    send = client.send

    async def stepped(node_id: int, request: Any, **options: Any) -> Any:
        async def to_its_node(one: Any) -> Any:
            return await send(node_id, one, **options)

        return await step(request, to_its_node)

    client.send = stepped


def membership(consumer: aiokafka.AIOKafkaConsumer) -> Membership:
    """As what the consumer belongs to its group now.

    Reads `group_id`, `generation` and `member_id` of the consumer's `_coordinator`, which
    aiokafka does not show. Without it, a worker cannot ask the coordinator whether it is a
    member still, and takes every refused commit for the loss of its lease.
    """
    coordinator = consumer._coordinator
    return Membership(coordinator.group_id, coordinator.generation, coordinator.member_id)


def passed_offset(consumer: aiokafka.AIOKafkaConsumer, tp: Any) -> int | None:
    """Offset behind all that was fetched of a partition; None while it is not known.

    Reads the consumer's `_subscription`. aiokafka's own `position` waits until it is known,
    in one of the two places that Faust's thread has for calls from outside. Without it, a
    partition whose last offset is no record (the end of a transaction) has lag for ever, and
    the worker ends with 72.
    """
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None or tp not in assignment.tps:
        return None
    state = assignment.state_value(tp)
    return int(state.position) if state.has_valid_position else None


async def crashed(app: faust.App) -> BaseException | None:
    """Wait until a service of this app has crashed; return its reason.

    Waits for `_crashed` of mode's service. Its public `wait_until_stopped` returns when the
    service was stopped, too, and `crashed` is a property that one would have to poll. Without
    it, a worker whose Faust has crashed stays until its lag looks like a stall.
    """
    await app._crashed.wait()
    reason: BaseException | None = app.crash_reason
    return reason
