"""An identity provider's keys, and the server that publishes them: up, down, hanging or slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from joserfc.jwk import ECKey, OKPKey, RSAKey

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS = {
    "RS256": RSA,
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


def public(*keys: Any) -> list[Any]:
    return [key.as_dict(private=False) for key in keys]


@dataclass
class KeyServer:
    """A JWKS endpoint.

    Attributes:
        up: whether it answers 200.
        hangs: it reads the request and says nothing.
        drip: seconds between two bytes of its body; 0: all at once.
        body: sent instead of `keys`.
    """

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    up: bool = True
    hangs: bool = False
    drip: float = 0.0
    body: bytes | None = None
    asked: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.hangs:
                await reader.read()  # until whoever asks has had enough
                return
            body = orjson.dumps({"keys": self.keys}) if self.body is None else self.body
            status = "200 OK" if self.up else "500 Internal Server Error"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            size = 1 if self.drip else len(body)
            for start in range(0, len(body), size):
                writer.write(body[start : start + size])
                await writer.drain()
                if self.drip:
                    await asyncio.sleep(self.drip)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving_keys() -> AsyncIterator[KeyServer]:
    served = KeyServer()
    listener = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/jwks.json"
    async with listener:
        yield served
