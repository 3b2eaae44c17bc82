"""A header name that is no UTF-8 stops no reader, and no record beside it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from agents.runtime.topics import CHAT, DEAD_LETTERS, EMOTIONS
from app.kafka.header_names import ForgivingRecords, forgive
from app.kafka.topics import physical
from app.settings import Settings
from tests.agents.records import message
from tests.crash.fleet import ENTRY
from tests.crash.verdict import lag
from tests.topics import eventually, read_all
from tests.workers import WorkerProcess


class Name(str):
    """A name whose bytes are those that a client in C may send."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfex"


def batch_of(*records: tuple[bytes, bytes, list]) -> bytearray:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, 1_700_000_000_000, key, value, headers)
    return builder.build()


def test_every_record_of_a_fetch_is_read_in_order() -> None:
    fine = batch_of((b"a", b"1", [("x", b"y")]), (b"a", b"2", []))
    odd = batch_of((b"a", b"3", []), (b"a", b"4", [(Name("xxx"), b"v"), ("y", None)]),
                   (b"a", b"5", []))  # fmt: skip
    records = ForgivingRecords(bytes(fine + odd + fine))
    found = []
    while records.has_next():
        found += [(record.value, list(record.headers)) for record in records.next_batch()]
    assert found == [
        (b"1", [("x", b"y")]),
        (b"2", []),
        (b"3", []),
        (b"4", [("\ufffd\ufffdx", b"v"), ("y", None)]),
        (b"5", []),
        (b"1", [("x", b"y")]),
        (b"2", []),
    ]


@pytest.mark.services
async def test_a_worker_reads_them_as_any_other(topics: Settings, tmp_path: Path) -> None:
    good = message(CHAT, "ada", 1)
    name = physical(topics, CHAT)
    partition = 2
    async with AIOKafkaProducer(bootstrap_servers=topics.kafka.bootstrap) as producer:
        batch = producer.create_batch()
        # aiokafka's own builder refuses such a name: the slow one takes it.
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
        for value in (good.json_bytes(), b"{"):
            batch.append(key=b"ada", value=value, timestamp=1, headers=[(Name("xxx"), b"v")])
        await (await producer.send_batch(batch, name, partition=partition))
        await producer.send_and_wait(
            name, key=b"ada", value=message(CHAT, "ada", 2).json_bytes(), partition=partition
        )
    async with WorkerProcess("emotion", topics, tmp_path / "log", module=ENTRY) as worker:
        await eventually(lambda: lag(topics, "emotion"), lambda left: left == 0, within=30)
        assert worker.exit_code is None
    read = [record.document["sourceOffset"] for record in await read_all(topics, EMOTIONS)]
    assert read == [0, 2]
    (letter,) = await read_all(topics, DEAD_LETTERS)
    assert letter.document["rawHeaders"] == [["\ufffd\ufffdx", "dg=="]]
    # And so does any other reader of ours.
    forgive()
    place = TopicPartition(name, partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([place])
        assert [(await consumer.getone()).offset for _ in range(3)] == [0, 1, 2]
