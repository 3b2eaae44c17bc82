"""The three servers that tests talk to: embedded ones, or those named in the environment.

With `MASTERX_KAFKA__BOOTSTRAP`, `MASTERX_REDIS__URL` and `MASTERX_MONGO__URL` set, the
same tests run against those. A test that stops a server skips when the server is
somebody else's; what `make services` started is ours (deploy/services/services.py).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from app.local.embedded import Broker, DocumentStore, RedisServer

ROOT = Path(__file__).resolve().parents[1]


class Server(Protocol):
    """What a test may do with a server."""

    @property
    def name(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def controllable(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def restart(self) -> None: ...


class Remote:
    """A server that was there before us. `stop` skips the test unless `make services` runs it."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = name
        self.endpoint = endpoint
        self._control = _control(name, endpoint)

    @property
    def controllable(self) -> bool:
        return self._control is not None

    async def start(self) -> None:
        if self._control is not None:
            await asyncio.to_thread(self._control.start, self.name)

    async def stop(self) -> None:
        if self._control is None:
            pytest.skip(f"{self.name} at {self.endpoint} is not ours to stop")
        # Those beside it use the same server: say what keeps them apart.
        assert "PYTEST_XDIST_WORKER" not in os.environ, "mark this test `outage`"
        await asyncio.to_thread(self._control.stop, self.name)

    async def restart(self) -> None:
        await self.stop()
        await self.start()


def services_script() -> ModuleType:
    """deploy/services/services.py, which is no package."""
    path = ROOT / "deploy" / "services" / "services.py"
    spec = importlib.util.spec_from_file_location("masterx_services", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _control(name: str, endpoint: str) -> ModuleType | None:
    """The services script, if it started this very server."""
    module = services_script()
    return module if module.endpoints().get(name) == endpoint else None


@dataclass(frozen=True)
class Services:
    kafka: Server
    redis: Server
    mongo: Server

    def __iter__(self):
        return iter((self.kafka, self.redis, self.mongo))


def choose(directory: Path) -> Services:
    """Servers named in the environment; for the rest embedded ones on free ports."""

    def named(variable: str, name: str) -> Server | None:
        endpoint = os.environ.get(variable)
        return Remote(name, endpoint) if endpoint else None

    return Services(
        kafka=named("MASTERX_KAFKA__BOOTSTRAP", "kafka") or Broker(directory),
        redis=named("MASTERX_REDIS__URL", "redis") or RedisServer(directory),
        mongo=named("MASTERX_MONGO__URL", "mongo") or DocumentStore(directory),
    )
