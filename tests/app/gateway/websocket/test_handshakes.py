"""Before a client is in: what it may send, how long it may take, and how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from structlog.testing import capture_logs

from app.gateway.auth.tokens import MAX_TOKEN_LENGTH
from app.gateway.websocket.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from app.settings import Settings
from tests.app.gateway.auth.keys import KEYS, RSA, KeyServer, public, serving_keys
from tests.app.gateway.edge import PREFIX, Edge, serving

pytestmark = pytest.mark.services

AT_ONCE = 8.0
"""Seconds; a loaded machine is slow, and a hang has no end."""


class Raw:
    """A TCP connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def status(self, within: float = AT_ONCE) -> int:
        """Of the HTTP answer."""
        async with asyncio.timeout(within):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    async def ended(self, within: float) -> bytes:
        """What came until the gateway closed it."""
        async with asyncio.timeout(within):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def raw(edge: Edge, data: bytes = b"") -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.settings.gateway.port)
    try:
        writer.write(data)
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def upgrade(edge: Edge, *more: str, path: str = "", token: str | None = None) -> bytes:
    lines = [
        f"GET {path or PREFIX + '/ws/ada'} HTTP/1.1",
        f"Host: 127.0.0.1:{edge.settings.gateway.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {token or edge.token()}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def long_token(edge: Edge, length: int) -> str:
    """A valid token of nearly this many characters: an identity provider adds groups to it."""
    auth = edge.settings.auth
    claims: dict[str, Any] = {
        "sub": "ada",
        "iss": auth.issuer,
        "aud": auth.audience,
        "exp": time.time() + 60,
        "consent": True,
    }
    key = OctKey.import_key(auth.secret.get_secret_value())
    empty = len(jwt.encode({"alg": "HS256"}, {**claims, "groups": ""}, key))
    groups = "g" * ((length - empty) * 3 // 4 - 3)
    token = jwt.encode({"alg": "HS256"}, {**claims, "groups": groups}, key)
    assert length - 8 <= len(token) <= length
    return token


async def nothing_left(edge: Edge) -> None:
    """Wait until the gateway holds no connection that has not come in."""
    async with asyncio.timeout(10):
        while len(edge.gateway.handshakes):
            await asyncio.sleep(0.05)


def requests_under_way() -> int:
    """Tasks of this process that serve a connection."""
    return sum("run_asgi" in repr(task.get_coro()) for task in asyncio.all_tasks())


# -- how much -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cookies", [1, 2])
@pytest.mark.parametrize("shown", ["header", "subprotocol", "both"])
async def test_a_token_as_long_as_allowed_beside_cookies_comes_in(edge: Edge, shown, cookies):
    token = long_token(edge, MAX_TOKEN_LENGTH)
    headers = [("Cookie", f"s{n}=" + "a" * 4_000) for n in range(cookies)]
    options: dict[str, Any] = {}
    if shown in ("header", "both"):
        headers.append(("Authorization", f"Bearer {token}"))
    if shown in ("subprotocol", "both"):
        options["subprotocols"] = ["masterx.v1", f"bearer.{token}"]
    async with edge.raw(additional_headers=headers, **options) as socket:
        assert "hello" in await asyncio.wait_for(socket.recv(), 10)
        assert socket.subprotocol == ("masterx.v1" if options else None)


async def test_a_cookie_of_eight_kilobytes_and_as_many_headers_as_allowed(edge: Edge):
    more = [f"X-{n}: {n}" for n in range(MAX_HEADERS - 8)]
    async with raw(edge, upgrade(edge, "Cookie: s=" + "a" * 8_300, *more)) as client:
        assert await client.status() == 101


@pytest.mark.parametrize(
    ("more", "statuses"),
    [
        (["Cookie: s=" + "a" * MAX_HEAD_BYTES], {431, 400}),
        ([f"Cookie: s{n}=" + "a" * 4_000 for n in range(9)], {431, 400}),
        ([f"X-{n}: {n}" for n in range(130)], {431}),
        (["Sec-WebSocket-Extensions: " + "a" * 9_000], {431}),
        (["Content-Length: 5"], {400}),
        (["Transfer-Encoding: chunked"], {400}),
        (["Sec-WebSocket-Key: again"], {400}),
        (["Sec-WebSocket-Version: 12"], {400, 426}),
        (["Connection : x"], {400}),
    ],
    ids=["cookie", "cookies", "headers", "line", "body", "chunked", "key", "version", "syntax"],
)
async def test_what_is_too_much_or_no_handshake_gets_a_status_at_once(edge: Edge, more, statuses):
    async with raw(edge, upgrade(edge, *more)) as client:
        assert await client.status() in statuses
        await client.ended(within=AT_ONCE)
    await nothing_left(edge)


async def test_a_long_address_gets_a_status_at_once(edge: Edge):
    path = f"{PREFIX}/ws/ada?x=" + "a" * 9_000
    async with raw(edge, upgrade(edge, path=path)) as client:
        assert await client.status() == 414
        await client.ended(within=AT_ONCE)


# -- how long -----------------------------------------------------------------------------------

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


async def drip(client: Raw) -> None:
    """A header, one byte at a time."""
    try:
        while True:
            client.writer.write(b"x")
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    "start", [b"", b"GET", HEAD, b"\r\n"], ids=["silent", "line", "head", "crlf"]
)
@pytest.mark.parametrize("dripping", [False, True])
async def test_a_request_has_to_be_whole_in_time(topics: Settings, start, dripping):
    async with serving(topics, handshake_timeout=0.5) as edge, raw(edge, start) as client:
        dripper = asyncio.create_task(drip(client)) if dripping else None
        said = await client.ended(within=AT_ONCE)
        assert said == b"" or said.split(b" ")[1] in (b"408", b"400")
        if dripper is not None:
            dripper.cancel()
        await nothing_left(edge)


async def test_the_second_request_of_a_connection_has_to_be_whole_in_time_too(topics: Settings):
    async with serving(topics, handshake_timeout=0.5) as edge, raw(edge, HEAD + b"\r\n") as client:
        assert await client.status() == 200
        client.writer.write(HEAD)
        dripper = asyncio.create_task(drip(client))
        await client.ended(within=AT_ONCE)
        dripper.cancel()
        await nothing_left(edge)


async def test_a_body_has_to_come_in_time_and_leaves_no_traceback(topics: Settings, caplog):
    async with serving(topics, handshake_timeout=0.5) as edge:
        head = (
            f"POST {PREFIX}/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {edge.token()}\r\n\r\n{{"
        )
        async with raw(edge, head.encode()) as client:
            assert await client.ended(within=AT_ONCE) == b""
        await nothing_left(edge)
        async with asyncio.timeout(5):
            while requests_under_way():
                await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.exc_info]


