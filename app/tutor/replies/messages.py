"""What the tutor says to topics, made of what it was asked and of the words that were found.

Ids are derived from the cause, so that the same thing said again is known as the same.
"""

from __future__ import annotations

from app.tutor.prompt.reply_contract import Danger, Worded
from models.ids import derived_id, reply_id
from schemas.base import Derived, Event
from schemas.figures import rounded
from schemas.topics.actions import InterventionRaised
from schemas.topics.tutor import ReplyStatus, RequestKind, TutorReplied, TutorRequested


def intervention(danger: Danger, event: Event) -> InterventionRaised:
    """A person is to be called because of this message, or of words that were found for it."""
    return InterventionRaised(
        **_derived(event, derived_id("danger", event.event_id, event.user_id)),
        version=0,
        level=danger.level,
        confidence=rounded(danger.confidence),
        because=danger.because,
        raised_at=event.ingest_time,
    )


def human_help(danger: Danger, event: Event, *, answered: bool = False) -> TutorReplied:
    """What is said to a message that is for a person; by the id of the reply to that message.

    event: the chat message, or what was read in it, which has its id
    answered: that reply is out, and this one follows it, by an id of its own
    """
    reply = reply_id(event.event_id, event.user_id)
    if answered:
        reply = derived_id("help", reply, event.user_id)
    return TutorReplied(
        **_derived(event, reply),
        kind=RequestKind.CHAT,
        reply_id=reply,
        status=ReplyStatus.HUMAN_HELP,
        final=True,
        text=danger.message,
        because=danger.because,
    )


def notice(request: TutorRequested, because: str, until: int) -> TutorReplied:
    """That there is no answer now, and why; tried again until `until` (ms)."""
    return TutorReplied(
        **_same(request, derived_id("unavailable", request.reply_id, request.user_id)),
        status=ReplyStatus.UNAVAILABLE,
        final=False,
        because=(because,),
        retry_until=until,
    )


def final_reply(request: TutorRequested, worded: Worded, attempt: int) -> TutorReplied:
    """The reply; `attempt` as the learner sees it."""
    return TutorReplied(
        **_same(request, request.reply_id),
        status=worded.status,
        final=True,
        attempt=attempt,
        text=worded.text,
        mode=worded.mode,
        because=worded.because,
        provider=worded.provider,
        model=worded.model,
        usage=worded.usage,
        latency=worded.latency,
        cut_short=worded.cut_short,
        prompt_version=worded.prompt_version,
    )


def _same(request: TutorRequested, event_id: str) -> dict[str, object]:
    """What a reply has of its request; the position is the request's cause's."""
    fields = ("user_id", "event_time", "ingest_time", "caused_by", "kind", "reply_id")
    named = ("source_topic", "source_partition", "source_offset")
    return {"event_id": event_id} | {name: getattr(request, name) for name in (*fields, *named)}


def _derived(event: Event, event_id: str) -> dict[str, object]:
    causes = event.caused_by if isinstance(event, Derived) else (event.event_id,)
    return {
        "event_id": event_id,
        "user_id": event.user_id,
        "event_time": event.event_time,
        "ingest_time": event.ingest_time,
        "caused_by": causes,
    }
