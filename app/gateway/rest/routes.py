"""REST: the same messages as on the WebSocket, one a request.

202 is what `ack` is there: Kafka has the events. Every error is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError

from app.gateway.auth.admission import Admission, Sender, bearer, check_may_see
from app.gateway.auth.tokens import Principal
from app.gateway.intake import trace
from app.gateway.intake.events import Batch, Submission, read_interactions
from app.gateway.intake.intake import Intake
from app.gateway.intake.limits import RateLimit
from app.gateway.intake.refusal import Refusal
from app.gateway.process import metrics
from app.gateway.rest.bodies import read_json
from app.gateway.rest.openapi import PUSHES_QUERY, described
from app.gateway.rest.profile import Profiles
from app.gateway.rest.pushes import Polls, read_query
from app.gateway.websocket import codec
from schemas.base import InvalidMessage, Message, OpaqueId, new_event_id, now_ms
from schemas.topics.interactions import Interaction
from schemas.vocabulary import Role
from schemas.wire.client import ChatMessage, Feedback
from schemas.wire.errors import ErrorCode
from schemas.wire.rest import (
    Accepted,
    ChatRequest,
    FeedbackRequest,
    InteractionRequest,
    Profile,
    Pushes,
)

PREFIX: Final = "/api/v1/ml-personalization"
_ID: Final[TypeAdapter[str]] = TypeAdapter(OpaqueId)

M = TypeVar("M", bound=Message)
T = TypeVar("T")

router = APIRouter(prefix=PREFIX, tags=["learners"])


@dataclass(frozen=True, slots=True)
class Rest:
    """What the routes need; `app.state.rest`."""

    admission: Admission
    intake: Intake
    profiles: Profiles
    polls: Polls
    rate: RateLimit
    max_body_bytes: int


@router.post("/interaction", status_code=202, **described(InteractionRequest, Accepted))
async def interaction(request: Request) -> Response:
    """Send a batch of interactions, or a single interaction object."""
    principal = await _authenticated(request)
    document = await _body(request, principal)
    single = "interactions" not in document and (
        "interactionType" in document or "interaction_type" in document
    )
    if single:
        one = _read(Interaction, document)  # first, so that an error names its field alone
        document = {**document, "userId": one.user_id, "interactions": [document]}
    body, triage = _valid(lambda: read_interactions(InteractionRequest, document))
    message_id = _message_id(request, body.id)
    user_id = _user(principal, body.user_id or body.interactions[0].user_id)
    message = Batch(message_id, body.interactions, triage, body.sent_at, body.attempt)
    return await _submit(request, message, principal, user_id)


@router.post("/chat", status_code=202, **described(ChatRequest, Accepted))
async def chat(request: Request) -> Response:
    """Send what the learner wrote."""
    principal = await _authenticated(request)
    body = _read(ChatRequest, await _body(request, principal))
    # Built without a second validation: its time is in milliseconds already.
    message = ChatMessage.model_construct(
        type="chat_message",
        id=_message_id(request, body.id),
        attempt=body.attempt,
        sent_at=body.sent_at,
        event_id=body.event_id,
        timestamp=now_ms() if body.timestamp is None else body.timestamp,
        text=body.text,
        wants_reply=body.wants_reply,
        reply_mode=body.reply_mode,
    )
    return await _submit(request, message, principal, _user(principal, body.user_id))


@router.post("/feedback", status_code=202, **described(FeedbackRequest, Accepted))
async def feedback(request: Request) -> Response:
    """Say what came of a recommendation, an intervention or a reply."""
    principal = await _authenticated(request)
    body = _read(FeedbackRequest, await _body(request, principal))
    message = Feedback(
        id=_message_id(request, body.id),
        attempt=body.attempt,
        sent_at=body.sent_at,
        target_type=body.target_type,
        target_id=body.target_id,
        outcome=body.outcome,
    )
    return await _submit(request, message, principal, _user(principal, body.user_id))


@router.get("/profile/{user_id:path}", **described(None, Profile))
async def profile(request: Request, user_id: str) -> Response:
    """The latest state of a learner."""
    principal = await _authenticated(request)
    _rest(request).rate.count(principal, user_id)
    check_may_see(principal, user_id)
    return answer(await _rest(request).profiles.read(user_id))


@router.get("/pushes/{user_id:path}", **described(None, Pushes, PUSHES_QUERY))
async def pushes(request: Request, user_id: str) -> Response:
    """What a learner's WebSocket would bring after a place; waits for the first push."""
    principal = await _authenticated(request)
    polls = _rest(request).polls
    polls.rate.count(principal, user_id)
    traceparent = request.headers.get("traceparent")
    sender = _rest(request).admission.sender(principal, user_id, traceparent)
    place, wait = read_query(request.query_params, polls.most_wait)
    return await polls.answer(sender, place, wait, request.receive)


def answer(message: Message, status: int = 200) -> Response:
    """A message as a JSON response."""
    return Response(message.json_bytes(), status, media_type="application/json")


def _rest(request: Request) -> Rest:
    rest: Rest = request.app.state.rest
    return rest


async def _authenticated(request: Request) -> Principal:
    token = bearer(request.headers.get("authorization"))
    return await _rest(request).admission.principal(token, request.query_params)


async def _body(request: Request, principal: Principal) -> dict[str, Any]:
    # A learner's rate before its body is read; a service's rate is that of the learner
    # it acts for, who stands in the body.
    if principal.role not in (Role.SERVICE, Role.ADMIN):
        _rest(request).rate.count(principal, None)
    document = await read_json(request, _rest(request).max_body_bytes)
    given = document.get("id", request.headers.get("idempotency-key"))
    request.state.message_id = codec.readable_id(given)
    return document


def _read(model: type[M], document: dict[str, Any]) -> M:
    return _valid(lambda: model.read(document))


def _valid(read: Callable[[], T]) -> T:
    try:
        return read()
    except InvalidMessage as error:
        raise Refusal(ErrorCode.INVALID_MESSAGE, error.message, error.field) from None


def _message_id(request: Request, from_body: Any) -> str:
    """The body's id, else the header Idempotency-Key, else a new one (no retry is known by)."""
    header = request.headers.get("idempotency-key")
    value, field = (from_body, "id") if from_body is not None else (header, "Idempotency-Key")
    if value is None:
        return new_event_id()
    try:
        return _ID.validate_python(value)
    except ValidationError:
        raise Refusal(
            ErrorCode.INVALID_MESSAGE, "an id has 1 to 64 characters that can be seen", field
        ) from None


def _user(principal: Principal, named: str | None) -> str:
    """The learner that a request is for."""
    if named is None and principal.role in (Role.SERVICE, Role.ADMIN):
        raise Refusal(ErrorCode.INVALID_MESSAGE, "for which learner?", "userId")
    return principal.subject if named is None else named


async def _submit(
    request: Request, message: Submission, principal: Principal, user_id: str
) -> Response:
    if principal.role in (Role.SERVICE, Role.ADMIN):
        _rest(request).rate.count(principal, user_id)
    traceparent = request.headers.get("traceparent")
    sender = Sender(principal, user_id, traceparent if trace.valid(traceparent) else None)
    try:
        ack = await _rest(request).intake.submit(message, sender)
    except Refusal as refusal:
        metrics.MESSAGES.labels("rest", message.type, refusal.code).inc()
        raise
    metrics.MESSAGES.labels("rest", message.type, "accepted").inc()
    accepted = Accepted(
        id=ack.id, event_ids=ack.event_ids, duplicates=ack.duplicates, rejected=ack.rejected
    )
    return answer(accepted, 202)
