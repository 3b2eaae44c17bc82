"""The whole system as `masterx up` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from app.gateway.auth.tokens import issue
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.settings import Settings

READY_SECONDS = 120.0
SERVERS = ("noida-db", "redis-server", "nx_27017")
"""Embedded ones, by a word of their command line."""


@dataclass(frozen=True)
class System:
    """Where it answers."""

    settings: Settings
    pid: int
    """Of `masterx up`."""

    @property
    def rest(self) -> str:
        """Base of the REST calls."""
        return f"http://127.0.0.1:{self.settings.gateway.port}"

    def socket(self, user: str) -> str:
        """A learner's WebSocket."""
        port = self.settings.gateway.port
        return f"ws://127.0.0.1:{port}/api/v1/ml-personalization/ws/{user}"

    def token(self, user: str) -> str:
        """A learner's token, with consent."""
        return issue(self.settings.auth, user)

    def memory_mb(self) -> dict[str, int]:
        """Of all processes: resident, and with what they share counted once ("pss")."""
        top = psutil.Process(self.pid)
        each = [one.memory_full_info() for one in (top, *top.children(recursive=True))]
        sums = {"rss": sum(one.rss for one in each), "pss": sum(one.pss for one in each)}
        return {kind: round(size / 1e6) for kind, size in sums.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of every process so far, by what it runs."""
        spent: dict[str, float] = {}
        top = psutil.Process(self.pid)
        for process in (top, *top.children(recursive=True)):
            arguments = process.cmdline()
            if "app.cli" in arguments:
                name = " ".join(arguments[arguments.index("app.cli") + 1 :])
            else:
                name = next(each for each in SERVERS if any(each in part for part in arguments))
            times = process.cpu_times()
            spent[name] = spent.get(name, 0.0) + times.user + times.system
        return spent

    async def metrics(self) -> dict[str, float]:
        """Every sample of every worker's /metrics, summed by name and labels."""
        totals: dict[str, float] = {}
        async with httpx.AsyncClient() as client:
            state = f"http://127.0.0.1:{self.settings.gateway.status_port}/readyz"
            roles = (await client.get(state)).json()["roles"]
            # Each once, however many roles share it.
            places = {one["metrics"] for role in roles.values() for one in role["instances"]}
            for place in places:
                text = (await client.get(f"http://{place}/metrics")).text
                for line in text.splitlines():
                    if not line.startswith("#"):
                        name, _, value = line.rpartition(" ")
                        totals[name] = totals.get(name, 0.0) + float(value)
        return totals


@asynccontextmanager
async def running(**updates: dict[str, object]) -> AsyncIterator[System]:
    """Start everything, wait until it is ready, stop it again.

    `updates`: settings by group, e.g. gateway={"messages_per_second": 1000}.
    """
    with tempfile.TemporaryDirectory() as name:
        ports = [free_port("127.0.0.1") for _ in range(5)]
        own: dict[str, dict[str, object]] = {
            "gateway": {"port": ports[0], "status_port": ports[4]},
            "embedded": {
                "data_dir": Path(name),
                "kafka_port": ports[1],
                "redis_port": ports[2],
                "mongo_port": ports[3],
            },
        }
        base = Settings()
        settings = base.model_copy(
            update={
                group: getattr(base, group).model_copy(
                    update={**own.get(group, {}), **updates.get(group, {})}
                )
                for group in own.keys() | updates.keys()
            }
        )
        # Left out unless named by whoever measures, so that `up` starts services of its own, with
        # as many partitions as it thinks right.
        own_services = {
            "MASTERX_KAFKA__BOOTSTRAP", "MASTERX_REDIS__URL", "MASTERX_MONGO__URL",
            "MASTERX_KAFKA__PARTITIONS",
        } - os.environ.keys()  # fmt: skip
        environment = {
            k: v for k, v in child_environment(settings).items() if k not in own_services
        }
        log = Path(name) / "up.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app.cli", "up",
                env=environment, stdout=out, stderr=out, cwd=os.getcwd(),
            )  # fmt: skip
        try:
            await _ready(settings, process, log)
            yield System(_connected(settings, own_services), process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await process.wait()


def _connected(settings: Settings, own_services: set[str]) -> Settings:
    """The settings, pointing at the services that `up` has started."""
    embedded = settings.embedded
    update = {}
    if "MASTERX_KAFKA__BOOTSTRAP" in own_services:
        place = {"bootstrap": f"{embedded.host}:{embedded.kafka_port}"}
        update["kafka"] = settings.kafka.model_copy(update=place)
    return settings.model_copy(update=update)


async def _ready(settings: Settings, process: asyncio.subprocess.Process, log: Path) -> None:
    url = f"http://127.0.0.1:{settings.gateway.port}/readyz?roles=all"
    async with httpx.AsyncClient() as client:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while True:
                    if process.returncode is not None:
                        raise RuntimeError(f"`masterx up` ended:\n{log.read_text()}")
                    try:
                        if (await client.get(url)).status_code == 200:
                            return
                    except httpx.HTTPError:
                        pass
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise RuntimeError(f"not ready:\n{log.read_text()}") from None
