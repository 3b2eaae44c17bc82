"""What a worker costs that has nothing to do: its processor time, as a share of one core.

    python -m bench.idle [--seconds 30] [--partitions 12] [ROLE[+ROLE...] ...]

Starts embedded services (or uses those that MASTERX_KAFKA__BOOTSTRAP and so on name), then one
worker process an argument, each alone, and reads the process's CPU seconds from when it is ready.
Without arguments: each role alone, then the two groups of roles that `masterx up` runs.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import uuid
from pathlib import Path

import psutil

from app.kafka.admin import create_topics
from app.settings import Settings
from app.worker.role import roles, sharing
from tests.servers import choose
from tests.workers import WorkerProcess

SETTLING = 5.0
"""Seconds after a worker is ready in which its caches fill and its group settles."""


async def share_of_a_core(settings: Settings, role: str, seconds: float, log: Path) -> float:
    """CPU seconds a second of an idle worker."""
    # Groups of its own: the embedded broker waits for a dead member without an end.
    prefix = f"{settings.worker.group_prefix}-{role.replace('+', '-')}"
    alone = settings.worker.model_copy(update={"group_prefix": prefix})
    settings = settings.model_copy(update={"worker": alone})
    worker = WorkerProcess(tuple(role.split("+")), settings, log)
    worker.spawn()
    try:
        await worker.ready()
        await asyncio.sleep(SETTLING)
        process = psutil.Process(worker.pid)
        before = process.cpu_times()
        await asyncio.sleep(seconds)
        after = process.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds
    finally:
        worker.kill()


async def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        services = choose(Path(name))
        await asyncio.gather(*(service.start() for service in services))
        base = Settings()
        namespace = f"idle{uuid.uuid4().hex[:8]}"
        kafka = {
            "bootstrap": services.kafka.endpoint,
            "topic_prefix": f"{namespace}.",
            "partitions": args.partitions,
        }
        settings = base.model_copy(
            update={
                "kafka": base.kafka.model_copy(update=kafka),
                "worker": base.worker.model_copy(update={"group_prefix": namespace}),
                "redis": base.redis.model_copy(
                    update={"url": services.redis.endpoint, "prefix": namespace}
                ),
                "mongo": base.mongo.model_copy(
                    update={"url": services.mongo.endpoint, "database": namespace}
                ),
            }
        )
        try:
            await create_topics(settings)
            for role in args.roles:
                share = await share_of_a_core(settings, role, args.seconds, Path(name) / role)
                print(f"{role}: {share:.1%} of a core", flush=True)
        finally:
            await asyncio.gather(*(s.stop() for s in services if getattr(s, "pid", None)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ["+".join(role.name for role in together) for together in sharing()]
    parser.add_argument("roles", nargs="*", default=[*roles(), *shared])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--partitions", type=int, default=12)
    asyncio.run(main(parser.parse_args()))
