"""Keys as every release spells them."""

from __future__ import annotations

import pytest

from app.redis.keys import Keys
from app.settings import RedisSettings


@pytest.fixture
def keys() -> Keys:
    return Keys(RedisSettings(prefix="masterx"), "push")


def slot_part(key: str) -> str:
    """What Redis Cluster hashes: what stands between the first { and the next }."""
    return key[key.index("{") + 1 : key.index("}")]


def test_the_spelling_is_what_0_1_wrote(keys: Keys):
    assert keys.user("ada") == "masterx:push:{ada}"
    assert keys.of_user("ada", "log") == "masterx:push:{ada}:log"
    assert keys.shared("parked") == "masterx:{push}:parked"


@pytest.mark.parametrize("user", ["ada", "{}", "{a}{b}", "a%7Bb", "é:{x", "}"])
def test_all_keys_of_a_learner_lie_in_one_slot(keys: Keys, user: str):
    slots = {slot_part(keys.of_user(user, name)) for name in ("meta", "log", "ids")}
    assert len(slots) == 1
    assert slots != {""}


def test_no_two_learners_share_a_key(keys: Keys):
    users = ["a{", "a%7B", "a%257B", "a}", "a%7D", "a"]
    assert len({keys.user(user) for user in users}) == len(users)
