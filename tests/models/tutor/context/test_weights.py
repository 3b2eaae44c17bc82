"""What feedback teaches about layers: nothing at first, and never without a trial."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.context.config import LayerSettings, LayersSettings, LearningSettings
from models.tutor.context.material import Layer, LayerUse, Use
from models.tutor.context.weights import (
    ON_TRIAL,
    SHARING,
    credited,
    effect,
    helpfulness,
    shares,
    withheld,
)
from models.tutor.providers.evidence import Situation
from schemas.vocabulary import Mood, Task

SETTINGS = LearningSettings()
LAYERS = LayersSettings()
HERE = Situation(Task.SOCRATIC, Mood.NEGATIVE)
THERE = Situation(Task.DIRECT, Mood.POSITIVE)


def use(layer: Layer, what: Use) -> LayerUse:
    return LayerUse(layer, what, 10, 0.1)


def taught(outcomes, situation=HERE, now=0.0, settings=SETTINGS):
    """Evidence after (use, helpful) of the history layer."""
    known = {}
    for what, helpful in outcomes:
        known |= credited(
            [use(Layer.HISTORY, what)], situation, helpful, known=known, now=now, settings=settings
        )
    return known


def history(known, situation=HERE, now=0.0, settings=SETTINGS) -> float:
    return effect(Layer.HISTORY, situation, known=known, now=now, settings=settings)


def test_without_evidence_the_settings_decide():
    assert all(effect(layer, HERE, known={}, now=0.0, settings=SETTINGS) == 1.0 for layer in Layer)


def test_success_without_a_trial_proves_nothing():
    known = taught([(Use.KEPT, 1.0)] * 200)

    assert history(known) == pytest.approx(1.0)


def test_a_layer_that_helps_gains_and_one_that_harms_loses():
    helps = taught([(Use.KEPT, 0.8), (Use.WITHHELD, 0.3)] * 200)
    harms = taught([(Use.KEPT, 0.3), (Use.WITHHELD, 0.8)] * 200)

    assert history(helps) > 1.5
    assert history(harms) < 0.6


@given(st.lists(st.tuples(st.sampled_from([Use.KEPT, Use.WITHHELD]), st.floats(0, 1))))
def test_an_effect_stays_within_its_bounds(outcomes):
    known = taught(outcomes)

    assert SETTINGS.least <= history(known) <= SETTINGS.most
    for share in helpfulness(Layer.HISTORY, HERE, known=known, now=0.0, settings=SETTINGS):
        assert 0 < share < 1


@given(
    st.sampled_from(list(Task)[:4]),
    st.sampled_from(Mood),
    st.lists(st.tuples(st.sampled_from([Use.KEPT, Use.WITHHELD]), st.floats(0, 1)), max_size=30),
)
def test_shares_sum_to_one(task, mood, outcomes):
    known = taught(outcomes)
    found = shares(Situation(task, mood), known=known, now=0.0, layers=LAYERS, settings=SETTINGS)

    assert set(found) == set(SHARING)
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(share > 0 for share in found.values())


def test_layers_without_any_claim_share_evenly():
    none = LayerSettings(weight=1.0, tasks={Task.SOCRATIC: 0.0})
    layers = LayersSettings(profile=none, state=none, history=none, conversation=none)

    found = shares(HERE, known={}, now=0.0, layers=layers, settings=SETTINGS)

    assert set(found.values()) == {0.25}


def test_other_situations_learn_less_than_the_one_it_happened_in():
    known = taught([(Use.KEPT, 0.7), (Use.WITHHELD, 0.5)] * 10)

    assert 1.0 < history(known, THERE) < history(known, HERE)


def test_evidence_fades():
    known = taught([(Use.KEPT, 0.9), (Use.WITHHELD, 0.1)] * 50)
    later = 20 * SETTINGS.half_life

    assert history(known, now=later) == pytest.approx(1.0, abs=1e-3)


def test_the_conversation_and_empty_layers_are_not_credited():
    uses = [use(Layer.CONVERSATION, Use.KEPT), use(Layer.STATE, Use.EMPTY)]

    assert credited(uses, HERE, 1.0, known={}, now=0.0, settings=SETTINGS) == {}


def test_trials_are_drawn_from_the_id_in_their_share():
    drawn = Counter(withheld(f"event-{n}", 0.1) for n in range(20_000))

    assert withheld("event-1", 0.1) == withheld("event-1", 0.1)
    assert 1_700 < 20_000 - drawn[None] < 2_300
    for layer in ON_TRIAL:
        assert 540 < drawn[layer] < 800
    assert withheld("event-1", 0.0) is None


def test_what_is_learned_is_what_is_true():
    """Learners whom history helps (.7 against .4), drawn as requests are."""
    rng = random.Random(7)
    settings = LearningSettings(trial=0.3)
    known = {}
    for n in range(4_000):
        without = withheld(str(n), settings.trial) is Layer.HISTORY
        helpful = float(rng.random() < (0.4 if without else 0.7))
        seen = use(Layer.HISTORY, Use.WITHHELD if without else Use.KEPT)
        known |= credited([seen], HERE, helpful, known=known, now=0.0, settings=settings)

    shown, hidden = helpfulness(Layer.HISTORY, HERE, known=known, now=0.0, settings=settings)

    assert shown == pytest.approx(0.7, abs=0.04)
    assert hidden == pytest.approx(0.4, abs=0.06)
