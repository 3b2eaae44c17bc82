"""Events that a client sent stay known without their content, for `mongo.accepted_days`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agents.runtime.ports import HistoryEntry, HistoryKind
from app.mongo.accepted import ACCEPTED
from app.mongo.history import HistoryStore
from tests.app.mongo.test_history import NOW, entry, erasure

pytestmark = pytest.mark.services


def sent(n: int, *ids: str, user: str = "ada", kind=HistoryKind.INTERACTIONS) -> HistoryEntry:
    return replace(entry(n, user=user, kind=kind, text="a secret"), accepted=ids)


async def test_ids_are_known_by_learner_and_kind(history: HistoryStore) -> None:
    await history.write(
        [
            sent(1, "a", "b"),
            sent(2, "c"),
            sent(3, "d", kind=HistoryKind.MESSAGES),
            sent(1, "e", user="bob"),
            entry(4),
        ]
    )
    asked = ["a", "b", "c", "d", "e", "e4", "never"]
    ids = await history.accepted("ada", HistoryKind.INTERACTIONS, asked)
    assert ids == {"a", "b", "c"}
    assert await history.accepted("ada", HistoryKind.MESSAGES, asked) == {"d"}
    assert await history.accepted("bob", HistoryKind.INTERACTIONS, asked) == {"e"}
    assert await history.accepted("eve", HistoryKind.FEEDBACK, asked) == frozenset()


async def test_the_largest_batch_is_known(history: HistoryStore) -> None:
    ids = [f"{n:064}" for n in range(500)]
    await history.write([sent(1, *ids)])
    assert await history.accepted("ada", HistoryKind.INTERACTIONS, ids) == set(ids)


async def test_no_content_is_kept_and_a_replay_adds_nothing(
    history: HistoryStore, database
) -> None:
    for _ in range(2):
        await history.write([sent(1, "a", "b")])
    (found,) = await database[ACCEPTED].find().to_list()
    assert found.pop("expiresAt").replace(tzinfo=UTC) == datetime.fromtimestamp(
        (NOW + 1) / 1000, UTC
    ) + timedelta(days=14)
    assert found == {
        "_id": "ada\ninteractions\ne1",
        "userId": "ada",
        "kind": "interactions",
        "eventIds": ["a", "b"],
        "ingestTime": NOW + 1,
    }


async def test_an_erasure_takes_them_and_keeps_those_that_come_late_out(
    history: HistoryStore,
) -> None:
    await history.write([sent(1, "a"), sent(9, "later"), sent(2, "b", user="bob")])
    await history.erase(erasure("ada", NOW + 5))
    await history.write([sent(3, "late")])
    asked = ["a", "b", "late", "later"]
    assert await history.accepted("ada", HistoryKind.INTERACTIONS, asked) == {"later"}
    assert await history.accepted("bob", HistoryKind.INTERACTIONS, asked) == {"b"}
