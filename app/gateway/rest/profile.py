"""The latest that is known of a learner: from the push log, else from history.

With it go the classes that the emotion model knows: a class of these that a state does not
name has a share below `learner.least_emotion`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from app.gateway.intake.refusal import Refusal
from app.mongo.history import HistoryStore
from app.redis.push_log import PushLog
from models.artefacts import CARD
from models.emotion.artefact.card import EmotionCard
from models.emotion.config import EmotionSettings
from models.emotion.serving.following import current
from schemas.base import InvalidMessage
from schemas.topics.state import UserState
from schemas.wire.errors import ErrorCode
from schemas.wire.rest import Profile
from schemas.wire.server import Recommendations

_WITHIN: Final = 2.0

log = structlog.get_logger(__name__)


class KnownClasses:
    """The classes of the emotion model that is served, by its card."""

    def __init__(self, settings: EmotionSettings) -> None:
        self._settings = settings
        self._read: tuple[tuple[str, int], list[str]] | None = None

    def names(self) -> list[str]:
        """In the order of the model's outputs. Raises OSError, ValueError: there is no card."""
        card = current(self._settings).artefact / CARD
        version = (str(card), card.stat().st_mtime_ns)
        if self._read is None or self._read[0] != version:
            self._read = version, [emotion.value for emotion in EmotionCard.read(card).emotions]
        return self._read[1]


class Profiles:
    """Reads profiles; keeps none."""

    def __init__(self, pushes: PushLog, history: HistoryStore, classes: KnownClasses) -> None:
        self._pushes = pushes
        self._history = history
        self._classes = classes

    async def read(self, user_id: str) -> Profile:
        """What is known of a learner.

        Raises Refusal: NOT_FOUND, or UNAVAILABLE when nobody can tell.
        """
        profile = await self._from_push_log(user_id)
        answered = profile is not None
        if profile is None or not profile.known:
            from_history = await self._from_history(user_id)
            answered = from_history is not None
            profile = from_history or profile
        if profile is not None and profile.known:
            return profile
        if not answered:
            raise Refusal.unavailable("the learner's state cannot be read")
        raise Refusal(ErrorCode.NOT_FOUND, "nothing is known of this learner", "userId")

    async def _from_push_log(self, user_id: str) -> Profile | None:
        """None when Redis does not answer, or what it holds cannot be read."""
        try:
            async with asyncio.timeout(_WITHIN):
                latest = await self._pushes.latest(user_id)
            if latest.user_state is None:
                return Profile(user_id=user_id, known=False)
            made = latest.recommendations or {}
            return Profile(
                user_id=user_id,
                known=True,
                user_state=UserState.read(latest.user_state),
                recommendations=Recommendations.read(
                    {"epoch": latest.epoch, "offset": max(1, latest.offset), **made}
                ).recommendations,
                details=await self._details("live"),
            )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("profile.push_log_unavailable", error=type(error).__name__)
        except InvalidMessage as error:
            log.error("profile.live_state_unreadable", field=error.field)
        except (ValueError, KeyError, TypeError) as error:  # no push as we write them
            log.error("profile.live_state_unreadable", error=type(error).__name__)
        return None

    async def _from_history(self, user_id: str) -> Profile | None:
        """None when MongoDB does not answer."""
        try:
            async with asyncio.timeout(_WITHIN):
                found = await self._history.profile(user_id)
        except (PyMongoError, OSError, TimeoutError) as error:
            log.warning("profile.history_unavailable", error=type(error).__name__)
            return None
        if found is None:
            return Profile(user_id=user_id, known=False)
        try:
            state = UserState.read(found)
        except InvalidMessage as error:
            log.error("profile.stored_state_unreadable", field=error.field)
            return Profile(user_id=user_id, known=False)
        details = await self._details("history")
        return Profile(user_id=user_id, known=True, user_state=state, details=details)

    async def _details(self, source: str) -> dict[str, Any]:
        """Where the state is from, and `classes`; those are absent if no card can be read."""
        try:
            async with asyncio.timeout(_WITHIN):
                return {"source": source, "classes": await asyncio.to_thread(self._classes.names)}
        except (OSError, ValueError, TimeoutError) as error:
            log.warning("profile.model_card_unreadable", error=str(error) or type(error).__name__)
            return {"source": source}
