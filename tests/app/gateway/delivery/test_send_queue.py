"""What a slow client gets: fewer states, nothing else fewer, all in order."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.ports import PushKind, WhenSlow
from app.gateway.delivery.send_queue import Frame, Overflow, SendQueue

AMPLE = 10**9
PUSHES = (PushKind.STATE, PushKind.RECOMMENDATIONS, PushKind.INTERVENTION)
ANSWER = "ack"


def frame(kind: str, offset: int, size: int = 0) -> Frame:
    """An answer, or a push of a kind; also of one that this release does not know."""
    if kind == ANSWER:
        return Frame(None, orjson.dumps({"type": "ack", "id": str(offset)}))
    causes = (f"c{offset}",)
    document = {"type": kind, "offset": offset, "causedBy": causes, "padding": "x" * size}
    known = kind if isinstance(kind, PushKind) else None
    return Frame(known, orjson.dumps(document), offset, causes)


def sent(outbox: SendQueue) -> list[dict]:
    found = []
    while (payload := outbox.pop()) is not None:
        found.append(orjson.loads(payload))
    return found


def push_all(outbox: SendQueue, frames: Iterable[Frame]) -> None:
    for one in frames:
        outbox.push(one)


def run(
    steps: Iterable[str | None], conflate_above: int
) -> tuple[list[Frame], list[dict], SendQueue]:
    """Push a frame for each kind; None sends one."""
    outbox = SendQueue(AMPLE, conflate_above)
    pushed, out = [], []
    for offset, step in enumerate(steps, start=1):
        if step is None:
            payload = outbox.pop()
            out += [] if payload is None else [orjson.loads(payload)]
        else:
            pushed.append(frame(step, offset))
            outbox.push(pushed[-1])
    return pushed, out + sent(outbox), outbox


steps = st.lists(
    st.none() | st.sampled_from([ANSWER, "of_a_newer_release", *PushKind]), max_size=80
)
bounds = st.sampled_from([0, 150, 400, AMPLE])


@given(steps, bounds)
def test_offsets_only_grow(steps, bound):
    _, out, _ = run(steps, bound)
    offsets = [one["offset"] for one in out if "offset" in one]
    assert offsets == sorted(set(offsets))


@given(steps, bounds)
def test_answers_and_pushes_that_are_kept_all_arrive_in_order(steps, bound):
    pushed, out, _ = run(steps, bound)
    kept = [orjson.loads(one.payload) for one in pushed if one.when_slow is WhenSlow.KEPT]
    dropped = {kind for kind in PushKind if kind.when_slow is not WhenSlow.KEPT}
    assert [one for one in out if one["type"] not in dropped] == kept


@given(steps, bounds)
def test_the_latest_of_each_kind_arrives_and_no_cause_is_lost_or_told_twice(steps, bound):
    pushed, out, _ = run(steps, bound)
    for kind in PushKind.latest_wins():
        of_kind = [one for one in pushed if one.kind is kind]
        arrived = [one for one in out if one["type"] == kind]
        assert [c for one in arrived for c in one["causedBy"]] == [
            c for one in of_kind for c in one.caused_by
        ]
        if of_kind:
            assert arrived[-1]["offset"] == of_kind[-1].offset


@given(steps, bounds)
def test_pieces_of_a_reply_arrive_unless_the_client_is_slow(steps, bound):
    pushed, out, outbox = run(steps, bound)
    of_kind = [orjson.loads(one.payload) for one in pushed if one.kind is PushKind.TUTOR_DELTA]
    arrived = [one for one in out if one["type"] == PushKind.TUTOR_DELTA]
    assert [one for one in of_kind if one in arrived] == arrived
    assert len(of_kind) - len(arrived) <= outbox.conflated


@given(steps, bounds)
def test_a_state_is_followed_by_recommendations_if_it_was_in_the_log(steps, bound):
    pushed, out, _ = run(steps, bound)
    order = [one.kind for one in pushed if one.when_slow is WhenSlow.LATEST]
    if order and order[-1] is PushKind.RECOMMENDATIONS:
        told = [one["type"] for one in out if one["type"] in (PushKind.STATE, order[-1])]
        assert told[-1] == order[-1]


@given(steps)
def test_a_client_that_keeps_up_gets_everything(steps):
    pushed, out, outbox = run(steps, AMPLE)
    assert out == [orjson.loads(one.payload) for one in pushed]
    assert outbox.conflated == 0


@given(steps, bounds)
def test_the_bytes_are_those_of_what_is_unsent(steps, bound):
    outbox = SendQueue(AMPLE, bound)
    for offset, step in enumerate(steps, start=1):
        outbox.pop() if step is None else outbox.push(frame(step, offset))
        assert outbox.bytes >= 0
        assert (outbox.bytes == 0) == (len(outbox) == 0)
    sent(outbox)
    assert outbox.bytes == 0


@given(st.lists(st.sampled_from(PUSHES), min_size=1, max_size=300), st.integers(300, 3_000))
def test_it_never_holds_more_than_its_bound(kinds, bound):
    outbox = SendQueue(bound, bound // 8)
    overflowed = False
    for offset, kind in enumerate(kinds, start=1):
        try:
            outbox.push(frame(kind, offset, size=50))
        except Overflow:
            overflowed = True
            break
        assert outbox.bytes <= bound or len(outbox) == 1
    assert overflowed or len(outbox) <= len(kinds)


def test_interventions_overflow_but_states_take_each_others_place():
    outbox = SendQueue(10_000, 1_000)
    for offset in range(1, 101):
        outbox.push(frame(PushKind.STATE, offset, size=500))
    assert len(outbox) <= 3
    with pytest.raises(Overflow):
        push_all(outbox, [frame(PushKind.INTERVENTION, n, size=500) for n in range(101, 201)])


def test_a_lone_message_larger_than_the_bound_goes_out():
    outbox = SendQueue(1_000, 100)
    outbox.push(frame(PushKind.STATE, 1, size=5_000))
    assert sent(outbox)[0]["offset"] == 1


def test_dropping_pushes_leaves_answers():
    outbox = SendQueue(AMPLE, AMPLE)
    for offset, kind in enumerate([ANSWER, *PUSHES, ANSWER], start=1):
        outbox.push(frame(kind, offset))
    outbox.drop_pushes()
    assert [one["id"] for one in sent(outbox)] == ["1", "5"]
    assert outbox.bytes == 0
    outbox.push(frame(PushKind.STATE, 9))
    assert [one["offset"] for one in sent(outbox)] == [9]


def test_a_client_that_reads_nothing_makes_no_push_dearer_than_the_one_before():
    """The memory of causes is handed on, not copied."""
    outbox = SendQueue(AMPLE, 0)
    outbox.push(frame(ANSWER, 0))
    outbox.push(frame(PushKind.STATE, 1))
    outbox.push(frame(PushKind.STATE, 2))
    memory = next(one.inherited for one in outbox._entries.values() if one.inherited)
    for offset in range(3, 200):
        outbox.push(frame(PushKind.STATE, offset))
    assert next(one.inherited for one in outbox._entries.values() if one.inherited) is memory
    assert len(memory) == 198
