"""A TCP proxy in front of a server: it can fall silent, refuse, cut, and lead elsewhere."""

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
        opened: connections so far.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.silent = False
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
        with suppress(OSError):
            while data := await source.read(65536):
                while self.silent:
                    await asyncio.sleep(0.02)
                sink.write(data)
                await sink.drain()
        while self.silent:  # an end is not heard of, either
            await asyncio.sleep(0.02)
        sink.transport.abort()
        self._writers.discard(sink)
