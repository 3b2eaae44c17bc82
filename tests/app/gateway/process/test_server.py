"""The gateway as a process of its own: how it ends, and what it weighs."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
from joserfc import jwt
from websockets.exceptions import ConnectionClosed

from agents.runtime.ports import PushKind
from agents.runtime.topics import CHAT
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.settings import Settings
from schemas.base import now_ms
from schemas.wire.server import Restarting
from tests.app.gateway.auth.keys import RSA, public, serving_keys
from tests.app.gateway.edge import PREFIX, Client, Edge, Pusher, records
from tests.proxy import Proxy

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[4]
RUN = (
    "from app.settings import Settings;from app.gateway.process.server import run; run(Settings())"
)
MB = 1_000_000


class Process:
    def __init__(self, edge: Edge, child: asyncio.subprocess.Process) -> None:
        self.edge = edge
        self.child = child

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self.child.pid).memory_info().rss)


@asynccontextmanager
async def process(settings: Settings, **changes: object) -> AsyncIterator[Process]:
    changes = {"status_port": free_port("127.0.0.1"), **changes}
    chosen = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changes)})
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, cwd=ROOT, env=child_environment(chosen)
    )
    edge = Edge(chosen, gateway=None)  # type: ignore[arg-type]
    try:
        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            async with asyncio.timeout(30):
                while child.returncode is None:
                    try:
                        await http.get("/healthz")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
        assert child.returncode is None
        yield Process(edge, child)
    finally:
        if child.returncode is None:
            child.terminate()
        async with asyncio.timeout(30):
            await child.wait()


async def test_at_the_end_what_is_under_way_is_answered_and_sockets_are_told(topics: Settings):
    async with process(topics) as running, running.edge.client() as client:
        await client.next()
        for number in range(50):
            await client.send(
                type="chat_message", id=str(number), timestamp=now_ms(), text=f"{number}"
            )
        first = await client.until("ack")
        running.child.send_signal(signal.SIGTERM)
        acked = {first["id"]}
        told: list[float] = []
        async for message in aiter_messages(client):
            if message["type"] == "ack":
                acked.add(message["id"])
            elif message["type"] == "restarting":
                told.append(Restarting.read(message).reconnect_after)
            else:
                assert (message["type"], message["code"]) == ("error", "unavailable")
        assert client.socket.close_code == 1012
        assert len(told) == 1
        async with asyncio.timeout(20):
            assert await running.child.wait() == 0
    stored = {orjson.loads(one.value)["text"] for one in await records(topics, CHAT, len(acked))}
    assert acked <= stored


async def test_clients_of_a_gateway_that_ends_come_back_at_different_times(topics: Settings):
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(process(topics, reconnect_spread=8.0))
        clients = [
            await stack.enter_async_context(running.edge.client(f"learner-{n}")) for n in range(12)
        ]
        for client in clients:
            await client.until("hello")
        running.child.send_signal(signal.SIGTERM)
        told = [(await client.until("restarting"))["reconnectAfter"] for client in clients]
        for client in clients:
            assert await client.closed() == 1012
    assert all(0 <= one <= 8 for one in told)
    assert len(set(told)) == len(told)
    assert max(told) - min(told) > 1, told


async def test_whatever_hangs_the_end_comes_in_time_and_keeps_every_ack(topics: Settings, pusher):
    """Silent, mid-handshake, token unchecked, half-open and slow clients, and one that is well."""
    async with serving_keys() as provider, AsyncExitStack() as stack:
        provider.keys = public(RSA)
        auth = {"jwks_url": provider.url, "jwks_timeout": 60.0}
        chosen = topics.model_copy(update={"auth": topics.auth.model_copy(update=auth)})
        running = await stack.enter_async_context(
            process(chosen, handshake_timeout=60.0, shutdown_timeout=3.0)
        )
        port = chosen.gateway.port
        proxy = await stack.enter_async_context(Proxy(port))
        token = {"token": signed_by_rsa("rsa")}
        well = await stack.enter_async_context(running.edge.client(**token))
        half_open = await stack.enter_async_context(
            running.edge.client(port=proxy.port, close_timeout=0.1, **token)
        )
        slow = await stack.enter_async_context(
            running.edge.client(max_queue=1, close_timeout=0.1, **token)
        )
        for client in (well, half_open, slow):
            await client.call(type="ping", id="1")
        slow.socket.transport.pause_reading()
        proxy.silent = True
        provider.hangs = True
        await asyncio.sleep(5.1)  # a fetch was made just now; then an unknown key begins another
        head = f"GET {PREFIX}/ws/ada HTTP/1.1\r\nHost: x\r\n"
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
        unknown = f"Authorization: Bearer {signed_by_rsa('another')}\r\n"
        long = f"Cookie: {'a' * 9_000}\r\n"
        body = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        checking = head + upgrade + unknown + "\r\n"
        rest = checking.replace("/ws/", "/profile/").replace(upgrade, "")
        hanging: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for start in ("", head, head + upgrade, head + long, checking, rest, body):
            for _ in range(3):
                streams = await asyncio.open_connection("127.0.0.1", port)
                hanging.append(streams)  # streams that nobody holds are closed
                streams[1].write(start.encode())
        await pusher.push_many("ada", 30, PushKind.INTERVENTION, 20_000)
        for number in range(20):
            await well.send(
                type="chat_message", id=str(number), timestamp=now_ms(), text=f"{number}"
            )
        first = await well.until("ack")
        running.child.send_signal(signal.SIGTERM)
        start = asyncio.get_running_loop().time()
        acked = {first["id"]}
        async for message in aiter_messages(well):
            acked |= {message["id"]} if message["type"] == "ack" else set()
        assert well.socket.close_code == 1012
        async with asyncio.timeout(20):
            assert await running.child.wait() == 0
        took = asyncio.get_running_loop().time() - start
        print(f"ended after {took:.1f} s")
        assert took < 3.5 * 3.0 + 2
        for client in (half_open, slow):
            client.socket.transport.abort()
        for _, writer in hanging:
            writer.transport.abort()
    stored = {orjson.loads(one.value)["text"] for one in await records(topics, CHAT, len(acked))}
    assert acked <= stored


def signed_by_rsa(kid: str) -> str:
    content = {
        "sub": "ada",
        "iss": "masterx",
        "aud": "masterx",
        "exp": time.time() + 600,
        "consent": True,
    }
    return jwt.encode({"alg": "RS256", "kid": kid}, content, RSA, algorithms=["RS256"])


async def aiter_messages(client: Client) -> AsyncIterator[dict]:
    try:
        while True:
            yield orjson.loads(await client.socket.recv())
    except ConnectionClosed:
        return


@pytest.mark.parametrize("kind", [PushKind.STATE, PushKind.INTERVENTION])
async def test_clients_that_read_nothing_do_not_fill_the_memory(
    topics: Settings, pusher: Pusher, kind: PushKind
):
    """States take each other's place; interventions lead to the bound and the close."""
    readers, size, rounds = 10, 20_000, 40
    async with process(topics) as running, AsyncExitStack() as stack:
        quick = await stack.enter_async_context(running.edge.client(max_queue=None))
        await quick.call(type="ping", id="1")
        stuck = []
        for _ in range(readers):
            client = await stack.enter_async_context(
                running.edge.client(max_queue=1, close_timeout=0.1)
            )
            await client.call(type="ping", id="1")
            client.socket.transport.pause_reading()
            stuck.append(client)
        peak = before = running.memory
        for _ in range(rounds):
            await pusher.push_many("ada", 10, kind, size)
            for _ in range(10):
                await quick.until(str(kind))
            peak = max(peak, running.memory)
        pushed = readers * rounds * 10 * size
        bound = readers * running.edge.settings.gateway.max_outbox_bytes
        print(f"{kind}: pushed {pushed / MB:.0f} MB, grew by {(peak - before) / MB:.1f} MB")
        assert pushed > 5 * bound
        # Outboxes, as much again for copies on their way, and the interpreter's slack
        assert peak - before < 2 * bound + 10 * MB
        closed = readers if kind is PushKind.INTERVENTION else 0
        assert await closes(running, 4408) == closed
        for client in stuck:
            client.socket.transport.abort()


