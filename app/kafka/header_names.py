"""Header names that are no UTF-8, at which aiokafka raises: read with U+FFFD in them.

Kafka's protocol calls a name a string, but neither a broker nor a client in C looks. aiokafka
raises at the first such record of a fetch, before those that stand in front of it, and again at
each fetch: one record would stop its reader for good. It has no setting for that: what this
hangs on is in `app.kafka.aiokafka_seams`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from aiokafka.record.memory_records import MemoryRecords

from app.kafka.aiokafka_seams import LenientBatch, read_fetches_with

_LENGTH: Final = struct.Struct(">i")
_LENGTH_AT: Final = 8
_BEFORE_LENGTH: Final = 12
_MAGIC_AT: Final = 16
"""Where a batch has its length and its version, which is the same in every version."""


class _Batch:
    """aiokafka's batch, compiled; from a name that it cannot read on, the slow one."""

    def __init__(self, fast: Any, raw: memoryview) -> None:
        self._fast = fast
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fast, name)

    def __next__(self) -> Any:
        return next(self._fast)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._fast:
                read += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(LenientBatch(self._raw), read, None)


class ForgivingRecords:
    """The record batches of one fetched partition, as aiokafka's `MemoryRecords` has them."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def next_batch(self) -> Any:
        """The next batch; None at the end."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        length = _LENGTH.unpack_from(self._data, self._at + _LENGTH_AT)[0]
        raw = self._data[self._at : self._at + _BEFORE_LENGTH + length]
        self._at += _BEFORE_LENGTH + length
        # Older versions have no headers.
        return batch if raw[_MAGIC_AT] < 2 else _Batch(batch, raw)


def forgive() -> None:
    """Let every consumer of this process read such records. May be called again."""
    read_fetches_with(ForgivingRecords)
