"""What the tutor's router adds to a model's answer, beside litellm's router on the same job.

    python -m bench.tutor [--requests 400] [--streams 200] [--rounds 3] [--litellm PYTHON]
                           [--steady] [--json]

The provider is a process of its own on loopback that answers at once, in twenty pieces, so
that whatever passes between a request and its end is overhead. Measured: one request after
the other (time until the provider has the request, and until the end), and `--streams` at
a time (wall time of all, CPU of the client for each).

Ours runs as served: circuits, budgets and evidence on a real Redis (the embedded one).
litellm's router keeps its state in memory, with retries and cooldowns as they come.
`bare` is the openai client with nothing around it, what both stand on.

`--steady` instead sends requests at the rate that keeps `--streams` open, ten seconds each,
and measures only how late the provider has each.

`--litellm` names a Python that has litellm: it is never installed beside us. Releases
1.82.7 and 1.82.8 steal keys; 1.82.6 was measured. Rounds alternate; the median counts.
"""

# Each router is imported where it is measured: the others are not there, or in the way.
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

PIECES = 20
STEADY_PAUSE = 0.5
"""Seconds between two pieces of a steady load: ten seconds an answer."""
TURNS = [("system", "You are a tutor. " * 60), ("user", "Why is one half more than one third?")]
MESSAGES = [{"role": role, "content": text} for role, text in TURNS]
ASK = Callable[[], Awaitable[str]]
ROUTERS = ("bare", "ours", "litellm")
# One clock for both processes, on one machine.
now = time.monotonic


# -- the provider --------------------------------------------------------------------------


def _event(delta: dict[str, str], finish: str | None, usage: dict[str, int] | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    document |= {"choices": [] if usage else [choice], "usage": usage}
    payload = b"data: " + json.dumps(document).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(payload), payload)


