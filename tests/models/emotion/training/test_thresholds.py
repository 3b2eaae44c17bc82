from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.measuring.figures import top_label_error
from models.emotion.serving.inference import probabilities
from models.emotion.training.thresholds import (
    expected_threshold,
    f1_at_half,
    fit_cuts,
    fit_decisive,
    fit_threshold,
)
from models.evaluation.scores import f1
from tests.models.emotion.training.test_platt import drawn

seeds = st.integers(0, 10_000)


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
    assert top_label_error(fitted, truth) <= 0.05


def test_decisive_calibration_takes_the_least_error_when_the_bound_is_out_of_reach() -> None:
    logits, truth = drawn(6, n=500)
    temperature, shift = fit_decisive(logits, truth, most_error=0.0)
    error = top_label_error(probabilities(logits, temperature, shift), truth)
    plain = top_label_error(probabilities(logits, 1.0), truth)
    assert error <= plain + 0.01


def test_a_rare_labels_cut_is_not_left_to_luck() -> None:
    # Given a label that about one text in a hundred has, with calibrated logits
    random = np.random.default_rng(7)
    logits = random.normal(-6.5, 2, (40_000, 1))
    truth = random.random(logits.shape) < probabilities(logits, 1.0)
    # When its cut is fitted on a twentieth of the texts, twenty times
    parts = np.split(np.arange(len(logits)), 20)
    alone, shrunk = [], []
    for rows in parts:
        rest = np.setdiff1d(np.arange(len(logits)), rows)
        cut = fit_threshold(probabilities(logits[rows, 0], 1.0), truth[rows, 0])
        alone.append(f1(probabilities(logits[rest], 1.0) >= cut, truth[rest])[0])
        shrunk.append(f1(logits[rest] >= fit_cuts(logits[rows], truth[rows]), truth[rest])[0])
    # Then it does better on the other texts than the best cut of those few would
    assert np.mean(shrunk) > np.mean(alone)
    assert np.std(shrunk) < np.std(alone)


def test_the_threshold_to_expect_is_half_the_f1_to_expect() -> None:
    # Lipton et al. (2014): so it is at the best threshold, if the probabilities are true
    logits, _ = drawn(8, n=20_000, labels=1)
    scores = probabilities(logits[:, 0], 1.0)
    threshold = expected_threshold(scores)
    taken = scores >= threshold
    best = 2 * scores[taken].sum() / (taken.sum() + scores.sum())
    assert threshold == pytest.approx(best / 2, abs=0.01)


def test_cuts_are_of_the_texts_that_know_the_label() -> None:
    logits, truth = drawn(9)
    known = np.ones_like(truth)
    known[::2, 1] = False
    spoiled = np.where(known, truth, ~truth)
    expected = fit_cuts(logits[1::2], truth[1::2])[1]
    assert fit_cuts(logits, spoiled, known)[1] == pytest.approx(expected, abs=0.2)


def test_a_label_that_never_occurs_has_no_cut() -> None:
    logits, truth = drawn(10)
    truth[:, 2] = False
    assert np.isnan(fit_cuts(logits, truth)).tolist() == [False, False, True]
