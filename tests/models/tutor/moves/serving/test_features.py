"""The features: finite for whatever was said, and about what they are named for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.moves.serving import text
from models.tutor.moves.serving.artefact import shipped
from models.tutor.moves.serving.dialogue import Context, Turn
from models.tutor.moves.serving.features import dialogue_state
from models.tutor.moves.serving.model import move_features
from schemas.vocabulary import Speaker

TURNS = st.builds(
    Turn,
    st.sampled_from(Speaker),
    st.one_of(st.text(max_size=60), st.from_regex(r"[\d ,./$=?]{0,20}")),
)
CONTEXTS = st.builds(Context, st.lists(TURNS, max_size=9).map(tuple), st.text())


@given(CONTEXTS)
def test_every_context_gives_the_same_finite_features(context):
    row = move_features(context, shipped().tagger)

    assert all(math.isfinite(value) for value in row.values())
    assert list(row) == list(dialogue_state(Context(), np.zeros((0, 4))))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("$1,200 and 0.5", [1200.0, 0.5]),
        ("3/4 of 8.", [0.75, 8.0]),
        ("7/0 is nothing", []),
        ("no numbers, none", []),
        ("2,000/4", [500.0]),
    ],
)
def test_numbers(said, found):
    assert text.numbers(said) == found


@given(CONTEXTS)
def test_the_tagger_reads_a_distribution_from_each_teacher_turn(context):
    read = np.array([shipped().tagger(turn.text) for turn in context.of(Speaker.TEACHER)])

    assert read.reshape(-1, 4).sum(1) == pytest.approx(1)


def test_a_repeated_answer_is_seen():
    def said(*answers: str) -> float:
        turns = tuple(Turn(Speaker.STUDENT, answer) for answer in answers)
        return move_features(Context(turns), shipped().tagger)["repeats_last"]

    assert said("It is 7", "So it is 7") == 1
    assert said("It is 7", "So it is 8") == 0
