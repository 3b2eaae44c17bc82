"""Faust's Kafka transport with what it has no setting for.

1. Range assignment: partition p of every topic goes to the same worker, so that one
   worker owns all of a learner (round robin, Faust's choice without tables, does
   that only while the workers divide the partitions evenly).
2. The group lease (`app.worker.lease`) is renewed from the coordinator's own answers.
3. Fetches are paced, where the broker does not hold an empty one.
4. TLS and login come from `app.kafka.clients`, as for every other client.

What a broker does that Kafka does not comes in as `app.kafka.quirks.Quirks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.protocol.group import HeartbeatRequest

from app.kafka import clients
from app.kafka.quirks import (
    ILLEGAL_GENERATION,
    REBALANCE_IN_PROGRESS,
    FetchPace,
    Quirks,
    as_rebalance,
)
from app.kafka.settings import KafkaSettings
from app.process.exits import Exit, end_now
from app.worker.faust_seams import (
    SeamedTransport,
    Send,
    between_group_requests,
    between_requests,
    membership,
)
from app.worker.lease import Lease

_NONE: Final = 0
_UNKNOWN_MEMBER_ID: Final = 25
_FENCED_INSTANCE_ID: Final = 82
_MEMBER: Final = frozenset({_NONE, REBALANCE_IN_PROGRESS})
_NO_MEMBER: Final = frozenset({ILLEGAL_GENERATION, _UNKNOWN_MEMBER_ID, _FENCED_INSTANCE_ID})
# Answers to a JoinGroup that no repetition changes. aiokafka only logs them, and the
# worker would wait for partitions for ever.
_REFUSED: Final = {
    24: "kafka refuses the group's name (worker.group_prefix)",
    26: "kafka refuses worker.session_timeout (its group.min/max.session.timeout.ms bound it)",
    30: "kafka does not authorise this client for the group (worker.group_prefix)",
}
_GROUP_REQUESTS: Final = ("HeartbeatRequest", "SyncGroupRequest")


class LeasedTransport(SeamedTransport):
    """Give it to a Faust app: `app.transport = LeasedTransport(url, app=app, lease=lease, ...)`.

    Args:
        lease: renewed and revoked by what the coordinator answers.
        kafka: where, as whom, and for how long an idle broker may hold a fetch.
        quirks: of the broker.
        pace: of the fetches, where the broker does not hold empty ones.
    """

    def __init__(
        self,
        *args: Any,
        lease: Lease,
        kafka: KafkaSettings,
        quirks: Quirks,
        pace: FetchPace,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lease = lease
        self._kafka = kafka
        self._quirks = quirks
        self._pace = pace

    def connection(self) -> Mapping[str, Any]:
        """As every client of masterx connects."""
        return clients.connection(self._kafka)

    def build_consumer(self, conf: Any) -> aiokafka.AIOKafkaConsumer:
        """The consumer of this worker, from Faust's settings."""
        return clients.consumer(
            self._kafka,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=int(self._kafka.fetch_wait * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    def consumer_started(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        """Listen to what the coordinator answers."""
        if self._quirks.empty_fetches_return_at_once:
            between_requests(consumer, self._pace.step)

        async def step(request: Any, send: Send) -> Any:
            return await self._send_and_renew(consumer, request, send)

        between_group_requests(consumer, step)

    async def _send_and_renew(
        self, consumer: aiokafka.AIOKafkaConsumer, request: Any, send: Send
    ) -> Any:
        lease = self._lease
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
            # A refusal may only mean that the group divides itself anew. Whether we are a
            # member, a heartbeat tells.
            if self._quirks.generation_runs_ahead and lost == {ILLEGAL_GENERATION}:
                heartbeat = HeartbeatRequest(*membership(consumer))
                answer = await self._send_and_renew(consumer, heartbeat, send)
                if answer.error_code in _MEMBER:
                    return as_rebalance(response)
            # aiokafka would join again as somebody else, and keep what it holds.
            lease.revoke(f"{type(request).__name__} answered with error {min(lost)}")
        elif (refusal := _REFUSED.get(getattr(response, "error_code", _NONE))) is not None:
            end_now(Exit.CONFIG, f"{membership(consumer).group}: {refusal}")
        return response


def _commit_errors(response: Any) -> frozenset[int]:
    """Error codes of an OffsetCommit's partitions; none for other responses."""
    if not type(response).__name__.startswith("OffsetCommit"):
        return frozenset()
    return frozenset(code for _, partitions in response.topics for _, code in partitions)
