"""What the browser SDK costs a page in Chromium: `record()` on the main thread, and `stored`.

    python -m bench.sdk [--events 3000] [--every 10] [--runs 3]

Starts embedded services, a gateway and Chromium, and records one event every so many milliseconds.
Prints the time of the call, of the call with what it left for the end of its task, and until
`stored`. Chromium tells time in steps of 0.1 ms. Needs Node 20 and the packages of sdk/.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import uuid
from pathlib import Path

from app.kafka.admin import create_topics
from app.local.embedded import free_port
from app.settings import Settings
from tests.sdk.chromium import chromium
from tests.sdk.test_real_gateway import GatewayProcess
from tests.servers import choose

NAMES = ("record()", "with the rest of its task", "until stored")


def shares(times: list[float]) -> tuple[float, float, float]:
    """Median, p95 and p99."""
    ordered = sorted(times)
    return (
        statistics.median(ordered),
        ordered[int(len(ordered) * 0.95)],
        ordered[int(len(ordered) * 0.99)],
    )


async def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        services = choose(folder)
        await asyncio.gather(*(service.start() for service in services))
        base = Settings()
        namespace = f"sdk{uuid.uuid4().hex[:8]}"
        kafka = {"bootstrap": services.kafka.endpoint, "topic_prefix": f"{namespace}."}
        settings = base.model_copy(
            update={
                "kafka": base.kafka.model_copy(update=kafka),
                "redis": base.redis.model_copy(
                    update={"url": services.redis.endpoint, "prefix": namespace}
                ),
                "mongo": base.mongo.model_copy(
                    update={"url": services.mongo.endpoint, "database": namespace}
                ),
                "gateway": base.gateway.model_copy(update={"port": free_port("127.0.0.1")}),
            }
        )
        await create_topics(settings)
        gateway = GatewayProcess(settings, folder / "gateway.log")
        await gateway.start()
        try:
            async with chromium(lambda _: None) as driver:
                site = await driver.do(
                    "serve",
                    secret=settings.auth.secret.get_secret_value(),
                    gateway=settings.gateway.port,
                )
                await driver.do("launch", profile=str(folder / "profile"))
                url = f"{site}/pace.html?user=ada"
                await driver.do("open", browser=str(folder / "profile"), page="page", url=url)
                await driver.evaluate("page", "pace.run(200, 5)")
                print(f"{'ms':<28}{'p50':>8}{'p95':>8}{'p99':>8}")
                for _ in range(args.runs):
                    times = await driver.evaluate(
                        "page", f"pace.run({args.events}, {args.every})", within=600
                    )
                    for name_, column in zip(NAMES, zip(*times, strict=True), strict=True):
                        p50, p95, p99 = shares(list(column))
                        print(f"{name_:<28}{p50:>8.2f}{p95:>8.2f}{p99:>8.2f}")
        finally:
            gateway.kill()
            await asyncio.gather(*(service.stop() for service in services))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=3_000)
    parser.add_argument("--every", type=float, default=10)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args()))
