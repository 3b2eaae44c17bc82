"""What masterx needs of a Redis: commands that its user may run, and one shard.

`masterx doctor`, the gateway and the workers that cannot do without Redis ask before they start.
A Redis that does not answer is no obstacle: whoever needs it waits.

Errors:
    Unfit      this Redis cannot be used as it is; the text says what to grant or to change
    Rejected   it does not take this client: certificate, user or password; names the setting
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import MovedError, NoPermissionError, ResponseError

from agents.runtime.retrying import Fatal, Retriable
from app.process.errors import OperatorError
from app.redis.client import SETTING, connect, errors_told_apart, rejection
from app.settings import RedisSettings

_KEY: Final = "KEY"
"""Stands for a scratch key of the probe."""

# Each in a form that does no harm to a key that lives for a second; a key of another type is no
# matter, because the permission is looked at first.
PROBES: Final[dict[str, tuple[str | int, ...]]] = {
    "DEL": (_KEY,),
    "EXISTS": (_KEY,),
    "EXPIRE": (_KEY, 1),
    "GET": (_KEY,),
    "HDEL": (_KEY, "f"),
    "HGET": (_KEY, "f"),
    "HGETALL": (_KEY,),
    "HINCRBY": (_KEY, "f", 1),
    "HMGET": (_KEY, "f"),
    "HSET": (_KEY, "f", "v"),
    "INFO": ("server",),
    "LINDEX": (_KEY, 0),
    "LLEN": (_KEY,),
    "LPOP": (_KEY,),
    "LPUSH": (_KEY, "v"),
    "LRANGE": (_KEY, 0, 0),
    "LREM": (_KEY, 0, "v"),
    "LSET": (_KEY, 0, "v"),
    "LTRIM": (_KEY, 0, 0),
    "PEXPIRE": (_KEY, 1000),
    "RPOP": (_KEY,),
    "RPUSH": (_KEY, "v"),
    "SADD": (_KEY, "v"),
    "SET": (_KEY, "v", "PX", 1000),
    "SMEMBERS": (_KEY,),
    "SREM": (_KEY, "v"),
    "TIME": (),
    "UNLINK": (_KEY,),
    "ZADD": (_KEY, 1, "v"),
    "ZRANGEBYSCORE": (_KEY, 0, 0),
    "ZREM": (_KEY, "v"),
}
"""What scripts run, and what is run beside them; a test holds it against the scripts."""

BESIDE: Final = ("EVAL", "EVALSHA", "PING", "PUBLISH", "SCAN", "SCRIPT|LOAD", "SUBSCRIBE")
"""Needed, too; looked at outside of a script."""

_PROBE: Final = """
-- KEYS scratch; ARGV commands as JSON. Returns those that this user may not run.
local refused = {}
for _, command in ipairs(cjson.decode(ARGV[1])) do
  local answer = redis.pcall(unpack(command))
  local err = type(answer) == 'table' and answer.err
  if err and (string.find(err, "can't run this command", 1, true)
      or string.find(err, 'no permissions', 1, true)
      or string.find(err, "can't access at least one", 1, true)) then
    refused[#refused + 1] = command[1]
  end
end
redis.pcall('DEL', KEYS[1])
return refused
"""

_SLOTS_ASKED: Final = 16
"""Keys whose slots are asked for: two shards that share the slots answer for all of them once in
65 536 times."""


class Unfit(OperatorError):
    """This Redis cannot be used as it is."""

    def __init__(self, obstacles: list[str]) -> None:
        super().__init__(f"Redis ({SETTING}) cannot be used: {' '.join(obstacles)}")


async def require(settings: RedisSettings) -> None:
    """Raises Unfit, Rejected where something stands in the way; not where Redis is away."""
    try:
        found = await obstacles(settings)
    except Retriable:
        return
    if found:
        raise Unfit(found)


async def obstacles(settings: RedisSettings) -> list[str]:
    """What stands in the way, a sentence each, with what to do. Raises Retriable, Rejected."""
    async with connect(settings, "operator") as client:
        try:
            with errors_told_apart():
                refused = await _refused(client, settings.prefix)
                if not refused and await _several_shards(client, settings.prefix):
                    return [
                        "Its keys are spread over several shards; masterx needs a Redis, or a "
                        "cluster, of one shard."
                    ]
        except Fatal as error:
            if (refusal := rejection(settings, error.__cause__ or error)) is not None:
                raise refusal from error
            return [f"It refuses this user: {error.reason}."]
    if not refused:
        return []
    grants = " ".join(f"+{command.lower()}" for command in refused)
    return [
        f"Its user may not run {', '.join(refused)} on keys and channels {settings.prefix}:*. "
        f"Grant them: ACL SETUSER <user> {grants} ~{settings.prefix}:* &{settings.prefix}:*"
    ]


async def _refused(client: Redis, prefix: str) -> list[str]:
    key = f"{prefix}:{{probe}}:{secrets.token_hex(4)}"
    refused: list[str] = []

    async def allowed(name: str, *command: Any) -> Any:
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoPermissionError:
            refused.append(name)
        except ResponseError:
            pass  # it was run
        return None

    await allowed("PING", "PING")
    await allowed("PUBLISH", "PUBLISH", f"{prefix}:probe", "")
    await allowed("SCAN", "SCAN", "0", "COUNT", 1)
    loaded = await allowed("SCRIPT|LOAD", "SCRIPT", "LOAD", _PROBE)
    pubsub = client.pubsub()
    try:
        await pubsub.subscribe(f"{prefix}:probe")
        await pubsub.get_message(timeout=1.0)
    except NoPermissionError:
        refused.append("SUBSCRIBE")
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    commands = orjson.dumps(
        [
            [name, *(key if one == _KEY else str(one) for one in arguments)]
            for name, arguments in PROBES.items()
        ]
    )
    answer = await allowed("EVAL", "EVAL", _PROBE, 1, key, commands)
    if loaded is not None:
        await allowed("EVALSHA", "EVALSHA", loaded, 1, key, b"[]")
    refused += [bytes(name).decode() for name in answer or ()]
    return refused


async def _several_shards(client: Redis, prefix: str) -> bool:
    """Whether this server answers for some keys and sends for others elsewhere."""
    if not (await client.info("cluster")).get("cluster_enabled"):
        return False
    moved = 0
    for number in range(_SLOTS_ASKED):
        try:
            await client.get(f"{prefix}:probe:{number}")
        except MovedError:
            moved += 1
    # All elsewhere: a replica of the one shard, while it fails over.
    return 0 < moved < _SLOTS_ASKED
