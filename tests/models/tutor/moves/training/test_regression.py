"""Softmax regression against what must be true of its optimum."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from models.tutor.moves.training.regression import fit, softmax


@pytest.fixture
def sample():
    source = np.random.default_rng(3)
    rows = source.normal(size=(300, 4)) * [1, 5, 0.2, 1] + [0, 9, 0, 0]
    true = np.array([[2.0, 0, -2], [0.3, -0.3, 0], [0, 8, -8], [0, 0, 0]])
    noise = source.gumbel(size=(300, 3))
    return rows, (rows @ true + [-2.7, 2.7, 0] + noise).argmax(1)


def test_it_learns_what_is_there(sample):
    rows, labels = sample
    model = fit(rows, labels, 3, 1e-3)

    accuracy = (model.probabilities(rows).argmax(1) == labels).mean()
    assert accuracy > (labels == np.bincount(labels).argmax()).mean() + 0.2


def test_at_the_optimum_mean_probabilities_are_the_frequencies(sample):
    # The bias is not penalised, so its gradient vanishes whatever the penalty is.
    rows, labels = sample
    for penalty in (1e-3, 0.1, 1e6):
        mean = fit(rows, labels, 3, penalty).probabilities(rows).mean(0)
        assert mean == pytest.approx(np.bincount(labels) / len(labels), abs=1e-3)


def test_a_great_penalty_leaves_the_frequencies(sample):
    rows, labels = sample
    probabilities = fit(rows, labels, 3, 1e6).probabilities(rows)

    assert np.ptp(probabilities, axis=0).max() < 1e-3


def test_units_of_a_column_do_not_matter(sample):
    rows, labels = sample
    scaled = rows * [1000, 1, 1e-3, 7]

    one, other = fit(rows, labels, 3, 0.01), fit(scaled, labels, 3, 0.01)
    assert one.probabilities(rows) == pytest.approx(other.probabilities(scaled), abs=1e-3)


def test_sparse_rows_are_learned_from():
    labels = np.array([0, 1, 2] * 20)
    model = fit(csr_array(np.eye(3)[labels]), labels, 3, 1e-4)

    assert model.probabilities(np.eye(3)).argmax(1).tolist() == [0, 1, 2]


def test_softmax_stands_great_logits():
    assert softmax(np.array([1e4, 0.0])).tolist() == [1, 0]


def test_the_number_of_threads_changes_no_digit():
    made = np.random.default_rng(3)
    rows, labels = made.normal(size=(3_000, 60)), made.integers(0, 9, 3_000)
    fitted = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            fitted.append(fit(rows, labels, 9, 0.01))
    assert (fitted[0].weights == fitted[1].weights).all()
