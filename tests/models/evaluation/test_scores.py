"""Figures by hand, and against what must hold of them for any data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.scores import (
    auc,
    average_precision,
    brier,
    calibration_error,
    calibration_error_of_counts,
    f1,
    pearson,
    precision_and_recall,
    reliability,
    rmse,
    spearman,
)

ROWS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def columns(rows):
    return np.array([p for p, _ in rows]), np.array([t for _, t in rows])


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    predicted, truth = columns(rows)
    pairs = [
        (p > q) + (p == q) / 2
        for p in predicted[truth].tolist()
        for q in predicted[~truth].tolist()
    ]
    found = auc(predicted, truth)

    assert found == pytest.approx(np.mean(pairs)) if pairs else math.isnan(found)
    assert auc(predicted, truth.astype(float)) == pytest.approx(found, nan_ok=True)


@given(ROWS)
def test_average_precision_is_the_mean_precision_where_each_positive_comes_in(rows):
    predicted, truth = columns(rows)
    precisions = [truth[predicted >= p].mean() for p in predicted[truth].tolist()]
    found = average_precision(predicted, truth)

    assert found == pytest.approx(np.mean(precisions)) if precisions else math.isnan(found)
    assert average_precision(predicted, truth.astype(float)) == pytest.approx(found, nan_ok=True)


def test_squared_errors():
    assert brier(np.array([0.5, 1.0]), np.array([False, True])) == 0.125
    assert rmse(np.array([1.0, 4.0]), np.array([1.0, 2.0])) == pytest.approx(2**0.5)


def test_correlations_and_what_they_say_of_what_does_not_vary():
    x = np.array([1.0, 2.0, 3.0, 9.0])

    assert pearson(x, 2 * x + 1) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    assert math.isnan(spearman(x, np.ones(4)))
    assert pearson(x, np.ones(4), flat=0.0) == 0
    assert spearman(x[:1], x[:1], flat=0.0) == 0


def test_f1_precision_and_recall_of_each_label():
    predicted = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=bool)
    truth = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    precision, recall = precision_and_recall(predicted, truth)

    assert f1(predicted, truth).tolist() == [0.5, 0, 0]  # the third never occurs
    assert (precision.tolist(), recall.tolist()) == ([0.5, 0, 0], [0.5, 0, 0])


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.15, 0.15])
    correct = np.array([True, False, False, False])

    # Two bins of half the rows: |.5 - .95| and |0 - .15|.
    assert calibration_error(confidence, correct, 10) == pytest.approx(0.3)
    assert calibration_error_of_counts(confidence, correct, 2) == pytest.approx(0.3)
    assert calibration_error_of_counts(confidence, correct, 1) == pytest.approx(0.3)


@given(ROWS, st.integers(1, 20))
def test_the_error_is_what_the_bins_say(rows, bins):
    probability, truth = columns(rows)
    table = reliability(probability, truth, bins)

    assert sum(b["share"] for b in table) == pytest.approx(1)
    told = sum(b["share"] * abs(b["accuracy"] - b["confidence"]) for b in table)
    assert calibration_error(probability, truth, bins) == pytest.approx(told, abs=1e-12)
