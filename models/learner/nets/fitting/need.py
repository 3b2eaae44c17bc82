"""The InterventionNet in torch: its parts, its loss, several seeds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.learner.nets.fitting.calibrating import Calibrated
from models.learner.nets.fitting.matrices import Bools, standard
from models.learner.nets.serving.grades import GRADES
from models.learner.nets.serving.inputs import Floats, standardised
from models.learner.nets.serving.intervention import LAYOUT


@dataclass(frozen=True, slots=True)
class Hyper:
    """What is chosen before training; recorded in the card."""

    text_hidden: int = 4
    hidden: int = 8
    epochs: int = 40
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.5
    drop: float = 0.4
    """Of the units of the text's side; of behaviour's inputs on average."""
    rmse_weight: float = 0.5
    """Of the squared error of the expected grade beside the ordinal loss."""
    seeds: int = 3


class Need(nn.Module):
    """Both sides and the thresholds in torch; the formulas of ../intervention.py."""

    def __init__(self, affect: int, hyper: Hyper) -> None:
        super().__init__()
        self.text_in = nn.Linear(affect, hyper.text_hidden)
        self.text_out = nn.Linear(hyper.text_hidden, 1, bias=False)
        self.text_linear = nn.Linear(affect, 1, bias=False)
        self.dropout = nn.Dropout(hyper.drop)
        self.inner = nn.Linear(LAYOUT.width + len(LAYOUT.names), hyper.hidden)
        self.out = nn.Linear(hyper.hidden, 1, bias=False)
        self.offset = nn.Parameter(torch.zeros(()))
        # Ascending by construction: the first, and the logarithms of the steps.
        self.first = nn.Parameter(torch.tensor(-0.5))
        self.steps = nn.Parameter(torch.zeros(GRADES - 2))

    def thresholds(self) -> torch.Tensor:
        """(6,) ascending."""
        return torch.cat((self.first[None], self.first + self.steps.exp().cumsum(0)))

    def text(self, z: torch.Tensor) -> torch.Tensor:
        """(n, A) standardised to (n,)."""
        z = self.dropout(z)
        hidden = self.dropout(torch.tanh(self.text_in(z)))
        part: torch.Tensor = (self.text_out(hidden) + self.text_linear(z)).squeeze(-1)
        return part

    def behaviour(self, z: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(n, width) standardised, zero where masked, and (n, inputs) to (n,)."""
        hidden = torch.tanh(self.inner(torch.cat((z, known.float()), 1)))
        part: torch.Tensor = self.out(hidden).squeeze(-1) + self.offset
        return part


@dataclass(frozen=True, slots=True)
class Taught:
    """What the net learns from: posts with grades, moments with levels."""

    affect: Floats
    grade: Floats
    values: Floats
    known: Bools
    level: Floats

    def without(self, held: Bools) -> Taught:
        """Without the moments that are held out; every post stays."""
        return Taught(
            self.affect, self.grade, self.values[~held], self.known[~held], self.level[~held]
        )


