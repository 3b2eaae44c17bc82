"""The reader with the shipped model; a test of a failure replaces one step of the engine."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from models.emotion.artefact.artefact import GRAPH, Artefact, ArtefactProblem
from models.emotion.config import EmotionSettings
from models.emotion.serving import (
    EmotionReader,
    ModelUnavailable,
    NotRead,
    Observer,
    ReaderStopped,
    Reading,
    UnreadableText,
)
from models.emotion.serving.engine import Engine, network_engine
from models.emotion.serving.inference import Batch, Output, probabilities
from models.emotion.serving.reader import ReadingCache
from models.emotion.serving.windows import WindowedBatch
from schemas.topics.emotions import Emotion, Unread

NOT_A_TOKEN = 10**7  # the embedding table has no such row: the real model raises
POISON = "poison"
TEXTS = [
    "I finally understand fractions, this is so cool!",
    "why is it wrong again??? I did exactly what you said",
    "ok",
    "thank you so much for your help",
    "im scared of the exam tmrw",
    "This is boring. " * 12,
    "what does the minus in front of the bracket do?",
    ".",
]


def settings(**changes: Any) -> EmotionSettings:
    # What these tests send is no learner's, and nothing here is about who speaks.
    return EmotionSettings(
        device="cpu", **{"breaker_cooldown": 0.02, "least_speaking": 0, **changes}
    )


@pytest.fixture(params=[False, True], ids=["one-thread", "three-threads"])
def engine(engine: Engine, request: pytest.FixtureRequest) -> Engine:
    """The shipped model, read by one thread as on a processor, or by three as beside a GPU."""
    return replace(engine, overlaps=request.param)


@asynccontextmanager
async def reading_with(engine: Engine, **changes: Any) -> AsyncIterator[EmotionReader]:
    observer = changes.pop("observer", None)
    reader = EmotionReader(settings(**changes), load=lambda _: engine, observer=observer)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


async def read_all(reader: EmotionReader, texts: list[str]) -> list[Reading | BaseException]:
    futures = [await reader.submit(text) for text in texts]
    return await asyncio.gather(*futures, return_exceptions=True)


def poisoned(engine: Engine) -> Engine:
    """The same engine, whose tokeniser gives the word `poison` an id that does not exist."""

    def tokenise(texts: Any) -> Any:
        return [
            ([1, NOT_A_TOKEN, 2],) if POISON in text else tokens
            for text, tokens in zip(texts, engine.tokenise(texts), strict=True)
        ]

    return replace(engine, tokenise=tokenise)


class Gate:
    """A model that waits to be let through, so that a test can fill the queue behind it."""

    def __init__(self, engine: Engine) -> None:
        self._run = engine.run
        self._open = threading.Event()
        self._open.set()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def close(self) -> None:
        self._open.clear()
        self.entered.clear()

    def open(self) -> None:
        self._open.set()

    def __call__(self, batch: WindowedBatch) -> Output:
        self.entered.set()
        self._open.wait()
        self.sizes.append(len(batch.windows))
        return self._run(batch)


class Sick:
    """A model that raises while `cause` says so."""

    def __init__(self, engine: Engine, cause: Callable[[Batch], Exception | None]) -> None:
        self._run = engine.run
        self.cause = cause
        self.calls = 0

    def __call__(self, batch: Batch) -> Output:
        self.calls += 1
        if error := self.cause(batch):
            raise error
        return self._run(batch)


# Readings ---------------------------------------------------------------------------------


async def test_a_reading_holds_the_classes_of_the_card(engine: Engine, artefact: Artefact) -> None:
    async with reading_with(engine) as reader:
        (reading,) = await read_all(reader, ["thank you so much, this helps me a lot"])
        assert isinstance(reading, Reading)
        assert list(reading.probabilities) == artefact.card.emotions
        assert reading.top == "gratitude"
        assert reading.probabilities[reading.top] == max(reading.probabilities.values())
        assert reading.version == reader.version == artefact.version
        for value in (reading.valence, reading.arousal, reading.dominance):
            assert 0 <= value <= 1
        assert len(reading.affect) == artefact.card.shape.affect


async def test_pleasant_words_read_more_pleasant_than_unpleasant_ones(engine: Engine) -> None:
    async with reading_with(engine) as reader:
        good, bad = await read_all(reader, ["I love this wonderful day", "I hate this awful pain"])
        assert isinstance(good, Reading)
        assert isinstance(bad, Reading)
        assert good.valence > bad.valence + 0.1


async def test_on_a_processor_a_reading_is_the_same_whatever_lies_beside_it(
    engine: Engine,
) -> None:
    async with reading_with(engine, cache_size=0) as reader:
        together = await read_all(reader, TEXTS * 3)
        alone = [(await read_all(reader, [text]))[0] for text in TEXTS]
    assert together == alone * 3


async def test_in_padded_batches_a_reading_does_not_depend_on_the_texts_beside_it(
    artefact: Artefact,
) -> None:
    engine = network_engine(artefact, device="cpu", max_tokens=128, batch_tokens=2_048)
    async with reading_with(engine, cache_size=0) as reader:
        together = await read_all(reader, TEXTS * 3)
        alone = [(await read_all(reader, [text]))[0] for text in TEXTS]
        for i, one in enumerate(together):
            other = alone[i % len(TEXTS)]
            assert isinstance(one, Reading)
            assert isinstance(other, Reading)
            assert list(one.probabilities.values()) == pytest.approx(
                list(other.probabilities.values()), abs=1e-3
            )
            assert (one.valence, one.arousal, one.dominance) == pytest.approx(
                (other.valence, other.arousal, other.dominance), abs=1e-3
            )


async def test_each_future_gets_its_own_texts_reading(engine: Engine) -> None:
    glad, afraid = "I am so happy about it", "I am terrified of it"
    texts = [f"{glad if i % 2 else afraid}, number {i}{' indeed' * (i % 17)}" for i in range(60)]
    async with reading_with(engine) as reader:
        for i, reading in enumerate(await read_all(reader, texts)):
            assert isinstance(reading, Reading)
            joy, fear = reading.probabilities["joy"], reading.probabilities["fear"]  # type: ignore[index]
            assert (joy > fear) == bool(i % 2), texts[i]


@pytest.mark.parametrize(
    "text",
    [
        ".",
        "word " * 10_000,
        "\U0001f62d\U0001f62d\U0001f602\u2764\ufe0f\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\x00\x01\x1b[31m\x7f\x85",
        "a" * 50_000,
        "\ufffd\ufeff\u0301",
    ],
    ids=["a-sign", "10000-words", "emoji", "control", "one-word", "odd"],
)
async def test_any_text_gets_a_reading_or_a_reason(engine: Engine, text: str) -> None:
    async with reading_with(engine) as reader:
        (reading,) = await read_all(reader, [text])
        assert isinstance(reading, Reading | NotRead)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b\u200b", "\ufe0f", "&nbsp;", "<p><br></p>"])
async def test_a_text_in_which_nothing_can_be_seen_is_not_read(engine: Engine, text: str) -> None:
    async with reading_with(engine) as reader:
        with pytest.raises(NotRead) as unread:
            await reader.submit(text)
        assert unread.value.reason is Unread.NOTHING_TO_READ
        assert reader.queue_depth == 0


@pytest.mark.parametrize(
    "text",
    [
        "Estoy muy triste y no entiendo nada",
        "<p>Ich verstehe das &uuml;berhaupt nicht &#128557;</p>",
        "\u05d0\u05e0\u05d9 \u05dc\u05d0 \u202e\u0644\u0627 \u0623\u0641\u0647",
    ],
    ids=["spanish", "german-in-html", "rtl"],
)
async def test_a_text_in_another_language_is_not_read(engine: Engine, text: str) -> None:
    async with reading_with(engine) as reader:
        with pytest.raises(NotRead) as unread:
            await reader.submit(text)
        assert unread.value.reason is Unread.UNSUPPORTED_LANGUAGE
        assert reader.queue_depth == 0


async def test_an_artefact_that_knows_a_language_reads_it(engine: Engine) -> None:
    text = "Estoy muy triste y no entiendo nada"
    async with reading_with(replace(engine, languages=("en", "es"))) as reader:
        (reading,) = await read_all(reader, [text])
        assert isinstance(reading, Reading)


async def test_what_the_learner_does_not_say_is_not_read(engine: Engine) -> None:
    # Given a model that can tell who speaks, and takes what begins with "Exercise" for pasted
    def post(output: Output) -> list[Reading]:
        return [replace(reading, speaking=said) for reading in engine.post(output)]

    said: float | None = 0.1
    async with reading_with(replace(engine, post=post), least_speaking=0.5) as reader:
        pasted = "Exercise 4: a train leaves the station"
        for _ in range(2):  # the second time from the cache
            (outcome,) = await read_all(reader, [pasted])
            assert isinstance(outcome, NotRead)
            assert outcome.reason is Unread.NOT_THE_LEARNER
        said = 0.9
        assert isinstance((await read_all(reader, ["I hate trains"]))[0], Reading)
        said = None
        assert isinstance((await read_all(reader, ["I like trains"]))[0], Reading)
        # Then the model is as well as it was
        assert reader.status == "ok"


async def test_while_the_model_is_down_a_text_that_is_not_read_says_so_at_once(
    engine: Engine,
) -> None:
    def run(batch: Batch) -> Output:
        if broken:
            raise RuntimeException("no")
        return engine.run(batch)

    broken = False
    async with reading_with(replace(engine, run=run), breaker_cooldown=30) as reader:
        broken = True
        for n in range(3):
            await read_all(reader, [f"I hate this {n}"])
        assert reader.status == "open"
        with pytest.raises(ModelUnavailable):
            await reader.submit("I hate this")
        with pytest.raises(NotRead):
            await reader.submit("Estoy muy triste y no entiendo nada")


async def test_html_and_wide_letters_read_as_what_they_show(engine: Engine) -> None:
    plain = "I hate this, I don't get it"
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in plain)
    async with reading_with(engine, cache_size=0) as reader:
        first, *others = await read_all(
            reader, [plain, wide, "<p>I <b>hate</b> this, I&nbsp;don&#39;t get\u00ad it</p>"]
        )
        assert isinstance(first, Reading)
        for other in others:
            assert isinstance(other, Reading)
            assert other.top == first.top
            assert other.valence == pytest.approx(first.valence, abs=1e-3)


async def test_the_cache_answers_a_text_that_differs_only_in_white_space(engine: Engine) -> None:
    looked_up: list[bool] = []

    class Lookups(Observer):
        def cache(self, *, hit: bool) -> None:
            looked_up.append(hit)

    async with reading_with(engine, observer=Lookups()) as reader:
        (first,) = await read_all(reader, ["I see  it now"])
        future = await reader.submit(" I see it\tnow\n")
        assert future.done()
        assert future.result() == first
    assert looked_up == [False, True]


# Scheduling -------------------------------------------------------------------------------


async def test_texts_gather_into_batches_while_the_model_is_busy(engine: Engine) -> None:
    gate = Gate(engine)
    async with reading_with(replace(engine, run=gate)) as reader:
        gate.close()
        first = await reader.submit("first")
        await asyncio.to_thread(gate.entered.wait)
        gate.sizes.clear()
        rest = [await reader.submit(f"text number {i}") for i in range(40)]
        gate.open()
        await asyncio.gather(first, *rest)
        # The first alone, at most one batch made ready early, and the rest together.
        assert gate.sizes[0] == 1
        assert max(gate.sizes) >= 20
        assert sum(gate.sizes) == 41


async def test_submit_waits_while_the_queue_is_full(engine: Engine) -> None:
    gate = Gate(engine)
    async with reading_with(replace(engine, run=gate), queue_size=3) as reader:
        gate.close()
        held = [await reader.submit(f"held {i}") for i in range(3)]
        fourth = asyncio.create_task(reader.submit("the fourth"))
        await asyncio.sleep(0)
        assert reader.queue_depth == 3
        assert not fourth.done()
        gate.open()
        await asyncio.gather(*held)
        assert isinstance(await (await fourth), Reading)


async def test_a_cancelled_text_never_reaches_the_model(engine: Engine) -> None:
    gate = Gate(engine)
    async with reading_with(replace(engine, run=gate)) as reader:
        gate.close()
        first = await reader.submit("first")
        await asyncio.to_thread(gate.entered.wait)
        ready = await reader.submit("may lie ready already")
        gate.sizes.clear()
        cancelled = [await reader.submit(f"not wanted {i}") for i in range(30)]
        kept = await reader.submit("wanted")
        for future in cancelled:
            future.cancel()
        gate.open()
        await asyncio.gather(first, ready, kept)
        assert reader.queue_depth == 0
        assert isinstance(kept.result(), Reading)
        # Those that were not yet tokenised or batched when they were cancelled are gone.
        assert sum(gate.sizes) < 33


async def test_a_cancelled_wait_for_a_slot_leaves_the_slot(engine: Engine) -> None:
    gate = Gate(engine)
    async with reading_with(replace(engine, run=gate), queue_size=1) as reader:
        gate.close()
        held = await reader.submit("held")
        for _ in range(5):
            waiting = asyncio.create_task(reader.submit("waits"))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        gate.open()
        await held
        assert isinstance(await (await reader.submit("after")), Reading)


# Starting and stopping ----------------------------------------------------------------------


async def test_stop_cancels_what_is_not_answered(engine: Engine) -> None:
    gate = Gate(engine)
    reader = EmotionReader(settings(queue_size=2), load=lambda _: replace(engine, run=gate))
    await reader.start()
    gate.close()
    futures = [await reader.submit(f"text {i}") for i in range(2)]
    waiting = asyncio.create_task(reader.submit("waits for a slot"))
    await asyncio.to_thread(gate.entered.wait)
    stopping = asyncio.create_task(reader.stop())
    await asyncio.sleep(0)
    gate.open()
    await stopping
    assert all(future.cancelled() for future in futures)
    with pytest.raises(ReaderStopped):
        await waiting
    with pytest.raises(ReaderStopped):
        await reader.submit("after")
    assert reader.status == "stopped"
    assert not [t.name for t in threading.enumerate() if t.name.startswith("emotion-")]


async def test_a_model_that_cannot_be_loaded_fails_the_start(tmp_path: Path) -> None:
    reader = EmotionReader(settings(artefact=tmp_path))
    with pytest.raises(ArtefactProblem, match=r"no card\.json"):
        await reader.start()
    assert reader.status == "stopped"


async def test_a_model_that_fails_while_warming_fails_the_start(engine: Engine) -> None:
    sick = Sick(engine, lambda _: RuntimeError("no kernel image"))
    reader = EmotionReader(settings(), load=lambda _: replace(engine, run=sick))
    with pytest.raises(RuntimeError, match="no kernel image"):
        await reader.start()
    assert reader.status == "stopped"


# Failures -----------------------------------------------------------------------------------


async def test_only_the_text_at_which_the_model_raises_fails(engine: Engine) -> None:
    texts = [f"a harmless text, number {i}" for i in range(63)]
    texts.insert(37, f"a {POISON} text")
    async with reading_with(poisoned(engine)) as reader:
        outcomes = await read_all(reader, texts)
        assert isinstance(outcomes.pop(37), UnreadableText)
        assert all(isinstance(outcome, Reading) for outcome in outcomes)
        assert reader.status == "ok"


async def test_an_error_never_quotes_the_text(engine: Engine) -> None:
    async with reading_with(poisoned(engine)) as reader:
        (error,) = await read_all(reader, [f"my secret {POISON}"])
        assert isinstance(error, UnreadableText)
        assert "secret" not in f"{error} {error.__cause__}"


async def test_a_text_that_cannot_be_tokenised_fails_alone(engine: Engine) -> None:
    def tokenise(texts: Any) -> Any:
        # Half a pair, which the real tokeniser cannot take; no judged copy holds one.
        return engine.tokenise([text.replace(POISON, "\ud800") for text in texts])

    async with reading_with(replace(engine, tokenise=tokenise)) as reader:
        outcomes = await read_all(reader, ["fine", f"half a pair: {POISON}", "fine too"])
        assert [type(o) for o in outcomes] == [Reading, UnreadableText, Reading]


async def test_output_that_is_no_number_fails_its_text_alone(engine: Engine) -> None:
    texts = ["I love this wonderful day", "I hate this awful pain"]
    async with reading_with(engine) as plain:
        glad, sad = [r.valence for r in await read_all(plain, texts) if isinstance(r, Reading)]
    assert glad > sad

    def post(output: Output) -> list[Reading]:
        # Only the first text has its pleasure; the warm-up's texts have another.
        if (np.abs(probabilities(output.pad[:, 0], 1.0) - glad) < 1e-4).any():
            raise ArithmeticError("not a number")
        return engine.post(output)

    async with reading_with(replace(engine, post=post)) as reader:
        outcomes = await read_all(reader, texts)
    assert [type(o) for o in outcomes] == [UnreadableText, Reading]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    ],
    ids=["cuda", "python", "cpu-allocator", "onnxruntime"],
)
async def test_out_of_memory_halves_the_batches_and_loses_nothing(
    engine: Engine, error: Exception
) -> None:
    limits: list[int] = []

    class Limits(Observer):
        def out_of_memory(self, batch_tokens: int) -> None:
            limits.append(batch_tokens)

    sick = Sick(engine, lambda b: error if b.padded > 100 else None)
    async with reading_with(
        replace(engine, run=sick, batch_tokens=400), observer=Limits()
    ) as reader:
        outcomes = await read_all(reader, [f"a text of some length {i}" for i in range(64)])
        assert all(isinstance(outcome, Reading) for outcome in outcomes)
        assert limits[0] == 200
        assert limits == sorted(limits, reverse=True)
        assert reader.status == "ok"
        # Once the batches are small enough, memory runs out no more.
        limits.clear()
        await read_all(reader, [f"another text of that length {i}" for i in range(64)])
        assert len(limits) <= 1


async def test_once_memory_suffices_batches_grow_again(engine: Engine) -> None:
    limits: list[int] = []

    class Limits(Observer):
        def batches_grew(self, batch_tokens: int) -> None:
            limits.append(batch_tokens)

    short = True
    error = torch.OutOfMemoryError("CUDA out of memory")
    sick = Sick(engine, lambda b: error if short and b.padded > 100 else None)
    async with reading_with(
        replace(engine, run=sick, batch_tokens=400), observer=Limits()
    ) as reader:
        await read_all(reader, [f"a text of some length {i}" for i in range(64)])
        assert reader._runner is not None
        assert reader._runner.batch_tokens < 400
        # When another process gives its memory back
        short = False
        for n in range(200):
            texts = [f"a text of that length {n} {i}" for i in range(64)]
            assert all(isinstance(one, Reading) for one in await read_all(reader, texts))
            if limits and limits[-1] == 400:
                break
        assert reader._runner.batch_tokens == 400
        assert limits == sorted(limits)


async def test_a_model_that_fails_at_every_text_opens_the_breaker_and_recovers(
    engine: Engine,
) -> None:
    statuses: list[str] = []

    class Statuses(Observer):
        def status(self, status: str) -> None:
            statuses.append(status)

    sick = Sick(engine, lambda _: None)
    async with reading_with(
        replace(engine, run=sick), observer=Statuses(), breaker_failures=2
    ) as reader:
        # Given a model that dies
        sick.cause = lambda _: RuntimeError("CUDA error: device-side assert")
        # When texts come, each is answered with ModelUnavailable, none is called unreadable
        for text in ("one", "two"):
            outcomes = await read_all(reader, [text])
            assert [type(o) for o in outcomes] == [ModelUnavailable]
        # Then the intake stops
        with pytest.raises(ModelUnavailable):
            await reader.submit("three")
        assert reader.status in {"open", "half-open"}
        # When the model works again, it is found by our own trial: no text is needed
        sick.cause = lambda _: None
        await reader.wait_available()
        assert reader.status == "ok"
        (reading,) = await read_all(reader, ["four"])
        assert isinstance(reading, Reading)
    assert statuses[:3] == ["starting", "ok", "open"]
    assert statuses[-3:] == ["half-open", "ok", "stopped"]


async def test_everything_that_waits_is_answered_when_the_breaker_opens(engine: Engine) -> None:
    gate = Gate(engine)
    sick = Sick(replace(engine, run=gate), lambda _: None)
    async with reading_with(
        replace(engine, run=sick, batch_tokens=128), breaker_failures=1
    ) as reader:
        gate.close()
        futures = [await reader.submit("first")]
        await asyncio.to_thread(gate.entered.wait)
        futures += [await reader.submit(f"a longer text that waits {i}") for i in range(50)]
        sick.cause = lambda _: RuntimeError("dead")
        gate.open()
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(outcomes[0], Reading)
        assert {type(o) for o in outcomes[1:]} == {ModelUnavailable}
        assert reader.queue_depth == 0
        sick.cause = lambda _: None
        await reader.wait_available()


async def test_a_batch_that_fails_by_chance_is_run_again(engine: Engine) -> None:
    failures = iter([RuntimeError("a hiccup")])
    sick = Sick(engine, lambda _: None)
    async with reading_with(replace(engine, run=sick)) as reader:
        sick.cause = lambda _: next(failures, None)
        (reading,) = await read_all(reader, ["a single text"])
        assert isinstance(reading, Reading)
        assert reader.status == "ok"


async def test_a_batch_that_cannot_be_put_together_may_come_again(engine: Engine) -> None:
    failures: list[Exception] = []

    def collate(texts: Any) -> Batch:
        if failures:
            raise failures.pop()
        return engine.collate(texts)

    async with reading_with(replace(engine, collate=collate)) as reader:
        failures.append(MemoryError())
        assert isinstance((await read_all(reader, ["hello"]))[0], ModelUnavailable)
        assert isinstance((await read_all(reader, ["hello"]))[0], Reading)


# Hot swap -----------------------------------------------------------------------------------


def retrained(artefact: Artefact, folder: Path) -> EmotionSettings:
    """Another artefact: the same graph, but every text is maximally pleasant."""
    shutil.copytree(artefact.folder, folder, dirs_exist_ok=True)
    model = onnx.load(folder / GRAPH)
    (bias,) = (one for one in model.graph.initializer if one.name == "heads.pad.bias")
    values = numpy_helper.to_array(bias).copy()
    values[0] = 20
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, folder / GRAPH)
    return settings(artefact=folder)


async def test_new_weights_are_swapped_in_under_load(artefact: Artefact, tmp_path: Path) -> None:
    reader = EmotionReader(settings())
    await reader.start()
    try:
        old, swapped = reader.version, asyncio.Event()
        readings: list[Reading] = []

        async def load() -> None:
            number = 0
            while not swapped.is_set() or readings[-1].version == old:
                future = await reader.submit(f"a text, number {number}")
                readings.append(await future)
                number += 1

        loading = asyncio.create_task(load())
        new = await reader.swap(retrained(artefact, tmp_path))
        swapped.set()
        await loading
        assert reader.version == new != old
        versions = [reading.version for reading in readings]
        assert versions == sorted(versions, key=lambda v: v == new)
        assert {r.valence > 0.99 for r in readings if r.version == new} == {True}
        assert {r.valence > 0.99 for r in readings if r.version == old} == {False}
    finally:
        await reader.stop()


async def test_the_cache_forgets_the_old_model(artefact: Artefact, tmp_path: Path) -> None:
    reader = EmotionReader(settings())
    await reader.start()
    try:
        (before,) = await read_all(reader, ["the same text"])
        await reader.swap(retrained(artefact, tmp_path))
        (after,) = await read_all(reader, ["the same text"])
        assert isinstance(before, Reading)
        assert isinstance(after, Reading)
        assert before.version != after.version
    finally:
        await reader.stop()


async def test_the_old_model_stays_when_the_new_one_cannot_be_loaded(
    engine: Engine, tmp_path: Path
) -> None:
    reader = EmotionReader(settings())
    await reader.start()
    try:
        with pytest.raises(ArtefactProblem):
            await reader.swap(settings(artefact=tmp_path / "nowhere"))
        (reading,) = await read_all(reader, ["still here"])
        assert isinstance(reading, Reading)
        assert reading.version == engine.version
    finally:
        await reader.stop()


def a_reading(version: str = "v") -> Reading:
    return Reading({Emotion.JOY: 0.5}, Emotion.JOY, 0.5, 0.5, 0.5, version)


def test_the_least_recently_used_goes_first() -> None:
    cache = ReadingCache(2)
    cache.put("a", a_reading())
    cache.put("b", a_reading())
    assert cache.get("a")
    cache.put("c", a_reading())
    assert cache.get("b") is None
    assert cache.get("a")
    assert len(cache) == 2


def test_size_zero_keeps_nothing() -> None:
    cache = ReadingCache(0)
    cache.put("a", a_reading())
    assert cache.get("a") is None


@pytest.mark.parametrize(("concern", "read"), [(0.01, False), (0.3, True), (None, False)])
async def test_a_plea_beside_a_pasted_text_is_read(
    engine: Engine, concern: float | None, read: bool
) -> None:
    # Given a model that takes every text for a pasted one, and finds some danger in it
    def post(output: Output) -> list[Reading]:
        return [replace(r, speaking=0.1, concern=concern) for r in engine.post(output)]

    async with reading_with(replace(engine, post=post), least_speaking=0.5) as reader:
        (outcome,) = await read_all(reader, ["i want to die. Solve for x: 3x + 4 = 10."])
    assert isinstance(outcome, Reading) is read
    if not read:
        assert isinstance(outcome, NotRead)
        assert outcome.reason is Unread.NOT_THE_LEARNER
