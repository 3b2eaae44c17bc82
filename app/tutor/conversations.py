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
_KEYS: Final = ("conversation", "summary", "earlier", "fence")

_FILL: Final = """
-- KEYS conversation, summary, earlier, fence; ARGV ttl ms, most of the earlier, mark,
-- summary or '', the newest time in it, then time and turn of each.
local talk, summary, earlier, ttl = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local present = redis.call('LRANGE', talk, 0, -1)
if present[1] == ARGV[3] then return 0 end
local fence = tonumber(redis.call('GET', KEYS[4]) or -1)
redis.call('DEL', talk, earlier)
redis.call('RPUSH', talk, ARGV[3])
local there = {}
for _, turn in ipairs(present) do there[cjson.decode(turn).id] = true end
for i = 6, #ARGV, 2 do
  local at = tonumber(ARGV[i])
  if at > fence and not there[cjson.decode(ARGV[i + 1]).id] then
    redis.call('RPUSH', at > tonumber(ARGV[5]) and talk or earlier, ARGV[i + 1])
  end
end
redis.call('LTRIM', earlier, -ARGV[2], -1)
redis.call('PEXPIRE', earlier, ttl)
for _, turn in ipairs(present) do redis.call('RPUSH', talk, turn) end
redis.call('PEXPIRE', talk, ttl)
if ARGV[4] ~= '' and tonumber(ARGV[5]) > fence then
  redis.call('SET', summary, ARGV[4], 'PX', ttl)
end
return 1
"""

_FOLD: Final = """
-- KEYS conversation, summary, earlier, fence; ARGV ttl ms, most of the earlier, summary,
-- the newest time in it.
local through = tonumber(ARGV[4])
if through <= tonumber(redis.call('GET', KEYS[4]) or -1) then return 0 end
local known = redis.call('GET', KEYS[2])
if known and cjson.decode(known).through >= through then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[1])
for _, turn in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local at = cjson.decode(turn).at
  if at and at <= through then
    redis.call('LREM', KEYS[1], 1, turn)
    redis.call('RPUSH', KEYS[3], turn)
  end
end
redis.call('LTRIM', KEYS[3], -ARGV[2], -1)
redis.call('PEXPIRE', KEYS[3], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns oldest first, and what stands before them.

    mode: of the tutor's last reply
    earlier: turns that the summary holds, as far as they are kept, oldest first
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


def encoded(said: Said, mode: str | None = None) -> bytes:
    """A turn as the list holds it; `mode` of the tutor's."""
    fields = {"id": said.id, "who": said.speaker, "text": said.text, "at": said.at}
    return orjson.dumps(fields if mode is None else fields | {"mode": mode})


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
            keys=self._places(user_id),
            args=[self._ttl, self._settings.earlier_turns, document, summary.through],
        )
        if kept:
            await self._patiently(self._dialogues.keep(user_id, summary))

    async def _read(self, user_id: str) -> tuple[Conversation, bool]:
        talk, summary, earlier, _ = self._places(user_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.lrange(talk, 0, -1)
            pipeline.get(summary)
            pipeline.lrange(earlier, 0, -1)
            turns, held, before = await pipeline.execute()
        complete = bool(turns) and turns[0] == _MARK
        told = [orjson.loads(turn) for turn in turns if turn != _MARK]
        behind = [orjson.loads(turn) for turn in before]
        modes = [turn["mode"] for turn in (*behind, *told) if "mode" in turn]
        found = Conversation(
            tuple(map(_said, told)),
            _summary(held) if held else None,
            modes[-1] if modes else None,
            tuple(map(_said, behind)),
        )
        return found, complete

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
        pairs = [part for said, mode in turns for part in (said.at, encoded(said, mode))]
        document = _summary_document(summary) if summary is not None else b""
        most = self._settings.earlier_turns
        await self._fill(
            keys=self._places(user_id), args=[self._ttl, most, _MARK, document, since, *pairs]
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
        return [self._keys.of_user(user_id, name) for name in _KEYS]


def _said(document: dict[str, Any]) -> Said:
    return Said(Speaker(document["who"]), document["text"], document["at"], document["id"])


def _summary_document(summary: Summary) -> bytes:
    fields = ("text", "through", "turns", "by")
    return orjson.dumps({name: getattr(summary, name) for name in fields})


def _summary(document: bytes) -> Summary:
    found = cast("dict[str, Any]", orjson.loads(document))
    return Summary(found["text"], found["through"], found["turns"], Compressor(found["by"]))
