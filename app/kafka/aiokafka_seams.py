"""Every private hook into aiokafka's producer and its reading of records.

A module of app/kafka and not of app/worker, because the gateway and the tools read and write
too, and app/kafka may not import a worker (those of a worker's consumer are in
`app.worker.faust_seams`). aiokafka is pinned; `tests/app/worker/test_faust_seams.py` fails by
the name of the seam that a new version moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiokafka.consumer.fetcher
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchPy


def before_produce_requests(producer: AIOKafkaProducer, check: Callable[[], None]) -> None:
    """Call `check` right before each produce request is written; what it raises stops that one.

    Replaces `_send_produce_req` of the producer's `_sender`. aiokafka's interceptors see
    records as they are buffered, seconds before they may be written. Without it, a worker
    that lost its partitions still writes what it had buffered.
    """
    sender = producer._sender
    send_request = sender._send_produce_req

    async def checked(node_id: int, batches: Any) -> None:
        # Connect first: between the check and the write there must be no wait.
        await sender.client.ready(node_id)
        check()
        await send_request(node_id, batches)

    sender._send_produce_req = checked


def read_fetches_with(records: Callable[[bytes], Any]) -> None:
    """Let every consumer of this process read fetched bytes with `records`.

    Replaces the name `MemoryRecords` in aiokafka's fetcher, which has no setting for it.
    Without it, one header name that is no UTF-8 stops its reader for good.
    """
    aiokafka.consumer.fetcher.MemoryRecords = records


class _Bytes(bytearray):
    """Of which any part is text."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch read by aiokafka's Python code, in which any bytes are text.

    Extends `_DefaultRecordBatchPy`, the batch of aiokafka without its compiled one, and
    replaces its `_buffer` behind `_maybe_uncompress`. The compiled batch decodes header names
    in C, where nothing can be replaced. Without it, the records of such a fetch are lost.
    """

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Bytes(self._buffer)  # type: ignore[has-type]
