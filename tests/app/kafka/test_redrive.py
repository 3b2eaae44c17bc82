"""Dead letters on a real broker: listed once, sent again once, where they belong."""

import base64

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.runtime.topics import CHAT, DEAD_LETTERS, EMOTIONS, USER_STATE
from app.kafka.dead_letters import DeadLetterQueue
from app.kafka.producer import Producer
from app.kafka.redrive import REPLAY_OF, Result, read, replay
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, physical
from schemas.base import InvalidMessage, now_ms
from schemas.topics.emotions import EmotionRead
from schemas.topics.operations import DeadLetter

pytestmark = pytest.mark.services


def letter_of(topic, partition, offset, value, **more):
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        role="learner",
        error="InvalidMessage",
        reason="is wrong",
        failed_at=now_ms(),
        value_base64=None if value is None else base64.b64encode(value).decode(),
        **{"headers": {"content-type": "application/json"}, **more},
    )


READING_OF_ANOTHER_TOPIC = EmotionRead(
    event_id="e1",
    user_id="ann",
    event_time=now_ms(),
    ingest_time=now_ms(),
    source_topic="interactions",
    source_partition=0,
    source_offset=0,
).json_bytes()


async def produce(settings, topic, key, value, partition, headers=None, **options):
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        **{"max_request_size": MAX_DEAD_LETTER_BYTES, **options},
    ) as producer:
        if key is None and value is None:
            batch = producer.create_batch()
            batch.append(key=None, value=None, timestamp=None, headers=headers or [])
            return await (
                await producer.send_batch(batch, physical(settings, topic), partition=partition)
            )
        return await producer.send_and_wait(
            physical(settings, topic), value, key=key, partition=partition, headers=headers
        )


async def send_letter(settings, letter, key=b"ann"):
    await produce(settings, DEAD_LETTERS, key, letter.json_bytes(), letter.partition)


async def records(settings, topic, partition):
    place = TopicPartition(physical(settings, topic), partition)
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        await consumer.seek_to_beginning()
        while len(found) < end:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
    return found


async def test_a_letter_is_listed_once_however_often_it_was_sent(topics):
    letter = letter_of(CHAT, 2, 7, b"\xff not json")
    await send_letter(topics, letter)
    await send_letter(topics, letter)
    await send_letter(topics, letter_of(CHAT, 1, 3, b"x"))
    letters = await read(topics)
    assert sorted(one.id for one in letters) == [f"{CHAT}:1:3", f"{CHAT}:2:7"]
    assert await read(topics, since_ms=now_ms() + 3_600_000) == []


async def test_replay_sends_the_original_to_its_own_partition_and_only_once(topics):
    await send_letter(topics, letter_of(CHAT, 2, 7, b"\x00\xff original bytes"))

    first = await replay(topics, await read(topics))
    assert [one.result for one in first] == [Result.REPLAYED]
    second = await replay(topics, await read(topics))
    assert [one.result for one in second] == [Result.BEFORE]

    sent = await records(topics, CHAT, 2)
    assert [(r.key, r.value) for r in sent] == [(b"ann", b"\x00\xff original bytes")]
    headers = dict(sent[0].headers)
    assert headers[REPLAY_OF] == f"{CHAT}:2:7".encode()
    assert headers["content-type"] == b"application/json"

    again = await replay(topics, await read(topics), again=True)
    assert [one.result for one in again] == [Result.REPLAYED]
    assert len(await records(topics, CHAT, 2)) == 2


async def test_a_replay_that_fails_again_is_a_letter_of_its_own(topics):
    await send_letter(topics, letter_of(CHAT, 0, 7, b"still wrong"))
    await replay(topics, await read(topics))
    (sent,) = await records(topics, CHAT, 0)
    failed_again = letter_of(CHAT, 0, sent.offset, b"still wrong").model_copy(
        update={"headers": {k: v.decode() for k, v in sent.headers}}
    )
    await send_letter(topics, failed_again)

    results = await replay(topics, await read(topics))

    assert {one.letter.id: one.result for one in results} == {
        f"{CHAT}:0:7": Result.BEFORE,
        f"{CHAT}:0:{sent.offset}": Result.REPLAYED,
    }
    newest = (await records(topics, CHAT, 0))[-1]
    assert [v for k, v in newest.headers if k == REPLAY_OF] == [f"{CHAT}:0:{sent.offset}".encode()]


