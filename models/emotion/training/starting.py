"""The network before its first step: packaged weights, an earlier artefact's, fresh heads."""

from __future__ import annotations

import torch

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.artefact.card import EmotionCard
from models.emotion.network.encoders import Encoder
from models.emotion.network.network import EmotionNetwork, Heads
from models.emotion.network.storing import Tensors, build_heads, network_of
from models.emotion.training.losses import Targets
from models.emotion.training.recipe import Recipe


def start(recipe: Recipe, card: EmotionCard) -> tuple[EmotionNetwork, Tensors]:
    """The network before training, and the packaged encoders' state."""
    encoders = [Encoder(name, recipe.hidden_dropout) for name in recipe.encoders]
    heads = build_heads(card, [e.width for e in encoders])
    network = EmotionNetwork(encoders, heads)
    packaged = {
        name: value.clone()
        for name, value in network.state_dict().items()
        if name.startswith("encoders.")
    }
    if recipe.start_from is not None:
        continue_from(network, card, load(recipe.start_from))
    for name, parameter in network.named_parameters():
        is_word = "word_embeddings" in name
        frozen = name.startswith("encoders.") and (
            recipe.tune == "frozen" or (recipe.tune == "layers" and is_word)
        )
        parameter.requires_grad_(not frozen)
    return network, packaged


def continue_from(network: EmotionNetwork, card: EmotionCard, earlier: Artefact) -> None:
    """Take over an artefact's weights; a class that it did not know keeps its fresh row."""
    state = network_of(earlier).state_dict()
    own = network.state_dict()
    for name in ("heads.emotions.weight", "heads.emotions.bias"):
        rows = own[name].clone()
        for i, emotion in enumerate(card.emotions):
            if emotion in earlier.card.emotions:
                rows[i] = state[name][earlier.card.emotions.index(emotion)]
        state[name] = rows
    for name, fresh in own.items():
        if name.startswith(("heads.concern.", "heads.speaking.")) and name not in state:
            state[name] = fresh  # a head that the earlier artefact lacks
    # The wide part is fitted anew.
    network.load_state_dict({n: v for n, v in state.items() if not n.startswith("wide.")})


@torch.no_grad()
def begin_at_frequencies(heads: Heads, known: Targets) -> None:
    """Let a fresh head answer with each label's share of the texts that know it.

    Most labels are rare: from a bias of zero the first epoch teaches little but that.
    """
    layers = [(heads.emotions, known.emotions), (heads.goemotions, known.goemotions)]
    layers += [(heads.concern, known.concern)] if heads.concern is not None else []
    layers += [(heads.speaking, known.speaking)] if heads.speaking is not None else []
    for layer, target in layers:
        share = target.nanmean(0).nan_to_num(0.5).clamp(1e-3, 1 - 1e-3)
        layer.bias.copy_(share.logit())
    for layer, target in ((heads.pad, known.pad), (heads.urgency, known.urgency.unsqueeze(1))):
        mean = target.nanmean(0).nan_to_num(0.5)
        layer.bias.copy_(mean.clamp(1e-3, 1 - 1e-3).logit())
