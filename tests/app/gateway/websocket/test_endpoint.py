"""The WebSocket, over a real uvicorn and real servers, with a real client."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import AsyncExitStack

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.auth.admission import Sender
from app.gateway.auth.tokens import issue
from app.settings import AuthSettings
from schemas.base import now_ms
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import MAX_INTERACTIONS, InteractionsReceived
from schemas.wire.server import Ack, Error, Hello, Pong
from tests.app.gateway.edge import Edge, an_interaction, records, serving
from tests.app.gateway.websocket.test_wire_document import EXAMPLES as DOCUMENTED
from tests.proxy import Proxy

pytestmark = pytest.mark.services
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


# -- who comes in -----------------------------------------------------------------------------


async def test_hello_comes_first_and_tells_the_limits(edge: Edge):
    async with edge.client() as client:
        hello = Hello.read(await client.next())
    assert (hello.offset, hello.user_state) == (0, None)
    assert hello.limits.max_message_bytes == edge.settings.gateway.max_message_bytes
    assert hello.limits.dedupe_seconds == edge.settings.redis.dedupe_ttl
    assert hello.limits.unacknowledged == edge.settings.gateway.unacknowledged


async def test_hello_and_pong_say_what_time_it_is(edge: Edge):
    async with edge.client() as client:
        before = now_ms()
        hello = Hello.read(await client.next())
        pong = Pong.read(await client.call(type="ping", id="1"))
    assert hello.server_time is not None
    assert pong.server_time is not None
    assert before <= hello.server_time <= pong.server_time <= now_ms()


async def test_a_browser_shows_its_token_as_a_subprotocol(edge: Edge):
    offered = ["masterx.v1", f"bearer.{edge.token()}"]
    async with edge.raw(subprotocols=offered, origin=edge.http) as socket:
        assert socket.subprotocol == "masterx.v1"
        assert "hello" in await socket.recv()


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, 4401),
        ("nonsense", 4401),
        (issue(AuthSettings(), "ada", ttl=-60), 4401),
        (issue(AuthSettings(audience="another"), "ada"), 4401),
        (issue(AuthSettings(), "bob"), 4403),
        (issue(AuthSettings(), "tess", role="observer", learners=["bob"]), 4403),
    ],
    ids=["missing", "nonsense", "expired", "audience", "other learner", "not observed"],
)
async def test_who_may_not_come_in_is_told_by_the_close_code(edge: Edge, token, code):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with edge.raw(additional_headers=headers) as socket:
        await asyncio.wait_for(socket.wait_closed(), 10)
    assert socket.close_code == code
    assert socket.close_reason
    assert (token or "?") not in socket.close_reason


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_token_in_the_address_is_refused_and_not_logged(edge: Edge, name, caplog):
    token = edge.token()
    address = f"{edge.socket_url('ada')}?{name}={token}"
    caplog.set_level(logging.INFO)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)  # that is this test's own
    async with connect(address, additional_headers=edge.bearer(), proxy=None) as socket:
        await asyncio.wait_for(socket.wait_closed(), 10)
    assert socket.close_code == 4401
    assert token not in caplog.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example"]
)
async def test_a_page_of_a_foreign_origin_is_refused_before_the_handshake(edge: Edge, origin):
    with pytest.raises(InvalidStatus) as refused:
        async with edge.raw(additional_headers=edge.bearer(), origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_expiry_closes_at_the_moment(topics):
    auth = topics.auth.model_copy(update={"leeway": 0})
    async with serving(topics.model_copy(update={"auth": auth})) as edge:
        due = time.time() + 1.0
        token = edge.token(ttl=1.0)
        async with edge.client(token=token) as client:
            await client.until("hello")
            assert (await client.call(type="ping", id="1"))["type"] == "pong"
            assert await client.closed() == 4401
            # Not before; how long after is the machine's.
            assert time.time() >= due - 0.01


async def test_connections_are_bounded_in_all_and_per_learner(topics):
    async with serving(topics, max_connections=3, max_connections_per_user=2) as edge:
        async with edge.client() as one, edge.client() as two:
            await one.until("hello")
            await two.until("hello")
            async with edge.client() as third:
                assert await third.closed() == 4503
            async with edge.client("bob") as bob:
                await bob.until("hello")
                async with edge.client("eve") as eve:
                    assert await eve.closed() == 4503
        # Then there is room again
        async with asyncio.timeout(10):
            while len(edge.gateway.connections):
                await asyncio.sleep(0.01)
        async with edge.client() as again:
            assert (await again.next())["type"] == "hello"


async def test_sockets_that_a_phone_lost_make_way_for_its_new_one(topics):
    """Twenty within half a minute; no ping of the interval has been missed yet."""
    async with (
        serving(topics, probe_timeout=0.5) as edge,
        Proxy(edge.settings.gateway.port) as proxy,
        AsyncExitStack() as stack,
    ):
        most = edge.settings.gateway.max_connections_per_user
        lost = []
        for _ in range(most):
            options = {"port": proxy.port, "ping_interval": None, "close_timeout": 0.1}
            client = await stack.enter_async_context(edge.client(**options))
            await client.until("hello")
            lost.append(client)
        oldest = edge.gateway.connections.snapshot()
        proxy.silent = True

        start = time.monotonic()
        async with edge.client() as newest:
            assert (await newest.next())["type"] == "hello"
            assert time.monotonic() - start < 10  # a missed ping of the interval takes 40
            assert (await newest.call(type="ping", id="1"))["type"] == "pong"
            assert len(edge.gateway.connections) == most
            # One after the other, each new one at the cost of one that was lost
            others = [await stack.enter_async_context(edge.client()) for _ in range(3)]
            for other in others:
                assert (await other.next())["type"] == "hello"
            assert len(set(oldest) & set(edge.gateway.connections.snapshot())) == most - 4
            assert (await newest.call(type="ping", id="2"))["type"] == "pong"
        for client in lost:
            client.socket.transport.abort()


async def test_the_oldest_silent_one_makes_way_and_none_that_is_alive(topics):
    async with (
        serving(topics, probe_timeout=0.5, max_connections_per_user=3) as edge,
        Proxy(edge.settings.gateway.port) as proxy,
        edge.client() as alive,
    ):
        await alive.until("hello")
        [first] = edge.gateway.connections.snapshot()
        async with (
            edge.client(port=proxy.port, close_timeout=0.1) as lost,
            edge.client(port=proxy.port, close_timeout=0.1) as lost_later,
        ):
            await lost.until("hello")
            await lost_later.until("hello")
            before = set(edge.gateway.connections.snapshot())
            proxy.silent = True
            async with edge.client() as newest:
                await newest.until("hello")
                left = before & set(edge.gateway.connections.snapshot())
                assert first in left
                assert len(left) == 2
                assert (await alive.call(type="ping", id="1"))["type"] == "pong"
                # Two come at once, and there is one that is silent
                async with edge.client() as one, edge.client() as two:
                    said = await asyncio.gather(first_word(one), first_word(two))
                    assert set(said) == {4503, "hello"}
            lost.socket.transport.abort()
            lost_later.socket.transport.abort()


async def first_word(client) -> int | str:
    try:
        return (await client.next())["type"]
    except ConnectionClosed:
        return client.socket.close_code


async def test_with_all_alive_one_more_is_refused_at_once(topics):
    async with (
        serving(topics, probe_timeout=30, max_connections_per_user=2) as edge,
        edge.client() as one,
        edge.client() as two,
    ):
        await one.until("hello")
        await two.until("hello")
        async with edge.client() as third:
            assert await third.closed(within=5) == 4503
        for client in (one, two):
            assert (await client.call(type="ping", id="1"))["type"] == "pong"


async def test_flushed_means_that_the_last_frame_is_handed_on(edge: Edge):
    handing_on, taken = asyncio.Event(), asyncio.Event()

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        handing_on.set()
        await taken.wait()

    principal = await edge.gateway.authenticator.verify(edge.token())
    sender = Sender(principal, "ada", None)
    connection = edge.gateway.connect(sender, None, receive, send)
    running = asyncio.create_task(connection.run())
    await asyncio.wait_for(handing_on.wait(), 10)
    assert connection.unsent == 0
    flushed = asyncio.create_task(connection.flushed())
    assert not (await asyncio.wait({flushed}, timeout=0.2))[0]
    taken.set()
    await asyncio.wait_for(flushed, 10)
    running.cancel()
    await asyncio.wait({running})


async def test_any_user_id_is_one_path(edge: Edge):
    user = "ü/../%2F {x} 学"
    async with edge.client(user) as client:
        assert (await client.next())["type"] == "hello"
        ack = await client.call(type="chat_message", id="1", timestamp=now_ms(), text="hi")
    assert ack["type"] == "ack"
    [record] = await records(edge.settings, CHAT, 1)
    assert record.key == user.encode()


# -- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [".", "..", "a\u200bb", "x" * 129])
async def test_a_service_cannot_name_a_learner_that_no_record_can_have(edge: Edge, user_id):
    token = edge.token("lms", role="service")
    async with edge.raw(user_id, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == 4403
        assert "user id" in socket.close_reason


async def test_accepted_means_produced(edge: Edge):
    async with edge.client(headers={"traceparent": TRACE}) as client:
        batch = await client.call(
            type="interaction_batch",
            id="b1",
            interactions=[an_interaction(), an_interaction(eventId="mine", userId="ada")],
        )
        chat = await client.call(
            type="chat_message", id="m1", timestamp=1_700_000_000.5, text="où ça ?"
        )
        said = await client.call(
            type="feedback", id="f1", targetType="recommendation", targetId="r1", outcome="taken"
        )
    assert Ack.read(batch).duplicates == ()
    assert batch["eventIds"][1] == "mine"

    [record] = await records(edge.settings, INTERACTIONS, 1)
    stored = InteractionsReceived.parse(record.value)
    assert [one.event_id for one in stored.interactions] == batch["eventIds"]
    assert record.key == b"ada"
    assert dict(record.headers) == {
        "content-type": b"application/json",
        "schema": b"InteractionsReceived/1",
        "traceparent": TRACE.encode(),
    }
    [record] = await records(edge.settings, CHAT, 1)
    stored_chat = ChatReceived.parse(record.value)
    assert (stored_chat.event_id,) == tuple(chat["eventIds"])
    assert (stored_chat.text, stored_chat.event_time) == ("où ça ?", 1_700_000_000_500)
    [record] = await records(edge.settings, FEEDBACK, 1)
    assert said["eventIds"][0].encode() in record.value


async def test_without_a_trace_of_its_own_a_message_gets_one(edge: Edge):
    async with edge.client(headers={"traceparent": "nonsense"}) as client:
        await client.call(type="chat_message", id="1", timestamp=now_ms(), text="hi")
    [record] = await records(edge.settings, CHAT, 1)
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", dict(record.headers)["traceparent"])


async def test_one_learners_messages_are_produced_in_the_order_they_were_sent(edge: Edge):
    ids = [str(number) for number in range(200)]
    async with edge.client() as client:
        for one in ids:
            await client.send(type="chat_message", id=one, timestamp=now_ms(), text=one)
        answers = [await client.until("ack") for _ in ids]
    assert {one["id"] for one in answers} == set(ids)
    found = await records(edge.settings, CHAT, len(ids))
    assert [ChatReceived.parse(one.value).text for one in found] == ids


async def test_a_retry_has_no_second_effect(edge: Edge):
    message = {"type": "chat_message", "id": "1", "timestamp": now_ms(), "text": "hi"}
    async with edge.client() as client:
        first = await client.call(**message)
        again = await client.call(**message)
    async with edge.client() as client:
        over_another_socket = await client.call(**message)
    assert first["duplicates"] == []
    assert again["duplicates"] == over_another_socket["duplicates"] == first["eventIds"]
    assert len(await records(edge.settings, CHAT, 1)) == 1


async def test_retries_that_race_the_first_attempt_make_one_record(edge: Edge):
    message = {"type": "chat_message", "id": "1", "timestamp": now_ms(), "text": "hi"}
    async with edge.client() as one, edge.client() as two:
        await asyncio.gather(*(each.send(**message) for _ in range(10) for each in (one, two)))
        answers = [await each.until("ack") for _ in range(10) for each in (one, two)]
    assert sum(not answer["duplicates"] for answer in answers) == 1
    assert len(await records(edge.settings, CHAT, 1)) == 1


async def test_of_a_batch_only_what_is_new_is_produced(edge: Edge):
    async with edge.client() as client:
        await client.call(
            type="interaction_batch", id="1", interactions=[an_interaction(eventId="a")]
        )
        ack = await client.call(
            type="interaction_batch",
            id="2",
            interactions=[an_interaction(eventId="a"), an_interaction(eventId="b")],
        )
    assert (ack["eventIds"], ack["duplicates"]) == (["a", "b"], ["a"])
    found = await records(edge.settings, INTERACTIONS, 2)
    ids = [[i.event_id for i in InteractionsReceived.parse(r.value).interactions] for r in found]
    assert ids == [["a"], ["b"]]


@pytest.mark.parametrize("remembered", [True, False], ids=["Redis up", "Redis away"])
async def test_one_id_for_events_of_three_kinds_loses_none(edge: Edge, remembered, monkeypatch):
    if not remembered:
        # As with Redis away: nothing is found, nothing is kept.
        monkeypatch.setattr(edge.gateway.intake._retries, "_paused_until", float("inf"))
    now = now_ms()
    said = {"type": "chat_message", "id": "1", "eventId": "1", "timestamp": now, "text": "hi"}
    did = {"type": "interaction_batch", "id": "1", "interactions": [an_interaction(eventId="1")]}
    rated = {
        "type": "feedback", "id": "1", "targetType": "reply", "targetId": "r", "outcome": "helpful"
    }  # fmt: skip
    async with edge.client() as client:
        await client.until("hello")
        for message in (said, did, rated):
            ack = Ack.read(await client.call(**message))
            assert ack.duplicates == ()
        for message in (said, did, rated) if remembered else ():
            ack = Ack.read(await client.call(**message))
            assert ack.duplicates == ack.event_ids
    for topic in (CHAT, INTERACTIONS, FEEDBACK):
        assert len(await records(edge.settings, topic, 1)) == 1


async def test_a_message_without_id_is_accepted_and_told_the_id_it_was_given(edge: Edge):
    chat = {"type": "chat_message", "timestamp": now_ms(), "text": "hi"}
    batch = {"type": "interaction_batch", "interactions": [an_interaction()]}
    async with edge.client() as client:
        await client.until("hello")
        acks = []
        for message in (batch, chat, chat):
            await client.send(**message)
            acks.append(Ack.read(await client.next()))
    assert len({ack.id for ack in acks}) == 3
    assert all(ack.duplicates == () for ack in acks)
    assert len(await records(edge.settings, CHAT, 2)) == 2, "without an id a retry is a new event"


async def test_of_a_batch_the_good_interactions_are_accepted(edge: Edge):
    async with edge.client() as client:
        await client.until("hello")
        ack = Ack.read(
            await client.call(
                type="interaction_batch",
                id="b",
                interactions=[
                    an_interaction(eventId="a"),
                    an_interaction(taskData={"correct": 1}),
                    an_interaction(timingData={"dwellTime": 90_000}),
                    an_interaction(timestamp=20_260_105_093_000),
                ],
            )
        )
    assert len(ack.event_ids) == 2
    assert [(one.index, one.field) for one in ack.rejected] == [
        (1, "taskData.correct"),
        (3, "timestamp"),
    ]
    [record] = await records(edge.settings, INTERACTIONS, 1)
    kept = InteractionsReceived.parse(record.value).interactions
    assert tuple(one.event_id for one in kept) == ack.event_ids
    assert kept[1].timing_data is not None
    assert kept[1].timing_data.dwell_time is None


async def test_a_bad_interaction_of_another_learner_refuses_the_batch(edge: Edge):
    async with edge.client() as client:
        await client.until("hello")
        error = Error.read(
            await client.call(
                type="interaction_batch",
                id="b",
                interactions=[an_interaction(), {"userId": "bob"}],
            )
        )
    assert (error.code, error.field) == ("forbidden", "interactions.1.userId")


async def test_as_many_interactions_as_documented_fit_into_a_message(edge: Edge):
    example = next(one for one in DOCUMENTED if one["type"] == "interaction_batch")
    one = {**example["interactions"][0], "timestamp": now_ms()}
    several = [{**one, "eventId": f"e-{number}"} for number in range(MAX_INTERACTIONS)]
    async with edge.client() as client:
        await client.until("hello")
        ack = Ack.read(await client.call(type="interaction_batch", id="b", interactions=several))
    assert len(ack.event_ids) == MAX_INTERACTIONS
    await records(edge.settings, INTERACTIONS, 1)


async def test_every_bad_input_gets_an_error_and_the_connection_lives_on(edge: Edge):
    long = "x" * (edge.settings.gateway.max_text_length + 1)
    huge = "x" * (edge.settings.gateway.max_message_bytes + 1)
    chat = {"type": "chat_message", "timestamp": now_ms()}
    click = an_interaction()
    bad = [
        ("{", None, "invalid_json", None),
        (b"\xff", None, "invalid_json", None),
        ([1], None, "invalid_message", None),
        ({"type": "dance", "id": "1"}, "1", "unknown_type", "type"),
        ({**chat, "id": "2"}, "2", "invalid_message", "text"),
        ({**chat, "id": "3", "text": long}, "3", "too_large", "text"),
        ({**chat, "id": "4", "text": huge}, "4", "too_large", None),
        (
            {
                "type": "interaction_batch",
                "id": "5",
                "interactions": [click, click, click, {**click, "userId": "bob"}],
            },
            "5",
            "forbidden",
            "interactions.3.userId",
        ),
        ({"type": "resume", "epoch": "e"}, None, "invalid_message", "offset"),
        (
            b'{"type":"chat_message","id":"6","timestamp":NaN,"text":"hi"}',
            "6",
            "invalid_message",
            "timestamp",
        ),
    ]
    async with edge.client() as client:
        await client.until("hello")
        for message, message_id, code, field in bad:
            raw = message if isinstance(message, str | bytes) else orjson.dumps(message)
            await client.socket.send(raw)
            error = Error.read(await client.next())
            assert (error.id, error.code, error.field) == (message_id, code, field)
            assert "xxx" not in error.message
        assert Pong.read(await client.call(type="ping", id="p")).id == "p"


async def test_a_frame_far_beyond_the_bound_is_not_read_at_all(edge: Edge):
    async with edge.client() as client:
        await client.until("hello")
        await client.socket.send("x" * (3 * edge.settings.gateway.max_message_bytes))
        assert await client.closed() == 1009


async def test_without_consent_nothing_is_processed(edge: Edge):
    async with edge.client(token=edge.token(consent=False)) as client:
        await client.until("hello")
        for message in (
            {"type": "chat_message", "timestamp": now_ms(), "text": "hi"},
            {"type": "interaction_batch", "interactions": [an_interaction()]},
            {"type": "feedback", "targetType": "reply", "targetId": "1", "outcome": "good"},
        ):
            error = await client.call(id=message["type"], **message)
            assert (error["type"], error["code"]) == ("error", "consent_required")
        assert (await client.call(type="ping", id="1"))["type"] == "pong"


async def test_consent_of_another_type_is_told_apart_and_nothing_is_processed(edge: Edge):
    for consent, said in (("true", "JSON string"), (False, "is not true")):
        async with edge.client(token=edge.token(consent=consent)) as client:
            error = await client.call(type="chat_message", id="1", timestamp=now_ms(), text="x")
            assert error["code"] == "consent_required"
            assert said in error["message"]


async def test_an_observer_sees_but_does_not_send(edge: Edge, pusher):
    token = edge.token("tess", role="observer", learners=["ada"])
    async with edge.client("ada", token=token) as client:
        error = await client.call(type="chat_message", id="1", timestamp=now_ms(), text="hi")
        assert error["code"] == "forbidden"
        cause = await pusher.push("ada")
        assert (await client.until("intervention"))["causedBy"] == [cause]


async def test_a_service_sends_for_the_learner_of_its_socket_only(edge: Edge):
    async with edge.client("ada", token=edge.token("lms", role="service")) as client:
        ack = await client.call(type="chat_message", id="1", timestamp=now_ms(), text="hi")
        error = await client.call(
            type="interaction_batch", id="2", interactions=[an_interaction(userId="bob")]
        )
    assert ack["type"] == "ack"
    assert (error["code"], error["field"]) == ("invalid_message", "interactions.0.userId")


async def test_too_many_messages_are_refused_with_the_time_to_wait(topics):
    async with serving(topics, messages_per_second=0.01, message_burst=3) as edge:
        async with edge.client() as client:
            for number in range(3):
                assert (await client.call(type="ping", id=str(number)))["type"] == "pong"
            error = await client.call(type="ping", id="3")
            assert error["code"] == "rate_limited"
            assert 0 < error["retryAfter"] <= 100
        # The rate is the user's, not the connection's
        async with edge.client() as client:
            assert (await client.call(type="ping", id="4"))["code"] == "rate_limited"
        async with edge.client("bob") as client:
            assert (await client.call(type="ping", id="5"))["type"] == "pong"
