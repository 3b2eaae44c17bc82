"""A worker that does not get on: `python -m tests.slow_worker ROLE`; settings from the environment.

SLOW_STEP   `recovery`: a table is never read to its end; `import`: building the role
            blocks the event loop; `revoking`: what is under way is never finished
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from typing import Any

from app.kafka import table
from app.settings import get_settings
from app.worker.process import run
from app.worker.role import chosen


async def never(*_: Any) -> Any:
    print("it never ends", flush=True)
    await asyncio.Event().wait()


async def never_give_up(held: table.VersionedTable) -> None:
    if held._partitions:  # before the first join there is nothing to give up
        await never()


def block(_role: Any) -> Any:
    print("it never ends", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    (role,) = chosen(sys.argv[1:])
    match os.environ["SLOW_STEP"]:
        case "recovery":
            table.VersionedTable._recover = never  # type: ignore[method-assign]
        case "import":
            role = replace(role, build=block)
        case "revoking":
            table.VersionedTable.suspend = never_give_up  # type: ignore[method-assign]
    run([role], get_settings())
