"""REST: the same messages, answered by status and body."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from agents.runtime.ports import PushKind
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from schemas.base import now_ms
from schemas.topics.emotions import Emotion
from schemas.wire.rest import Accepted, Problem
from tests.app.gateway.edge import PREFIX, Edge, an_interaction, records, serving
from tests.schemas.examples import FULL_STATE

pytestmark = pytest.mark.services


KNOWN = [emotion.value for emotion in Emotion]
"""The packaged model knows every class."""


def rest(edge: Edge) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=edge.http + PREFIX, headers=edge.bearer(), trust_env=False)


@pytest_asyncio.fixture
async def http(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with rest(edge) as client:
        yield client


def problem(response: httpx.Response) -> tuple[int, str, str | None]:
    error = Problem.parse(response.content).error
    assert error.message
    return response.status_code, str(error.code), error.field


async def test_202_means_produced_and_a_retry_is_a_duplicate(edge: Edge, http):
    body = {"interactions": [an_interaction(), an_interaction(eventId="mine")]}
    first = await http.post("/interaction", json=body, headers={"Idempotency-Key": "k"})
    again = await http.post("/interaction", json={**body, "id": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    accepted = Accepted.parse(first.content)
    assert (accepted.id, accepted.duplicates) == ("k", ())
    assert Accepted.parse(again.content).duplicates == accepted.event_ids
    assert len(await records(edge.settings, INTERACTIONS, 1)) == 1


async def test_a_single_interaction_is_taken_as_in_the_first_version(edge: Edge, http):
    body = an_interaction(userId="ada", eventId="e1")
    assert (await http.post("/interaction", json=body)).json()["eventIds"] == ["e1"]
    snake = {"interaction_type": "click", "timestamp": now_ms() / 1000}
    assert (await http.post("/interaction", json=snake)).status_code == 202


async def test_the_socket_and_rest_know_each_others_retries(edge: Edge, http):
    async with edge.client() as client:
        ack = await client.call(type="chat_message", id="1", timestamp=now_ms(), text="hi")
    answer = (await http.post("/chat", json={"id": "1", "text": "hi"})).json()
    assert answer["duplicates"] == ack["eventIds"]
    assert len(await records(edge.settings, CHAT, 1)) == 1


async def test_of_a_batch_the_good_interactions_are_accepted(edge: Edge, http):
    body = {"interactions": [an_interaction(), {"interactionType": 7}, an_interaction()]}
    answer = await http.post("/interaction", json=body)
    assert answer.status_code == 202
    accepted = answer.json()
    assert len(accepted["eventIds"]) == 2
    assert [(one["index"], one["field"]) for one in accepted["rejected"]] == [(1, "timestamp")]
    await records(edge.settings, INTERACTIONS, 1)


async def test_half_an_emoji_is_accepted_and_nan_is_named(edge: Edge, http):
    headers = {"Content-Type": "application/json"}
    half = await http.post("/chat", content=rb'{"text": "lost \ud83d"}', headers=headers)
    assert half.status_code == 202
    [record] = await records(edge.settings, CHAT, 1)
    assert orjson.loads(record.value)["text"] == "lost \ufffd"
    nan = await http.post("/chat", content=b'{"id": "7", "text": "hi", "timestamp": NaN}',
                          headers=headers)  # fmt: skip
    assert problem(nan) == (422, "invalid_message", "timestamp")
    assert nan.json()["error"]["id"] == "7"


async def test_feedback(edge: Edge, http):
    body = {"targetType": "intervention", "targetId": "i1", "outcome": "dismissed"}
    assert (await http.post("/feedback", json=body)).status_code == 202
    [record] = await records(edge.settings, FEEDBACK, 1)
    assert orjson.loads(record.value)["targetId"] == "i1"


async def test_a_service_sends_for_whom_it_names(edge: Edge, http):
    service = edge.bearer("lms", role="service")
    named = await http.post("/chat", json={"text": "hi", "userId": "bob"}, headers=service)
    unnamed = await http.post("/chat", json={"text": "hi"}, headers=service)
    assert named.status_code == 202
    assert problem(unnamed) == (422, "invalid_message", "userId")
    [record] = await records(edge.settings, CHAT, 1)
    assert record.key == b"bob"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/chat", {"text": "hi", "userId": "bob"}, (403, "forbidden", None)),
        ("/chat", {}, (422, "invalid_message", "text")),
        ("/chat", [], (422, "invalid_message", None)),
        ("/chat", {"text": "x" * 8_001}, (413, "too_large", "text")),
        ("/chat", {"text": "hi", "id": "i" * 65}, (422, "invalid_message", "id")),
        ("/chat", {"text": "hi", "timestamp": "soon"}, (422, "invalid_message", "timestamp")),
        ("/interaction", {"interactions": []}, (422, "invalid_message", "interactions")),
        ("/interaction", {"interactions": [an_interaction(), an_interaction(userId="bob")]},
         (403, "forbidden", "interactions.1.userId")),
        ("/interaction", {"interactionType": "click"}, (422, "invalid_message", "timestamp")),
        ("/feedback", {"targetType": "mood", "targetId": "1", "outcome": "x"},
         (422, "invalid_message", "targetType")),
        ("/ab-test", {}, (404, "not_found", None)),
    ],
)  # fmt: skip
async def test_bad_bodies(http, path, body, expected):
    assert problem(await http.post(path, json=body)) == expected


async def test_what_is_no_json(http):
    json = {"Content-Type": "application/json"}
    bad = await http.post("/chat", content=b"{", headers=json)
    form = await http.post("/chat", data={"text": "hi"})
    packed = await http.post("/chat", content=b"{}", headers=json | {"Content-Encoding": "gzip"})
    key = await http.post("/chat", json={"text": "hi"}, headers={"Idempotency-Key": "k" * 65})
    assert problem(bad) == (422, "invalid_json", None)
    assert problem(form) == (415, "unsupported_media_type", "Content-Type")
    assert problem(packed) == (415, "unsupported_media_type", "Content-Encoding")
    assert problem(key) == (422, "invalid_message", "Idempotency-Key")
    assert problem(await http.get("/chat")) == (405, "method_not_allowed", None)


async def test_a_body_is_read_no_further_than_its_bound(edge: Edge, http):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 8_192
            yield b"x" * 8_192

    json = {"Content-Type": "application/json"}
    # httpx may not look at the answer before it has sent everything, or the server closed.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
        answer = await http.post("/chat", content=endless(), headers=json)
        assert problem(answer) == (413, "too_large", None)
    assert sent < 10_000_000
    limit = edge.settings.gateway.max_message_bytes
    declared = await http.post("/chat", content=b"x" * (limit + 1), headers=json)
    assert problem(declared) == (413, "too_large", None)


async def test_tokens(edge: Edge, http):
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer x"}, edge.bearer(ttl=-60)):
        answer = await http.post("/chat", json={"text": "hi"}, headers=headers)
        assert problem(answer) == (401, "unauthorized", None)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    in_address = await http.post(f"/chat?token={edge.token()}", json={"text": "hi"})
    assert problem(in_address) == (401, "unauthorized", None)
    unwilling = await http.post("/chat", json={"text": "hi"}, headers=edge.bearer(consent=False))
    assert problem(unwilling) == (403, "consent_required", None)
    observer = edge.bearer("tess", role="observer", learners=["ada"])
    sent = await http.post("/chat", json={"text": "hi", "userId": "ada"}, headers=observer)
    assert problem(sent) == (403, "forbidden", None)


async def test_too_many_requests_of_one_learner(topics):
    async with (
        serving(topics, requests_per_minute=2) as edge,
        httpx.AsyncClient(base_url=edge.http + PREFIX, trust_env=False) as http,
    ):
        ada, bob = edge.bearer("ada"), edge.bearer("bob")
        service = edge.bearer("lms", role="service")
        for _ in range(2):
            assert (await http.get("/profile/ada", headers=ada)).status_code == 404
        refused = await http.post("/chat", json={"text": "hi"}, headers=ada)
        assert problem(refused) == (429, "rate_limited", None)
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert (await http.get("/profile/bob", headers=bob)).status_code == 404
        # A service has each learner's rate, not one for all
        for user in ("eve", "bob", "joe"):
            sent = await http.post("/chat", json={"text": "hi", "userId": user}, headers=service)
            assert sent.status_code == 202
        for _ in range(10):
            root = edge.http.removesuffix(PREFIX)
            assert (await http.get(root + "/healthz", headers=ada)).status_code == 200


async def test_profile_from_the_push_log_then_from_history(edge: Edge, http, pusher):
    assert problem(await http.get("/profile/ada")) == (404, "not_found", "userId")
    assert problem(await http.get("/profile/bob")) == (403, "forbidden", "userId")

    state = FULL_STATE.document()
    mongo: AsyncMongoClient = AsyncMongoClient(edge.settings.mongo.url)
    async with mongo:
        states = mongo[edge.settings.mongo.database]["states"]
        await states.insert_one(
            {"_id": "ada", "expiresAt": datetime.now(UTC) + timedelta(days=1), **state}
        )
    stored = (await http.get("/profile/ada")).json()
    assert stored["userState"]["version"] == state["version"]
    assert stored["details"] == {"source": "history", "classes": KNOWN}

    await pusher.push("ada", PushKind.STATE, userState={**state, "version": 99})
    observer = edge.bearer("tess", role="observer", learners=["ada"])
    live = (await http.get("/profile/ada", headers=observer)).json()
    assert (live["userState"]["version"], live["known"]) == (99, True)
    assert live["details"] == {"source": "live", "classes": KNOWN}


async def test_a_profile_names_the_classes_of_the_promoted_model(topics, pusher, tmp_path):
    """Another model is promoted, then one whose card cannot be read: the state is told all the
    same, and of the classes what is known."""
    packaged = topics.emotion.artefact / "card.json"
    card = orjson.loads(packaged.read_bytes())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "card.json").write_bytes(
        orjson.dumps({**card, "emotions": ["joy", "awe"]})
    )
    pointer = tmp_path / "promoted"
    emotion = topics.emotion.model_copy(update={"promoted": pointer})
    await pusher.push("ada", PushKind.STATE, userState=FULL_STATE.document())
    promoting = topics.model_copy(update={"emotion": emotion})
    async with serving(promoting) as edge, rest(edge) as http:

        async def classes() -> list[str] | None:
            profile = (await http.get("/profile/ada")).json()
            assert (profile["known"], profile["details"]["source"]) == (True, "live")
            return profile["details"].get("classes")

        assert await classes() == KNOWN
        pointer.write_text(str(tmp_path / "other"))
        assert await classes() == ["joy", "awe"]
        pointer.write_text(str(tmp_path / "gone"))
        assert await classes() is None


@pytest.mark.parametrize(
    "body", [{"userState": {"version": "x"}}, {"userState": 7}, {"padding": "no state"}]
)
async def test_a_live_state_that_cannot_be_read_is_not_a_fault_of_ours(
    edge: Edge, http, pusher, body
):
    await pusher.push("ada", PushKind.STATE, **{"userState": None, **body})
    assert problem(await http.get("/profile/ada"))[:2] in ((404, "not_found"), (503, "unavailable"))
    state = FULL_STATE.document()
    mongo: AsyncMongoClient = AsyncMongoClient(edge.settings.mongo.url)
    async with mongo:
        await mongo[edge.settings.mongo.database]["states"].insert_one(
            {"_id": "ada", "expiresAt": datetime.now(UTC) + timedelta(days=1), **state}
        )
    stored = (await http.get("/profile/ada")).json()
    assert stored["details"]["source"] == "history"


async def test_pages_of_allowed_origins_only(edge: Edge, http):
    ask = {"Origin": edge.http, "Access-Control-Request-Method": "POST"}
    allowed = await http.options("/chat", headers=ask)
    refused = await http.options("/chat", headers={**ask, "Origin": "https://evil.example"})
    local = await http.options("/chat", headers={**ask, "Origin": "http://localhost:5173"})
    assert local.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert allowed.headers["Access-Control-Allow-Origin"] == edge.http
    assert "Access-Control-Allow-Origin" not in refused.headers
