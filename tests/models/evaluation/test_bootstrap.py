"""Intervals: whole people are drawn, the same for the same seed, and as wide as they must be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.evaluation.bootstrap import interval, mean_interval, resampled_sums
from models.evaluation.scores import auc, rmse


def test_rows_of_one_person_widen_the_interval():
    values = np.sort(np.array([1.0, 0.0] * 50))
    alone = mean_interval(values, range(100), resamples=2_000, seed=1)
    together = mean_interval(values, [i // 10 for i in range(100)], resamples=2_000, seed=1)

    assert alone[0] < 0.5 < alone[1]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_any_figure_and_a_mean_by_its_sums_have_the_same_interval():
    source = np.random.default_rng(5)
    values, people = source.random(60), source.integers(0, 12, 60).tolist()

    def mean(predicted, _):
        return float(predicted.mean())

    found = interval(mean, values, values, people, resamples=300, seed=9)
    assert found == pytest.approx(mean_interval(values, people, resamples=300, seed=9))


def test_an_interval_covers_what_was_drawn_from_about_as_often_as_it_says():
    held = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(3.0, 1.0, 60)
        low, high = mean_interval(values, range(60), resamples=400, seed=0)
        held += low < 3.0 < high
    assert 88 <= held <= 99


def test_draws_of_which_a_figure_says_nothing_do_not_count():
    predicted = np.array([0.1, 0.2, 0.8, 0.9])
    truth = np.array([False, False, True, True])
    by_person = interval(auc, predicted, truth, ["a", "a", "b", "b"], resamples=50, seed=0)
    assert by_person == (1.0, 1.0)  # half of the draws hold one outcome only

    same = interval(auc, predicted, truth | True, "abcd", resamples=50, seed=0)
    assert all(map(math.isnan, same))


def test_the_same_seed_gives_the_same_draws():
    columns = np.random.default_rng(0).random((3, 30))
    people, wrong = list(range(30)), columns[1]

    assert np.array_equal(resampled_sums(columns, 20, seed=4), resampled_sums(columns, 20, seed=4))
    assert not np.array_equal(
        resampled_sums(columns, 20, seed=4), resampled_sums(columns, 20, seed=5)
    )
    once, again = (
        interval(rmse, columns[0], wrong, people, resamples=20, seed=4) for _ in range(2)
    )
    assert once == again


def test_sums_are_of_as_many_people_as_there_are():
    assert (resampled_sums(np.ones((1, 7)), 50, seed=0) == 7).all()
