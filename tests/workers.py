"""Workers and gateways as child processes of a test: started, watched, killed, paused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from app.local.embedded import free_port
from app.local.environment import PREFIX, child_environment
from app.settings import Settings

READY_SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Release:
    """A tree of this code, from which a worker runs.

    variables: the MASTERX_* that it knows; None: all that we know.
    """

    root: Path = ROOT
    variables: frozenset[str] | None = None

    def environment(self, settings: Settings) -> dict[str, str]:
        """A worker's, so that it imports this tree's code and reads this tree's artefacts."""
        variables = child_environment(settings)
        if self.variables is None:
            return variables
        return {
            name: value.replace(str(ROOT), str(self.root))
            for name, value in variables.items()
            if not name.startswith(PREFIX)
            or (name in self.variables and value != "null")  # what is null now may not have been
        } | {"PYTHONPATH": str(self.root)}


class WorkerProcess:
    """A worker of one role or several. `module` names the entry that runs it."""

    def __init__(
        self,
        role: str | tuple[str, ...],
        settings: Settings,
        log: Path,
        *,
        module: str = "tests.run_worker",
        release: Release | None = None,
    ) -> None:
        self.role = role if isinstance(role, str) else "+".join(role)
        self.port = free_port("127.0.0.1")
        self.settings = settings.model_copy(
            update={"worker": settings.worker.model_copy(update={"status_port": self.port})}
        )
        self.log = log
        self._module = module
        self._release = release or Release()
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start the process, without waiting."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._module.split(), *self.role.split("+")],
                env=self._release.environment(self.settings),
                stdout=out,
                stderr=out,
                cwd=self._release.root,
            )

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        async with httpx.AsyncClient() as client, asyncio.timeout(READY_SECONDS):
            while True:
                if self.exit_code is not None:
                    raise AssertionError(
                        f"worker {self.role} ended with {self.exit_code}:\n{self.tail()}"
                    )
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
                    if answer.status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)

    async def start(self) -> Self:
        """Start and wait until ready."""
        self.spawn()
        await self.ready()
        return self

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def paused(self) -> bool:
        """Whether the process is stopped (SIGSTOP), by us or by itself."""
        return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def kill(self) -> None:
        """SIGKILL, and wait for the end; nothing if it was never started."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; its exit code."""
        self._signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self, within: float = 30.0) -> int:
        """Wait for the end; its exit code."""
        assert self._process is not None
        async with asyncio.timeout(within):
            while self._process.poll() is None:
                await asyncio.sleep(0.05)
        return self._process.returncode

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resume()
        self.kill()