async def _serve(pause: float) -> None:
    """Answers on a free port, with a pause after each piece.

    GET gives when each request had arrived, and forgets it.
    """
    usage = {"prompt_tokens": 300, "completion_tokens": PIECES, "total_tokens": 300 + PIECES}
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    pieces = [_event({"content": f"word{i} "}, None, None) for i in range(PIECES)]
    end = _event({}, "stop", None) + _event({}, None, usage) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    arrived: list[float] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                if request.startswith("get"):
                    body = json.dumps(arrived).encode()
                    arrived.clear()
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
                    )
                    continue
                length = int(request.split("content-length: ")[1].split("\r\n")[0])
                await reader.readexactly(length)
                arrived.append(now())
                writer.write(head)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                writer.write(end)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _arrivals(port: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    writer.close()
    return json.loads(body)


# -- the routers ---------------------------------------------------------------------------


async def _bare(url: str, _: AsyncExitStack) -> ASK:
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def ask() -> str:
        stream = await client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    return ask


async def _litellm(url: str, _: AsyncExitStack) -> ASK:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its list of prices, not from the net
    import litellm

    litellm.telemetry = False
    parameters = {"model": "openai/m", "api_base": url, "api_key": "none"}
    router = litellm.Router(
        model_list=[
            {"model_name": "tutor", "litellm_params": parameters, "model_info": {"id": name}}
            for name in ("one", "two")
        ],
        num_retries=1,
    )

    async def ask() -> str:
        stream = await router.acompletion(
            model="tutor", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    return ask


async def _ours(url: str, stack: AsyncExitStack) -> ASK:
    import structlog

    from app.local.embedded import RedisServer
    from app.redis.client import connect
    from app.settings import RedisSettings, Settings
    from app.tutor.config import TutorSettings
    from app.tutor.providers.router import build
    from app.tutor.providers.router_types import PromptMessage, PromptRole, Request
    from models.tutor.providers.evidence import Situation
    from schemas.vocabulary import Mood, Task

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    server = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    await server.start()
    stack.push_async_callback(server.stop)
    settings = Settings(
        redis=RedisSettings(url=server.endpoint),
        tutor=TutorSettings.model_validate(
            {
                "providers": [
                    {"name": name, "base_url": url, "model": "m", "max_streams": 200}
                    for name in ("one", "two")
                ],
                "budget": {"tokens_per_day": 10**9, "dollars_per_day": 1e6},
            }
        ),
    )
    redis = connect(settings.redis, "accounts", timeout=settings.tutor.timeouts.store)
    stack.push_async_callback(redis.aclose)
    router = build(settings, redis)
    stack.push_async_callback(router.close)
    turns = tuple(PromptMessage(PromptRole(role), text) for role, text in TURNS)

    class Ear:
        async def piece(self, attempt: int, index: int, text: str) -> None:
            pass

        async def superseded(self, attempt: int) -> None:
            pass

    async def ask() -> str:
        request = Request("e", "ann", Situation(Task.DIRECT, Mood.NEUTRAL), turns, 300)
        return (await router.answer(request, Ear())).text

    return ask


# -- measuring -----------------------------------------------------------------------------


async def _measure(name: str, port: int, requests: int, streams: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/v1"
    whole = "".join(f"word{i} " for i in range(PIECES))
    async with AsyncExitStack() as stack:
        ask = await {"bare": _bare, "ours": _ours, "litellm": _litellm}[name](url, stack)
        for _ in range(20):
            assert await ask() == whole
        await _arrivals(port)
        begun, ended = [], []
        for _ in range(requests):
            begun.append(now())
            await ask()
            ended.append(now())
        arrived = await _arrivals(port)
        assert len(arrived) == requests
        called = sorted(1e3 * (a - b) for a, b in zip(arrived, begun, strict=True))
        total = sorted(1e3 * (e - b) for e, b in zip(ended, begun, strict=True))
        await asyncio.gather(*(ask() for _ in range(streams)))  # opens the connections
        cpu, wall = time.process_time(), now()
        answers = await asyncio.gather(*(ask() for _ in range(streams)))
        wall, cpu = now() - wall, time.process_time() - cpu
        assert set(answers) == {whole}
    return {
        "called_ms_p50": statistics.median(called),
        "called_ms_p95": called[int(0.95 * len(called))],
        "total_ms_p50": statistics.median(total),
        "streams_wall_s": wall,
        "streams_cpu_ms_each": 1e3 * cpu / streams,
    }


async def _steady(name: str, port: int, requests: int, streams: int) -> dict[str, float]:
    """Requests at the rate that keeps `streams` open; how late does the provider have each?"""
    async with AsyncExitStack() as stack:
        router = {"bare": _bare, "ours": _ours, "litellm": _litellm}[name]
        ask = await router(f"http://127.0.0.1:{port}/v1", stack)
        await ask()
        begun, tasks, first = [], [], now()
        for place in range(streams + requests):
            await asyncio.sleep(max(0.0, first + place * PIECES * STEADY_PAUSE / streams - now()))
            if place == streams:
                await _arrivals(port)  # that many are open now; what counts begins here
            begun.append(now())
            tasks.append(asyncio.create_task(ask()))
        await asyncio.gather(*tasks)
        arrived = sorted(await _arrivals(port))[-requests:]
        # They arrive in the order in which they began, or nearly.
        late = sorted(1e3 * (a - b) for a, b in zip(arrived, begun[-requests:], strict=True))
    return {"called_ms_p50": statistics.median(late), "called_ms_p95": late[int(0.95 * requests)]}


def _rounds(arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    pythons = {"bare": sys.executable, "ours": sys.executable}
    if arguments.litellm:
        pythons["litellm"] = arguments.litellm
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    pause = STEADY_PAUSE if arguments.steady else 0.0
    serving = [sys.executable, __file__, "--serve", "--pause", str(pause)]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as provider:
        try:
            port = provider.stdout.readline().strip()
            for _ in range(arguments.rounds):
                for name, python in pythons.items():
                    command = [python, __file__, "--measure", name, "--port", port]
                    command += ["--requests", str(arguments.requests)]
                    command += ["--streams", str(arguments.streams)]
                    command += ["--steady"] if arguments.steady else []
                    root = str(Path(__file__).resolve().parents[1])
                    ran = subprocess.run(
                        command,
                        stdout=subprocess.PIPE,
                        text=True,
                        check=True,
                        env=os.environ | {"PYTHONPATH": root},
                    )
                    found[name].append(json.loads(ran.stdout.splitlines()[-1]))
        finally:
            provider.terminate()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litellm", metavar="PYTHON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--steady", action="store_true", help="a steady load instead")
    parser.add_argument("--pause", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=ROUTERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(_serve(arguments.pause))
        return
    if arguments.measure:
        measure = _steady if arguments.steady else _measure
        measured = asyncio.run(
            measure(arguments.measure, arguments.port, arguments.requests, arguments.streams)
        )
        print(json.dumps(measured))
        return
    found = _rounds(arguments)
    medians = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    if arguments.json:
        print(json.dumps({"medians": medians, "rounds": found}, indent=2))
        return
    for key in medians["ours"]:
        figures = "  ".join(f"{name} {medians[name][key]:8.2f}" for name in medians)
        print(f"{key:22} {figures}")


if __name__ == "__main__":
    main()
