"""What the tutor worker adds before a provider is asked: `python -m bench.replies --rate 20`.

Starts services, one tutor worker as a process and a provider on loopback, sends requests at a
fixed rate (open loop) as the learner worker would, and reads the worker's own histograms:
    prepared   from reading a request to giving its prompt to the router: ledger, text,
               safety, conversation, mode, packing
    dispatch   from there to the provider being asked: health, choice, budget
    asked      both 95th percentiles added: about that of the whole
Quantiles are interpolated within the histograms' buckets.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from agents.runtime.topics import CHAT, TUTOR_REQUESTS
from app.kafka.admin import create_topics
from app.kafka.topics import physical
from app.local.embedded import Broker, DocumentStore, RedisServer
from app.settings import Settings
from tests.app.tutor.asking import a_chat, a_request, ask, with_tutor
from tests.app.tutor.sse import Endpoint, say
from tests.workers import WorkerProcess

LEARNERS = 50


async def measure(number: int, rate: float) -> dict[str, dict[float, float]]:
    """Counts of each histogram by its buckets' upper bounds, seconds."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = Broker(folder), RedisServer(folder), DocumentStore(folder)
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        settings = _settings(*(server.endpoint for server in servers))
        await create_topics(settings)
        endpoint = await stack.enter_async_context(Endpoint(say("Look ", "at ", "the pies.")))
        settings = with_tutor(settings, endpoint)
        worker = await stack.enter_async_context(
            WorkerProcess("tutor", settings, folder / "tutor.log")
        )
        # The first one loads artefacts and opens connections.
        await ask(settings, a_chat("first", "hello?"))
        while not endpoint.seen:
            await asyncio.sleep(0.05)
        before = await _histograms(worker.port)
        await _send(settings, number, rate)
        while len(endpoint.seen) <= number:
            await asyncio.sleep(0.05)
        after = await _histograms(worker.port)
    return {
        name: {bound: count - before[name][bound] for bound, count in buckets.items()}
        for name, buckets in after.items()
    }


def _settings(kafka: str, redis: str, mongo: str) -> Settings:
    base = Settings()
    return base.model_copy(
        update={
            "kafka": base.kafka.model_copy(update={"bootstrap": kafka, "partitions": 4}),
            "redis": base.redis.model_copy(update={"url": redis}),
            "mongo": base.mongo.model_copy(update={"url": mongo}),
        }
    )


async def _send(settings: Settings, number: int, rate: float) -> None:
    loop = asyncio.get_running_loop()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        began = loop.time()
        for index in range(number):
            await asyncio.sleep(began + index / rate - loop.time())
            chat = a_chat(f"learner-{index % LEARNERS}", f"Is {index} / 2 more than {index} / 3?")
            key = chat.user_id.encode()
            topic = physical(settings, CHAT)
            place = await producer.send_and_wait(topic, key=key, value=chat.json_bytes())
            request = a_request(chat, (place.partition, place.offset))
            topic = physical(settings, TUTOR_REQUESTS)
            await producer.send_and_wait(topic, key=key, value=request.json_bytes())


async def _histograms(port: int) -> dict[str, dict[float, float]]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    found: dict[str, dict[float, float]] = {"prepared": {}, "dispatch": {}}
    for family in text_string_to_metric_families(text):
        name = family.name.removeprefix("masterx_tutor_").removesuffix("_seconds")
        if name in found:
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    found[name][float(sample.labels["le"])] = sample.value
    return found


def quantile(buckets: dict[float, float], share: float) -> float:
    """Milliseconds."""
    wanted = share * buckets[float("inf")]
    lower, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= wanted:
            return 1000 * (lower + (bound - lower) * (wanted - below) / max(count - below, 1))
        lower, below = bound, count
    return float("inf")


def main() -> None:
    """Print a line for each histogram."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=400)
    parser.add_argument("--rate", type=float, default=20.0)
    chosen = parser.parse_args()
    found = asyncio.run(measure(chosen.number, chosen.rate))
    for name, buckets in found.items():
        told = " / ".join(f"{quantile(buckets, share):.1f}" for share in (0.5, 0.95, 0.99))
        print(f"{name:<9} p50 / p95 / p99  {told} ms  of {buckets[float('inf')]:.0f}")
    print(f"asked     p95 about {sum(quantile(b, 0.95) for b in found.values()):.1f} ms")


if __name__ == "__main__":
    main()