class Fitted:
    """Nets of several seeds, averaged: their hidden units stand side by side."""

    def __init__(self, nets: list[Need], data: Taught) -> None:
        self.nets = [net.eval() for net in nets]
        self.text_centre = data.affect.mean(0)
        self.text_scale = 1 / np.maximum(data.affect.std(0), 1e-6)
        self.centre, self.scale = standard(LAYOUT, data.values, data.known)
        spread = [i for i, w in enumerate(LAYOUT.slices.values()) for _ in range(w.stop - w.start)]
        self.spread = np.array(spread)

    def text_inputs(self, affect: Floats) -> torch.Tensor:
        """(n, A) embeddings, standardised and clipped."""
        return _tensor(standardised(affect, self.text_centre, self.text_scale))

    def inputs(self, values: Floats, known: Bools) -> torch.Tensor:
        """(n, width) features, standardised and clipped; zero where unknown."""
        z = standardised(values, self.centre, self.scale)
        return _tensor(z * known[:, self.spread])

    def text(self, affect: Floats) -> Floats:
        """(n, A) embeddings to the text's (n,) part: the mean of the nets'."""
        with torch.no_grad():
            z = self.text_inputs(affect)
            found: Floats = np.mean([net.text(z).double().numpy() for net in self.nets], 0)
        return found

    def behaviour(self, values: Floats, known: Bools) -> Floats:
        """(n, width) features and (n, inputs) masks to behaviour's (n,) part."""
        with torch.no_grad():
            z, mask = self.inputs(values, known), torch.from_numpy(known)
            parts = [net.behaviour(z, mask).double().numpy() for net in self.nets]
            found: Floats = np.mean(parts, 0)
        return found

    def tensors(self, calibrated: Calibrated, slope: float, offset: float) -> dict[str, Floats]:
        """What ../intervention.py reads: the nets stacked into one, calibrated."""
        nets, n = self.nets, len(self.nets)
        base = float(np.mean([float(net.offset.detach()) for net in nets]))
        return {
            "text_in": np.concatenate([_array(net.text_in.weight) for net in nets]),
            "text_bias": np.concatenate([_array(net.text_in.bias) for net in nets]),
            "text_out": np.concatenate([_array(net.text_out.weight)[0] / n for net in nets]),
            "text_linear": np.mean([_array(net.text_linear.weight)[0] for net in nets], 0),
            "text_centre": self.text_centre,
            "text_scale": self.text_scale,
            "text_output": np.array([calibrated.slope, -calibrated.slope * calibrated.centre]),
            "in": np.concatenate([_array(net.inner.weight) for net in nets]),
            "bias": np.concatenate([_array(net.inner.bias) for net in nets]),
            "out": np.concatenate([_array(net.out.weight)[0] / n for net in nets]),
            "centre": self.centre,
            "scale": self.scale,
            "behaviour_output": np.array([slope, slope * base + offset]),
            "thresholds": calibrated.thresholds,
        }


def fit(data: Taught, boundaries: Sequence[int], hyper: Hyper, seeds: int) -> Fitted:
    """Train as many nets as seeds; `boundaries` name the threshold of each level but the lowest."""
    nets = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        nets.append(Need(data.affect.shape[1], hyper))
    fit = Fitted(nets, data)
    for net in nets:
        _train(net.train(), fit, data, torch.tensor(list(boundaries)), hyper)
        net.eval()
    return fit


def _train(net: Need, fit: Fitted, data: Taught, boundaries: torch.Tensor, hyper: Hyper) -> None:
    text, grade = fit.text_inputs(data.affect), _tensor(data.grade)
    z, known = fit.inputs(data.values, data.known), torch.from_numpy(data.known)
    spread = torch.from_numpy(fit.spread)
    level = torch.from_numpy(data.level)
    above_grade = (grade[:, None] > torch.arange(1, GRADES)).float()
    above_level = (level[:, None] > torch.arange(len(boundaries))).float()
    optimiser = torch.optim.AdamW(net.parameters(), lr=hyper.rate, weight_decay=hyper.decay)
    steps = -(-len(text) // hyper.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, hyper.epochs * steps)
    entropy = nn.functional.binary_cross_entropy_with_logits
    for _ in range(hyper.epochs):
        moments = torch.randperm(len(z)).chunk(steps)
        for rows, moment in zip(torch.randperm(len(text)).chunk(steps), moments, strict=False):
            logits = net.text(text[rows])[:, None] - net.thresholds()
            expected = 1 + torch.sigmoid(logits).sum(1)
            loss = entropy(logits, above_grade[rows])
            loss = loss + hyper.rmse_weight * ((expected - grade[rows]) ** 2).mean() / GRADES
            # Each row loses its own share of inputs, so that few known inputs are seen, too.
            lost = 2 * hyper.drop * torch.rand(len(moment), 1)
            shown = known[moment] & (torch.rand(known[moment].shape) >= lost)
            part = net.behaviour(z[moment] * shown[:, spread], shown)
            theta = net.thresholds()[boundaries]
            loss = loss + entropy(part[:, None] - theta, above_level[moment])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _tensor(array: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _array(tensor: torch.Tensor) -> Floats:
    found: Floats = tensor.detach().double().numpy()
    return found
