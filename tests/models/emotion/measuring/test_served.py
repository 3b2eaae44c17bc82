"""Messages as a worker reads them and the tutor judges them, with the shipped model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.config import EmotionSettings
from models.emotion.measuring import served
from models.emotion.measuring.served import (
    Limits,
    Prediction,
    predict_messages,
    predicted,
    read_as_served,
    sign_of,
    write_lines,
)
from models.emotion.reading import Reading
from models.emotion.serving import EmotionReader, ModelUnavailable, UnreadableText
from models.emotion.serving.engine import Engine
from models.emotion.serving.errors import ReaderError
from models.emotion.serving.inference import TokenisedText
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen
from schemas.topics.emotions import Emotion

TEXTS = [
    "I finally understand fractions, this is so cool!",
    "<p>why is it wrong again, I did <b>exactly</b> what you said&hellip;</p>",
    "\u200b",
    "thank you so much for your help",
    "",
    "thank you so much for your help",
    "I am scared of the exam tomorrow,\nand I did not sleep",
]
NOT_READ = {2, 4}
POISON = "poison"
BAND = (0.47, 0.53)
AT = 0.5
DANGER = "i want to kill myself"
HARMLESS = "where is the exercise?"


@pytest.fixture
def settings() -> EmotionSettings:
    return EmotionSettings(device="cpu", queue_size=2, breaker_cooldown=0.02)


@pytest.fixture(scope="module")
def screen() -> Screen:
    return Screen(SafetySettings())


def reading(**changes: Any) -> Reading:
    known: dict[str, Any] = {
        "probabilities": {Emotion.NEUTRAL: 0.9},
        "top": Emotion.NEUTRAL,
        "valence": 0.5,
        "arousal": 0.5,
        "dominance": 0.5,
        "version": "v",
    }
    return Reading(**known | changes)


def test_a_message_is_read_as_a_worker_reads_it(
    artefact: Artefact, settings: EmotionSettings
) -> None:
    async def by_a_worker(text: str) -> Reading:
        reader = EmotionReader(settings)
        await reader.start()
        try:
            return await (await reader.submit(text))
        finally:
            await reader.stop()

    found = read_as_served(artefact, settings, TEXTS)
    assert len(found) == len(TEXTS)
    for i, outcome in enumerate(found):
        if i in NOT_READ:
            assert isinstance(outcome, ReaderError)
        else:
            # What stands beside a text changes nothing in it, so that the order shows.
            assert outcome == asyncio.run(by_a_worker(TEXTS[i]))


def test_what_was_not_read_is_no_evidence(
    artefact: Artefact, settings: EmotionSettings, screen: Screen, tmp_path: Path
) -> None:
    found = predict_messages(artefact, settings, screen, TEXTS, Limits(BAND, AT))
    file = tmp_path / "out.jsonl"
    write_lines(file, [prediction.as_json() for prediction in found])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(len(TEXTS)))
    keys = ["row", "sign", "valence", "confidence", "status", "reason", "concern", "alarm"]
    for i, line in enumerate(lines):
        assert list(line) == keys
        if i in NOT_READ:
            assert line == {
                "row": i, "sign": 0, "valence": None, "confidence": 0.0, "concern": 0.0,
                "status": "unavailable", "reason": "nothing_to_read", "alarm": False,
            }  # fmt: skip
        else:
            assert (line["status"], line["reason"]) == ("ok", None)
            assert 0 < line["confidence"] <= 1
            assert line["sign"] == sign_of(line["valence"], BAND)
    assert {key: lines[3][key] for key in keys[1:]} == {key: lines[5][key] for key in keys[1:]}


def test_a_text_at_which_the_model_raises_is_named_so_and_the_others_are_read(
    artefact: Artefact,
    engine: Engine,
    settings: EmotionSettings,
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tokenise(texts: Sequence[str]) -> list[TokenisedText]:
        if POISON in texts:
            raise ValueError("cannot be tokenised")
        return engine.tokenise(texts)

    poisoned = replace(engine, tokenise=tokenise)
    monkeypatch.setattr(served, "build_engine", lambda *_: poisoned)
    outcomes = read_as_served(artefact, settings, ["fine", POISON, "fine too"])
    assert [type(outcome) for outcome in outcomes] == [Reading, UnreadableText, Reading]
    found = predicted(screen, POISON, outcomes[1], Limits(BAND, AT))
    assert (found.reason, found.valence, found.sign) == ("unreadable", None, 0)


def test_a_model_that_fails_is_no_property_of_the_texts(
    artefact: Artefact,
    engine: Engine,
    settings: EmotionSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = iter(range(1_000))

    def run(batch: Any) -> Any:
        if next(calls) < 3:  # those that warm it
            return engine.run(batch)
        raise RuntimeError("broken")

    broken = replace(engine, run=run)
    monkeypatch.setattr(served, "build_engine", lambda *_: broken)
    with pytest.raises(ModelUnavailable):
        read_as_served(artefact, settings, ["one", "two", "three", "four", "five"])


@pytest.mark.parametrize(
    ("valence", "sign"),
    [(0.0, -1), (0.4699, -1), (0.47, 0), (0.5, 0), (0.53, 0), (0.5301, 1), (1.0, 1)],
)
def test_a_sign_is_of_what_lies_outside_the_band(valence: float, sign: int) -> None:
    assert sign_of(valence, BAND) == sign
    assert sign_of(valence, (0.0, 1.0)) == 0


@pytest.mark.parametrize("text", [DANGER, HARMLESS])
@pytest.mark.parametrize("distress", [0.0, 0.99])
@pytest.mark.parametrize("concern", [None, 0.0, 0.4, 0.7])
@pytest.mark.parametrize("concern_at", [0.4, 0.6])
def test_an_alarm_is_the_screening_s_or_the_operating_point_s(
    screen: Screen, text: str, distress: float, concern: float | None, concern_at: float
) -> None:
    emotions = {Emotion.DISTRESS: distress}
    read = reading(probabilities=emotions, concern=concern)
    found = predicted(screen, text, read, Limits(BAND, concern_at))
    assert found.by_words == screen.message(text, emotions).alarm
    assert found.by_words == (text == DANGER or distress > 0.9)
    reached = concern is not None and concern >= concern_at
    assert found.by_model == reached
    assert found.alarm == found.as_json()["alarm"] == (found.by_words or reached)
    assert found.as_json()["concern"] == (concern or 0)


def test_the_words_are_looked_at_where_nothing_was_read(screen: Screen) -> None:
    found = predicted(screen, DANGER, UnreadableText("no"), Limits(BAND, 0.0))
    assert found == Prediction(0, None, 0.0, "unreadable", None, by_words=True, by_model=False)
    assert found.as_json()["status"] == "unavailable"


def test_the_weight_of_a_message_is_how_much_of_it_was_read(screen: Screen) -> None:
    found = predicted(screen, HARMLESS, reading(coverage=0.25, valence=0.123456), Limits(BAND, AT))
    assert (found.confidence, found.valence, found.sign) == (0.25, 0.1235, -1)
