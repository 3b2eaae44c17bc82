"""Fits the LearningReadinessNet to next-correct outcomes, cross-fitted by person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from models.evaluation.scores import auc, brier
from models.learner.nets.fitting import figures
from models.learner.nets.fitting.matrices import Bools, matrix, standard, trained_inputs
from models.learner.nets.fitting.replay import Moment
from models.learner.nets.serving.artefact import NetArtefact, save
from models.learner.nets.serving.card import DataSet, NetCard
from models.learner.nets.serving.inputs import Floats, standardised
from models.learner.nets.serving.readiness import LAYOUT, ON_ANSWERS
from schemas.topics.state import ReadinessState

FOLDS: Final = 5
WHY_UNTRAINED: Final = {
    "affect": "no public set holds both what a learner wrote and whether the next answer was "
    "right; a set with both, in this net's layout, trains it",
}
LIMITS: Final = [
    "ASSISTments 2009 has no times of day: the clock of the replay is made of response times, "
    "and sessions are told apart by jumps of the order id. How the inputs fade was therefore "
    "not learned.",
    "Middle-school mathematics in the USA; about 200 students.",
    "It reads practice in general, not the next exercise's skill: `behaviour.nextCorrect` does.",
    "Attention weights say what the score was computed from, not what caused it.",
]
NOT_FOR: Final = [
    "Grading, admission, ranking, streaming, discipline, or any decision that nobody reviews.",
    "Comparing people: it was calibrated for none of the groups that they belong to.",
    "Withholding material: a low score is a reason to help, not to refuse.",
]


@dataclass(frozen=True, slots=True)
class Hyper:
    """What is chosen before training; recorded in the card."""

    dim: int = 8
    epochs: int = 60
    batch: int = 512
    rate: float = 5e-3
    decay: float = 1e-3
    drop: float = 0.4
    """Mean share of a training row's known inputs that are masked (one always stays)."""
    seed: int = 0


class Attention(nn.Module):
    """The net in torch; the same formula as models/learner/nets/serving/readiness.py."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inputs = len(LAYOUT.names)
        self.dim = dim
        self.embed = nn.Parameter(torch.zeros(inputs * dim, LAYOUT.width))
        self.bias = nn.Parameter(torch.zeros(inputs, dim))
        self.query = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.attend = nn.Parameter(torch.zeros(inputs))
        self.readout = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.offset = nn.Parameter(torch.zeros(()))
        block = torch.zeros(inputs * dim, LAYOUT.width)
        for index, where in enumerate(LAYOUT.slices.values()):
            rows = slice(index * dim, (index + 1) * dim)
            block[rows, where] = 1.0
            with torch.no_grad():
                width = where.stop - where.start
                self.embed[rows, where] = torch.randn(dim, width) / width**0.5
        self.register_buffer("block", block)

    def forward(self, z: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(n, width) standardised and (n, inputs) masks to (n,) logits."""
        block = self.get_buffer("block")
        embedded = torch.tanh(
            (z @ (self.embed * block).T).reshape(len(z), -1, self.dim) + self.bias
        )
        scores = (embedded @ self.query + self.attend).masked_fill(~known, -1e9)
        weights = torch.softmax(scores, 1)
        return ((weights.unsqueeze(-1) * embedded).sum(1)) @ self.readout + self.offset


@dataclass(frozen=True, slots=True)
class Fitted:
    """A net with its standardisation."""

    net: Attention
    centre: Floats
    scale: Floats

    def logits(self, values: Floats, known: Bools) -> Floats:
        """(n,) of rows that know something."""
        z = standardised(values, self.centre, self.scale)
        with torch.no_grad():
            found: Floats = self.net(_tensor(z), torch.from_numpy(known)).double().numpy()
        return found

    def tensors(self, output: tuple[float, float], bins: Floats) -> dict[str, Floats]:
        """What ../readiness.py reads. output: slope and offset that calibrate; bins: (4,)."""
        net = self.net
        offset = float(net.offset.detach())
        return {
            "embed": _array(net.embed * net.get_buffer("block")),
            "bias": _array(net.bias),
            "query": _array(net.query),
            "attend": _array(net.attend),
            "readout": _array(net.readout),
            "centre": self.centre,
            "scale": self.scale,
            "output": np.array([output[0], output[0] * offset + output[1]]),
            "bins": bins,
        }


@dataclass(frozen=True, slots=True)
class ReadinessFit:
    """The artefact, and every moment's score by a net that did not see its person."""

    artefact: NetArtefact
    scores: Floats = field(repr=False)


