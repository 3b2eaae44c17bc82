from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.reading import Reading
from models.emotion.serving.cache import ReadingCache, normalise
from schemas.topics.emotions import Emotion


def reading(version: str = "v") -> Reading:
    return Reading({Emotion.JOY: 0.5}, Emotion.JOY, 0.5, 0.5, 0.5, version)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip()
    assert not any(unicodedata.category(c) == "Cc" for c in once)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("  I\tgive\r\n up  ", "I give up"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\x00b\x1bc", "abc"),
        ("WHY?!", "WHY?!"),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0001f468\U0001f469\U0001f467",
        ),
        ("\u05e9\u05dc\u05d5\u05dd  \u202bx\u202c", "\u05e9\u05dc\u05d5\u05dd x"),
        ("\uff29\u3000\uff48\uff41\uff54\uff45", "I hate"),
        ("<p>I don&#39;t <b>know</b></p>", "I don't know"),
        ("\x00\x07", ""),
    ],
)
def test_what_carries_no_emotion_goes_and_the_rest_stays(given_text: str, expected: str) -> None:
    assert normalise(given_text) == expected


def test_the_least_recently_used_goes_first() -> None:
    cache = ReadingCache(2)
    cache.put("a", reading())
    cache.put("b", reading())
    assert cache.get("a")
    cache.put("c", reading())
    assert cache.get("b") is None
    assert cache.get("a")
    assert len(cache) == 2


def test_size_zero_keeps_nothing() -> None:
    cache = ReadingCache(0)
    cache.put("a", reading())
    assert cache.get("a") is None
