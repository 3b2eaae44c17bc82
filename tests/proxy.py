"""A TCP proxy in front of a server: it is silent, slow, refuses, cuts, or leads elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from app.local.embedded import free_port

HOST = "127.0.0.1"


class Proxy:
    """Listens on `port`; new connections go to `target` (a port on loopback).

    Attributes:
        target: may be changed; connections that are open stay where they are.
        silent: while True nothing is passed on in either direction, and nothing is closed.
        delay: seconds that each piece waits.
        cut_after: so many bytes later the connections are cut, in the middle of a frame perhaps.
        upgrades: whether an HTTP upgrade is let through; if not, its connection is cut.
        opened: connections so far.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.silent = False
        self.delay = 0.0
        self.cut_after: int | None = None
        self.upgrades = True
        self.opened = 0
        self.port = free_port(HOST)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Take connections (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def refuse(self) -> None:
        """Take no more connections, and cut those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut the connections that are open."""
        for writer in self._writers:
            writer.transport.abort()

    def half_close(self) -> None:
        """End one direction of each open connection; the other goes on."""
        for writer in list(self._writers):
            with suppress(OSError):
                writer.write_eof()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        # A writer that was half closed takes no more, and says so by a RuntimeError.
        with suppress(OSError, RuntimeError):
            while data := await source.read(65536):
                if not self.upgrades and b"upgrade: websocket" in data.lower():
                    break
                await asyncio.sleep(self.delay)
                while self.silent:
                    await asyncio.sleep(0.02)
                if self.cut_after is not None:
                    if self.cut_after < len(data):
                        sink.write(data[: self.cut_after])
                        await sink.drain()
                        self.cut_after = None
                        self.cut()
                        break
                    self.cut_after -= len(data)
                sink.write(data)
                await sink.drain()
        while self.silent:  # an end is not heard of, either
            await asyncio.sleep(0.02)
        sink.transport.abort()
        self._writers.discard(sink)