async def test_requests_that_are_whole_are_not_hurried(topics: Settings):
    async with serving(topics, handshake_timeout=0.5) as edge, edge.client() as client:
        await client.until("hello")
        async with raw(edge, HEAD + b"\r\n") as http:
            assert await http.status() == 200
            await asyncio.sleep(1.0)
            http.writer.write(HEAD + b"\r\n")
            await http.reader.readuntil(b"}")
            assert await http.status() == 200
        assert (await client.call(type="ping", id="1"))["type"] == "pong"


@pytest.fixture
async def provider() -> AsyncIterator[KeyServer]:
    async with serving_keys() as served:
        served.keys = public(*KEYS.values())
        yield served


def behind(topics: Settings, provider: KeyServer) -> Settings:
    auth = topics.auth.model_copy(update={"jwks_url": provider.url, "jwks_timeout": 60.0})
    return topics.model_copy(update={"auth": auth})


def by_rsa() -> str:
    content = {
        "sub": "ada",
        "iss": "masterx",
        "aud": "masterx",
        "exp": time.time() + 60,
        "consent": True,
    }
    return jwt.encode({"alg": "RS256", "kid": "rsa"}, content, RSA, algorithms=["RS256"])


async def test_a_token_check_that_hangs_ends_in_time_and_leaves_nothing(topics, provider):
    provider.hangs = True
    async with serving(behind(topics, provider), handshake_timeout=0.5) as edge:
        headers = {"Authorization": f"Bearer {by_rsa()}"}
        async with edge.raw(additional_headers=headers) as socket:
            await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == 4503
        await nothing_left(edge)
        assert requests_under_way() == 0


