"""The features: finite for whatever was said, and about what they are named for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.moves import text
from models.tutor.moves.artefact import shipped
from models.tutor.moves.dialogue import Context, Move, Speaker, Turn
from models.tutor.moves.features import dialogue_state, lesson_state, towards_reference
from models.tutor.moves.model import Evidence, evidence_of, past_moves

TURNS = st.builds(
    Turn,
    st.sampled_from(Speaker),
    st.one_of(st.text(max_size=60), st.from_regex(r"[\d ,./$=?]{0,20}")),
    st.none() | st.sampled_from(Move),
)
CONTEXTS = st.builds(
    Context, st.lists(TURNS, max_size=9).map(tuple), st.text(), st.text(), st.text(), st.text()
)


def student(*said: str, reference: str = "2 * 6 = 12\n 12") -> Context:
    return Context(tuple(Turn(Speaker.STUDENT, s) for s in said), reference=reference)


@given(CONTEXTS)
def test_every_context_gives_the_same_finite_features(context):
    tagger = shipped().tagger
    for evidence in Evidence:
        moves = past_moves(context, evidence, tagger)
        row = dialogue_state(context, moves) | towards_reference(context) | lesson_state(context)
        assert all(math.isfinite(value) for value in row.values())
        empty = np.zeros((0, 4))
        assert list(dialogue_state(context, moves)) == list(dialogue_state(Context(), empty))


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


def test_the_answer_counts_as_new_only_once():
    first = towards_reference(student("I get 7", "So it is 12"))
    again = towards_reference(student("It is 12", "So it is 12"))

    assert (first["answer_concludes"], first["answer_is_new"]) == (1, 1)
    assert (again["answer_concludes"], again["answer_is_new"]) == (1, 0)
    assert towards_reference(student("12 or 7"))["answer_concludes"] == 0


def test_steps_of_the_reference_are_covered_over_turns():
    one = towards_reference(student("2"))
    both = towards_reference(student("2", "then 6"))

    assert 0 < one["steps_covered"] < both["steps_covered"] < 1
    assert one["steps_named"] == both["steps_named"]


@given(CONTEXTS, st.text(max_size=20), st.text(max_size=20))
def test_past_moves_are_probabilities_and_known_ones_are_certain(context, said, other):
    teacher = context.of(Speaker.TEACHER)
    for evidence in Evidence:
        moves = past_moves(context, evidence, shipped().tagger)
        assert moves.shape == (len(teacher), 4)
        assert np.allclose(moves.sum(1), 1)
    known = past_moves(context, Evidence.TAGGED, shipped().tagger)
    certain = [bool(row.max() == 1) for row in known]
    assert all(c for c, turn in zip(certain, teacher, strict=True) if turn.move)


def test_untagged_heads_do_not_see_the_tags():
    said = "Look at this step."
    as_focus, as_telling = (
        Context((Turn(Speaker.TEACHER, said, move),)) for move in (Move.FOCUS, Move.TELLING)
    )
    tagger = shipped().tagger

    def seen(context, evidence):
        return past_moves(context, evidence, tagger).tolist()

    assert seen(as_focus, Evidence.UNTAGGED) == seen(as_telling, Evidence.UNTAGGED)
    assert seen(as_focus, Evidence.TAGGED) != seen(as_telling, Evidence.TAGGED)


@pytest.mark.parametrize(
    ("move", "reference", "evidence"),
    [
        (Move.FOCUS, "= 12", Evidence.TAGGED_REFERENCE),
        (Move.FOCUS, "", Evidence.TAGGED),
        (None, "= 12", Evidence.UNTAGGED_REFERENCE),
        (None, "no number", Evidence.UNTAGGED),
    ],
)
def test_the_richest_head_that_can_be_fed(move, reference, evidence):
    turns = (Turn(Speaker.TEACHER, "Hi", Move.GENERIC), Turn(Speaker.TEACHER, "Go on", move))

    assert evidence_of(Context(turns, reference=reference)) is evidence
