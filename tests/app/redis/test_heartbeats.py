"""Beats of the worker roles: one key, however much else Redis holds."""

from __future__ import annotations

import uuid

import redis.asyncio as redis

from app.redis.heartbeats import (
    Beat,
    GroupMember,
    beat,
    client_id,
    retire,
    roles,
    static_name,
    unheard,
)
from app.settings import RedisSettings
from app.worker.role import roles as registered


def a_beat(role: str, instance: str) -> Beat:
    # By a clock that is hours behind: only the server's counts.
    return Beat(
        role=role, instance=instance, state="ready", detail="", lag=0, at=1, metrics="127.0.0.1:1"
    )


async def test_fresh_beats_by_role(client: redis.Redis, redis_settings: RedisSettings):
    assert await roles(client, redis_settings) == {}
    for instance in ("a", "b"):
        await beat(client, redis_settings, a_beat("push", instance))
    await beat(client, redis_settings, a_beat("push", "a"))
    found = await roles(client, redis_settings)
    assert {one["instance"] for one in found["push"]} == {"a", "b"}
    assert found["tutor"] == []
    await retire(client, redis_settings, "push", "a")
    assert [one["instance"] for one in (await roles(client, redis_settings))["push"]] == ["b"]


async def test_stale_beats_do_not_count_and_are_deleted_some_at_a_time(
    client: redis.Redis, redis_settings: RedisSettings
):
    key = f"{redis_settings.prefix}:beats"
    dead = {f"push:{number}": f'1000:{{"role": "push", "n": {number}}}' for number in range(250)}
    await client.hset(key, mapping=dead)
    await beat(client, redis_settings, a_beat("push", "alive"))
    left = []
    for _ in range(3):
        assert [one["instance"] for one in (await roles(client, redis_settings))["push"]] == [
            "alive"
        ]
        left.append(await client.hlen(key))
    assert left == [151, 51, 1]


async def test_a_gateway_of_the_release_before_finds_them_at_the_old_keys(
    client: redis.Redis, redis_settings: RedisSettings
):
    await beat(client, redis_settings, a_beat("push", "a"))
    old = f"{redis_settings.prefix}:beat:push:a"
    assert 0 < await client.pttl(old) <= 5_000
    await retire(client, redis_settings, "push", "a")
    assert await client.get(old) is None


async def test_reading_them_takes_the_same_few_commands_among_100_000_other_keys(
    client: redis.Redis, redis_settings: RedisSettings
):
    for role in registered():
        await beat(client, redis_settings, a_beat(role, "a"))
    await client.mset({f"mx:seen:{number}": 1 for number in range(100_000)})
    try:
        await client.config_resetstat()
        found = await roles(client, redis_settings)
        stats = await client.info("commandstats")
    finally:
        async for key in client.scan_iter(match="mx:seen:*", count=10_000):
            await client.delete(key)
    assert all(len(found[role]) == 1 for role in registered())
    asked = {name: one["calls"] for name, one in stats.items() if "config" not in name}
    assert sum(asked.values()) <= 6, asked
    assert not {"cmdstat_scan", "cmdstat_keys"} & asked.keys()


def test_who_is_a_member_of_the_group_without_a_beat():
    known = dict(a_beat("learner", "pod-1"))

    def member(client: str, name: str = "") -> GroupMember:
        return GroupMember(client, f"{name or client}-{uuid.uuid4()}")

    ours = member(client_id("masterx", "learner", "pod-1"))
    other = member(client_id("masterx", "learner", "pod-2"))
    before = member("faust-0.15.3")
    # Kafka keeps the client id of whoever had the name first.
    in_its_place = member("faust-0.15.3", static_name("learner", "pod-1"))
    before_by_name = member("faust-0.15.3", static_name("learner", "pod-10"))
    members = [ours, other, before, in_its_place, before_by_name]
    assert unheard(members, "learner", [known]) == [other, before, before_by_name]
    assert unheard([in_its_place], "learner", []) == [in_its_place]
