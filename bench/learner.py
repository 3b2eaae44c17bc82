"""What one update of a learner costs: bytes in, update, bytes out, on one core.

    python bench/learner.py [--learners 60] [--minutes 30] [--batch 20] [--json]

Learners chat once a minute, with embeddings that the nets read, and send interactions in
batches of 20 or fewer. Timed is what the learner worker does for a batch, without Kafka:
parse the message, decode the record, update, encode record and outputs. Record sizes are
those after each update.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from dataclasses import dataclass, field

import orjson

from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Outputs, Position, apply_emotion, apply_interactions
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import InteractionsReceived

START = 1_790_000_000_000
SKILLS = 12
"""Different ones that a learner meets; each may take a place of its own in the record."""
AFFECT = 64
"""Numbers of an embedding."""


@dataclass
class Spent:
    """Seconds by stage, over all batches."""

    parse: float = 0.0
    decode: float = 0.0
    update: float = 0.0
    encode: float = 0.0
    outputs: float = 0.0
    interactions: int = 0
    sizes: list[int] = field(default_factory=list)

    @property
    def total(self) -> float:
        return self.parse + self.decode + self.update + self.encode + self.outputs


def batch_bytes(rng: random.Random, user: str, number: int, size: int, now: int) -> bytes:
    interactions = [
        {
            "eventId": f"{rng.getrandbits(128):032x}",
            "timestamp": now - 1000 * (size - i),
            "interactionType": "answer" if i % 5 == 0 else "click",
            "elementId": f"element-{i}",
            "timingData": {"responseTime": rng.uniform(1, 30), "dwellTime": rng.uniform(1, 60)},
            "viewportData": {"scrollDistance": rng.uniform(0, 900), "deviceType": "desktop"},
            "contextData": {"tabActive": rng.random() < 0.9, "sessionDuration": now - START},
            **(
                {
                    "taskData": {
                        "skill": f"skill-{rng.randrange(SKILLS)}",
                        "correct": rng.random() < 0.6,
                        "hintCount": 1,
                        "hintTotal": 3,
                        "attemptCount": 2,
                    }
                }
                if i % 5 == 0
                else {}
            ),
        }
        for i in range(size)
    ]
    return orjson.dumps(
        {
            "eventId": f"{user}-{number}",
            "userId": user,
            "eventTime": now,
            "ingestTime": now,
            "interactions": interactions,
        }
    )


def reading(rng: random.Random, user: str, number: int, now: int, model: str) -> EmotionRead:
    """As the emotion worker sends it, with an embedding that the nets read."""
    weights = [rng.expovariate(1) for _ in Emotion]
    total = sum(weights)
    return EmotionRead(
        event_id=f"{user}-reading-{number}",
        user_id=user,
        event_time=now,
        ingest_time=now,
        caused_by=(f"{user}-chat-{number}",),
        source_topic="chat-messages",
        source_partition=0,
        source_offset=number,
        model_version=model,
        affect=tuple(round(rng.gauss(0, 1), 4) for _ in range(AFFECT)),
        probabilities={e: w / total for e, w in zip(Emotion, weights, strict=True)},
        pad=PAD(valence=rng.random(), arousal=rng.random(), dominance=rng.random()),
    )


def encode(outputs: Outputs | None) -> None:
    assert outputs is not None
    for message in (outputs.state, outputs.recommendations, *outputs.interventions):
        message.json_bytes()


def session(
    rng: random.Random,
    user: str,
    settings: LearnerSettings,
    spent: Spent,
    *,
    minutes: int,
    every: float,
    size: int,
) -> bytes:
    """One learner's session: a batch of `size` every `size * every` seconds; the last record."""
    net = settings.trained_nets.intervention
    model = "" if net is None else net.card.emotion_version
    stored: bytes | None = None
    now, end, number, chats = START, START + minutes * 60_000, 0, 0
    while now < end:
        now += round(every * size * 1000)
        payload = batch_bytes(rng, user, number, size, now)
        t0 = time.process_time()
        batch = InteractionsReceived.parse(payload)
        t1 = time.process_time()
        record = None if stored is None else LearnerRecord.from_bytes(stored)
        t2 = time.process_time()
        step = apply_interactions(record, batch, Position("interactions", 0, number), settings)
        t3 = time.process_time()
        assert step.record is not None
        stored = step.record.to_bytes()
        t4 = time.process_time()
        encode(step.outputs)
        t5 = time.process_time()
        spent.parse += t1 - t0
        spent.decode += t2 - t1
        spent.update += t3 - t2
        spent.encode += t4 - t3
        spent.outputs += t5 - t4
        spent.interactions += size
        spent.sizes.append(len(stored))
        number += 1
        while now - START >= chats * 60_000:
            said = reading(rng, user, chats, START + chats * 60_000, model)
            step = apply_emotion(LearnerRecord.from_bytes(stored), said, settings)
            assert step.record is not None
            stored = step.record.to_bytes()
            chats += 1
    assert stored is not None
    return stored


def quantile(values: list[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=60)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    spent = Spent()
    settings = LearnerSettings()
    settings.load()
    # As a worker does once it has started.
    gc.collect()
    gc.freeze()
    for learner in range(args.learners):
        # From one interaction in two seconds to one in ten, as pages differ.
        every = rng.uniform(2, 10)
        session(
            rng,
            f"learner-{learner}",
            settings,
            spent,
            minutes=args.minutes,
            every=every,
            size=args.batch,
        )
    batches = len(spent.sizes)
    result = {
        "interactions": spent.interactions,
        "batch": args.batch,
        "interactions_per_second": round(spent.interactions / spent.total),
        "without_parse_and_outputs": round(
            spent.interactions / (spent.decode + spent.update + spent.encode)
        ),
        "microseconds_per_batch": {
            stage: round(getattr(spent, stage) / batches * 1e6, 1)
            for stage in ("parse", "decode", "update", "encode", "outputs")
        },
        "record_bytes": {
            "p50": quantile(spent.sizes, 0.5),
            "p95": quantile(spent.sizes, 0.95),
            "max": max(spent.sizes),
        },
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