# -- how many -----------------------------------------------------------------------------------


async def test_the_oldest_that_says_nothing_makes_way(topics: Settings):
    async with serving(topics, max_handshakes=5) as edge, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(raw(edge)) for _ in range(5)]
        async with asyncio.timeout(5):
            while len(edge.gateway.handshakes) < 5:
                await asyncio.sleep(0.01)
        async with edge.client() as client:
            assert (await client.next())["type"] == "hello"
        assert (await silent[0].ended(within=AT_ONCE)).split(b" ")[1] == b"503"
        assert len(edge.gateway.handshakes) <= 5
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"http://{edge.gateway.status.address}/metrics")
        assert 'masterx_gateway_handshakes_refused_total{reason="full"}' in answer.text


async def test_those_that_wait_for_us_are_not_cut_but_bounded(topics, provider):
    provider.hangs = True
    async with (
        serving(behind(topics, provider), max_handshakes=3) as edge,
        AsyncExitStack() as stack,
    ):
        waiting = [
            await stack.enter_async_context(raw(edge, upgrade(edge, token=by_rsa())))
            for _ in range(3)
        ]
        async with asyncio.timeout(5):
            while requests_under_way() < 3:
                await asyncio.sleep(0.01)
        async with raw(edge) as late:
            assert await late.status() == 503
        for client in waiting:
            with pytest.raises(TimeoutError):
                await client.ended(within=0.1)


# -- what is no frame ---------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    head = bytes([0x80 * fin | opcode, 0x80 * masked | len(payload)])
    return head + (bytes(4) if masked else b"") + payload


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"\xe2", fin=False) + frame(0, b"\x82"), 1007),
        (frame(1, b"{}", masked=False), 1002),
        (frame(3, b"{}"), 1002),
        (frame(0, b"{}"), 1002),
        (frame(8, b"\x03"), 1002),
        (b"\xf1\x80\0\0\0\0", 1002),
        (frame(1, b"{}", fin=False) + frame(1, b"{}"), 1002),
    ],
    ids=["utf-8", "half", "unmasked", "opcode", "continuation", "close", "reserved", "fragments"],
)
async def test_what_is_no_frame_ends_the_connection_with_one_line(edge: Edge, data, code, caplog):
    with capture_logs() as lines:
        async with raw(edge, upgrade(edge)) as client:
            assert await client.status() == 101
            await client.reader.readuntil(b"hello")
            client.writer.write(data)
            rest = await client.ended(within=AT_ONCE)
    assert b"\x88" in rest
    assert code.to_bytes(2, "big") in rest
    told = [line for line in lines if line["event"] == "connection.invalid_frame"]
    assert [line["code"] for line in told] == [code]
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "data", [frame(3, b""), frame(1, b"\xff"), frame(8, b""), frame(8, b"\x03")]
)
async def test_frames_before_the_answer_do_no_harm(topics, provider, data, caplog):
    provider.hangs = True
    async with serving(behind(topics, provider), handshake_timeout=0.5) as edge:
        async with raw(edge, upgrade(edge, token=by_rsa())) as client:
            await asyncio.sleep(0.1)
            client.writer.write(data)
            await client.ended(within=5)
        await nothing_left(edge)
    assert not [record for record in caplog.records if record.exc_info]


async def test_pings_of_a_client_that_reads_nothing_pile_up_no_answers(edge: Edge):
    async with raw(edge, upgrade(edge)) as client:
        assert await client.status() == 101
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        ping = frame(9, b"x" * 120) * 1_000
        [protocol] = edge.gateway.connections.snapshot()
        for _ in range(100):  # 12 MB
            client.writer.write(ping)
            async with asyncio.timeout(10):
                await client.writer.drain()
        assert protocol._protocol.transport.get_write_buffer_size() < 1_000_000  # type: ignore[attr-defined]
