import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from app.client.replay import Line, NotReplayable, Outcome, percentile, read, renewed, replay
from schemas.wire.client import CLIENT_MESSAGE

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "session.jsonl"


def write(tmp_path, *lines):
    path = tmp_path / "recording.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


PING = {"type": "ping", "id": "p"}
CHAT = {"type": "chat_message", "id": "c", "timestamp": 1_700_000_000, "text": "hi"}


def test_the_example_is_a_recording():
    lines = read(EXAMPLE)
    assert {line.message["type"] for line in lines} == {
        "ping",
        "interaction_batch",
        "chat_message",
    }


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (["{"], "line 1: not JSON"),
        ([{"at": 0}], "line 1: is not"),
        ([{"at": -1, "message": PING}], "line 1: at:"),
        ([{"at": 1, "message": PING}, "", {"at": 0.5, "message": PING}], "line 3: at: is before"),
        ([{"at": 0, "message": {**CHAT, "text": ""}}], "message.text"),
        ([{"at": 0, "message": {"type": "no_such"}}], "line 1: message."),
        ([], "has no messages"),
    ],
)
def test_what_is_wrong_with_a_recording_is_told_by_line_and_field(tmp_path, lines, wrong):
    with pytest.raises(NotReplayable, match=wrong):
        read(write(tmp_path, *lines))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(NotReplayable, match="No such file"):
        read(tmp_path / "none.jsonl")


def test_renewed_messages_are_valid_new_and_of_now():
    for line in read(EXAMPLE):
        fresh = renewed(line.message, now=1_800_000_000.0)
        CLIENT_MESSAGE.validate_python(fresh)
        assert fresh["id"] != line.message["id"]
        text = json.dumps(fresh)
        assert "userId" not in text
        for one in (fresh, *fresh.get("interactions", ())):
            assert one.get("timestamp", 1_800_000_000_000) == 1_800_000_000_000
        assert line.message == json.loads(json.dumps(line.message)), "the recording is untouched"


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_enough_are_at_or_below(values, share):
    found = percentile(values, share)
    assert found in values
    at_or_below = sum(value <= found for value in values)
    assert at_or_below >= share * len(values) * (1 - 1e-12)
    assert sum(value < found for value in values) < share * len(values) * (1 + 1e-12)


def test_a_message_is_complete_once_its_state_or_its_refusal_came():
    outcome = Outcome(sent_at={"a": 1.0, "b": 1.0, "c": 1.0})
    # The push may overtake the ack.
    outcome.take({"type": "user_state_update", "causedBy": ["e1"]}, 1.5)
    outcome.take({"type": "ack", "id": "a", "eventIds": ["e1"]}, 1.25)
    outcome.take({"type": "error", "id": "b", "code": "slow_down"}, 1.1)
    assert not outcome.complete
    outcome.take({"type": "ack", "id": "c", "eventIds": ["e2"], "duplicates": ["e2"]}, 1.2)
    assert outcome.complete
    assert outcome.ack_latencies == [0.25, pytest.approx(0.2)]
    assert outcome.state_latencies == [0.5]
    assert outcome.errors == {"slow_down": 1}


async def test_replay_sends_in_order_and_returns_when_all_is_answered():
    got = []

    async def gateway(socket):
        async for raw in socket:
            message = orjson.loads(raw)
            got.append(message["type"])
            if message["type"] == "ping":
                continue
            event = f"event-{message['id']}"
            ack = {"type": "ack", "id": message["id"], "eventIds": [event]}
            state = {"type": "user_state_update", "causedBy": [event], "userState": {}}
            await socket.send(orjson.dumps(ack).decode())
            await socket.send(orjson.dumps(state).decode())

    lines = read(EXAMPLE)
    async with serve(gateway, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as socket:
            outcome = await replay(socket, lines, speed=float("inf"), patience=30)
    assert got == [line.message["type"] for line in lines]
    assert outcome.complete
    assert len(outcome.ack_latencies) == len(outcome.state_latencies) == 17


async def test_a_gateway_that_closes_ends_the_replay_incomplete():
    async def gateway(socket):
        await socket.recv()
        await socket.close(4401, "expired")

    async with serve(gateway, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as socket:
            outcome = await replay(socket, [Line(0.0, CHAT), Line(0.0, CHAT)], patience=30)
    assert not outcome.complete
    assert outcome.closed in (None, "4401 expired")
