"""What a vocabulary knows of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.artefact.artefact import load
from models.emotion.config import EmotionSettings
from models.emotion.serving.tokenising import Tokeniser, known_share

UNKNOWN = 100
pieces = st.lists(st.sampled_from([7, 8, UNKNOWN]), max_size=30)


@pytest.fixture(scope="module")
def tokenise() -> Tokeniser:
    return Tokeniser(load(EmotionSettings().artefact).tokenizer(0))


@given(pieces)
def test_the_share_is_of_pieces_and_not_of_special_tokens(ids: list[int]) -> None:
    share = known_share([101, *ids, 102], UNKNOWN)
    assert share == pytest.approx(sum(i != UNKNOWN for i in ids) / len(ids) if ids else 0)
    assert 0 <= share <= 1


@given(pieces)
def test_a_vocabulary_without_unknown_pieces_knows_all(ids: list[int]) -> None:
    assert known_share([101, *ids, 102], None) == (1 if ids else 0)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("I don't get this at all", 1.0, 1.0),
        ("a" * 500, 0.0, 0.0),
        ("\U00012031\U00012032 \U00012033 \U00013000", 0.0, 0.0),
        ("I hate \U00012031", 0.5, 0.7),
        ("", 0.0, 0.0),
    ],
    ids=["english", "one-word", "cuneiform", "a-sign-in-english", "nothing"],
)
def test_the_shipped_vocabulary(tokenise: Tokeniser, text: str, least: float, most: float) -> None:
    (tokens,) = tokenise([text])
    assert least <= known_share(tokens, tokenise.unknown_id) <= most
