"""The decision log of a deployment: topics `recommendations` and `feedback`, joined, as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from agents.runtime.topics import ERASURES, FEEDBACK, RECOMMENDATIONS
from app.kafka.redrive import partition_counts, reader, scan
from app.kafka.topics import physical
from app.settings import Settings
from models.files import replacing
from models.learner.recommending.offline.log import Join
from schemas.base import DecodeError
from schemas.topics.actions import FeedbackReceived, RecommendationsMade
from schemas.topics.operations import ErasureRequested

_SALT_BYTES: Final = 32


class Exported(NamedTuple):
    """What was written."""

    decisions: int
    answered: int
    """Recommendations with an answer."""
    left_out: int
    """Decisions whose records do not say what was chosen from."""


async def export_decisions(settings: Settings, out: Path) -> Exported:
    """Write the log, one partition after the other: a learner's records are in one.

    A record that cannot be read is left out: it is a dead letter of the workers.

    Raises:
        Unavailable: Kafka does not answer.
        OSError: it cannot be written there.
    """
    # Drawn anew and kept nowhere: pseudonyms of two exports cannot be matched.
    salt = os.urandom(_SALT_BYTES)
    topics = {name: physical(settings, name) for name in (RECOMMENDATIONS, FEEDBACK, ERASURES)}
    decisions = answered = left_out = 0
    # First the file: who cannot write there need not wait for the topics.
    with replacing(out) as beside, beside.open("wb") as file:
        async with reader(settings) as consumer:
            counts = await partition_counts(settings)
            for partition in range(counts.get(topics[RECOMMENDATIONS], 0)):
                join = Join(salt)
                for name in (RECOMMENDATIONS, FEEDBACK, ERASURES):
                    async for record in scan(consumer, counts, topics[name], {partition}, 0):
                        if record.value is not None:
                            _take_in(join, name, record.value)
                for logged in join.decisions():
                    file.write(logged.json_bytes() + b"\n")
                    decisions += 1
                    answered += sum(bool(one.outcomes) for one in logged.shown)
                left_out += join.undescribed
    return Exported(decisions, answered, left_out)


def _take_in(join: Join, topic: str, value: bytes) -> None:
    try:
        if topic == RECOMMENDATIONS:
            join.add_recommendations(RecommendationsMade.parse(value))
        elif topic == FEEDBACK:
            join.add_feedback(FeedbackReceived.parse(value))
        else:
            erasure = ErasureRequested.parse(value)
            join.forget(erasure.user_id, erasure.ingest_time)
    except DecodeError:
        return
