"""A gateway in this process, clients that talk to it, and readers of what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from urllib.parse import quote

import orjson
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from agents.runtime.ports import NewPush, PushKind
from agents.runtime.retrying import Retriable
from app.gateway.auth.tokens import issue
from app.gateway.process.gateway import Gateway
from app.gateway.process.server import server
from app.kafka.topics import physical
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.base import new_event_id, now_ms

PREFIX = "/api/v1/ml-personalization"


@dataclass(frozen=True)
class Edge:
    """A running gateway."""

    settings: Settings
    gateway: Gateway

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.settings.gateway.port}"

    def token(self, user: str = "ada", **claims: Any) -> str:
        return issue(self.settings.auth, user, **claims)

    def bearer(self, user: str = "ada", **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user, **claims)}"}

    def socket_url(self, user: str) -> str:
        return f"ws://127.0.0.1:{self.settings.gateway.port}{PREFIX}/ws/{quote(user, safe='')}"

    def raw(self, user: str = "ada", **options: Any) -> connect:
        """A connection with no credentials but those in `options`; `port`: of a proxy."""
        url = self.socket_url(user)
        if port := options.pop("port", None):
            url = url.replace(f":{self.settings.gateway.port}/", f":{port}/")
        return connect(url, proxy=None, max_size=None, **options)

    @asynccontextmanager
    async def client(
        self, user: str = "ada", token: str | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        token = token or self.token(user)
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        async with self.raw(user, additional_headers=headers, **options) as socket:
            yield Client(socket)


class Client:
    """What a page would do with its socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        await self.socket.send(orjson.dumps(message).decode())

    async def next(self, within: float = 10.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            return orjson.loads(await self.socket.recv())

    async def until(self, kind: str, within: float = 10.0) -> dict[str, Any]:
        """The next message of this type; what comes before it is skipped."""
        while (message := await self.next(within))["type"] != kind:
            pass
        return message

    async def call(self, **message: Any) -> dict[str, Any]:
        """Send, and wait for what answers it."""
        await self.send(**message)
        while (answer := await self.next()).get("id") != message.get("id"):
            pass
        return answer

    async def take(self, number: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(number)]

    async def closed(self, within: float = 10.0) -> int | None:
        async with asyncio.timeout(within):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def serving(settings: Settings, **changes: Any) -> AsyncIterator[Edge]:
    """A gateway with some of its `gateway` settings changed."""
    chosen = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changes)})
    running = server(chosen)
    task = asyncio.create_task(running.serve())
    listening = asyncio.create_task(running.listening.wait())
    await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        listening.cancel()
        task.result()
        raise RuntimeError("the gateway ended at once")
    try:
        yield Edge(chosen, running.gateway)
    finally:
        running.should_exit = True
        await task


class Pusher:
    """Appends to push logs as the push worker does."""

    def __init__(self, settings: Settings, redis: Redis, topic: str = "test") -> None:
        self._topic = topic
        self._log = PushLog(redis, settings.redis)
        self._offsets: Iterator[int] = count()
        self._versions: dict[str, int] = {}

    async def push(
        self, user: str, kind: str = PushKind.INTERVENTION, size: int = 0, **body: Any
    ) -> str:
        """One push; returns the id of the event that it says it was caused by."""
        cause = new_event_id()
        await self._append([self._new(user, kind, cause, size, body)])
        return cause

    async def push_state(self, user: str, live: dict[str, Any], whole: dict[str, Any]) -> None:
        """A state of which the push leaves detail out."""
        new = self._new(user, PushKind.STATE, new_event_id(), 0, {"userState": live})
        body = orjson.dumps({"type": str(PushKind.STATE), "userState": whole})
        await self._append([replace(new, whole=body)])

    async def push_many(
        self, user: str, number: int, kind: PushKind = PushKind.INTERVENTION, size: int = 0
    ) -> list[str]:
        causes = [new_event_id() for _ in range(number)]
        await self._append([self._new(user, kind, one, size, {}) for one in causes])
        return causes

    async def push_each(self, users: list[str], kind: PushKind, size: int = 0) -> None:
        """One push for each of these learners."""
        await self._append([self._new(user, kind, new_event_id(), size, {}) for user in users])

    async def _append(self, pushes: list[NewPush]) -> None:
        try:
            await self._log.append_many(pushes)
        except Retriable:  # of before a restart of Redis
            await self._log.append_many(pushes)

    def _new(self, user: str, kind: str, cause: str, size: int, body: dict[str, Any]) -> NewPush:
        offset = next(self._offsets)
        if kind is PushKind.STATE:
            self._versions[user] = offset
        message: dict[str, Any] = {"type": str(kind), **body}
        if kind is PushKind.STATE:
            message.setdefault("userState", {"version": offset, "padding": "x" * size})
        elif kind is PushKind.RECOMMENDATIONS:
            message.setdefault("recommendations", [])
        else:
            message.setdefault("id", new_event_id())
            message["padding"] = "x" * size
        return NewPush(
            user_id=user,
            kind=kind,
            event_id=new_event_id(),
            caused_by=(cause,),
            # Advice is made from a state, the learner's latest.
            version=None if kind is PushKind.INTERVENTION else self._versions.get(user, -1),
            ingest_time=now_ms(),
            body=orjson.dumps(message),
            topic=self._topic,
            partition=0,
            offset=offset,
        )


async def records(settings: Settings, topic: str, number: int) -> list[Any]:
    """Everything on a topic, once at least `number` records are there."""
    consumer = AIOKafkaConsumer(
        physical(settings, topic),
        bootstrap_servers=settings.kafka.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        found: list[Any] = []
        partitions = consumer.assignment()
        async with asyncio.timeout(20):
            while True:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
                ends = await consumer.end_offsets(partitions)
                read = all([await consumer.position(p) >= ends[p] for p in partitions])
                if read and len(found) >= number:
                    return found
    finally:
        await consumer.stop()


def an_interaction(**more: Any) -> dict[str, Any]:
    return {
        "timestamp": now_ms(),
        "interactionType": "click",
        "elementId": "next",
        "timingData": {"responseTime": 1.5, "dwellTime": 4.0},
        **more,
    }
