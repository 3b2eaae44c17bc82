"""Trees: what they learn that weights cannot, and that all ways of reading them agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from models.evaluation.scores import Bools, Floats, auc
from models.learner.behaviour.serving.forest import Forest
from models.learner.behaviour.serving.scorer import Scorer, sigmoids
from models.learner.behaviour.training.boosting import Boosting, fit_trees
from models.learner.behaviour.training.fitting import calibrated, fit_logistic, logits_of
from models.learner.behaviour.training.metrics import ece


def either_or(rows: int, seed: int) -> tuple[Floats, Bools]:
    """Right where two signs agree, in four of five cases; three more columns say nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 5))
    agree = (features[:, 0] > 0) == (features[:, 1] > 0)
    truth: Bools = rng.random(rows) < np.where(agree, 0.8, 0.2)
    return features, truth


TRAINED, OUTCOMES = either_or(4000, 1)
UNSEEN, TRUTH = either_or(2000, 2)
FITTED = fit_trees(TRAINED, OUTCOMES, Boosting(trees=150, rate=0.1, columns=0.6))


def forest() -> Forest:
    assert FITTED.trees is not None
    return FITTED.trees


def test_they_see_what_weights_cannot() -> None:
    weights = fit_logistic(TRAINED, OUTCOMES, 1.0)
    found = logits_of(FITTED, UNSEEN)

    assert auc(logits_of(weights, UNSEEN), TRUTH) < 0.55
    assert auc(found, TRUTH) > 0.75  # the best there is: 0.80
    assert ece(sigmoids(found), TRUTH) < 0.1  # shrunk leaves stop short


def test_a_vector_falls_where_walking_each_tree_leads() -> None:
    held = forest()

    def walked(vector: Floats) -> float:
        total, inner = 0.0, held.features.shape[1]
        for tree in range(len(held.features)):
            node = 0
            while node < inner:
                left = vector[held.features[tree, node]] <= held.thresholds[tree, node]
                node = 2 * node + (1 if left else 2)
            total += float(held.values[tree, node - inner])
        return total

    for vector in UNSEEN[:50]:
        assert held.value(vector.tolist()) == pytest.approx(walked(vector), abs=1e-9)


def test_the_same_rows_give_the_same_trees() -> None:
    how = Boosting(trees=20)
    one, two = (fit_trees(TRAINED, OUTCOMES, how).trees for _ in range(2))

    assert one is not None
    assert two is not None
    assert one.as_json() == two.as_json()


def test_nothing_to_tell_apart_gives_the_share() -> None:
    """Given columns of one value, Then every probability is that of the outcomes."""
    scorer = fit_trees(np.ones((500, 3)), np.arange(500) % 4 == 0, Boosting(trees=10))

    assert scorer.probability((1.0, 1.0, 1.0)) == pytest.approx(0.25, abs=5e-3)


def test_they_survive_being_written() -> None:
    held = forest()
    read = Forest.from_json(orjson.loads(orjson.dumps(held.as_json())), width=5)

    for vector in UNSEEN[:20].tolist():
        assert read.value(vector) == pytest.approx(held.value(vector), abs=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": [[0, 1]], "thresholds": [[0.0, 0.0]], "values": [[0.0, 0.0, 0.0]]},
        {"features": [[9]], "thresholds": [[0.0]], "values": [[0.0, 0.0]]},
        {"features": [[-1]], "thresholds": [[0.0]], "values": [[0.0, 0.0]]},
        {"features": [[0]], "thresholds": [[0.0]], "values": [[0.0]]},
        {"features": [[0], [0, 1, 2]], "thresholds": [[0.0]], "values": [[0.0, 0.0]]},
        {"features": 3, "thresholds": [[0.0]], "values": [[0.0, 0.0]]},
    ],
)
def test_trees_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Forest.from_json(wrong, width=5)


def test_calibration_scales_leaves_and_start_alike() -> None:
    """Given logits twice too far out, When straightened, Then they are half as far."""
    loud = Scorer(FITTED.weights, 2 * FITTED.intercept, forest().scaled(2.0))
    straight = calibrated(loud, logits_of(loud, UNSEEN), TRUTH)
    quiet = calibrated(FITTED, logits_of(FITTED, UNSEEN), TRUTH)

    assert logits_of(straight, UNSEEN[:20]) == pytest.approx(
        logits_of(quiet, UNSEEN[:20]), abs=1e-4
    )