async def closes(running: Process, code: int) -> int:
    port = running.edge.settings.gateway.status_port
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    label = f'masterx_gateway_closes_total{{code="{code}"}} '
    return sum(int(float(line[len(label) :])) for line in text.splitlines() if label in line)


async def test_a_thousand_sockets_connected_and_receiving(topics: Settings, pusher: Pusher):
    number, rounds = 1_000, 5
    async with process(topics) as running, AsyncExitStack() as stack:
        before = running.memory
        users = [f"user-{n}" for n in range(number)]
        clients: list[Client] = []
        for start in range(0, number, 50):
            clients += await asyncio.gather(
                *(
                    stack.enter_async_context(running.edge.client(user, compression=None))
                    for user in users[start : start + 50]
                )
            )
        for client in clients:
            assert (await client.next())["type"] == "hello"
        connected = running.memory
        # Each goes live at once, instead of waiting out the window for a resume.
        await asyncio.gather(*(client.call(type="ping", id="1") for client in clients))
        for _ in range(rounds):
            await pusher.push_each(users, PushKind.STATE, size=2_000)
        pushes = await asyncio.gather(*(client.take(rounds) for client in clients))
        assert all([one["offset"] for one in each] == [1, 2, 3, 4, 5] for each in pushes)
        receiving = running.memory
        print(
            f"{number} sockets: {(connected - before) / number / 1000:.1f} kB each connected, "
            f"{(receiving - before) / number / 1000:.1f} kB each after {rounds} pushes"
        )
        assert (receiving - before) / number < 150_000
