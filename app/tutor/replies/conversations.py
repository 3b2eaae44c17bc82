"""A learner's dialogue with the tutor: in Redis while it goes on, from MongoDB when it is taken up.

Redis holds the turns that no summary holds yet, and the summary. The list begins with a
mark; without it (a fresh Redis, an idle day) it may lack older turns, and MongoDB is asked.

No words are used for longer than `mongo.chat_days`: turns of before are dropped whenever a dialogue
is read, and a summary when the oldest turn in it is; a new one then begins with what is younger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import structlog
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from app.redis.keys import Keys
from app.settings import RedisSettings
from app.tutor.config import ReplySettings
from app.tutor.replies.conversation_scripts import FILL, FOLD, LOAD
from app.tutor.store import AREA
from models.tutor.context.material import Said, Summary
from schemas.vocabulary import Speaker

log = structlog.get_logger(__name__)

_DAY: Final = 86_400_000
_MARK: Final = b"{}"
_KEYS: Final = ("conversation", "summary", "earlier", "fence")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns oldest first, and what stands before them.

    mode: of the tutor's last reply
    earlier: turns behind those, as far as they are kept, oldest first: the summary holds them
    """

    turns: tuple[Said, ...] = ()
    summary: Summary | None = None
    mode: str | None = None
    earlier: tuple[Said, ...] = ()

    @property
    def newest(self) -> int:
        """Time of the newest turn in it, told or summarised, ms; -1 without any."""
        through = self.summary.through if self.summary is not None else -1
        return max((said.at for said in self.turns), default=through)


class History(Protocol):
    """What was said before Redis knew of it: `app.mongo.dialogue.Dialogues`.

    Raises pymongo.errors.PyMongoError.
    """

    @property
    def days(self) -> float:
        """How long words are kept."""
        ...

    async def turns(self, user_id: str, limit: int) -> list[tuple[Said, str | None]]:
        """The last turns of the dialogue, oldest first, at most `limit`; the tutor's with mode."""
        ...

    async def summary(self, user_id: str) -> Summary | None:
        """The running summary."""
        ...

    async def keep(self, user_id: str, summary: Summary) -> None:
        """Replace the summary by one of later turns."""
        ...


def encoded(said: Said, mode: str | None = None) -> bytes:
    """A turn as the list holds it; `mode` of the tutor's."""
    fields = {"id": said.id, "who": said.speaker, "text": said.text, "at": said.at}
    return orjson.dumps(fields if mode is None else fields | {"mode": mode})


class Conversations:
    """Every learner's. Redis's errors are raised as they come; MongoDB's are not: the tutor
    then knows less of what was said, and says so in the log."""

    def __init__(
        self, redis: Redis, settings: RedisSettings, history: History, replies: ReplySettings
    ) -> None:
        self._redis = redis
        self._keys = Keys(settings, AREA)
        self._history = history
        self._settings = replies
        self._ttl = int(replies.conversation_ttl * 1000)
        self._kept = int(history.days * _DAY)
        self._load = redis.register_script(LOAD)
        self._fill = redis.register_script(FILL)
        self._fold = redis.register_script(FOLD)

    async def load(self, user_id: str) -> Conversation:
        """What was said so far."""
        found, complete = await self._read(user_id)
        if complete or not await self._fill_from_history(user_id):
            return found
        return (await self._read(user_id))[0]

    async def take_turn(self, user_id: str, milliseconds: int) -> bool:
        """Whether nobody has taken it for this learner in this time."""
        key = self._keys.of_user(user_id, "preloading")
        return bool(await self._redis.set(key, 1, nx=True, px=milliseconds))

    async def fold(self, user_id: str, summary: Summary) -> None:
        """This summary takes the place of the turns that are in it, unless one is too old."""
        document = orjson.dumps(summary.document())
        kept = await self._run(
            self._fold,
            user_id,
            self._ttl,
            self._settings.earlier_turns,
            document,
            summary.since,
            summary.through,
        )
        if kept:
            await self._patiently(self._history.keep(user_id, summary))

    async def _read(self, user_id: str) -> tuple[Conversation, bool]:
        turns, held, before = await self._run(
            self._load, user_id, self._settings.conversation_turns
        )
        complete = bool(turns) and turns[0] == _MARK
        told = [orjson.loads(turn) for turn in turns if turn != _MARK]
        behind = [orjson.loads(turn) for turn in before]
        modes = [turn["mode"] for turn in (*behind, *told) if "mode" in turn]
        found = Conversation(
            tuple(map(_said, told)),
            Summary.of(orjson.loads(held)) if held else None,
            modes[-1] if modes else None,
            tuple(map(_said, behind)),
        )
        return found, complete

    async def _fill_from_history(self, user_id: str) -> bool:
        read = asyncio.gather(
            self._history.turns(user_id, self._settings.conversation_turns),
            self._history.summary(user_id),
        )
        found = await self._patiently(read)
        if found is None:
            return False
        turns, summary = found
        pairs = [part for said, mode in turns for part in (said.at, encoded(said, mode))]
        document = orjson.dumps(summary.document()) if summary is not None else b""
        ends = (-1, -1) if summary is None else (summary.since, summary.through)
        most = self._settings.earlier_turns
        await self._run(self._fill, user_id, self._ttl, most, document, *ends, *pairs)
        return True

    async def _patiently(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._settings.history_timeout):
                return await call
        except (PyMongoError, OSError, TimeoutError) as error:
            log.warning("tutor.history_unavailable", error=type(error).__name__)
            return None

    async def _run(self, script: AsyncScript, user_id: str, *arguments: int | bytes) -> Any:
        keys = [self._keys.of_user(user_id, name) for name in _KEYS]
        return await script(keys=keys, args=[self._kept, _MARK, *arguments])


def _said(document: dict[str, Any]) -> Said:
    return Said(Speaker(document["who"]), document["text"], document["at"], document["id"])
