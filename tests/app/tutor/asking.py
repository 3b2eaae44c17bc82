"""Learners who ask, as the learner worker would have it, and what comes of it."""

from __future__ import annotations

from typing import Any

import orjson
from redis.asyncio import Redis

from agents.runtime.topics import CHAT, TUTOR_REPLIES, TUTOR_REQUESTS
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.tutor.config import TimeoutSettings, TutorSettings
from models.ids import derived_id, reply_id
from schemas.base import new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead, Evidence
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.state import Activity, Estimate, Source, TrajectoryCall, UserState
from schemas.topics.tutor import RequestKind, TutorRequested
from tests.app.tutor.sse import Endpoint
from tests.crash.fleet import fast
from tests.topics import Record, eventually, produce, read_all

TIMEOUTS = {"overall": 30.0, "connect": 10.0, "first_text": 10.0, "stall": 10.0, "store": 20.0}
_PRIOR = Estimate(value=0.5, confidence=0.0, source=Source.PRIOR)


def with_tutor(settings: Settings, *endpoints: Endpoint, **changes: Any) -> Settings:
    """With these providers, retries that do not keep a test waiting, and a worker of one name."""
    replies = {"retry_first": 0.5, "retry_longest": 2.0, **changes.pop("replies", {})}
    tutor = TutorSettings.model_validate(
        {
            "providers": [
                {"name": f"p{n}", "base_url": endpoint.url, "model": "m", "max_streams": 256}
                for n, endpoint in enumerate(endpoints)
            ],
            "timeouts": TimeoutSettings(**TIMEOUTS),
            "breaker": {"open_for": 0.5, "open_max": 1.0},
            "replies": replies,
            **changes,
        }
    )
    return fast(settings, instance="only").model_copy(update={"tutor": tutor})


def a_chat(user: str, text: str, ingest_time: int | None = None) -> ChatReceived:
    at = now_ms() if ingest_time is None else ingest_time
    return ChatReceived(
        event_id=new_event_id(), user_id=user, event_time=at, ingest_time=at, text=text,
        wants_reply=True,
    )  # fmt: skip


def a_request(chat: ChatReceived, place: tuple[int, int], **fields: Any) -> TutorRequested:
    event = {
        "user_id": chat.user_id,
        "event_time": chat.event_time,
        "ingest_time": chat.ingest_time,
        "caused_by": (chat.event_id,),
        "source_topic": CHAT,
        "source_partition": place[0],
        "source_offset": place[1],
    }
    state = UserState(
        **event,
        event_id=derived_id("state", chat.event_id, chat.user_id),
        version=1,
        updated_at=chat.ingest_time,
        valence=_PRIOR,
        arousal=_PRIOR,
        dominance=_PRIOR,
        trajectory=TrajectoryCall(points=0),
        activity=Activity(interactions=0, messages=1),
    )
    made = {
        **event,
        "event_id": derived_id("tutor-request", chat.event_id, chat.user_id),
        "reply_id": reply_id(chat.event_id, chat.user_id),
        "kind": RequestKind.CHAT,
        "state": state,
    }
    return TutorRequested(**(made | fields))


def a_reading(
    chat: ChatReceived, place: tuple[int, int], probabilities: dict[Emotion, float]
) -> EmotionRead:
    """As the emotion worker sends it."""
    return EmotionRead(
        event_id=derived_id("reading", chat.event_id, chat.user_id),
        user_id=chat.user_id,
        event_time=chat.event_time,
        ingest_time=chat.ingest_time,
        caused_by=(chat.event_id,),
        source_topic=CHAT,
        source_partition=place[0],
        source_offset=place[1],
        model_version="m",
        probabilities=probabilities,
        pad=PAD(valence=0.5, arousal=0.5, dominance=0.5),
    )


def a_concern(chat: ChatReceived, place: tuple[int, int], **fields: Any) -> ConcernRead:
    """As the emotion worker sends it."""
    made = {
        "event_id": chat.event_id,
        "user_id": chat.user_id,
        "event_time": chat.event_time,
        "ingest_time": chat.ingest_time,
        "caused_by": (chat.event_id,),
        "source_topic": CHAT,
        "source_partition": place[0],
        "source_offset": place[1],
        "model_version": "m",
        "probability": 0.8,
        "from_": Evidence.MESSAGE,
    }
    return ConcernRead(**(made | fields))


async def ask(settings: Settings, *chats: ChatReceived) -> list[TutorRequested]:
    """Write messages and the requests that the learner worker makes of them."""
    places = await produce(settings, CHAT, [(chat.user_id, chat) for chat in chats])
    requests = [a_request(chat, place) for chat, place in zip(chats, places, strict=True)]
    await produce(settings, TUTOR_REQUESTS, [(one.user_id, one) for one in requests])
    return requests


async def replies(settings: Settings, number: int, within: float = 60.0) -> list[dict[str, Any]]:
    """What stands on `tutor-replies`, once so many final replies do."""

    async def look() -> list[dict[str, Any]]:
        return [record.document for record in await read_all(settings, TUTOR_REPLIES)]

    def enough(found: list[dict[str, Any]]) -> bool:
        return len({each["replyId"] for each in found if each["final"]}) >= number

    return await eventually(look, enough, within)


async def pushed(settings: Settings, user: str) -> list[dict[str, Any]]:
    """The learner's push log."""
    async with connect(settings.redis, "push") as client:
        pushes = PushLog(client, settings.redis)
        epoch = (await pushes.head(user)).epoch
        found = await pushes.since(user, epoch, 0)
    assert found is not None
    return [orjson.loads(push.wire()) for push in found.pushes]


async def shown(
    settings: Settings, user: str, final: int = 1, within: float = 60.0
) -> list[dict[str, Any]]:
    """The learner's push log, once it has so many final replies."""
    return await eventually(
        lambda: pushed(settings, user),
        lambda found: sum(bool(each.get("final")) for each in found) >= final,
        within,
    )


class Page:
    """What a page makes of its pushes, by the rules in docs/wire.md."""

    def __init__(self) -> None:
        self.attempt = 0
        self.text = ""
        self.final: dict[str, Any] | None = None

    def take(self, push: dict[str, Any]) -> None:
        if push["type"] == "tutor_delta" and self.final is None:
            if push["attempt"] > self.attempt:
                self.attempt, self.text = push["attempt"], ""
            if push["attempt"] == self.attempt:
                self.text += push["text"]
        elif push["type"] == "tutor_reply":
            if push["final"]:
                assert self.final is None, "a second final reply"
                self.final = push
                self.text = push["text"]
            elif push["attempt"] in (0, self.attempt):
                self.text = ""


def page(pushes: list[dict[str, Any]], reply: str) -> Page:
    made = Page()
    for push in pushes:
        if push.get("replyId") == reply:
            made.take(push)
    return made


async def keys(client: Redis, settings: Settings, user: str) -> set[str]:
    """Of this learner, with the prefix taken off."""
    pattern = f"{settings.redis.prefix}:tutor:{{{user}}}:*"
    return {key.decode().rpartition(":")[2] async for key in client.scan_iter(match=pattern)}


def documents(records: list[Record]) -> list[dict[str, Any]]:
    return [record.document for record in records]
