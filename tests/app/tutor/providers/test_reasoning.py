"""Models that think: what is shown, sent back, paid for, and how long they are waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from app.tutor.config import BudgetSettings
from app.tutor.providers.errors import NoAnswer, Reason
from app.tutor.providers.router_types import Ending
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from tests.app.tutor.conftest import TIMEOUTS, Bench
from tests.app.tutor.listening import Ear, metric, request
from tests.app.tutor.replies.test_replying import Desk
from tests.app.tutor.sse import Behaviour, Exchange, say

SECRET = "The learner is slow"
ANSWER = "Let us look at the pies."
SHORT = TIMEOUTS.model_copy(update={"first_text": 1.0, "stall": 1.0, "thinking": 12.0})


def name() -> str:
    return f"p{uuid4().hex[:10]}"


async def think(x: Exchange, thought: str, field: str = "reasoning_content") -> None:
    await x.event({"choices": [{"index": 0, "delta": {field: thought}, "finish_reason": None}]})


def paced(
    pause: float, thoughts: int, *, then: str | None, tell: Callable[..., object] = think
) -> Behaviour:
    """A thought after each pause, and then a text, or nothing more."""

    async def behave(x: Exchange) -> None:
        await x.head()
        for _ in range(thoughts):
            await tell(x, SECRET)
            await asyncio.sleep(pause)
        if then is None:
            await x.hang()
        await x.text(then, "stop")
        await x.counts(10, 600)
        await x.event("[DONE]")
        await x.end()

    return behave


async def tagged(x: Exchange, thought: str) -> None:
    await x.text(f"<think>{thought}")


@pytest.mark.parametrize("tell", [think, tagged], ids=["beside the text", "in the text"])
async def test_thoughts_are_life(bench: Bench, tell: Callable[..., object]):
    """It thinks for three times as long as a first text may take."""
    then = f"</think>{ANSWER}" if tell is tagged else ANSWER
    endpoint = await bench.endpoint(paced(0.3, 10, then=then, tell=tell))
    router = await bench.router({name(): endpoint}, timeouts=SHORT)
    answer = await router.answer(request(), ear := Ear())
    ear.check(answer)
    assert answer.text == ANSWER
    assert answer.first_text >= 3 * SHORT.first_text * 0.9
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (paced(0.2, 10_000, then=None), "it thinks without end"),
        (paced(0.2, 2, then=None), "it falls silent in a thought"),
    ],
)
async def test_thoughts_are_life_up_to_a_bound(bench: Bench, behaviour: Behaviour, why: str):
    endpoint = await bench.endpoint(behaviour)
    short = SHORT.model_copy(update={"thinking": 3.0})
    router = await bench.router({(provider := name()): endpoint}, timeouts=short)
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer) as caught:
        await router.answer(request(), Ear())
    assert caught.value.reason is Reason.EXHAUSTED, why
    assert asyncio.get_running_loop().time() - began < TIMEOUTS.overall / 2
    await router.close()
    assert metric("attempts_total", provider=provider, outcome="slow") == 1


async def test_thoughts_are_paid_for_although_nobody_counts_them(bench: Bench):
    """Without counts of the provider's, what was thought is estimated with what was said."""
    endpoint = await bench.endpoint(say(f"<think>{'x' * 396}</think>", "four", usage=None))
    router = await bench.router({name(): endpoint})
    answer = await router.answer(request(), Ear())
    assert not answer.usage.reported
    assert answer.usage.output_tokens == (396 + 4) / 4


async def test_a_limit_spent_on_thoughts_is_booked_and_not_tried_again(bench: Bench):
    async def spends(x: Exchange) -> None:
        await x.head()
        await think(x, SECRET)
        await x.text("", "length")
        await x.counts(10, 600)
        await x.event("[DONE]")
        await x.end()

    endpoint = await bench.endpoint(spends)
    router = await bench.router({(provider := name()): endpoint}, each={"output_price": 100})
    asked = request()
    for _ in range(6):  # the threshold of the circuit, and one more
        with pytest.raises(NoAnswer):
            await router.answer(asked, Ear())
    await router.close()
    assert len(endpoint.seen) == 6, "once each, and its circuit stays closed"
    assert metric("attempts_total", provider=provider, outcome="no_room") == 6
    assert metric("cost_dollars_total", provider=provider) == pytest.approx(6 * 0.06)
    store = TutorStore(bench.client, bench.redis_settings, 5)
    assert (await Budgets(store, BudgetSettings()).used(asked.user_id))[0] == 6 * 610


