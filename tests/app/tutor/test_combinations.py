"""Two providers, every pair of behaviours: one answer or one clear failure, in order, counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from itertools import product
from uuid import uuid4

import pytest

from app.tutor.config import BudgetSettings
from app.tutor.providers.errors import FailureKind, NoAnswer, Reason
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from models.tutor.guard.config import GuardSettings
from models.tutor.guard.guard import GuardContext, ReplyGuard
from schemas.vocabulary import Task
from tests.app.tutor.conftest import TIMEOUTS
from tests.app.tutor.listening import Ear, metric, request
from tests.app.tutor.sse import (
    Behaviour,
    cut,
    drop,
    garbage,
    no_text,
    say,
    silence,
    stall,
    status,
    unfinished,
)

F = FailureKind
GUARD = partial(
    ReplyGuard, GuardContext(Task.DIRECT, learner="Why is one half more?"), GuardSettings()
)


@dataclass(frozen=True)
class Case:
    """How a provider behaves, how that is to be called, and how often it is to be asked."""

    behaviour: Behaviour
    kind: FailureKind | None
    times: int = 1
    shows: bool = False


CASES = {
    "answers": Case(say("Be", "cause."), None),
    "answers without counts": Case(say("Be", "cause.", usage=None), None),
    "is silent": Case(silence(), F.SLOW),
    "pings": Case(no_text(pings=True), F.SLOW),
    "sends empty chunks": Case(no_text(pings=False), F.SLOW),
    "stalls": Case(stall("Be"), F.STALLED, shows=True),
    "is limited, briefly": Case(status(429, retry_after="0.05"), F.RATE_LIMITED, 2),
    "is limited, long": Case(status(429, retry_after="30"), F.RATE_LIMITED),
    "is limited, until when?": Case(status(429), F.RATE_LIMITED),
    "fails": Case(status(500), F.SERVER, 2),
    "is overloaded": Case(status(503, b"<html>busy"), F.SERVER, 2),
    "knows no key": Case(status(401), F.DENIED),
    "knows no model": Case(status(404), F.REFUSED),
    "drops": Case(drop(), F.CONNECT, 2),
    "cuts before text": Case(cut(), F.CUT, 2),
    "cuts after text": Case(cut("Be"), F.CUT, 2, shows=True),
    "does not finish": Case(unfinished("Be"), F.CUT, 2, shows=True),
    "says nothing": Case(say(), F.EMPTY, 2),
    "withholds": Case(say("Be", finish="content_filter"), F.FILTERED, shows=True),
    "sends no JSON": Case(garbage("{nonsense", "Be"), F.MALFORMED, 2, shows=True),
    "sends other JSON": Case(garbage("[1, 2]"), F.MALFORMED, 2),
    "sends no text": Case(garbage('{"choices": [{"delta": {"content": 7}}]}'), F.MALFORMED, 2),
    "sends half a character": Case(say("\ud83d"), F.EMPTY, 2),
    "goes round in circles": Case(say("Be ", *["so it is "] * 9), F.UNFIT, shows=True),
    "begins with a template's token": Case(say("<|im_start|>", "Because."), F.UNFIT),
    "reports an error": Case(garbage('{"error": {"message": "overloaded"}}'), F.SERVER, 2),
}


async def one_pair(bench, first: Case, second: Case) -> None:
    names = [f"p{uuid4().hex[:10]}" for _ in "ab"]
    endpoints = [await bench.endpoint(case.behaviour) for case in (first, second)]
    router = await bench.router(dict(zip(names, endpoints, strict=True)))
    asked, ear = request(guard=GUARD), Ear()

    async with asyncio.timeout(TIMEOUTS.overall + 10):
        try:
            answer = await router.answer(asked, ear)
        except NoAnswer as error:
            failed: NoAnswer | None = error
        else:
            failed = None
            ear.check(answer)
    await router.close()

    tried = [first] if first.kind is None else [first, second]
    if failed is None:
        assert tried[-1].kind is None
        assert answer.provider == names[len(tried) - 1]
        assert answer.text == "Because."
    else:
        assert failed.reason is Reason.EXHAUSTED
        assert all(case.kind is not None for case in tried)
        assert failed.shown == ear.standing == 0
    assert len(ear.void) == sum(case.times for case in tried if case.kind and case.shows)

    pairs = zip((first, second), names, endpoints, strict=True)
    for place, (case, name, endpoint) in enumerate(pairs):
        expected = case.times if place < len(tried) else 0
        assert len(endpoint.seen) == expected
        outcome = case.kind.value if case.kind else "answered"
        assert metric("attempts_total", provider=name, outcome=outcome) == expected
        assert metric("streams", provider=name) == 0

    # Nothing stays reserved: what is on the account is what was counted as used.
    used, _ = await Budgets(
        TutorStore(bench.client, bench.redis_settings, 5), BudgetSettings()
    ).used(asked.user_id)
    assert used == sum(
        metric("tokens_total", provider=name, kind=kind)
        for name in names
        for kind in ("input", "output")
    )


def batches(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


@pytest.mark.parametrize("firsts", batches(list(CASES), 4), ids=", ".join)
async def test_every_pair(bench, firsts):
    """Any behaviour of the first provider, any of the second; many pairs wait together."""

    async def named(first: str, second: str) -> None:
        try:
            await one_pair(bench, CASES[first], CASES[second])
        except BaseException as error:
            error.add_note(f"first {first}, second {second}")
            raise

    async with asyncio.TaskGroup() as group:
        for first, second in product(firsts, CASES):
            group.create_task(named(first, second))


async def test_a_provider_that_is_not_there(bench):
    gone, there = await bench.endpoint(say("never")), await bench.endpoint(say("Here."))
    name = f"p{uuid4().hex[:10]}"
    router = await bench.router({name: gone, "there": there})
    gone.refuse()

    answer = await router.answer(request(), ear := Ear())

    ear.check(answer)
    assert answer.provider == "there"
    await router.close()
    assert metric("attempts_total", provider=name, outcome="connect") == 2
