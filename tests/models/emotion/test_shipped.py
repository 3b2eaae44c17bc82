"""The shipped model on what people write: faults that were reported, and bars on authored sets.

The sets' dev files were written by others than those that trained; docs/emotion.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.config import EmotionSettings
from models.emotion.measuring.served import (
    Limits,
    Prediction,
    predict_messages,
    read_as_served,
)
from models.emotion.measuring.signs import sign_figures
from models.emotion.reading import Reading
from models.emotion.serving.errors import NotRead
from models.emotion.training.examples import LabelledMessage, concerns, signs
from models.emotion.training.recipe import CORPUS
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen
from schemas.topics.emotions import Unread

LESSON = (
    "In the third exercise we copy the table from the book, add a column for the share of each "
    "kind, and then draw the bars with a ruler on the squared paper. "
)


def read(artefact: Artefact, *texts: str) -> list[Reading | Exception]:
    return list(read_as_served(artefact, EmotionSettings(device="cpu"), texts))


def valences(artefact: Artefact, *texts: str) -> list[float]:
    readings = read(artefact, *texts)
    assert all(isinstance(reading, Reading) for reading in readings), readings
    return [reading.valence for reading in readings if isinstance(reading, Reading)]


def predicted(artefact: Artefact, messages: Sequence[LabelledMessage]) -> list[Prediction]:
    settings = EmotionSettings(device="cpu")
    limits = Limits(artefact.card.neutral_band, settings.concern.at)
    texts = [message.text for message in messages]
    return predict_messages(artefact, settings, Screen(SafetySettings()), texts, limits)


def test_crying_is_no_party(artefact: Artefact) -> None:
    low, high = artefact.card.neutral_band
    crying, party, sob, sad = valences(
        artefact, "😭😭😭", "🎉🎉", "chapter 4 :sob:", "chapter 4 :("
    )
    assert max(crying, sob, sad) < low
    assert party > high


def test_what_is_said_at_the_end_of_a_long_message_is_read(artefact: Artefact) -> None:
    low, _ = artefact.card.neutral_band
    plain, ended = valences(
        artefact, LESSON * 6, LESSON * 6 + "I hate this. I give up, this is humiliating."
    )
    assert ended < low
    assert ended < plain


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Estoy muy triste y no entiendo nada", Unread.UNSUPPORTED_LANGUAGE),
        ("Ich verstehe das überhaupt nicht und bin total frustriert", Unread.UNSUPPORTED_LANGUAGE),
        ("Я ничего не понимаю, это ужасно", Unread.UNSUPPORTED_LANGUAGE),
        ("\u200b\u200b", Unread.NOTHING_TO_READ),
        ("a" * 500, Unread.NOTHING_TO_READ),
        ("for i in range(10):\\n    print(fail[i])\\nIndexError: list index out of range",
         Unread.NOT_THE_LEARNER),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(artefact: Artefact, text: str, reason: Unread) -> None:
    (outcome,) = read(artefact, text)
    assert isinstance(outcome, NotRead)
    assert outcome.reason is reason


def test_solved_negated_ironic_and_meant(artefact: Artefact) -> None:
    low, high = artefact.card.neutral_band
    good = valences(
        artefact,
        "I am no longer confused, it makes sense now",
        "I'm not frustrated any more",
        "not bad at all, actually",
        "\uff29\u3000\uff4c\uff4f\uff56\uff45\u3000\uff54\uff48\uff49\uff53",
    )
    bad = valences(
        artefact,
        "Oh great, another wrong answer. I just LOVE fractions.",
        "i am still confused, it makes no sense",
    )
    assert min(good) > high
    assert max(bad) < low
    # Its gratitude is not believed, though its anger is not found.
    assert valences(artefact, "wow thanks for nothing")[0] <= high


@pytest.mark.timeout(120)
def test_signs_of_feeling_are_read_by_kind(artefact: Artefact) -> None:
    """Bars: what was aimed at, over all and by kind, where the shipped model reaches it."""
    messages = [
        message for path in sorted((CORPUS / "signs").glob("dev-*.tsv")) for message in signs(path)
    ]
    found = sign_figures(messages, predicted(artefact, messages), artefact.card.neutral_band)
    assert found.accuracy is not None
    assert found.accuracy.share >= 0.72
    bars = {
        "negation": 0.75,
        "irony": 0.4,
        "slang": 0.65,
        "mixed": 0.7,
        "emoji": 0.82,
        "long": 0.75,
    }
    short = {k: found.by_kind[k].share for k, bar in bars.items() if found.by_kind[k].share < bar}
    assert not short


@pytest.mark.timeout(120)
def test_danger_is_told_from_what_sounds_like_it(artefact: Artefact) -> None:
    """Bars: .85 of what is said plainly, .45 of hints, at most .08 of hard near-misses."""
    messages = list(concerns(CORPUS / "concern" / "dev-ivy.tsv"))
    found = predicted(artefact, messages)

    def alarms(part: str) -> float:
        raised = [p.alarm for m, p in zip(messages, found, strict=True) if part in f"/{m.kind}"]
        assert len(raised) > 100
        return sum(raised) / len(raised)

    assert alarms("/plain") >= 0.85
    assert alarms("/hint") >= 0.45
    assert alarms("/near/") <= 0.08
