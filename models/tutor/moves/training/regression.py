"""Softmax (multinomial logistic) regression with an L2 penalty, fitted by L-BFGS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import issparse
from threadpoolctl import threadpool_limits

from models.tutor.moves.serving.features import Floats
from models.tutor.moves.serving.model import Softmax, softmax

Labels = NDArray[np.intp]

TOLERANCE = 1e-6
STEPS = 500
PRIOR = 1e-3  # a count for labels that do not occur; only where the search starts


def fit(rows: Floats, labels: Labels, classes: int, penalty: float) -> Softmax:
    """Minimise mean log loss + penalty/2 * |weights|^2 over standardised columns.

    rows: (n, d), dense or scipy sparse; sparse ones are not standardised (zeros stay zeros)
    labels: (n,) in [0, classes)
    The bias is not penalised: a great penalty leaves the labels' frequencies.
    The same rows give the same weights on any number of cores.
    """
    n, d = rows.shape
    if issparse(rows):
        mean, deviation = np.zeros(d), np.ones(d)
    else:
        mean, deviation = rows.mean(0), rows.std(0)
        deviation = np.where(deviation > 1e-9, deviation, 1.0)
        rows = (rows - mean) / deviation
    wanted = np.eye(classes)[labels]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights, bias = flat[: d * classes].reshape(d, classes), flat[d * classes :]
        probabilities = softmax(rows @ weights + bias)
        error = (probabilities - wanted) / n
        value = -np.log(probabilities[np.arange(n), labels] + 1e-300).mean()
        value += penalty / 2 * float((weights**2).sum())
        slope = rows.T @ error + penalty * weights
        return float(value), np.concatenate([np.asarray(slope).ravel(), error.sum(0)])

    # From the optimum without weights: a great penalty then has nothing left to find.
    frequencies = (wanted.sum(0) + PRIOR) / (n + PRIOR * classes)
    start = np.concatenate([np.zeros(d * classes), np.log(frequencies)])
    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": TOLERANCE, "ftol": TOLERANCE**2}
    # Products this small gain nothing by a second thread. Its sums would end in other digits,
    # and beside another busy process BLAS's threads wait for each other.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    weights = found[: d * classes].reshape(d, classes) / deviation[:, None]
    bias = found[d * classes :] - mean @ weights
    return Softmax(weights, bias)
