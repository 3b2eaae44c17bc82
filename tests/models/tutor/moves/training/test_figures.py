"""Figures by hand-made cases."""

import pytest

from models.tutor.moves.serving.dialogue import MOVES, Move
from models.tutor.moves.training.figures import Judged, figures


def judged(group, gold, said):
    return Judged(group, gold, {move: float(move is said) for move in MOVES})


def test_figures_of_four_turns():
    focus, telling = Move.FOCUS, Move.TELLING
    found = figures(
        [
            judged("1", focus, focus),
            judged("1", focus, telling),
            judged("2", telling, telling),
            judged("2", focus, focus),
        ]
    )

    assert (found.turns, found.dialogues) == (4, 2)
    assert found.accuracy == 0.75
    assert (found.baseline, found.baseline_accuracy, found.gain) == ("focus", 0.75, 0.0)
    assert found.per_class["focus"].f1 == pytest.approx(0.8)
    assert (found.per_class["telling"].precision, found.per_class["telling"].recall) == (0.5, 1)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)  # the others do not occur


def test_nothing_to_judge_is_an_error():
    with pytest.raises(ValueError, match="no labelled turn"):
        figures([])
