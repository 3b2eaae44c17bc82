"""Whatever comes, a message or an error comes of it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.intake.events import Batch
from app.gateway.websocket import codec
from schemas.wire.client import CLIENT_TYPES, ChatMessage, Ping
from schemas.wire.server import Error

LIMIT = 64 * 1024

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=80)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)
fields = [
    "id", "eventId", "event_id", "timestamp", "text", "interactions", "userId",
    "interactionType", "timingData", "targetType", "targetId", "outcome", "epoch", "offset",
]  # fmt: skip
nearly = st.fixed_dictionaries(
    {"type": st.sampled_from(CLIENT_TYPES) | values},
    optional={name: values | st.sampled_from(["1", 1_700_000_000, "reply"]) for name in fields},
)
interactions = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "timestamp": values,
            "interactionType": st.text(max_size=5),
            "timingData": values,
        },
    ),
    max_size=3,
)
batches = nearly.flatmap(
    lambda message: interactions.map(
        lambda found: {**message, "type": "interaction_batch", "interactions": found}
    )
)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_answered(frame):
    found = codec.decode(frame, LIMIT)
    assert found is not None
    codec.encode(found)


@given(values | nearly | batches)
def test_any_json_is_answered_and_an_error_can_be_sent(document):
    frame = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    found = codec.decode(frame, LIMIT)
    if isinstance(found, Error):
        answer = orjson.loads(codec.encode(found))
        assert answer["code"]
        assert answer["message"]
        sent = document.get("id") if isinstance(document, dict) else None
        assert answer.get("id") in (None, sent)


@given(st.text(min_size=1, max_size=64).filter(str.isprintable), values)
def test_the_id_comes_back_whatever_else_is_wrong(message_id, rest):
    frame = orjson.dumps(
        {"id": message_id, "type": rest, "text": rest}, option=orjson.OPT_NON_STR_KEYS
    )
    found = codec.decode(frame, LIMIT)
    if isinstance(found, Error):
        assert found.id == message_id


@given(st.text(alphabet="abcdefgh", min_size=24, max_size=48))
def test_an_error_never_shows_the_text(secret):
    for document in (
        {"type": "chat_message", "id": "1", "timestamp": secret, "text": secret},
        {"type": "chat_message", "id": secret * 9, "timestamp": 1, "text": secret},
        {"type": secret, "text": secret},
        {"type": "feedback", "id": "1", "targetType": secret, "targetId": "1", "outcome": secret},
    ):
        found = codec.decode(orjson.dumps(document), LIMIT)
        assert isinstance(found, Error)
        assert secret not in codec.encode(found).decode()


@pytest.mark.parametrize(
    ("frame", "code", "field", "message_id"),
    [
        (b"", "invalid_json", None, None),
        (b"{", "invalid_json", None, None),
        (b"\xff\xfe", "invalid_json", None, None),
        (b'"\\ud800"', "invalid_message", None, None),
        (b'{"id":"7","type":"chat_message","timestamp":NaN,"text":"hm"}',
         "invalid_message", "timestamp", "7"),
        (b'{"id":"7","type":"chat_message","timestamp":1e400,"text":"hm"}',
         "invalid_message", "timestamp", "7"),
        (b'{"id":"7","type":"resume","epoch":"e","offset":-Infinity}',
         "invalid_message", "offset", "7"),
        (b'{"id":"7",' + b'"x":[' * 10_000 + b"NaN" + b"]" * 10_000 + b"}", "invalid_json", None,
         None),
        (b'{"id":"7","type":"ping","x":[NaN,' + b"9" * 5_000 + b"]}", "invalid_json", None, None),
        (b"[1]", "invalid_message", None, None),
        (b"null", "invalid_message", None, None),
        (b'{"id":"7"}', "invalid_message", "type", "7"),
        (b'{"id":"7","type":"dance"}', "unknown_type", "type", "7"),
        (b'{"id":"7","type":["ping"]}', "invalid_message", "type", "7"),
        (b'{"id":"7","type":"chat_message","timestamp":1700000000}',
         "invalid_message", "text", "7"),
        (b'{"id":7,"type":"ping"}', "invalid_message", "id", None),
        (b'{"id":"7","type":"interaction_batch","interactions":[]}', "invalid_message",
         "interactions", "7"),
        (b'{"id":"7","type":"interaction_batch","interactions":[{"timestamp":1700000000,'
         b'"interactionType":"click","timingData":{"responseTime":NaN}}]}',
         "invalid_message", "interactions.0.timingData.responseTime", "7"),
        (b'{"id":"7","type":"resume","epoch":"e","offset":-1}', "invalid_message", "offset", "7"),
    ],
)  # fmt: skip
def test_an_error_names_code_field_and_id(frame, code, field, message_id):
    found = codec.decode(frame, LIMIT)
    assert isinstance(found, Error)
    assert (found.code, found.field, found.id) == (code, field, message_id)


def test_camel_case_and_snake_case_seconds_and_milliseconds_mean_the_same():
    camel = {
        "type": "interaction_batch",
        "id": "1",
        "interactions": [
            {"eventId": "e", "timestamp": 1_700_000_000, "interactionType": "click",
             "timingData": {"responseTime": 2.5}}
        ],
    }  # fmt: skip
    snake = {
        "type": "interaction_batch",
        "id": "1",
        "interactions": [
            {"event_id": "e", "timestamp": 1_700_000_000_000, "interaction_type": "click",
             "timing_data": {"response_time": 2.5}}
        ],
    }  # fmt: skip
    one, other = (codec.decode(orjson.dumps(each), LIMIT) for each in (camel, snake))
    assert isinstance(one, Batch)
    assert one == other


def test_text_frames_and_binary_frames_mean_the_same():
    frame = '{"type":"chat_message","id":"1","timestamp":1700000000,"text":"où ça ?"}'
    assert codec.decode(frame, LIMIT) == codec.decode(frame.encode(), LIMIT)
    assert isinstance(codec.decode(frame, LIMIT), ChatMessage)


def test_the_bound_is_in_bytes_and_the_id_is_told_all_the_same():
    ping = orjson.dumps({"type": "ping", "id": "1", "padding": "é" * 100})
    assert isinstance(codec.decode(ping, len(ping)), Ping)
    found = codec.decode(ping, len(ping) - 1)
    assert isinstance(found, Error)
    assert (found.code, found.id) == ("too_large", "1")
    assert codec.decode(b"x" * 101, 100).code == "too_large"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"I am lost \ud83d", "I am lost \ufffd"),
        (r"\ude00 half", "\ufffd half"),
        (r"\ud83d\ude00 \ud83d", "\N{GRINNING FACE} \ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\N{GRINNING FACE}"),
        ("\N{GRINNING FACE} \\udfff", "\N{GRINNING FACE} \ufffd"),
    ],
)
def test_half_an_emoji_is_read_as_a_replacement_character(written, read):
    frame = f'{{"type":"chat_message","id":"7","timestamp":1700000000,"text":"{written}"}}'
    found = codec.decode(frame.encode(), LIMIT)
    assert isinstance(found, ChatMessage)
    assert found.text == read


def test_half_an_emoji_and_nan_in_a_batch_leave_its_other_interactions_alone():
    good = '{"timestamp":1700000000,"interactionType":"click","taskData":{"skill":"frac\\ud83d"}}'
    bad = '{"timestamp":1700000000,"interactionType":"click","taskData":{"attemptCount":NaN}}'
    frame = f'{{"type":"interaction_batch","id":"7","interactions":[{good},{bad},{good}]}}'
    found = codec.decode(frame, LIMIT)
    assert isinstance(found, Batch)
    assert found.triage.positions == (0, 2)
    assert [one.task_data.skill for one in found.interactions] == ["frac\ufffd"] * 2
    assert [(one.index, one.field) for one in found.triage.rejected] == [
        (1, "taskData.attemptCount")
    ]
