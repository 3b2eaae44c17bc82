"""Interactions through the learner worker, beside a plain aiokafka loop on the same input.

    python -m bench.throughput [--batches 3000] [--size 20] [--users 300] [--rounds 3] [--json]

Both read `interactions` from an embedded broker, apply the same update, and write
changelog, state and recommendations, acknowledged by the broker. The plain loop is what
one would write without Faust: getmany, update, send, await what was sent, commit; it
neither orders acknowledgements per record, nor fences, nor keeps dead letters. The
rounds alternate; quoted are medians and the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.runtime.topics import INTERACTIONS, LEARNER_CHANGELOG, RECOMMENDATIONS, USER_STATE
from app.kafka.admin import create_topics
from app.kafka.topics import physical
from app.local.embedded import Broker
from app.settings import Settings
from bench.learner import START, batch_bytes
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Position, apply_interactions
from schemas.topics.interactions import InteractionsReceived
from tests.topics import eventually
from tests.workers import WorkerProcess


def settings_for(broker: str, folder: Path) -> Settings:
    """A namespace of its own on the broker."""
    base = Settings()
    name = f"b{uuid.uuid4().hex[:8]}"
    return base.model_copy(
        update={
            "kafka": base.kafka.model_copy(
                update={"bootstrap": broker, "topic_prefix": f"{name}.", "partitions": 4}
            ),
            "worker": base.worker.model_copy(update={"group_prefix": name}),
            "embedded": base.embedded.model_copy(
                update={"enabled": False, "data_dir": folder / name}
            ),
        }
    )


async def fill(settings: Settings, batches: int, size: int, users: int) -> None:
    """Write the input, the same for every round."""
    rng = random.Random(7)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=5)
    await producer.start()
    for number in range(batches):
        user = f"user-{rng.randrange(users)}"
        value = batch_bytes(rng, user, number, size, START + number * 200)
        await producer.send(physical(settings, INTERACTIONS), key=user.encode(), value=value)
    await producer.stop()


async def states(settings: Settings) -> int:
    """How many states have been written."""
    name = physical(settings, USER_STATE)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)
    await consumer.start()
    try:
        tps = [TopicPartition(name, p) for p in range(settings.kafka.partitions)]
        return sum((await consumer.end_offsets(tps)).values())
    finally:
        await consumer.stop()


async def with_worker(settings: Settings, batches: int, folder: Path) -> float:
    """Seconds from the first state to the last."""
    async with WorkerProcess("learner", settings, folder / "worker.log"):
        started_with = await states(settings)
        began = time.perf_counter()
        await eventually(lambda: states(settings), lambda n: n >= batches, within=300)
        return (time.perf_counter() - began) * batches / max(1, batches - started_with)


async def with_plain_loop(settings: Settings, batches: int) -> float:
    """Seconds for the same work in a loop of aiokafka alone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.throughput", "--plain", settings.model_dump_json(
            include={"kafka"}
        ), str(batches), stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    out, _ = await process.communicate()
    return float(out)


async def plain_loop(settings: Settings, batches: int) -> float:
    """The peer, in a process of its own."""
    learner = LearnerSettings()
    learner.load()
    records: dict[bytes, bytes] = {}
    consumer = AIOKafkaConsumer(
        physical(settings, INTERACTIONS),
        bootstrap_servers=settings.kafka.bootstrap,
        group_id=f"plain-{uuid.uuid4().hex[:6]}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=512,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    await consumer.start()
    names = [physical(settings, t) for t in (LEARNER_CHANGELOG, USER_STATE, RECOMMENDATIONS)]
    done = 0
    began = 0.0
    while done < batches:
        found = await consumer.getmany(timeout_ms=1000)
        if not done:
            began = time.perf_counter()
        futures = []
        for tp, messages in found.items():
            for message in messages:
                batch = InteractionsReceived.parse(message.value)
                known = records.get(message.key)
                record = LearnerRecord.from_bytes(known) if known else None
                position = Position(INTERACTIONS, tp.partition, message.offset)
                step = apply_interactions(record, batch, position, learner)
                value = records[message.key] = step.record.to_bytes()
                bodies = (
                    value,
                    step.outputs.state.json_bytes(),
                    step.outputs.recommendations.json_bytes(),
                )
                for name, body in zip(names, bodies, strict=True):
                    futures.append(
                        await producer.send(
                            name, key=message.key, value=body, partition=tp.partition
                        )
                    )
                done += 1
        await asyncio.gather(*futures)
        await consumer.commit()
    seconds = time.perf_counter() - began
    await consumer.stop()
    await producer.stop()
    return seconds


async def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder)
        await broker.start()
        ours: list[float] = []
        plain: list[float] = []
        try:
            for _ in range(args.rounds):
                for measure, seconds in ((with_worker, ours), (with_plain_loop, plain)):
                    settings = settings_for(broker.endpoint, folder)
                    await create_topics(settings)
                    await fill(settings, args.batches, args.size, args.users)
                    extra = (folder,) if measure is with_worker else ()
                    seconds.append(await measure(settings, args.batches, *extra))
        finally:
            await broker.stop()
    total = args.batches * args.size
    worker, peer = (total / statistics.median(each) for each in (ours, plain))
    figures = {
        "interactions_per_second_worker": round(worker),
        "interactions_per_second_plain_loop": round(peer),
        "plain_over_worker": round(peer / worker, 2),
        "rounds": args.rounds,
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:36} {value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plain", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        chosen = Settings(**json.loads(given.plain[0]))
        print(asyncio.run(plain_loop(chosen, int(given.plain[1]))))
    else:
        asyncio.run(main(given))
