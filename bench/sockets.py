"""What a gateway's socket costs: resident memory, connected and after some pushes.

    python -m bench.sockets [--sockets 1000] [--pushes 5] [--rounds 3] [--json]

Starts a Redis and a gateway process for each round, opens a socket for each of so many
learners, and pushes states of 2 KB to all of them. Printed are the gateway's resident bytes a
socket beyond those before the first; medians of the rounds. There is no Kafka: nothing is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import orjson
import psutil
from websockets.asyncio.client import ClientConnection, connect

from agents.runtime.ports import NewPush, PushKind
from app.gateway.auth.tokens import issue
from app.local.embedded import RedisServer, free_port
from app.local.environment import child_environment
from app.redis.client import connect as connect_redis
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.base import now_ms

SIZE = 2_000
"""Bytes of a state, about."""
AT_ONCE = 50
READY_SECONDS = 60.0
SETTLE = 1.5
"""Seconds after which no client is waited for to resume."""


def push(user: str, number: int) -> NewPush:
    """A state as the push worker appends it."""
    state = {"userState": {"version": number, "padding": "x" * SIZE}}
    return NewPush(
        user_id=user,
        kind=PushKind.STATE,
        event_id=f"{user}-{number}",
        caused_by=(f"cause-{number}",),
        version=number,
        ingest_time=now_ms(),
        body=orjson.dumps({"type": PushKind.STATE, **state}),
        topic="bench",
        partition=0,
        offset=number,
    )


async def one_round(folder: Path, sockets: int, pushes: int) -> tuple[float, float]:
    """Bytes a socket: connected, and after the pushes."""
    server = RedisServer(folder)
    await server.start()
    base = Settings()
    settings = base.model_copy(
        update={
            "redis": base.redis.model_copy(update={"url": server.endpoint}),
            "kafka": base.kafka.model_copy(
                update={"bootstrap": f"127.0.0.1:{free_port('127.0.0.1')}"}
            ),
            "gateway": base.gateway.model_copy(
                update={"port": free_port("127.0.0.1"), "status_port": free_port("127.0.0.1")}
            ),
        }
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "gateway",
        env=child_environment(settings), stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await ready(settings, child)
        return await measured(settings, child.pid, sockets, pushes)
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()
        await server.stop()


async def ready(settings: Settings, child: asyncio.subprocess.Process) -> None:
    """Return once the gateway takes connections."""
    url = f"http://127.0.0.1:{settings.gateway.port}/healthz"
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(READY_SECONDS):
        while child.returncode is None:
            try:
                await http.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
    raise RuntimeError("the gateway ended")


async def measured(settings: Settings, pid: int, sockets: int, pushes: int) -> tuple[float, float]:
    """As `one_round`, of a gateway that runs."""

    def memory() -> int:
        return int(psutil.Process(pid).memory_info().rss)

    users = [f"learner-{n}" for n in range(sockets)]
    url = f"ws://127.0.0.1:{settings.gateway.port}/api/v1/ml-personalization/ws/"
    async with AsyncExitStack() as stack:

        async def come(user: str) -> ClientConnection:
            headers = {"Authorization": f"Bearer {issue(settings.auth, user)}"}
            client = await stack.enter_async_context(
                connect(url + user, additional_headers=headers, compression=None, max_queue=64)
            )
            await client.recv()  # hello
            return client

        await (await come("warm-up")).close()
        before = memory()
        clients: list[ClientConnection] = []
        for start in range(0, sockets, AT_ONCE):
            clients += await asyncio.gather(*map(come, users[start : start + AT_ONCE]))
        await asyncio.sleep(SETTLE)
        connected = memory()
        redis = connect_redis(settings.redis, "push")
        log = PushLog(redis, settings.redis)
        for number in range(1, pushes + 1):
            await log.append_many([push(user, number) for user in users])
            await asyncio.gather(*(client.recv() for client in clients))
        received = memory()
        await redis.aclose()
    return (connected - before) / sockets, (received - before) / sockets


async def main(args: argparse.Namespace) -> None:
    found: list[tuple[float, float]] = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            found.append(await one_round(Path(name), args.sockets, args.pushes))
    connected, received = (statistics.median(each) for each in zip(*found, strict=True))
    figures = {
        "sockets": args.sockets,
        "kilobytes_connected": round(connected / 1000, 1),
        "kilobytes_after_pushes": round(received / 1000, 1),
        "pushes": args.pushes,
        "rounds": args.rounds,
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:26} {value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--pushes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asyncio.run(main(parser.parse_args()))
