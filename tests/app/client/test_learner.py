"""The Python client on a real gateway: cut, restarted, refused; nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agents.runtime.ports import PushKind
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.client.learner import Disconnected, LearnerClient, Refused
from app.process.errors import OperatorError
from app.settings import Settings
from schemas.topics.interactions import InteractionsReceived
from schemas.wire.server import Intervention, Push, TutorDelta, TutorReply
from tests.app.gateway.edge import Edge, Pusher, records, serving
from tests.proxy import Proxy

pytestmark = pytest.mark.services


def client(edge: Edge, user: str = "ada", port: int | None = None, **claims: Any) -> LearnerClient:
    url = f"http://127.0.0.1:{port or edge.settings.gateway.port}"
    return LearnerClient(url, user, edge.token(user, **claims))


INTERVENTION: dict[str, Any] = {
    "level": "mild", "confidence": 0.5, "because": ["a reason"], "raisedAt": 1_800_000_000_000,
}  # fmt: skip


async def interaction_ids(settings: Settings, number: int) -> list[str | None]:
    found = await records(settings, INTERACTIONS, number)
    return [
        one.event_id
        for record in found
        for one in InteractionsReceived.parse(record.value).interactions
    ]


async def test_what_is_sent_is_in_kafka_when_the_call_returns(edge: Edge):
    async with client(edge) as ada:
        done = await ada.record([{"interactionType": "click", "elementId": "a"}] * 3)
        said = await ada.tell("hello")
        told = await ada.feedback("reply", "r-1", "helpful")
    assert await interaction_ids(edge.settings, 1) == list(done.event_ids)
    assert (done.duplicates, done.rejected) == ((), ())
    assert said.encode() in (await records(edge.settings, CHAT, 1))[0].value
    assert told.encode() in (await records(edge.settings, FEEDBACK, 1))[0].value


async def test_a_bad_interaction_is_named_by_its_index_and_a_bad_message_is_refused(edge: Edge):
    async with client(edge) as ada:
        good: dict[str, Any] = {"interactionType": "click"}
        done = await ada.record([*[good] * 60, {"interactionType": 7}, good])
        assert len(done.event_ids) == 61
        assert [index for index, _ in done.rejected] == [60]
        with pytest.raises(Refused, match="text") as refused:
            await ada.tell("x" * 8_001)
        assert refused.value.code == "too_large"
    async with client(edge, consent=False) as ada:
        with pytest.raises(Refused) as refused:
            await ada.tell("hello")
        assert refused.value.code == "consent_required"


async def test_nothing_is_lost_or_doubled_over_cuts_and_a_restart(topics: Settings, pusher: Pusher):
    """400 interactions and 60 interventions while the line is cut again and again."""
    seen: list[Push] = []
    async with Proxy(topics.gateway.port) as proxy:
        async with serving(topics) as edge:
            ada = client(edge, port=proxy.port)
            await ada.__aenter__()

            pushes = ada.watch()

            async def watch() -> None:
                async with aclosing(pushes):
                    async for push in pushes:
                        seen.append(push)

            watching = asyncio.create_task(watch())
            sending = asyncio.create_task(ada.record([{"interactionType": "click"}] * 200))
            pushed = []
            for _ in range(6):
                pushed += [await pusher.push("ada", **INTERVENTION) for _ in range(5)]
                await asyncio.sleep(0.2)
                proxy.cut()
            first = await sending
        # The gateway is gone; what is recorded now waits for the next one.
        waiting = asyncio.create_task(ada.record([{"interactionType": "click"}] * 200))
        pushed += [await pusher.push("ada", **INTERVENTION) for _ in range(30)]
        async with serving(topics):
            second = await asyncio.wait_for(waiting, 60)
            async with asyncio.timeout(30):
                while len(seen) < len(pushed):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            await ada.__aexit__(None, None, None)
            with pytest.raises(Disconnected):
                await watching
    assert proxy.opened >= 3
    ids = await interaction_ids(topics, 1)
    assert sorted(map(str, ids)) == sorted((*first.event_ids, *second.event_ids))
    assert len(ids) == 400
    assert [push.caused_by[0] for push in seen] == pushed
    assert all(isinstance(push, Intervention) for push in seen)


async def test_after_a_cut_resume_goes_before_what_is_sent_again(topics: Settings):
    async with (
        serving(topics) as edge,
        Proxy(topics.gateway.port) as proxy,
        client(edge, port=proxy.port) as ada,
    ):
        sent: list[str] = []
        send = ada._connection._raw

        async def noted(message: dict[str, Any]) -> None:
            sent.append(message["type"])
            await send(message)

        proxy.silent = True
        telling = asyncio.create_task(ada.tell("hello"))
        await asyncio.sleep(0.2)
        ada._connection._raw = noted  # type: ignore[method-assign]
        proxy.silent = False
        proxy.cut()
        await asyncio.wait_for(telling, 20)
    assert sent == ["resume", "chat_message"]


async def test_a_message_that_is_under_way_is_sent_once_and_both_who_sent_it_hear_of_it(
    edge: Edge,
):
    message = {"type": "chat_message", "id": "m-1", "eventId": "e-1", "text": "hello"}
    async with client(edge) as ada:
        both = [await ada.send(message), await ada.send(message)]
        first, second = await asyncio.wait_for(asyncio.gather(*both), 20)
    assert first == second
    assert (first.event_ids, first.duplicates) == (("e-1",), ())
    assert len(await records(edge.settings, CHAT, 1)) == 1


async def test_no_more_than_the_limit_is_under_way(topics: Settings):
    """On a line that says nothing, the third batch of 50 waits; then all of it goes out."""
    async with (
        serving(topics, unacknowledged=100) as edge,
        Proxy(topics.gateway.port) as proxy,
        client(edge, port=proxy.port) as ada,
    ):
        proxy.silent = True
        sending = asyncio.create_task(ada.record([{"interactionType": "click"}] * 500))
        await asyncio.sleep(0.5)
        pending = ada._connection._pending.values()
        assert sum(one.events for one in pending) == 100
        proxy.silent = False
        assert len((await asyncio.wait_for(sending, 30)).event_ids) == 500


async def a_reply(pusher: Pusher, cause: str) -> None:
    """Two attempts of one reply, with a gap, and a delta that comes late."""

    async def part(kind: PushKind, **more: Any) -> None:
        new = pusher._new("ada", kind, cause, 0, {"replyId": "r", **more})
        await pusher._append([new])

    for attempt, index, text in ((1, 0, "Wro"), (2, 0, "Let "), (1, 1, "ng"), (2, 2, "look")):
        await part(PushKind.TUTOR_DELTA, attempt=attempt, index=index, text=text)
    await part(PushKind.TUTOR_REPLY, attempt=2, status="answered", final=True, text="Let us look")


async def test_a_reply_comes_in_order_and_ends_with_the_whole(edge: Edge, pusher: Pusher):
    async with client(edge) as ada:
        parts: list[TutorDelta | TutorReply] = []

        async def ask() -> None:
            async for part in ada.say("why?", mode="socratic"):
                parts.append(part)

        asking = asyncio.create_task(ask())
        (record,) = await records(edge.settings, CHAT, 1)
        assert b'"wantsReply":true' in record.value
        event_id = record.value.split(b'"eventId":"')[1][:36].decode()
        await pusher.push("ada")  # something else comes between
        await a_reply(pusher, event_id)
        await asyncio.wait_for(asking, 20)
    shown = [(part.attempt, part.text) for part in parts]
    assert shown == [(1, "Wro"), (2, "Let "), (2, "Let us look")]


async def test_a_reply_that_does_not_come_is_waited_for_no_longer_than_asked(edge: Edge):
    async with client(edge) as ada:
        with pytest.raises(TimeoutError):
            async for _ in ada.say("why?", within=0.3):
                pass


async def test_a_token_that_expires_is_asked_for_anew(edge: Edge, pusher: Pusher):
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        return edge.token("ada", ttl=1.0 - edge.settings.auth.leeway + 1 if asked == 1 else 60)

    async with LearnerClient(edge.http, "ada", token) as ada:
        async with asyncio.timeout(20):
            while asked < 2:
                await asyncio.sleep(0.05)
        assert len((await ada.record([{"interactionType": "click"}])).event_ids) == 1


async def test_tokens_that_are_refused_end_it_after_two(edge: Edge):
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        return "nonsense"

    with pytest.raises(Disconnected, match="4401"):
        async with LearnerClient(edge.http, "ada", token):
            pass
    assert asked == 2


async def test_a_token_function_that_fails_is_asked_again_later(topics: Settings):
    """Its failure ends nothing: what waits goes out with the next token."""
    asked = 0
    async with serving(topics) as edge, Proxy(topics.gateway.port) as proxy:

        async def token() -> str:
            nonlocal asked
            asked += 1
            if asked in (2, 3):
                raise RuntimeError("the back end is away")
            return edge.token("ada")

        url = f"http://127.0.0.1:{proxy.port}"
        async with LearnerClient(url, "ada", token) as ada:
            proxy.cut()
            done = await asyncio.wait_for(ada.record([{"interactionType": "click"}]), 30)
    assert asked == 4
    assert len(done.event_ids) == 1


async def test_a_resume_that_is_refused_for_its_rate_is_sent_again(
    topics: Settings, pusher: Pusher
):
    async with (
        serving(topics, messages_per_second=2.0, message_burst=2) as edge,
        Proxy(topics.gateway.port) as proxy,
        client(edge, port=proxy.port) as ada,
    ):
        pushes = ada.watch()
        sending = [asyncio.create_task(ada.tell(f"{n}")) for n in range(4)]
        await asyncio.sleep(0.1)
        proxy.cut()
        pushed = await pusher.push("ada", **INTERVENTION)
        async with aclosing(pushes), asyncio.timeout(30):
            assert (await anext(pushes)).caused_by == (pushed,)
        assert len(set(await asyncio.wait_for(asyncio.gather(*sending), 30))) == 4


async def test_large_interactions_are_cut_to_messages_and_too_large_a_one_is_refused(edge: Edge):
    large = [{"interactionType": "click", "elementId": "x" * 200, "note": "y" * 20_000}] * 40
    async with client(edge) as ada:
        assert len((await ada.record(large)).event_ids) == 40
        with pytest.raises(Refused, match="at most 262144 bytes"):
            await ada.record([{"interactionType": "click", "note": "y" * 600_000}])
        assert await ada.tell("still here")


async def test_whoever_takes_its_time_with_a_part_is_not_cut_short(edge: Edge, pusher: Pusher):
    """The deadline of `say` is for what comes, and not for what the caller does with it."""
    async with client(edge) as ada:
        parts: list[str] = []

        async def ask() -> None:
            async for part in ada.say("why?", within=2.0):
                parts.append(part.text or "")
                await asyncio.sleep(3.0)

        asking = asyncio.create_task(ask())
        (record,) = await records(edge.settings, CHAT, 1)
        event_id = record.value.split(b'"eventId":"')[1][:36].decode()
        body = {"replyId": "r", "attempt": 1, "index": 0, "text": "Let "}
        await pusher._append([pusher._new("ada", PushKind.TUTOR_DELTA, event_id, 0, body)])
        with pytest.raises(TimeoutError):
            await asking
    assert parts == ["Let "]


async def test_who_may_not_come_in_is_told_at_once(edge: Edge):
    with pytest.raises(Disconnected, match="4403"):
        async with LearnerClient(edge.http, "bob", edge.token("ada")):
            pass
    with pytest.raises(Disconnected, match="4401"):
        async with LearnerClient(edge.http, "ada", "nonsense"):
            pass
    with pytest.raises(OperatorError, match="no gateway answers"):
        async with LearnerClient("http://127.0.0.1:9", "ada", "t"):
            pass
    with pytest.raises(OperatorError, match="no address"):
        LearnerClient("127.0.0.1:8000", "ada", "t")


async def test_what_is_not_acknowledged_at_the_end_fails(topics: Settings):
    async with serving(topics) as edge, Proxy(topics.gateway.port) as proxy:
        async with client(edge, port=proxy.port) as ada:
            proxy.silent = True
            sending = asyncio.create_task(ada.tell("hello"))
            await asyncio.sleep(0.2)
        with pytest.raises(Disconnected, match="closed"):
            await sending


async def test_the_pages_example_runs(edge: Edge, pusher: Pusher, capsys):
    text = (Path(__file__).resolve().parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    exec(text.split("```python\n")[1].split("```")[0], names)
    running = asyncio.create_task(names["main"](edge.http, edge.token("ada")))
    (event_id,) = await interaction_ids(edge.settings, 1)
    new = pusher._new("ada", PushKind.RECOMMENDATIONS, str(event_id), 0, {})
    await pusher._append([new])
    await asyncio.wait_for(running, 20)
    assert f"recommendations ('{event_id}',)" in capsys.readouterr().out


def test_it_needs_neither_torch_nor_faust():
    code = (
        "import sys; import app.client.learner; "
        "found = {'torch', 'transformers', 'faust', 'pymongo', 'aiokafka', 'redis'}"
        " & set(sys.modules); sys.exit(str(found) if found else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
