"""The trend of valence: least squares in the plain case, silence where little is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.parameters import TrajectorySettings
from models.learner.trajectory import NO_TREND, Trend, call
from schemas.topics.state import Trajectory

MINUTE = 60_000
LEAST = 0.01


def trend_of(points: list[tuple[int, float]], settings: TrajectorySettings) -> Trend:
    """Points of (milliseconds, valence), in any order, as an update adds them."""
    trend, newest = NO_TREND, None
    for time, valence in points:
        moved = 0 if newest is None else max(0, time - newest)
        newest = time if newest is None else max(newest, time)
        trend = trend.moved(moved, settings).plus(newest - time, valence, settings)
    return trend


@given(
    st.lists(st.tuples(st.integers(0, 20 * MINUTE), st.floats(0, 1)), min_size=4, max_size=30),
    st.randoms(),
)
def test_equals_weighted_least_squares(points: list[tuple[int, float]], random: object) -> None:
    settings = TrajectorySettings(min_points=3, reading_noise=1e-9)
    times = np.array([t for t, _ in points], float) / MINUTE
    values = np.array([v for _, v in points])
    weights = np.exp2(-(times.max() - times) * 60 / settings.half_life)
    random.shuffle(points)  # type: ignore[attr-defined]

    found = call(trend_of(points, settings), LEAST, settings)

    centred = times - np.average(times, weights=weights)
    spread = float(weights @ centred**2)
    if found.slope is None or spread < 1e-3:
        return
    slope = float(weights @ (centred * (values - np.average(values, weights=weights)))) / spread
    assert found.slope == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_equal_weights_give_the_error_of_ordinary_least_squares() -> None:
    settings = TrajectorySettings(half_life=3.2e9, reading_noise=1e-9)
    times = np.arange(8.0)
    values = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.6, 0.8, 0.7])
    design = np.stack([times, np.ones_like(times)], axis=1)
    solution, residual, *_ = np.linalg.lstsq(design, values, rcond=None)
    error = np.sqrt(residual[0] / (len(times) - 2) / np.sum((times - times.mean()) ** 2))

    points = [(int(t * MINUTE), float(v)) for t, v in zip(times, values, strict=True)]
    found = call(trend_of(points, settings), LEAST, settings)

    assert found.slope == pytest.approx(solution[0])
    assert found.slope_error == pytest.approx(error)
    assert found.points == 8


def line(start: float, per_minute: float, count: int = 8) -> list[tuple[int, float]]:
    return [(i * MINUTE, start + i * per_minute) for i in range(count)]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (line(0.3, 0.05), Trajectory.IMPROVING),
        (line(0.8, -0.05), Trajectory.DECLINING),
        (line(0.8, 0.0), Trajectory.STABLE_POSITIVE),
        (line(0.5, 0.0), Trajectory.STABLE_NEUTRAL),
        (line(0.2, 0.0), Trajectory.STABLE_NEGATIVE),
        # A slope below the minimum is no trend, however certain.
        (line(0.5, 0.005, 60), Trajectory.STABLE_POSITIVE),
    ],
)
def test_classes(points: list[tuple[int, float]], expected: Trajectory) -> None:
    settings = TrajectorySettings()
    assert call(trend_of(points, settings), LEAST, settings).call is expected


def test_a_slope_within_its_error_is_no_trend() -> None:
    settings = TrajectorySettings()
    noisy = [(i * MINUTE, 0.5 + (0.4 if i % 2 else -0.4) + 0.02 * i) for i in range(5)]

    found = call(trend_of(noisy, settings), LEAST, settings)

    assert found.slope is not None
    assert found.slope_error is not None
    assert settings.min_slope < found.slope < settings.error_factor * found.slope_error
    assert found.call is Trajectory.STABLE_NEUTRAL


def test_no_call_on_too_few_points() -> None:
    settings = TrajectorySettings()
    found = call(trend_of(line(0.9, -0.1, 3), settings), LEAST, settings)
    assert (found.call, found.slope, found.points) == (None, None, 3)


def test_no_call_on_one_moment() -> None:
    settings = TrajectorySettings()
    found = call(trend_of([(0, v / 10) for v in range(10)], settings), LEAST, settings)
    assert (found.call, found.slope, found.points) == (None, None, 10)


def test_no_call_on_stale_points() -> None:
    settings = TrajectorySettings()
    trend = trend_of(line(0.9, -0.1, 8), settings).moved(12 * 60 * MINUTE, settings)
    assert call(trend, LEAST, settings).points == 0


def test_a_year_later_nothing_is_left() -> None:
    settings = TrajectorySettings()
    assert trend_of(line(0.9, -0.1), settings).moved(365 * 1440 * MINUTE, settings) == NO_TREND
