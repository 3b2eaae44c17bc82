"""The list of places is whole, and the page says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.runtime.ports import HistoryKind
from app.kafka.topics import catalogue
from app.mongo.accepted import ACCEPTED
from app.mongo.history import ERASURES, STATES, SUMMARIES
from app.privacy.retention import RETENTION, Kept, Store
from app.redis.push_log import _NAMES
from app.settings import KafkaSettings, Settings

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
CODE = {
    path: path.read_text(encoding="utf-8")
    for folder in ("tutor", "redis", "gateway")
    for path in (ROOT / "app" / folder).rglob("*.py")
}


def names(store: Store) -> set[str]:
    return {kept.name for kept in RETENTION if kept.store is store}


def test_every_topic_is_listed():
    assert names(Store.KAFKA) == {topic.name for topic in catalogue(KafkaSettings())}


def test_every_collection_is_listed():
    assert names(Store.MONGO) == {*HistoryKind, STATES, SUMMARIES, ACCEPTED, ERASURES}


def test_every_key_of_a_learner_in_redis_is_listed():
    """Keys are spelled by `of_user(user, name)`, and the push log's by its names."""
    spelled = set()
    for text in CODE.values():
        spelled |= set(re.findall(r'of_user\(\s*\w+(?:\.\w+)*, f?"([\w-]+)', text))
    listed = {name.removeprefix("tutor:{user}:").partition(":")[0] for name in names(Store.REDIS)}
    assert spelled
    assert spelled <= listed
    assert {f"push:{{user}}:{name}" for name in _NAMES} == {
        name for name in names(Store.REDIS) if name.startswith("push:")
    }


@pytest.mark.parametrize("kept", RETENTION, ids=lambda kept: f"{kept.store}-{kept.name}")
def test_its_setting_is_there_and_the_page_names_both(kept: Kept):
    bound = kept.bound(Settings())
    assert bound is None or bound > 0
    if kept.setting is not None:
        assert f"`{kept.setting}`" in PAGE
    last = kept.name.rpartition("}")[2]
    others = kept.store is Store.MONGO and not kept.text  # "all others" on the page
    assert others or re.search(rf"[`:]{re.escape(last.lstrip(':'))}`", PAGE)


def test_all_that_holds_text_is_marked_so_on_the_page():
    for kept in RETENTION:
        if kept.text and kept.store is not Store.REDIS:
            rows = [line for line in PAGE.splitlines() if f"`{kept.name}`" in line]
            assert any("text" in row for row in rows), kept.name
