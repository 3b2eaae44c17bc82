"""Figures by hand-made cases."""

import numpy as np
import pytest

from models.tutor.moves.figures import Judged, agreement, figures, interval


def judged(group, gold, said):
    return Judged(group, gold, {label: float(label == said) for label in ("a", "b", "c")})


def test_figures_of_four_turns():
    found = figures(
        [judged(1, "a", "a"), judged(1, "a", "b"), judged(2, "b", "b"), judged(2, "a", "a")]
    )

    assert (found.turns, found.dialogues) == (4, 2)
    assert found.accuracy == 0.75
    assert (found.baseline, found.baseline_accuracy, found.gain) == ("a", 0.75, 0.0)
    assert found.per_class["a"].f1 == pytest.approx(0.8)
    assert found.per_class["b"].f1 == pytest.approx(2 / 3)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)  # c does not occur


def test_nothing_to_judge_is_an_error():
    with pytest.raises(ValueError, match="no labelled turn"):
        figures([])


def test_turns_of_one_dialogue_widen_the_interval():
    values = np.array([1.0, 0.0] * 50)
    alone = interval(values, range(100))
    together = interval(np.sort(values), [i // 10 for i in range(100)])

    assert alone[0] < 0.5 < alone[1]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_agreement_counts_pairs_of_one_conversation():
    found = agreement([("x", "a"), ("x", "a"), ("x", "b"), ("y", "a"), ("z", "b"), ("z", "b")], "a")

    assert found is not None
    assert found.pairs == 4  # three of x, one of z
    assert found.rate == 0.5
    assert found.commonest == 0.5  # of the eight labels in the four pairs: 4 a


def test_no_conversation_was_annotated_twice():
    assert agreement([("x", "a"), ("y", "a")], "a") is None
