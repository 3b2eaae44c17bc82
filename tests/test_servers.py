"""What outage tests build on: a server that stops, answers nobody, and comes back."""

import pytest

from agents.runtime.topics import CHAT
from app.kafka.admin import list_topics
from app.kafka.topics import physical
from app.process.errors import Unavailable
from app.process.probes import probe_kafka, probe_mongo, probe_redis
from app.settings import KafkaSettings, MongoSettings, RedisSettings

pytestmark = pytest.mark.services

PROBES = {
    "kafka": lambda place, **within: probe_kafka(KafkaSettings(bootstrap=place), **within),
    "redis": lambda place, **within: probe_redis(RedisSettings(url=place), **within),
    "mongo": lambda place, **within: probe_mongo(MongoSettings(url=place), **within),
}


@pytest.mark.outage
@pytest.mark.parametrize("name", PROBES)
async def test_a_server_stops_and_comes_back_at_the_same_place(services, topics, name):
    server = getattr(services, name)
    place = server.endpoint
    await server.stop()
    try:
        with pytest.raises(Unavailable):
            await PROBES[name](place, within=2)
    finally:
        await server.start()
    assert server.endpoint == place
    await PROBES[name](place)
    names = {topic.physical: topic for topic in await list_topics(topics)}
    assert names[physical(topics, CHAT)].ready, "the broker kept its topics"