async def test_for_a_reading_its_chat_message_is_sent(topics):
    chat = await produce(topics, CHAT, b"ann", b'{"text": "hello"}', 3)
    reading = EmotionRead(
        event_id="e1",
        user_id="ann",
        event_time=now_ms(),
        ingest_time=now_ms(),
        source_topic=CHAT,
        source_partition=3,
        source_offset=chat.offset,
    )
    await send_letter(topics, letter_of(EMOTIONS, 3, 0, reading.json_bytes()))

    (outcome,) = await replay(topics, await read(topics))
    assert outcome.result is Result.REPLAYED
    (_, sent) = await records(topics, CHAT, 3)
    assert (sent.key, sent.value) == (b"ann", b'{"text": "hello"}')
    assert await records(topics, EMOTIONS, 3) == []
    assert [r.result for r in await replay(topics, await read(topics))] == [Result.BEFORE]


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        (letter_of(USER_STATE, 0, 4, b"{}"), "compacted"),
        (letter_of(EMOTIONS, 0, 4, b"not json"), "no reading"),
        (letter_of("no-such-topic", 0, 4, b"{}"), "not in the catalogue"),
        (letter_of(EMOTIONS, 0, 4, b'{"schemaVersion": 2}'), "version"),
        (letter_of(EMOTIONS, 0, 4, READING_OF_ANOTHER_TOPIC), "not read from a chat message"),
    ],
)
async def test_what_cannot_be_sent_again_says_why(topics, letter, reason):
    await send_letter(topics, letter)
    (outcome,) = await replay(topics, await read(topics))
    assert outcome.result is Result.REFUSED
    assert reason in outcome.reason


async def test_a_letter_of_two_megabytes_can_be_read_and_sent(topics):
    value = bytes(range(256)) * 8_192
    await send_letter(topics, letter_of(CHAT, 1, 0, value))
    (outcome,) = await replay(topics, await read(topics))
    assert outcome.result is Result.REPLAYED
    (sent,) = await records(topics, CHAT, 1)
    assert sent.value == value


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"ann", b"{", [("x", b"\xff\xfe"), ("a", b"1"), ("n", None), ("a", b"2"), ("", b"")]),
        (None, None, [("traceparent", None)]),
        (b"\xff", b"", []),
        (b"", b"\x00" * 3_000_000, [("big", b"\xff" * 1_000_000)]),
        (b"k" * 4_000_000, b"v", None),
    ],
    ids=["headers", "nulls", "no utf-8", "large", "large key"],
)
async def test_what_is_a_dead_letter_comes_back_with_every_byte(topics, key, value, headers):
    # Given a record on a topic, made a dead letter by a worker's own code
    await produce(topics, CHAT, key, value, 2, headers)
    (source,) = await records(topics, CHAT, 2)
    async with Producer(topics, client_id="test") as producer:
        dead_letters = DeadLetterQueue(producer, "emotion", topics)
        await (await dead_letters.send(source, InvalidMessage("is wrong")))
    # When it is replayed
    (letter,) = await read(topics)
    (outcome,) = await replay(topics, [letter])
    # Then it stands there again, exactly, and says what it is
    assert outcome.result is Result.REPLAYED, outcome.reason
    _, again = await records(topics, CHAT, 2)
    assert (again.key, again.value) == (source.key, source.value) == (key, value)
    assert again.headers == (*source.headers, (REPLAY_OF, letter.id.encode()))
    # And it is known as replayed
    assert [one.result for one in await replay(topics, [letter])] == [Result.BEFORE]


async def test_a_record_that_fitted_no_letter_is_taken_from_its_topic(topics):
    # Given one that its topic still keeps, and one of which there is only the letter
    place = await produce(topics, CHAT, b"ann", b"z" * 100_000, 1, [("a", b"\xff")])
    (source,) = await records(topics, CHAT, 1)
    async with Producer(topics, client_id="test") as producer:
        dead_letters = DeadLetterQueue(producer, "emotion", topics, max_bytes=50_000)
        await (await dead_letters.send(source, InvalidMessage("is wrong")))
    await send_letter(topics, letter_of(CHAT, 1, 7, None, omitted_bytes=9_000_000))
    # When they are replayed
    outcomes = {one.letter.letter.offset: one for one in await replay(topics, await read(topics))}
    # Then the first is there again, and of the other it is said that it is gone
    assert outcomes[place.offset].result is Result.REPLAYED
    assert outcomes[7].result is Result.REFUSED
    assert "no longer keeps it" in outcomes[7].reason
    _, again = await records(topics, CHAT, 1)
    assert (again.key, again.value, again.headers[0]) == (b"ann", b"z" * 100_000, ("a", b"\xff"))


async def test_one_that_its_topic_does_not_take_stops_no_other(topics):
    # Given a record that was compressed to fit, and a small one in the same partition
    await produce(topics, CHAT, b"ann", b"z" * 5_000_000, 1, compression_type="gzip")
    (source,) = await records(topics, CHAT, 1)
    async with Producer(topics, client_id="test") as producer:
        dead_letters = DeadLetterQueue(producer, "emotion", topics)
        await (await dead_letters.send(source, InvalidMessage("is wrong")))
    await send_letter(topics, letter_of(CHAT, 1, 99, b"small"))
    results = [one.result for one in await replay(topics, await read(topics))]
    assert results == [Result.REFUSED, Result.REPLAYED]


async def test_a_letter_of_an_earlier_release_is_replayed_with_its_headers_as_text(topics):
    await send_letter(topics, letter_of(CHAT, 1, 0, b"x", headers={"schema": "ChatReceived/1"}))
    await replay(topics, await read(topics))
    (sent,) = await records(topics, CHAT, 1)
    assert sent.headers[0] == ("schema", b"ChatReceived/1")
