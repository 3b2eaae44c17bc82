"""Where valence is heading: a time-weighted linear regression, kept as decayed moments.

Weighted least squares of valence v over event time t (minutes) with weights
w_i = c_i * 2^(-(T - t_i) / h), c the share of the message that was read. Kept are the total
weight, the sum of squared weights, the weighted means, and the central second moments; a point
is merged by the update of Chan, Golub and LeVeque (1983), which does not cancel the way raw sums
of t^2 do.
Moving the reference time T by d takes d from the mean time and multiplies the
moments by 2^(-d / h): exact, and in any order.

    slope = C_tv / C_tt
    n     = (sum w)^2 / sum w^2                           (Kish's effective sample size)
    s^2   = max((C_vv - C_tv^2 / C_tt) / sum w * n / (n - 2), reading_noise^2)
    error = sqrt(s^2 / (n * C_tt / sum w))                (for equal weights: OLS's)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Final, NamedTuple

from models.learner.evidence import decay
from models.learner.parameters import TrajectorySettings
from schemas.topics.state import Trajectory

_MS_PER_MINUTE: Final = 60_000
# Far above the smallest normal float, far below any weight that could matter: what
# has faded to this is forgotten before its products underflow one by one.
_FORGOTTEN: Final = 1e-100


@dataclass(frozen=True, slots=True)
class Trend:
    """Decayed moments of (time, valence); times in minutes relative to the newest event."""

    weight: float = 0.0
    weight_squares: float = 0.0
    time: float = 0.0
    valence: float = 0.0
    time_time: float = 0.0
    time_valence: float = 0.0
    valence_valence: float = 0.0

    @property
    def effective_points(self) -> float:
        """Kish's effective sample size; 0 without points."""
        return self.weight**2 / self.weight_squares if self.weight else 0.0

    def moved(self, elapsed: int, settings: TrajectorySettings) -> Trend:
        """Relative to a reference time that is `elapsed` milliseconds later."""
        if elapsed == 0 or not self.weight:
            return self
        left = decay(elapsed, settings.half_life)
        if self.weight * left < _FORGOTTEN:
            return NO_TREND
        return Trend(
            self.weight * left,
            self.weight_squares * left * left,
            self.time - elapsed / _MS_PER_MINUTE,
            self.valence,
            self.time_time * left,
            self.time_valence * left,
            self.valence_valence * left,
        )

    def plus(
        self, age: int, valence: float, settings: TrajectorySettings, share: float = 1.0
    ) -> Trend:
        """With one more point, `age` milliseconds before the reference time.

        share: what it counts beside other points of its time
        """
        weight = share * decay(age, settings.half_life)
        if weight < _FORGOTTEN:
            return self
        total = self.weight + weight
        part = weight / total
        shared = self.weight * part
        dt = -age / _MS_PER_MINUTE - self.time
        dv = valence - self.valence
        return Trend(
            total,
            self.weight_squares + weight * weight,
            self.time + part * dt,
            self.valence + part * dv,
            self.time_time + shared * dt * dt,
            self.time_valence + shared * dt * dv,
            self.valence_valence + shared * dv * dv,
        )


NO_TREND: Final = Trend()


class Called(NamedTuple):
    """Where valence is heading; `schemas.topics.state.TrajectoryCall` is how it leaves."""

    points: int
    """Effective points, rounded."""
    call: Trajectory | None = None
    slope: float | None = None
    """Change of valence a minute."""
    slope_error: float | None = None


def call(trend: Trend, min_evidence: float, settings: TrajectorySettings) -> Called:
    """Slope with its standard error, and its class; neither on too few or too old points."""
    points = trend.effective_points
    shown = round(points) if trend.weight >= min_evidence else 0
    if shown < settings.min_points or trend.time_time <= 0.0:
        return Called(points=shown)
    slope = trend.time_valence / trend.time_time
    unexplained = max(0.0, trend.valence_valence - slope * trend.time_valence)
    variance = max(
        unexplained / trend.weight * points / (points - 2),
        settings.reading_noise**2,
    )
    error = sqrt(variance * trend.weight / (points * trend.time_time))
    if not (isfinite(slope) and isfinite(error)):
        return Called(points=shown)
    return Called(
        call=_classify(slope, error, trend.valence, settings),
        slope=slope,
        slope_error=error,
        points=shown,
    )


def _classify(slope: float, error: float, level: float, settings: TrajectorySettings) -> Trajectory:
    needed = max(settings.error_factor * error, settings.min_slope)
    if slope > needed:
        return Trajectory.IMPROVING
    if slope < -needed:
        return Trajectory.DECLINING
    if level >= settings.positive_from:
        return Trajectory.STABLE_POSITIVE
    if level <= settings.negative_to:
        return Trajectory.STABLE_NEGATIVE
    return Trajectory.STABLE_NEUTRAL