def fit_readiness(
    moments: Sequence[Moment],
    folder: Path,
    hyper: Hyper,
    report: Callable[[str], None] = lambda _: None,
) -> ReadinessFit:
    """Cross-fit for the figures, calibration and bins; then fit to everybody and write it."""
    values, known = matrix(LAYOUT, [m.features for m in moments])
    truth = np.array([float(m.correct) for m in moments])
    people = [m.person for m in moments]
    some = rest_on_answers(known)
    fold = figures.folds_of(people, FOLDS)
    logits = np.zeros(len(moments))
    for number in range(FOLDS):
        report(f"readiness: fold {number + 1} of {FOLDS}")
        rows, held = (fold != number) & some, (fold == number) & some
        fitted = fit(values[rows], known[rows], truth[rows], hyper)
        logits[held] = fitted.logits(values[held], known[held])
    output = platt(logits[some], truth[some])
    prior = float(truth.mean())
    scores = np.full(len(moments), prior)
    # Each fold's scores through a calibration that did not see the fold either.
    for number in range(FOLDS):
        rows, held = (fold != number) & some, (fold == number) & some
        a, b = platt(logits[rows], truth[rows])
        scores[held] = 1 / (1 + np.exp(-(a * logits[held] + b)))
    bins = fifths(scores[some])
    report("readiness: everybody")
    final = fit(values[some], known[some], truth[some], hyper)
    trained = trained_inputs(LAYOUT, known)
    untrained = {
        name: WHY_UNTRAINED.get(name, "not in the rows that this run was given")
        for name in LAYOUT.names
        if name not in trained
    }
    part = [p for p, s in zip(people, some.tolist(), strict=True) if s]
    accuracy = LAYOUT.slices["accuracy"].start + 1
    base = np.where(known[:, LAYOUT.names.index("accuracy")], values[:, accuracy], prior)[some]
    card = NetCard(
        name="readiness",
        trained=trained,
        untrained=untrained,
        prior=prior,
        data=[
            DataSet(
                name="assistments2009",
                licence="MIT (repository)",
                rows=len(moments),
                people=len(set(people)),
                teaches="whether the next answer is right at the first attempt",
            )
        ],
        metrics={
            f"next correct, {FOLDS}-fold by person": _figures(scores[some], truth[some], part)
        },
        baselines={
            "the learner's own share of right answers so far": _figures(base, truth[some], part)
        },
        training={
            **{name: getattr(hyper, name) for name in Hyper.__slots__},
            "bins": [float(b) for b in bins],
        },
        limits=LIMITS,
        not_for=NOT_FOR,
        reproduce="masterx train readiness",
    )
    return ReadinessFit(save(folder, card, final.tensors(output, bins)), scores)


def rest_on_answers(known: Bools) -> Bools:
    """(n,) of the (n, inputs) masks: the rows that serving reads; of the others it has a prior."""
    found: Bools = (known & ON_ANSWERS).any(axis=1)
    return found


def fifths(scores: Floats) -> Floats:
    """(4,) the scores between the states."""
    states = len(ReadinessState)
    found: Floats = np.quantile(scores, np.arange(1, states) / states)
    return found


def platt(logits: Floats, truth: Floats) -> tuple[float, float]:
    """Slope and offset that calibrate a logit, by likelihood (Platt, 1999)."""

    def loss(p: Floats) -> float:
        x = p[0] * logits + p[1]
        return float((np.logaddexp(0, x) - truth * x).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(found[0]), float(found[1])


def fit(values: Floats, known: Bools, truth: Floats, hyper: Hyper) -> Fitted:
    """Train one net on (n, width) numbers, (n, inputs) masks and (n,) outcomes."""
    centre, scale = standard(LAYOUT, values, known)
    torch.manual_seed(hyper.seed)
    net = Attention(hyper.dim)
    z = _tensor(standardised(values, centre, scale))
    mask, target = torch.from_numpy(known), _tensor(truth)
    optimiser = torch.optim.AdamW(net.parameters(), lr=hyper.rate, weight_decay=hyper.decay)
    steps = hyper.epochs * -(-len(z) // hyper.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(hyper.epochs):
        for rows in torch.split(torch.randperm(len(z)), hyper.batch):
            # Each row loses its own share of inputs, so that few known inputs are seen, too.
            lost = 2 * hyper.drop * torch.rand(len(rows), 1)
            shown = mask[rows] & (torch.rand(mask[rows].shape) >= lost)
            alone = ~shown.any(1)
            shown[alone] = mask[rows][alone]
            loss = nn.functional.binary_cross_entropy_with_logits(net(z[rows], shown), target[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return Fitted(net.eval(), centre, scale)


def _figures(scores: Floats, truth: Floats, people: Sequence[str]) -> dict[str, object]:
    return {
        "n": len(truth),
        "auc": auc(scores, truth),
        "auc_95": figures.interval(auc, scores, truth, people),
        "ece": figures.ece(scores, truth),
        "ece_95": figures.interval(figures.ece, scores, truth, people),
        "brier": brier(scores, truth),
    }


def _tensor(array: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _array(tensor: torch.Tensor) -> Floats:
    found: Floats = tensor.detach().double().numpy()
    return found
