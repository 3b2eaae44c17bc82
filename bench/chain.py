"""How long a chat message takes from the learner's socket to the new state on it.

    python -m bench.chain [--rates 20,100,200] [--seconds 30] [--learners 50] [--idle 10]
        [--shared | --apart] [--json]

Starts the whole system embedded on this machine (`masterx up`), opens a socket per
learner, and sends distinct messages at a fixed rate, each at its appointed time whatever
became of the others (open loop: a slow system does not slow the load down). Measured is
the time to the ack (the message is in Kafka) and to the `user_state_update` that names
the message in `causedBy`. The stages come from the workers' own histograms. `push_bytes` are
the median and the 95th percentile of a state's size on the socket. CPU is that of each process,
user and system, over the messages sent; what idle workers cost is in it. `busy_cores` is the same
over time. `memory_mb` is resident memory and the proportional share of it, of all processes.

`step_ns` is one step of a plain Python loop, before and after the load: what the machine gave in
these seconds. On a shared machine it moves by a factor of two, so compare runs whose steps agree.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter as now

import orjson
from websockets.asyncio.client import ClientConnection, connect

from bench.system import running

CORPUS = Path(__file__).parent.parent / "models" / "emotion" / "corpus"
WARM_UP = 5.0
SETTLING = 2.0
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
        at = now()
        message = orjson.loads(raw)
        if message["type"] == "ack":
            self.acked[message["id"]] = at
            for event_id in message["eventIds"]:
                self.event_of[event_id] = message["id"]
        elif message["type"] == "user_state_update":
            self.sizes.append(len(raw.encode() if isinstance(raw, str) else raw))
            for event_id in message["causedBy"]:
                self.updated.setdefault(event_id, at)
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


def texts() -> Iterator[str]:
    """Learners' sentences of our own corpus in random order, none twice: no cache helps.

    Once all have been sent, a number behind each makes it another text.
    """
    lines = [
        line.split("\t")[0]
        for path in sorted(CORPUS.glob("batch-*.tsv"))
        for line in path.read_text().splitlines()
    ]
    random.Random(1).shuffle(lines)
    yield from lines
    for number in itertools.count():
        yield f"{lines[number % len(lines)]} ({number})"


def step_ns(steps: int = 2_000_000) -> float:
    """CPU time of one step of a plain loop, in nanoseconds."""
    began, total = time.process_time(), 0
    for step in range(steps):
        total += step
    return 1e9 * (time.process_time() - began) / steps


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values; NaN for none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def at_rate(
    sockets: list[ClientConnection],
    rate: float,
    seconds: float,
    lines: Iterator[str],
    timed: Timed,
) -> None:
    """Send at `rate` messages a second, and wait for the last answers."""
    count = int(rate * seconds)
    began = now()
    for number in range(count):
        due = began + number / rate
        if (wait := due - now()) > 0:
            await asyncio.sleep(wait)
        message_id = f"{began:.3f}-{number}"
        timed.sent[message_id] = now()
        await sockets[number % len(sockets)].send(
            orjson.dumps(
                {
                    "type": "chat_message",
                    "id": message_id,
                    "timestamp": int(time.time() * 1000),
                    "text": next(lines),
                }
            ).decode()
        )
    deadline = now() + PATIENCE
    while now() < deadline and len(timed.since_sent("update")) < count:
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
    figures: list[dict[str, object]] = []

    def tell(figure: dict[str, object]) -> None:
        figures.append(figure)
        if not args.json:
            print(figure, flush=True)

    updates: dict[str, dict[str, object]] = {
        "gateway": {"messages_per_second": 1000.0, "message_burst": 10_000}
    }
    if args.shared is not None:
        updates["embedded"] = {"share_processes": args.shared}
    lines = texts()
    async with running(**updates) as system:
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
        await at_rate(sockets, 20, WARM_UP, lines, current)
        if args.idle:
            await asyncio.sleep(SETTLING)
            spent = sum(system.cpu_seconds().values())
            await asyncio.sleep(args.idle)
            busy = (sum(system.cpu_seconds().values()) - spent) / args.idle
            tell({"idle_busy_cores": round(busy, 3), "memory_mb": system.memory_mb()})
        for rate in (float(each) for each in args.rates.split(",")):
            current = Timed()
            step = step_ns()
            before, spent_by, began = await system.metrics(), system.cpu_seconds(), now()
            await at_rate(sockets, rate, args.seconds, lines, current)
            after, cpu, took = await system.metrics(), system.cpu_seconds(), now() - began
            acks, states = current.since_sent("ack"), current.since_sent("update")
            mean = sum(states) / max(1, len(states))
            spent_by = {name: cpu[name] - spent_by.get(name, 0.0) for name in cpu}
            tell(
                {
                    "messages_per_second": rate,
                    "sent": len(current.sent),
                    "updated": len(states),
                    "ack_ms": [round(percentile(acks, p), 1) for p in (0.5, 0.95, 0.99)],
                    "update_ms": [round(percentile(states, p), 1) for p in (0.5, 0.95, 0.99)],
                    "push_bytes": [percentile(sorted(current.sizes), p) for p in (0.5, 0.95)],
                    "stage_ms": {k: round(v, 1) for k, v in stages(before, after, mean).items()},
                    "cpu_ms_a_message": {
                        name: round(1000 * seconds / len(current.sent), 2)
                        for name, seconds in {**spent_by, "all": sum(spent_by.values())}.items()
                    },
                    "busy_cores": round(sum(spent_by.values()) / took, 2),
                    "memory_mb": system.memory_mb(),
                    "step_ns": [round(step), round(step_ns())],
                }
            )
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
    parser.add_argument("--idle", type=float, default=10, help="seconds without a message")
    layout = parser.add_mutually_exclusive_group()
    layout.add_argument("--shared", action="store_true", default=None, help="processes are")
    layout.add_argument("--apart", dest="shared", action="store_false", help="a role each")
    parser.add_argument("--json", action="store_true")
    asyncio.run(main(parser.parse_args()))
