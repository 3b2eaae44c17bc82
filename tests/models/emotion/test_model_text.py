"""What the emotion model is given: the judged copy, with emoji and faces as words."""

from __future__ import annotations

import unicodedata
from time import process_time

import emoji
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.artefact.artefact import Artefact
from models.emotion.model_text import MOST_IN_A_ROW, in_words, model_text
from models.emotion.serving.tokenising import TokeniseTexts


@given(st.text())
def test_reading_it_twice_changes_no_letter(text: str) -> None:
    once = model_text(text)
    assert once == " ".join(once.split())
    assert not any(unicodedata.category(c) == "Cc" for c in once)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("  I\tgive\r\n up  ", "I give up"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\x00b\x1bc", "abc"),
        ("WHY?!", "WHY?!"),
        ("\u05e9\u05dc\u05d5\u05dd  \u202bx\u202c", "\u05e9\u05dc\u05d5\u05dd x"),
        ("\uff29\u3000\uff48\uff41\uff54\uff45", "I hate"),
        ("<p>I don&#39;t <b>know</b></p>", "I don't know"),
        ("\x00\x07", ""),
        ("\U0001f3fd", ""),
        ("chapter 4 \U0001f62d", "chapter 4 loudly crying face"),
        ("\U0001f389\U0001f389", "party popper party popper"),
        ("ok:) :-( >:( :'(", "ok slightly smiling face frowning face angry face crying face"),
        ("T_T ^^ -_- XD", "loudly crying face smiling face with smiling eyes expressionless face "
         "grinning squinting face"),
        (":sob: :tada: :+1:", "loudly crying face party popper thumbs up"),
        ("\u00af\\_(\u30c4)_/\u00af", "person shrugging"),
        ("love it <3 and </3", "love it red heart and broken heart"),
        ("THANK YOU <3 <3", "THANK YOU red heart"),
        ("i <3 you", "i red heart you"),
        (":(\U0001f62d", "frowning face loudly crying face"),
    ],
)  # fmt: skip
def test_what_carries_no_emotion_goes_and_the_rest_is_said(given_text: str, expected: str) -> None:
    assert model_text(given_text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "see example :(x+1)", "http://a.de/x", "ratio 3:2", "std::vector::begin", "a:b:c",
        "x <3 and y", "if a <3", "option D: 5cm", "f(x): y", "8:30", "dict[x]: y",
        "self.__init__", "x = (a)", "the set {x | x<3}", "sum(a_i for i in b)", "a--b", "x^2^3",
        '"items":[ 1', '{"a":{ "b"', "a=[]", "note:( see below )", "for(;;)", "(where n=)", "a::b",
        "option :b", "arr[:0 ]", "a[ :3]", "ratio is 2 :3", "let x =0, y =3", "price is $5 :$",
        "C:/ x", "x =/ 5", "x^2 ^^ y", "when n is <3", "the answer is D:", "A: 4 D:",
    ],
)  # fmt: skip
def test_formulas_code_and_times_are_no_faces(text: str) -> None:
    assert in_words(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\U0001f44d", "\U0001f44d\U0001f3fd"),
        ("\U0001f469\u200d\U0001f393", "\U0001f469\U0001f393"),
        ("\u2764\ufe0f", "\u2764"),
        ("\U0001f926\U0001f3fd\u200d\u2640\ufe0f", "\U0001f926"),
        ("1\ufe0f\u20e3", "1"),
    ],
)
def test_tones_joiners_and_signs_of_gender_change_nothing(one: str, other: str) -> None:
    assert model_text(one) == model_text(other)


def test_an_emoji_repeated_for_a_page_is_said_a_few_times() -> None:
    assert model_text("\U0001f62d" * 500).split().count("loudly") == MOST_IN_A_ROW
    assert model_text("\U0001f62d\U0001f389" * 500).split().count("loudly") == MOST_IN_A_ROW


def test_the_model_knows_nearly_every_piece_of_every_emoji(artefact: Artefact) -> None:
    """Else they all read the same: an uncased vocabulary has no emoji."""
    tokenise = TokeniseTexts(artefact)
    unknown = tokenise.unknown_ids[0]
    texts = [model_text(sign) for sign in emoji.EMOJI_DATA]
    without = sum(unknown in ids[0] for ids in tokenise(texts))
    assert len(texts) > 1_300
    assert without / len(texts) < 0.02


@pytest.mark.parametrize(
    "sign", [":", ":(", "_", "-", "\u30c4", "(\u30c4", ">:(", "^", "t_", "\U0001f62d", "\\_", "("]
)
def test_it_takes_time_in_proportion_to_the_length(sign: str) -> None:
    def seconds(times: int) -> float:
        began = process_time()
        model_text(sign * times)
        return process_time() - began

    seconds(10)
    short, long = min(seconds(1_000) for _ in range(3)), min(seconds(8_000) for _ in range(3))
    assert long < 40 * short + 0.02
