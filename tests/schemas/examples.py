"""Messages of every kind: as small as they may be, and with every field filled."""

from __future__ import annotations

from schemas.base import Message
from schemas.topics.actions import (
    FeedbackReceived,
    InterventionRaised,
    Recommendation,
    RecommendationsMade,
    TargetType,
)
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead, Evidence
from schemas.topics.emotions import PAD, Emotion, EmotionRead, Unread
from schemas.topics.interactions import (
    ContextData,
    Interaction,
    InteractionsReceived,
    TaskData,
    TimingData,
    ViewportData,
)
from schemas.topics.operations import DeadLetter, ErasureRequested
from schemas.topics.state import Activity, Estimate, Source, Trajectory, TrajectoryCall, UserState
from schemas.topics.tutor import (
    Latency,
    ReplyMode,
    ReplyStatus,
    RequestKind,
    TokenUsage,
    TutorReplied,
    TutorRequested,
)
from schemas.vocabulary import Concern, Level
from schemas.wire.client import ChatMessage, Feedback, InteractionBatch, Ping, Resume
from schemas.wire.errors import ErrorCode
from schemas.wire.rest import (
    Accepted,
    ChatRequest,
    FeedbackRequest,
    InteractionRequest,
    LaterFrame,
    Problem,
    Profile,
    Pushes,
)
from schemas.wire.server import (
    Ack,
    Error,
    Hello,
    Intervention,
    Limits,
    Pong,
    Recommendations,
    Restarting,
    Resumed,
    TutorDelta,
    TutorReply,
    UserStateUpdate,
)

NOON = 1_767_225_600_000
EVENT = {"event_id": "e-1", "user_id": "Zoë 学", "event_time": NOON, "ingest_time": NOON + 5}
DERIVED = EVENT | {
    "caused_by": ("e-0", "e-1"),
    "source_topic": "interactions",
    "source_partition": 11,
    "source_offset": 2**63 - 1,
}

BARE_INTERACTION = Interaction(timestamp=NOON, interaction_type="click")
FULL_INTERACTION = Interaction(
    event_id="i-1",
    timestamp=NOON,
    user_id="Zoë 学",
    interaction_type="click",
    element_id="#next",
    timing_data=TimingData(response_time=0.25, dwell_time=-0.0),
    viewport_data=ViewportData(scroll_distance=1200.5, device_type="tablet"),
    context_data=ContextData(tab_active=False, session_duration=1e11),
    task_data=TaskData(
        problem_id="p", skill="s", correct=True, attempt_count=1, hint_count=0, hint_total=3
    ),
)
ESTIMATE = Estimate(value=0.5, confidence=0.0, source=Source.PRIOR)
RECOMMENDATION = Recommendation(
    id="r-1",
    action="animation_speed",
    parameters={"speed": 0.5, "colours": [1, 2], "nested": {"none": None}},
    confidence=1.0,
    because=("cognitive load is high",),
)
BARE_STATE = UserState(
    **EVENT,
    version=0,
    updated_at=NOON,
    valence=ESTIMATE,
    arousal=ESTIMATE,
    dominance=ESTIMATE,
    trajectory=TrajectoryCall(points=0),
    activity=Activity(interactions=0, messages=0),
)
FULL_STATE = UserState(
    **DERIVED,
    version=7,
    updated_at=NOON,
    valence=Estimate(value=1.0, confidence=1.0, source=Source.MEASURED),
    arousal=ESTIMATE,
    dominance=ESTIMATE,
    emotions={Emotion.JOY: 0.75, Emotion.NEUTRAL: 0.25},
    trajectory=TrajectoryCall(call=Trajectory.IMPROVING, slope=-0.01, slope_error=0.0, points=9),
    activity=Activity(
        interactions=3,
        messages=4,
        response_time=1.5,
        dwell_time=0.0,
        tab_active=1.0,
        correct=0.5,
        hints=0.1,
        attempts=1.2,
    ),
    model_status="unavailable",
    model_reason=Unread.UNSUPPORTED_LANGUAGE,
)
LIMITS = Limits(
    max_message_bytes=65_536,
    max_text_length=8_000,
    max_interactions=500,
    messages_per_second=30.0,
    burst=300,
)
ERROR = Error(
    id="m-1", code=ErrorCode.RATE_LIMITED, field="text", message="slow down", retry_after=1.5
)
PUSH = {"epoch": "x", "offset": 1, "caused_by": ("e-1",)}

