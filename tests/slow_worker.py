"""A worker that does not get on: `python -m tests.slow_worker ROLE...`.

SLOW_STEP   `recovery`: a table is never read to its end; `import`: building the role
            blocks the event loop; `revoking`: what is under way is never finished; `reading`:
            the first role's agent reads and acknowledges nothing; `raising`: it raises

Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from app.kafka import table
from app.settings import get_settings
from app.worker.process import run
from app.worker.role import Agent, Parts, chosen, stateless


async def never(*_: Any) -> Any:
    print("it never ends", flush=True)
    await asyncio.Event().wait()


async def never_give_up(held: table.VersionedTable) -> None:
    if held._partitions:  # before the first join there is nothing to give up
        await never()


def block(_role: Any) -> Any:
    print("it never ends", flush=True)
    time.sleep(600)


def acting(run: Callable[[Any, AsyncIterator[Any]], Awaitable[None]]) -> Any:
    """A build of a role that does this with its events."""

    @asynccontextmanager
    async def build(parts: Parts) -> AsyncIterator[Agent]:
        yield stateless(parts, lambda events: run(parts, events))

    return build


async def keep(parts: Parts, events: AsyncIterator[Any]) -> None:
    async for _ in events:
        await parts.window.slot()


async def fail(_parts: Parts, events: AsyncIterator[Any]) -> None:
    async for event in events:
        raise RuntimeError(f"at offset {event.message.offset}")


if __name__ == "__main__":
    role, *others = chosen(sys.argv[1:])
    match os.environ["SLOW_STEP"]:
        case "recovery":
            table.VersionedTable._recover = never  # type: ignore[method-assign]
        case "import":
            role = replace(role, build=block)
        case "reading":
            role = replace(role, build=acting(keep))
        case "raising":
            role = replace(role, build=acting(fail))
        case "revoking":
            table.VersionedTable.suspend = never_give_up  # type: ignore[method-assign]
    run([role, *others], get_settings())
