"""What a learner's evidence and estimates are to the nets: their inputs, by name."""

from __future__ import annotations

from models.learner.affect import AffectMean
from models.learner.behaviour.serving.estimating import BehaviourEstimates, Figure
from models.learner.behaviour.serving.record import BehaviourRecord
from models.learner.evidence import Evidence
from models.learner.nets.serving.inputs import Feature, NetInputs, practice_of, time_feature
from models.learner.parameters import ConfidenceSettings
from models.learner.trajectory import Called
from schemas.topics.state import Source


def net_inputs(
    evidence: Evidence,
    affect: AffectMean | None,
    called: tuple[Called, float, float],
    settings: ConfidenceSettings,
    *,
    estimates: BehaviourEstimates | None = None,
    session_seconds: float | None = None,
) -> NetInputs:
    """The inputs of both nets; what is not known, or only a prior, is left out.

    called: the trajectory, its confidence, and the valence around which it runs
    session_seconds: time in the session so far, where it is known
    """
    features = practice_of(evidence, settings.min_evidence, settings.interactions_half)
    trajectory, confidence, valence = called
    if trajectory.slope is not None:
        features["trajectory"] = Feature((trajectory.slope, valence), confidence)
    if session_seconds is not None:
        features["time_in_session"] = time_feature(session_seconds)
    if estimates is not None:
        features |= estimate_features(estimates)
    return NetInputs(features, None if affect is None else affect.read(settings.min_evidence))


def session_seconds(record: BehaviourRecord) -> float | None:
    """Time since the last pause, as far as events tell; None before the first."""
    if not record.stints:
        return None
    first, last = record.stints[0]
    return (last - first) / 1000


def estimate_features(estimates: BehaviourEstimates) -> dict[str, Feature]:
    """Those of the estimates that the nets read and that rest on this learner's evidence."""
    named: dict[str, Figure] = {
        "engagement": estimates.engagement,
        "cognitive_load": estimates.cognitive_load,
        "focus": estimates.focus,
        "fatigue": estimates.fatigue,
    }
    return {
        name: Feature((estimate.value,), estimate.confidence)
        for name, estimate in named.items()
        if estimate.source is not Source.PRIOR
    }
