"""The topics as they should be, for whoever creates them; and what it costs where they are not.

A managed Kafka may refuse some of a topic's settings, or somebody else may have created the topics.
masterx runs on what is there wherever it can, and says what that costs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from app.kafka.topics import Topic, catalogue, physical
from app.settings import Settings

CLEANUP: Final = "cleanup.policy"
ESSENTIAL: Final = frozenset({CLEANUP})
"""Settings without which a topic is not created: a changelog that is not compacted loses state."""

STRIMZI_API: Final = "kafka.strimzi.io/v1"
"""Since Strimzi 0.49; 1.0 takes no other."""

_Direction = Literal["less", "more", "other"]
_COSTS: Final[dict[tuple[str, _Direction], str]] = {
    (CLEANUP, "other"): "learners lose their state, or events are dropped before they are counted",
    ("retention.ms", "less"): (
        "events that no worker has processed by then are lost; set MASTERX_KAFKA__RETENTION_DAYS "
        "and MASTERX_KAFKA__CHAT_DAYS to what is kept"
    ),
    ("retention.ms", "more"): (
        "records of an erased learner, and chat texts, stay that much longer, and an event may "
        "come again after the record that knows it is gone; set MASTERX_KAFKA__RETENTION_DAYS and "
        "MASTERX_KAFKA__CHAT_DAYS to what is kept"
    ),
    ("max.message.bytes", "less"): (
        "larger records are refused, and a dead letter that is larger loses its original bytes"
    ),
    ("segment.ms", "more"): (
        "records outlive their retention by up to that, those of an erased learner, too, and take "
        "the disk"
    ),
    ("min.compaction.lag.ms", "less"): (
        "compaction may drop a learner's newer state behind the late write of a worker that had "
        "lost its partition"
    ),
    ("delete.retention.ms", "less"): (
        "a consumer that was away for longer misses a tombstone, and keeps what was erased"
    ),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a topic that is not as masterx asks, where that costs something.

    Attributes:
        found: the value on the broker; None: the broker's default, whatever it is.
    """

    topic: str
    key: str
    wanted: str
    found: str | None
    cost: str

    @property
    def blocks(self) -> bool:
        """Whether masterx must not run with it."""
        return self.key in ESSENTIAL

    def __str__(self) -> str:
        found = "at the broker's default" if self.found is None else self.found
        return f"{self.topic}: {self.key} is {found}, not {self.wanted}: {self.cost}"


def differences(settings: Settings, topic: Topic, found: Mapping[str, str]) -> list[Difference]:
    """What of a topic on the broker costs something.

    Args:
        found: its settings there, by key; what it does not tell is not judged.
    """
    wanted = {CLEANUP: "delete"} | topic.config(settings.kafka)
    name = physical(settings, topic.name)
    return [
        Difference(name, key, value, found[key], cost)
        for key, value in wanted.items()
        if key in found and (cost := _cost(key, value, found[key])) is not None
    ]


def left_out(settings: Settings, topic: Topic, keys: frozenset[str]) -> list[Difference]:
    """What it costs that a broker did not take these settings of a topic that it created."""
    name, wanted = physical(settings, topic.name), topic.config(settings.kafka)
    return [
        Difference(name, key, wanted[key], None, "; ".join(_all_costs(key))) for key in sorted(keys)
    ]


def _cost(key: str, wanted: str, found: str) -> str | None:
    if key == CLEANUP:
        return None if found == wanted else _COSTS[key, "other"]
    try:
        there, asked = int(found), int(wanted)
    except ValueError:
        return None
    if key == "retention.ms" and there < 0:  # kept for ever
        return _COSTS[key, "more"]
    direction: _Direction = "less" if there < asked else "more"
    return None if there == asked else _COSTS.get((key, direction))


def _all_costs(key: str) -> Iterator[str]:
    for (of, direction), cost in _COSTS.items():
        if of == key:
            yield f"if it is {direction}, {cost}"


def plain(settings: Settings) -> str:
    """A line a topic: its name, partitions and replicas, and every setting as key=value."""
    lines = []
    for topic in catalogue(settings.kafka):
        config = " ".join(f"{key}={value}" for key, value in topic.config(settings.kafka).items())
        kafka = settings.kafka
        lines.append(
            f"{physical(settings, topic.name)} partitions={kafka.partitions} "
            f"replicas={kafka.replication} {config}"
        )
    return "\n".join(lines)


def strimzi(settings: Settings, cluster: str) -> str:
    """A KafkaTopic a topic, as YAML.

    Args:
        cluster: the name of Strimzi's Kafka resource.
    """
    kafka = settings.kafka
    documents = []
    for topic in catalogue(kafka):
        name = physical(settings, topic.name)
        config = "\n".join(
            f"    {key}: {_scalar(value)}" for key, value in topic.config(kafka).items()
        )
        documents.append(
            f"# {topic.summary}\n"
            f"apiVersion: {STRIMZI_API}\n"
            "kind: KafkaTopic\n"
            "metadata:\n"
            f"  name: {_resource_name(name)}\n"
            "  labels:\n"
            f"    strimzi.io/cluster: {json.dumps(cluster)}\n"
            "spec:\n"
            f"  topicName: {json.dumps(name)}\n"
            f"  partitions: {kafka.partitions}\n"
            f"  replicas: {kafka.replication}\n"
            f"  config:\n{config}\n"
        )
    return "---\n".join(documents)


def _scalar(value: str) -> str:
    return value if value.isdigit() else json.dumps(value)


def _resource_name(topic: str) -> str:
    """A name that Kubernetes takes (RFC 1123): a topic's may have capitals and underscores."""
    return re.sub(r"[^a-z0-9.-]", "-", topic.lower()).strip("-.")
