"""Child processes that end with their parent and write to a log of their own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec must not import.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _before_exec(parent: int, niceness: int) -> Callable[[], None]:
    """What a child runs before exec: be told (SIGTERM) when the parent is gone.

    Linux only; elsewhere a parent killed with SIGKILL leaves its children behind.
    """

    def before_exec() -> None:
        if niceness:
            os.nice(niceness)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    return before_exec


def spawn(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    The session keeps the terminal's Ctrl-C away from it: its parent decides when
    it ends. Call it from a thread that lives as long as the child should: Linux
    ties "parent is gone" to the thread that forked. `niceness` (0-19) lets others go first.

    Raises:
        OSError: the command is not there or cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own commands
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_before_exec(os.getpid(), niceness),  # noqa: PLW1509 - system calls, no locks
        )


async def ended(process: subprocess.Popen[bytes], timeout: float | None = None) -> int | None:  # noqa: ASYNC109
    """The exit status once the process has ended; None if it has not within `timeout` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            # Not waited for in a thread: such a thread could not be cancelled.
            while process.poll() is None:
                await _end_of(process.pid)
    return process.poll()


async def _end_of(pid: int) -> None:
    """Wait for the end of a child; where the system cannot tell it, for a moment."""
    try:
        # A descriptor that becomes readable when the process ends (Linux).
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        await asyncio.sleep(0.05)
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def terminate(process: subprocess.Popen[bytes], grace: float) -> int:
    """End a process: SIGTERM, then after `grace` seconds SIGKILL. Its exit status."""
    if process.poll() is None:
        process.terminate()
        if await ended(process, grace) is None:
            process.kill()
    status = await ended(process)
    assert status is not None
    return status


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
