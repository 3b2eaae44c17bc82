"""What was written is what is read; what cannot be a message says which field is wrong."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from schemas.base import InvalidJson, InvalidMessage, Message, UnknownVersion
from schemas.topics.actions import Recommendation
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import Emotion
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction
from schemas.topics.operations import DeadLetter
from schemas.topics.state import Activity, Estimate, TrajectoryCall
from schemas.vocabulary import Level
from schemas.wire.client import (
    CLIENT_TYPES,
    ChatMessage,
    Feedback,
    InteractionBatch,
    Resume,
    UnknownType,
    read_client,
)
from schemas.wire.errors import ErrorCode
from tests.schemas.examples import ERROR, EXAMPLES, NOON

MESSAGES = [message for messages in EXAMPLES.values() for message in messages]
CHAT = {"type": "chat_message", "id": "m", "timestamp": NOON, "text": "hm"}
INTERACTION = {"timestamp": NOON, "interactionType": "click"}


def name_of(message: Message) -> str:
    return type(message).__name__


def wrong(model: type[Message], document: Any) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        model.read(document)
    return caught.value


# -- round trips --------------------------------------------------------------------------


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_what_was_written_is_what_is_read(message):
    assert type(message).parse(message.json_bytes()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_camel_case_is_sent_and_snake_case_is_accepted(message):
    document = message.document()

    snake = message.model_dump(mode="json", by_alias=False, exclude_none=True)

    assert type(message).read(snake) == message
    assert not [key for key in document if "_" in key]


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_a_field_of_a_newer_sender_is_ignored(message):
    assert type(message).read(message.document() | {"fromTheFuture": {"deep": [1]}}) == message


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_what_is_absent_is_left_out(message):
    assert None not in message.document().values()


def test_the_camel_case_name_wins_where_both_are_given():
    found = Interaction.read(INTERACTION | {"interaction_type": "other"})

    assert found.interaction_type == "click"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(text=TEXT)
def test_any_text_passes_unchanged(text):
    message = ChatMessage(id="m", timestamp=NOON, text=text)

    assert ChatMessage.parse(message.json_bytes()).text == text
    # An SDK's JSON.stringify escapes what json.dumps escapes.
    assert ChatMessage.parse(json.dumps(CHAT | {"text": text})).text == text


@given(value=st.floats(0, 1) | st.integers(0, 1))
def test_a_share_passes_unchanged(value):
    estimate = Estimate(value=value, confidence=value, source="measured")

    assert Estimate.parse(estimate.json_bytes()) == estimate


@given(
    parameters=st.dictionaries(
        TEXT,
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_parameters_pass_unchanged(parameters):
    made = Recommendation(id="r", action="a", parameters=parameters, confidence=1, because=())

    assert Recommendation.parse(made.json_bytes()) == made
    assert made.parameters == parameters


# -- what is not JSON ---------------------------------------------------------------------

NOT_JSON = {
    "nothing": b"",
    "half an object": b'{"id": "m"',
    "a bare word": b"hello",
    "NaN": b'{"offset": NaN}',
    "Infinity": b'{"offset": Infinity}',
    "a number beyond a double": b'{"offset": 1e400}',
    "a negative one": b'{"offset": -1e400}',
    "an integer beyond a double": b'{"offset": ' + b"9" * 400 + b"}",
    "a lone surrogate, escaped": rb'{"text": "\ud800"}',
    "a surrogate pair the wrong way round": rb'{"text": "\udc00\ud800"}',
    "a lone surrogate in a key": rb'{"\ud800": 1}',
    "a lone surrogate, encoded": b'{"text": "\xed\xa0\x80"}',
    "bytes that are not UTF-8": b'{"text": "\xff"}',
    "a raw control character": b'{"text": "\x00"}',
    "UTF-16": '{"text": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "ten thousand brackets": b'{"text": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "two documents": b"{} {}",
}


@pytest.mark.parametrize("payload", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_says_so(payload):
    with pytest.raises(InvalidJson) as caught:
        ChatMessage.parse(payload)

    assert caught.value.field is None
    assert caught.value.code == ErrorCode.INVALID_JSON
    assert "JSON" in caught.value.message


def test_a_str_with_a_lone_surrogate_is_not_json_either():
    with pytest.raises(InvalidJson):
        ChatMessage.parse('{"text": "\ud800"}')


@given(payload=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(payload):
    for model in (ChatReceived, InteractionBatch):
        with pytest.raises((InvalidJson, InvalidMessage)):
            model.parse(payload)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = {
    ChatMessage: CHAT,
    Resume: {"type": "resume", "epoch": "x", "offset": 1},
    Interaction: INTERACTION
    | dict.fromkeys(("eventId", "userId", "elementId", "timingData", "taskData")),
}


@given(data=st.data())
def test_whatever_is_in_a_field_is_a_message_that_can_be_written_or_names_the_field(data):
    model = data.draw(st.sampled_from(list(FIELDS)))
    field = data.draw(st.sampled_from(list(FIELDS[model])))
    document = FIELDS[model] | {field: data.draw(JSON_VALUES)}

    try:
        message = model.read(document)
    except InvalidMessage as error:
        named = (error.field or "").split(".")[0]
    else:
        named = field
        assert model.parse(message.json_bytes()) == message
    assert named == field


# -- what is JSON, but not the message ----------------------------------------------------


@pytest.mark.parametrize("document", [None, [], "x", 1, True, [CHAT]], ids=repr)
def test_what_is_not_an_object_says_so(document):
    error = wrong(ChatMessage, document)

    assert error.field is None
    assert error.message == "should be a JSON object"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": 7}, "id"),
        ({"id": None}, "id"),
        ({"id": " "}, "id"),
        ({"id": "a\x00b"}, "id"),
        ({"id": "a\u202eb"}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"text": ""}, "text"),
        ({"text": " \n\t\u3000"}, "text"),
        ({"text": 5}, "text"),
        ({"text": ["hm"]}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"type": "ping"}, "type"),
        ({"eventId": ""}, "eventId"),
        ({"event_id": ""}, "event_id"),
    ],
    ids=ascii,
)
def test_a_chat_message_names_the_field_as_the_client_wrote_it(changes, field):
    assert wrong(ChatMessage, CHAT | changes).field == field


@pytest.mark.parametrize("missing", ["timestamp", "text"])
def test_a_missing_field_is_named(missing):
    document = {key: value for key, value in CHAT.items() if key != missing}

    assert wrong(ChatMessage, document).field == missing


@pytest.mark.parametrize("model", [InteractionBatch, ChatMessage, Feedback])
def test_a_message_without_id_is_given_a_new_one(model):
    body = {
        **CHAT,
        "interactions": [INTERACTION],
        "targetType": "reply", "targetId": "r", "outcome": "helpful",
        "type": model.model_fields["type"].default,
    }  # fmt: skip
    document = {key: value for key, value in body.items() if key != "id"}
    one, other = model.read(document), model.read(document)
    assert one.id
    assert one.id != other.id
    assert "id" not in model.model_json_schema()["required"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"timingData": {"responseTime": True}}, "timingData.responseTime"),
        ({"timing_data": {"response_time": "-1"}}, "timing_data.response_time"),
        ({"viewportData": {"scrollDistance": float("-inf")}}, "viewportData.scrollDistance"),
        ({"contextData": {"sessionDuration": float("nan")}}, "contextData.sessionDuration"),
        ({"timingData": {"responseTime": "5"}}, "timingData.responseTime"),
        ({"timingData": {"dwellTime": float("nan")}}, "timingData.dwellTime"),
        ({"timingData": {"dwellTime": float("inf")}}, "timingData.dwellTime"),
        ({"timingData": []}, "timingData"),
        ({"viewportData": {"deviceType": "x" * 33}}, "viewportData.deviceType"),
        ({"contextData": {"tabActive": "yes"}}, "contextData.tabActive"),
        ({"contextData": {"tabActive": 1}}, "contextData.tabActive"),
        ({"taskData": {"correct": "true"}}, "taskData.correct"),
        ({"taskData": {"attemptCount": 1.5}}, "taskData.attemptCount"),
        ({"taskData": {"attemptCount": 10**30}}, "taskData.attemptCount"),
        ({"taskData": {"hintCount": False}}, "taskData.hintCount"),
        ({"interactionType": ""}, "interactionType"),
        ({"userId": "\x07"}, "userId"),
    ],
    ids=repr,
)
def test_an_interaction_names_the_path_within_its_batch(changes, path):
    error = wrong(
        InteractionBatch, {"id": "b", "interactions": [INTERACTION, INTERACTION | changes]}
    )

    assert error.field == f"interactions.1.{path}"
    assert "more)" not in error.message, "one mistake is reported as one"


@pytest.mark.parametrize(
    ("group", "name", "value", "kept"),
    [
        ("timingData", "responseTime", -1, None),
        ("timing_data", "response_time", -1e-9, None),
        ("timingData", "dwellTime", 86_400.1, None),
        ("timingData", "dwellTime", 86_400, 86_400.0),
        ("timingData", "responseTime", 0, 0.0),
        ("timingData", "responseTime", -(10**400), None),
        ("viewportData", "scrollDistance", 1e10, None),
        ("viewportData", "scrollDistance", -0.5, None),
        ("contextData", "sessionDuration", -0.5, None),
        ("contextData", "sessionDuration", 1e12, None),
    ],
)
def test_a_measurement_out_of_range_is_absent(group, name, value, kept):
    batch = InteractionBatch.read({"interactions": [INTERACTION | {group: {name: value}}]})
    (found,) = batch.interactions
    read = next(iter(found.model_dump(include={to_snake(group)}).values()))
    assert read[to_snake(name)] == kept


def test_more_mistakes_are_counted():
    assert wrong(ChatMessage, {}).message.endswith("(and 1 more)")


@pytest.mark.parametrize("count", [0, MAX_INTERACTIONS + 1])
def test_a_batch_is_bounded(count):
    assert wrong(InteractionBatch, {"id": "b", "interactions": [INTERACTION] * count}).field == (
        "interactions"
    )


@pytest.mark.parametrize("offset", [True, "7", 1.5, -1, 2**63, 2.0**64, None])
def test_an_offset_is_a_whole_number_of_64_bits(offset):
    assert wrong(Resume, {"type": "resume", "epoch": "x", "offset": offset}).field == "offset"


def test_a_whole_number_may_come_as_a_float():
    assert Resume.read({"epoch": "x", "offset": 7.0}).json_bytes() == (
        b'{"type":"resume","epoch":"x","offset":7}'
    )


def test_an_error_never_quotes_what_the_learner_wrote():
    secret = "my name is Ada"
    for changes in (
        {"text": [secret]},
        {"id": secret * 9},
        {"timestamp": secret},
        {"type": secret},
    ):
        assert secret not in str(wrong(ChatMessage, CHAT | changes))


@pytest.mark.parametrize("model", [ChatReceived, DeadLetter])
def test_a_later_schema_version_is_refused_by_name_whatever_else_it_holds(model):
    for document in (EXAMPLES[model][0].document() | {"schemaVersion": 2}, {"schemaVersion": 2}):
        with pytest.raises(UnknownVersion) as raised:
            model.read(document)
        assert (raised.value.field, raised.value.message) == ("schemaVersion", "unknown_version")


# -- what we must not write ---------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_no_figure_is_infinite(bad):
    for make in (
        lambda: Estimate(value=bad, confidence=0, source="prior"),
        lambda: TrajectoryCall(slope=bad, points=1),
        lambda: Activity(interactions=1, messages=0, response_time=bad),
        lambda: Recommendation(
            id="r", action="a", parameters={"deep": [{"x": bad}]}, confidence=1, because=()
        ),
    ):
        with pytest.raises(ValidationError):
            make()


@pytest.mark.parametrize("bad", [2**64, {1}, "\ud800", {"\ud800": 1}], ids=ascii)
def test_parameters_are_json(bad):
    with pytest.raises(ValidationError, match="is not JSON"):
        Recommendation(id="r", action="a", parameters={"x": bad}, confidence=1, because=())


def test_parameters_that_contain_themselves_are_not_json():
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(ValidationError):
        Recommendation(id="r", action="a", parameters=loop, confidence=1, because=())


def test_a_dead_letter_can_always_be_written():
    letter = DeadLetter(
        topic="t",
        partition=0,
        offset=0,
        role="emotion",
        error="UnicodeEncodeError",
        reason="cannot encode \ud800",
        field="\udfff",
        failed_at=NOON,
        headers={"x\ud800": "\ud800"},
    )

    assert orjson.loads(letter.json_bytes())["reason"] == "cannot encode ?"


def test_an_event_cannot_be_of_a_learner_whose_key_cannot_be_encoded():
    with pytest.raises(ValidationError, match="valid string"):
        ChatReceived(event_id="e", user_id="\ud800", event_time=NOON, ingest_time=NOON, text="hm")


# -- any message of a client --------------------------------------------------------------


@pytest.mark.parametrize("model", [m for m in EXAMPLES if m in (ChatMessage, Resume)])
def test_a_clients_message_is_known_by_its_type(model):
    for message in EXAMPLES[model]:
        assert read_client(message.document()) == message


@pytest.mark.parametrize(
    "document", [{}, {"type": None}, {"type": ["ping"]}, {"type": 1}], ids=repr
)
def test_a_message_without_a_type_is_told_which_there_are(document):
    with pytest.raises(InvalidMessage) as caught:
        read_client(document)

    assert caught.value.field == "type"
    assert all(name in caught.value.message for name in CLIENT_TYPES)


def test_an_unknown_type_has_its_own_code():
    with pytest.raises(UnknownType) as caught:
        read_client(CHAT | {"type": "telepathy"})

    assert caught.value.code == ErrorCode.UNKNOWN_TYPE
    assert caught.value.field == "type"


def test_a_field_of_a_clients_message_is_named_without_its_type_before_it():
    with pytest.raises(InvalidMessage) as caught:
        read_client({"type": "ping", "id": 5})

    assert caught.value.field == "id"


def test_what_is_not_an_object_is_no_clients_message():
    with pytest.raises(InvalidMessage, match="JSON object"):
        read_client([CHAT])


# -- order that others rely on ------------------------------------------------------------


def test_the_41_emotions_keep_their_order():
    assert len(Emotion) == 41
    first, *_, last = Emotion
    assert (first, last) == (Emotion.JOY, Emotion.NEUTRAL)


def test_levels_are_ordered():
    assert [level.rank for level in Level] == list(range(6))


def test_messages_are_immutable():
    with pytest.raises(ValidationError):
        ERROR.message = "else"
