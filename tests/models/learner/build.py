"""Messages and records for these tests, as short as their difference needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from models.learner.config import LearnerSettings, PolicySettings
from models.learner.evidence import Evidence
from models.learner.recommending.serving.settings import RecommendingSettings
from models.learner.trajectory import Trend
from models.learner.update import Position, Step, apply_emotion, apply_interactions
from schemas.topics.actions import FeedbackReceived
from schemas.topics.emotions import PAD, Emotion, EmotionRead, Unread
from schemas.topics.interactions import Interaction, InteractionsReceived
from schemas.topics.operations import ErasureRequested

NOW = 1_790_000_000_000
USER = "learner-1"
SETTINGS = LearnerSettings()


def settings_with_policy(path: Path, text: str, **policy: Any) -> LearnerSettings:
    file = path / "policy.toml"
    file.write_text(text)
    return LearnerSettings(policy=PolicySettings(file=file, **policy))


def settings_with_catalogue(
    path: Path, text: str, places: int = 3, **recommending: Any
) -> LearnerSettings:
    file = path / "catalogue.toml"
    file.write_text(text)
    return LearnerSettings(
        policy=PolicySettings(max_recommendations=places),
        recommending=RecommendingSettings(file=file, **recommending),
    )


def interaction(event_id: str, time: int = NOW, **fields: Any) -> Interaction:
    return Interaction(event_id=event_id, timestamp=time, interaction_type="click", **fields)


def batch(
    interactions: Iterable[Interaction],
    *,
    batch_id: str | None = None,
    ingest: int = NOW,
) -> InteractionsReceived:
    interactions = tuple(interactions)
    return InteractionsReceived(
        event_id=batch_id or f"batch of {interactions[0].event_id}",
        user_id=USER,
        event_time=NOW,
        ingest_time=ingest,
        interactions=interactions,
    )


def at(offset: int, topic: str = "interactions") -> Position:
    return Position(topic, 3, offset)


def reading(
    offset: int,
    *,
    valence: float = 0.5,
    time: int = NOW,
    ingest: int | None = None,
    chat: str | None = None,
    probabilities: dict[Emotion, float] | None = None,
    status: str = "ok",
    reason: Unread | None = None,
    coverage: float | None = None,
    affect: tuple[float, ...] = (),
) -> EmotionRead:
    chat = chat or f"chat-{offset}"
    is_read = status == "ok"
    return EmotionRead(
        event_id=f"reading-of-{chat}",
        user_id=USER,
        event_time=time,
        ingest_time=time if ingest is None else ingest,
        caused_by=(chat,),
        source_topic="chat-messages",
        source_partition=3,
        source_offset=offset,
        status=status,
        reason=reason,
        coverage=coverage,
        affect=affect,
        probabilities=(probabilities or {Emotion.NEUTRAL: 1.0}) if is_read else {},
        pad=PAD(valence=valence, arousal=0.5, dominance=0.5) if is_read else None,
    )


def feedback(event_id: str = "feedback", **fields: Any) -> FeedbackReceived:
    return FeedbackReceived(
        event_id=event_id,
        user_id=USER,
        event_time=NOW,
        ingest_time=NOW,
        target_type=fields.pop("target_type", "recommendation"),
        target_id=fields.pop("target_id", "target"),
        outcome=fields.pop("outcome", "helpful"),
        **fields,
    )


def erasure(ingest: int = NOW) -> ErasureRequested:
    return ErasureRequested(event_id="erasure", user_id=USER, event_time=ingest, ingest_time=ingest)


def fold(
    events: Sequence[InteractionsReceived | EmotionRead],
    settings: LearnerSettings = SETTINGS,
) -> Step:
    """Apply events in order; batches take growing offsets, readings carry theirs."""
    record, step = None, None
    for offset, event in enumerate(events):
        step = (
            apply_emotion(record, event, settings)
            if isinstance(event, EmotionRead)
            else apply_interactions(record, event, at(offset), settings)
        )
        record = step.record
    assert step is not None
    return step


def raw_sums(trend: Trend) -> tuple[float, ...]:
    """S, St, Stt, Sv, Stv, Svv and the squared weights, from the central moments."""
    w, t, v = trend.weight, trend.time, trend.valence
    return (
        w,
        trend.weight_squares,
        w * t,
        trend.time_time + w * t * t,
        w * v,
        trend.time_valence + w * t * v,
        trend.valence_valence + w * v * v,
    )


def sums(evidence: Evidence) -> tuple[float, ...]:
    return evidence.session + evidence.long


# -- strategies ---------------------------------------------------------------------------

TIMES = st.integers(100_000_000_000, 253_402_300_799_999)
"""Any time that a message can carry, milliseconds."""
UNITS = st.floats(0, 1)
SECONDS = st.floats(0, 86_400)


def interactions_at(times: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of one interaction, each of them possibly absent."""
    return st.fixed_dictionaries(
        {"time": times},
        optional={
            "timing_data": st.fixed_dictionaries(
                {}, optional={"response_time": SECONDS, "dwell_time": SECONDS}
            ),
            "context_data": st.fixed_dictionaries({}, optional={"tab_active": st.booleans()}),
            "task_data": st.fixed_dictionaries(
                {},
                optional={
                    "correct": st.booleans(),
                    "hint_count": st.integers(0, 10_000),
                    "attempt_count": st.integers(0, 10_000),
                },
            ),
        },
    )


def readings_at(times: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """The arguments of one reading, its probabilities not necessarily summing to 1."""
    return st.fixed_dictionaries(
        {
            "time": times,
            "valence": UNITS,
            "probabilities": st.dictionaries(st.sampled_from(Emotion), UNITS, min_size=1),
        }
    )
