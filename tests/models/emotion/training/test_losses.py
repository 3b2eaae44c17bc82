from __future__ import annotations

import numpy as np
import pytest
import torch

from models.emotion.labels import EMOTIONS
from models.emotion.network.network import Logits
from models.emotion.serving.inference import CONCERNS
from models.emotion.training.examples import Example
from models.emotion.training.losses import Variances, loss, targets, variances
from models.emotion.training.recipe import LossWeights
from schemas.topics.emotions import Emotion
from schemas.vocabulary import Concern


def zero_logits(n: int) -> Logits:
    shapes = ((len(EMOTIONS),), (28,), (3,), (16,), (), (CONCERNS,), (1,))
    return Logits(*(torch.zeros(n, *width, requires_grad=True) for width in shapes))


def gradients(examples: list[Example]) -> Logits:
    logits = zero_logits(len(examples))
    target = targets(examples, EMOTIONS)
    weights = LossWeights(sign=1.0, concern=1.0, speaking=1.0)
    loss(logits, target, weights, Variances(torch.ones(3), torch.ones(()))).backward()
    return Logits(*(t.grad if t.grad is not None else torch.zeros_like(t) for t in logits))


def test_a_source_teaches_only_what_it_annotates() -> None:
    boredom, joy = EMOTIONS.index(Emotion.BOREDOM), EMOTIONS.index(Emotion.JOY)
    given = gradients([Example("x", {Emotion.BOREDOM: 1.0, Emotion.JOY: 0.0})])
    assert given.emotions[0, boredom] < 0 < given.emotions[0, joy]
    taught = given.emotions[0].nonzero().flatten().tolist()
    assert sorted(taught) == sorted([boredom, joy])
    assert not given.goemotions.any()
    assert not given.pad.any()


def test_an_unlabelled_example_teaches_nothing() -> None:
    assert not any(g.any() for g in gradients([Example("x")]))


def test_urgency_pulls_towards_its_grade_and_teaches_nothing_else() -> None:
    given = gradients([Example("x", urgency=1.0), Example("y")])
    assert given.urgency[0] < 0
    assert given.urgency[1] == 0
    assert not given.emotions.any()
    assert not given.pad.any()


def test_pad_pulls_towards_its_rating() -> None:
    given = gradients([Example("x", pad=(0.9, 0.5, 0.1))])
    valence, arousal, dominance = given.pad[0].tolist()
    assert valence < 0 == arousal < dominance


def test_an_authored_text_also_teaches_the_order() -> None:
    labels = {e: float(e is Emotion.MASTERY) for e in EMOTIONS}
    plain = gradients([Example("x", labels)])
    authored = gradients([Example("x", labels, authored="a")])
    at = EMOTIONS.index(Emotion.MASTERY)
    assert authored.emotions[0, at] < plain.emotions[0, at] < 0


@pytest.mark.parametrize(("sign", "way"), [(1, -1), (-1, 1), (0, 0)])
def test_a_sign_moves_valence_alone_and_over_the_edge_only(sign: int, way: int) -> None:
    # Given an undecided valence, in the middle of the band
    given = gradients([Example("x", sign=sign), Example("y")])
    # Then it is pulled to its side; where it belongs into the band it rests
    assert np.sign(round(float(given.pad[0, 0]), 4)) == way
    assert not given.pad[0, 1:].any()
    assert not given.pad[1].any()
    assert not given.emotions.any()
    # And far over the edge nothing is left to learn
    far = zero_logits(1)
    far.pad.data[0, 0] = 2.0 * sign
    target = targets([Example("x", sign=sign)], EMOTIONS)
    weights = LossWeights(sign=1.0)
    value = loss(far, target, weights, Variances(torch.ones(3), torch.ones(())))
    assert value.item() < (0.05 if sign else 0.3)


def test_danger_and_its_kind_are_taught_and_ordinary_texts_have_none() -> None:
    kind = frozenset({Concern.EATING})
    given = gradients([Example("x", concern=True, concerns=kind), Example("y", concern=False)])
    eating = 1 + list(Concern).index(Concern.EATING)
    assert given.concern[0, 0] < 0 < given.concern[1, 0]
    assert given.concern[0, eating] < 0 < given.concern[0, 1]
    assert (given.concern[1] > 0).all()
    assert not given.emotions.any()


def test_danger_of_an_unknown_kind_teaches_no_kind() -> None:
    given = gradients([Example("x", concern=True)])
    assert given.concern[0, 0] < 0
    assert not given.concern[0, 1:].any()


def test_pasted_text_is_not_the_learner() -> None:
    given = gradients([Example("x", speaking=False), Example("y", speaking=True), Example("z")])
    assert given.speaking[0] > 0 > given.speaking[1]
    assert given.speaking[2] == 0


def test_unrated_texts_do_not_enter_the_variance() -> None:
    rated = [Example("x", pad=(v, 0.5, 0.5)) for v in (0.0, 1.0)]
    variance = variances(targets([*rated, Example("y")], EMOTIONS)).pad
    assert variance.tolist() == [0.5, 0.0, 0.0]
