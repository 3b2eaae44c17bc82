"""Does an update cost more when there are more learners? Tables of 1,000 to 1,000,000 records.

    python -m bench.table [--keys 1000,100000,1000000] [--rounds 5] [--batches 1000] [--json]

A worker's table keeps records as bytes in memory (app/kafka/table.py), so what could grow is
the time to find a record and to bring it into the processor's caches. Each update is of
a learner chosen at random: parse, decode, update, encode, store. The sizes take turns
within each round; quoted is the median of the rounds, and its ratio to the smallest table.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import time
from statistics import median

import orjson

from bench.learner import START, Spent, batch_bytes, encode, session
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Position, apply_interactions
from schemas.topics.interactions import InteractionsReceived

SIZE = 20
LATER = 3_600_000
"""Milliseconds between the stored sessions and the updates."""


def sample(rng: random.Random, settings: LearnerSettings, count: int) -> list[bytes]:
    """Records after half an hour, as different learners have them."""
    made = []
    for number in range(count):
        made.append(
            session(
                rng,
                f"learner-{number}",
                settings,
                Spent(),
                minutes=30,
                every=rng.uniform(2, 10),
                size=SIZE,
            )
        )
    return made


def table(size: int, kinds: list[bytes]) -> dict[bytes, bytes]:
    """Records of their own, not one shared: a copy for each key."""
    return {b"learner-%d" % key: bytes(bytearray(kinds[key % len(kinds)])) for key in range(size)}


def rate(
    records: dict[bytes, bytes],
    batches: list[bytes],
    offset: int,
    settings: LearnerSettings,
    rng: random.Random,
) -> float:
    """Interactions a second over these batches, each for a learner chosen at random."""
    keys = [b"learner-%d" % rng.randrange(len(records)) for _ in batches]
    begun = time.perf_counter()
    for number, (key, payload) in enumerate(zip(keys, batches, strict=True)):
        batch = InteractionsReceived.parse(payload)
        record = LearnerRecord.from_bytes(records[key])
        place = Position("interactions", 0, offset + number)
        step = apply_interactions(record, batch, place, settings)
        assert step.changed
        assert step.record is not None
        records[key] = step.record.to_bytes()
        encode(step.outputs)
    return SIZE * len(batches) / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", default="1000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    rng = random.Random(7)
    settings = LearnerSettings()
    settings.load()
    kinds = sample(rng, settings, 20)
    tables = {int(size): table(int(size), kinds) for size in args.keys.split(",")}
    gc.collect()
    gc.freeze()
    found: dict[int, list[float]] = {size: [] for size in tables}
    offset = 1_000_000
    for number in range(args.rounds):
        now = START + LATER * (number + 1)
        batches = [
            batch_bytes(rng, f"round-{number}-{each}", each, SIZE, now)
            for each in range(args.batches)
        ]
        for size, records in tables.items():
            found[size].append(rate(records, batches, offset, settings, rng))
        offset += args.batches
    rates = {size: median(each) for size, each in found.items()}
    smallest = rates[min(rates)]
    result = {
        "interactions_per_second": {str(size): round(each) for size, each in rates.items()},
        "of_the_smallest": {str(size): round(each / smallest, 3) for size, each in rates.items()},
        "record_bytes": round(sum(map(len, kinds)) / len(kinds)),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(orjson.dumps(result).decode() if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
