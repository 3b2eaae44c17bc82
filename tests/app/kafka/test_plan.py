"""The plan of the topics, and what it costs where they differ."""

from __future__ import annotations

import re

import pytest
import yaml

from agents.runtime.topics import CHAT, LEARNER_CHANGELOG
from app.kafka.plan import CLEANUP, differences, left_out, plain, strimzi
from app.kafka.topics import Topic, catalogue, physical
from app.settings import KafkaSettings, Settings

SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="Team_A.", partitions=6, replication=3))
RFC_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def topic(name: str) -> Topic:
    return next(one for one in catalogue(SETTINGS.kafka) if one.name == name)


def as_wanted(name: str) -> dict[str, str]:
    return {CLEANUP: "delete"} | topic(name).config(SETTINGS.kafka)


def test_plain_has_a_line_a_topic_with_all_that_it_needs() -> None:
    lines = plain(SETTINGS).splitlines()
    for one, line in zip(catalogue(SETTINGS.kafka), lines, strict=True):
        name, *pairs = line.split(" ")
        said = dict(pair.split("=") for pair in pairs)
        assert name == physical(SETTINGS, one.name)
        assert said.pop("partitions") == "6"
        assert said.pop("replicas") == "3"
        assert said == one.config(SETTINGS.kafka)


def test_strimzi_has_a_resource_a_topic_with_the_fields_of_its_crd() -> None:
    documents = list(yaml.safe_load_all(strimzi(SETTINGS, "kafka-1")))
    names = set()
    for one, document in zip(catalogue(SETTINGS.kafka), documents, strict=True):
        assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
        assert document["apiVersion"] == "kafka.strimzi.io/v1"
        assert document["kind"] == "KafkaTopic"
        assert document["metadata"]["labels"] == {"strimzi.io/cluster": "kafka-1"}
        spec = document["spec"]
        assert spec.keys() == {"topicName", "partitions", "replicas", "config"}
        assert spec["topicName"] == physical(SETTINGS, one.name)
        assert (spec["partitions"], spec["replicas"]) == (6, 3)
        config = {key: str(value) for key, value in spec["config"].items()}
        assert config == one.config(SETTINGS.kafka)
        names.add(document["metadata"]["name"])
    assert len(names) == len(documents)
    assert all(RFC_1123.fullmatch(name) for name in names), names


def test_a_topic_as_it_is_asked_for_costs_nothing() -> None:
    for one in catalogue(SETTINGS.kafka):
        assert not differences(SETTINGS, one, as_wanted(one.name))
        assert not differences(SETTINGS, one, {}), "what a broker does not say is not judged"


@pytest.mark.parametrize(
    ("name", "key", "value", "cost"),
    [
        (LEARNER_CHANGELOG, CLEANUP, "delete", "lose their state"),
        (LEARNER_CHANGELOG, CLEANUP, "compact,delete", "lose their state"),
        (CHAT, CLEANUP, "compact", "dropped before"),
        (CHAT, "retention.ms", "86400000", "are lost; set MASTERX_KAFKA__RETENTION_DAYS"),
        (CHAT, "retention.ms", "2592000000", "erased learner"),
        (CHAT, "retention.ms", "-1", "erased learner"),
        (CHAT, "max.message.bytes", "1048588", "larger records are refused"),
        (CHAT, "segment.ms", "604800000", "outlive their retention"),
        (LEARNER_CHANGELOG, "min.compaction.lag.ms", "0", "lost its partition"),
        (LEARNER_CHANGELOG, "delete.retention.ms", "86400000", "misses a tombstone"),
    ],
)
def test_what_differs_is_named_with_its_cost(name, key, value, cost) -> None:
    (found,) = differences(SETTINGS, topic(name), as_wanted(name) | {key: value})
    assert (found.topic, found.key, found.found) == (physical(SETTINGS, name), key, value)
    assert cost in found.cost
    assert found.blocks is (key == CLEANUP)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (CHAT, "max.message.bytes", "99999999"),
        (CHAT, "segment.ms", "3600000"),
        (LEARNER_CHANGELOG, "min.compaction.lag.ms", "999999999999"),
        (LEARNER_CHANGELOG, "delete.retention.ms", "999999999999"),
    ],
)
def test_what_differs_and_costs_nothing_is_not_told(name, key, value) -> None:
    assert not differences(SETTINGS, topic(name), as_wanted(name) | {key: value})


def test_what_a_broker_left_out_is_told_a_line_a_setting() -> None:
    keys = frozenset({"segment.ms", "retention.ms"})
    told = [str(one) for one in left_out(SETTINGS, topic(CHAT), keys)]
    assert len(told) == 2
    assert told[0].startswith("Team_A.chat-messages: retention.ms is at the broker's default, not ")
    assert "if it is less" in told[0]
    assert "if it is more" in told[0]
