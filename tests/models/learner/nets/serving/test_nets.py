"""Whatever the inputs, figures stay in range; each side works alone; more need is never less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.artefact.artefact import load as load_emotion
from models.emotion.config import EmotionSettings
from models.learner.config import NetSettings
from models.learner.evidence import Evidence
from models.learner.nets.serving.inputs import (
    ANSWERED,
    READINESS_INPUTS,
    Feature,
    NetInputs,
    practice_of,
)
from models.learner.nets.serving.readiness import LAYOUT as READINESS_LAYOUT
from models.learner.nets.serving.reading import Nets
from schemas.topics.state import ReadinessState, Source
from schemas.vocabulary import Level
from tests.models.learner.nets.build import WIDTHS, affect, any_inputs, practising, shipped

NETS = shipped()
STATES = list(ReadinessState)
NO_ANSWERS = [n for n in READINESS_INPUTS if n in WIDTHS and n not in ANSWERED]


@given(any_inputs())
def test_every_figure_is_in_range_for_any_input(inputs):
    read = NETS.read(inputs)

    assert read.readiness is not None
    assert 0 <= read.readiness.score <= 1
    assert 0 <= read.readiness.confidence <= 1
    if read.readiness.source is Source.MEASURED:
        assert sum(read.readiness.weights.values()) == pytest.approx(1.0)
    else:
        assert read.readiness.weights == {}
    if read.need is not None:
        assert 1 <= read.need.urgency <= 7
        steps = list(read.need.at_least.values())
        assert list(read.need.at_least) == list(Level)
        assert steps[0] == 1.0
        assert steps == sorted(steps, reverse=True)
        assert all(0 <= p <= 1 for p in steps)


def test_nothing_known_is_the_prior_and_no_need():
    read = NETS.read(NetInputs())

    assert read.readiness is not None
    assert (read.readiness.source, read.readiness.confidence) == (Source.PRIOR, 0.0)
    assert read.readiness.state is ReadinessState.MODERATE
    assert read.need is None


@pytest.mark.parametrize("named", [*([name] for name in NO_ANSWERS), NO_ANSWERS], ids="+".join)
def test_without_an_answer_readiness_is_the_prior_whatever_else_is_known(named):
    net = NETS.readiness
    assert net is not None
    read = net.read({name: Feature((0.7,) * WIDTHS[name], 0.9) for name in named})

    assert (read.source, read.confidence, read.weights) == (Source.PRIOR, 0.0, {})
    assert (read.score, read.state) == (net.prior, ReadinessState.MODERATE)


@pytest.mark.parametrize("name", ANSWERED)
def test_any_answer_is_enough_to_measure_readiness(name):
    read = NETS.read(NetInputs({name: Feature((0.5, 0.5), 0.2)})).readiness

    assert read is not None
    assert read.source is Source.MEASURED
    assert read.weights == pytest.approx({name: 1.0})


def test_a_prior_readiness_is_no_input_of_the_need(monkeypatch):
    known = NetInputs(practising(0.5, 0.5))
    read = NETS.read(known).need
    monkeypatch.setattr(NETS.readiness, "_evidence", [])  # as where no answer is trained
    masked = NETS.read(known)

    assert NETS.intervention is not None
    assert masked.readiness is not None
    assert masked.readiness.source is Source.PRIOR
    assert masked.need == NETS.intervention.need(known)
    assert masked.need != read


def test_either_side_works_alone_and_both_add_up():
    behaviour, text = NetInputs(practising(0.2, 1.2)), NetInputs(affect=affect())
    alone, read, both = (
        NETS.read(inputs).need
        for inputs in (behaviour, text, NetInputs(behaviour.features, text.affect))
    )

    assert alone is not None
    assert read is not None
    assert both is not None
    assert (alone.sides, read.sides) == (("behaviour",), ("text",))
    assert both.sides == ("text", "behaviour")
    assert len({alone.urgency, read.urgency, both.urgency}) == 3


def test_time_alone_says_nothing_of_a_need():
    assert NETS.read(NetInputs({"time_in_session": Feature((3.0,), 0.0)})).need is None


def test_another_emotion_models_embedding_is_not_read():
    assert NETS.read(NetInputs(affect=affect(version="fast-000000000000"))).need is None


def test_a_text_that_grows_old_fades_towards_the_populations_odds():
    net = NETS.intervention
    assert net is not None
    population = net.of(net.exceeds(np.array(0.0)), ()).urgency
    distances = [
        abs(need.urgency - population)
        for weight in (1.0, 0.5, 0.25, 0.01)
        if (need := net.need(NetInputs(affect=affect(1.0, weight)))) is not None
    ]

    assert len(distances) == 4
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 10


def test_who_gets_answers_right_is_readier_and_needs_less():
    able, stuck = (NETS.read(NetInputs(practising(*p))) for p in ((0.95, 0.0), (0.2, 1.2)))

    assert able.readiness is not None
    assert stuck.readiness is not None
    assert able.need is not None
    assert stuck.need is not None
    assert able.readiness.score > stuck.readiness.score
    assert STATES.index(able.readiness.state) > STATES.index(stuck.readiness.state)
    assert able.need.urgency < stuck.need.urgency


@given(st.floats(-20, 20), st.floats(0, 5), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_more_need_never_lowers_the_level_nor_does_a_lower_share(f, more, share, other):
    net = NETS.intervention
    assert net is not None
    low, high = (net.of(net.exceeds(np.array(x)), ()) for x in (f, f + more))

    assert high.urgency >= low.urgency
    assert high.level(share).rank >= low.level(share).rank
    assert low.level(min(share, other)).rank >= low.level(max(share, other)).rank


def test_inputs_that_training_never_saw_change_nothing():
    known = practising(0.6, 0.2)
    net = NETS.readiness
    assert net is not None
    seen = net.read(known)
    with_affect = net.read({**known, "affect": Feature((0.5,) * 64, 0.9)})

    assert "affect" in net.card.untrained
    assert with_affect == seen


def test_states_are_the_fifths_of_training_in_order():
    net = NETS.readiness
    assert net is not None
    states = [STATES.index(net.state(score)) for score in np.linspace(0, 1, 400)]

    assert states == sorted(states)
    assert set(states) == set(range(5))


def test_a_weight_is_only_given_to_what_is_known():
    net = NETS.readiness
    assert net is not None

    assert set(net.read(practising(0.5, 0.5)).weights) == set(practising(0.5, 0.5))
    assert set(net.card.trained) | set(net.card.untrained) == set(READINESS_LAYOUT.names)


def test_no_folder_no_net():
    read = Nets(None, None, None).read(NetInputs(practising(0.5, 0.5)))

    assert (read.readiness, read.need) == (None, None)


def test_the_shipped_net_reads_the_shipped_emotion_model():
    net = NETS.intervention
    assert net is not None

    assert net.card.emotion_version == load_emotion(EmotionSettings().artefact).version


def test_costs_give_the_share_from_which_a_level_is_needed():
    assert NetSettings(missed_to_needless=1).share == 0.5
    assert NetSettings(missed_to_needless=3).share == 0.25


def test_evidence_without_answers_gives_no_practice():
    assert practice_of(Evidence(), 0.01, 5.0) == {}
