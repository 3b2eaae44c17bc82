"""The router under load, at its limits, and when what it stands on is gone."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from app.tutor.config import BudgetSettings
from app.tutor.providers.errors import NoAnswer, Reason
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from models.tutor.providers.evidence import Situation
from schemas.vocabulary import Mood, Task
from tests.app.tutor.conftest import TIMEOUTS
from tests.app.tutor.listening import SITUATION, Ear, metric, request
from tests.app.tutor.sse import say, say_when, silence, stall, status
from tests.topics import eventually


def name() -> str:
    return f"p{uuid4().hex[:10]}"


async def refusal(router, asked=None, ear=None) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        await router.answer(asked or request(), ear or Ear())
    return caught.value


async def test_two_hundred_streams_at_a_time(bench):
    """All have begun before any may end; each is whole and in order, and nothing is left."""
    begin, end = asyncio.Event(), asyncio.Event()
    begin.set()
    words = [f"word{i} " for i in range(20)]
    endpoint = await bench.endpoint(say_when(begin, *words, may_end=end))
    provider = name()
    long = TIMEOUTS.model_copy(update={"overall": 100, "first_text": 60, "stall": 60})
    router = await bench.router({provider: endpoint}, each={"max_streams": 200}, timeouts=long)
    ears = [Ear() for _ in range(200)]
    asked = [asyncio.create_task(router.answer(request(), ear)) for ear in ears]

    async with asyncio.timeout(100):
        await asyncio.gather(*(ear.spoken.wait() for ear in ears))
        assert endpoint.open_now == 200
        assert metric("streams", provider=provider) == 200
        end.set()
        answers = await asyncio.gather(*asked)

    for ear, answer in zip(ears, answers, strict=True):
        ear.check(answer)
        assert answer.text == "".join(words)
    await router.close()
    assert metric("streams", provider=provider) == 0
    assert metric("attempts_total", provider=provider, outcome="answered") == 200
    assert metric("tokens_total", provider=provider, kind="output") == 200 * 5


async def test_no_more_streams_than_a_provider_may_have(bench):
    endpoint = await bench.endpoint(say("x"))
    router = await bench.router({name(): endpoint}, each={"max_streams": 3})
    answers = await asyncio.gather(*(router.answer(request(), Ear()) for _ in range(30)))
    assert len(answers) == 30
    assert endpoint.most_open <= 3


async def test_a_free_provider_is_better_than_a_queue(bench):
    held = asyncio.Event()
    full, free = await bench.endpoint(say_when(held, "x")), await bench.endpoint(say("y"))
    router = await bench.router({name(): full, (other := name()): free}, each={"max_streams": 1})
    first = asyncio.create_task(router.answer(request(), Ear()))
    while not full.seen:
        await asyncio.sleep(0.01)
    assert (await router.answer(request(), Ear())).provider == other
    held.set()
    await first


async def test_no_more_requests_than_a_worker_may_have(bench):
    held = asyncio.Event()
    endpoint = await bench.endpoint(say_when(held, "x"))
    router = await bench.router({name(): endpoint}, max_in_flight=1)
    first = asyncio.create_task(router.answer(request(), Ear()))
    while not endpoint.seen:
        await asyncio.sleep(0.01)
    assert (await refusal(router)).reason is Reason.BUSY
    held.set()
    await first
    await router.answer(request(), Ear())


async def test_without_providers_it_is_off(bench):
    router = await bench.router({})
    assert not router.enabled
    assert (await refusal(router)).reason is Reason.OFF


async def test_the_deadline_ends_it_and_hangs_up(bench):
    endpoint = await bench.endpoint(stall("Half an ans"))
    short = TIMEOUTS.model_copy(update={"overall": 2, "stall": 30, "first_text": 30})
    router = await bench.router({(provider := name()): endpoint}, timeouts=short)
    ear = Ear()
    error = await refusal(router, ear=ear)
    assert error.reason is Reason.DEADLINE
    # Shown, and no longer true: whoever ends the request has to say so.
    assert error.shown == ear.standing == 1
    async with asyncio.timeout(60):
        await endpoint.hung_up.wait()
    await router.close()
    assert metric("attempts_total", provider=provider, outcome="cancelled") == 1


async def test_a_request_that_is_given_up_hangs_up(bench):
    endpoint = await bench.endpoint(silence())
    router = await bench.router({(provider := name()): endpoint})
    before = metric("requests_total", outcome="cancelled")
    asked = asyncio.create_task(router.answer(request(), Ear()))
    while not endpoint.seen:
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    async with asyncio.timeout(60):
        await endpoint.hung_up.wait()
    await router.close()
    assert metric("requests_total", outcome="cancelled") == before + 1
    assert metric("streams", provider=provider) == 0


async def test_what_the_listener_raises_goes_through(bench):
    class Deaf(Ear):
        async def piece(self, attempt: int, index: int, text: str) -> None:
            raise ZeroDivisionError

    router = await bench.router({name(): await bench.endpoint(say("x"))})
    with pytest.raises(ZeroDivisionError):
        await router.answer(request(), Deaf())


async def test_retry_after_is_honoured(bench):
    times = []

    async def limited(x) -> None:
        times.append(asyncio.get_running_loop().time())
        await status(429, retry_after="0.7")(x)

    async def answers(x) -> None:
        times.append(asyncio.get_running_loop().time())
        await say("Now.")(x)

    router = await bench.router({name(): await bench.endpoint(answers, limited)})
    answer = await router.answer(request(), ear := Ear())
    ear.check(answer)
    assert times[1] - times[0] >= 0.7


async def test_a_circuit_that_opens_spares_the_provider(bench):
    """Given a provider that fails, then after the threshold others are asked at once."""
    ill, well = await bench.endpoint(status(500)), await bench.endpoint(say("x"))
    router = await bench.router(
        {name(): ill, name(): well},
        breaker={"threshold": 4, "open_for": 100},
        choice={"worth": {"success": 0, "speed": 0, "thrift": 0, "helpful": 1}},
        each={},
    )
    for _ in range(12):
        await router.answer(request(), Ear())
    assert 0 < len(ill.seen) <= 4


async def test_all_circuits_open_is_said_with_the_time(bench):
    router = await bench.router(
        {name(): await bench.endpoint(status(500))}, breaker={"threshold": 1, "open_for": 50}
    )
    assert (await refusal(router)).reason is Reason.EXHAUSTED
    error = await refusal(router)
    assert error.reason is Reason.EXHAUSTED
    assert 30 < error.retry_after <= 50


async def test_a_short_pause_is_waited_for(bench):
    """Given one provider, which trips and is well again, the next request is answered."""
    endpoint = await bench.endpoint(say("Well."), status(500))
    router = await bench.router(
        {name(): endpoint},
        breaker={"threshold": 1, "open_for": 1},
        retries={"attempts": 1, "patience": 10},
    )
    await refusal(router)
    answers = await asyncio.gather(*(router.answer(request(), Ear()) for _ in range(5)))
    assert {answer.text for answer in answers} == {"Well."}


async def test_a_used_up_budget_is_said_and_nobody_is_asked(bench):
    endpoint = await bench.endpoint(say("x"))
    router = await bench.router({name(): endpoint}, budget={"tokens_per_day": 100})
    error = await refusal(router, request(max_output_tokens=200))
    assert error.reason is Reason.BUDGET
    assert 0 < error.retry_after <= 86_400
    assert not endpoint.seen
    await router.answer(request(max_output_tokens=50), Ear())


async def test_what_is_left_of_a_budget_goes_to_a_cheaper_provider(bench):
    dear, cheap, other = await bench.endpoint(say("x")), await bench.endpoint(say("y")), name()
    router = await bench.router(
        {(first := name()): dear, other: cheap},
        own={first: {"output_price": 1_000}},
        budget={"dollars_per_day": 0.1},
        choice={"worth": {"thrift": 0}},
    )
    assert (await router.answer(request(), Ear())).provider == other
    assert not dear.seen


async def test_without_redis_nobody_is_asked(bench, nowhere):
    endpoint = await bench.endpoint(say("x"))
    bench.client = nowhere
    router = await bench.router({name(): endpoint})
    assert (await refusal(router)).reason is Reason.STORE
    assert not endpoint.seen


async def test_redis_lost_during_an_answer_does_not_end_it(bench, redis_server):
    begin, end = asyncio.Event(), asyncio.Event()
    begin.set()
    endpoint = await bench.endpoint(say_when(begin, "Half, ", "whole.", may_end=end))
    long = TIMEOUTS.model_copy(update={"stall": 60})
    router = await bench.router({name(): endpoint}, timeouts=long)
    ear = Ear()
    asked = asyncio.create_task(router.answer(request(), ear))
    await ear.spoken.wait()
    await redis_server.stop()
    try:
        end.set()
        ear.check(await asked)
        await router.close()
    finally:
        await redis_server.start()


async def test_what_was_used_is_booked_when_redis_takes_it_again(bench):
    """Given a Redis that takes nothing when an answer ends, then the account is closed later."""
    begin, end = asyncio.Event(), asyncio.Event()
    begin.set()
    endpoint = await bench.endpoint(say_when(begin, "Half, ", "whole.", may_end=end))
    patient = TIMEOUTS.model_copy(update={"stall": 60, "store": 2.0})
    router = await bench.router({name(): endpoint}, timeouts=patient)
    ear, asked = Ear(), request()
    answering = asyncio.create_task(router.answer(asked, ear))
    await ear.spoken.wait()
    failed = metric("store_failed_total", call="close")
    await bench.client.execute_command("CLIENT", "PAUSE", 600_000, "WRITE")
    try:
        end.set()
        answer = await answering

        async def failures() -> float:
            return metric("store_failed_total", call="close") - failed

        await eventually(failures, bool)
    finally:
        await bench.client.execute_command("CLIENT", "UNPAUSE")
    budgets = Budgets(TutorStore(bench.client, bench.redis_settings, 5), BudgetSettings())
    used = answer.usage.input_tokens + answer.usage.output_tokens
    await eventually(lambda: budgets.used(asked.user_id), lambda found: found[0] == used)


async def test_an_endless_answer_ends_at_its_limit(bench):
    async def babbles(x) -> None:
        await x.head()
        while True:
            await x.text("blah " * 50)

    endpoint = await bench.endpoint(babbles)
    router = await bench.router({name(): endpoint}, max_output_chars=1_003)
    answer = await router.answer(request(), ear := Ear())
    ear.check(answer)
    assert (len(answer.text), answer.ending) == (1_003, "length")
    assert not answer.usage.reported
    assert answer.usage.output_tokens == 251


async def test_feedback_moves_the_choice_where_it_was_given(bench):
    """Given learners who find the second one helpful when sad, it is asked first when sad."""
    a, b = name(), name()
    router = await bench.router(
        {a: await bench.endpoint(say("a")), b: await bench.endpoint(say("b"))},
        each={"prior": {"weight": 5}},
        choice={"worth": {"success": 0, "speed": 0, "thrift": 0, "helpful": 1}, "pooling": 1},
    )
    sad = Situation(Task.DIRECT, Mood.NEGATIVE)
    for _ in range(300):
        await router.feedback(a, sad, 0.0)
        await router.feedback(b, sad, 1.0)
        await router.feedback(a, SITUATION, 1.0)
        await router.feedback(b, SITUATION, 0.0)

    async def asked(situation: Situation) -> list[str]:
        return [
            (await router.answer(request(situation=situation), Ear())).provider for _ in range(8)
        ]

    assert (await asked(sad)).count(b) >= 7
    assert (await asked(SITUATION)).count(a) >= 7


async def test_feedback_is_a_share_and_of_a_known_provider(bench):
    router = await bench.router({name(): await bench.endpoint(say("x"))})
    with pytest.raises(ValueError, match="helpful"):
        await router.feedback("p", SITUATION, 5.0)
    await router.feedback("long gone", SITUATION, 1.0)


async def test_a_refused_request_tells_nothing_of_health(bench):
    endpoint = await bench.endpoint(status(400))
    router = await bench.router({(provider := name()): endpoint}, breaker={"threshold": 1})
    for _ in range(3):
        await refusal(router)
    await router.close()
    assert metric("attempts_total", provider=provider, outcome="refused") == 3
    assert metric("circuit_open", provider=provider) == 0
