"""Both nets over one learner's inputs, once an update; no batching, so one writer per record.

They are read once per process, for each pair of folders that settings name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from models.learner.nets.serving.artefact import load
from models.learner.nets.serving.grades import load_grading
from models.learner.nets.serving.inputs import Feature, NetInputs, model_key
from models.learner.nets.serving.intervention import InterventionNet, Need
from models.learner.nets.serving.readiness import LearningReadinessNet
from schemas.topics.state import Readiness, Source


@dataclass(frozen=True, slots=True)
class NetReading:
    """What the nets say of one learner now; None where a net is not there or knows nothing."""

    readiness: Readiness | None = None
    need: Need | None = None


@dataclass(frozen=True, slots=True)
class Nets:
    """The nets of one process."""

    readiness: LearningReadinessNet | None
    intervention: InterventionNet | None
    affect_model: int | None
    """Key of the emotion model whose embeddings the readiness net reads; None: it reads none."""

    def read(self, inputs: NetInputs) -> NetReading:
        """Readiness first: it is an input of the need."""
        features = dict(inputs.features)
        affect = inputs.affect
        if affect is not None and affect.model == self.affect_model:
            features["affect"] = Feature(tuple(affect.values.tolist()), min(1.0, affect.weight))
        readiness = None if self.readiness is None else self.readiness.read(features)
        if self.intervention is None:
            return NetReading(readiness)
        if readiness is not None and readiness.source is not Source.PRIOR:
            features["readiness"] = Feature((readiness.score,), readiness.confidence)
        return NetReading(readiness, self.intervention.need(replace(inputs, features=features)))


def load_nets(readiness: Path | None, intervention: Path | None) -> Nets:
    """The nets of these folders, kept for the process; None leaves a net out.

    Raises NetProblem that names what is missing or broken.
    """
    return _load(readiness, intervention)


@lru_cache(maxsize=4)
def _load(readiness: Path | None, intervention: Path | None) -> Nets:
    net = None if readiness is None else LearningReadinessNet(load(readiness))
    return Nets(
        net,
        None if intervention is None else InterventionNet(load(intervention), load_grading()),
        # An input that training never saw is masked: it need not be filled in.
        model_key(net.card.emotion_version) if net and "affect" in net.card.trained else None,
    )
