"""Faust's aiokafka transport, with the four things that it has no setting for.

1. Range assignment: partition p of every topic goes to the same worker, so that one
   worker owns all of a learner (round robin, Faust's choice without tables, does
   that only while the workers divide the partitions evenly).
2. The group lease (`app.worker.lease`) is renewed from the coordinator's own answers.
3. A fetch waits a shorter time on an idle broker; and a broker that does not hold an
   empty fetch at all (the embedded one) is not asked hundreds of times a second.
4. TLS and login come from `app.kafka.clients`, as for every other client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.protocol.group import HeartbeatRequest
from faust.transport.drivers import aiokafka as driver

from app.kafka import clients
from app.kafka.settings import KafkaSettings
from app.process.exits import Exit, end_now
from app.worker.lease import Lease

# Kafka's protocol error codes (org.apache.kafka.common.protocol.Errors).
_NONE = 0
_ILLEGAL_GENERATION = 22
_UNKNOWN_MEMBER_ID = 25
_REBALANCE_IN_PROGRESS = 27
_FENCED_INSTANCE_ID = 82

_MEMBER = frozenset({_NONE, _REBALANCE_IN_PROGRESS})
_NO_MEMBER = frozenset({_ILLEGAL_GENERATION, _UNKNOWN_MEMBER_ID, _FENCED_INSTANCE_ID})
# Answers to a JoinGroup that no repetition changes. aiokafka only logs them, and the
# worker would wait for partitions for ever.
_REFUSED = {
    24: "kafka refuses the group's name (worker.group_prefix)",
    26: "kafka refuses worker.session_timeout (its group.min/max.session.timeout.ms bound it)",
    30: "kafka does not authorise this client for the group (worker.group_prefix)",
}
_GROUP_REQUESTS = ("HeartbeatRequest", "SyncGroupRequest")


def _commit_errors(response: Any) -> frozenset[int]:
    """Error codes of an OffsetCommit's partitions; none for other responses."""
    if not type(response).__name__.startswith("OffsetCommit"):
        return frozenset()
    return frozenset(code for _, partitions in response.topics for _, code in partitions)


def _as_rebalance(response: Any) -> Any:
    """The same refusal of a commit, worded so that aiokafka stays who it is and joins again."""
    topics = [
        (topic, [(partition, _reworded(code)) for partition, code in partitions])
        for topic, partitions in response.topics
    ]
    fields = [
        topics if name == "topics" else getattr(response, name) for name in response.SCHEMA.names
    ]
    return type(response)(*fields)


def _reworded(code: int) -> int:
    return _REBALANCE_IN_PROGRESS if code == _ILLEGAL_GENERATION else code


class LeasedConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches and heartbeats; keeps the lease."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor
        return clients.consumer(
            cast(LeasedTransport, transport).kafka,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=int(cast(LeasedTransport, transport).kafka.fetch_wait * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    async def on_start(self) -> None:
        """Start consuming, and listen to what the coordinator answers."""
        await super().on_start()
        lease = cast(LeasedTransport, self.transport).lease
        settings = cast(LeasedTransport, self.transport).kafka
        consumer = self._consumer
        assert consumer is not None
        _pause_after_empty_fetches(consumer, settings)
        coordinator = consumer._coordinator
        send = coordinator._send_req

        async def still_a_member() -> bool:
            heartbeat = HeartbeatRequest(
                coordinator.group_id, coordinator.generation, coordinator.member_id
            )
            return (await send_and_renew(heartbeat)).error_code in _MEMBER

        async def send_and_renew(request: Any) -> Any:
            sent_at = lease.now()
            response = await send(request)
            # Heartbeat and SyncGroup are answered at once; JoinGroup is held back until
            # all members have joined, so its sending time says little.
            if type(request).__name__.startswith(_GROUP_REQUESTS):
                code = response.error_code
                if code in _MEMBER:
                    lease.renew(sent_at)
                elif code in _NO_MEMBER:
                    lease.revoke(f"{type(request).__name__} answered with error {code}")
            elif lost := _NO_MEMBER & _commit_errors(response):
                # A commit may also be refused because the group is just dividing itself
                # anew (the embedded broker counts its generation up as a member comes, not
                # as all have joined). Whether we are a member, a heartbeat tells.
                if lost == {_ILLEGAL_GENERATION} and await still_a_member():
                    return _as_rebalance(response)
                # aiokafka would join again as somebody else, and keep what it holds.
                lease.revoke(f"{type(request).__name__} answered with error {min(lost)}")
            elif (refusal := _REFUSED.get(getattr(response, "error_code", _NONE))) is not None:
                end_now(Exit.CONFIG, refusal)
            return response

        coordinator._send_req = send_and_renew

    def passed(self, tp: Any) -> int | None:
        """Offset behind all that was fetched of a partition; None while it is not known.

        aiokafka's own `position` would wait for it, in one of the thread's two places.
        """
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None or tp not in assignment.tps:
            return None
        state = assignment.state_value(tp)
        return int(state.position) if state.has_valid_position else None


class LeasedConsumer(driver.Consumer):
    """Faust's consumer on a `LeasedConsumerThread`."""

    def passed(self, tp: Any) -> int | None:
        """See `LeasedConsumerThread.passed`."""
        return cast(LeasedConsumerThread, self._thread).passed(tp)

    def _new_consumer_thread(self) -> LeasedConsumerThread:
        return LeasedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class SecuredProducer(driver.Producer):
    """Faust's own producer, which masterx starts with and sends nothing by."""

    def _settings_auth(self) -> Mapping[str, Any]:
        return clients.connection(cast(LeasedTransport, self.transport).kafka)


class LeasedTransport(driver.Transport):
    """Give it to a Faust app: `app.transport = LeasedTransport(url, app=app, lease=lease)`."""

    Consumer: ClassVar[type] = LeasedConsumer
    Producer: ClassVar[type] = SecuredProducer

    def __init__(self, *args: Any, lease: Lease, kafka: KafkaSettings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lease = lease
        self.kafka = kafka


def _pause_after_empty_fetches(
    consumer: aiokafka.AIOKafkaConsumer, settings: KafkaSettings
) -> None:
    """Wait a little after a fetch that came back empty although it was to be held.

    A broker that holds fetches, as Kafka does, is never paused for: its empty answers
    come after `fetch_wait`.
    """
    client = consumer._client
    send = client.send

    async def paced(node_id: int, request: Any, **options: Any) -> Any:
        sent_at = time.monotonic()
        response = await send(node_id, request, **options)
        if (
            type(request).__name__ == "FetchRequest"
            and time.monotonic() - sent_at < settings.fetch_wait / 2
            and _is_empty(response)
        ):
            await asyncio.sleep(settings.empty_fetch_pause)
        return response

    client.send = paced


def _is_empty(response: Any) -> bool:
    # The record set is the last field of a partition in every version of the response.
    return not any(partition[-1] for _, partitions in response.topics for partition in partitions)
