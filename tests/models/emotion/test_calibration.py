from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.calibration import (
    expected_calibration_error,
    f1_at_half,
    fit_decisive,
    fit_temperature,
    fit_threshold,
    probabilities,
    reliability,
    top_label,
)
from models.emotion.metrics import f1

seeds = st.integers(0, 10_000)


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
    known = np.ones_like(truth)
    assert fit_temperature(logits, truth.astype(float), known) == pytest.approx(scale, rel=0.1)


def test_the_temperature_ignores_what_is_unknown() -> None:
    logits, truth = drawn(2)
    known = np.ones_like(truth)
    known[::2] = False
    spoiled = truth.copy()
    spoiled[::2] = ~spoiled[::2]
    assert fit_temperature(logits, spoiled.astype(float), known) == pytest.approx(1.0, rel=0.15)


def test_calibrated_confidence_has_a_small_error_and_overconfidence_a_large_one() -> None:
    logits, truth = drawn(3, n=20_000)
    good = expected_calibration_error(*top_label(probabilities(logits, 1.0), truth))
    bad = expected_calibration_error(*top_label(probabilities(logits, 0.25), truth))
    assert good < 0.02 < 0.05 < bad


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.15, 0.15])
    correct = np.array([True, False, False, False])
    # Two bins of half the texts: |.5 - .95| and |0 - .15|.
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.3)
    assert sum(b["share"] for b in reliability(confidence, correct)) == pytest.approx(1)


@given(seeds)
def test_the_fitted_threshold_is_nearly_the_best_of_all(seed: int) -> None:
    logits, truth = drawn(seed, n=600, labels=1)
    scores = probabilities(logits, 1.0)
    fitted = f1(scores >= fit_threshold(scores[:, 0], truth[:, 0]), truth)[0]
    best = max(f1(scores >= t, truth)[0] for t in np.linspace(0.02, 0.98, 60))
    assert fitted >= best - 0.05


def test_a_label_that_never_occurs_gets_the_neutral_threshold() -> None:
    assert fit_threshold(np.array([0.1, 0.9]), np.array([False, False])) == 0.5


@given(st.integers(1, 40), seeds)
def test_a_threshold_separates_what_can_be_separated(positives: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.uniform(0.6, 1, positives), random.uniform(0, 0.4, 200)])
    truth = np.arange(len(scores)) < positives
    threshold = fit_threshold(scores, truth)
    assert f1((scores >= threshold)[:, None], truth[:, None])[0] > 0.75


def test_decisive_calibration_gains_at_half_within_the_bound() -> None:
    # Given three labels, one of them rare, with well calibrated logits
    random = np.random.default_rng(5)
    logits = random.normal([-1.0, -2.0, -3.5], 1.5, (8_000, 3))
    truth = random.random(logits.shape) < probabilities(logits, 1.0)
    # When the calibration is fitted
    temperature, shift = fit_decisive(logits, truth, most_error=0.05)
    fitted = probabilities(logits, temperature, shift)
    # Then .5 serves better than before, and the bound holds
    assert f1_at_half(fitted, truth) > f1_at_half(probabilities(logits, 1.0), truth)
    assert expected_calibration_error(*top_label(fitted, truth)) <= 0.05


def test_decisive_calibration_takes_the_least_error_when_the_bound_is_out_of_reach() -> None:
    logits, truth = drawn(6, n=500)
    temperature, shift = fit_decisive(logits, truth, most_error=0.0)
    error = expected_calibration_error(*top_label(probabilities(logits, temperature, shift), truth))
    plain = expected_calibration_error(*top_label(probabilities(logits, 1.0), truth))
    assert error <= plain + 0.01
