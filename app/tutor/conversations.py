"""A learner's dialogue with the tutor: in Redis while it goes on, from MongoDB when it is taken up.

Redis holds the turns that no summary holds yet, and the summary. The list begins with a
mark; without it (a fresh Redis, an idle day) it may lack older turns, and MongoDB is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
import structlog
from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from app.settings import RedisSettings
from app.stores.dialogue import Dialogues
from app.tutor.config import ReplySettings
from app.tutor.store import TutorStore
from models.tutor.context.material import Compressor, Said, Summary
from models.tutor.moves.dialogue import Speaker

log = structlog.get_logger(__name__)

_MARK: Final = b"{}"

_FILL: Final = """
-- KEYS conversation, summary, fence; ARGV ttl ms, mark, summary or '', its time,
-- then time and turn of each.
local talk, ttl = KEYS[1], ARGV[1]
local present = redis.call('LRANGE', talk, 0, -1)
if present[1] == ARGV[2] then return 0 end
local fence = tonumber(redis.call('GET', KEYS[3]) or -1)
redis.call('DEL', talk)
redis.call('RPUSH', talk, ARGV[2])
local there = {}
for _, turn in ipairs(present) do there[cjson.decode(turn).id] = true end
for i = 5, #ARGV, 2 do
  if tonumber(ARGV[i]) > fence and not there[cjson.decode(ARGV[i + 1]).id] then
    redis.call('RPUSH', talk, ARGV[i + 1])
  end
end
for _, turn in ipairs(present) do redis.call('RPUSH', talk, turn) end
redis.call('PEXPIRE', talk, ttl)
if ARGV[3] ~= '' and tonumber(ARGV[4]) > fence then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ttl)
end
return 1
"""

_FOLD: Final = """
-- KEYS conversation, summary, fence; ARGV ttl ms, summary, the newest time in it.
local through = tonumber(ARGV[3])
if through <= tonumber(redis.call('GET', KEYS[3]) or -1) then return 0 end
local known = redis.call('GET', KEYS[2])
if known and cjson.decode(known).through >= through then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
for _, turn in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local at = cjson.decode(turn).at
  if at and at <= through then redis.call('LREM', KEYS[1], 1, turn) end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns oldest first, and what stands before them."""

    turns: tuple[Said, ...]
    summary: Summary | None


def encoded(said: Said) -> bytes:
    """A turn as the list holds it."""
    return orjson.dumps({"id": said.id, "who": said.speaker, "text": said.text, "at": said.at})


class Conversations:
    """Every learner's. Redis's errors are raised as they come; MongoDB's are not: the tutor
    then knows less of what was said, and says so in the log."""

    def __init__(
        self, redis: Redis, settings: RedisSettings, dialogues: Dialogues, replies: ReplySettings
    ) -> None:
        self._redis = redis
        self._keys = TutorStore(redis, settings, timeout=1.0)
        self._dialogues = dialogues
        self._settings = replies
        self._ttl = int(replies.conversation_ttl * 1000)
        self._fill = redis.register_script(_FILL)
        self._fold = redis.register_script(_FOLD)

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
        """This summary takes the place of the turns that are in it."""
        document = _summary_document(summary)
        kept = await self._fold(
            keys=self._places(user_id), args=[self._ttl, document, summary.through]
        )
        if kept:
            await self._patiently(self._dialogues.keep(user_id, summary))

    async def _read(self, user_id: str) -> tuple[Conversation, bool]:
        talk, summary, _ = self._places(user_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.lrange(talk, 0, -1)
            pipeline.get(summary)
            turns, held = await pipeline.execute()
        complete = bool(turns) and turns[0] == _MARK
        said = [_said(orjson.loads(turn)) for turn in turns if turn != _MARK]
        return Conversation(tuple(said), _summary(held) if held else None), complete

    async def _fill_from_history(self, user_id: str) -> bool:
        read = asyncio.gather(
            self._dialogues.turns(user_id, self._settings.conversation_turns),
            self._dialogues.summary(user_id),
        )
        found = await self._patiently(read)
        if found is None:
            return False
        turns, summary = found
        since = summary.through if summary is not None else -1
        pairs = [part for said in turns if said.at > since for part in (said.at, encoded(said))]
        document = _summary_document(summary) if summary is not None else b""
        await self._fill(
            keys=self._places(user_id), args=[self._ttl, _MARK, document, since, *pairs]
        )
        return True

    async def _patiently(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._settings.history_timeout):
                return await call
        except (PyMongoError, OSError, TimeoutError) as error:
            log.warning("tutor.history_unavailable", error=type(error).__name__)
            return None

    def _places(self, user_id: str) -> list[str]:
        return [self._keys.of_user(user_id, name) for name in ("conversation", "summary", "fence")]


def _said(document: dict[str, Any]) -> Said:
    return Said(Speaker(document["who"]), document["text"], document["at"], document["id"])


def _summary_document(summary: Summary) -> bytes:
    fields = ("text", "through", "turns", "by")
    return orjson.dumps({name: getattr(summary, name) for name in fields})


def _summary(document: bytes) -> Summary:
    found = cast("dict[str, Any]", orjson.loads(document))
    return Summary(found["text"], found["through"], found["turns"], Compressor(found["by"]))
