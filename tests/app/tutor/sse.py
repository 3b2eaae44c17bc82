"""A provider of language models on loopback: real HTTP, real server-sent events, any misbehaviour.

    async with Endpoint(say("Hel", "lo")) as endpoint: ...

What it does with a request is a `Behaviour`; `endpoint.script` holds one for each request to
come, and `endpoint.otherwise` the one for all after them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One request and the way back."""

    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter
    endpoint: Endpoint

    async def head(self, status: int = 200, **headers: str) -> None:
        named = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.writer.drain()

    async def raw(self, payload: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(payload), payload))
        await self.writer.drain()

    async def event(self, document: Any) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        await self.raw(f"data: {text}\n\n".encode())

    async def text(self, text: str | None, finish: str | None = None) -> None:
        delta = {} if text is None else {"content": text}
        await self.event(chunk([{"index": 0, "delta": delta, "finish_reason": finish}]))

    async def counts(self, prompt: int, completion: int) -> None:
        await self.event(chunk([], usage=(prompt, completion)))

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def plain(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        named = {"content-type": "application/json", "content-length": str(len(body))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self.writer.drain()

    async def hang(self) -> None:
        """Until the other side hangs up, or the endpoint ends."""
        await self.endpoint.over.wait()

    def cut(self) -> None:
        self.writer.transport.abort()


def chunk(choices: list[Any], usage: tuple[int, int] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": None,
    }
    if usage:
        prompt, completion = usage
        made["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return made


Behaviour = Callable[[Exchange], Awaitable[None]]


@dataclass
class Endpoint:
    """A server that speaks chat completions as it is told."""

    otherwise: Behaviour
    script: deque[Behaviour] = field(default_factory=deque)
    seen: list[Exchange] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    connections: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closed a connection while it was being answered."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def refuse(self) -> None:
        """Take no more connections."""
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError):
            await self._connection(reader, writer)
        self._tasks.discard(task)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value
            for name, value in (line.split(": ", 1) for line in head[1:] if ": " in line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(headers, json.loads(body), writer, self)
        self.seen.append(exchange)
        behave = self.script.popleft() if self.script else self.otherwise
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        answering = asyncio.ensure_future(behave(exchange))
        # A client sends nothing while it is being answered: what comes is its hanging up.
        listening = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                self.hung_up.set()
                answering.cancel()
                return False
            answering.result()
            return not writer.is_closing()
        finally:
            self.open_now -= 1
            listening.cancel()
            answering.cancel()
            await asyncio.gather(listening, answering, return_exceptions=True)


# -- behaviours -------------------------------------------------------------------------------


def say(*pieces: str, usage: tuple[int, int] | None = (10, 5), finish: str = "stop") -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.head()
        for piece in pieces:
            await x.text(piece)
        await x.text(None, finish)
        if usage:
            await x.counts(*usage)
        await x.event("[DONE]")
        await x.end()

    return behave


def say_when(
    may_begin: asyncio.Event, *pieces: str, may_end: asyncio.Event | None = None
) -> Behaviour:
    """Nothing before the one event; the end not before the other."""

    async def behave(x: Exchange) -> None:
        await may_begin.wait()
        await x.head()
        for piece in pieces:
            await x.text(piece)
        if may_end:
            await may_end.wait()
        await x.text(None, "stop")
        await x.counts(10, 5)
        await x.event("[DONE]")
        await x.end()

    return behave


def status(code: int, body: bytes = b'{"error": {"message": "no"}}', **headers: str) -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.plain(code, body, **headers)

    return behave


def silence() -> Behaviour:
    """Takes the request and says nothing."""

    async def behave(x: Exchange) -> None:
        await x.hang()

    return behave


def no_text(*, pings: bool) -> Behaviour:
    """A stream that lives, and has nothing to say: comments, or chunks without text."""

    async def behave(x: Exchange) -> None:
        await x.head()
        while True:
            if pings:
                await x.raw(b": ping\n\n")
            else:
                await x.text("")
            await asyncio.sleep(0.02)

    return behave


def stall(*pieces: str) -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.head()
        for piece in pieces:
            await x.text(piece)
        await x.hang()

    return behave


def cut(*pieces: str) -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.head()
        for piece in pieces:
            await x.text(piece)
        if not pieces:
            await x.raw(b": hello\n\n")
        x.cut()

    return behave


def drop() -> Behaviour:
    """No answer at all: the connection is lost."""

    async def behave(x: Exchange) -> None:
        x.cut()

    return behave


def unfinished(*pieces: str) -> Behaviour:
    """Ends in good order, but for the end of the answer."""

    async def behave(x: Exchange) -> None:
        await x.head()
        for piece in pieces:
            await x.text(piece)
        await x.event("[DONE]")
        await x.end()

    return behave


def garbage(payload: str, *pieces: str) -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.head()
        for piece in pieces:
            await x.text(piece)
        await x.event(payload)
        await x.hang()

    return behave
