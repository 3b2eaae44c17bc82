"""The shipped nets, and inputs for them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.learner.config import NetSettings
from models.learner.nets.serving.inputs import (
    AFFECT_WIDTH,
    BEHAVIOUR_INPUTS,
    READINESS_INPUTS,
    Affect,
    Feature,
    NetInputs,
    model_key,
)
from models.learner.nets.serving.reading import Nets, load_nets

SETTINGS = NetSettings()
WIDTHS = {**READINESS_INPUTS, **BEHAVIOUR_INPUTS}
del WIDTHS["affect"], WIDTHS["readiness"]

numbers = st.floats(allow_nan=True, allow_infinity=True)
units = st.floats(0.0, 1.0)


def shipped() -> Nets:
    return load_nets(SETTINGS.readiness, SETTINGS.intervention)


def affect(fill: float = 0.1, weight: float = 1.0, version: str | None = None) -> Affect:
    net = shipped().intervention
    assert net is not None
    name = net.card.emotion_version if version is None else version
    return Affect(model_key(name), weight, np.full(AFFECT_WIDTH, fill))


def practising(accuracy: float, hints: float, attempts: float = 0.7) -> dict[str, Feature]:
    return {
        "accuracy": Feature((accuracy, accuracy), 0.8),
        "hints": Feature((hints, hints), 0.8),
        "attempts": Feature((attempts, attempts), 0.8),
        "time_in_session": Feature((2.0,), 0.0),
    }


@st.composite
def any_inputs(draw: st.DrawFn) -> NetInputs:
    names = draw(st.sets(st.sampled_from(sorted(WIDTHS))))
    features = {
        name: Feature(tuple(draw(numbers) for _ in range(WIDTHS[name])), draw(units))
        for name in sorted(names)
    }
    text = draw(
        st.none()
        | st.builds(affect, numbers, st.floats(0.0, 1e6), st.sampled_from([None, "another"]))
    )
    return NetInputs(features, text)