async def test_after_one_closing_tag_the_next_beginning_is_held_back(bench: Bench):
    """The first answer is void when the tag comes; of the second nothing is shown before it."""
    thinks = say(SECRET, ", easy words.", "</think>", ANSWER)
    endpoint = await bench.endpoint(thinks)
    router = await bench.router({name(): endpoint})

    first = await router.answer(request(), ear := Ear())
    ear.check(first)
    assert first.text == ANSWER
    assert ear.void == {1}
    assert len(endpoint.seen) == 1, "the same answer goes on"

    second = await router.answer(request(), ear := Ear())
    ear.check(second)
    assert ear.attempts == [[ANSWER]]

    # A model that stops thinking is held back once, and then speaks at once again.
    endpoint.otherwise = say("Plain ", "words.")
    third = await router.answer(request(), ear := Ear())
    assert third.text == "Plain words."
    assert ear.attempts == [["Plain words."]]
    await router.answer(request(), ear := Ear())
    assert ear.attempts == [["Plain ", "words."]]


async def stored(bench: Bench, key: bytes) -> object:
    """What Redis holds at a key."""
    client = bench.client
    match (await client.type(key)).decode():
        case "string":
            return await client.get(key)
        case "list":
            return await client.lrange(key, 0, -1)
        case "hash":
            return await client.hgetall(key)
        case "stream":
            return await client.xrange(key)
        case "set":
            return await client.smembers(key)
        case "zset":
            return await client.zrange(key, 0, -1)
        case other:
            raise AssertionError(other)


async def test_a_thought_is_neither_shown_nor_stored_nor_sent_back(bench: Bench):
    thought = say(f"<think>{SECRET}, easy", " words.</thi", f"nk>\n\n{ANSWER}")
    beside = say("<think>", SECRET, "</think>", "The second answer.")
    endpoint = await bench.endpoint(say("The third."), thought, beside)
    desk = await Desk(bench, endpoint).open()
    for text in ("why?", "which pies?", "and then?"):
        await desk.reply(desk.asked(text))
    told = [each["content"] for each in endpoint.seen[-1].body["messages"]]
    assert {ANSWER, "The second answer."} <= set(told)
    assert [each.text for each in desk.told] == [ANSWER, "The second answer.", "The third."]
    kept = str([await stored(bench, key) async for key in bench.client.scan_iter()])
    assert "The third." in kept
    everything = json.dumps([told, kept, await desk.pushed("ada")])
    for word in (SECRET, "easy words", "think>"):
        assert word not in everything


@pytest.mark.parametrize("behind", ["hangs", "is cut"])
async def test_a_reason_in_every_chunk_does_not_make_half_an_answer_whole(
    bench: Bench, behind: str
):
    async def half(x: Exchange) -> None:
        await x.head()
        await x.text("Half", "stop")
        await x.text(" a sen", "stop")
        if behind == "hangs":
            await x.hang()
        x.cut()

    endpoint = await bench.endpoint(half)
    good = await bench.endpoint(say(ANSWER))
    router = await bench.router({name(): endpoint, name(): good}, timeouts=SHORT)
    answer = await router.answer(request(), ear := Ear())
    ear.check(answer)
    assert (answer.text, answer.ending) == (ANSWER, Ending.COMPLETE)


async def test_text_comes_late_behind_a_reason(bench: Bench):
    """Later than token counts may be, and not later than text may be."""

    async def slow(x: Exchange) -> None:
        await x.head()
        await x.text("Hel", "stop")
        await asyncio.sleep(1.5)
        await x.text("lo", "stop")
        await x.event("[DONE]")
        await x.end()

    endpoint = await bench.endpoint(slow)
    timeouts = TIMEOUTS.model_copy(update={"tail": 0.2})
    router = await bench.router({name(): endpoint}, timeouts=timeouts)
    assert (await router.answer(request(), Ear())).text == "Hello"
