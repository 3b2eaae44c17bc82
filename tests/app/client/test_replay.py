import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.ports import PushKind
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.client.learner import LearnerClient
from app.client.replay import Line, NotReplayable, Outcome, percentile, read, renewed, replay
from app.kafka import clients
from app.kafka.topics import physical
from app.settings import Settings
from schemas.wire.client import CLIENT_MESSAGE
from schemas.wire.server import Ack
from tests.app.gateway.edge import Edge, Pusher, records, serving
from tests.proxy import Proxy

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "session.jsonl"


def write(tmp_path, *lines):
    path = tmp_path / "recording.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


PING = {"type": "ping", "id": "p"}
CHAT_MESSAGE = {"type": "chat_message", "id": "c", "timestamp": 1_700_000_000, "text": "hi"}
FEEDBACK_OF = {"targetType": "recommendation", "targetId": "r", "outcome": "helpful"}


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
        ([{"at": 0, "message": {**CHAT_MESSAGE, "text": ""}}], "message.text"),
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
    outcome = Outcome(sent_at={"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0})
    # The push may overtake the ack.
    outcome.take({"type": "user_state_update", "causedBy": ["e1"]}, 1.5)
    outcome.acknowledge(Ack(id="a", event_ids=("e1",)), 1.25, awaited=True)
    outcome.refuse("b", "too_large")
    assert not outcome.complete
    outcome.acknowledge(Ack(id="c", event_ids=("e2",), duplicates=("e2",)), 1.2, awaited=True)
    assert not outcome.complete
    outcome.acknowledge(Ack(id="d", event_ids=("e3",)), 1.2, awaited=False)  # feedback
    assert outcome.complete
    assert outcome.ack_latencies == [0.25, pytest.approx(0.2), pytest.approx(0.2)]
    assert outcome.state_latencies == [0.5]
    assert outcome.errors == {"too_large": 1}


class Chain:
    """In place of the workers: a state for each record that the gateway writes."""

    def __init__(self, settings: Settings, pusher: Pusher) -> None:
        self._settings = settings
        self._pusher = pusher
        self.records: list[ConsumerRecord] = []

    async def run(self) -> None:
        names = [physical(self._settings, topic) for topic in (INTERACTIONS, CHAT, FEEDBACK)]
        consumer = clients.consumer(self._settings.kafka, *names, auto_offset_reset="earliest")
        await consumer.start()
        try:
            async for record in consumer:
                self.records.append(record)
                if record.topic.endswith(FEEDBACK):
                    continue
                document = orjson.loads(record.value)
                for event in document.get("interactions", [document]):
                    new = self._pusher._new(
                        record.key.decode(), PushKind.STATE, event["eventId"], 0, {}
                    )
                    await self._pusher._append([new])
        finally:
            await consumer.stop()

    def sent(self) -> Counter[str]:
        return Counter(record.topic.rpartition(".")[2] for record in self.records)


@asynccontextmanager
async def chain(settings: Settings, pusher: Pusher) -> AsyncIterator[Chain]:
    made = Chain(settings, pusher)
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.services
async def test_a_replay_returns_when_all_is_answered(edge: Edge, pusher: Pusher):
    lines = read(EXAMPLE)
    shown: list[tuple[str, str]] = []
    async with (
        chain(edge.settings, pusher) as there,
        LearnerClient(edge.http, "ada", edge.token("ada")) as ada,
    ):
        outcome = await replay(
            ada,
            [*lines, Line(lines[-1].at, {"type": "feedback", **FEEDBACK_OF})],
            speed=float("inf"),
            patience=60,
            show=lambda at, direction, message: shown.append((direction, message["type"])),
        )
    assert outcome.complete
    assert outcome.closed is None
    pings = sum(line.message["type"] == "ping" for line in lines)
    assert outcome.left_out == pings > 0
    assert sum(outcome.sent.values()) == len(lines) - pings + 1
    assert len(outcome.ack_latencies) == len(outcome.state_latencies) + 1 == 18
    assert there.sent() == {
        INTERACTIONS: outcome.sent["interaction_batch"],
        CHAT: outcome.sent["chat_message"],
        FEEDBACK: 1,
    }
    assert Counter(kind for direction, kind in shown if direction == "→") == outcome.sent
    assert ("←", "ack") in shown


@pytest.mark.services
async def test_a_replay_goes_on_over_cuts_and_loses_and_doubles_nothing(
    topics: Settings, pusher: Pusher
):
    lines = read(EXAMPLE)
    async with (
        serving(topics) as edge,
        Proxy(topics.gateway.port) as proxy,
        chain(topics, pusher) as there,
        LearnerClient(f"http://127.0.0.1:{proxy.port}", "ada", edge.token("ada")) as ada,
    ):

        async def cut() -> None:
            for _ in range(3):
                await asyncio.sleep(0.4)
                proxy.cut()

        cutting = asyncio.create_task(cut())
        # 18 messages over about two seconds
        outcome = await replay(ada, lines, speed=lines[-1].at / 2, patience=60)
        await cutting
        assert proxy.opened > 2
    assert outcome.complete
    # A batch that was under way may stand twice: its events do not.
    events = [
        event["eventId"]
        for record in there.records
        for event in orjson.loads(record.value).get("interactions", ())
    ]
    assert len(set(events)) == sum(
        len(line.message["interactions"])
        for line in lines
        if line.message["type"] == "interaction_batch"
    )
    said = {
        orjson.loads(record.value)["eventId"]
        for record in there.records
        if record.topic == physical(topics, CHAT)
    }
    assert len(said) == outcome.sent["chat_message"]


@pytest.mark.services
async def test_what_is_refused_is_counted_and_not_waited_for(edge: Edge):
    too_long = {**CHAT_MESSAGE, "text": "x" * 8_001}
    async with LearnerClient(edge.http, "ada", edge.token("ada")) as ada:
        outcome = await replay(ada, [Line(0.0, too_long)], patience=30)
    assert outcome.complete
    assert outcome.errors == {"too_large": 1}


@pytest.mark.services
async def test_recorded_ids_are_kept_if_asked_and_a_second_replay_adds_nothing(
    edge: Edge, pusher: Pusher
):
    lines = read(EXAMPLE)
    async with chain(edge.settings, pusher) as there:
        for _ in range(2):
            async with LearnerClient(edge.http, "demo", edge.token("demo")) as demo:
                outcome = await replay(
                    demo, lines, speed=float("inf"), as_recorded=True, patience=60
                )
                assert outcome.complete
        names = [orjson.loads(record.value)["eventId"] for record in there.records]
    assert len(set(names)) == len(names) == sum(outcome.sent.values())


@pytest.mark.services
async def test_a_connection_that_ends_for_good_ends_the_replay_incomplete(
    edge: Edge,
):
    """Nobody makes states, and the client is closed while the replay waits for them."""
    async with LearnerClient(edge.http, "ada", edge.token("ada")) as ada:
        replaying = asyncio.create_task(replay(ada, [Line(0.0, CHAT_MESSAGE)], patience=60))
        while not (await records(edge.settings, CHAT, 1)):
            await asyncio.sleep(0.05)
    outcome = await replaying
    assert not outcome.complete
    assert outcome.closed == "the client was closed"
