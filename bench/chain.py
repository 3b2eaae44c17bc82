"""How long a chat message takes from the learner's socket to the new state on it.

    python -m bench.chain [--rates 20,100,200] [--seconds 30] [--learners 50] [--json]

Starts the whole system embedded on this machine (`masterx up`), opens a socket per
learner, and sends distinct messages at a fixed rate, each at its appointed time whatever
became of the others (open loop: a slow system does not slow the load down). Measured is
the time to the ack (the message is in Kafka) and to the `user_state_update` that names
the message in `causedBy`. The stages come from the workers' own histograms. `push_bytes` are
the median and the 95th percentile of a state's size on the socket. CPU is that of each process,
user and system, over the messages sent; what idle workers cost is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from websockets.asyncio.client import ClientConnection, connect

from bench.system import System, running

CORPUS = Path(__file__).parent.parent / "models" / "emotion" / "corpus"
WARM_UP = 5.0
PATIENCE = 20.0


@dataclass
class Timed:
    """Milliseconds of every message."""

    sent: dict[str, float] = field(default_factory=dict)
    acked: dict[str, float] = field(default_factory=dict)
    updated: dict[str, float] = field(default_factory=dict)
    event_of: dict[str, str] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    """Bytes of each state, as it came."""

    def on_message(self, raw: str | bytes) -> None:
        """Note what came back."""
        now = time.perf_counter()
        message = orjson.loads(raw)
        if message["type"] == "ack":
            self.acked[message["id"]] = now
            for event_id in message["eventIds"]:
                self.event_of[event_id] = message["id"]
        elif message["type"] == "user_state_update":
            self.sizes.append(len(raw.encode() if isinstance(raw, str) else raw))
            for event_id in message["causedBy"]:
                self.updated.setdefault(event_id, now)
        elif message["type"] == "error":
            raise RuntimeError(message)

    def since_sent(self, which: str) -> list[float]:
        """Milliseconds from sending, sorted."""
        if which == "ack":
            return sorted((at - self.sent[i]) * 1000 for i, at in self.acked.items())
        return sorted(
            (at - self.sent[self.event_of[e]]) * 1000
            for e, at in self.updated.items()
            if e in self.event_of
        )


def texts(rng: random.Random) -> list[str]:
    """Learners' sentences of our own corpus, in random order."""
    lines = [
        line.split("\t")[0]
        for path in sorted(CORPUS.glob("batch-*.tsv"))
        for line in path.read_text().splitlines()
    ]
    rng.shuffle(lines)
    return lines


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values; NaN for none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def at_rate(
    system: System, sockets: list[ClientConnection], rate: float, seconds: float, timed: Timed
) -> None:
    """Send at `rate` messages a second, and wait for the last answers."""
    rng = random.Random(rate)
    lines = texts(rng)
    count = int(rate * seconds)
    began = time.perf_counter()
    for number in range(count):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        message_id = f"{began:.3f}-{number}"
        text = f"{lines[number % len(lines)]} ({rng.randrange(10**6)})"  # never twice the same
        timed.sent[message_id] = time.perf_counter()
        await sockets[number % len(sockets)].send(
            orjson.dumps(
                {
                    "type": "chat_message",
                    "id": message_id,
                    "timestamp": int(time.time() * 1000),
                    "text": text,
                }
            ).decode()
        )
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline and len(timed.since_sent("update")) < count:
        await asyncio.sleep(0.1)


STAGES = (("emotion", None), ("learner", "emotion"), ("push", "learner"))


def stages(before: dict[str, float], after: dict[str, float], total: float) -> dict[str, float]:
    """Mean milliseconds spent in each stage; `deliver` is what is left of the total mean."""

    def mean(stage: str) -> float:
        name = 'masterx_since_ingest_seconds_{}{{stage="' + stage + '"}}'
        spent, count = (
            after.get(name.format(part), 0.0) - before.get(name.format(part), 0.0)
            for part in ("sum", "count")
        )
        return 1000 * spent / count if count else float("nan")

    found = {
        stage: mean(stage) - (mean(previous) if previous else 0.0) for stage, previous in STAGES
    }
    found["deliver"] = total - mean("push")
    return found


async def main(args: argparse.Namespace) -> None:
    figures = []
    async with running(gateway={"messages_per_second": 1000.0, "message_burst": 10_000}) as system:
        timed = Timed()
        sockets: list[ClientConnection] = []
        readers: list[asyncio.Task[None]] = []

        async def read(socket: ClientConnection) -> None:
            async for raw in socket:
                current.on_message(raw)

        current = timed
        for number in range(args.learners):
            user = f"learner-{number}"
            headers = {"Authorization": f"Bearer {system.token(user)}"}
            socket = await connect(system.socket(user), additional_headers=headers)
            sockets.append(socket)
            readers.append(asyncio.create_task(read(socket)))
        await at_rate(system, sockets, 20, WARM_UP, current)
        for rate in (float(each) for each in args.rates.split(",")):
            current = Timed()
            before, spent = await system.metrics(), system.cpu_seconds()
            await at_rate(system, sockets, rate, args.seconds, current)
            after, cpu = await system.metrics(), system.cpu_seconds()
            acks, updates = current.since_sent("ack"), current.since_sent("update")
            mean = sum(updates) / max(1, len(updates))
            figures.append(
                {
                    "messages_per_second": rate,
                    "sent": len(current.sent),
                    "updated": len(updates),
                    "ack_ms": [round(percentile(acks, p), 1) for p in (0.5, 0.95, 0.99)],
                    "update_ms": [round(percentile(updates, p), 1) for p in (0.5, 0.95, 0.99)],
                    "push_bytes": [percentile(sorted(current.sizes), p) for p in (0.5, 0.95)],
                    "stage_ms": {k: round(v, 1) for k, v in stages(before, after, mean).items()},
                    "cpu_ms_a_message": {
                        name: round(
                            1000 * (cpu[name] - spent.get(name, 0.0)) / len(current.sent), 2
                        )
                        for name in cpu
                    },
                }
            )
            if not args.json:
                print(figures[-1], flush=True)
        for reader in readers:
            reader.cancel()
        for socket in sockets:
            await socket.close()
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", default="20,100,200")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--learners", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asyncio.run(main(parser.parse_args()))