REPLY = {
    "reply_id": "r-1",
    "status": ReplyStatus.ANSWERED,
    "final": True,
    "attempt": 2,
    "text": "So what is a half?",
    "mode": "socratic",
    "because": ("readiness is high",),
    "provider": "near",
    "model": "m-1",
    "usage": TokenUsage(input_tokens=9, output_tokens=4, micros=3, reported=True),
    "latency": Latency(first_text=0.2, total=1.5),
    "cut_short": True,
    "prompt_version": "1",
    "retry_until": NOON,
}

_ALL: tuple[Message, ...] = (
    InteractionsReceived(**EVENT, interactions=(BARE_INTERACTION,)),
    InteractionsReceived(**EVENT, interactions=(FULL_INTERACTION, BARE_INTERACTION)),
    ChatReceived(**EVENT, text="I do not get it 😕\n\x00 — “why”?"),
    FeedbackReceived(**EVENT, target_type=TargetType.REPLY, target_id="r-1", outcome="dismissed"),
    ErasureRequested(**EVENT),
    ErasureRequested(**EVENT, requested_by="Zoë 学"),
    EmotionRead(**EVENT, status="unavailable"),
    EmotionRead(**EVENT, status="unavailable", reason=Unread.NOT_THE_LEARNER),
    EmotionRead(
        **DERIVED,
        model_version="2026-01",
        probabilities={Emotion.JOY: 1.0, Emotion.AWE: 0.0},
        top=Emotion.JOY,
        coverage=0.75,
        pad=PAD(valence=0.9, arousal=0.5, dominance=0.5),
    ),
    ConcernRead(**DERIVED, model_version="m", probability=0.75, from_=Evidence.MESSAGE),
    ConcernRead(
        **DERIVED,
        model_version="m",
        probability=0.25,
        kinds={Concern.ABUSE: 0.25, Concern.DISTRESS: 0.125},
        from_=Evidence.MESSAGES,
        weight=1.5,
    ),
    BARE_STATE,
    FULL_STATE,
    RecommendationsMade(**EVENT, version=1),
    RecommendationsMade(**DERIVED, version=1, recommendations=(RECOMMENDATION,)),
    InterventionRaised(
        **DERIVED,
        version=2,
        level=Level.CRITICAL,
        confidence=0.5,
        because=("valence fell",),
        raised_at=NOON,
    ),
    TutorRequested(**DERIVED, reply_id="r-1", kind=RequestKind.CHAT, state=BARE_STATE),
    TutorRequested(
        **DERIVED,
        reply_id="r-1",
        kind=RequestKind.INTERVENTION,
        state=FULL_STATE,
        reading={Emotion.JOY: 0.5},
        level=Level.MODERATE,
        because=("valence fell",),
    ),
    TutorReplied(
        **DERIVED, kind=RequestKind.CHAT, reply_id="r-1", status=ReplyStatus.OFF, final=True
    ),
    TutorReplied(**DERIVED, kind=RequestKind.CHAT, **REPLY),
    DeadLetter(
        topic="chat-messages",
        partition=0,
        offset=0,
        role="emotion",
        error="InvalidJson",
        reason="not JSON",
        failed_at=NOON,
    ),
    DeadLetter(
        topic="chat-messages",
        partition=0,
        offset=2**63 - 1,
        role="emotion",
        error="InvalidMessage",
        reason="is blank",
        field="text",
        failed_at=NOON,
        key_base64="dQ==",
        value_base64="e30=",
        headers={"schema": "ChatReceived/1"},
        raw_headers=(("schema", "Q2hhdFJlY2VpdmVkLzE="), ("x", None), ("x", "//4=")),
        omitted_bytes=9_000_000,
    ),
    InteractionBatch(id="b-1", interactions=(FULL_INTERACTION,)),
    ChatMessage(id="m-1", timestamp=NOON, text="hm"),
    ChatMessage(id="m-1", timestamp=NOON, text="hm", wants_reply=True, reply_mode=ReplyMode.DIRECT),
    ChatMessage(id="m-1", event_id="e-1", timestamp=NOON, text="hm"),
    Feedback(id="f-1", target_type=TargetType.INTERVENTION, target_id="i", outcome="helped"),
    Resume(epoch="x", offset=0),
    Ping(),
    Ping(id="p-1"),
    Hello(epoch="x", offset=0, limits=LIMITS),
    Hello(
        epoch="x",
        offset=3,
        user_state=FULL_STATE,
        recommendations=(RECOMMENDATION,),
        limits=LIMITS,
    ),
    Ack(id="b-1", event_ids=("e-1", "e-2"), duplicates=("e-2",)),
    Error(code=ErrorCode.INVALID_JSON, message="not JSON"),
    ERROR,
    Resumed(recovered=True, epoch="x", offset=0),
    Resumed(recovered=False, epoch="x", offset=9, user_state=BARE_STATE, recommendations=()),
    Pong(),
    Pong(id="p-1", server_time=NOON),
    Restarting(reconnect_after=2.5),
    UserStateUpdate(**PUSH, user_state=FULL_STATE),
    Recommendations(**PUSH),
    Recommendations(**PUSH, recommendations=(RECOMMENDATION,)),
    Intervention(**PUSH, id="i-1", level=Level.MILD, confidence=0.4, because=(), raised_at=NOON),
    TutorDelta(**PUSH, reply_id="r-1", attempt=1, index=0, text="So"),
    TutorReply(**PUSH, reply_id="r-1", status=ReplyStatus.UNAVAILABLE, final=False),
    TutorReply(**PUSH, **REPLY),
    InteractionRequest(interactions=(BARE_INTERACTION,)),
    InteractionRequest(id="b-1", user_id="Zoë 学", interactions=(FULL_INTERACTION,)),
    ChatRequest(text="hm"),
    ChatRequest(id="m-1", event_id="e-1", user_id="Zoë 学", timestamp=NOON, text="hm"),
    FeedbackRequest(target_type=TargetType.REPLY, target_id="r", outcome="helped"),
    FeedbackRequest(
        id="f-1",
        user_id="Zoë 学",
        target_type=TargetType.RECOMMENDATION,
        target_id="r",
        outcome="helped",
    ),
    Accepted(id="b-1", event_ids=("e-1",), duplicates=()),
    Problem(error=ERROR),
    Profile(user_id="Zoë 学", known=False),
    Profile(
        user_id="Zoë 学",
        known=True,
        user_state=FULL_STATE,
        recommendations=(RECOMMENDATION,),
        details={"source": "history"},
    ),
    Pushes(frames=(Hello(epoch="x", offset=0, limits=LIMITS),)),
    Pushes(
        frames=(
            Resumed(recovered=True, epoch="x", offset=0),
            UserStateUpdate(**PUSH, user_state=FULL_STATE),
            Recommendations(**PUSH, recommendations=(RECOMMENDATION,)),
            TutorReply(**PUSH, **REPLY),
            LaterFrame(type="milestone", epoch="x", offset=9),
        )
    ),
)

EXAMPLES: dict[type[Message], list[Message]] = {}
for _message in _ALL:
    EXAMPLES.setdefault(type(_message), []).append(_message)
