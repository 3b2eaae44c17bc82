from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.measuring.figures import top_label_error
from models.emotion.serving.inference import probabilities
from models.emotion.training.thresholds import fit_platt


def drawn(seed: int, n: int = 4_000, labels: int = 3, scale: float = 1.0):
    """Logits, and labels drawn with exactly their probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 2, (n, labels))
    truth = random.random((n, labels)) < probabilities(logits, 1.0)
    return logits * scale, truth


@given(st.floats(-1e6, 1e6), st.floats(0.01, 100), st.floats(-50, 50))
def test_a_probability_is_in_the_unit_interval(logit: float, temperature: float, shift: float):
    assert 0 <= float(probabilities(logit, temperature, shift)) <= 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_over_and_under_confidence(scale: float) -> None:
    logits, truth = drawn(1, scale=scale)
    temperature, shift = fit_platt(logits, truth)
    assert temperature == pytest.approx(scale, rel=0.1)
    assert shift == pytest.approx(0, abs=0.2)


def test_what_is_unknown_teaches_nothing() -> None:
    logits, truth = drawn(2)
    known = np.ones_like(truth)
    known[::2] = False
    known[:, 2] = False
    spoiled = truth ^ ~known
    temperature, shift = fit_platt(logits, spoiled, known)
    assert temperature == pytest.approx(1.0, rel=0.15)
    assert shift[:2] == pytest.approx(0, abs=0.2)
    assert shift[2] == 0


def test_calibrated_confidence_has_a_small_error_and_overconfidence_a_large_one() -> None:
    logits, truth = drawn(3, n=20_000)
    good = top_label_error(probabilities(logits, 1.0), truth)
    bad = top_label_error(probabilities(logits, 0.25), truth)
    assert good < 0.02 < 0.05 < bad


def test_a_label_is_calibrated_on_the_texts_that_know_it() -> None:
    # Given logits of which the second label's are two too low, where it is known at all
    logits, truth = drawn(4)
    logits[:, 1] -= 2
    known = np.ones_like(truth)
    known[1_000:, 1] = False
    spoiled = truth | ~known
    # When they are calibrated, what is not known does not count
    temperature, shift = fit_platt(logits, spoiled, known)
    assert temperature == pytest.approx(1, rel=0.1)
    np.testing.assert_allclose(shift, [0, 2, 0], atol=0.3)
